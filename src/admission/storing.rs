//! What the store has to do with an event: it is appended before its receipt, and what becomes of it is settled.
//!
//! A store is somebody else's code. What it refuses is counted and logged, and a panic in it is a refusal: whoever
//! called it, on whatever thread, goes on.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::{Admission, Admitting, NEVER, doom};
use crate::error::{InvokeError, StoreError};
use crate::event::{Durability, Receipt, RequestId};
use crate::failure::Condition;
use crate::mailbox::Mailbox;
use crate::panic::{self, Panicked};
use crate::slot::Entry;
use crate::store::{EventStore, Settled, Settlement, StoredEvent};
use crate::telemetry;
use crate::time::Time;

impl Admission {
    /// Keeps places, stores, and only then lets the events run and the caller know.
    pub(super) fn store_all(
        self: &Arc<Self>,
        mailbox: Arc<Mailbox>,
        mut entries: Vec<Entry>,
    ) -> Admitting<Vec<Receipt>> {
        let Some(store) = self.store.clone() else {
            return Admitting::Over(Ok(Vec::new()));
        };
        let zero = mailbox.settings().reserved_zero;
        if zero {
            entries.iter_mut().for_each(|entry| entry.start = NEVER);
        }
        let now = self.clock.now();
        let mut events: Vec<_> = entries
            .iter()
            .map(|entry| self.stored_event(&mailbox, entry, now))
            .collect();
        let reserved = self.propose_all(&mailbox, &entries).and_then(|proposals| {
            let entries = entries
                .into_iter()
                .map(|entry| (entry, self.clock.random()))
                .collect();
            let reserved = mailbox.reserve_all(entries, now);
            let reserved = reserved.map_err(|refused| refused.why);
            self.conclude(&mailbox, proposals, reserved)
        });
        let ids = match reserved {
            Ok(ids) => ids,
            Err(refused) => return Admitting::Over(Err(refused)),
        };
        for (event, &id) in events.iter_mut().zip(&ids) {
            event.request_id = id;
        }
        let admission = self.clone();
        let (sender, receiver) = oneshot::channel();
        let append = async move {
            let result = match append(&*store, events).await {
                Ok(()) => {
                    mailbox.confirm(&ids, admission.clock.now());
                    ids.iter()
                        .for_each(|&id| telemetry::accepted(mailbox.name(), id));
                    if zero {
                        doom(&mailbox, &ids, Condition::ZeroReservedConcurrency);
                    }
                    Ok(ids
                        .into_iter()
                        .map(|id| Receipt::new(id, Durability::Stored))
                        .collect())
                }
                Err(error) => {
                    mailbox.release(&ids);
                    admission.unpropose(&mailbox);
                    mailbox.meter(|meters| meters.store_errors += 1);
                    telemetry::append_failed(mailbox.name(), ids.len(), &error.to_string());
                    Err(InvokeError::Store(error))
                }
            };
            let _ = sender.send(result);
        };
        if !self.control.spawn(append) {
            return Admitting::Over(Err(InvokeError::NoSystem));
        }
        Admitting::Storing(Box::pin(async move {
            receiver.await.unwrap_or(Err(InvokeError::NoSystem))
        }))
    }

    fn stored_event(&self, mailbox: &Mailbox, entry: &Entry, now: Time) -> StoredEvent {
        let side = entry.side.as_deref();
        StoredEvent {
            request_id: entry.request_id.unwrap_or(RequestId::new(0, 0, 0)),
            function: mailbox.name().clone(),
            payload: entry.payload.clone(),
            accepted_at: self.clock.wall(now),
            not_before: self.clock.wall(if entry.start == NEVER {
                now
            } else {
                entry.start
            }),
            hops: entry.hops,
            trace_header: side.and_then(|side| side.trace_header.clone()),
            redriven_from: side.and_then(|side| side.redriven_from),
        }
    }

    /// Tells the store, if there is one, what became of an event.
    pub(crate) fn settle(
        &self,
        mailbox: &Mailbox,
        request_id: RequestId,
        settlement: impl FnOnce() -> Settlement,
    ) {
        let Some(store) = &self.store else { return };
        if let Err(error) = settle(&**store, Settled::new(request_id, settlement())) {
            mailbox.meter(|meters| meters.store_errors += 1);
            telemetry::settle_failed(mailbox.name(), request_id, &error.to_string());
        }
    }
}

async fn append(store: &dyn EventStore, events: Vec<StoredEvent>) -> Result<(), StoreError> {
    let appending = AssertUnwindSafe(async { store.append(events).await });
    let appended = appending.catch_unwind().await;
    appended.map_err(panic::panicked).unwrap_or_else(refused)
}

fn settle(store: &dyn EventStore, settled: Settled) -> Result<(), StoreError> {
    panic::catch(|| store.settle(settled)).unwrap_or_else(refused)
}

fn refused(Panicked { message }: Panicked) -> Result<(), StoreError> {
    Err(StoreError::new(format!("the store {message}")))
}
