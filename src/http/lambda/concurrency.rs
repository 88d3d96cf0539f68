//! A function's reserved concurrency (CFG-24 to CFG-28).

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::json;

use crate::client::FunctionInfo;
use crate::event::meta::LATEST;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct ConcurrencyRequest {
    reserved_concurrent_executions: u32,
}

/// Returns the function of the path, which must have no qualifier: a version has no separate concurrency (CFG-24).
pub(super) fn unqualified(
    incoming: &Incoming<'_>,
    route: &Route<'_>,
) -> Result<FunctionInfo, ApiError> {
    unqualified_or(incoming, route, "")
}

/// As [`unqualified`]. AWS names an unknown function alone in some operations, and with a suffix in others.
fn unqualified_or(
    incoming: &Incoming<'_>,
    route: &Route<'_>,
    suffix: &str,
) -> Result<FunctionInfo, ApiError> {
    let name = route.path.decoded("function")?;
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

pub(super) async fn put(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let info = unqualified_or(incoming, route, &format!(":{LATEST}"))?;
    let body: ConcurrencyRequest = incoming.json().await?;
    let reserved = body.reserved_concurrent_executions;
    set(incoming, &info, Some(reserved)).await?;
    Ok(HttpResponse::Ok().json(json!({ "ReservedConcurrentExecutions": reserved })))
}

pub(super) fn get(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let info = unqualified(incoming, route)?;
    Ok(HttpResponse::Ok().json(match reserved(&info) {
        Some(reserved) => json!({ "ReservedConcurrentExecutions": reserved }),
        None => json!({}),
    }))
}

pub(super) async fn delete(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let info = unqualified(incoming, route)?;
    set(incoming, &info, None).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Returns the concurrency reserved for a function: as set at run time, or zero from its registration.
pub(super) fn reserved(info: &FunctionInfo) -> Option<u32> {
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
