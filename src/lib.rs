//! AWS Lambda's asynchronous invocation, inside an actix application.
//!
//! Register an `async fn`, send it events, and get a receipt for each at once. The function runs in the background as a
//! supervised actor. A failing event is retried twice, after 60 s and 120 s; an event that still fails becomes a dead letter,
//! which can be listed, repaired and redriven. Defaults are AWS's; all can be set.
//!
//! # The promise
//!
//! - An accepted event is in exactly one state: pending, succeeded, dead or cancelled. The [`Ledger`] of a
//!   function counts them: `accepted = succeeded + dead + cancelled + pending`, at every moment.
//! - All refusals happen before anything is kept, and each [`InvokeError`] says how to react.
//! - Errors, panics, timeouts and crash loops stay inside their function.
//! - The caller doesn't wait for the work.
//! - With a store, an accepted event survives the process.
//!
//! # An example
//!
//! ```
//! use std::time::Duration;
//!
//! use redrive::{Event, Filter, Function, List, Redrive, RetryPolicy, Runtime, Status};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Upload {
//!     key: String,
//! }
//!
//! async fn thumbnail(upload: Event<Upload>) -> Result<String, String> {
//!     match upload.key.strip_suffix(".jpg") {
//!         Some(name) => Ok(format!("{name}-small.jpg")),
//!         None => Err(format!("{} is not a photograph", upload.key)),
//!     }
//! }
//!
//! #[actix::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let thumbnail = Function::new("thumbnail", thumbnail)
//!         .concurrency(8)
//!         .retry(RetryPolicy::fixed(2, Duration::from_millis(10)));
//!     let runtime = Runtime::builder().function(thumbnail).start().await?;
//!     let client = runtime.client();
//!
//!     // In the background: `invoke` returns a receipt at once; `wait` returns the outcome.
//!     let receipt = client.invoke("thumbnail", Upload { key: "cat.jpg".into() }).await?;
//!     let status = client.wait(receipt.request_id).await.ok_or("forgotten")?;
//!     assert_eq!(status.result::<String>().transpose()?.as_deref(), Some("cat-small.jpg"));
//!
//!     // Three attempts fail; the event becomes a dead letter.
//!     let receipt = client.invoke("thumbnail", Upload { key: "cat.txt".into() }).await?;
//!     let Some(Status::Dead(letter)) = client.wait(receipt.request_id).await else { panic!() };
//!     assert_eq!(letter.attempts.len(), 3);
//!     assert_eq!(letter.attempts[0].failure.message, "cat.txt is not a photograph");
//!
//!     // It is in the queue, and goes back through its function.
//!     let queue = runtime.dead_letters();
//!     assert_eq!(queue.send(List::new(Filter::new())).await?.total, 1);
//!     let redriven = queue.send(Redrive::all()).await?;
//!     assert_eq!(redriven.sent[0].0, letter.request_id);
//!
//!     let report = runtime.shutdown(Duration::from_secs(30)).await;
//!     println!("{} events did not finish", report.unfinished_count);
//!     Ok(())
//! }
//! ```
//!
//! # Five nouns
//!
//! - A **[`Function`]** is a named handler with its settings. [`Function::new`] takes an `async fn`, whose future need not be
//!   `Send`; [`Function::stateful`] takes a [`Stateful`] type, of which each worker owns a value; [`Function::blocking`] takes
//!   a function that blocks its thread.
//! - An **[`Event`]** is one accepted invocation. Its [`RequestId`] is the same on every attempt and leads to its [`Status`].
//!   [`Invoke`] sets the options of one event: a delay, an id, a retry policy.
//! - A **worker** runs one event of its function at a time. Workers pull from the function's mailbox, start on demand, are
//!   rebuilt after a panic, and are reaped when idle. [`Function::concurrency`] bounds their number.
//! - A **[`Client`]** accepts events from any thread: [`invoke`](Client::invoke), [`call`](Client::call),
//!   [`status`](Client::status), [`cancel`](Client::cancel), [`pause`](Client::pause), [`stats`](Client::stats). Actors
//!   send an [`Invoke`] to the [`Router`] instead.
//! - A **[`DeadLetter`]** is an event that will not be tried again, with its [`Condition`] and every [`Attempt`].
//!   The [`DeadLetterQueue`] handles [`Subscribe`], [`List`], [`Get`], [`Redrive`] and [`Purge`].
//!
//! A [`Destination`] receives the [`InvocationRecord`] of each finished event. A [`RetryPolicy`] decides when a
//! failed event runs again; a handler overrides it with [`Final`], [`RetryAfter`] or [`Throttled`].
//!
//! # Limits
//!
//! - **In memory, unless there is a store.** Without one, pending events and dead letters end with the process. With the
//!   feature `disk`, `Builder::disk` keeps them in a folder; [`store::EventStore`] is the trait for other stores.
//! - **At least once.** An attempt that timed out may have done its work. Write handlers that may run twice for a request id,
//!   or make the function [idempotent](Function::idempotent).
//! - **No order** among the events of a function.
//! - **Handlers should not block.** A handler that never awaits can't be timed out. A function that holds its threads moves to
//!   dedicated arbiters. A handler that holds its thread for a second is named in the log, its arbiter is replaced, and that
//!   counts as a crash of its function. Threads can't be stopped, not even those of a [`Function::blocking`];
//!   [`Function::abandoned_threads_max`] bounds how many are held for good.
//! - **Everything is bounded**: mailboxes, payloads, hops, dead letters, retained results. Each bound is a setting, and
//!   its documentation describes the behaviour beyond it.
//! - **Separate threads.** The runtime has its own threads and actix `System`. It starts under actix, actix-web or
//!   tokio, and outlives the application's `System`. [`Runtime::until_signal`] and [`Runtime::serve`] stop everything in order.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `disk`: events in a folder ([`store`]), which survive `kill -9` and power loss.
//! - `encryption`: payloads, results and failure texts in that folder are encrypted. Brings `disk`.
//! - `http`: AWS Lambda's HTTP API on actix-web (the module `http`), for AWS's SDKs and command lines, and AWS's policies (`policy`).
//! - `testing`: the module `testing`, with a runtime in virtual time, scripted functions, seeded faults, a test suite for
//!   stores, and a store that fails on purpose.
//!
//! # Defaults
//!
#![doc = include_str!("defaults.md")]
//!
//! # AWS's words
//!
#![doc = include_str!("aws_words.md")]
//!
//! # Architecture
//!
//! The page [`architecture`] describes the life of an event and lists where each decision is made.

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
mod base;
mod client;
mod error;
mod event;
mod function;
#[cfg(feature = "http")]
pub mod http;
mod idempotency;
mod mailbox;
mod persistence;
#[cfg(feature = "http")]
pub mod policy;
mod queue;
mod runtime;
pub mod store;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

#[doc = include_str!("architecture.md")]
pub mod architecture {}

pub use runtime::{Builder, Runtime, Shutdown, ShutdownReport, Unfinished};

pub use event::function_name::FunctionName;
pub use event::retry_policy::{Jitter, RetryPolicy};
pub use function::Function;
pub use function::configuration::{Configuration, EventInvokeConfig, Permissions, RecursiveLoop};
pub use function::crash_loop::RestartIntensity;
pub use function::handler::{Handler, HandlerError, Stateful};
pub use function::versions::Alias;
pub use idempotency::Idempotency;

pub use client::{Call, Client, EventPage, EventStatus, FunctionInfo, State, Status, Unregistered};
pub use event::payload::{Payload, PayloadError};
pub use event::request_id::RequestId;
pub use event::{Deduplicate, Durability, InvocationType, Invoke, Receipt};

pub use event::directive::{Coded, Final, RetryAfter, Throttled};
pub use function::context::{Context, Event};

pub use actor::dead_letters::{
    DeadLetterBounds, DeadLetterQueue, Filter, Get, List, Page, Purge, Redrive, Redriven,
    Subscribe, Unsubscribe, WhenFull,
};
pub use actor::router::Router;
pub use event::attempt::Attempt;
pub use event::dead_letter::{Condition, DeadLetter, Letter};
pub use event::failure::{Failure, FailureKind};
pub use event::meta::EventMeta;
pub use function::destination::{Destination, InvocationRecord, RequestContext, ResponseContext};

pub use error::{
    Bound, BuildError, CallError, ConfigureError, Fault, InvokeError, StoreError, StoreErrorKind,
};

#[cfg(feature = "disk")]
pub use store::disk::Disk;

pub use event::ledger::Ledger;
#[cfg(feature = "http")]
pub use telemetry::logs::LogLayer;
pub use telemetry::logs::Logs;
pub use telemetry::{Percentiles, Stats};

/// Compiles and runs the programs of the README. Some of them need features, and a file is included as a whole or not at
/// all: without these features, the program on the crate page is tested instead.
#[cfg(all(doctest, feature = "testing", feature = "disk"))] // see above
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
