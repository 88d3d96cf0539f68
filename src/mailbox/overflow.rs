//! The persistence's view of a mailbox: events that the store has.
//!
//! Places are reserved for events while they are stored. Beyond a window in memory, stored events overflow: they wait in the
//! store alone, and are loaded when there is room. Ready events keep their order: as long as the overflow has a ready one,
//! a new event goes behind it. The supervisor is called when events of the overflow are due.

use std::time::Duration;

use super::{Inner, Mailbox};
use crate::base::time::Time;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::{Condition, DeadLetter};
use crate::event::failure::{Failure, FailureKind};
use crate::event::request_id::RequestId;
use crate::function::retry_decision;
use crate::mailbox::dispatch::Wakeups;
use crate::mailbox::snapshot::EventOutcome;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::queue::RefusalReason;
use crate::queue::entry::{Entry, LoadedEvent, Ticket};

/// What the persistence does with a mailbox.
#[derive(Clone, Copy)]
pub(crate) struct MailboxStorage<'a> {
    mailbox: &'a Mailbox,
}

impl Mailbox {
    pub(crate) fn storage(&self) -> MailboxStorage<'_> {
        MailboxStorage { mailbox: self }
    }
}

impl MailboxStorage<'_> {
    /// Reserves places for events while they are stored; `admit` or `release` must follow.
    pub(crate) fn reserve(self, events: usize, bytes: u64) -> Result<(), RefusalReason> {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let mut inner = self.mailbox.lock_to_admit();
        inner.may_admit()?;
        inner.queue.volume.reserve(events, bytes)
    }

    pub(crate) fn release(self, events: usize, bytes: u64) {
        let mut inner = self.mailbox.lock();
        inner.queue.volume.unreserve(events as u32, bytes);
        inner.check_drained();
    }

    /// Takes in events that were stored, in the places that were reserved for them. Returns the events that overflow, with
    /// the times when they are due, and who is woken for the others. If the function was removed meanwhile, the events are
    /// dead-lettered.
    pub(crate) fn admit(
        self,
        entries: impl IntoIterator<Item = Entry>,
        accepted: Time,
        now: Time,
    ) -> (Vec<(RequestId, Time)>, Wakeups) {
        let mailbox = self.mailbox;
        let (mut spilled, mut left, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        let mut inner = mailbox.lock();
        for entry in entries {
            inner.queue.volume.unreserve(1, entry.payload.size() as u64);
            match inner.queue.admit_stored(entry, accepted, now) {
                Ok(slot) if inner.removed => dead.push(slot),
                Ok(_) => {}
                Err(entry) => {
                    spilled.extend(entry.request_id.map(|id| (id, entry.start)));
                    left.push(entry);
                }
            }
        }
        let condition = Condition::FunctionRemoved;
        let letter = |slot| mailbox.letter_of_slot(&mut inner, slot, condition, now);
        let letters: Vec<_> = dead.into_iter().filter_map(letter).collect();
        let wakeups = inner.wake_for_event(mailbox.rules(), now);
        inner.check_drained();
        drop(inner);
        drop(left);
        mailbox.send_letters(letters);
        (spilled, wakeups)
    }

    /// The store has events that overflow, the first of which is due at `due`.
    pub(crate) fn spilled(self, due: Time) {
        let mailbox = self.mailbox;
        let now = mailbox.clock.now();
        let mut inner = mailbox.lock();
        inner.queue.volume.overflow.add_due(due);
        let wakeups = inner.wake_for_event(mailbox.rules(), now);
        let wanted = inner.can_load(now);
        let call = inner.call_supervisor(wanted);
        drop(inner);
        mailbox.wake(wakeups);
        if call {
            mailbox.notify(SupervisorMessage::Reconcile);
        }
    }

    /// Counts the events that the store has from before this process.
    pub(crate) fn inherit(self, ready: u64, delayed: u64, bytes: u64, next_due: Option<Time>) {
        let mut inner = self.mailbox.lock();
        inner.queue.inherit(ready, delayed, bytes);
        if let Some(due) = next_due {
            inner.queue.volume.overflow.add_due(due);
        }
    }

    pub(crate) fn has_overflow(self) -> bool {
        self.overflow_events() > 0
    }

    pub(crate) fn overflow_events(self) -> u64 {
        self.mailbox.lock().queue.volume.overflow.events()
    }

    /// Adds the stored events that run next, at most so many: up to one that must run alone.
    pub(crate) fn upcoming(self, events: &mut impl Extend<RequestId>, max: usize) {
        events.extend(self.mailbox.lock_as_is().queue.table.upcoming().take(max));
    }

    // --- loading

    /// Returns how many events of the overflow to load, and up to when they may be due.
    pub(crate) fn load_request(self) -> (usize, Time) {
        let inner = self.mailbox.lock();
        let until = if inner.removed {
            Time(u64::MAX)
        } else {
            self.mailbox.clock.now()
        };
        (self.mailbox.settings().window as usize, until)
    }

    /// Takes back events of the overflow; the first of the others is due at `next`. An event of which the process died too
    /// often is dead-lettered, and so are all once the function is removed.
    pub(crate) fn load(self, loaded: Vec<LoadedEvent>, next: Option<Time>, now: Time) {
        let mailbox = self.mailbox;
        let mut letters = Vec::new();
        let mut inner = mailbox.lock();
        inner.queue.volume.overflow.end_load(next);
        for mut one in loaded {
            let condition = retry_decision::on_return(one.deadly, inner.removed);
            // The attempt that the process died of is one more than those that failed.
            one.attempt += u32::from(condition == Some(Condition::ProcessCrash));
            let slot = inner.queue.load(one, now);
            if let Some(condition) = condition {
                letters.extend(mailbox.letter_of_slot(&mut inner, slot, condition, now));
            }
        }
        let wakeups = inner.wake_for_event(mailbox.rules(), now);
        // Many events may run now, and only the supervisor wakes many workers.
        let call = inner.call_supervisor(true);
        inner.check_drained();
        drop(inner);
        mailbox.wake(wakeups);
        mailbox.send_letters(letters);
        if call {
            mailbox.notify(SupervisorMessage::Reconcile);
        }
    }

    /// Takes back one event of the overflow, and cancels it before it can run.
    pub(crate) fn cancel_loaded(self, loaded: LoadedEvent, id: RequestId) {
        let now = self.mailbox.clock.now();
        let mut inner = self.mailbox.lock();
        inner.queue.load(loaded, now);
        let cancelled = inner.queue.cancel(id, now);
        inner.report_outcome(id, || EventOutcome::Cancelled);
        inner.check_drained();
        drop(inner);
        drop(cancelled);
    }
}

impl Mailbox {
    /// Takes an event out again that will not be tried. Returns its letter.
    fn letter_of_slot(
        &self,
        inner: &mut Inner,
        slot: u32,
        condition: Condition,
        now: Time,
    ) -> Option<(Ticket, DeadLetter)> {
        let ticket = inner.queue.withdraw_slot(slot, now)?;
        if condition == Condition::ProcessCrash {
            let attempt = Attempt {
                number: ticket.attempt,
                started_at: self.clock.wall(now),
                duration: Duration::ZERO,
                failure: Failure::new(
                    FailureKind::ProcessCrash,
                    "Runtime.ExitError",
                    "the process died again and again while it ran the event",
                ),
            };
            inner.remember_failure(ticket, attempt);
        }
        Some((ticket, self.letter(inner, ticket, condition, now)))
    }

    fn send_letters(&self, letters: Vec<(Ticket, DeadLetter)>) {
        if !letters.is_empty() {
            self.notify(SupervisorMessage::DeadLetters(letters));
        }
    }
}

impl Inner {
    /// Returns whether events of the overflow are due for which there is room.
    #[inline]
    pub(super) fn can_load(&self, now: Time) -> bool {
        self.load_due().is_some_and(|due| due <= now)
    }

    /// Returns when to load events of the overflow, as far as there is room for them.
    #[inline]
    pub(super) fn load_due(&self) -> Option<Time> {
        let due = self.queue.volume.overflow.next()?;
        if self.removed {
            return Some(Time::default());
        }
        (self.queue.has_room_to_load() && !self.closed).then_some(due)
    }

    /// Begins to load if events are due for which there is room. Returns whether it did.
    pub(super) fn begin_load(&mut self, now: Time) -> bool {
        let until = if self.removed { Time(u64::MAX) } else { now };
        self.can_load(now) && self.queue.volume.overflow.begin_load(until)
    }
}
