//! One event, by its request id: its status, its log, and its cancellation.

use std::time::{Duration, SystemTime};

use actix_web::HttpResponse;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::dead_letter_filter::check_letter;
use super::durable::wait_until_durable;
use super::parameters::{number, request_id};
use crate::base::time::rfc3339;
use crate::client::Status;
use crate::event::dead_letter::DeadLetter;
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::http::auth;
use crate::http::constraint::Constraint;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

/// Longest wait of a long poll, in seconds.
const WAIT_MAX: u64 = 60;

/// An event that a request names, and that its caller may touch.
struct NamedEvent {
    id: RequestId,
    /// The event's function. All that follows is done with an event of this function alone: the id may be another's by then.
    function: FunctionName,
}

/// Returns the event of a path.
///
/// # Errors
/// When the caller may not do this with the event's function, or with the qualifier that it was invoked under; then when the
/// event is unknown.
async fn named(incoming: &Incoming<'_>, route: &Route<'_>) -> Result<NamedEvent, ApiError> {
    let id = route.path.raw("id").unwrap_or_default();
    let function = check(incoming, route.action, id).await?;
    let id = request_id(id)?;
    let function = function.ok_or_else(|| unknown(id))?;
    Ok(NamedEvent { id, function })
}

/// Checks the caller's right to an event. Returns its function; `None` if nothing is stored under the id.
async fn check(
    incoming: &Incoming<'_>,
    action: &str,
    id: &str,
) -> Result<Option<FunctionName>, ApiError> {
    let holder = match request_id(id) {
        Ok(id) => incoming.api.client.holder(id).await,
        Err(_) => None,
    };
    let Some(holder) = holder else {
        auth::check(incoming, action, None)?;
        return Ok(None);
    };
    for function in [Some(&holder.function), holder.formerly.as_ref()]
        .into_iter()
        .flatten()
    {
        auth::check_invoked(incoming, action, function.as_str(), &holder.invoked_as)?;
    }
    Ok(Some(holder.function))
}

/// Returns the status of an event; with `wait`, once the event has finished, or after so many seconds.
pub(super) async fn get(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let id = route.path.raw("id").unwrap_or_default();
    let function = check(incoming, route.action, id).await?;
    let id = request_id(id)?;
    let wait = wait(incoming)?;
    let function = function.ok_or_else(|| unknown(id))?;
    let event = NamedEvent { id, function };
    let status = status_after(incoming, &event, wait).await;
    let status = status.ok_or_else(|| unknown(id))?;
    let mut report = EventReport::of(&event, &status);
    report.letter = report
        .letter
        .filter(|letter| check_letter(incoming, "redrive:GetDeadLetter", letter).is_ok());
    // As text: a value could not hold a payload that is nested too deep.
    let json = serde_json::to_string(&report)
        .map_err(|error| ApiError::service(format!("the status can't be written: {error}")))?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(json))
}

/// Returns how long a request waits for the end of its event.
fn wait(incoming: &Incoming<'_>) -> Result<Duration, ApiError> {
    let seconds = number(incoming, "wait")?.unwrap_or(0);
    if seconds > WAIT_MAX {
        let broken = Constraint::Max(WAIT_MAX as i64).broken_by("wait", seconds);
        return Err(ApiError::validation(vec![broken]));
    }
    Ok(Duration::from_secs(seconds))
}

/// Returns the status of an event once it has finished, after `wait`, or when the server is about to stop.
async fn status_after(
    incoming: &Incoming<'_>,
    event: &NamedEvent,
    wait: Duration,
) -> Option<Status> {
    let (client, id, of) = (&incoming.api.client, event.id, Some(&event.function));
    let status = client.status_of(id, of).await;
    if wait.is_zero() || status.as_ref().is_none_or(Status::is_finished) {
        return status;
    }
    let mut stopping = incoming.api.stopping.subscribe();
    let finished = tokio::select! {
        finished = client.wait_of(id, of) => finished,
        () = tokio::time::sleep(wait) => None,
        _ = stopping.wait_for(|stopping| *stopping) => None,
    };
    match finished {
        Some(status) => Some(status),
        None => client.status_of(id, of).await,
    }
}

pub(super) async fn cancel(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let NamedEvent { id, function } = named(incoming, route).await?;
    let (client, of) = (&incoming.api.client, Some(&function));
    if client.cancel_of(id, of).await {
        wait_until_durable(client, &format!("the cancellation of event {id}")).await?;
        return Ok(HttpResponse::Ok().json(json!({ "request_id": id, "cancelled": true })));
    }
    match client.status_of(id, of).await {
        None => Err(unknown(id)),
        Some(status) if !status.is_finished() => Err(ApiError::unavailable(format!(
            "event {id} is {}, and the cancellation can't be stored: the runtime has ended, or its store has failed",
            status.state()
        ))),
        Some(status) => Err(ApiError::conflict(format!(
            "event {id} is over: it is {}",
            status.state()
        ))),
    }
}

/// Returns the log of an event. The log of a forgotten event can't be read: its function is unknown, and so the right to it.
pub(super) async fn log(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let id = route.path.raw("id").unwrap_or_default();
    let function = check(incoming, route.action, id).await?;
    let id = request_id(id)?;
    let log = function.and_then(|function| incoming.api.logs.of(function.as_str(), id));
    let log =
        log.ok_or_else(|| ApiError::not_found(format!("no log of event {id} is kept (any more)")))?;
    Ok(HttpResponse::Ok().json(json!({ "request_id": id, "log": log })))
}

/// The facts about an event: the same members in each state, `null` where they don't apply.
#[derive(Serialize)]
struct EventReport<'a> {
    request_id: RequestId,
    function: &'a FunctionName,
    state: &'static str,
    #[serde(serialize_with = "time")]
    since: Option<SystemTime>,
    #[serde(serialize_with = "time")]
    until: Option<SystemTime>,
    attempt: Option<u32>,
    attempts: Option<u32>,
    failure: Option<&'a Failure>,
    result: Option<&'a Payload>,
    letter: Option<&'a DeadLetter>,
}

impl<'a> EventReport<'a> {
    fn of(event: &'a NamedEvent, status: &'a Status) -> Self {
        let mut report = Self {
            request_id: event.id,
            function: &event.function,
            state: status.state(),
            since: None,
            until: None,
            attempt: None,
            attempts: None,
            failure: None,
            result: None,
            letter: None,
        };
        match status {
            Status::Accepted { since } => report.since = Some(*since),
            Status::Delayed {
                until,
                attempts,
                failure,
            } => {
                report.until = Some(*until);
                report.attempts = Some(*attempts);
                report.failure = failure.as_ref();
            }
            Status::Running { attempt, since } => {
                report.since = Some(*since);
                report.attempt = Some(*attempt);
            }
            Status::Succeeded { result, attempts } => {
                report.attempts = Some(*attempts);
                report.result = Some(result);
            }
            Status::Dead(letter) => {
                report.attempts = Some(letter.attempt_count);
                report.failure = letter.failure();
                report.letter = Some(letter);
            }
            Status::Failed(failure) => {
                report.attempts = Some(1);
                report.failure = Some(failure);
            }
            Status::Cancelled => {}
        }
        report
    }
}

fn time<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}

fn unknown(id: RequestId) -> ApiError {
    ApiError::not_found(format!("event {id} is not known (any more)"))
}
