//! Accepting events and calls: each is refused here, or kept and given a receipt.

use std::sync::Arc;

use smallvec::smallvec;
use tokio::sync::oneshot;

use super::Admission;
use super::checks::{check_call, serialisable};
use super::dedup_keys::without_key;
use super::receipts::{AcceptedCall, Admitting, Receipts};
use super::refusal::{keys_full, refusal, unknown};
use crate::error::InvokeError;
use crate::event::dead_letter::Condition;
use crate::event::meta::EventMeta;
use crate::event::payload::{Payload, PayloadError};
use crate::event::request_id::RequestId;
use crate::event::{Durability, InvocationType, Invoke, Options, Receipt};
use crate::mailbox::Mailbox;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::persistence::append::{AppendResult, Few, NotAppended, StoreOptions};
use crate::queue::entry::{Entry, Side};
use crate::queue::{NEVER, RefusalReason};
use crate::telemetry;

impl Admission {
    /// Accepts an event, or returns why not.
    pub(crate) fn accept(
        self: &Arc<Self>,
        function: &str,
        payload: Result<Payload, PayloadError>,
        options: Option<Box<Options>>,
    ) -> Admitting {
        let wanted = options.as_ref().and_then(|options| options.durability);
        if self.store.takes(wanted) {
            return match self.accept_stored(function, payload, options) {
                Ok(receipts) => Admitting::Storing(receipts),
                Err(refused) => Admitting::Over(Err(refused)),
            };
        }
        Admitting::Over(self.accept_in_memory(function, payload, options))
    }

    fn accept_in_memory(
        &self,
        function: &str,
        payload: Result<Payload, PayloadError>,
        options: Option<Box<Options>>,
    ) -> Result<Receipt, InvokeError> {
        self.door.check()?;
        // Declared before the name is locked, so dropped after it is unlocked: a payload's `Drop` may come back here.
        let payload = serialisable(function, payload)?;
        let (entry, _refused);
        let mailbox = self.registry.get(function);
        let mailbox = mailbox.ok_or_else(|| unknown(function))?;
        let (now, kind) = (self.clock.now(), InvocationType::Event);
        self.checks
            .check(&mailbox, kind, &payload, options.as_deref())?;
        let deduplicate = options.as_ref().and_then(|it| it.deduplicate.clone());
        entry = self.checks.enter(&mailbox, kind, payload, options, now)?;
        // Locked until the event is in its mailbox: of two events with the same key, one gets there.
        let mut keys = deduplicate.as_ref().map(|_| self.dedup_keys.lock());
        if let Some((keys, wanted)) = keys.as_mut().zip(deduplicate.as_ref())
            && let Some(result) = without_key(keys, &mailbox, wanted, now)
        {
            return result;
        }
        let chosen = self.choose_id(&mailbox, entry.request_id)?;
        let request_id = match mailbox.admit(entry, self.clock.random(), now) {
            Ok(request_id) => request_id,
            Err(back) => {
                _refused = back.entry;
                return Err(self.refused(&mailbox, chosen, back.why));
            }
        };
        if let Some((keys, wanted)) = keys.as_mut().zip(deduplicate) {
            let until = now.after(wanted.window);
            keys.take(mailbox.number, wanted.key, request_id, until);
        }
        drop(keys);
        // A subscriber of the log may come back here too.
        let logged = telemetry::logs_accepted().then(|| mailbox.name().clone());
        drop(mailbox);
        if let Some(name) = logged {
            telemetry::accepted(&name, request_id);
        }
        Ok(Receipt::new(request_id, Durability::Memory, now))
    }

    fn accept_stored(
        self: &Arc<Self>,
        function: &str,
        payload: Result<Payload, PayloadError>,
        options: Option<Box<Options>>,
    ) -> Result<Receipts, InvokeError> {
        self.door.check()?;
        let mailbox = self.function(function)?;
        let store_options = StoreOptions::of(options.as_deref());
        let (now, kind) = (self.clock.now(), InvocationType::Event);
        let entry = self.checks.entry(&mailbox, kind, payload, options, now)?;
        self.append(mailbox, smallvec![(entry, store_options)])
    }

    /// Accepts all of `events` for one function or none of them.
    pub(crate) async fn accept_batch(
        self: &Arc<Self>,
        function: &str,
        events: Vec<Invoke>,
    ) -> Result<Vec<Receipt>, InvokeError> {
        let receipts = {
            self.door.check()?;
            let mailbox = self.function(function)?;
            let now = self.clock.now();
            let entry = |event: Invoke| {
                let Invoke {
                    payload, options, ..
                } = event;
                let kind = InvocationType::Event;
                self.checks.entry(&mailbox, kind, payload, options, now)
            };
            let entries = events.into_iter().map(entry);
            if !self.store.takes(None) {
                let entries: Result<Vec<_>, _> = entries.collect();
                return self.admit_all(&mailbox, entries?);
            }
            let wanted = entries.map(|entry| Ok((entry?, StoreOptions::default())));
            let wanted: Result<Few<_>, InvokeError> = wanted.collect();
            self.append(mailbox, wanted?)?
        };
        receipts.all().await
    }

    fn admit_all(
        &self,
        mailbox: &Mailbox,
        entries: Vec<Entry>,
    ) -> Result<Vec<Receipt>, InvokeError> {
        let chosen = self.choose_ids(mailbox, entries.iter())?;
        let entries = entries
            .into_iter()
            .map(|entry| (entry, self.clock.random()))
            .collect();
        let now = self.clock.now();
        let admitted = mailbox.admit_all(entries, now);
        let ids = admitted.map_err(|why| self.refused(mailbox, chosen, why))?;
        ids.iter()
            .for_each(|&id| telemetry::accepted(mailbox.name(), id));
        Ok(ids
            .into_iter()
            .map(|id| Receipt::new(id, Durability::Memory, now))
            .collect())
    }

    /// Reserves places in the mailbox and appends the events to the store. Once the store has replied, the events may run
    /// and the receipts come.
    fn append(
        self: &Arc<Self>,
        mailbox: Arc<Mailbox>,
        wanted: Few<(Entry, StoreOptions)>,
    ) -> Result<Receipts, InvokeError> {
        let accepted = self.clock.now();
        let payloads = wanted.iter().map(|(entry, _)| entry.payload.size() as u64);
        let bytes = payloads.sum();
        let chosen = self.choose_ids(&mailbox, wanted.iter().map(|(entry, _)| entry))?;
        if let Err(why) = mailbox.storage().reserve(wanted.len(), bytes) {
            self.chosen_ids.give_back(chosen);
            return Err(refusal(&mailbox, why, None));
        }
        let (sender, receiver) = oneshot::channel();
        let (admission, receiving) = (self.clone(), mailbox.clone());
        let unkept = move |id: Option<RequestId>| admission.chosen_ids.give_back(id);
        let done = move |result: AppendResult| {
            let receipts = result.map_err(|why| match why {
                NotAppended::Store(error) => InvokeError::Store(error),
                NotAppended::KeysFull => keys_full(&receiving, None),
            });
            let _ = sender.send(receipts); // the caller may have stopped waiting
        };
        self.store.append(mailbox, wanted, accepted, unkept, done);
        Ok(Receipts::new(receiver))
    }

    /// Accepts a call, or returns why not.
    pub(crate) fn accept_call(&self, invoke: Invoke) -> Result<AcceptedCall, InvokeError> {
        self.door.check()?;
        let mailbox = self.function(&invoke.function)?;
        let (now, kind) = (self.clock.now(), InvocationType::RequestResponse);
        let Invoke {
            payload, options, ..
        } = invoke;
        let entry = self.checks.entry(&mailbox, kind, payload, options, now)?;
        check_call(&mailbox)?;
        let meta = entry.side.as_ref().map(|side| side.meta.clone());
        let chosen = self.choose_id(&mailbox, entry.request_id)?;
        let admitted = mailbox.admit_call(entry, self.clock.random(), now);
        let (request_id, end) =
            admitted.map_err(|refused| self.refused(&mailbox, chosen, refused.why))?;
        // A call that came in while the actors went away would wait for ever.
        if self.door.is_gone() {
            if let Some(cancelled) = mailbox.cancel(request_id) {
                cancelled.finish(&mailbox);
            }
            return Err(InvokeError::NoSystem);
        }
        Ok(AcceptedCall {
            request_id,
            end,
            mailbox: Arc::downgrade(&mailbox),
            meta: meta.unwrap_or_default(),
            accepted: now,
        })
    }

    /// Returns the refusal that an event would meet now. Keeps nothing.
    pub(crate) fn dry_run(&self, invoke: Invoke) -> Result<(), InvokeError> {
        let (mailbox, entry) = self.dry_entry(invoke, InvocationType::Event)?;
        let settings = mailbox.settings();
        let full = if mailbox.inspect().pending() >= settings.mailbox_events_max {
            RefusalReason::EventsMax
        } else if mailbox.inspect().pending_bytes() + entry.payload.size() as u64
            > settings.mailbox_bytes_max
        {
            RefusalReason::BytesMax
        } else {
            return Ok(());
        };
        Err(refusal(&mailbox, full, None))
    }

    /// Returns the fault of a call, if it has one. A call without a fault may still be refused when it comes, for want of
    /// room.
    #[cfg(feature = "http")] // only the Lambda API has dry runs of calls
    pub(crate) fn dry_call(&self, invoke: Invoke) -> Result<(), InvokeError> {
        self.dry_entry(invoke, InvocationType::RequestResponse)
            .map(drop)
    }

    /// Makes the checks that come before a mailbox is asked, and returns the mailbox and the entry.
    fn dry_entry(
        &self,
        invoke: Invoke,
        kind: InvocationType,
    ) -> Result<(Arc<Mailbox>, Entry), InvokeError> {
        self.door.check()?;
        let mailbox = self.function(&invoke.function)?;
        let Invoke {
            payload, options, ..
        } = invoke;
        let request_id = options.as_ref().and_then(|options| options.request_id);
        if let Some(request_id) = request_id.filter(|&id| self.locate(id).is_some()) {
            return Err(InvokeError::RequestIdTaken { request_id });
        }
        let now = self.clock.now();
        let entry = self.checks.entry(&mailbox, kind, payload, options, now)?;
        Ok((mailbox, entry))
    }

    /// Admits an event that is one hop too many and dead-letters it at once: it has no caller who could be refused
    /// (REC-04, DST-22).
    pub(crate) fn dead_end(
        &self,
        mailbox: &Mailbox,
        payload: Payload,
        hops: u8,
    ) -> Result<(), InvokeError> {
        let now = self.clock.now();
        let meta = EventMeta {
            hops,
            ..EventMeta::default()
        };
        let entry = Entry {
            payload,
            kind: InvocationType::Event,
            side: Side::of(meta.into(), None),
            request_id: None,
            start: NEVER,
            stored: false,
            chosen_id: false,
        };
        let id = mailbox
            .admit(entry, self.clock.random(), now)
            .map_err(|refused| refusal(mailbox, refused.why, None))?;
        let doomed = mailbox.supervision().dead_letter(id, Condition::Recursion);
        mailbox.notify(SupervisorMessage::DeadLetters(doomed.into_iter().collect()));
        Ok(())
    }

    fn function(&self, name: &str) -> Result<Arc<Mailbox>, InvokeError> {
        let mailbox = self.registry.named(name);
        mailbox.ok_or_else(|| unknown(name))
    }
}
