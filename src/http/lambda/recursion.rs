//! Whether a function may invoke itself without end (CFG-29).

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::json;

use super::concurrency::unqualified;
use crate::function::configuration::RecursiveLoop;
use crate::http::error::ApiError;
use crate::http::request::Incoming;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Loop {
    recursive_loop: RecursiveLoop,
}

pub(crate) async fn put(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let info = unqualified(incoming, function)?;
    let body: Loop = incoming.json().await?;
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

pub(crate) fn get(incoming: &Incoming<'_>, function: &str) -> Result<HttpResponse, ApiError> {
    let info = unqualified(incoming, function)?;
    let holds = match info.allows_recursion {
        true => RecursiveLoop::Allow,
        false => RecursiveLoop::Terminate,
    };
    Ok(HttpResponse::Ok().json(json!({ "RecursiveLoop": holds })))
}
