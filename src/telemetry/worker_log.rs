//! Log lines about workers and their threads: crashes, backoff, blocked arbiters, abandoned threads.

use std::time::Duration;

use tracing::{error, info, warn};

use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;

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
        "handler holds its thread and moves to dedicated arbiters; use Function::blocking for work that doesn't await"
    );
}

pub(crate) fn threads_abandoned(function: &FunctionName, threads: u32) {
    error!(
        %function,
        threads,
        "abandoned threads have reached their bound; no attempt of the function starts until one returns"
    );
}

pub(crate) fn no_thread(error: &std::io::Error) {
    error!(%error, "no thread available for an arbiter; retrying until one is");
}

pub(crate) fn threads_again() {
    info!("threads for arbiters are available again");
}
