//! Who may do what: every request passes here before anything of it is done.

use super::error::ApiError;
use super::incoming::Incoming;
use super::loopback;
use super::route::Operation;

/// Refuses what the caller may not do.
pub(crate) async fn check_operation(
    incoming: &mut Incoming<'_>,
    _operation: Operation<'_>,
) -> Result<(), ApiError> {
    loopback::check(incoming.http)
}

/// As `check_operation`, for what AWS doesn't know.
pub(crate) async fn check_action(
    incoming: &mut Incoming<'_>,
    _action: &str,
    _resource: &str,
) -> Result<(), ApiError> {
    loopback::check(incoming.http)
}

/// As `check_operation`, for what anybody may know who can reach the server.
pub(crate) fn check_open(incoming: &Incoming<'_>) -> Result<(), ApiError> {
    loopback::check(incoming.http)
}
