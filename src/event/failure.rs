//! How an attempt failed: the kind of failure, the error's type and texts, and the retry that the error asks for.
//!
//! A failure borrows nothing from the user's error, and all its texts are bounded.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::excerpt::{CUT, excerpt};
use crate::base::panic::Panicked;
use crate::event::directive::{self, Directive, Instruction, chain};
use crate::event::error_type;

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
            match Instruction::of(error) {
                Some(instruction) => failure.apply(instruction),
                None if room > 0 => room = failure.add_cause(error, room),
                None => {}
            }
        }
        failure.error_type = match directive::code(error) {
            Some(code) => excerpt(code, TYPE_MAX),
            None if error_type::is_open(error_type) => chain(error)
                .find_map(directive::type_name)
                .unwrap_or_else(|| UNKNOWN.to_owned()),
            None => failure.error_type,
        };
        failure
    }

    fn apply(&mut self, instruction: &Instruction) {
        match *instruction {
            Instruction::Code(_) => {}
            Instruction::Final => self.directive = Some(Directive::Final),
            Instruction::After(delay) => self.directive = Some(Directive::After(delay)),
            Instruction::Throttled(delay) => {
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

#[cfg(test)]
mod tests;
