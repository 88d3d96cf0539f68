//! Deduplication keys of events that live in memory: which event has which key, and until when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::base::time::Time;
use crate::event::request_id::RequestId;

/// A function's number and a key.
type Key = (u32, Arc<str>);

#[derive(Debug, Default)]
pub(crate) struct Keys {
    taken: HashMap<Key, (RequestId, Time)>,
    expiries: BinaryHeap<Reverse<(Time, Key)>>,
    /// How many each function has.
    counts: FxHashMap<u32, u32>,
}

/// Whose a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nobody's: it may be taken.
    Free,
    /// This event's.
    By(RequestId),
    /// Nobody's, and the function has as many keys as it may. When the next key of any function expires.
    Full(Time),
}

impl Keys {
    /// Whose the key is now; the function may have `keys_max`. Keys whose time is over are forgotten first.
    pub(crate) fn holder(
        &mut self,
        function: u32,
        key: &Arc<str>,
        keys_max: u32,
        now: Time,
    ) -> Held {
        self.expire(now);
        if let Some(&(first, _)) = self.taken.get(&(function, key.clone())) {
            return Held::By(first);
        }
        let count = self.counts.get(&function).copied().unwrap_or(0);
        match self.expiries.peek() {
            Some(Reverse((next, _))) if count >= keys_max => Held::Full(*next),
            _ => Held::Free,
        }
    }

    fn expire(&mut self, now: Time) {
        while self
            .expiries
            .peek()
            .is_some_and(|Reverse((until, _))| *until <= now)
        {
            let Some(Reverse((_, key))) = self.expiries.pop() else {
                break;
            };
            self.taken.remove(&key);
            let count = self.counts.entry(key.0).or_default();
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key.0);
            }
        }
    }

    /// The key, which is free, is this event's from now on.
    pub(crate) fn take(&mut self, function: u32, key: Arc<str>, first: RequestId, until: Time) {
        let key = (function, key);
        self.taken.insert(key.clone(), (first, until));
        self.expiries.push(Reverse((until, key)));
        *self.counts.entry(function).or_default() += 1;
    }

    /// The function is no more.
    pub(crate) fn forget(&mut self, function: u32) {
        self.counts.remove(&function);
        self.taken.retain(|(other, _), _| *other != function);
        self.expiries
            .retain(|Reverse((_, (other, _)))| *other != function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u32 = 2;

    fn id(slot: u32) -> RequestId {
        RequestId::new(0, slot, 7)
    }

    #[test]
    fn a_key_is_taken_until_its_time_is_over() {
        let mut keys = Keys::default();
        let key: Arc<str> = "order-7".into();
        keys.take(3, key.clone(), id(1), Time(10));
        assert_eq!(keys.holder(3, &key, MAX, Time(9)), Held::By(id(1)));
        assert_eq!(keys.holder(4, &key, MAX, Time(9)), Held::Free);
        assert_eq!(keys.holder(3, &key, MAX, Time(10)), Held::Free);
        keys.take(3, key.clone(), id(2), Time(20));
        assert_eq!(keys.holder(3, &key, MAX, Time(19)), Held::By(id(2)));
        assert_eq!(keys.holder(3, &"other".into(), MAX, Time(30)), Held::Free);
        keys.take(3, "other".into(), id(2), Time(40));
        assert_eq!((keys.taken.len(), keys.expiries.len()), (1, 1));
    }

    #[test]
    fn a_function_has_so_many_keys_and_no_more() {
        let mut keys = Keys::default();
        keys.take(3, "one".into(), id(1), Time(10));
        keys.take(4, "one".into(), id(1), Time(5));
        keys.take(3, "two".into(), id(2), Time(20));
        let holder = |keys: &mut Keys, key: &str, now| keys.holder(3, &key.into(), MAX, Time(now));
        assert_eq!(holder(&mut keys, "three", 1), Held::Full(Time(5)));
        assert_eq!(holder(&mut keys, "two", 1), Held::By(id(2)));
        assert_eq!(keys.holder(4, &"two".into(), MAX, Time(1)), Held::Free);
        assert_eq!(holder(&mut keys, "three", 9), Held::Full(Time(10)));
        assert_eq!(holder(&mut keys, "three", 10), Held::Free);
        keys.take(3, "three".into(), id(3), Time(30));
        assert_eq!(holder(&mut keys, "four", 10), Held::Full(Time(20)));
        keys.forget(3);
        assert_eq!(holder(&mut keys, "four", 10), Held::Free);
        assert!(keys.taken.is_empty() && keys.counts.is_empty());
    }
}
