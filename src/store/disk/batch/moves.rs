//! Records that compaction moves here from a segment that it removes.

use super::Batch;
use super::append::{EventIdentity, json};
use crate::error::StoreError;
use crate::event::dead_letter::DeadLetter;
use crate::store::StoredEvent;
use crate::store::disk::frame::FramePlace;
use crate::store::disk::index::{Index, MovableKey};
use crate::store::disk::record::{LogRecord, nanos};

impl Batch<'_> {
    /// Moves a pending event, with its whole history.
    pub(in crate::store::disk) fn move_event(
        &mut self,
        index: &mut Index,
        seq: u64,
        event: &StoredEvent,
    ) -> Result<FramePlace, StoreError> {
        let identity = EventIdentity {
            seq,
            id: event.request_id,
            function: index.functions.number(event.function.as_str()),
            moved: true,
        };
        self.event(event, json(event)?, identity)
    }

    /// Moves a dead letter. The records of the event and of its death count together.
    pub(in crate::store::disk) fn move_letter(
        &mut self,
        index: &mut Index,
        seq: u64,
        event: &StoredEvent,
        letter: &DeadLetter,
    ) -> Result<(), StoreError> {
        let place = self.move_event(index, seq, event)?;
        self.join(place);
        self.tails.insert(seq, (place, u32::MAX));
        let record = LogRecord::Buried {
            seq,
            at: nanos(letter.died_at),
            condition: letter.condition,
            attempts: letter.attempt_count,
            previous: None,
            last: None,
        };
        self.put(&record, 0, 0).map(drop)
    }

    /// Moves a deduplication key.
    pub(in crate::store::disk) fn move_key(
        &mut self,
        index: &mut Index,
        key: &MovableKey,
    ) -> Result<(), StoreError> {
        let record = LogRecord::Key {
            function: key.function.as_str(),
            key: &key.key,
            first: key.first,
            until: key.until,
        };
        let function = index.functions.number(key.function.as_str());
        self.put(&record, function, 0).map(drop)
    }
}
