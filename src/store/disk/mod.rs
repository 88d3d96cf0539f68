//! The store in a folder: an embedded log that survives `kill -9` and the loss of power.
//!
//! ```text
//!  append, settle, park, fetch                     one thread
//!  ─────────────▶ told (a queue) ─────────▶ engine.rs: batch.rs ─▶ log.rs ─▶ sync ─▶ index.rs ─▶ replies
//!                                               │ tidy.rs: seal, remove, move
//!                                               └─ reads ─▶ another thread: reader.rs ─▶ replies
//!  begin ─────────▶ running.rs                  opening: recovery.rs: log.rs ─▶ index.rs
//! ```
//!
//! Everything is told to one queue. Its one writer takes all that waits, writes it in one piece at the end of the log, and
//! syncs once for all who wait; the ends of events ride along. The log is all there is: what each event's state is, and
//! what waits in which order, the index learns from it, and keeps in memory in some ten bytes an event.
//!
//! The files: `00000001.log` and so on, the segments of the log; `running`, which events run at this moment;
//! `configuration`, what was set of functions while they ran; `reserve`, room that is kept back for when the disk is full
//! (`reserve.rs`); `keys`, where what is secret is sealed (`cipher.rs`); and `lock`, which shows people that the folder is
//! locked. Files and folder are their owner's alone when they are made.
//!
//! What was changed from outside is refused by name, or a warning names it: a file that is missing or damaged, and an end
//! that wasn't in order (`log.rs`). What is refused can be looked at (`verify.rs`) and, as far as it can be read, saved into
//! another folder (`salvage.rs`).
//!
#![doc = include_str!("folder.md")]

mod atomic_file;
mod batch;
mod cipher;
mod compaction;
mod configuration;
mod crash_marks;
#[cfg(feature = "encryption")]
mod encryption;
mod engine;
mod file_error;
pub(crate) mod files;
mod frame;
mod function_index;
mod header;
mod index;
mod loaded_segment;
mod log;
mod log_scan;
mod open_segments;
mod reader;
mod record;
mod recovery;
mod reserve;
mod salvage;
mod segment_file;
mod segment_table;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(not(test), allow(dead_code, reason = "the testing kit's"))]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};

use crate::base::clock::Clock;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::store::{
    Appended, Backlog, EventStore, Execution, Fetch, Fetched, Health, Known, KnownPage, Letters,
    Reply, Retained, Settled, StoredEvent,
};
use crate::telemetry;

pub use salvage::{Lost, Salvage};
pub use verify::{Extent, Verification, VerifiedFile, verify};

use batch::Payloads;
use cipher::Unlock;
use crash_marks::CrashMarks;
use engine::{Engine, Op};
use files::{Files, Folder};
use reader::Reader;
use recovery::Recovered;

/// A folder that events are kept in, and how: for [`Builder::disk`](crate::Builder::disk).
///
/// The folder has a file `reserve`, half as long as a file of the log may become, at least 64 KiB and at most 2 MiB: room
/// that a full disk needs for the ends of events. However many files the log has, about 15 are open at once. Without room,
/// or without a descriptor where the log has grown to twice its file's size, events are refused with
/// [`StoreErrorKind::Full`] or [`StoreErrorKind::Short`], until there is some; no file grows beyond what the process may
/// write (`ulimit -f`).
#[derive(Clone)]
#[must_use = "it says what `Builder::disk` is to open"]
pub struct Disk {
    path: PathBuf,
    segment_bytes: u32,
    unlock: Option<Unlock>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("path", &self.path)
            .field("sealed", &self.unlock.is_some())
            .finish_non_exhaustive()
    }
}

impl Disk {
    /// The folder at `path`. It is made if it isn't there: on Unix with mode 0700, and its files with 0600. One that is there
    /// keeps its mode.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            segment_bytes: 64 << 20,
            unlock: None,
        }
    }

    /// From which size on a file of the log is followed by another; 64 MiB unless set, at least 64 KiB. One with very many
    /// small events is followed sooner.
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.segment_bytes = bytes.clamp(64 << 10, 1 << 30);
        self
    }
}

impl Disk {
    /// Opens the folder, for whoever has a use for the store itself; [`Builder::disk`](crate::Builder::disk) does it for
    /// the runtime. Reads the log, and blocks until that is done.
    ///
    /// An end of the process before that wasn't in order is logged as a warning, with the last file, up to which byte it
    /// counts, and how many bytes behind that don't. That is usual after a kill or a loss of power; damage there looks the same.
    ///
    /// # Errors
    /// When another process has it, when it can't be read or written, when a file is damaged or missing, or sealed with
    /// another key: see [`StoreErrorKind`]. A folder that is refused as damaged or for its key is left as it was, but for its
    /// file `lock`; [`salvage`](Self::salvage) saves what can be read of it.
    pub fn open(&self) -> Result<Arc<dyn EventStore>, StoreError> {
        Ok(Arc::new(DiskStore::open(self)?))
    }
}

impl Disk {
    /// As `open`, without threads of its own, for virtual time.
    #[cfg(feature = "testing")]
    pub(crate) fn open_here(&self, clock: Clock) -> Result<Arc<dyn EventStore>, StoreError> {
        let folder = DiskStore::folder(self)?;
        Ok(Arc::new(DiskStore::driven(Arc::new(folder), self, clock)?))
    }
}

impl From<String> for Disk {
    fn from(path: String) -> Self {
        Self::new(path)
    }
}

/// `&str`, `&Path`, `&PathBuf`, `&String`, a borrowed temporary folder …
impl<P: AsRef<Path> + ?Sized> From<&P> for Disk {
    fn from(path: &P) -> Self {
        Self::new(path.as_ref())
    }
}

impl From<PathBuf> for Disk {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

/// How long the ends of events wait for something else to be written with.
const LINGER: Duration = Duration::from_millis(2);
/// Ends that are written without waiting.
const ENDS_MAX: usize = 4_096;
/// Things to be done for which memory is kept.
const OPS_SPARE: usize = 16_384;
/// How often a full disk is asked whether there is room again.
const FULL_RETRY: Duration = Duration::from_millis(100);

/// The store, open.
pub(crate) struct DiskStore {
    shared: Arc<Shared>,
    drive: Drive,
    clock: Clock,
    running: CrashMarks,
}

/// Who does what was told.
enum Drive {
    /// Two threads of the store's own.
    Threads(Mutex<Option<JoinHandle<()>>>),
    /// Whoever tells: virtual time needs one thread.
    #[cfg(any(test, feature = "testing"))]
    Caller(Box<Mutex<Engine>>),
}

struct Shared {
    told: Mutex<Told>,
    /// Something was told that is worth waking for.
    news: Condvar,
    health: Arc<Mutex<Health>>,
    reader: Arc<Reader>,
    /// Held until everything is written and nothing more will be.
    lock: Mutex<Option<Box<dyn std::any::Any + Send + Sync>>>,
}

#[derive(Default)]
struct Told {
    ops: VecDeque<Op>,
    /// Somebody waits for an answer.
    urgent: bool,
    /// The writer sleeps and is to be woken by anything.
    asleep: bool,
    /// Nothing is told any more.
    closed: bool,
}

impl DiskStore {
    /// Opens the store, with threads of its own.
    pub(crate) fn open(disk: &Disk) -> Result<Self, StoreError> {
        Self::threaded(Arc::new(Self::folder(disk)?), disk, Clock::real())
    }

    fn folder(disk: &Disk) -> Result<Folder, StoreError> {
        Folder::new(disk.path.clone()).map_err(|error| {
            let path = disk.path.display();
            StoreError::of(
                StoreErrorKind::Failed,
                format!("can't make the folder `{path}`: {error}"),
            )
        })
    }

    /// Opens the store on a disk and with a clock of the caller's, who does in its own thread what it tells: for virtual
    /// time, and for tests. What nobody waits for is done together with what somebody does.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn driven(
        files: Arc<dyn Files>,
        disk: &Disk,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let (engine, mut store) = Self::recover(files, disk, clock)?;
        store.drive = Drive::Caller(Box::new(Mutex::new(engine)));
        Ok(store)
    }

    fn threaded(files: Arc<dyn Files>, disk: &Disk, clock: Clock) -> Result<Self, StoreError> {
        let (mut engine, mut store) = Self::recover(files, disk, clock)?;
        let (sender, jobs) = mpsc::channel::<engine::ReadJob>();
        let reader = store.shared.reader.clone();
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(run)
                .map_err(|error| {
                    StoreError::new(format!("can't start the store's thread `{name}`: {error}"))
                })
        };
        spawn(
            "redrive-read",
            Box::new(move || jobs.into_iter().for_each(|job| job(&reader))),
        )?;
        let alive = Alive(store.shared.clone());
        let writer = spawn(
            "redrive-write",
            Box::new(move || alive.0.write(&mut engine, &|job| drop(sender.send(job)))),
        )?;
        store.drive = Drive::Threads(Mutex::new(Some(writer)));
        Ok(store)
    }

    fn recover(
        files: Arc<dyn Files>,
        disk: &Disk,
        clock: Clock,
    ) -> Result<(Engine, Self), StoreError> {
        let health = Arc::new(Mutex::new(Health::Well));
        let Recovered {
            engine,
            running,
            lock,
        } = recovery::recover(
            files,
            disk.unlock.as_ref(),
            clock,
            disk.segment_bytes,
            health.clone(),
        )?;
        let shared = Arc::new(Shared {
            told: Mutex::default(),
            news: Condvar::new(),
            health,
            reader: engine.reader.clone(),
            lock: Mutex::new(Some(lock)),
        });
        let store = Self {
            shared,
            drive: Drive::Threads(Mutex::new(None)),
            clock: engine.clock.clone(),
            running,
        };
        Ok((engine, store))
    }

    /// Has it done. One that nobody waits for is refused by the answer, once the store is closed.
    fn tell(&self, op: Op) -> Result<(), StoreError> {
        let urgent = !matches!(op, Op::Settle(_) | Op::Remember(_) | Op::Spill(..));
        let mut told = self.shared.told.lock();
        if told.closed {
            drop(told);
            let closed = StoreError::of(StoreErrorKind::Failed, "the store is closed");
            if matches!(op, Op::Settle(_) | Op::Remember(_)) {
                return Err(closed);
            }
            for job in engine::refuse_all(std::iter::once(op), &closed) {
                job(&self.shared.reader);
            }
            return Ok(());
        }
        told.closed = matches!(op, Op::Close(_));
        told.ops.push_back(op);
        told.urgent |= urgent;
        let wake = urgent || std::mem::take(&mut told.asleep) || told.ops.len() == ENDS_MAX;
        drop(told);
        match &self.drive {
            Drive::Threads(_) if wake => drop(self.shared.news.notify_one()),
            Drive::Threads(_) => {}
            #[cfg(any(test, feature = "testing"))]
            Drive::Caller(engine) if urgent => self.drive(engine),
            #[cfg(any(test, feature = "testing"))]
            Drive::Caller(_) => {}
        }
        Ok(())
    }

    /// Has it done, or hears of a refusal by its reply.
    fn ask(&self, op: Op) {
        let _ = self.tell(op); // only what has no reply is refused so
    }

    /// Does all that was told, unless that is being done by a caller of this one.
    #[cfg(any(test, feature = "testing"))]
    fn drive(&self, engine: &Mutex<Engine>) {
        while let Some(mut engine) = engine.try_lock() {
            let mut ops = std::mem::take(&mut self.shared.told.lock().ops);
            let was_full = engine.is_full();
            if ops.is_empty() && !was_full {
                return;
            }
            if was_full {
                self.drive_all(&mut engine, &mut VecDeque::new());
            }
            self.drive_all(&mut engine, &mut ops);
            if was_full && engine.is_full() && self.shared.told.lock().ops.is_empty() {
                return;
            }
        }
    }

    /// Does all of this, and what has waited, and tidies up.
    #[cfg(any(test, feature = "testing"))]
    fn drive_all(&self, engine: &mut Engine, ops: &mut VecDeque<Op>) {
        loop {
            let jobs = engine.commit(ops);
            jobs.into_iter().for_each(|job| job(&self.shared.reader));
            let mut compacted = false;
            while ops.is_empty() && engine.compact() {
                compacted = true;
            }
            if ops.is_empty() && (engine.waiting.is_empty() || !compacted) {
                return;
            }
        }
    }
}

impl Shared {
    /// The writer's life.
    fn write(&self, engine: &mut Engine, read: &dyn Fn(engine::ReadJob)) {
        let (mut more, mut ops) = (false, VecDeque::new());
        while self.wait(engine, more, &mut ops) {
            engine.commit(&mut ops).into_iter().for_each(read);
            if !ops.is_empty() {
                // More than fits into one commit: it comes before what was told meanwhile.
                let mut told = self.told.lock();
                ops.append(&mut told.ops);
                std::mem::swap(&mut told.ops, &mut ops);
                told.urgent = true;
            }
            // The memory is for what comes next, but not that of a burst.
            ops.shrink_to(OPS_SPARE);
            more = engine.compact();
        }
    }

    /// Waits until there is something to be done, and takes it. `false` when nothing will be told any more and all is done.
    fn wait(&self, engine: &Engine, more: bool, ops: &mut VecDeque<Op>) -> bool {
        // For a moment it looks by itself: the ends of what was just accepted need not wake it.
        let mut looked = false;
        let mut told = self.told.lock();
        loop {
            if told.urgent || more || told.ops.len() >= ENDS_MAX {
                break;
            }
            if told.closed && told.ops.is_empty() {
                return false;
            }
            let wait = if !told.ops.is_empty() {
                Some(LINGER)
            } else if engine.is_full() {
                Some(FULL_RETRY)
            } else {
                engine.sync_in()
            };
            let wait = if looked {
                wait
            } else {
                Some(wait.map_or(LINGER, |wait| wait.min(LINGER)))
            };
            told.asleep = looked && told.ops.is_empty();
            let Some(wait) = wait else {
                self.news.wait(&mut told);
                continue;
            };
            if self.news.wait_for(&mut told, wait).timed_out() {
                let due = engine.sync_in().is_some_and(|due| due.is_zero());
                if looked || due || !told.ops.is_empty() {
                    break;
                }
                looked = true;
            }
        }
        (told.urgent, told.asleep) = (false, false);
        std::mem::swap(&mut told.ops, ops);
        true
    }
}

/// Held by the writer while it lives.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        if thread::panicking() {
            let why = "the store's writer panicked: this is a fault in redrive".to_owned();
            telemetry::store_failed(&why);
            *self.0.health.lock() = Health::Failed(why);
            let mut told = self.0.told.lock();
            told.closed = true;
            let untold = std::mem::take(&mut told.ops);
            drop(told);
            drop(untold); // each reply that is dropped is a refusal
        }
    }
}

impl EventStore for DiskStore {
    fn append(&self, events: Vec<StoredEvent>, reply: Reply<Vec<Appended>>) {
        if let health @ (Health::Full(_) | Health::Failed(_)) = self.health() {
            return reply.send(Err(health.error()));
        }
        // Here and not in the writer: whoever sends the event pays for its JSON.
        match Payloads::of(&events) {
            Ok(payloads) => self.ask(Op::Append(events, payloads, reply)),
            Err(error) => reply.send(Err(error)),
        }
    }

    fn settle(&self, settled: Settled) -> Result<(), StoreError> {
        if let health @ Health::Failed(_) = self.health() {
            return Err(health.error());
        }
        if let crate::store::Settlement::Succeeded {
            result: Some(result),
            ..
        } = &settled.settlement
        {
            result.json().map_err(|error| {
                StoreError::new(format!("the result can't be written: {error}"))
            })?;
        }
        self.tell(Op::Settle(settled))
    }

    fn begin(&self, lane: u32, events: &[RequestId]) -> Result<(), StoreError> {
        self.running.begin(lane, events).map_err(|error| {
            file_error::io_error(
                &*self.shared.reader.files,
                crash_marks::NAME,
                "write to",
                &error,
            )
        })
    }

    fn spill(&self, event: RequestId, due_at: SystemTime) {
        self.ask(Op::Spill(event, record::nanos(due_at)));
    }

    fn open(&self, function: &FunctionName, retained: Retained) -> Backlog {
        let now = self.clock.now().0;
        let mut index = self.shared.reader.index.lock();
        let parked = index.open(function, retained, now);
        Backlog {
            ready: parked.ready,
            delayed: parked.delayed,
            bytes: parked.bytes,
            next_due: index.next_due(function).map(record::time),
        }
    }

    fn rename(&self, former: &FunctionName, function: &FunctionName) {
        self.shared.reader.index.lock().rename(former, function);
    }

    fn waiting(&self) -> Vec<(FunctionName, u64)> {
        let index = self.shared.reader.index.lock();
        index
            .waiting()
            .map(|(name, events)| (name.clone(), events))
            .collect()
    }

    fn fetch(&self, fetch: Fetch, reply: Reply<Fetched>) {
        self.ask(Op::Fetch(fetch, reply));
    }

    fn fetch_one(&self, event: RequestId, reply: Reply<Option<StoredEvent>>) {
        self.ask(Op::FetchOne(event, reply));
    }

    fn locate(&self, event: RequestId) -> Option<FunctionName> {
        let index = self.shared.reader.index.lock();
        let entry = index.entry(index.seq(event)?)?;
        Some(index.name(entry.function).clone())
    }

    fn look(&self, event: RequestId, reply: Reply<Option<Known>>) {
        self.ask(Op::Read(Box::new(move |reader| {
            reply.send(reader.look(event))
        })));
    }

    fn overflow(&self, function: &FunctionName, after: u64, limit: usize, reply: Reply<KnownPage>) {
        let function = function.clone();
        let job = move |reader: &Reader| reply.send(reader.overflow(&function, after, limit));
        self.ask(Op::Read(Box::new(job)));
    }

    fn letters(&self, after: u64, limit: usize, reply: Reply<Letters>) {
        let job = move |reader: &Reader| reply.send(reader.letters(after, limit));
        self.ask(Op::Read(Box::new(job)));
    }

    fn remember(&self, execution: Execution) -> Result<(), StoreError> {
        if let health @ Health::Failed(_) = self.health() {
            return Err(health.error());
        }
        if let Some(result) = &execution.result {
            result.json().map_err(|error| {
                StoreError::new(format!("the result can't be written: {error}"))
            })?;
        }
        self.tell(Op::Remember(Box::new(execution)))
    }

    fn executions(&self, reply: Reply<Vec<Execution>>) {
        self.ask(Op::Read(Box::new(move |reader| {
            reply.send(reader.executions())
        })));
    }

    fn configure(&self, document: String, reply: Reply<()>) {
        self.ask(Op::Configure(document, reply));
    }

    fn configured(&self, reply: Reply<Option<String>>) {
        self.ask(Op::Read(Box::new(move |reader| {
            reply.send(reader.configured())
        })));
    }

    fn sync(&self, reply: Reply<()>) {
        self.ask(Op::Sync(reply));
    }

    fn health(&self) -> Health {
        let health = self.shared.health.lock().clone();
        // Where no thread looks whether there is room again, it is looked now.
        #[cfg(any(test, feature = "testing"))]
        if let (Health::Full(_), Drive::Caller(engine)) = (&health, &self.drive) {
            self.drive(engine);
            return self.shared.health.lock().clone();
        }
        health
    }

    fn now(&self) -> SystemTime {
        self.clock.now().stored()
    }

    fn close(&self, reply: Reply<()>) {
        // Whoever runs at this moment was told to stop: that is no death.
        if let Err(error) = self.running.close() {
            telemetry::store_error(&format!("can't clear `{}`: {error}", crash_marks::NAME));
        }
        let shared = Arc::downgrade(&self.shared);
        self.ask(Op::Close(Reply::new(move |closed| {
            if let Some(shared) = shared.upgrade() {
                drop(shared.lock.lock().take());
            }
            reply.send(closed);
        })));
    }
}

impl Health {
    /// Why nothing is taken.
    fn error(self) -> StoreError {
        match self {
            Self::Full(why) => StoreError::of(StoreErrorKind::Full, why),
            Self::Failed(why) => StoreError::of(StoreErrorKind::Failed, why),
            Self::Well => StoreError::new("the store is well"),
        }
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        // The folder is free, and what was told is written, when the store is gone.
        let mut told = self.shared.told.lock();
        if !std::mem::replace(&mut told.closed, true) {
            told.ops.push_back(Op::Close(Reply::new(|_| ())));
        }
        told.urgent = true;
        drop(told);
        match &self.drive {
            Drive::Threads(writer) => {
                self.shared.news.notify_one();
                if let Some(writer) = writer.lock().take() {
                    let _ = writer.join(); // a panic in it was reported by itself
                }
            }
            #[cfg(any(test, feature = "testing"))]
            Drive::Caller(engine) => self.drive(engine),
        }
    }
}
