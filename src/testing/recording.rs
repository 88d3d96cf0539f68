//! A store in memory: the contract in its shortest form, and a test double that records its calls, and fails or hangs by plan.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::error::StoreError;
use crate::event::dead_letter::DeadLetter;
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::store::{
    Appended, Backlog, EventStore, Execution, Fetch, Fetched, Health, Known, KnownPage, KnownState,
    Letters, Reply, Retained, Settled, Settlement, StoredEvent,
};

/// A store in memory that fulfils the contract, records its calls, and fails or hangs by plan. It keeps nothing beyond the
/// process; a second runtime with the same store has the events of the first one.
#[derive(Debug, Default)]
pub struct RecordingStore {
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    kept: KeptEvents,
    appended: Vec<StoredEvent>,
    settled: Vec<Settled>,
    begun: Vec<RequestId>,
    executions: Vec<Execution>,
    running: HashMap<u32, Vec<RequestId>>,
    appends: usize,
    settles: usize,
    fail_append: Option<usize>,
    hang_append: Option<usize>,
    fail_settle: Option<usize>,
    hanging: Option<HangingAppend>,
    dead: bool,
    latest: Option<SystemTime>,
}

type HangingAppend = (Vec<StoredEvent>, Reply<Vec<Appended>>);

/// The events that the store keeps.
#[derive(Debug, Default)]
struct KeptEvents {
    /// The document of live settings.
    document: Option<String>,
    /// In the order of their appends.
    events: BTreeMap<u64, RecordedEvent>,
    places: HashMap<RequestId, u64>,
    keys: HashMap<(FunctionName, Arc<str>), (RequestId, SystemTime)>,
    came: u64,
    burials: u64,
}

#[derive(Debug)]
struct RecordedEvent {
    event: StoredEvent,
    state: RecordedState,
}

#[derive(Debug)]
enum RecordedState {
    Held,
    Spilled,
    Succeeded(Option<Payload>, u32),
    Cancelled,
    Dead(u64, DeadLetter),
}

impl RecordingStore {
    /// Returns a store that does every call.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Refuses append number `call` (1 is the first).
    pub fn fail_append(&self, call: usize) {
        self.recorded.lock().fail_append = Some(call);
    }

    /// Makes append number `call` wait until [`release`](Self::release).
    pub fn hang_append(&self, call: usize) {
        self.recorded.lock().hang_append = Some(call);
    }

    /// Refuses settlement number `call`.
    pub fn fail_settle(&self, call: usize) {
        self.recorded.lock().fail_settle = Some(call);
    }

    /// Lets the waiting append go on.
    pub fn release(&self) {
        let hanging = self.recorded.lock().hanging.take();
        if let Some((events, reply)) = hanging {
            self.keep(events, reply);
        }
    }

    /// Returns all events that were appended.
    pub fn appended(&self) -> Vec<StoredEvent> {
        self.recorded.lock().appended.clone()
    }

    /// Returns all settlements.
    pub fn settled(&self) -> Vec<Settled> {
        self.recorded.lock().settled.clone()
    }

    /// Returns the events of all crash marks, in the order of the calls.
    pub fn begun(&self) -> Vec<RequestId> {
        self.recorded.lock().begun.clone()
    }

    /// Returns the events of each current crash mark: a process death now would count for them.
    pub fn running(&self) -> Vec<Vec<RequestId>> {
        self.recorded.lock().running.values().cloned().collect()
    }

    /// Ignores all calls until [`reopen`](Self::reopen), as if the process had died.
    pub fn die(&self) {
        self.recorded.lock().dead = true;
    }

    /// Acts as if the process had died and the store were opened again.
    pub fn reopen(&self) {
        let mut recorded = self.recorded.lock();
        recorded.dead = false;
        let ran: Vec<_> = recorded.running.drain().flat_map(|(_, ids)| ids).collect();
        let kept = &mut recorded.kept;
        for event in kept.events.values_mut().filter(|event| event.is_pending()) {
            event.state = RecordedState::Spilled;
            event.event.deaths += u32::from(ran.contains(&event.event.request_id));
        }
    }

    fn keep(&self, events: Vec<StoredEvent>, reply: Reply<Vec<Appended>>) {
        let mut recorded = self.recorded.lock();
        let mut appended_all = Vec::with_capacity(events.len());
        for event in events {
            recorded.latest = recorded.latest.max(Some(event.accepted_at));
            let appended = recorded.kept.append(event.clone());
            if let Appended::Kept(request_id) = appended {
                recorded.appended.push(StoredEvent {
                    request_id,
                    ..event
                });
            }
            appended_all.push(appended);
        }
        drop(recorded);
        reply.send(Ok(appended_all));
    }
}

impl RecordedEvent {
    fn is_pending(&self) -> bool {
        matches!(self.state, RecordedState::Held | RecordedState::Spilled)
    }

    fn is_spilled(&self, function: &FunctionName) -> bool {
        matches!(self.state, RecordedState::Spilled) && self.event.function == *function
    }

    fn known(&self) -> Known {
        let state = match &self.state {
            RecordedState::Held | RecordedState::Spilled => KnownState::Pending {
                due_at: self.event.due_at,
                attempts: self.event.attempt_count,
                attempt: self.event.attempts.last().cloned(),
            },
            RecordedState::Succeeded(result, attempt) => KnownState::Succeeded {
                result: result.clone().unwrap_or_else(Payload::null),
                attempt: *attempt,
            },
            RecordedState::Cancelled => KnownState::Cancelled,
            RecordedState::Dead(_, letter) => KnownState::Dead(letter.clone()),
        };
        Known {
            request_id: self.event.request_id,
            accepted_at: self.event.accepted_at,
            state,
        }
    }
}

impl KeptEvents {
    fn append(&mut self, mut event: StoredEvent) -> Appended {
        if !event.id_is_chosen {
            event.request_id = event.request_id.store_at(self.came + 1);
        }
        if let Some(deduplicate) = &event.deduplicate {
            let key = (event.function.clone(), deduplicate.key.clone());
            let until = event.accepted_at + deduplicate.window;
            match self.keys.get(&key) {
                Some(&(first, until)) if until > event.accepted_at => {
                    return Appended::Duplicate(first);
                }
                _ => drop(self.keys.insert(key, (event.request_id, until))),
            }
        }
        if let Some(letter) = event.redriven_from {
            self.forget(letter);
        }
        let id = event.request_id;
        self.came += 1;
        self.places.insert(id, self.came);
        let state = RecordedState::Held;
        self.events
            .insert(self.came, RecordedEvent { event, state });
        Appended::Kept(id)
    }

    fn get(&mut self, id: RequestId) -> Option<&mut RecordedEvent> {
        self.events.get_mut(self.places.get(&id)?)
    }

    fn forget(&mut self, id: RequestId) {
        if let Some(place) = self.places.remove(&id) {
            self.events.remove(&place);
        }
    }

    fn settle(&mut self, settled: Settled) {
        let burial = self.burials + 1;
        let Some(event) = self.get(settled.request_id) else {
            return;
        };
        match settled.settlement {
            Settlement::Forgotten => self.forget(settled.request_id),
            _ if !event.is_pending() => {}
            Settlement::Succeeded {
                result, attempt, ..
            } => event.state = RecordedState::Succeeded(result, attempt),
            Settlement::Cancelled { .. } => event.state = RecordedState::Cancelled,
            Settlement::Rescheduled {
                attempt,
                uncounted,
                due_at,
            } => {
                let event = &mut event.event;
                (event.attempt_count, event.uncounted) = (attempt.number, uncounted);
                event.due_at = due_at;
                event.attempts.push(*attempt);
            }
            Settlement::Buried(letter) => {
                event.state = RecordedState::Dead(burial, letter);
                self.burials = burial;
            }
        }
    }

    fn due<'a>(
        &'a self,
        function: &'a FunctionName,
    ) -> impl Iterator<Item = (SystemTime, u64)> + 'a {
        let spilled = self
            .events
            .iter()
            .filter(|(_, event)| event.is_spilled(function));
        spilled.map(|(&place, event)| (event.event.due_at, place))
    }
}

impl EventStore for RecordingStore {
    fn append(&self, events: Vec<StoredEvent>, reply: Reply<Vec<Appended>>) {
        let mut recorded = self.recorded.lock();
        recorded.appends += 1;
        let call = Some(recorded.appends);
        if recorded.fail_append == call {
            drop(recorded);
            reply.send(Err(StoreError::new("append refused, as scripted")));
        } else if recorded.hang_append == call {
            recorded.hanging = Some((events, reply));
        } else {
            drop(recorded);
            self.keep(events, reply);
        }
    }

    fn settle(&self, settled: Settled) -> Result<(), StoreError> {
        let mut recorded = self.recorded.lock();
        if recorded.dead {
            return Ok(());
        }
        recorded.settles += 1;
        if recorded.fail_settle == Some(recorded.settles) {
            return Err(StoreError::new("settlement refused, as scripted"));
        }
        recorded.latest = recorded.latest.max(Some(settled.at));
        recorded.settled.push(settled.clone());
        recorded.kept.settle(settled);
        Ok(())
    }

    fn begin(&self, mark: u32, events: &[RequestId]) -> Result<(), StoreError> {
        let mut recorded = self.recorded.lock();
        if recorded.dead {
            return Ok(());
        }
        recorded.running.insert(mark, events.to_vec());
        recorded.begun.extend(events);
        Ok(())
    }

    fn spill(&self, event: RequestId, due_at: SystemTime) {
        let mut recorded = self.recorded.lock();
        if let Some(event) = recorded.kept.get(event).filter(|event| event.is_pending()) {
            event.state = RecordedState::Spilled;
            event.event.due_at = event.event.due_at.max(due_at);
        }
    }

    fn open(&self, function: &FunctionName, _: Retained) -> Backlog {
        let recorded = self.recorded.lock();
        let mut backlog = Backlog::new();
        for event in recorded
            .kept
            .events
            .values()
            .filter(|event| event.is_spilled(function))
        {
            let event = &event.event;
            match event.due_at > event.accepted_at {
                true => backlog.delayed += 1,
                false => backlog.ready += 1,
            }
            backlog.bytes += event.payload.size() as u64;
        }
        backlog.next_due = recorded.kept.due(function).map(|(due, _)| due).min();
        backlog
    }

    fn rename(&self, former: &FunctionName, function: &FunctionName) {
        let kept = &mut self.recorded.lock().kept;
        let events = kept.events.values_mut();
        for event in events.filter(|event| event.event.function == *former) {
            event.event.function = function.clone();
        }
        let keys = kept.keys.extract_if(|(name, _), _| name == former);
        let keys: Vec<_> = keys.collect();
        let keys = keys.into_iter();
        let keys = keys.map(|((_, key), first)| ((function.clone(), key), first));
        kept.keys.extend(keys);
    }

    fn waiting(&self) -> Vec<(FunctionName, u64)> {
        let mut waiting = BTreeMap::new();
        for event in self.recorded.lock().kept.events.values() {
            if matches!(event.state, RecordedState::Spilled) {
                *waiting.entry(event.event.function.clone()).or_default() += 1;
            }
        }
        waiting.into_iter().collect()
    }

    fn fetch(&self, fetch: Fetch, reply: Reply<Fetched>) {
        let mut recorded = self.recorded.lock();
        let mut due: Vec<_> = recorded.kept.due(&fetch.function).collect();
        due.sort_unstable();
        let mut fetched = Fetched::default();
        let mut bytes = 0;
        for (due, place) in due {
            let full = fetched.events.len() >= fetch.events_max || bytes >= fetch.bytes_max;
            if due > fetch.until || full {
                fetched.next_due = Some(due);
                break;
            }
            if let Some(event) = recorded.kept.events.get_mut(&place) {
                event.state = RecordedState::Held;
                bytes += event.event.payload.size() as u64;
                fetched.events.push(event.event.clone());
            }
        }
        drop(recorded);
        reply.send(Ok(fetched));
    }

    fn fetch_one(&self, event: RequestId, reply: Reply<Option<StoredEvent>>) {
        let mut recorded = self.recorded.lock();
        let spilled = |event: &&mut RecordedEvent| matches!(event.state, RecordedState::Spilled);
        let fetched = recorded.kept.get(event).filter(spilled).map(|event| {
            event.state = RecordedState::Held;
            event.event.clone()
        });
        drop(recorded);
        reply.send(Ok(fetched));
    }

    fn locate(&self, event: RequestId) -> Option<FunctionName> {
        let mut recorded = self.recorded.lock();
        recorded
            .kept
            .get(event)
            .map(|event| event.event.function.clone())
    }

    fn look(&self, event: RequestId, reply: Reply<Option<Known>>) {
        let known = self
            .recorded
            .lock()
            .kept
            .get(event)
            .map(|event| event.known());
        reply.send(Ok(known));
    }

    fn overflow(&self, function: &FunctionName, after: u64, limit: usize, reply: Reply<KnownPage>) {
        let recorded = self.recorded.lock();
        let mut page = KnownPage::default();
        for (&place, event) in recorded.kept.events.range(after + 1..) {
            if !event.is_spilled(function) {
                continue;
            }
            if page.events.len() >= limit.max(1) {
                page.next = Some(place - 1);
                break;
            }
            page.events.push(event.known());
        }
        drop(recorded);
        reply.send(Ok(page));
    }

    fn letters(&self, after: u64, limit: usize, reply: Reply<Letters>) {
        let recorded = self.recorded.lock();
        let dead = recorded
            .kept
            .events
            .values()
            .filter_map(|event| match &event.state {
                RecordedState::Dead(burial, letter) => Some((*burial, letter.clone())),
                _ => None,
            });
        let mut dead: Vec<_> = dead.filter(|(burial, _)| *burial > after).collect();
        drop(recorded);
        dead.sort_unstable_by_key(|(burial, _)| *burial);
        let more = dead.len() > limit.max(1);
        dead.truncate(limit.max(1));
        let next = dead.last().map(|(burial, _)| *burial).filter(|_| more);
        let letters = dead.into_iter().map(|(_, letter)| letter).collect();
        reply.send(Ok(Letters { letters, next }));
    }

    fn remember(&self, execution: Execution) -> Result<(), StoreError> {
        self.recorded.lock().executions.push(execution);
        Ok(())
    }

    fn configure(&self, document: String, reply: Reply<()>) {
        self.recorded.lock().kept.document = Some(document);
        reply.send(Ok(()));
    }

    fn configured(&self, reply: Reply<Option<String>>) {
        reply.send(Ok(self.recorded.lock().kept.document.clone()));
    }

    fn executions(&self, reply: Reply<Vec<Execution>>) {
        let executions = self.recorded.lock().executions.clone();
        reply.send(Ok(executions));
    }

    fn sync(&self, reply: Reply<()>) {
        reply.send(Ok(()));
    }

    fn health(&self) -> Health {
        match self.recorded.lock().dead {
            true => Health::Failed("it died, as scripted".to_owned()),
            false => Health::Well,
        }
    }

    /// The first second of 2026, or the latest time that it was recorded.
    fn now(&self) -> SystemTime {
        let recorded = self.recorded.lock();
        recorded
            .latest
            .unwrap_or(SystemTime::UNIX_EPOCH + super::EPOCH)
    }

    fn close(&self, reply: Reply<()>) {
        let mut recorded = self.recorded.lock();
        if !recorded.dead {
            recorded.running.clear();
        }
        drop(recorded);
        reply.send(Ok(()));
    }
}
