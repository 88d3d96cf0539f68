//! What went wrong with a user's function, and what is kept of it: failures, attempts, dead letters.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize, Serializer};

use crate::event::RequestId;
use crate::origin::Origin;
use crate::panic::Panicked;
use crate::payload::Payload;
use crate::retry::RetryPolicy;
use crate::settings::FunctionName;
use crate::trace;

/// What kind of failure ended an attempt.
// Stores tell the variants apart by their order: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// The handler returned an error.
    Error,
    /// The handler panicked, in its body or in the `Drop` of something it held.
    Panic,
    /// The attempt ran longer than the function's timeout (INV-23).
    Timeout,
    /// The worker went away with the event: its arbiter was stopped, say.
    WorkerLost,
    /// The worker's `init` failed. Only a waiting caller sees this; events wait for a worker that starts.
    Init,
    /// The payload doesn't fit the handler's type. Final: it would not fit the next time either.
    Payload,
    /// The result can't be written as JSON, or is larger than allowed (INV-24).
    Response,
    /// The handler reported with [`Throttled`] that something it needs has no capacity now. Not counted
    /// as an attempt of the retry policy (ASY-08, ASY-21).
    Throttle,
    /// redrive itself failed. Not counted as an attempt of the retry policy (ASY-09, ASY-21).
    System,
    /// The process died while it ran the event, more often than is allowed.
    ProcessCrash,
    /// Another event with the same idempotency key is being run. Not counted as an attempt of the retry policy; retried
    /// when that run must be over, or sooner (IDM-06).
    InProgress,
    /// The payload has no idempotency key though one is required (IDM-03), or is another than the one whose result its key
    /// stands for (IDM-09). Final.
    Idempotency,
}

/// A failed attempt, as its reader sees it: nothing here borrows from the user's error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// The error's Rust type, or AWS's name for it (`Sandbox.Timedout`, INV-23).
    pub error_type: String,
    /// The error's text.
    pub message: String,
    /// The texts of the errors that caused it, outermost first.
    pub causes: Vec<String>,
    #[serde(skip)]
    pub(crate) directive: Option<Directive>,
}

/// What a handler's error asks of the retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directive {
    Final,
    After(Duration),
}

impl Failure {
    pub(crate) fn new(
        kind: FailureKind,
        error_type: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            error_type: error_type.into(),
            message: message.into(),
            causes: Vec::new(),
            directive: None,
        }
    }

    /// The failure that a handler's error stands for.
    pub(crate) fn of(error_type: &str, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(FailureKind::Error, error_type, error.to_string());
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(word) = Word::of(error) {
                match word {
                    Word::Final => failure.directive = Some(Directive::Final),
                    Word::After(delay) => failure.directive = Some(Directive::After(delay)),
                    Word::Throttled(delay) => {
                        failure.kind = FailureKind::Throttle;
                        failure.directive = delay.map(Directive::After);
                    }
                }
            } else {
                let text = error.to_string();
                if text != failure.message && failure.causes.last() != Some(&text) {
                    failure.causes.push(text);
                }
            }
            cause = error.source();
        }
        failure
    }

    /// INV-23
    pub(crate) fn timeout(timeout: Duration) -> Self {
        let message = format!("task timed out after {:.2} seconds", timeout.as_secs_f64());
        Self::new(FailureKind::Timeout, "Sandbox.Timedout", message)
    }

    pub(crate) fn zero_concurrency() -> Self {
        Self::new(
            FailureKind::Throttle,
            "TooManyRequestsException",
            "no concurrency is reserved for the function any more",
        )
    }

    pub(crate) fn blocked(blocked: Duration) -> Self {
        let message = format!(
            "the handler did not let go of its thread for {:.2} seconds, so the thread was given up",
            blocked.as_secs_f64()
        );
        Self::new(FailureKind::WorkerLost, "Runtime.ExitError", message)
    }

    pub(crate) fn worker_lost() -> Self {
        Self::new(
            FailureKind::WorkerLost,
            "Runtime.ExitError",
            "the worker went away while it ran the event",
        )
    }

    /// Did it take the worker with it?
    pub(crate) fn is_crash(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::Panic | FailureKind::WorkerLost | FailureKind::ProcessCrash
        )
    }

    /// Did the function's own code fail, so that it counts as a run with an error (ASY-07, MET-05)?
    pub(crate) fn counts(&self) -> bool {
        !matches!(
            self.kind,
            FailureKind::Throttle | FailureKind::System | FailureKind::InProgress
        )
    }
}

impl From<Panicked> for Failure {
    fn from(Panicked { message }: Panicked) -> Self {
        Self::new(FailureKind::Panic, "Panic", message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)?;
        self.causes
            .iter()
            .try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl Error for Failure {}

type Cause = Box<dyn Error + Send + Sync>;

/// What a handler may say about its error, found anywhere in the error's chain of sources.
///
/// It stands in the chain below the public wrapper, because a wrapper that was itself wrapped
/// (`anyhow`) can't be recognised by its type, while its source can.
#[derive(Debug)]
struct Marker {
    word: Word,
    cause: Cause,
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Final,
    After(Duration),
    Throttled(Option<Duration>),
}

impl Word {
    fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        error.downcast_ref::<Marker>().map(|marker| marker.word)
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for Marker {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

macro_rules! marked_error {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Error for $name {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
    };
}

/// An error after which no retry can help: the event becomes a dead letter at once, with condition
/// [`Condition::Final`].
///
/// ```
/// # use redrive::{Event, Final};
/// async fn charge(order: Event<u64>) -> Result<(), Box<dyn std::error::Error>> {
///     if *order == 0 {
///         return Err(Final::new("an order of nothing can't be charged").into());
///     }
///     Ok(())
/// }
/// ```
///
/// It works from anywhere in the chain of an error's sources, inside `anyhow` too.
#[derive(Debug)]
pub struct Final(Marker);

impl Final {
    /// Marks `error` as final.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Marker {
            word: Word::Final,
            cause: error.into(),
        })
    }
}

marked_error!(Final);

/// An error that says when to try again, in place of the retry policy's own delay.
///
/// The attempt counts: an event out of retries becomes a dead letter all the same.
#[derive(Debug)]
pub struct RetryAfter(Marker);

impl RetryAfter {
    /// Asks for the next attempt `delay` after this failure.
    pub fn new(delay: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Marker {
            word: Word::After(delay),
            cause: error.into(),
        })
    }
}

marked_error!(RetryAfter);

/// An error that says that something the handler needs has no capacity now (an HTTP 429, say).
///
/// It takes nothing from the retry policy: the event is retried after 1 s, 2 s, 4 s … 5 min until its
/// maximum age (ASY-20, ASY-21).
#[derive(Debug)]
pub struct Throttled(Marker);

impl Throttled {
    /// Retried after the throttle delays.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Marker {
            word: Word::Throttled(None),
            cause: error.into(),
        })
    }

    /// Retried `delay` after this failure (a `Retry-After` header, say).
    pub fn retry_after(delay: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Marker {
            word: Word::Throttled(Some(delay)),
            cause: error.into(),
        })
    }
}

marked_error!(Throttled);

/// Why an event will not be tried again. The first four are AWS's own words (DST-07).
// Stores tell the variants apart by their order: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// Its last allowed attempt failed (ASY-16).
    RetriesExhausted,
    /// It grew older than its maximum age, or would have before its next attempt (ASY-17, ASY-24). The age counts from when
    /// its first run was due.
    EventAgeExceeded,
    /// The function's reserved concurrency is 0: it was never tried (ASY-27).
    ZeroReservedConcurrency,
    /// The handler said so with [`Final`], or the payload doesn't fit the handler or its own idempotency key.
    Final,
    /// It would have been one hop too many in a chain of invocations (REC-04).
    Recursion,
    /// The function was removed while the event waited.
    FunctionRemoved,
    /// The process died again and again while it ran the event: what it does kills its host.
    ProcessCrash,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One attempt that failed.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub started_at: SystemTime,
    /// How long it took until it failed.
    pub duration: Duration,
    /// How it failed.
    pub failure: Failure,
}

/// Most attempts that are kept of one event's history; beyond it the oldest but the first is dropped.
/// Throttled events can have hundreds.
const ATTEMPTS_MAX: usize = 100;

pub(crate) fn remember(attempts: &mut Vec<Attempt>, attempt: Attempt) {
    if attempts.len() >= ATTEMPTS_MAX {
        attempts.remove(1);
    }
    attempts.push(attempt);
}

/// An event that will not be tried again, with its whole history. Cheap to clone.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct DeadLetter(Arc<Letter>);

/// What a [`DeadLetter`] holds; reached through it by dereference.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Letter {
    /// The event's request id, the same on every attempt (ASY-04).
    pub request_id: RequestId,
    /// The function it was meant for.
    pub function: FunctionName,
    /// The payload as it was given (DLQ-03).
    pub payload: Payload,
    /// Why it is dead.
    pub condition: Condition,
    /// Every attempt, the first one first; of more than 100, the first and the last 99.
    pub attempts: Vec<Attempt>,
    /// How many attempts ran (DST-21).
    pub attempt_count: u32,
    /// When the event was accepted.
    #[serde(serialize_with = "rfc3339")]
    pub accepted_at: SystemTime,
    /// When it was given up.
    #[serde(serialize_with = "rfc3339")]
    pub died_at: SystemTime,
    /// The trace header: the caller's as given, or that of the trace which began with the event.
    pub trace_header: Option<Arc<str>>,
    /// The caller's W3C `traceparent`, as given.
    pub traceparent: Option<Arc<str>>,
    /// The version or alias that was invoked, as given.
    pub qualifier: Option<Arc<str>>,
    /// The version that the qualifier stood for; none is `$LATEST`.
    pub version: Option<Arc<str>>,
    /// How many invocations stood before this one in its chain.
    pub hops: u8,
    /// The dead letter that this event was redriven from.
    pub redriven_from: Option<RequestId>,
    /// What was said of this one event in place of its function's settings; a redrive says it again.
    #[serde(skip)]
    pub(crate) retry: Option<RetryPolicy>,
    #[serde(skip)]
    pub(crate) event_age_max: Option<Duration>,
    /// The store has it.
    #[serde(skip)]
    pub(crate) stored: bool,
}

impl DeadLetter {
    pub(crate) fn new(letter: Letter) -> Self {
        Self(Arc::new(letter))
    }

    /// As it comes from a store, which doesn't keep the header of a trace that began with the event: it is made anew (XRY-04).
    pub(crate) fn traced(mut self) -> Self {
        if self.trace_header.is_none() {
            let header = trace::beginning(self.request_id, self.accepted_at);
            Arc::make_mut(&mut self.0).trace_header = Some(header.into());
        }
        self
    }

    /// What its event carried from its caller.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            trace_header: self.trace_header.clone(),
            traceparent: self.traceparent.clone(),
            client_context: None,
            qualifier: self.qualifier.clone(),
            version: self.version.clone(),
        }
    }

    /// The failure of the last attempt; none if it never ran.
    pub fn failure(&self) -> Option<&Failure> {
        self.attempts.last().map(|attempt| &attempt.failure)
    }
}

impl std::ops::Deref for DeadLetter {
    type Target = Letter;

    fn deref(&self) -> &Letter {
        &self.0
    }
}

pub(crate) fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: impl Into<Box<dyn Error>>) -> Failure {
        Failure::of("E", &*error.into())
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Cause);

    #[test]
    fn a_word_is_found_anywhere_in_the_chain() {
        assert_eq!(of(Final::new("no")).directive, Some(Directive::Final));
        let outer = of(Outer(Box::new(RetryAfter::new(
            Duration::from_secs(5),
            "busy",
        ))));
        assert_eq!(
            outer.directive,
            Some(Directive::After(Duration::from_secs(5)))
        );
        assert_eq!(
            (outer.message.as_str(), outer.causes),
            ("outer", vec!["busy".to_owned()])
        );
        let anyhow = anyhow::Error::from(Final::new("no")).context("while charging");
        let failure = Failure::of("anyhow::Error", &*Box::<dyn Error>::from(anyhow));
        assert_eq!(failure.directive, Some(Directive::Final));
        let bare = Failure::of(
            "anyhow::Error",
            &*Box::<dyn Error>::from(anyhow::Error::from(Final::new("no"))),
        );
        assert_eq!(bare.directive, Some(Directive::Final));
    }

    #[test]
    fn a_throttle_is_a_kind_of_its_own() {
        let failure = of(Throttled::new("429"));
        assert_eq!(
            (failure.kind, failure.directive, failure.counts()),
            (FailureKind::Throttle, None, false)
        );
    }

    #[test]
    fn the_chain_of_causes_is_kept_outermost_first() {
        let failure = of(Outer(Box::new(Outer(Box::new(Final::new("inner"))))));
        assert_eq!(failure.causes, ["inner"]);
        let failure = of(Outer(Box::new(std::io::Error::other("disk"))));
        assert_eq!(failure.causes, ["disk"]);
    }

    #[test]
    fn a_long_history_keeps_its_first_and_its_last_attempts() {
        let mut attempts = Vec::new();
        for number in 1..=250 {
            let failure = Failure::worker_lost();
            remember(
                &mut attempts,
                Attempt {
                    number,
                    started_at: SystemTime::UNIX_EPOCH,
                    duration: Duration::ZERO,
                    failure,
                },
            );
        }
        assert_eq!(attempts.len(), ATTEMPTS_MAX);
        assert_eq!(
            (attempts[0].number, attempts[1].number, attempts[99].number),
            (1, 152, 250)
        );
    }
}
