//! The state of the whole runtime: whether it is open, how its store is, and its figures.

use super::Client;
use crate::store::Health;
use crate::telemetry::{Meters, Stats};

impl Client {
    /// Returns whether invocations are accepted. They are refused once the runtime is being shut down, or is gone.
    pub fn is_open(&self) -> bool {
        self.entrance.admission.door.check().is_ok()
    }

    /// Returns the store's health: it takes events, has no room, or has failed, with the reason. `None` without a store.
    /// Doesn't wait.
    pub fn store_health(&self) -> Option<Health> {
        self.entrance.admission.store.health()
    }

    /// Returns the sums over all functions that are registered now. The ledger `events` also counts, as pending and as
    /// accepted, the events that wait in the store for functions that aren't registered.
    pub fn stats(&self) -> Stats {
        let mut meters = Meters::default();
        let mut total = Stats::default();
        for mailbox in self.entrance.admission.registry.all() {
            let one = mailbox.inspect().stats(&mut meters);
            total.events += one.events;
            total.calls += one.calls;
            total.workers += one.workers;
            total.paused += one.paused;
            total.abandoned_threads += one.abandoned_threads;
            total.oldest_age = total.oldest_age.max(one.oldest_age);
        }
        let unregistered = self.entrance.admission.unregistered();
        let unregistered: u64 = unregistered.iter().map(|(_, events)| events).sum();
        total.events.accepted += unregistered;
        total.events.inherited += unregistered;
        total.events.unregistered += unregistered;
        let Stats {
            workers,
            paused,
            abandoned_threads,
            oldest_age,
            events,
            calls,
            ..
        } = total;
        Stats {
            workers,
            paused,
            abandoned_threads,
            oldest_age,
            ..Stats::new(&meters, events, calls)
        }
    }

    /// Returns one function's figures; its events by state are in `events`. `None` if the function is unknown.
    pub fn function_stats(&self, function: &str) -> Option<Stats> {
        let mailbox = self.entrance.admission.registry.named(function)?;
        Some(mailbox.inspect().stats(&mut Meters::default()))
    }
}
