//! How each fact changes the index.

use super::Index;
use super::fact::{EventFact, Fact, FinishedFact, KeyFact, RescheduledFact, Tail};
use super::segment_table::{EntryState, IndexEntry};
use crate::store::disk::frame::FramePlace;

impl Index {
    /// Applies a fact of the record at `place`, which takes `weight` bytes there.
    pub(in crate::store::disk) fn apply(&mut self, fact: Fact, place: FramePlace, weight: u32) {
        if let Some(seq) = fact.seq() {
            self.supersede(seq, place);
        }
        match fact {
            Fact::Event(event) => self.apply_event(&event, place, weight),
            Fact::Rescheduled(rescheduled) => self.apply_rescheduled(&rescheduled, place, weight),
            Fact::Finished(finished) => self.apply_finished(&finished, place, weight),
            Fact::Buried { seq, attempts } => self.apply_buried(seq, attempts, place, weight),
            Fact::Forgotten { seq } => self.forget_letter(seq),
            Fact::Died { seq, deaths } => {
                if self.entry(seq).is_some() {
                    self.tails.entry(seq).or_default().deaths = deaths;
                }
            }
            Fact::Key(key) => self.apply_key(key, place),
            Fact::Executed { key, until } => {
                self.keys
                    .insert_execution(&mut self.tables, key, until, place, weight);
            }
            Fact::Lost => self.apply_lost(place, weight),
        }
    }

    /// The record at `place` is about an event whose own record may lie in an older segment, and must stay as long.
    fn supersede(&mut self, seq: u64, place: FramePlace) {
        if let Some(older) = self.entry(seq).map(|entry| entry.place.segment) {
            self.tables.supersede(place.segment, older);
        }
    }

    fn apply_event(&mut self, event: &EventFact, place: FramePlace, weight: u32) {
        let seq = event.seq;
        let letter = event.replaces.and_then(|id| self.seq(id));
        if let Some(letter) = letter {
            self.supersede(letter, place);
        }
        // A known event was moved, and keeps its state.
        let known = self.entry(seq).map(|known| (known.state, known.delayed));
        let (state, delayed) = known.unwrap_or((EntryState::Held, event.delayed));
        let entry = IndexEntry {
            place,
            due: event.due,
            function: event.function,
            bytes: event.bytes,
            weight,
            state,
            delayed,
        };
        self.insert(seq, entry);
        if let Some(tail) = event.tail {
            let letter = self.tails.get(&seq).map_or(0, |tail| tail.letter);
            self.tails.insert(seq, Tail { letter, ..tail });
        }
        if let Some(id) = event.chosen_id {
            self.chosen_ids.insert(seq, id);
        }
        if let Some(letter) = event.replaces.and_then(|id| self.seq(id)) {
            self.forget_letter(letter);
        }
    }

    fn apply_rescheduled(&mut self, fact: &RescheduledFact, place: FramePlace, weight: u32) {
        let seq = fact.seq;
        // The record of a success may precede that of the failure before it.
        if !self.entry(seq).is_some_and(IndexEntry::is_pending) {
            return;
        }
        let was_spilled = self.fetch_one(seq);
        if let Some(entry) = self.tables.entry_mut(seq) {
            (entry.due, entry.delayed) = (fact.due, true);
        }
        if was_spilled {
            self.spill(seq);
        }
        self.tables.add_weight(seq, weight);
        let tail = self.tails.entry(seq).or_default();
        tail.last = Some(place);
        (tail.attempts, tail.uncounted) = (fact.attempts, fact.uncounted);
    }

    fn apply_finished(&mut self, fact: &FinishedFact, place: FramePlace, weight: u32) {
        let seq = fact.seq;
        let mut entry = IndexEntry {
            place,
            due: 0,
            function: fact.function,
            bytes: fact.bytes,
            weight,
            state: EntryState::Done,
            delayed: false,
        };
        match self.entry(seq).copied() {
            // It was moved: its function knows it as finished.
            Some(before) if before.state == EntryState::Done => {
                entry.bytes = before.bytes;
                return self.insert(seq, entry);
            }
            // A dead letter can't succeed.
            Some(before) if before.state == EntryState::Dead => return,
            Some(before) => self.leave_overflow(&before),
            // The segment that accepted it is gone.
            None if fact.id.stored_at() != Some(seq) => self.chosen_ids.insert(seq, fact.id),
            None => {}
        }
        let function = self.functions.get_mut(entry.function);
        if function.retained.events_max == 0 {
            self.remove(seq);
            return;
        }
        function.push_finished(seq, fact.at, entry.bytes);
        self.tails.remove(&seq);
        self.insert(seq, entry);
        self.trim(entry.function, fact.at);
    }

    fn apply_buried(&mut self, seq: u64, attempts: u32, place: FramePlace, weight: u32) {
        let can_die = |entry: &IndexEntry| entry.is_pending() || entry.state == EntryState::Dead;
        let Some(entry) = self.tables.entry_mut(seq).filter(|entry| can_die(entry)) else {
            return;
        };
        let before = *entry;
        entry.state = EntryState::Dead;
        self.leave_overflow(&before);
        self.tables.add_weight(seq, weight);
        let letter = self.letters.next_place();
        let tail = self.tails.entry(seq).or_default();
        (tail.last, tail.attempts) = (Some(place), attempts);
        // A moved letter keeps its place.
        if tail.letter == 0 {
            tail.letter = letter;
            self.letters.insert(letter, seq);
        }
    }

    fn forget_letter(&mut self, seq: u64) {
        if self
            .entry(seq)
            .is_some_and(|entry| entry.state == EntryState::Dead)
        {
            let letter = self.tails.get(&seq).map_or(0, |tail| tail.letter);
            self.letters.remove(letter);
            self.remove(seq);
        }
    }

    fn apply_key(&mut self, fact: KeyFact, place: FramePlace) {
        let key = (fact.function, fact.key);
        if self
            .keys
            .insert(&mut self.tables, key, fact.first, fact.until, place)
        {
            self.functions.get_mut(fact.function).keys += 1;
        }
    }

    /// The lost records may have been about any event before.
    fn apply_lost(&mut self, place: FramePlace, weight: u32) {
        let oldest = self
            .tables
            .oldest()
            .map_or(place.segment, |table| table.number);
        self.tables.supersede(place.segment, oldest);
        self.tables
            .supersede(place.segment, place.segment.saturating_sub(1));
        self.lost.insert(place, weight);
    }
}
