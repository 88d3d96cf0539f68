//! The history of an event: its failed attempts and its death, from the last record back to the first.

use super::{Reader, Window};
use crate::error::StoreError;
use crate::event::attempt::{Attempt, remember};
use crate::event::dead_letter::Condition;
use crate::event::request_id::RequestId;
use crate::store::StoredEvent;
use crate::store::disk::frame::FramePlace;
use crate::store::disk::index::Tail;
use crate::store::disk::record::{self, LogRecord};

/// The history of an event in the records after its own.
pub(super) struct History {
    /// Oldest first.
    attempts: Vec<Attempt>,
    burial: Option<Burial>,
}

/// The death of an event.
pub(super) struct Burial {
    pub(super) at: u64,
    pub(super) condition: Condition,
    pub(super) attempts: u32,
}

/// One record of a history.
struct HistoryRecord {
    attempts: Vec<Attempt>,
    burial: Option<Burial>,
    previous: Option<FramePlace>,
}

impl History {
    /// Adds the attempts to the event. Returns its death.
    pub(super) fn add_to(self, event: &mut StoredEvent) -> Option<Burial> {
        for attempt in self.attempts {
            remember(&mut event.attempts, attempt);
        }
        self.burial
    }
}

impl Reader {
    /// Reads the history of an event. It ends before a record that a salvage lost.
    pub(super) fn history(
        &self,
        event: &StoredEvent,
        tail: Option<Tail>,
        window: &mut Window,
    ) -> Result<History, StoreError> {
        let (id, function) = (event.request_id, event.function.as_str());
        let (mut newest_first, mut burial) = (Vec::new(), None);
        let mut at = tail.and_then(|tail| tail.last);
        while let Some(place) = at {
            if self.index.lock().is_lost(place) {
                break;
            }
            let found = self.record(place, window, |record| {
                self.history_record(id, function, record, place)
            })?;
            newest_first.push(found.attempts);
            burial = found.burial.or(burial);
            // Each record leads further back: a circle would be damage.
            at = match found.previous {
                Some(before) if before >= place => return Err(self.damaged(place)),
                previous => previous,
            };
        }
        Ok(History {
            attempts: newest_first.into_iter().rev().flatten().collect(),
            burial,
        })
    }

    fn history_record(
        &self,
        id: RequestId,
        function: &str,
        record: LogRecord<'_>,
        place: FramePlace,
    ) -> Result<HistoryRecord, StoreError> {
        match record {
            LogRecord::Rescheduled {
                previous,
                attempt,
                attempts,
                uncounted,
                due,
                ..
            } => {
                let clear = record::retried(function, attempts, uncounted, due);
                Ok(HistoryRecord {
                    attempts: self.attempts(id, clear, Some(attempt), place)?,
                    burial: None,
                    previous,
                })
            }
            LogRecord::Buried {
                at,
                condition,
                attempts,
                previous,
                last,
                ..
            } => {
                let clear = record::died(function, attempts, condition, at);
                Ok(HistoryRecord {
                    attempts: self.attempts(id, clear, last, place)?,
                    burial: Some(Burial {
                        at,
                        condition,
                        attempts,
                    }),
                    previous,
                })
            }
            _ => Err(self.damaged(place)),
        }
    }
}
