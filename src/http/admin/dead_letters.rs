//! The dead letters: looking at them, sending them back, throwing them away.

use std::time::SystemTime;

use actix_web::HttpResponse;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::events::{request_id, stored};
use super::functions::{limit, number};
use crate::client::InvokedAs;
use crate::client::dead_letters::{Filter, Find, List, Purge, Redrive, Redriven};
use crate::event::failure::{Condition, DeadLetter};
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::request::Incoming;

/// Which letters are meant: those of which all that is said is true.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, expecting = "an object")]
struct Which {
    function: Option<String>,
    condition: Option<String>,
    error_type: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

/// What is to be sent back, and how.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Sending {
    /// One letter.
    request_id: Option<RequestId>,
    /// Those that the filter matches; an empty one matches all.
    filter: Option<Which>,
    per_second: Option<f64>,
    /// `null` is one too.
    #[serde(default, deserialize_with = "given")]
    payload: Option<Payload>,
    #[serde(default)]
    dry_run: bool,
}

/// A page. Its payloads are told as they are, however deep.
#[derive(Serialize)]
struct Letters<'a> {
    letters: &'a [DeadLetter],
    next: Option<u64>,
    total: usize,
    total_is_exact: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Throwing {
    filter: Option<Which>,
    #[serde(default)]
    dry_run: bool,
}

/// Bytes of payloads on a page, if it has more than one letter.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// The letter of an event, if the caller may do this with it.
async fn allowed(
    incoming: &Incoming<'_>,
    action: &'static str,
    id: RequestId,
) -> Result<DeadLetter, ApiError> {
    let client = &incoming.api.client;
    // The id may be that of several functions' events, one after the other: it is the caller's that is meant.
    let find = Find(id, allowing(incoming, action, false)?);
    if let Some(Some(letter)) = client.ask_dead_letters(find).await {
        return Ok(letter);
    }
    let Some(letter) = client.dead_letter(id).await else {
        auth::check(incoming, action, None)?;
        return Err(missing(id));
    };
    // Why it isn't found for the caller.
    check(incoming, action, &letter)?;
    Err(missing(id))
}

/// Refuses whoever may not do this with a letter: with the function that it was sent to, and with what that is called now.
pub(super) fn check(
    incoming: &Incoming<'_>,
    action: &str,
    letter: &DeadLetter,
) -> Result<(), ApiError> {
    let (heir, invoked_as) = (
        incoming.api.client.heir(&letter.function),
        invoked_as(letter),
    );
    auth::check_invoked(incoming, action, letter.function.as_str(), &invoked_as)?;
    auth::check_invoked(incoming, action, heir.as_str(), &invoked_as)
}

pub(crate) async fn list(incoming: &Incoming<'_>) -> Result<HttpResponse, ApiError> {
    let mut query = incoming.query()?;
    let mut take = |name: &str| query.remove(name);
    let which = Which {
        function: take("function"),
        condition: take("condition"),
        error_type: take("error_type"),
        since: take("since"),
        until: take("until"),
    };
    let filter = which.filter(incoming, "redrive:ListDeadLetters", false)?;
    let list = List::new(filter).limit(limit(incoming)?);
    let mut list = list.bytes_max(PAGE_BYTES_MAX);
    if let Some(cursor) = number(incoming, "cursor")? {
        list = list.after(cursor);
    }
    let page = incoming.api.client.ask_dead_letters(list).await;
    let page = page.ok_or_else(gone)?;
    Ok(HttpResponse::Ok().json(Letters {
        letters: &page.letters,
        next: page.next,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

pub(crate) async fn get(incoming: &Incoming<'_>, id: &str) -> Result<HttpResponse, ApiError> {
    let letter = allowed(incoming, "redrive:GetDeadLetter", request_id(id)?).await?;
    Ok(HttpResponse::Ok().json(letter))
}

pub(crate) async fn redrive(incoming: &mut Incoming<'_>) -> Result<HttpResponse, ApiError> {
    let action = "redrive:RedriveDeadLetters";
    let sending: Sending = incoming.json().await?;
    let one = sending.request_id;
    // With a payload of the caller's it is an invocation like any other.
    let invokes = sending.payload.is_some();
    let mut redrive = match (one, sending.filter) {
        (Some(id), None) => {
            let letter = allowed(incoming, action, id).await?;
            if invokes {
                let runs = incoming.api.client.heir(&letter.function);
                let qualifier = letter.qualifier.as_deref();
                auth::check_target(incoming, auth::INVOKE, runs.as_str(), qualifier)?;
            }
            Redrive::one_of(id, allowing(incoming, action, invokes)?)
        }
        (None, Some(which)) => Redrive::filter(which.filter(incoming, action, invokes)?),
        (None, None) => {
            return Err(ApiError::invalid_parameter(
                "say which letters are meant, by request_id or by filter: an empty filter means all",
            ));
        }
        (Some(id), Some(_)) => {
            return Err(ApiError::invalid_parameter(format!(
                "both request_id {id} and a filter are given: give the one or the other"
            )));
        }
    };
    if let Some(pace) = sending.per_second {
        if !(pace.is_finite() && pace > 0.0) {
            return Err(ApiError::invalid_parameter(format!(
                "per_second is {pace}: use a positive number, such as 0.1"
            )));
        }
        redrive = redrive.per_second(pace);
    }
    if let Some(payload) = sending.payload {
        redrive = redrive.payload(payload);
    }
    if sending.dry_run {
        redrive = redrive.dry_run();
    }
    let redriven = incoming.api.client.ask_dead_letters(redrive).await;
    let redriven = redriven.ok_or_else(gone)?;
    if let Some(id) = one.filter(|_| !redriven.missing.is_empty()) {
        return Err(missing(id));
    }
    Ok(HttpResponse::Ok().json(told(&redriven, sending.dry_run)))
}

pub(crate) async fn purge(incoming: &mut Incoming<'_>) -> Result<HttpResponse, ApiError> {
    let throwing: Throwing = incoming.json().await?;
    let Some(which) = throwing.filter else {
        return Err(ApiError::invalid_parameter(
            "say which letters are meant, by filter: an empty one means all",
        ));
    };
    let filter = which.filter(incoming, "redrive:PurgeDeadLetters", false)?;
    let client = &incoming.api.client;
    let purged = match throwing.dry_run {
        true => {
            // A dry redrive names those that the filter matches.
            let dry = Redrive::filter(filter).dry_run();
            let named = client.ask_dead_letters(dry).await;
            named.map(|named| named.sent.len() + named.refused.len())
        }
        false => client.ask_dead_letters(Purge(filter)).await,
    };
    let purged = purged.ok_or_else(gone)?;
    if purged > 0 && !throwing.dry_run {
        stored(client, &format!("the purge of {purged} dead letters")).await?;
    }
    Ok(HttpResponse::Ok().json(json!({ "purged": purged, "dry_run": throwing.dry_run })))
}

fn told(redriven: &Redriven, dry_run: bool) -> Value {
    let sent = redriven.sent.iter().map(|(letter, event)| {
        // Nothing was sent after a dry run, so there is no other event.
        let event = (!dry_run).then_some(event);
        json!({ "letter": letter, "event": event })
    });
    let refused = redriven
        .refused
        .iter()
        .map(|(letter, why)| json!({ "letter": letter, "problem": why.to_string() }));
    json!({
        "sent": sent.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
        "missing": redriven.missing,
        "dry_run": dry_run,
    })
}

fn given<'de, D: Deserializer<'de>>(payload: D) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(payload).map(Some)
}

fn missing(id: RequestId) -> ApiError {
    ApiError::not_found(format!("the dead letter of event {id} is not in the queue"))
}

fn gone() -> ApiError {
    ApiError::unavailable("the runtime is gone, and its dead-letter queue with it")
}

/// The letters with which the caller may do this, and, if it `invokes`, which the caller may invoke.
fn allowing(
    incoming: &Incoming<'_>,
    action: &'static str,
    invokes: bool,
) -> Result<Filter, ApiError> {
    let Some(may_touch) = auth::rule(incoming, action)? else {
        return Ok(Filter::new());
    };
    let may_invoke = match invokes {
        true => auth::rule_to_invoke(incoming)?,
        false => None,
    };
    let client = incoming.api.client.clone();
    Ok(Filter::new().only(move |letter| {
        let invoked_as = invoked_as(letter);
        // What it is of, and what would run.
        let runs = client.heir(&letter.function);
        let may_touch = |function: &FunctionName| may_touch(function.as_str(), &invoked_as);
        may_touch(&letter.function)
            && (runs == letter.function || may_touch(&runs))
            && may_invoke
                .as_ref()
                .is_none_or(|may| may(runs.as_str(), &invoked_as))
    }))
}

fn invoked_as(letter: &DeadLetter) -> InvokedAs {
    InvokedAs::Known(letter.qualifier.clone())
}

impl Which {
    /// Of those, the letters with which the caller may do this, and, if it `invokes`, which the caller may invoke.
    fn filter(
        self,
        incoming: &Incoming<'_>,
        action: &'static str,
        invokes: bool,
    ) -> Result<Filter, ApiError> {
        auth::check(incoming, action, self.function.as_deref())?;
        if invokes {
            auth::check(incoming, auth::INVOKE, self.function.as_deref())?;
        }
        let mut filter = allowing(incoming, action, invokes)?;
        if let Some(function) = self.function {
            filter = filter.function(function);
        }
        if let Some(condition) = self.condition {
            filter = filter.condition(read_condition(&condition)?);
        }
        if let Some(error_type) = self.error_type {
            filter = filter.error_type(error_type);
        }
        if let Some(since) = self.since {
            filter = filter.since(time("since", &since)?);
        }
        if let Some(until) = self.until {
            filter = filter.until(time("until", &until)?);
        }
        Ok(filter)
    }
}

fn read_condition(name: &str) -> Result<Condition, ApiError> {
    serde_json::from_value(json!(name)).map_err(|error| {
        ApiError::invalid_parameter(format!("condition '{name}' is unknown: {error}"))
    })
}

fn time(field: &str, text: &str) -> Result<SystemTime, ApiError> {
    humantime::parse_rfc3339(text).map_err(|error| {
        ApiError::invalid_parameter(format!(
            "{field} '{text}' is no time such as 2026-01-31T12:00:00Z: {error}"
        ))
    })
}
