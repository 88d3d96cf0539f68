//! Cancelling a pending event, and failing the calls of a function that is held back.
//!
//! A cancellation has two steps: `cancel` ends the event under the lock, `Cancelled::finish` runs the code of others that
//! follows from it.

use std::task::Waker;
use std::time::Duration;

use super::{Inner, Mailbox};
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::attempt::Attempt;
use crate::event::failure::Failure;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::function::crash_loop::Gate;
use crate::mailbox::deferred::Deferred;
use crate::mailbox::dispatch::Wakeups;
use crate::mailbox::snapshot::EventOutcome;
use crate::mailbox::supervision::Supervision;
use crate::queue::entry::Ticket;

/// An event that was cancelled, with the rest of the work for it.
#[must_use = "a worker that was chosen to be woken is woken by `finish`"]
pub(crate) struct Cancelled {
    /// If the store has the event: when it was accepted.
    pub(crate) stored: Option<Time>,
    payload: Option<Payload>,
    /// The worker that ran the event.
    aborted: Option<Waker>,
    wakeups: Wakeups,
}

impl Cancelled {
    /// Drops the payload and wakes workers: both may run user code.
    pub(crate) fn finish(self, mailbox: &Mailbox) {
        drop(self.payload);
        if let Some(waker) = self.aborted {
            waker.wake();
        }
        mailbox.wake(self.wakeups);
    }
}

impl Mailbox {
    /// Ends a pending event, the running attempt included. Returns `None` if there is no such event.
    /// `Cancelled::finish` must follow.
    pub(crate) fn cancel(&self, id: RequestId) -> Option<Cancelled> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let (_, slot) = inner.queue.table.get(id)?;
        let stored = slot.stored.then_some(slot.accepted);
        let (running, payload) = inner.queue.cancel(id, now)?;
        let aborted = running.and_then(|ticket| inner.workers.abort(ticket));
        // Where few may run at once, another one may now.
        let wakeups = match running {
            Some(_) => inner.wake_for_event(self.rules(), now),
            None => Wakeups::default(),
        };
        inner.report_outcome(id, || EventOutcome::Cancelled);
        inner.check_drained();
        drop(inner);
        Some(Cancelled {
            stored,
            payload,
            aborted,
            wakeups,
        })
    }
}

impl Supervision<'_> {
    /// If the function is held back, fails the calls that wait, with the failure that did it. At most `limit` calls at a
    /// time; returns whether there are more.
    pub(crate) fn fail_waiting_calls(self, limit: usize, now: Time) -> bool {
        let mailbox = self.mailbox;
        let settings = mailbox.settings();
        let mut inner = mailbox.lock();
        let crashed = || inner.last_crash.as_deref().cloned();
        let failure = match inner.restarts.gate() {
            Gate::BackingOff(_) => crashed().unwrap_or_else(Failure::worker_lost),
            _ if inner.is_out_of_threads(settings) => {
                Failure::threads_used_up(settings.abandoned_threads_max)
            }
            _ => return false,
        };
        for _ in 0..limit {
            let Some(id) = inner.queue.table.first_call() else {
                break;
            };
            let Some(ticket) = inner.queue.withdraw(id, now) else {
                break;
            };
            inner.fail_call(ticket, &failure, &mailbox.clock, now);
        }
        inner.queue.table.first_call().is_some()
    }
}

impl Inner {
    pub(super) fn is_call(&self, id: RequestId) -> bool {
        let slot = self.queue.table.get(id).map(|(_, slot)| slot);
        slot.is_some_and(|slot| slot.kind == InvocationType::RequestResponse)
    }

    /// Ends a withdrawn call with this failure; it did not run.
    pub(super) fn fail_call(
        &mut self,
        ticket: Ticket,
        failure: &Failure,
        clock: &Clock,
        now: Time,
    ) {
        let attempt = Attempt {
            number: ticket.attempt,
            started_at: clock.wall(now),
            duration: Duration::ZERO,
            failure: failure.clone(),
        };
        self.remember_failure(ticket, attempt);
        let payload = self.queue.bury(ticket, now);
        self.deferred.extend(payload.map(Deferred::Payload));
        self.report_outcome(ticket.id, || EventOutcome::Failed(failure.clone()));
    }

    pub(super) fn remember_failure(&mut self, ticket: Ticket, attempt: Attempt) {
        if let Some((slot, _)) = self.queue.table.get(ticket.id) {
            self.queue.remember(slot, attempt);
        }
    }
}
