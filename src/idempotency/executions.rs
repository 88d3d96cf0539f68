//! The executions by key: who runs one now, until when nobody else may, and what came of those that are done.
//!
//! ```text
//!            claim                      complete
//!   absent ────────▶ in progress ──────────────────▶ completed
//!      ▲              │   │    ▲ claim, once the         │
//!      ├── release ───┘   └────┘ lease has run out       │
//!      └───────────────────── it expires ────────────────┘
//! ```
//!
//! Only the present owner of a claim renews, completes or releases it. Whoever lost it is [`Fenced`]: an attempt that comes
//! back late changes nothing and is told so. A lease that has run out gives the execution to whoever claims it next, and
//! until then leaves it to its owner: a result that comes late and that nobody runs for again is the result.
//!
//! What is completed is never forgotten before it expires. At a bound, new keys are refused; known ones are answered all
//! the same. A result is never refused, for its work is done: results may go beyond the bound on bytes by those of the runs
//! that were under way when it was met.
//!
//! What is [`Completed`] is for a store to keep; who ran something is over with the process. That records expire is not told:
//! their end stands in them. Moments are of the clock of this process; who keeps them beyond it keeps wall times.

use std::collections::BTreeSet;
use std::fmt;

use rustc_hash::FxHashMap;

use super::key::{Digest, Key};
use super::record::{Completed, ExecutionState, Owner, Record};
use crate::base::time::Time;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;

/// Records that are forgotten at most in one claim, unless more must go to make room.
const SWEEP: usize = 16;

/// How much is remembered.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) records_max: usize,
    pub(crate) bytes_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            records_max: 1_000_000,
            bytes_max: 256 << 20,
        }
    }
}

/// What a claim comes to.
#[derive(Clone, Debug)]
pub(crate) enum Acquisition {
    Leased,
    InProgress {
        owner: Owner,
        until: Time,
    },
    Completed {
        result: Option<Payload>,
    },
    /// It is done, for a payload that this one doesn't agree with (IDM-09).
    Mismatch {
        first: RequestId,
    },
    Full(Full),
}

/// The bound that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Records(usize),
    Bytes(u64),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(max) => write!(f, "{max} records"),
            Self::Bytes(max) => write!(f, "{max} bytes of results"),
        }
    }
}

/// The claim is somebody else's, or nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fenced;

/// All executions of a runtime that have a key.
#[derive(Debug)]
pub(crate) struct Executions {
    bounds: Bounds,
    records: FxHashMap<Key, Record>,
    /// Every record's end, the soonest first.
    ends: BTreeSet<(Time, Key)>,
    /// Of results.
    bytes: u64,
}

impl Executions {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            records: FxHashMap::default(),
            ends: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Asks for the execution of `key`, for as long as `until` (IDM-04, IDM-06).
    ///
    /// Whether payloads agree is asked only where there is a result: one that is in progress may yet fail, and then it
    /// stands for nothing.
    pub(crate) fn acquire(
        &mut self,
        key: &Key,
        owner: Owner,
        validated: Option<Digest>,
        until: Time,
        now: Time,
    ) -> Acquisition {
        self.sweep(now);
        match self.records.get(key) {
            Some(Record {
                owner,
                state: ExecutionState::InProgress { until },
                ..
            }) if *until >= now => {
                return Acquisition::InProgress {
                    owner: *owner,
                    until: *until,
                };
            }
            Some(Record {
                owner,
                validated: first,
                state: ExecutionState::Completed { result, expires },
            }) if *expires >= now => {
                if first.zip(validated).is_some_and(|(a, b)| a != b) {
                    return Acquisition::Mismatch {
                        first: owner.request_id,
                    };
                }
                let result = result.clone();
                return Acquisition::Completed { result };
            }
            Some(_) => {}
            None => {
                if let Some(full) = self.full() {
                    return Acquisition::Full(full);
                }
            }
        }
        let record = Record {
            owner,
            validated,
            state: ExecutionState::InProgress { until },
        };
        self.put(key, record);
        Acquisition::Leased
    }

    /// Moves the end of the lease further out.
    pub(crate) fn renew(&mut self, key: &Key, owner: Owner, until: Time) -> Result<(), Fenced> {
        let record = self.owned(key, owner)?;
        let ExecutionState::InProgress { until: before } = record.state else {
            return Err(Fenced);
        };
        let until = until.max(before);
        let state = ExecutionState::InProgress { until };
        self.put(key, Record { state, ..record });
        Ok(())
    }

    /// Keeps the result (IDM-08), and answers with it. It is the first that counts: completed again by its owner, nothing
    /// changes, and there is no answer.
    pub(crate) fn complete(
        &mut self,
        key: &Key,
        owner: Owner,
        result: Option<Payload>,
        expires: Time,
    ) -> Result<Option<Completed>, Fenced> {
        let record = self.owned(key, owner)?;
        if matches!(record.state, ExecutionState::Completed { .. }) {
            return Ok(None);
        }
        let completed = Completed {
            key: key.clone(),
            owner,
            validated: record.validated,
            result,
            expires,
        };
        self.restore(completed.clone());
        Ok(Some(completed))
    }

    /// Gives the claim up, so that anybody may have it (IDM-07). What is completed stays.
    pub(crate) fn release(&mut self, key: &Key, owner: Owner) -> Result<(), Fenced> {
        let record = self.owned(key, owner)?;
        if matches!(record.state, ExecutionState::Completed { .. }) {
            return Err(Fenced);
        }
        self.remove(key);
        Ok(())
    }

    /// Takes back what a store kept, beyond the bounds if need be: they are for new keys.
    pub(crate) fn restore(&mut self, completed: Completed) {
        let Completed {
            key,
            owner,
            validated,
            result,
            expires,
        } = completed;
        let record = Record {
            owner,
            validated,
            state: ExecutionState::Completed { result, expires },
        };
        self.put(&key, record);
    }

    fn owned(&self, key: &Key, owner: Owner) -> Result<Record, Fenced> {
        let record = self.records.get(key).filter(|r| r.owner == owner);
        record.cloned().ok_or(Fenced)
    }

    fn full(&self) -> Option<Full> {
        let Bounds {
            records_max,
            bytes_max,
        } = self.bounds;
        if self.records.len() >= records_max {
            Some(Full::Records(records_max))
        } else if self.bytes >= bytes_max {
            Some(Full::Bytes(bytes_max))
        } else {
            None
        }
    }

    /// Forgets some of what has ended; as much as makes room, if room is wanted.
    fn sweep(&mut self, now: Time) {
        for swept in 0.. {
            if swept >= SWEEP && self.full().is_none() {
                return;
            }
            let Some((_, key)) = self.ends.first().filter(|(end, _)| *end < now) else {
                return;
            };
            let key = key.clone();
            self.remove(&key);
        }
    }

    fn put(&mut self, key: &Key, record: Record) {
        self.remove(key);
        self.bytes += record.bytes();
        self.ends.insert((record.end(), key.clone()));
        self.records.insert(key.clone(), record);
    }

    fn remove(&mut self, key: &Key) {
        if let Some((key, record)) = self.records.remove_entry(key) {
            self.bytes -= record.bytes();
            self.ends.remove(&(record.end(), key));
        }
    }
}

#[cfg(test)]
mod tests;
