//! Events that are appended: their checks, and their records.

use std::borrow::Cow;

use super::{Batch, unwritable};
use crate::base::time::Time;
use crate::error::StoreError;
use crate::event::request_id::RequestId;
use crate::event::{Deduplicate, Durability};
use crate::store::disk::encrypted_fields::SecretKind;
use crate::store::disk::frame::FramePlace;
use crate::store::disk::index::{EventFact, Fact, Index};
use crate::store::disk::payloads::Payloads;
use crate::store::disk::record::{self, Blob, EventRecord, LogRecord, Schedule, SideRecord, nanos};
use crate::store::{Appended, StoredEvent};

/// The identity of an event in the log.
#[derive(Clone, Copy)]
pub(super) struct EventIdentity {
    pub(super) seq: u64,
    pub(super) id: RequestId,
    /// The number of its function.
    pub(super) function: u32,
    /// Its record was moved from an older segment.
    pub(super) moved: bool,
}

impl Batch<'_> {
    /// Adds all of `events` or none.
    pub(in crate::store::disk) fn append(
        &mut self,
        index: &mut Index,
        events: &[StoredEvent],
        payloads: &Payloads,
    ) -> Result<Vec<Appended>, StoreError> {
        let (bytes, facts, next) = (self.bytes.len(), self.facts.len(), self.next);
        let appended = self.append_each(index, events, payloads);
        if appended.is_err() {
            self.bytes.truncate(bytes);
            self.next = next;
            for (fact, ..) in self.facts.drain(facts..) {
                match fact {
                    Fact::Key(fact) => drop(self.keys.remove(&(fact.function, fact.key))),
                    Fact::Event(EventFact {
                        chosen_id: Some(id),
                        ..
                    }) => drop(self.chosen_ids.remove(&id)),
                    _ => {}
                }
            }
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
            let function = index.functions.number(event.function.as_str());
            if let Some(refused) = self.refused_key(index, function, event) {
                appended.push(refused);
                continue;
            }
            let identity = EventIdentity {
                seq: self.next,
                id: self.request_id(index, event)?,
                function,
                moved: false,
            };
            // The events before it count only together with this one.
            if let Some(before) = last {
                self.join(before);
            }
            let payload = match payload {
                [] => json(event)?,
                written => written,
            };
            last = Some(self.event(event, payload, identity)?);
            self.next += 1;
            self.note(event, identity);
            appended.push(Appended::Kept(identity.id));
        }
        Ok(appended)
    }

    /// Returns why the event is not kept: another event has its deduplication key, or there are too many keys.
    fn refused_key(
        &self,
        index: &mut Index,
        function: u32,
        event: &StoredEvent,
    ) -> Option<Appended> {
        let key = &*event.deduplicate.as_ref()?.key;
        let now = nanos(event.accepted_at);
        let here = self.keys.get(&(function, key.into())).copied();
        let holder = here.or_else(|| index.keys.holder(&index.functions, function, key, now));
        if let Some(first) = holder {
            return Some(Appended::Duplicate(first));
        }
        let more = self.keys.keys().filter(|key| key.0 == function).count();
        let full = index.keys_are_full(function, more, now);
        full.then_some(Appended::KeysFull)
    }

    /// Returns the request id: the chosen one, or one that contains the event's number.
    fn request_id(&self, index: &Index, event: &StoredEvent) -> Result<RequestId, StoreError> {
        let id = event.request_id;
        if !event.id_is_chosen {
            return Ok(id.store_at(self.next));
        }
        match index.is_taken(id) || self.chosen_ids.contains(&id) {
            true => Err(StoreError::new(format!(
                "request id {id} belongs to another event"
            ))),
            false => Ok(id),
        }
    }

    /// Notes the chosen id, the key and the durability of an event that was added.
    fn note(&mut self, event: &StoredEvent, identity: EventIdentity) {
        if event.id_is_chosen {
            self.chosen_ids.insert(identity.id);
        }
        if let Some(key) = &event.deduplicate {
            let key = (identity.function, (&*key.key).into());
            self.keys.insert(key, identity.id);
        }
        match event.durability {
            Durability::DiskInterval(interval) => self.interval = self.interval.min(interval),
            _ => self.sync = true,
        }
    }

    /// Adds the record of an event. Returns its place.
    pub(super) fn event(
        &mut self,
        event: &StoredEvent,
        payload: &[u8],
        identity: EventIdentity,
    ) -> Result<FramePlace, StoreError> {
        let mut record = EventRecord {
            seq: identity.seq,
            id: identity.id,
            function: event.function.as_str(),
            accepted: nanos(event.accepted_at),
            due: nanos(event.due_at),
            hops: event.hops,
            side: self.side(event, identity)?,
            payload: Blob::default(),
        };
        let schedule = Schedule {
            first_due: nanos(event.first_due_at),
            not_before: event.not_before.map(nanos),
        };
        let plain = schedule.first_due == record.due && schedule.not_before.is_none();
        let schedule = (!plain).then_some(schedule);
        let clear = record.clear(schedule);
        let bytes = Cow::Borrowed(payload);
        record.payload = self
            .cipher
            .encrypt(identity.id, SecretKind::Payload, clear, bytes)?;
        let record = match schedule {
            None => LogRecord::Event(record),
            Some(schedule) => LogRecord::Scheduled(record, schedule),
        };
        self.put(&record, identity.function, payload.len())
    }

    fn side<'e>(
        &self,
        event: &'e StoredEvent,
        identity: EventIdentity,
    ) -> Result<Option<Box<SideRecord<'e>>>, StoreError> {
        let meta = SideRecord::of(&event.meta);
        let key = event.deduplicate.as_ref();
        let has_history = event.attempt_count > 0 || event.uncounted > 0 || event.deaths > 0;
        let is_plain = meta.is_none() && key.is_none() && !event.id_is_chosen && !has_history;
        if is_plain && !identity.moved {
            return Ok(None);
        }
        let (function, due) = (event.function.as_str(), nanos(event.due_at));
        let clear = record::moved(function, event.attempt_count, due);
        Ok(Some(Box::new(SideRecord {
            id_is_chosen: event.id_is_chosen,
            moved: identity.moved,
            key: key.map(|key| (Cow::Borrowed(&*key.key), until(event, key))),
            attempts: event.attempt_count,
            uncounted: event.uncounted,
            deaths: event.deaths,
            history: self.attempts(identity.id, clear, &event.attempts)?,
            ..meta.unwrap_or_default()
        })))
    }
}

fn until(event: &StoredEvent, deduplicate: &Deduplicate) -> u64 {
    Time::of(event.accepted_at).after(deduplicate.window).0
}

pub(super) fn json(event: &StoredEvent) -> Result<&[u8], StoreError> {
    let json = event.payload.json().map_err(|error| unwritable(&error))?;
    Ok(json.get().as_bytes())
}
