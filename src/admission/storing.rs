//! What the store has to do with an event: it is appended before its receipt, and what becomes of it is settled.
//!
//! A store is somebody else's code. What it refuses is counted and logged, and a panic in it is a refusal: whoever
//! called it, on whatever thread, goes on.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Admission, NEVER, Stored, Wish, doom, refusal};
use crate::error::{InvokeError, StoreError};
use crate::event::{Durability, Receipt, RequestId};
use crate::failure::Condition;
use crate::mailbox::Mailbox;
use crate::panic::{self, Panicked};
use crate::slot::{Entry, Ticket};
use crate::store::{Appended, Reply, Settled, Settlement, StoredEvent};
use crate::telemetry;
use crate::time::Time;

/// Events that are being stored.
struct Storing {
    admission: Arc<Admission>,
    mailbox: Arc<Mailbox>,
    entries: Vec<Entry>,
    durabilities: Vec<Durability>,
    proposals: Vec<RequestId>,
    accepted: Time,
    bytes: u64,
}

impl Admission {
    /// Keeps places, stores, and only then lets the events run and the caller know.
    pub(super) fn store_all(
        self: &Arc<Self>,
        mailbox: Arc<Mailbox>,
        mut entries: Vec<Entry>,
        wishes: Vec<Wish>,
    ) -> Result<impl Future<Output = Result<Vec<Receipt>, InvokeError>> + Send + 'static, InvokeError>
    {
        let Some(stored) = &self.store else {
            return Err(InvokeError::NoSystem);
        };
        if mailbox.settings().reserved_zero {
            entries.iter_mut().for_each(|entry| entry.start = NEVER);
        }
        let accepted = self.clock.now();
        let bytes = entries
            .iter()
            .map(|entry| entry.payload.size() as u64)
            .sum();
        let proposals = self.propose_all(&mailbox, &entries)?;
        if let Err(why) = mailbox.reserve(entries.len(), bytes) {
            self.proposals.give_back(proposals);
            return Err(refusal(&mailbox, why, None));
        }
        let mut durabilities = Vec::with_capacity(entries.len());
        let events = entries.iter().zip(wishes).map(|(entry, wish)| {
            let event = self.stored_event(stored, &mailbox, entry, wish, accepted);
            durabilities.push(event.durability);
            event
        });
        let events = events.collect();
        let storing = Storing {
            admission: self.clone(),
            mailbox,
            entries,
            durabilities,
            proposals,
            accepted,
            bytes,
        };
        let (sender, receiver) = oneshot::channel();
        let reply = Reply::new(move |appended| drop(sender.send(storing.conclude(appended))));
        // A panic drops the reply, and that is a refusal.
        if let Err(panicked) = panic::catch(|| stored.store.append(events, reply)) {
            telemetry::store_panicked(&panicked.message);
        }
        Ok(async move { receiver.await.unwrap_or(Err(InvokeError::NoSystem)) })
    }

    fn stored_event(
        &self,
        stored: &Stored,
        mailbox: &Mailbox,
        entry: &Entry,
        wish: Wish,
        now: Time,
    ) -> StoredEvent {
        let side = entry.side.as_deref();
        let start = if entry.start == NEVER {
            now
        } else {
            entry.start.max(now)
        };
        StoredEvent {
            request_id: entry
                .request_id
                .unwrap_or_else(|| RequestId::new(0, 0, self.clock.random())),
            proposed: entry.proposed,
            function: mailbox.name().clone(),
            payload: entry.payload.clone(),
            accepted_at: now.stored(),
            due_at: start.stored(),
            hops: entry.hops,
            trace_header: side.and_then(|side| side.trace_header.clone()),
            redriven_from: side.and_then(|side| side.redriven_from),
            retry: side.and_then(|side| side.retry.clone()),
            event_age_max: side.and_then(|side| side.event_age_max),
            deduplicate: wish.deduplicate,
            durability: wish.durability.unwrap_or(stored.durability),
            attempts: Vec::new(),
            attempt_count: 0,
            uncounted: 0,
            deaths: 0,
        }
    }

    /// Tells the store, if it has the event, what became of it.
    pub(crate) fn settle(
        &self,
        mailbox: &Mailbox,
        ticket: Ticket,
        settlement: impl FnOnce() -> Settlement,
    ) {
        if ticket.stored {
            self.settle_stored(Some(mailbox), ticket.id, settlement());
        }
    }

    /// Tells the store what became of an event that it has.
    pub(crate) fn settle_stored(
        &self,
        mailbox: Option<&Mailbox>,
        id: RequestId,
        settlement: Settlement,
    ) {
        let Some(stored) = &self.store else { return };
        let settled = Settled::new(id, self.clock.now().stored(), settlement);
        let settled = panic::catch(|| stored.store.settle(settled)).unwrap_or_else(refused);
        if let Err(error) = settled {
            if let Some(mailbox) = mailbox {
                mailbox.meter(|meters| meters.store_errors += 1);
            }
            telemetry::settle_failed(mailbox.map(Mailbox::name), id, &error.to_string());
        }
    }
}

impl Storing {
    /// The store has answered: the events may run, or never were.
    fn conclude(
        self,
        appended: Result<Vec<Appended>, StoreError>,
    ) -> Result<Vec<Receipt>, InvokeError> {
        let Self {
            admission,
            mailbox,
            mut entries,
            durabilities,
            proposals,
            accepted,
            bytes,
        } = self;
        let appended = match appended {
            Ok(appended) if appended.len() == entries.len() => appended,
            other => {
                let error = other.err();
                let error =
                    error.unwrap_or_else(|| StoreError::new("the store answered for other events"));
                mailbox.release(entries.len(), bytes);
                admission.proposals.give_back(proposals);
                mailbox.meter(|meters| meters.store_errors += 1);
                telemetry::append_failed(mailbox.name(), entries.len(), &error.to_string());
                return Err(InvokeError::Store(error));
            }
        };
        let mut receipts = Vec::with_capacity(appended.len());
        let mut answers = appended.iter().zip(durabilities);
        entries.retain_mut(|entry| {
            let Some((answer, durability)) = answers.next() else {
                return false;
            };
            match *answer {
                Appended::Kept(id) => {
                    (entry.request_id, entry.stored) = (Some(id), true);
                    receipts.push(Receipt::new(id, durability));
                    true
                }
                Appended::Duplicate(first) => {
                    mailbox.release(1, entry.payload.size() as u64);
                    admission.proposals.give_back(entry.request_id);
                    receipts.push(Receipt::new(first, durability).duplicate());
                    false
                }
            }
        });
        let ids: Vec<_> = entries
            .iter()
            .filter_map(|entry| entry.request_id)
            .collect();
        let parked = mailbox.stock(entries, accepted, admission.clock.now());
        admission.park(&mailbox, &parked);
        ids.iter()
            .for_each(|&id| telemetry::accepted(mailbox.name(), id));
        if mailbox.settings().reserved_zero {
            doom(&mailbox, &ids, Condition::ZeroReservedConcurrency);
        }
        Ok(receipts)
    }
}

fn refused(Panicked { message }: Panicked) -> Result<(), StoreError> {
    Err(StoreError::new(format!("the store {message}")))
}
