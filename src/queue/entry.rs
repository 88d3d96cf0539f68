//! The record of an event in a queue, and the forms in which events come in and go out.

use std::time::SystemTime;

use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::DeadLetter;
use crate::event::ledger::Ledger;
use crate::event::meta::SharedMeta;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;

/// Names one attempt of one event. With the ticket of an attempt that is over, nothing can be changed: that is the fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) id: RequestId,
    pub(crate) slot: u32,
    pub(crate) attempt: u32,
    /// Distinguishes the event from an earlier one with the same chosen request id.
    pub(crate) stamp: u32,
    /// The store has the event.
    pub(crate) stored: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not in any list yet.
    New,
    Ready,
    Delayed,
    Running,
    /// Its attempt failed, and the supervisor or the dead-letter queue is about to decide on it.
    Failed,
    Succeeded,
    Dead,
    Cancelled,
}

impl Phase {
    pub(crate) fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Cancelled)
    }

    /// Returns the figure of `ledger` that counts the events of this phase.
    pub(crate) fn count(self, ledger: &mut Ledger) -> Option<&mut u64> {
        Some(match self {
            Self::New => return None,
            Self::Ready => &mut ledger.ready,
            Self::Delayed => &mut ledger.delayed,
            Self::Running | Self::Failed => &mut ledger.running,
            Self::Succeeded => &mut ledger.succeeded,
            Self::Dead => &mut ledger.dead,
            Self::Cancelled => &mut ledger.cancelled,
        })
    }
}

/// A pending event, or a finished one that is remembered.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: RequestId,
    /// The payload while it is pending, the result once it succeeded.
    pub(crate) body: Option<Payload>,
    pub(crate) side: Option<Box<Side>>,
    pub(crate) accepted: Time,
    /// When its first run was due: its age counts from here.
    pub(crate) first_due: Time,
    /// When the present phase began; for a delayed event, when it ends.
    pub(crate) at: Time,
    /// Its neighbours in the list that it waits in.
    pub(crate) prev: u32,
    pub(crate) next: u32,
    /// Attempts that began.
    pub(crate) attempt: u32,
    pub(crate) stamp: u32,
    pub(crate) phase: Phase,
    pub(crate) kind: InvocationType,
    /// Its caller chose its id.
    pub(crate) chosen_id: bool,
    /// The store has it.
    pub(crate) stored: bool,
}

/// An event at the door.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) payload: Payload,
    pub(crate) kind: InvocationType,
    pub(crate) side: Option<Box<Side>>,
    /// The id that its caller chose, or its store gave.
    pub(crate) request_id: Option<RequestId>,
    /// When it may run first.
    pub(crate) start: Time,
    /// The store has it.
    pub(crate) stored: bool,
    /// Its caller chose its id.
    pub(crate) chosen_id: bool,
}

/// An event that is loaded from the store.
#[derive(Debug)]
pub(crate) struct LoadedEvent {
    pub(crate) entry: Entry,
    pub(crate) accepted: Time,
    pub(crate) first_due: Time,
    /// Attempts that failed.
    pub(crate) attempt: u32,
    /// Whether the process died too often while it ran.
    pub(crate) deadly: bool,
}

/// An event that was accepted into a granted slot and is not in the queue yet.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) id: RequestId,
    pub(crate) slot: u32,
    pub(crate) payload: Payload,
    pub(crate) side: Option<Box<Side>>,
    pub(crate) accepted: Time,
}

/// An event that a worker took, to run it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) ticket: Ticket,
    /// None once its worker has taken it out.
    pub(crate) payload: Option<Payload>,
    pub(crate) accepted: Time,
    /// When its first run was due: its age counts from here.
    pub(crate) first_due: Time,
    pub(crate) kind: InvocationType,
    pub(crate) meta: SharedMeta,
    /// The wall clock must show this before it runs.
    pub(crate) not_before: Option<SystemTime>,
    /// The process died while it ran: it runs alone.
    pub(crate) suspect: bool,
}

impl Slot {
    /// Returns whether the id does not contain the event's slot.
    pub(crate) fn has_foreign_id(&self) -> bool {
        self.chosen_id || self.stored
    }

    /// Returns the ticket of the present attempt.
    pub(crate) fn ticket(&self, slot: u32) -> Ticket {
        Ticket {
            id: self.id,
            slot,
            attempt: self.attempt,
            stamp: self.stamp,
            stored: self.stored,
        }
    }
}

/// The fields that only some events have; the others don't pay for them.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) meta: SharedMeta,
    /// The wall clock must show this before it runs.
    pub(crate) not_before: Option<SystemTime>,
    /// Its failed attempts.
    pub(crate) attempts: Vec<Attempt>,
    /// How many of them were throttles or system errors, which don't count (ASY-21).
    pub(crate) uncounted: u32,
    /// The process died while it ran, perhaps because of it.
    pub(crate) suspect: bool,
    /// Set when it was dead-lettered.
    pub(crate) letter: Option<DeadLetter>,
}

impl Side {
    /// Returns the side of an event that may not run before the wall clock shows `not_before`; `None` if nothing is set.
    pub(crate) fn of(meta: SharedMeta, not_before: Option<SystemTime>) -> Option<Box<Self>> {
        let side = Self {
            meta,
            not_before,
            ..Self::default()
        };
        side.is_set().then(|| Box::new(side))
    }

    /// Returns whether any field is set that must be kept.
    pub(crate) fn is_set(&self) -> bool {
        !self.meta.is_none()
            || self.not_before.is_some()
            || !self.attempts.is_empty()
            || self.suspect
    }
}
