//! Grants: how many events may come in through the intake alone, and until when no worker must be woken for them.
//!
//! A method that changes the point in time that callers know publishes it before it releases the lock: a worker when it
//! begins a run or goes to sleep, the supervisor when it has reconciled.

use super::{Inner, Mailbox};
use crate::base::time::Time;
use crate::mailbox::dispatch::Wakeups;
use crate::mailbox::wake;

/// Most events that may arrive without the mailbox's lock, in a row. The intake holds that many slots.
pub(super) const GRANT_MAX: u32 = 256;

/// The grant after arrivals are enqueued.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Grants {
    /// As many events as arrived may arrive again.
    Renew,
    /// No event arrives without the lock until the next grant.
    Revoke,
}

impl Mailbox {
    /// Moves the arrivals from the intake to the queue.
    pub(super) fn enqueue_arrivals(&self, inner: &mut Inner, grants: Grants) {
        let mut arrivals = self.intake.lock();
        if grants == Grants::Revoke {
            (arrivals.grant.events, arrivals.grant.bytes) = (0, 0);
        }
        if arrivals.events.is_empty() {
            return;
        }
        let spare = std::mem::take(&mut inner.spare_arrivals);
        let mut arrived = std::mem::replace(&mut arrivals.events, spare);
        if grants == Grants::Renew {
            // As long as a worker enqueues them, callers need not take the mailbox's lock.
            let grant = &mut arrivals.grant;
            grant.slots.append(&mut inner.spare_slots);
            let room = inner
                .queue
                .volume
                .room()
                .saturating_sub(arrived.len() as u32);
            grant.events = inner.granted.min(room).min(grant.slots.len() as u32);
        }
        drop(arrivals);
        inner
            .queue
            .table
            .reserve_slots(arrived.len(), &mut inner.spare_slots);
        arrived
            .drain(..)
            .for_each(|arrival| inner.queue.arrive(arrival));
        inner.spare_arrivals = arrived;
    }

    /// After an admission: grants callers twice as many events as last time, if no worker must be woken for them.
    pub(super) fn extend_grant(&self, inner: &mut Inner, now: Time) {
        let until = wake::quiet_until(inner.wake_state(self.rules()));
        inner.granted = if until > now {
            (inner.granted * 2).clamp(1, GRANT_MAX)
        } else {
            0
        };
        inner.published = until;
        let mut arrivals = self.intake.lock();
        let grant = &mut arrivals.grant;
        grant.until = until;
        if inner.granted > 0 {
            grant.events = inner.granted.min(inner.queue.volume.room());
            grant.bytes = inner.queue.volume.room_bytes();
            grant.slots.append(&mut inner.spare_slots);
            let missing = (grant.events as usize).saturating_sub(grant.slots.len());
            inner.queue.table.reserve_slots(missing, &mut grant.slots);
        }
    }

    /// Publishes until when no worker must be woken, if that has changed enough to be worth the intake's lock. If that time
    /// is now sooner, returns who is woken for the events that callers put there meanwhile.
    #[inline]
    pub(super) fn publish(&self, inner: &mut Inner, now: Time) -> Wakeups {
        let until = wake::quiet_until(inner.wake_state(self.rules()));
        let sooner = until < inner.published;
        if inner.granted == 0 || !sooner && until <= inner.published.after(wake::SEARCH_MAX / 2) {
            return Wakeups::default();
        }
        inner.published = until;
        let mut arrivals = self.intake.lock();
        arrivals.grant.until = until;
        if !sooner || arrivals.events.is_empty() {
            return Wakeups::default();
        }
        drop(arrivals);
        self.enqueue_arrivals(inner, Grants::Renew);
        inner.wake_for_event(self.rules(), now)
    }

    /// Prepares the sleep of a worker: later arrivals wake a worker. Returns false if something has arrived already, so that
    /// the worker must not sleep.
    pub(super) fn prepare_sleep(&self, inner: &mut Inner) -> bool {
        let mut arrivals = self.intake.lock();
        if !arrivals.events.is_empty() {
            return false;
        }
        let until = wake::quiet_until(inner.wake_state(self.rules()));
        (arrivals.grant.until, inner.published) = (until, until);
        let held = !arrivals.grant.slots.is_empty() || !inner.spare_slots.is_empty();
        if inner.workers.are_all_idle() && held {
            // The memory for a burst is freed after the burst.
            let quiet = std::mem::take(&mut *arrivals);
            drop(arrivals);
            inner.queue.table.release_slots(quiet.grant.slots);
            let spare_slots = std::mem::take(&mut inner.spare_slots);
            inner.queue.table.release_slots(spare_slots);
            (inner.granted, inner.spare_arrivals) = (0, Vec::new());
        }
        true
    }
}
