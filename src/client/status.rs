//! The status of an event, in memory or in the store.

use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::base::clock::Clock;
use crate::base::time::{Time, rfc3339};
use crate::event::InvocationType;
use crate::event::dead_letter::DeadLetter;
use crate::event::failure::Failure;
use crate::event::payload::{Payload, PayloadError};
use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;
use crate::mailbox::snapshot::{EventOutcome, EventSnapshot};
use crate::queue::entry::Phase;
use crate::store::{Known, KnownState};

/// The status of an event.
///
/// Serialises as an object: `state` is the name that [`Status::state`] returns, beside it stand the fields of the variant
/// (`letter` for `Dead`, `failure` for `Failed`). Times are RFC 3339, to the millisecond.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// It waits for a worker. After the runtime has ended, the event did not finish, and the next process with its store runs
    /// it.
    Accepted {
        /// Since when.
        #[serde(serialize_with = "rfc3339")]
        since: SystemTime,
    },
    /// It waits for its time: a delay, or the next attempt.
    Delayed {
        /// Until when.
        #[serde(serialize_with = "rfc3339")]
        until: SystemTime,
        /// How many attempts have failed.
        attempts: u32,
        /// How the last one failed.
        failure: Option<Failure>,
    },
    /// An attempt runs, or has failed and its retry is being decided.
    Running {
        /// The attempt that runs.
        attempt: u32,
        /// Since when.
        #[serde(serialize_with = "rfc3339")]
        since: SystemTime,
    },
    /// An attempt succeeded.
    Succeeded {
        /// The function's result.
        result: Payload,
        /// The number of the attempt that succeeded.
        attempts: u32,
    },
    /// It is a dead letter: it is not tried again.
    Dead(#[serde(serialize_with = "letter")] DeadLetter),
    /// It was a call, and its only attempt failed.
    Failed(#[serde(serialize_with = "failure")] Failure),
    /// The user cancelled it.
    Cancelled,
}

impl Status {
    /// Returns whether the event has ended.
    pub fn is_finished(&self) -> bool {
        matches!(
            self,
            Self::Succeeded { .. } | Self::Dead(_) | Self::Failed(_) | Self::Cancelled
        )
    }

    /// Returns the state's name: `accepted`, `delayed`, `running`, `succeeded`, `dead`, `failed` or `cancelled`. It stays the same
    /// from version to version.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Delayed { .. } => "delayed",
            Self::Running { .. } => "running",
            Self::Succeeded { .. } => "succeeded",
            Self::Dead(_) => "dead",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the function's result, read as an `R` as [`Client::call`](crate::Client::call) does. `None` unless the event
    /// succeeded. The error names the place where the result doesn't fit `R`.
    ///
    /// ```
    /// # use redrive::Status;
    /// fn thumbnail(status: &Status) -> Option<String> {
    ///     status.result()?.ok()
    /// }
    /// ```
    pub fn result<R: DeserializeOwned>(&self) -> Option<Result<R, PayloadError>> {
        match self {
            Self::Succeeded { result, .. } => Some(result.read()),
            _ => None,
        }
    }

    /// Returns the status of an event that its mailbox knows.
    pub(super) fn of(mailbox: &Mailbox, event: &EventSnapshot) -> Self {
        let wall = |time| mailbox.clock.wall(time);
        match event.phase {
            Phase::New | Phase::Ready => Self::Accepted {
                since: wall(event.at),
            },
            Phase::Delayed => Self::Delayed {
                until: wall(event.at),
                attempts: event.attempt,
                failure: event.failure.clone(),
            },
            Phase::Running | Phase::Failed => Self::Running {
                attempt: event.attempt,
                since: wall(event.at),
            },
            Phase::Succeeded => Self::Succeeded {
                result: event.result.clone().unwrap_or_else(Payload::null),
                attempts: event.attempt,
            },
            Phase::Cancelled => Self::Cancelled,
            Phase::Dead => match (&event.letter, &event.failure) {
                (Some(letter), _) => Self::Dead(letter.clone()),
                (None, failure) => {
                    Self::Failed(failure.clone().unwrap_or_else(Failure::worker_lost))
                }
            },
        }
    }

    /// Returns the status of an event that has just ended. `attempts` counts if the mailbox doesn't know the event any more.
    pub(super) fn ended(
        mailbox: &Mailbox,
        id: RequestId,
        end: EventOutcome,
        attempts: u32,
    ) -> Self {
        match end {
            EventOutcome::Succeeded(result) => Self::Succeeded {
                result: result.unwrap_or_else(Payload::null),
                attempts: mailbox
                    .inspect()
                    .snapshot(id)
                    .map_or(attempts, |event| event.attempt),
            },
            EventOutcome::Dead(letter) => Self::Dead(letter),
            EventOutcome::Failed(failure) => Self::Failed(failure),
            EventOutcome::Cancelled => Self::Cancelled,
        }
    }

    /// Returns the status of an event that only the store has, and when it was accepted.
    pub(super) fn stored(known: Known, clock: &Clock) -> (Self, SystemTime) {
        let wall = |time| clock.wall(Time::of(time));
        let status = match known.state {
            KnownState::Pending {
                due_at,
                attempts,
                attempt,
            } if Time::of(due_at) > clock.now() => Self::Delayed {
                until: wall(due_at),
                attempts,
                failure: attempt.map(|attempt| attempt.failure),
            },
            KnownState::Pending { due_at, .. } => Self::Accepted {
                since: wall(due_at),
            },
            KnownState::Succeeded { result, attempt } => Self::Succeeded {
                result,
                attempts: attempt,
            },
            KnownState::Dead(letter) => Self::Dead(letter.traced()),
            KnownState::Cancelled => Self::Cancelled,
        };
        (status, wall(known.accepted_at))
    }
}

fn letter<S: Serializer>(letter: &DeadLetter, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct LetterField<'a> {
        letter: &'a DeadLetter,
    }
    LetterField { letter }.serialize(serializer)
}

fn failure<S: Serializer>(failure: &Failure, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct FailureField<'a> {
        failure: &'a Failure,
    }
    FailureField { failure }.serialize(serializer)
}

/// An event of a function, as [`Client::events`](crate::Client::events) lists it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EventStatus {
    /// Its request id.
    pub request_id: RequestId,
    /// `RequestResponse` if a caller waits for its result.
    pub invocation_type: InvocationType,
    /// When it was accepted.
    #[serde(serialize_with = "rfc3339")]
    pub accepted_at: SystemTime,
    /// Its status.
    pub status: Status,
    #[serde(skip)]
    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "the HTTP API asks for it")
    )]
    pub(crate) invoked_as: InvokedAs,
}

/// The qualifier under which an event was invoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    not(feature = "http"),
    allow(dead_code, reason = "the HTTP API asks for it")
)]
pub(crate) enum InvokedAs {
    Known(Option<Arc<str>>),
    /// Only the store has the event, and doesn't return the qualifier.
    Unknown,
}

/// The events that [`Client::events`](crate::Client::events) lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waiting for a worker.
    Accepted,
    /// Waiting for their time.
    Delayed,
    /// Being run.
    Running,
    /// Finished, and still remembered.
    Finished,
}

impl State {
    pub(super) fn of(phase: Phase) -> Self {
        match phase {
            Phase::New | Phase::Ready => Self::Accepted,
            Phase::Delayed => Self::Delayed,
            Phase::Running | Phase::Failed => Self::Running,
            Phase::Succeeded | Phase::Dead | Phase::Cancelled => Self::Finished,
        }
    }
}

/// A page of a function's events.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EventPage {
    /// The events, in no particular order. May be empty though there is a next page.
    pub events: Vec<EventStatus>,
    /// The cursor of the next page; none if this is the last.
    pub next: Option<u64>,
}
