//! The contract of stores over a database of sorted keys, as far as this benchmark needs it, with group commit.
//!
//! ```text
//! pending     due | number of the event     ─▶ request id | payload
//! finished    request id                    ─▶ the time of its end
//! ```
//!
//! One thread takes all that waits, commits it as one batch, syncs once, and replies. Settlements wait for a batch as they do
//! in redrive's store. It does less than redrive's store: no deduplication keys, retries, dead letters, results, crash marks
//! or queries, and nothing is read back at a start. So its rates are upper bounds for the database.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};
use redrive::store::{
    Appended, Backlog, EventStore, Execution, Fetch, Fetched, Health, Known, KnownPage, Letters,
    Reply, Retained, Settled, StoredEvent,
};
use redrive::{FunctionName, Payload, RequestId, StoreError};

use crate::Result;

/// The time for which settlements wait for an append to be committed with, as in redrive's store.
const SETTLEMENTS_WAIT: Duration = Duration::from_millis(2);
/// The number of settlements that are committed without waiting.
const SETTLEMENTS_MAX: usize = 4_096;

/// A table of a database.
#[derive(Clone, Copy)]
pub enum Table {
    Pending,
    Finished,
}

/// A change of a table.
pub enum Change {
    Put(Table, Vec<u8>, Vec<u8>),
    Remove(Table, Vec<u8>),
}

/// A database of sorted keys.
pub trait Database: Send + 'static {
    /// Applies all changes or none; if `durable`, they are on the disk when it returns.
    fn commit(&mut self, changes: Vec<Change>, durable: bool) -> Result<()>;

    /// Passes the pending entries from the key `from` on to `visit`, in order, until that returns `false`.
    fn scan(&self, from: Key, visit: &mut dyn FnMut(Key, &[u8]) -> bool) -> Result<()>;
}

/// A due time in milliseconds, then the number of the event; both big-endian.
pub type Key = [u8; 16];

/// Opens the store over an empty database.
pub fn open(database: impl Database) -> Result<Arc<dyn EventStore>> {
    let intake = Arc::new(Intake::default());
    let writer = Writer {
        intake: intake.clone(),
        database,
        held: HashMap::new(),
        cursor: Key::default(),
        template: None,
        finished: VecDeque::new(),
        next: 0,
    };
    let thread = std::thread::Builder::new().name("keyed".to_owned());
    let thread = Mutex::new(Some(thread.spawn(move || writer.run())?));
    Ok(Arc::new(KeyedStore { intake, thread }))
}

enum Op {
    Append(Vec<StoredEvent>, Reply<Vec<Appended>>),
    Settle(Settled),
    Spill(RequestId),
    Fetch(Fetch, Reply<Fetched>),
    Sync(Reply<()>),
    Close(Reply<()>),
}

#[derive(Default)]
struct Intake {
    queue: Mutex<Queue>,
    news: Condvar,
    retained: Mutex<usize>,
}

#[derive(Default)]
struct Queue {
    ops: Vec<Op>,
    /// A caller waits for a reply.
    is_urgent: bool,
}

impl Intake {
    fn push(&self, op: Op) {
        let urgent = !matches!(op, Op::Settle(_) | Op::Spill(..));
        let mut queue = self.queue.lock();
        let wake = urgent || queue.ops.is_empty() || queue.ops.len() == SETTLEMENTS_MAX;
        queue.ops.push(op);
        queue.is_urgent |= urgent;
        drop(queue);
        if wake {
            self.news.notify_one();
        }
    }

    fn take(&self) -> Vec<Op> {
        let mut queue = self.queue.lock();
        while queue.ops.is_empty() {
            self.news.wait(&mut queue);
        }
        while !queue.is_urgent && queue.ops.len() < SETTLEMENTS_MAX {
            if self.news.wait_for(&mut queue, SETTLEMENTS_WAIT).timed_out() {
                break;
            }
        }
        queue.is_urgent = false;
        std::mem::take(&mut queue.ops)
    }
}

struct Writer<D> {
    intake: Arc<Intake>,
    database: D,
    /// The keys of the events that the runtime holds.
    held: HashMap<RequestId, Key>,
    /// No event in the overflow has a smaller key.
    cursor: Key,
    /// An event whose fields the fetched ones share.
    template: Option<StoredEvent>,
    /// The finished events that are kept, the oldest first.
    finished: VecDeque<RequestId>,
    next: u64,
}

impl<D: Database> Writer<D> {
    fn run(mut self) {
        loop {
            let mut replies: Vec<Box<dyn FnOnce(Result<(), StoreError>)>> = Vec::new();
            let (mut changes, mut fetches, mut closed) = (Vec::new(), Vec::new(), false);
            for op in self.intake.take() {
                match op {
                    Op::Append(events, reply) => {
                        let appended = self.append(events, &mut changes);
                        replies.push(Box::new(|done| reply.send(done.map(|()| appended))));
                    }
                    Op::Settle(settled) => self.settle(&settled, &mut changes),
                    Op::Spill(id) => {
                        if let Some(key) = self.held.remove(&id) {
                            self.cursor = self.cursor.min(key);
                        }
                    }
                    Op::Fetch(fetch, reply) => fetches.push((fetch, reply)),
                    Op::Sync(reply) => replies.push(Box::new(|done| reply.send(done))),
                    Op::Close(reply) => {
                        closed = true;
                        replies.push(Box::new(|done| reply.send(done)));
                    }
                }
            }
            let durable = !replies.is_empty();
            let committed = match changes.is_empty() && !closed {
                true => Ok(()),
                false => self.database.commit(changes, durable),
            };
            let committed = committed.map_err(|error| StoreError::new(error.to_string()));
            for reply in replies {
                reply(committed.clone());
            }
            for (fetch, reply) in fetches {
                let fetched = self.fetch(&fetch);
                reply.send(fetched.map_err(|error| StoreError::new(error.to_string())));
            }
            if closed {
                return;
            }
        }
    }

    fn append(&mut self, events: Vec<StoredEvent>, changes: &mut Vec<Change>) -> Vec<Appended> {
        let append = |event: StoredEvent| {
            self.next += 1;
            let mut key = Key::default();
            key[..8].copy_from_slice(&milliseconds(event.due_at).to_be_bytes());
            key[8..].copy_from_slice(&self.next.to_be_bytes());
            let json = event.payload.json().map(|json| json.get()).unwrap_or("");
            let mut value = event.request_id.as_uuid().as_bytes().to_vec();
            value.extend_from_slice(json.as_bytes());
            changes.push(Change::Put(Table::Pending, key.to_vec(), value));
            let id = event.request_id;
            self.held.insert(id, key);
            self.template.get_or_insert(event);
            Appended::Kept(id)
        };
        events.into_iter().map(append).collect()
    }

    fn settle(&mut self, settled: &Settled, changes: &mut Vec<Change>) {
        let id = settled.request_id;
        let Some(key) = self.held.remove(&id) else {
            return;
        };
        changes.push(Change::Remove(Table::Pending, key.to_vec()));
        let at = milliseconds(settled.at).to_be_bytes();
        let finished = id.as_uuid().as_bytes().to_vec();
        changes.push(Change::Put(Table::Finished, finished, at.to_vec()));
        self.finished.push_back(id);
        if self.finished.len() > *self.intake.retained.lock()
            && let Some(oldest) = self.finished.pop_front()
        {
            let oldest = oldest.as_uuid().as_bytes().to_vec();
            changes.push(Change::Remove(Table::Finished, oldest));
        }
    }

    fn fetch(&mut self, fetch: &Fetch) -> Result<Fetched> {
        let mut fetched = Fetched::default();
        let Some(template) = &self.template else {
            return Ok(fetched);
        };
        let until = milliseconds(fetch.until);
        let (mut cursor, mut bytes, mut taken) = (self.cursor, 0, Vec::new());
        self.database.scan(self.cursor, &mut |key, value| {
            let (id, payload) = value.split_at(16);
            let mut uuid = [0; 16];
            uuid.copy_from_slice(id);
            let id = RequestId::from(uuid::Uuid::from_bytes(uuid));
            if self.held.contains_key(&id) {
                return true;
            }
            let mut due = [0; 8];
            due.copy_from_slice(&key[..8]);
            let due = u64::from_be_bytes(due);
            cursor = key;
            if due > until || taken.len() >= fetch.events_max || bytes >= fetch.bytes_max {
                fetched.next_due = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(due));
                return false;
            }
            bytes += payload.len() as u64;
            let mut event = template.clone();
            event.request_id = id;
            let json = String::from_utf8_lossy(payload).into_owned();
            event.payload = Payload::from_json(json).expect("it was JSON");
            event.due_at = SystemTime::UNIX_EPOCH + Duration::from_millis(due);
            (event.accepted_at, event.first_due_at) = (event.due_at, event.due_at);
            fetched.events.push(event);
            taken.push((id, key));
            true
        })?;
        self.held.extend(taken);
        self.cursor = cursor;
        Ok(fetched)
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

struct KeyedStore {
    intake: Arc<Intake>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EventStore for KeyedStore {
    fn append(&self, events: Vec<StoredEvent>, reply: Reply<Vec<Appended>>) {
        self.intake.push(Op::Append(events, reply));
    }

    fn settle(&self, settled: Settled) -> Result<(), StoreError> {
        self.intake.push(Op::Settle(settled));
        Ok(())
    }

    fn begin(&self, _: u32, _: &[RequestId]) -> Result<(), StoreError> {
        Ok(())
    }

    fn spill(&self, event: RequestId, _: SystemTime) {
        self.intake.push(Op::Spill(event));
    }

    fn open(&self, _: &FunctionName, retained: Retained) -> Backlog {
        *self.intake.retained.lock() = retained.events_max as usize;
        Backlog::new()
    }

    fn rename(&self, _: &FunctionName, _: &FunctionName) {}

    fn waiting(&self) -> Vec<(FunctionName, u64)> {
        Vec::new()
    }

    fn fetch(&self, fetch: Fetch, reply: Reply<Fetched>) {
        self.intake.push(Op::Fetch(fetch, reply));
    }

    fn fetch_one(&self, _: RequestId, reply: Reply<Option<StoredEvent>>) {
        reply.send(Ok(None));
    }

    fn locate(&self, _: RequestId) -> Option<FunctionName> {
        None
    }

    fn look(&self, _: RequestId, reply: Reply<Option<Known>>) {
        reply.send(Ok(None));
    }

    fn overflow(&self, _: &FunctionName, _: u64, _: usize, reply: Reply<KnownPage>) {
        reply.send(Ok(KnownPage::default()));
    }

    fn letters(&self, _: u64, _: usize, reply: Reply<Letters>) {
        reply.send(Ok(Letters::default()));
    }

    fn remember(&self, _: Execution) -> Result<(), StoreError> {
        Err(StoreError::new("results of executions are not kept"))
    }

    fn executions(&self, reply: Reply<Vec<Execution>>) {
        reply.send(Ok(Vec::new()));
    }

    fn configure(&self, _: String, reply: Reply<()>) {
        reply.send(Err(StoreError::new("the configuration is not kept")));
    }

    fn configured(&self, reply: Reply<Option<String>>) {
        reply.send(Ok(None));
    }

    fn sync(&self, reply: Reply<()>) {
        self.intake.push(Op::Sync(reply));
    }

    fn health(&self) -> Health {
        Health::Well
    }

    fn close(&self, reply: Reply<()>) {
        self.intake.push(Op::Close(reply));
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}
