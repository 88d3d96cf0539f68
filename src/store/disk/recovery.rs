//! Opening a folder: the segments of the log are replayed into the index, and the store goes on behind them.
//!
//! Nothing is changed before all of the folder has been read and checked.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::batch::Batch;
use super::cipher::{Cipher, CipherKeys, Unlock};
use super::configuration;
use super::crash_marks::{self, CrashMarks};
use super::file_error::io_error;
use super::files::Files;
use super::group_commit::Engine;
use super::header::HEADER;
use super::index::{EntryState, Index, facts};
use super::loaded_segment::{ClosedSegment, LoadedSegment};
use super::log::LogWriter;
use super::log_scan;
use super::reader::Reader;
use super::record::{LogRecord, Opened};
use super::reserve::{self, Reserve};
use super::segment_file;
use super::time_line::{TimeLine, boot};
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::request_id::RequestId;
use crate::store::Health;
use crate::telemetry;

/// The file that keeps other processes out.
pub(super) const LOCK: &str = "lock";

/// A store that was opened.
pub(super) struct Recovered {
    pub(super) engine: Engine,
    pub(super) crash_marks: CrashMarks,
    pub(super) lock: Lock,
}

/// Locks the folder, reads it, and begins a segment behind the others.
pub(super) fn recover(
    files: Arc<dyn Files>,
    unlock: Option<&Unlock>,
    clock: Clock,
    segment_max: u32,
    health: Arc<Mutex<Health>>,
) -> Result<Recovered, StoreError> {
    let lock = lock(&*files)?;
    let keys = CipherKeys::read(&*files, unlock)?;
    let mut replayed = ReplayedLog::read(&*files, &keys)?;
    replayed.reuse_empty_segment(unlock.is_some());
    let now = replayed.time_line.present(&clock);
    let clock = clock.set(now);
    // From here on the folder is changed. The files beside the log are made after the log.
    let begun = replayed.begin(&files, keys, &clock, segment_max)?;
    let (crash_marks, ran) = replayed.crash_marks(&*files, &begun)?;
    let index = replayed.into_index(&begun, now);
    let reader = Arc::new(Reader {
        files: files.clone(),
        index: Arc::new(Mutex::new(index)),
        segments: begun.log.segments.clone(),
        cipher: Arc::new(begun.cipher),
    });
    let opened = &begun.opened;
    let mut engine = Engine::new(
        begun.log,
        reader,
        begun.reserve,
        clock,
        segment_max,
        opened,
        health,
    );
    if engine.died(&ran)? {
        crash_marks
            .clear()
            .map_err(|error| io_error(&*files, crash_marks::NAME, "clear", &error))?;
    }
    engine.fill_reserve();
    Ok(Recovered {
        engine,
        crash_marks,
        lock,
    })
}

/// The log of this opening, and all that its first segment needs.
struct BegunLog {
    log: LogWriter,
    cipher: Cipher,
    reserve: Reserve,
    /// The header of the segment that begins; one that begins later has the same.
    opened: Opened,
}

/// A log whose records were applied to an index.
#[derive(Default)]
struct ReplayedLog {
    index: Index,
    time_line: TimeLine,
    closed: Vec<ClosedSegment>,
    /// The header of the last segment.
    last: Option<Opened>,
    /// The folder has a file of live settings.
    configured: bool,
}

impl ReplayedLog {
    /// Reads the whole folder, and checks that no file is missing.
    fn read(files: &dyn Files, keys: &CipherKeys) -> Result<Self, StoreError> {
        let mut replayed = Self::default();
        log_scan::for_each(files, |opened, segment| {
            replayed.segment(files, keys, opened, segment)
        })?;
        if replayed.last.is_none() {
            orphans(files)?;
        }
        replayed.configured = configured(files, replayed.last.as_ref())?;
        Ok(replayed)
    }

    /// Replays the next segment.
    fn segment(
        &mut self,
        files: &dyn Files,
        keys: &CipherKeys,
        opened: Opened,
        segment: LoadedSegment,
    ) -> Result<(), StoreError> {
        keys.check(files, segment.number, opened.ring)?;
        self.index.begin_segment(segment.number, opened.base);
        self.time_line.opened(&opened);
        let mut synced = HEADER as u32;
        let end = segment.replay(files, |record, place, weight| {
            if let LogRecord::Synced { upto } = record {
                synced = synced.max(upto);
            }
            self.time_line.record(&record);
            let functions = &mut self.index.functions;
            for fact in facts(&record, |name| functions.number(name)) {
                self.index.apply(fact, place, weight);
            }
            Ok(())
        })?;
        if segment.is_emptied() {
            self.index.tables.set_emptied(segment.number);
        }
        if segment.is_last() && !end.closed {
            let behind = segment.length() - u64::from(end.at);
            let file = files.path(&segment_file::name(segment.number));
            telemetry::store_not_closed(&file, u64::from(end.at), behind);
        }
        segment.make_durable(files, synced, end.at)?;
        self.closed.push(segment.close(end.at));
        self.last = Some(opened);
        Ok(())
    }

    /// Gives an empty last segment up for the one that begins now, unless only one of the two is encrypted.
    fn reuse_empty_segment(&mut self, is_encrypted: bool) {
        let last = self.last.as_ref();
        let alike = last.is_some_and(|last| last.ring.is_some() == is_encrypted);
        let is_empty = self.closed.last().is_some_and(ClosedSegment::is_empty);
        if alike && self.closed.len() > 1 && is_empty {
            self.closed.pop();
            self.index.tables.drop_newest();
        }
    }

    /// Begins a segment behind the others. Without room or a descriptor, it begins later.
    fn begin(
        &mut self,
        files: &Arc<dyn Files>,
        keys: CipherKeys,
        clock: &Clock,
        segment_max: u32,
    ) -> Result<BegunLog, StoreError> {
        let closed = std::mem::take(&mut self.closed);
        let mut reserve = Reserve::find(&**files, segment_max)
            .map_err(|error| io_error(&**files, reserve::NAME, "open", &error))?;
        let next = closed.last().map_or(1, |last| last.number + 1);
        let now = clock.now();
        let cipher = keys.unlock(&**files, next, now.stored(), || reserve.give_up_all())?;
        self.index.next = self.index.next.max(1);
        let opened = Opened {
            incarnation: self.time_line.incarnation + 1,
            base: self.index.next,
            previous: closed.last().map(|last| (last.number, last.end)),
            // Read anew, and before the uptime: the time between the two makes events late, not early.
            at: clock.now().0,
            boot: boot(clock),
            ring: cipher.ring(),
            configured: self.configured,
        };
        let make_room = || reserve.give_up_all();
        let log = LogWriter::begin(files.clone(), closed, &opened, make_room)?;
        Ok(BegunLog {
            log,
            cipher,
            reserve,
            opened,
        })
    }

    /// Opens the crash marks. Returns them, and the events that ran when a process died.
    fn crash_marks(
        &self,
        files: &dyn Files,
        begun: &BegunLog,
    ) -> Result<(CrashMarks, Vec<RequestId>), StoreError> {
        let unrecorded = self.time_line.counted..begun.opened.incarnation;
        let (mut crash_marks, ran) = CrashMarks::open(files, unrecorded)
            .map_err(|error| io_error(files, crash_marks::NAME, "open", &error))?;
        if begun.log.is_over() {
            // No header names this incarnation: its crash marks count as those of the one before.
            crash_marks.continues(self.time_line.incarnation);
        }
        Ok((crash_marks, ran))
    }

    /// Returns the index for this opening: all pending events are in the overflow.
    fn into_index(mut self, begun: &BegunLog, now: Time) -> Index {
        let end = begun.log.end();
        if !begun.log.is_over() {
            self.index.begin_segment(end.segment, begun.opened.base);
        }
        self.index.spill_all();
        self.index.expire(now.0);
        self.index
    }
}

/// Keeps other processes out until it is dropped.
pub(super) type Lock = Box<dyn std::any::Any + Send + Sync>;

/// Locks the folder. Another process that uses it is an error.
pub(super) fn lock(files: &dyn Files) -> Result<Lock, StoreError> {
    let lock = files
        .lock(LOCK)
        .map_err(|error| io_error(files, LOCK, "lock", &error))?;
    lock.ok_or_else(|| {
        let message = format!(
            "`{}` is in use by another process: stop that one, or use another folder",
            files.path("")
        );
        StoreError::of(StoreErrorKind::Locked, message)
    })
}

/// Returns whether the folder has a file of live settings. It is an error if that is damaged, or if the header of the last
/// segment, `last`, says that it must be there.
pub(super) fn configured(files: &dyn Files, last: Option<&Opened>) -> Result<bool, StoreError> {
    if configuration::read(files)?.is_some() {
        return Ok(true);
    }
    match last.is_some_and(|last| last.configured) {
        true => Err(configuration::missing(files)),
        false => Ok(false),
    }
}

/// Refuses a folder without a log that has files which are only made after a log.
pub(super) fn orphans(files: &dyn Files) -> Result<(), StoreError> {
    let names = files.list();
    let names = names.map_err(|error| io_error(files, "", "list", &error))?;
    let beside = [crash_marks::NAME, configuration::NAME, reserve::NAME];
    let Some(orphan) = names.iter().find(|name| beside.contains(&name.as_str())) else {
        return Ok(());
    };
    let message = format!(
        "`{}` is missing, or cut off, though `{orphan}` is there: files of the log were changed from outside. Restore the folder from a backup, \
         or use an empty one",
        files.path(&segment_file::name(1)),
    );
    Err(StoreError::of(StoreErrorKind::Damaged, message))
}

impl Engine {
    /// Reserves room for the settlements of events. Without it the store takes no events.
    fn fill_reserve(&mut self) {
        let files = self.reader.files.clone();
        if let Err(error) = self.reserve.fill(&*files) {
            let error = io_error(&*files, reserve::NAME, "keep room back in", &error);
            self.health
                .set(Health::Full(error.to_string()), self.clock.now());
        }
    }

    /// Counts a death for the events that ran when the process died. Returns whether the deaths are on record: on a full
    /// disk only this process knows them, and the next opening counts them again.
    fn died(&mut self, ran: &[RequestId]) -> Result<bool, StoreError> {
        let reader = self.reader.clone();
        let mut index = reader.index.lock();
        let mut batch = Batch::new(&reader.cipher, self.log.end(), index.next);
        let spilled = |seq: &u64| {
            let entry = index.entry(*seq);
            entry.is_some_and(|entry| entry.state == EntryState::Spilled)
        };
        let died: BTreeSet<_> = ran.iter().filter_map(|&id| index.seq(id)).collect();
        for seq in died.into_iter().filter(spilled) {
            let deaths = index.tail(seq).map_or(0, |tail| tail.deaths);
            batch.died(seq, deaths + 1)?;
        }
        if batch.bytes.is_empty() {
            return Ok(true);
        }
        let written = self.write_if_room(&batch.bytes)?;
        if written {
            self.log.sync()?;
        }
        for (fact, place, weight) in batch.facts {
            index.apply(fact, place, weight);
        }
        Ok(written)
    }

    /// Writes to the log, if need be in the room of the reserve. Returns `false` if there is none.
    fn write_if_room(&mut self, bytes: &[u8]) -> Result<bool, StoreError> {
        let mut written = match self.log.is_over() {
            true => Ok(false),
            false => self.log.write(bytes).map(|()| true),
        };
        if written.as_ref().is_err_and(StoreError::is_passing) {
            written = match self.reserve.give_up_all() {
                true => self.log.write(bytes).map(|()| true),
                false => Ok(false),
            };
        }
        match written {
            Err(error) if error.is_passing() => Ok(false),
            written => written,
        }
    }
}
