//! The dead letters: listing, redriving and purging them.

use actix_web::HttpResponse;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::dead_letter_filter::{LetterFilter, check_letter, permitted};
use super::durable::wait_until_durable;
use super::parameters::{limit, number, request_id};
use crate::client::dead_letters::{Find, List, Purge, Redrive, Redriven};
use crate::event::dead_letter::DeadLetter;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

/// Bytes of payloads on a page, if it has more than one letter.
const PAGE_BYTES_MAX: usize = 2 << 20;

// --- listing

/// A page. It holds payloads as text, however deep they are nested.
#[derive(Serialize)]
struct LetterPage<'a> {
    letters: &'a [DeadLetter],
    next: Option<u64>,
    total: usize,
    total_is_exact: bool,
}

pub(super) async fn list(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let mut query = incoming.query()?;
    let mut take = |name: &str| query.remove(name);
    let filter = LetterFilter {
        function: take("function"),
        condition: take("condition"),
        error_type: take("error_type"),
        since: take("since"),
        until: take("until"),
    };
    let filter = filter.permitted(incoming, route.action, false)?;
    let list = List::new(filter).limit(limit(incoming)?);
    let mut list = list.bytes_max(PAGE_BYTES_MAX);
    if let Some(cursor) = number(incoming, "cursor")? {
        list = list.after(cursor);
    }
    let page = incoming.api.client.ask_dead_letters(list).await;
    let page = page.ok_or_else(gone)?;
    Ok(HttpResponse::Ok().json(LetterPage {
        letters: &page.letters,
        next: page.next,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

pub(super) async fn get(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let id = request_id(route.path.raw("id").unwrap_or_default())?;
    let letter = permitted_letter(incoming, route.action, id).await?;
    Ok(HttpResponse::Ok().json(letter))
}

/// Returns the letter of an event, if the caller may do this with it.
async fn permitted_letter(
    incoming: &Incoming<'_>,
    action: &'static str,
    id: RequestId,
) -> Result<DeadLetter, ApiError> {
    let client = &incoming.api.client;
    // Events of several functions may have had the id, one after the other: the caller means the letter that it may touch.
    let find = Find(id, permitted(incoming, action, false)?);
    if let Some(Some(letter)) = client.ask_dead_letters(find).await {
        return Ok(letter);
    }
    let Some(letter) = client.dead_letter(id).await else {
        auth::check(incoming, action, None)?;
        return Err(missing(id));
    };
    // The error says why the caller doesn't find it.
    check_letter(incoming, action, &letter)?;
    Err(missing(id))
}

// --- redriving

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct RedriveRequest {
    /// One letter.
    request_id: Option<RequestId>,
    /// The letters that it matches; an empty filter matches all.
    filter: Option<LetterFilter>,
    per_second: Option<f64>,
    /// `null` is a payload too.
    #[serde(default, deserialize_with = "given")]
    payload: Option<Payload>,
    #[serde(default)]
    dry_run: bool,
}

fn given<'de, D: Deserializer<'de>>(payload: D) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(payload).map(Some)
}

pub(super) async fn redrive(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let request: RedriveRequest = incoming.json().await?;
    // With the caller's payload it is also an invocation.
    let invokes = request.payload.is_some();
    let (one, filter) = (request.request_id, request.filter);
    let mut redrive = chosen_letters(incoming, route.action, one, filter, invokes).await?;
    if let Some(rate) = request.per_second {
        if !(rate.is_finite() && rate > 0.0) {
            return Err(ApiError::invalid_parameter(format!(
                "per_second is {rate}: use a positive number, such as 0.1"
            )));
        }
        redrive = redrive.per_second(rate);
    }
    if let Some(payload) = request.payload {
        redrive = redrive.payload(payload);
    }
    if request.dry_run {
        redrive = redrive.dry_run();
    }
    let redriven = incoming.api.client.ask_dead_letters(redrive).await;
    let redriven = redriven.ok_or_else(gone)?;
    if let Some(id) = one.filter(|_| !redriven.missing.is_empty()) {
        return Err(missing(id));
    }
    Ok(HttpResponse::Ok().json(described(&redriven, request.dry_run)))
}

/// Returns the redrive of the letters that a request chooses, as far as the caller may redrive them, and, if it `invokes`,
/// invoke them.
async fn chosen_letters(
    incoming: &Incoming<'_>,
    action: &'static str,
    one: Option<RequestId>,
    filter: Option<LetterFilter>,
    invokes: bool,
) -> Result<Redrive, ApiError> {
    match (one, filter) {
        (Some(id), None) => {
            let letter = permitted_letter(incoming, action, id).await?;
            if invokes {
                let runs = incoming.api.client.current_name(&letter.function);
                let qualifier = letter.qualifier.as_deref();
                auth::check_target(incoming, auth::INVOKE, runs.as_str(), qualifier)?;
            }
            let filter = permitted(incoming, action, invokes)?;
            Ok(Redrive::one_of(id, filter))
        }
        (None, Some(filter)) => {
            let filter = filter.permitted(incoming, action, invokes)?;
            Ok(Redrive::filter(filter))
        }
        (None, None) => Err(ApiError::invalid_parameter(
            "choose the letters by request_id or by filter: an empty filter means all",
        )),
        (Some(id), Some(_)) => Err(ApiError::invalid_parameter(format!(
            "both request_id {id} and a filter are given: give the one or the other"
        ))),
    }
}

fn described(redriven: &Redriven, dry_run: bool) -> Value {
    let sent = redriven.sent.iter().map(|(letter, event)| {
        // A dry run sends nothing, so there is no new event.
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

// --- purging

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct PurgeRequest {
    filter: Option<LetterFilter>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn purge(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let request: PurgeRequest = incoming.json().await?;
    let Some(filter) = request.filter else {
        return Err(ApiError::invalid_parameter(
            "choose the letters by filter: an empty filter means all",
        ));
    };
    let filter = filter.permitted(incoming, route.action, false)?;
    let client = &incoming.api.client;
    let purged = match request.dry_run {
        true => {
            // A dry redrive names those that the filter matches.
            let dry = Redrive::filter(filter).dry_run();
            let named = client.ask_dead_letters(dry).await;
            named.map(|named| named.sent.len() + named.refused.len())
        }
        false => client.ask_dead_letters(Purge(filter)).await,
    };
    let purged = purged.ok_or_else(gone)?;
    if purged > 0 && !request.dry_run {
        wait_until_durable(client, &format!("the purge of {purged} dead letters")).await?;
    }
    Ok(HttpResponse::Ok().json(json!({ "purged": purged, "dry_run": request.dry_run })))
}

fn missing(id: RequestId) -> ApiError {
    ApiError::not_found(format!("the dead letter of event {id} is not in the queue"))
}

fn gone() -> ApiError {
    ApiError::unavailable("the runtime is gone, and its dead-letter queue with it")
}
