//! Log lines of the dead-letter queue: letters that it drops or holds, and subscribers that miss letters or leave.

use tracing::{error, warn};

use crate::event::request_id::RequestId;

pub(crate) fn dead_letters_full(request_id: RequestId, consequence: &str) {
    error!(%request_id, consequence, "dead-letter queue is full");
}

pub(crate) fn subscriber_slow(subscriber: u64) {
    error!(
        subscriber,
        "backlog of a dead-letter subscriber is full; it misses letters"
    );
}

pub(crate) fn subscriber_caught_up(subscriber: u64, missed: u64) {
    warn!(
        subscriber,
        missed, "backlog of a dead-letter subscriber has room again; it missed letters"
    );
}

pub(crate) fn subscriber_gone(subscriber: u64) {
    warn!(subscriber, "dead-letter subscriber is gone and was removed");
}

pub(crate) fn subscriber_panicked(subscriber: u64, reason: &str) {
    error!(
        subscriber,
        reason, "dead-letter subscriber panicked; it still gets the next letter"
    );
}
