//! A connection of the API's own server: its requests, one after the other, each answered before the next is looked at.
//!
//! Here is decided what is waited for, and for how long, so that no client can hold a connection, or the server's stop, by
//! being slow. Whatever never becomes a request is refused in AWS's shape once all before it are answered. actix-http's own
//! dispatcher can do neither: it bounds the first head alone and no answer, and takes bytes that it can't read for a client
//! that has hung up.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::body::{BoxBody, MessageBody};
use actix_http::error::{ParseError, PayloadError};
use actix_http::{ConnectionType, Payload, Request, ServiceConfig};
use actix_server::GracefulShutdownSignal;
use actix_service::Service;
use actix_web::HttpResponse;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use super::buffered::Share;
use super::connections::Presence;
use super::wire::{BodyState, HEAD_BYTES_MAX, NoRequest, Wire};
use crate::http::error::{ApiError, random_id};

/// How long a client may take for the head of a request, from its first byte on.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long a connection may be idle before a request.
const IDLE_MAX: Duration = Duration::from_secs(75);
/// How long a client may take for an answer: 6 MiB at 100 KiB a second.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long it may take none of it.
const STALL_MAX: Duration = Duration::from_secs(10);
/// How long a call runs on for a client that sends no more: it may have closed its half alone.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(2);
/// How long, and for how many bytes, a client that is refused while it sends may take to notice: if the connection closed
/// before, the refusal would be lost on the way.
const LINGER_MAX: Duration = Duration::from_secs(2);
const DISCARDED_MAX: usize = 32 << 20;
/// How long before the end of the server's stop a call is cancelled, so that there is time for an answer.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A response whose body comes in parts is sent when it has so many bytes.
const SENT_TOGETHER: usize = 64 << 10;
/// As many headers as actix-http reads.
const HEADERS_MAX: usize = 96;

/// What a connection takes part in.
pub(super) struct Membership {
    pub(super) presence: Presence,
    /// Of what it receives, and of what it sends.
    pub(super) shares: [Share; 2],
    pub(super) stopping: GracefulShutdownSignal,
    /// How long a stop waits for answers.
    pub(super) stop_max: Duration,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S, A>(
    stream: S,
    peer: Option<SocketAddr>,
    app: Rc<A>,
    config: ServiceConfig,
    part: Membership,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    A: Service<Request, Response = ServiceResponse, Error = actix_web::Error>,
{
    let Membership {
        presence,
        shares,
        stopping,
        stop_max,
    } = part;
    let wire = Wire::new(stream, config, presence, shares);
    let mut connection = Connection {
        wire: Rc::new(RefCell::new(wire)),
        stop: Stop {
            signal: Box::pin(async move { stopping.notified().await }),
            begun: false,
            max: stop_max,
        },
    };
    // An error is a client that is gone: there is nobody to tell.
    let _ = connection.serve(peer, &*app).await;
}

struct Connection<S> {
    wire: Rc<RefCell<Wire<S>>>,
    stop: Stop,
}

/// The server's stop: no request is begun after it, and those that were are answered.
struct Stop {
    signal: Pin<Box<dyn Future<Output = ()>>>,
    begun: bool,
    /// How long it waits for answers.
    max: Duration,
}

/// What a connection waits for before it can serve.
enum Next {
    Request(Request),
    Refuse(ApiError),
    Close,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Connection<S> {
    async fn serve<A>(&mut self, peer: Option<SocketAddr>, app: &A) -> io::Result<()>
    where
        A: Service<Request, Response = ServiceResponse, Error = actix_web::Error>,
    {
        loop {
            let mut request = match self.next().await {
                Next::Request(request) => request,
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
            self.answer(response).await?;
            if !self.wire.borrow().keeps_alive() {
                return self.close().await;
            }
        }
    }

    // --- a request

    async fn next(&mut self) -> Next {
        // One that is here already needs no timer.
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
            () = sleep(HEAD_MAX) => Next::Refuse(too_slow()),
        }
    }

    /// The response to a request; none if its client has left before. A stop doesn't wait for it for ever.
    async fn call<A>(&mut self, app: &A, request: Request) -> Option<HttpResponse>
    where
        A: Service<Request, Response = ServiceResponse, Error = actix_web::Error>,
    {
        let Self { wire, stop } = self;
        let stop_max = stop.max;
        let left = async {
            let end = poll_fn(|task| wire.borrow_mut().poll_end(task)).await;
            if end.is_ok() {
                sleep(HALF_CLOSED_MAX).await;
            }
        };
        let stopped = async {
            poll_fn(|task| stop.poll(task)).await;
            sleep(stop_max.saturating_sub(LAST_WORDS).max(stop_max / 2)).await;
        };
        tokio::select! {
            biased;
            response = app.call(request) => Some(match response {
                Ok(response) => response.into_parts().1,
                Err(error) => error.error_response(),
            }),
            () = left => None,
            () = stopped => Some(unfinished(stop_max).respond(random_id())),
        }
    }

    // --- an answer

    async fn answer(&mut self, response: HttpResponse) -> io::Result<()> {
        // Nobody may have read the body, be it here or not.
        let over = poll_fn(|task| {
            let mut wire = self.wire.borrow_mut();
            while wire.body() == BodyState::Coming && wire.poll_part(task).is_ready() {}
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
            .begin_answer(head.into(), body.size());
        begun?;
        self.send(body).await
    }

    /// Answers what is no request, and ends the connection.
    async fn refuse(&mut self, error: &ApiError) -> io::Result<()> {
        let (mut head, body) = error.respond(random_id()).into_parts();
        head.head_mut().set_connection_type(ConnectionType::Close);
        let wire = &self.wire;
        let begun = wire
            .borrow_mut()
            .begin_last_answer(head.into(), body.size());
        begun?;
        self.send(body).await?;
        self.shutdown().await?;
        self.linger().await;
        Ok(())
    }

    /// Sends an answer whose head is written.
    async fn send(&self, body: BoxBody) -> io::Result<()> {
        let mut body = pin!(body);
        while let Some(part) = poll_fn(|task| body.as_mut().poll_next(task)).await {
            let part = part.map_err(|error| io::Error::other(error.to_string()))?;
            let waiting = self.wire.borrow_mut().continue_answer(Some(part))?;
            if waiting > SENT_TOGETHER {
                self.flush().await?;
            }
        }
        self.wire.borrow_mut().continue_answer(None)?;
        self.flush().await
    }

    async fn flush(&self) -> io::Result<()> {
        let wire = &self.wire;
        // As a rule the system takes all of it at once: then no timer is set.
        let now = poll_fn(|task| Poll::Ready(wire.borrow_mut().poll_send(task))).await;
        if let Poll::Ready(sent) = now {
            return sent;
        }
        let all = async {
            loop {
                wire.borrow_mut().waits_to_send();
                let some = poll_fn(|task| wire.borrow_mut().poll_send_some(task));
                if timeout(STALL_MAX, some).await?? {
                    wire.borrow_mut().serves();
                    return Ok(());
                }
            }
        };
        timeout(ANSWER_MAX, all).await?
    }

    // --- the end

    async fn close(&mut self) -> io::Result<()> {
        let unread = poll_fn(|task| {
            let mut wire = self.wire.borrow_mut();
            let _ = wire.poll_end(task);
            Poll::Ready(!wire.is_empty() || wire.body() != BodyState::Over)
        });
        let unread = unread.await;
        self.shutdown().await?;
        if unread {
            self.linger().await;
        }
        Ok(())
    }

    async fn shutdown(&self) -> io::Result<()> {
        self.wire.borrow_mut().waits();
        let shut = poll_fn(|task| self.wire.borrow_mut().poll_shutdown(task));
        timeout(LINGER_MAX, shut).await?
    }

    async fn linger(&self) {
        let mut bytes_max = DISCARDED_MAX;
        let gone = poll_fn(|task| self.wire.borrow_mut().poll_discard(&mut bytes_max, task));
        let _ = timeout(LINGER_MAX, gone).await;
    }
}

impl Stop {
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        self.begun = self.begun || self.signal.as_mut().poll(task).is_ready();
        match self.begun {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// The body of the request that is being served, read from the connection as it is asked for.
struct RequestBody<S>(Rc<RefCell<Wire<S>>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for RequestBody<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll_part(task)
    }
}

// --- what is no request

impl From<Result<Request, NoRequest>> for Next {
    fn from(head: Result<Request, NoRequest>) -> Self {
        match head {
            Ok(request) => Self::Request(request),
            Err(NoRequest::Gone) => Self::Close,
            Err(NoRequest::BrokenOff) => Self::Refuse(malformed("it breaks off")),
            Err(NoRequest::Malformed(error)) => Self::Refuse(unreadable(&error)),
            Err(NoRequest::Unclear(why)) => Self::Refuse(malformed(why)),
        }
    }
}

fn unreadable(error: &ParseError) -> ApiError {
    match error {
        ParseError::TooLarge => ApiError::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "RequestHeaderFieldsTooLargeException",
            format!(
                "The request line and the headers must have fewer than {HEAD_BYTES_MAX} bytes together, and be at most {HEADERS_MAX} headers"
            ),
        ),
        ParseError::Uri(error) => malformed(&format!("its path can't be read, {error}")),
        ParseError::Version => malformed("its version is neither HTTP/1.1 nor HTTP/1.0"),
        _ => malformed(
            "its request line or a header is malformed, there is no Host or more than one, or what says how long its body is contradicts itself",
        ),
    }
}

fn malformed(why: &str) -> ApiError {
    let message = format!("Could not read an HTTP/1.1 request: {why}");
    ApiError::invalid_content(message)
}

fn unfinished(stop_max: Duration) -> ApiError {
    ApiError::unavailable(format!(
        "The server stops, which waits {} s for answers, and this one isn't there yet: a synchronous call is cancelled, and what else was asked for may have been done",
        stop_max.as_secs()
    ))
}

fn too_slow() -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        "RequestTimeoutException",
        format!(
            "The request's line and headers did not arrive within {} s",
            HEAD_MAX.as_secs()
        ),
    )
}
