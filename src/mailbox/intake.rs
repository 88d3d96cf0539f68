//! Where events arrive while the workers are busy, so that callers and workers don't fight over one lock.
//!
//! The mailbox grants its callers a few places ahead; as long as they last, and nobody has to be woken, an event is put
//! here under a lock of its own, which a worker takes once for many events. Whatever is unusual, and whatever goes beyond
//! the grant, takes the mailbox's lock. Whoever looks into the mailbox brings in first what has arrived.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::base::spin_lock;
use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::request_id::RequestId;
use crate::queue::entry::{Arrival, Entry};

/// What may still arrive without asking the mailbox.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    pub(crate) events: u32,
    pub(crate) bytes: u64,
    /// Slots of the queue that are kept for arrivals: at least `events`.
    pub(crate) slots: Vec<u32>,
    /// Until then nobody has to be woken for another event.
    pub(crate) until: Time,
}

#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    pub(crate) events: Vec<Arrival>,
    pub(crate) grant: Grant,
}

/// On lines of its own: callers write here while workers write to the mailbox.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Intake {
    arrivals: Mutex<Arrivals>,
    /// Something arrived, or changed for a worker that lingers, since it was last looked at.
    stirred: AtomicBool,
}

impl Intake {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Arrivals> {
        spin_lock::take(&self.arrivals)
    }

    /// Takes the event if the grant allows, or gives it back.
    #[inline]
    pub(crate) fn put(
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
            self.stir();
        }
        Ok(id)
    }

    pub(crate) fn stir(&self) {
        self.stirred.store(true, Ordering::Release);
    }

    /// Is a look worth its while?
    #[inline]
    pub(crate) fn is_stirred(&self) -> bool {
        self.stirred.load(Ordering::Acquire)
    }

    /// From here on only what comes later stirs it.
    #[inline]
    pub(crate) fn calm(&self) {
        self.stirred.store(false, Ordering::Release);
    }
}
