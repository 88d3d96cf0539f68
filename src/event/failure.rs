//! What went wrong with a user's function, and what is kept of it: failures, attempts, dead letters.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize, Serializer};

use crate::base::excerpt::{CUT, excerpt};
use crate::base::panic::Panicked;
use crate::base::time::Time;
use crate::event::error_type;
use crate::event::function_name::FunctionName;
use crate::event::meta::{EventMeta, SharedMeta};
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;

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
///
/// Its texts have at most 64 KiB together. What is longer is cut between two characters and ends with `… (cut)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What the error is called, in at most 1 KiB: its [`Coded`] code, or its Rust type with its path
    /// (`shop::PaymentError`), or AWS's name for it (`Sandbox.Timedout`, INV-23).
    ///
    /// Of an error in a `Box<dyn Error>`, an `anyhow::Error`, a [`Final`] and the like it is the type of what is inside, as
    /// far as a derived `Debug` tells it: the struct's name, or that of the enum's variant, without path (`CardDeclined`).
    /// `Error` where there is only a text.
    pub error_type: String,
    /// The error's text.
    pub message: String,
    /// The texts of the errors that caused it, outermost first. At most 32; where there are more, the last one says so.
    pub causes: Vec<String>,
    #[serde(skip)]
    pub(crate) directive: Option<Directive>,
    /// Where a panic happened, for the log of the process it happened in.
    #[serde(skip)]
    pub(crate) place: Option<String>,
}

/// What an error is called of which only its text is known.
const UNKNOWN: &str = "Error";
/// Longest name of an error's type, in bytes.
const TYPE_MAX: usize = 1 << 10;
/// Most bytes of an error's text and its causes' together. With the type's name and the mark of causes that are left out
/// it is 64 KiB.
const MESSAGE_MAX: usize = (64 << 10) - TYPE_MAX - MORE_CAUSES.len();
/// Most causes that are kept.
const CAUSES_MAX: usize = 32;
/// Stands for causes that are left out.
const MORE_CAUSES: &str = "… (more causes)";
/// Most errors of a chain that are looked at: several in a row may say the same.
const CHAIN_MAX: usize = 256;

/// What a handler's error asks of the retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directive {
    Final,
    After(Duration),
}

impl Failure {
    pub(crate) fn new(
        kind: FailureKind,
        error_type: impl fmt::Display,
        message: impl fmt::Display,
    ) -> Self {
        Self {
            kind,
            error_type: excerpt(error_type, TYPE_MAX),
            message: excerpt(message, MESSAGE_MAX),
            causes: Vec::new(),
            directive: None,
            place: None,
        }
    }

    /// The failure that a handler's error stands for; `error_type` is the type that the handler returns.
    pub(crate) fn of(error_type: &str, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(FailureKind::Error, error_type, error);
        let mut room = MESSAGE_MAX - failure.message.len();
        for error in chain(error) {
            match Word::of(error) {
                Some(word) => failure.heed(word),
                None if room > 0 => room = failure.add_cause(error, room),
                None => {}
            }
        }
        failure.error_type = match code(error) {
            Some(code) => excerpt(code, TYPE_MAX),
            None if error_type::is_open(error_type) => chain(error)
                .find_map(name)
                .unwrap_or_else(|| UNKNOWN.to_owned()),
            None => failure.error_type,
        };
        failure
    }

    fn heed(&mut self, word: &Word) {
        match *word {
            Word::Code(_) => {}
            Word::Final => self.directive = Some(Directive::Final),
            Word::After(delay) => self.directive = Some(Directive::After(delay)),
            Word::Throttled(delay) => {
                self.kind = FailureKind::Throttle;
                self.directive = delay.map(Directive::After);
            }
        }
    }

    /// Adds the text of a cause, unless it says what was said before it. Returns how much room is left.
    fn add_cause(&mut self, error: &(dyn Error + 'static), room: usize) -> usize {
        let text = excerpt(error, MESSAGE_MAX);
        if text == self.message || self.causes.last() == Some(&text) {
            return room;
        }
        if self.causes.len() + 1 == CAUSES_MAX || room < CUT.len() {
            self.causes.push(MORE_CAUSES.to_owned());
            return 0;
        }
        let text = excerpt(text, room);
        let left = room - text.len();
        self.causes.push(text);
        left
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

    /// A blocking function has as many abandoned threads as it may.
    pub(crate) fn threads_used_up(max: u32) -> Self {
        let message = format!(
            "{max} threads of the function run on though their attempts were given up, and no more may"
        );
        Self::new(FailureKind::Throttle, "TooManyRequestsException", message)
    }

    /// The machine has no thread for a blocking attempt.
    pub(crate) fn no_thread(error: &std::io::Error) -> Self {
        let message = format!("no thread could be started for the attempt: {error}");
        Self::new(FailureKind::System, "ServiceException", message)
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

    /// How many bytes its texts have.
    pub(crate) fn text_len(&self) -> usize {
        let causes: usize = self.causes.iter().map(String::len).sum();
        self.error_type.len() + self.message.len() + causes
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
    fn from(Panicked { message, place }: Panicked) -> Self {
        Self {
            place,
            ..Self::new(FailureKind::Panic, "Panic", message)
        }
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

/// An error and what caused it, outermost first. A chain may lead back to where it began: it is cut.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source()).take(CHAIN_MAX)
}

/// What the handler calls its error.
fn code<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    chain(error).find_map(|error| match Word::of(error) {
        Some(Word::Code(code)) => Some(&**code),
        _ => None,
    })
}

/// The name of an error's type; of what a wrapper of ours holds.
fn name(error: &(dyn Error + 'static)) -> Option<String> {
    let is_wrapper = error.is::<Final>()
        || error.is::<RetryAfter>()
        || error.is::<Throttled>()
        || error.is::<Coded>();
    if is_wrapper {
        return None;
    }
    match error.downcast_ref::<Marker>() {
        Some(marker) => name(&*marker.cause),
        None => error_type::of(error),
    }
}

/// What a handler may say about its error, found anywhere in the error's chain of sources.
///
/// It stands in the chain below the public wrapper, because a wrapper that was itself wrapped
/// (`anyhow`) can't be recognised by its type, while its source can.
#[derive(Debug)]
struct Marker {
    word: Word,
    cause: Cause,
}

#[derive(Debug)]
enum Word {
    Code(Cow<'static, str>),
    Final,
    After(Duration),
    Throttled(Option<Duration>),
}

impl Word {
    fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        error.downcast_ref::<Marker>().map(|marker| &marker.word)
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
    /// Asks for the next attempt `delay` after this failure; from the event's eleventh failure on, at least 100 ms after it.
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

    /// Retried `delay` after this failure (a `Retry-After` header, say); from the event's eleventh failure on, at least
    /// 100 ms after it.
    pub fn retry_after(delay: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Marker {
            word: Word::Throttled(Some(delay)),
            cause: error.into(),
        })
    }
}

marked_error!(Throttled);

/// An error under a code of its own, which stays the same whatever becomes of its type and its text: the
/// [`error_type`](Failure::error_type) of its failure, by which dead letters are filtered.
///
/// ```
/// # use redrive::{Coded, Event};
/// async fn charge(order: Event<u64>) -> Result<(), Box<dyn std::error::Error>> {
///     if *order == 0 {
///         return Err(Coded::new("EmptyOrder", "an order of nothing can't be charged").into());
///     }
///     Ok(())
/// }
/// ```
///
/// It works from anywhere in the chain of an error's sources, and around or inside of [`Final`], [`RetryAfter`] and
/// [`Throttled`]. Of several codes the outermost counts.
#[derive(Debug)]
pub struct Coded(Marker);

impl Coded {
    /// Calls `error` by `code`, of which 1 KiB is kept.
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        error: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self(Marker {
            word: Word::Code(code.into()),
            cause: error.into(),
        })
    }
}

marked_error!(Coded);

/// Why an event will not be tried again. The first four are AWS's own words (DST-07).
// Stores tell the variants apart by their order: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// Its last allowed attempt failed (ASY-16).
    RetriesExhausted,
    /// It grew older than its maximum age, or would have reached it by its next attempt (ASY-17, ASY-24). The age counts from when
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
/// Most bytes of texts that are kept of one event's history: those of the first and the last attempt always fit.
const HISTORY_MAX: usize = 128 << 10;

pub(crate) fn remember(attempts: &mut Vec<Attempt>, attempt: Attempt) {
    attempts.push(attempt);
    let mut texts: usize = attempts.iter().map(|it| it.failure.text_len()).sum();
    while attempts.len() > ATTEMPTS_MAX || texts > HISTORY_MAX && attempts.len() > 2 {
        texts -= attempts.remove(1).failure.text_len();
    }
}

/// An event that will not be tried again, with its whole history. Cheap to clone.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct DeadLetter(Arc<Letter>);

/// What a [`DeadLetter`] holds; reached through it by dereference. The rarely set fields of its event, such as
/// [`redriven_from`](EventMeta::redriven_from), are reached in the same way.
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
    /// Every attempt, the first one first; of more than 100, or with more than 128 KiB of texts, the first and as many of the
    /// last as fit.
    pub attempts: Vec<Attempt>,
    /// How many attempts ran (DST-21).
    pub attempt_count: u32,
    /// When the event was accepted.
    #[serde(serialize_with = "rfc3339")]
    pub accepted_at: SystemTime,
    /// When it was given up.
    #[serde(serialize_with = "rfc3339")]
    pub died_at: SystemTime,
    #[serde(flatten)]
    pub(crate) meta: SharedMeta,
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
            let letter = Arc::make_mut(&mut self.0);
            let accepted = Time::of(letter.accepted_at);
            letter
                .meta
                .make_mut()
                .begin_trace(letter.request_id, accepted);
        }
        self
    }

    /// As a letter of the function that its own is called now.
    pub(crate) fn renamed(mut self, function: FunctionName) -> Self {
        if self.function != function {
            Arc::make_mut(&mut self.0).function = function;
        }
        self
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

impl std::ops::Deref for Letter {
    type Target = EventMeta;

    fn deref(&self) -> &EventMeta {
        &self.meta
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

    /// An error with this text, whose cause is its cause, and so on without end.
    #[derive(Debug)]
    struct Link(
        fn(&mut fmt::Formatter<'_>) -> fmt::Result,
        Option<&'static Link>,
    );

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (self.0)(f)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.map(|next| next as _)
        }
    }

    #[test]
    fn a_chain_of_causes_without_end_is_cut() {
        static SAME: Link = Link(|f| f.write_str("gone"), Some(&SAME));
        static PING: Link = Link(|f| f.write_str("ping"), Some(&PONG));
        static PONG: Link = Link(|f| f.write_str("pong"), Some(&PING));
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        static MORE: Link = Link(
            |f| {
                write!(
                    f,
                    "{}",
                    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
                )
            },
            Some(&MORE),
        );
        let failure = Failure::of("E", &SAME);
        assert_eq!((&*failure.message, failure.causes.len()), ("gone", 0));
        let failure = Failure::of("E", &PING);
        assert_eq!(
            (&*failure.message, failure.causes),
            ("ping", vec!["pong".to_owned()])
        );
        let failure = Failure::of("E", &MORE);
        assert_eq!(failure.causes.len(), CAUSES_MAX);
        assert_eq!(failure.causes[CAUSES_MAX - 1], MORE_CAUSES);
    }

    #[test]
    fn the_texts_of_a_failure_have_64_kib_together() {
        fn endless(f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("öde ")?;
            }
        }
        fn long(f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&"x".repeat(50_000))
        }
        static ENDLESS: Link = Link(endless, None);
        static LONG: Link = Link(long, Some(&ENDLESS));
        static ROUND: Link = Link(endless, Some(&LONG));
        let long_type = "T".repeat(5_000);
        for (error, causes) in [(&ENDLESS, 0), (&LONG, 1), (&ROUND, 1)] {
            let failure = Failure::of(&long_type, error);
            assert!(failure.text_len() <= 64 << 10, "{}", failure.text_len());
            assert!(failure.error_type.ends_with(CUT));
            assert_eq!(failure.causes.len(), causes);
        }
        let text = "x".repeat(62 << 10);
        assert_eq!(of(text.clone()).message, text);
        let panic = Panicked {
            message: "y".repeat(1 << 20),
            place: None,
        };
        assert!(Failure::from(panic).message.ends_with(CUT));
    }

    #[test]
    fn a_word_beyond_the_room_for_texts_is_found() {
        let long = "x".repeat(1 << 20);
        let failure = of(Outer(Box::new(Outer(Box::new(Final::new(long))))));
        assert_eq!(failure.directive, Some(Directive::Final));
        assert!(failure.causes[0].ends_with(CUT));
    }

    #[test]
    fn a_history_with_long_texts_keeps_its_first_and_its_last_attempts() {
        let mut attempts = Vec::new();
        for number in 1..=50 {
            let message = "x".repeat(if number == 1 { 1 << 20 } else { 30_000 });
            remember(
                &mut attempts,
                Attempt {
                    number,
                    started_at: SystemTime::UNIX_EPOCH,
                    duration: Duration::ZERO,
                    failure: Failure::new(FailureKind::Error, "E", message),
                },
            );
        }
        let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, [1, 49, 50]);
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
