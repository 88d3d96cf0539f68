//! What is over and still remembered.

use std::collections::VecDeque;
use std::time::Duration;

use crate::payload::Payload;
use crate::settings::Retention;
use crate::slab::Slab;
use crate::slot::Slot;
use crate::time::Time;

/// The finished events, the oldest first, and for how long they are remembered.
#[derive(Debug)]
pub(super) struct Finished {
    slots: VecDeque<u32>,
    bytes: u64,
    retention: Retention,
}

impl Finished {
    pub(super) fn new(retention: Retention) -> Self {
        Self {
            slots: VecDeque::new(),
            bytes: 0,
            retention,
        }
    }

    /// Remembers an event that has just finished, with its result.
    pub(super) fn push(&mut self, slot: u32, slots: &Slab<Slot>) {
        self.bytes += bytes(&slots[slot]);
        self.slots.push_back(slot);
    }

    /// Takes out the oldest, if it is to be forgotten.
    pub(super) fn pop_expired(&mut self, slots: &Slab<Slot>, now: Time) -> Option<u32> {
        let oldest = *self.slots.front()?;
        let is_young = now.since(slots[oldest].at) <= self.retention.age_max;
        if is_young && self.is_within_bounds() {
            return None;
        }
        self.slots.pop_front();
        self.bytes -= bytes(&slots[oldest]);
        Some(oldest)
    }

    pub(super) fn is_within_bounds(&self) -> bool {
        let Retention {
            events_max,
            bytes_max,
            ..
        } = self.retention;
        self.slots.len() as u32 <= events_max && self.bytes <= bytes_max
    }

    /// When the oldest is to be forgotten.
    pub(super) fn next_expiry(&self, slots: &Slab<Slot>) -> Option<Time> {
        let beyond = self.retention.age_max;
        let beyond = beyond.saturating_add(Duration::from_nanos(1));
        let oldest = *self.slots.front()?;
        Some(slots[oldest].at.after(beyond))
    }
}

fn bytes(slot: &Slot) -> u64 {
    slot.body.as_ref().map_or(0, Payload::size) as u64
}
