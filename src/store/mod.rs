//! Where events live when they must outlive the process: the seam, and its contract in words.
//!
//! ```text
//! admission ── append ──▶ store        the caller's receipt waits for it
//! worker, dead-letter queue ── settle ──▶ store        nobody waits for it
//! ```
//!
//! - **Append before receipt.** `append` returns `Ok` only when every event of the batch is as durable as the
//!   store promises; a caller who saw the receipt finds the event after a crash. It takes all of the batch
//!   or none: on `Err` no event of it may come back later.
//! - **A lost caller loses nothing.** The future of `append` is always polled to its end, even if the caller
//!   is gone; what it kept is run.
//! - **Settle is told, not asked.** `settle` returns at once and must not block: it is called by workers between
//!   two events. The store keeps the settlement until it is durable. If the process dies first, the event runs
//!   again: at least once, never lost. An `Err` means that the store will not keep it; it is counted and
//!   logged, and the runtime goes on.
//! - **A panic is an `Err`.** One in `append` or in `settle` reaches nobody: it counts as a refusal, and the promises of
//!   a refusal must hold.
//! - **Order.** An event's `append` has returned before any of its settlements is told. Settlements of one event come in
//!   their order; those of different events come from many threads in any order.
//! - **Synchronous calls are not stored**: their caller would be gone.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::StoreError;
use crate::event::RequestId;
use crate::failure::DeadLetter;
use crate::payload::Payload;
use crate::settings::FunctionName;

/// The future of [`EventStore::append`].
pub type Append<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// A place that keeps events beyond the process.
pub trait EventStore: Send + Sync + 'static {
    /// Keeps all of `events` or none. Returns when they are durable.
    fn append(&self, events: Vec<StoredEvent>) -> Append<'_>;

    /// Is told what became of an event. Must not block.
    ///
    /// # Errors
    /// When the settlement will not be kept.
    fn settle(&self, settled: Settled) -> Result<(), StoreError>;
}

/// An event, as a store keeps it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredEvent {
    /// Its request id.
    pub request_id: RequestId,
    /// Its function.
    pub function: FunctionName,
    /// Its payload.
    pub payload: Payload,
    /// When it was accepted.
    pub accepted_at: SystemTime,
    /// When it may run first.
    pub not_before: SystemTime,
    /// How many invocations stand before it in its chain.
    pub hops: u8,
    /// The caller's trace header.
    pub trace_header: Option<Arc<str>>,
    /// The dead letter it was redriven from.
    pub redriven_from: Option<RequestId>,
}

/// What became of an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settled {
    /// The event.
    pub request_id: RequestId,
    /// What became of it.
    pub settlement: Settlement,
}

impl Settled {
    pub(crate) fn new(request_id: RequestId, settlement: Settlement) -> Self {
        Self {
            request_id,
            settlement,
        }
    }
}

/// What can become of an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Settlement {
    /// It succeeded, with this result; no result is `null`.
    Succeeded(Option<Payload>),
    /// It failed attempt number `attempt` and runs again.
    Rescheduled {
        /// The attempt that failed.
        attempt: u32,
        /// When it runs again.
        due_at: SystemTime,
    },
    /// It is in the dead-letter queue.
    Buried(DeadLetter),
    /// The user cancelled it.
    Cancelled,
}
