//! The functions while they run: their figures, their events, and pausing them.

use actix_web::HttpResponse;
use serde_json::json;

use super::parameters::{limit, number};
use crate::client::State;
use crate::error::ConfigureError;
use crate::function::configuration::Configuration;
use crate::http::auth;
use crate::http::constraint::Constraint;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

pub(super) fn list(incoming: &Incoming<'_>, _: &Route<'_>) -> ApiResult {
    let mut names = incoming.api.client.functions();
    names.sort_unstable();
    Ok(HttpResponse::Ok().json(json!({ "functions": names })))
}

/// Lists the functions that the program doesn't register, with their events that wait in the store.
pub(super) fn unregistered(incoming: &Incoming<'_>, _: &Route<'_>) -> ApiResult {
    let unregistered = incoming.api.client.unregistered();
    Ok(HttpResponse::Ok().json(json!({ "unregistered": unregistered })))
}

pub(super) fn all_stats(incoming: &Incoming<'_>, _: &Route<'_>) -> ApiResult {
    Ok(HttpResponse::Ok().json(incoming.api.client.stats()))
}

pub(super) fn stats(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let function = &*route.path.decoded("function")?;
    let stats = incoming.api.client.function_stats(function);
    let stats = stats.ok_or_else(|| unknown(incoming, function))?;
    Ok(HttpResponse::Ok().json(stats))
}

/// Returns a page of a function's events, without those invoked under a qualifier that is denied to the caller.
pub(super) async fn events(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let function = &*route.path.decoded("function")?;
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
    if let Some(may) = auth::may_touch(incoming, route.action)? {
        page.events.retain(|event| may(function, &event.invoked_as));
    }
    Ok(HttpResponse::Ok().json(page))
}

pub(super) async fn pause(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    set_paused(incoming, route, true).await
}

pub(super) async fn resume(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    set_paused(incoming, route, false).await
}

/// Pauses or resumes a function, for later processes too.
async fn set_paused(incoming: &Incoming<'_>, route: &Route<'_>, paused: bool) -> ApiResult {
    let function = &*route.path.decoded("function")?;
    let client = &incoming.api.client;
    let set = |configuration: &mut Configuration| {
        configuration.paused = paused;
        Ok(())
    };
    match client.configure(function, set).await {
        Ok(()) => {}
        Err(ConfigureError::UnknownFunction { .. }) => return Err(unknown(incoming, function)),
        Err(error) => return Err(error.into()),
    }
    // The program may have paused or resumed it meanwhile.
    match paused {
        true => client.pause(function),
        false => client.resume(function),
    };
    Ok(HttpResponse::Ok().json(json!({ "function": function, "paused": paused })))
}

fn unknown(incoming: &Incoming<'_>, function: &str) -> ApiError {
    let arn = incoming.api.client.arn(function);
    ApiError::not_found(format!("Function not found: {arn}"))
}
