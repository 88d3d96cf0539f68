//! The signatures that were accepted, kept for as long as they are valid.
//!
//! Signatures are grouped by the moment they expire. That moment is signed, so a replay falls into the same group: a lookup
//! reads one table, and forgetting drops whole tables. Both take constant time.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;

use super::error::SignatureError;
use super::sdk_retry::SdkAttempt;
use super::timestamp::{Seconds, Timestamp};
use crate::base::spin_lock::take;

/// The number of locks, so that threads rarely wait for one.
const SHARDS: usize = 64;
/// The length of a group, in seconds. Its signatures are forgotten together, at its end.
const PERIOD: u64 = 64;

/// Half a signature: 128 bits of an HMAC are as unique as all of them.
type Print = [u8; 16];

/// The hash of a principal's name.
type Signer = u64;

/// The signer that the signatures of earlier processes are counted for. No principal has this name.
const EARLIER: &str = "";

/// One signer may use at most this part of the room: one half.
const SHARE: usize = 2;

#[derive(Debug)]
pub(super) struct Replays {
    shards: Vec<Mutex<ReplayShard>>,
    kept: AtomicUsize,
    pub(super) kept_max: usize,
    /// The number of signatures of each signer, so that no signer fills the table alone.
    of: DashMap<Signer, usize>,
    hasher: RandomState,
    /// How long after the first use of a signature another SDK attempt with it is accepted.
    pub(super) repeat_window: Seconds,
}

#[derive(Debug, Default)]
struct ReplayShard {
    /// By the number of the period in which they expire.
    periods: BTreeMap<u64, Period>,
    /// All periods before this one are forgotten. If the clock goes back, their signatures are refused: they may have been
    /// accepted before.
    first: u64,
}

#[derive(Debug, Default)]
struct Period {
    uses: HashMap<Print, First>,
    of: HashMap<Signer, usize>,
}

/// The first use of a signature.
#[derive(Debug)]
struct First {
    at: Timestamp,
    attempt: Option<u32>,
}

/// A use of a signature that is about to be accepted.
#[derive(Debug)]
pub(super) struct Use<'a> {
    /// The principal's ARN.
    pub(super) signer: &'a str,
    pub(super) signature: [u8; 32],
    pub(super) good_until: Timestamp,
    pub(super) attempt: Option<SdkAttempt>,
}

impl Replays {
    pub(super) fn new(kept_max: usize, repeat_window: Seconds) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            kept: AtomicUsize::new(0),
            kept_max,
            of: DashMap::new(),
            hasher: RandomState::new(),
            repeat_window,
        }
    }

    /// Remembers the use of a signature. Of several callers with the same signature, one succeeds.
    pub(super) fn accept(&self, used: &Use<'_>, now: Timestamp) -> Result<(), SignatureError> {
        match self.remember(used, now) {
            Err(SignatureError::TooManyRequests) => {
                self.forget_everywhere(now);
                self.remember(used, now)
            }
            other => other,
        }
    }

    /// Remembers a signature that an earlier process accepted. No further attempt with it is accepted.
    pub(super) fn recall(&self, signature: &[u8; 32], good_until: Timestamp) {
        let signer = self.hasher.hash_one(EARLIER);
        let (print, shard) = self.place(signature);
        let mut shard = take(shard);
        let period = good_until.0 / PERIOD;
        if period < shard.first {
            return;
        }
        let Period { uses, of } = shard.periods.entry(period).or_default();
        let first = First {
            at: Timestamp(0),
            attempt: None,
        };
        if uses.insert(print, first).is_none() {
            *of.entry(signer).or_default() += 1;
            *self.of.entry(signer).or_default() += 1;
            self.kept.fetch_add(1, Relaxed);
        }
    }

    fn remember(&self, used: &Use<'_>, now: Timestamp) -> Result<(), SignatureError> {
        let signer = self.hasher.hash_one(used.signer);
        let (print, shard) = self.place(&used.signature);
        let mut shard = take(shard);
        self.forget(&mut shard, now);
        let period = used.good_until.0 / PERIOD;
        if period < shard.first {
            return Err(SignatureError::Replayed);
        }
        let Period { uses, of } = shard.periods.entry(period).or_default();
        let print = match (uses.get(&print), &used.attempt) {
            (None, _) => print,
            (Some(first), Some(attempt)) if self.is_repeat(first, attempt, now) => {
                attempt.print_of(print)
            }
            _ => return Err(SignatureError::Replayed),
        };
        if uses.contains_key(&print) {
            return Err(SignatureError::Replayed);
        }
        self.take_room(signer)?;
        *of.entry(signer).or_default() += 1;
        let attempt = used.attempt.as_ref().map(SdkAttempt::number);
        uses.insert(print, First { at: now, attempt });
        Ok(())
    }

    fn take_room(&self, signer: Signer) -> Result<(), SignatureError> {
        // A vacant entry that is not filled leaves nothing behind.
        let entry = self.of.entry(signer);
        let own = match &entry {
            Entry::Occupied(own) => *own.get(),
            Entry::Vacant(_) => 0,
        };
        if own >= self.kept_max.div_ceil(SHARE) {
            return Err(SignatureError::TooManyRequests);
        }
        if self.kept.fetch_add(1, Relaxed) >= self.kept_max {
            self.kept.fetch_sub(1, Relaxed);
            return Err(SignatureError::TooManyRequests);
        }
        *entry.or_default() += 1;
        Ok(())
    }

    /// Returns whether this is another SDK attempt than the first one, within the repeat window.
    fn is_repeat(&self, first: &First, attempt: &SdkAttempt, now: Timestamp) -> bool {
        let is_other = first.attempt.is_some_and(|first| first != attempt.number());
        is_other && self.repeat_window.0 > 0 && now <= first.at.after(self.repeat_window)
    }

    fn place(&self, signature: &[u8; 32]) -> (Print, &Mutex<ReplayShard>) {
        let (print, _) = signature.split_first_chunk().unwrap_or((&[0; 16], &[]));
        (*print, &self.shards[usize::from(print[0]) % SHARDS])
    }

    fn forget_everywhere(&self, now: Timestamp) {
        for shard in &self.shards {
            self.forget(&mut take(shard), now);
        }
    }

    /// Drops the expired periods of a shard.
    fn forget(&self, shard: &mut ReplayShard, now: Timestamp) {
        shard.first = shard.first.max(now.0 / PERIOD);
        while let Some(period) = shard.periods.first_entry()
            && *period.key() < shard.first
        {
            let period = period.remove();
            self.kept.fetch_sub(period.uses.len(), Relaxed);
            for (signer, count) in period.of {
                self.of.remove_if_mut(&signer, |_, own| {
                    *own -= count;
                    *own == 0
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replays(kept_max: usize) -> Replays {
        Replays::new(kept_max, Seconds(5))
    }

    /// Returns one of 256 signatures, which are spread over all shards.
    fn signature(number: u8) -> [u8; 32] {
        let mut signature = [7; 32];
        signature[0] = number;
        signature
    }

    fn accept(replays: &Replays, number: u8, until: u64, now: u64) -> Result<(), SignatureError> {
        let used = Use {
            // Each signer has half of them.
            signer: if number.is_multiple_of(2) {
                "ada"
            } else {
                "ben"
            },
            signature: signature(number),
            good_until: Timestamp(until),
            attempt: None,
        };
        replays.accept(&used, Timestamp(now))
    }

    #[test]
    fn each_signature_is_accepted_once() {
        let replays = replays(1_000);
        for number in 0..=255 {
            accept(&replays, number, 1_300, 1_000).unwrap();
        }
        for number in 0..=255 {
            for now in [1_000, 1_299, 1_300] {
                let again = accept(&replays, number, 1_300, now);
                assert!(matches!(again, Err(SignatureError::Replayed)));
            }
        }
    }

    #[test]
    fn signatures_of_an_earlier_process_are_refused_and_forgotten_in_time() {
        let replays = replays(1_000);
        for _ in 0..2 {
            replays.recall(&signature(1), Timestamp(1_300));
        }
        let again = accept(&replays, 1, 1_300, 1_000);
        assert!(matches!(again, Err(SignatureError::Replayed)));
        accept(&replays, 65, 1_700, 1_400).unwrap();
        assert_eq!((replays.of.len(), replays.kept.load(Relaxed)), (1, 1));
    }

    #[test]
    fn a_forgotten_signature_is_refused_when_the_clock_goes_back() {
        let replays = replays(1_000);
        accept(&replays, 1, 1_300, 1_000).unwrap();
        accept(&replays, 1, 9_300, 9_000).unwrap();
        let again = accept(&replays, 1, 1_300, 1_000);
        assert!(matches!(again, Err(SignatureError::Replayed)));
    }

    #[test]
    fn expired_signatures_of_all_shards_make_room() {
        let replays = replays(40);
        for number in 0..40 {
            accept(&replays, number, 1_300, 1_000).unwrap();
        }
        for number in 40..64 {
            let full = accept(&replays, number, 1_300, 1_300);
            assert!(matches!(full, Err(SignatureError::TooManyRequests)));
        }
        accept(&replays, 63, 1_700, 1_400).unwrap();
        assert_eq!(replays.kept.load(Relaxed), 1);
        let kept = replays.shards.iter().map(|shard| {
            let shard = take(shard);
            shard
                .periods
                .values()
                .map(|it| it.uses.len())
                .sum::<usize>()
        });
        assert_eq!(kept.sum::<usize>(), 1);
        assert_eq!(replays.of.len(), 1);
    }

    #[test]
    fn concurrent_uses_do_not_exceed_the_bound() {
        let replays = replays(100);
        let accepted = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u8)
                .map(|thread| {
                    let replays = &replays;
                    let own = move |number: u8| accept(replays, thread * 64 + number, 1_300, 1_000);
                    scope.spawn(move || (0..64).filter(|&number| own(number).is_ok()).count())
                })
                .collect();
            let counts = threads.into_iter().map(|thread| thread.join().unwrap());
            counts.sum::<usize>()
        });
        assert_eq!(accepted, 100);
        assert_eq!(replays.kept.load(Relaxed), 100);
    }

    /// A principal without any rights must not keep the others out.
    #[test]
    fn no_signer_takes_more_than_half_of_the_room() {
        let replays = replays(10);
        let accept = |signer, number, now| {
            let used = Use {
                signer,
                signature: signature(number),
                good_until: Timestamp(1_300),
                attempt: None,
            };
            replays.accept(&used, Timestamp(now))
        };
        for number in 0..5 {
            accept("mallory", number, 1_000).unwrap();
        }
        for number in 5..20 {
            let full = accept("mallory", number, 1_000);
            assert!(matches!(full, Err(SignatureError::TooManyRequests)));
        }
        for number in 20..25 {
            accept("ada", number, 1_000).unwrap();
        }
        let full = accept("ben", 25, 1_000);
        assert!(matches!(full, Err(SignatureError::TooManyRequests)));
        // A refused signer leaves nothing behind.
        assert_eq!((replays.of.len(), replays.kept.load(Relaxed)), (2, 10));
        let replays = &replays;
        let later = |signer, number| {
            let used = Use {
                signer,
                signature: signature(number),
                good_until: Timestamp(1_900),
                attempt: None,
            };
            replays.accept(&used, Timestamp(1_600))
        };
        for number in 0..5 {
            later("mallory", number).unwrap();
        }
        later("ben", 25).unwrap();
        assert_eq!(replays.of.len(), 2);
    }
}
