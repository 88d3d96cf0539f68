//! The health of the process, for load balancers and supervisors, and the description of this API: open to everyone.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use crate::client::Client;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};
use crate::store::Health;

/// The description of this API, in OpenAPI 3.1.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn openapi(_: &Incoming<'_>, _: &Route<'_>) -> ApiResult {
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(OPENAPI))
}

/// The process lives: it responds.
pub(super) fn live(_: &Incoming<'_>, _: &Route<'_>) -> ApiResult {
    Ok(HttpResponse::Ok().json(json!({ "status": "live" })))
}

/// The process is ready as long as it accepts events: not when the store has failed or is full, nor when the runtime shuts
/// down. Events of unregistered functions don't make it unready: it reports their number, if there are any.
pub(super) fn ready(incoming: &Incoming<'_>, _: &Route<'_>) -> ApiResult {
    let client = &incoming.api.client;
    let problem = match client.store_health() {
        _ if !client.is_open() => Some("the runtime is shutting down".to_owned()),
        Some(Health::Failed(why)) => Some(format!("the store has failed: {why}")),
        Some(Health::Full(why)) => Some(format!("the store has no room: {why}")),
        Some(Health::Well) | None => None,
    };
    Ok(match problem {
        None => HttpResponse::Ok().json(ready_body(client)),
        Some(problem) => {
            let body = json!({ "status": "not ready", "problem": problem });
            HttpResponse::ServiceUnavailable().json(body)
        }
    })
}

fn ready_body(client: &Client) -> Value {
    let unregistered = client.unregistered().into_iter();
    match unregistered.map(|waiting| waiting.events).sum::<u64>() {
        0 => json!({ "status": "ready" }),
        events => json!({ "status": "ready", "unregistered_events": events }),
    }
}
