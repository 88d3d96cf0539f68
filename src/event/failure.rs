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

/// The kind of failure that ended an attempt.
// Stores write a variant by its number: add new ones at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// The handler returned an error.
    Error,
    /// The handler panicked, in its body or in the `Drop` of a value that it held.
    Panic,
    /// The attempt ran longer than the function's timeout (INV-23).
    Timeout,
    /// The worker ended with the event, for example because its arbiter was stopped.
    WorkerLost,
    /// The worker's `init` failed. Only a waiting caller sees this; events wait for a worker that starts.
    Init,
    /// The payload doesn't fit the handler's type. Final: a retry would fail in the same way.
    Payload,
    /// The result can't be written as JSON, or is larger than allowed (INV-24).
    Response,
    /// The handler returned a [`Throttled`](crate::Throttled) error: a resource has no capacity now. Not counted as an attempt
    /// of the retry policy (ASY-08, ASY-21).
    Throttle,
    /// redrive itself failed. Not counted as an attempt of the retry policy (ASY-09, ASY-21).
    System,
    /// The process died while it ran the event, more often than allowed.
    ProcessCrash,
    /// Another event with the same idempotency key is running. Not counted as an attempt of the retry policy. Retried at the
    /// end of that event's lease at the latest (IDM-06).
    InProgress,
    /// The payload has no idempotency key though one is required (IDM-03), or differs from the payload of the event that has
    /// the result of its key (IDM-09). Final.
    Idempotency,
}

/// The failure of an attempt. It borrows nothing from the user's error.
///
/// Its texts have at most 64 KiB together. A longer text is cut between two characters and ends with `… (cut)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The name of the error, in at most 1 KiB: its [`Coded`](crate::Coded) code, or its Rust type with its path
    /// (`shop::PaymentError`), or AWS's name for it (`Sandbox.Timedout`, INV-23).
    ///
    /// For an error in a `Box<dyn Error>`, an `anyhow::Error`, a [`Final`](crate::Final) and the like it is the type of the
    /// inner error, read from its derived `Debug`: the name of the struct, or of the enum's variant, without path
    /// (`CardDeclined`). `Error` for a mere text.
    pub error_type: String,
    /// The error's text.
    pub message: String,
    /// The texts of the errors that caused it, outermost first. At most 32; the last one marks that there are more.
    pub causes: Vec<String>,
    #[serde(skip)]
    pub(crate) directive: Option<Directive>,
    /// The place of a panic, for the log of its process.
    #[serde(skip)]
    pub(crate) place: Option<String>,
}

/// The name of an error with only a text.
const UNKNOWN: &str = "Error";
/// Maximum length of the name of an error's type, in bytes.
const TYPE_MAX: usize = 1 << 10;
/// Maximum bytes of the texts of an error and its causes. With the type's name and the mark of omitted causes it is 64 KiB.
const MESSAGE_MAX: usize = (64 << 10) - TYPE_MAX - MORE_CAUSES.len();
/// Maximum number of causes.
const CAUSES_MAX: usize = 32;
/// The mark of omitted causes.
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

    /// Returns the failure of a handler's error. `error_type` is the type that the handler returns.
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

    /// Adds the text of a cause, unless it repeats the text before it. Returns the room that is left.
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

    /// Returns the failure of an attempt that ran longer than its timeout (INV-23).
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
            "the handler blocked its thread for {:.2} seconds, so the thread was given up",
            blocked.as_secs_f64()
        );
        Self::new(FailureKind::WorkerLost, "Runtime.ExitError", message)
    }

    /// Returns the failure of a blocking function that has its maximum of abandoned threads.
    pub(crate) fn threads_used_up(max: u32) -> Self {
        let message = format!(
            "{max} threads of the function still run attempts that were given up, and no more may"
        );
        Self::new(FailureKind::Throttle, "TooManyRequestsException", message)
    }

    /// Returns the failure of a blocking attempt for which the machine has no thread.
    pub(crate) fn no_thread(error: &std::io::Error) -> Self {
        let message = format!("no thread could be started for the attempt: {error}");
        Self::new(FailureKind::System, "ServiceException", message)
    }

    pub(crate) fn worker_lost() -> Self {
        Self::new(
            FailureKind::WorkerLost,
            "Runtime.ExitError",
            "the worker ended while it ran the event",
        )
    }

    /// Returns whether the failure ended the worker.
    pub(crate) fn is_crash(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::Panic | FailureKind::WorkerLost | FailureKind::ProcessCrash
        )
    }

    /// Returns the bytes of its texts.
    pub(crate) fn text_len(&self) -> usize {
        let causes: usize = self.causes.iter().map(String::len).sum();
        self.error_type.len() + self.message.len() + causes
    }

    /// Returns whether the function's own code failed, so that it counts as a run with an error (ASY-07, MET-05).
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
