//! What invocations say for themselves: AWS's START, END and REPORT lines, and between them what the function logs.
//!
//! Kept in memory for whoever asks by request id, within bounds: of one event the last lines, of all events the latest.
//! Nothing of it is on the way of an event unless somebody wants logs at all.

#[cfg(feature = "http")]
mod layer;

#[cfg(feature = "http")]
pub use layer::LogLayer;

use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::event::RequestId;
use crate::failure::{Failure, FailureKind};
use crate::memory;

/// The logs of invocations. Cheap to clone: all clones are the same logs.
///
/// Give it to [`Builder::logs`](crate::Builder::logs). With the feature `http`, `layer` makes a layer for `tracing-subscriber`
/// that adds what handlers log.
#[derive(Clone)]
pub struct Logs(Arc<[Mutex<Shard>]>);

#[derive(Default)]
struct Shard {
    logs: HashMap<RequestId, String>,
    /// In the order in which they began.
    order: VecDeque<RequestId>,
    bytes: usize,
}

const SHARDS: usize = 16;
/// Bytes that are kept of one event; AWS shows the last 4,096 (INV-18).
const EVENT_MAX: usize = 16 << 10;
/// Bytes of the log of an event that runs once and says nothing.
const LOG_USUAL: usize = 384;
/// Bytes that are kept of all.
const TOTAL_MAX: usize = 16 << 20;

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

/// How an attempt went, for its REPORT line.
pub(crate) struct Report<'a> {
    pub(crate) duration: Duration,
    /// How long the worker took to start, if it did so for this attempt.
    pub(crate) init: Option<Duration>,
    pub(crate) failure: Option<&'a Failure>,
    pub(crate) now: SystemTime,
}

impl Logs {
    /// Empty logs, which keep the last 16 KiB of an event and the latest 16 MiB of all.
    pub fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// What the event's attempts have logged so far, oldest first (LOG-11). `None` if nothing is kept of it any more.
    pub fn of(&self, event: RequestId) -> Option<String> {
        self.shard(event).lock().logs.get(&event).cloned()
    }

    /// LOG-03
    pub(crate) fn start(&self, event: RequestId, version: &str) {
        self.add(event, |log| {
            let _ = writeln!(log, "START RequestId: {event} Version: {version}");
        });
    }

    /// LOG-04, LOG-05, LOG-07, LOG-09
    pub(crate) fn end(&self, event: RequestId, report: &Report<'_>) {
        let Report {
            duration,
            init,
            failure,
            now,
        } = report;
        let kind = failure.map(|failure| failure.kind);
        self.add(event, |log| {
            if let Some(failure) = failure.filter(|_| kind == Some(FailureKind::Timeout)) {
                let time = humantime::format_rfc3339_millis(*now);
                let text = failure.message.strip_prefix("task").unwrap_or_default();
                let _ = writeln!(log, "{time} {event} Task{text}\n");
            }
            let memory = memory::megabytes();
            let millis = duration.as_secs_f64() * 1e3;
            // LOG-06: each millisecond that has begun.
            let billed = duration.as_nanos().div_ceil(1_000_000);
            let _ = write!(
                log,
                "END RequestId: {event}\nREPORT RequestId: {event}\tDuration: {millis:.2} ms\tBilled Duration: {billed} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
                memory.machine, memory.process_max
            );
            if let Some(init) = init {
                let millis = init.as_secs_f64() * 1e3;
                let _ = write!(log, "Init Duration: {millis:.2} ms\t");
            }
            match kind {
                Some(FailureKind::Timeout) => log.push_str("Status: timeout"),
                Some(FailureKind::Panic | FailureKind::WorkerLost) => {
                    log.push_str("Status: error\tError Type: Runtime.ExitError");
                }
                _ => {}
            }
            log.push('\n');
        });
    }

    /// Adds what `write` writes.
    fn add(&self, event: RequestId, write: impl FnOnce(&mut String)) {
        let mut shard = self.shard(event).lock();
        let shard = &mut *shard;
        let log = shard.logs.entry(event).or_insert_with(|| {
            shard.order.push_back(event);
            String::with_capacity(LOG_USUAL)
        });
        let before = log.len();
        write(log);
        if log.len() > EVENT_MAX {
            forget_first(log, log.len() - EVENT_MAX);
        }
        shard.bytes = shard.bytes + log.len() - before.min(shard.bytes);
        while shard.bytes > TOTAL_MAX / SHARDS
            && let Some(oldest) = shard.order.pop_front()
        {
            let gone = shard.logs.remove(&oldest).map_or(0, |log| log.len());
            shard.bytes -= gone.min(shard.bytes);
        }
    }

    fn shard(&self, event: RequestId) -> &Mutex<Shard> {
        // The random part of an id is its end.
        let [.., last] = *event.as_uuid().as_bytes();
        &self.0[usize::from(last) % SHARDS]
    }
}

/// Drops at least so many bytes from the beginning, up to the end of a line if there is one.
fn forget_first(log: &mut String, bytes: usize) {
    let boundary = (bytes..log.len()).find(|&at| log.is_char_boundary(at));
    let bytes = boundary.unwrap_or(log.len());
    let line = log[bytes..].find('\n').map(|end| bytes + end + 1);
    // A line that never ends is cut.
    let cut = line.filter(|&line| line < log.len()).unwrap_or(bytes);
    drop(log.drain(..cut));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> RequestId {
        RequestId::new(0, number, u128::from(number))
    }

    fn report(failure: Option<&Failure>) -> Report<'_> {
        Report {
            duration: Duration::from_micros(2_900),
            init: None,
            failure,
            now: SystemTime::UNIX_EPOCH,
        }
    }

    /// LOG-03 to LOG-06, LOG-11
    #[test]
    fn an_attempt_leaves_aws_lines() {
        let logs = Logs::new();
        let event = id(1);
        logs.start(event, "$LATEST");
        logs.end(event, &report(None));
        logs.start(event, "$LATEST");
        let init = Report {
            init: Some(Duration::from_micros(110_100)),
            ..report(None)
        };
        logs.end(event, &init);
        let log = logs.of(event).unwrap();
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(
            lines[0],
            format!("START RequestId: {event} Version: $LATEST")
        );
        assert_eq!(lines[1], format!("END RequestId: {event}"));
        let begins = format!(
            "REPORT RequestId: {event}\tDuration: 2.90 ms\tBilled Duration: 3 ms\tMemory Size: "
        );
        assert!(
            lines[2].starts_with(&begins) && lines[2].ends_with(" MB\t"),
            "{log}"
        );
        assert!(lines[5].ends_with("\tInit Duration: 110.10 ms\t"), "{log}");
    }

    /// LOG-07, LOG-09
    #[test]
    fn a_bad_end_is_told() {
        let logs = Logs::new();
        let timeout = Failure::timeout(Duration::from_secs(3));
        logs.end(id(1), &report(Some(&timeout)));
        let log = logs.of(id(1)).unwrap();
        let event = id(1);
        assert!(log.starts_with(&format!(
            "1970-01-01T00:00:00.000Z {event} Task timed out after 3.00 seconds\n"
        )));
        assert!(log.ends_with("\tStatus: timeout\n"), "{log}");
        logs.end(id(2), &report(Some(&Failure::worker_lost())));
        let log = logs.of(id(2)).unwrap();
        assert!(
            log.ends_with("\tStatus: error\tError Type: Runtime.ExitError\n"),
            "{log}"
        );
    }

    #[test]
    fn of_one_event_the_last_lines_are_kept() {
        let logs = Logs::new();
        for number in 0..5_000 {
            logs.add(id(1), |log| {
                let _ = writeln!(log, "line {number} ö");
            });
        }
        let log = logs.of(id(1)).unwrap();
        assert!(log.len() <= EVENT_MAX && log.len() > EVENT_MAX - 100);
        assert!(log.starts_with("line ") && log.ends_with("line 4999 ö\n"));
        logs.add(id(2), |log| log.push_str(&"ö".repeat(EVENT_MAX)));
        assert!(logs.of(id(2)).unwrap().len() <= EVENT_MAX);
    }

    #[test]
    fn of_all_events_the_latest_are_kept() {
        let logs = Logs::new();
        for number in 0..3_000 {
            logs.add(id(number), |log| log.push_str(&"x".repeat(10 << 10)));
        }
        let bytes: usize = logs.0.iter().map(|shard| shard.lock().bytes).sum();
        let held: usize = logs
            .0
            .iter()
            .map(|shard| shard.lock().logs.values().map(String::len).sum::<usize>())
            .sum();
        assert_eq!(bytes, held);
        assert!(bytes <= TOTAL_MAX);
        assert!(logs.of(id(0)).is_none() && logs.of(id(2_999)).is_some());
    }
}
