//! The engine: takes what was told, writes it in one piece, makes it durable once, and only then lets the index know and
//! the callers hear.
//!
//! One thread owns it. Whatever fails, what was told is either on the disk, or refused, or kept here to be written later:
//! without room on the disk, appends are refused and the ends of events take what was kept back for them (`reserve.rs`);
//! where a descriptor or memory is short before anything was written, appends are refused and the next ones try again; after
//! a failed sync nothing is taken any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::batch::{Batch, Facts, Payloads};
use super::log::LogWriter;
use super::reader::Reader;
use super::record::{Boot, Opened, nanos};
use super::reserve::Reserve;
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::request_id::RequestId;
use crate::store::{Appended, Execution, Fetch, Fetched, Health, Reply, Settled, StoredEvent};
use crate::telemetry;

/// Something to be done, in the order in which it was told.
pub(super) enum Op {
    Append(Vec<StoredEvent>, Payloads, Reply<Vec<Appended>>),
    Settle(Settled),
    Remember(Box<Execution>),
    Configure(String, Reply<()>),
    /// Not before then, in nanoseconds.
    Spill(RequestId, u64),
    Fetch(Fetch, Reply<Fetched>),
    FetchOne(RequestId, Reply<Option<StoredEvent>>),
    /// A read that must see what was told before.
    Read(ReadJob),
    Sync(Reply<()>),
    Close(Reply<()>),
}

/// Something to be read once the commit is over.
pub(super) type ReadJob = Box<dyn FnOnce(&Reader) + Send>;

/// Bytes from which on a commit takes no more.
const COMMIT_MAX: usize = 8 << 20;
/// The same while the disk is full: what little there is, is used and gives back more. If that is too much it is halved, down
/// to the second.
const FULL_COMMIT_MAX: usize = 16 << 10;
const FULL_COMMIT_MIN: usize = 512;
/// How often it is logged at most that there is no room.
const LOG_FULL_EVERY: Duration = Duration::from_secs(10);
/// Memory beyond this goes with the burst that wanted it.
const SPARE_MAX: usize = 2 << 20;

pub(super) struct Engine {
    pub(super) log: LogWriter,
    pub(super) reader: Arc<Reader>,
    pub(super) clock: Clock,
    pub(super) segment_max: u32,
    pub(super) incarnation: u64,
    /// The folder has a file `configuration`, and a header says so.
    configured: bool,
    /// Told, and not written for want of room.
    pub(super) waiting: VecDeque<Op>,
    pub(super) reserve: Reserve,
    /// Something may have changed since the reserve could not be filled.
    pub(super) may_fill: bool,
    /// What the last frame said that speaks of it.
    pub(super) recorded_synced: u32,
    /// When what was written must be durable.
    sync_by: Option<Time>,
    /// The folder is another's from now on.
    pub(super) is_closed: bool,
    /// Something in the oldest segment can't be read: nothing is moved before the next opening.
    pub(super) moves_blocked: bool,
    /// When it may be logged again that there is no room, and whether it was the last time.
    log_full_at: Time,
    full_is_logged: bool,
    /// Bytes from which on a commit takes no more while the disk is full.
    full_commit_max: usize,
    /// A segment grows on because the next one can't begin.
    pub(super) is_overlong: bool,
    /// When what is needed of a segment may be moved again: there was no room for it.
    pub(super) move_at: Time,
    /// Memory for the next batch: fresh memory for each would cost more than what is done with it.
    spare: Vec<u8>,
    health: Arc<Mutex<Health>>,
}

/// What an append comes to once it is durable.
type AppendResult = Result<Vec<Appended>, StoreError>;

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
            log_full_at: Time(0),
            full_is_logged: false,
            full_commit_max: FULL_COMMIT_MAX,
            is_overlong: false,
            move_at: Time(0),
            sync_by: None,
            is_closed: false,
            moves_blocked: false,
            spare: Vec::new(),
            health,
        }
    }

    /// How long what was written may still be without being durable; `None` if it is.
    pub(super) fn sync_in(&self) -> Option<Duration> {
        let by = self.sync_by.filter(|_| !self.has_failed())?;
        Some(by.since(self.clock.now()))
    }

    /// Is nothing taken any more?
    pub(super) fn has_failed(&self) -> bool {
        matches!(*self.health.lock(), Health::Failed(_))
    }

    /// Is there no room?
    pub(super) fn is_full(&self) -> bool {
        matches!(*self.health.lock(), Health::Full(_))
    }

    /// Does what was told, in this order, and makes it durable if that was asked for or is `due`. Takes what it can in one
    /// go; answers what is to be read now.
    pub(super) fn commit(&mut self, ops: &mut VecDeque<Op>) -> Vec<ReadJob> {
        if let Health::Failed(why) = &*self.health.lock() {
            let error = StoreError::of(StoreErrorKind::Failed, why.clone());
            return refuse_all(ops.drain(..), &error);
        }
        self.may_fill = true;
        // What has waited comes first: it was told first.
        for op in std::mem::take(&mut self.waiting).into_iter().rev() {
            ops.push_front(op);
        }
        let mut room = Ok(());
        if let Err(error) = self.roll_if_due() {
            let writes = |op: &Op| matches!(op, Op::Settle(_) | Op::Remember(_) | Op::Append(..));
            if !error.is_passing() {
                return self.undo(self.log.end().offset, ops.drain(..).collect(), &error);
            }
            if self.log.is_over() {
                // What needs no room is done, up to what does: it may follow from that.
                refuse_appends(ops, &error);
                let at = ops.iter().position(writes).unwrap_or(ops.len());
                let rest = ops.split_off(at);
                let taken = ops.drain(..).map(|op| (op, None)).collect();
                let mut jobs = self.conclude(Facts::new(), taken);
                jobs.extend(self.undo(self.log.end().offset, rest.into(), &error));
                return jobs;
            }
            // The ends of events go where there is room for them, and the next append tries again.
            room = Err(error);
        }
        if let Health::Full(why) = &*self.health.lock() {
            room = Err(StoreError::of(StoreErrorKind::Full, why.clone()));
        }
        if let Err(error) = room {
            refuse_appends(ops, &error);
        }
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

    /// Ends the last segment, so that from now on damage to it is told from what a crash tears.
    fn finish_if_closed(&mut self) {
        if !self.is_closed {
            return;
        }
        let sealed = match self.log.is_fresh() && !self.log.is_over() {
            true => Ok(()),
            false => self.roll(),
        };
        if let Err(error) = sealed.and_then(|()| self.log.close()) {
            telemetry::store_error(&error.to_string());
        }
    }

    fn batch<'a>(&mut self, reader: &'a Reader, idle: bool) -> Batch<'a> {
        let next = reader.index.lock().next;
        let mut batch = Batch::new(&reader.cipher, self.log.end(), next);
        batch.bytes = std::mem::take(&mut self.spare);
        batch.bytes.clear();
        batch.end_max = self.end_max();
        // Without room it goes on as soon as something can be removed, which takes a sync.
        batch.sync = self.is_full() || self.sync_by.is_some_and(|by| by <= self.clock.now());
        if self.log.synced() > self.recorded_synced && !idle {
            batch.synced(self.log.synced());
        }
        batch
    }

    /// How long a segment may become.
    pub(super) fn end_max(&self) -> u64 {
        self.reader.files.file_max().min(u64::from(u32::MAX))
    }

    /// Bytes from which on a commit takes no more: much less than a file may have.
    pub(super) fn commit_max(&self) -> usize {
        let most = match self.is_full() {
            true => self.full_commit_max,
            false => COMMIT_MAX,
        };
        most.min((self.end_max() / 4) as usize)
    }

    fn encode(
        &self,
        batch: &mut Batch<'_>,
        ops: &mut VecDeque<Op>,
    ) -> Vec<(Op, Option<AppendResult>)> {
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

    /// All of it is written: the index learns of it, and then the callers do.
    fn conclude(&mut self, facts: Facts, taken: Vec<(Op, Option<AppendResult>)>) -> Vec<ReadJob> {
        let (mut jobs, mut answers, mut configured) = (Vec::new(), Vec::new(), Vec::new());
        let reader = self.reader.clone();
        let mut index = reader.index.lock();
        for (fact, place, weight) in facts {
            index.apply(fact, place, weight);
        }
        for (op, answer) in taken {
            match op {
                Op::Append(_, _, reply) => answers.extend(answer.map(|answer| (reply, answer))),
                Op::Settle(_) | Op::Remember(_) => {}
                Op::Spill(id, due) => {
                    if let Some(seq) = index.seq(id) {
                        index.postpone(seq, due);
                        index.spill(seq);
                    }
                }
                Op::Fetch(fetch, reply) => {
                    let until = nanos(fetch.until);
                    let taken =
                        index.take(&fetch.function, until, fetch.events_max, fetch.bytes_max);
                    let next_due = index.next_due(&fetch.function);
                    jobs.push(Box::new(move |reader: &Reader| {
                        reply.send(reader.fetched(taken, next_due))
                    }) as ReadJob);
                }
                Op::FetchOne(id, reply) => {
                    let taken = index.seq(id).filter(|&seq| index.fetch_one(seq));
                    jobs.push(Box::new(move |reader: &Reader| {
                        reply.send(reader.fetched_one(taken, id))
                    }));
                }
                Op::Configure(document, reply) => configured.push((document, reply)),
                Op::Read(job) => jobs.push(job),
                Op::Sync(reply) | Op::Close(reply) => {
                    jobs.push(Box::new(|_: &Reader| reply.send(Ok(()))));
                }
            }
        }
        drop(index);
        for (reply, answer) in answers {
            reply.send(answer);
        }
        for (document, reply) in configured {
            reply.send(self.configure(&document));
        }
        jobs
    }

    /// None of it counts.
    fn undo(&mut self, start: u32, ops: Vec<Op>, error: &StoreError) -> Vec<ReadJob> {
        if !error.is_passing() {
            // Nobody can know what of it is on the disk. It was refused, so it must not come back.
            self.log.cut(start);
            self.set_health(Health::Failed(error.to_string()));
            let waiting = std::mem::take(&mut self.waiting).into_iter();
            return refuse_all(waiting.chain(ops), error);
        }
        self.set_health(Health::Full(error.to_string()));
        self.halve_commits();
        // What was kept back is for what was told of events that are here.
        let again = self.reserve.give_up();
        let mut jobs = Vec::new();
        for op in ops {
            match op {
                Op::Append(_, _, reply) => reply.send(Err(error.clone())),
                Op::Read(job) => jobs.push(job),
                Op::Configure(_, reply) | Op::Sync(reply) | Op::Close(reply) if !again => {
                    reply.send(Err(error.clone()));
                }
                // In their order: an event is parked after it was rescheduled, and fetched after it was parked.
                told => self.waiting.push_back(told),
            }
        }
        if again {
            let mut rest = VecDeque::new();
            jobs.extend(self.commit(&mut rest));
            // More than fits into one commit.
            rest.append(&mut self.waiting);
            self.waiting = rest;
        }
        jobs
    }

    /// There was no room for one of this size.
    pub(super) fn halve_commits(&mut self) {
        self.full_commit_max = (self.full_commit_max / 2).max(FULL_COMMIT_MIN);
    }

    pub(super) fn set_health(&mut self, health: Health) {
        let before = std::mem::replace(&mut *self.health.lock(), health.clone());
        match (before, health) {
            (before, after) if before == after => {}
            (Health::Full(_), Health::Full(_)) => {}
            // Where room comes and goes with each event, not each time.
            (_, Health::Full(why)) => {
                self.full_is_logged = self.clock.now() >= self.log_full_at;
                if self.full_is_logged {
                    self.log_full_at = self.clock.now().after(LOG_FULL_EVERY);
                    telemetry::store_full(&why);
                }
            }
            (_, Health::Well) if self.full_is_logged => telemetry::store_recovered(),
            (_, Health::Well) => {}
            (_, Health::Failed(why)) => telemetry::store_failed(&why),
        }
    }

    /// What stands at the beginning of the next segment.
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

    /// Keeps what was set of functions. The first time, a segment begins whose header says that there is such a file.
    fn configure(&mut self, document: &str) -> Result<(), StoreError> {
        self.reader.configure(document)?;
        if !std::mem::replace(&mut self.configured, true)
            && let Err(error) = self.roll()
        {
            // The document is kept; the next segment says so.
            telemetry::store_error(&error.to_string());
            if error.kind() == StoreErrorKind::Failed {
                self.set_health(Health::Failed(error.to_string()));
            }
        }
        Ok(())
    }
}

pub(super) fn boot(clock: &Clock) -> Option<Boot> {
    let (id, uptime) = clock.boot()?;
    Some(Boot {
        id,
        uptime: u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX),
    })
}

/// Refuses what is to be kept, and leaves the rest.
fn refuse_appends(ops: &mut VecDeque<Op>, error: &StoreError) {
    if !ops.iter().any(|op| matches!(op, Op::Append(..))) {
        return;
    }
    for op in std::mem::take(ops) {
        match op {
            Op::Append(_, _, reply) => reply.send(Err(error.clone())),
            other => ops.push_back(other),
        }
    }
}

/// All that was told to a store that has failed.
pub(super) fn refuse_all(ops: impl Iterator<Item = Op>, error: &StoreError) -> Vec<ReadJob> {
    let (mut jobs, mut lost) = (Vec::new(), 0);
    for op in ops {
        lost += u64::from(matches!(op, Op::Settle(_) | Op::Remember(_)));
        jobs.extend(refuse(op, error));
    }
    if lost > 0 {
        telemetry::store_lost_all(lost, &error.to_string());
    }
    jobs
}

/// What is told to a store that has failed or is closed. What only wants to read may.
fn refuse(op: Op, error: &StoreError) -> Option<ReadJob> {
    match op {
        Op::Append(_, _, reply) => reply.send(Err(error.clone())),
        Op::Fetch(_, reply) => reply.send(Err(error.clone())),
        Op::FetchOne(_, reply) => reply.send(Err(error.clone())),
        Op::Configure(_, reply) | Op::Sync(reply) | Op::Close(reply) => {
            reply.send(Err(error.clone()));
        }
        Op::Settle(_) | Op::Remember(_) | Op::Spill(..) => {}
        Op::Read(job) => return Some(job),
    }
    None
}
