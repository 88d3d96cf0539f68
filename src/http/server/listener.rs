//! The listener that accepted a connection.

use std::net::SocketAddr;

use actix_web::HttpRequest;

/// A listening address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// Connections use TLS.
    pub(crate) secure: bool,
}

impl Listener {
    /// Returns the listener of a request: from the standalone server, or from the configuration of the application's server.
    pub(crate) fn of(http: &HttpRequest) -> Self {
        http.app_data().copied().unwrap_or_else(|| {
            let config = http.app_config();
            Self {
                address: config.local_addr(),
                secure: config.secure(),
            }
        })
    }
}
