//! The messages from a mailbox and its workers to the function's supervisor.
//!
//! A message is sent after the lock is released, and its sender never waits for it.

use crate::base::time::Time;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::DeadLetter;
use crate::event::failure::Failure;
use crate::event::request_id::RequestId;
use crate::queue::entry::Ticket;

/// Sends messages to the supervisor, the actor that owns the function's life.
pub(crate) trait SupervisorSender: Send + Sync {
    fn send(&self, message: SupervisorMessage);
}

#[derive(Debug)]
pub(crate) enum SupervisorMessage {
    /// Workers may be wanted, or a timer. Sent once until the supervisor has reconciled.
    Reconcile,
    /// An attempt failed; the supervisor settles it.
    Failed(Box<FailedAttempt>),
    /// These events will not be tried again.
    DeadLetters(Vec<(Ticket, DeadLetter)>),
    /// These events overflow: the store keeps them until they are due.
    Spilled(Vec<(RequestId, Time)>),
    /// The arbiter with this serial number is blocked and was replaced.
    ArbiterBlocked(u64),
    /// A run of the function's holds the shared arbiter with this serial number, though the function was to leave it.
    ArbiterHeld(u64),
}

/// An attempt that failed, on its way to the supervisor.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) ticket: Ticket,
    pub(crate) failure: Failure,
    pub(crate) started: Time,
    pub(crate) ended: Time,
    /// Its worker has reported it to the event's log, if there is one.
    pub(crate) logged: bool,
}

/// The consequence of a failed attempt.
#[derive(Debug)]
pub(crate) enum FailureOutcome {
    /// A later attempt has begun, or the event was cancelled: the failure does not count.
    Superseded,
    Retry {
        attempt: Attempt,
        /// How many attempts so far don't count.
        uncounted: u32,
        at: Time,
        /// The event waits in the overflow.
        spilled: bool,
    },
    DeadLetter(Ticket, DeadLetter),
    /// It was a call: its caller has the failure.
    CallFailed,
}
