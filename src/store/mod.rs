//! Where events live when they must outlive the process: the seam, and its contract in words.
//!
//! ```text
//! admission ── append ──▶ store        the caller's receipt waits for it
//! worker ── begin ──▶ store            on record before it runs; no sync
//! worker, supervisor, dead-letter queue ── settle ──▶ store        nobody waits for it
//! mailbox ── park ──▶ store ── fetch ──▶ mailbox        what has no room in memory, in due order
//! ```
//!
//! - **Append before receipt.** The reply to `append` is `Ok` only when every event of the batch is as durable as was
//!   asked; a caller who saw the receipt finds the event after a crash. It takes all of the batch or none: on `Err` no
//!   event of it may come back later.
//! - **A lost caller loses nothing.** The reply goes to the runtime, not to the caller: what was kept is run.
//! - **The runtime holds what it appended**, until it parks or settles it. What is parked comes back by `fetch`, the
//!   earliest due first, each event once; whoever fetched it holds it.
//! - **Settle is told, not asked.** `settle`, `begin` and `park` return at once and must not wait: they are called by
//!   workers between two events. The store keeps a settlement until it is durable. If the process dies first, the event
//!   runs again: at least once, never lost. Each settlement is one atomic step: a dead letter is never both in the queue
//!   and buried, and an event appended with `redriven_from` takes the place of that letter in the same step. An `Err`
//!   means that the store will not keep it; it is counted and logged, and the runtime goes on.
//! - **Recovery.** A store that is opened again has parked whatever was pending, whoever held it: the attempts of the
//!   process before are known dead. What a lane was told last, and has not ended, comes back with one more in `deaths`.
//! - **Names.** A function that is renamed has what was kept under its former names, as long as each process says so.
//! - **Keys.** Of events with the same function and deduplication key, one is kept within its window, across restarts; that is
//!   for the store to see to, in one step with the append. Results of runs under an idempotency key are remembered; which
//!   run has a key at the moment is the runtime's to know, and over when the process is.
//! - **A panic is an `Err`.** One in a method of the store reaches nobody: it counts as a refusal, and the promises of
//!   a refusal must hold. A [`Reply`] that is dropped is an `Err` too.
//! - **Order.** An event's `append` was answered before any of its settlements is told. Settlements of one event come in
//!   their order; those of different events come from many threads in any order.
//! - **Times** are on the store's own line, [`EventStore::now`], which never goes back, whatever the machine's clock does.
//! - **Synchronous calls are not stored**: their caller would be gone.

#[cfg(feature = "disk")]
pub mod disk;
#[cfg(feature = "encryption")]
pub mod encryption;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::base::panic;
use crate::error::StoreError;
use crate::event::failure::{Attempt, DeadLetter};
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::event::retry_policy::RetryPolicy;
use crate::event::{Deduplicate, Durability};
use crate::telemetry;

/// Events of which a lane may be told at once.
pub const CRASH_MARK_EVENTS_MAX: usize = 7;

/// A place that keeps events beyond the process.
pub trait EventStore: Send + Sync + 'static {
    /// Keeps all of `events` or none. Replies when they are as durable as asked, in their order.
    fn append(&self, events: Vec<StoredEvent>, reply: Reply<Vec<Appended>>);

    /// Is told what became of an event.
    ///
    /// # Errors
    /// When the settlement will not be kept.
    fn settle(&self, settled: Settled) -> Result<(), StoreError>;

    /// Is told that an attempt of the first of `events` runs from now on in `lane`, of which each runs one at a time, and
    /// that the others may follow without another word; or that the lane has nothing to run. There are at most
    /// [`CRASH_MARK_EVENTS_MAX`]. It must survive the death of the process, not that of the machine.
    ///
    /// # Errors
    /// When it could not be put on record; the attempt takes place all the same.
    fn begin(&self, lane: u32, events: &[RequestId]) -> Result<(), StoreError>;

    /// Takes back an event that the runtime holds, to hand it out by `fetch` from `due_at` on. That may be later than the
    /// store was told before, and needn't be kept beyond the process.
    fn spill(&self, event: RequestId, due_at: SystemTime);

    /// Makes a function known, with what the store keeps of its finished events, and answers what waits for it.
    fn open(&self, function: &FunctionName, retained: Retained) -> Backlog;

    /// Is told that `function` was called `former` before: what is kept under that name, be it pending or a key of its events,
    /// is `function`'s from now on, whatever was said before. Comes before `function` is opened. Each process says it
    /// again, so it need not be kept; what is handed out may go by either name.
    fn rename(&self, former: &FunctionName, function: &FunctionName);

    /// Which functions have parked events, and how many. Doesn't wait.
    fn waiting(&self) -> Vec<(FunctionName, u64)>;

    /// Hands out parked events of a function that are due, the earliest first.
    fn fetch(&self, fetch: Fetch, reply: Reply<Fetched>);

    /// Hands out this event if it is parked, whether it is due or not.
    fn fetch_one(&self, event: RequestId, reply: Reply<Option<StoredEvent>>);

    /// The function of an event that the store knows. Doesn't wait.
    fn locate(&self, event: RequestId) -> Option<FunctionName>;

    /// What the store knows of an event.
    fn look(&self, event: RequestId, reply: Reply<Option<Known>>);

    /// A page of a function's parked events, after the place where another page ended.
    fn overflow(&self, function: &FunctionName, after: u64, limit: usize, reply: Reply<KnownPage>);

    /// A page of the dead letters, in the order of their burials, after the place where another page ended.
    fn letters(&self, after: u64, limit: usize, reply: Reply<Letters>);

    /// Is told the result of a run that later events with the same idempotency key are to have, until it expires. Kept as a
    /// settlement is.
    ///
    /// # Errors
    /// When it will not be kept.
    fn remember(&self, execution: Execution) -> Result<(), StoreError>;

    /// What was remembered and has not expired.
    fn executions(&self, reply: Reply<Vec<Execution>>);

    /// Keeps what was set of functions while they run, in place of what it kept before: all of it or nothing, durable before
    /// the reply. A store that doesn't keep it says so by an `Err`.
    fn configure(&self, document: String, reply: Reply<()>);

    /// What `configure` kept, if anything.
    fn configured(&self, reply: Reply<Option<String>>);

    /// Replies once everything that was told before is durable.
    fn sync(&self, reply: Reply<()>);

    /// How the store fares. Doesn't wait.
    fn health(&self) -> Health;

    /// The present on the time line of the store.
    fn now(&self) -> SystemTime {
        crate::base::clock::wall_now()
    }

    /// Makes everything that was told durable, so that the next start finds it. Nothing is told afterwards.
    fn close(&self, reply: Reply<()>);
}

/// Where a store puts its answer, once. Dropping it is the answer that there is none.
pub struct Reply<T>(Option<Answer<T>>);

type Answer<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

impl<T> Reply<T> {
    /// Has `answer` called with the answer, on whichever thread gives it.
    pub fn new(answer: impl FnOnce(Result<T, StoreError>) + Send + 'static) -> Self {
        Self(Some(Box::new(answer)))
    }

    /// Answers.
    pub fn send(mut self, result: Result<T, StoreError>) {
        self.give(result);
    }

    /// Whoever answers goes on, whatever the answer does: a log subscriber that panics stops no store.
    fn give(&mut self, result: Result<T, StoreError>) {
        if let Some(answer) = self.0.take()
            && let Err(panicked) = panic::catch(|| answer(result))
        {
            telemetry::reply_panicked(&panicked.message);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.give(Err(StoreError::new("the store gave no answer")));
    }
}

impl<T> std::fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}

/// An event, as a store keeps it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredEvent {
    /// Its request id. Unless it was `proposed`, the store may give it another when it is appended.
    pub request_id: RequestId,
    /// The caller chose the request id.
    pub id_is_chosen: bool,
    /// Its function.
    pub function: FunctionName,
    /// Its payload.
    pub payload: Payload,
    /// When it was accepted.
    pub accepted_at: SystemTime,
    /// When it may run (again).
    pub due_at: SystemTime,
    /// When its first run was due: its age counts from here.
    pub first_due_at: SystemTime,
    /// It may not run before the wall clock shows this. Not on the time line of the store.
    pub not_before: Option<SystemTime>,
    /// How many invocations stand before it in its chain.
    pub hops: u8,
    /// The caller's trace header.
    pub trace_header: Option<Arc<str>>,
    /// The caller's W3C `traceparent`.
    pub traceparent: Option<Arc<str>>,
    /// The version or alias that was invoked, as given.
    pub qualifier: Option<Arc<str>>,
    /// The version that the qualifier stands for; none is `$LATEST`.
    pub version: Option<Arc<str>>,
    /// The dead letter it was redriven from, whose place it takes.
    pub redriven_from: Option<RequestId>,
    /// The retry policy of this one event.
    pub retry: Option<RetryPolicy>,
    /// The maximum age of this one event.
    pub event_age_max: Option<Duration>,
    /// The key that another event of the function may not have for a while.
    pub deduplicate: Option<Deduplicate>,
    /// How durable it has to be before the reply.
    pub durability: Durability,
    /// The attempts that failed, the first one first; of more than 100, the first and the last 99.
    pub attempts: Vec<Attempt>,
    /// How many attempts failed.
    pub attempt_count: u32,
    /// How many of them don't count as attempts of the retry policy.
    pub uncounted: u32,
    /// How often the process died while it ran the event.
    pub deaths: u32,
}

/// The store's answer for one event of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Appended {
    /// It is kept, under this request id.
    Kept(RequestId),
    /// Nothing of it is kept: this event of the function has the same key.
    Duplicate(RequestId),
    /// Nothing of it is kept: its function has as many deduplication keys as it may ([`Retained::keys_max`]), and this would
    /// be another one.
    KeysFull,
}

/// What became of an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settled {
    /// The event.
    pub request_id: RequestId,
    /// When.
    pub at: SystemTime,
    /// What became of it.
    pub settlement: Settlement,
}

impl Settled {
    pub(crate) fn new(request_id: RequestId, at: SystemTime, settlement: Settlement) -> Self {
        Self {
            request_id,
            at,
            settlement,
        }
    }
}

/// What can become of an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Settlement {
    /// It succeeded.
    Succeeded {
        /// Its result; none is `null`.
        result: Option<Payload>,
        /// The attempt that did it.
        attempt: u32,
        /// When it had been accepted.
        accepted_at: SystemTime,
    },
    /// An attempt failed and it runs again.
    Rescheduled {
        /// The attempt that failed.
        attempt: Box<Attempt>,
        /// How many attempts so far don't count as such of the retry policy.
        uncounted: u32,
        /// When it runs again.
        due_at: SystemTime,
    },
    /// It is in the dead-letter queue.
    Buried(DeadLetter),
    /// The user cancelled it.
    Cancelled {
        /// When it had been accepted.
        accepted_at: SystemTime,
    },
    /// Its dead letter was purged or dropped.
    Forgotten,
}

/// What a store keeps of a function's finished events, other than dead letters: the latest ones within all of these
/// bounds. And how many deduplication keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retained {
    /// Events.
    pub events_max: u32,
    /// Bytes of results.
    pub bytes_max: u64,
    /// Time since they finished.
    pub age_max: Duration,
    /// Deduplication keys whose windows are not over. None of them is forgotten: events with another one are answered
    /// [`Appended::KeysFull`].
    pub keys_max: u32,
}

impl Retained {
    /// At most so many events, with so many bytes of results, for so long.
    pub fn new(events_max: u32, bytes_max: u64, age_max: Duration) -> Self {
        Self {
            events_max,
            bytes_max,
            age_max,
            keys_max: u32::MAX,
        }
    }

    /// At most so many deduplication keys.
    pub fn keys_max(mut self, keys: u32) -> Self {
        self.keys_max = keys;
        self
    }
}

/// What waits in a store for a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Parked events that were due when they were accepted and did not fail yet.
    pub ready: u64,
    /// The other parked events.
    pub delayed: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
    /// When the first of them is due; it may have passed.
    pub next_due: Option<SystemTime>,
}

impl Backlog {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Asks for parked events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetch {
    /// Of this function.
    pub function: FunctionName,
    /// Due then or before.
    pub until: SystemTime,
    /// At most so many.
    pub events_max: usize,
    /// As soon as so many bytes of payloads are reached, no more.
    pub bytes_max: u64,
}

/// Parked events that the runtime holds from now on.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Fetched {
    /// The events, the earliest due first.
    pub events: Vec<StoredEvent>,
    /// Events that can't be read, as far as that can be told, and why. They stay in the store, and are not handed out
    /// again before it is opened anew.
    pub unreadable: Vec<(Option<RequestId>, StoreError)>,
    /// When the first of those is due that are still parked.
    pub next_due: Option<SystemTime>,
}

/// What a store knows of an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Known {
    /// Its request id.
    pub request_id: RequestId,
    /// When it was accepted.
    pub accepted_at: SystemTime,
    /// Where it is.
    pub state: KnownState,
}

/// Where an event is that a store knows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KnownState {
    /// It waits, in the store or in the mailbox that holds it.
    Pending {
        /// When it may run (again).
        due_at: SystemTime,
        /// How many attempts failed.
        attempts: u32,
        /// The last of them.
        attempt: Option<Attempt>,
    },
    /// It succeeded.
    Succeeded {
        /// Its result.
        result: Payload,
        /// The attempt that did it.
        attempt: u32,
    },
    /// It is in the dead-letter queue.
    Dead(DeadLetter),
    /// The user cancelled it.
    Cancelled,
}

/// A page of what a store knows.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KnownPage {
    /// The events.
    pub events: Vec<Known>,
    /// Where the next page begins; none if this is the last.
    pub next: Option<u64>,
}

/// A page of dead letters.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Letters {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; none if this is the last.
    pub next: Option<u64>,
}

/// The result of a run that stands for its idempotency key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Execution {
    /// The function that ran.
    pub function: FunctionName,
    /// A digest of the key.
    pub key: [u8; 32],
    /// A digest of what else later payloads must agree with.
    pub validated: Option<[u8; 32]>,
    /// The event that ran.
    pub request_id: RequestId,
    /// The attempt that did it.
    pub attempt: u32,
    /// When it began.
    pub since: SystemTime,
    /// What it returned; none is `null`.
    pub result: Option<Payload>,
    /// Until when it stands.
    pub expires_at: SystemTime,
}

/// How a store fares.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It takes events.
    Well,
    /// It has no room: events are refused until there is some, what happens to the others is kept in memory and will be
    /// written. It recovers by itself.
    Full(String),
    /// It takes nothing any more, because it can't know what is on the disk. Look at what it says, and start the process
    /// again.
    Failed(String),
}
