//! The capacity of a backlog: a bound on its items and their bytes. It counts, and leaves the items to its owner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The bounds of a backlog, and its present size.
pub(crate) struct Capacity {
    items_max: usize,
    bytes_max: u64,
    items: AtomicUsize,
    bytes: AtomicU64,
    /// Permits that were dropped so far.
    left: AtomicUsize,
}

impl Capacity {
    pub(crate) fn new(items_max: usize, bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            items_max,
            bytes_max,
            items: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            left: AtomicUsize::new(0),
        })
    }

    /// Returns whether the backlog is more than half full.
    pub(crate) fn is_half_full(&self) -> bool {
        let items = self.items.load(Ordering::Acquire);
        let bytes = self.bytes.load(Ordering::Acquire);
        items > self.items_max / 2 || bytes > self.bytes_max / 2
    }

    /// Returns how many items left the backlog so far.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Acquire)
    }

    /// Returns a permit for an item of `bytes` bytes, if there is room. An empty backlog always has room. Only one caller at
    /// a time: concurrent callers could exceed the bounds by their items.
    pub(crate) fn enter(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        let items = self.items.load(Ordering::Acquire);
        let all = self.bytes.load(Ordering::Acquire).saturating_add(bytes);
        if items > 0 && (items >= self.items_max || all > self.bytes_max) {
            return None;
        }
        self.items.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Some(Permit {
            capacity: self.clone(),
            bytes,
        })
    }
}

/// The room of one item in a backlog. Dropping it frees the room.
pub(crate) struct Permit {
    capacity: Arc<Capacity>,
    bytes: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.capacity.items.fetch_sub(1, Ordering::AcqRel);
        self.capacity.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.capacity.left.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_bounded_in_items_and_bytes_but_always_takes_one_item() {
        let backlog = Capacity::new(2, 100);
        let first = backlog.enter(1_000).unwrap();
        assert!(backlog.enter(1).is_none());
        drop(first);
        let first = backlog.enter(60).unwrap();
        assert!(backlog.enter(41).is_none());
        let _second = backlog.enter(40).unwrap();
        assert!(backlog.enter(0).is_none());
        drop(first);
        assert_eq!((backlog.left(), backlog.is_half_full()), (2, false));
        let _third = backlog.enter(60).unwrap();
        assert!(backlog.is_half_full());
        assert!(Capacity::new(0, 0).enter(1).is_some());
    }
}
