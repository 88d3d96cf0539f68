//! The header of a segment: its format, the state of the folder at its beginning, and whether it is the oldest one.
//!
//! ```text
//! magic: 16 bytes | Opened: a frame | zeros | Oldest: a frame, or zeros          128 bytes
//! ```
//!
//! It is durable before anything follows, and fits into one sector, which a disk writes as a whole. The mark at its end is
//! written in place, durably, before the segment in front is removed: the oldest segment of a log is number 1, or is marked.

use super::file_error::{damaged, io_error, missing};
use super::files::{File, Files};
use super::frame::{self, FramePlace};
use super::record::{LogRecord, Opened};
use super::segment_file::name;
use crate::error::{StoreError, StoreErrorKind};

/// The first bytes of a segment, which name the format.
const MAGIC: &[u8; 16] = b"redrive log   2\n";
/// The first format: without a key ring's id, and with no mark on the oldest segment.
const MAGIC_1: &[u8; 16] = b"redrive log   1\n";
/// The length of a header, filled up with zeros.
pub(super) const HEADER: usize = 128;
/// The offset of the mark of the oldest segment.
const MARK: usize = HEADER - 16;

/// A header that was read.
#[derive(Clone)]
pub(super) struct Header {
    number: u32,
    pub(super) opened: Opened,
    /// Why it can't be the oldest segment; `None` if it can.
    preceded: Option<Preceded>,
}

#[derive(Clone, Copy)]
enum Preceded {
    Unmarked,
    /// Its mark was written in part: the segment in front of it was about to be removed.
    MarkedInPart,
}

impl Header {
    /// Refuses a segment that isn't the oldest one, although none is in front of it.
    pub(super) fn require_oldest(&self, files: &dyn Files) -> Result<(), StoreError> {
        match self.preceded {
            None => Ok(()),
            Some(Preceded::Unmarked) => Err(missing(files, &name(self.number - 1))),
            Some(Preceded::MarkedInPart) => Err(damaged(files, &name(self.number), MARK)),
        }
    }
}

/// Returns the header of segment `number`.
pub(super) fn write(number: u32, opened: &Opened) -> Result<Vec<u8>, StoreError> {
    let mut bytes = MAGIC.to_vec();
    let record = LogRecord::Opened(opened.clone());
    frame::append(&mut bytes, place(number, MAGIC.len()), |buffer| {
        record.write(buffer)
    })
    .map_err(|error| StoreError::new(format!("a segment's header can't be encoded: {error}")))?;
    bytes.resize(HEADER, 0);
    Ok(bytes)
}

/// Reads the header at the beginning of `bytes`, the contents of segment `number`.
pub(super) fn read(files: &dyn Files, number: u32, bytes: &[u8]) -> Result<Header, StoreError> {
    let damaged_at = |at| damaged(files, &name(number), at);
    let Some(bytes) = bytes.get(..HEADER) else {
        return Err(damaged_at(bytes.len()));
    };
    let (magic, rest) = bytes.split_at(MAGIC.len());
    let is_first_format = magic == MAGIC_1;
    if magic != MAGIC && !is_first_format {
        return Err(foreign(files, number, magic));
    }
    let at = place(number, MAGIC.len());
    let body = frame::read(rest, at).map(|found| found.body.to_vec());
    let mut body = body.map_err(|_| damaged_at(MAGIC.len()))?;
    if is_first_format {
        body.extend([0, 0]); // no key ring, nothing configured
    }
    let Ok(LogRecord::Opened(opened)) = LogRecord::read(&body) else {
        return Err(damaged_at(MAGIC.len()));
    };
    let is_certain = is_first_format || number == 1;
    Ok(Header {
        number,
        opened,
        preceded: preceded(number, &bytes[MARK..]).filter(|_| !is_certain),
    })
}

/// Returns why a segment with this mark can't be the oldest one.
fn preceded(number: u32, mark: &[u8]) -> Option<Preceded> {
    let found = frame::read(mark, place(number, MARK)).map(|found| LogRecord::read(found.body));
    match found {
        Ok(Ok(LogRecord::Oldest)) => None,
        _ if mark.iter().all(|&byte| byte == 0) => Some(Preceded::Unmarked),
        _ => Some(Preceded::MarkedInPart),
    }
}

/// Marks segment `number`, in `file`, as the oldest one, durably: the segments in front of it can be removed then.
pub(super) fn mark_oldest(
    files: &dyn Files,
    number: u32,
    file: &dyn File,
) -> Result<(), StoreError> {
    let mark = mark(number)?;
    let written = file.write_at(MARK as u64, &mark).and_then(|()| file.sync());
    written.map_err(|error| io_error(files, &name(number), "write to", &error))
}

/// Marks the segment whose header is at the beginning of `bytes` as the oldest one.
pub(super) fn set_oldest(bytes: &mut [u8], number: u32) -> Result<(), StoreError> {
    let mark = mark(number)?;
    bytes[MARK..MARK + mark.len()].copy_from_slice(&mark);
    Ok(())
}

fn mark(number: u32) -> Result<Vec<u8>, StoreError> {
    let mut mark = Vec::new();
    frame::append(&mut mark, place(number, MARK), |buffer| {
        LogRecord::Oldest.write(buffer)
    })
    .map_err(|error| StoreError::new(format!("a segment's mark can't be encoded: {error}")))?;
    Ok(mark)
}

/// Returns whether `bytes` are the rest of a segment whose creation a crash interrupted.
pub(super) fn is_unborn(bytes: &[u8]) -> bool {
    let is_zero = bytes.iter().all(|&byte| byte == 0);
    if bytes.len() >= HEADER {
        return bytes.len() == HEADER && is_zero;
    }
    let length = bytes.len().min(MAGIC.len());
    is_zero
        || [MAGIC, MAGIC_1]
            .iter()
            .any(|magic| bytes[..length] == magic[..length])
}

/// Returns the error for a segment with another beginning.
fn foreign(files: &dyn Files, number: u32, magic: &[u8]) -> StoreError {
    if !magic.starts_with(b"redrive log ") || !magic.ends_with(b"\n") {
        return damaged(files, &name(number), 0);
    }
    let theirs = String::from_utf8_lossy(&magic[12..15]).trim().to_owned();
    let message = format!(
        "`{}` has format {theirs}, and this version of redrive reads formats 1 and 2: use the version that wrote it",
        files.path(&name(number))
    );
    StoreError::of(StoreErrorKind::Version, message)
}

fn place(segment: u32, offset: usize) -> FramePlace {
    FramePlace {
        segment,
        offset: offset as u32,
    }
}
