//! Log lines about events: accepted, retried, dead-lettered, refused, delivered.

use std::time::Duration;

use tracing::{debug, error, warn};

use crate::event::attempt::Attempt;
use crate::event::dead_letter::Condition;
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;

/// Returns whether accepted events are logged at all, so that the caller can skip the work.
#[inline]
pub(crate) fn logs_accepted() -> bool {
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

pub(crate) fn dead_lettered(
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
    warn!(%function, %request_id, "event has no idempotency key and runs without one; each worker logs this once");
}

pub(crate) fn lease_lost(function: &FunctionName, request_id: RequestId, attempt: u32) {
    warn!(%function, %request_id, attempt, "attempt outlived its idempotency lease; another event holds the key");
}

pub(crate) fn destination_failed(function: &FunctionName, request_id: RequestId, reason: &str) {
    error!(%function, %request_id, reason, "record did not reach its destination");
}
