//! The index of one function: the order of its overflow, and its finished events.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::segment_table::{EntryState, IndexEntry, Tables};
use crate::event::function_name::FunctionName;
use crate::store::Retained;

/// The bounds of a function before it is opened with its own.
const RETAINED_UNTIL_OPENED: Retained = Retained {
    events_max: 100_000,
    bytes_max: 64 << 20,
    age_max: Duration::MAX,
    keys_max: u32::MAX,
};

/// Outdated places in the order that are always allowed.
pub(super) const STALE: u64 = 1_000;

#[derive(Debug)]
pub(super) struct FunctionIndex {
    pub(super) name: FunctionName,
    /// The numbers of its former names. Their events belong to it.
    pub(super) former: Vec<u32>,
    /// The events of the overflow that are due. The place of an event that left out of order is outdated, and skipped.
    pub(super) ready: VecDeque<u64>,
    /// The delayed events of the overflow: due time and number. Places can be outdated here too.
    pub(super) delayed: BinaryHeap<Reverse<(u64, u64)>>,
    overflow: OverflowCounts,
    /// The finished events, oldest first.
    finished: VecDeque<FinishedEntry>,
    finished_bytes: u64,
    pub(super) retained: Retained,
    /// The number of its deduplication keys.
    pub(super) keys: u32,
}

/// The number of events in an overflow, and the bytes of their payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::store::disk) struct OverflowCounts {
    pub(in crate::store::disk) ready: u64,
    pub(in crate::store::disk) delayed: u64,
    pub(in crate::store::disk) bytes: u64,
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
            overflow: OverflowCounts::default(),
            finished: VecDeque::new(),
            finished_bytes: 0,
            retained: RETAINED_UNTIL_OPENED,
            keys: 0,
        }
    }

    // --- the overflow

    pub(super) fn overflow(&self) -> OverflowCounts {
        self.overflow
    }

    /// Adds an event to the overflow.
    pub(super) fn insert(&mut self, seq: u64, entry: &IndexEntry, tables: &Tables) {
        self.sweep(tables);
        if entry.delayed {
            self.delayed.push(Reverse((entry.due, seq)));
            self.overflow.delayed += 1;
        } else {
            self.ready.push_back(seq);
            self.overflow.ready += 1;
        }
        self.overflow.bytes += u64::from(entry.bytes);
    }

    /// Counts an event out that left the overflow. Its place in the order is outdated.
    pub(super) fn count_out(&mut self, entry: &IndexEntry) {
        if entry.delayed {
            self.overflow.delayed -= 1;
        } else {
            self.overflow.ready -= 1;
        }
        self.overflow.bytes -= u64::from(entry.bytes);
    }

    /// Removes outdated places, if there are many.
    fn sweep(&mut self, tables: &Tables) {
        if self.delayed.len() as u64 > 2 * self.overflow.delayed + STALE {
            let waits = |&Reverse((due, seq)): &_| waits(tables, seq, Some(due));
            self.delayed.retain(waits);
        }
        if self.ready.len() as u64 > 2 * self.overflow.ready + STALE {
            self.ready.retain(|&seq| waits(tables, seq, None));
        }
    }

    /// Returns the due time and the number of the first event. Removes outdated places on the way.
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

    /// Removes the place of the first event.
    pub(super) fn pop(&mut self, first: u64) {
        if self.ready.front() == Some(&first) {
            self.ready.pop_front();
        } else {
            self.delayed.pop();
        }
    }

    /// Frees the memory of a much longer overflow.
    pub(super) fn shrink(&mut self) {
        if self.ready.len() < self.ready.capacity() / 8 {
            self.ready.shrink_to(self.ready.len() * 2);
        }
    }

    // --- finished events

    /// Adds an event that finished.
    pub(super) fn push_finished(&mut self, seq: u64, at: u64, bytes: u32) {
        // A moved event is added late, and goes before those that finished after it.
        let rank = self.finished.partition_point(|before| before.at <= at);
        self.finished.insert(rank, FinishedEntry { seq, at, bytes });
        self.finished_bytes += u64::from(bytes);
    }

    /// Removes and returns the oldest finished event, if there are more than the bounds allow, or it is too old.
    pub(super) fn pop_finished(&mut self, now: u64) -> Option<u64> {
        let oldest = self.finished.front()?;
        let age = Duration::from_nanos(now.saturating_sub(oldest.at));
        let within = self.finished.len() as u64 <= u64::from(self.retained.events_max)
            && self.finished_bytes <= self.retained.bytes_max
            && age <= self.retained.age_max;
        if within {
            return None;
        }
        let removed = self.finished.pop_front()?;
        self.finished_bytes -= u64::from(removed.bytes);
        Some(removed.seq)
    }
}

/// Returns whether an event still waits at a place of the order: with its time among the delayed, without among the ready.
fn waits(tables: &Tables, seq: u64, due: Option<u64>) -> bool {
    tables.entry(seq).is_some_and(|entry| {
        let delayed = entry.delayed.then_some(entry.due);
        entry.state == EntryState::Spilled && delayed == due
    })
}
