//! The errors of redrive itself, one enum for each person who decides on it: the caller of an event or call, the operator
//! who sets a function, the author who starts the runtime, the author of a store. A failing function is not an error here:
//! it is a `Failure`.

use std::fmt;
use std::time::Duration;

use crate::event::failure::Failure;
use crate::event::payload::PayloadError;
use crate::event::request_id::RequestId;

/// Why an invocation was refused. A refused event leaves nothing behind.
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
        /// The error of serde.
        source: PayloadError,
    },
    /// Try again after `retry_after`, raise the function's concurrency, or its mailbox's bound.
    #[error("mailbox of function `{function}` is full ({bound}), try again in {retry_after:?}")]
    MailboxFull {
        /// The function.
        function: String,
        /// The bound that is reached.
        bound: Bound,
        /// When room may be expected, at the function's recent rate.
        retry_after: Duration,
    },
    /// Try again after `retry_after`, give keys a shorter window, or raise the function's `deduplication_keys_max`.
    #[error(
        "function `{function}` has {limit} deduplication keys, and no more may be taken, try again in {retry_after:?}"
    )]
    DeduplicationKeysFull {
        /// The function.
        function: String,
        /// The maximum.
        limit: u32,
        /// The earliest time at which a key may be free.
        retry_after: Duration,
    },
    /// Send a shorter one, or raise [`Builder::headers_max`](crate::Builder::headers_max).
    #[error(
        "{header} of {bytes} bytes for function `{function}` is longer than the limit of {limit} bytes"
    )]
    HeaderTooLong {
        /// The function.
        function: String,
        /// The name of the method that sets it: `trace_header`, `traceparent`, `client_context` or `qualifier`.
        header: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Raise the function's reserved concurrency above 0. Only synchronous calls get this error (ASY-28).
    #[error("function `{function}` has a reserved concurrency of 0 and runs nothing")]
    ZeroReservedConcurrency {
        /// The function.
        function: String,
    },
    /// Raise the function's reserved concurrency, or send an event: events wait. Only calls get this error, and only if
    /// concurrency was reserved at run time (CON-02, ERR-08).
    #[error("all {reserved} executions that are reserved for function `{function}` are in use")]
    ReservedConcurrencyInUse {
        /// The function.
        function: String,
        /// The reserved concurrency.
        reserved: u32,
    },
    /// Resume the function, or send an event in place of a call: events wait.
    #[error(
        "function `{function}` is paused and runs no calls: resume it, or send an event, which waits"
    )]
    Paused {
        /// The function.
        function: String,
    },
    /// Send it to the next process; this one is shutting down.
    #[error("the runtime is shutting down and accepts nothing more")]
    ShuttingDown,
    /// Break the chain, or raise the function's `hops_max`.
    #[error(
        "invocation of function `{function}` is hop {hops} of its chain, and {limit} are allowed: is this a loop?"
    )]
    Recursion {
        /// The function.
        function: String,
        /// The number of invocations before this one.
        hops: u8,
        /// The maximum (REC-01).
        limit: u8,
    },
    /// Choose another id, or none. Another event has this one.
    #[error("request id {request_id} belongs to another event")]
    RequestIdTaken {
        /// The chosen id.
        request_id: RequestId,
    },
    /// Correct the setting that was given with this one event.
    #[error("{0}")]
    Setting(Fault),
    /// The store refused the event; see its error.
    #[error("the event could not be stored: {0}")]
    Store(#[from] StoreError),
    /// Keep the runtime alive while it is used. If it is alive, the log names the actor that was lost: shut the runtime down
    /// and start another.
    #[error(
        "the runtime's actors are gone, so nothing could run the event: was the runtime shut down or dropped?"
    )]
    NoSystem,
}

/// Why a function's configuration was not changed. The previous one stays in force.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigureError {
    /// Register the function, or correct its name.
    #[error("function `{function}` is not registered")]
    UnknownFunction {
        /// The name that was given.
        function: String,
    },
    /// Correct the settings that they name. All faults are listed.
    #[error("{}", FaultList(.0))]
    Settings(Vec<Fault>),
    /// Reserve less, or raise [`Builder::concurrent_executions_max`](crate::Builder::concurrent_executions_max) (CFG-27).
    #[error(
        "a reserved concurrency of {wanted} for function `{function}` leaves less than {unreserved_min} of {limit} to the others"
    )]
    TooMuchReserved {
        /// The function.
        function: String,
        /// The reserved concurrency that was asked for.
        wanted: u32,
        /// The concurrency that must stay unreserved.
        unreserved_min: u32,
        /// The concurrency of the whole runtime.
        limit: u32,
    },
    /// The store did not keep it; see its error.
    #[error("the configuration could not be stored: {0}")]
    Store(StoreError),
    /// Set it in the next process; this one is shutting down.
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

/// Why a synchronous call has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It was refused and did not run.
    #[error(transparent)]
    Refused(#[from] InvokeError),
    /// The function failed. It is not retried.
    #[error("function failed: {0}")]
    Failed(Failure),
    /// The user cancelled it by its request id.
    #[error("the call was cancelled")]
    Cancelled,
    /// The function ran, but its result doesn't fit the requested type.
    #[error("result doesn't fit: {0}")]
    Result(PayloadError),
    /// The function was removed while the call waited. Call the function that replaced it.
    #[error("function `{function}` was removed before the call ended")]
    Removed {
        /// The function.
        function: String,
    },
    /// The runtime ended while the call waited. Call the next process.
    #[error("the runtime ended before the call did")]
    Gone,
}

/// Why a runtime did not start, or a function could not be added or removed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Start a simulation inside `testing::run`. A runtime in real time doesn't need it.
    #[error("no actix `System` runs on this thread: start the simulation inside `testing::run`")]
    NoSystem,
    /// Raise the limit of the process's or the machine's threads or open files, and start again.
    #[error("the machine has no thread for the runtime: {0}")]
    Thread(String),
    /// Correct each of them.
    #[error("{}", FaultList(.0))]
    Settings(Vec<Fault>),
    /// The function to remove is not registered.
    #[error("function `{0}` is not registered")]
    UnknownFunction(String),
    /// The store can't be opened; see its error.
    #[error("the store can't be opened: {0}")]
    Store(#[from] StoreError),
    /// Start the simulation inside `redrive::testing::run`.
    #[error(
        "the clock is a real one, and a simulation needs virtual time: start it inside `redrive::testing::run`"
    )]
    RealTime,
    /// Add or remove the function in the next process; this one is shutting down.
    #[error("the runtime is shutting down: functions are neither added nor removed any more")]
    ShuttingDown,
}

/// An invalid setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The function whose setting it is; empty for the runtime's own.
    pub function: String,
    /// The setting, by the name of the method that sets it.
    pub field: &'static str,
    /// The problem with its value, and how to correct it.
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

struct FaultList<'a>(&'a [Fault]);

impl fmt::Display for FaultList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faulty settings", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// Why a store refused or failed an operation. Created by the authors of stores.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
}

/// The kind of a store's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// See the message.
    Other,
    /// The disk is full. Free some space: the store resumes by itself.
    Full,
    /// The machine has no free file descriptor or memory. Nothing was written: try again, or raise the limit.
    Short,
    /// It could not make a write durable and accepts nothing any more. Check the disk, then start the process again.
    Failed,
    /// Another process has it open. Stop that process, or use another folder.
    Locked,
    /// The disk's content differs from the written data, or a file is missing. The message names it.
    Damaged,
    /// It was written by another version of this crate, in a format that this one can't read.
    Version,
    /// It is encrypted with another key than the given one.
    Key,
}

impl StoreError {
    /// Returns an error. The message names the problem, the offending value, and the remedy.
    pub fn new(message: impl Into<String>) -> Self {
        Self::of(StoreErrorKind::Other, message)
    }

    /// Returns an error of a kind.
    pub fn of(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Returns whether a resource of the machine is short, so that the same operation may succeed later.
    #[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Full | StoreErrorKind::Short)
    }
}
