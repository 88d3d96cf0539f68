//! The events of a queue: each in a slot, found by its id or by the ticket of an attempt.
//!
//! The order in which they wait is kept in `queue/waiting.rs`, their phases in `queue/mod.rs`.

use std::collections::HashMap;
use std::ops::{Index, IndexMut};

use crate::event::request_id::RequestId;
use crate::queue::delayed::Delayed;
use crate::queue::entry::{Phase, Slot, Ticket};
use crate::queue::ready::ReadyList;
use crate::queue::slab::Slab;

#[derive(Debug)]
pub(crate) struct EventTable {
    /// The function's number; the generated ids of its events contain it, and their slots.
    pub(super) number: u32,
    pub(super) slots: Slab<Slot>,
    /// Events whose id does not contain their slot: chosen by the caller, or given by the store.
    pub(super) by_id: HashMap<RequestId, u32>,
    /// Events that came in so far.
    stamps: u32,
    /// Calls come first: a caller waits for each.
    pub(super) calls: ReadyList,
    pub(super) ready: ReadyList,
    pub(super) delayed: Delayed,
    /// Calls that were taken since the last event.
    pub(super) calls_in_row: u8,
    /// Probes that looked for an event.
    pub(super) probes: u8,
}

impl EventTable {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            slots: Slab::new(),
            by_id: HashMap::new(),
            stamps: 0,
            calls: ReadyList::EMPTY,
            ready: ReadyList::EMPTY,
            delayed: Delayed::default(),
            calls_in_row: 0,
            probes: 0,
        }
    }

    /// Returns the stamp of the next event, which distinguishes it from an earlier one with the same chosen id.
    pub(super) fn stamp(&mut self) -> u32 {
        self.stamps = self.stamps.wrapping_add(1);
        self.stamps
    }

    /// Reserves so many slots for events that will arrive, and adds them to `slots`.
    pub(crate) fn reserve_slots(&mut self, count: usize, slots: &mut Vec<u32>) {
        slots.extend((0..count).map(|_| self.slots.reserve()));
    }

    /// Releases slots that no event arrived in.
    pub(crate) fn release_slots(&mut self, slots: Vec<u32>) {
        slots.into_iter().for_each(|slot| self.slots.release(slot));
    }

    /// Empties a slot. Returns what it held.
    pub(super) fn remove(&mut self, slot: u32) -> Slot {
        let slot = self.slots.remove(slot);
        if slot.has_foreign_id() {
            self.by_id.remove(&slot.id);
        }
        slot
    }

    pub(super) fn find(&self, id: RequestId) -> Option<u32> {
        let (number, slot) = id.place();
        if number == self.number && self.slots.get(slot).is_some_and(|entry| entry.id == id) {
            return Some(slot);
        }
        self.by_id.get(&id).copied()
    }

    /// Returns the slot of the attempt, if that attempt still counts.
    pub(super) fn fenced(&self, ticket: Ticket, phase: Phase) -> Option<u32> {
        let slot = self.slots.get(ticket.slot)?;
        let same = slot.id == ticket.id && slot.stamp == ticket.stamp;
        (same && slot.attempt == ticket.attempt && slot.phase == phase).then_some(ticket.slot)
    }

    /// Returns an event that is pending, or finished and not yet forgotten, with its slot.
    pub(crate) fn get(&self, id: RequestId) -> Option<(u32, &Slot)> {
        self.find(id).map(|slot| (slot, &self.slots[slot]))
    }

    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut Slot> {
        self.find(id).map(|slot| &mut self.slots[slot])
    }

    /// Returns pending and finished events in the order of their slots, from slot `from` on.
    pub(crate) fn iter(&self, from: u32) -> impl Iterator<Item = (u32, &Slot)> {
        self.slots.iter(from)
    }
}

impl Index<u32> for EventTable {
    type Output = Slot;

    #[inline]
    fn index(&self, slot: u32) -> &Slot {
        &self.slots[slot]
    }
}

impl IndexMut<u32> for EventTable {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot]
    }
}
