//! The index: the state of every event, the place of its record, and the overflow of every function.
//!
//! ```text
//!           append                 spill                  settle
//!   ─────────────────▶ Held ◀────────────────▶ Spilled ─────────────▶ Done, Dead ──▶ Gone
//!                       └────────── fetch ◀───────┘                        retention, purge, redrive
//! ```
//!
//! Pure: it applies the facts of records in the order of the log, in the same way while the store runs and when it is
//! opened. An event costs 32 bytes here while its segment exists, one in the overflow 8 more. Compaction removes segments
//! oldest first, so that no record outlives the event it is about, and moves the records that are still needed to the end of
//! the log. A full disk can't wait for that: there, any segment without needed records is emptied, unless its records
//! supersede some that still exist.

mod apply;
mod chosen_ids;
mod fact;
mod function_index;
mod functions;
mod keys;
mod letters;
mod overflow;
mod segment_table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::frame::FramePlace;
use crate::event::request_id::RequestId;
use chosen_ids::ChosenIdIndex;
use functions::Functions;
use keys::RecordedKeys;
use letters::LetterOrder;
use segment_table::Tables;

pub(super) use fact::{EventFact, Fact, FinishedFact, Tail, facts};
pub(super) use keys::MovableKey;
pub(super) use segment_table::{EntryState, IndexEntry};

/// How often finished events are checked for their age, in nanoseconds.
const TRIM_EVERY: u64 = 1_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) tables: Tables,
    tails: FxHashMap<u64, Tail>,
    chosen_ids: ChosenIdIndex,
    pub(super) functions: Functions,
    pub(super) letters: LetterOrder,
    pub(super) keys: RecordedKeys,
    /// When finished events are checked for their age next.
    trim_at: u64,
    /// Where a salvage could read nothing, and how many bytes there.
    lost: BTreeMap<FramePlace, u32>,
    /// The number of the next event.
    pub(super) next: u64,
}

impl Index {
    /// Begins a segment, for events from number `base` on.
    pub(super) fn begin_segment(&mut self, number: u32, base: u64) {
        self.next = self.next.max(base);
        self.tables.begin(number, base);
    }

    /// Returns how many events the last segment accepted.
    pub(super) fn last_events(&self) -> u64 {
        self.next.saturating_sub(self.tables.last_base())
    }

    /// Returns the number of the event with this id, if the index knows the event.
    pub(super) fn seq(&self, id: RequestId) -> Option<u64> {
        let seq = self.chosen_ids.get(id).or_else(|| id.stored_at())?;
        self.entry(seq).map(|_| seq)
    }

    /// Returns whether an event has this id.
    pub(super) fn is_taken(&self, id: RequestId) -> bool {
        self.chosen_ids.get(id).is_some() || self.seq(id).is_some()
    }

    pub(super) fn entry(&self, seq: u64) -> Option<&IndexEntry> {
        self.tables.entry(seq)
    }

    pub(super) fn tail(&self, seq: u64) -> Option<Tail> {
        self.tails.get(&seq).copied()
    }

    /// Returns whether a salvage lost the record at `place`.
    pub(super) fn is_lost(&self, place: FramePlace) -> bool {
        let before = self.lost.range(..=place).next_back();
        before.is_some_and(|(from, &bytes)| {
            from.segment == place.segment && place.offset - from.offset < bytes
        })
    }

    /// Inserts an event, or moves it to another record.
    fn insert(&mut self, seq: u64, entry: IndexEntry) {
        if self.tables.insert(seq, entry) {
            self.next = seq + 1;
        }
    }

    fn remove(&mut self, seq: u64) {
        if self.tables.remove(seq) {
            self.tails.remove(&seq);
            self.chosen_ids.remove(seq);
        }
    }

    /// Removes finished events of a function beyond its bounds.
    fn trim(&mut self, function: u32, now: u64) {
        while let Some(seq) = self.functions.get_mut(function).pop_finished(now) {
            self.remove(seq);
        }
    }

    /// Removes finished events that are too old, and expired keys.
    pub(super) fn expire(&mut self, now: u64) {
        if self.trim_at <= now {
            self.trim_at = now.saturating_add(TRIM_EVERY);
            (0..self.functions.count()).for_each(|function| self.trim(function, now));
        }
        self.keys.expire(&mut self.tables, &mut self.functions, now);
    }

    /// Returns whether the function has as many keys as it may have, with `more` in the current batch.
    pub(super) fn keys_are_full(&mut self, function: u32, more: usize, now: u64) -> bool {
        let full = |index: &Self| {
            let function = index.functions.get(function);
            u64::from(function.keys) + more as u64 >= u64::from(function.retained.keys_max)
        };
        if full(self) {
            self.expire(now);
        }
        full(self)
    }
}
