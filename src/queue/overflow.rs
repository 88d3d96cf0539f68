//! The overflow: events that a function has in the store alone, beyond its window in memory. How many, and when to load them.

use crate::base::time::Time;

/// The overflow, as the queue counts it.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    /// Due from the start.
    pub(crate) ready: u64,
    /// Delayed, or failed before.
    pub(crate) delayed: u64,
    pub(crate) bytes: u64,
    /// When the first of them is due, as far as is known; none if there is nothing to load.
    next: Option<Time>,
    /// Some are being loaded. Those that overflowed since then may be missing from the reply: when the first of them is due.
    loading: Option<Option<Time>>,
}

impl Overflow {
    pub(crate) fn events(&self) -> u64 {
        self.ready + self.delayed
    }

    /// An event overflowed that is due then.
    pub(crate) fn add_due(&mut self, due: Time) {
        let sooner = |known: Option<Time>| Some(known.map_or(due, |known| known.min(due)));
        match &mut self.loading {
            Some(since) => *since = sooner(*since),
            None => self.next = sooner(self.next),
        }
    }

    /// Returns when to load; it may have passed.
    pub(crate) fn next(&self) -> Option<Time> {
        self.next.filter(|_| self.loading.is_none())
    }

    /// Begins to load, if an event is due. Returns whether it does.
    pub(crate) fn begin_load(&mut self, now: Time) -> bool {
        let worth = self.next().is_some_and(|next| next <= now);
        if worth {
            self.loading = Some(None);
        }
        worth
    }

    pub(crate) fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// The due events were loaded, and the first of the others is due at `next`.
    pub(crate) fn end_load(&mut self, next: Option<Time>) {
        let since = self.loading.take().flatten();
        self.next = [next, since].into_iter().flatten().min();
    }

    pub(crate) fn remove_bytes(&mut self, bytes: u64) {
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
    fn an_event_that_overflows_during_a_load_is_not_forgotten() {
        let mut overflow = Overflow::default();
        overflow.add_due(Time(5));
        assert!(!overflow.begin_load(Time(4)) && overflow.begin_load(Time(5)));
        assert!(!overflow.begin_load(Time(9)), "one at a time");
        overflow.add_due(Time(7));
        overflow.end_load(None);
        assert_eq!(overflow.next(), Some(Time(7)));
        assert!(overflow.begin_load(Time(7)));
        overflow.end_load(Some(Time(8)));
        overflow.add_due(Time(9));
        assert_eq!(overflow.next(), Some(Time(8)));
    }
}
