//! AWS Lambda's asynchronous invocation, inside an actix application.

#![forbid(unsafe_code)]
#![warn(missing_docs, missing_debug_implementations, unreachable_pub)]
#![warn(
    clippy::unwrap_used,
    clippy::todo,
    clippy::dbg_macro,
    clippy::await_holding_lock
)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")
)]

mod actor;
mod admission;
mod client;
mod clock;
mod context;
mod destination;
mod error;
mod event;
mod failure;
mod function;
mod handler;
mod mailbox;
mod measure;
mod payload;
mod queue;
mod restart;
mod retry;
mod runtime;
mod settings;
mod slab;
pub mod store;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod time;

pub use runtime::{Builder, Runtime, Shutdown, ShutdownReport, Unfinished};

pub use function::Function;
pub use handler::{Handler, HandlerError, Stateful};
pub use restart::RestartIntensity;
pub use retry::{Jitter, RetryPolicy};
pub use settings::FunctionName;

pub use client::{Client, EventPage, EventStatus, State, Status};
pub use event::{Durability, InvocationType, Invoke, Receipt, RequestId};
pub use payload::{Payload, PayloadError};

pub use context::{Context, Event};
pub use failure::{Final, RetryAfter, Throttled};

pub use actor::dead_letter::{
    DeadLetterBounds, DeadLetterQueue, Filter, Get, List, Page, Purge, Redrive, Redriven,
    Subscribe, WhenFull,
};
pub use actor::router::Router;
pub use destination::{Destination, InvocationRecord, RequestContext, ResponseContext};
pub use failure::{Attempt, Condition, DeadLetter, Failure, FailureKind, Letter};

pub use error::{Bound, BuildError, CallError, InvokeError, StoreError};
pub use settings::Fault;

pub use queue::Ledger;
pub use telemetry::{Percentiles, Stats};
