//! A dead letter: an event that will not be tried again, why, and its whole history.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::base::time::{Time, rfc3339};
use crate::event::attempt::Attempt;
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::event::meta::{EventMeta, SharedMeta};
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;

/// Why an event will not be tried again. The first four have AWS's names (DST-07).
// Stores write a variant by its number: add new ones at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// Its last allowed attempt failed (ASY-16).
    RetriesExhausted,
    /// It exceeded its maximum age, or would have exceeded it by its next attempt (ASY-17, ASY-24). The age counts from the
    /// due time of its first run.
    EventAgeExceeded,
    /// The function's reserved concurrency is 0: it was never tried (ASY-27).
    ZeroReservedConcurrency,
    /// The handler returned a [`Final`](crate::Final) error, or the payload doesn't fit the handler or its own idempotency key.
    Final,
    /// It would have been one hop too many in a chain of invocations (REC-04).
    Recursion,
    /// The function was removed while the event waited.
    FunctionRemoved,
    /// The process died several times while it ran the event: the event may kill its host.
    ProcessCrash,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An event that will not be tried again, with its whole history. Cheap to clone.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct DeadLetter(Arc<Letter>);

/// The content of a [`DeadLetter`], which dereferences to it. A letter dereferences to the rarely set fields of its event,
/// such as [`redriven_from`](EventMeta::redriven_from).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Letter {
    /// The event's request id, the same on every attempt (ASY-04).
    pub request_id: RequestId,
    /// Its function.
    pub function: FunctionName,
    /// The payload as it was given (DLQ-03).
    pub payload: Payload,
    /// Why it is dead.
    pub condition: Condition,
    /// Its attempts, oldest first. Of more than 100, or with more than 128 KiB of texts: the first one, and as many of the last
    /// ones as fit.
    pub attempts: Vec<Attempt>,
    /// The number of attempts that ran (DST-21).
    pub attempt_count: u32,
    /// When the event was accepted.
    #[serde(serialize_with = "rfc3339")]
    pub accepted_at: SystemTime,
    /// When it became a dead letter.
    #[serde(serialize_with = "rfc3339")]
    pub died_at: SystemTime,
    #[serde(flatten)]
    pub(crate) meta: SharedMeta,
    /// The store has it.
    #[serde(skip)]
    pub(crate) stored: bool,
}

impl DeadLetter {
    pub(crate) fn new(letter: Letter) -> Self {
        Self(Arc::new(letter))
    }

    /// Returns the letter with a trace header. Stores don't keep the header of a trace that began with the event, so it is
    /// computed again (XRY-04).
    pub(crate) fn traced(mut self) -> Self {
        if self.trace_header.is_none() {
            let letter = Arc::make_mut(&mut self.0);
            let accepted = Time::of(letter.accepted_at);
            letter
                .meta
                .make_mut()
                .begin_trace(letter.request_id, accepted);
        }
        self
    }

    /// Returns the letter under the new name of its function.
    pub(crate) fn renamed(mut self, function: FunctionName) -> Self {
        if self.function != function {
            Arc::make_mut(&mut self.0).function = function;
        }
        self
    }

    /// Returns the failure of the last attempt; `None` if it never ran.
    pub fn failure(&self) -> Option<&Failure> {
        self.attempts.last().map(|attempt| &attempt.failure)
    }
}

impl std::ops::Deref for DeadLetter {
    type Target = Letter;

    fn deref(&self) -> &Letter {
        &self.0
    }
}

impl std::ops::Deref for Letter {
    type Target = EventMeta;

    fn deref(&self) -> &EventMeta {
        &self.meta
    }
}
