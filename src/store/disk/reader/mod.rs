//! The reader: from places in the log back to events, dead letters and results.
//!
//! Records never change once they are written, and a removed file stays readable for a reader that has it open. The reader
//! checks each frame's checksum and owner again: it returns the written content, or an error that names the file.

mod events;
mod history;
mod records;
mod window;

use std::sync::Arc;

use parking_lot::Mutex;

use super::cipher::Cipher;

use super::configuration;
use super::encrypted_fields::SecretKind;
use super::files::Files;
use super::frame::FramePlace;
use super::index::{EntryState, Index, IndexEntry, Tail};
use super::open_segments::OpenSegments;
use super::record::{LogRecord, time};
use crate::error::StoreError;
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::store::{Execution, Fetched, Known, KnownPage, KnownState, Letters, StoredEvent};

pub(super) use window::Window;

pub(super) struct Reader {
    pub(super) files: Arc<dyn Files>,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) segments: Arc<OpenSegments>,
    pub(super) cipher: Arc<Cipher>,
}

impl Reader {
    /// Reads the events that were handed out. If a descriptor or memory is short, all of them go back to the overflow.
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
        // An id that only contains the right number is not the event's id.
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
        let (seqs, next) = self.index.lock().letters.page(after, limit);
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
        let places = self.index.lock().keys.executions();
        let mut window = Window::default();
        places
            .into_iter()
            .map(|place| self.execution(place, &mut window))
            .collect()
    }

    /// Replaces the document of the functions' live settings.
    pub(super) fn configure(&self, document: &str) -> Result<(), StoreError> {
        configuration::write(&*self.files, document)
    }

    /// Reads the document of the functions' live settings.
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

    /// Reads event number `seq`, and again if compaction moved it meanwhile. Returns `None` if it is not known.
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
}
