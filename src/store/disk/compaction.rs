//! Compaction, in bounded steps between commits: a full segment is followed by another, the oldest is removed when none of
//! its records is needed, and needed records move to the end of the log when they are too small a part of it.

use std::time::Duration;

use super::batch::{Batch, EventEnd};
use super::group_commit::Engine;
use super::index::EntryState;
use super::reader::Window;
use super::reserve;
use crate::error::StoreError;
use crate::store::Health;
use crate::telemetry;

/// Maximum bytes of one step: commits wait for it.
const MOVE_MAX: usize = 256 << 10;
/// Maximum number of events and keys that one step looks at.
const MOVE_EVENTS_MAX: usize = 1_000;
/// When a move without room is tried again.
const MOVE_AGAIN: Duration = Duration::from_secs(1);
/// Segments of unneeded records that are always allowed.
const SPARE: u64 = 4;
/// Small segments that are always allowed: each opening begins one.
const SPARE_COUNT: usize = 64;

impl Engine {
    /// Does one step of compaction. Returns whether there is more to do.
    pub(super) fn compact(&mut self) -> bool {
        if self.is_closed || self.health.has_failed() {
            return false;
        }
        let compacted = match self.health.is_full() {
            true => self.make_room(),
            false => self.try_compact(),
        };
        compacted.unwrap_or_else(|error| {
            // Without a resource nothing was changed, and the step is tried again. Appends learn by themselves whether there
            // is room for them.
            if !error.is_passing() {
                self.health
                    .set(Health::Failed(error.to_string()), self.clock.now());
            }
            self.move_at = self.clock.now().after(MOVE_AGAIN);
            false
        })
    }

    fn try_compact(&mut self) -> Result<bool, StoreError> {
        self.roll_if_due()?;
        self.reader.index.lock().expire(self.clock.now().0);
        if self.remove_emptied()? {
            return Ok(true);
        }
        if !self.is_wasteful() {
            return Ok(false);
        }
        let oldest = {
            let index = self.reader.index.lock();
            index.tables.oldest().map(|oldest| oldest.number)
        };
        oldest.map_or(Ok(false), |oldest| self.move_some(oldest))
    }

    /// Begins another segment if the last one is long enough, or has so many events that their settlements could fill the
    /// reserve. If that fails for a while, the last one grows on, up to twice its size.
    pub(super) fn roll_if_due(&mut self) -> Result<(), StoreError> {
        let end = u64::from(self.log.end().offset);
        let due = end >= self.segment_end()
            || self.log.is_over()
            || self.reader.index.lock().last_events() >= reserve::events_max(self.segment_max);
        if !due {
            return Ok(());
        }
        match self.roll() {
            Err(error)
                if error.is_passing() && !self.log.is_over() && end < 2 * self.segment_end() =>
            {
                if !std::mem::replace(&mut self.is_overlong, true) {
                    telemetry::store_short(&error.to_string());
                }
                Ok(())
            }
            rolled => rolled,
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
        self.recorded_synced = self.log.synced();
        self.is_overlong = false;
        Ok(())
    }

    /// Removes the oldest segment if none of its records is needed. Returns whether it did.
    pub(super) fn remove_emptied(&mut self) -> Result<bool, StoreError> {
        let Some(number) = self.reader.index.lock().tables.emptied() else {
            return Ok(false);
        };
        // The records that supersede those of the segment must be durable before it goes.
        self.log.sync()?;
        self.log.remove(number)?;
        self.reader.index.lock().tables.drop_oldest();
        Ok(true)
    }

    fn is_wasteful(&self) -> bool {
        let (needed, records) = {
            let index = self.reader.index.lock();
            (index.tables.live_bytes(), index.tables.live())
        };
        let spare = SPARE * u64::from(self.segment_max);
        // The number of segments that the needed records fill.
        let segments =
            needed / self.segment_end().max(1) + records / reserve::events_max(self.segment_max);
        self.log.bytes() > 2 * needed + spare
            || self.log.segments_count() > SPARE_COUNT + 2 * segments as usize
    }

    /// Returns the length at which a segment is followed by another.
    fn segment_end(&self) -> u64 {
        u64::from(self.segment_max).min(self.end_max() / 2)
    }

    /// Moves needed records of a segment to the end of the log. Returns whether it moved any.
    pub(super) fn move_some(&mut self, segment: u32) -> Result<bool, StoreError> {
        if self.moves_blocked || self.clock.now() < self.move_at {
            return Ok(false);
        }
        let reader = self.reader.clone();
        let (seqs, next) = {
            let index = reader.index.lock();
            (index.tables.movable(segment, MOVE_EVENTS_MAX), index.next)
        };
        let mut batch = Batch::new(&reader.cipher, self.log.end(), next);
        batch.end_max = self.end_max();
        let move_max = MOVE_MAX.min(self.commit_max());
        let mut window = Window::default();
        for seq in seqs {
            if batch.bytes.len() >= move_max {
                break;
            }
            if let Err(error) = self.move_one(&mut batch, seq, &mut window) {
                self.block_moves(&format_args!("event number {seq}"), error)?;
                break;
            }
        }
        if let Err(error) = self.move_keys(segment, move_max, &mut batch, &mut window) {
            self.block_moves(&"a key or a result", error)?;
        }
        if batch.bytes.is_empty() {
            return Ok(false);
        }
        self.log.write(&batch.bytes)?;
        let mut index = reader.index.lock();
        for (fact, place, weight) in batch.facts {
            index.apply(fact, place, weight);
        }
        Ok(true)
    }

    /// Leaves a record that can't be read in its place; a read of it reports that. Later segments stay too, because their
    /// records may belong to it. A short resource is an error, and the move is tried again.
    fn block_moves(
        &mut self,
        what: &dyn std::fmt::Display,
        error: StoreError,
    ) -> Result<(), StoreError> {
        if error.is_passing() {
            return Err(error);
        }
        telemetry::store_error(&format!("{what} can't be moved: {error}"));
        self.moves_blocked = true;
        Ok(())
    }

    /// Moves deduplication keys and remembered results.
    fn move_keys(
        &self,
        segment: u32,
        move_max: usize,
        batch: &mut Batch<'_>,
        window: &mut Window,
    ) -> Result<(), StoreError> {
        let mut index = self.reader.index.lock();
        let keys = index
            .keys
            .movable(&index.tables, &index.functions, segment, MOVE_EVENTS_MAX);
        for key in keys {
            batch.move_key(&mut index, &key)?;
        }
        let executions = index
            .keys
            .movable_executions(&index.tables, segment, MOVE_EVENTS_MAX);
        drop(index);
        for place in executions {
            if batch.bytes.len() >= move_max {
                break;
            }
            let execution = self.reader.execution(place, window)?;
            batch.executed(&mut self.reader.index.lock(), &execution)?;
        }
        Ok(())
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
            EntryState::Held | EntryState::Spilled => {
                let event = reader
                    .event(&entry, tail, window)
                    .map_err(|(_, error)| error)?;
                batch.move_event(&mut index(), seq, &event).map(drop)
            }
            EntryState::Dead => {
                let (event, letter) = reader.letter(&entry, tail, window)?;
                batch.move_letter(&mut index(), seq, &event, &letter)
            }
            EntryState::Done => reader.end(entry.place, window, |record, result| {
                let end = EventEnd {
                    accepted: record.accepted,
                    at: record.at,
                    attempt: record.attempt,
                    cancelled: record.cancelled,
                    result: result.as_ref(),
                };
                batch.finished(&index(), seq, record.id, &end)
            })?,
            EntryState::Gone => Ok(()),
        }
    }
}
