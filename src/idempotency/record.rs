//! The record of one execution, and the form in which a store keeps a completed one.

use std::time::Duration;

use super::key::{Digest, Key};
use crate::base::time::Time;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;

/// How long the record of an expired lease is kept, in case its owner still completes it.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// The owner of a lease: one attempt of one event. It fences off all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) request_id: RequestId,
    pub(crate) attempt: u32,
    /// When it requested the lease. It distinguishes the event from an earlier one with the same chosen request id.
    pub(crate) since: Time,
}

/// A completed execution: its result and its owner.
#[derive(Clone, Debug)]
pub(crate) struct Completed {
    pub(crate) key: Key,
    pub(crate) owner: Owner,
    pub(crate) validated: Option<Digest>,
    pub(crate) result: Option<Payload>,
    pub(crate) expires: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) owner: Owner,
    pub(super) validated: Option<Digest>,
    pub(super) state: ExecutionState,
}

#[derive(Clone, Debug)]
pub(super) enum ExecutionState {
    InProgress {
        until: Time,
    },
    Completed {
        result: Option<Payload>,
        expires: Time,
    },
}

impl Record {
    /// Returns when the record may be evicted, if it does not change.
    pub(super) fn end(&self) -> Time {
        match self.state {
            ExecutionState::InProgress { until } => until.after(ABANDONED),
            ExecutionState::Completed { expires, .. } => expires,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match &self.state {
            ExecutionState::Completed { result, .. } => {
                result.as_ref().map_or(0, |r| r.size() as u64)
            }
            ExecutionState::InProgress { .. } => 0,
        }
    }
}
