//! Which events run: on record before they do, so that one whose run kills the process is known by the next one.
//!
//! A file of lanes, 32 bytes each. Whoever runs events has a lane and overwrites it. Nothing here is synced: what the
//! operating system was given survives the death of the process, and if the machine dies it was not the event's doing.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::files::{File, Files};
use crate::event::RequestId;

pub(super) const NAME: &str = "running";
const LANE: usize = 32;

pub(super) struct Running {
    file: Arc<dyn File>,
    incarnation: u64,
    closed: AtomicBool,
}

impl Running {
    /// Begins anew, as the incarnation after `before`; answers which events ran when one of those ended.
    pub(super) fn open(
        files: &dyn Files,
        before: Range<u64>,
    ) -> io::Result<(Self, Vec<RequestId>)> {
        let fresh = !files.list()?.iter().any(|name| name == NAME);
        let file = files.open(NAME, fresh)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or_default()];
        let read = file.read_full(0, &mut bytes)?;
        let ran = bytes[..read]
            .chunks_exact(LANE)
            .filter_map(|lane| event(lane, &before));
        let running = Self {
            file,
            incarnation: before.end,
            closed: AtomicBool::new(false),
        };
        Ok((running, ran.collect()))
    }

    /// Forgets what ran before: it is on record elsewhere.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// Nothing runs any more, whatever is still said.
    pub(super) fn close(&self) -> io::Result<()> {
        self.closed.store(true, Ordering::Release);
        self.clear()
    }

    /// The lane runs this event from now on.
    pub(super) fn begin(&self, lane: u32, event: Option<RequestId>) -> io::Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut bytes = [0; LANE];
        if let Some(event) = event {
            bytes[..16].copy_from_slice(event.as_uuid().as_bytes());
            bytes[16..24].copy_from_slice(&self.incarnation.to_le_bytes());
            let crc = crc32fast::hash(&bytes[..24]);
            bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        }
        self.file.write_at(u64::from(lane) * LANE as u64, &bytes)
    }
}

/// The event that the lane ran in one of these incarnations, if it ran one.
fn event(lane: &[u8], incarnations: &Range<u64>) -> Option<RequestId> {
    let (id, rest) = lane.split_first_chunk::<16>()?;
    let (incarnation, rest) = rest.split_first_chunk::<8>()?;
    let crc = rest.first_chunk::<4>()?;
    let whole = crc32fast::hash(&lane[..24]) == u32::from_le_bytes(*crc);
    let ran = incarnations.contains(&u64::from_le_bytes(*incarnation));
    (whole && ran).then(|| RequestId::from(uuid::Uuid::from_bytes(*id)))
}
