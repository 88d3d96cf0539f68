//! A map whose entries expire. Its owner passes the time in and removes the expired entries, one after the other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;

/// Values by key, each until its own moment `T`.
#[derive(Debug)]
pub(crate) struct ExpiringMap<K, V, T> {
    entries: HashMap<K, (V, T)>,
    /// At least one for each entry. One whose moment differs from the entry's is out of date and ignored.
    expiries: BinaryHeap<Reverse<(T, K)>>,
}

impl<K: Ord, V, T: Ord> Default for ExpiringMap<K, V, T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            expiries: BinaryHeap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord, V, T: Copy + Ord> ExpiringMap<K, V, T> {
    /// Returns the value under `key` and when it expires. An expired value is found until `expire` takes it out.
    pub(crate) fn get(&self, key: &K) -> Option<(&V, T)> {
        self.entries.get(key).map(|(value, until)| (value, *until))
    }

    /// Returns how many entries and how many expiries there are.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.entries.len(), self.expiries.len())
    }

    /// Returns all values, in no particular order.
    #[cfg_attr(
        not(feature = "disk"),
        allow(dead_code, reason = "the disk store reads all")
    )]
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|(value, _)| value)
    }

    /// Stores a value until `until`, and returns the value that it replaces.
    pub(crate) fn insert(&mut self, key: K, value: V, until: T) -> Option<V> {
        let before = self.entries.insert(key.clone(), (value, until));
        // An entry that is replaced without a change of its moment has its expiry already.
        if before.as_ref().is_none_or(|(_, before)| *before != until) {
            self.expiries.push(Reverse((until, key)));
        }
        before.map(|(value, _)| value)
    }

    /// Removes an entry that has expired at `now` and returns it. The caller repeats this until it returns `None`.
    pub(crate) fn expire(&mut self, now: T) -> Option<(K, V)> {
        while self.next_expiry().is_some_and(|until| until <= now) {
            let Reverse((until, key)) = self.expiries.pop()?;
            let is_current = self.entries.get(&key).is_some_and(|(_, it)| *it == until);
            if is_current && let Some((key, (value, _))) = self.entries.remove_entry(&key) {
                return Some((key, value));
            }
        }
        None
    }

    /// Returns when `expire` next has something to look at: no entry expires before.
    pub(crate) fn next_expiry(&self) -> Option<T> {
        self.expiries.peek().map(|Reverse((until, _))| *until)
    }

    /// Removes all entries whose key `keep` refuses.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.entries.retain(|key, _| keep(key));
        self.expiries.retain(|Reverse((_, key))| keep(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expired(
        map: &mut ExpiringMap<&'static str, u32, u64>,
        now: u64,
    ) -> Vec<(&'static str, u32)> {
        std::iter::from_fn(|| map.expire(now)).collect()
    }

    #[test]
    fn entries_expire_in_the_order_of_their_moments() {
        let mut map = ExpiringMap::default();
        for (key, value, until) in [("c", 3, 30), ("a", 1, 10), ("b", 2, 20)] {
            assert_eq!(map.insert(key, value, until), None);
        }
        assert_eq!(map.next_expiry(), Some(10));
        assert_eq!(expired(&mut map, 9), []);
        assert_eq!(expired(&mut map, 20), [("a", 1), ("b", 2)]);
        assert_eq!(map.get(&"c"), Some((&3, 30)));
        assert_eq!(map.values().collect::<Vec<_>>(), [&3]);
    }

    #[test]
    fn a_replaced_entry_expires_at_its_new_moment_only() {
        let mut map = ExpiringMap::default();
        map.insert("a", 1, 10);
        assert_eq!(map.insert("a", 2, 20), Some(1));
        assert_eq!(expired(&mut map, 19), []);
        assert_eq!(expired(&mut map, 20), [("a", 2)]);
        assert_eq!((map.get(&"a"), map.next_expiry()), (None, None));
    }

    #[test]
    fn replacing_an_entry_again_and_again_adds_no_expiries() {
        let mut map = ExpiringMap::default();
        for value in 0..100 {
            map.insert("a", value, 10);
        }
        assert_eq!(map.expiries.len(), 1);
    }

    #[test]
    fn retain_leaves_nothing_of_a_removed_entry() {
        let mut map = ExpiringMap::default();
        map.insert("a", 1, 10);
        map.insert("b", 2, 20);
        map.retain(|key| *key != "a");
        assert_eq!((map.entries.len(), map.expiries.len()), (1, 1));
        assert_eq!(expired(&mut map, 30), [("b", 2)]);
    }
}
