//! What can go wrong with redrive itself, by who decides on it: the caller of an invocation, whoever
//! starts the runtime, the author of a store. A failing function is no error here; it is a `Failure`.

use std::fmt;
use std::time::Duration;

use crate::event::failure::Failure;
use crate::event::payload::PayloadError;
use crate::event::request_id::RequestId;

/// Why an invocation was refused. Nothing of a refused event is kept.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// Register the function, or correct its name.
    #[error("function `{function}` is not registered")]
    UnknownFunction {
        /// The name that was given.
        function: String,
    },
    /// Invoke `$LATEST`, or give the function this version or alias with `Function::version` or `Function::alias`.
    #[error("function `{function}` has no version or alias `{qualifier}`")]
    UnknownQualifier {
        /// The function.
        function: String,
        /// The qualifier that was given.
        qualifier: String,
    },
    /// Send less, or a reference to where the rest lies.
    #[error(
        "payload of {bytes} bytes for function `{function}` is larger than the limit of {limit} bytes"
    )]
    PayloadTooLarge {
        /// The function.
        function: String,
        /// The payload's size as JSON.
        bytes: usize,
        /// The limit (INV-26, INV-27).
        limit: usize,
    },
    /// Change the payload's type so that it can be written as JSON.
    #[error("payload for function `{function}` can't be written as JSON: {source}")]
    PayloadUnserialisable {
        /// The function.
        function: String,
        /// What serde said.
        source: PayloadError,
    },
    /// Try again after `retry_after`, raise the function's concurrency, or its mailbox's bound.
    #[error("mailbox of function `{function}` is full ({bound}), try again in {retry_after:?}")]
    MailboxFull {
        /// The function.
        function: String,
        /// The bound that was met.
        bound: Bound,
        /// When room may be expected, from the function's recent pace.
        retry_after: Duration,
    },
    /// Try again after `retry_after`, give keys a shorter window, or raise the function's `deduplication_keys_max`.
    #[error(
        "function `{function}` has {limit} deduplication keys, and no more may be taken, try again in {retry_after:?}"
    )]
    DeduplicationKeysFull {
        /// The function.
        function: String,
        /// How many it may have.
        limit: u32,
        /// When one may be free: at the earliest.
        retry_after: Duration,
    },
    /// Send less of it, or raise [`Builder::headers_max`](crate::Builder::headers_max).
    #[error(
        "{header} of {bytes} bytes for function `{function}` is longer than the limit of {limit} bytes"
    )]
    HeaderTooLong {
        /// The function.
        function: String,
        /// Which one it was, by the name of the method that sets it: `trace_header`, `traceparent`, `client_context` or
        /// `qualifier`.
        header: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Raise the function's reserved concurrency above 0. Only synchronous calls are refused so (ASY-28).
    #[error("function `{function}` has a reserved concurrency of 0 and runs nothing")]
    ZeroReservedConcurrency {
        /// The function.
        function: String,
    },
    /// Raise what is reserved for the function, or send an event: events wait. Only calls are refused so, and only where
    /// concurrency was reserved at run time (CON-02, ERR-08).
    #[error("all {reserved} executions that are reserved for function `{function}` are in use")]
    ReservedConcurrencyInUse {
        /// The function.
        function: String,
        /// What is reserved.
        reserved: u32,
    },
    /// Resume the function, or send an event in place of a call: events wait.
    #[error(
        "function `{function}` is paused and can't answer a call: resume it, or send an event, which waits"
    )]
    Paused {
        /// The function.
        function: String,
    },
    /// Send it to the next process; this one is going away.
    #[error("the runtime is shutting down and accepts nothing more")]
    ShuttingDown,
    /// Break the chain, or raise the function's `hops_max`.
    #[error(
        "invocation of function `{function}` is hop {hops} of its chain, and {limit} are allowed: is this a loop?"
    )]
    Recursion {
        /// The function.
        function: String,
        /// How many invocations stand before this one.
        hops: u8,
        /// How many may (REC-01).
        limit: u8,
    },
    /// Propose another id, or none. An event has this one.
    #[error("request id {request_id} belongs to another event")]
    RequestIdTaken {
        /// The id that was proposed.
        request_id: RequestId,
    },
    /// Correct the setting that was given with this one event.
    #[error("{0}")]
    Setting(Fault),
    /// The store did not take the event; see why.
    #[error("the event could not be stored: {0}")]
    Store(#[from] StoreError),
    /// Keep the runtime alive while it is used. If it is, the log names the actor that was lost: shut the runtime down and
    /// start another.
    #[error(
        "the runtime's actors are gone, so nothing could run the event: was the runtime shut down or dropped?"
    )]
    NoSystem,
}

/// Why a function's configuration was not changed. What held before holds.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigureError {
    /// Register the function, or correct its name.
    #[error("function `{function}` is not registered")]
    UnknownFunction {
        /// The name that was given.
        function: String,
    },
    /// Correct what they name; all faults are in here.
    #[error("{}", Faults(.0))]
    Settings(Vec<Fault>),
    /// Reserve less, or raise [`Builder::concurrent_executions_max`](crate::Builder::concurrent_executions_max) (CFG-27).
    #[error(
        "a reserved concurrency of {wanted} for function `{function}` leaves less than {unreserved_min} of {limit} to the others"
    )]
    TooMuchReserved {
        /// The function.
        function: String,
        /// What it was to have.
        wanted: u32,
        /// What must stay unreserved.
        unreserved_min: u32,
        /// All there is.
        limit: u32,
    },
    /// The store did not keep it; see why.
    #[error("the configuration could not be stored: {0}")]
    Store(StoreError),
    /// Set it in the next process; this one is going away.
    #[error("the runtime has ended and sets nothing any more")]
    ShuttingDown,
}

/// A bound of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `mailbox_events_max`
    Events(u32),
    /// `mailbox_bytes_max`
    Bytes(u64),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(max) => write!(f, "{max} events"),
            Self::Bytes(max) => write!(f, "{max} bytes"),
        }
    }
}

/// Why a synchronous call brought no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It was refused and did not run.
    #[error(transparent)]
    Refused(#[from] InvokeError),
    /// The function failed. It is not retried.
    #[error("function failed: {0}")]
    Failed(Failure),
    /// Somebody cancelled it by its request id.
    #[error("the call was cancelled")]
    Cancelled,
    /// The function ran, but its result isn't of the type that was asked for.
    #[error("result doesn't fit: {0}")]
    Result(PayloadError),
    /// The function was removed while the call waited. Ask the function that took its place.
    #[error("function `{function}` was removed before the call ended")]
    Removed {
        /// The function.
        function: String,
    },
    /// The runtime went away while the call waited. Ask the next process.
    #[error("the runtime went away before the call ended")]
    Gone,
}

/// Why a runtime did not start, or a function could not be added or removed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Start a simulation inside `testing::run`. A runtime in real time needs nothing of the kind.
    #[error("no actix `System` runs on this thread: start the simulation inside `testing::run`")]
    NoSystem,
    /// Raise the limit of the process's threads or open files, or let the machine have more of them, and start again.
    #[error("the machine has no thread for the runtime: {0}")]
    Thread(String),
    /// Correct each of them.
    #[error("{}", Faults(.0))]
    Settings(Vec<Fault>),
    /// The function to remove isn't there.
    #[error("function `{0}` is not registered")]
    UnknownFunction(String),
    /// The store can't be opened; see why.
    #[error("the store can't be opened: {0}")]
    Store(#[from] StoreError),
    /// Start the simulation inside `redrive::testing::run`.
    #[error(
        "the clock is a real one, and a simulation needs virtual time: start it inside `redrive::testing::run`"
    )]
    RealTime,
    /// Add or remove the function in the next process; this one is going away.
    #[error("the runtime is shutting down: functions are neither added nor removed any more")]
    ShuttingDown,
}

/// One setting that can't be used as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The function whose setting it is; empty for the runtime's own.
    pub function: String,
    /// The setting, by the name of the method that sets it.
    pub field: &'static str,
    /// What is wrong with its value, and what to do.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.function.is_empty() {
            write!(f, "runtime: {}: {}", self.field, self.problem)
        } else {
            write!(
                f,
                "function `{}`: {}: {}",
                self.function, self.field, self.problem
            )
        }
    }
}

struct Faults<'a>(&'a [Fault]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faulty settings", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// Why a store did not do what it was asked. Made by the authors of stores.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
}

/// What kind of trouble a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// See the message.
    Other,
    /// There is no room. Make some: the store goes on by itself.
    Full,
    /// The machine has no file descriptor or no memory to spare. Nothing was written: try again, or raise the limit.
    Short,
    /// It could not make something durable and takes nothing any more. Look at the disk, then start the process again.
    Failed,
    /// Another process has it. Stop that one, or use another folder.
    Locked,
    /// What is on the disk isn't what was written there, or a file is missing. The message names it.
    Damaged,
    /// It was written by another version of this crate, in a format that this one can't read.
    Version,
    /// It is sealed, and with another key than the one that was given.
    Key,
}

impl StoreError {
    /// An error that says what happened, with which value, and what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self::of(StoreErrorKind::Other, message)
    }

    /// An error of a kind.
    pub fn of(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What kind of trouble it is.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Is a resource of the machine short, so that the same may succeed later?
    #[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Full | StoreErrorKind::Short)
    }
}
