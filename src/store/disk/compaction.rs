//! Tidying up between commits: a full segment is sealed, an empty one removed, and what is still needed of the oldest is
//! moved to the end when too little of the log is needed.

use std::time::Duration;

use super::batch::{Batch, EventEnd};
use super::engine::Engine;
use super::reader::Window;
use super::reserve;
use super::segment_table::EntryState;
use crate::error::StoreError;
use crate::store::Health;
use crate::telemetry;

/// Bytes that are moved at once: commits wait meanwhile.
const MOVE_MAX: usize = 256 << 10;
/// Events and keys that are looked at for it.
const MOVE_EVENTS_MAX: usize = 1_000;
/// When to try again to move what there was no room for.
const MOVE_AGAIN: Duration = Duration::from_secs(1);
/// Full segments that may lie about though nothing in them is needed.
const SPARE: u64 = 4;
/// Small ones: each opening begins one.
const SPARE_COUNT: usize = 64;

impl Engine {
    /// Does a bounded part of what is to be compacted. Answers whether there is more.
    pub(super) fn compact(&mut self) -> bool {
        if self.is_closed || self.has_failed() {
            return false;
        }
        let compacted = match self.is_full() {
            true => self.make_room(),
            false => self.try_compact(),
        };
        compacted.unwrap_or_else(|error| {
            // Where a resource is short nothing was changed, and it is tried again. Events that are to be kept find out for
            // themselves whether there is room for them.
            if !error.is_passing() {
                self.set_health(Health::Failed(error.to_string()));
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
        let oldest = self.reader.index.lock().oldest_segment();
        oldest.map_or(Ok(false), |oldest| self.move_some(oldest))
    }

    /// The disk is full: frees what can be freed, and takes events again once as much is kept back as there should be.
    fn make_room(&mut self) -> Result<bool, StoreError> {
        self.reader.index.lock().expire(self.clock.now().0);
        if self.remove_emptied()? || self.empty_dead()? {
            self.may_fill = true;
            return Ok(true);
        }
        if self.waiting.is_empty() && std::mem::take(&mut self.may_fill) {
            let files = self.reader.files.clone();
            if self.reserve.fill(&*files).is_ok() {
                self.set_health(Health::Well);
                return Ok(true);
            }
        }
        if self.close_wasteful()? {
            return Ok(true);
        }
        let small = self.reserve.wanted() / 2;
        let wasteful = {
            let index = self.reader.index.lock();
            let length = |number| u64::from(self.log.length(number).unwrap_or_default());
            let mut all = index.movable_segments();
            all.find(|&(number, live)| live <= small && 2 * live < length(number))
        };
        let Some((number, _)) = wasteful else {
            return Ok(false);
        };
        match self.move_some(number) {
            // Ends took the rest. What a move takes, it gives back twice.
            Err(error) if error.is_passing() && self.reserve.give_up_all() => {
                self.halve_commits();
                Ok(true)
            }
            moved => moved,
        }
    }

    /// Seals the last segment if it is long enough, or has so many events that their ends could fill what is kept back for
    /// them, and begins another. Where that can't be done at the moment it grows on, but not for ever.
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

    /// Takes the records out of a segment that must stay, if none of them is needed.
    fn empty_dead(&mut self) -> Result<bool, StoreError> {
        let Some(number) = self.reader.index.lock().dead_segment() else {
            return Ok(false);
        };
        self.log.sync()?;
        self.log.empty(number)?;
        self.reader.index.lock().set_emptied(number);
        Ok(true)
    }

    /// Seals the last segment if little of it is needed: only a sealed one can go.
    fn close_wasteful(&mut self) -> Result<bool, StoreError> {
        let live = self.reader.index.lock().last_live_bytes();
        let waste = u64::from(self.log.end().offset).saturating_sub(live);
        let much = reserve::bytes(self.segment_max) / 2;
        if waste < u64::from(much) || self.log.is_over() {
            return Ok(false);
        }
        self.roll()?;
        Ok(true)
    }

    fn is_wasteful(&self) -> bool {
        let (needed, records) = {
            let index = self.reader.index.lock();
            (index.live_bytes(), index.live_records())
        };
        let spare = SPARE * u64::from(self.segment_max);
        // So many there are where everything is needed.
        let segments =
            needed / self.segment_end().max(1) + records / reserve::events_max(self.segment_max);
        self.log.bytes() > 2 * needed + spare
            || self.log.segments_count() > SPARE_COUNT + 2 * segments as usize
    }

    /// Where a segment is followed by another.
    fn segment_end(&self) -> u64 {
        u64::from(self.segment_max).min(self.end_max() / 2)
    }

    /// Moves some of what is needed of a segment to the end.
    fn move_some(&mut self, segment: u32) -> Result<bool, StoreError> {
        if self.moves_blocked || self.clock.now() < self.move_at {
            return Ok(false);
        }
        let reader = self.reader.clone();
        let (seqs, next) = {
            let index = reader.index.lock();
            (index.movable(segment, MOVE_EVENTS_MAX), index.next)
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
        if let Err(error) = self.move_remembered(segment, move_max, &mut batch, &mut window) {
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

    /// It stays, and who needs it will be told. So stay those that come later: they may tell of it. Where only a resource is
    /// short, it is tried again.
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

    /// Keys, and results of executions.
    fn move_remembered(
        &self,
        segment: u32,
        move_max: usize,
        batch: &mut Batch<'_>,
        window: &mut Window,
    ) -> Result<(), StoreError> {
        let mut index = self.reader.index.lock();
        for (function, key, first, until) in index.movable_keys(segment, MOVE_EVENTS_MAX) {
            batch.move_key(&mut index, function.as_str(), key, first, until)?;
        }
        let executions = index.movable_executions(segment, MOVE_EVENTS_MAX);
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
                batch.move_end(&index(), seq, record.id, &end)
            })?,
            EntryState::Gone => Ok(()),
        }
    }
}
