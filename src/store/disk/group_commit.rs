//! Group commit: the engine writes the operations of a batch in one piece, syncs once, and only then applies them to the
//! index and replies. `store/disk/writer.rs` gathers the batch.
//!
//! The writer's thread owns it. On a failure each operation is either on the disk, or refused, or kept in memory to be
//! written later:
//!
//! | failure | appends | settlements |
//! |---|---|---|
//! | no room on the disk | refused until there is room | take the reserve (`reserve.rs`), then wait in memory |
//! | no descriptor or memory, before a write | refused; the next one tries again | written where there is room |
//! | a failed sync | refused until the store is opened again | the same |

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::batch::{Batch, Facts};
use super::index::Index;
use super::log::LogWriter;
use super::op::{self, Op, ReadJob};
use super::reader::Reader;
use super::record::{Opened, nanos};
use super::reported_health::ReportedHealth;
use super::reserve::Reserve;
use super::time_line::boot;
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::request_id::RequestId;
use crate::store::{Appended, Fetch, Fetched, Health, Reply, StoredEvent};
use crate::telemetry;

/// Bytes from which on a commit takes no further operation.
const COMMIT_MAX: usize = 8 << 20;
/// The same while the disk is full: small commits use the little room, and free more. A commit that does not fit halves it.
const FULL_COMMIT_MAX: usize = 16 << 10;
/// Maximum memory that is kept for the next batch; a burst may use more.
const SPARE_MAX: usize = 2 << 20;

pub(super) struct Engine {
    pub(super) log: LogWriter,
    pub(super) reader: Arc<Reader>,
    pub(super) clock: Clock,
    pub(super) segment_max: u32,
    pub(super) incarnation: u64,
    /// The folder has a file `configuration`, and the header of the last segment says so.
    configured: bool,
    /// Operations that wait for room on the disk.
    pub(super) waiting: VecDeque<Op>,
    pub(super) reserve: Reserve,
    /// Room may have been freed since the reserve could not be filled.
    pub(super) may_fill: bool,
    /// The durable length of the last segment, as its last `Synced` record says.
    pub(super) recorded_synced: u32,
    /// When the last write must be durable.
    sync_by: Option<Time>,
    /// The store is closed: another process may use the folder.
    pub(super) is_closed: bool,
    /// A record of the oldest segment can't be read: no records are moved until the next opening.
    pub(super) moves_blocked: bool,
    /// Bytes from which on a commit takes no further operation while the disk is full.
    pub(super) full_commit_max: usize,
    /// The last segment grows beyond its size because the next one can't begin.
    pub(super) is_overlong: bool,
    /// When records may be moved again, after there was no room for them.
    pub(super) move_at: Time,
    /// Memory for the next batch: fresh memory for each would cost more than the encoding.
    spare: Vec<u8>,
    pub(super) health: ReportedHealth,
}

/// The result of an append, sent once it is durable.
type AppendReply = Result<Vec<Appended>, StoreError>;

impl Engine {
    pub(super) fn new(
        log: LogWriter,
        reader: Arc<Reader>,
        reserve: Reserve,
        clock: Clock,
        segment_max: u32,
        opened: &Opened,
        health: Arc<Mutex<Health>>,
    ) -> Self {
        Self {
            recorded_synced: log.synced(),
            log,
            reader,
            clock,
            segment_max,
            incarnation: opened.incarnation,
            configured: opened.configured,
            waiting: VecDeque::new(),
            reserve,
            may_fill: true,
            full_commit_max: FULL_COMMIT_MAX,
            is_overlong: false,
            move_at: Time(0),
            sync_by: None,
            is_closed: false,
            moves_blocked: false,
            spare: Vec::new(),
            health: ReportedHealth::new(health),
        }
    }

    /// Returns how long the last write may still wait for its sync; `None` if it is durable.
    pub(super) fn sync_in(&self) -> Option<Duration> {
        let by = self.sync_by.filter(|_| !self.health.has_failed())?;
        Some(by.since(self.clock.now()))
    }

    /// Does `ops` in their order, and makes them durable if one of them asks for it or a sync is due. Leaves in `ops` those
    /// that did not fit into one commit. Returns the reads that can be done now.
    pub(super) fn commit(&mut self, ops: &mut VecDeque<Op>) -> Vec<ReadJob> {
        let refusal = self.health.refusal();
        if let Some(error) = refusal.filter(|error| error.kind() == StoreErrorKind::Failed) {
            return op::refuse_all(ops.drain(..), &error);
        }
        self.may_fill = true;
        // Operations that waited for room come first: their calls came first.
        for op in std::mem::take(&mut self.waiting).into_iter().rev() {
            ops.push_front(op);
        }
        let mut refusal = None;
        if let Err(error) = self.roll_if_due() {
            if !error.is_passing() {
                return self.undo(self.log.end().offset, ops.drain(..).collect(), &error);
            }
            if self.log.is_over() {
                return self.commit_without_log(ops, &error);
            }
            // Settlements go where there is room for them, and the next append tries again.
            refusal = Some(error);
        }
        if let Some(error) = self.health.refusal().or(refusal) {
            op::refuse_appends(ops, &error);
        }
        self.commit_batch(ops)
    }

    /// The log takes nothing: does the operations that don't write, up to the first that does, because later ones may
    /// follow from it.
    fn commit_without_log(&mut self, ops: &mut VecDeque<Op>, error: &StoreError) -> Vec<ReadJob> {
        op::refuse_appends(ops, error);
        let at = ops.iter().position(Op::writes).unwrap_or(ops.len());
        let rest = ops.split_off(at);
        let taken = ops.drain(..).map(|op| (op, None)).collect();
        let mut jobs = self.conclude(Facts::new(), taken);
        jobs.extend(self.undo(self.log.end().offset, rest.into(), error));
        jobs
    }

    fn commit_batch(&mut self, ops: &mut VecDeque<Op>) -> Vec<ReadJob> {
        let reader = self.reader.clone();
        let mut batch = self.batch(&reader, ops.is_empty());
        let taken = self.encode(&mut batch, ops);
        self.is_closed |= taken.iter().any(|(op, _)| matches!(op, Op::Close(_)));
        let written = self.write(&batch);
        let (start, facts) = (batch.start(), batch.facts);
        if batch.bytes.capacity() <= SPARE_MAX {
            self.spare = batch.bytes;
        }
        match written {
            Ok(()) => {
                self.full_commit_max = FULL_COMMIT_MAX;
                let jobs = self.conclude(facts, taken);
                self.finish_if_closed();
                jobs
            }
            Err(error) => {
                let ops = taken.into_iter().map(|(op, _)| op).chain(ops.drain(..));
                self.undo(start, ops.collect(), &error)
            }
        }
    }

    /// Closes the last segment in order, so that the next opening can distinguish damage to it from a torn write.
    fn finish_if_closed(&mut self) {
        if !self.is_closed {
            return;
        }
        let rolled = match self.log.is_fresh() && !self.log.is_over() {
            true => Ok(()),
            false => self.roll(),
        };
        if let Err(error) = rolled.and_then(|()| self.log.close()) {
            telemetry::store_error(&error.to_string());
        }
    }

    fn batch<'a>(&mut self, reader: &'a Reader, idle: bool) -> Batch<'a> {
        let next = reader.index.lock().next;
        let mut batch = Batch::new(&reader.cipher, self.log.end(), next);
        batch.bytes = std::mem::take(&mut self.spare);
        batch.bytes.clear();
        batch.end_max = self.end_max();
        // On a full disk each commit syncs: a segment can be removed only after that.
        batch.sync = self.health.is_full() || self.sync_by.is_some_and(|by| by <= self.clock.now());
        if self.log.synced() > self.recorded_synced && !idle {
            batch.synced(self.log.synced());
        }
        batch
    }

    /// Returns the maximum length of a segment.
    pub(super) fn end_max(&self) -> u64 {
        self.reader.files.file_max().min(u64::from(u32::MAX))
    }

    /// Returns the bytes from which on a commit takes no further operation: much less than a file may have.
    pub(super) fn commit_max(&self) -> usize {
        let most = match self.health.is_full() {
            true => self.full_commit_max,
            false => COMMIT_MAX,
        };
        most.min((self.end_max() / 4) as usize)
    }

    fn encode(
        &self,
        batch: &mut Batch<'_>,
        ops: &mut VecDeque<Op>,
    ) -> Vec<(Op, Option<AppendReply>)> {
        let commit_max = self.commit_max();
        let mut index = self.reader.index.lock();
        let mut taken = Vec::with_capacity(ops.len());
        while batch.bytes.len() < commit_max
            && let Some(op) = ops.pop_front()
        {
            let answer = match &op {
                Op::Append(events, payloads, _) => Some(batch.append(&mut index, events, payloads)),
                Op::Settle(settled) => {
                    if let Err(error) = batch.settle(&index, settled) {
                        telemetry::store_lost(settled.request_id, &error.to_string());
                    }
                    None
                }
                Op::Remember(execution) => {
                    if let Err(error) = batch.executed(&mut index, execution) {
                        telemetry::store_lost(execution.request_id, &error.to_string());
                    }
                    None
                }
                Op::Sync(_) | Op::Close(_) => {
                    batch.sync = true;
                    None
                }
                Op::Configure(..)
                | Op::Spill(..)
                | Op::Fetch(..)
                | Op::FetchOne(..)
                | Op::Read(_) => None,
            };
            taken.push((op, answer));
        }
        taken
    }

    fn write(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        if !batch.bytes.is_empty() {
            let synced = self.log.synced();
            self.log.write(&batch.bytes)?;
            self.recorded_synced = synced;
        }
        if batch.sync {
            self.log.sync()?;
            self.sync_by = None;
        } else if !batch.bytes.is_empty() {
            let by = self.clock.now().after(batch.interval);
            self.sync_by = Some(self.sync_by.map_or(by, |before| before.min(by)));
        }
        Ok(())
    }

    /// Applies a written batch to the index, and then replies.
    fn conclude(&mut self, facts: Facts, taken: Vec<(Op, Option<AppendReply>)>) -> Vec<ReadJob> {
        let (mut jobs, mut appended, mut configured) = (Vec::new(), Vec::new(), Vec::new());
        let reader = self.reader.clone();
        let mut index = reader.index.lock();
        for (fact, place, weight) in facts {
            index.apply(fact, place, weight);
        }
        for (op, result) in taken {
            match op {
                Op::Append(_, _, reply) => appended.extend(result.map(|result| (reply, result))),
                Op::Settle(_) | Op::Remember(_) => {}
                Op::Spill(id, due) => spill(&mut index, id, due),
                Op::Fetch(fetch, reply) => jobs.push(fetch_job(&mut index, &fetch, reply)),
                Op::FetchOne(id, reply) => jobs.push(fetch_one_job(&mut index, id, reply)),
                Op::Configure(document, reply) => configured.push((document, reply)),
                Op::Read(job) => jobs.push(job),
                Op::Sync(reply) | Op::Close(reply) => {
                    jobs.push(Box::new(|_: &Reader| reply.send(Ok(()))));
                }
            }
        }
        drop(index);
        for (reply, result) in appended {
            reply.send(result);
        }
        for (document, reply) in configured {
            reply.send(self.configure(&document));
        }
        jobs
    }

    /// Returns the header of the next segment.
    pub(super) fn opened(&self, previous: (u32, u32)) -> Opened {
        Opened {
            incarnation: self.incarnation,
            base: self.reader.index.lock().next,
            previous: Some(previous),
            at: self.clock.now().0,
            boot: boot(&self.clock),
            ring: self.reader.cipher.ring(),
            configured: self.configured,
        }
    }

    /// Replaces the document of the functions' live settings. The first time, a segment begins whose header says that the file
    /// exists.
    fn configure(&mut self, document: &str) -> Result<(), StoreError> {
        self.reader.configure(document)?;
        if !std::mem::replace(&mut self.configured, true)
            && let Err(error) = self.roll()
        {
            // The document is kept; the next segment says so.
            telemetry::store_error(&error.to_string());
            if error.kind() == StoreErrorKind::Failed {
                self.health
                    .set(Health::Failed(error.to_string()), self.clock.now());
            }
        }
        Ok(())
    }
}

/// Takes back an event from the runtime.
fn spill(index: &mut Index, id: RequestId, due: u64) {
    if let Some(seq) = index.seq(id) {
        index.postpone(seq, due);
        index.spill(seq);
    }
}

fn fetch_job(index: &mut Index, fetch: &Fetch, reply: Reply<Fetched>) -> ReadJob {
    let until = nanos(fetch.until);
    let taken = index.take(&fetch.function, until, fetch.events_max, fetch.bytes_max);
    let next_due = index.next_due(&fetch.function);
    Box::new(move |reader: &Reader| reply.send(reader.fetched(taken, next_due)))
}

fn fetch_one_job(index: &mut Index, id: RequestId, reply: Reply<Option<StoredEvent>>) -> ReadJob {
    let taken = index.seq(id).filter(|&seq| index.fetch_one(seq));
    Box::new(move |reader: &Reader| reply.send(reader.fetched_one(taken, id)))
}
