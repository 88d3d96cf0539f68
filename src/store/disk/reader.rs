//! The reader: from places in the log back to events, dead letters and results.
//!
//! Records never change once they are written, and a file that is removed meanwhile stays readable for whoever has it open.
//! Each frame's checksum is checked again, and whose it is: what comes back is what was written, or an error that names
//! the file.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use super::cipher::{Cipher, SecretKind};
use super::configuration;
use super::file_error;
use super::files::{File, Files};
use super::frame::{self, FramePlace};
use super::index::{Index, Tail};
use super::open_segments::OpenSegments;
use super::record::{self, Blob, EventRecord, FinishedRecord, LogRecord, Schedule, time};
use super::segment_file;
use super::segment_table::{EntryState, IndexEntry};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::attempt::{Attempt, remember};
use crate::event::dead_letter::{Condition, DeadLetter, Letter};
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::event::{Deduplicate, Durability};
use crate::store::{Execution, Fetched, Known, KnownPage, KnownState, Letters, StoredEvent};

pub(super) struct Reader {
    pub(super) files: Arc<dyn Files>,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) segments: Arc<OpenSegments>,
    pub(super) cipher: Arc<Cipher>,
}

/// Bytes that are read at once, at least.
const READ_MIN: usize = 4 << 10;
/// And at most, while one lies behind the other: events that wait together lie together.
const READ_MAX: usize = 256 << 10;

/// The part of a segment that was read last.
#[derive(Default)]
pub(super) struct Window {
    segment: u32,
    file: Option<Arc<dyn File>>,
    start: u64,
    bytes: Vec<u8>,
    /// How much is read next if it lies a little behind.
    ahead: usize,
}

impl Window {
    /// Reads what lies at `at`, so many bytes at least if there are as many.
    fn read(&mut self, file: &dyn File, at: u64, wanted: usize) -> io::Result<()> {
        let end = self.start + self.bytes.len() as u64;
        if at >= self.start && at + wanted as u64 <= end {
            return Ok(());
        }
        let follows = at >= self.start && at <= end + self.ahead as u64;
        self.ahead = match follows {
            true => (self.ahead * 2).clamp(READ_MIN, READ_MAX),
            false => READ_MIN,
        };
        let there = usize::try_from(file.len()?.saturating_sub(at)).unwrap_or(usize::MAX);
        self.bytes.resize(self.ahead.max(wanted).min(there), 0);
        let read = file.read_full(at, &mut self.bytes)?;
        self.bytes.truncate(read);
        self.start = at;
        Ok(())
    }
}

/// How a dead letter died.
struct Burial {
    at: u64,
    condition: Condition,
    attempts: u32,
}

/// What is told of an event beside its first record.
#[derive(Default)]
struct History {
    attempts: Vec<Attempt>,
    burial: Option<Burial>,
}

impl Reader {
    // --- what is asked for

    /// The events that were taken. Where a descriptor is short, all of them wait here on.
    pub(super) fn fetched(
        &self,
        taken: Vec<u64>,
        next_due: Option<u64>,
    ) -> Result<Fetched, StoreError> {
        let mut window = Window::default();
        let mut fetched = Fetched {
            next_due: next_due.map(time),
            ..Fetched::default()
        };
        for &seq in &taken {
            match self.read_event(seq, |entry, tail| self.event(entry, tail, &mut window)) {
                Ok(event) => fetched.events.extend(event),
                Err((_, error)) if error.is_passing() => {
                    let mut index = self.index.lock();
                    for &seq in &taken {
                        index.spill(seq);
                    }
                    return Err(error);
                }
                Err(error) => fetched.unreadable.push(error),
            }
        }
        Ok(fetched)
    }

    pub(super) fn fetched_one(
        &self,
        taken: Option<u64>,
        id: RequestId,
    ) -> Result<Option<StoredEvent>, StoreError> {
        let Some(seq) = taken else { return Ok(None) };
        let mut window = Window::default();
        let event = self.read_event(seq, |entry, tail| {
            self.event(entry, tail, &mut window)
                .map_err(|(_, error)| error)
        });
        let event = event.map(|event| event.filter(|event| event.request_id == id));
        if !matches!(event, Ok(Some(_))) {
            self.index.lock().spill(seq);
        }
        event
    }

    pub(super) fn look(&self, id: RequestId) -> Result<Option<Known>, StoreError> {
        let Some(seq) = self.index.lock().seq(id) else {
            return Ok(None);
        };
        let known = self.read_event(seq, |entry, tail| {
            self.known(entry, tail, &mut Window::default())
        })?;
        // Who guesses where an event lies doesn't know its id.
        Ok(known.filter(|known| known.request_id == id))
    }

    pub(super) fn overflow(
        &self,
        function: &FunctionName,
        after: u64,
        limit: usize,
    ) -> Result<KnownPage, StoreError> {
        let (seqs, next) = self.index.lock().overflow(function, after, limit);
        let mut window = Window::default();
        let known = seqs
            .into_iter()
            .map(|seq| self.read_event(seq, |entry, tail| self.known(entry, tail, &mut window)));
        let events = known
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        Ok(KnownPage { events, next })
    }

    pub(super) fn letters(&self, after: u64, limit: usize) -> Result<Letters, StoreError> {
        let (seqs, next) = self.index.lock().letters(after, limit);
        let mut window = Window::default();
        let letters = seqs
            .into_iter()
            .map(|seq| self.read_event(seq, |entry, tail| self.letter(entry, tail, &mut window)));
        let letters = letters
            .filter_map(Result::transpose)
            .map(|found| found.map(|(_, letter)| letter));
        Ok(Letters {
            letters: letters.collect::<Result<_, _>>()?,
            next,
        })
    }

    pub(super) fn executions(&self) -> Result<Vec<Execution>, StoreError> {
        let places = self.index.lock().executions();
        let mut window = Window::default();
        places
            .into_iter()
            .map(|place| self.execution(place, &mut window))
            .collect()
    }

    /// Keeps what was set of functions.
    pub(super) fn configure(&self, document: &str) -> Result<(), StoreError> {
        configuration::write(&*self.files, document)
    }

    /// What was set of functions.
    pub(super) fn configured(&self) -> Result<Option<String>, StoreError> {
        configuration::read(&*self.files)
    }

    pub(super) fn execution(
        &self,
        place: FramePlace,
        window: &mut Window,
    ) -> Result<Execution, StoreError> {
        self.record(place, window, |record| {
            let LogRecord::Executed(mut executed) = record else {
                return Err(self.damaged(place));
            };
            let result = executed.result.take().map(|blob| {
                let secret = (SecretKind::Execution, executed.clear());
                self.payload(executed.id, secret, blob, place)
            });
            Ok(Execution {
                function: FunctionName::new(executed.function),
                key: executed.key,
                validated: executed.validated,
                request_id: executed.id,
                attempt: executed.attempt,
                since: time(executed.since),
                result: result.transpose()?,
                expires_at: time(executed.until),
            })
        })
    }

    /// Reads what is known of event number `seq`, and again if it was moved meanwhile.
    fn read_event<R, E>(
        &self,
        seq: u64,
        mut read: impl FnMut(&IndexEntry, Option<Tail>) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        let mut failed = None;
        loop {
            let (entry, tail) = {
                let index = self.index.lock();
                let Some(&entry) = index.entry(seq) else {
                    return Ok(None);
                };
                (entry, index.tail(seq))
            };
            match (read(&entry, tail), failed) {
                (Ok(found), _) => return Ok(Some(found)),
                (Err(error), Some(before)) if before == (entry.place, tail) => return Err(error),
                (Err(_), _) => failed = Some((entry.place, tail)),
            }
        }
    }

    fn known(
        &self,
        entry: &IndexEntry,
        tail: Option<Tail>,
        window: &mut Window,
    ) -> Result<Known, StoreError> {
        let (request_id, accepted_at, state) = match entry.state {
            EntryState::Held | EntryState::Spilled | EntryState::Gone => {
                let event = self
                    .event(entry, tail, window)
                    .map_err(|(_, error)| error)?;
                let state = KnownState::Pending {
                    due_at: event.due_at,
                    attempts: event.attempt_count,
                    attempt: event.attempts.last().cloned(),
                };
                (event.request_id, event.accepted_at, state)
            }
            EntryState::Dead => {
                let (_, letter) = self.letter(entry, tail, window)?;
                (
                    letter.request_id,
                    letter.accepted_at,
                    KnownState::Dead(letter),
                )
            }
            EntryState::Done => self.end(entry.place, window, |end, result| {
                let state = match end.cancelled {
                    true => KnownState::Cancelled,
                    false => KnownState::Succeeded {
                        result: result.unwrap_or_else(Payload::null),
                        attempt: end.attempt,
                    },
                };
                (end.id, time(end.accepted), state)
            })?,
        };
        Ok(Known {
            request_id,
            accepted_at,
            state,
        })
    }

    // --- events and letters

    /// The event that lies there, with all that happened to it.
    pub(super) fn event(
        &self,
        entry: &IndexEntry,
        tail: Option<Tail>,
        window: &mut Window,
    ) -> Result<StoredEvent, (Option<RequestId>, StoreError)> {
        let unknown = |error| (None, error);
        let (id, first) = self.first(entry.place, window).map_err(unknown)?;
        let with_id = |error| (Some(id), error);
        let mut event = first;
        let history = self.history(&event, tail, window).map_err(with_id)?;
        history
            .attempts
            .into_iter()
            .for_each(|attempt| remember(&mut event.attempts, attempt));
        event.due_at = time(entry.due);
        if let Some(tail) = tail {
            event.attempt_count = tail.attempts;
            event.uncounted = tail.uncounted;
            event.deaths = tail.deaths;
        }
        Ok(event)
    }

    /// The dead letter that lies there, and the event that it was.
    pub(super) fn letter(
        &self,
        entry: &IndexEntry,
        tail: Option<Tail>,
        window: &mut Window,
    ) -> Result<(StoredEvent, DeadLetter), StoreError> {
        let (id, mut event) = self.first(entry.place, window)?;
        let history = self.history(&event, tail, window)?;
        history
            .attempts
            .into_iter()
            .for_each(|attempt| remember(&mut event.attempts, attempt));
        let tail = tail.unwrap_or_default();
        (event.attempt_count, event.uncounted, event.deaths) =
            (tail.attempts, tail.uncounted, tail.deaths);
        let Some(burial) = history.burial else {
            return Err(self.damaged(entry.place));
        };
        let letter = Letter {
            request_id: id,
            function: event.function.clone(),
            payload: event.payload.clone(),
            condition: burial.condition,
            attempts: event.attempts.clone(),
            attempt_count: burial.attempts,
            accepted_at: event.accepted_at,
            died_at: time(burial.at),
            meta: event.meta.clone(),
            stored: true,
        };
        Ok((event, DeadLetter::new(letter)))
    }

    /// How the event ended whose end lies there.
    pub(super) fn end<R>(
        &self,
        place: FramePlace,
        window: &mut Window,
        then: impl FnOnce(&FinishedRecord<'_>, Option<Payload>) -> R,
    ) -> Result<R, StoreError> {
        self.record(place, window, |record| {
            let LogRecord::Finished(mut end) = record else {
                return Err(self.damaged(place));
            };
            let result = match end.result.take() {
                Some(blob) => {
                    let secret = (SecretKind::Result, end.clear());
                    Some(self.payload(end.id, secret, blob, place)?)
                }
                None => None,
            };
            Ok(then(&end, result))
        })
    }

    /// The event as its own record tells of it.
    fn first(
        &self,
        place: FramePlace,
        window: &mut Window,
    ) -> Result<(RequestId, StoredEvent), StoreError> {
        self.record(place, window, |record| match record {
            LogRecord::Event(event) => Ok((event.id, self.stored(event, None, place)?)),
            LogRecord::Scheduled(event, schedule) => {
                Ok((event.id, self.stored(event, Some(schedule), place)?))
            }
            _ => Err(self.damaged(place)),
        })
    }

    fn stored(
        &self,
        mut event: EventRecord<'_>,
        schedule: Option<Schedule>,
        place: FramePlace,
    ) -> Result<StoredEvent, StoreError> {
        let payload = std::mem::take(&mut event.payload);
        let secret = (SecretKind::Payload, event.clear(schedule));
        let payload = self.payload(event.id, secret, payload, place)?;
        let EventRecord {
            id,
            function,
            accepted,
            due,
            hops,
            side,
            ..
        } = event;
        let mut side = side.map(|side| *side).unwrap_or_default();
        let attempts = match side.history.take() {
            Some(blob) => {
                let clear = record::moved(function, side.attempts, due);
                self.attempts(id, clear, blob, place)?
            }
            None => Vec::new(),
        };
        let key = side.key.take();
        Ok(StoredEvent {
            request_id: id,
            id_is_chosen: side.id_is_chosen,
            function: FunctionName::new(function),
            payload,
            accepted_at: time(accepted),
            due_at: time(due),
            first_due_at: time(schedule.map_or(due, |schedule| schedule.first_due)),
            not_before: schedule.and_then(|schedule| schedule.not_before).map(time),
            deduplicate: key.map(|(key, until)| Deduplicate {
                key: (*key).into(),
                window: std::time::Duration::from_nanos(until.saturating_sub(accepted)),
            }),
            durability: Durability::Disk,
            attempts,
            attempt_count: side.attempts,
            uncounted: side.uncounted,
            deaths: side.deaths,
            meta: side.into_meta(hops).into(),
        })
    }

    /// What later records tell of the event: from the last back to the first.
    fn history(
        &self,
        event: &StoredEvent,
        tail: Option<Tail>,
        window: &mut Window,
    ) -> Result<History, StoreError> {
        let (id, function) = (event.request_id, event.function.as_str());
        let mut history = History::default();
        let mut at = tail.and_then(|tail| tail.last);
        let mut told = Vec::new();
        while let Some(place) = at {
            if self.index.lock().is_lost(place) {
                break;
            }
            let (attempts, previous) = self.record(place, window, |record| match record {
                LogRecord::Rescheduled {
                    previous,
                    attempt,
                    attempts,
                    uncounted,
                    due,
                    ..
                } => {
                    let clear = record::retried(function, attempts, uncounted, due);
                    Ok((self.attempts(id, clear, attempt, place)?, previous))
                }
                LogRecord::Buried {
                    at,
                    condition,
                    attempts,
                    previous,
                    last,
                    ..
                } => {
                    history.burial = Some(Burial {
                        at,
                        condition,
                        attempts,
                    });
                    let last = match last {
                        Some(blob) => {
                            let clear = record::died(function, attempts, condition, at);
                            self.attempts(id, clear, blob, place)?
                        }
                        None => Vec::new(),
                    };
                    Ok((last, previous))
                }
                _ => Err(self.damaged(place)),
            })?;
            told.push(attempts);
            // Each leads further back: a circle would be damage.
            at = match previous {
                Some(before) if before >= place => return Err(self.damaged(place)),
                previous => previous,
            };
        }
        history.attempts = told.into_iter().rev().flatten().collect();
        Ok(history)
    }

    // --- records

    fn payload(
        &self,
        id: RequestId,
        (secret, clear): (SecretKind, impl Serialize),
        blob: Blob<'_>,
        place: FramePlace,
    ) -> Result<Payload, StoreError> {
        let bytes = self.cipher.open(id, secret, clear, blob, place)?;
        let text = String::from_utf8(bytes.into_owned()).ok();
        let payload = text.and_then(|text| Payload::from_json(text).ok());
        payload.ok_or_else(|| self.damaged(place))
    }

    fn attempts(
        &self,
        id: RequestId,
        clear: impl Serialize,
        blob: Blob<'_>,
        place: FramePlace,
    ) -> Result<Vec<Attempt>, StoreError> {
        let bytes = self
            .cipher
            .open(id, SecretKind::Attempts, clear, blob, place)?;
        record::read_attempts(&bytes).map_err(|_| self.damaged(place))
    }

    /// Hands the record that lies there to `then`.
    fn record<R>(
        &self,
        place: FramePlace,
        window: &mut Window,
        then: impl FnOnce(LogRecord<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let bytes = self.bytes(place, window)?;
        let found = frame::read(bytes, place).map_err(|_| self.damaged(place))?;
        let record = LogRecord::read(found.body).map_err(|_| self.damaged(place))?;
        then(record)
    }

    /// The frame that lies there, at least.
    fn bytes<'w>(&self, place: FramePlace, window: &'w mut Window) -> Result<&'w [u8], StoreError> {
        let at = u64::from(place.offset);
        let read = || {
            if window.segment != place.segment || window.file.is_none() {
                let file = self.segments.get(place.segment)?;
                *window = Window {
                    segment: place.segment,
                    file: Some(file),
                    ..Window::default()
                };
            }
            let Some(file) = window.file.clone() else {
                return Err(io::ErrorKind::NotFound.into());
            };
            // First as much as is wont to be enough, then as much as the frame says.
            window.read(&*file, at, frame::HEAD)?;
            let from = (at - window.start) as usize;
            if let Some(length) = window.bytes.get(from..).and_then(frame::length) {
                window.read(&*file, at, length)?;
            }
            Ok::<_, io::Error>(())
        };
        if let Err(error) = { read }() {
            window.bytes.clear();
            return Err(file_error::io_error(
                &*self.files,
                &segment_file::name(place.segment),
                "read",
                &error,
            ));
        }
        let from = (at - window.start) as usize;
        Ok(window.bytes.get(from..).unwrap_or_default())
    }

    fn damaged(&self, place: FramePlace) -> StoreError {
        let message = format!(
            "`{}` is damaged at byte {}: what is there isn't what was written. The event that lies there stays where it is. \
             Restore the folder from a backup, see what is readable with `redrive::store::disk::verify`, or save that with \
             `Disk::salvage`",
            self.files.path(&segment_file::name(place.segment)),
            place.offset
        );
        StoreError::of(StoreErrorKind::Damaged, message)
    }
}
