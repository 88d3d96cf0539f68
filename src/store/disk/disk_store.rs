//! The open store: [`EventStore`] by enqueueing each call for the writer, or by a look at the index.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::crash_marks::{self, CrashMarks};
use super::file_error::io_error;
use super::files::{Files, Folder};
use super::group_commit::Engine;
use super::op::Op;
use super::payloads::Payloads;
use super::reader::Reader;
use super::record;
use super::recovery::{self, Recovered};
use super::settings::Disk;
use super::threads::StoreThreads;
use super::writer::{Drive, Writer};
use crate::base::clock::Clock;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::store::{
    Appended, Backlog, EventStore, Execution, Fetch, Fetched, Health, Known, KnownPage, Letters,
    Reply, Retained, Settled, Settlement, StoredEvent,
};
use crate::telemetry;

/// The store, open.
pub(crate) struct DiskStore {
    writer: Arc<Writer>,
    drive: Box<dyn Drive>,
    clock: Clock,
    crash_marks: CrashMarks,
}

impl Disk {
    /// Opens the folder as a store, for programs that use the store directly; [`Builder::disk`](crate::Builder::disk) opens
    /// it for the runtime. Reads the log, and blocks until that is done.
    ///
    /// If the process before did not close the store, a warning is logged with the last file, the byte up to which it
    /// counts, and the number of bytes after it. That is usual after a kill or a loss of power; damage there looks the same.
    ///
    /// # Errors
    /// When another process uses the folder, when it can't be read or written, when a file is damaged or missing, or
    /// encrypted with another key: see [`StoreErrorKind`]. A folder that is refused as damaged or for its key is left as it
    /// was, but for its file `lock`; [`salvage`](Self::salvage) saves its readable events.
    pub fn open(&self) -> Result<Arc<dyn EventStore>, StoreError> {
        Ok(Arc::new(DiskStore::open(self)?))
    }
}

impl DiskStore {
    /// Opens the store, with its two threads.
    pub(crate) fn open(disk: &Disk) -> Result<Self, StoreError> {
        Self::threaded(Arc::new(Self::folder(disk)?), disk, Clock::real())
    }

    pub(super) fn threaded(
        files: Arc<dyn Files>,
        disk: &Disk,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        Self::open_with(files, disk, clock, |engine, writer| {
            Ok(Box::new(StoreThreads::start(engine, writer)?))
        })
    }

    pub(super) fn folder(disk: &Disk) -> Result<Folder, StoreError> {
        Folder::new(disk.path.clone()).map_err(|error| {
            let path = disk.path.display();
            StoreError::of(
                StoreErrorKind::Failed,
                format!("can't make the folder `{path}`: {error}"),
            )
        })
    }

    pub(super) fn open_with(
        files: Arc<dyn Files>,
        disk: &Disk,
        clock: Clock,
        drive: impl FnOnce(Engine, &Arc<Writer>) -> Result<Box<dyn Drive>, StoreError>,
    ) -> Result<Self, StoreError> {
        let health = Arc::new(Mutex::new(Health::Well));
        let Recovered {
            engine,
            crash_marks,
            lock,
        } = recovery::recover(
            files,
            disk.unlock.as_ref(),
            clock,
            disk.segment_bytes,
            health.clone(),
        )?;
        let writer = Arc::new(Writer::new(engine.reader.clone(), health, lock));
        Ok(Self {
            clock: engine.clock.clone(),
            drive: drive(engine, &writer)?,
            writer,
            crash_marks,
        })
    }

    fn enqueue(&self, op: Op) -> Result<(), StoreError> {
        self.writer.enqueue(op, &*self.drive)
    }

    /// Enqueues an operation that has a reply, or is not needed in a closed store.
    fn request(&self, op: Op) {
        let _ = self.enqueue(op); // refusals go to the reply
    }

    /// Enqueues a read that sees all earlier calls.
    fn read<T: 'static>(
        &self,
        reply: Reply<T>,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) {
        self.request(Op::Read(Box::new(move |reader| reply.send(read(reader)))));
    }

    /// Refuses a settlement or a result if the store has failed, or if it can't be written.
    fn check(&self, result: Option<&Payload>) -> Result<(), StoreError> {
        if let health @ Health::Failed(_) = self.health() {
            return Err(health.error());
        }
        let Some(result) = result else {
            return Ok(());
        };
        // Here and not in the writer: the worker pays for its JSON.
        let json = result.json();
        json.map(drop)
            .map_err(|error| StoreError::new(format!("the result can't be written: {error}")))
    }
}

impl EventStore for DiskStore {
    fn append(&self, events: Vec<StoredEvent>, reply: Reply<Vec<Appended>>) {
        if let health @ (Health::Full(_) | Health::Failed(_)) = self.health() {
            return reply.send(Err(health.error()));
        }
        // Here and not in the writer: the caller pays for its JSON.
        match Payloads::of(&events) {
            Ok(payloads) => self.request(Op::Append(events, payloads, reply)),
            Err(error) => reply.send(Err(error)),
        }
    }

    fn settle(&self, settled: Settled) -> Result<(), StoreError> {
        let result = match &settled.settlement {
            Settlement::Succeeded { result, .. } => result.as_ref(),
            _ => None,
        };
        self.check(result)?;
        self.enqueue(Op::Settle(settled))
    }

    fn begin(&self, mark: u32, events: &[RequestId]) -> Result<(), StoreError> {
        self.crash_marks.begin(mark, events).map_err(|error| {
            io_error(
                &*self.writer.reader.files,
                crash_marks::NAME,
                "write to",
                &error,
            )
        })
    }

    fn spill(&self, event: RequestId, due_at: SystemTime) {
        self.request(Op::Spill(event, record::nanos(due_at)));
    }

    fn open(&self, function: &FunctionName, retained: Retained) -> Backlog {
        let now = self.clock.now().0;
        let mut index = self.writer.reader.index.lock();
        let overflow = index.open(function, retained, now);
        Backlog {
            ready: overflow.ready,
            delayed: overflow.delayed,
            bytes: overflow.bytes,
            next_due: index.next_due(function).map(record::time),
        }
    }

    fn rename(&self, former: &FunctionName, function: &FunctionName) {
        self.writer
            .reader
            .index
            .lock()
            .functions
            .rename(former, function);
    }

    fn waiting(&self) -> Vec<(FunctionName, u64)> {
        let index = self.writer.reader.index.lock();
        index
            .functions
            .waiting()
            .map(|(name, events)| (name.clone(), events))
            .collect()
    }

    fn fetch(&self, fetch: Fetch, reply: Reply<Fetched>) {
        self.request(Op::Fetch(fetch, reply));
    }

    fn fetch_one(&self, event: RequestId, reply: Reply<Option<StoredEvent>>) {
        self.request(Op::FetchOne(event, reply));
    }

    fn locate(&self, event: RequestId) -> Option<FunctionName> {
        let index = self.writer.reader.index.lock();
        let entry = index.entry(index.seq(event)?)?;
        Some(index.functions.name(entry.function).clone())
    }

    fn look(&self, event: RequestId, reply: Reply<Option<Known>>) {
        self.read(reply, move |reader| reader.look(event));
    }

    fn overflow(&self, function: &FunctionName, after: u64, limit: usize, reply: Reply<KnownPage>) {
        let function = function.clone();
        self.read(reply, move |reader| {
            reader.overflow(&function, after, limit)
        });
    }

    fn letters(&self, after: u64, limit: usize, reply: Reply<Letters>) {
        self.read(reply, move |reader| reader.letters(after, limit));
    }

    fn remember(&self, execution: Execution) -> Result<(), StoreError> {
        self.check(execution.result.as_ref())?;
        self.enqueue(Op::Remember(Box::new(execution)))
    }

    fn executions(&self, reply: Reply<Vec<Execution>>) {
        self.read(reply, Reader::executions);
    }

    fn configure(&self, document: String, reply: Reply<()>) {
        self.request(Op::Configure(document, reply));
    }

    fn configured(&self, reply: Reply<Option<String>>) {
        self.read(reply, Reader::configured);
    }

    fn sync(&self, reply: Reply<()>) {
        self.request(Op::Sync(reply));
    }

    fn health(&self) -> Health {
        let health = self.writer.health();
        if matches!(health, Health::Full(_)) && self.drive.retry_full(&self.writer) {
            return self.writer.health();
        }
        health
    }

    fn now(&self) -> SystemTime {
        self.clock.now().stored()
    }

    fn close(&self, reply: Reply<()>) {
        // The runtime has stopped its workers: events that still run did not kill the process.
        if let Err(error) = self.crash_marks.close() {
            telemetry::store_error(&format!("can't clear `{}`: {error}", crash_marks::NAME));
        }
        let writer = Arc::downgrade(&self.writer);
        self.request(Op::Close(Reply::new(move |closed| {
            if let Some(writer) = writer.upgrade() {
                writer.unlock_folder();
            }
            reply.send(closed);
        })));
    }
}

impl Health {
    /// Returns the error of a refused call.
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
        // Once the store is dropped, all calls are written and the folder is free.
        self.writer.close();
        self.drive.finish(&self.writer);
    }
}
