//! The tables of the segments: the entry of every event, and how much of each segment is still needed.
//!
//! An event's entry is in the table of the segment that accepted it, at the position that follows from its number. When its
//! record lies in another segment, the entry is among the moved ones.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::store::disk::frame::FramePlace;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::disk) enum EntryState {
    /// Pending; the runtime holds it.
    Held,
    /// Pending, in the overflow.
    Spilled,
    /// Succeeded or cancelled, and remembered.
    Done,
    /// A dead letter.
    Dead,
    /// Forgotten.
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::store::disk) struct IndexEntry {
    pub(in crate::store::disk) place: FramePlace,
    pub(in crate::store::disk) due: u64,
    pub(in crate::store::disk) function: u32,
    /// The length of its payload, or of its result.
    pub(in crate::store::disk) bytes: u32,
    /// The length of its needed records in the log.
    pub(in crate::store::disk) weight: u32,
    pub(in crate::store::disk) state: EntryState,
    pub(in crate::store::disk) delayed: bool,
}

impl IndexEntry {
    pub(in crate::store::disk) fn is_pending(&self) -> bool {
        matches!(self.state, EntryState::Held | EntryState::Spilled)
    }
}

/// A deduplication key of a function.
pub(super) type DeduplicationKey = (u32, Box<str>);
/// The digest of an idempotency key of a function.
pub(in crate::store::disk) type ExecutionKey = (u32, [u8; 32]);

/// A segment, and the events that it accepted.
#[derive(Debug, Default)]
pub(in crate::store::disk) struct Table {
    pub(in crate::store::disk) number: u32,
    base: u64,
    entries: Vec<IndexEntry>,
    /// Events of earlier segments that were moved here; some may be gone.
    moved_in: Vec<u64>,
    pub(super) keys: Vec<DeduplicationKey>,
    pub(super) executions: Vec<ExecutionKey>,
    /// The number of events, keys and results whose needed record lies here, and the bytes of those records.
    live: u64,
    live_bytes: u64,
    /// The oldest and the newest segment with a record that one of this segment supersedes. While one of those segments
    /// exists, this one must.
    supersedes: Option<(u32, u32)>,
    /// Its records were removed; its file stays, because older ones do.
    is_emptied: bool,
}

impl Table {
    fn own(&self) -> impl Iterator<Item = (u64, &IndexEntry)> {
        (self.base..).zip(&self.entries)
    }
}

#[derive(Debug, Default)]
pub(in crate::store::disk) struct Tables {
    tables: VecDeque<Table>,
    /// Events whose record lies in another segment than the one that accepted them.
    moved: BTreeMap<u64, IndexEntry>,
}

impl Tables {
    // --- segments

    /// Begins a segment, for events from number `base` on.
    pub(in crate::store::disk) fn begin(&mut self, number: u32, base: u64) {
        self.tables.push_back(Table {
            number,
            base,
            ..Table::default()
        });
    }

    pub(in crate::store::disk) fn drop_newest(&mut self) {
        self.tables.pop_back();
    }

    pub(in crate::store::disk) fn drop_oldest(&mut self) {
        self.tables.pop_front();
    }

    /// Returns the oldest segment, unless it is the last one too.
    pub(in crate::store::disk) fn oldest(&self) -> Option<&Table> {
        self.tables.front().filter(|_| self.tables.len() > 1)
    }

    /// Returns the oldest segment, if none of its records is needed and it isn't the last.
    pub(in crate::store::disk) fn emptied(&self) -> Option<u32> {
        let oldest = self.oldest()?;
        (oldest.live == 0).then_some(oldest.number)
    }

    /// Notes that a record in segment `newer` supersedes one in segment `older`.
    pub(super) fn supersede(&mut self, newer: u32, older: u32) {
        if let Some(table) = self.segment(newer).filter(|_| older < newer) {
            let (oldest, newest) = table.supersedes.unwrap_or((older, older));
            table.supersedes = Some((oldest.min(older), newest.max(older)));
        }
    }

    pub(in crate::store::disk) fn set_emptied(&mut self, number: u32) {
        if let Some(table) = self.segment(number) {
            table.is_emptied = true;
        }
    }

    /// Returns the closed segments that can be emptied as soon as no record in them is needed, because all records that
    /// they supersede are gone; and how many records and bytes of each are needed.
    fn free(&self) -> impl Iterator<Item = (u32, u64, u64)> {
        let closed = self.tables.len().saturating_sub(1);
        let free = self.tables.iter().take(closed).filter(|table| {
            let superseded = table.supersedes.is_some_and(|(oldest, newest)| {
                self.between(oldest, newest).any(|older| !older.is_emptied)
            });
            !table.is_emptied && !superseded
        });
        free.map(|table| (table.number, table.live, table.live_bytes))
    }

    /// Returns a segment whose records can be removed now.
    pub(in crate::store::disk) fn unneeded(&self) -> Option<u32> {
        let unneeded = self.free().find(|(_, live, _)| *live == 0);
        unneeded.map(|(number, ..)| number)
    }

    /// Returns the segments that can be emptied once their needed records are moved, and the bytes of those.
    pub(in crate::store::disk) fn movable_segments(&self) -> impl Iterator<Item = (u32, u64)> {
        self.free().map(|(number, _, bytes)| (number, bytes))
    }

    /// Returns the existing segments from `oldest` to `newest`.
    fn between(&self, oldest: u32, newest: u32) -> impl Iterator<Item = &Table> {
        let first = self.tables.front().map_or(0, |table| table.number);
        let skipped = oldest.saturating_sub(first) as usize;
        let tables = self.tables.iter().skip(skipped);
        tables.take_while(move |table| table.number <= newest)
    }

    /// Returns how many bytes of the last segment are needed.
    pub(in crate::store::disk) fn last_live_bytes(&self) -> u64 {
        self.tables.back().map_or(0, |table| table.live_bytes)
    }

    /// Returns the number of the first event that the last segment accepted, or will accept.
    pub(super) fn last_base(&self) -> u64 {
        self.tables.back().map_or(0, |table| table.base)
    }

    /// Returns up to `limit` events whose needed record lies in this closed segment.
    pub(in crate::store::disk) fn movable(&self, number: u32, limit: usize) -> Vec<u64> {
        let Some(table) = self.closed(number) else {
            return Vec::new();
        };
        let own = table
            .own()
            .filter(|(_, entry)| entry.state != EntryState::Gone);
        let here = |seq: &u64| {
            let entry = self.moved.get(seq);
            entry.is_some_and(|entry| entry.place.segment == table.number)
        };
        // An event that was moved here and finished here is in the list twice.
        let mut known = HashSet::new();
        own.map(|(seq, _)| seq)
            .chain(table.moved_in.iter().copied().filter(here))
            .filter(|&seq| known.insert(seq))
            .take(limit)
            .collect()
    }

    /// Returns the segment with this number, unless it is the last one.
    pub(super) fn closed(&self, number: u32) -> Option<&Table> {
        let first = self.oldest()?.number;
        let at = number.checked_sub(first)? as usize;
        self.tables.get(at).filter(|_| at + 1 < self.tables.len())
    }

    /// Returns the segment with this number.
    pub(super) fn segment(&mut self, number: u32) -> Option<&mut Table> {
        let first = self.tables.front()?.number;
        self.tables.get_mut(number.checked_sub(first)? as usize)
    }

    // --- the needed records

    pub(in crate::store::disk) fn live_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.live_bytes).sum()
    }

    pub(in crate::store::disk) fn live(&self) -> u64 {
        self.tables.iter().map(|table| table.live).sum()
    }

    pub(super) fn count(&mut self, place: FramePlace, weight: u32) {
        if let Some(table) = self.segment(place.segment) {
            table.live += 1;
            table.live_bytes += u64::from(weight);
        }
    }

    pub(super) fn discount(&mut self, place: FramePlace, weight: u32) {
        if let Some(table) = self.segment(place.segment) {
            table.live -= 1;
            table.live_bytes -= u64::from(weight);
        }
    }

    /// Counts another record of the event, which leads back to those before.
    pub(super) fn add_weight(&mut self, seq: u64, weight: u32) {
        let Some(entry) = self.entry_mut(seq) else {
            return;
        };
        let more = entry.weight.saturating_add(weight) - entry.weight;
        entry.weight += more;
        let segment = entry.place.segment;
        if let Some(table) = self.segment(segment) {
            table.live_bytes += u64::from(more);
        }
    }

    // --- events

    pub(super) fn entry(&self, seq: u64) -> Option<&IndexEntry> {
        let own = self
            .own(seq)
            .and_then(|(table, at)| self.tables[table].entries.get(at));
        let own = own.filter(|entry| entry.state != EntryState::Gone);
        own.or_else(|| self.moved.get(&seq))
    }

    pub(super) fn entry_mut(&mut self, seq: u64) -> Option<&mut IndexEntry> {
        if let Some((table, at)) = self.own(seq)
            && self.tables[table].entries[at].state != EntryState::Gone
        {
            return self.tables[table].entries.get_mut(at);
        }
        self.moved.get_mut(&seq)
    }

    /// Returns the table and the position of an event in the existing segment that accepted it.
    fn own(&self, seq: u64) -> Option<(usize, usize)> {
        let table = self
            .tables
            .partition_point(|table| table.base <= seq)
            .checked_sub(1)?;
        let at = (seq - self.tables[table].base) as usize;
        (at < self.tables[table].entries.len()).then_some((table, at))
    }

    /// Returns all events that are not forgotten.
    pub(in crate::store::disk) fn all(&self) -> impl Iterator<Item = (u64, &IndexEntry)> {
        let own = self.tables.iter().flat_map(Table::own);
        let own = own.filter(|(_, entry)| entry.state != EntryState::Gone);
        let moved = self.moved.iter().map(|(&seq, entry)| (seq, entry));
        moved.chain(own)
    }

    /// Returns the events after number `after`, in their order. Forgotten ones have entries that are gone.
    pub(super) fn after(&self, after: u64) -> impl Iterator<Item = (u64, &IndexEntry)> {
        let from = after.saturating_add(1);
        let moved = self.moved.range(from..).map(|(&seq, entry)| (seq, entry));
        // Moved events are older than all tables, or finished.
        let first = self.tables.front().map_or(0, |table| table.base);
        let moved = moved.take_while(move |&(seq, _)| seq < first);
        let own = self.tables.iter().flat_map(move |table| {
            let skip = from.saturating_sub(table.base) as usize;
            // Some events of the oldest segment were moved already.
            table
                .own()
                .skip(skip)
                .map(|(seq, entry)| match entry.state {
                    EntryState::Gone => (seq, self.moved.get(&seq).unwrap_or(entry)),
                    _ => (seq, entry),
                })
        });
        moved.chain(own)
    }

    /// Inserts an event, or moves it to another record. Returns whether the last segment accepts it now.
    pub(super) fn insert(&mut self, seq: u64, entry: IndexEntry) -> bool {
        let Some(last) = self.tables.back_mut() else {
            return false;
        };
        // A salvage could not save the events in front of it.
        let end = last.base + last.entries.len() as u64;
        if seq > end && seq - end <= entry.place.records_before() {
            let gone = IndexEntry {
                state: EntryState::Gone,
                ..entry
            };
            last.entries.resize((seq - last.base) as usize, gone);
        }
        if seq == last.base + last.entries.len() as u64 {
            last.entries.push(entry);
            self.count(entry.place, entry.weight);
            return true;
        }
        last.moved_in.push(seq);
        if let Some(&old) = self.entry(seq) {
            self.discount(old.place, old.weight);
        }
        self.count(entry.place, entry.weight);
        self.mark_gone(seq);
        self.moved.insert(seq, entry);
        false
    }

    /// Forgets an event. Returns whether it was known.
    pub(super) fn remove(&mut self, seq: u64) -> bool {
        let Some(&entry) = self.entry(seq) else {
            return false;
        };
        self.discount(entry.place, entry.weight);
        if self.moved.remove(&seq).is_none() {
            self.mark_gone(seq);
        }
        true
    }

    /// Marks the entry in the segment that accepted the event as gone.
    fn mark_gone(&mut self, seq: u64) {
        if let Some((table, at)) = self.own(seq) {
            self.tables[table].entries[at].state = EntryState::Gone;
        }
    }
}
