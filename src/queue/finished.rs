//! Finished events: how long they are remembered, and their remains after that.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::time::Time;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::DeadLetter;
use crate::event::failure::Failure;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::function::settings::Retention;
use crate::queue::entry::{Side, Slot};
use crate::queue::event_table::EventTable;

/// The finished events, the oldest first, and for how long they are remembered.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Each with the bytes that it counts as.
    slots: VecDeque<(u32, u32)>,
    bytes: u64,
    retention: Retention,
    /// Letters of forgotten events, which may hold the last reference to a payload: not to be dropped under a lock.
    pub(crate) forgotten_letters: Vec<DeadLetter>,
    /// Chosen request ids that are forgotten, for the index of them (`admission/request_ids.rs`).
    pub(crate) forgotten_ids: Vec<RequestId>,
}

impl Finished {
    pub(super) fn new(retention: Retention) -> Self {
        Self {
            slots: VecDeque::new(),
            bytes: 0,
            retention,
            forgotten_letters: Vec::new(),
            forgotten_ids: Vec::new(),
        }
    }

    /// Adds an event that has just finished, with its result.
    pub(super) fn push(&mut self, slot: u32, table: &EventTable) {
        let bytes = bytes(&table[slot]);
        self.bytes += u64::from(bytes);
        self.slots.push_back((slot, bytes));
    }

    /// Forgets at most `budget` events that are beyond the retention.
    pub(super) fn expire(&mut self, table: &mut EventTable, now: Time, budget: u32) {
        for _ in 0..budget {
            match self.pop_expired(table, now) {
                Some(oldest) => self.forget(table, oldest),
                None => break,
            }
        }
    }

    /// Frees the slot of an event.
    pub(super) fn forget(&mut self, table: &mut EventTable, slot: u32) {
        let slot = table.remove(slot);
        if slot.chosen_id {
            self.forgotten_ids.push(slot.id);
        }
        self.forgotten_letters
            .extend(slot.side.and_then(|side| side.letter));
    }

    /// Takes out the oldest event, if it is to be forgotten.
    fn pop_expired(&mut self, table: &EventTable, now: Time) -> Option<u32> {
        let (oldest, bytes) = *self.slots.front()?;
        let is_young = now.since(table[oldest].at) <= self.retention.age_max;
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

    /// Returns when the oldest event is to be forgotten.
    pub(super) fn next_expiry(&self, table: &EventTable) -> Option<Time> {
        let beyond = self.retention.age_max;
        let beyond = beyond.saturating_add(Duration::from_nanos(1));
        let (oldest, _) = *self.slots.front()?;
        Some(table[oldest].at.after(beyond))
    }
}

/// Returns the bytes that a finished event holds: the result of a success; the payload and the texts of the failures of a
/// dead letter.
fn bytes(slot: &Slot) -> u32 {
    let result = slot.body.as_ref().map_or(0, Payload::size);
    let letter = slot.side.as_deref().and_then(|side| side.letter.as_ref());
    let letter = letter.map_or(0, |letter| letter.payload.size() + texts(&letter.attempts));
    u32::try_from(result + letter + failed_texts(slot.side.as_deref())).unwrap_or(u32::MAX)
}

/// Returns the bytes of the texts of an event's failures.
pub(super) fn failed_texts(side: Option<&Side>) -> usize {
    side.map_or(0, |side| texts(&side.attempts))
}

pub(super) fn texts(attempts: &[Attempt]) -> usize {
    let failures = attempts.iter().map(|attempt| &attempt.failure);
    failures.map(Failure::text_len).sum()
}
