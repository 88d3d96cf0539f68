//! The reasons for which the server does not start.

use std::io;
use std::net::SocketAddr;

/// Why the API can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Other machines could call the API without authentication. Give it credentials with `LambdaApi::credentials`, or bind a
    /// loopback address.
    #[error(
        "{address} is not a loopback address, and no authentication is configured: bind 127.0.0.1, or call LambdaApi::credentials so that requests must be signed"
    )]
    Unprotected {
        /// The address.
        address: SocketAddr,
    },
    /// The address is not available. Choose another one, or stop the program that uses it.
    #[error("can't listen on {address}: {error}")]
    Bind {
        /// The address.
        address: String,
        /// The system's error.
        error: io::Error,
    },
    /// The certificate or its key is invalid. Give a certificate chain and its key, both in PEM.
    #[error("the {what} can't be used: {problem}")]
    Tls {
        /// `certificate` or `key`.
        what: &'static str,
        /// The fault.
        problem: String,
    },
}
