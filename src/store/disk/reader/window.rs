//! A window on a segment: the part that was read last, so that records beside each other cost one read.

use std::io;
use std::sync::Arc;

use crate::store::disk::files::File;
use crate::store::disk::frame::{self, FramePlace};
use crate::store::disk::open_segments::OpenSegments;

/// Minimum bytes of one read.
const READ_MIN: usize = 4 << 10;
/// Maximum bytes of one read. Events that wait together lie together, so a read that follows another is twice as long.
const READ_MAX: usize = 256 << 10;

#[derive(Default)]
pub(in crate::store::disk) struct Window {
    segment: u32,
    file: Option<Arc<dyn File>>,
    start: u64,
    bytes: Vec<u8>,
    /// The minimum length of this read, doubled by the next if that follows.
    ahead: usize,
}

impl Window {
    /// Reads at least `wanted` bytes at `at`, or as many as the file has.
    fn read(&mut self, file: &dyn File, at: u64, wanted: usize) -> io::Result<()> {
        let end = self.start + self.bytes.len() as u64;
        if at >= self.start && at + wanted as u64 <= end {
            return Ok(());
        }
        let follows = at >= self.start && at <= end + self.ahead as u64;
        self.ahead = match follows {
            true => (self.ahead * 2).clamp(READ_MIN, READ_MAX),
            false => READ_MIN,
        };
        let there = usize::try_from(file.len()?.saturating_sub(at)).unwrap_or(usize::MAX);
        self.bytes.resize(self.ahead.max(wanted).min(there), 0);
        let read = file.read_full(at, &mut self.bytes)?;
        self.bytes.truncate(read);
        self.start = at;
        Ok(())
    }

    /// Returns the bytes from `place` on: the frame there, at least.
    pub(super) fn frame(
        &mut self,
        segments: &OpenSegments,
        place: FramePlace,
    ) -> io::Result<&[u8]> {
        let at = u64::from(place.offset);
        let read = self.read_frame(segments, place.segment, at);
        if read.is_err() {
            self.bytes.clear();
        }
        read?;
        let from = (at - self.start) as usize;
        Ok(self.bytes.get(from..).unwrap_or_default())
    }

    fn read_frame(&mut self, segments: &OpenSegments, segment: u32, at: u64) -> io::Result<()> {
        let file = match self.file.clone().filter(|_| self.segment == segment) {
            Some(file) => file,
            None => {
                let file = segments.get(segment)?;
                *self = Self {
                    segment,
                    file: Some(file.clone()),
                    ..Self::default()
                };
                file
            }
        };
        // First the usual length of a frame, then the length in its head.
        self.read(&*file, at, frame::HEAD)?;
        let from = (at - self.start) as usize;
        if let Some(length) = self.bytes.get(from..).and_then(frame::length) {
            self.read(&*file, at, length)?;
        }
        Ok(())
    }
}
