//! A batch: what one commit writes. From what was told to records, and to what the index will learn of them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;
use smallvec::SmallVec;

use super::cipher::{Cipher, SecretKind};
use super::frame::{self, FramePlace};
use super::index::{Fact, Index, Tail};
use super::record::{
    self, Blob, EventRecord, ExecutedRecord, FinishedRecord, LogRecord, Schedule, SideRecord, nanos,
};
use crate::base::time::Time;
use crate::error::StoreError;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::DeadLetter;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::event::{Deduplicate, Durability};
use crate::store::{Appended, Execution, Settled, Settlement, StoredEvent};

/// What the index is to learn, from the record at which place, of how many bytes.
pub(super) type Facts = Vec<(Fact, FramePlace, u32)>;

/// The JSON of the events' payloads, for those that aren't JSON themselves.
pub(super) struct Payloads {
    bytes: Vec<u8>,
    /// Where that of each event ends.
    ends: SmallVec<[usize; 1]>,
}

impl Payloads {
    pub(super) fn of(events: &[StoredEvent]) -> Result<Self, StoreError> {
        let mut bytes = Vec::new();
        let ends = events.iter().map(|event| {
            event.payload.write_json(&mut bytes).map_err(|error| {
                StoreError::new(format!("the payload can't be written: {error}"))
            })?;
            Ok(bytes.len())
        });
        let ends = ends.collect::<Result<_, StoreError>>()?;
        Ok(Self { bytes, ends })
    }

    /// What was written for each event: no JSON is empty, so nothing where nothing was.
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let bounds = starts.zip(&self.ends);
        bounds.filter_map(|(&start, &end)| self.bytes.get(start..end))
    }
}

pub(super) struct Batch<'a> {
    cipher: &'a Cipher,
    start: FramePlace,
    pub(super) bytes: Vec<u8>,
    pub(super) facts: Facts,
    /// Of events that were rescheduled in this batch: the record that tells of it, and how many attempts there were.
    tails: HashMap<u64, (FramePlace, u32)>,
    /// Keys that events of this batch took.
    keys: HashMap<(u32, Box<str>), RequestId>,
    /// Ids that callers chose for events of this batch.
    chosen_ids: HashSet<RequestId>,
    /// The last of the deaths.
    death: Option<FramePlace>,
    /// The number of the next event.
    next: u64,
    /// Somebody waits until it is durable.
    pub(super) sync: bool,
    /// How soon it has to be durable otherwise.
    pub(super) interval: Duration,
    /// Where the segment ends at the latest.
    pub(super) end_max: u64,
}

/// How soon the ends of events are durable when nothing else makes them so: if power fails first, they run again.
const INTERVAL_MAX: Duration = Duration::from_millis(500);

impl<'a> Batch<'a> {
    pub(super) fn new(cipher: &'a Cipher, start: FramePlace, next: u64) -> Self {
        Self {
            cipher,
            start,
            bytes: Vec::new(),
            facts: Vec::new(),
            tails: HashMap::new(),
            keys: HashMap::new(),
            chosen_ids: HashSet::new(),
            death: None,
            next,
            sync: false,
            interval: INTERVAL_MAX,
            end_max: u64::from(u32::MAX),
        }
    }

    /// Where it begins in its segment.
    pub(super) fn start(&self) -> u32 {
        self.start.offset
    }

    fn add(&mut self, record: &LogRecord<'_>) -> Result<FramePlace, StoreError> {
        let place = FramePlace {
            segment: self.start.segment,
            offset: self.start.offset + self.bytes.len() as u32,
        };
        let before = self.bytes.len();
        frame::append(&mut self.bytes, place, |buffer| record.write(buffer))
            .map_err(|fault| unwritable(&fault))?;
        let end = u64::from(self.start.offset) + self.bytes.len() as u64;
        if end > self.end_max || self.bytes.len() - before > frame::LENGTH_MAX {
            self.bytes.truncate(before);
            return Err(unwritable(&format_args!(
                "it is too large for a file, which may have {} bytes",
                self.end_max
            )));
        }
        Ok(place)
    }

    /// The record at `place` counts only together with the one that is added next.
    fn join(&mut self, place: FramePlace) {
        let at = (place.offset - self.start.offset) as usize;
        frame::set_more(&mut self.bytes[at..], place);
    }

    /// The record that was added last, at `place`, tells of `fact`.
    fn add_fact(&mut self, fact: Fact, place: FramePlace) {
        let end = self.start.offset + self.bytes.len() as u32;
        self.facts.push((fact, place, end - place.offset));
    }

    /// Says how much of the segment is durable.
    pub(super) fn synced(&mut self, upto: u32) {
        let _ = self.add(&LogRecord::Synced { upto }); // a number can always be written
    }

    /// Deaths are on record together or not at all: the next opening counts those that aren't.
    pub(super) fn died(&mut self, seq: u64, deaths: u32) -> Result<(), StoreError> {
        if let Some(before) = self.death {
            self.join(before);
        }
        let place = self.add(&LogRecord::Died { seq, deaths })?;
        self.death = Some(place);
        self.add_fact(Fact::Died { seq, deaths }, place);
        Ok(())
    }

    // --- events

    /// Adds all of `events` or none.
    pub(super) fn append(
        &mut self,
        index: &mut Index,
        events: &[StoredEvent],
        payloads: &Payloads,
    ) -> Result<Vec<Appended>, StoreError> {
        let (bytes, facts, next) = (self.bytes.len(), self.facts.len(), self.next);
        let appended = self.append_each(index, events, payloads);
        if appended.is_err() {
            self.bytes.truncate(bytes);
            for (fact, ..) in self.facts.drain(facts..) {
                match fact {
                    Fact::Key { function, key, .. } => drop(self.keys.remove(&(function, key))),
                    Fact::Event {
                        chosen_id: Some(id),
                        ..
                    } => drop(self.chosen_ids.remove(&id)),
                    _ => {}
                }
            }
            self.next = next;
        }
        appended
    }

    fn append_each(
        &mut self,
        index: &mut Index,
        events: &[StoredEvent],
        payloads: &Payloads,
    ) -> Result<Vec<Appended>, StoreError> {
        let mut appended = Vec::with_capacity(events.len());
        let mut last: Option<FramePlace> = None;
        for (event, payload) in events.iter().zip(payloads.each()) {
            let function = index.function(event.function.as_str());
            if let Some(first) = self.holder(index, function, event) {
                appended.push(Appended::Duplicate(first));
                continue;
            }
            if event.deduplicate.is_some() {
                let more = self.keys.keys().filter(|key| key.0 == function).count();
                if index.keys_are_full(function, more, nanos(event.accepted_at)) {
                    appended.push(Appended::KeysFull);
                    continue;
                }
            }
            let id = event.request_id;
            if event.id_is_chosen && (index.is_taken(id) || self.chosen_ids.contains(&id)) {
                return Err(StoreError::new(format!(
                    "request id {id} belongs to another event"
                )));
            }
            let id = if event.id_is_chosen {
                event.request_id
            } else {
                event.request_id.store_at(self.next)
            };
            // What came before counts only together with this one.
            if let Some(before) = last {
                self.join(before);
            }
            let payload = match payload {
                [] => json(event)?,
                written => written,
            };
            let place = self.event(event, payload, self.next, id, function, false)?;
            last = Some(place);
            self.next += 1;
            if event.id_is_chosen {
                self.chosen_ids.insert(id);
            }
            if let Some(key) = &event.deduplicate {
                self.keys.insert((function, (&*key.key).into()), id);
            }
            match event.durability {
                Durability::DiskInterval(interval) => self.interval = self.interval.min(interval),
                _ => self.sync = true,
            }
            appended.push(Appended::Kept(id));
        }
        Ok(appended)
    }

    /// The event that has this one's key.
    fn holder(&self, index: &Index, function: u32, event: &StoredEvent) -> Option<RequestId> {
        let key = &*event.deduplicate.as_ref()?.key;
        let here = self.keys.get(&(function, key.into())).copied();
        here.or_else(|| index.holder(function, key, nanos(event.accepted_at)))
    }

    fn event(
        &mut self,
        event: &StoredEvent,
        payload: &[u8],
        seq: u64,
        id: RequestId,
        function: u32,
        moved: bool,
    ) -> Result<FramePlace, StoreError> {
        let mut record = EventRecord {
            seq,
            id,
            function: event.function.as_str(),
            accepted: nanos(event.accepted_at),
            due: nanos(event.due_at),
            hops: event.hops,
            side: self.side(event, id, moved)?,
            payload: Blob::default(),
        };
        let schedule = Schedule {
            first_due: nanos(event.first_due_at),
            not_before: event.not_before.map(nanos),
        };
        let plain = schedule.first_due == record.due && schedule.not_before.is_none();
        let schedule = (!plain).then_some(schedule);
        let clear = record.clear(schedule);
        let payload_bytes = Cow::Borrowed(payload);
        record.payload = self
            .cipher
            .seal(id, SecretKind::Payload, clear, payload_bytes)?;
        let place = match schedule {
            None => self.add(&LogRecord::Event(record))?,
            Some(schedule) => self.add(&LogRecord::Scheduled(record, schedule))?,
        };
        let tail = (event.attempt_count > 0 || event.deaths > 0).then_some(Tail {
            last: None,
            attempts: event.attempt_count,
            uncounted: event.uncounted,
            deaths: event.deaths,
            burial: 0,
        });
        let fact = Fact::Event {
            seq,
            function,
            due: nanos(event.due_at),
            bytes: payload.len() as u32,
            delayed: event.due_at > event.accepted_at || event.attempt_count > 0,
            chosen_id: event.id_is_chosen.then_some(id),
            replaces: event.redriven_from.filter(|_| !moved),
            tail,
        };
        self.add_fact(fact, place);
        if let Some(deduplicate) = event.deduplicate.as_ref().filter(|_| !moved) {
            let fact = Fact::Key {
                function,
                key: (&*deduplicate.key).into(),
                first: id,
                until: until(event, deduplicate),
            };
            self.add_fact(fact, place);
        }
        Ok(place)
    }

    fn side<'e>(
        &self,
        event: &'e StoredEvent,
        id: RequestId,
        moved: bool,
    ) -> Result<Option<Box<SideRecord<'e>>>, StoreError> {
        let meta = SideRecord::of(&event.meta);
        let key = event.deduplicate.as_ref();
        if meta.is_none() && key.is_none() && !event.id_is_chosen && !moved {
            return Ok(None);
        }
        Ok(Some(Box::new(SideRecord {
            id_is_chosen: event.id_is_chosen,
            moved,
            key: key.map(|key| (Cow::Borrowed(&*key.key), until(event, key))),
            attempts: event.attempt_count,
            uncounted: event.uncounted,
            deaths: event.deaths,
            history: self.attempts(
                id,
                record::moved(
                    event.function.as_str(),
                    event.attempt_count,
                    nanos(event.due_at),
                ),
                &event.attempts,
            )?,
            ..meta.unwrap_or_default()
        })))
    }

    fn attempts(
        &self,
        id: RequestId,
        clear: impl Serialize,
        attempts: &[Attempt],
    ) -> Result<Option<record::Blob<'static>>, StoreError> {
        if attempts.is_empty() {
            return Ok(None);
        }
        let bytes = record::write_attempts(attempts).map_err(|fault| unwritable(&fault))?;
        self.cipher
            .seal(id, SecretKind::Attempts, clear, Cow::Owned(bytes))
            .map(Some)
    }

    // --- what becomes of them

    pub(super) fn settle(&mut self, index: &Index, settled: &Settled) -> Result<(), StoreError> {
        let id = settled.request_id;
        let Some(seq) = index.seq(id) else {
            return Ok(());
        };
        let at = nanos(settled.at);
        match &settled.settlement {
            Settlement::Succeeded {
                result,
                attempt,
                accepted_at,
            } => {
                let end = EventEnd {
                    accepted: nanos(*accepted_at),
                    at,
                    attempt: *attempt,
                    cancelled: false,
                    result: result.as_ref(),
                };
                self.finished(index, seq, id, &end)
            }
            Settlement::Cancelled { accepted_at } => {
                let end = EventEnd {
                    accepted: nanos(*accepted_at),
                    at,
                    attempt: 0,
                    cancelled: true,
                    result: None,
                };
                self.finished(index, seq, id, &end)
            }
            Settlement::Rescheduled {
                attempt,
                uncounted,
                due_at,
            } => self.rescheduled(index, seq, id, attempt, *uncounted, nanos(*due_at)),
            Settlement::Buried(letter) => self.buried(index, seq, id, letter, at),
            Settlement::Forgotten => {
                let place = self.add(&LogRecord::Forgotten { seq })?;
                self.add_fact(Fact::Forgotten { seq }, place);
                Ok(())
            }
        }
    }

    fn finished(
        &mut self,
        index: &Index,
        seq: u64,
        id: RequestId,
        end: &EventEnd<'_>,
    ) -> Result<(), StoreError> {
        let Some(function) = index.entry(seq).map(|entry| entry.function) else {
            return Ok(());
        };
        let result = match end.result {
            Some(result) => Some(result.json().map_err(|error| unwritable(&error))?.get()),
            None => None,
        };
        let mut record = FinishedRecord {
            seq,
            id,
            function: index.name(function).as_str(),
            accepted: end.accepted,
            at: end.at,
            attempt: end.attempt,
            cancelled: end.cancelled,
            result: None,
        };
        if let Some(result) = result {
            let bytes = Cow::Borrowed(result.as_bytes());
            let sealed = self
                .cipher
                .seal(id, SecretKind::Result, record.clear(), bytes)?;
            record.result = Some(sealed);
        }
        let record = LogRecord::Finished(record);
        let place = self.add(&record)?;
        let fact = Fact::Finished {
            seq,
            id,
            function,
            at: end.at,
            bytes: result.map_or(0, str::len) as u32,
        };
        self.add_fact(fact, place);
        Ok(())
    }

    fn rescheduled(
        &mut self,
        index: &Index,
        seq: u64,
        id: RequestId,
        attempt: &Attempt,
        uncounted: u32,
        due: u64,
    ) -> Result<(), StoreError> {
        let Some(function) = index.entry(seq).map(|entry| index.name(entry.function)) else {
            return Ok(());
        };
        let clear = record::retried(function.as_str(), attempt.number, uncounted, due);
        let Some(blob) = self.attempts(id, clear, std::slice::from_ref(attempt))? else {
            return Ok(());
        };
        let record = LogRecord::Rescheduled {
            seq,
            attempts: attempt.number,
            uncounted,
            due,
            previous: self.tail(index, seq).0,
            attempt: blob,
        };
        let place = self.add(&record)?;
        self.tails.insert(seq, (place, attempt.number));
        let fact = Fact::Rescheduled {
            seq,
            due,
            attempts: attempt.number,
            uncounted,
        };
        self.add_fact(fact, place);
        Ok(())
    }

    fn buried(
        &mut self,
        index: &Index,
        seq: u64,
        id: RequestId,
        letter: &DeadLetter,
        at: u64,
    ) -> Result<(), StoreError> {
        let Some(function) = index.entry(seq).map(|entry| index.name(entry.function)) else {
            return Ok(());
        };
        let (previous, recorded) = self.tail(index, seq);
        let count = letter.attempt_count;
        let clear = record::died(function.as_str(), count, letter.condition, at);
        let untold: Vec<_> = letter
            .attempts
            .iter()
            .filter(|attempt| attempt.number > recorded)
            .cloned()
            .collect();
        let record = LogRecord::Buried {
            seq,
            at,
            condition: letter.condition,
            attempts: letter.attempt_count,
            previous,
            last: self.attempts(id, clear, &untold)?,
        };
        let place = self.add(&record)?;
        let fact = Fact::Buried {
            seq,
            attempts: letter.attempt_count,
        };
        self.add_fact(fact, place);
        Ok(())
    }

    /// The last record that tells of the event's attempts, and how many are told.
    fn tail(&self, index: &Index, seq: u64) -> (Option<FramePlace>, u32) {
        if let Some(&(place, attempts)) = self.tails.get(&seq) {
            return (Some(place), attempts);
        }
        let tail = index.tail(seq).unwrap_or_default();
        (tail.last, tail.attempts)
    }

    /// The result of a run, told for the first time or moved.
    pub(super) fn executed(
        &mut self,
        index: &mut Index,
        execution: &Execution,
    ) -> Result<(), StoreError> {
        let result = match &execution.result {
            Some(result) => Some(result.json().map_err(|error| unwritable(&error))?.get()),
            None => None,
        };
        let until = nanos(execution.expires_at);
        let mut record = ExecutedRecord {
            function: execution.function.as_str(),
            key: execution.key,
            validated: execution.validated,
            id: execution.request_id,
            attempt: execution.attempt,
            since: nanos(execution.since),
            until,
            result: None,
        };
        if let Some(result) = result {
            let bytes = Cow::Borrowed(result.as_bytes());
            let (id, clear) = (record.id, record.clear());
            record.result = Some(self.cipher.seal(id, SecretKind::Execution, clear, bytes)?);
        }
        let place = self.add(&LogRecord::Executed(record))?;
        let fact = Fact::Executed {
            function: index.function(execution.function.as_str()),
            key: execution.key,
            until,
        };
        self.add_fact(fact, place);
        Ok(())
    }

    // --- what moves here from a segment that goes

    pub(super) fn move_event(
        &mut self,
        index: &mut Index,
        seq: u64,
        event: &StoredEvent,
    ) -> Result<FramePlace, StoreError> {
        let function = index.function(event.function.as_str());
        self.event(event, json(event)?, seq, event.request_id, function, true)
    }

    pub(super) fn move_letter(
        &mut self,
        index: &mut Index,
        seq: u64,
        event: &StoredEvent,
        letter: &DeadLetter,
    ) -> Result<(), StoreError> {
        let place = self.move_event(index, seq, event)?;
        self.join(place);
        self.tails.insert(seq, (place, u32::MAX));
        let record = LogRecord::Buried {
            seq,
            at: nanos(letter.died_at),
            condition: letter.condition,
            attempts: letter.attempt_count,
            previous: None,
            last: None,
        };
        let place = self.add(&record)?;
        let fact = Fact::Buried {
            seq,
            attempts: letter.attempt_count,
        };
        self.add_fact(fact, place);
        Ok(())
    }

    pub(super) fn move_end(
        &mut self,
        index: &Index,
        seq: u64,
        id: RequestId,
        end: &EventEnd<'_>,
    ) -> Result<(), StoreError> {
        self.finished(index, seq, id, end)
    }

    pub(super) fn move_key(
        &mut self,
        index: &mut Index,
        function: &str,
        key: Box<str>,
        first: RequestId,
        until: u64,
    ) -> Result<(), StoreError> {
        let place = self.add(&LogRecord::Key {
            function,
            key: &key,
            first,
            until,
        })?;
        let function = index.function(function);
        let fact = Fact::Key {
            function,
            key,
            first,
            until,
        };
        self.add_fact(fact, place);
        Ok(())
    }
}

/// How an event ended that is no dead letter.
pub(super) struct EventEnd<'a> {
    pub(super) accepted: u64,
    pub(super) at: u64,
    pub(super) attempt: u32,
    pub(super) cancelled: bool,
    pub(super) result: Option<&'a Payload>,
}

fn until(event: &StoredEvent, deduplicate: &Deduplicate) -> u64 {
    Time::of(event.accepted_at).after(deduplicate.window).0
}

fn json(event: &StoredEvent) -> Result<&[u8], StoreError> {
    let json = event.payload.json().map_err(|error| unwritable(&error))?;
    Ok(json.get().as_bytes())
}

fn unwritable(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::new(format!("it can't be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_beyond_what_a_place_can_say_is_refused_and_leaves_nothing() {
        let start = FramePlace {
            segment: 1,
            offset: u32::MAX - 100,
        };
        let cipher = Cipher::default();
        let mut batch = Batch::new(&cipher, start, 1);
        batch.synced(7);
        let before = batch.bytes.len();
        let key = |length: usize| LogRecord::Key {
            function: "charge",
            key: Box::leak("x".repeat(length).into_boxed_str()),
            first: RequestId::from(uuid::Uuid::nil()),
            until: 0,
        };
        assert!(batch.add(&key(100)).is_err());
        assert_eq!(batch.bytes.len(), before);
        assert!(batch.add(&key(10)).is_ok());
    }
}
