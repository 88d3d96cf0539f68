//! AWS's lines about an attempt: START, END and REPORT (LOG-03 to LOG-07).

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::base::process_memory::{self, Memory};
use crate::event::failure::{Failure, FailureKind};
use crate::event::meta::LATEST;
use crate::event::request_id::RequestId;

/// How an attempt went, for its REPORT line.
pub(crate) struct Report<'a> {
    pub(crate) duration: Duration,
    /// How long the worker took to start, if it did so for this attempt.
    pub(crate) init: Option<Duration>,
    pub(crate) failure: Option<&'a Failure>,
    pub(crate) now: SystemTime,
}

impl Report<'_> {
    /// Returns the figures of the attempt's end, with the memory in use now.
    pub(super) fn end(&self) -> AttemptEnd {
        AttemptEnd {
            duration: self.duration,
            init: self.init,
            memory: process_memory::megabytes(self.now),
        }
    }
}

/// The figures of an attempt's end, as kept until the log is read.
#[derive(Clone, Copy)]
pub(super) struct AttemptEnd {
    duration: Duration,
    init: Option<Duration>,
    memory: Memory,
}

/// Returns the status that AWS adds to the REPORT line of a failed attempt; empty for most kinds.
pub(super) fn status(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::Timeout => "Status: timeout",
        FailureKind::Panic | FailureKind::WorkerLost => {
            "Status: error\tError Type: Runtime.ExitError"
        }
        _ => "",
    }
}

pub(super) fn write_start(text: &mut String, event: RequestId, version: Option<&Arc<str>>) {
    let version = version.map_or(LATEST, |version| version);
    let _ = writeln!(text, "START RequestId: {event} Version: {version}");
}

pub(super) fn write_end(text: &mut String, event: RequestId, end: &AttemptEnd, status: &str) {
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    // LOG-06: each millisecond that has begun.
    let billed = end.duration.as_nanos().div_ceil(1_000_000);
    let _ = write!(
        text,
        "END RequestId: {event}\nREPORT RequestId: {event}\tDuration: {:.2} ms\tBilled Duration: {billed} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
        millis(end.duration),
        end.memory.machine,
        end.memory.process_max
    );
    if let Some(init) = end.init {
        let _ = write!(text, "Init Duration: {:.2} ms\t", millis(init));
    }
    let _ = writeln!(text, "{status}");
}
