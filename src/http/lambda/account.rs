//! The account's limits, as far as a runtime inside a program has any (CFG-09).

use actix_web::HttpResponse;
use serde_json::json;

use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

pub(super) fn settings(incoming: &Incoming<'_>, _: &Route<'_>) -> ApiResult {
    let client = &incoming.api.client;
    let all = client.concurrent_executions_max();
    let reserved: u32 = client
        .configurations()
        .values()
        .filter_map(|configuration| configuration.reserved_concurrency)
        .sum();
    // No code is stored: functions are part of their program.
    Ok(HttpResponse::Ok().json(json!({
        "AccountLimit": {
            "TotalCodeSize": 0,
            "CodeSizeUnzipped": 0,
            "CodeSizeZipped": 0,
            "ConcurrentExecutions": all,
            "UnreservedConcurrentExecutions": all.saturating_sub(reserved),
        },
        "AccountUsage": {
            "TotalCodeSize": 0,
            "FunctionCount": client.functions().len(),
        },
    })))
}
