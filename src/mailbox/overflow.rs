//! Events that a store has: places for them while they are stored, and how those that are parked there come back.
//!
//! What is ready keeps its order: as long as something ready is parked, what comes in is parked behind it. Delayed events
//! wait here or there. When there is room, the supervisor is told to fetch what is due.

use super::{Inner, Mailbox, Wake};
use crate::base::time::Time;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::Condition;
use crate::event::failure::{Failure, FailureKind};
use crate::event::request_id::RequestId;
use crate::function::retry;
use crate::mailbox::snapshot::EventOutcome;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::queue::RefusalReason;
use crate::queue::entry::{Entry, Returning};

impl Mailbox {
    /// Keeps places for events while they are stored; `admit_stored` or `release` must follow.
    pub(crate) fn reserve(&self, events: usize, bytes: u64) -> Result<(), RefusalReason> {
        let mut inner = self.lock_to_admit();
        inner.may_admit()?;
        inner
            .queue
            .reserve(u32::try_from(events).unwrap_or(u32::MAX), bytes)
    }

    pub(crate) fn release(&self, events: usize, bytes: u64) {
        let mut inner = self.lock();
        inner.queue.unreserve(events as u32, bytes);
        inner.check_drained();
    }

    /// Takes in events that were stored, in the places that were kept for them. Answers which of them are to be parked, and
    /// when they are due; and whom to wake for the others. If the function was removed meanwhile, they die of it.
    pub(crate) fn admit_stored(
        &self,
        entries: impl IntoIterator<Item = Entry>,
        accepted: Time,
        now: Time,
    ) -> (Vec<(RequestId, Time)>, Wake) {
        let (mut parked, mut left, mut doomed) = (Vec::new(), Vec::new(), Vec::new());
        let mut inner = self.lock();
        for entry in entries {
            inner.queue.unreserve(1, entry.payload.size() as u64);
            match inner.queue.stock(entry, accepted, now) {
                Ok(slot) if inner.removed => doomed.push(slot),
                Ok(_) => {}
                Err(entry) => {
                    parked.extend(entry.request_id.map(|id| (id, entry.start)));
                    left.push(entry);
                }
            }
        }
        let doomed: Vec<_> = doomed
            .into_iter()
            .filter_map(|slot| {
                let ticket = inner.queue.withdraw_slot(slot, now)?;
                Some((
                    ticket,
                    self.letter(&inner, ticket, Condition::FunctionRemoved, now),
                ))
            })
            .collect();
        let wake = inner.rouse(self.rules(), now);
        inner.check_drained();
        drop(inner);
        drop(left);
        if !doomed.is_empty() {
            self.notify(SupervisorMessage::DeadLetters(doomed));
        }
        (parked, wake)
    }

    /// The store has heard of parked events, the first of which is due then.
    pub(crate) fn spilled(&self, due: Time) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.queue.overflow.told(due);
        let wake = inner.rouse(self.rules(), now);
        let attend = inner.is_hungry(now) && !std::mem::replace(&mut inner.summoned, true);
        drop(inner);
        self.wake(wake);
        if attend {
            self.notify(SupervisorMessage::Reconcile);
        }
    }

    /// Counts what the store has parked from earlier.
    pub(crate) fn inherit_overflow(
        &self,
        ready: u64,
        delayed: u64,
        bytes: u64,
        next_due: Option<Time>,
    ) {
        let mut inner = self.lock();
        inner.queue.inherit(ready, delayed, bytes);
        if let Some(due) = next_due {
            inner.queue.overflow.told(due);
        }
    }

    pub(crate) fn has_overflow(&self) -> bool {
        self.overflow_events() > 0
    }

    pub(crate) fn overflow_events(&self) -> u64 {
        self.lock().queue.overflow.events()
    }

    /// How many parked events to fetch, and up to when they may be due.
    pub(crate) fn load_request(&self) -> (usize, Time) {
        let inner = self.lock();
        let until = if inner.removed {
            Time(u64::MAX)
        } else {
            self.clock.now()
        };
        (self.settings().window as usize, until)
    }

    /// Takes back parked events; the first of the others is due at `next`.
    pub(crate) fn load(&self, returning: Vec<Returning>, next: Option<Time>, now: Time) {
        let mut doomed = Vec::new();
        let mut inner = self.lock();
        inner.queue.overflow.fetched(next);
        for mut one in returning {
            let deadly = one.deadly;
            // The attempt that the process died of is one more than those that failed.
            one.attempt += u32::from(deadly && !inner.removed);
            let slot = inner.queue.restock(one, now);
            let Some(condition) = retry::on_return(deadly, inner.removed) else {
                continue;
            };
            let Some(ticket) = inner.queue.withdraw_slot(slot, now) else {
                continue;
            };
            if condition == Condition::ProcessCrash {
                let attempt = Attempt {
                    number: ticket.attempt,
                    started_at: self.clock.wall(now),
                    duration: std::time::Duration::ZERO,
                    failure: Failure::new(
                        FailureKind::ProcessCrash,
                        "Runtime.ExitError",
                        "the process died again and again while it ran the event",
                    ),
                };
                inner.remember_failure(ticket, attempt);
            }
            doomed.push((ticket, self.letter(&inner, ticket, condition, now)));
        }
        let wake = inner.rouse(self.rules(), now);
        // Many may run now, and only the supervisor wakes many.
        let attend = !std::mem::replace(&mut inner.summoned, true);
        inner.check_drained();
        drop(inner);
        self.wake(wake);
        if !doomed.is_empty() {
            self.notify(SupervisorMessage::DeadLetters(doomed));
        }
        if attend {
            self.notify(SupervisorMessage::Reconcile);
        }
    }

    /// Takes back one parked event, and ends it before anybody can run it.
    pub(crate) fn cancel_loaded(&self, returning: Returning, id: RequestId) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.queue.restock(returning, now);
        let cancelled = inner.queue.cancel(id, now);
        inner.tell_watchers(id, || EventOutcome::Cancelled);
        inner.check_drained();
        drop(inner);
        drop(cancelled);
    }
}

impl Inner {
    /// Are parked events due for which there is room?
    #[inline]
    pub(super) fn is_hungry(&self, now: Time) -> bool {
        self.parked_due().is_some_and(|due| due <= now)
    }

    /// When to fetch parked events, as far as there is room for them.
    #[inline]
    pub(super) fn parked_due(&self) -> Option<Time> {
        let due = self.queue.overflow.next()?;
        if self.removed {
            return Some(Time::default());
        }
        (self.queue.has_room_for_parked() && !self.closed).then_some(due)
    }

    /// Fetches from now on, if it is worth it.
    pub(super) fn wants_parked(&mut self, now: Time) -> bool {
        let until = if self.removed { Time(u64::MAX) } else { now };
        self.is_hungry(now) && self.queue.overflow.fetch(until)
    }
}
