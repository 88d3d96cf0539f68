//! The recursive loops of a function: allowed, or ended (CFG-29).

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::json;

use super::concurrency::unqualified;
use crate::function::configuration::RecursiveLoop;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct RecursionRequest {
    recursive_loop: RecursiveLoop,
}

pub(super) async fn put(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let info = unqualified(incoming, route)?;
    let body: RecursionRequest = incoming.json().await?;
    let wanted = body.recursive_loop;
    let client = &incoming.api.client;
    client
        .configure(info.name.as_str(), |configuration| {
            configuration.recursive_loop = Some(wanted);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(HttpResponse::Ok().json(json!({ "RecursiveLoop": wanted })))
}

pub(super) fn get(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let info = unqualified(incoming, route)?;
    let current = match info.allows_recursion {
        true => RecursiveLoop::Allow,
        false => RecursiveLoop::Terminate,
    };
    Ok(HttpResponse::Ok().json(json!({ "RecursiveLoop": current })))
}
