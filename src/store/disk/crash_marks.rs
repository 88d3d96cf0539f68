//! Crash marks: the events that run, on record before they do, so that an event whose run kills the process is known to the
//! next one.
//!
//! A file of marks of 128 bytes, each overwritten by one worker. Nothing here is synced: the operating system keeps a write
//! when the process dies, and a death of the machine is not the event's doing.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::files::{File, Files};
use crate::event::request_id::RequestId;
use crate::store::CRASH_MARK_EVENTS_MAX;
use crate::telemetry;

pub(super) const NAME: &str = "running";
const MARK: usize = 128;
const ID: usize = 16;
/// Behind the ids of a mark: the incarnation, the number of ids, and a checksum of all that.
const INCARNATION: usize = ID * CRASH_MARK_EVENTS_MAX;
const COUNT: usize = INCARNATION + 8;
const CHECKSUM: usize = COUNT + 1;
/// The minimum length of the file: room for 32 marks, even on a full disk.
const ROOM: usize = 32 * MARK;

pub(super) struct CrashMarks {
    file: Arc<dyn File>,
    incarnation: u64,
    closed: AtomicBool,
}

impl CrashMarks {
    /// Opens the file, for the incarnation after those in `before`. Returns it, and the events that ran when one of those
    /// ended.
    pub(super) fn open(
        files: &dyn Files,
        before: Range<u64>,
    ) -> io::Result<(Self, Vec<RequestId>)> {
        let fresh = !files.list()?.iter().any(|name| name == NAME);
        let file = files.open(NAME, fresh)?;
        if fresh && before.end > 1 {
            telemetry::store_running_damaged(&files.path(NAME), 0, 0);
        }
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or_default()];
        let read = file.read_full(0, &mut bytes)?;
        for (number, mark) in bytes[..read].chunks(MARK).enumerate() {
            let is_blank = mark.len() == MARK && mark.iter().all(|&byte| byte == 0);
            if !is_blank && written(mark).is_none() {
                let offset = (number * MARK) as u64;
                telemetry::store_running_damaged(&files.path(NAME), offset, mark.len());
            }
        }
        let ran = bytes[..read]
            .chunks(MARK)
            .flat_map(|mark| events(mark, &before));
        let marks = Self {
            file,
            incarnation: before.end,
            closed: AtomicBool::new(false),
        };
        Ok((marks, ran.collect()))
    }

    /// Counts the coming marks to this incarnation.
    pub(super) fn continues(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
    }

    /// Clears the marks: their deaths are on record in the log.
    pub(super) fn clear(&self) -> io::Result<()> {
        // The file keeps its room, for the marks of a process on a full disk.
        let room = usize::try_from(self.file.len()?).unwrap_or_default();
        match self.file.write_at(0, &vec![0; room.max(ROOM)]) {
            Ok(()) => Ok(()),
            Err(_) => self.file.set_len(0),
        }
    }

    /// Clears the marks, and ignores all later ones: the runtime has stopped its workers.
    pub(super) fn close(&self) -> io::Result<()> {
        self.closed.store(true, Ordering::Release);
        self.clear()
    }

    /// Writes a mark: its worker runs these events from now on, one after the other.
    pub(super) fn begin(&self, mark: u32, events: &[RequestId]) -> io::Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut bytes = [0; MARK];
        if !events.is_empty() {
            for (id, event) in bytes[..INCARNATION].chunks_exact_mut(ID).zip(events) {
                id.copy_from_slice(event.as_uuid().as_bytes());
            }
            bytes[INCARNATION..COUNT].copy_from_slice(&self.incarnation.to_le_bytes());
            bytes[COUNT] = events.len().min(CRASH_MARK_EVENTS_MAX) as u8;
            let crc = crc32fast::hash(&bytes[..CHECKSUM]);
            bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&crc.to_le_bytes());
        }
        self.file.write_at(u64::from(mark) * MARK as u64, &bytes)
    }
}

/// Returns the events of a mark, if it is of one of these incarnations.
fn events(mark: &[u8], incarnations: &Range<u64>) -> impl Iterator<Item = RequestId> {
    let ids = written(mark)
        .filter(|(incarnation, _)| incarnations.contains(incarnation))
        .map_or(&[][..], |(_, ids)| ids);
    let ids = ids.chunks_exact(ID).filter_map(|id| id.try_into().ok());
    ids.map(uuid::Uuid::from_bytes).map(RequestId::from)
}

/// Returns the incarnation and the ids of a mark, if it was written in full.
fn written(mark: &[u8]) -> Option<(u64, &[u8])> {
    let (content, rest) = mark.split_at_checked(CHECKSUM)?;
    if crc32fast::hash(content) != u32::from_le_bytes(*rest.first_chunk()?) {
        return None;
    }
    let (ids, rest) = content.split_at_checked(INCARNATION)?;
    let (incarnation, count) = rest.split_first_chunk()?;
    let ids = ids.get(..usize::from(*count.first()?) * ID)?;
    Some((u64::from_le_bytes(*incarnation), ids))
}
