//! The API as a server of its own, for programs that have none.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use actix_web::{App, HttpServer, dev};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::LambdaApi;
use crate::signals::Signals;

/// A server of the API that listens; [`run`](Self::run) serves.
#[must_use = "it serves nothing before `run`"]
pub struct Server {
    api: LambdaApi,
    addresses: Vec<SocketAddr>,
    server: dev::Server,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Why the API can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Give the API credentials with `LambdaApi::credentials`, or bind a loopback address.
    #[error(
        "{address} is no loopback address, and no authentication is configured: bind 127.0.0.1, or call LambdaApi::credentials so that requests must be signed"
    )]
    Unprotected {
        /// The address.
        address: SocketAddr,
    },
    /// Choose another address, or stop what has this one.
    #[error("can't listen on {address}: {error}")]
    Bind {
        /// What was asked for.
        address: String,
        /// What the system said.
        error: io::Error,
    },
    /// Give a certificate chain and its key, both in PEM.
    #[error("the {what} can't be used: {problem}")]
    Tls {
        /// `certificate` or `key`.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// How long a client may take for the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long a connection may be idle between two requests.
const IDLE_MAX: Duration = Duration::from_secs(75);
/// Connections at once, of each thread.
const CONNECTIONS_MAX: usize = 25_000;
/// Connections that the system holds until they are accepted.
const BACKLOG: u32 = 4_096;

impl LambdaApi {
    /// Listens on an address, for a server with nothing but this API. Port 0 picks one.
    ///
    /// ```no_run
    /// # async fn serve(client: redrive::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use redrive::http::LambdaApi;
    ///
    /// let server = LambdaApi::new(client).bind("127.0.0.1:9000")?;
    /// server.run().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the address can't be had; or is no loopback address while no authentication is configured.
    pub fn bind(&self, address: impl ToSocketAddrs) -> Result<Server, ServerError> {
        self.listen(address, None)
    }

    /// As [`bind`](Self::bind), with TLS: a chain of certificates, the server's own first, and its key, both in PEM.
    ///
    /// # Errors
    /// As for `bind`, or when the certificate or its key can't be used.
    pub fn bind_tls(
        &self,
        address: impl ToSocketAddrs,
        certificates: &[u8],
        key: &[u8],
    ) -> Result<Server, ServerError> {
        self.listen(address, Some(tls(certificates, key)?))
    }

    fn listen(
        &self,
        address: impl ToSocketAddrs,
        tls: Option<ServerConfig>,
    ) -> Result<Server, ServerError> {
        let failed = |address: String| move |error| ServerError::Bind { address, error };
        let addresses = address
            .to_socket_addrs()
            .map_err(failed("this address".to_owned()))?;
        let addresses: Vec<_> = addresses.collect();
        let open = addresses
            .iter()
            .find(|address| !address.ip().to_canonical().is_loopback());
        if let Some(&address) = open.filter(|_| !self.is_protected()) {
            return Err(ServerError::Unprotected { address });
        }
        let api = self.clone();
        let server = HttpServer::new(move || App::new().configure(api.configure_alone()))
            .client_request_timeout(HEAD_MAX)
            .keep_alive(IDLE_MAX)
            .max_connections(CONNECTIONS_MAX)
            .backlog(BACKLOG)
            // Whoever has hung up waits for no answer: the call is cancelled.
            .h1_allow_half_closed(false)
            .disable_signals();
        let text = format!("{addresses:?}");
        let bound = match tls {
            None => server.bind(&*addresses),
            Some(tls) => server.bind_rustls_0_23(&*addresses, tls),
        };
        let server = bound.map_err(failed(text))?;
        Ok(Server {
            api: self.clone(),
            addresses: server.addrs(),
            server: server.shutdown_timeout(30).run(),
        })
    }
}

impl Server {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// For stopping it from elsewhere: `handle().stop(true)` accepts nothing more, and waits until all that was accepted is
    /// answered, for at most 30 s; [`LambdaApi::end_polls`] keeps long polls from making it wait. Stop the server before the runtime is shut down.
    pub fn handle(&self) -> dev::ServerHandle {
        self.server.handle()
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    /// When the system takes the listener away.
    pub async fn run(self) -> io::Result<()> {
        self.server.await
    }

    /// Serves until the process is asked to end (SIGINT, SIGTERM) and all that was accepted is answered.
    ///
    /// # Errors
    /// As for `run`.
    pub async fn run_until_signal(self) -> io::Result<()> {
        let (api, handle, signals) = (self.api.clone(), self.handle(), Signals::listen());
        actix_rt::spawn(async move {
            signals.first().await;
            api.end_polls();
            handle.stop(true).await;
        });
        self.run().await
    }
}

fn tls(certificates: &[u8], key: &[u8]) -> Result<ServerConfig, ServerError> {
    let refuse = |what| {
        move |error: &dyn std::fmt::Display| ServerError::Tls {
            what,
            problem: error.to_string(),
        }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
    let chain = chain.map_err(|error| refuse("certificate")(&error))?;
    if chain.is_empty() {
        return Err(refuse("certificate")(&"it has no PEM block CERTIFICATE"));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| refuse("key")(&error))?;
    let provider = rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse("certificate")(&error))?;
    config
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| refuse("key")(&error))
}
