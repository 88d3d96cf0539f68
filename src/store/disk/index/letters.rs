//! The order of the dead letters: by the time of their deaths, for pages of the dead-letter queue.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(in crate::store::disk) struct LetterOrder {
    /// From places to numbers of events.
    letters: BTreeMap<u64, u64>,
    last: u64,
}

impl LetterOrder {
    /// Returns the next place. A place that is not used stays free.
    pub(super) fn next_place(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn insert(&mut self, place: u64, seq: u64) {
        self.letters.insert(place, seq);
    }

    pub(super) fn remove(&mut self, place: u64) {
        self.letters.remove(&place);
    }

    /// Returns the dead letters after place `after`, and the place of the last one if there are more.
    pub(in crate::store::disk) fn page(&self, after: u64, limit: usize) -> (Vec<u64>, Option<u64>) {
        let mut places = self.letters.range(after.saturating_add(1)..);
        let page: Vec<_> = places.by_ref().take(limit.max(1)).collect();
        let last = page.last().map(|(place, _)| **place);
        let more = places.next().is_some();
        let seqs = page.into_iter().map(|(_, &seq)| seq).collect();
        (seqs, last.filter(|_| more))
    }
}
