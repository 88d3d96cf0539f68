//! A function's reserved concurrency (CFG-24 to CFG-28).

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::json;

use crate::client::FunctionInfo;
use crate::event::meta::LATEST;
use crate::http::error::ApiError;
use crate::http::request::{Incoming, decode};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Reserve {
    reserved_concurrent_executions: u32,
}

/// The function itself: a version has no concurrency of its own (CFG-24).
pub(crate) fn unqualified(
    incoming: &Incoming<'_>,
    function: &str,
) -> Result<FunctionInfo, ApiError> {
    found(incoming, function, "")
}

/// As `unqualified`. AWS names an unknown function alone in some operations, and with a suffix in others.
fn found(incoming: &Incoming<'_>, function: &str, suffix: &str) -> Result<FunctionInfo, ApiError> {
    let name = decode(function)?;
    let target = incoming.target(&name)?;
    if target.qualifier.is_some() {
        return Err(ApiError::invalid_parameter(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.",
        ));
    }
    let arn = incoming.arn(&target);
    incoming
        .function(&target)
        .map_err(|_| ApiError::not_found(format!("Function not found: {arn}{suffix}")))
}

pub(crate) async fn put(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let info = found(incoming, function, &format!(":{LATEST}"))?;
    let body: Reserve = incoming.json().await?;
    let reserved = body.reserved_concurrent_executions;
    set(incoming, &info, Some(reserved)).await?;
    Ok(HttpResponse::Ok().json(json!({ "ReservedConcurrentExecutions": reserved })))
}

pub(crate) fn get(incoming: &Incoming<'_>, function: &str) -> Result<HttpResponse, ApiError> {
    let info = unqualified(incoming, function)?;
    Ok(HttpResponse::Ok().json(match reserved(&info) {
        Some(reserved) => json!({ "ReservedConcurrentExecutions": reserved }),
        None => json!({}),
    }))
}

pub(crate) async fn delete(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let info = unqualified(incoming, function)?;
    set(incoming, &info, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What is reserved for it: at run time, or nothing from its registration.
pub(crate) fn reserved(info: &FunctionInfo) -> Option<u32> {
    let set = info.configuration.reserved_concurrency;
    set.or(info.reserved_zero.then_some(0))
}

async fn set(
    incoming: &Incoming<'_>,
    info: &FunctionInfo,
    reserved: Option<u32>,
) -> Result<(), ApiError> {
    let client = &incoming.api.client;
    client
        .configure(info.name.as_str(), |configuration| {
            configuration.reserved_concurrency = reserved;
            Ok(())
        })
        .await
}
