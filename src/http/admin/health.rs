//! Whether the process lives, and whether it can take events: for load balancers and whoever restarts it.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use crate::client::Client;
use crate::http::request::Incoming;
use crate::store::Health;

/// It answers, so it lives.
pub(crate) fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "live" }))
}

/// Ready as long as events are taken: not when the store has failed or is full, nor when the runtime shuts down. Events that
/// wait for functions that aren't registered keep nobody from being served: they are counted beside it, if there are any.
pub(crate) fn ready(incoming: &Incoming<'_>) -> HttpResponse {
    let client = &incoming.api.client;
    let problem = match client.store_health() {
        _ if !client.is_open() => Some("the runtime is shutting down".to_owned()),
        Some(Health::Failed(why)) => Some(format!("the store has failed: {why}")),
        Some(Health::Full(why)) => Some(format!("the store has no room: {why}")),
        Some(Health::Well) | None => None,
    };
    match problem {
        None => HttpResponse::Ok().json(ready_body(client)),
        Some(problem) => {
            let body = json!({ "status": "not ready", "problem": problem });
            HttpResponse::ServiceUnavailable().json(body)
        }
    }
}

fn ready_body(client: &Client) -> Value {
    let unregistered = client.unregistered().into_iter();
    match unregistered.map(|waiting| waiting.events).sum::<u64>() {
        0 => json!({ "status": "ready" }),
        events => json!({ "status": "ready", "unregistered_events": events }),
    }
}
