//! A batch: the records of one commit, and the facts that the index applies once they are written.
//!
//! The files of this folder turn operations into records: `append.rs` events, `settle.rs` settlements, `moves.rs` the
//! records that compaction moves. The facts always come from the record ([`facts`]).

mod append;
mod moves;
mod settle;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;

use super::cipher::Cipher;

use super::encrypted_fields::SecretKind;
use super::frame::{self, FramePlace};
use super::index::{Fact, facts};
use super::record::{Blob, LogRecord, write_attempts};
use crate::error::StoreError;
use crate::event::attempt::Attempt;
use crate::event::request_id::RequestId;

pub(super) use settle::EventEnd;

/// The facts of a batch, each with the place and the length of its record.
pub(super) type Facts = Vec<(Fact, FramePlace, u32)>;

pub(super) struct Batch<'a> {
    cipher: &'a Cipher,
    start: FramePlace,
    pub(super) bytes: Vec<u8>,
    pub(super) facts: Facts,
    /// For events that were rescheduled in this batch: the last record of an attempt, and the number of attempts.
    tails: HashMap<u64, (FramePlace, u32)>,
    /// The deduplication keys of events in this batch.
    keys: HashMap<(u32, Box<str>), RequestId>,
    /// The chosen request ids of events in this batch.
    chosen_ids: HashSet<RequestId>,
    /// The last record of a death.
    death: Option<FramePlace>,
    /// The number of the next event.
    next: u64,
    /// A caller waits until the batch is durable.
    pub(super) sync: bool,
    /// How soon the batch has to be durable otherwise.
    pub(super) interval: Duration,
    /// The maximum length of the segment.
    pub(super) end_max: u64,
}

/// How soon settlements are durable when no other operation syncs them. If the power fails first, their events run again.
const INTERVAL_MAX: Duration = Duration::from_millis(500);

impl<'a> Batch<'a> {
    pub(super) fn new(cipher: &'a Cipher, start: FramePlace, next: u64) -> Self {
        Self {
            cipher,
            start,
            bytes: Vec::new(),
            facts: Vec::new(),
            tails: HashMap::new(),
            keys: HashMap::new(),
            chosen_ids: HashSet::new(),
            death: None,
            next,
            sync: false,
            interval: INTERVAL_MAX,
            end_max: u64::from(u32::MAX),
        }
    }

    /// Returns where the batch begins in its segment.
    pub(super) fn start(&self) -> u32 {
        self.start.offset
    }

    /// Adds the frame of a record. Returns its place.
    fn add(&mut self, record: &LogRecord<'_>) -> Result<FramePlace, StoreError> {
        let place = FramePlace {
            segment: self.start.segment,
            offset: self.start.offset + self.bytes.len() as u32,
        };
        let before = self.bytes.len();
        frame::append(&mut self.bytes, place, |buffer| record.write(buffer))
            .map_err(|error| unwritable(&error))?;
        let end = u64::from(self.start.offset) + self.bytes.len() as u64;
        if end > self.end_max || self.bytes.len() - before > frame::LENGTH_MAX {
            self.bytes.truncate(before);
            return Err(unwritable(&format_args!(
                "it is too large for a file, which may have {} bytes",
                self.end_max
            )));
        }
        Ok(place)
    }

    /// Adds a record and its facts. `function` is the number of the function that it names, and `length` that of its payload
    /// or result before encryption, if it has one.
    fn put(
        &mut self,
        record: &LogRecord<'_>,
        function: u32,
        length: usize,
    ) -> Result<FramePlace, StoreError> {
        let place = self.add(record)?;
        let end = self.start.offset + self.bytes.len() as u32;
        for mut fact in facts(record, |_| function) {
            fact.set_length(length);
            self.facts.push((fact, place, end - place.offset));
        }
        Ok(place)
    }

    /// Marks the record at `place` to count only together with the next one.
    fn join(&mut self, place: FramePlace) {
        let at = (place.offset - self.start.offset) as usize;
        frame::set_more(&mut self.bytes[at..], place);
    }

    /// Records that the segment is durable up to this byte.
    pub(super) fn synced(&mut self, upto: u32) {
        let _ = self.add(&LogRecord::Synced { upto }); // a number can always be written
    }

    /// Records a death of the process. All deaths of a batch count together, or none: the next opening counts those that
    /// are not on record.
    pub(super) fn died(&mut self, seq: u64, deaths: u32) -> Result<(), StoreError> {
        if let Some(before) = self.death {
            self.join(before);
        }
        self.death = Some(self.put(&LogRecord::Died { seq, deaths }, 0, 0)?);
        Ok(())
    }

    /// Returns the attempts as a blob, encrypted if the folder is; `None` without attempts.
    fn attempts(
        &self,
        id: RequestId,
        clear: impl Serialize,
        attempts: &[Attempt],
    ) -> Result<Option<Blob<'static>>, StoreError> {
        if attempts.is_empty() {
            return Ok(None);
        }
        let bytes = write_attempts(attempts).map_err(|error| unwritable(&error))?;
        self.cipher
            .encrypt(id, SecretKind::Attempts, clear, Cow::Owned(bytes))
            .map(Some)
    }
}

fn unwritable(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::new(format!("it can't be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_beyond_the_largest_place_is_refused_and_adds_no_bytes() {
        let start = FramePlace {
            segment: 1,
            offset: u32::MAX - 100,
        };
        let cipher = Cipher::default();
        let mut batch = Batch::new(&cipher, start, 1);
        batch.synced(7);
        let before = batch.bytes.len();
        let key = |length: usize| LogRecord::Key {
            function: "charge",
            key: Box::leak("x".repeat(length).into_boxed_str()),
            first: RequestId::from(uuid::Uuid::nil()),
            until: 0,
        };
        assert!(batch.add(&key(100)).is_err());
        assert_eq!(batch.bytes.len(), before);
        assert!(batch.add(&key(10)).is_ok());
    }
}
