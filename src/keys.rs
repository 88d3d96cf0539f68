//! Deduplication keys of events that live in memory: which event has which key, and until when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use crate::event::RequestId;
use crate::time::Time;

/// A function's number and a key.
type Key = (u32, Arc<str>);

#[derive(Debug, Default)]
pub(crate) struct Keys {
    taken: HashMap<Key, (RequestId, Time)>,
    expiries: BinaryHeap<Reverse<(Time, Key)>>,
}

impl Keys {
    /// The event that has the key now.
    pub(crate) fn holder(&self, function: u32, key: &Arc<str>, now: Time) -> Option<RequestId> {
        let &(first, until) = self.taken.get(&(function, key.clone()))?;
        (until > now).then_some(first)
    }

    /// The key is this event's from now on. Those whose time is over are forgotten.
    pub(crate) fn take(
        &mut self,
        function: u32,
        key: Arc<str>,
        first: RequestId,
        until: Time,
        now: Time,
    ) {
        while let Some(Reverse((until, _))) = self.expiries.peek()
            && *until <= now
        {
            let Some(Reverse((until, key))) = self.expiries.pop() else {
                break;
            };
            // It may have been taken again since.
            if self
                .taken
                .get(&key)
                .is_some_and(|&(_, other)| other == until)
            {
                self.taken.remove(&key);
            }
        }
        let key = (function, key);
        self.taken.insert(key.clone(), (first, until));
        self.expiries.push(Reverse((until, key)));
    }

    /// The function is no more.
    pub(crate) fn forget(&mut self, function: u32) {
        self.taken.retain(|(other, _), _| *other != function);
        self.expiries
            .retain(|Reverse((_, (other, _)))| *other != function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_until_its_time_is_over() {
        let mut keys = Keys::default();
        let (first, second) = (RequestId::new(0, 1, 7), RequestId::new(0, 2, 7));
        let key: Arc<str> = "order-7".into();
        keys.take(3, key.clone(), first, Time(10), Time(0));
        assert_eq!(keys.holder(3, &key, Time(9)), Some(first));
        assert_eq!(keys.holder(4, &key, Time(9)), None, "another function's");
        assert_eq!(keys.holder(3, &key, Time(10)), None);
        keys.take(3, key.clone(), second, Time(20), Time(10));
        assert_eq!(keys.holder(3, &key, Time(19)), Some(second));
        keys.take(3, "other".into(), second, Time(40), Time(30));
        assert_eq!((keys.taken.len(), keys.expiries.len()), (1, 1));
    }
}
