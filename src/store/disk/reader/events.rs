//! Events, dead letters and ends, each from its record and its history.

use std::time::Duration;

use super::{Reader, Window};
use crate::error::StoreError;
use crate::event::dead_letter::{DeadLetter, Letter};
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::event::{Deduplicate, Durability};
use crate::store::StoredEvent;
use crate::store::disk::encrypted_fields::SecretKind;
use crate::store::disk::frame::FramePlace;
use crate::store::disk::index::{IndexEntry, Tail};
use crate::store::disk::record::{self, EventRecord, FinishedRecord, LogRecord, Schedule, time};

impl Reader {
    /// Reads a pending event, with its history. An error comes with the request id if that could be read.
    pub(in crate::store::disk) fn event(
        &self,
        entry: &IndexEntry,
        tail: Option<Tail>,
        window: &mut Window,
    ) -> Result<StoredEvent, (Option<RequestId>, StoreError)> {
        let unknown = |error| (None, error);
        let (id, mut event) = self.first(entry.place, window).map_err(unknown)?;
        let history = self.history(&event, tail, window);
        let history = history.map_err(|error| (Some(id), error))?;
        history.add_to(&mut event);
        event.due_at = time(entry.due);
        if let Some(tail) = tail {
            tail.set_in(&mut event);
        }
        Ok(event)
    }

    /// Reads a dead letter, and the event that it was.
    pub(in crate::store::disk) fn letter(
        &self,
        entry: &IndexEntry,
        tail: Option<Tail>,
        window: &mut Window,
    ) -> Result<(StoredEvent, DeadLetter), StoreError> {
        let (id, mut event) = self.first(entry.place, window)?;
        let history = self.history(&event, tail, window)?;
        let burial = history.add_to(&mut event);
        tail.unwrap_or_default().set_in(&mut event);
        let Some(burial) = burial else {
            return Err(self.damaged(entry.place));
        };
        let letter = Letter {
            request_id: id,
            function: event.function.clone(),
            payload: event.payload.clone(),
            condition: burial.condition,
            attempts: event.attempts.clone(),
            attempt_count: burial.attempts,
            accepted_at: event.accepted_at,
            died_at: time(burial.at),
            meta: event.meta.clone(),
            stored: true,
        };
        Ok((event, DeadLetter::new(letter)))
    }

    /// Reads the end of an event that succeeded or was cancelled.
    pub(in crate::store::disk) fn end<R>(
        &self,
        place: FramePlace,
        window: &mut Window,
        then: impl FnOnce(&FinishedRecord<'_>, Option<Payload>) -> R,
    ) -> Result<R, StoreError> {
        self.record(place, window, |record| {
            let LogRecord::Finished(mut end) = record else {
                return Err(self.damaged(place));
            };
            let result = match end.result.take() {
                Some(blob) => {
                    let secret = (SecretKind::Result, end.clear());
                    Some(self.payload(end.id, secret, blob, place)?)
                }
                None => None,
            };
            Ok(then(&end, result))
        })
    }

    /// Reads an event from its own record, without its later history.
    fn first(
        &self,
        place: FramePlace,
        window: &mut Window,
    ) -> Result<(RequestId, StoredEvent), StoreError> {
        self.record(place, window, |record| match record {
            LogRecord::Event(event) => Ok((event.id, self.stored(event, None, place)?)),
            LogRecord::Scheduled(event, schedule) => {
                Ok((event.id, self.stored(event, Some(schedule), place)?))
            }
            _ => Err(self.damaged(place)),
        })
    }

    fn stored(
        &self,
        mut event: EventRecord<'_>,
        schedule: Option<Schedule>,
        place: FramePlace,
    ) -> Result<StoredEvent, StoreError> {
        let payload = std::mem::take(&mut event.payload);
        let secret = (SecretKind::Payload, event.clear(schedule));
        let payload = self.payload(event.id, secret, payload, place)?;
        let EventRecord {
            id,
            function,
            accepted,
            due,
            hops,
            side,
            ..
        } = event;
        let mut side = side.map(|side| *side).unwrap_or_default();
        let clear = record::moved(function, side.attempts, due);
        let attempts = self.attempts(id, clear, side.history.take(), place)?;
        let key = side.key.take();
        Ok(StoredEvent {
            request_id: id,
            id_is_chosen: side.id_is_chosen,
            function: FunctionName::new(function),
            payload,
            accepted_at: time(accepted),
            due_at: time(due),
            first_due_at: time(schedule.map_or(due, |schedule| schedule.first_due)),
            not_before: schedule.and_then(|schedule| schedule.not_before).map(time),
            deduplicate: key.map(|(key, until)| Deduplicate {
                key: (*key).into(),
                window: Duration::from_nanos(until.saturating_sub(accepted)),
            }),
            durability: Durability::Disk,
            attempts,
            attempt_count: side.attempts,
            uncounted: side.uncounted,
            deaths: side.deaths,
            meta: side.into_meta(hops).into(),
        })
    }
}

impl Tail {
    fn set_in(self, event: &mut StoredEvent) {
        event.attempt_count = self.attempts;
        event.uncounted = self.uncounted;
        event.deaths = self.deaths;
    }
}
