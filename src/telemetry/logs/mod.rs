//! The logs of invocations, by function and request id: AWS's START, END and REPORT lines, and between them the lines that
//! the function logged.
//!
//! They are kept in memory, within bounds: of one event the last lines, of all events the latest logs. Unless logs
//! are kept (`Builder::logs`, or the HTTP API), no event touches any of this.

#[cfg(feature = "http")]
mod layer;
mod line;
mod owner;
mod report;
mod shard;
#[cfg(test)]
mod tests;

#[cfg(feature = "http")]
pub use layer::LogLayer;
pub(crate) use owner::LogOwner;
pub(crate) use report::Report;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::panic;
use crate::event::failure::FailureKind;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use report::{status, write_end};
use shard::{SHARDS, Shard};

/// The logs of invocations. Cheap to clone: all clones are the same logs.
///
/// Give it to [`Builder::logs`](crate::Builder::logs). With the feature `http`, `layer` returns a layer for
/// `tracing-subscriber` that adds the lines which handlers log.
#[derive(Clone)]
pub struct Logs(Arc<[Mutex<Shard>]>);

impl Default for Logs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

impl Logs {
    /// Returns empty logs, which keep the last 16 KiB of an event and the latest 16 MiB of all.
    ///
    /// The first call in a process extends the panic hook, so that the log of an attempt that panics names the place. The
    /// hook that was set before still runs. A hook that the application sets later must call the one before it, or panics
    /// are logged without their place.
    pub fn new() -> Self {
        panic::note_places();
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// Returns the lines that the attempts of a function's event have logged so far, oldest first (LOG-11); a failure with
    /// its type, its causes and, for a panic, its place. `None` if nothing of it is kept (any more). Each function has its
    /// own log of a request id, which begins anew with an event's first attempt.
    pub fn of(&self, function: &str, event: RequestId) -> Option<String> {
        let owner = LogOwner::new(FunctionName::new(function), event);
        let shard = self.shard(&owner).lock();
        let kept = shard.logs.get(&owner);
        kept.map(|kept| kept.log.read(event).into_owned())
    }

    /// Drops the log of this event.
    pub(crate) fn forget(&self, owner: &LogOwner) {
        self.shard(owner).lock().forget(owner);
    }

    /// Logs that an attempt starts, of a numbered version or of `$LATEST` (LOG-03).
    pub(crate) fn start(&self, owner: &LogOwner, attempt: u32, version: Option<&Arc<str>>) {
        self.shard(owner).lock().start(owner, attempt, version);
    }

    /// Logs that an attempt has ended (LOG-04, LOG-05, LOG-07, LOG-09).
    pub(crate) fn end(&self, owner: &LogOwner, report: &Report<'_>) {
        let (event, now, end) = (owner.event, report.now, report.end());
        let mut shard = self.shard(owner).lock();
        let Some(failure) = report.failure else {
            if !shard.end_quietly(owner, end) {
                shard.add(owner, |text| write_end(text, event, &end, ""));
            }
            return;
        };
        shard.add(owner, |text| {
            if failure.kind == FailureKind::Timeout {
                let time = humantime::format_rfc3339_millis(now);
                let task = failure.message.strip_prefix("task").unwrap_or_default();
                let _ = writeln!(text, "{time} {event} Task{task}\n");
            }
            line::write_failure(text, failure);
            write_end(text, event, &end, status(failure));
        });
    }

    fn shard(&self, owner: &LogOwner) -> &Mutex<Shard> {
        // The last byte of an id is random.
        let [.., last] = *owner.event.as_uuid().as_bytes();
        &self.0[usize::from(last) % SHARDS]
    }
}
