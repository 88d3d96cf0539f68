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
use actix_http::{HttpMessage, Request, Response, ServiceConfig};
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use super::buffered::Share;
use super::connections::Presence;
use super::framing::{Chunks, Unclear, check_head};
use crate::http::unwanted_body::UnwantedBody;

pub(super) struct Wire<S> {
    stream: S,
    codec: Codec,
    received: BytesMut,
    sending: BytesMut,
    /// What came since the codec said that a head isn't whole may be the rest of it.
    may_be_whole: bool,
    body: BodyState,
    /// Of a body that comes in chunks.
    chunks: Option<Chunks>,
    /// Bytes of the body that were handed on and are kept until it is whole.
    handed_on: usize,
    /// The body is read to be thrown away.
    unwanted: UnwantedBody,
    /// Bytes that came since the client was last seen to go on.
    came: usize,
    /// Bytes that the answer took when it was largest.
    largest: usize,
    presence: Presence,
    arriving: Share,
    leaving: Share,
    /// How many more bytes that are no data the body may have: sizes of chunks, their extensions, trailers.
    framing: usize,
}

/// What is known of the body of the request that is being served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum BodyState {
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
    /// Others could read it differently.
    Unclear(Unclear),
}

const NO_OTHER_PROTOCOL: Unclear = "it asks for a tunnel or a WebSocket, which aren't served";
/// Largest head, in bytes: the codec's own bound.
pub(super) const HEAD_BYTES_MAX: usize = 131_072;
/// Of a body, so many bytes may be framing beyond one for each byte of data. Whatever is beyond costs time and brings nothing.
const FRAMING_SPARE: usize = 64 << 10;
/// Room for what comes: so much is made when less than the least is left.
const ROOM: usize = 16 << 10;
const ROOM_MIN: usize = 1 << 10;
/// A client goes on with a request when it has sent so many bytes more of it.
const PROGRESS_MIN: usize = 16 << 10;
/// A buffer that has grown beyond this for one answer is given back.
const KEPT_MAX: usize = 128 << 10;

impl<S> Wire<S> {
    pub(super) fn new(
        stream: S,
        config: ServiceConfig,
        presence: Presence,
        [arriving, leaving]: [Share; 2],
    ) -> Self {
        Self {
            stream,
            codec: Codec::new(config),
            received: BytesMut::new(),
            sending: BytesMut::new(),
            may_be_whole: true,
            body: BodyState::Over,
            chunks: None,
            handed_on: 0,
            unwanted: UnwantedBody::default(),
            came: 0,
            largest: 0,
            presence,
            arriving,
            leaving,
            framing: 0,
        }
    }

    /// The client has done all that its request needs.
    pub(super) fn serves(&mut self) {
        self.presence.serves();
        self.arriving.hold(0);
        self.leaving.hold(0);
        (self.came, self.largest) = (0, 0);
    }

    /// The connection waits for its client to end it.
    pub(super) fn waits(&mut self) {
        self.presence.waits();
    }

    pub(super) fn body(&self) -> BodyState {
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
                if let Err(why) = check_head(&self.received) {
                    return Poll::Ready(Err(NoRequest::Unclear(why)));
                }
                match self.codec.decode(&mut self.received) {
                    Ok(Some(Message::Item(request))) => {
                        return Poll::Ready(self.begin_request(request));
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
            match ready!(self.poll_await(task)) {
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

    /// A head is whole: the client is served from now on, and what follows is its body.
    fn begin_request(&mut self, request: Request) -> Result<Request, NoRequest> {
        self.arriving.hold(0);
        if !self.presence.serves() {
            return Err(NoRequest::Gone);
        }
        self.may_be_whole = true;
        self.framing = FRAMING_SPARE;
        self.handed_on = 0;
        self.unwanted = UnwantedBody::default();
        request.extensions_mut().insert(self.unwanted.clone());
        let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
        self.chunks = is_chunked.then(Chunks::new);
        self.body = match self.codec.message_type() {
            MessageType::None => BodyState::Over,
            // Whoever doesn't change the protocol sees another request where this one sees a body without end.
            MessageType::Stream => return Err(NoRequest::Unclear(NO_OTHER_PROTOCOL)),
            MessageType::Payload if request.head().expect() => BodyState::Held,
            MessageType::Payload => BodyState::Coming,
        };
        Ok(request)
    }

    /// The next part of the body, which is asked for if its sender waits for that.
    pub(super) fn poll_part(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, PayloadError>>> {
        match self.body {
            BodyState::Over => return Poll::Ready(None),
            BodyState::Broken => return Poll::Ready(Some(Err(PayloadError::Incomplete(None)))),
            BodyState::Held => {
                self.sending
                    .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                self.body = BodyState::Coming;
            }
            BodyState::Coming => {}
        }
        if !self.sending.is_empty() && matches!(self.poll_send(task), Poll::Ready(Err(_))) {
            return self.broken(PayloadError::Incomplete(None));
        }
        loop {
            if let Some(chunks) = &mut self.chunks
                && let Err(why) = chunks.check(&self.received)
            {
                return self.malformed_chunk(why);
            }
            let known = self.received.len();
            let decoded = self.codec.decode(&mut self.received);
            if let Some(chunks) = &mut self.chunks {
                chunks.read(known - self.received.len());
            }
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
                Ok(Some(Message::Chunk(Some(part)))) => {
                    self.handed_on += part.len();
                    return Poll::Ready(Some(Ok(part)));
                }
                Ok(Some(Message::Chunk(None))) => {
                    self.body = BodyState::Over;
                    self.serves();
                    return Poll::Ready(None);
                }
                Ok(None) => {}
                Ok(Some(Message::Item(_))) => return self.broken(PayloadError::EncodingCorrupted),
                Err(ParseError::Io(error)) => return self.malformed_chunk(error),
                Err(error) => return self.malformed_chunk(error),
            }
            match ready!(self.poll_await(task)) {
                Ok(0) => return self.broken(PayloadError::Incomplete(None)),
                Ok(_) => {}
                Err(error) => return self.broken(PayloadError::Incomplete(Some(error))),
            }
        }
    }

    fn malformed_chunk(
        &mut self,
        why: impl std::fmt::Display,
    ) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let told = format!("a chunk is malformed: {why}");
        self.broken(PayloadError::Io(io::Error::other(told)))
    }

    fn broken(&mut self, error: PayloadError) -> Poll<Option<Result<Bytes, PayloadError>>> {
        self.body = BodyState::Broken;
        Poll::Ready(Some(Err(error)))
    }

    /// Waits until the client sends no more, or an error until the connection is lost. Requests that it sends meanwhile are
    /// kept for later.
    pub(super) fn poll_end(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.body != BodyState::Over || self.received.len() >= HEAD_BYTES_MAX {
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
        let received = poll_read_buf(Pin::new(&mut self.stream), task, &mut self.received);
        if let Poll::Ready(Ok(bytes)) = received {
            self.came += bytes;
        }
        received
    }

    /// As `poll_receive`, for what the request can't go on without.
    fn poll_await(&mut self, task: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let received = self.poll_receive(task);
        if received.is_pending() {
            self.presence.waits();
            // Byte by byte is no way to go on.
            if self.came >= PROGRESS_MIN {
                self.came = 0;
                self.presence.goes_on();
                let kept = match self.unwanted.is_marked() {
                    true => 0,
                    false => self.handed_on,
                };
                self.arriving.hold(self.received.len() + kept);
            }
        }
        received
    }
}

// --- what is sent

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// The client has to take some of what is to be sent, and has just done so, or it is the beginning.
    pub(super) fn waits_to_send(&mut self) {
        self.presence.waits();
        self.presence.goes_on();
        // What was sent is given back with the rest.
        self.largest = self.largest.max(self.sending.capacity());
        self.leaving.hold(self.largest);
    }

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
