//! The clients' view of a mailbox: snapshots of its events, its figures, watching for an outcome, and the ids of forgotten
//! events, which are taken out once.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Inner, Mailbox};
use crate::event::request_id::RequestId;
use crate::mailbox::deferred::Deferred;
use crate::mailbox::snapshot::{EventOutcome, EventSnapshot};
use crate::telemetry::{Meters, Stats};

/// What can be read from a mailbox.
#[derive(Clone, Copy)]
pub(crate) struct Inspection<'a> {
    mailbox: &'a Mailbox,
}

impl Mailbox {
    pub(crate) fn inspect(&self) -> Inspection<'_> {
        Inspection { mailbox: self }
    }
}

impl Inspection<'_> {
    pub(crate) fn snapshot(self, id: RequestId) -> Option<EventSnapshot> {
        let inner = self.mailbox.lock();
        inner
            .queue
            .table
            .get(id)
            .map(|(_, slot)| EventSnapshot::new(slot))
    }

    /// Returns where the outcome of the event will be sent; at once if it has ended. `None` if there is no such event here,
    /// unless `in_overflow` says that the store has it.
    pub(crate) fn watch(
        self,
        id: RequestId,
        in_overflow: bool,
    ) -> Option<oneshot::Receiver<EventOutcome>> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.mailbox.lock();
        let slot = inner.queue.table.get(id).map(|(_, slot)| slot);
        if slot.is_none() && !in_overflow {
            return None;
        }
        if let Some(slot) = slot.filter(|slot| slot.phase.is_finished()) {
            if let Some(outcome) = EventSnapshot::new(slot).outcome() {
                let _ = sender.send(outcome); // the receiver is here
            }
        } else if inner.ended {
            return None;
        } else {
            inner.watchers.add(id, sender);
        }
        Some(receiver)
    }

    /// Returns events in the order of their slots, from slot `from` on: at most `limit` of those that `wanted` accepts, and
    /// where to go on. Looks at a bounded number of slots, so that the lock is soon free again.
    pub(crate) fn list(
        self,
        from: u32,
        limit: usize,
        wanted: impl Fn(&EventSnapshot) -> bool,
    ) -> (Vec<EventSnapshot>, Option<u32>) {
        const LOOKS_MAX: usize = 10_000;
        let inner = self.mailbox.lock();
        let mut found = Vec::new();
        for (looks, (index, slot)) in inner.queue.table.iter(from).enumerate() {
            if found.len() >= limit || looks >= LOOKS_MAX {
                return (found, Some(index));
            }
            let snapshot = EventSnapshot::new(slot);
            if wanted(&snapshot) {
                found.push(snapshot);
            }
        }
        (found, None)
    }

    /// Adds the function's figures to `meters`, and returns its own.
    pub(crate) fn stats(self, meters: &mut Meters) -> Stats {
        let now = self.mailbox.clock.now();
        let inner = self.mailbox.lock();
        *meters += &inner.meters;
        let mut stats = Stats::new(
            &inner.meters,
            inner.queue.counts.events,
            inner.queue.counts.calls,
        );
        stats.workers = u64::from(inner.workers.live());
        stats.abandoned_threads = u64::from(inner.restarts.abandoned);
        stats.paused = u64::from(inner.queue.paused);
        stats.oldest_age = inner
            .queue
            .table
            .oldest_ready()
            .map_or(Duration::ZERO, |at| now.since(at));
        stats
    }

    /// Returns how many events are pending, here and in the overflow.
    pub(crate) fn pending(self) -> u32 {
        self.mailbox.lock().queue.volume.pending()
    }

    pub(crate) fn pending_bytes(self) -> u64 {
        self.mailbox.lock().queue.volume.pending_bytes()
    }

    /// Returns how many events run.
    pub(crate) fn executing(self) -> u64 {
        self.mailbox.lock().queue.counts.executing()
    }

    pub(crate) fn is_paused(self) -> bool {
        self.mailbox.lock().queue.paused
    }

    /// Returns whether any run of the function has succeeded.
    pub(crate) fn has_succeeded(self) -> bool {
        let inner = self.mailbox.lock_as_is();
        inner.queue.counts.events.succeeded + inner.queue.counts.calls.succeeded > 0
    }

    /// Returns when a full mailbox may have room again, estimated from the function's runs so far.
    pub(crate) fn retry_after(self) -> Duration {
        let inner = self.mailbox.lock();
        let runs = u32::try_from(inner.meters.invocations)
            .unwrap_or(u32::MAX)
            .max(1);
        let concurrency = self.mailbox.live_settings.concurrency().max(1);
        let each = inner.meters.duration_total / runs / concurrency;
        // Room for a tenth of the pending events is worth another try.
        each.saturating_mul(inner.queue.volume.pending() / 10 + 1)
            .clamp(Duration::from_millis(10), Duration::from_secs(60))
    }

    /// Takes out the chosen request ids that are forgotten by now, and returns them.
    pub(crate) fn take_forgotten_ids(self) -> Vec<RequestId> {
        std::mem::take(&mut self.mailbox.lock().queue.finished.forgotten_ids)
    }
}

impl Inner {
    /// Sends an event's watchers its outcome, once the lock is released.
    #[inline]
    pub(super) fn report_outcome(&mut self, id: RequestId, outcome: impl Fn() -> EventOutcome) {
        if self.watchers.is_empty() {
            return;
        }
        let watchers = self.watchers.take(id);
        self.deferred
            .extend(watchers.map(|watcher| Deferred::Outcome(watcher, outcome())));
    }
}
