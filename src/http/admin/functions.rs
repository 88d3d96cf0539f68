//! The functions at work: their figures, their events, and holding them back.

use actix_web::HttpResponse;
use serde_json::json;

use crate::client::State;
use crate::error::ConfigureError;
use crate::function::configuration::Configuration;
use crate::http::auth;
use crate::http::error::{ApiError, Constraint};
use crate::http::request::Incoming;

/// Events of a page unless the client says otherwise, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

pub(crate) fn list(incoming: &Incoming<'_>) -> HttpResponse {
    let mut names = incoming.api.client.functions();
    names.sort_unstable();
    HttpResponse::Ok().json(json!({ "functions": names }))
}

/// What waits in the store for functions that the program doesn't register.
pub(crate) fn unregistered(incoming: &Incoming<'_>) -> HttpResponse {
    let unregistered = incoming.api.client.unregistered();
    HttpResponse::Ok().json(json!({ "unregistered": unregistered }))
}

pub(crate) fn stats(incoming: &Incoming<'_>, function: &str) -> Result<HttpResponse, ApiError> {
    let stats = incoming.api.client.function_stats(function);
    let stats = stats.ok_or_else(|| unknown(incoming, function))?;
    Ok(HttpResponse::Ok().json(stats))
}

/// A page of a function's events, without those invoked under a qualifier that is denied to the caller.
pub(crate) async fn events(
    incoming: &Incoming<'_>,
    action: &'static str,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let query = incoming.query()?;
    let state = match query.get("state").map_or("accepted", String::as_str) {
        "accepted" => State::Accepted,
        "delayed" => State::Delayed,
        "running" => State::Running,
        "finished" => State::Finished,
        other => {
            let rule = Constraint::Enum("accepted, delayed, running, finished");
            return Err(ApiError::validation(vec![rule.broken_by("state", other)]));
        }
    };
    let cursor = number(incoming, "cursor")?.unwrap_or(0);
    let limit = limit(incoming)?;
    let client = &incoming.api.client;
    let page = client.events(function, state, cursor, limit).await;
    let mut page = page.ok_or_else(|| unknown(incoming, function))?;
    if let Some(may) = auth::rule(incoming, action)? {
        page.events.retain(|event| may(function, &event.invoked_as));
    }
    Ok(HttpResponse::Ok().json(page))
}

/// Pauses a function, or lets it go on, for later processes too.
pub(crate) async fn hold(
    incoming: &Incoming<'_>,
    function: &str,
    pause: bool,
) -> Result<HttpResponse, ApiError> {
    let client = &incoming.api.client;
    let set = |configuration: &mut Configuration| {
        configuration.paused = pause;
        Ok(())
    };
    match client.configure(function, set).await {
        Ok(()) => {}
        Err(ConfigureError::UnknownFunction { .. }) => return Err(unknown(incoming, function)),
        Err(error) => return Err(error.into()),
    }
    // The program may have paused it meanwhile, or resumed it, for itself.
    match pause {
        true => client.pause(function),
        false => client.resume(function),
    };
    Ok(HttpResponse::Ok().json(json!({ "function": function, "paused": pause })))
}

fn unknown(incoming: &Incoming<'_>, function: &str) -> ApiError {
    let arn = incoming.api.client.arn(function);
    ApiError::not_found(format!("Function not found: {arn}"))
}

/// How many items a page may have.
pub(crate) fn limit(incoming: &Incoming<'_>) -> Result<usize, ApiError> {
    let limit = number(incoming, "limit")?.map_or(PAGE, |limit| limit as usize);
    let rule = match limit {
        0 => Constraint::Min(1),
        high if high > PAGE_MAX => Constraint::Max(PAGE_MAX as i64),
        within => return Ok(within),
    };
    Err(ApiError::validation(vec![rule.broken_by("limit", limit)]))
}

/// A number of the query.
pub(crate) fn number(incoming: &Incoming<'_>, name: &str) -> Result<Option<u64>, ApiError> {
    let query = incoming.query()?;
    let number = query.get(name).map(|text| {
        text.parse().map_err(|error| {
            ApiError::invalid_parameter(format!("{name} '{text}' is no number: {error}"))
        })
    });
    number.transpose()
}
