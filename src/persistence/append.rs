//! Appending events: each is in the store before its caller gets a receipt, and before a worker can take it.
//!
//! The mailbox has reserved places for the events before. Those that the store keeps fill their places; the others give
//! them back.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Link, StoreLink};
use crate::base::panic;
use crate::base::time::Time;
use crate::error::StoreError;
use crate::event::request_id::RequestId;
use crate::event::{Deduplicate, Durability, Options, Receipt};
use crate::mailbox::Mailbox;
use crate::queue::entry::Entry;
use crate::store::{Appended, Reply, StoredEvent};
use crate::telemetry;

/// Usually it is one event.
pub(crate) type Few<T> = SmallVec<[T; 1]>;

/// The options of an event that concern the store and not the mailbox.
#[derive(Clone, Default)]
pub(crate) struct StoreOptions {
    deduplicate: Option<Deduplicate>,
    durability: Option<Durability>,
}

impl StoreOptions {
    pub(crate) fn of(options: Option<&Options>) -> Self {
        let of = |options: &Options| Self {
            deduplicate: options.deduplicate.clone(),
            durability: options.durability,
        };
        options.map(of).unwrap_or_default()
    }
}

/// The receipts of all events, in their order.
pub(crate) type AppendResult = Result<Few<Receipt>, NotAppended>;

/// Why events were not kept.
pub(crate) enum NotAppended {
    Store(StoreError),
    /// The function has as many deduplication keys as it may.
    KeysFull,
}

/// Events that wait for the store's reply.
struct Appending {
    link: Arc<Link>,
    mailbox: Arc<Mailbox>,
    entries: Few<(Entry, Durability)>,
    accepted: Time,
}

impl StoreLink {
    /// Appends events whose places are reserved, `accepted` now. Once the store has replied, the kept ones are in the mailbox,
    /// `done` is called, and then workers are woken. `unkept` is called before, for the request ids of events that were not
    /// kept, as far as they had one before. Without a store, both are dropped.
    pub(crate) fn append(
        &self,
        mailbox: Arc<Mailbox>,
        wanted: Few<(Entry, StoreOptions)>,
        accepted: Time,
        unkept: impl Fn(Option<RequestId>) + Send + 'static,
        done: impl FnOnce(AppendResult) + Send + 'static,
    ) {
        let Some(link) = &self.link else {
            return;
        };
        let mut events = Vec::with_capacity(wanted.len());
        let entries = wanted.into_iter().map(|(entry, options)| {
            let event = link.stored_event(&mailbox, &entry, options, accepted);
            let durability = event.durability;
            events.push(event);
            (entry, durability)
        });
        let appending = Appending {
            link: link.clone(),
            entries: entries.collect(),
            mailbox,
            accepted,
        };
        let reply = Reply::new(move |appended| appending.conclude(appended, unkept, done));
        // A panic drops the reply, which counts as a refusal.
        link.tell(|store| store.append(events, reply));
    }
}

impl Link {
    fn stored_event(
        &self,
        mailbox: &Mailbox,
        entry: &Entry,
        options: StoreOptions,
        now: Time,
    ) -> StoredEvent {
        let side = entry.side.as_deref();
        let start = entry.start.max(now);
        StoredEvent {
            request_id: entry
                .request_id
                .unwrap_or_else(|| RequestId::new(0, 0, self.clock.random())),
            id_is_chosen: entry.chosen_id,
            function: mailbox.name().clone(),
            payload: entry.payload.clone(),
            accepted_at: now.stored(),
            due_at: start.stored(),
            first_due_at: start.stored(),
            not_before: side.and_then(|side| side.not_before),
            meta: side.map(|side| side.meta.clone()).unwrap_or_default(),
            deduplicate: options.deduplicate,
            durability: options.durability.unwrap_or(self.durability),
            attempts: Vec::new(),
            attempt_count: 0,
            uncounted: 0,
            deaths: 0,
        }
    }
}

impl Appending {
    fn conclude(
        self,
        appended: Result<Vec<Appended>, StoreError>,
        unkept: impl Fn(Option<RequestId>),
        done: impl FnOnce(AppendResult),
    ) {
        match appended {
            Ok(appended) if appended.len() == self.entries.len() => {
                self.take_in(appended, unkept, done);
            }
            Ok(_) => {
                let error = StoreError::new("the store answered for other events");
                self.refuse(error, unkept, done);
            }
            Err(error) => self.refuse(error, unkept, done),
        }
    }

    /// Gives all places and ids back: the store keeps none of the events. The log comes after that, because its subscribers
    /// are foreign code.
    fn refuse(
        self,
        error: StoreError,
        unkept: impl Fn(Option<RequestId>),
        done: impl FnOnce(AppendResult),
    ) {
        let Self {
            link,
            mailbox,
            entries,
            ..
        } = self;
        let payloads = entries.iter().map(|(entry, _)| entry.payload.size() as u64);
        mailbox.storage().release(entries.len(), payloads.sum());
        entries
            .iter()
            .for_each(|(entry, _)| unkept(entry.request_id));
        mailbox.meter(|meters| meters.store_errors += 1);
        telemetry::append_failed(
            &link.refused_appends,
            link.clock.now(),
            mailbox.name(),
            entries.len(),
            &error.to_string(),
        );
        done(Err(NotAppended::Store(error)));
    }

    /// Puts the kept events into the mailbox. The caller gets its receipts before a worker is woken: it has waited for the
    /// store already.
    fn take_in(
        mut self,
        appended: Vec<Appended>,
        unkept: impl Fn(Option<RequestId>),
        done: impl FnOnce(AppendResult),
    ) {
        telemetry::append_succeeded(&self.link.refused_appends, || self.link.clock.now());
        let (kept, result) = self.distribute(appended, unkept);
        let Self {
            link,
            mailbox,
            accepted,
            ..
        } = self;
        let (spilled, wake) = mailbox.storage().admit(kept, accepted, link.clock.now());
        link.spill(&mailbox, &spilled);
        let receipts = result.iter().flatten();
        let new = receipts.filter(|receipt| !receipt.duplicate);
        let ids: Few<_> = new.map(|receipt| receipt.request_id).collect();
        // `done` runs the caller's waker, and `accepted` the log's subscribers: the events run even if those panic.
        let reported = panic::catch(|| {
            done(result);
            ids.iter()
                .for_each(|&id| telemetry::accepted(mailbox.name(), id));
        });
        mailbox.wake(wake);
        if let Err(panicked) = reported {
            telemetry::reply_panicked(&panicked.message);
        }
    }

    /// Returns the entries that the store keeps, and gives the places of the others back.
    fn distribute(
        &mut self,
        appended: Vec<Appended>,
        unkept: impl Fn(Option<RequestId>),
    ) -> (Few<Entry>, AppendResult) {
        let mut receipts = Few::with_capacity(appended.len());
        let (mut kept, mut keys_full) = (Few::new(), false);
        let entries = std::mem::take(&mut self.entries);
        for (appended, (mut entry, durability)) in appended.into_iter().zip(entries) {
            match appended {
                Appended::Kept(id) => {
                    (entry.request_id, entry.stored) = (Some(id), true);
                    receipts.push(Receipt::new(id, durability, self.accepted));
                    kept.push(entry);
                    continue;
                }
                Appended::Duplicate(first) => {
                    let receipt = Receipt::new(first, durability, self.accepted);
                    receipts.push(receipt.duplicate());
                }
                // An event with a key comes alone.
                Appended::KeysFull => keys_full = true,
            }
            self.mailbox
                .storage()
                .release(1, entry.payload.size() as u64);
            unkept(entry.request_id);
        }
        let receipts = match keys_full {
            true => Err(NotAppended::KeysFull),
            false => Ok(receipts),
        };
        (kept, receipts)
    }
}
