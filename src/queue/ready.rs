//! Ready events, in the order in which they became ready.

use crate::queue::entry::Slot;
use crate::queue::slab::{NONE, Slab};

/// A doubly linked list through the slots.
#[derive(Debug)]
pub(super) struct ReadyList {
    pub(super) head: u32,
    pub(super) tail: u32,
    pub(super) len: u32,
}

impl ReadyList {
    pub(super) const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
        len: 0,
    };

    pub(super) fn push(&mut self, slots: &mut Slab<Slot>, index: u32) {
        let tail = std::mem::replace(&mut self.tail, index);
        let slot = &mut slots[index];
        (slot.prev, slot.next) = (tail, NONE);
        if tail == NONE {
            self.head = index;
        } else {
            slots[tail].next = index;
        }
        self.len += 1;
    }

    pub(super) fn unlink(&mut self, slots: &mut Slab<Slot>, index: u32) {
        let (prev, next) = (slots[index].prev, slots[index].next);
        match prev {
            NONE => self.head = next,
            prev => slots[prev].next = next,
        }
        match next {
            NONE => self.tail = prev,
            next => slots[next].prev = prev,
        }
        self.len -= 1;
    }
}
