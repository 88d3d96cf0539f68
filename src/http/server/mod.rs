//! The API as a server of its own, for programs that have none.

mod buffered;
mod connection;
mod connections;
mod framing;
pub(crate) mod listener;
mod wire;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::num::NonZero;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use actix_http::ServiceConfig;
use actix_rt::net::TcpStream;
use actix_server::{GracefulShutdownSignal, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, fn_factory, fn_service};
use actix_tls::accept::rustls_0_23::Acceptor;
use actix_web::App;
use actix_web::dev::{self, AppConfig};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::{Domain, Socket, Type};
use tokio::sync::Notify;

use super::LambdaApi;
use super::server::listener::Listener;
use crate::base::signals::Signals;
use buffered::Buffered;
use connection::Membership;
use connections::Connections;

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

/// How long a client may take for the handshake of TLS.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);
/// Connections at once, however many descriptors there are.
const CONNECTIONS_MAX: usize = 100_000;
/// Descriptors that connections never take, at least: the store, threads and the application need some.
const KEPT_BACK_MIN: usize = 64;
/// Bytes of an answer that the system takes before the client has room for them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_MAX: u32 = 128 << 10;
/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 4_096;

impl LambdaApi {
    /// Listens on an address, for a server with nothing but this API. Port 0 picks one.
    ///
    /// Slow clients hold nothing: a request's head may take 10 s, its body 60 s and 10 s without a byte, an answer as long
    /// to be taken, a TLS handshake 3 s, and a connection may be idle for 75 s. A client that hangs up cancels its synchronous
    /// call, within 2 s. Many clients take no descriptor that something else needs, and don't keep others out: see
    /// [`connections_max`](Self::connections_max). Nor do they take all memory: see [`buffered_max`](Self::buffered_max).
    /// Requests whose lines end in LF alone, or that could be read in two ways by other means, are refused with a 400.
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
        let sockets = bind(&addresses).map_err(failed(format!("{addresses:?}")))?;
        let threads = thread::available_parallelism().map_or(2, NonZero::get);
        let connections = self.0.connections_max;
        let connections = connections.unwrap_or_else(|| connections_max(descriptors_max()));
        let of_thread = (connections / threads).max(1);
        let bounds = ServerLimits {
            connections: Connections::new(of_thread * threads),
            arriving: Buffered::new(self.0.buffered_max),
            leaving: Buffered::new(self.0.buffered_max),
            stop_max: self.0.stop_max,
        };
        let mut server = ServerBuilder::new()
            .workers(threads)
            .max_concurrent_connections(of_thread)
            .shutdown_timeout(bounds.stop_max.as_secs_f64().ceil() as u64)
            .disable_signals();
        let mut addresses = Vec::new();
        for (socket, address) in sockets {
            let (api, tls, bounds) = (self.clone(), tls.clone(), bounds.clone());
            let stopping = server.graceful_shutdown_signal();
            let listener = Listener {
                address,
                secure: tls.is_some(),
            };
            let listening = server.listen("lambda", socket, move || {
                serve(&api, listener, &stopping, &bounds, tls.clone())
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
}

/// How many of the process's descriptors are for connections.
fn connections_max(descriptors: usize) -> usize {
    let kept_back = (descriptors / 4).max(KEPT_BACK_MIN);
    descriptors.saturating_sub(kept_back).min(CONNECTIONS_MAX)
}

/// How many files the process may have open.
fn descriptors_max() -> usize {
    #[cfg(unix)]
    let max = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let max: Option<u64> = None;
    max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX))
}

/// Listens on as many of these as can be had, and on one at least.
fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<(TcpListener, SocketAddr)>> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "it names no address");
    let mut bound = Vec::new();
    for &address in addresses {
        match bind_one(address) {
            Ok(listener) => bound.push(listener),
            Err(error) => failed = error,
        }
    }
    match bound.is_empty() {
        true => Err(failed),
        false => Ok(bound),
    }
}

fn bind_one(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // On Windows it would let two servers have one address.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    // Accepted connections have it too: whether a client reads is seen by what it takes, not by a buffer of megabytes.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

// --- a connection: from the listener to the application

/// What holds for all connections of a server together.
#[derive(Clone)]
struct ServerLimits {
    connections: Arc<Connections>,
    arriving: Arc<Buffered>,
    leaving: Arc<Buffered>,
    stop_max: Duration,
}

/// The API, for connections as they come in.
fn serve(
    api: &LambdaApi,
    listener: Listener,
    stopping: &GracefulShutdownSignal,
    bounds: &ServerLimits,
    tls: Option<ServerConfig>,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = Infallible, InitError = ()> + use<>
{
    let app = App::new()
        .app_data(listener)
        .configure(api.configure_alone());
    let app = Rc::new(app.into_factory());
    let (stopping, bounds) = (stopping.clone(), bounds.clone());
    fn_factory(move || {
        let (app, stopping, bounds, tls) =
            (app.clone(), stopping.clone(), bounds.clone(), tls.clone());
        async move {
            let app = Rc::new(app.new_service(AppConfig::default()).await?);
            let config = ServiceConfig::default();
            let acceptor = match tls {
                None => None,
                Some(tls) => {
                    let mut acceptor = Acceptor::new(tls);
                    acceptor.set_handshake_timeout(HANDSHAKE_MAX);
                    let made = ServiceFactory::<TcpStream>::new_service(&acceptor, ());
                    Some(Rc::new(made.await?))
                }
            };
            Ok(fn_service(move |stream: TcpStream| {
                let end = Arc::new(Notify::new());
                let part = Membership {
                    presence: bounds.connections.enter(end.clone()),
                    shares: [
                        bounds.arriving.share(end.clone()),
                        bounds.leaving.share(end.clone()),
                    ],
                    stopping: stopping.clone(),
                    stop_max: bounds.stop_max,
                };
                let (app, config, acceptor) = (app.clone(), config.clone(), acceptor.clone());
                let served = async move {
                    let peer = meet(&stream);
                    match acceptor {
                        None => connection::serve(stream, peer, app, config, part).await,
                        // How many handshakes there may be is bounded as connections are, not by what the acceptor is
                        // ready for: that would have good clients wait for bad ones.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.call(stream).await {
                                connection::serve(stream, peer, app, config, part).await;
                            }
                        }
                    }
                };
                async move {
                    tokio::select! {
                        biased;
                        () = end.notified() => {}
                        () = served => {}
                    }
                    Ok(())
                }
            }))
        }
    })
}

fn meet(stream: &TcpStream) -> Option<SocketAddr> {
    // Where it can't be set, answers of several packets are slower.
    let _ = stream.set_nodelay(true);
    stream.peer_addr().ok()
}

impl Server {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// For stopping it from elsewhere: `handle().stop(true)` accepts nothing more, and waits until all that was accepted is
    /// answered, for at most 10 s ([`LambdaApi::stop_max`]): a call that takes longer is cancelled, and answered with a 503;
    /// [`LambdaApi::end_polls`] keeps long polls from making it wait. Stop the server before the runtime is shut down.
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

    /// Serves until the process is asked to end (SIGINT, SIGTERM) and all that was accepted is answered, as a stop by its
    /// [`handle`](Self::handle) does. With [`Runtime::serve`](crate::Runtime::serve), one grace period holds for the server
    /// and the runtime together.
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
    let mut config = config
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| refuse("key")(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_others() {
        assert_eq!(connections_max(1_024), 768);
        assert_eq!(connections_max(256), 192);
        assert_eq!(connections_max(80), 16);
        assert_eq!(connections_max(20), 0, "one a thread all the same");
        assert_eq!(connections_max(usize::MAX), CONNECTIONS_MAX);
    }
}
