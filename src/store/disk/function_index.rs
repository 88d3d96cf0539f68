//! A shelf: what waits for one function, and what is remembered of what it did.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::segment_table::{EntryState, IndexEntry, Tables};
use crate::event::function_name::FunctionName;
use crate::store::Retained;

/// What a function that isn't open yet may have; its own bounds hold once it is.
const RETAINED_UNTIL_OPENED: Retained = Retained {
    events_max: 100_000,
    bytes_max: 64 << 20,
    age_max: Duration::MAX,
    keys_max: u32::MAX,
};

/// Places that may stand for nothing.
pub(super) const STALE: u64 = 1_000;

#[derive(Debug)]
pub(super) struct FunctionIndex {
    pub(super) name: FunctionName,
    /// The functions, by number, under whose names it was known before: what is on their shelves is its own.
    pub(super) former: Vec<u32>,
    /// Places of parked events. One that left otherwise than in its turn is passed over.
    pub(super) ready: VecDeque<u64>,
    pub(super) delayed: BinaryHeap<Reverse<(u64, u64)>>,
    parked: OverflowCounts,
    /// In the order of their ends.
    finished: VecDeque<FinishedEntry>,
    finished_bytes: u64,
    pub(super) retained: Retained,
    /// Deduplication keys that are taken.
    pub(super) keys: u32,
}

/// How many events are parked, and the bytes of their payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct OverflowCounts {
    pub(super) ready: u64,
    pub(super) delayed: u64,
    pub(super) bytes: u64,
}

impl std::ops::AddAssign for OverflowCounts {
    fn add_assign(&mut self, other: Self) {
        self.ready += other.ready;
        self.delayed += other.delayed;
        self.bytes += other.bytes;
    }
}

#[derive(Debug)]
struct FinishedEntry {
    seq: u64,
    at: u64,
    bytes: u32,
}

impl FunctionIndex {
    pub(super) fn new(name: FunctionName) -> Self {
        Self {
            name,
            former: Vec::new(),
            ready: VecDeque::new(),
            delayed: BinaryHeap::new(),
            parked: OverflowCounts::default(),
            finished: VecDeque::new(),
            finished_bytes: 0,
            retained: RETAINED_UNTIL_OPENED,
            keys: 0,
        }
    }

    // --- what waits

    pub(super) fn parked(&self) -> OverflowCounts {
        self.parked
    }

    /// Takes in an event that is parked from now on.
    pub(super) fn put(&mut self, seq: u64, entry: &IndexEntry, tables: &Tables) {
        self.sweep(tables);
        if entry.delayed {
            self.delayed.push(Reverse((entry.due, seq)));
            self.parked.delayed += 1;
        } else {
            self.ready.push_back(seq);
            self.parked.ready += 1;
        }
        self.parked.bytes += u64::from(entry.bytes);
    }

    /// An event is no longer parked.
    pub(super) fn leave(&mut self, entry: &IndexEntry) {
        if entry.delayed {
            self.parked.delayed -= 1;
        } else {
            self.parked.ready -= 1;
        }
        self.parked.bytes -= u64::from(entry.bytes);
    }

    /// Clears away the places of events that left otherwise than in their turn, if there are many.
    fn sweep(&mut self, tables: &Tables) {
        if self.delayed.len() as u64 > 2 * self.parked.delayed + STALE {
            let waits = |&Reverse((due, seq)): &_| waits(tables, seq, Some(due));
            self.delayed.retain(waits);
        }
        if self.ready.len() as u64 > 2 * self.parked.ready + STALE {
            self.ready.retain(|&seq| waits(tables, seq, None));
        }
    }

    /// The parked event that is due first: when, and its number. Places that stand for nothing are dropped on the way.
    pub(super) fn first(&mut self, tables: &Tables) -> Option<(u64, u64)> {
        while let Some(&seq) = self.ready.front()
            && !waits(tables, seq, None)
        {
            self.ready.pop_front();
        }
        while let Some(&Reverse((due, seq))) = self.delayed.peek()
            && !waits(tables, seq, Some(due))
        {
            self.delayed.pop();
        }
        let ready = self.ready.front();
        let ready = ready.and_then(|&seq| Some((tables.entry(seq)?.due, seq)));
        let delayed = self.delayed.peek().map(|&Reverse(first)| first);
        ready.into_iter().chain(delayed).min()
    }

    /// Drops the place of the event that is due first.
    pub(super) fn pop(&mut self, first: u64) {
        if self.ready.front() == Some(&first) {
            self.ready.pop_front();
        } else {
            self.delayed.pop();
        }
    }

    /// Gives back memory that many more events needed.
    pub(super) fn shrink(&mut self) {
        if self.ready.len() < self.ready.capacity() / 8 {
            self.ready.shrink_to(self.ready.len() * 2);
        }
    }

    // --- what is over

    /// Remembers an event that finished.
    pub(super) fn finish(&mut self, seq: u64, at: u64, bytes: u32) {
        // One that moved comes late, and is older than those that didn't.
        let rank = self.finished.partition_point(|before| before.at <= at);
        self.finished.insert(rank, FinishedEntry { seq, at, bytes });
        self.finished_bytes += u64::from(bytes);
    }

    /// Forgets the oldest finished event, if there are more than are retained, or it is too old.
    pub(super) fn forget(&mut self, now: u64) -> Option<u64> {
        let oldest = self.finished.front()?;
        let age = Duration::from_nanos(now.saturating_sub(oldest.at));
        let within = self.finished.len() as u64 <= u64::from(self.retained.events_max)
            && self.finished_bytes <= self.retained.bytes_max
            && age <= self.retained.age_max;
        if within {
            return None;
        }
        let forgotten = self.finished.pop_front()?;
        self.finished_bytes -= u64::from(forgotten.bytes);
        Some(forgotten.seq)
    }
}

/// Does the place of an event, among the delayed with its time or among the ready, still stand for it?
fn waits(tables: &Tables, seq: u64, due: Option<u64>) -> bool {
    tables.entry(seq).is_some_and(|entry| {
        let delayed = entry.delayed.then_some(entry.due);
        entry.state == EntryState::Spilled && delayed == due
    })
}
