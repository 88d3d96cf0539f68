//! The deduplication keys of events that live in memory: which event has which key, and until when;
//! and the result of an invoke whose key is taken. For events in a store, the store has the keys (`store/disk/batch/append.rs`).

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::refusal::keys_full;
use crate::base::expiring_map::ExpiringMap;
use crate::base::time::Time;
use crate::error::InvokeError;
use crate::event::request_id::RequestId;
use crate::event::{Deduplicate, Durability, Receipt};
use crate::mailbox::Mailbox;

#[derive(Debug, Default)]
pub(crate) struct DedupKeys {
    /// By the function's number and the key.
    holders: ExpiringMap<(u32, Arc<str>), RequestId, Time>,
    /// How many keys each function has.
    counts: FxHashMap<u32, u32>,
}

/// Which event has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyHolder {
    /// None: an event may take it.
    Free,
    Event(RequestId),
    /// None, and the function has as many keys as it may. The next key, of any function, expires at this time.
    Full(Time),
}

impl DedupKeys {
    /// Forgets the keys that have expired, and returns which event has `key` now. The function may have `keys_max`.
    pub(crate) fn holder(
        &mut self,
        function: u32,
        key: &Arc<str>,
        keys_max: u32,
        now: Time,
    ) -> KeyHolder {
        self.expire(now);
        if let Some((&first, _)) = self.holders.get(&(function, key.clone())) {
            return KeyHolder::Event(first);
        }
        let count = self.counts.get(&function).copied().unwrap_or(0);
        match self.holders.next_expiry() {
            Some(next) if count >= keys_max => KeyHolder::Full(next),
            _ => KeyHolder::Free,
        }
    }

    fn expire(&mut self, now: Time) {
        while let Some(((function, _), _)) = self.holders.expire(now) {
            let count = self.counts.entry(function).or_default();
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&function);
            }
        }
    }

    /// Gives a free key to an event.
    pub(crate) fn take(&mut self, function: u32, key: Arc<str>, first: RequestId, until: Time) {
        self.holders.insert((function, key), first, until);
        *self.counts.entry(function).or_default() += 1;
    }

    /// Forgets all keys of a function that was removed.
    pub(crate) fn forget(&mut self, function: u32) {
        self.counts.remove(&function);
        self.holders.retain(|(other, _)| *other != function);
    }
}

/// Returns the result of an event that can't have its key: the receipt of the event that has the key, or an error. `None`
/// if the key is free.
pub(super) fn without_key(
    keys: &mut DedupKeys,
    mailbox: &Mailbox,
    wanted: &Deduplicate,
    now: Time,
) -> Option<Result<Receipt, InvokeError>> {
    let keys_max = mailbox.settings().deduplication_keys_max;
    match keys.holder(mailbox.number, &wanted.key, keys_max, now) {
        KeyHolder::Free => None,
        KeyHolder::Event(first) => {
            let receipt = Receipt::new(first, Durability::Memory, now);
            Some(Ok(receipt.duplicate()))
        }
        KeyHolder::Full(next) => Some(Err(keys_full(mailbox, Some(next.since(now))))),
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
    fn a_key_is_taken_until_it_expires() {
        let mut keys = DedupKeys::default();
        let key: Arc<str> = "order-7".into();
        keys.take(3, key.clone(), id(1), Time(10));
        assert_eq!(keys.holder(3, &key, MAX, Time(9)), KeyHolder::Event(id(1)));
        assert_eq!(keys.holder(4, &key, MAX, Time(9)), KeyHolder::Free);
        assert_eq!(keys.holder(3, &key, MAX, Time(10)), KeyHolder::Free);
        keys.take(3, key.clone(), id(2), Time(20));
        assert_eq!(keys.holder(3, &key, MAX, Time(19)), KeyHolder::Event(id(2)));
        assert_eq!(
            keys.holder(3, &"other".into(), MAX, Time(30)),
            KeyHolder::Free
        );
        keys.take(3, "other".into(), id(2), Time(40));
        assert_eq!(keys.holders.sizes(), (1, 1), "expired keys are gone");
    }

    #[test]
    fn a_function_has_at_most_its_bound_of_keys() {
        let mut keys = DedupKeys::default();
        keys.take(3, "one".into(), id(1), Time(10));
        keys.take(4, "one".into(), id(1), Time(5));
        keys.take(3, "two".into(), id(2), Time(20));
        let holder =
            |keys: &mut DedupKeys, key: &str, now| keys.holder(3, &key.into(), MAX, Time(now));
        assert_eq!(holder(&mut keys, "three", 1), KeyHolder::Full(Time(5)));
        assert_eq!(holder(&mut keys, "two", 1), KeyHolder::Event(id(2)));
        assert_eq!(keys.holder(4, &"two".into(), MAX, Time(1)), KeyHolder::Free);
        assert_eq!(holder(&mut keys, "three", 9), KeyHolder::Full(Time(10)));
        assert_eq!(holder(&mut keys, "three", 10), KeyHolder::Free);
        keys.take(3, "three".into(), id(3), Time(30));
        assert_eq!(holder(&mut keys, "four", 10), KeyHolder::Full(Time(20)));
        keys.forget(3);
        assert_eq!(holder(&mut keys, "four", 10), KeyHolder::Free);
        assert_eq!(keys.holders.sizes().0, 0);
        assert!(keys.holders.next_expiry().is_none() && keys.counts.is_empty());
    }
}
