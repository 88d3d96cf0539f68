//! The writer: the queue of all calls to the store, and the loop of the thread that does them.
//!
//! Callers enqueue; one thread takes the whole queue, commits it with the engine, and compacts in between. A caller that
//! waits for a reply wakes the thread at once; settlements wait up to 2 ms to be written together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::group_commit::Engine;
use super::op::{self, Op, ReadJob};
use super::reader::Reader;
use super::recovery::Lock;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Health, Reply};
use crate::telemetry;

/// How long settlements wait for other operations to be written with.
const GATHER: Duration = Duration::from_millis(2);
/// The number of settlements that are written without waiting.
const SETTLEMENTS_MAX: usize = 4_096;
/// The number of operations for which memory is kept.
const OPS_SPARE: usize = 16_384;
/// How often the writer of a full disk tries again.
const FULL_RETRY: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    pub(super) queue: Mutex<OpQueue>,
    /// Notified when the writer's thread should look at the queue.
    wake: Condvar,
    health: Arc<Mutex<Health>>,
    pub(super) reader: Arc<Reader>,
    /// Held until the last write: then another process may use the folder.
    lock: Mutex<Option<Lock>>,
}

#[derive(Default)]
pub(super) struct OpQueue {
    pub(super) ops: VecDeque<Op>,
    /// A caller waits for a reply.
    urgent: bool,
    /// The writer's thread sleeps without a timeout: any operation wakes it.
    asleep: bool,
    /// No operation is accepted any more.
    closed: bool,
}

/// The thread that does the operations of a [`Writer`].
pub(super) trait Drive: Send + Sync {
    /// An operation was enqueued. A caller waits for it if it is `urgent`; the writer must `wake` for it, or finds it soon.
    fn enqueued(&self, writer: &Writer, urgent: bool, wake: bool);

    /// Looks for room on a full disk, if no thread does so by itself. Returns whether it did.
    fn retry_full(&self, writer: &Writer) -> bool;

    /// Does all that is enqueued, and ends. The queue is closed.
    fn finish(&self, writer: &Writer);
}

impl Writer {
    pub(super) fn new(reader: Arc<Reader>, health: Arc<Mutex<Health>>, lock: Lock) -> Self {
        Self {
            queue: Mutex::default(),
            wake: Condvar::new(),
            health,
            reader,
            lock: Mutex::new(Some(lock)),
        }
    }

    pub(super) fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Enqueues an operation. A closed store refuses it: with an error here if it has no reply.
    pub(super) fn enqueue(&self, op: Op, drive: &dyn Drive) -> Result<(), StoreError> {
        let urgent = !matches!(op, Op::Settle(_) | Op::Remember(_) | Op::Spill(..));
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return self.refuse(op);
        }
        queue.closed = matches!(op, Op::Close(_));
        queue.ops.push_back(op);
        queue.urgent |= urgent;
        let wake =
            urgent || std::mem::take(&mut queue.asleep) || queue.ops.len() == SETTLEMENTS_MAX;
        drop(queue);
        drive.enqueued(self, urgent, wake);
        Ok(())
    }

    fn refuse(&self, op: Op) -> Result<(), StoreError> {
        let closed = StoreError::of(StoreErrorKind::Failed, "the store is closed");
        if matches!(op, Op::Settle(_) | Op::Remember(_)) {
            return Err(closed);
        }
        for job in op::refuse_all(std::iter::once(op), &closed) {
            job(&self.reader);
        }
        Ok(())
    }

    /// Wakes the writer's thread.
    pub(super) fn notify(&self) {
        self.wake.notify_one();
    }

    /// Accepts no operation any more, and closes the engine after the last one.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        if !std::mem::replace(&mut queue.closed, true) {
            queue.ops.push_back(Op::Close(Reply::new(|_| ())));
        }
        queue.urgent = true;
    }

    /// Lets other processes use the folder.
    pub(super) fn unlock_folder(&self) {
        drop(self.lock.lock().take());
    }

    /// Fails the store, and refuses all that is enqueued.
    pub(super) fn fail(&self, why: String) {
        telemetry::store_failed(&why);
        *self.health.lock() = Health::Failed(why);
        let mut queue = self.queue.lock();
        queue.closed = true;
        let ops = std::mem::take(&mut queue.ops);
        drop(queue);
        drop(ops); // each reply that is dropped is a refusal
    }

    /// Runs the writer's thread until the store is closed. `read` hands over the jobs of the reader's thread.
    pub(super) fn run(&self, engine: &mut Engine, read: &dyn Fn(ReadJob)) {
        let (mut compacting, mut ops) = (false, VecDeque::new());
        while self.wait(engine, compacting, &mut ops) {
            engine.commit(&mut ops).into_iter().for_each(read);
            if !ops.is_empty() {
                self.put_back(&mut ops);
            }
            // The memory is kept for the next commit, but not that of a burst.
            ops.shrink_to(OPS_SPARE);
            compacting = engine.compact();
        }
    }

    /// Puts back the operations that did not fit into one commit, before those that were enqueued meanwhile.
    fn put_back(&self, ops: &mut VecDeque<Op>) {
        let mut queue = self.queue.lock();
        ops.append(&mut queue.ops);
        std::mem::swap(&mut queue.ops, ops);
        queue.urgent = true;
    }

    /// Waits for work, and takes all operations. Returns `false` when the queue is closed and empty.
    fn wait(&self, engine: &Engine, compacting: bool, ops: &mut VecDeque<Op>) -> bool {
        // The thread looks once by itself before it sleeps for long: settlements of new events need not wake it.
        let mut looked = false;
        let mut queue = self.queue.lock();
        loop {
            if queue.urgent || compacting || queue.ops.len() >= SETTLEMENTS_MAX {
                break;
            }
            if queue.closed && queue.ops.is_empty() {
                return false;
            }
            let timeout = timeout(engine, queue.ops.is_empty(), looked);
            queue.asleep = looked && queue.ops.is_empty();
            if self.sleep(&mut queue, timeout) {
                let due = engine.sync_in().is_some_and(|due| due.is_zero());
                if looked || due || !queue.ops.is_empty() {
                    break;
                }
                looked = true;
            }
        }
        (queue.urgent, queue.asleep) = (false, false);
        std::mem::swap(&mut queue.ops, ops);
        true
    }

    /// Sleeps until it is woken or the timeout has passed. Returns whether it has passed.
    fn sleep(&self, queue: &mut MutexGuard<'_, OpQueue>, timeout: Option<Duration>) -> bool {
        match timeout {
            Some(timeout) => self.wake.wait_for(queue, timeout).timed_out(),
            None => {
                self.wake.wait(queue);
                false
            }
        }
    }
}

/// Returns how long the writer's thread may sleep; `None` is until it is woken.
fn timeout(engine: &Engine, is_empty: bool, looked: bool) -> Option<Duration> {
    let timeout = if !is_empty {
        Some(GATHER)
    } else if engine.health.is_full() {
        Some(FULL_RETRY)
    } else {
        engine.sync_in()
    };
    match looked {
        true => timeout,
        false => Some(timeout.map_or(GATHER, |timeout| timeout.min(GATHER))),
    }
}
