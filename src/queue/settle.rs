//! How attempts and events end: success, failure, retry, dead letter, cancellation.
//!
//! A transition of an attempt is fenced by its ticket: once the attempt is superseded, the transition returns `None` and
//! changes nothing. Payloads are returned, so that they are not dropped under a lock.

use super::Queue;
use crate::base::time::Time;
use crate::event::attempt::{self, Attempt};
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::queue::entry::{Phase, Side, Slot, Ticket};
use crate::queue::finished::{failed_texts, texts};

/// Where a failed event waits to run again.
#[derive(Debug)]
pub(crate) enum Rescheduled {
    InMemory,
    /// In the overflow; its payload is no longer needed here.
    Spilled(Option<Payload>),
}

impl Queue {
    /// The attempt succeeded: the event ends with its result. Returns its payload.
    pub(crate) fn succeed(
        &mut self,
        ticket: Ticket,
        result: Option<Payload>,
        now: Time,
    ) -> Option<Payload> {
        let slot = self.table.fenced(ticket, Phase::Running)?;
        self.finish(slot, Phase::Succeeded, result, now)
    }

    /// The attempt failed: the event waits for a decision.
    pub(crate) fn fail(&mut self, ticket: Ticket, now: Time) -> Option<&mut Slot> {
        let slot = self.table.fenced(ticket, Phase::Running)?;
        self.enter(slot, Phase::Failed, now);
        Some(&mut self.table[slot])
    }

    /// The failed event runs again at `at`. Returns where it waits: here or, if there is no room, in the overflow.
    pub(crate) fn retry(&mut self, ticket: Ticket, at: Time, now: Time) -> Option<Rescheduled> {
        let slot = self.table.fenced(ticket, Phase::Failed)?;
        Some(self.reschedule(slot, at, now))
    }

    /// The attempt did not take place: the event may not run before `at`, and its age counts from then. Returns where it
    /// waits.
    pub(crate) fn postpone(&mut self, ticket: Ticket, at: Time, now: Time) -> Option<Rescheduled> {
        let ticket = self.untake(ticket, now)?;
        let slot = self.table.fenced(ticket, Phase::Failed)?;
        self.table[slot].first_due = at;
        Some(self.reschedule(slot, at, now))
    }

    fn reschedule(&mut self, slot: u32, at: Time, now: Time) -> Rescheduled {
        let room = self.delayed_here() < u64::from(self.volume.bounds.window);
        if room || !self.table[slot].stored || at <= now {
            self.schedule(slot, at, now);
            return Rescheduled::InMemory;
        }
        self.counts.failed_left();
        let payload = self.leave_pending(slot);
        self.spill(true, payload.as_ref().map_or(0, Payload::size) as u64);
        self.finished.forget(&mut self.table, slot);
        Rescheduled::Spilled(payload)
    }

    /// The dead-letter queue has the failed event, or its caller has the failure: the event ends. Returns its payload.
    pub(crate) fn bury(&mut self, ticket: Ticket, now: Time) -> Option<Payload> {
        let slot = self.table.fenced(ticket, Phase::Failed)?;
        self.finish(slot, Phase::Dead, None, now)
    }

    /// Takes a waiting event out, to be decided on without an attempt. Returns `None` if it does not wait.
    pub(crate) fn withdraw(&mut self, id: RequestId, now: Time) -> Option<Ticket> {
        let slot = self.table.find(id)?;
        self.withdraw_slot(slot, now)
    }

    pub(crate) fn withdraw_slot(&mut self, slot: u32, now: Time) -> Option<Ticket> {
        self.table.unlink(slot)?;
        self.enter(slot, Phase::Failed, now);
        Some(self.table[slot].ticket(slot))
    }

    /// Ends a pending event. Returns the ticket of the attempt that was running, if one was, and the payload; `None` if
    /// the event is not here, has ended, or is about to be decided on.
    pub(crate) fn cancel(
        &mut self,
        id: RequestId,
        now: Time,
    ) -> Option<(Option<Ticket>, Option<Payload>)> {
        let slot = self.table.find(id)?;
        let entry = &self.table[slot];
        let running = match entry.phase {
            Phase::Running => Some(entry.ticket(slot)),
            Phase::Ready | Phase::Delayed => None,
            _ => return None,
        };
        let _ = self.table.unlink(slot);
        Some((running, self.finish(slot, Phase::Cancelled, None, now)))
    }

    /// Gives up all attempts that run or were not decided on: their events are ready again. Returns these events.
    pub(crate) fn abandon_attempts(&mut self, now: Time) -> Vec<RequestId> {
        let begun = |slot: &Slot| matches!(slot.phase, Phase::Running | Phase::Failed);
        let slots = self.table.iter(0).filter(|(_, slot)| begun(slot));
        let slots: Vec<_> = slots.map(|(index, slot)| (index, slot.id)).collect();
        for &(slot, _) in &slots {
            self.schedule(slot, now, now);
        }
        slots.into_iter().map(|(_, id)| id).collect()
    }

    fn finish(
        &mut self,
        slot: u32,
        phase: Phase,
        result: Option<Payload>,
        now: Time,
    ) -> Option<Payload> {
        self.enter(slot, phase, now);
        let payload = self.leave_pending(slot);
        self.table[slot].body = result;
        self.finished.push(slot, &self.table);
        self.expire(now, 2);
        payload
    }

    fn leave_pending(&mut self, slot: u32) -> Option<Payload> {
        let slot = &mut self.table[slot];
        let payload = slot.body.take();
        let texts = failed_texts(slot.side.as_deref());
        let bytes = payload.as_ref().map_or(0, Payload::size) + texts;
        self.volume.remove(bytes as u64);
        payload
    }

    /// Adds a failed attempt to the history of a pending event, whose texts count as its payload does. Returns the event's
    /// side.
    pub(crate) fn remember(&mut self, slot: u32, attempt: Attempt) -> &mut Side {
        let side = self.table[slot].side.get_or_insert_default();
        let before = texts(&side.attempts);
        attempt::remember(&mut side.attempts, attempt);
        self.volume.resize(before, texts(&side.attempts));
        side
    }
}
