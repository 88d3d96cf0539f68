//! The delayed events, in the order in which they are due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::time::Time;
use crate::queue::entry::{Phase, Slot};
use crate::queue::slab::Slab;

/// The delayed events, the next one first.
///
/// An event that is cancelled or withdrawn leaves its entry behind. Such a stale entry may lie below one that is due in a year,
/// so `push` drops them when there are too many.
#[derive(Debug, Default)]
pub(super) struct Delayed(BinaryHeap<Reverse<Due>>);

/// Stale if the event in its slot is no longer delayed until exactly then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: Time,
    pub(super) slot: u32,
}

impl Due {
    fn is_current(self, slots: &Slab<Slot>) -> bool {
        slots
            .get(self.slot)
            .is_some_and(|slot| slot.phase == Phase::Delayed && slot.at == self.at)
    }
}

impl Delayed {
    /// Adds an event; with it, `live` events are delayed. There are never more than twice as many entries, and a few.
    pub(super) fn push(&mut self, due: Due, slots: &Slab<Slot>, live: u64) {
        self.0.push(Reverse(due));
        if self.0.len() <= 2 * live as usize + 64 {
            return;
        }
        let mut entries = std::mem::take(&mut self.0).into_vec();
        entries.retain(|&Reverse(due)| due.is_current(slots));
        // A slot that was given to another event with the same due time makes the old entry look current.
        entries.sort_unstable();
        entries.dedup();
        self.0 = entries.into();
    }

    /// Returns the event that is due first; drops stale entries on the way.
    pub(super) fn first(&mut self, slots: &Slab<Slot>) -> Option<Due> {
        while let Some(&Reverse(due)) = self.0.peek() {
            if due.is_current(slots) {
                return Some(due);
            }
            self.pop();
        }
        None
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
        if self.0.len() < self.0.capacity() / 8 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    #[cfg(test)]
    pub(super) fn heap(&self) -> &BinaryHeap<Reverse<Due>> {
        &self.0
    }
}
