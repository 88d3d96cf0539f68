//! How a request reaches its handler. Each service has a table with a row for each operation, such as
//! `lambda/operations.rs` and `admin/operations.rs`; a row names the method, the path, the IAM action and the handler.

use actix_web::HttpResponse;
use futures_util::future::LocalBoxFuture;

use super::error::ApiError;
use super::path::PathVariables;
use super::request::Incoming;

pub(crate) type ApiResult = Result<HttpResponse, ApiError>;

/// The row that matched a request, as its handler sees it.
pub(crate) struct Route<'a> {
    /// The IAM action that the operation demands; empty if it demands none.
    pub(crate) action: &'static str,
    pub(crate) path: PathVariables<'a>,
}

/// The function that carries out an operation.
#[derive(Clone, Copy)]
pub(crate) enum RouteHandler {
    /// Returns at once.
    Sync(fn(&Incoming<'_>, &Route<'_>) -> ApiResult),
    /// Waits: for the request's body, an event or the store. Made by `waits!`.
    Async(for<'r> fn(&'r mut Incoming<'_>, &'r Route<'_>) -> LocalBoxFuture<'r, ApiResult>),
}

impl RouteHandler {
    pub(crate) async fn run(self, incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
        match self {
            Self::Sync(handler) => handler(incoming, route),
            Self::Async(handler) => handler(incoming, route).await,
        }
    }
}

/// The [`RouteHandler`] of an `async fn(&mut Incoming<'_>, &Route<'_>) -> ApiResult`.
macro_rules! waits {
    ($handler:path) => {
        crate::http::route::RouteHandler::Async(|incoming, route| {
            Box::pin($handler(incoming, route))
        })
    };
}
pub(crate) use waits;
