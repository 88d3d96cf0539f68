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
//! Every operation answers with the [`Change`] that it made, for a store to keep. That records expire is no change: their
//! end stands in them. Moments are of the clock of this process; who keeps them beyond it keeps wall times.

use std::collections::BTreeSet;
use std::fmt;

use rustc_hash::FxHashMap;

use super::key::{Digest, Key};
use super::record::{Change, Owner, Record, State};
use crate::event::RequestId;
use crate::payload::Payload;
use crate::time::Time;

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
pub(crate) enum Claimed {
    Yours(#[allow(dead_code, reason = "for the stores that are to keep executions")] Change),
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
    pub(crate) fn claim(
        &mut self,
        key: &Key,
        owner: Owner,
        validated: Option<Digest>,
        until: Time,
        now: Time,
    ) -> Claimed {
        self.sweep(now);
        match self.records.get(key) {
            Some(Record {
                owner,
                state: State::InProgress { until },
                ..
            }) if *until >= now => {
                return Claimed::InProgress {
                    owner: *owner,
                    until: *until,
                };
            }
            Some(Record {
                owner,
                validated: first,
                state: State::Completed { result, expires },
            }) if *expires >= now => {
                if first.zip(validated).is_some_and(|(a, b)| a != b) {
                    return Claimed::Mismatch {
                        first: owner.request_id,
                    };
                }
                let result = result.clone();
                return Claimed::Completed { result };
            }
            Some(_) => {}
            None => {
                if let Some(full) = self.full() {
                    return Claimed::Full(full);
                }
            }
        }
        Claimed::Yours(self.put(
            key,
            Record {
                owner,
                validated,
                state: State::InProgress { until },
            },
        ))
    }

    /// Moves the end of the lease further out.
    pub(crate) fn renew(&mut self, key: &Key, owner: Owner, until: Time) -> Result<Change, Fenced> {
        let record = self.owned(key, owner)?;
        let State::InProgress { until: before } = record.state else {
            return Err(Fenced);
        };
        let until = until.max(before);
        let state = State::InProgress { until };
        Ok(self.put(key, Record { state, ..record }))
    }

    /// Keeps the result (IDM-08). It is the first that counts: completed again by its owner, nothing changes.
    pub(crate) fn complete(
        &mut self,
        key: &Key,
        owner: Owner,
        result: Option<Payload>,
        expires: Time,
    ) -> Result<Change, Fenced> {
        let record = self.owned(key, owner)?;
        if matches!(record.state, State::Completed { .. }) {
            return Ok(record.change(key));
        }
        let state = State::Completed { result, expires };
        Ok(self.put(key, Record { state, ..record }))
    }

    /// Gives the claim up, so that anybody may have it (IDM-07). What is completed stays.
    pub(crate) fn release(&mut self, key: &Key, owner: Owner) -> Result<Change, Fenced> {
        let record = self.owned(key, owner)?;
        if matches!(record.state, State::Completed { .. }) {
            return Err(Fenced);
        }
        self.remove(key);
        Ok(Change::Released { key: key.clone() })
    }

    /// Takes back what a store kept, beyond the bounds if need be: they are for new keys.
    #[allow(dead_code, reason = "for the stores that are to keep executions")]
    pub(crate) fn restore(&mut self, change: Change) {
        let (key, owner, validated, state) = match change {
            Change::Released { key } => return self.remove(&key),
            Change::Claimed {
                key,
                owner,
                validated,
                until,
            } => (key, owner, validated, State::InProgress { until }),
            Change::Completed {
                key,
                owner,
                validated,
                result,
                expires,
            } => (key, owner, validated, State::Completed { result, expires }),
        };
        let record = Record {
            owner,
            validated,
            state,
        };
        self.put(&key, record);
    }

    /// Drops whatever is in progress: after a restart nobody runs it any more. Answers with the changes.
    #[allow(dead_code, reason = "for the stores that are to keep executions")]
    pub(crate) fn abandon_claims(&mut self) -> Vec<Change> {
        let in_progress = |record: &Record| matches!(record.state, State::InProgress { .. });
        let claims = self.records.iter().filter(|(_, r)| in_progress(r));
        let keys: Vec<_> = claims.map(|(key, _)| key.clone()).collect();
        keys.into_iter()
            .map(|key| {
                self.remove(&key);
                Change::Released { key }
            })
            .collect()
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

    fn put(&mut self, key: &Key, record: Record) -> Change {
        self.remove(key);
        let change = record.change(key);
        self.bytes += record.bytes();
        self.ends.insert((record.end(), key.clone()));
        self.records.insert(key.clone(), record);
        change
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
