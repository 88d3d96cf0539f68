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
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};

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
        id: RequestId,
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
    /// What its records take in the log: those that are needed for it.
    pub(super) weight: u32,
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

/// What a key's record takes beside the key, about.
const KEY_OVERHEAD: usize = 64;
/// How often is looked for finished events that are too old, in nanoseconds.
const TRIM_EVERY: u64 = 1_000_000_000;
/// Places in a shelf that may stand for nothing.
const STALE: u64 = 1_000;

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
    /// When finished events that are too old are looked for again.
    trim_at: u64,
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
        let oldest = self.oldest()?;
        (oldest.live == 0).then_some(oldest.number)
    }

    /// The newest segment, in which nothing is, begins once more.
    pub(super) fn drop_newest_segment(&mut self) {
        self.tables.pop_back();
    }

    pub(super) fn drop_oldest_segment(&mut self) {
        self.tables.pop_front();
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.live_bytes).sum()
    }

    /// Events whose record lies in the oldest segment and is needed: some of them.
    pub(super) fn movable(&self, limit: usize) -> Vec<u64> {
        let Some(table) = self.oldest() else {
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
        // One that came and ended here is a guest twice.
        let mut known = HashSet::new();
        own.chain(table.guests.iter().copied().filter(here))
            .filter(|&seq| known.insert(seq))
            .take(limit)
            .collect()
    }

    /// The oldest segment, unless it is the last one too.
    fn oldest(&self) -> Option<&Table> {
        self.tables.front().filter(|_| self.tables.len() > 1)
    }

    /// Keys whose record lies in the oldest segment and is needed: some of them.
    pub(super) fn movable_keys(
        &self,
        limit: usize,
    ) -> Vec<(FunctionName, Box<str>, RequestId, u64)> {
        let Some(table) = self.oldest() else {
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

    fn count(&mut self, place: Place, weight: u32) {
        if let Some(table) = self.table(place.segment) {
            table.live += 1;
            table.live_bytes += u64::from(weight);
        }
    }

    fn discount(&mut self, place: Place, weight: u32) {
        if let Some(table) = self.table(place.segment) {
            table.live -= 1;
            table.live_bytes -= u64::from(weight);
        }
    }

    /// Another record is needed for the event: one that leads back to those before.
    fn weigh(&mut self, seq: u64, weight: u32) {
        let Some(entry) = self.entry_mut(seq) else {
            return;
        };
        let more = entry.weight.saturating_add(weight) - entry.weight;
        entry.weight += more;
        let segment = entry.place.segment;
        if let Some(table) = self.table(segment) {
            table.live_bytes += u64::from(more);
        }
    }

    // --- events

    /// The number of the event with this id, if it can be known.
    pub(super) fn seq(&self, id: RequestId) -> Option<u64> {
        let seq = self.proposed.get(&id).copied().or_else(|| id.stored_at())?;
        self.entry(seq).map(|_| seq)
    }

    pub(super) fn is_taken(&self, id: RequestId) -> bool {
        self.proposed.contains_key(&id) || self.seq(id).is_some()
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

    /// Every event that something is known of.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, Entry)> {
        let own = self
            .tables
            .iter()
            .flat_map(|table| (table.base..).zip(&table.entries));
        let known = |(_, entry): &(u64, &Entry)| entry.state != State::Gone;
        let moved = self.moved.iter().map(|(&seq, entry)| (seq, entry));
        moved
            .chain(own.filter(known))
            .map(|(seq, &entry)| (seq, entry))
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

    /// Learns what the record at `place` says, which takes `weight` bytes there.
    pub(super) fn learn(&mut self, fact: Fact, place: Place, weight: u32) {
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
                // If it is known, it moved and is what it was, and in the shelf where it was.
                let known = self.entry(seq).map(|known| (known.state, known.delayed));
                let (state, delayed) = known.unwrap_or((State::Held, delayed));
                self.insert(
                    seq,
                    Entry {
                        place,
                        due,
                        function,
                        bytes,
                        weight,
                        state,
                        delayed,
                    },
                );
                if let Some(tail) = tail {
                    let burial = self.tails.get(&seq).map_or(0, |tail| tail.burial);
                    self.tails.insert(seq, Tail { burial, ..tail });
                }
                if let Some(id) = proposed {
                    self.propose(seq, id);
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
                if !self.entry(seq).is_some_and(Entry::is_pending) {
                    return;
                }
                let parked = self.unpark(seq);
                if let Some(entry) = self.entry_mut(seq) {
                    (entry.due, entry.delayed) = (due, true);
                }
                if parked {
                    self.park(seq);
                }
                self.weigh(seq, weight);
                let tail = self.tails.entry(seq).or_default();
                (tail.last, tail.attempts, tail.uncounted) = (Some(place), attempts, uncounted);
            }
            Fact::Finished {
                seq,
                id,
                function,
                at,
                bytes,
            } => {
                let entry = Entry {
                    place,
                    due: 0,
                    function,
                    bytes,
                    weight,
                    state: State::Done,
                    delayed: false,
                };
                self.finish(seq, id, entry, at);
            }
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
                self.weigh(seq, weight);
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
            } => self.executed((function, key), until, weight, place),
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
            return self.count(entry.place, entry.weight);
        }
        last.guests.push(seq);
        if let Some(&old) = self.entry(seq) {
            self.discount(old.place, old.weight);
        }
        self.count(entry.place, entry.weight);
        if let Some((table, at)) = self.own(seq) {
            self.tables[table].entries[at].state = State::Gone;
        }
        self.moved.insert(seq, entry);
    }

    fn remove(&mut self, seq: u64) {
        let Some(&entry) = self.entry(seq) else {
            return;
        };
        self.discount(entry.place, entry.weight);
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

    /// The caller chose its id, which says nothing of its place.
    fn propose(&mut self, seq: u64, id: RequestId) {
        self.proposed.insert(id, seq);
        self.proposals.insert(seq, id);
    }

    fn finish(&mut self, seq: u64, id: RequestId, entry: Entry, at: u64) {
        match self.entry(seq).copied() {
            // It moved: it stands in its shelf already.
            Some(before) if before.state == State::Done => {
                let bytes = before.bytes;
                return self.insert(seq, Entry { bytes, ..entry });
            }
            // A dead letter doesn't come to life.
            Some(before) if before.state == State::Dead => return,
            Some(before) => self.leave_shelf(before.state, before),
            // The segment that it was accepted in is gone.
            None if id.stored_at() != Some(seq) => self.propose(seq, id),
            None => {}
        }
        let shelf = &mut self.shelves[entry.function as usize];
        if shelf.retained.events_max == 0 {
            self.remove(seq);
            return;
        }
        let bytes = entry.bytes;
        // One that moved comes late, and is older than those that didn't.
        let rank = shelf.finished.partition_point(|before| before.at <= at);
        shelf.finished.insert(rank, Finished { seq, at, bytes });
        shelf.finished_bytes += u64::from(bytes);
        self.tails.remove(&seq);
        self.insert(seq, entry);
        self.trim(entry.function, at);
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
        if self.trim_at <= now {
            self.trim_at = now.saturating_add(TRIM_EVERY);
            (0..self.shelves.len() as u32).for_each(|function| self.trim(function, now));
        }
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
        self.sweep(entry.function);
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

    /// Clears away the places of events that left the shelf otherwise than in their turn, if there are many.
    fn sweep(&mut self, function: u32) {
        let shelf = &mut self.shelves[function as usize];
        if shelf.delayed.len() as u64 > 2 * shelf.parked_delayed + STALE {
            let mut delayed = std::mem::take(&mut shelf.delayed);
            delayed.retain(|&Reverse((due, seq))| self.waits(seq, Some(due)));
            self.shelves[function as usize].delayed = delayed;
        }
        let shelf = &mut self.shelves[function as usize];
        if shelf.ready.len() as u64 > 2 * shelf.parked_ready + STALE {
            let mut ready = std::mem::take(&mut shelf.ready);
            ready.retain(|&seq| self.waits(seq, None));
            self.shelves[function as usize].ready = ready;
        }
    }

    /// Does the place of an event, among the delayed with its time or among the ready, still stand for it?
    fn waits(&self, seq: u64, due: Option<u64>) -> bool {
        self.entry(seq).is_some_and(|entry| {
            let delayed = entry.delayed.then_some(entry.due);
            entry.state == State::Parked && delayed == due
        })
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
            if self.waits(seq, None) {
                break self.entry(seq).map(|entry| (entry.due, seq));
            }
            self.shelves[function as usize].ready.pop_front();
        };
        let delayed = loop {
            let Some(&Reverse((due, seq))) = self.shelves[function as usize].delayed.peek() else {
                break None;
            };
            if self.waits(seq, Some(due)) {
                break Some((due, seq));
            }
            self.shelves[function as usize].delayed.pop();
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
        let shelves = self.shelves.iter();
        let shelves = shelves.map(move |shelf| (&shelf.name, waiting(shelf)));
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
        let after = after.saturating_add(1);
        let moved = self.moved.range(after..).map(|(&seq, entry)| (seq, entry));
        // What moved comes from before all tables, or is over.
        let first = self.tables.front().map_or(0, |table| table.base);
        let moved = moved.take_while(|&(seq, _)| seq < first);
        let own = self.tables.iter().flat_map(|table| {
            let skip = after.saturating_sub(table.base) as usize;
            let own = (table.base..).zip(&table.entries).skip(skip);
            // What moved already from the oldest one.
            own.map(|(seq, entry)| match entry.state {
                State::Gone => (seq, self.moved.get(&seq).unwrap_or(entry)),
                _ => (seq, entry),
            })
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
        let mut places = self.letters.range(after.saturating_add(1)..);
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
        let weight = key_weight(&key);
        let kept = Kept {
            value: first,
            until,
            place,
            bytes: weight,
        };
        if let Some(before) = self.keys.insert(key.clone(), kept) {
            self.discount(before.place, before.bytes);
        }
        self.count(place, weight);
        if let Some(table) = self.table(place.segment) {
            table.keys.push(key);
        }
    }

    fn executed(&mut self, key: ExecutionKey, until: u64, weight: u32, place: Place) {
        let kept = Kept {
            value: (),
            until,
            place,
            bytes: weight,
        };
        if let Some(before) = self.executions.insert(key, kept) {
            self.discount(before.place, before.bytes);
        }
        self.count(place, weight);
        if let Some(table) = self.table(place.segment) {
            table.executions.push(key);
        }
    }
}

fn key_weight((_, key): &Key) -> u32 {
    (KEY_OVERHEAD + key.len()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Place = Place {
        segment: 1,
        offset: 128,
    };

    fn index() -> Index {
        let mut index = Index::default();
        index.function("charge");
        index.begin_segment(1, 1);
        index
    }

    /// The next event, which waits until `due`.
    fn event(index: &mut Index, due: u64) -> u64 {
        let seq = index.next;
        let fact = Fact::Event {
            seq,
            function: 0,
            due,
            bytes: 10,
            delayed: due > 0,
            proposed: None,
            replaces: None,
            tail: None,
        };
        index.learn(fact, AT, 100);
        assert!(index.park(seq));
        seq
    }

    fn fail(index: &mut Index, seq: u64, due: u64) {
        let fact = Fact::Rescheduled {
            seq,
            due,
            attempts: 1,
            uncounted: 0,
        };
        index.learn(fact, AT, 100);
    }

    fn take(index: &mut Index, until: u64) -> Vec<u64> {
        index.take(&FunctionName::new("charge"), until, 10, 1_000)
    }

    fn parked(index: &mut Index) -> (u64, u64, u64) {
        let retained = Retained::new(10, 10, std::time::Duration::MAX);
        index.open(&FunctionName::new("charge"), retained, 0)
    }

    #[test]
    fn who_left_its_turn_and_failed_holds_up_nobody_behind_it() {
        let mut index = index();
        let (first, second) = (event(&mut index, 0), event(&mut index, 0));
        assert!(index.unpark(first));
        fail(&mut index, first, 50);
        assert!(index.park(first));
        assert_eq!(index.next_due(&FunctionName::new("charge")), Some(0));
        assert_eq!(take(&mut index, 10), [second]);
        assert_eq!(take(&mut index, 50), [first]);
        assert_eq!(parked(&mut index), (0, 0, 0));
    }

    #[test]
    fn an_event_that_fails_while_it_is_parked_changes_shelves() {
        let mut index = index();
        let seq = event(&mut index, 0);
        fail(&mut index, seq, 50);
        assert_eq!(parked(&mut index), (0, 1, 10));
        assert!(take(&mut index, 49).is_empty());
        assert_eq!(take(&mut index, 50), [seq]);
        assert_eq!(parked(&mut index), (0, 0, 0));
    }

    #[test]
    fn an_event_that_moves_stays_in_its_shelf() {
        let mut index = index();
        let seq = event(&mut index, 0);
        fail(&mut index, seq, 0);
        index.begin_segment(2, index.next);
        let fact = Fact::Event {
            seq,
            function: 0,
            due: 0,
            bytes: 10,
            delayed: false,
            proposed: None,
            replaces: None,
            tail: None,
        };
        let there = Place {
            segment: 2,
            offset: 128,
        };
        index.learn(fact, there, 100);
        assert_eq!(parked(&mut index), (0, 1, 10));
        let listed = index.parked(&FunctionName::new("charge"), 0, 10).0;
        assert_eq!(listed, [seq], "also while its old segment is there");
        assert_eq!(index.emptied_segment(), Some(1));
        assert_eq!(take(&mut index, 0), [seq]);
        assert_eq!(parked(&mut index), (0, 0, 0));
    }

    #[test]
    fn who_was_cancelled_long_before_its_time_leaves_nothing_behind() {
        let mut index = index();
        for _ in 0..10_000 {
            let seq = event(&mut index, 1 << 60);
            index.unpark(seq);
            let seq = event(&mut index, 0);
            index.unpark(seq);
        }
        let shelf = &index.shelves[0];
        assert!(shelf.delayed.len() <= STALE as usize + 1);
        assert!(shelf.ready.len() <= STALE as usize + 1);
    }

    #[test]
    fn a_key_is_waited_for_once_however_often_it_moves() {
        let mut index = index();
        for segment in 2..100 {
            index.begin_segment(segment, 1);
            let fact = Fact::Key {
                function: 0,
                key: "key".into(),
                first: RequestId::from(uuid::Uuid::nil()),
                until: 50,
            };
            let place = Place { segment, offset: 0 };
            index.learn(fact, place, 100);
        }
        assert_eq!(index.keys.ends(), 1);
        index.expire(50);
        assert_eq!(index.holder(0, "key", 0), None);
        assert_eq!(index.live_bytes(), 0);
    }

    #[test]
    fn a_dead_letter_does_not_succeed() {
        let mut index = index();
        let seq = event(&mut index, 0);
        index.learn(Fact::Buried { seq, attempts: 1 }, AT, 100);
        let fact = Fact::Finished {
            seq,
            id: RequestId::from(uuid::Uuid::nil()),
            function: 0,
            at: 1,
            bytes: 0,
        };
        index.learn(fact, AT, 100);
        assert_eq!(index.entry(seq).unwrap().state, State::Dead);
        assert_eq!(index.letters(0, 10), (vec![seq], None));
    }

    /// Looking through all functions is not for every commit.
    #[test]
    fn ends_grow_old_a_second_at_a_time() {
        let mut index = index();
        let retained = Retained::new(10, 10, std::time::Duration::from_nanos(5));
        index.open(&FunctionName::new("charge"), retained, 0);
        index.expire(1);
        let seq = event(&mut index, 0);
        let fact = Fact::Finished {
            seq,
            id: RequestId::from(uuid::Uuid::nil()),
            function: 0,
            at: 1,
            bytes: 0,
        };
        index.learn(fact, AT, 100);
        index.expire(TRIM_EVERY);
        assert!(index.entry(seq).is_some());
        index.expire(TRIM_EVERY + 1);
        assert!(index.entry(seq).is_none());
    }
}
