//! A store that fails on purpose, around any other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::error::StoreError;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::store::{
    Appended, Backlog, EventStore, Execution, Fetch, Fetched, Health, Known, KnownPage, Letters,
    Reply, Retained, Settled, StoredEvent,
};

/// A kind of call to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreCall {
    /// [`EventStore::append`]
    Append,
    /// [`EventStore::settle`] and [`EventStore::remember`]
    Settle,
    /// [`EventStore::begin`]
    Begin,
    /// [`EventStore::fetch`]
    Fetch,
    /// [`EventStore::configure`]
    Configure,
    /// [`EventStore::sync`]
    Sync,
    /// [`EventStore::configured`], [`EventStore::look`], [`EventStore::overflow`] and [`EventStore::letters`]
    Read,
}

/// The way in which a call of a store goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFault {
    /// The call is refused.
    Fail,
    /// The call gets no reply as long as the store lives; a call without a reply is ignored.
    Hang,
    /// The call panics.
    Panic,
}

/// A store that fails, hangs or panics at chosen calls, and passes all others to the store within.
pub struct FaultyStore {
    inner: Arc<dyn EventStore>,
    plan: Mutex<FaultPlan>,
}

#[derive(Default)]
struct FaultPlan {
    calls: HashMap<StoreCall, usize>,
    faults: HashMap<(StoreCall, usize), StoreFault>,
    always: HashMap<StoreCall, StoreFault>,
    /// Replies that are never sent.
    hanging: Vec<Box<dyn std::any::Any + Send>>,
}

impl std::fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyStore").finish_non_exhaustive()
    }
}

impl FaultyStore {
    /// Returns a store that passes all calls to `inner`.
    pub fn new(inner: Arc<dyn EventStore>) -> Self {
        Self {
            inner,
            plan: Mutex::default(),
        }
    }

    /// Makes the `nth` call of this kind go wrong; 1 is the first.
    pub fn at(self, call: StoreCall, nth: usize, fault: StoreFault) -> Self {
        self.plan.lock().faults.insert((call, nth), fault);
        self
    }

    /// Makes every call of this kind go wrong.
    pub fn always(self, call: StoreCall, fault: StoreFault) -> Self {
        self.plan.lock().always.insert(call, fault);
        self
    }

    /// Returns the number of calls of this kind.
    pub fn calls(&self, call: StoreCall) -> usize {
        self.plan
            .lock()
            .calls
            .get(&call)
            .copied()
            .unwrap_or_default()
    }

    fn fault(&self, call: StoreCall) -> Option<StoreFault> {
        let mut plan = self.plan.lock();
        let count = plan.calls.entry(call).or_default();
        *count += 1;
        let nth = *count;
        let fault = plan.faults.get(&(call, nth)).or(plan.always.get(&call));
        let fault = fault.copied();
        drop(plan);
        assert!(
            fault != Some(StoreFault::Panic),
            "as scripted, {call:?} {nth}"
        );
        fault
    }

    /// Replies in place of the store if this call goes wrong. Otherwise returns the reply.
    fn reply<T: Send + 'static>(&self, call: StoreCall, reply: Reply<T>) -> Option<Reply<T>> {
        match self.fault(call) {
            None => return Some(reply),
            Some(StoreFault::Hang) => self.plan.lock().hanging.push(Box::new(reply)),
            Some(_) => reply.send(Err(refused(call))),
        }
        None
    }

    /// Returns whether the call goes to the store within.
    fn passes(&self, call: StoreCall) -> Result<bool, StoreError> {
        match self.fault(call) {
            None => Ok(true),
            Some(StoreFault::Hang) => Ok(false),
            Some(_) => Err(refused(call)),
        }
    }
}

fn refused(call: StoreCall) -> StoreError {
    StoreError::new(format!("{call:?} refused, as scripted"))
}

impl EventStore for FaultyStore {
    fn append(&self, events: Vec<StoredEvent>, reply: Reply<Vec<Appended>>) {
        if let Some(reply) = self.reply(StoreCall::Append, reply) {
            self.inner.append(events, reply);
        }
    }

    fn settle(&self, settled: Settled) -> Result<(), StoreError> {
        match self.passes(StoreCall::Settle)? {
            true => self.inner.settle(settled),
            false => Ok(()),
        }
    }

    fn begin(&self, mark: u32, events: &[RequestId]) -> Result<(), StoreError> {
        match self.passes(StoreCall::Begin)? {
            true => self.inner.begin(mark, events),
            false => Ok(()),
        }
    }

    fn spill(&self, event: RequestId, due_at: SystemTime) {
        self.inner.spill(event, due_at);
    }

    fn open(&self, function: &FunctionName, retained: Retained) -> Backlog {
        self.inner.open(function, retained)
    }

    fn rename(&self, former: &FunctionName, function: &FunctionName) {
        self.inner.rename(former, function);
    }

    fn waiting(&self) -> Vec<(FunctionName, u64)> {
        self.inner.waiting()
    }

    fn fetch(&self, fetch: Fetch, reply: Reply<Fetched>) {
        if let Some(reply) = self.reply(StoreCall::Fetch, reply) {
            self.inner.fetch(fetch, reply);
        }
    }

    fn fetch_one(&self, event: RequestId, reply: Reply<Option<StoredEvent>>) {
        self.inner.fetch_one(event, reply);
    }

    fn locate(&self, event: RequestId) -> Option<FunctionName> {
        self.inner.locate(event)
    }

    fn look(&self, event: RequestId, reply: Reply<Option<Known>>) {
        if let Some(reply) = self.reply(StoreCall::Read, reply) {
            self.inner.look(event, reply);
        }
    }

    fn overflow(&self, function: &FunctionName, after: u64, limit: usize, reply: Reply<KnownPage>) {
        if let Some(reply) = self.reply(StoreCall::Read, reply) {
            self.inner.overflow(function, after, limit, reply);
        }
    }

    fn letters(&self, after: u64, limit: usize, reply: Reply<Letters>) {
        if let Some(reply) = self.reply(StoreCall::Read, reply) {
            self.inner.letters(after, limit, reply);
        }
    }

    fn remember(&self, execution: Execution) -> Result<(), StoreError> {
        match self.passes(StoreCall::Settle)? {
            true => self.inner.remember(execution),
            false => Ok(()),
        }
    }

    fn configure(&self, document: String, reply: Reply<()>) {
        if let Some(reply) = self.reply(StoreCall::Configure, reply) {
            self.inner.configure(document, reply);
        }
    }

    fn configured(&self, reply: Reply<Option<String>>) {
        if let Some(reply) = self.reply(StoreCall::Read, reply) {
            self.inner.configured(reply);
        }
    }

    fn executions(&self, reply: Reply<Vec<Execution>>) {
        self.inner.executions(reply);
    }

    fn sync(&self, reply: Reply<()>) {
        if let Some(reply) = self.reply(StoreCall::Sync, reply) {
            self.inner.sync(reply);
        }
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn now(&self) -> SystemTime {
        self.inner.now()
    }

    fn close(&self, reply: Reply<()>) {
        self.inner.close(reply);
    }
}
