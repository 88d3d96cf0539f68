//! What is known of one execution, and what a store is told of it.

use std::time::Duration;

use super::key::{Digest, Key};
use crate::base::time::Time;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;

/// How long an execution whose lease has run out is left to its owner, if nobody claims it.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// One attempt of one event: the fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) request_id: RequestId,
    pub(crate) attempt: u32,
    /// When it claimed. Tells it from an earlier event with the same proposed id.
    pub(crate) since: Time,
}

/// A result, and whose it is.
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
    /// When it may be forgotten, if nothing happens to it.
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
