//! Outages of a store: a pure counter that turns many refusals into two log lines, one at the start and one at the end.
//!
//! The caller passes the present time and logs; this file only counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::base::time::Time;

/// The refusals of a store since it last worked. One counter may be shared by all threads.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    refused: AtomicU64,
    /// When the last refusal was, in nanoseconds.
    last: AtomicU64,
}

/// An outage is over when nothing was refused for this long.
const OUTAGE_END: Duration = Duration::from_secs(1);

impl Outage {
    /// Counts refusals at `now`. Returns whether an outage begins with them.
    pub(super) fn refused(&self, count: usize, now: Time) -> bool {
        self.last.store(now.0, Relaxed);
        self.refused.fetch_add(count as u64, Relaxed) == 0
    }

    /// Notes a success at `now`. If that ends an outage, returns how many refusals it had; one caller gets the number.
    pub(super) fn end(&self, now: Time) -> Option<u64> {
        let quiet = now.since(Time(self.last.load(Relaxed)));
        let over = quiet >= OUTAGE_END;
        let refused = over.then(|| self.refused.swap(0, Relaxed));
        refused.filter(|&refused| refused > 0)
    }

    /// Returns whether there is an outage now.
    pub(super) fn is_on(&self) -> bool {
        self.refused.load(Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_reported_once_when_it_begins_and_once_when_it_ends() {
        let at = |millis: u64| Time(millis * 1_000_000);
        let outage = Outage::default();
        assert!(outage.refused(3, at(0)));
        assert!(!outage.refused(2, at(10)));
        // A success between refusals doesn't end the outage.
        assert_eq!(outage.end(at(20)), None);
        assert!(!outage.refused(1, at(30)));
        assert_eq!(outage.end(at(1_030)), Some(6));
        assert!(!outage.is_on());
        assert!(outage.refused(1, at(2_000)));
    }
}
