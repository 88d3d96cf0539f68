//! How events come into a queue: through the door, by a grant, from the store.

use super::Queue;
use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::request_id::RequestId;
use crate::queue::entry::{Arrival, Entry, LoadedEvent, Phase, Slot};
use crate::queue::finished::failed_texts;
use crate::queue::slab::NONE;

/// The start of an event that only waits to be dead-lettered: no worker takes it before.
pub(crate) const NEVER: Time = Time(u64::MAX);

/// Why an entry did not get in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    EventsMax,
    BytesMax,
    RequestIdTaken,
    /// The function was removed between the look-up and now.
    Removed,
    /// The runtime began to shut down between the look-up and now.
    Closed,
    /// It is a call, and as many events run as are reserved (CON-02).
    ReservedInUse(u32),
}

/// An entry that did not get in. It goes back to its caller, so that it is not dropped under a lock.
#[derive(Debug)]
pub(crate) struct RefusedEntry {
    pub(crate) why: RefusalReason,
    pub(crate) entry: Entry,
}

impl Queue {
    /// Takes `entry` in: ready at once unless it starts later. Returns its request id.
    pub(crate) fn admit(
        &mut self,
        entry: Entry,
        random: u128,
        now: Time,
    ) -> Result<RequestId, RefusedEntry> {
        if let Some(why) = self.objection(&entry) {
            return Err(RefusedEntry { why, entry });
        }
        let first_due = entry.start.max(now);
        let slot = self.place(entry, random, now, first_due);
        self.accept(slot, now);
        Ok(self.table[slot].id)
    }

    /// Returns why the entry can't get in, if it can't.
    fn objection(&self, entry: &Entry) -> Option<RefusalReason> {
        let taken = |id| self.table.find(id).is_some();
        if self.volume.room() == 0 {
            Some(RefusalReason::EventsMax)
        } else if entry.payload.size() as u64 > self.volume.room_bytes() {
            Some(RefusalReason::BytesMax)
        } else if entry.request_id.is_some_and(taken) {
            Some(RefusalReason::RequestIdTaken)
        } else {
            None
        }
    }

    /// Puts an entry into a slot, in phase `New`. Returns the slot.
    fn place(&mut self, entry: Entry, random: u128, accepted: Time, first_due: Time) -> u32 {
        let Entry {
            payload,
            kind,
            side,
            request_id,
            start,
            stored,
            chosen_id,
        } = entry;
        let bytes = (payload.size() + failed_texts(side.as_deref())) as u64;
        let stamp = self.table.stamp();
        let number = self.table.number;
        let slot = self.table.slots.insert_with(|index| Slot {
            id: request_id.unwrap_or_else(|| RequestId::new(number, index, random)),
            body: Some(payload),
            side,
            accepted,
            first_due,
            at: start,
            prev: NONE,
            next: NONE,
            attempt: 0,
            stamp,
            phase: Phase::New,
            kind,
            chosen_id,
            stored,
        });
        if let Some(id) = request_id {
            self.table.by_id.insert(id, slot);
        }
        self.volume.add(bytes);
        slot
    }

    fn accept(&mut self, slot: u32, now: Time) {
        let (kind, start) = (self.table[slot].kind, self.table[slot].at);
        self.counts.of(kind).accepted += 1;
        self.schedule(slot, start, now);
    }

    /// Takes in an event that has arrived in a granted slot: it is ready.
    #[inline]
    pub(crate) fn arrive(&mut self, arrival: Arrival) {
        let Arrival {
            id,
            slot,
            payload,
            side,
            accepted,
        } = arrival;
        self.volume.add(payload.size() as u64);
        let stamp = self.table.stamp();
        let entry = Slot {
            id,
            body: Some(payload),
            side,
            accepted,
            first_due: accepted,
            at: accepted,
            prev: NONE,
            next: NONE,
            attempt: 0,
            stamp,
            phase: Phase::New,
            kind: InvocationType::Event,
            chosen_id: false,
            stored: false,
        };
        self.table.slots.fill(slot, entry);
        self.accept(slot, accepted);
    }

    // --- from the store

    /// Takes in an event that was stored, and returns its slot. If there is no room for it here, counts it in the overflow
    /// and gives it back.
    pub(crate) fn admit_stored(
        &mut self,
        entry: Entry,
        accepted: Time,
        now: Time,
    ) -> Result<u32, Entry> {
        let window = self.volume.bounds.window;
        let full = match entry.start > now {
            true => self.delayed_here() >= u64::from(window),
            // Ready events keep their order.
            false => self.volume.overflow.ready > 0 || self.table.ready.len >= window,
        };
        if full && entry.start != NEVER {
            self.counts.events.accepted += 1;
            self.spill(entry.start > accepted, entry.payload.size() as u64);
            return Err(entry);
        }
        let first_due = entry.start.max(accepted);
        let slot = self.place(entry, 0, accepted, first_due);
        self.accept(slot, now);
        Ok(slot)
    }

    /// Takes back an event of the overflow. Returns its slot.
    pub(crate) fn load(&mut self, loaded: LoadedEvent, now: Time) -> u32 {
        let LoadedEvent {
            entry,
            accepted,
            first_due,
            attempt,
            ..
        } = loaded;
        let (start, bytes) = (entry.start, entry.payload.size() as u64);
        self.unspill(start > accepted, bytes);
        let slot = self.place(entry, 0, accepted, first_due);
        self.table[slot].attempt = attempt;
        self.schedule(slot, start, now);
        slot
    }

    /// Counts the events that the store had before this process began.
    pub(crate) fn inherit(&mut self, ready: u64, delayed: u64, bytes: u64) {
        let ledger = &mut self.counts.events;
        ledger.accepted += ready + delayed;
        ledger.inherited += ready + delayed;
        ledger.ready += ready;
        ledger.delayed += delayed;
        let overflow = &mut self.volume.overflow;
        overflow.ready += ready;
        overflow.delayed += delayed;
        overflow.bytes += bytes;
    }

    /// Counts an event that goes to the overflow.
    pub(super) fn spill(&mut self, delayed: bool, bytes: u64) {
        let overflow = &mut self.volume.overflow;
        if delayed {
            overflow.delayed += 1;
            self.counts.events.delayed += 1;
        } else {
            overflow.ready += 1;
            self.counts.events.ready += 1;
        }
        overflow.bytes += bytes;
    }

    /// Counts an event that comes back from the overflow. Its start in the store may differ from the one that was counted
    /// when it went there.
    fn unspill(&mut self, delayed: bool, bytes: u64) {
        let overflow = &mut self.volume.overflow;
        let ledger = &mut self.counts.events;
        if delayed && overflow.delayed > 0 || overflow.ready == 0 {
            overflow.delayed = overflow.delayed.saturating_sub(1);
            ledger.delayed = ledger.delayed.saturating_sub(1);
        } else {
            overflow.ready -= 1;
            ledger.ready -= 1;
        }
        overflow.remove_bytes(bytes);
    }

    /// Returns whether there is room for due events of the overflow.
    pub(crate) fn has_room_to_load(&self) -> bool {
        self.table.ready.len < self.volume.bounds.window.div_ceil(2)
    }
}
