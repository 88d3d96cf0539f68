//! What the store has to do with an event: it is appended before its receipt, and what becomes of it is settled.
//!
//! A store is somebody else's code. What it refuses is counted and logged, and a panic in it is a refusal: whoever
//! called it, on whatever thread, goes on.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::admission::{Admission, Stored, Wish, keys_full, refusal};
use crate::base::panic::{self, Panicked};
use crate::base::time::Time;
use crate::error::{InvokeError, StoreError};
use crate::event::request_id::RequestId;
use crate::event::{Durability, Receipt};
use crate::mailbox::Mailbox;
use crate::queue::entry::{Entry, Ticket};
use crate::store::{Appended, Reply, Settled, Settlement, StoredEvent};
use crate::telemetry;

/// Mostly it is one event.
pub(crate) type Few<T> = SmallVec<[T; 1]>;

/// The receipts that come once the store has answered.
pub(crate) struct Receipts(oneshot::Receiver<Result<Few<Receipt>, InvokeError>>);

impl Receipts {
    /// That of one event.
    pub(crate) async fn one(self) -> Result<Receipt, InvokeError> {
        self.few().await?.pop().ok_or(InvokeError::NoSystem)
    }

    pub(crate) async fn all(self) -> Result<Vec<Receipt>, InvokeError> {
        Ok(self.few().await?.into_vec())
    }

    async fn few(self) -> Result<Few<Receipt>, InvokeError> {
        // Who was to tell them is gone.
        self.0.await.unwrap_or(Err(InvokeError::NoSystem))
    }
}

/// Events that are being stored.
struct Storing {
    admission: Arc<Admission>,
    mailbox: Arc<Mailbox>,
    entries: Few<(Entry, Durability)>,
    proposals: Vec<RequestId>,
    accepted: Time,
    bytes: u64,
}

impl Admission {
    /// Keeps places, stores, and only then lets the events run and the caller know.
    pub(crate) fn store_all(
        self: &Arc<Self>,
        mailbox: Arc<Mailbox>,
        wanted: Few<(Entry, Wish)>,
    ) -> Result<Receipts, InvokeError> {
        let Some(stored) = &self.store else {
            return Err(InvokeError::NoSystem);
        };
        let accepted = self.clock.now();
        let payloads = wanted.iter().map(|(entry, _)| entry.payload.size() as u64);
        let bytes = payloads.sum();
        let proposals = self.propose_all(&mailbox, wanted.iter().map(|(entry, _)| entry))?;
        if let Err(why) = mailbox.reserve(wanted.len(), bytes) {
            self.proposals.give_back(proposals);
            return Err(refusal(&mailbox, why, None));
        }
        let mut events = Vec::with_capacity(wanted.len());
        let entries = wanted.into_iter().map(|(entry, wish)| {
            let event = self.stored_event(stored, &mailbox, &entry, wish, accepted);
            let durability = event.durability;
            events.push(event);
            (entry, durability)
        });
        let storing = Storing {
            admission: self.clone(),
            entries: entries.collect(),
            mailbox,
            proposals,
            accepted,
            bytes,
        };
        let (sender, receiver) = oneshot::channel();
        let answer = |receipts| drop(sender.send(receipts)); // whoever went away loses nothing
        let reply = Reply::new(move |appended| storing.conclude(appended, answer));
        // A panic drops the reply, and that is a refusal.
        if let Err(panicked) = panic::catch(|| stored.store.append(events, reply)) {
            telemetry::store_panicked(&panicked.message);
        }
        Ok(Receipts(receiver))
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
        let start = entry.start.max(now);
        StoredEvent {
            request_id: entry
                .request_id
                .unwrap_or_else(|| RequestId::new(0, 0, self.clock.random())),
            id_is_chosen: entry.proposed,
            function: mailbox.name().clone(),
            payload: entry.payload.clone(),
            accepted_at: now.stored(),
            due_at: start.stored(),
            first_due_at: start.stored(),
            not_before: side.and_then(|side| side.not_before),
            meta: side.map(|side| side.meta.clone()).unwrap_or_default(),
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

    /// Waits until the store has made durable what it was told.
    pub(crate) async fn sync(&self) -> Result<(), StoreError> {
        match &self.store {
            None => Ok(()),
            Some(stored) => super::load::ask(stored, |store, reply| store.sync(reply)).await,
        }
    }

    /// Tells the store what became of an event that it has. Answers whether the store keeps it.
    pub(crate) fn settle_stored(
        &self,
        mailbox: Option<&Mailbox>,
        id: RequestId,
        settlement: Settlement,
    ) -> bool {
        let Some(stored) = &self.store else {
            return false;
        };
        let settled = Settled::new(id, self.clock.now().stored(), settlement);
        let settled = panic::catch(|| stored.store.settle(settled)).unwrap_or_else(refused);
        if let Err(error) = settled {
            if let Some(mailbox) = mailbox {
                mailbox.meter(|meters| meters.store_errors += 1);
            }
            telemetry::settle_failed(
                &stored.refused.settlements,
                self.clock.now(),
                mailbox.map(Mailbox::name),
                id,
                &error.to_string(),
            );
            return false;
        }
        telemetry::settle_succeeded(&stored.refused.settlements, || self.clock.now());
        true
    }
}

impl Storing {
    /// The store has answered: the events may run, or never were. The caller hears of it before any worker does: the
    /// one has waited long enough.
    fn conclude(
        self,
        appended: Result<Vec<Appended>, StoreError>,
        answer: impl FnOnce(Result<Few<Receipt>, InvokeError>),
    ) {
        let Self {
            admission,
            mailbox,
            entries,
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
                if let Some(stored) = &admission.store {
                    telemetry::append_failed(
                        &stored.refused.appends,
                        admission.clock.now(),
                        mailbox.name(),
                        entries.len(),
                        &error.to_string(),
                    );
                }
                return answer(Err(InvokeError::Store(error)));
            }
        };
        if let Some(stored) = &admission.store {
            telemetry::append_succeeded(&stored.refused.appends, || admission.clock.now());
        }
        let mut receipts = Few::with_capacity(appended.len());
        let mut refused = None;
        let answers = appended.into_iter().zip(entries);
        let kept = answers.filter_map(|(answer, (mut entry, durability))| match answer {
            Appended::Kept(id) => {
                (entry.request_id, entry.stored) = (Some(id), true);
                receipts.push(Receipt::new(id, durability, accepted));
                Some(entry)
            }
            Appended::Duplicate(first) => {
                mailbox.release(1, entry.payload.size() as u64);
                admission.proposals.give_back(entry.request_id);
                receipts.push(Receipt::new(first, durability, accepted).duplicate());
                None
            }
            // An event with a key comes alone.
            Appended::KeysFull => {
                mailbox.release(1, entry.payload.size() as u64);
                admission.proposals.give_back(entry.request_id);
                refused = Some(keys_full(&mailbox, None));
                None
            }
        });
        let kept: Few<_> = kept.collect();
        let (parked, wake) = mailbox.admit_stored(kept, accepted, admission.clock.now());
        admission.park(&mailbox, &parked);
        let new = receipts.iter().filter(|receipt| !receipt.duplicate);
        let ids: Few<_> = new.map(|receipt| receipt.request_id).collect();
        // The caller's waker and whoever listens to the log are not ours: whatever they do, the events run.
        let told = panic::catch(|| {
            answer(refused.map_or(Ok(receipts), Err));
            ids.iter()
                .for_each(|&id| telemetry::accepted(mailbox.name(), id));
        });
        mailbox.wake(wake);
        if let Err(panicked) = told {
            telemetry::reply_panicked(&panicked.message);
        }
    }
}

fn refused(Panicked { message, .. }: Panicked) -> Result<(), StoreError> {
    Err(StoreError::new(format!("the store {message}")))
}
