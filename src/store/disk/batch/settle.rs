//! Settlements: their records, and those of remembered results.

use std::borrow::Cow;
use std::time::SystemTime;

use super::{Batch, unwritable};
use crate::error::StoreError;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::DeadLetter;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::store::disk::encrypted_fields::SecretKind;
use crate::store::disk::frame::FramePlace;
use crate::store::disk::index::Index;
use crate::store::disk::record::{self, ExecutedRecord, FinishedRecord, LogRecord, nanos};
use crate::store::{Execution, Settled, Settlement};

/// The end of an event that succeeded or was cancelled.
pub(in crate::store::disk) struct EventEnd<'a> {
    pub(in crate::store::disk) accepted: u64,
    pub(in crate::store::disk) at: u64,
    pub(in crate::store::disk) attempt: u32,
    pub(in crate::store::disk) cancelled: bool,
    pub(in crate::store::disk) result: Option<&'a Payload>,
}

impl EventEnd<'_> {
    fn cancelled(accepted_at: SystemTime, at: u64) -> Self {
        Self {
            accepted: nanos(accepted_at),
            at,
            attempt: 0,
            cancelled: true,
            result: None,
        }
    }
}

/// An event that the index knows.
#[derive(Clone, Copy)]
struct KnownEvent<'i> {
    seq: u64,
    id: RequestId,
    function: u32,
    name: &'i str,
}

impl<'i> KnownEvent<'i> {
    fn find(index: &'i Index, seq: u64, id: RequestId) -> Option<Self> {
        let function = index.entry(seq)?.function;
        let name = index.functions.name(function).as_str();
        Some(Self {
            seq,
            id,
            function,
            name,
        })
    }
}

impl Batch<'_> {
    /// Adds the record of a settlement. An event that the index doesn't know needs none.
    pub(in crate::store::disk) fn settle(
        &mut self,
        index: &Index,
        settled: &Settled,
    ) -> Result<(), StoreError> {
        let (id, at) = (settled.request_id, nanos(settled.at));
        let event = index
            .seq(id)
            .and_then(|seq| KnownEvent::find(index, seq, id));
        let Some(event) = event else {
            return Ok(());
        };
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
                self.finish(event, &end)
            }
            Settlement::Cancelled { accepted_at } => {
                self.finish(event, &EventEnd::cancelled(*accepted_at, at))
            }
            Settlement::Rescheduled {
                attempt,
                uncounted,
                due_at,
            } => self.rescheduled(index, event, attempt, *uncounted, nanos(*due_at)),
            Settlement::Buried(letter) => self.buried(index, event, letter, at),
            Settlement::Forgotten => {
                let record = LogRecord::Forgotten { seq: event.seq };
                self.put(&record, event.function, 0).map(drop)
            }
        }
    }

    /// Adds the record of an event's end, for the first time or moved.
    pub(in crate::store::disk) fn finished(
        &mut self,
        index: &Index,
        seq: u64,
        id: RequestId,
        end: &EventEnd<'_>,
    ) -> Result<(), StoreError> {
        match KnownEvent::find(index, seq, id) {
            Some(event) => self.finish(event, end),
            None => Ok(()),
        }
    }

    fn finish(&mut self, event: KnownEvent<'_>, end: &EventEnd<'_>) -> Result<(), StoreError> {
        let result = json(end.result)?;
        let mut record = FinishedRecord {
            seq: event.seq,
            id: event.id,
            function: event.name,
            accepted: end.accepted,
            at: end.at,
            attempt: end.attempt,
            cancelled: end.cancelled,
            result: None,
        };
        if let Some(result) = result {
            let (bytes, clear) = (Cow::Borrowed(result.as_bytes()), record.clear());
            let blob = self
                .cipher
                .encrypt(event.id, SecretKind::Result, clear, bytes)?;
            record.result = Some(blob);
        }
        let length = result.map_or(0, str::len);
        self.put(&LogRecord::Finished(record), event.function, length)
            .map(drop)
    }

    fn rescheduled(
        &mut self,
        index: &Index,
        event: KnownEvent<'_>,
        attempt: &Attempt,
        uncounted: u32,
        due: u64,
    ) -> Result<(), StoreError> {
        let clear = record::retried(event.name, attempt.number, uncounted, due);
        let blob = self.attempts(event.id, clear, std::slice::from_ref(attempt))?;
        let Some(blob) = blob else {
            return Ok(());
        };
        let record = LogRecord::Rescheduled {
            seq: event.seq,
            attempts: attempt.number,
            uncounted,
            due,
            previous: self.tail(index, event.seq).0,
            attempt: blob,
        };
        let place = self.put(&record, event.function, 0)?;
        self.tails.insert(event.seq, (place, attempt.number));
        Ok(())
    }

    fn buried(
        &mut self,
        index: &Index,
        event: KnownEvent<'_>,
        letter: &DeadLetter,
        at: u64,
    ) -> Result<(), StoreError> {
        let (previous, recorded) = self.tail(index, event.seq);
        let clear = record::died(event.name, letter.attempt_count, letter.condition, at);
        let attempts = letter.attempts.iter();
        let unrecorded: Vec<_> = attempts
            .filter(|attempt| attempt.number > recorded)
            .cloned()
            .collect();
        let record = LogRecord::Buried {
            seq: event.seq,
            at,
            condition: letter.condition,
            attempts: letter.attempt_count,
            previous,
            last: self.attempts(event.id, clear, &unrecorded)?,
        };
        self.put(&record, event.function, 0).map(drop)
    }

    /// Returns the last record of the event's attempts, and how many attempts are on record.
    fn tail(&self, index: &Index, seq: u64) -> (Option<FramePlace>, u32) {
        if let Some(&(place, attempts)) = self.tails.get(&seq) {
            return (Some(place), attempts);
        }
        let tail = index.tail(seq).unwrap_or_default();
        (tail.last, tail.attempts)
    }

    /// Adds the record of a remembered result, for the first time or moved.
    pub(in crate::store::disk) fn executed(
        &mut self,
        index: &mut Index,
        execution: &Execution,
    ) -> Result<(), StoreError> {
        let result = json(execution.result.as_ref())?;
        let mut record = ExecutedRecord {
            function: execution.function.as_str(),
            key: execution.key,
            validated: execution.validated,
            id: execution.request_id,
            attempt: execution.attempt,
            since: nanos(execution.since),
            until: nanos(execution.expires_at),
            result: None,
        };
        if let Some(result) = result {
            let (bytes, clear) = (Cow::Borrowed(result.as_bytes()), record.clear());
            let blob = self
                .cipher
                .encrypt(record.id, SecretKind::Execution, clear, bytes)?;
            record.result = Some(blob);
        }
        let function = index.functions.number(record.function);
        self.put(&LogRecord::Executed(record), function, 0)
            .map(drop)
    }
}

fn json(result: Option<&Payload>) -> Result<Option<&str>, StoreError> {
    let Some(result) = result else {
        return Ok(None);
    };
    let json = result.json().map_err(|error| unwritable(&error))?;
    Ok(Some(json.get()))
}
