//! How much is pending in a queue, and how much more may come in.

use crate::queue::RefusalReason;
use crate::queue::overflow::Overflow;

#[derive(Debug)]
pub(crate) struct QueueBounds {
    pub(crate) events_max: u32,
    pub(crate) bytes_max: u64,
    /// So many ready events that the store has are here, and so many delayed ones; the others overflow.
    pub(crate) window: u32,
}

/// Pending events and their bytes: here, on their way into the store, and in the overflow.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(super) bounds: QueueBounds,
    events: u32,
    bytes: u64,
    /// Places that are reserved for events that are being stored.
    reserved_events: u32,
    reserved_bytes: u64,
    pub(crate) overflow: Overflow,
}

impl Volume {
    pub(super) fn new(bounds: QueueBounds) -> Self {
        Self {
            bounds,
            events: 0,
            bytes: 0,
            reserved_events: 0,
            reserved_bytes: 0,
            overflow: Overflow::default(),
        }
    }

    /// Counts an event that came in.
    #[inline]
    pub(super) fn add(&mut self, bytes: u64) {
        self.events += 1;
        self.bytes += bytes;
    }

    /// Counts an event that is no longer pending here.
    #[inline]
    pub(super) fn remove(&mut self, bytes: u64) {
        self.events -= 1;
        self.bytes -= bytes;
    }

    /// The texts of an event's failures grew from `before` to `after` bytes.
    pub(super) fn resize(&mut self, before: usize, after: usize) {
        self.bytes -= before as u64;
        self.bytes += after as u64;
    }

    /// Reserves places for events that are being stored; `unreserve` must follow.
    pub(crate) fn reserve(&mut self, events: u32, bytes: u64) -> Result<(), RefusalReason> {
        if events > self.room() {
            return Err(RefusalReason::EventsMax);
        } else if bytes > self.room_bytes() {
            return Err(RefusalReason::BytesMax);
        }
        self.reserved_events += events;
        self.reserved_bytes += bytes;
        Ok(())
    }

    pub(crate) fn unreserve(&mut self, events: u32, bytes: u64) {
        self.reserved_events -= events;
        self.reserved_bytes -= bytes;
    }

    /// Returns whether events are being stored.
    pub(crate) fn is_storing(&self) -> bool {
        self.reserved_events > 0
    }

    /// Returns how many events are pending.
    pub(crate) fn pending(&self) -> u32 {
        let overflow = u32::try_from(self.overflow.events()).unwrap_or(u32::MAX);
        (self.events + self.reserved_events).saturating_add(overflow)
    }

    pub(crate) fn pending_bytes(&self) -> u64 {
        self.bytes + self.reserved_bytes + self.overflow.bytes
    }

    /// Returns how many more events may be pending.
    pub(crate) fn room(&self) -> u32 {
        self.bounds.events_max.saturating_sub(self.pending())
    }

    /// Returns how many more bytes may be pending.
    pub(crate) fn room_bytes(&self) -> u64 {
        self.bounds.bytes_max.saturating_sub(self.pending_bytes())
    }
}
