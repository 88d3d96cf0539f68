//! Which events run: on record before they do, so that one whose run kills the process is known by the next one.
//!
//! A file of lanes, 128 bytes each. Whoever runs events has a lane and overwrites it. Nothing here is synced: what the
//! operating system was given survives the death of the process, and if the machine dies it was not the event's doing.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::files::{File, Files};
use crate::event::request_id::RequestId;
use crate::store::CRASH_MARK_EVENTS_MAX;
use crate::telemetry;

pub(super) const NAME: &str = "running";
const LANE: usize = 128;
const ID: usize = 16;
/// Behind the ids of a lane: the incarnation, how many ids there are, and a checksum of all that.
const INCARNATION: usize = ID * CRASH_MARK_EVENTS_MAX;
const COUNT: usize = INCARNATION + 8;
const CHECKSUM: usize = COUNT + 1;
/// For so many bytes of lanes there is always room.
const ROOM: usize = 32 * LANE;

pub(super) struct CrashMarks {
    file: Arc<dyn File>,
    incarnation: u64,
    closed: AtomicBool,
}

impl CrashMarks {
    /// Begins anew, as the incarnation after `before`; answers which events ran when one of those ended.
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
        for (number, lane) in bytes[..read].chunks(LANE).enumerate() {
            let is_blank = lane.len() == LANE && lane.iter().all(|&byte| byte == 0);
            if !is_blank && written(lane).is_none() {
                let offset = (number * LANE) as u64;
                telemetry::store_running_damaged(&files.path(NAME), offset, lane.len());
            }
        }
        let ran = bytes[..read]
            .chunks(LANE)
            .flat_map(|lane| events(lane, &before));
        let running = Self {
            file,
            incarnation: before.end,
            closed: AtomicBool::new(false),
        };
        Ok((running, ran.collect()))
    }

    /// What runs from now on runs in this incarnation.
    pub(super) fn continues(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
    }

    /// Forgets what ran before: it is on record elsewhere.
    pub(super) fn clear(&self) -> io::Result<()> {
        // The file keeps its room: on a full disk, too, runs are to be on record.
        let room = usize::try_from(self.file.len()?).unwrap_or_default();
        match self.file.write_at(0, &vec![0; room.max(ROOM)]) {
            Ok(()) => Ok(()),
            Err(_) => self.file.set_len(0),
        }
    }

    /// Nothing runs any more, whatever is still said.
    pub(super) fn close(&self) -> io::Result<()> {
        self.closed.store(true, Ordering::Release);
        self.clear()
    }

    /// The lane runs these events from now on, one after the other.
    pub(super) fn begin(&self, lane: u32, events: &[RequestId]) -> io::Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut bytes = [0; LANE];
        if !events.is_empty() {
            for (id, event) in bytes[..INCARNATION].chunks_exact_mut(ID).zip(events) {
                id.copy_from_slice(event.as_uuid().as_bytes());
            }
            bytes[INCARNATION..COUNT].copy_from_slice(&self.incarnation.to_le_bytes());
            bytes[COUNT] = events.len().min(CRASH_MARK_EVENTS_MAX) as u8;
            let crc = crc32fast::hash(&bytes[..CHECKSUM]);
            bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&crc.to_le_bytes());
        }
        self.file.write_at(u64::from(lane) * LANE as u64, &bytes)
    }
}

/// The events that the lane ran in one of these incarnations.
fn events(lane: &[u8], incarnations: &Range<u64>) -> impl Iterator<Item = RequestId> {
    let ids = written(lane)
        .filter(|(incarnation, _)| incarnations.contains(incarnation))
        .map_or(&[][..], |(_, ids)| ids);
    let ids = ids.chunks_exact(ID).filter_map(|id| id.try_into().ok());
    ids.map(uuid::Uuid::from_bytes).map(RequestId::from)
}

/// Who wrote the lane, and which ids, if it was written in full.
fn written(lane: &[u8]) -> Option<(u64, &[u8])> {
    let (told, rest) = lane.split_at_checked(CHECKSUM)?;
    if crc32fast::hash(told) != u32::from_le_bytes(*rest.first_chunk()?) {
        return None;
    }
    let (ids, rest) = told.split_at_checked(INCARNATION)?;
    let (incarnation, count) = rest.split_first_chunk()?;
    let ids = ids.get(..usize::from(*count.first()?) * ID)?;
    Some((u64::from_le_bytes(*incarnation), ids))
}
