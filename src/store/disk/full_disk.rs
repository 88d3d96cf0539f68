//! A full disk: which operations wait and which are refused, how room is freed, and when the store takes events again.

use std::collections::VecDeque;

use super::group_commit::Engine;
use super::op::{self, Op, ReadJob};
use super::reserve;
use crate::error::StoreError;
use crate::store::Health;

/// The minimum size of a commit on a full disk.
const FULL_COMMIT_MIN: usize = 512;

impl Engine {
    /// Takes back a batch that could not be written: `ops` wait for room, or are refused.
    pub(super) fn undo(&mut self, start: u32, ops: Vec<Op>, error: &StoreError) -> Vec<ReadJob> {
        if !error.is_passing() {
            // A part of it may be on the disk. It was refused, so it must not come back.
            self.log.cut(start);
            self.health
                .set(Health::Failed(error.to_string()), self.clock.now());
            let waiting = std::mem::take(&mut self.waiting).into_iter();
            return op::refuse_all(waiting.chain(ops), error);
        }
        self.health
            .set(Health::Full(error.to_string()), self.clock.now());
        self.halve_commits();
        // The reserve is for the settlements of events that the log has.
        let again = self.reserve.give_up();
        let mut jobs = Vec::new();
        for op in ops {
            match op {
                Op::Append(_, _, reply) => reply.send(Err(error.clone())),
                Op::Read(job) => jobs.push(job),
                Op::Configure(_, reply) | Op::Sync(reply) | Op::Close(reply) if !again => {
                    reply.send(Err(error.clone()));
                }
                // In their order: an event is spilled after it was rescheduled, and fetched after it was spilled.
                op => self.waiting.push_back(op),
            }
        }
        if again {
            let mut rest = VecDeque::new();
            jobs.extend(self.commit(&mut rest));
            // Those that did not fit into one commit.
            rest.append(&mut self.waiting);
            self.waiting = rest;
        }
        jobs
    }

    /// Halves the size of commits on a full disk: the last one did not fit.
    pub(super) fn halve_commits(&mut self) {
        self.full_commit_max = (self.full_commit_max / 2).max(FULL_COMMIT_MIN);
    }

    /// Frees room on a full disk. The store takes events again once the reserve is whole.
    pub(super) fn make_room(&mut self) -> Result<bool, StoreError> {
        self.reader.index.lock().expire(self.clock.now().0);
        if self.remove_emptied()? || self.empty_unneeded()? {
            self.may_fill = true;
            return Ok(true);
        }
        if self.waiting.is_empty() && std::mem::take(&mut self.may_fill) {
            let files = self.reader.files.clone();
            if self.reserve.fill(&*files).is_ok() {
                self.health.set(Health::Well, self.clock.now());
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
            let mut all = index.tables.movable_segments();
            all.find(|&(number, live)| live <= small && 2 * live < length(number))
        };
        let Some((number, _)) = wasteful else {
            return Ok(false);
        };
        match self.move_some(number) {
            // Settlements took the rest of the room. A move takes the reserve's, and frees twice as much.
            Err(error) if error.is_passing() && self.reserve.give_up_all() => {
                self.halve_commits();
                Ok(true)
            }
            moved => moved,
        }
    }

    /// Removes the records of a segment that must stay, if none of them is needed. Returns whether it did.
    fn empty_unneeded(&mut self) -> Result<bool, StoreError> {
        let Some(number) = self.reader.index.lock().tables.unneeded() else {
            return Ok(false);
        };
        self.log.sync()?;
        self.log.empty(number)?;
        self.reader.index.lock().tables.set_emptied(number);
        Ok(true)
    }

    /// Closes the last segment if little of it is needed: only a closed one can be removed. Returns whether it did.
    fn close_wasteful(&mut self) -> Result<bool, StoreError> {
        let live = self.reader.index.lock().tables.last_live_bytes();
        let waste = u64::from(self.log.end().offset).saturating_sub(live);
        let much = reserve::bytes(self.segment_max) / 2;
        if waste < u64::from(much) || self.log.is_over() {
            return Ok(false);
        }
        self.roll()?;
        Ok(true)
    }
}
