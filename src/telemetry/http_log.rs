//! Log lines of the HTTP API.

use tracing::error;

pub(crate) fn credentials_unavailable(reason: &str) {
    error!(
        reason,
        "credentials lookup failed, and a request was refused"
    );
}
