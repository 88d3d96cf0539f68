//! What is remembered under a key until its time is over: deduplication keys, and results of executions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;

use super::frame::Place;

#[derive(Debug)]
pub(super) struct Lasting<K, V> {
    kept: HashMap<K, Kept<V>>,
    ends: BinaryHeap<Reverse<(u64, K)>>,
}

#[derive(Clone, Debug)]
pub(super) struct Kept<V> {
    pub(super) value: V,
    pub(super) until: u64,
    pub(super) place: Place,
    pub(super) bytes: u32,
}

impl<K, V> Default for Lasting<K, V>
where
    K: Ord,
{
    fn default() -> Self {
        Self {
            kept: HashMap::new(),
            ends: BinaryHeap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord, V> Lasting<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&Kept<V>> {
        self.kept.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Kept<V>)> {
        self.kept.iter()
    }

    /// Remembers it in place of what there was.
    pub(super) fn insert(&mut self, key: K, kept: Kept<V>) -> Option<Kept<V>> {
        let until = kept.until;
        let before = self.kept.insert(key.clone(), kept);
        // What only moved has its end already.
        if before.as_ref().is_none_or(|before| before.until != until) {
            self.ends.push(Reverse((until, key)));
        }
        before
    }

    /// How many ends are waited for.
    #[cfg(test)]
    pub(super) fn ends(&self) -> usize {
        self.ends.len()
    }

    /// Forgets one whose time is over.
    pub(super) fn expire(&mut self, now: u64) -> Option<(K, Kept<V>)> {
        while self
            .ends
            .peek()
            .is_some_and(|Reverse((until, _))| *until <= now)
        {
            let Reverse((until, key)) = self.ends.pop()?;
            // It may have been remembered anew since.
            if self.kept.get(&key).is_some_and(|kept| kept.until == until) {
                return self.kept.remove_entry(&key);
            }
        }
        None
    }
}
