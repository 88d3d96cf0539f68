//! A store without threads: each caller that waits for a reply does all that is enqueued, in its own thread.
//!
//! For virtual time, and for tests on a simulated disk. Settlements are done together with the next call that has a reply.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk_store::DiskStore;
use super::files::Files;
use super::group_commit::Engine;
use super::op::Op;
use super::settings::Disk;
use super::writer::{Drive, Writer};
use crate::base::clock::Clock;
use crate::error::StoreError;
use crate::store::EventStore;

impl Disk {
    /// Opens the folder as `open` does, but without threads.
    pub(crate) fn open_here(&self, clock: Clock) -> Result<Arc<dyn EventStore>, StoreError> {
        let folder = DiskStore::folder(self)?;
        Ok(Arc::new(DiskStore::driven(Arc::new(folder), self, clock)?))
    }
}

impl DiskStore {
    /// Opens the store on a disk and with a clock of the caller's, without threads.
    pub(crate) fn driven(
        files: Arc<dyn Files>,
        disk: &Disk,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        Self::open_with(files, disk, clock, |engine, _| {
            Ok(Box::new(CallerThread {
                engine: Mutex::new(engine),
            }))
        })
    }
}

struct CallerThread {
    engine: Mutex<Engine>,
}

impl Drive for CallerThread {
    fn enqueued(&self, writer: &Writer, urgent: bool, _wake: bool) {
        if urgent {
            self.run(writer);
        }
    }

    fn retry_full(&self, writer: &Writer) -> bool {
        self.run(writer);
        true
    }

    fn finish(&self, writer: &Writer) {
        self.run(writer);
    }
}

impl CallerThread {
    /// Does all that is enqueued, unless a caller of this one is doing that already.
    fn run(&self, writer: &Writer) {
        while let Some(mut engine) = self.engine.try_lock() {
            let mut ops = std::mem::take(&mut writer.queue.lock().ops);
            let was_full = engine.health.is_full();
            if ops.is_empty() && !was_full {
                return;
            }
            if was_full {
                run_all(writer, &mut engine, &mut VecDeque::new());
            }
            run_all(writer, &mut engine, &mut ops);
            if was_full && engine.health.is_full() && writer.queue.lock().ops.is_empty() {
                return;
            }
        }
    }
}

/// Does `ops` and those that wait for room, and compacts.
fn run_all(writer: &Writer, engine: &mut Engine, ops: &mut VecDeque<Op>) {
    loop {
        let jobs = engine.commit(ops);
        jobs.into_iter().for_each(|job| job(&writer.reader));
        let mut compacted = false;
        while ops.is_empty() && engine.compact() {
            compacted = true;
        }
        if ops.is_empty() && (engine.waiting.is_empty() || !compacted) {
            return;
        }
    }
}
