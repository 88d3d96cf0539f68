//! What invocations say for themselves: AWS's START, END and REPORT lines, and between them what the function logs.
//!
//! Kept in memory by function and request id, within bounds: of one event the last lines, of all events the latest.
//! A request id alone says nothing of whose log it is: callers propose ids, and an id that is forgotten may be proposed
//! again, for another function. Nothing of it is on the way of an event unless somebody wants logs at all.

#[cfg(feature = "http")]
mod layer;
mod line;

#[cfg(feature = "http")]
pub use layer::LogLayer;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use crate::base::panic;
use crate::base::process_memory::{self, Memory};
use crate::event::caller::LATEST;
use crate::event::failure::{Failure, FailureKind};
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;

/// The logs of invocations. Cheap to clone: all clones are the same logs.
///
/// Give it to [`Builder::logs`](crate::Builder::logs). With the feature `http`, `layer` makes a layer for `tracing-subscriber`
/// that adds what handlers log.
#[derive(Clone)]
pub struct Logs(Arc<[Mutex<Shard>]>);

/// Whose a log is: an event's, run by this function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    event: RequestId,
    function: FunctionName,
}

impl Owner {
    pub(crate) fn new(function: FunctionName, event: RequestId) -> Self {
        Self { event, function }
    }
}

#[derive(Default)]
struct Shard {
    logs: HashMap<Owner, Begun, FxBuildHasher>,
    /// In the order in which they began. A log that was begun anew stands here twice until the first place is the oldest.
    order: VecDeque<(Owner, u64)>,
    /// How many were begun.
    begun: u64,
    bytes: usize,
}

/// A log, and when it was begun: the how manieth of its shard.
struct Begun {
    number: u64,
    log: Log,
}

/// What is kept of one event.
enum Log {
    /// Its one attempt, which said nothing and didn't fail: put into words when somebody asks, as of most events nobody does.
    Quiet {
        version: Option<Arc<str>>,
        end: Option<End>,
    },
    Text(String),
}

/// How an attempt ended, as far as the lines of all attempts tell.
#[derive(Clone, Copy)]
struct End {
    duration: Duration,
    init: Option<Duration>,
    memory: Memory,
}

const SHARDS: usize = 16;
/// Bytes that are kept of one event; AWS shows the last 4,096 (INV-18).
const EVENT_MAX: usize = 16 << 10;
/// What each log that is begun counts as, whatever it says: more than it takes, for smaller tables are faster ones.
const LOG_MIN: usize = 512;
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
    ///
    /// The first of a process adds to the panic hook, so that the log of an attempt that panics tells where: the hook that
    /// was set before still runs. One that the application sets later must call the one before it, or places are not told.
    pub fn new() -> Self {
        panic::note_places();
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// What the attempts of a function's event have logged so far, oldest first (LOG-11), a line each; a failure with its
    /// type, causes and, of a panic, its place. `None` if nothing is kept of it any more. Each function has its own log of a
    /// request id, begun anew with an event's first attempt.
    pub fn of(&self, function: &str, event: RequestId) -> Option<String> {
        let owner = Owner::new(FunctionName::new(function), event);
        let shard = self.shard(&owner).lock();
        let begun = shard.logs.get(&owner);
        begun.map(|begun| begun.log.read(event).into_owned())
    }

    /// Forgets what this event has logged.
    pub(crate) fn forget(&self, owner: &Owner) {
        self.shard(owner).lock().forget(owner);
    }

    /// This attempt begins, of a version that has a number or of `$LATEST` (LOG-03).
    pub(crate) fn start(&self, owner: &Owner, attempt: u32, version: Option<&Arc<str>>) {
        self.shard(owner).lock().start(owner, attempt, version);
    }

    /// An attempt has ended (LOG-04, LOG-05, LOG-07, LOG-09).
    pub(crate) fn end(&self, owner: &Owner, report: &Report<'_>) {
        let (event, now) = (owner.event, report.now);
        let ended = End {
            duration: report.duration,
            init: report.init,
            memory: process_memory::megabytes(now),
        };
        let mut shard = self.shard(owner).lock();
        let Some(failure) = report.failure else {
            if let Some(Begun {
                log: Log::Quiet {
                    end: end @ None, ..
                },
                ..
            }) = shard.logs.get_mut(owner)
            {
                *end = Some(ended);
                return;
            }
            return shard.add(owner, |text| write_end(text, event, &ended, ""));
        };
        let status = match failure.kind {
            FailureKind::Timeout => "Status: timeout",
            FailureKind::Panic | FailureKind::WorkerLost => {
                "Status: error\tError Type: Runtime.ExitError"
            }
            _ => "",
        };
        shard.add(owner, |text| {
            if failure.kind == FailureKind::Timeout {
                let time = humantime::format_rfc3339_millis(now);
                let task = failure.message.strip_prefix("task").unwrap_or_default();
                let _ = writeln!(text, "{time} {event} Task{task}\n");
            }
            line::write_failure(text, failure);
            write_end(text, event, &ended, status);
        });
    }

    fn shard(&self, owner: &Owner) -> &Mutex<Shard> {
        // The random part of an id is its end.
        let [.., last] = *owner.event.as_uuid().as_bytes();
        &self.0[usize::from(last) % SHARDS]
    }
}

impl Shard {
    fn start(&mut self, owner: &Owner, attempt: u32, version: Option<&Arc<str>>) {
        if attempt > 1 && self.logs.contains_key(owner) {
            return self.add(owner, |text| write_start(text, owner.event, version));
        }
        let version = version.cloned();
        self.begin(owner, Log::Quiet { version, end: None });
        self.forget_oldest();
    }

    /// Adds what `write` writes to the log of the event.
    fn add(&mut self, owner: &Owner, write: impl FnOnce(&mut String)) {
        if !self.logs.contains_key(owner) {
            self.begin(owner, Log::Text(String::new()));
        }
        let Some(Begun { log, .. }) = self.logs.get_mut(owner) else {
            return;
        };
        let before = log.len();
        let text = log.text(owner.event);
        write(text);
        if text.len() > EVENT_MAX {
            forget_first(text, text.len() - EVENT_MAX);
        }
        self.bytes = self.bytes + text.len() - before;
        self.forget_oldest();
    }

    /// Begins a log. What an earlier event with the same id has left under it is gone.
    fn begin(&mut self, owner: &Owner, log: Log) {
        let number = self.begun;
        self.begun += 1;
        self.order.push_back((owner.clone(), number));
        self.bytes += LOG_MIN;
        if let Some(before) = self.logs.insert(owner.clone(), Begun { number, log }) {
            self.bytes -= before.log.len();
        }
    }

    /// Its place in the order stays until it is the oldest.
    fn forget(&mut self, owner: &Owner) {
        let gone = self.logs.remove(owner);
        self.bytes -= gone.map_or(0, |begun| begun.log.len());
    }

    fn forget_oldest(&mut self) {
        while self.bytes > TOTAL_MAX / SHARDS
            && let Some((oldest, number)) = self.order.pop_front()
        {
            self.bytes -= LOG_MIN;
            if self.logs.get(&oldest).is_some_and(|it| it.number == number) {
                let gone = self.logs.remove(&oldest);
                self.bytes -= gone.map_or(0, |begun| begun.log.len());
            }
        }
    }
}

impl Log {
    /// Bytes that it takes beyond the least.
    fn len(&self) -> usize {
        match self {
            Self::Quiet { .. } => 0,
            Self::Text(text) => text.len(),
        }
    }

    fn read(&self, event: RequestId) -> Cow<'_, str> {
        let (version, end) = match self {
            Self::Quiet { version, end } => (version.as_ref(), end),
            Self::Text(text) => return Cow::Borrowed(text),
        };
        let mut text = String::new();
        write_start(&mut text, event, version);
        if let Some(end) = end {
            write_end(&mut text, event, end, "");
        }
        Cow::Owned(text)
    }

    /// Puts it into words, and keeps them.
    fn text(&mut self, event: RequestId) -> &mut String {
        if let Self::Quiet { .. } = self {
            *self = Self::Text(self.read(event).into_owned());
        }
        match self {
            Self::Text(text) => text,
            Self::Quiet { .. } => unreachable!("it was put into words"),
        }
    }
}

fn write_start(text: &mut String, event: RequestId, version: Option<&Arc<str>>) {
    let version = version.map_or(LATEST, |version| version);
    let _ = writeln!(text, "START RequestId: {event} Version: {version}");
}

fn write_end(text: &mut String, event: RequestId, end: &End, status: &str) {
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

    fn owner(event: RequestId) -> Owner {
        Owner::new(FunctionName::new("f"), event)
    }

    fn add(logs: &Logs, event: RequestId, write: impl FnOnce(&mut String)) {
        logs.shard(&owner(event)).lock().add(&owner(event), write);
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
        logs.start(&owner(event), 1, None);
        logs.end(&owner(event), &report(None));
        logs.start(&owner(event), 2, None);
        let init = Report {
            init: Some(Duration::from_micros(110_100)),
            ..report(None)
        };
        logs.end(&owner(event), &init);
        let log = logs.of("f", event).unwrap();
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
        logs.end(&owner(id(1)), &report(Some(&timeout)));
        let log = logs.of("f", id(1)).unwrap();
        let event = id(1);
        assert!(log.starts_with(&format!(
            "1970-01-01T00:00:00.000Z {event} Task timed out after 3.00 seconds\n"
        )));
        assert!(log.ends_with("\tStatus: timeout\n"), "{log}");
        logs.end(&owner(id(2)), &report(Some(&Failure::worker_lost())));
        let log = logs.of("f", id(2)).unwrap();
        assert!(
            log.ends_with("\tStatus: error\tError Type: Runtime.ExitError\n"),
            "{log}"
        );
    }

    /// What is put into words late reads as if it had been at once.
    #[test]
    fn a_quiet_attempt_reads_the_same_after_another() {
        let logs = Logs::new();
        let event = id(1);
        logs.start(&owner(event), 1, Some(&"7".into()));
        assert_eq!(
            logs.of("f", event).unwrap(),
            format!("START RequestId: {event} Version: 7\n")
        );
        logs.end(&owner(event), &report(None));
        let quiet = logs.of("f", event).unwrap();
        logs.start(&owner(event), 2, None);
        let both = logs.of("f", event).unwrap();
        let second = format!("START RequestId: {event} Version: $LATEST\n");
        assert_eq!(both, quiet + &second);
    }

    #[test]
    fn of_one_event_the_last_lines_are_kept() {
        let logs = Logs::new();
        for number in 0..5_000 {
            add(&logs, id(1), |log| {
                let _ = writeln!(log, "line {number} ö");
            });
        }
        let log = logs.of("f", id(1)).unwrap();
        assert!(log.len() <= EVENT_MAX && log.len() > EVENT_MAX - 100);
        assert!(log.starts_with("line ") && log.ends_with("line 4999 ö\n"));
        add(&logs, id(2), |log| log.push_str(&"ö".repeat(EVENT_MAX)));
        assert!(logs.of("f", id(2)).unwrap().len() <= EVENT_MAX);
    }

    #[test]
    fn of_all_events_the_latest_are_kept() {
        let logs = Logs::new();
        for number in 0..3_000 {
            logs.start(&owner(id(number)), 1, None);
            add(&logs, id(number), |log| log.push_str(&"x".repeat(10 << 10)));
            logs.start(&owner(id(10_000 + number)), 1, None);
        }
        let bytes: usize = logs.0.iter().map(|shard| shard.lock().bytes).sum();
        let held: usize = logs
            .0
            .iter()
            .map(|shard| {
                shard
                    .lock()
                    .logs
                    .values()
                    .map(|begun| LOG_MIN + begun.log.len())
                    .sum::<usize>()
            })
            .sum();
        assert_eq!(bytes, held);
        assert!(bytes <= TOTAL_MAX);
        assert!(logs.of("f", id(0)).is_none() && logs.of("f", id(2_999)).is_some());
    }

    /// An id that one function's event had says nothing of another's.
    #[test]
    fn each_function_has_its_own_log_of_an_id() {
        let logs = Logs::new();
        let (event, other) = (id(1), Owner::new(FunctionName::new("g"), id(1)));
        logs.start(&owner(event), 1, None);
        add(&logs, event, |log| log.push_str("secret\n"));
        logs.end(&owner(event), &report(None));
        assert_eq!(logs.of("g", event), None);
        logs.start(&other, 1, None);
        logs.end(&other, &report(None));
        assert!(logs.of("f", event).unwrap().contains("secret"));
        assert!(!logs.of("g", event).unwrap().contains("secret"));
    }

    /// An id that comes again is another event's.
    #[test]
    fn a_first_attempt_begins_the_log_anew() {
        let logs = Logs::new();
        let event = id(1);
        for round in 0..100_000 {
            logs.start(&owner(event), 1, None);
            add(&logs, event, |log| {
                let _ = writeln!(log, "round {round}");
            });
        }
        logs.start(&owner(event), 2, None);
        let log = logs.of("f", event).unwrap();
        assert_eq!(log.lines().count(), 3, "{log}");
        assert_eq!(log.lines().nth(1), Some("round 99999"));
        let shard = logs.shard(&owner(event)).lock();
        assert!(shard.bytes <= TOTAL_MAX / SHARDS);
        assert!(shard.order.len() <= TOTAL_MAX / SHARDS / LOG_MIN);
    }
}
