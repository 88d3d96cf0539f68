//! What is known of one execution, and what a store is told of it.

use std::time::Duration;

use super::key::{Digest, Key};
use crate::event::RequestId;
use crate::payload::Payload;
use crate::time::Time;

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

/// What became of one record. The last change of a key is all there is to know of it.
#[derive(Clone, Debug)]
#[allow(
    dead_code,
    reason = "its fields are for the stores that are to keep it"
)]
pub(crate) enum Change {
    /// Claimed, taken over or renewed.
    Claimed {
        key: Key,
        owner: Owner,
        validated: Option<Digest>,
        until: Time,
    },
    Completed {
        key: Key,
        owner: Owner,
        validated: Option<Digest>,
        result: Option<Payload>,
        expires: Time,
    },
    Released {
        key: Key,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) owner: Owner,
    pub(super) validated: Option<Digest>,
    pub(super) state: State,
}

#[derive(Clone, Debug)]
pub(super) enum State {
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
            State::InProgress { until } => until.after(ABANDONED),
            State::Completed { expires, .. } => expires,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match &self.state {
            State::Completed { result, .. } => result.as_ref().map_or(0, |r| r.size() as u64),
            State::InProgress { .. } => 0,
        }
    }

    pub(super) fn change(&self, key: &Key) -> Change {
        let (key, owner, validated) = (key.clone(), self.owner, self.validated);
        match &self.state {
            State::InProgress { until } => Change::Claimed {
                key,
                owner,
                validated,
                until: *until,
            },
            State::Completed { result, expires } => Change::Completed {
                key,
                owner,
                validated,
                result: result.clone(),
                expires: *expires,
            },
        }
    }
}
