//! The body of the request that is being served: it takes the parts of the body out of the received bytes, and bounds and
//! checks their framing.

use std::fmt;
use std::io;

use actix_codec::Decoder;
use actix_http::error::{ParseError, PayloadError};
use actix_http::h1::{Codec, Message};
use actix_web::web::{Bytes, BytesMut};

use super::framing::Chunks;

/// The bytes of framing that a body may have beyond one for each byte of data. More costs time and carries nothing.
const SPARE_FRAMING: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum BodyState {
    /// It was read to its end, or there is none.
    Over,
    /// The client waits for `100 Continue` before it sends the body.
    Awaited,
    Coming,
    /// Its end will never be known.
    Broken,
}

pub(super) struct BodyDecoder {
    state: BodyState,
    /// Follows the framing of a chunked body.
    chunks: Option<Chunks>,
    /// The bytes of data that were handed to the request, which holds them until the body is whole.
    handed_on: usize,
    /// The bytes of framing (sizes of chunks, extensions, trailers) that may still come.
    spare_framing: usize,
}

pub(super) enum BodyPart {
    Data(Bytes),
    End,
    /// The received bytes hold no whole part.
    Incomplete,
}

impl BodyDecoder {
    pub(super) fn new(state: BodyState, is_chunked: bool) -> Self {
        Self {
            state,
            chunks: is_chunked.then(Chunks::new),
            handed_on: 0,
            spare_framing: SPARE_FRAMING,
        }
    }

    pub(super) fn state(&self) -> BodyState {
        self.state
    }

    pub(super) fn handed_on(&self) -> usize {
        self.handed_on
    }

    /// The client is asked for the body.
    pub(super) fn begin(&mut self) {
        self.state = BodyState::Coming;
    }

    /// The body ends with this error.
    pub(super) fn break_off(&mut self, error: PayloadError) -> PayloadError {
        self.state = BodyState::Broken;
        error
    }

    /// Takes the next part out of the received bytes.
    pub(super) fn decode(
        &mut self,
        codec: &mut Codec,
        received: &mut BytesMut,
    ) -> Result<BodyPart, PayloadError> {
        let part = self.try_decode(codec, received);
        part.map_err(|error| self.break_off(error))
    }

    fn try_decode(
        &mut self,
        codec: &mut Codec,
        received: &mut BytesMut,
    ) -> Result<BodyPart, PayloadError> {
        if let Some(chunks) = &mut self.chunks {
            chunks.check(received).map_err(malformed_chunk)?;
        }
        let before = received.len();
        let decoded = codec.decode(received);
        let taken = before - received.len();
        if let Some(chunks) = &mut self.chunks {
            chunks.read(taken);
        }
        let data = match &decoded {
            Ok(Some(Message::Chunk(Some(part)))) => part.len(),
            _ => 0,
        };
        self.count_framing(taken.saturating_sub(data), data)?;
        match decoded {
            Ok(Some(Message::Chunk(Some(part)))) => {
                self.handed_on += part.len();
                Ok(BodyPart::Data(part))
            }
            Ok(Some(Message::Chunk(None))) => {
                self.state = BodyState::Over;
                Ok(BodyPart::End)
            }
            Ok(None) => Ok(BodyPart::Incomplete),
            Ok(Some(Message::Item(_))) => Err(PayloadError::EncodingCorrupted),
            Err(ParseError::Io(error)) => Err(malformed_chunk(error)),
            Err(error) => Err(malformed_chunk(error)),
        }
    }

    fn count_framing(&mut self, framing: usize, data: usize) -> Result<(), PayloadError> {
        let spare = (self.spare_framing + data).checked_sub(framing);
        self.spare_framing = spare.ok_or_else(|| {
            let problem = "its chunks have more sizes, extensions and trailers than data";
            PayloadError::Io(io::Error::other(problem))
        })?;
        Ok(())
    }
}

fn malformed_chunk(problem: impl fmt::Display) -> PayloadError {
    let problem = format!("a chunk is malformed: {problem}");
    PayloadError::Io(io::Error::other(problem))
}
