//! The index: where every event's record lies, what state it is in, and what waits for which function.
//!
//! ```text
//!           append                 park                  settle
//!   ─────────────────▶ Held ◀────────────────▶ Parked ─────────────▶ Done, Dead ──▶ Gone
//!                       └────────── fetch ◀───────┘                        retention, purge, redrive
//! ```
//!
//! Pure: it learns facts in the order in which their records lie in the log, while the store runs and, in the same way,
//! when it is opened. An event costs 32 bytes here while its segment exists, a parked one 8 more. Segments go in their
//! order, the oldest first, so that no record outlives what it speaks about; what is still needed of the oldest is moved
//! to the end of the log by the writer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

use rustc_hash::FxHashMap;

use super::frame::Place;
use super::lasting::{Kept, Lasting};
use crate::event::RequestId;
use crate::settings::FunctionName;
use crate::store::Retained;

/// What a record says, as far as the index needs to know.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Event {
        seq: u64,
        function: u32,
        due: u64,
        bytes: u32,
        /// It had to wait from the start, or failed before.
        delayed: bool,
        proposed: Option<RequestId>,
        replaces: Option<RequestId>,
        tail: Option<Tail>,
    },
    Rescheduled {
        seq: u64,
        due: u64,
        attempts: u32,
        uncounted: u32,
    },
    Finished {
        seq: u64,
        function: u32,
        at: u64,
        bytes: u32,
    },
    Buried {
        seq: u64,
        attempts: u32,
    },
    Forgotten {
        seq: u64,
    },
    Died {
        seq: u64,
        deaths: u32,
    },
    Key {
        function: u32,
        key: Box<str>,
        first: RequestId,
        until: u64,
    },
    /// The result of a run stands for its idempotency key.
    Executed {
        function: u32,
        key: [u8; 32],
        until: u64,
        bytes: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Pending; the runtime has it.
    Held,
    /// Pending, and only here.
    Parked,
    /// Over; its end is remembered.
    Done,
    Dead,
    /// Nothing is known of it any more.
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) due: u64,
    pub(super) function: u32,
    /// Of its payload, or of its result.
    pub(super) bytes: u32,
    pub(super) state: State,
    pub(super) delayed: bool,
}

impl Entry {
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, State::Held | State::Parked)
    }
}

/// What only events have that failed, or were running when the process died.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tail {
    /// The last record that tells of an attempt or the burial; it leads to those before.
    pub(super) last: Option<Place>,
    pub(super) attempts: u32,
    pub(super) uncounted: u32,
    pub(super) deaths: u32,
    /// Its place among the dead letters.
    pub(super) burial: u64,
}

/// A segment, and the events that were accepted in it.
#[derive(Debug)]
struct Table {
    number: u32,
    base: u64,
    entries: Vec<Entry>,
    /// Events of earlier segments whose records lie here, and keys; some may have gone.
    guests: Vec<u64>,
    keys: Vec<Key>,
    executions: Vec<ExecutionKey>,
    /// Events and keys whose records lie here and are needed, and their bytes.
    live: u64,
    live_bytes: u64,
}

type Key = (u32, Box<str>);
type ExecutionKey = (u32, [u8; 32]);

/// What waits for a function, and what is remembered of what it did.
#[derive(Debug)]
struct Shelf {
    name: FunctionName,
    ready: VecDeque<u64>,
    delayed: BinaryHeap<Reverse<(u64, u64)>>,
    parked_ready: u64,
    parked_delayed: u64,
    parked_bytes: u64,
    finished: VecDeque<Finished>,
    finished_bytes: u64,
    retained: Retained,
}

#[derive(Debug)]
struct Finished {
    seq: u64,
    at: u64,
    bytes: u32,
}

/// What a function that isn't open yet may have; its own bounds hold once it is.
const RETAINED_UNTIL_OPENED: Retained = Retained {
    events_max: 100_000,
    bytes_max: 64 << 20,
    age_max: std::time::Duration::MAX,
};

/// What an entry costs beside its payload, about: for telling garbage from what is needed.
const OVERHEAD: u64 = 64;

#[derive(Debug, Default)]
pub(super) struct Index {
    tables: VecDeque<Table>,
    /// Events whose record doesn't lie in the table where they were accepted.
    moved: BTreeMap<u64, Entry>,
    tails: FxHashMap<u64, Tail>,
    proposed: HashMap<RequestId, u64>,
    /// The same, the other way round.
    proposals: FxHashMap<u64, RequestId>,
    shelves: Vec<Shelf>,
    names: HashMap<FunctionName, u32>,
    /// Dead letters in the order of their burials.
    letters: BTreeMap<u64, u64>,
    burials: u64,
    keys: Lasting<Key, RequestId>,
    executions: Lasting<ExecutionKey, ()>,
    /// The number of the next event.
    pub(super) next: u64,
}

impl Index {
    // --- segments

    /// A segment begins: events from `base` on are accepted in it.
    pub(super) fn begin_segment(&mut self, number: u32, base: u64) {
        self.next = self.next.max(base);
        self.tables.push_back(Table {
            number,
            base,
            entries: Vec::new(),
            guests: Vec::new(),
            keys: Vec::new(),
            executions: Vec::new(),
            live: 0,
            live_bytes: 0,
        });
    }

    /// The oldest segment, if nothing in it is needed and it isn't the last.
    pub(super) fn emptied_segment(&self) -> Option<u32> {
        let oldest = self.tables.front()?;
        (oldest.live == 0 && self.tables.len() > 1).then_some(oldest.number)
    }

    pub(super) fn drop_oldest_segment(&mut self) {
        self.tables.pop_front();
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.live_bytes).sum()
    }

    /// Events whose record lies in the oldest segment and is needed: some of them.
    pub(super) fn movable(&self, limit: usize) -> Vec<u64> {
        let Some(table) = self.tables.front() else {
            return Vec::new();
        };
        let own = (table.base..).zip(&table.entries);
        let own = own
            .filter(|(_, entry)| entry.state != State::Gone)
            .map(|(seq, _)| seq);
        let here = |seq: &u64| {
            let entry = self.moved.get(seq);
            entry.is_some_and(|entry| entry.place.segment == table.number)
        };
        own.chain(table.guests.iter().copied().filter(here))
            .take(limit)
            .collect()
    }

    /// Keys whose record lies in the oldest segment and is needed: some of them.
    pub(super) fn movable_keys(
        &self,
        limit: usize,
    ) -> Vec<(FunctionName, Box<str>, RequestId, u64)> {
        let Some(table) = self.tables.front() else {
            return Vec::new();
        };
        let live = table.keys.iter().filter_map(|key| {
            let kept = self.keys.get(key)?;
            let name = self.name(key.0).clone();
            let here = kept.place.segment == table.number;
            here.then(|| (name, key.1.clone(), kept.value, kept.until))
        });
        live.take(limit).collect()
    }

    /// Results of executions whose record lies in the oldest segment and is needed: where some of them are.
    pub(super) fn movable_executions(&self, limit: usize) -> Vec<Place> {
        let Some(table) = self.tables.front() else {
            return Vec::new();
        };
        let places = table
            .executions
            .iter()
            .filter_map(|key| Some(self.executions.get(key)?.place));
        places
            .filter(|place| place.segment == table.number)
            .take(limit)
            .collect()
    }

    /// Where the results lie that were remembered.
    pub(super) fn executions(&self) -> Vec<Place> {
        let mut places: Vec<_> = self.executions.iter().map(|(_, kept)| kept.place).collect();
        places.sort_unstable();
        places
    }

    fn table(&mut self, segment: u32) -> Option<&mut Table> {
        let first = self.tables.front()?.number;
        self.tables.get_mut(segment.checked_sub(first)? as usize)
    }

    fn count(&mut self, place: Place, bytes: u32) {
        if let Some(table) = self.table(place.segment) {
            table.live += 1;
            table.live_bytes += u64::from(bytes) + OVERHEAD;
        }
    }

    fn discount(&mut self, place: Place, bytes: u32) {
        if let Some(table) = self.table(place.segment) {
            table.live -= 1;
            table.live_bytes -= u64::from(bytes) + OVERHEAD;
        }
    }

    // --- events

    /// The number of the event with this id, if it can be known.
    pub(super) fn seq(&self, id: RequestId) -> Option<u64> {
        let seq = self.proposed.get(&id).copied().or_else(|| id.stored_at())?;
        self.entry(seq).map(|_| seq)
    }

    pub(super) fn is_taken(&self, id: RequestId) -> bool {
        self.proposed.contains_key(&id)
    }

    pub(super) fn entry(&self, seq: u64) -> Option<&Entry> {
        let own = self
            .own(seq)
            .and_then(|(table, at)| self.tables[table].entries.get(at));
        let own = own.filter(|entry| entry.state != State::Gone);
        own.or_else(|| self.moved.get(&seq))
    }

    fn entry_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        if let Some((table, at)) = self.own(seq)
            && self.tables[table].entries[at].state != State::Gone
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

    pub(super) fn tail(&self, seq: u64) -> Option<Tail> {
        self.tails.get(&seq).copied()
    }

    pub(super) fn name(&self, function: u32) -> &FunctionName {
        &self.shelves[function as usize].name
    }

    /// The function's number; it gets one if it has none.
    pub(super) fn function(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.names.get(name) {
            return number;
        }
        let (number, name) = (self.shelves.len() as u32, FunctionName::new(name));
        self.names.insert(name.clone(), number);
        self.shelves.push(Shelf {
            name,
            ready: VecDeque::new(),
            delayed: BinaryHeap::new(),
            parked_ready: 0,
            parked_delayed: 0,
            parked_bytes: 0,
            finished: VecDeque::new(),
            finished_bytes: 0,
            retained: RETAINED_UNTIL_OPENED,
        });
        number
    }

    /// Learns what the record at `place` says.
    pub(super) fn learn(&mut self, fact: Fact, place: Place) {
        match fact {
            Fact::Event {
                seq,
                function,
                due,
                bytes,
                delayed,
                proposed,
                replaces,
                tail,
            } => {
                let state = match self.entry(seq) {
                    // It moved, and is what it was.
                    Some(known) => known.state,
                    None => State::Held,
                };
                self.insert(
                    seq,
                    Entry {
                        place,
                        due,
                        function,
                        bytes,
                        state,
                        delayed,
                    },
                );
                if let Some(tail) = tail {
                    let burial = self.tails.get(&seq).map_or(0, |tail| tail.burial);
                    self.tails.insert(seq, Tail { burial, ..tail });
                }
                if let Some(id) = proposed {
                    self.proposed.insert(id, seq);
                    self.proposals.insert(seq, id);
                }
                if let Some(letter) = replaces.and_then(|id| self.seq(id)) {
                    self.forget_letter(letter);
                }
            }
            Fact::Rescheduled {
                seq,
                due,
                attempts,
                uncounted,
            } => {
                // A success may be told before the failure that it followed.
                let Some(entry) = self.entry_mut(seq).filter(|entry| entry.is_pending()) else {
                    return;
                };
                (entry.due, entry.delayed) = (due, true);
                let tail = self.tails.entry(seq).or_default();
                (tail.last, tail.attempts, tail.uncounted) = (Some(place), attempts, uncounted);
            }
            Fact::Finished {
                seq,
                function,
                at,
                bytes,
            } => self.finish(seq, function, at, bytes, place),
            Fact::Buried { seq, attempts } => {
                let moved = |entry: &Entry| entry.state == State::Dead;
                let Some(entry) = self
                    .entry_mut(seq)
                    .filter(|entry| entry.is_pending() || moved(entry))
                else {
                    return;
                };
                let before = std::mem::replace(&mut entry.state, State::Dead);
                let entry = *entry;
                self.leave_shelf(before, entry);
                self.burials += 1;
                let burial = self.burials;
                let tail = self.tails.entry(seq).or_default();
                (tail.last, tail.attempts) = (Some(place), attempts);
                // One that moved keeps its place among the letters.
                if tail.burial == 0 {
                    tail.burial = burial;
                    self.letters.insert(burial, seq);
                }
            }
            Fact::Forgotten { seq } => self.forget_letter(seq),
            Fact::Died { seq, deaths } => {
                if self.entry(seq).is_some() {
                    self.tails.entry(seq).or_default().deaths = deaths;
                }
            }
            Fact::Key {
                function,
                key,
                first,
                until,
            } => self.key(function, key, first, until, place),
            Fact::Executed {
                function,
                key,
                until,
                bytes,
            } => self.executed((function, key), until, bytes, place),
        }
    }

    /// The event's record lies there now.
    fn insert(&mut self, seq: u64, entry: Entry) {
        let Some(last) = self.tables.back_mut() else {
            return;
        };
        if seq == last.base + last.entries.len() as u64 {
            last.entries.push(entry);
            self.next = seq + 1;
            return self.count(entry.place, entry.bytes);
        }
        last.guests.push(seq);
        if let Some(&old) = self.entry(seq) {
            self.discount(old.place, old.bytes);
        }
        self.count(entry.place, entry.bytes);
        if let Some((table, at)) = self.own(seq) {
            self.tables[table].entries[at].state = State::Gone;
        }
        self.moved.insert(seq, entry);
    }

    fn remove(&mut self, seq: u64) {
        let Some(&entry) = self.entry(seq) else {
            return;
        };
        self.discount(entry.place, entry.bytes);
        if self.moved.remove(&seq).is_none()
            && let Some((table, at)) = self.own(seq)
        {
            self.tables[table].entries[at].state = State::Gone;
        }
        self.tails.remove(&seq);
        if let Some(id) = self.proposals.remove(&seq) {
            self.proposed.remove(&id);
        }
    }

    fn finish(&mut self, seq: u64, function: u32, at: u64, bytes: u32, place: Place) {
        if let Some(entry) = self.entry(seq).copied() {
            self.leave_shelf(entry.state, entry);
            if entry.state == State::Done {
                // It moved: it stands in its shelf already.
                self.insert(seq, Entry { place, ..entry });
                return;
            }
        }
        let shelf = &mut self.shelves[function as usize];
        let entry = Entry {
            place,
            due: 0,
            function,
            bytes,
            state: State::Done,
            delayed: false,
        };
        if shelf.retained.events_max == 0 {
            self.remove(seq);
            return;
        }
        shelf.finished.push_back(Finished { seq, at, bytes });
        shelf.finished_bytes += u64::from(bytes);
        self.tails.remove(&seq);
        self.insert(seq, entry);
        self.trim(function, at);
    }

    /// Forgets finished events of a function beyond what is retained.
    fn trim(&mut self, function: u32, now: u64) {
        loop {
            let shelf = &mut self.shelves[function as usize];
            let Some(oldest) = shelf.finished.front() else {
                return;
            };
            let age = std::time::Duration::from_nanos(now.saturating_sub(oldest.at));
            let within = shelf.finished.len() as u64 <= u64::from(shelf.retained.events_max)
                && shelf.finished_bytes <= shelf.retained.bytes_max
                && age <= shelf.retained.age_max;
            if within {
                return;
            }
            let (seq, bytes) = (oldest.seq, oldest.bytes);
            shelf.finished.pop_front();
            shelf.finished_bytes -= u64::from(bytes);
            self.remove(seq);
        }
    }

    /// Forgets what is too old: finished events, and keys.
    pub(super) fn expire(&mut self, now: u64) {
        (0..self.shelves.len() as u32).for_each(|function| self.trim(function, now));
        while let Some(gone) = self.keys.expire(now) {
            self.discount(gone.place, gone.bytes);
        }
        while let Some(gone) = self.executions.expire(now) {
            self.discount(gone.place, gone.bytes);
        }
    }

    // --- what waits

    /// The event waits here until it is fetched. Answers whether it was the runtime's.
    pub(super) fn park(&mut self, seq: u64) -> bool {
        let Some(entry) = self
            .entry_mut(seq)
            .filter(|entry| entry.state == State::Held)
        else {
            return false;
        };
        entry.state = State::Parked;
        let entry = *entry;
        let shelf = &mut self.shelves[entry.function as usize];
        if entry.delayed {
            shelf.delayed.push(Reverse((entry.due, seq)));
            shelf.parked_delayed += 1;
        } else {
            shelf.ready.push_back(seq);
            shelf.parked_ready += 1;
        }
        shelf.parked_bytes += u64::from(entry.bytes);
        true
    }

    /// Hands out this event if it is parked. Its place in the shelf is passed over from now on.
    pub(super) fn unpark(&mut self, seq: u64) -> bool {
        let Some(entry) = self
            .entry_mut(seq)
            .filter(|entry| entry.state == State::Parked)
        else {
            return false;
        };
        entry.state = State::Held;
        let entry = *entry;
        self.leave_shelf(State::Parked, entry);
        true
    }

    /// Every event that the runtime held waits here: the runtime is another one.
    pub(super) fn park_all(&mut self) {
        let held = |entry: &Entry| entry.state == State::Held;
        let moved = self.moved.iter().filter(|(_, entry)| held(entry));
        let mut all: Vec<_> = moved.map(|(&seq, _)| seq).collect();
        for table in &self.tables {
            let own = (table.base..).zip(&table.entries);
            all.extend(own.filter(|(_, entry)| held(entry)).map(|(seq, _)| seq));
        }
        for seq in all {
            self.park(seq);
        }
    }

    /// No longer parked, if it was.
    fn leave_shelf(&mut self, before: State, entry: Entry) {
        if before != State::Parked {
            return;
        }
        let shelf = &mut self.shelves[entry.function as usize];
        if entry.delayed {
            shelf.parked_delayed -= 1;
        } else {
            shelf.parked_ready -= 1;
        }
        shelf.parked_bytes -= u64::from(entry.bytes);
    }

    /// Hands out parked events of a function that are due, the earliest first.
    pub(super) fn take(
        &mut self,
        function: &FunctionName,
        until: u64,
        events_max: usize,
        bytes_max: u64,
    ) -> Vec<u64> {
        let Some(&function) = self.names.get(function) else {
            return Vec::new();
        };
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < events_max
            && bytes < bytes_max
            && let Some((due, seq)) = self.first(function)
            && due <= until
        {
            let shelf = &mut self.shelves[function as usize];
            if shelf.ready.front() == Some(&seq) {
                shelf.ready.pop_front();
            } else {
                shelf.delayed.pop();
            }
            let Some(entry) = self.entry_mut(seq) else {
                continue;
            };
            entry.state = State::Held;
            let entry = *entry;
            self.leave_shelf(State::Parked, entry);
            bytes += u64::from(entry.bytes);
            taken.push(seq);
        }
        let shelf = &mut self.shelves[function as usize];
        if shelf.ready.len() < shelf.ready.capacity() / 8 {
            shelf.ready.shrink_to(shelf.ready.len() * 2);
        }
        taken
    }

    /// The parked event of the function that is due first: when, and its number. Those that were cancelled are dropped on
    /// the way.
    fn first(&mut self, function: u32) -> Option<(u64, u64)> {
        let ready = loop {
            let Some(&seq) = self.shelves[function as usize].ready.front() else {
                break None;
            };
            match self.entry(seq) {
                Some(entry) if entry.state == State::Parked => break Some((entry.due, seq)),
                _ => drop(self.shelves[function as usize].ready.pop_front()),
            }
        };
        let delayed = loop {
            let Some(&Reverse((due, seq))) = self.shelves[function as usize].delayed.peek() else {
                break None;
            };
            match self.entry(seq) {
                Some(entry) if entry.state == State::Parked && entry.due == due => {
                    break Some((due, seq));
                }
                _ => drop(self.shelves[function as usize].delayed.pop()),
            }
        };
        ready.into_iter().chain(delayed).min()
    }

    pub(super) fn next_due(&mut self, function: &FunctionName) -> Option<u64> {
        let function = *self.names.get(function)?;
        self.first(function).map(|(due, _)| due)
    }

    /// From now on the function's own bounds hold. Answers how many parked events it has, ready and delayed, and their
    /// bytes.
    pub(super) fn open(
        &mut self,
        function: &FunctionName,
        retained: Retained,
        now: u64,
    ) -> (u64, u64, u64) {
        let number = self.function(function.as_str());
        self.shelves[number as usize].retained = retained;
        self.trim(number, now);
        let shelf = &self.shelves[number as usize];
        (shelf.parked_ready, shelf.parked_delayed, shelf.parked_bytes)
    }

    /// Functions that have parked events, and how many.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&FunctionName, u64)> {
        let waiting = |shelf: &Shelf| shelf.parked_ready + shelf.parked_delayed;
        let shelves = self
            .shelves
            .iter()
            .map(move |shelf| (&shelf.name, waiting(shelf)));
        shelves.filter(|&(_, events)| events > 0)
    }

    /// Parked events of a function after number `after`, as many as `limit`; and where to go on. Looks at a bounded number.
    pub(super) fn parked(
        &self,
        function: &FunctionName,
        after: u64,
        limit: usize,
    ) -> (Vec<u64>, Option<u64>) {
        const LOOKS_MAX: usize = 10_000;
        let Some(&function) = self.names.get(function) else {
            return (Vec::new(), None);
        };
        let moved = self
            .moved
            .range(after + 1..)
            .map(|(&seq, entry)| (seq, entry));
        // What moved comes from before all tables, or is over.
        let first = self.tables.front().map_or(0, |table| table.base);
        let moved = moved.take_while(|&(seq, _)| seq < first);
        let own = self.tables.iter().flat_map(|table| {
            let skip = (after + 1).saturating_sub(table.base) as usize;
            (table.base..).zip(&table.entries).skip(skip)
        });
        let limit = limit.max(1);
        let mut found = Vec::new();
        for (looks, (seq, entry)) in moved.chain(own).enumerate() {
            if found.len() >= limit || looks >= LOOKS_MAX {
                return (found, Some(seq - 1));
            }
            if entry.function == function && entry.state == State::Parked {
                found.push(seq);
            }
        }
        (found, None)
    }

    // --- dead letters

    /// Dead letters after place `after`, and the place of the last one if there are more.
    pub(super) fn letters(&self, after: u64, limit: usize) -> (Vec<u64>, Option<u64>) {
        let mut places = self.letters.range(after + 1..);
        let page: Vec<_> = places.by_ref().take(limit.max(1)).collect();
        let last = page.last().map(|(place, _)| **place);
        let more = places.next().is_some();
        let seqs = page.into_iter().map(|(_, &seq)| seq).collect();
        (seqs, last.filter(|_| more))
    }

    fn forget_letter(&mut self, seq: u64) {
        if self
            .entry(seq)
            .is_some_and(|entry| entry.state == State::Dead)
        {
            let burial = self.tails.get(&seq).map_or(0, |tail| tail.burial);
            self.letters.remove(&burial);
            self.remove(seq);
        }
    }

    // --- keys

    /// The event that has the key now.
    pub(super) fn holder(&self, function: u32, key: &str, now: u64) -> Option<RequestId> {
        // A borrowed pair can't be looked up without an allocation; keys are for those who ask.
        let kept = self.keys.get(&(function, key.into()))?;
        (kept.until > now).then_some(kept.value)
    }

    fn key(&mut self, function: u32, key: Box<str>, first: RequestId, until: u64, place: Place) {
        let key = (function, key);
        let kept = Kept {
            value: first,
            until,
            place,
            bytes: 0,
        };
        if let Some(before) = self.keys.insert(key.clone(), kept) {
            self.discount(before.place, before.bytes);
        }
        self.count(place, 0);
        if let Some(table) = self.table(place.segment) {
            table.keys.push(key);
        }
    }

    fn executed(&mut self, key: ExecutionKey, until: u64, bytes: u32, place: Place) {
        let kept = Kept {
            value: (),
            until,
            place,
            bytes,
        };
        if let Some(before) = self.executions.insert(key, kept) {
            self.discount(before.place, before.bytes);
        }
        self.count(place, bytes);
        if let Some(table) = self.table(place.segment) {
            table.executions.push(key);
        }
    }

    pub(super) fn seqs_pending(&self) -> u64 {
        let held = |entry: &&Entry| matches!(entry.state, State::Held | State::Parked);
        let own = self
            .tables
            .iter()
            .flat_map(|table| &table.entries)
            .filter(held);
        (own.count() + self.moved.values().filter(held).count()) as u64
    }
}
