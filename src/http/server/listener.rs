//! The listener that a connection came in by.

use std::net::SocketAddr;

use actix_web::HttpRequest;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// Its connections are encrypted.
    pub(crate) secure: bool,
}

impl Listener {
    /// Of a request: our own server says it, and of any other its application knows it.
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
