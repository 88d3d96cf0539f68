//! The door: all refusals happen here, before anything is kept. Shared by the router and every client.
//!
//! Who is behind which name and number, `admission/registry.rs` knows; whose a proposed request id is, `admission/request_ids.rs`. What can be
//! refused without asking a mailbox is refused in `admission/checks.rs`. What is admitted is the mailbox's, and the
//! store's before the caller hears of it (`persistence/append.rs`). What a store has parked comes back through here
//! (`persistence/load.rs`).

mod checks;
pub(crate) mod configurations;
pub(crate) mod dedup_keys;
mod proposing;
pub(crate) mod registry;
pub(crate) mod request_ids;

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crate::persistence::append::{Few, Receipts};
use crate::persistence::crash_marks::Lanes;
use checks::serialisable;
use parking_lot::{Mutex, RwLock};
use smallvec::smallvec;
use tokio::sync::{Semaphore, oneshot};

use crate::admission::dedup_keys::{DedupKeys, KeyHolder};
use crate::admission::registry::{Registry, Unregistered};
use crate::admission::request_ids::Proposals;
use crate::base::clock::Clock;
use crate::base::excerpt::excerpt;
use crate::base::time::Time;
use crate::error::{Bound, BuildError, InvokeError};
use crate::event::failure::Condition;
use crate::event::function_name::FunctionName;
use crate::event::meta::{EventMeta, SharedMeta};
use crate::event::payload::{Payload, PayloadError};
use crate::event::request_id::{FUNCTIONS_MAX, RequestId};
use crate::event::{Deduplicate, Durability, InvocationType, Invoke, Options, Receipt};
use crate::function::Function;
use crate::function::arn::Identity;
use crate::function::configuration::Configuration;
use crate::function::destination::Destination;
use crate::function::settings::Fault;
use crate::idempotency::Bounds;
use crate::idempotency::lease::Claims;
use crate::mailbox::Mailbox;
use crate::mailbox::snapshot::EventOutcome;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::queue::entry::{Entry, Side};
use crate::queue::{NEVER, RefusalReason};
use crate::store::EventStore;
use crate::telemetry::logs::Logs;
use crate::telemetry::{self, Outage};

/// What holds for all functions.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) event_payload_max: usize,
    pub(crate) call_payload_max: usize,
    pub(crate) headers_max: usize,
    pub(crate) concurrent_executions_max: u32,
    pub(crate) idempotency: Bounds,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Door {
    Open,
    ShuttingDown,
    /// What is unfinished stays so: nothing is cancelled, purged or set any more.
    Ended,
    /// Nobody is behind it any more. The mailboxes are deserted after this is set.
    Gone,
}

pub(crate) struct Admission {
    registry: Registry,
    pub(crate) proposals: Proposals,
    /// Who runs for which idempotency key, over all functions.
    pub(crate) claims: Arc<Claims>,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) identity: Identity,
    pub(crate) store: Option<Stored>,
    /// Keys of events that live in memory alone.
    keys: Mutex<DedupKeys>,
    /// What was set of functions, those that aren't registered included.
    configurations: Mutex<BTreeMap<String, Configuration>>,
    /// Held by whoever changes it.
    configuring: tokio::sync::Mutex<()>,
    /// What the application named, by ARN.
    destinations: HashMap<String, Destination>,
    /// The address of the dead-letter queue; `client/dead_letters.rs` knows its type.
    pub(crate) dead_letters: OnceLock<Box<dyn Any + Send + Sync>>,
    /// Set once somebody wants them.
    pub(crate) logs: OnceLock<Logs>,
    door: AtomicU8,
    /// Held for reading by whoever does something that must not come after the end.
    end: RwLock<()>,
}

/// The store, and how it is used unless an event says otherwise.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) durability: Durability,
    /// How often the process may die while it runs an event.
    pub(crate) deaths_max: u32,
    pub(crate) lanes: Lanes,
    /// Whoever may have killed the process runs with no other of its kind: the next death shows which one it was.
    pub(crate) solitude: Arc<Semaphore>,
    /// Appends that it refuses, and settlements.
    pub(crate) refused: Arc<Refused>,
}

/// What a store refuses for a while.
#[derive(Default)]
pub(crate) struct Refused {
    pub(crate) appends: Outage,
    pub(crate) settlements: Outage,
}

/// What is said of one event that its mailbox needn't know.
#[derive(Clone, Default)]
pub(crate) struct Wish {
    pub(crate) deduplicate: Option<Deduplicate>,
    pub(crate) durability: Option<Durability>,
}

impl Wish {
    fn of(options: Option<&Options>) -> Self {
        let wish = |options: &Options| Self {
            deduplicate: options.deduplicate.clone(),
            durability: options.durability,
        };
        options.map(wish).unwrap_or_default()
    }
}

/// A call that was accepted.
pub(crate) struct Calling {
    pub(crate) request_id: RequestId,
    /// Where its end will be told.
    pub(crate) end: oneshot::Receiver<EventOutcome>,
    pub(crate) mailbox: Weak<Mailbox>,
    pub(crate) meta: SharedMeta,
    pub(crate) accepted: Time,
}

/// An admission: over, or waiting for the store.
pub(crate) enum Admitting {
    Over(Result<Receipt, InvokeError>),
    Storing(Receipts),
}

impl Admitting {
    pub(crate) async fn wait(self) -> Result<Receipt, InvokeError> {
        match self {
            Self::Over(result) => result,
            Self::Storing(receipts) => receipts.one().await,
        }
    }
}

impl Admission {
    pub(crate) fn new(
        clock: Clock,
        limits: Limits,
        identity: Identity,
        store: Option<Stored>,
        destinations: HashMap<String, Destination>,
        logs: Option<Logs>,
    ) -> Self {
        Self {
            registry: Registry::default(),
            proposals: Proposals::default(),
            claims: Arc::new(Claims::new(limits.idempotency.clone())),
            clock,
            limits,
            identity,
            store,
            keys: Mutex::default(),
            configurations: Mutex::default(),
            configuring: tokio::sync::Mutex::default(),
            destinations,
            dead_letters: OnceLock::new(),
            logs: logs.map(OnceLock::from).unwrap_or_default(),
            door: AtomicU8::new(Door::Open as u8),
            end: RwLock::default(),
        }
    }

    // --- functions

    /// Gives the function a mailbox and makes it known once `oversee` has found somebody to look after it.
    pub(crate) fn register(
        &self,
        function: Function,
        oversee: impl FnOnce(&Arc<Mailbox>),
    ) -> Result<(), BuildError> {
        let (name, former) = (function.name.clone(), function.former.clone());
        let make = |number| {
            self.take_over(&former, &function.name);
            let mailbox = Mailbox::new(function, number, self.clock.clone());
            mailbox.adopt(self.configuration(mailbox.name().as_str()));
            let mailbox = Arc::new(mailbox);
            mailbox.count_threads();
            self.inherit(&mailbox);
            oversee(&mailbox);
            mailbox
        };
        let registered = self.registry.register(name.clone(), &former, make);
        registered.map_err(|refused| {
            let (field, problem) = match refused {
                Unregistered::NameTaken => ("name", "is taken by another function".to_owned()),
                Unregistered::NameOf(heir) => (
                    "name",
                    format!("is the former name of function `{heir}`: use another, or take `formerly` from that"),
                ),
                Unregistered::FormerTaken(former, other) => (
                    "formerly",
                    format!("`{former}` is, or was, the name of function `{other}`: only one can have what is kept under it"),
                ),
                Unregistered::NumbersMax => (
                    "name",
                    format!("would be function number {FUNCTIONS_MAX}, more than can be told apart"),
                ),
            };
            BuildError::Settings(vec![Fault {
                function: name.to_string(),
                field,
                problem,
            }])
        })
    }

    /// Says whose former names these are, before any function is registered.
    pub(crate) fn rename(&self, former: &[FunctionName], name: &FunctionName) {
        self.registry.rename(former, name);
    }

    /// The function that has what is kept under this name: another one if that was called so before.
    pub(crate) fn heir(&self, name: FunctionName) -> FunctionName {
        self.registry.heir(name.as_str()).unwrap_or(name)
    }

    /// Makes the function unknown. What it still has is the caller's to wind up; its events stay known by their ids until `forget`.
    pub(crate) fn unregister(&self, name: &str) -> Option<Arc<Mailbox>> {
        self.registry.unregister(name)
    }

    /// Forgets a function that was unregistered and is empty.
    pub(crate) fn forget(&self, number: u32) {
        self.keys.lock().forget(number);
        self.proposals.forget(number);
        self.registry.forget(number);
    }

    pub(crate) fn mailbox(&self, function: &str) -> Option<Arc<Mailbox>> {
        self.registry.named(function)
    }

    pub(crate) fn knows(&self, function: &str) -> bool {
        self.registry.get(function).is_some()
    }

    pub(crate) fn numbered(&self, number: u32) -> Option<Arc<Mailbox>> {
        self.registry.numbered(number)
    }

    /// Every function, those that are being removed included.
    pub(crate) fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.registry.all()
    }

    /// The functions that can be invoked.
    pub(crate) fn registered(&self) -> Vec<Arc<Mailbox>> {
        self.registry.registered()
    }

    /// The mailbox that knows the event, if one does.
    pub(crate) fn locate(&self, id: RequestId) -> Option<Arc<Mailbox>> {
        let owner = self.proposals.owner(id);
        let number = owner.unwrap_or_else(|| id.place().0);
        let known = |mailbox: &Arc<Mailbox>| mailbox.snapshot(id).is_some();
        let here = self.numbered(number).filter(known);
        here.or_else(|| self.stored_with(id).filter(known))
    }

    /// The function of an event that the store knows.
    pub(crate) fn stored(&self, id: RequestId) -> Option<FunctionName> {
        let function = self.store.as_ref()?.store.locate(id)?;
        Some(self.heir(function))
    }

    /// The mailbox of an event that the store knows.
    pub(crate) fn stored_with(&self, id: RequestId) -> Option<Arc<Mailbox>> {
        self.mailbox(self.stored(id)?.as_str())
    }

    // --- the door

    /// Closes the door this far, if it isn't already. Answers whether it wasn't.
    pub(crate) fn close(&self, door: Door) -> bool {
        let news = self.door.fetch_max(door as u8, Ordering::AcqRel) < door as u8;
        if news {
            // Whoever passed the door before is in by now, or finds the mailbox closed.
            self.mailboxes().iter().for_each(|mailbox| mailbox.close());
        }
        news
    }

    /// From now on nothing is done `before_end`, and what was is done whole: its store was told.
    pub(crate) fn end(&self) {
        let _last = self.end.write();
        self.close(Door::Ended);
    }

    /// Does it, unless the runtime has ended. Must not run user code.
    pub(crate) fn before_end<T>(&self, done: impl FnOnce() -> T) -> Option<T> {
        let _open = self.end.read_recursive();
        (!self.has_ended()).then(done)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.door.load(Ordering::Acquire) >= Door::Ended as u8
    }

    /// Nobody is behind the door any more: nothing comes in, and whoever waits for an end hears that it won't come.
    /// Answers whether this is news.
    pub(crate) fn desert(&self) -> bool {
        let news = self.close(Door::Gone);
        if news {
            self.mailboxes()
                .iter()
                .for_each(|mailbox| mailbox.end_watches());
        }
        news
    }

    /// Says why nothing is accepted any more, if nothing is.
    pub(crate) fn ask_door(&self) -> Result<(), InvokeError> {
        match self.door.load(Ordering::Acquire) {
            0 => Ok(()),
            1 | 2 => Err(InvokeError::ShuttingDown),
            _ => Err(InvokeError::NoSystem),
        }
    }

    /// Accepts an event, or says why not.
    pub(crate) fn accept(
        self: &Arc<Self>,
        function: &str,
        payload: Result<Payload, PayloadError>,
        options: Option<Box<Options>>,
    ) -> Admitting {
        let wanted = options.as_ref().and_then(|options| options.durability);
        if self.stores(wanted) {
            return match self.accept_stored(function, payload, options) {
                Ok(receipts) => Admitting::Storing(receipts),
                Err(refused) => Admitting::Over(Err(refused)),
            };
        }
        Admitting::Over(self.accept_now(function, payload, options))
    }

    /// Goes an event into the store for which this durability is wanted?
    #[inline]
    fn stores(&self, wanted: Option<Durability>) -> bool {
        let stored = self.store.as_ref();
        stored.is_some_and(|stored| wanted.unwrap_or(stored.durability) != Durability::Memory)
    }

    fn accept_now(
        &self,
        function: &str,
        payload: Result<Payload, PayloadError>,
        options: Option<Box<Options>>,
    ) -> Result<Receipt, InvokeError> {
        self.ask_door()?;
        // What is refused is dropped after the name is released: a payload's `Drop` may well come back here.
        let payload = serialisable(function, payload)?;
        let (entry, _refused);
        let mailbox = self
            .registry
            .get(function)
            .ok_or_else(|| unknown(function))?;
        let now = self.clock.now();
        self.check(
            &mailbox,
            InvocationType::Event,
            &payload,
            options.as_deref(),
        )?;
        let wish = Wish::of(options.as_deref());
        entry = self.enter(&mailbox, InvocationType::Event, payload, options, now)?;
        // Held until the event is in: only one of those with the same key gets there.
        let mut keys = wish.deduplicate.as_ref().map(|_| self.keys.lock());
        if let Some((keys, wanted)) = keys.as_mut().zip(wish.deduplicate.as_ref()) {
            let keys_max = mailbox.settings().deduplication_keys_max;
            match keys.holder(mailbox.number, &wanted.key, keys_max, now) {
                KeyHolder::Free => {}
                KeyHolder::Event(first) => {
                    _refused = entry;
                    return Ok(Receipt::new(first, Durability::Memory, now).duplicate());
                }
                KeyHolder::Full(next) => {
                    _refused = entry;
                    return Err(keys_full(&mailbox, Some(next.since(now))));
                }
            }
        }
        let proposal = self.propose(&mailbox, entry.request_id)?;
        let request_id = match mailbox.admit(entry, self.clock.random(), now) {
            Ok(request_id) => request_id,
            Err(back) => {
                _refused = back.entry;
                return self.conclude(&mailbox, proposal, Err(back.why));
            }
        };
        if let Some((keys, wanted)) = keys.as_mut().zip(wish.deduplicate) {
            let until = now.after(wanted.window);
            keys.take(mailbox.number, wanted.key, request_id, until);
        }
        drop(keys);
        // A subscriber may well come back here too.
        let heard = telemetry::logs_accepted().then(|| mailbox.name().clone());
        drop(mailbox);
        if let Some(name) = heard {
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
        self.ask_door()?;
        let mailbox = self.mailbox(function).ok_or_else(|| unknown(function))?;
        let wish = Wish::of(options.as_deref());
        let now = self.clock.now();
        let entry = self.entry(&mailbox, InvocationType::Event, payload, options, now)?;
        self.store_all(mailbox, smallvec![(entry, wish)])
    }

    /// Accepts all of `events` for one function or none of them.
    pub(crate) async fn accept_batch(
        self: &Arc<Self>,
        function: &str,
        events: Vec<Invoke>,
    ) -> Result<Vec<Receipt>, InvokeError> {
        let receipts = {
            self.ask_door()?;
            let mailbox = self.mailbox(function).ok_or_else(|| unknown(function))?;
            let now = self.clock.now();
            let entry = |event: Invoke| {
                let Invoke {
                    payload, options, ..
                } = event;
                self.entry(&mailbox, InvocationType::Event, payload, options, now)
            };
            let entries = events.into_iter().map(entry);
            if !self.stores(None) {
                let entries: Result<Vec<_>, _> = entries.collect();
                return self.admit_all(&mailbox, entries?);
            }
            let wanted = entries.map(|entry| Ok((entry?, Wish::default())));
            let wanted: Result<Few<_>, InvokeError> = wanted.collect();
            self.store_all(mailbox, wanted?)?
        };
        receipts.all().await
    }

    fn admit_all(
        &self,
        mailbox: &Mailbox,
        entries: Vec<Entry>,
    ) -> Result<Vec<Receipt>, InvokeError> {
        let proposals = self.propose_all(mailbox, entries.iter())?;
        let entries = entries
            .into_iter()
            .map(|entry| (entry, self.clock.random()))
            .collect();
        let now = self.clock.now();
        let admitted = mailbox.admit_all(entries, now);
        let ids = self.conclude(mailbox, proposals, admitted)?;
        ids.iter()
            .for_each(|&id| telemetry::accepted(mailbox.name(), id));
        Ok(ids
            .into_iter()
            .map(|id| Receipt::new(id, Durability::Memory, now))
            .collect())
    }

    /// Accepts a call, and answers where its end will be told.
    pub(crate) fn accept_call(&self, invoke: Invoke) -> Result<Calling, InvokeError> {
        self.ask_door()?;
        let function = &*invoke.function;
        let mailbox = self.mailbox(function).ok_or_else(|| unknown(function))?;
        let now = self.clock.now();
        let entry = self.entry(
            &mailbox,
            InvocationType::RequestResponse,
            invoke.payload,
            invoke.options,
            now,
        )?;
        self.callable(&mailbox)?;
        let meta = entry.side.as_ref().map(|side| side.meta.clone());
        let proposal = self.propose(&mailbox, entry.request_id)?;
        let admitted = mailbox.admit_call(entry, self.clock.random(), now);
        let admitted = admitted.map_err(|refused| refused.why);
        let (request_id, end) = self.conclude(&mailbox, proposal, admitted)?;
        // One that came in while the mailboxes were being deserted would wait for ever.
        if self.door.load(Ordering::Acquire) == Door::Gone as u8 {
            if let Some(cancelled) = mailbox.cancel(request_id) {
                mailbox.finish_cancel(cancelled);
            }
            return Err(InvokeError::NoSystem);
        }
        Ok(Calling {
            request_id,
            end,
            mailbox: Arc::downgrade(&mailbox),
            meta: meta.unwrap_or_default(),
            accepted: now,
        })
    }

    /// Says whether an event would be accepted now, and keeps nothing.
    pub(crate) fn dry_run(&self, invoke: Invoke) -> Result<(), InvokeError> {
        let (mailbox, entry) = self.rehearse(invoke, InvocationType::Event)?;
        let settings = mailbox.settings();
        let full = if mailbox.pending() >= settings.mailbox_events_max {
            RefusalReason::EventsMax
        } else if mailbox.pending_bytes() + entry.payload.size() as u64 > settings.mailbox_bytes_max
        {
            RefusalReason::BytesMax
        } else {
            return Ok(());
        };
        Err(refusal(&mailbox, full, None))
    }

    /// Says whether anything of a call is faulty. It may be refused all the same when it comes, for want of room.
    #[cfg(feature = "http")]
    pub(crate) fn dry_call(&self, invoke: Invoke) -> Result<(), InvokeError> {
        self.rehearse(invoke, InvocationType::RequestResponse)
            .map(drop)
    }

    /// Checks all that is checked before a mailbox is asked.
    fn rehearse(
        &self,
        invoke: Invoke,
        kind: InvocationType,
    ) -> Result<(Arc<Mailbox>, Entry), InvokeError> {
        self.ask_door()?;
        let function = &*invoke.function;
        let mailbox = self.mailbox(function).ok_or_else(|| unknown(function))?;
        let request_id = invoke
            .options
            .as_ref()
            .and_then(|options| options.request_id);
        if let Some(request_id) = request_id.filter(|&id| self.locate(id).is_some()) {
            return Err(InvokeError::RequestIdTaken { request_id });
        }
        let now = self.clock.now();
        let entry = self.entry(&mailbox, kind, invoke.payload, invoke.options, now)?;
        Ok((mailbox, entry))
    }

    /// An event that is one hop too many and has no caller to hear of it: it dies at once (REC-04, DST-22).
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
            proposed: false,
        };
        let id = mailbox
            .admit(entry, self.clock.random(), now)
            .map_err(|refused| refusal(mailbox, refused.why, None))?;
        doom(mailbox, &[id], Condition::Recursion);
        Ok(())
    }
}

fn doom(mailbox: &Mailbox, ids: &[RequestId], condition: Condition) {
    let doomed: Vec<_> = ids
        .iter()
        .filter_map(|&id| mailbox.dead_letter(id, condition))
        .collect();
    mailbox.notify(SupervisorMessage::DeadLetters(doomed));
}

fn unknown(function: &str) -> InvokeError {
    InvokeError::UnknownFunction {
        function: excerpt(function, NAME_SHOWN),
    }
}

/// As much of a name that leads nowhere is in the error.
const NAME_SHOWN: usize = 256;

/// The function has as many deduplication keys as it may; `next` is when one may be free, if that is known.
pub(crate) fn keys_full(mailbox: &Mailbox, next: Option<Duration>) -> InvokeError {
    mailbox.meter(|meters| meters.throttles += 1);
    let soon = Duration::from_millis(10)..=Duration::from_secs(60);
    InvokeError::DeduplicationKeysFull {
        function: mailbox.name().to_string(),
        limit: mailbox.settings().deduplication_keys_max,
        retry_after: next
            .unwrap_or(*soon.end())
            .clamp(*soon.start(), *soon.end()),
    }
}

pub(crate) fn refusal(
    mailbox: &Mailbox,
    refused: RefusalReason,
    proposal: Option<RequestId>,
) -> InvokeError {
    let settings = mailbox.settings();
    let bound = match (refused, proposal) {
        (RefusalReason::Removed, _) => return unknown(mailbox.name().as_str()),
        (RefusalReason::Closed, _) => return InvokeError::ShuttingDown,
        (RefusalReason::ReservedInUse(reserved), _) => {
            return InvokeError::ReservedConcurrencyInUse {
                function: mailbox.name().to_string(),
                reserved,
            };
        }
        (RefusalReason::RequestIdTaken, Some(request_id)) => {
            return InvokeError::RequestIdTaken { request_id };
        }
        (RefusalReason::BytesMax, _) => Bound::Bytes(settings.mailbox_bytes_max),
        (RefusalReason::EventsMax | RefusalReason::RequestIdTaken, _) => {
            Bound::Events(settings.mailbox_events_max)
        }
    };
    mailbox.meter(|meters| meters.throttles += 1);
    let retry_after: Duration = mailbox.retry_after();
    InvokeError::MailboxFull {
        function: mailbox.name().to_string(),
        bound,
        retry_after,
    }
}
