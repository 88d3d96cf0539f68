//! The values that the runtime and a store exchange: events, settlements, pages and bounds.

use std::time::{Duration, SystemTime};

use crate::error::StoreError;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::DeadLetter;
use crate::event::function_name::FunctionName;
use crate::event::meta::{EventMeta, SharedMeta};
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::event::{Deduplicate, Durability};

/// An event in a store. Its rarely set fields, such as [`redriven_from`](EventMeta::redriven_from), are reached by
/// dereference.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredEvent {
    /// Its request id. Unless `id_is_chosen`, the store may give it another when it is appended.
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
    /// When its first run was due. Its age counts from here.
    pub first_due_at: SystemTime,
    /// The earliest wall-clock time of its run. Not on the time line of the store.
    pub not_before: Option<SystemTime>,
    pub(crate) meta: SharedMeta,
    /// Its deduplication key and the window in which no other event of the function may have it.
    pub deduplicate: Option<Deduplicate>,
    /// How durable it has to be before the reply.
    pub durability: Durability,
    /// The failed attempts, oldest first; of more than 100, the first and the last 99.
    pub attempts: Vec<Attempt>,
    /// The number of failed attempts.
    pub attempt_count: u32,
    /// How many of them don't count for the retry policy.
    pub uncounted: u32,
    /// How often the process died while it ran the event.
    pub deaths: u32,
}

impl std::ops::Deref for StoredEvent {
    type Target = EventMeta;

    fn deref(&self) -> &EventMeta {
        &self.meta
    }
}

impl std::ops::DerefMut for StoredEvent {
    fn deref_mut(&mut self) -> &mut EventMeta {
        self.meta.make_mut()
    }
}

/// The outcome of an append for one of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Appended {
    /// The event is kept, under this request id.
    Kept(RequestId),
    /// Not kept: this event of the function has the same deduplication key.
    Duplicate(RequestId),
    /// Not kept: its function has as many deduplication keys as it may have ([`Retained::keys_max`]).
    KeysFull,
}

/// The settlement of an event: which, when, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settled {
    /// The event.
    pub request_id: RequestId,
    /// When it was settled.
    pub at: SystemTime,
    /// How it was settled.
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

/// How an event can be settled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Settlement {
    /// It succeeded.
    Succeeded {
        /// Its result; `None` is `null`.
        result: Option<Payload>,
        /// The attempt that succeeded.
        attempt: u32,
        /// When it had been accepted.
        accepted_at: SystemTime,
    },
    /// An attempt failed and it runs again.
    Rescheduled {
        /// The attempt that failed.
        attempt: Box<Attempt>,
        /// How many attempts so far don't count for the retry policy.
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

/// Bounds of a function in a store: of its finished events other than dead letters, of which the latest within all
/// bounds are kept, and of its deduplication keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retained {
    /// Maximum number of finished events.
    pub events_max: u32,
    /// Maximum bytes of their results.
    pub bytes_max: u64,
    /// Maximum time since they finished.
    pub age_max: Duration,
    /// Maximum number of deduplication keys whose windows have not ended. Beyond it, no key is forgotten: events with a new
    /// key get [`Appended::KeysFull`].
    pub keys_max: u32,
}

impl Retained {
    /// Bounds of so many events, with so many bytes of results, for so long; keys are not bounded.
    pub fn new(events_max: u32, bytes_max: u64, age_max: Duration) -> Self {
        Self {
            events_max,
            bytes_max,
            age_max,
            keys_max: u32::MAX,
        }
    }

    /// Sets the maximum number of deduplication keys.
    pub fn keys_max(mut self, keys: u32) -> Self {
        self.keys_max = keys;
        self
    }
}

/// A function's overflow, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Events that were due when they were accepted and did not fail yet.
    pub ready: u64,
    /// All other events of the overflow.
    pub delayed: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
    /// When the first of them is due; may lie in the past.
    pub next_due: Option<SystemTime>,
}

impl Backlog {
    /// An empty backlog.
    pub fn new() -> Self {
        Self::default()
    }
}

/// A request for events of the overflow.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetch {
    /// Their function.
    pub function: FunctionName,
    /// Only events that are due by then.
    pub until: SystemTime,
    /// Maximum number of events.
    pub events_max: usize,
    /// The store adds no further event once their payloads reach so many bytes.
    pub bytes_max: u64,
}

/// Events of the overflow that the runtime holds from now on.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Fetched {
    /// The events, the earliest due first.
    pub events: Vec<StoredEvent>,
    /// Unreadable events, with their request ids where those are known, and why. They stay in the store, and are not
    /// handed out again before it is opened anew.
    pub unreadable: Vec<(Option<RequestId>, StoreError)>,
    /// When the next event that is still in the overflow is due.
    pub next_due: Option<SystemTime>,
}

/// An event's state in a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Known {
    /// Its request id.
    pub request_id: RequestId,
    /// When it was accepted.
    pub accepted_at: SystemTime,
    /// Its state.
    pub state: KnownState,
}

/// The states of an event in a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KnownState {
    /// It waits, in the overflow or in the mailbox that holds it, or it runs.
    Pending {
        /// When it may run (again).
        due_at: SystemTime,
        /// The number of failed attempts.
        attempts: u32,
        /// The last failed attempt.
        attempt: Option<Attempt>,
    },
    /// It succeeded.
    Succeeded {
        /// Its result.
        result: Payload,
        /// The attempt that succeeded.
        attempt: u32,
    },
    /// It is in the dead-letter queue.
    Dead(DeadLetter),
    /// The user cancelled it.
    Cancelled,
}

/// A page of events of a store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KnownPage {
    /// The events.
    pub events: Vec<Known>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<u64>,
}

/// A page of dead letters.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Letters {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<u64>,
}

/// The remembered result of a run under an idempotency key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Execution {
    /// The function that ran.
    pub function: FunctionName,
    /// A digest of the key.
    pub key: [u8; 32],
    /// A digest of the other fields in which later payloads must agree.
    pub validated: Option<[u8; 32]>,
    /// The event that ran.
    pub request_id: RequestId,
    /// The attempt that succeeded.
    pub attempt: u32,
    /// When the run began.
    pub since: SystemTime,
    /// Its result; `None` is `null`.
    pub result: Option<Payload>,
    /// When the store forgets it.
    pub expires_at: SystemTime,
}
