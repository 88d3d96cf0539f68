//! The wait until a change is durable, before its response is sent.

use crate::client::Client;
use crate::http::error::ApiError;

/// Waits until a change is durable that has taken effect already.
///
/// # Errors
/// When the store could not keep it yet: the error names the change.
pub(super) async fn wait_until_durable(client: &Client, change: &str) -> Result<(), ApiError> {
    client.sync().await.map_err(|error| {
        ApiError::service(format!(
            "{change} has its effect, and could not be stored yet: {error}; should the process die before it is, it never happened"
        ))
    })
}
