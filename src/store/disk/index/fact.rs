//! Facts: the content of a record, as far as the index needs it.
//!
//! [`facts`] is the one mapping from records to facts. The writer applies the facts of a batch once it is written, and
//! recovery and `store/disk/verify.rs` apply those of all records, so that a reopened index equals the one before.

use std::iter::Chain;
use std::option::IntoIter;

use super::segment_table::ExecutionKey;
use crate::event::request_id::RequestId;
use crate::store::disk::frame::FramePlace;
use crate::store::disk::record::{EventRecord, FinishedRecord, LogRecord};

#[derive(Clone, Debug)]
pub(in crate::store::disk) enum Fact {
    Event(EventFact),
    Rescheduled(RescheduledFact),
    Finished(FinishedFact),
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
    Key(KeyFact),
    /// The result of a run is remembered under its idempotency key.
    Executed {
        key: ExecutionKey,
        until: u64,
    },
    /// A salvage could not read the records here.
    Lost,
}

#[derive(Clone, Debug)]
pub(in crate::store::disk) struct EventFact {
    pub(in crate::store::disk) seq: u64,
    pub(super) function: u32,
    pub(super) due: u64,
    /// The length of its payload.
    pub(super) bytes: u32,
    /// It had to wait from the start, or failed before.
    pub(super) delayed: bool,
    /// Its request id, if its caller chose it.
    pub(in crate::store::disk) chosen_id: Option<RequestId>,
    /// The dead letter whose place it takes.
    pub(super) replaces: Option<RequestId>,
    pub(super) tail: Option<Tail>,
}

#[derive(Clone, Debug)]
pub(in crate::store::disk) struct RescheduledFact {
    pub(super) seq: u64,
    pub(super) due: u64,
    pub(super) attempts: u32,
    pub(super) uncounted: u32,
}

#[derive(Clone, Debug)]
pub(in crate::store::disk) struct FinishedFact {
    pub(in crate::store::disk) seq: u64,
    pub(super) id: RequestId,
    pub(super) function: u32,
    pub(super) at: u64,
    /// The length of its result.
    pub(super) bytes: u32,
}

#[derive(Clone, Debug)]
pub(in crate::store::disk) struct KeyFact {
    pub(in crate::store::disk) function: u32,
    pub(in crate::store::disk) key: Box<str>,
    /// The event that has the key.
    pub(super) first: RequestId,
    pub(super) until: u64,
}

/// The history of an event that failed, or that was running when the process died.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::store::disk) struct Tail {
    /// The last record of an attempt or of the death; it leads to those before.
    pub(in crate::store::disk) last: Option<FramePlace>,
    pub(in crate::store::disk) attempts: u32,
    pub(in crate::store::disk) uncounted: u32,
    pub(in crate::store::disk) deaths: u32,
    /// Its place among the dead letters; 0 if it is none.
    pub(super) letter: u64,
}

/// At most two facts.
type FactsOfRecord = Chain<IntoIter<Fact>, IntoIter<Fact>>;

/// Returns the facts of a record: none of a mark, two of an event with a deduplication key. `number` returns the number of
/// the record's function.
pub(in crate::store::disk) fn facts<N: FnOnce(&str) -> u32>(
    record: &LogRecord<'_>,
    number: N,
) -> FactsOfRecord {
    let mut key = None;
    let fact = match record {
        LogRecord::Event(record) | LogRecord::Scheduled(record, _) => {
            let event = event(record, number(record.function));
            key = taken_key(record, event.function);
            Some(Fact::Event(event))
        }
        LogRecord::Finished(end) => Some(Fact::Finished(finished(end, number(end.function)))),
        LogRecord::Key {
            function,
            key,
            first,
            until,
        } => Some(Fact::Key(KeyFact {
            function: number(function),
            key: (*key).into(),
            first: *first,
            until: *until,
        })),
        LogRecord::Executed(executed) => Some(Fact::Executed {
            key: (number(executed.function), executed.key),
            until: executed.until,
        }),
        LogRecord::Rescheduled { .. }
        | LogRecord::Buried { .. }
        | LogRecord::Forgotten { .. }
        | LogRecord::Died { .. }
        | LogRecord::Lost => without_function(record),
        LogRecord::Opened(_)
        | LogRecord::Synced { .. }
        | LogRecord::Closed
        | LogRecord::Oldest
        | LogRecord::Emptied => None,
    };
    fact.into_iter().chain(key)
}

/// Returns the fact of a record that names no function.
fn without_function(record: &LogRecord<'_>) -> Option<Fact> {
    match *record {
        LogRecord::Rescheduled {
            seq,
            due,
            attempts,
            uncounted,
            ..
        } => Some(Fact::Rescheduled(RescheduledFact {
            seq,
            due,
            attempts,
            uncounted,
        })),
        LogRecord::Buried { seq, attempts, .. } => Some(Fact::Buried { seq, attempts }),
        LogRecord::Forgotten { seq } => Some(Fact::Forgotten { seq }),
        LogRecord::Died { seq, deaths } => Some(Fact::Died { seq, deaths }),
        LogRecord::Lost => Some(Fact::Lost),
        _ => None,
    }
}

fn event(record: &EventRecord<'_>, function: u32) -> EventFact {
    let side = record.side.as_deref();
    let failed = side.is_some_and(|side| side.attempts > 0);
    let tail = side.filter(|side| side.attempts > 0 || side.deaths > 0);
    EventFact {
        seq: record.seq,
        function,
        due: record.due,
        bytes: record.payload.bytes.len() as u32,
        delayed: record.due > record.accepted || failed,
        chosen_id: side
            .is_some_and(|side| side.id_is_chosen)
            .then_some(record.id),
        replaces: side
            .filter(|side| !side.moved)
            .and_then(|side| side.redriven_from),
        tail: tail.map(|side| Tail {
            last: None,
            attempts: side.attempts,
            uncounted: side.uncounted,
            deaths: side.deaths,
            letter: 0,
        }),
    }
}

/// Returns the key that the event came with. A moved event's key has a separate record.
fn taken_key(record: &EventRecord<'_>, function: u32) -> Option<Fact> {
    let side = record.side.as_deref().filter(|side| !side.moved)?;
    let (key, until) = side.key.as_ref()?;
    Some(Fact::Key(KeyFact {
        function,
        key: (**key).into(),
        first: record.id,
        until: *until,
    }))
}

fn finished(end: &FinishedRecord<'_>, function: u32) -> FinishedFact {
    FinishedFact {
        seq: end.seq,
        id: end.id,
        function,
        at: end.at,
        bytes: end
            .result
            .as_ref()
            .map_or(0, |result| result.bytes.len() as u32),
    }
}

impl Fact {
    /// Returns the number of the event that it is about, if it is about one.
    pub(super) fn seq(&self) -> Option<u64> {
        match self {
            Self::Event(event) => Some(event.seq),
            Self::Rescheduled(rescheduled) => Some(rescheduled.seq),
            Self::Finished(finished) => Some(finished.seq),
            Self::Buried { seq, .. } | Self::Forgotten { seq } | Self::Died { seq, .. } => {
                Some(*seq)
            }
            Self::Key(_) | Self::Executed { .. } | Self::Lost => None,
        }
    }

    /// Sets the length of the payload or the result, for a record that holds it encrypted.
    pub(in crate::store::disk) fn set_length(&mut self, length: usize) {
        match self {
            Self::Event(event) => event.bytes = length as u32,
            Self::Finished(finished) => finished.bytes = length as u32,
            _ => {}
        }
    }
}
