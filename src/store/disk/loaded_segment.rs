//! One segment in memory: its bytes, where it ends, and the replay of its records.
//!
//! The segment behind it says how long a segment is; the last one ends where its first unreadable frame begins, unless a
//! later frame proves that this part was durable. Anything else that can't be read is damage.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::file_error::{damaged, io_error};
use super::files::{File, Files};
use super::frame::{self, FramePlace};
use super::header::{self, HEADER, Header};
use super::record::LogRecord;
use super::segment_file;
use crate::error::StoreError;

/// Memory of segments that were replayed, for the next ones: fresh memory costs as much as reading into it.
pub(super) type SpareMemory = Arc<Mutex<Vec<Vec<u8>>>>;

/// A segment of a log that is being opened, read as a whole.
pub(super) struct LoadedSegment {
    pub(super) number: u32,
    file: Arc<dyn File>,
    bytes: Vec<u8>,
    /// Its length, as the next segment says; `None` for the last one.
    closed_at: Option<u32>,
    /// Takes the memory back once the records are replayed.
    spare: SpareMemory,
}

/// A segment whose records were replayed, and that takes no more of them.
pub(super) struct ClosedSegment {
    pub(super) number: u32,
    /// Where its last record ends.
    pub(super) end: u32,
}

/// Where the last record of a segment ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SegmentEnd {
    pub(super) at: u32,
    /// The store was closed in order there.
    pub(super) closed: bool,
}

impl ClosedSegment {
    /// Returns whether it has a header and no record.
    pub(super) fn is_empty(&self) -> bool {
        self.end as usize == HEADER
    }
}

impl LoadedSegment {
    /// Reads segment `number`, whose length is `closed_at` if another segment follows and says so.
    pub(super) fn read(
        files: &dyn Files,
        number: u32,
        closed_at: Option<u32>,
    ) -> Result<Self, StoreError> {
        Self::read_into(files, number, closed_at, &SpareMemory::default())
    }

    /// Reads as [`read`](Self::read), into memory from `spare` if there is some.
    pub(super) fn read_into(
        files: &dyn Files,
        number: u32,
        closed_at: Option<u32>,
        spare: &SpareMemory,
    ) -> Result<Self, StoreError> {
        let memory = spare.lock().pop().unwrap_or_default();
        let (file, bytes) = read_whole(files, number, memory)?;
        Ok(Self {
            number,
            file,
            bytes,
            closed_at,
            spare: spare.clone(),
        })
    }

    /// Returns the length of its file.
    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn header(&self, files: &dyn Files) -> Result<Header, StoreError> {
        header::read(files, self.number, &self.bytes)
    }

    /// Returns whether a crash interrupted its creation: its header was never written as a whole.
    pub(super) fn is_unborn(&self) -> bool {
        header::is_unborn(&self.bytes)
    }

    /// Returns whether no segment follows that says where this one ends.
    pub(super) fn is_last(&self) -> bool {
        self.closed_at.is_none()
    }

    /// Returns whether compaction took all records out of it.
    pub(super) fn is_emptied(&self) -> bool {
        let rest = self.bytes.get(HEADER..).unwrap_or_default();
        frame::read(rest, self.place(HEADER)).is_ok_and(|found| {
            // Nothing else is in it: the file was replaced as a whole.
            frame::HEAD + found.body.len() == rest.len()
                && matches!(LogRecord::read(found.body), Ok(LogRecord::Emptied))
        })
    }

    /// Passes each record that counts to `learn`, with its place and the length of its frame. Returns where the last one ends.
    ///
    /// The records of a unit count once the last one of them is read.
    pub(super) fn replay(
        &self,
        files: &dyn Files,
        mut learn: impl FnMut(LogRecord<'_>, FramePlace, u32) -> Result<(), StoreError>,
    ) -> Result<SegmentEnd, StoreError> {
        let end_at = |at: usize, closed| SegmentEnd {
            at: at as u32,
            closed,
        };
        header::read(files, self.number, &self.bytes)?;
        if self.is_emptied() {
            return Ok(end_at(self.bytes.len(), false));
        }
        let end = self.closed_at.map_or(self.bytes.len(), |end| end as usize);
        let (mut unit, mut start, mut at) = (Vec::new(), HEADER, HEADER);
        while at < end {
            let place = self.place(at);
            let rest = self.bytes.get(at..end.min(self.bytes.len()));
            let Ok(found) = frame::read(rest.unwrap_or_default(), place) else {
                if self.may_be_torn(at) {
                    break;
                }
                return Err(self.damaged(files, at));
            };
            let Ok(record) = LogRecord::read(found.body) else {
                return Err(self.damaged(files, at));
            };
            let length = frame::HEAD + found.body.len();
            at += length;
            let is_last = at == self.bytes.len() && start + length == at;
            if is_last && matches!(record, LogRecord::Closed) {
                return Ok(end_at(start, true));
            }
            unit.push((record, place, length as u32));
            if !found.more {
                for (record, place, length) in unit.drain(..) {
                    learn(record, place, length)?;
                }
                start = at;
            }
        }
        if self.closed_at.is_some() && start != end {
            return Err(self.damaged(files, start));
        }
        Ok(end_at(start, false))
    }

    /// Makes the bytes up to `end` durable, of which those up to `synced` are known to be, before the next segment says so.
    ///
    /// The previous process may have died before they were durable, or because a sync failed. The operating system then takes
    /// them for written, so they are written again.
    pub(super) fn make_durable(
        &self,
        files: &dyn Files,
        synced: u32,
        end: u32,
    ) -> Result<(), StoreError> {
        let unsure = self.bytes.get(synced as usize..end as usize);
        let (None, Some(bytes)) = (self.closed_at, unsure.filter(|bytes| !bytes.is_empty())) else {
            return Ok(());
        };
        let write = || {
            self.file.write_at(u64::from(synced), bytes)?;
            self.file.sync()
        };
        let name = segment_file::name(self.number);
        write().map_err(|error| io_error(files, &name, "write to", &error))
    }

    /// Releases its memory, once its records are replayed up to `end`.
    pub(super) fn close(self, end: u32) -> ClosedSegment {
        self.spare.lock().push(self.bytes);
        ClosedSegment {
            number: self.number,
            end,
        }
    }

    fn place(&self, at: usize) -> FramePlace {
        FramePlace {
            segment: self.number,
            offset: at as u32,
        }
    }

    fn damaged(&self, files: &dyn Files, at: usize) -> StoreError {
        damaged(files, &segment_file::name(self.number), at)
    }

    /// Returns whether an unreadable frame at `at` may be a write that a crash tore: only in the last segment, and only where
    /// no later frame proves that it was durable.
    fn may_be_torn(&self, at: usize) -> bool {
        self.is_last() && !self.is_synced_beyond(at)
    }

    /// Returns whether a frame behind `at` says that more than `at` was durable.
    fn is_synced_beyond(&self, at: usize) -> bool {
        (at + 1..self.bytes.len()).any(|later| {
            let rest = &self.bytes[later..];
            // Such a frame is short: computing the checksum of longer ones would take too long.
            frame::length(rest).is_some_and(|length| length <= frame::HEAD + 8)
                && frame::read(rest, self.place(later)).is_ok_and(|found| {
                    match LogRecord::read(found.body) {
                        Ok(LogRecord::Synced { upto }) => upto as usize > at,
                        Ok(LogRecord::Closed) => true,
                        _ => false,
                    }
                })
        })
    }
}

/// Reads a segment's file into the memory of `bytes`, which it overwrites.
fn read_whole(
    files: &dyn Files,
    number: u32,
    mut bytes: Vec<u8>,
) -> Result<(Arc<dyn File>, Vec<u8>), StoreError> {
    let name = segment_file::name(number);
    let read = || {
        let file = files.open(&name, false)?;
        let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        bytes.resize(len, 0);
        let read = file.read_full(0, &mut bytes)?;
        bytes.truncate(read);
        Ok::<_, io::Error>((file, bytes))
    };
    read().map_err(|error| io_error(files, &name, "read", &error))
}
