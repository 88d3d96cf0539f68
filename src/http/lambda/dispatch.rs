//! The way of a request for AWS Lambda's API: its operation, the checks before it, and its handler.

use super::operation::Support;
use super::{access, operations, unsupported};
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::path::raw_tail;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

/// Returns the response to a request for a version of the API.
pub(crate) async fn dispatch(incoming: &mut Incoming<'_>, date: &str) -> ApiResult {
    incoming.take_chosen_id()?;
    let http = incoming.http;
    let (method, path) = (http.method().as_str(), raw_tail(http));
    let Some((operation, path)) = operations::find(method, date, path, http.query_string()) else {
        auth::check_caller(incoming, Incoming::small).await?;
        return Err(ApiError::unknown_operation(http));
    };
    let route = Route {
        action: operation.action,
        path,
    };
    access::check(incoming, operation, &route).await?;
    match operation.support {
        Support::Handled(handler) => handler.run(incoming, &route).await,
        Support::Refused(prerequisite) => unsupported::refuse(incoming, &route, prerequisite).await,
    }
}
