//! What a function has in the store beyond its window in memory: how much, and when to look for it.

use crate::base::time::Time;

/// Overflow events, as the mailbox counts them.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    /// Due from the start.
    pub(crate) ready: u64,
    /// Delayed, or failed before.
    pub(crate) delayed: u64,
    pub(crate) bytes: u64,
    /// When the first of them is due, as far as is known; none if nothing can be fetched.
    next: Option<Time>,
    /// Some are being fetched; the answer knows nothing of what was parked since. When the first of those is due.
    fetching: Option<Option<Time>>,
}

impl Overflow {
    pub(crate) fn events(&self) -> u64 {
        self.ready + self.delayed
    }

    /// The store has heard of an event that is due then.
    pub(crate) fn told(&mut self, due: Time) {
        let sooner = |known: Option<Time>| Some(known.map_or(due, |known| known.min(due)));
        match &mut self.fetching {
            Some(since) => *since = sooner(*since),
            None => self.next = sooner(self.next),
        }
    }

    /// When to fetch; it may have passed.
    pub(crate) fn next(&self) -> Option<Time> {
        self.next.filter(|_| self.fetching.is_none())
    }

    /// Fetches from now on. Answers whether that is worth it.
    pub(crate) fn fetch(&mut self, now: Time) -> bool {
        let worth = self.next().is_some_and(|next| next <= now);
        if worth {
            self.fetching = Some(None);
        }
        worth
    }

    pub(crate) fn is_fetching(&self) -> bool {
        self.fetching.is_some()
    }

    /// They were fetched, and the first of the others is due then.
    pub(crate) fn fetched(&mut self, next: Option<Time>) {
        let since = self.fetching.take().flatten();
        self.next = [next, since].into_iter().flatten().min();
    }

    pub(crate) fn unpark_bytes(&mut self, bytes: u64) {
        // A value's size is a guess until its JSON is read back.
        self.bytes = match self.events() {
            0 => 0,
            _ => self.bytes.saturating_sub(bytes),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parked_while_others_are_fetched_is_not_forgotten() {
        let mut parked = Overflow::default();
        parked.told(Time(5));
        assert!(!parked.fetch(Time(4)) && parked.fetch(Time(5)));
        assert!(!parked.fetch(Time(9)), "one at a time");
        parked.told(Time(7));
        parked.fetched(None);
        assert_eq!(parked.next(), Some(Time(7)));
        assert!(parked.fetch(Time(7)));
        parked.fetched(Some(Time(8)));
        parked.told(Time(9));
        assert_eq!(parked.next(), Some(Time(8)));
    }
}
