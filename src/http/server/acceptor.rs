//! The way of an accepted connection: membership in the server's limits, the TLS handshake, then the application.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{Request, ServiceConfig};
use actix_rt::net::TcpStream;
use actix_server::GracefulShutdownSignal;
use actix_service::{IntoServiceFactory, Service, ServiceFactory, fn_factory, fn_service};
use actix_tls::accept::rustls_0_23::{Acceptor, AcceptorService};
use actix_web::App;
use actix_web::dev::{AppConfig, ServiceResponse};
use rustls::ServerConfig;
use tokio::sync::Notify;

use super::buffered::Buffered;
use super::connection::{self, Membership};
use super::connections::Connections;
use super::listener::Listener;
use crate::http::lambda_api::LambdaApi;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);

/// The limits for all connections of a server together.
#[derive(Clone)]
pub(super) struct ServerLimits {
    pub(super) connections: Arc<Connections>,
    pub(super) requests: Arc<Buffered>,
    pub(super) responses: Arc<Buffered>,
    /// How long a stop waits for responses.
    pub(super) stop_max: Duration,
}

impl ServerLimits {
    /// Adds a connection. `evict` is notified when it must end.
    fn enter(&self, evict: &Arc<Notify>, stopping: GracefulShutdownSignal) -> Membership {
        Membership {
            presence: self.connections.enter(evict.clone()),
            shares: [
                self.requests.share(evict.clone()),
                self.responses.share(evict.clone()),
            ],
            stopping,
            stop_max: self.stop_max,
        }
    }
}

/// Returns the factory of the service that serves accepted connections. Each thread of the server makes one service.
pub(super) fn factory(
    api: &LambdaApi,
    listener: Listener,
    stopping: &GracefulShutdownSignal,
    limits: &ServerLimits,
    tls: Option<ServerConfig>,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = Infallible, InitError = ()> + use<>
{
    let app = App::new()
        .app_data(listener)
        .configure(api.configure_alone());
    let app = Rc::new(app.into_factory());
    let (stopping, limits) = (stopping.clone(), limits.clone());
    fn_factory(move || {
        let (app, stopping, limits, tls) =
            (app.clone(), stopping.clone(), limits.clone(), tls.clone());
        async move {
            let thread = Rc::new(ServerThread {
                app: app.new_service(AppConfig::default()).await?.into(),
                config: ServiceConfig::default(),
                tls: match tls {
                    None => None,
                    Some(tls) => Some(acceptor(tls).await?),
                },
            });
            Ok(fn_service(move |stream: TcpStream| {
                let evict = Arc::new(Notify::new());
                let membership = limits.enter(&evict, stopping.clone());
                let thread = thread.clone();
                async move {
                    tokio::select! {
                        biased;
                        () = evict.notified() => {}
                        () = thread.serve(stream, membership) => {}
                    }
                    Ok(())
                }
            }))
        }
    })
}

async fn acceptor(tls: ServerConfig) -> Result<AcceptorService, ()> {
    let mut acceptor = Acceptor::new(tls);
    acceptor.set_handshake_timeout(HANDSHAKE_MAX);
    ServiceFactory::<TcpStream>::new_service(&acceptor, ()).await
}

/// The application and the TLS acceptor of one thread of the server.
struct ServerThread<A> {
    app: Rc<A>,
    config: ServiceConfig,
    tls: Option<AcceptorService>,
}

impl<A> ServerThread<A>
where
    A: Service<Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    async fn serve(&self, stream: TcpStream, membership: Membership) {
        let peer = prepare(&stream);
        let (app, config) = (self.app.clone(), self.config.clone());
        match &self.tls {
            None => connection::serve(stream, peer, app, config, membership).await,
            // The acceptor's readiness is ignored, since it would have good clients wait for bad ones. The number of
            // connections bounds the handshakes.
            Some(tls) => {
                if let Ok(stream) = tls.call(stream).await {
                    connection::serve(stream, peer, app, config, membership).await;
                }
            }
        }
    }
}

/// Sends small packets at once, and returns the client's address.
fn prepare(stream: &TcpStream) -> Option<SocketAddr> {
    // If it can't be set, responses of several packets are slower.
    let _ = stream.set_nodelay(true);
    stream.peer_addr().ok()
}
