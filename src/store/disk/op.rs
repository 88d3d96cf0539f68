//! The operations of a store, in the order of the calls, and how they are refused.

use std::collections::VecDeque;

use super::payloads::Payloads;
use super::reader::Reader;
use crate::error::StoreError;
use crate::event::request_id::RequestId;
use crate::store::{Appended, Execution, Fetch, Fetched, Reply, Settled, StoredEvent};
use crate::telemetry;

/// An operation, with its reply if it has one.
pub(super) enum Op {
    Append(Vec<StoredEvent>, Payloads, Reply<Vec<Appended>>),
    Settle(Settled),
    Remember(Box<Execution>),
    Configure(String, Reply<()>),
    /// Its due time is in nanoseconds.
    Spill(RequestId, u64),
    Fetch(Fetch, Reply<Fetched>),
    FetchOne(RequestId, Reply<Option<StoredEvent>>),
    /// A read that sees all earlier operations.
    Read(ReadJob),
    Sync(Reply<()>),
    Close(Reply<()>),
}

impl Op {
    /// Returns whether it writes to the log, and so needs room there.
    pub(super) fn writes(&self) -> bool {
        matches!(self, Self::Settle(_) | Self::Remember(_) | Self::Append(..))
    }
}

/// A read, for the time after the commit.
pub(super) type ReadJob = Box<dyn FnOnce(&Reader) + Send>;

/// Refuses the appends among `ops`, and leaves the rest.
pub(super) fn refuse_appends(ops: &mut VecDeque<Op>, error: &StoreError) {
    if !ops.iter().any(|op| matches!(op, Op::Append(..))) {
        return;
    }
    for op in std::mem::take(ops) {
        match op {
            Op::Append(_, _, reply) => reply.send(Err(error.clone())),
            other => ops.push_back(other),
        }
    }
}

/// Refuses the operations of a store that has failed or is closed. Returns the reads among them, which are still done.
pub(super) fn refuse_all(ops: impl Iterator<Item = Op>, error: &StoreError) -> Vec<ReadJob> {
    let (mut jobs, mut lost) = (Vec::new(), 0);
    for op in ops {
        lost += u64::from(matches!(op, Op::Settle(_) | Op::Remember(_)));
        jobs.extend(refuse(op, error));
    }
    if lost > 0 {
        telemetry::store_lost_all(lost, &error.to_string());
    }
    jobs
}

fn refuse(op: Op, error: &StoreError) -> Option<ReadJob> {
    match op {
        Op::Append(_, _, reply) => reply.send(Err(error.clone())),
        Op::Fetch(_, reply) => reply.send(Err(error.clone())),
        Op::FetchOne(_, reply) => reply.send(Err(error.clone())),
        Op::Configure(_, reply) | Op::Sync(reply) | Op::Close(reply) => {
            reply.send(Err(error.clone()));
        }
        Op::Settle(_) | Op::Remember(_) | Op::Spill(..) => {}
        Op::Read(job) => return Some(job),
    }
    None
}
