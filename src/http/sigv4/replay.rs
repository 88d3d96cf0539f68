//! Signatures that were used, as long as they could be used again.
//!
//! Bounded: when there are too many, no more are accepted until some have expired. None is forgotten before.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::SignatureError;

type Signature = [u8; 32];

const SHARDS: usize = 16;
/// Signatures that are remembered in all, at some 100 bytes each.
const REMEMBERED_MAX: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Replays([Mutex<Used>; SHARDS]);

#[derive(Default)]
struct Used {
    signatures: HashSet<Signature>,
    ends: BinaryHeap<Reverse<(SystemTime, Signature)>>,
}

impl Replays {
    /// Remembers the signature until it is of no use any more. Answers whether it is used for the first time.
    pub(super) fn admit(
        &self,
        signature: Signature,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<bool, SignatureError> {
        let [first, ..] = signature;
        let mut used = self.0[usize::from(first) % SHARDS].lock();
        // At that very moment it may still be used.
        while let Some(Reverse((end, gone))) = used.ends.peek().copied()
            && end < now
        {
            used.ends.pop();
            used.signatures.remove(&gone);
        }
        if used.signatures.contains(&signature) {
            return Ok(false);
        }
        if used.signatures.len() >= REMEMBERED_MAX / SHARDS {
            return Err(SignatureError::TooMany);
        }
        used.signatures.insert(signature);
        used.ends.push(Reverse((until, signature)));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn signature(number: u32) -> Signature {
        let mut signature = [0; 32];
        signature[1..5].copy_from_slice(&number.to_le_bytes());
        signature
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_signature_counts_once_until_it_has_expired() {
        let replays = Replays::default();
        let admit = |number, now| replays.admit(signature(number), at(10), at(now)).unwrap();
        assert!(admit(1, 0) && admit(2, 0));
        assert!(!admit(1, 5) && !admit(1, 10));
        // Nobody asks for it any more, and its place is free.
        assert!(admit(1, 11));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_is_forgotten() {
        let replays = Replays::default();
        let max = (REMEMBERED_MAX / SHARDS) as u32;
        for number in 0..max {
            assert!(replays.admit(signature(number), at(10), at(0)).unwrap());
        }
        let full = replays.admit(signature(max), at(10), at(0));
        assert_eq!(full, Err(SignatureError::TooMany));
        assert_eq!(replays.admit(signature(0), at(10), at(0)), Ok(false));
        assert_eq!(replays.admit(signature(max), at(20), at(11)), Ok(true));
    }

    #[test]
    fn of_those_who_come_at_once_one_is_first() {
        let replays = Replays::default();
        let admitted: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let admit = |number| replays.admit(signature(number), at(10), at(0));
                        (0..1_000)
                            .filter(|&number| admit(number) == Ok(true))
                            .count()
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(admitted, 1_000);
    }
}
