//! Whether the process lives, and whether it can take events: for load balancers and whoever restarts it.

use actix_web::HttpResponse;
use serde_json::json;

use crate::http::incoming::Incoming;
use crate::store::Health;

/// It answers, so it lives.
pub(crate) fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "live" }))
}

/// Ready as long as events are taken: not when the store has failed or is full, nor when the runtime shuts down.
pub(crate) fn ready(incoming: &Incoming<'_>) -> HttpResponse {
    let client = &incoming.api.client;
    let problem = match client.store_health() {
        _ if !client.is_open() => Some("the runtime is shutting down".to_owned()),
        Some(Health::Failed(why)) => Some(format!("the store has failed: {why}")),
        Some(Health::Full(why)) => Some(format!("the store has no room: {why}")),
        Some(Health::Well) | None => None,
    };
    match problem {
        None => HttpResponse::Ok().json(json!({ "status": "ready" })),
        Some(problem) => {
            let body = json!({ "status": "not ready", "problem": problem });
            HttpResponse::ServiceUnavailable().json(body)
        }
    }
}
