//! The index: where every event's record lies, what state it is in, and what waits for which function.
//!
//! ```text
//!           append                 park                  settle
//!   ─────────────────▶ Held ◀────────────────▶ OverflowCounts ─────────────▶ Done, Dead ──▶ Gone
//!                       └────────── fetch ◀───────┘                        retention, purge, redrive
//! ```
//!
//! Pure: it learns facts in the order in which their records lie in the log, while the store runs and, in the same way,
//! when it is opened. An event costs 32 bytes here while its segment exists, a parked one 8 more. Segments go in their
//! order, the oldest first, so that no record outlives what it speaks about; what is still needed of the oldest is moved
//! to the end of the log by the writer. A disk that is full can't wait for that: any segment is emptied in which nothing is
//! needed, unless its records supersede some that are still there.

use std::collections::{BTreeMap, HashMap};

use rustc_hash::FxHashMap;

use super::frame::FramePlace;
use super::function_index::{FunctionIndex, OverflowCounts};
use super::segment_table::{DeduplicationKey, EntryState, ExecutionKey, IndexEntry, Tables};
use crate::base::expiring_map::ExpiringMap;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
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
        chosen_id: Option<RequestId>,
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
    /// A salvage could not read what was there.
    Lost,
}

/// What only events have that failed, or were running when the process died.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tail {
    /// The last record that tells of an attempt or the burial; it leads to those before.
    pub(super) last: Option<FramePlace>,
    pub(super) attempts: u32,
    pub(super) uncounted: u32,
    pub(super) deaths: u32,
    /// Its place among the dead letters.
    pub(super) burial: u64,
}

/// What a key's record takes beside the key, about.
const KEY_OVERHEAD: usize = 64;
/// How often is looked for finished events that are too old, in nanoseconds.
const TRIM_EVERY: u64 = 1_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Index {
    tables: Tables,
    tails: FxHashMap<u64, Tail>,
    chosen_ids: HashMap<RequestId, u64>,
    /// The same, the other way round.
    id_chosen_for: FxHashMap<u64, RequestId>,
    functions: Vec<FunctionIndex>,
    names: HashMap<FunctionName, u32>,
    /// Which function had the name of another before.
    renamed_to: FxHashMap<u32, u32>,
    /// Dead letters in the order of their burials.
    letters: BTreeMap<u64, u64>,
    burials: u64,
    keys: ExpiringMap<DeduplicationKey, Recorded<RequestId>, u64>,
    executions: ExpiringMap<ExecutionKey, Recorded<()>, u64>,
    /// When finished events that are too old are looked for again.
    trim_at: u64,
    /// Where a salvage could read nothing, and how many bytes there.
    lost: BTreeMap<FramePlace, u32>,
    /// The number of the next event.
    pub(super) next: u64,
}

impl Index {
    // --- segments

    /// A segment begins: events from `base` on are accepted in it.
    pub(super) fn begin_segment(&mut self, number: u32, base: u64) {
        self.next = self.next.max(base);
        self.tables.begin(number, base);
    }

    /// The oldest segment, if nothing in it is needed and it isn't the last.
    pub(super) fn emptied_segment(&self) -> Option<u32> {
        self.tables.emptied()
    }

    /// The newest segment, in which nothing is, begins once more.
    pub(super) fn drop_newest_segment(&mut self) {
        self.tables.drop_newest();
    }

    pub(super) fn drop_oldest_segment(&mut self) {
        self.tables.drop_oldest();
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.tables.live_bytes()
    }

    pub(super) fn oldest_segment(&self) -> Option<u32> {
        self.tables.oldest().map(|table| table.number)
    }

    /// The records of this segment were taken out.
    pub(super) fn set_emptied(&mut self, number: u32) {
        self.tables.set_emptied(number);
    }

    /// A segment in which nothing is needed, wherever it stands: its records may be taken out.
    pub(super) fn dead_segment(&self) -> Option<u32> {
        let dead = self.tables.free().find(|(_, live, _)| *live == 0);
        dead.map(|(number, ..)| number)
    }

    /// Segments that can be emptied once what is needed of them is moved, and how many bytes that is.
    pub(super) fn movable_segments(&self) -> impl Iterator<Item = (u32, u64)> {
        self.tables.free().map(|(number, _, bytes)| (number, bytes))
    }

    /// How many bytes of the last segment are needed.
    pub(super) fn last_live_bytes(&self) -> u64 {
        self.tables.last_live_bytes()
    }

    /// How many events the last segment accepted.
    pub(super) fn last_events(&self) -> u64 {
        self.next.saturating_sub(self.tables.last_base())
    }

    /// How many events, keys and results there are whose records are needed.
    pub(super) fn live_records(&self) -> u64 {
        self.tables.live()
    }

    /// Events whose record lies in this segment and is needed: some of them.
    pub(super) fn movable(&self, segment: u32, limit: usize) -> Vec<u64> {
        self.tables.movable(segment, limit)
    }

    /// Keys whose record lies in this segment and is needed: some of them.
    pub(super) fn movable_keys(
        &self,
        segment: u32,
        limit: usize,
    ) -> Vec<(FunctionName, Box<str>, RequestId, u64)> {
        let Some(table) = self.tables.closed(segment) else {
            return Vec::new();
        };
        let live = table.keys.iter().filter_map(|key| {
            let (kept, until) = self.keys.get(key)?;
            let name = self.name(key.0).clone();
            let here = kept.place.segment == table.number;
            here.then(|| (name, key.1.clone(), kept.value, until))
        });
        live.take(limit).collect()
    }

    /// Results of executions whose record lies in this segment and is needed: where some of them are.
    pub(super) fn movable_executions(&self, segment: u32, limit: usize) -> Vec<FramePlace> {
        let Some(table) = self.tables.closed(segment) else {
            return Vec::new();
        };
        let places = table
            .executions
            .iter()
            .filter_map(|key| Some(self.executions.get(key)?.0.place));
        places
            .filter(|place| place.segment == table.number)
            .take(limit)
            .collect()
    }

    /// Where the results lie that were remembered.
    pub(super) fn executions(&self) -> Vec<FramePlace> {
        let mut places: Vec<_> = self.executions.values().map(|kept| kept.place).collect();
        places.sort_unstable();
        places
    }

    // --- events

    /// The number of the event with this id, if it can be known.
    pub(super) fn seq(&self, id: RequestId) -> Option<u64> {
        let seq = self
            .chosen_ids
            .get(&id)
            .copied()
            .or_else(|| id.stored_at())?;
        self.entry(seq).map(|_| seq)
    }

    pub(super) fn is_taken(&self, id: RequestId) -> bool {
        self.chosen_ids.contains_key(&id) || self.seq(id).is_some()
    }

    pub(super) fn entry(&self, seq: u64) -> Option<&IndexEntry> {
        self.tables.entry(seq)
    }

    /// Every event that something is known of.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, IndexEntry)> {
        self.tables.all().map(|(seq, &entry)| (seq, entry))
    }

    pub(super) fn tail(&self, seq: u64) -> Option<Tail> {
        self.tails.get(&seq).copied()
    }

    /// Is what was at `place` lost?
    pub(super) fn is_lost(&self, place: FramePlace) -> bool {
        let before = self.lost.range(..=place).next_back();
        before.is_some_and(|(from, &bytes)| {
            from.segment == place.segment && place.offset - from.offset < bytes
        })
    }

    pub(super) fn name(&self, function: u32) -> &FunctionName {
        &self.functions[function as usize].name
    }

    /// The function's number; it gets one if it has none.
    pub(super) fn function(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.names.get(name) {
            return number;
        }
        let (number, name) = (self.functions.len() as u32, FunctionName::new(name));
        self.names.insert(name.clone(), number);
        self.functions.push(FunctionIndex::new(name));
        number
    }

    /// Learns what the record at `place` says, which takes `weight` bytes there.
    pub(super) fn apply(&mut self, fact: Fact, place: FramePlace, weight: u32) {
        self.supersede(&fact, place);
        match fact {
            Fact::Event {
                seq,
                function,
                due,
                bytes,
                delayed,
                chosen_id,
                replaces,
                tail,
            } => {
                // If it is known, it moved and is what it was, and in the function_index where it was.
                let known = self.entry(seq).map(|known| (known.state, known.delayed));
                let (state, delayed) = known.unwrap_or((EntryState::Held, delayed));
                self.insert(
                    seq,
                    IndexEntry {
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
                if let Some(id) = chosen_id {
                    self.choose_id(seq, id);
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
                if !self.entry(seq).is_some_and(IndexEntry::is_pending) {
                    return;
                }
                let parked = self.fetch_one(seq);
                if let Some(entry) = self.tables.entry_mut(seq) {
                    (entry.due, entry.delayed) = (due, true);
                }
                if parked {
                    self.spill(seq);
                }
                self.tables.weigh(seq, weight);
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
                let entry = IndexEntry {
                    place,
                    due: 0,
                    function,
                    bytes,
                    weight,
                    state: EntryState::Done,
                    delayed: false,
                };
                self.finish(seq, id, entry, at);
            }
            Fact::Buried { seq, attempts } => {
                let moved = |entry: &IndexEntry| entry.state == EntryState::Dead;
                let Some(entry) = self
                    .tables
                    .entry_mut(seq)
                    .filter(|entry| entry.is_pending() || moved(entry))
                else {
                    return;
                };
                let before = std::mem::replace(&mut entry.state, EntryState::Dead);
                let entry = *entry;
                self.leave_overflow(before, entry);
                self.tables.weigh(seq, weight);
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
            Fact::Lost => drop(self.lost.insert(place, weight)),
        }
    }

    /// The record at `place` tells of an event, or takes a letter's place, whose own record may lie in an older segment.
    fn supersede(&mut self, fact: &Fact, place: FramePlace) {
        let (seq, letter) = match fact {
            Fact::Event { seq, replaces, .. } => (*seq, replaces.and_then(|id| self.seq(id))),
            Fact::Rescheduled { seq, .. }
            | Fact::Finished { seq, .. }
            | Fact::Buried { seq, .. }
            | Fact::Forgotten { seq }
            | Fact::Died { seq, .. } => (*seq, None),
            // It may have told of any event before.
            Fact::Lost => {
                let oldest = self.oldest_segment().unwrap_or(place.segment);
                self.tables.supersede(place.segment, oldest);
                self.tables
                    .supersede(place.segment, place.segment.saturating_sub(1));
                return;
            }
            // Their tables do it.
            Fact::Key { .. } | Fact::Executed { .. } => return,
        };
        for seq in [Some(seq), letter].into_iter().flatten() {
            if let Some(older) = self.entry(seq).map(|entry| entry.place.segment) {
                self.tables.supersede(place.segment, older);
            }
        }
    }

    /// The event's record lies there now.
    fn insert(&mut self, seq: u64, entry: IndexEntry) {
        if self.tables.insert(seq, entry) {
            self.next = seq + 1;
        }
    }

    fn remove(&mut self, seq: u64) {
        if !self.tables.remove(seq) {
            return;
        }
        self.tails.remove(&seq);
        if let Some(id) = self.id_chosen_for.remove(&seq) {
            self.chosen_ids.remove(&id);
        }
    }

    /// The caller chose its id, which says nothing of its place.
    fn choose_id(&mut self, seq: u64, id: RequestId) {
        self.chosen_ids.insert(id, seq);
        self.id_chosen_for.insert(seq, id);
    }

    fn finish(&mut self, seq: u64, id: RequestId, entry: IndexEntry, at: u64) {
        match self.entry(seq).copied() {
            // It moved: it stands in its function_index already.
            Some(before) if before.state == EntryState::Done => {
                let bytes = before.bytes;
                return self.insert(seq, IndexEntry { bytes, ..entry });
            }
            // A dead letter doesn't come to life.
            Some(before) if before.state == EntryState::Dead => return,
            Some(before) => self.leave_overflow(before.state, before),
            // The segment that it was accepted in is gone.
            None if id.stored_at() != Some(seq) => self.choose_id(seq, id),
            None => {}
        }
        let function_index = &mut self.functions[entry.function as usize];
        if function_index.retained.events_max == 0 {
            self.remove(seq);
            return;
        }
        function_index.finish(seq, at, entry.bytes);
        self.tails.remove(&seq);
        self.insert(seq, entry);
        self.trim(entry.function, at);
    }

    /// Forgets finished events of a function beyond what is retained.
    fn trim(&mut self, function: u32, now: u64) {
        while let Some(seq) = self.functions[function as usize].forget(now) {
            self.remove(seq);
        }
    }

    /// Forgets what is too old: finished events, and keys.
    pub(super) fn expire(&mut self, now: u64) {
        if self.trim_at <= now {
            self.trim_at = now.saturating_add(TRIM_EVERY);
            (0..self.functions.len() as u32).for_each(|function| self.trim(function, now));
        }
        while let Some(((function, _), gone)) = self.keys.expire(now) {
            self.functions[function as usize].keys -= 1;
            self.tables.discount(gone.place, gone.bytes);
        }
        while let Some((_, gone)) = self.executions.expire(now) {
            self.tables.discount(gone.place, gone.bytes);
        }
    }

    // --- what waits

    /// The event waits here until it is fetched. Answers whether it was the runtime's.
    pub(super) fn spill(&mut self, seq: u64) -> bool {
        let Some(entry) = self
            .tables
            .entry_mut(seq)
            .filter(|entry| entry.state == EntryState::Held)
        else {
            return false;
        };
        entry.state = EntryState::Spilled;
        let entry = *entry;
        self.functions[entry.function as usize].put(seq, &entry, &self.tables);
        true
    }

    /// The event, which is the runtime's, is not due before then.
    pub(super) fn postpone(&mut self, seq: u64, due: u64) {
        let entry = self.tables.entry_mut(seq);
        if let Some(entry) =
            entry.filter(|entry| entry.state == EntryState::Held && entry.due < due)
        {
            (entry.due, entry.delayed) = (due, true);
        }
    }

    /// Hands out this event if it is parked. Its place in the function_index is passed over from now on.
    pub(super) fn fetch_one(&mut self, seq: u64) -> bool {
        let Some(entry) = self
            .tables
            .entry_mut(seq)
            .filter(|entry| entry.state == EntryState::Spilled)
        else {
            return false;
        };
        entry.state = EntryState::Held;
        let entry = *entry;
        self.leave_overflow(EntryState::Spilled, entry);
        true
    }

    /// Every event that the runtime held waits here: the runtime is another one.
    pub(super) fn spill_all(&mut self) {
        let held = self
            .all()
            .filter(|(_, entry)| entry.state == EntryState::Held);
        let all: Vec<_> = held.map(|(seq, _)| seq).collect();
        for seq in all {
            self.spill(seq);
        }
    }

    /// No longer parked, if it was.
    fn leave_overflow(&mut self, before: EntryState, entry: IndexEntry) {
        if before != EntryState::Spilled {
            return;
        }
        self.functions[entry.function as usize].leave(&entry);
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
            && let Some((due, seq, function_index)) = self.first(function)
            && due <= until
        {
            self.functions[function_index as usize].pop(seq);
            let Some(entry) = self.tables.entry_mut(seq) else {
                continue;
            };
            entry.state = EntryState::Held;
            let entry = *entry;
            self.leave_overflow(EntryState::Spilled, entry);
            bytes += u64::from(entry.bytes);
            taken.push(seq);
        }
        self.functions[function as usize].shrink();
        taken
    }

    pub(super) fn next_due(&mut self, function: &FunctionName) -> Option<u64> {
        let function = *self.names.get(function)?;
        self.first(function).map(|(due, ..)| due)
    }

    /// The parked event of a function that is due first: when, its number, and the function_index that it is on.
    fn first(&mut self, function: u32) -> Option<(u64, u64, u32)> {
        let mut first = self.functions[function as usize].first(&self.tables);
        let mut function_index = function;
        for at in 0..self.functions[function as usize].former.len() {
            let former = self.functions[function as usize].former[at];
            let other = self.functions[former as usize].first(&self.tables);
            if other.is_some() && (first.is_none() || other < first) {
                (first, function_index) = (other, former);
            }
        }
        first.map(|(due, seq)| (due, seq, function_index))
    }

    /// The function, and those under whose names it was known before.
    fn names_of(&self, function: u32) -> impl Iterator<Item = u32> {
        let former = &self.functions[function as usize].former;
        std::iter::once(function).chain(former.iter().copied())
    }

    /// What is kept of the function `former` is that of `function` from now on.
    pub(super) fn rename(&mut self, former: &FunctionName, function: &FunctionName) {
        let former = self.function(former.as_str());
        let function = self.function(function.as_str());
        self.undo_rename(former);
        self.undo_rename(function);
        self.renamed_to.insert(former, function);
        self.functions[function as usize].former.push(former);
    }

    /// The function has its own again.
    fn undo_rename(&mut self, former: u32) {
        if let Some(heir) = self.renamed_to.remove(&former) {
            let former_of = &mut self.functions[heir as usize].former;
            former_of.retain(|&other| other != former);
        }
    }

    /// From now on the function's own bounds hold. Answers what is parked for it.
    pub(super) fn open(
        &mut self,
        function: &FunctionName,
        retained: Retained,
        now: u64,
    ) -> OverflowCounts {
        let number = self.function(function.as_str());
        self.undo_rename(number);
        let mut parked = OverflowCounts::default();
        let names: Vec<_> = self.names_of(number).collect();
        for name in names {
            self.functions[name as usize].retained = retained;
            self.trim(name, now);
            parked += self.functions[name as usize].parked();
        }
        parked
    }

    /// Functions that have parked events, and how many.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&FunctionName, u64)> {
        let functions = self.functions.iter().map(|function_index| {
            let parked = function_index.parked();
            (&function_index.name, parked.ready + parked.delayed)
        });
        functions.filter(|&(_, events)| events > 0)
    }

    /// OverflowCounts events of a function after number `after`, as many as `limit`; and where to go on. Looks at a bounded number.
    pub(super) fn overflow(
        &self,
        function: &FunctionName,
        after: u64,
        limit: usize,
    ) -> (Vec<u64>, Option<u64>) {
        const LOOKS_MAX: usize = 10_000;
        let Some(&function) = self.names.get(function) else {
            return (Vec::new(), None);
        };
        let names: Vec<_> = self.names_of(function).collect();
        let limit = limit.max(1);
        let mut found = Vec::new();
        for (looks, (seq, entry)) in self.tables.after(after).enumerate() {
            if found.len() >= limit || looks >= LOOKS_MAX {
                return (found, Some(seq - 1));
            }
            if names.contains(&entry.function) && entry.state == EntryState::Spilled {
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
            .is_some_and(|entry| entry.state == EntryState::Dead)
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
        self.names_of(function).find_map(|name| {
            let (kept, until) = self.keys.get(&(name, key.into()))?;
            (until > now).then_some(kept.value)
        })
    }

    /// Has the function as many keys as it may, with `more` that are on their way?
    pub(super) fn keys_are_full(&mut self, function: u32, more: usize, now: u64) -> bool {
        let full = |index: &Self| {
            let function_index = &index.functions[function as usize];
            u64::from(function_index.keys) + more as u64
                >= u64::from(function_index.retained.keys_max)
        };
        if full(self) {
            self.expire(now);
        }
        full(self)
    }

    fn key(
        &mut self,
        function: u32,
        key: Box<str>,
        first: RequestId,
        until: u64,
        place: FramePlace,
    ) {
        let key = (function, key);
        let weight = key_weight(&key);
        let kept = Recorded {
            value: first,
            place,
            bytes: weight,
        };
        match self.keys.insert(key.clone(), kept, until) {
            Some(before) => {
                self.tables.discount(before.place, before.bytes);
                self.tables.supersede(place.segment, before.place.segment);
            }
            None => self.functions[function as usize].keys += 1,
        }
        self.tables.count(place, weight);
        if let Some(table) = self.tables.segment(place.segment) {
            table.keys.push(key);
        }
    }

    fn executed(&mut self, key: ExecutionKey, until: u64, weight: u32, place: FramePlace) {
        let kept = Recorded {
            value: (),
            place,
            bytes: weight,
        };
        if let Some(before) = self.executions.insert(key, kept, until) {
            self.tables.discount(before.place, before.bytes);
            self.tables.supersede(place.segment, before.place.segment);
        }
        self.tables.count(place, weight);
        if let Some(table) = self.tables.segment(place.segment) {
            table.executions.push(key);
        }
    }
}

/// A key or a result of an execution: where its record lies, and how many bytes of that are needed.
#[derive(Clone, Debug)]
struct Recorded<V> {
    value: V,
    place: FramePlace,
    bytes: u32,
}

fn key_weight((_, key): &DeduplicationKey) -> u32 {
    (KEY_OVERHEAD + key.len()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::function_index;

    const AT: FramePlace = FramePlace {
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
            chosen_id: None,
            replaces: None,
            tail: None,
        };
        index.apply(fact, AT, 100);
        assert!(index.spill(seq));
        seq
    }

    fn fail(index: &mut Index, seq: u64, due: u64) {
        let fact = Fact::Rescheduled {
            seq,
            due,
            attempts: 1,
            uncounted: 0,
        };
        index.apply(fact, AT, 100);
    }

    fn take(index: &mut Index, until: u64) -> Vec<u64> {
        index.take(&FunctionName::new("charge"), until, 10, 1_000)
    }

    fn parked(index: &mut Index) -> (u64, u64, u64) {
        let retained = Retained::new(10, 10, std::time::Duration::MAX);
        let parked = index.open(&FunctionName::new("charge"), retained, 0);
        (parked.ready, parked.delayed, parked.bytes)
    }

    #[test]
    fn who_left_its_turn_and_failed_holds_up_nobody_behind_it() {
        let mut index = index();
        let (first, second) = (event(&mut index, 0), event(&mut index, 0));
        assert!(index.fetch_one(first));
        fail(&mut index, first, 50);
        assert!(index.spill(first));
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
            chosen_id: None,
            replaces: None,
            tail: None,
        };
        let there = FramePlace {
            segment: 2,
            offset: 128,
        };
        index.apply(fact, there, 100);
        assert_eq!(parked(&mut index), (0, 1, 10));
        let listed = index.overflow(&FunctionName::new("charge"), 0, 10).0;
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
            index.fetch_one(seq);
            let seq = event(&mut index, 0);
            index.fetch_one(seq);
        }
        let function_index = &index.functions[0];
        assert!(function_index.delayed.len() <= function_index::STALE as usize + 1);
        assert!(function_index.ready.len() <= function_index::STALE as usize + 1);
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
            let place = FramePlace { segment, offset: 0 };
            index.apply(fact, place, 100);
        }
        index.expire(50);
        assert_eq!(index.holder(0, "key", 0), None);
        assert_eq!(index.live_bytes(), 0);
    }

    #[test]
    fn a_dead_letter_does_not_succeed() {
        let mut index = index();
        let seq = event(&mut index, 0);
        index.apply(Fact::Buried { seq, attempts: 1 }, AT, 100);
        let fact = Fact::Finished {
            seq,
            id: RequestId::from(uuid::Uuid::nil()),
            function: 0,
            at: 1,
            bytes: 0,
        };
        index.apply(fact, AT, 100);
        assert_eq!(index.entry(seq).unwrap().state, EntryState::Dead);
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
        index.apply(fact, AT, 100);
        index.expire(TRIM_EVERY);
        assert!(index.entry(seq).is_some());
        index.expire(TRIM_EVERY + 1);
        assert!(index.entry(seq).is_none());
    }
}
