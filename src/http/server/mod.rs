//! The standalone server of the API, for programs without an HTTP server.
//!
//! # Why it is our own
//!
//! The threads and listeners are `actix-server`'s, the HTTP/1.1 codec is `actix-http`'s, the routing is `actix-web`'s. Only the
//! loop of a connection is our own: `actix-http`'s dispatcher bounds the first head and nothing of the rest, and `hyper` would
//! need a second stack beside actix-web. The same API with the same functions on both servers, in one run:
//!
//! | case | this server | `actix_web::HttpServer` |
//! |---|---|---|
//! | 5,000 unfinished heads, 1,024 descriptors: longest wait of a good client in 20 s | 0.03 s, 383 requests served | 4.5 s, 61 served |
//! | unfinished head of a second request | 408 after 10 s | open after 40 s |
//! | 150 unfinished bodies of 6 MiB: peak memory | 300 MiB | 972 MiB |
//! | 120 unread responses of 6 MiB: peak memory | 359 MiB | 814 MiB |
//! | malformed request | 400 with AWS's error | 400 with an empty body |
//! | lines that end in LF only | 400 | served |
//! | caller that hangs up | its call is cancelled | the call runs on |
//! | `Event` invocations, requests per second | 51,000 | 53,000 |
//!
//! `tests/http/connections.rs` and `tests/aws_sdk/python/test_floods.py` hold these bounds. `cargo bench --features http --bench
//! http` measures the rates of both servers; a bare handler on `HttpServer` serves 66,000 in that run.

mod acceptor;
mod body;
mod buffered;
mod connection;
mod connections;
mod error;
mod framing;
pub(crate) mod listener;
mod refusal;
mod sockets;
mod stop;
mod tls;
mod wire;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZero;
use std::thread;

use actix_server::ServerBuilder;
use actix_web::dev;
use rustls::ServerConfig;

use super::lambda_api::LambdaApi;
use crate::base::signals::Signals;
use acceptor::ServerLimits;
use buffered::Buffered;
use connections::Connections;
use listener::Listener;

pub use error::ServerError;

/// A listening server of the API. [`run`](Self::run) serves.
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

impl LambdaApi {
    /// Listens on an address, for a server with only this API. Port 0 picks a free port.
    ///
    /// The server bounds slow and broken clients:
    ///
    /// | part of a connection | bound |
    /// |---|---|
    /// | TLS handshake | 3 s |
    /// | head of a request | 10 s |
    /// | body of a request, and reading of a response | 60 s in all, 10 s without a byte |
    /// | idle time | 75 s |
    /// | synchronous call after its client hung up | 2 s, then it is cancelled |
    /// | connections together | [`connections_max`](Self::connections_max) |
    /// | buffered bytes together | [`buffered_max`](Self::buffered_max) |
    ///
    /// Ambiguous requests, for instance with lines that end in LF only, are refused with a 400.
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
    /// When the address is not available, or is not a loopback address while no authentication is configured.
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
        self.listen(address, Some(tls::config(certificates, key)?))
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
        self.check_exposure(&addresses)?;
        let sockets = sockets::bind(&addresses).map_err(failed(format!("{addresses:?}")))?;
        let threads = thread::available_parallelism().map_or(2, NonZero::get);
        let connections = self.0.connections_max;
        let connections = connections.unwrap_or_else(sockets::connections_max);
        let per_thread = (connections / threads).max(1);
        let limits = self.limits(per_thread * threads);
        let mut server = ServerBuilder::new()
            .workers(threads)
            .max_concurrent_connections(per_thread)
            .shutdown_timeout(limits.stop_max.as_secs_f64().ceil() as u64)
            .disable_signals();
        let mut addresses = Vec::new();
        for (socket, address) in sockets {
            let (api, tls, limits) = (self.clone(), tls.clone(), limits.clone());
            let stopping = server.graceful_shutdown_signal();
            let listener = Listener {
                address,
                secure: tls.is_some(),
            };
            let listening = server.listen("lambda", socket, move || {
                acceptor::factory(&api, listener, &stopping, &limits, tls.clone())
            });
            server = listening.map_err(failed(address.to_string()))?;
            addresses.push(address);
        }
        Ok(Server {
            api: self.clone(),
            addresses,
            server: server.run(),
        })
    }

    /// Without authentication, only loopback addresses may be bound.
    fn check_exposure(&self, addresses: &[SocketAddr]) -> Result<(), ServerError> {
        let exposed = addresses
            .iter()
            .find(|address| !address.ip().to_canonical().is_loopback());
        match exposed {
            Some(&address) if !self.is_protected() => Err(ServerError::Unprotected { address }),
            _ => Ok(()),
        }
    }

    fn limits(&self, connections_max: usize) -> ServerLimits {
        ServerLimits {
            connections: Connections::new(connections_max),
            requests: Buffered::new(self.0.buffered_max),
            responses: Buffered::new(self.0.buffered_max),
            stop_max: self.0.stop_max,
        }
    }
}

impl Server {
    /// Returns the addresses that it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns a handle that stops the server from elsewhere. `handle().stop(true)` accepts no more connections and waits for
    /// running requests, for at most 10 s ([`LambdaApi::stop_max`]). A call that takes longer is cancelled and gets a 503;
    /// [`LambdaApi::end_polls`] ends long polls at once. Stop the server before the runtime is shut down.
    pub fn handle(&self) -> dev::ServerHandle {
        self.server.handle()
    }

    /// Serves until the server is stopped.
    ///
    /// # Errors
    /// When the system closes the listener.
    pub async fn run(self) -> io::Result<()> {
        self.server.await
    }

    /// Serves until SIGINT or SIGTERM arrives and the running requests have their responses, as with a stop by its
    /// [`handle`](Self::handle). With [`Runtime::serve`](crate::Runtime::serve), server and runtime share one grace period.
    ///
    /// # Errors
    /// As for `run`.
    pub async fn run_until_signal(self) -> io::Result<()> {
        let (api, handle, mut signals) = (self.api.clone(), self.handle(), Signals::listen());
        actix_rt::spawn(async move {
            signals.next().await;
            api.end_polls();
            handle.stop(true).await;
        });
        self.run().await
    }
}
