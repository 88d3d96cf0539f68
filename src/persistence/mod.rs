//! Between the mailboxes and the store: appends events, reports their ends, loads them again, and marks what runs.
//!
//! ```text
//!  admission ── append ──▶ store ── reply ──▶ mailbox       the events run, and the caller gets its receipts
//!  mailbox ── full ── spill ──▶ store                       overflow: the store alone has the event
//!  mailbox ── has room ── load ──▶ store ── reply ──▶ mailbox
//!  worker ── crash mark ──▶ store                           before a run: which event a death of the process may be due to
//!  worker, supervisor, client ── settle ──▶ store           fire-and-forget: it returns at once
//! ```
//!
//! A store is foreign code. Its refusals are counted and logged. A panic in it counts as a refusal, and the thread that
//! called it goes on. Admission decides which function has an event, and whether an event may still be accepted.

pub(crate) mod append;
mod configurations;
pub(crate) mod crash_marks;
mod executions;
pub(crate) mod load;
mod look;
mod settle;
#[cfg(feature = "http")]
mod signatures;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::base::clock::Clock;
use crate::base::panic;
use crate::error::StoreError;
use crate::event::Durability;
use crate::persistence::crash_marks::{CrashMark, CrashMarkNumbers};
use crate::store::{EventStore, Health, Reply};
use crate::telemetry::{self, Outage};

/// The way to the runtime's store, if it has one. Without a store, nothing is appended, and every question has an empty
/// result.
#[derive(Clone)]
pub(crate) struct StoreLink {
    link: Option<Arc<Link>>,
}

struct Link {
    store: Arc<dyn EventStore>,
    clock: Clock,
    /// How safe an event is before its receipt, unless its options say otherwise.
    durability: Durability,
    /// How often the process may die while it runs an event.
    deaths_max: u32,
    crash_marks: CrashMarkNumbers,
    /// An event that may have killed the process runs with no other of its kind: the next death shows which one it was.
    suspects: Arc<Semaphore>,
    refused_appends: Outage,
    refused_settlements: Outage,
    /// Set once the runtime has ended: a reply that doesn't come then is not logged.
    ended: AtomicBool,
}

impl StoreLink {
    pub(crate) fn none() -> Self {
        Self { link: None }
    }

    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        clock: Clock,
        durability: Durability,
        deaths_max: u32,
    ) -> Self {
        let link = Link {
            store,
            clock,
            durability,
            deaths_max,
            crash_marks: CrashMarkNumbers::default(),
            suspects: Arc::new(Semaphore::new(1)),
            refused_appends: Outage::default(),
            refused_settlements: Outage::default(),
            ended: AtomicBool::new(false),
        };
        Self {
            link: Some(Arc::new(link)),
        }
    }

    pub(crate) fn exists(&self) -> bool {
        self.link.is_some()
    }

    /// Returns whether an event is appended to the store if its options ask for the durability `wanted`.
    #[inline]
    pub(crate) fn takes(&self, wanted: Option<Durability>) -> bool {
        let durability = |link: &Arc<Link>| wanted.unwrap_or(link.durability);
        let durability = self.link.as_ref().map(durability);
        durability.is_some_and(|durability| durability != Durability::Memory)
    }

    /// Returns a worker's crash mark.
    pub(crate) fn crash_mark(&self) -> Option<CrashMark> {
        let link = self.link.as_ref()?;
        let mark = link.crash_marks.take(link.store.clone(), link.deaths_max);
        Some(mark)
    }

    /// Waits for the turn of an event that may have killed the process. The turn ends when the permit is dropped. Returns
    /// `None` without a store.
    pub(crate) async fn suspect_turn(&self) -> Option<OwnedSemaphorePermit> {
        let suspects = self.link.as_ref()?.suspects.clone();
        suspects.acquire_owned().await.ok()
    }

    /// Returns how the store is, if there is one.
    pub(crate) fn health(&self) -> Option<Health> {
        let link = self.link.as_ref()?;
        let health = panic::catch(|| link.store.health());
        Some(health.unwrap_or_else(|panicked| Health::Failed(panicked.message)))
    }

    /// Waits until everything that was settled is durable.
    pub(crate) async fn sync(&self) -> Result<(), StoreError> {
        match &self.link {
            None => Ok(()),
            Some(link) => link.ask(|store, reply| store.sync(reply)).await,
        }
    }

    /// From now on a reply that doesn't come is not logged: the runtime has ended.
    pub(crate) fn end(&self) {
        if let Some(link) = &self.link {
            link.ended.store(true, Ordering::Release);
        }
    }

    /// Has the store make everything durable and waits for that. The store must not be used afterwards.
    pub(crate) async fn close(&self) {
        let _ = self.ask(|store, reply| store.close(reply)).await;
    }

    /// As `close`, without waiting.
    pub(crate) fn begin_close(&self) {
        self.tell(|store| store.close(Reply::new(|_| ())));
    }

    /// Calls the store, if there is one, and logs a panic. Returns `None` then.
    fn tell<T>(&self, call: impl FnOnce(&dyn EventStore) -> T) -> Option<T> {
        self.link.as_ref()?.tell(call)
    }

    /// Asks the store and waits for its reply. Logs the failure if there is none, unless the runtime has ended.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn EventStore, Reply<T>),
    ) -> Option<T> {
        let link = self.link.as_ref()?;
        let reply = link.ask(question).await;
        reply
            .inspect_err(|error| {
                if !link.ended.load(Ordering::Acquire) {
                    telemetry::store_query_failed(&error.to_string());
                }
            })
            .ok()
    }
}

impl Link {
    fn tell<T>(&self, call: impl FnOnce(&dyn EventStore) -> T) -> Option<T> {
        let done = panic::catch(|| call(&*self.store));
        done.inspect_err(|panicked| telemetry::store_panicked(&panicked.message))
            .ok()
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn EventStore, Reply<T>),
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let reply = Reply::new(move |result| drop(sender.send(result)));
        self.tell(|store| question(store, reply));
        let silent = |_| Err(StoreError::new("the store sent no reply"));
        receiver.await.unwrap_or_else(silent)
    }
}
