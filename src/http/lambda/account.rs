//! The account's limits, as far as a runtime inside a program has any (CFG-09).

use actix_web::HttpResponse;
use serde_json::json;

use crate::http::api::Api;

pub(crate) fn settings(api: &Api) -> HttpResponse {
    let all = api.client.concurrent_executions_max();
    let reserved: u32 = api
        .client
        .configurations()
        .values()
        .filter_map(|configuration| configuration.reserved_concurrency)
        .sum();
    // There is no code to be stored: functions are part of their program.
    HttpResponse::Ok().json(json!({
        "AccountLimit": {
            "TotalCodeSize": 0,
            "CodeSizeUnzipped": 0,
            "CodeSizeZipped": 0,
            "ConcurrentExecutions": all,
            "UnreservedConcurrentExecutions": all.saturating_sub(reserved),
        },
        "AccountUsage": {
            "TotalCodeSize": 0,
            "FunctionCount": api.client.functions().len(),
        },
    }))
}
