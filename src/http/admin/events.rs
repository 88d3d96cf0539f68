//! One event, by its request id: what became of it, its log, and its end before its time.

use std::time::Duration;

use actix_web::HttpResponse;
use serde_json::json;

use super::functions::number;
use crate::client::Client;
use crate::event::RequestId;
use crate::http::Api;
use crate::http::access;
use crate::http::error::{ApiError, Constraint};
use crate::http::incoming::Incoming;

/// Longest wait of a long poll, in seconds.
const WAIT_MAX: u64 = 60;

/// Refuses whoever may not do this with the function that the event is of.
pub(crate) async fn check(incoming: &Incoming<'_>, action: &str, id: &str) -> Result<(), ApiError> {
    let holder = match request_id(id) {
        Ok(id) => incoming.api.client.holder(id).await,
        Err(_) => None,
    };
    let function = holder.map(|(function, _)| function);
    let function = function.as_ref().map(|function| function.as_str());
    access::check(incoming, action, function)
}

/// The status; with `wait`, as soon as the event is over, or after so many seconds.
pub(crate) async fn get(incoming: &Incoming<'_>, id: &str) -> Result<HttpResponse, ApiError> {
    let id = request_id(id)?;
    let wait = number(incoming, "wait")?.unwrap_or(0);
    if wait > WAIT_MAX {
        let broken = Constraint::Max(WAIT_MAX as i64).broken_by("wait", wait);
        return Err(ApiError::validation(vec![broken]));
    }
    let client = &incoming.api.client;
    let mut status = client.status(id).await;
    if wait > 0 && status.as_ref().is_some_and(|status| !status.is_finished()) {
        let mut stopping = incoming.api.stopping.subscribe();
        let over = tokio::select! {
            over = client.wait(id) => over,
            () = tokio::time::sleep(Duration::from_secs(wait)) => None,
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        status = match over {
            Some(status) => Some(status),
            None => client.status(id).await,
        };
    }
    let status = status.ok_or_else(|| unknown(id))?;
    // As text: a payload that is nested too deep for a value is told all the same.
    let told = serde_json::to_string(&status)
        .map_err(|error| ApiError::service(format!("the status can't be told: {error}")))?;
    let members = told.strip_prefix('{').unwrap_or("}");
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(format!(r#"{{"request_id":"{id}",{members}"#)))
}

pub(crate) async fn cancel(incoming: &Incoming<'_>, id: &str) -> Result<HttpResponse, ApiError> {
    let id = request_id(id)?;
    let client = &incoming.api.client;
    if client.cancel(id).await {
        stored(client, &format!("the cancellation of event {id}")).await?;
        return Ok(HttpResponse::Ok().json(json!({ "request_id": id, "cancelled": true })));
    }
    match client.status(id).await {
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

pub(crate) async fn log(incoming: &Incoming<'_>, id: &str) -> Result<HttpResponse, ApiError> {
    let id = request_id(id)?;
    let Api {
        client,
        logs,
        guard,
        ..
    } = &**incoming.api;
    // Of an event that is forgotten nobody knows whose it was, so nobody can say who may read it.
    let is_known = guard.is_none() || client.holder(id).await.is_some();
    let log = logs.of(id).filter(|_| is_known);
    let log =
        log.ok_or_else(|| ApiError::not_found(format!("no log of event {id} is kept (any more)")))?;
    Ok(HttpResponse::Ok().json(json!({ "request_id": id, "log": log })))
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
