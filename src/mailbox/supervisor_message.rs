//! What a mailbox and its function's supervisor say to each other, and who listens.
//!
//! A notice is told after the lock is released and is never waited for. What to make of it is the listener's to decide.

use crate::base::time::Time;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::DeadLetter;
use crate::event::failure::Failure;
use crate::event::request_id::RequestId;
use crate::queue::entry::Ticket;

/// Whoever owns the function's life and hears of what the mailbox can't do alone: its supervisor.
pub(crate) trait SupervisorSender: Send + Sync {
    fn send(&self, message: SupervisorMessage);
}

#[derive(Debug)]
pub(crate) enum SupervisorMessage {
    /// Workers may be wanted, or a timer. Told once until it is heeded.
    Reconcile,
    /// An attempt failed and is to be judged.
    Failed(Box<FailedAttempt>),
    /// These will not be tried again.
    DeadLetters(Vec<(Ticket, DeadLetter)>),
    /// These go back to the store until they are due.
    Spilled(Vec<(RequestId, Time)>),
    /// The arbiter with this serial number is blocked and was replaced.
    ArbiterBlocked(u64),
    /// A run of the function's holds the shared arbiter with this serial number, which it was to leave.
    ArbiterHeld(u64),
}

/// An attempt that failed, on its way to the supervisor.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) ticket: Ticket,
    pub(crate) failure: Failure,
    pub(crate) started: Time,
    pub(crate) ended: Time,
    /// Its worker has told it to the event's log, if there is one.
    pub(crate) logged: bool,
}

/// What became of a failed attempt.
#[derive(Debug)]
pub(crate) enum FailureOutcome {
    /// A later attempt has begun, or the event was cancelled: it counts for nothing.
    Superseded,
    Retry {
        attempt: Attempt,
        /// How many attempts so far don't count.
        uncounted: u32,
        at: Time,
        /// It waits in the store.
        parked: bool,
    },
    DeadLetter(Ticket, DeadLetter),
    /// It was a call: its caller has the failure.
    CallFailed,
}
