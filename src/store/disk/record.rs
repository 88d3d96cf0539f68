//! Records: the entries of the log, and their encoding.
//!
//! Postcard encodes them, and identifies variants and fields by their order, so new ones go to the end. Times are
//! nanoseconds since 1970 on the store's time line. Blobs hold all that a thief of the disk should not read; they may be
//! encrypted.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::frame::FramePlace;
use crate::base::time::Time;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::Condition;
use crate::event::failure::Failure;
use crate::event::meta::{EventMeta, SharedMeta};
use crate::event::request_id::RequestId;
use crate::event::retry_policy::RetryPolicy;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum LogRecord<'a> {
    /// A segment begins.
    Opened(Opened),
    /// The segment is durable up to this byte.
    Synced { upto: u32 },
    /// An event was accepted, or moved here with its history.
    #[serde(borrow)]
    Event(EventRecord<'a>),
    /// An attempt failed, and the event runs again.
    Rescheduled {
        seq: u64,
        /// The number of failed attempts so far.
        attempts: u32,
        uncounted: u32,
        due: u64,
        /// The event's record of an attempt or of its death before this one.
        previous: Option<FramePlace>,
        attempt: Blob<'a>,
    },
    /// The event succeeded or was cancelled.
    Finished(#[serde(borrow)] FinishedRecord<'a>),
    /// The event is a dead letter.
    Buried {
        seq: u64,
        at: u64,
        condition: Condition,
        attempts: u32,
        previous: Option<FramePlace>,
        /// The attempts that are in no other record.
        last: Option<Blob<'a>>,
    },
    /// Its dead letter was purged.
    Forgotten { seq: u64 },
    /// The process died while it ran the event.
    Died { seq: u64, deaths: u32 },
    /// An event with this key was accepted.
    Key {
        function: &'a str,
        key: &'a str,
        first: RequestId,
        until: u64,
    },
    /// The result of a run is remembered under its idempotency key.
    Executed(#[serde(borrow)] ExecutedRecord<'a>),
    /// The store was closed in order: everything before is durable, and nothing follows.
    Closed,
    /// In a segment's header: the store removed the segments in front of it, or is about to.
    Oldest,
    /// A salvage found damage here, and no readable record.
    Lost,
    /// An event whose age doesn't count from its due time, or that waits for the wall clock.
    Scheduled(#[serde(borrow)] EventRecord<'a>, Schedule),
    /// All records of this segment were removed: none was needed.
    Emptied,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Opened {
    /// The number of earlier openings of the store.
    pub(super) incarnation: u64,
    /// The number of the first event that is accepted here.
    pub(super) base: u64,
    /// The segment before this one, and its length.
    pub(super) previous: Option<(u32, u32)>,
    /// The time of the header.
    pub(super) at: u64,
    pub(super) boot: Option<Boot>,
    /// The id of the key ring that encrypts the blobs here.
    pub(super) ring: Option<u64>,
    /// The folder has a file `configuration`.
    pub(super) configured: bool,
}

/// A clock that runs from one start of the machine to the next and can't be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Boot {
    /// The id of the start of the machine.
    pub(super) id: u128,
    /// Nanoseconds since then.
    pub(super) uptime: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventRecord<'a> {
    pub(super) seq: u64,
    pub(super) id: RequestId,
    pub(super) function: &'a str,
    pub(super) accepted: u64,
    pub(super) due: u64,
    pub(super) hops: u8,
    /// The fields that only some events have.
    #[serde(borrow)]
    pub(super) side: Option<Box<SideRecord<'a>>>,
    #[serde(borrow)]
    pub(super) payload: Blob<'a>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Schedule {
    pub(super) first_due: u64,
    /// By the wall clock, in nanoseconds since 1970.
    pub(super) not_before: Option<u64>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SideRecord<'a> {
    pub(super) id_is_chosen: bool,
    /// It was accepted earlier, and moved here because its segment goes.
    pub(super) moved: bool,
    pub(super) trace_header: Option<Cow<'a, str>>,
    pub(super) redriven_from: Option<RequestId>,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) event_age_max: Option<Duration>,
    /// Its deduplication key, and until when no other event may have it.
    pub(super) key: Option<(Cow<'a, str>, u64)>,
    pub(super) attempts: u32,
    pub(super) uncounted: u32,
    pub(super) deaths: u32,
    #[serde(borrow)]
    pub(super) history: Option<Blob<'a>>,
    pub(super) traceparent: Option<Cow<'a, str>>,
    pub(super) qualifier: Option<Cow<'a, str>>,
    pub(super) version: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FinishedRecord<'a> {
    pub(super) seq: u64,
    pub(super) id: RequestId,
    /// Here as well, because the record of the event may be gone.
    pub(super) function: &'a str,
    pub(super) accepted: u64,
    pub(super) at: u64,
    pub(super) attempt: u32,
    pub(super) cancelled: bool,
    #[serde(borrow)]
    pub(super) result: Option<Blob<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExecutedRecord<'a> {
    pub(super) function: &'a str,
    pub(super) key: [u8; 32],
    pub(super) validated: Option<[u8; 32]>,
    pub(super) id: RequestId,
    pub(super) attempt: u32,
    pub(super) since: u64,
    pub(super) until: u64,
    #[serde(borrow)]
    pub(super) result: Option<Blob<'a>>,
}

/// Bytes, plain or encrypted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Blob<'a> {
    /// The number of the data key; 0 for plain bytes.
    pub(super) key: u32,
    #[serde(borrow, with = "serde_bytes")]
    pub(super) bytes: Cow<'a, [u8]>,
}

// The plain fields of a record beside its blob: the ciphertext is bound to them.

impl EventRecord<'_> {
    pub(super) fn clear(&self, schedule: Option<Schedule>) -> impl Serialize {
        let times = (self.accepted, self.due, schedule);
        (self.seq, self.function, times, self.hops, &self.side)
    }
}

impl FinishedRecord<'_> {
    pub(super) fn clear(&self) -> impl Serialize {
        let times = (self.accepted, self.at);
        (self.seq, self.function, times, self.attempt, self.cancelled)
    }
}

impl ExecutedRecord<'_> {
    pub(super) fn clear(&self) -> impl Serialize {
        let times = (self.since, self.until);
        (self.function, self.key, self.validated, times, self.attempt)
    }
}

impl<'a> SideRecord<'a> {
    /// Returns the fields of `meta` as they are written; none if there is nothing to write. The hops stand in the
    /// event's own record.
    pub(super) fn of(meta: &'a SharedMeta) -> Option<Self> {
        if meta.is_none() {
            return None;
        }
        let side = Self {
            trace_header: meta.trace_header.as_deref().map(Cow::Borrowed),
            redriven_from: meta.redriven_from,
            retry: meta.retry.clone(),
            event_age_max: meta.event_age_max,
            traceparent: meta.traceparent.as_deref().map(Cow::Borrowed),
            qualifier: meta.qualifier.as_deref().map(Cow::Borrowed),
            version: meta.version.as_deref().map(Cow::Borrowed),
            ..Self::default()
        };
        (side != Self::default()).then_some(side)
    }

    /// Returns the fields that were written of an event with so many hops.
    pub(super) fn into_meta(self, hops: u8) -> EventMeta {
        EventMeta {
            trace_header: text(&self.trace_header),
            traceparent: text(&self.traceparent),
            qualifier: text(&self.qualifier),
            version: text(&self.version),
            hops,
            redriven_from: self.redriven_from,
            retry: self.retry,
            event_age_max: self.event_age_max,
            ..EventMeta::default()
        }
    }
}

/// Returns the plain fields for an event that failed and runs again.
pub(super) fn retried(function: &str, attempts: u32, uncounted: u32, due: u64) -> impl Serialize {
    (function, attempts, uncounted, due)
}

/// Returns the plain fields for a dead letter.
pub(super) fn died(function: &str, attempts: u32, condition: Condition, at: u64) -> impl Serialize {
    (function, attempts, condition, at)
}

/// Returns the plain fields for the history of a moved event.
pub(super) fn moved(function: &str, attempts: u32, due: u64) -> impl Serialize {
    (function, attempts, due)
}

/// An attempt, as a blob holds it.
#[derive(Serialize, Deserialize)]
struct Tried<'a> {
    number: u32,
    started: u64,
    duration: Duration,
    failure: Cow<'a, Failure>,
}

/// The error of a record that can't be written or read.
pub(super) type RecordError = postcard::Error;

impl LogRecord<'_> {
    pub(super) fn write(&self, buffer: &mut Vec<u8>) -> Result<(), RecordError> {
        postcard::serialize_with_flavor(self, BufferFlavor(buffer))
    }
}

impl<'a> LogRecord<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, RecordError> {
        postcard::from_bytes(body)
    }
}

/// Lets postcard append to a borrowed buffer.
struct BufferFlavor<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for BufferFlavor<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> Result<(), RecordError> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> Result<(), RecordError> {
        Ok(())
    }
}

/// Returns the attempts as bytes for a blob.
pub(super) fn write_attempts(attempts: &[Attempt]) -> Result<Vec<u8>, RecordError> {
    let tried: Vec<_> = attempts
        .iter()
        .map(|attempt| Tried {
            number: attempt.number,
            started: nanos(attempt.started_at),
            duration: attempt.duration,
            failure: Cow::Borrowed(&attempt.failure),
        })
        .collect();
    postcard::to_stdvec(&tried)
}

pub(super) fn read_attempts(bytes: &[u8]) -> Result<Vec<Attempt>, RecordError> {
    let tried: Vec<Tried<'_>> = postcard::from_bytes(bytes)?;
    let attempts = tried.into_iter().map(|tried| Attempt {
        number: tried.number,
        started_at: time(tried.started),
        duration: tried.duration,
        failure: tried.failure.into_owned(),
    });
    Ok(attempts.collect())
}

pub(super) fn nanos(time: SystemTime) -> u64 {
    Time::of(time).0
}

pub(super) fn time(nanos: u64) -> SystemTime {
    Time(nanos).stored()
}

fn text(header: &Option<Cow<'_, str>>) -> Option<Arc<str>> {
    header.as_deref().map(Arc::from)
}
