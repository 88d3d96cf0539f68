//! The intake: events arrive here while the workers are busy, so that callers and workers don't compete for one lock.
//!
//! The mailbox grants its callers places in advance. As long as they last, and no worker must be woken, a caller puts its
//! event here under the intake's own lock, which a worker takes once for many events. An event beyond the grant, a call, a
//! delayed event and one with a chosen request id take the mailbox's lock. Every reader of the mailbox enqueues the arrivals
//! first (`mailbox/lock.rs`).

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::base::spin_lock;
use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::request_id::RequestId;
use crate::queue::entry::{Arrival, Entry};

/// How much may still arrive without the mailbox's lock.
#[derive(Debug, Default)]
pub(super) struct Grant {
    pub(super) events: u32,
    pub(super) bytes: u64,
    /// Slots of the queue that are reserved for arrivals: at least `events`.
    pub(super) slots: Vec<u32>,
    /// Until then no worker must be woken for another event.
    pub(super) until: Time,
}

#[derive(Debug, Default)]
pub(super) struct Arrivals {
    pub(super) events: Vec<Arrival>,
    pub(super) grant: Grant,
}

/// On separate cache lines: callers write here while workers write to the mailbox.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Intake {
    arrivals: Mutex<Arrivals>,
    /// Something arrived, or became ready for a worker that polls, since the signal was cleared.
    signal: AtomicBool,
}

impl Intake {
    pub(super) fn lock(&self) -> MutexGuard<'_, Arrivals> {
        spin_lock::take(&self.arrivals)
    }

    /// Takes the event in if the grant allows it, and returns its request id; otherwise returns the event.
    #[inline]
    pub(super) fn put(
        &self,
        entry: Entry,
        number: u32,
        random: u128,
        now: Time,
    ) -> Result<RequestId, Entry> {
        if entry.kind != InvocationType::Event || entry.request_id.is_some() || entry.start > now {
            return Err(entry);
        }
        let bytes = entry.payload.size() as u64;
        let mut arrivals = self.lock();
        let Arrivals { events, grant } = &mut *arrivals;
        if grant.events == 0 || grant.bytes < bytes || grant.until <= now {
            return Err(entry);
        }
        let Some(slot) = grant.slots.pop() else {
            return Err(entry);
        };
        grant.events -= 1;
        grant.bytes -= bytes;
        let id = RequestId::new(number, slot, random);
        let first = events.is_empty();
        events.push(Arrival {
            id,
            slot,
            payload: entry.payload,
            side: entry.side,
            accepted: now,
        });
        drop(arrivals);
        if first {
            self.signal();
        }
        Ok(id)
    }

    pub(super) fn signal(&self) {
        self.signal.store(true, Ordering::Release);
    }

    /// Returns whether something may have arrived since the signal was cleared.
    #[inline]
    pub(super) fn is_signalled(&self) -> bool {
        self.signal.load(Ordering::Acquire)
    }

    /// From here on only later arrivals signal.
    #[inline]
    pub(super) fn clear_signal(&self) {
        self.signal.store(false, Ordering::Release);
    }
}
