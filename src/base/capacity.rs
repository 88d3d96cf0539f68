//! What waits for somebody who is slower than it comes: counted, and bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub(crate) struct Capacity {
    items_max: usize,
    bytes_max: u64,
    items: AtomicUsize,
    bytes: AtomicU64,
    /// Places that were given back so far.
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

    pub(crate) fn is_half_full(&self) -> bool {
        let items = self.items.load(Ordering::Acquire);
        let bytes = self.bytes.load(Ordering::Acquire);
        items > self.items_max / 2 || bytes > self.bytes_max / 2
    }

    /// How many left it so far.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Acquire)
    }

    /// A place for something of so many bytes, if there is room; where nothing waits, there always is. One caller at a
    /// time: several would go beyond the bounds by what they bring at once.
    pub(crate) fn enter(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        let items = self.items.load(Ordering::Acquire);
        let all = self.bytes.load(Ordering::Acquire).saturating_add(bytes);
        if items > 0 && (items >= self.items_max || all > self.bytes_max) {
            return None;
        }
        self.items.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Some(Permit {
            backlog: self.clone(),
            bytes,
        })
    }
}

/// A place in a backlog, which is free again when this is dropped.
pub(crate) struct Permit {
    backlog: Arc<Capacity>,
    bytes: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.backlog.items.fetch_sub(1, Ordering::AcqRel);
        self.backlog.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.backlog.left.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_has_so_many_items_with_so_many_bytes_and_one_always() {
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
