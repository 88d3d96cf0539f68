//! Tidying up between commits: a full segment is sealed, an empty one removed, and what is still needed of the oldest is
//! moved to the end when too little of the log is needed.

use super::batch::{Batch, End};
use super::engine::Engine;
use super::reader::Window;
use super::tables::State;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::Health;
use crate::telemetry;

/// Bytes that are moved at once: commits wait meanwhile.
const MOVE_MAX: usize = 256 << 10;
/// Events and keys that are looked at for it.
const MOVE_EVENTS_MAX: usize = 1_000;
/// Full segments that may lie about though nothing in them is needed.
const SPARE: u64 = 4;
/// Small ones: each opening begins one.
const SPARE_COUNT: usize = 64;

impl Engine {
    /// Does a bounded part of what is to be tidied. Answers whether there is more.
    pub(super) fn tidy(&mut self) -> bool {
        if self.is_closed || self.has_failed() {
            return false;
        }
        self.try_tidy().unwrap_or_else(|error| {
            self.fares(match error.kind() {
                StoreErrorKind::Full => Health::Full(error.to_string()),
                _ => Health::Failed(error.to_string()),
            });
            false
        })
    }

    fn try_tidy(&mut self) -> Result<bool, StoreError> {
        if self.is_full() {
            // Removing is all that helps; there is no room to move anything.
            return self.remove_emptied();
        }
        self.roll_if_full()?;
        self.reader.index.lock().expire(self.clock.now().0);
        if self.remove_emptied()? {
            return Ok(true);
        }
        if self.is_stuck || !self.is_wasteful() {
            return Ok(false);
        }
        self.move_some()
    }

    /// Seals the last segment if it is long enough, and begins another.
    pub(super) fn roll_if_full(&mut self) -> Result<(), StoreError> {
        match self.log.end().offset >= self.segment_max {
            true => self.roll(),
            false => Ok(()),
        }
    }

    pub(super) fn roll(&mut self) -> Result<(), StoreError> {
        let end = self.log.end();
        let opened = self.opened((end.segment, end.offset));
        let number = self.log.roll(&opened)?;
        let mut index = self.reader.index.lock();
        let base = index.next;
        index.begin_segment(number, base);
        drop(index);
        self.said_synced = self.log.synced();
        Ok(())
    }

    /// Removes the oldest segment if nothing in it is needed.
    fn remove_emptied(&mut self) -> Result<bool, StoreError> {
        let Some(number) = self.reader.index.lock().emptied_segment() else {
            return Ok(false);
        };
        // What took its events' places, or tells of their ends, must be durable before they go.
        self.log.sync()?;
        self.log.remove(number)?;
        self.reader.index.lock().drop_oldest_segment();
        Ok(true)
    }

    fn is_wasteful(&self) -> bool {
        let needed = self.reader.index.lock().live_bytes();
        let spare = SPARE * u64::from(self.segment_max);
        self.log.bytes() > 2 * needed + spare
            || self.log.segments_count()
                > SPARE_COUNT + (needed / u64::from(self.segment_max)) as usize * 2
    }

    /// Moves some of what is needed of the oldest segment to the end.
    fn move_some(&mut self) -> Result<bool, StoreError> {
        let reader = self.reader.clone();
        let (seqs, keys, next) = {
            let index = reader.index.lock();
            (
                index.movable(MOVE_EVENTS_MAX),
                index.movable_keys(MOVE_EVENTS_MAX),
                index.next,
            )
        };
        let mut batch = Batch::new(&reader.vault, self.log.end(), next);
        let mut window = Window::default();
        for seq in seqs {
            if batch.bytes.len() >= MOVE_MAX {
                break;
            }
            if let Err(error) = self.move_one(&mut batch, seq, &mut window) {
                // It stays, and whoever needs it will be told. So stay those that come later: they may tell of it.
                telemetry::store_error(&format!("event number {seq} can't be moved: {error}"));
                self.is_stuck = true;
                break;
            }
        }
        {
            let mut index = reader.index.lock();
            for (function, key, first, until) in keys {
                batch.move_key(&mut index, function.as_str(), key, first, until)?;
            }
        }
        let executions = reader.index.lock().movable_executions(MOVE_EVENTS_MAX);
        for place in executions {
            if batch.bytes.len() >= MOVE_MAX {
                break;
            }
            let execution = reader.execution(place, &mut window)?;
            batch.executed(&mut reader.index.lock(), &execution)?;
        }
        if batch.bytes.is_empty() {
            return Ok(false);
        }
        self.log.write(&batch.bytes)?;
        let mut index = reader.index.lock();
        for (fact, place, weight) in batch.facts {
            index.learn(fact, place, weight);
        }
        Ok(true)
    }

    fn move_one(
        &self,
        batch: &mut Batch<'_>,
        seq: u64,
        window: &mut Window,
    ) -> Result<(), StoreError> {
        let reader = &self.reader;
        let index = || reader.index.lock();
        let (entry, tail) = {
            let index = index();
            let Some(&entry) = index.entry(seq) else {
                return Ok(());
            };
            (entry, index.tail(seq))
        };
        match entry.state {
            State::Held | State::Parked => {
                let event = reader
                    .event(&entry, tail, window)
                    .map_err(|(_, error)| error)?;
                batch.move_event(&mut index(), seq, &event).map(drop)
            }
            State::Dead => {
                let (event, letter) = reader.letter(&entry, tail, window)?;
                batch.move_letter(&mut index(), seq, &event, &letter)
            }
            State::Done => reader.end(entry.place, window, |record, result| {
                let end = End {
                    accepted: record.accepted,
                    at: record.at,
                    attempt: record.attempt,
                    cancelled: record.cancelled,
                    result: result.as_ref(),
                };
                batch.move_end(&index(), seq, record.id, &end)
            })?,
            State::Gone => Ok(()),
        }
    }
}
