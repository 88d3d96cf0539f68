//! The table of executions by key: the owner and lease of each running one, and the result of each completed one.
//!
//! ```text
//!           acquire                     complete
//!   absent ────────▶ in progress ──────────────────▶ completed
//!      ▲              │   │    ▲ acquire, once the       │
//!      ├── release ───┘   └────┘ lease has expired       │
//!      └───────────────────── it expires ────────────────┘
//! ```
//!
//! Only the present owner of a lease renews, completes or releases it. An attempt that lost its lease is [`Fenced`]: it
//! changes nothing and gets an error. An expired lease stays with its owner until another attempt acquires the execution:
//! a late result still counts if no other attempt runs.
//!
//! A completed execution stays until it expires. At a bound, new keys are refused and known ones still get their results. A
//! result is never refused, because its work is done: the attempts that run when the bound on bytes is met may exceed it.
//!
//! A store keeps each [`Completed`] execution; owners end with the process. A store is not informed about expired records,
//! because each contains its end. All times are of this process's clock; a store keeps wall-clock times.

use std::collections::BTreeSet;
use std::fmt;

use rustc_hash::FxHashMap;

use super::key::{Digest, Key};
use super::record::{Completed, ExecutionState, Owner, Record};
use crate::base::time::Time;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;

/// Maximum number of expired records that one request evicts, unless more must go to make room.
const SWEEP: usize = 16;

/// The bounds of the table.
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

/// The outcome of a request for an execution.
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
    /// It is completed, for a payload from which this one differs (IDM-09).
    Mismatch {
        first: RequestId,
    },
    Full(Full),
}

/// The bound that the table has reached.
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

/// The attempt does not own the execution, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fenced;

/// All executions of a runtime that have a key.
#[derive(Debug)]
pub(crate) struct Executions {
    bounds: Bounds,
    records: FxHashMap<Key, Record>,
    /// The end of each record, the earliest first.
    ends: BTreeSet<(Time, Key)>,
    /// The bytes of all results.
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

    /// Requests a lease of the execution of `key` until `until` (IDM-04, IDM-06), and returns the outcome.
    ///
    /// Payloads are compared only with those of completed executions: a running one may still fail and leave no result.
    pub(crate) fn acquire(
        &mut self,
        key: &Key,
        owner: Owner,
        validated: Option<Digest>,
        until: Time,
        now: Time,
    ) -> Acquisition {
        self.sweep(now);
        let unavailable = match self.records.get(key) {
            Some(record) => record.outcome_for(validated, now),
            None => self.full().map(Acquisition::Full),
        };
        if let Some(outcome) = unavailable {
            return outcome;
        }
        let record = Record {
            owner,
            validated,
            state: ExecutionState::InProgress { until },
        };
        self.put(key, record);
        Acquisition::Leased
    }

    /// Extends the lease. An earlier end than the present one changes nothing.
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

    /// Stores the result (IDM-08) and returns the completed execution. The first result counts: if its owner completes it
    /// again, nothing changes, and this returns `None`.
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

    /// Ends the lease without a result, so that its key is free (IDM-07). A completed execution stays.
    pub(crate) fn release(&mut self, key: &Key, owner: Owner) -> Result<(), Fenced> {
        let record = self.owned(key, owner)?;
        if matches!(record.state, ExecutionState::Completed { .. }) {
            return Err(Fenced);
        }
        self.remove(key);
        Ok(())
    }

    /// Restores an execution from a store. The bounds don't apply: they are for new keys.
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

    /// Evicts some expired records, and at a bound as many as make room.
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

impl Record {
    /// Returns the outcome for another attempt's request; `None` if the lease or the result has expired.
    fn outcome_for(&self, validated: Option<Digest>, now: Time) -> Option<Acquisition> {
        match &self.state {
            ExecutionState::InProgress { until } if *until >= now => {
                Some(Acquisition::InProgress {
                    owner: self.owner,
                    until: *until,
                })
            }
            ExecutionState::Completed { result, expires } if *expires >= now => {
                let differs = |(first, other)| first != other;
                Some(if self.validated.zip(validated).is_some_and(differs) {
                    Acquisition::Mismatch {
                        first: self.owner.request_id,
                    }
                } else {
                    Acquisition::Completed {
                        result: result.clone(),
                    }
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
