//! A function's reserved concurrency (CFG-24 to CFG-28).

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::json;

use super::error::{ApiError, Constraint};
use super::incoming::{Incoming, decode};
use crate::client::FunctionInfo;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Reserve {
    reserved_concurrent_executions: Option<i64>,
}

/// The function itself: a version has no concurrency of its own (CFG-24).
pub(crate) fn unqualified(
    incoming: &Incoming<'_>,
    function: &str,
) -> Result<FunctionInfo, ApiError> {
    let name = decode(function)?;
    let target = incoming.target(&name)?;
    if target.qualifier.is_some() {
        return Err(ApiError::invalid_parameter(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.",
        ));
    }
    let arn = incoming.arn(&target);
    // Without a qualifier AWS names the function alone here.
    incoming
        .function(&target)
        .map_err(|_| ApiError::not_found(format!("Function not found: {arn}")))
}

pub(crate) async fn put(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let info = unqualified(incoming, function)?;
    let body: Reserve = incoming.json().await?;
    let Some(wanted) = body.reserved_concurrent_executions else {
        return Err(ApiError::validation(vec![
            "Value null at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must not be null".to_owned(),
        ]));
    };
    let Ok(reserved) = u32::try_from(wanted) else {
        let rule = match wanted < 0 {
            true => Constraint::Min(0),
            false => Constraint::Max(i64::from(u32::MAX)),
        };
        let broken = rule.broken_by("reservedConcurrentExecutions", wanted);
        return Err(ApiError::validation(vec![broken]));
    };
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
