//! What actix-http refuses by itself, in AWS's shape.
//!
//! What is no HTTP never becomes a request: actix-http answers it with a status and nothing else, and offers no hook. So the
//! connection looks at what is written to it: such a head, without the request's id that each answer of ours has, gives way
//! to a whole answer. It is always the last that a connection writes, and can't be the end of a body: those are JSON without
//! white space around it, which ends in no line break.
//!
//! It needs a connection that has nothing unanswered: otherwise actix-http takes what it can't read for a client that has
//! hung up, writes nothing more, and there is nothing to put an answer in the place of.

use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use actix_web::http::StatusCode;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::{HEAD_MAX, LINGER_MAX};
use crate::http::error::{ApiError, ERROR_TYPE, REQUEST_ID, random_id};

/// A connection whose clients are refused in AWS's shape.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    /// How it ends, if it does so with a refusal.
    refusal: Option<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    /// What is left to write of the answer.
    answer: Vec<u8>,
    /// Until when, once the answer is written, what the client still sends is read and thrown away: a connection that is
    /// closed before would take the answer back.
    linger: Option<Pin<Box<Sleep>>>,
    discarded: usize,
    over: bool,
}

/// How many bytes are thrown away at most.
const DISCARDED_MAX: usize = 32 << 20;
/// Finds where the last answer begins.
static BEGIN: LazyLock<memmem::FinderRev<'static>> =
    LazyLock::new(|| memmem::FinderRev::new("HTTP/1."));
/// How an answer without a body ends.
const END: &[u8] = b"\r\n\r\n";
/// actix-http's bounds, in its `h1::decoder`.
const HEAD_BYTES_MAX: usize = 131_072;
const HEADERS_MAX: usize = 96;

impl<S> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            refusal: None,
        }
    }
}

impl Refusal {
    fn new(answer: Vec<u8>) -> Self {
        Self {
            answer,
            linger: None,
            discarded: 0,
            over: false,
        }
    }

    /// Writes the answer, then waits for the client to hang up.
    fn poll<S>(&mut self, mut stream: Pin<&mut S>, task: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite,
    {
        while !self.answer.is_empty() {
            let written = ready!(stream.as_mut().poll_write(task, &self.answer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answer.drain(..written);
        }
        if self.linger.is_none() {
            ready!(stream.as_mut().poll_shutdown(task))?;
        }
        let linger = self
            .linger
            .get_or_insert_with(|| Box::pin(sleep(LINGER_MAX)));
        let mut bytes = [0; 4 << 10];
        while !self.over && linger.as_mut().poll(task).is_pending() {
            let mut read = ReadBuf::new(&mut bytes);
            let end = ready!(stream.as_mut().poll_read(task, &mut read)).is_err();
            let read = read.filled().len();
            self.discarded += read;
            self.over = end || read == 0 || self.discarded > DISCARDED_MAX;
        }
        self.over = true;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, refusal } = &mut *self;
        let stream = Pin::new(stream);
        if refusal.is_none() {
            match refused(bytes) {
                None => return stream.poll_write(task, bytes),
                Some((0, status)) => *refusal = Some(Refusal::new(answer(status, bytes))),
                Some((at, _)) => return stream.poll_write(task, &bytes[..at]),
            }
        }
        if let Some(refusal) = refusal {
            ready!(refusal.poll(stream, task))?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.refusal {
            Some(_) => Poll::Ready(Ok(())),
            None => Pin::new(&mut self.stream).poll_flush(task),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.refusal {
            Some(_) => Poll::Ready(Ok(())),
            None => Pin::new(&mut self.stream).poll_shutdown(task),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(task, into)
    }
}

/// Where in these bytes a refusal of actix-http's own begins, and its status.
fn refused(bytes: &[u8]) -> Option<(usize, StatusCode)> {
    if !bytes.ends_with(END) {
        return None;
    }
    let at = BEGIN.rfind(bytes)?;
    let status = bytes[at..].split(|&byte| byte == b' ').nth(1)?;
    let status = StatusCode::from_bytes(status).ok()?;
    let is_error = status.is_client_error() || status.is_server_error();
    let has = |header: &str| headers(&bytes[at..]).any(|(name, _)| name == header);
    (is_error && has("content-length") && !has(REQUEST_ID.as_str())).then_some((at, status))
}

/// The headers of an answer, whose names are lower-case.
fn headers(head: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let head = std::str::from_utf8(head).unwrap_or_default();
    head.lines().filter_map(|line| line.split_once(": "))
}

/// The whole answer instead of this head.
fn answer(status: StatusCode, head: &[u8]) -> Vec<u8> {
    let error = explained(status);
    let id = random_id();
    let body = error.body().to_string();
    let (reason, length) = (status.canonical_reason().unwrap_or_default(), body.len());
    let code = error.code();
    let date = headers(head).find(|(name, _)| *name == "date");
    let date = date.map(|(_, date)| format!("date: {date}\r\n"));
    let date = date.unwrap_or_default();
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-length: {length}\r\nconnection: close\r\ncontent-type: application/json\r\n{ERROR_TYPE}: {code}\r\n{REQUEST_ID}: {id}\r\n{date}\r\n{body}",
        status.as_str(),
    )
    .into_bytes()
}

fn explained(status: StatusCode) -> ApiError {
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ApiError::new(
            status,
            "RequestHeaderFieldsTooLargeException",
            format!(
                "The request line and the headers must have fewer than {HEAD_BYTES_MAX} bytes together, and be at most {HEADERS_MAX} headers"
            ),
        ),
        StatusCode::REQUEST_TIMEOUT => ApiError::new(
            status,
            "RequestTimeoutException",
            format!(
                "The request's line and headers did not arrive within {} s",
                HEAD_MAX.as_secs()
            ),
        ),
        status if status.is_client_error() => ApiError::new(
            status,
            "InvalidRequestContentException",
            format!(
                "Could not read an HTTP/1.1 request: its request line, a header or its Content-Length is malformed, or it has more than {HEADERS_MAX} headers"
            ),
        ),
        status => ApiError::new(
            status,
            "ServiceException",
            "The connection could not be served: open another",
        ),
    }
}
