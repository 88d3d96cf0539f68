//! Opening: from the segments back to the index, and the time line on from where it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::batch::Batch;
use super::cipher::{CipherKeys, Unlock};
use super::configuration;
use super::crash_marks::{self, CrashMarks};
use super::engine::{Engine, boot};
use super::file_error;
use super::files::Files;
use super::header::HEADER;
use super::index::{Fact, Index, Tail};
use super::loaded_segment::ClosedSegment;
use super::log::LogWriter;
use super::log_scan;
use super::reader::Reader;
use super::record::{Boot, LogRecord, Opened};
use super::reserve::{self, Reserve};
use super::segment_file;
use super::segment_table::EntryState;
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::error::{StoreError, StoreErrorKind};
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

/// Locks the folder and reads what is in it. Nothing is changed before all of it has been read.
pub(super) fn recover(
    files: Arc<dyn Files>,
    unlock: Option<&Unlock>,
    clock: Clock,
    segment_max: u32,
    health: Arc<Mutex<Health>>,
) -> Result<Recovered, StoreError> {
    let failed = |name: &str, what: &str, error: &std::io::Error| {
        file_error::io_error(&*files, name, what, error)
    };
    let lock = lock(&*files)?;
    let keys = CipherKeys::read(&*files, unlock)?;
    let mut index = Index::default();
    let mut line = TimeLine::default();
    let mut sealed = Vec::new();
    let mut last = None;
    log_scan::for_each(&*files, |opened, found| {
        keys.check(&*files, found.number, opened.ring)?;
        index.begin_segment(found.number, opened.base);
        line.opened(&opened);
        let mut synced = HEADER as u32;
        let end = found.replay(&*files, |record, place, weight| {
            if let LogRecord::Synced { upto } = record {
                synced = synced.max(upto);
            }
            for fact in facts(&mut index, record, &mut line) {
                index.apply(fact, place, weight);
            }
            Ok(())
        })?;
        if found.is_emptied() {
            index.set_emptied(found.number);
        }
        if found.is_last() && !end.closed {
            let behind = found.length() - u64::from(end.at);
            let file = files.path(&segment_file::name(found.number));
            telemetry::store_not_closed(&file, u64::from(end.at), behind);
        }
        found.make_durable(&*files, synced, end.at)?;
        sealed.push(found.close(end.at));
        last = Some(opened);
        Ok(())
    })?;
    if last.is_none() {
        orphans(&*files)?;
    }
    let configured = configured(&*files, last.as_ref())?;
    // A last one without anything gives its place to the one that begins now, unless that is the first that is sealed.
    let alike = last.is_some_and(|last| last.ring.is_some() == unlock.is_some());
    if alike && sealed.len() > 1 && sealed.last().is_some_and(ClosedSegment::is_empty) {
        sealed.pop();
        index.drop_newest_segment();
    }
    let now = line.present(&clock);
    let clock = clock.set(now);
    let next = sealed.last().map_or(1, |last| last.number + 1);
    let mut reserve = Reserve::find(&*files, segment_max)
        .map_err(|error| failed(reserve::NAME, "open", &error))?;
    // From here on the folder is changed; what is made beside the log is made when that is there.
    let cipher = keys.unlock(&*files, next, now.stored(), || reserve.give_up_all())?;
    index.next = index.next.max(1);
    let incarnation = line.incarnation + 1;
    let opened = Opened {
        incarnation,
        base: index.next,
        previous: sealed.last().map(|last| (last.number, last.end)),
        // Read anew, and before the other clock: what lies between is time by which events come late, not early.
        at: clock.now().0,
        boot: boot(&clock),
        ring: cipher.ring(),
        configured,
    };
    let log = LogWriter::begin(files.clone(), sealed, &opened, || reserve.give_up_all())?;
    let (mut crash_marks, ran) = CrashMarks::open(&*files, line.counted..incarnation)
        .map_err(|error| failed(crash_marks::NAME, "open", &error))?;
    if !log.is_over() {
        index.begin_segment(log.end().segment, opened.base);
    } else {
        // No record tells of this incarnation: what runs in it ran in the one before.
        crash_marks.continues(line.incarnation);
    }
    index.spill_all();
    index.expire(now.0);
    let reader = Arc::new(Reader {
        files: files.clone(),
        index: Arc::new(Mutex::new(index)),
        segments: log.segments.clone(),
        cipher: Arc::new(cipher),
    });
    let mut engine = Engine::new(log, reader, reserve, clock, segment_max, &opened, health);
    if engine.died(&ran)? {
        crash_marks
            .clear()
            .map_err(|error| failed(crash_marks::NAME, "clear", &error))?;
    }
    engine.fill_reserve();
    Ok(Recovered {
        engine,
        crash_marks,
        lock,
    })
}

/// What keeps other processes out until it is dropped.
pub(super) type Lock = Box<dyn std::any::Any + Send + Sync>;

/// Locks the folder.
pub(super) fn lock(files: &dyn Files) -> Result<Lock, StoreError> {
    let lock = files
        .lock(LOCK)
        .map_err(|error| file_error::io_error(files, LOCK, "lock", &error))?;
    lock.ok_or_else(|| {
        let message = format!(
            "`{}` is in use by another process: stop that one, or use another folder",
            files.path("")
        );
        StoreError::of(StoreErrorKind::Locked, message)
    })
}

/// Whether there is a file of what was set of functions; a refusal if there must be, or if it is damaged. `last` is the
/// header of the log's last segment.
pub(super) fn configured(files: &dyn Files, last: Option<&Opened>) -> Result<bool, StoreError> {
    if configuration::read(files)?.is_some() {
        return Ok(true);
    }
    match last.is_some_and(|last| last.configured) {
        true => Err(configuration::missing(files)),
        false => Ok(false),
    }
}

/// Without a log, nothing may be there that is made when the log is.
pub(super) fn orphans(files: &dyn Files) -> Result<(), StoreError> {
    let names = files.list();
    let names = names.map_err(|error| file_error::io_error(files, "", "list", &error))?;
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
    /// Keeps back room for the ends of events. Without it none are taken.
    fn fill_reserve(&mut self) {
        let files = self.reader.files.clone();
        if let Err(error) = self.reserve.fill(&*files) {
            let error = file_error::io_error(&*files, reserve::NAME, "keep room back in", &error);
            self.set_health(Health::Full(error.to_string()));
        }
    }

    /// These ran when the process died. Answers whether that is on record: on a full disk it may have to wait for the next
    /// opening, and is known to this one alone.
    fn died(&mut self, ran: &[crate::event::request_id::RequestId]) -> Result<bool, StoreError> {
        let reader = self.reader.clone();
        let mut index = reader.index.lock();
        let mut batch = Batch::new(&reader.cipher, self.log.end(), index.next);
        let parked = |seq: &u64| {
            let entry = index.entry(*seq);
            entry.is_some_and(|entry| entry.state == EntryState::Spilled)
        };
        let died: BTreeSet<_> = ran.iter().filter_map(|&id| index.seq(id)).collect();
        for seq in died.into_iter().filter(parked) {
            let deaths = index.tail(seq).map_or(0, |tail| tail.deaths);
            batch.died(seq, deaths + 1)?;
        }
        if batch.bytes.is_empty() {
            return Ok(true);
        }
        let mut written = match self.log.is_over() {
            true => Ok(false),
            false => self.log.write(&batch.bytes).map(|()| true),
        };
        if written.as_ref().is_err_and(StoreError::is_passing) {
            written = match self.reserve.give_up_all() {
                true => self.log.write(&batch.bytes).map(|()| true),
                false => Ok(false),
            };
        }
        let written = match written {
            Err(error) if error.is_passing() => false,
            written => written?,
        };
        if written {
            self.log.sync()?;
        }
        for (fact, place, weight) in batch.facts {
            index.apply(fact, place, weight);
        }
        Ok(written)
    }
}

/// The store's time line, as far as the records tell.
#[derive(Default)]
pub(super) struct TimeLine {
    incarnation: u64,
    /// What ran before this incarnation and died is on record.
    counted: u64,
    latest: u64,
    reference: Option<(u64, Boot)>,
}

impl TimeLine {
    fn opened(&mut self, opened: &Opened) {
        self.incarnation = opened.incarnation;
        self.reference = opened.boot.map(|boot| (opened.at, boot));
        self.saw(opened.at);
    }

    fn saw(&mut self, at: u64) {
        self.latest = self.latest.max(at);
    }

    /// What time it is. Since the machine's last start that is certain, whatever its clock was set to; across a start its
    /// clock is believed, unless it has gone back.
    fn present(&self, clock: &Clock) -> Time {
        let since = self
            .reference
            .zip(boot(clock))
            .and_then(|((at, then), now)| {
                let same = then.id == now.id;
                same.then(|| at + now.uptime.saturating_sub(then.uptime))
            });
        Time(since.unwrap_or(clock.now().0).max(self.latest))
    }
}

/// What the index is to learn of a record: of an event that came with a key, two facts.
pub(super) fn facts(
    index: &mut Index,
    record: LogRecord<'_>,
    line: &mut TimeLine,
) -> impl Iterator<Item = Fact> + use<> {
    let mut taken = None;
    let fact = match record {
        LogRecord::Opened(_)
        | LogRecord::Synced { .. }
        | LogRecord::Closed
        | LogRecord::Oldest
        | LogRecord::Emptied => {
            return None.into_iter().chain(None);
        }
        LogRecord::Lost => Fact::Lost,
        LogRecord::Event(event) | LogRecord::Scheduled(event, _) => {
            line.saw(event.accepted);
            let function = index.function(event.function);
            let side = event.side.as_deref();
            let moved = side.is_some_and(|side| side.moved);
            if let Some((key, until)) = side.filter(|_| !moved).and_then(|side| side.key.as_ref()) {
                taken = Some(Fact::Key {
                    function,
                    key: (**key).into(),
                    first: event.id,
                    until: *until,
                });
            }
            let tail = side
                .filter(|side| side.attempts > 0 || side.deaths > 0)
                .map(|side| Tail {
                    last: None,
                    attempts: side.attempts,
                    uncounted: side.uncounted,
                    deaths: side.deaths,
                    burial: 0,
                });
            Fact::Event {
                seq: event.seq,
                function,
                due: event.due,
                bytes: event.payload.bytes.len() as u32,
                delayed: event.due > event.accepted || side.is_some_and(|side| side.attempts > 0),
                chosen_id: side
                    .is_some_and(|side| side.id_is_chosen)
                    .then_some(event.id),
                replaces: side.filter(|_| !moved).and_then(|side| side.redriven_from),
                tail,
            }
        }
        LogRecord::Rescheduled {
            seq,
            attempts,
            uncounted,
            due,
            ..
        } => Fact::Rescheduled {
            seq,
            due,
            attempts,
            uncounted,
        },
        LogRecord::Finished(end) => {
            line.saw(end.at);
            Fact::Finished {
                seq: end.seq,
                id: end.id,
                function: index.function(end.function),
                at: end.at,
                bytes: end.result.map_or(0, |result| result.bytes.len() as u32),
            }
        }
        LogRecord::Buried {
            seq, at, attempts, ..
        } => {
            line.saw(at);
            Fact::Buried { seq, attempts }
        }
        LogRecord::Forgotten { seq } => Fact::Forgotten { seq },
        LogRecord::Died { seq, deaths } => {
            line.counted = line.incarnation;
            Fact::Died { seq, deaths }
        }
        LogRecord::Key {
            function,
            key,
            first,
            until,
        } => Fact::Key {
            function: index.function(function),
            key: key.into(),
            first,
            until,
        },
        LogRecord::Executed(executed) => Fact::Executed {
            function: index.function(executed.function),
            key: executed.key,
            until: executed.until,
        },
    };
    Some(fact).into_iter().chain(taken)
}
