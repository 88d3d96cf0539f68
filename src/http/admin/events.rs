//! One event, by its request id: what became of it, its log, and its end before its time.

use std::time::{Duration, SystemTime};

use actix_web::HttpResponse;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::functions::number;
use crate::client::{Client, Status};
use crate::event::failure::{DeadLetter, Failure, rfc3339};
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::http::auth;
use crate::http::error::{ApiError, Constraint};
use crate::http::request::Incoming;

/// Longest wait of a long poll, in seconds.
const WAIT_MAX: u64 = 60;

/// Refuses whoever may not do this with the function that the event is of, or with what was invoked of it. Returns the
/// function; none if nothing is kept under the id. What is done afterwards is done with an event of that function alone: the
/// id may be another's by then.
pub(crate) async fn check(
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

/// The status of an event of this function; with `wait`, as soon as the event is over, or after so many seconds.
pub(crate) async fn get(
    incoming: &Incoming<'_>,
    id: &str,
    of: Option<FunctionName>,
) -> Result<HttpResponse, ApiError> {
    let id = request_id(id)?;
    let wait = number(incoming, "wait")?.unwrap_or(0);
    if wait > WAIT_MAX {
        let broken = Constraint::Max(WAIT_MAX as i64).broken_by("wait", wait);
        return Err(ApiError::validation(vec![broken]));
    }
    let function = of.ok_or_else(|| unknown(id))?;
    let (client, of) = (&incoming.api.client, Some(&function));
    let mut status = client.status_of(id, of).await;
    if wait > 0 && status.as_ref().is_some_and(|status| !status.is_finished()) {
        let mut stopping = incoming.api.stopping.subscribe();
        let over = tokio::select! {
            over = client.wait_of(id, of) => over,
            () = tokio::time::sleep(Duration::from_secs(wait)) => None,
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        status = match over {
            Some(status) => Some(status),
            None => client.status_of(id, of).await,
        };
    }
    let status = status.ok_or_else(|| unknown(id))?;
    // As text: a payload that is nested too deep for a value is told all the same.
    let mut told = Told::of(id, &function, &status);
    told.letter = told.letter.filter(|letter| {
        super::dead_letters::check(incoming, "redrive:GetDeadLetter", letter).is_ok()
    });
    let told = serde_json::to_string(&told)
        .map_err(|error| ApiError::service(format!("the status can't be told: {error}")))?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(told))
}

pub(crate) async fn cancel(
    incoming: &Incoming<'_>,
    id: &str,
    of: Option<FunctionName>,
) -> Result<HttpResponse, ApiError> {
    let id = request_id(id)?;
    let function = of.ok_or_else(|| unknown(id))?;
    let (client, of) = (&incoming.api.client, Some(&function));
    if client.cancel_of(id, of).await {
        stored(client, &format!("the cancellation of event {id}")).await?;
        return Ok(HttpResponse::Ok().json(json!({ "request_id": id, "cancelled": true })));
    }
    match client.status_of(id, of).await {
        None => Err(unknown(id)),
        Some(status) if !status.is_finished() => Err(ApiError::unavailable(format!(
            "event {id} is {}, and the cancellation can't be kept: the runtime has ended, or its store has failed",
            status.state()
        ))),
        Some(status) => Err(ApiError::conflict(format!(
            "event {id} is over: it is {}",
            status.state()
        ))),
    }
}

/// The log of an event of this function. Of an event that is forgotten nobody knows whose it was, so nobody can say who may
/// read it: its log can't be read either.
pub(crate) fn log(
    incoming: &Incoming<'_>,
    id: &str,
    of: Option<FunctionName>,
) -> Result<HttpResponse, ApiError> {
    let id = request_id(id)?;
    let log = of.and_then(|function| incoming.api.logs.of(function.as_str(), id));
    let log =
        log.ok_or_else(|| ApiError::not_found(format!("no log of event {id} is kept (any more)")))?;
    Ok(HttpResponse::Ok().json(json!({ "request_id": id, "log": log })))
}

/// What is known of an event: the same members whatever its state, `null` where it says nothing of them.
#[derive(Serialize)]
struct Told<'a> {
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

impl<'a> Told<'a> {
    fn of(request_id: RequestId, function: &'a FunctionName, status: &'a Status) -> Self {
        let mut told = Self {
            request_id,
            function,
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
            Status::Accepted { since } => told.since = Some(*since),
            Status::Delayed {
                until,
                attempts,
                failure,
            } => {
                told.until = Some(*until);
                told.attempts = Some(*attempts);
                told.failure = failure.as_ref();
            }
            Status::Running { attempt, since } => {
                told.since = Some(*since);
                told.attempt = Some(*attempt);
            }
            Status::Succeeded { result, attempts } => {
                told.attempts = Some(*attempts);
                told.result = Some(result);
            }
            Status::Dead(letter) => {
                told.attempts = Some(letter.attempt_count);
                told.failure = letter.failure();
                told.letter = Some(letter);
            }
            Status::Failed(failure) => {
                told.attempts = Some(1);
                told.failure = Some(failure);
            }
            Status::Cancelled => {}
        }
        told
    }
}

fn time<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Waits until this is durable, which was done and is about to be told.
pub(super) async fn stored(client: &Client, done: &str) -> Result<(), ApiError> {
    client.sync().await.map_err(|error| {
        ApiError::service(format!(
            "{done} has its effect, and could not be stored yet: {error}; should the process die before it is, it never happened"
        ))
    })
}

pub(crate) fn request_id(text: &str) -> Result<RequestId, ApiError> {
    text.parse()
        .map_err(|error| ApiError::invalid_parameter(format!("'{text}' is no request id: {error}")))
}

fn unknown(id: RequestId) -> ApiError {
    ApiError::not_found(format!("nothing is known of event {id} (any more)"))
}
