//! Frames: the form of a record in a file, which makes a torn or damaged one recognisable.
//!
//! ```text
//! length: u32 LE, its top bit set if the unit goes on | CRC-32 of length, segment, offset and body: u32 LE | body
//! ```
//!
//! The checksum covers the place of the frame, so that a stale or copied frame is refused. Frames whose unit goes on count only
//! together with the rest of the unit: so a batch is kept as a whole or not at all.

/// The length of a frame's head.
pub(super) const HEAD: usize = 8;
/// Set in the length of a frame whose unit goes on.
const MORE: u32 = 1 << 31;
/// The longest body, far above any payload that the limits allow.
const BODY_MAX: u32 = 1 << 30;

/// The shortest frame of an event.
const EVENT_MIN: u32 = 32;

/// The longest frame.
pub(super) const LENGTH_MAX: usize = HEAD + BODY_MAX as usize;

/// The place where a frame begins.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(super) struct FramePlace {
    pub(super) segment: u32,
    pub(super) offset: u32,
}

impl FramePlace {
    /// Returns the maximum number of events before it in its segment.
    pub(super) fn records_before(self) -> u64 {
        u64::from(self.offset / EVENT_MIN)
    }
}

/// A frame that was read.
#[derive(Debug, PartialEq)]
pub(super) struct Frame<'a> {
    pub(super) body: &'a [u8],
    /// Whether its unit goes on in the next frame.
    pub(super) more: bool,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unframed {
    /// Nothing was written here, or a part only.
    Short,
    /// The bytes are not the ones that were written.
    Damaged,
}

/// Appends a frame for `place` to `buffer`; `write` appends its body.
pub(super) fn append<E>(
    buffer: &mut Vec<u8>,
    place: FramePlace,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = buffer.len();
    buffer.extend([0; HEAD]);
    if let Err(error) = write(buffer) {
        buffer.truncate(start);
        return Err(error);
    }
    let length = (buffer.len() - start - HEAD) as u32;
    write_head(&mut buffer[start..], place, length);
    Ok(())
}

/// Marks the frame at the beginning of `frame` as one whose unit goes on.
pub(super) fn set_more(frame: &mut [u8], place: FramePlace) {
    let length = word(frame, 0) | MORE;
    write_head(frame, place, length);
}

/// Writes the head of a frame.
fn write_head(frame: &mut [u8], place: FramePlace, length: u32) {
    frame[..4].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(
        length,
        place,
        &frame[HEAD..HEAD + (length & !MORE) as usize],
    );
    frame[4..HEAD].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the frame at the beginning of `bytes`, which lie at `place`.
pub(super) fn read(bytes: &[u8], place: FramePlace) -> Result<Frame<'_>, Unframed> {
    if bytes.len() < HEAD {
        return Err(Unframed::Short);
    }
    let (length, crc) = (word(bytes, 0), word(bytes, 4));
    if length == 0 && crc == 0 {
        return Err(Unframed::Short);
    }
    let Some(body) = bytes.get(HEAD..HEAD + (length & !MORE) as usize) else {
        return Err(if length & !MORE > BODY_MAX {
            Unframed::Damaged
        } else {
            Unframed::Short
        });
    };
    if checksum(length, place, body) != crc {
        return Err(Unframed::Damaged);
    }
    Ok(Frame {
        body,
        more: length & MORE != 0,
    })
}

/// Returns the length of the frame whose head is at the beginning of `bytes`; `None` if no head is there.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let length = (bytes.len() >= HEAD).then(|| word(bytes, 0) & !MORE)?;
    (length > 0 && length <= BODY_MAX).then_some(HEAD + length as usize)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn checksum(length: u32, place: FramePlace, body: &[u8]) -> u32 {
    let mut head = [0; 12];
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..8].copy_from_slice(&place.segment.to_le_bytes());
    head[8..].copy_from_slice(&place.offset.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    crc.update(body);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: FramePlace = FramePlace {
        segment: 7,
        offset: 4_096,
    };

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        let write = |buffer: &mut Vec<u8>| {
            buffer.extend(body);
            Ok::<_, ()>(())
        };
        append(&mut buffer, AT, write).unwrap();
        buffer
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut bytes = frame(b"body");
        assert_eq!(length(&bytes), Some(bytes.len()));
        let whole = Frame {
            body: b"body",
            more: false,
        };
        assert_eq!(read(&bytes, AT), Ok(whole));
        set_more(&mut bytes, AT);
        bytes.extend(b"what follows");
        let more = Frame {
            body: b"body",
            more: true,
        };
        assert_eq!(read(&bytes, AT), Ok(more));
    }

    #[test]
    fn a_frame_at_another_place_or_with_a_flipped_bit_is_damaged() {
        let bytes = frame(b"body");
        for (segment, offset) in [(8, 4_096), (7, 4_097)] {
            assert_eq!(
                read(&bytes, FramePlace { segment, offset }),
                Err(Unframed::Damaged)
            );
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bytes, AT).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_that_is_cut_off_is_short() {
        let bytes = frame(b"body");
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len], AT), Err(Unframed::Short));
        }
        assert_eq!(read(&[0; 100], AT), Err(Unframed::Short));
    }
}
