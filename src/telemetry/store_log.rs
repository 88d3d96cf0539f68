//! Log lines about what any store refuses or can't read. During an outage only its start and its end are logged as errors.

use tracing::{debug, error, warn};

use crate::base::time::Time;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::telemetry::outage::Outage;

/// Logs that a store refused events. Further refusals of the same outage are counted.
pub(crate) fn append_failed(
    outage: &Outage,
    now: Time,
    function: &FunctionName,
    events: usize,
    reason: &str,
) {
    if outage.refused(events, now) {
        error!(%function, events, reason, "store refused events; further refusals are counted, and logged when the store takes events again");
    } else {
        debug!(%function, events, reason, "store refused events");
    }
}

/// Notes that a store took events, and logs the end of the outage if there was one.
pub(crate) fn append_succeeded(outage: &Outage, now: impl FnOnce() -> Time) {
    if outage.is_on()
        && let Some(refused) = outage.end(now())
    {
        warn!(refused, "store takes events again");
    }
}

/// Logs that a store refused to keep how an event ended. Further refusals of the same outage are counted.
pub(crate) fn settle_failed(
    outage: &Outage,
    now: Time,
    function: Option<&FunctionName>,
    request_id: RequestId,
    reason: &str,
) {
    let function = function.map(tracing::field::display);
    if outage.refused(1, now) {
        error!(function, %request_id, reason, "store refused a settlement; the event may run again after a restart; further refusals are counted, and logged when the store takes settlements again");
    } else {
        debug!(function, %request_id, reason, "store refused a settlement");
    }
}

/// Notes that a store took a settlement, and logs the end of the outage if there was one.
pub(crate) fn settle_succeeded(outage: &Outage, now: impl FnOnce() -> Time) {
    if outage.is_on()
        && let Some(refused) = outage.end(now())
    {
        warn!(refused, "store takes settlements again");
    }
}

pub(crate) fn store_panicked(reason: &str) {
    error!(reason, "store panicked; that counts as a refusal");
}

/// Logs that the code which a store's reply went to panicked. A subscriber that panics in turn is caught.
pub(crate) fn reply_panicked(reason: &str) {
    let _ = crate::base::panic::catch(|| error!(reason, "a reply callback panicked"));
}

pub(crate) fn store_query_failed(reason: &str) {
    error!(reason, "store query failed");
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

pub(crate) fn crash_mark_failed(function: &FunctionName, reason: &str) {
    error!(%function, reason, "crash mark could not be written; if this attempt kills the process, that is not counted");
}
