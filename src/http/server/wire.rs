//! The two directions of a connection: bytes that came and became no part of a request yet, and bytes that wait to be sent.
//!
//! actix-http's codec reads heads, frames bodies and writes answers. Of what it has read no more is kept than a head may have,
//! so a client can't send faster than it is served.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_codec::{Decoder, Encoder, poll_read_buf};
use actix_http::body::BodySize;
use actix_http::error::{ParseError, PayloadError};
use actix_http::h1::{Codec, Message, MessageType};
use actix_http::{Request, Response, ServiceConfig};
use actix_web::web::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

pub(super) struct Wire<S> {
    stream: S,
    codec: Codec,
    received: BytesMut,
    sending: BytesMut,
    /// What came since the codec said that a head isn't whole may be the rest of it.
    may_be_whole: bool,
    body: Body,
    /// How many more bytes that are no data the body may have: sizes of chunks, their extensions, trailers.
    framing: usize,
}

/// What is known of the body of the request that is being served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Body {
    /// It came to its end, or there is none.
    Over,
    /// Its sender waits to be asked for it (`Expect: 100-continue`).
    Held,
    Coming,
    /// Its end will never be known.
    Broken,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum NoRequest {
    /// The client has left between two requests.
    Gone,
    /// It left within one.
    BrokenOff,
    Malformed(ParseError),
}

/// Largest head, in bytes: the codec's own bound.
pub(super) const HEAD_BYTES_MAX: usize = 131_072;
/// Of a body, so many bytes may be framing beyond one for each byte of data. Whatever is beyond costs time and brings nothing.
const FRAMING_SPARE: usize = 64 << 10;
/// Room for what comes: so much is made when less than the least is left.
const ROOM: usize = 16 << 10;
const ROOM_MIN: usize = 1 << 10;
/// A buffer that has grown beyond this for one answer is given back.
const KEPT_MAX: usize = 128 << 10;

impl<S> Wire<S> {
    pub(super) fn new(stream: S, config: ServiceConfig) -> Self {
        Self {
            stream,
            codec: Codec::new(config),
            received: BytesMut::new(),
            sending: BytesMut::new(),
            may_be_whole: true,
            body: Body::Over,
            framing: 0,
        }
    }

    pub(super) fn body(&self) -> Body {
        self.body
    }

    /// Has anything come that isn't read yet?
    pub(super) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Does the connection outlive the request that is being served, or was just answered?
    pub(super) fn keeps_alive(&self) -> bool {
        self.codec.keep_alive()
    }

    /// Puts the head of an answer among what is to be sent.
    pub(super) fn begin_answer(&mut self, head: Response<()>, size: BodySize) -> io::Result<()> {
        self.codec
            .encode(Message::Item((head, size)), &mut self.sending)
    }

    /// Puts a part of its body there, or its end. Answers how many bytes are to be sent.
    pub(super) fn continue_answer(&mut self, part: Option<Bytes>) -> io::Result<usize> {
        self.codec.encode(Message::Chunk(part), &mut self.sending)?;
        Ok(self.sending.len())
    }

    /// Puts an answer to no request there, which is the last that is sent.
    pub(super) fn begin_last_answer(
        &mut self,
        head: Response<()>,
        size: BodySize,
    ) -> io::Result<()> {
        // What the one before was asked for, HEAD for instance, doesn't matter to it.
        self.codec = Codec::new(self.codec.config().clone());
        self.begin_answer(head, size)
    }
}

// --- what comes

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The next request, without its body.
    pub(super) fn poll_request(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Result<Request, NoRequest>> {
        loop {
            if std::mem::take(&mut self.may_be_whole) {
                match self.codec.decode(&mut self.received) {
                    Ok(Some(Message::Item(request))) => {
                        self.may_be_whole = true;
                        self.framing = FRAMING_SPARE;
                        self.body = match self.codec.message_type() {
                            MessageType::None => Body::Over,
                            _ if request.head().expect() => Body::Held,
                            MessageType::Payload | MessageType::Stream => Body::Coming,
                        };
                        return Poll::Ready(Ok(request));
                    }
                    Ok(None) => {}
                    // A part of a body, where none can be.
                    Ok(Some(Message::Chunk(_))) => {
                        return Poll::Ready(Err(NoRequest::Malformed(ParseError::Incomplete)));
                    }
                    Err(error) => return Poll::Ready(Err(NoRequest::Malformed(error))),
                }
            }
            let known = self.received.len();
            match ready!(self.poll_receive(task)) {
                Ok(0) | Err(_) if known == 0 => return Poll::Ready(Err(NoRequest::Gone)),
                Ok(0) | Err(_) => return Poll::Ready(Err(NoRequest::BrokenOff)),
                // Heads that come byte by byte aren't read anew for each.
                Ok(_) => {
                    let line_ended = self.received[known..].contains(&b'\n');
                    let full = self.received.len() >= HEAD_BYTES_MAX;
                    self.may_be_whole = known == 0 || line_ended || full;
                }
            }
        }
    }

    /// The next part of the body, which is asked for if its sender waits for that.
    pub(super) fn poll_part(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, PayloadError>>> {
        match self.body {
            Body::Over => return Poll::Ready(None),
            Body::Broken => return Poll::Ready(Some(Err(PayloadError::Incomplete(None)))),
            Body::Held => {
                self.sending
                    .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                self.body = Body::Coming;
            }
            Body::Coming => {}
        }
        if !self.sending.is_empty() && matches!(self.poll_send(task), Poll::Ready(Err(_))) {
            return self.broken(PayloadError::Incomplete(None));
        }
        loop {
            let known = self.received.len();
            let decoded = self.codec.decode(&mut self.received);
            let data = match &decoded {
                Ok(Some(Message::Chunk(Some(part)))) => part.len(),
                _ => 0,
            };
            let framing = (known - self.received.len()).saturating_sub(data);
            match (self.framing + data).checked_sub(framing) {
                Some(left) => self.framing = left,
                None => {
                    let told = "its chunks have more sizes, extensions and trailers than data";
                    return self.broken(PayloadError::Io(io::Error::other(told)));
                }
            }
            match decoded {
                Ok(Some(Message::Chunk(Some(part)))) => return Poll::Ready(Some(Ok(part))),
                Ok(Some(Message::Chunk(None))) => {
                    self.body = Body::Over;
                    return Poll::Ready(None);
                }
                Ok(None) => {}
                Ok(Some(Message::Item(_))) => return self.broken(PayloadError::EncodingCorrupted),
                Err(error) => {
                    let told = match error {
                        ParseError::Io(error) => error.to_string(),
                        error => error.to_string(),
                    };
                    let told = format!("a chunk is malformed: {told}");
                    return self.broken(PayloadError::Io(io::Error::other(told)));
                }
            }
            match ready!(self.poll_receive(task)) {
                Ok(0) => return self.broken(PayloadError::Incomplete(None)),
                Ok(_) => {}
                Err(error) => return self.broken(PayloadError::Incomplete(Some(error))),
            }
        }
    }

    fn broken(&mut self, error: PayloadError) -> Poll<Option<Result<Bytes, PayloadError>>> {
        self.body = Body::Broken;
        Poll::Ready(Some(Err(error)))
    }

    /// Waits until the client sends no more, or an error until the connection is lost. Requests that it sends meanwhile are
    /// kept for later.
    pub(super) fn poll_end(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.body != Body::Over || self.received.len() >= HEAD_BYTES_MAX {
                return Poll::Pending;
            }
            if ready!(self.poll_receive(task))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Throws away what the client sends, up to so many bytes, until it sends no more.
    pub(super) fn poll_discard(
        &mut self,
        bytes_max: &mut usize,
        task: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            self.received.clear();
            match ready!(self.poll_receive(task)) {
                Ok(bytes) if bytes > 0 && bytes <= *bytes_max => *bytes_max -= bytes,
                _ => return Poll::Ready(()),
            }
        }
    }

    fn poll_receive(&mut self, task: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.received.capacity() - self.received.len() < ROOM_MIN {
            self.received.reserve(ROOM);
        }
        poll_read_buf(Pin::new(&mut self.stream), task, &mut self.received)
    }
}

// --- what is sent

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Sends all that is to be sent.
    pub(super) fn poll_send(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !ready!(self.poll_send_some(task))? {}
        Poll::Ready(Ok(()))
    }

    /// Sends as much as the client takes now. Answers whether that was the rest.
    pub(super) fn poll_send_some(&mut self, task: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let stream = Pin::new(&mut self.stream);
        if self.sending.is_empty() {
            return stream.poll_flush(task).map_ok(|()| true);
        }
        let sent = ready!(stream.poll_write(task, &self.sending))?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        if sent < self.sending.len() {
            let _ = self.sending.split_to(sent);
        } else if self.sending.capacity() > KEPT_MAX {
            self.sending = BytesMut::new();
        } else {
            self.sending.clear();
        }
        Poll::Ready(Ok(false))
    }

    /// Tells the client that nothing more will be sent.
    pub(super) fn poll_shutdown(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
