//! Work that waits for the release of the mailbox's lock, because it runs foreign code: a waker, a `Drop`, a log subscriber.

use tokio::sync::oneshot;

use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::mailbox::snapshot::EventOutcome;
use crate::telemetry;

pub(super) enum Deferred {
    /// Send a watcher the outcome of its event.
    Outcome(oneshot::Sender<EventOutcome>, EventOutcome),
    /// Drop a watcher: no outcome will come.
    Unwatched(oneshot::Sender<EventOutcome>),
    Drained(oneshot::Sender<()>),
    /// Drop a payload.
    Payload(Payload),
    /// Log that a result came too late: the function, the event and the attempt.
    Superseded(FunctionName, RequestId, u32),
    /// Log that the function runs again after it was held back.
    Recovered(FunctionName),
}

impl Deferred {
    pub(super) fn run(self) {
        match self {
            Self::Outcome(watcher, outcome) => drop(watcher.send(outcome)),
            Self::Unwatched(watcher) => drop(watcher),
            Self::Drained(waiting) => drop(waiting.send(())),
            Self::Payload(payload) => drop(payload),
            Self::Superseded(function, id, attempt) => {
                telemetry::superseded(&function, id, attempt);
            }
            Self::Recovered(function) => telemetry::recovered(&function),
        }
    }
}
