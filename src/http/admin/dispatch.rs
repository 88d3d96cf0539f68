//! The way of a request under `/_redrive/`: its operation, the checks before it, and its handler.

use super::operations::{self, Access};
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::path::{decode, raw_tail};
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

/// Returns the response to a request.
pub(crate) async fn dispatch(incoming: &mut Incoming<'_>) -> ApiResult {
    let http = incoming.http;
    let Some((operation, path)) = operations::find(http.method().as_str(), raw_tail(http)) else {
        auth::check_caller(incoming, Incoming::small).await?;
        return Err(ApiError::unknown_operation(http));
    };
    if operation.has_payload {
        incoming.allow_payload();
    }
    let function = path.raw("function").map(decode).transpose()?;
    match operation.access {
        Access::Open => auth::check_open(incoming)?,
        Access::Action => {
            auth::check_caller(incoming, Incoming::small).await?;
            auth::check(incoming, operation.action, function.as_deref())?;
        }
        Access::ByHandler => auth::check_caller(incoming, Incoming::small).await?,
    }
    let route = Route {
        action: operation.action,
        path,
    };
    operation.handler.run(incoming, &route).await
}
