//! The log, open for writing: segments in their order, of which the last one grows.
//!
//! ```text
//! 00000001.log   magic | Opened | frames …                              no longer needed: removed, the oldest first
//! 00000002.log   magic | Opened: after segment 1, of n bytes | frames …
//! 00000003.log   magic | Opened: after segment 2, of n bytes | Emptied   not needed, and not the oldest
//! 00000004.log   magic | Opened: after segment 3, of n bytes | frames … | torn by a crash
//! ```
//!
//! A segment is durable to its last byte before the next one begins, and the next one's header holds its length. So only the
//! last segment can be torn, and only behind the last byte that a later frame reports as synced. Any other unreadable byte is
//! damage, and the error names it. A torn end stays in its file: the next opening begins a new segment.
//!
//! One kind of damage looks like a torn write: damage in the last segment that reaches its end, or so far that no `Synced`
//! mark is left behind it. A mark comes with the first commit after a sync. So opening the store reports a last segment that
//! doesn't end with `Closed`: up to which byte it counts, and how many bytes behind that don't. An orderly end writes `Closed`
//! and the next opening begins another segment, so that later damage to earlier records is never taken for a torn write.
//!
//! The opening notices a segment that was removed from outside: one in the middle by its number, the oldest by its mark
//! (`header.rs`), all of them by the other files. If the newest ones are gone, the opening reports that the last one left
//! isn't closed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::atomic_file;
use super::file_error::io_error;
use super::files::{File, Files};
use super::frame::{self, FramePlace};
use super::header::{self, HEADER};
use super::loaded_segment::ClosedSegment;
use super::open_segments::OpenSegments;
use super::record::{LogRecord, Opened};
use super::segment_file::{self, name};
use crate::error::{StoreError, StoreErrorKind};

/// The log, open for writing.
pub(super) struct LogWriter {
    files: Arc<dyn Files>,
    pub(super) segments: Arc<OpenSegments>,
    number: u32,
    file: Arc<dyn File>,
    /// The last segment takes nothing more: the next one could not begin when the log was opened.
    is_over: bool,
    /// Where the next frame goes.
    end: u32,
    /// The last segment is durable up to here.
    synced: u32,
    /// Bytes of all segments but the last.
    closed_bytes: u64,
    lengths: BTreeMap<u32, u32>,
}

impl LogWriter {
    /// Begins a new segment behind the closed ones. Without room, it tries again after `make_room` returned `true`, and
    /// otherwise begins the segment later.
    pub(super) fn begin(
        files: Arc<dyn Files>,
        closed: Vec<ClosedSegment>,
        opened: &Opened,
        make_room: impl FnOnce() -> bool,
    ) -> Result<Self, StoreError> {
        let number = closed.last().map_or(1, |last| last.number + 1);
        // A segment whose creation a crash interrupted.
        remove(&*files, number)?;
        let begun = match create(&*files, number, opened) {
            Err(error) if error.kind() == StoreErrorKind::Full && make_room() => {
                create(&*files, number, opened)
            }
            begun => begun,
        };
        let (number, file, end, is_over) = match (begun, closed.last()) {
            (Ok((file, end)), _) => (number, file, end, false),
            // `roll` begins it as soon as it can.
            (Err(error), Some(last)) if error.is_passing() => {
                let last_name = name(last.number);
                let file = files
                    .open(&last_name, false)
                    .map_err(|error| io_error(&*files, &last_name, "open", &error))?;
                (last.number, file, last.end, true)
            }
            (Err(error), _) => return Err(error),
        };
        let lengths: BTreeMap<_, _> = closed
            .iter()
            .map(|segment| (segment.number, segment.end))
            .filter(|(closed, _)| *closed != number)
            .collect();
        let segments = OpenSegments::new(files.clone());
        segments.begin(number, file.clone());
        Ok(Self {
            files,
            segments: Arc::new(segments),
            number,
            file,
            is_over,
            end,
            synced: end,
            closed_bytes: lengths.values().map(|&length| u64::from(length)).sum(),
            lengths,
        })
    }

    /// Returns whether the last segment takes no more frames, also if it has room.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns the length of a closed segment.
    pub(super) fn length(&self, number: u32) -> Option<u32> {
        self.lengths.get(&number).copied()
    }

    /// Returns the place of the next frame.
    pub(super) fn end(&self) -> FramePlace {
        FramePlace {
            segment: self.number,
            offset: self.end,
        }
    }

    /// Returns up to where the last segment is known to be durable.
    pub(super) fn synced(&self) -> u32 {
        self.synced
    }

    /// Returns whether all frames are durable.
    pub(super) fn is_synced(&self) -> bool {
        self.synced == self.end
    }

    /// Returns the length of all segments together.
    pub(super) fn bytes(&self) -> u64 {
        self.closed_bytes + u64::from(self.end)
    }

    pub(super) fn segments_count(&self) -> usize {
        self.lengths.len() + 1
    }

    /// Writes frames at the end, not durable yet. After an error none of them counts.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let end = u64::from(self.end);
        if let Err(error) = self.file.write_at(end, bytes) {
            // The next opening must not read the written part as frames, neither here nor behind the next write.
            let cut = self.file.set_len(end).and_then(|()| self.file.sync());
            let error = io_error(&*self.files, &name(self.number), "write to", &error);
            if cut.is_ok() {
                self.synced = self.end;
                return Err(error);
            }
            return Err(StoreError::of(StoreErrorKind::Failed, error.to_string()));
        }
        self.end += bytes.len() as u32;
        Ok(())
    }

    /// Makes all frames durable. After an error, the contents of the disk are unknown, and the store has failed.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        if self.is_synced() {
            return Ok(());
        }
        self.file.sync().map_err(|error| {
            let error = io_error(&*self.files, &name(self.number), "sync", &error);
            StoreError::of(StoreErrorKind::Failed, error.to_string())
        })?;
        self.synced = self.end;
        Ok(())
    }

    /// Cuts off the frames behind `end`, which must not count, if the file still allows it.
    pub(super) fn cut(&mut self, end: u32) {
        if self.file.set_len(u64::from(end)).is_ok() {
            self.end = end;
            self.synced = self.synced.min(end);
            let _ = self.file.sync(); // no promise depends on it
        }
    }

    /// Writes the mark of an orderly end, durably. No write follows.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        let mut bytes = Vec::new();
        let place = self.end();
        frame::append(&mut bytes, place, |buffer| LogRecord::Closed.write(buffer))
            .map_err(|error| StoreError::new(format!("the end can't be encoded: {error}")))?;
        let written = self.file.write_at(u64::from(self.end), &bytes);
        written
            .and_then(|()| self.file.sync())
            .map_err(|error| io_error(&*self.files, &name(self.number), "write to", &error))
    }

    /// Returns whether the last segment has no frame yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.end as usize == HEADER
    }

    /// Closes the last segment and begins another. Returns its number.
    pub(super) fn roll(&mut self, opened: &Opened) -> Result<u32, StoreError> {
        self.sync()?;
        let next = self.number + 1;
        let (file, end) = match create(&*self.files, next, opened) {
            Err(error) if error.kind() == StoreErrorKind::Short && self.segments.close_all() => {
                create(&*self.files, next, opened)?
            }
            created => created?,
        };
        self.segments.begin(next, file.clone());
        self.closed_bytes += u64::from(self.end);
        self.lengths.insert(self.number, self.end);
        (self.number, self.file, self.end, self.synced) = (next, file, end, end);
        self.is_over = false;
        Ok(next)
    }

    /// Removes the oldest segment, which has no needed record.
    pub(super) fn remove(&mut self, number: u32) -> Result<(), StoreError> {
        let next = self.lengths.range(number + 1..).next();
        let next = next.map_or(self.number, |(&next, _)| next);
        let file = self.segments.get(next);
        let file = file.map_err(|error| io_error(&*self.files, &name(next), "open", &error))?;
        header::mark_oldest(&*self.files, next, &*file)?;
        remove(&*self.files, number)?;
        self.segments.close(number);
        self.closed_bytes -= u64::from(self.lengths.remove(&number).unwrap_or_default());
        Ok(())
    }

    /// Takes the records out of a segment without needed records that can't be removed because older ones must stay. The file is
    /// replaced as a whole, so that a crash leaves the old one or the new one.
    pub(super) fn empty(&mut self, number: u32) -> Result<(), StoreError> {
        let mut bytes = segment_file::read_start(&*self.files, number, HEADER)?;
        header::read(&*self.files, number, &bytes)?;
        let place = FramePlace {
            segment: number,
            offset: HEADER as u32,
        };
        frame::append(&mut bytes, place, |buffer| LogRecord::Emptied.write(buffer)).map_err(
            |error| StoreError::new(format!("an empty segment can't be encoded: {error}")),
        )?;
        atomic_file::write(&*self.files, &name(number), &bytes)?;
        self.segments.close(number);
        let length = self.lengths.entry(number).or_default();
        self.closed_bytes -= u64::from(std::mem::replace(length, bytes.len() as u32));
        self.closed_bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Creates a segment with its header, durably. Returns its file, and the end of the header.
fn create(
    files: &dyn Files,
    number: u32,
    opened: &Opened,
) -> Result<(Arc<dyn File>, u32), StoreError> {
    let name = name(number);
    let bytes = header::write(number, opened)?;
    let failed = |error| io_error(files, &name, "create", &error);
    let file = files.open(&name, true).map_err(failed)?;
    let begun = file.write_at(0, &bytes).and_then(|()| file.sync());
    let Err(error) = begun.and_then(|()| files.sync()) else {
        return Ok((file, bytes.len() as u32));
    };
    // Its header would close the segment before it.
    let gone = files.remove(&name).and_then(|()| files.sync());
    let error = failed(error);
    Err(match gone {
        Ok(()) => error,
        Err(_) => StoreError::of(StoreErrorKind::Failed, error.to_string()),
    })
}

/// Removes a segment, durably: after a loss of power, this one must not exist while a later one is gone.
fn remove(files: &dyn Files, number: u32) -> Result<(), StoreError> {
    let name = name(number);
    let removed = match files.remove(&name) {
        // It was removed before, but not durably.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    let removed = removed.and_then(|()| files.sync());
    removed.map_err(|error| io_error(files, &name, "remove", &error))
}
