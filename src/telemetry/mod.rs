//! Every span, log line and figure, each under one name: the other folders log through the functions of this one.
//!
//! Log lines stand by theme in the files that end in `_log`, figures in `stats.rs`. The logs that users read by request id, as AWS
//! shows them, are in `logs/mod.rs`.

mod attempt_span;
mod dead_letter_log;
#[cfg(feature = "disk")]
mod disk_log;
mod event_log;
#[cfg(feature = "http")]
mod http_log;
pub(crate) mod logs;
mod outage;
mod runtime_log;
mod stats;
mod store_log;
mod worker_log;

pub(crate) use attempt_span::attempt_span;
pub(crate) use dead_letter_log::{
    dead_letters_full, subscriber_caught_up, subscriber_gone, subscriber_panicked, subscriber_slow,
};
#[cfg(feature = "disk")]
pub(crate) use disk_log::{
    store_error, store_failed, store_file_unfinished, store_full, store_lost, store_lost_all,
    store_not_closed, store_recovered, store_running_damaged, store_short,
};
pub(crate) use event_log::{
    accepted, dead_lettered, destination_failed, lease_lost, logs_accepted, no_idempotency_key,
    retried, superseded,
};
#[cfg(feature = "http")]
pub(crate) use http_log::credentials_unavailable;
pub(crate) use outage::Outage;
pub(crate) use runtime_log::{control_plane_lost, dropped_without_shutdown};
pub(crate) use stats::Meters;
pub use stats::{Percentiles, Stats};
pub(crate) use store_log::{
    append_failed, append_succeeded, backlog_unregistered, crash_mark_failed, event_unreadable,
    fetch_failed, reply_panicked, settle_failed, settle_succeeded, store_panicked,
    store_query_failed,
};
pub(crate) use worker_log::{
    arbiter_blocked, backing_off, init_failed, moved_to_dedicated_arbiters, no_thread, recovered,
    threads_abandoned, threads_again,
};
