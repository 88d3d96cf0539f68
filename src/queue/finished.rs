//! What is over and still remembered.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::time::Time;
use crate::event::attempt::Attempt;
use crate::event::failure::Failure;
use crate::event::payload::Payload;
use crate::function::settings::Retention;
use crate::queue::entry::{Side, Slot};
use crate::queue::slab::Slab;

/// The finished events, the oldest first, and for how long they are remembered.
#[derive(Debug)]
pub(super) struct Finished {
    /// Each with the bytes that it counts as.
    slots: VecDeque<(u32, u32)>,
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
        let bytes = bytes(&slots[slot]);
        self.bytes += u64::from(bytes);
        self.slots.push_back((slot, bytes));
    }

    /// Takes out the oldest, if it is to be forgotten.
    pub(super) fn pop_expired(&mut self, slots: &Slab<Slot>, now: Time) -> Option<u32> {
        let (oldest, bytes) = *self.slots.front()?;
        let is_young = now.since(slots[oldest].at) <= self.retention.age_max;
        if is_young && self.is_within_bounds() {
            return None;
        }
        self.slots.pop_front();
        self.bytes -= u64::from(bytes);
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
        let (oldest, _) = *self.slots.front()?;
        Some(slots[oldest].at.after(beyond))
    }
}

/// Of a success the result, of a death the payload and the texts of its failures.
fn bytes(slot: &Slot) -> u32 {
    let result = slot.body.as_ref().map_or(0, Payload::size);
    let letter = slot.side.as_deref().and_then(|side| side.letter.as_ref());
    let buried = letter.map_or(0, |letter| letter.payload.size() + texts(&letter.attempts));
    u32::try_from(result + buried + failed_texts(slot.side.as_deref())).unwrap_or(u32::MAX)
}

/// Bytes of the texts of an event's failures.
pub(super) fn failed_texts(side: Option<&Side>) -> usize {
    side.map_or(0, |side| texts(&side.attempts))
}

pub(super) fn texts(attempts: &[Attempt]) -> usize {
    let failures = attempts.iter().map(|attempt| &attempt.failure);
    failures.map(Failure::text_len).sum()
}
