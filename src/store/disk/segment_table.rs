//! The tables: where the record of every event lies, segment by segment.
//!
//! An event stands in the table of the segment that it was accepted in, at the place that its number gives it; once its
//! record lies elsewhere, it is among the moved.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::frame::FramePlace;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryState {
    /// Pending; the runtime has it.
    Held,
    /// Pending, and only here.
    Spilled,
    /// Over; its end is remembered.
    Done,
    Dead,
    /// Nothing is known of it any more.
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct IndexEntry {
    pub(super) place: FramePlace,
    pub(super) due: u64,
    pub(super) function: u32,
    /// Of its payload, or of its result.
    pub(super) bytes: u32,
    /// What its records take in the log: those that are needed for it.
    pub(super) weight: u32,
    pub(super) state: EntryState,
    pub(super) delayed: bool,
}

impl IndexEntry {
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, EntryState::Held | EntryState::Spilled)
    }
}

/// A deduplication key of a function.
pub(super) type DeduplicationKey = (u32, Box<str>);
/// The digest of an idempotency key of a function.
pub(super) type ExecutionKey = (u32, [u8; 32]);

/// A segment, and the events that were accepted in it.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) number: u32,
    base: u64,
    entries: Vec<IndexEntry>,
    /// Events of earlier segments whose records lie here, and keys; some may have gone.
    guests: Vec<u64>,
    pub(super) keys: Vec<DeduplicationKey>,
    pub(super) executions: Vec<ExecutionKey>,
    /// Events and keys whose records lie here and are needed, and their bytes.
    live: u64,
    live_bytes: u64,
    /// The oldest and the newest segment that held a record which one of these supersedes. While one of those is there,
    /// these must be.
    supersedes: Option<(u32, u32)>,
    /// Its records were taken out.
    is_emptied: bool,
}

impl Table {
    fn own(&self) -> impl Iterator<Item = (u64, &IndexEntry)> {
        (self.base..).zip(&self.entries)
    }
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    tables: VecDeque<Table>,
    /// Events whose record doesn't lie in the segment that they were accepted in.
    moved: BTreeMap<u64, IndexEntry>,
}

impl Tables {
    // --- segments

    /// A segment begins: events from `base` on are accepted in it.
    pub(super) fn begin(&mut self, number: u32, base: u64) {
        self.tables.push_back(Table {
            number,
            base,
            ..Table::default()
        });
    }

    pub(super) fn drop_newest(&mut self) {
        self.tables.pop_back();
    }

    pub(super) fn drop_oldest(&mut self) {
        self.tables.pop_front();
    }

    /// The oldest segment, unless it is the last one too.
    pub(super) fn oldest(&self) -> Option<&Table> {
        self.tables.front().filter(|_| self.tables.len() > 1)
    }

    /// The oldest segment, if nothing in it is needed and it isn't the last.
    pub(super) fn emptied(&self) -> Option<u32> {
        let oldest = self.oldest()?;
        (oldest.live == 0).then_some(oldest.number)
    }

    /// A record in segment `newer` supersedes one that lies in segment `older`.
    pub(super) fn supersede(&mut self, newer: u32, older: u32) {
        if let Some(table) = self.segment(newer).filter(|_| older < newer) {
            let (oldest, newest) = table.supersedes.unwrap_or((older, older));
            table.supersedes = Some((oldest.min(older), newest.max(older)));
        }
    }

    pub(super) fn set_emptied(&mut self, number: u32) {
        if let Some(table) = self.segment(number) {
            table.is_emptied = true;
        }
    }

    /// The segments, but for the last one, that can be emptied as soon as nothing in them is needed; and how many bytes of
    /// each are. What they supersede is gone.
    pub(super) fn free(&self) -> impl Iterator<Item = (u32, u64, u64)> {
        let closed = self.tables.len().saturating_sub(1);
        let free = self.tables.iter().take(closed).filter(|table| {
            let superseded = table.supersedes.is_some_and(|(oldest, newest)| {
                self.between(oldest, newest).any(|older| !older.is_emptied)
            });
            !table.is_emptied && !superseded
        });
        free.map(|table| (table.number, table.live, table.live_bytes))
    }

    /// The segments that are there of these.
    fn between(&self, oldest: u32, newest: u32) -> impl Iterator<Item = &Table> {
        let first = self.tables.front().map_or(0, |table| table.number);
        let skipped = oldest.saturating_sub(first) as usize;
        let tables = self.tables.iter().skip(skipped);
        tables.take_while(move |table| table.number <= newest)
    }

    /// How many bytes of the last segment are needed.
    pub(super) fn last_live_bytes(&self) -> u64 {
        self.tables.back().map_or(0, |table| table.live_bytes)
    }

    /// The number of the first event that the last segment accepted, or will accept.
    pub(super) fn last_base(&self) -> u64 {
        self.tables.back().map_or(0, |table| table.base)
    }

    /// Events whose record lies in this segment and is needed: some of them.
    pub(super) fn movable(&self, number: u32, limit: usize) -> Vec<u64> {
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
        // One that came and ended here is a guest twice.
        let mut known = HashSet::new();
        own.map(|(seq, _)| seq)
            .chain(table.guests.iter().copied().filter(here))
            .filter(|&seq| known.insert(seq))
            .take(limit)
            .collect()
    }

    /// The segment with this number, unless it is the last one.
    pub(super) fn closed(&self, number: u32) -> Option<&Table> {
        let first = self.oldest()?.number;
        let at = number.checked_sub(first)? as usize;
        self.tables.get(at).filter(|_| at + 1 < self.tables.len())
    }

    /// The segment with this number.
    pub(super) fn segment(&mut self, number: u32) -> Option<&mut Table> {
        let first = self.tables.front()?.number;
        self.tables.get_mut(number.checked_sub(first)? as usize)
    }

    // --- what is needed of them

    pub(super) fn live_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.live_bytes).sum()
    }

    pub(super) fn live(&self) -> u64 {
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

    /// Another record is needed for the event: one that leads back to those before.
    pub(super) fn weigh(&mut self, seq: u64, weight: u32) {
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

    /// Where the event stands among those that were accepted in a segment that exists.
    fn own(&self, seq: u64) -> Option<(usize, usize)> {
        let table = self
            .tables
            .partition_point(|table| table.base <= seq)
            .checked_sub(1)?;
        let at = (seq - self.tables[table].base) as usize;
        (at < self.tables[table].entries.len()).then_some((table, at))
    }

    /// Every event that something is known of.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &IndexEntry)> {
        let own = self.tables.iter().flat_map(Table::own);
        let own = own.filter(|(_, entry)| entry.state != EntryState::Gone);
        let moved = self.moved.iter().map(|(&seq, entry)| (seq, entry));
        moved.chain(own)
    }

    /// The events after number `after`, in their order: with entries that are gone where nothing is known.
    pub(super) fn after(&self, after: u64) -> impl Iterator<Item = (u64, &IndexEntry)> {
        let from = after.saturating_add(1);
        let moved = self.moved.range(from..).map(|(&seq, entry)| (seq, entry));
        // What moved comes from before all tables, or is over.
        let first = self.tables.front().map_or(0, |table| table.base);
        let moved = moved.take_while(move |&(seq, _)| seq < first);
        let own = self.tables.iter().flat_map(move |table| {
            let skip = from.saturating_sub(table.base) as usize;
            // What moved already from the oldest one.
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

    /// The event's record lies there now. Answers whether it is the next one to be accepted in the last segment.
    pub(super) fn insert(&mut self, seq: u64, entry: IndexEntry) -> bool {
        let Some(last) = self.tables.back_mut() else {
            return false;
        };
        // Events in front of it that a salvage could not save.
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
        last.guests.push(seq);
        if let Some(&old) = self.entry(seq) {
            self.discount(old.place, old.weight);
        }
        self.count(entry.place, entry.weight);
        self.leave(seq);
        self.moved.insert(seq, entry);
        false
    }

    /// Nothing is to be known of the event any more. Answers whether anything was.
    pub(super) fn remove(&mut self, seq: u64) -> bool {
        let Some(&entry) = self.entry(seq) else {
            return false;
        };
        self.discount(entry.place, entry.weight);
        if self.moved.remove(&seq).is_none() {
            self.leave(seq);
        }
        true
    }

    /// It no longer stands where it was accepted.
    fn leave(&mut self, seq: u64) {
        if let Some((table, at)) = self.own(seq) {
            self.tables[table].entries[at].state = EntryState::Gone;
        }
    }
}
