//! A function's figures: the counters and histograms that its mailbox writes, and the [`Stats`] that users read.
//!
//! Counters are plain numbers under the mailbox's lock, which settling takes anyway. Figures of several functions add up;
//! what each one means, and AWS's name for it, stands at the fields of [`Stats`].

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::event::ledger::Ledger;

/// The distribution of durations, in microseconds, within 1 %. Its memory grows with the longest value.
#[derive(Debug, Default)]
pub(crate) struct Distribution(Option<Box<Histogram<u32>>>);

impl Distribution {
    pub(crate) fn record(&mut self, value: Duration) {
        let histogram = match &mut self.0 {
            Some(histogram) => histogram,
            None => {
                let Ok(histogram) = Histogram::new(2) else {
                    return;
                };
                self.0.insert(Box::new(histogram))
            }
        };
        // Longer values count as one day, which bounds the histogram's size.
        let micros = value.min(Duration::from_secs(86_400)).as_micros() as u64;
        let _ = histogram.record(micros);
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let at = |quantile: f64| {
            self.0.as_ref().map_or(Duration::ZERO, |h| {
                Duration::from_micros(h.value_at_quantile(quantile))
            })
        };
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (_, None) => {}
            (Some(into), Some(from)) => {
                let _ = into.add(&**from);
            }
            (into @ None, Some(from)) => *into = Some(from.clone()),
        }
    }
}

/// Percentiles of a duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Percentiles {
    /// Half of the values are at most this long.
    pub p50: Duration,
    /// 90 in a hundred values are at most this long.
    pub p90: Duration,
    /// 99 in a hundred values are at most this long.
    pub p99: Duration,
    /// The longest value.
    pub max: Duration,
}

/// The counters and histograms of a function's mailbox, beside its ledger. Written under the mailbox's lock.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    pub(crate) invocations: u64,
    pub(crate) errors: u64,
    pub(crate) throttles: u64,
    pub(crate) dead_letter_errors: u64,
    pub(crate) destination_delivery_failures: u64,
    pub(crate) recursive_invocations_dropped: u64,
    pub(crate) concurrent_executions_max: u64,
    pub(crate) superseded: u64,
    pub(crate) restarts: u64,
    pub(crate) arbiters_blocked: u64,
    pub(crate) store_errors: u64,
    pub(crate) duration: Distribution,
    pub(crate) duration_total: Duration,
    pub(crate) age: Distribution,
}

impl std::ops::AddAssign<&Meters> for Meters {
    fn add_assign(&mut self, other: &Meters) {
        self.invocations += other.invocations;
        self.errors += other.errors;
        self.throttles += other.throttles;
        self.dead_letter_errors += other.dead_letter_errors;
        self.destination_delivery_failures += other.destination_delivery_failures;
        self.recursive_invocations_dropped += other.recursive_invocations_dropped;
        self.concurrent_executions_max += other.concurrent_executions_max;
        self.superseded += other.superseded;
        self.restarts += other.restarts;
        self.arbiters_blocked += other.arbiters_blocked;
        self.store_errors += other.store_errors;
        self.duration.add(&other.duration);
        self.duration_total += other.duration_total;
        self.age.add(&other.age);
    }
}

/// A function's figures, or the whole runtime's, by AWS's names and meaning where AWS has one (MET-04 to MET-15).
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Stats {
    /// Runs of the handler, with a success or an error (MET-04).
    pub invocations: u64,
    /// Runs that failed; each retry counts again (MET-05).
    pub errors: u64,
    /// Attempts refused for want of capacity: full mailbox, reserved concurrency, a pause, throttled by the handler (MET-06).
    pub throttles: u64,
    /// Time in the handler, without `init` (MET-07).
    pub duration: Percentiles,
    /// Events running now (MET-08).
    pub concurrent_executions: u64,
    /// The most events that ran at once so far (MET-08, as its maximum); over several functions, the sum of theirs.
    pub concurrent_executions_max: u64,
    /// Events accepted by this process (MET-11). Events that an earlier process left in the store count as
    /// [`Ledger::inherited`] instead.
    pub async_events_received: u64,
    /// Time from when the first run was due to the start of each attempt (MET-12). A delay is not part of it.
    pub async_event_age: Percentiles,
    /// Events given up without a success (MET-13).
    pub async_events_dropped: u64,
    /// Dead letters that a full queue dropped (MET-14), and letters that a subscriber with a full backlog missed.
    pub dead_letter_errors: u64,
    /// Records that did not reach their destination (MET-15).
    pub destination_delivery_failures: u64,
    /// Invocations refused because their chain had too many hops (MET-16).
    pub recursive_invocations_dropped: u64,
    /// Refused results: they came late, from superseded attempts.
    pub superseded_results: u64,
    /// Workers that crashed and were rebuilt.
    pub restarts: u64,
    /// How often a handler, or the closure of a destination, blocked its arbiter.
    pub arbiters_blocked: u64,
    /// Abandoned threads that still run: of handlers that block their arbiter, and of blocking functions whose attempts
    /// ended early.
    pub abandoned_threads: u64,
    /// Appends and settlements that the store refused, or panicked in.
    pub store_errors: u64,
    /// Events waiting: ready and delayed.
    pub mailbox_depth: u64,
    /// How long the oldest ready event has waited.
    pub oldest_age: Duration,
    /// Workers that exist, busy or idle.
    pub workers: u64,
    /// Paused functions ([`Client::pause`](crate::Client::pause)); in the figures of one function, 0 or 1.
    pub paused: u64,
    /// How many events are in which state.
    pub events: Ledger,
    /// How many synchronous calls are in which state.
    pub calls: Ledger,
}

impl Stats {
    pub(crate) fn new(meters: &Meters, events: Ledger, calls: Ledger) -> Self {
        Self {
            invocations: meters.invocations,
            errors: meters.errors,
            throttles: meters.throttles,
            duration: meters.duration.percentiles(),
            concurrent_executions: events.running + calls.running,
            concurrent_executions_max: meters.concurrent_executions_max,
            async_events_received: events.received(),
            async_event_age: meters.age.percentiles(),
            async_events_dropped: events.dead,
            dead_letter_errors: meters.dead_letter_errors,
            destination_delivery_failures: meters.destination_delivery_failures,
            recursive_invocations_dropped: meters.recursive_invocations_dropped,
            superseded_results: meters.superseded,
            restarts: meters.restarts,
            arbiters_blocked: meters.arbiters_blocked,
            abandoned_threads: 0,
            store_errors: meters.store_errors,
            mailbox_depth: events.ready + events.delayed + calls.ready + calls.delayed,
            oldest_age: Duration::ZERO,
            workers: 0,
            paused: 0,
            events,
            calls,
        }
    }
}
