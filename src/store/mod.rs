//! Persistent storage of events: the [`EventStore`] trait, and its contract in words.
//!
//! ```text
//! admission ── append ──▶ store                       the caller's receipt waits for it
//! worker ── begin ──▶ store                           the crash mark is written before the event runs; no sync
//! worker, supervisor, dead-letter queue ── settle ──▶ store        no caller waits for it
//! mailbox ── spill ──▶ store ── fetch ──▶ mailbox     overflow: events beyond the memory's share, in due order
//! ```
//!
//! - **Append before receipt.** The reply to `append` is `Ok` only when every event of the batch is as durable as its
//!   caller asked: a caller who saw the receipt finds the event after a crash. The store keeps all of the batch or none of
//!   it: after an `Err`, no event of it may come back later.
//! - **A lost caller loses nothing.** The reply goes to the runtime, not to the caller: every event that the store keeps is
//!   run.
//! - **The runtime holds the events it appended**, until it spills or settles them. The overflow comes back by `fetch`, the
//!   earliest due first, each event once; from then on the runtime holds it again.
//! - **Settlements are fire-and-forget.** `settle`, `begin` and `spill` return at once and must not wait: workers call
//!   them between two events. The store keeps a settlement until it is durable. If the process dies first, the event
//!   runs again: at least once, never lost. Each settlement is one atomic step: a dead letter is never both in the queue
//!   and gone, and an event appended with `redriven_from` takes the place of that letter in the same step. An `Err`
//!   means that the store will not keep the settlement; the runtime counts it, logs it, and goes on.
//! - **Recovery.** When a store is opened again, all pending events are in its overflow, including those that the runtime
//!   held: their attempts died with the process. Events that a crash mark still names, and that have not finished, come
//!   back with `deaths` increased by one.
//! - **Names.** A renamed function keeps the events of its former names, as long as each process calls `rename` again.
//! - **Keys.** Of events with the same function and deduplication key, one is kept within its window, across restarts. The
//!   store checks that in one step with the append. The store also remembers the results of runs under an idempotency key;
//!   the runtime alone knows which run holds a key at the moment, and forgets it when the process ends.
//! - **A panic is an `Err`.** The runtime catches a panic in a method of the store and counts it as a refusal; the promises
//!   of a refusal must hold. A [`Reply`] that is dropped is an `Err` too.
//! - **Order.** The runtime settles an event only after the reply to its `append`. Settlements of one event come in
//!   their order; those of different events come from many threads in any order.
//! - **Times** are on the store's own time line, [`EventStore::now`], which never goes back, even if the machine's clock does.
//! - **Synchronous calls are not stored**: their caller would be gone.

#[cfg(feature = "disk")]
pub mod disk;
#[cfg(feature = "encryption")]
pub mod encryption;
mod reply;
mod stored;

use std::time::SystemTime;

use crate::error::StoreError;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;

pub use reply::Reply;
pub use stored::{
    Appended, Backlog, Execution, Fetch, Fetched, Known, KnownPage, KnownState, Letters, Retained,
    Settled, Settlement, StoredEvent,
};

/// Maximum number of events in one crash mark.
pub const CRASH_MARK_EVENTS_MAX: usize = 7;

/// A store that keeps events beyond the process.
pub trait EventStore: Send + Sync + 'static {
    /// Keeps all of `events` or none. Replies, in their order, when they are as durable as their callers asked.
    fn append(&self, events: Vec<StoredEvent>, reply: Reply<Vec<Appended>>);

    /// Records an event's settlement: its success, retry, death or cancellation, or the end of its dead letter. Returns at
    /// once.
    ///
    /// # Errors
    /// When the settlement will not be kept.
    fn settle(&self, settled: Settled) -> Result<(), StoreError>;

    /// Writes a crash mark: an attempt of the first of `events` starts now, and the others may follow without another call;
    /// each mark runs one event at a time. An empty `events` clears the mark. There are at most
    /// [`CRASH_MARK_EVENTS_MAX`]. The mark must survive the death of the process, not that of the machine.
    ///
    /// # Errors
    /// When the mark could not be written; the attempt takes place all the same.
    fn begin(&self, mark: u32, events: &[RequestId]) -> Result<(), StoreError>;

    /// Takes back an event that the runtime holds: `fetch` hands it out from `due_at` on. That may be later than the last
    /// settlement said, and needn't be kept beyond the process.
    fn spill(&self, event: RequestId, due_at: SystemTime);

    /// Opens a function with the bounds of its finished events. Returns its overflow.
    fn open(&self, function: &FunctionName, retained: Retained) -> Backlog;

    /// Gives `function` the pending events and the keys that are kept under its former name `former`, in place of any
    /// earlier rename. The runtime calls it before it opens `function`, and again in each process, so a store need not keep
    /// it. Events that are handed out may go by either name.
    fn rename(&self, former: &FunctionName, function: &FunctionName);

    /// Returns the functions with events in the overflow, and how many. Doesn't wait.
    fn waiting(&self) -> Vec<(FunctionName, u64)>;

    /// Hands out events of a function's overflow that are due, the earliest first.
    fn fetch(&self, fetch: Fetch, reply: Reply<Fetched>);

    /// Hands out this event if it is in the overflow, due or not.
    fn fetch_one(&self, event: RequestId, reply: Reply<Option<StoredEvent>>);

    /// Returns the function of an event that the store knows. Doesn't wait.
    fn locate(&self, event: RequestId) -> Option<FunctionName>;

    /// Looks up an event: its state, its attempts, its result.
    fn look(&self, event: RequestId, reply: Reply<Option<Known>>);

    /// Reads a page of a function's overflow; `after` is the place where another page ended.
    fn overflow(&self, function: &FunctionName, after: u64, limit: usize, reply: Reply<KnownPage>);

    /// Reads a page of the dead letters, the oldest first; `after` is the place where another page ended.
    fn letters(&self, after: u64, limit: usize, reply: Reply<Letters>);

    /// Remembers the result of a run for later events with the same idempotency key, until it expires. Kept as a
    /// settlement is.
    ///
    /// # Errors
    /// When it will not be kept.
    fn remember(&self, execution: Execution) -> Result<(), StoreError>;

    /// Reads all remembered results that have not expired.
    fn executions(&self, reply: Reply<Vec<Execution>>);

    /// Replaces the document of the functions' live settings: all of it or nothing, durable before the reply. A store that
    /// doesn't keep it replies with an `Err`.
    fn configure(&self, document: String, reply: Reply<()>);

    /// Reads the document that `configure` kept, if any.
    fn configured(&self, reply: Reply<Option<String>>);

    /// Replies once all earlier calls are durable.
    fn sync(&self, reply: Reply<()>);

    /// Returns the store's health. Doesn't wait.
    fn health(&self) -> Health;

    /// Returns the present on the time line of the store.
    fn now(&self) -> SystemTime {
        crate::base::clock::wall_now()
    }

    /// Makes all earlier calls durable, so that the next start finds them. The runtime makes no call afterwards.
    fn close(&self, reply: Reply<()>);
}

/// The health of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It takes events.
    Well,
    /// It has no room: it refuses new events until there is some, and keeps settlements in memory until it can write them.
    /// It recovers by itself.
    Full(String),
    /// It takes nothing any more, because it can't know which of its writes are on the disk. Look at the reason, and start
    /// the process again.
    Failed(String),
}
