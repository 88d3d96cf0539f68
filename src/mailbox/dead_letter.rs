//! Events that end without another attempt: the letters that they leave, and why.
//!
//! Letters are written here; the dead-letter queue keeps them, and then ends the event (`Mailbox::bury`).

use super::{Inner, Mailbox};
use crate::base::time::Time;
use crate::event::dead_letter::{Condition, DeadLetter, Letter};
use crate::event::failure::Failure;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::mailbox::deferred::Deferred;
use crate::mailbox::supervision::Supervision;
use crate::queue::entry::Ticket;

impl Supervision<'_> {
    /// Takes out a waiting event that will not be tried any more. Returns its ticket and its letter; `None` if it does not
    /// wait.
    pub(crate) fn dead_letter(
        self,
        id: RequestId,
        condition: Condition,
    ) -> Option<(Ticket, DeadLetter)> {
        let now = self.mailbox.clock.now();
        let mut inner = self.mailbox.lock();
        let ticket = inner.queue.withdraw(id, now)?;
        let letter = self.mailbox.letter(&inner, ticket, condition, now);
        Some((ticket, letter))
    }

    /// Closes the mailbox for good, because its function is removed: no event starts any more, and no waiting event will be
    /// tried again. Takes out at most `limit` events and calls; returns the letters, and whether there are more.
    pub(crate) fn remove(self, limit: usize) -> (Vec<(Ticket, DeadLetter)>, bool) {
        let now = self.mailbox.clock.now();
        let mut letters = Vec::new();
        let mut inner = self.mailbox.lock();
        inner.removed = true;
        for _ in 0..limit {
            let Some(id) = inner.queue.table.any_waiting() else {
                break;
            };
            let Some(ticket) = inner.queue.withdraw(id, now) else {
                break;
            };
            if inner.is_call(id) {
                inner.drop_call(ticket, now);
                continue;
            }
            let condition = Condition::FunctionRemoved;
            letters.push((ticket, self.mailbox.letter(&inner, ticket, condition, now)));
        }
        (letters, inner.queue.table.any_waiting().is_some())
    }

    /// Ends what may run now, because concurrency 0 is reserved for the function: events are dead-lettered (ASY-27), calls
    /// fail (ASY-28). Takes out at most `limit` events and calls; returns the letters, and whether there are more.
    pub(crate) fn dead_letter_due(
        self,
        limit: usize,
        now: Time,
    ) -> (Vec<(Ticket, DeadLetter)>, bool) {
        let mut letters = Vec::new();
        let mut inner = self.mailbox.lock();
        for _ in 0..limit {
            let Some(id) = inner.queue.first_due(now) else {
                break;
            };
            let Some(ticket) = inner.queue.withdraw(id, now) else {
                break;
            };
            if inner.is_call(id) {
                let failure = Failure::zero_concurrency();
                inner.fail_call(ticket, &failure, &self.mailbox.clock, now);
                continue;
            }
            let condition = Condition::ZeroReservedConcurrency;
            letters.push((ticket, self.mailbox.letter(&inner, ticket, condition, now)));
        }
        inner.check_drained();
        (letters, inner.queue.first_due(now).is_some())
    }
}

impl Inner {
    /// Ends a withdrawn call without an outcome.
    fn drop_call(&mut self, ticket: Ticket, now: Time) {
        let payload = self.queue.bury(ticket, now);
        let watchers = self.watchers.take(ticket.id).map(Deferred::Unwatched);
        self.deferred
            .extend(payload.map(Deferred::Payload).into_iter().chain(watchers));
    }
}

impl Mailbox {
    /// Returns the letter of an event that will not be tried any more.
    pub(super) fn letter(
        &self,
        inner: &Inner,
        ticket: Ticket,
        condition: Condition,
        now: Time,
    ) -> DeadLetter {
        let slot = inner.queue.table.get(ticket.id).map(|(_, slot)| slot);
        let side = slot.and_then(|slot| slot.side.as_deref());
        let accepted = slot.map_or(now, |slot| slot.accepted);
        let mut meta = side.map(|side| side.meta.clone()).unwrap_or_default();
        meta.make_mut().begin_trace(ticket.id, accepted);
        DeadLetter::new(Letter {
            request_id: ticket.id,
            function: self.name().clone(),
            payload: slot
                .and_then(|slot| slot.body.clone())
                .unwrap_or_else(Payload::null),
            condition,
            attempts: side.map(|side| side.attempts.clone()).unwrap_or_default(),
            attempt_count: ticket.attempt,
            accepted_at: self.clock.wall(accepted),
            died_at: self.clock.wall(now),
            meta,
            stored: ticket.stored,
        })
    }
}
