//! A connection of the standalone server: its requests in order, each with its response before the next one is read.
//!
//! Every wait for the client has a bound, so that a slow client can hold neither a connection nor the server's stop. Bytes that
//! never become a request get an AWS-style error, after the responses to earlier requests. actix-http's own dispatcher does
//! neither: see the server's head.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::body::{BoxBody, MessageBody};
use actix_http::error::PayloadError;
use actix_http::{ConnectionType, Payload, Request, ServiceConfig};
use actix_server::GracefulShutdownSignal;
use actix_service::Service;
use actix_web::HttpResponse;
use actix_web::dev::ServiceResponse;
use actix_web::web::Bytes;
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use super::body::BodyState;
use super::buffered::Share;
use super::connections::Presence;
use super::refusal;
use super::stop::Stop;
use super::wire::{NoRequest, Wire};
use crate::http::error::{ApiError, random_id};

/// How long a client may take for the head of a request, from its first byte on.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long a connection may be idle before a request.
const IDLE_MAX: Duration = Duration::from_secs(75);
/// How long a client may take to read a response: 6 MiB at 100 KiB a second.
const RESPONSE_MAX: Duration = Duration::from_secs(60);
/// How long a client may read nothing of a response.
const STALL_MAX: Duration = Duration::from_secs(10);
/// How long a call runs on for a client that has closed its sending half: it may still read the response.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(2);
/// How long, and for how many bytes, input is discarded after the last response. If the connection closed while the client
/// sends, the response could be lost on the way.
const DISCARD_MAX: Duration = Duration::from_secs(2);
const DISCARD_BYTES_MAX: usize = 32 << 20;
/// A response whose body comes in parts is sent in pieces of at least this many bytes.
const SENT_TOGETHER: usize = 64 << 10;

/// A connection's part in the server's limits and its stop.
pub(super) struct Membership {
    pub(super) presence: Presence,
    /// Of the bytes of requests, and of responses.
    pub(super) shares: [Share; 2],
    pub(super) stopping: GracefulShutdownSignal,
    /// How long a stop waits for responses.
    pub(super) stop_max: Duration,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S, A>(
    stream: S,
    peer: Option<SocketAddr>,
    app: Rc<A>,
    config: ServiceConfig,
    membership: Membership,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    A: Service<Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    let Membership {
        presence,
        shares,
        stopping,
        stop_max,
    } = membership;
    let wire = Wire::new(stream, config, presence, shares);
    let mut connection = Connection {
        wire: Rc::new(RefCell::new(wire)),
        stop: Stop::new(stopping, stop_max),
    };
    // An error means that the client is gone, so there is no receiver for it.
    let _ = connection.serve(peer, &*app).await;
}

struct Connection<S> {
    wire: Rc<RefCell<Wire<S>>>,
    stop: Stop,
}

/// The next step of a connection.
enum Next {
    Serve(Request),
    Refuse(ApiError),
    Close,
}

impl From<Result<Request, NoRequest>> for Next {
    fn from(head: Result<Request, NoRequest>) -> Self {
        match head.map_err(refusal::no_request) {
            Ok(request) => Self::Serve(request),
            Err(Some(error)) => Self::Refuse(error),
            Err(None) => Self::Close,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Connection<S> {
    async fn serve<A>(&mut self, peer: Option<SocketAddr>, app: &A) -> io::Result<()>
    where
        A: Service<Request, Response = ServiceResponse, Error = actix_web::Error>,
    {
        loop {
            let mut request = match self.next().await {
                Next::Serve(request) => request,
                Next::Refuse(error) => return self.refuse(&error).await,
                Next::Close => return self.close().await,
            };
            request.head_mut().peer_addr = peer;
            if self.wire.borrow().body() != BodyState::Over {
                let body = RequestBody(self.wire.clone());
                *request.payload() = Payload::Stream {
                    payload: Box::pin(body),
                };
            }
            let Some(response) = self.call(app, request).await else {
                return Ok(());
            };
            self.respond(response).await?;
            if !self.wire.borrow().keeps_alive() {
                return self.close().await;
            }
        }
    }

    // --- a request

    async fn next(&mut self) -> Next {
        // A request that is already here needs no timer.
        let here = poll_fn(|task| Poll::Ready(self.wire.borrow_mut().poll_request(task))).await;
        if let Poll::Ready(here) = here {
            return here.into();
        }
        let Self { wire, stop } = self;
        let begun = poll_fn(|task| {
            let mut wire = wire.borrow_mut();
            let head = wire.poll_request(task);
            match head.is_ready() || !wire.is_empty() {
                true => Poll::Ready(head),
                false => Poll::Pending,
            }
        });
        let begun = tokio::select! {
            biased;
            begun = begun => begun,
            () = poll_fn(|task| stop.poll(task)) => return Next::Close,
            () = sleep(IDLE_MAX) => return Next::Close,
        };
        if let Poll::Ready(head) = begun {
            return head.into();
        }
        tokio::select! {
            biased;
            head = poll_fn(|task| wire.borrow_mut().poll_request(task)) => head.into(),
            () = poll_fn(|task| stop.poll(task)) => Next::Close,
            () = sleep(HEAD_MAX) => Next::Refuse(refusal::too_slow(HEAD_MAX)),
        }
    }

    /// Returns the response to a request, or `None` if its client leaves first. A stop cancels a call that takes too long.
    async fn call<A>(&mut self, app: &A, request: Request) -> Option<HttpResponse>
    where
        A: Service<Request, Response = ServiceResponse, Error = actix_web::Error>,
    {
        let Self { wire, stop } = self;
        let (stop_max, call_max) = (stop.max(), stop.call_max());
        let left = async {
            let end = poll_fn(|task| wire.borrow_mut().poll_client_end(task)).await;
            if end.is_ok() {
                sleep(HALF_CLOSED_MAX).await;
            }
        };
        let stopped = async {
            poll_fn(|task| stop.poll(task)).await;
            sleep(call_max).await;
        };
        tokio::select! {
            biased;
            response = app.call(request) => Some(match response {
                Ok(response) => response.into_parts().1,
                Err(error) => error.error_response(),
            }),
            () = left => None,
            () = stopped => Some(refusal::stopped(stop_max).respond(random_id())),
        }
    }

    // --- a response

    async fn respond(&mut self, response: HttpResponse) -> io::Result<()> {
        // The application may not have read the body.
        let over = poll_fn(|task| {
            let mut wire = self.wire.borrow_mut();
            while wire.body() == BodyState::Coming && wire.poll_body(task).is_ready() {}
            Poll::Ready(wire.body() == BodyState::Over)
        });
        let over = over.await;
        let stops = poll_fn(|task| Poll::Ready(self.stop.poll(task).is_ready())).await;
        let (mut head, body) = response.into_parts();
        if !over || stops || !self.wire.borrow().keeps_alive() {
            head.head_mut().set_connection_type(ConnectionType::Close);
        }
        let begun = self
            .wire
            .borrow_mut()
            .begin_response(head.into(), body.size());
        begun?;
        self.send(body).await
    }

    /// Sends an error response that belongs to no request, and ends the connection.
    async fn refuse(&mut self, error: &ApiError) -> io::Result<()> {
        let (mut head, body) = error.respond(random_id()).into_parts();
        head.head_mut().set_connection_type(ConnectionType::Close);
        let wire = &self.wire;
        let begun = wire
            .borrow_mut()
            .begin_last_response(head.into(), body.size());
        begun?;
        self.send(body).await?;
        self.shutdown().await?;
        self.discard_input().await;
        Ok(())
    }

    /// Sends a response whose head is enqueued.
    async fn send(&self, body: BoxBody) -> io::Result<()> {
        let mut body = pin!(body);
        while let Some(part) = poll_fn(|task| body.as_mut().poll_next(task)).await {
            let part = part.map_err(|error| io::Error::other(error.to_string()))?;
            let waiting = self.wire.borrow_mut().continue_response(Some(part))?;
            if waiting > SENT_TOGETHER {
                self.flush().await?;
            }
        }
        self.wire.borrow_mut().continue_response(None)?;
        self.flush().await
    }

    async fn flush(&self) -> io::Result<()> {
        let wire = &self.wire;
        // Usually the system takes all of it at once, and no timer is set.
        let now = poll_fn(|task| Poll::Ready(wire.borrow_mut().poll_send(task))).await;
        if let Poll::Ready(sent) = now {
            return sent;
        }
        let all = async {
            loop {
                wire.borrow_mut().set_sending();
                let some = poll_fn(|task| wire.borrow_mut().poll_send_some(task));
                if timeout(STALL_MAX, some).await?? {
                    wire.borrow_mut().set_serving();
                    return Ok(());
                }
            }
        };
        timeout(RESPONSE_MAX, all).await?
    }

    // --- the end

    async fn close(&mut self) -> io::Result<()> {
        let unread = poll_fn(|task| {
            let mut wire = self.wire.borrow_mut();
            let _ = wire.poll_client_end(task);
            Poll::Ready(!wire.is_empty() || wire.body() != BodyState::Over)
        });
        let unread = unread.await;
        self.shutdown().await?;
        if unread {
            self.discard_input().await;
        }
        Ok(())
    }

    async fn shutdown(&self) -> io::Result<()> {
        self.wire.borrow_mut().set_waiting();
        let shut = poll_fn(|task| self.wire.borrow_mut().poll_shutdown(task));
        timeout(DISCARD_MAX, shut).await?
    }

    async fn discard_input(&self) {
        let mut bytes_max = DISCARD_BYTES_MAX;
        let gone = poll_fn(|task| self.wire.borrow_mut().poll_discard(&mut bytes_max, task));
        let _ = timeout(DISCARD_MAX, gone).await;
    }
}

/// The body of the request that is being served. The application reads it from the connection.
struct RequestBody<S>(Rc<RefCell<Wire<S>>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for RequestBody<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll_body(task)
    }
}
