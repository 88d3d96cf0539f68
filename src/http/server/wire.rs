//! The two directions of a connection: received bytes that are not part of a request yet, and bytes to send.
//!
//! actix-http's codec reads heads, frames bodies and writes responses. No more received bytes are kept than a head may have,
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

use super::body::{BodyDecoder, BodyPart, BodyState};
use super::buffered::Share;
use super::connections::Presence;
use super::framing::{Unclear, check_head};
use crate::http::unwanted_body::UnwantedBody;

pub(super) struct Wire<S> {
    stream: S,
    codec: Codec,
    received: BytesMut,
    sending: BytesMut,
    /// Bytes came that may complete a head since the codec found it incomplete.
    head_may_be_whole: bool,
    body: BodyDecoder,
    /// Whether the body is read only to be discarded.
    unwanted: UnwantedBody,
    /// Bytes received since the client's last progress was noted.
    received_since_progress: usize,
    /// The largest capacity of `sending` during this response.
    sending_capacity_max: usize,
    presence: Presence,
    request_share: Share,
    response_share: Share,
}

/// Why no request could be read.
#[derive(Debug)]
pub(super) enum NoRequest {
    /// The client left between two requests.
    Gone,
    /// The client left within a request.
    BrokenOff,
    Malformed(ParseError),
    /// Another reader could read the request differently.
    Unclear(Unclear),
}

const OTHER_PROTOCOL: Unclear = "it asks for a tunnel or a WebSocket, which aren't served";
/// The largest head, in bytes: the codec's own bound.
pub(super) const HEAD_BYTES_MAX: usize = 131_072;
/// The capacity that is reserved for received bytes when less than `ROOM_MIN` is left.
const ROOM: usize = 16 << 10;
const ROOM_MIN: usize = 1 << 10;
/// A client makes progress with a request when it has sent this many more bytes of it.
const PROGRESS_MIN: usize = 16 << 10;
/// A send buffer that has grown beyond this is freed after the response.
const SENDING_KEPT_MAX: usize = 128 << 10;

impl<S> Wire<S> {
    pub(super) fn new(
        stream: S,
        config: ServiceConfig,
        presence: Presence,
        [request_share, response_share]: [Share; 2],
    ) -> Self {
        Self {
            stream,
            codec: Codec::new(config),
            received: BytesMut::new(),
            sending: BytesMut::new(),
            head_may_be_whole: true,
            body: BodyDecoder::new(BodyState::Over, false),
            unwanted: UnwantedBody::default(),
            received_since_progress: 0,
            sending_capacity_max: 0,
            presence,
            request_share,
            response_share,
        }
    }

    /// The client has sent or taken all that its request needs.
    pub(super) fn set_serving(&mut self) {
        self.presence.set_serving();
        self.request_share.hold(0);
        self.response_share.hold(0);
        (self.received_since_progress, self.sending_capacity_max) = (0, 0);
    }

    /// The connection waits for its client.
    pub(super) fn set_waiting(&mut self) {
        self.presence.set_waiting();
    }

    pub(super) fn body(&self) -> BodyState {
        self.body.state()
    }

    /// Returns whether all received bytes were read.
    pub(super) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Returns whether the connection outlives its current request.
    pub(super) fn keeps_alive(&self) -> bool {
        self.codec.keep_alive()
    }

    /// Enqueues the head of a response.
    pub(super) fn begin_response(&mut self, head: Response<()>, size: BodySize) -> io::Result<()> {
        self.codec
            .encode(Message::Item((head, size)), &mut self.sending)
    }

    /// Enqueues a part of the response's body, or its end. Returns how many bytes are to be sent.
    pub(super) fn continue_response(&mut self, part: Option<Bytes>) -> io::Result<usize> {
        self.codec.encode(Message::Chunk(part), &mut self.sending)?;
        Ok(self.sending.len())
    }

    /// Enqueues the head of the connection's last response, which belongs to no request.
    pub(super) fn begin_last_response(
        &mut self,
        head: Response<()>,
        size: BodySize,
    ) -> io::Result<()> {
        // A new codec: the method of the request before, HEAD for instance, must not shape this response.
        self.codec = Codec::new(self.codec.config().clone());
        self.begin_response(head, size)
    }
}

// --- receiving

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Returns the next request, without its body.
    pub(super) fn poll_request(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Result<Request, NoRequest>> {
        loop {
            if std::mem::take(&mut self.head_may_be_whole) {
                match self.decode_head() {
                    Ok(Some(request)) => return Poll::Ready(self.begin_request(request)),
                    Ok(None) => {}
                    Err(why) => return Poll::Ready(Err(why)),
                }
            }
            let known = self.received.len();
            match ready!(self.poll_needed(task)) {
                Ok(0) | Err(_) if known == 0 => return Poll::Ready(Err(NoRequest::Gone)),
                Ok(0) | Err(_) => return Poll::Ready(Err(NoRequest::BrokenOff)),
                // A head that comes byte by byte is not parsed again for each byte.
                Ok(_) => {
                    let line_ended = self.received[known..].contains(&b'\n');
                    let full = self.received.len() >= HEAD_BYTES_MAX;
                    self.head_may_be_whole = known == 0 || line_ended || full;
                }
            }
        }
    }

    fn decode_head(&mut self) -> Result<Option<Request>, NoRequest> {
        check_head(&self.received).map_err(NoRequest::Unclear)?;
        match self.codec.decode(&mut self.received) {
            Ok(Some(Message::Item(request))) => Ok(Some(request)),
            Ok(None) => Ok(None),
            // Between requests the codec expects no body.
            Ok(Some(Message::Chunk(_))) => Err(NoRequest::Malformed(ParseError::Incomplete)),
            Err(error) => Err(NoRequest::Malformed(error)),
        }
    }

    /// A head is whole: its request is served from now on, and its body follows.
    fn begin_request(&mut self, request: Request) -> Result<Request, NoRequest> {
        self.request_share.hold(0);
        if !self.presence.set_serving() {
            return Err(NoRequest::Gone);
        }
        self.head_may_be_whole = true;
        self.unwanted = UnwantedBody::default();
        request.extensions_mut().insert(self.unwanted.clone());
        let state = match self.codec.message_type() {
            MessageType::None => BodyState::Over,
            // A reader that does not change the protocol would find another request where this one finds an endless body.
            MessageType::Stream => return Err(NoRequest::Unclear(OTHER_PROTOCOL)),
            MessageType::Payload if request.head().expect() => BodyState::Awaited,
            MessageType::Payload => BodyState::Coming,
        };
        let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
        self.body = BodyDecoder::new(state, is_chunked);
        Ok(request)
    }

    /// Returns the next part of the body. Sends `100 Continue` first if the client waits for it.
    pub(super) fn poll_body(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, PayloadError>>> {
        match self.body.state() {
            BodyState::Over => return Poll::Ready(None),
            BodyState::Broken => return Poll::Ready(Some(Err(PayloadError::Incomplete(None)))),
            BodyState::Awaited => {
                self.sending
                    .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                self.body.begin();
            }
            BodyState::Coming => {}
        }
        if !self.sending.is_empty() && matches!(self.poll_send(task), Poll::Ready(Err(_))) {
            return self.break_off_body(PayloadError::Incomplete(None));
        }
        loop {
            match self.body.decode(&mut self.codec, &mut self.received) {
                Ok(BodyPart::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(BodyPart::End) => {
                    self.set_serving();
                    return Poll::Ready(None);
                }
                Ok(BodyPart::Incomplete) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(self.poll_needed(task)) {
                Ok(0) => return self.break_off_body(PayloadError::Incomplete(None)),
                Ok(_) => {}
                Err(error) => return self.break_off_body(PayloadError::Incomplete(Some(error))),
            }
        }
    }

    fn break_off_body(&mut self, error: PayloadError) -> Poll<Option<Result<Bytes, PayloadError>>> {
        Poll::Ready(Some(Err(self.body.break_off(error))))
    }

    /// Waits until the client closes its sending half, or returns an error when the connection is lost. Requests that arrive
    /// meanwhile are kept for later.
    pub(super) fn poll_client_end(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.body.state() != BodyState::Over || self.received.len() >= HEAD_BYTES_MAX {
                return Poll::Pending;
            }
            if ready!(self.poll_receive(task))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Discards received bytes, up to `bytes_max`, until the client sends no more.
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
            self.received_since_progress += bytes;
        }
        received
    }

    /// As `poll_receive`, for bytes that the request can't continue without: the connection waits for its client.
    fn poll_needed(&mut self, task: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let received = self.poll_receive(task);
        if received.is_pending() {
            self.presence.set_waiting();
            // Single bytes are not progress.
            if self.received_since_progress >= PROGRESS_MIN {
                self.received_since_progress = 0;
                self.presence.note_progress();
                let kept = match self.unwanted.is_marked() {
                    true => 0,
                    false => self.body.handed_on(),
                };
                self.request_share.hold(self.received.len() + kept);
            }
        }
        received
    }
}

// --- sending

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// The connection waits for its client to take the response. Called at the beginning, and whenever it has taken some.
    pub(super) fn set_sending(&mut self) {
        self.presence.set_waiting();
        self.presence.note_progress();
        // The buffer keeps its capacity until all of it is sent.
        self.sending_capacity_max = self.sending_capacity_max.max(self.sending.capacity());
        self.response_share.hold(self.sending_capacity_max);
    }

    /// Sends everything that is enqueued.
    pub(super) fn poll_send(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !ready!(self.poll_send_some(task))? {}
        Poll::Ready(Ok(()))
    }

    /// Sends as much as the client takes now. Returns whether everything was sent before.
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
        } else if self.sending.capacity() > SENDING_KEPT_MAX {
            self.sending = BytesMut::new();
        } else {
            self.sending.clear();
        }
        Poll::Ready(Ok(false))
    }

    /// Closes the sending half.
    pub(super) fn poll_shutdown(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
