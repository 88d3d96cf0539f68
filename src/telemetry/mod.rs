//! Every span, log event and metric, by one name each; counters and histograms that can be read back.

pub(crate) mod logs;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tracing::{Span, debug, error, info, warn};

use crate::base::time::Time;
use crate::event::caller::{self, Origin};
use crate::event::failure::{Attempt, Condition, Failure};
use crate::event::function_name::FunctionName;
use crate::event::ledger::Ledger;
use crate::event::request_id::RequestId;

/// The span of one attempt. Fields: `function`, `request_id`, `attempt`, `trace_header`, and `traceparent` if there is any.
pub(crate) fn attempt_span(
    function: &FunctionName,
    request_id: RequestId,
    attempt: u32,
    origin: Option<&Origin>,
    accepted: Time,
) -> Span {
    // With nobody to listen, not even the fields are looked at.
    if !tracing::dispatcher::has_been_set() {
        return Span::none();
    }
    let traceparent = origin.and_then(|origin| origin.traceparent.as_deref());
    tracing::info_span!(target: ATTEMPT_TARGET, "attempt", %function, %request_id, attempt, trace_header = &*caller::trace_header(origin, request_id, accepted), traceparent)
}

/// Is this the span of an attempt?
#[cfg(feature = "http")]
pub(crate) fn is_attempt(span: &tracing::Metadata<'_>) -> bool {
    span.name() == "attempt" && span.target() == ATTEMPT_TARGET
}

/// The target of the spans of attempts.
const ATTEMPT_TARGET: &str = "redrive";

/// Does anybody want to know which events are accepted?
#[inline]
pub(crate) fn hears_accepted() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

pub(crate) fn accepted(function: &FunctionName, request_id: RequestId) {
    debug!(%function, %request_id, "accepted");
}

pub(crate) fn retried(
    function: &FunctionName,
    request_id: RequestId,
    attempt: &Attempt,
    delay: Duration,
) {
    warn!(%function, %request_id, attempt = attempt.number, failure = %attempt.failure, ?delay, "attempt failed, retrying");
}

pub(crate) fn buried(
    function: &FunctionName,
    request_id: RequestId,
    condition: Condition,
    failure: Option<&Failure>,
) {
    let failure = failure.map(tracing::field::display);
    error!(%function, %request_id, %condition, failure, "event became a dead letter");
}

pub(crate) fn superseded(function: &FunctionName, request_id: RequestId, attempt: u32) {
    warn!(%function, %request_id, attempt, "late result of a superseded attempt refused");
}

pub(crate) fn no_idempotency_key(function: &FunctionName, request_id: RequestId) {
    warn!(%function, %request_id, "event has no idempotency key and runs without; its worker tells this once");
}

pub(crate) fn claim_lost(function: &FunctionName, request_id: RequestId, attempt: u32) {
    warn!(%function, %request_id, attempt, "attempt outlived its idempotency lease; another event has the key");
}

pub(crate) fn init_failed(function: &FunctionName, failure: &Failure) {
    error!(%function, %failure, "worker could not start");
}

pub(crate) fn backing_off(function: &FunctionName, delay: Duration) {
    error!(%function, ?delay, "workers crash too often, backing off");
}

pub(crate) fn recovered(function: &FunctionName) {
    info!(%function, "workers run again, back to full concurrency");
}

pub(crate) fn arbiter_blocked(function: &str, blocked: Duration) {
    error!(
        function,
        ?blocked,
        "handler blocks its arbiter, which is replaced; use Function::blocking for blocking work"
    );
}

pub(crate) fn moved_to_dedicated_arbiters(function: &FunctionName) {
    warn!(
        %function,
        "handler holds its thread and moves to arbiters of its own; use Function::blocking for work that doesn't await"
    );
}

pub(crate) fn threads_abandoned(function: &FunctionName, threads: u32) {
    error!(
        %function,
        threads,
        "handlers hold as many threads as they may for good; nothing of the function runs until one returns"
    );
}

pub(crate) fn no_thread(error: &std::io::Error) {
    error!(%error, "no thread for an arbiter can be had; tried again until one can");
}

pub(crate) fn threads_again() {
    info!("threads for arbiters can be had again");
}

pub(crate) fn destination_failed(function: &FunctionName, request_id: RequestId, reason: &str) {
    error!(%function, %request_id, reason, "record did not reach its destination");
}

/// A store refused what became of an event; those that follow for a while are counted.
pub(crate) fn settle_failed(
    outage: &Outage,
    now: Time,
    function: Option<&FunctionName>,
    request_id: RequestId,
    reason: &str,
) {
    let function = function.map(tracing::field::display);
    if outage.goes_on(1, now) {
        error!(function, %request_id, reason, "store did not take a settlement; the event may run again after a restart; more of them are counted, and told when it takes some again");
    } else {
        debug!(function, %request_id, reason, "store did not take a settlement");
    }
}

/// A store took what became of an event.
pub(crate) fn settle_succeeded(outage: &Outage, now: impl FnOnce() -> Time) {
    if outage.is_on()
        && let Some(refused) = outage.ends(now())
    {
        warn!(
            refused,
            "store takes settlements again; so many were refused"
        );
    }
}

/// A store could not keep what became of an event.
#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
pub(crate) fn store_lost(request_id: RequestId, reason: &str) {
    error!(%request_id, reason, "store could not write what became of an event; it may run again after a restart");
}

/// What was told to a store that has failed is lost with it.
#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
pub(crate) fn store_lost_all(settlements: u64, reason: &str) {
    error!(
        settlements,
        reason,
        "store could not write what became of so many events; they may run again after a restart"
    );
}

#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
pub(crate) fn store_error(reason: &str) {
    error!(reason, "store has trouble");
}

#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
pub(crate) fn store_full(reason: &str) {
    error!(
        reason,
        "store has no room; events are refused until there is some"
    );
}

#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
pub(crate) fn store_short(reason: &str) {
    warn!(
        reason,
        "store can't begin its next file at the moment; the last one grows on, and it is tried again"
    );
}

#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
pub(crate) fn store_failed(reason: &str) {
    error!(
        reason,
        "store failed and takes nothing more; look at the disk and start the process again"
    );
}

#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
pub(crate) fn store_well() {
    info!("store takes events again");
}

/// The last file of the log doesn't end with an end in order.
#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
pub(crate) fn store_not_closed(file: &str, offset: u64, bytes: u64) {
    warn!(
        file,
        offset,
        bytes,
        "store was not closed in order: its last file counts up to byte `offset`, and `bytes` bytes behind it are no whole records and don't count; that is usual after a kill or a loss of power, and otherwise damage"
    );
}

/// The last file of the log is what is left of one that was being made.
#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
pub(crate) fn store_unborn(file: &str, bytes: usize) {
    warn!(
        file,
        offset = 0,
        bytes,
        "store was not closed in order: its last file has `bytes` bytes, too few for anything to count, and is begun again; that is usual after a kill or a loss of power, and otherwise damage"
    );
}

/// What the file says of the events that ran can't be read.
#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
pub(crate) fn store_running_damaged(file: &str, offset: u64, bytes: usize) {
    warn!(
        file,
        offset,
        bytes,
        "what stood there of the events that ran when the process ended is missing or can't be read: if one of them ended the process, that isn't counted"
    );
}

pub(crate) fn store_panicked(reason: &str) {
    error!(reason, "store panicked; that counts as a refusal");
}

pub(crate) fn reply_panicked(reason: &str) {
    let _ =
        crate::base::panic::catch(|| error!(reason, "whoever heard the store's answer panicked"));
}

pub(crate) fn store_unanswered(reason: &str) {
    error!(reason, "store could not say what it was asked");
}

pub(crate) fn backlog_unregistered(function: &FunctionName, events: u64) {
    warn!(%function, events, "events wait in the store for a function that is not registered; they stay there until it is");
}

pub(crate) fn fetch_failed(function: &FunctionName, reason: &str) {
    error!(%function, reason, "events could not be read from the store");
}

pub(crate) fn event_unreadable(
    function: &FunctionName,
    request_id: Option<RequestId>,
    reason: &str,
) {
    let request_id = request_id.map(tracing::field::display);
    error!(%function, request_id, reason, "event in the store can't be read and stays there");
}

pub(crate) fn begin_failed(function: &FunctionName, reason: &str) {
    error!(%function, reason, "attempt could not be put on record; if it kills the process, nobody will know");
}

/// What a store refuses time and again while it has trouble: logged when it begins, and with the number of refusals when it
/// is over, not each time.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    refused: AtomicU64,
    /// When the last refusal was, in nanoseconds.
    last: AtomicU64,
}

/// How long nothing is refused before an outage is over.
const OUTAGE_END: Duration = Duration::from_secs(1);

impl Outage {
    /// So many more are refused now. Answers whether the outage begins with them.
    fn goes_on(&self, refused: usize, now: Time) -> bool {
        self.last.store(now.0, Relaxed);
        self.refused.fetch_add(refused as u64, Relaxed) == 0
    }

    /// Something was taken now. Answers how many were refused, once, if an outage ends with it.
    fn ends(&self, now: Time) -> Option<u64> {
        let quiet = now.since(Time(self.last.load(Relaxed)));
        let over = quiet >= OUTAGE_END;
        let refused = over.then(|| self.refused.swap(0, Relaxed));
        refused.filter(|&refused| refused > 0)
    }

    fn is_on(&self) -> bool {
        self.refused.load(Relaxed) > 0
    }
}

/// A store refused events; those that follow for a while are counted.
pub(crate) fn append_failed(
    outage: &Outage,
    now: Time,
    function: &FunctionName,
    events: usize,
    reason: &str,
) {
    if outage.goes_on(events, now) {
        error!(%function, events, reason, "store did not take events, which were refused; those refused from now on are counted, and told when it takes some again");
    } else {
        debug!(%function, events, reason, "store did not take events, which were refused");
    }
}

/// A store took events.
pub(crate) fn append_succeeded(outage: &Outage, now: impl FnOnce() -> Time) {
    if outage.is_on()
        && let Some(refused) = outage.ends(now())
    {
        warn!(refused, "store takes events again; so many were refused");
    }
}

#[cfg(feature = "http")]
pub(crate) fn credentials_unavailable(reason: &str) {
    error!(
        reason,
        "credentials could not be looked up, and a request was refused"
    );
}

pub(crate) fn subscriber_slow(subscriber: u64) {
    error!(
        subscriber,
        "backlog of a subscriber of dead letters is full, letters pass it by"
    );
}

pub(crate) fn subscriber_caught_up(subscriber: u64, missed: u64) {
    warn!(
        subscriber,
        missed, "subscriber of dead letters has room again, after letters that passed it by"
    );
}

pub(crate) fn subscriber_gone(subscriber: u64) {
    warn!(
        subscriber,
        "subscriber of dead letters is gone and was dropped"
    );
}

pub(crate) fn subscriber_panicked(subscriber: u64, reason: &str) {
    error!(
        subscriber,
        reason, "subscriber of dead letters panicked; the next letter is handed to it all the same"
    );
}

pub(crate) fn dead_letters_full(request_id: RequestId, consequence: &str) {
    error!(%request_id, consequence, "dead-letter queue is full");
}

pub(crate) fn control_plane_lost(actor: &str, function: Option<&FunctionName>) {
    let function = function.map(tracing::field::display);
    let panicked = std::thread::panicking();
    error!(
        actor,
        function,
        panicked,
        "actor of the control plane ended before the runtime was shut down; nothing is accepted any more"
    );
}

pub(crate) fn dropped_without_shutdown(pending: u64) {
    warn!(
        pending,
        "runtime dropped without shutdown; what was pending in memory is lost"
    );
}

/// A span of time's distribution, in microseconds, within 1 %. It grows with the longest value.
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
        // One day is where it stops telling lengths apart, so that its size is bounded.
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

/// Percentiles of a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Percentiles {
    /// Half are no longer.
    pub p50: Duration,
    /// Nine in ten are no longer.
    pub p90: Duration,
    /// 99 in a hundred are no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// What a function's mailbox counts beside its ledger. Written under the mailbox's lock, which settling takes anyway.
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
    /// The most that ran at once so far (MET-08, as its maximum); over functions, the sum of theirs.
    pub concurrent_executions_max: u64,
    /// Events accepted by this process (MET-11). Those that an earlier process left in the store are not counted again: they
    /// are [`Ledger::inherited`].
    pub async_events_received: u64,
    /// From when the first run was due to the start of each attempt (MET-12). A delay is not part of it.
    pub async_event_age: Percentiles,
    /// Events given up without a success, wherever they went then (MET-13).
    pub async_events_dropped: u64,
    /// Dead letters that a full queue dropped (MET-14), and those that passed a subscriber by whose backlog was full.
    pub dead_letter_errors: u64,
    /// Records that did not reach their destination (MET-15).
    pub destination_delivery_failures: u64,
    /// Invocations refused as one hop too many (MET-16).
    pub recursive_invocations_dropped: u64,
    /// Late results of superseded attempts, refused.
    pub superseded_results: u64,
    /// Workers that crashed and were rebuilt.
    pub restarts: u64,
    /// How often a handler, or the closure of a destination, blocked its arbiter.
    pub arbiters_blocked: u64,
    /// Threads that run on now though they were given up: of handlers that didn't let go of them, and of blocking
    /// functions whose attempts were given up.
    pub abandoned_threads: u64,
    /// Appends and settlements that the store refused, or panicked in.
    pub store_errors: u64,
    /// Events waiting: ready and delayed.
    pub mailbox_depth: u64,
    /// How long the oldest ready event has waited.
    pub oldest_age: Duration,
    /// Workers that exist, busy or idle.
    pub workers: u64,
    /// Functions that are held back ([`Client::pause`](crate::Client::pause)): of one function, 1 if it is.
    pub paused: u64,
    /// Where the events are.
    pub events: Ledger,
    /// Where the synchronous calls are.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_when_it_begins_and_once_when_it_is_over() {
        let at = |millis: u64| Time(millis * 1_000_000);
        let outage = Outage::default();
        assert!(outage.goes_on(3, at(0)));
        assert!(!outage.goes_on(2, at(10)));
        // What is taken now and then doesn't end it.
        assert_eq!(outage.ends(at(20)), None);
        assert!(!outage.goes_on(1, at(30)));
        assert_eq!(outage.ends(at(1_030)), Some(6));
        assert!(!outage.is_on());
        assert!(outage.goes_on(1, at(2_000)));
    }
}
