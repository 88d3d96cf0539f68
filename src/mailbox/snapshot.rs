//! A read-only snapshot of an event, and the outcome sent to its watchers.
//!
//! Both are copies, taken under the mailbox's lock: they show that moment, and can't change the event.

use std::sync::Arc;

use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::dead_letter::DeadLetter;
use crate::event::failure::Failure;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::queue::entry::{Phase, Slot};

/// An event at one moment.
#[derive(Clone, Debug)]
pub(crate) struct EventSnapshot {
    pub(crate) id: RequestId,
    pub(crate) phase: Phase,
    pub(crate) kind: InvocationType,
    pub(crate) at: Time,
    pub(crate) accepted: Time,
    pub(crate) attempt: u32,
    pub(crate) result: Option<Payload>,
    pub(crate) letter: Option<DeadLetter>,
    pub(crate) failure: Option<Failure>,
    /// The qualifier that it was invoked with, as given.
    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "only the HTTP API reads it")
    )]
    pub(crate) qualifier: Option<Arc<str>>,
}

impl EventSnapshot {
    pub(crate) fn new(slot: &Slot) -> Self {
        let side = slot.side.as_ref();
        Self {
            id: slot.id,
            phase: slot.phase,
            kind: slot.kind,
            at: slot.at,
            accepted: slot.accepted,
            attempt: slot.attempt,
            result: slot.body.clone().filter(|_| slot.phase == Phase::Succeeded),
            letter: side.and_then(|side| side.letter.clone()),
            failure: side
                .and_then(|side| side.attempts.last())
                .map(|attempt| attempt.failure.clone()),
            qualifier: side.and_then(|side| side.meta.qualifier.clone()),
        }
    }

    /// Returns the outcome, if the event has ended.
    pub(crate) fn outcome(&self) -> Option<EventOutcome> {
        Some(match self.phase {
            Phase::Succeeded => EventOutcome::Succeeded(self.result.clone()),
            Phase::Cancelled => EventOutcome::Cancelled,
            Phase::Dead => match (&self.letter, &self.failure) {
                (Some(letter), _) => EventOutcome::Dead(letter.clone()),
                (None, Some(failure)) => EventOutcome::Failed(failure.clone()),
                (None, None) => return None,
            },
            _ => return None,
        })
    }
}

/// How a watched event ended.
#[derive(Clone, Debug)]
pub(crate) enum EventOutcome {
    Succeeded(Option<Payload>),
    Dead(DeadLetter),
    Failed(Failure),
    Cancelled,
}
