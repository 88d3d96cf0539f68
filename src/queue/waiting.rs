//! The order in which events wait, and which one runs next.
//!
//! Calls run before events, but of four runs in a row at least one is an event's. Of ready and delayed events, the one that
//! has been runnable for longest runs first. A probe, the only run of a function that is recovering, prefers an event that
//! has not crashed.

use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::request_id::RequestId;
use crate::queue::delayed::Due;
use crate::queue::entry::{Phase, Slot};
use crate::queue::event_table::EventTable;
use crate::queue::slab::NONE;

/// After so many calls in a row a runnable event has its turn: callers can't keep events waiting for ever.
pub(super) const CALLS_IN_ROW: u8 = 3;
/// Among so many ready events a probe looks for one that has not crashed.
const PROBE_LOOKS: usize = 64;

fn linked(index: u32) -> Option<u32> {
    (index != NONE).then_some(index)
}

impl EventTable {
    /// Adds an event to the ready ones of its kind.
    pub(super) fn push_ready(&mut self, slot: u32) {
        let list = match self.slots[slot].kind {
            InvocationType::Event => &mut self.ready,
            InvocationType::RequestResponse => &mut self.calls,
        };
        list.push(&mut self.slots, slot);
    }

    /// Adds an event to the delayed ones, of which there are `live` with it.
    pub(super) fn push_delayed(&mut self, due: Due, live: u64) {
        self.delayed.push(due, &self.slots, live);
    }

    /// Takes an event out of the ready or delayed ones. Returns `None` if it does not wait.
    pub(super) fn unlink(&mut self, slot: u32) -> Option<()> {
        match (self.slots[slot].phase, self.slots[slot].kind) {
            (Phase::Ready, InvocationType::Event) => self.ready.unlink(&mut self.slots, slot),
            (Phase::Ready, InvocationType::RequestResponse) => {
                self.calls.unlink(&mut self.slots, slot);
            }
            (Phase::Delayed, _) => {} // its entry in the heap is stale from here on
            _ => return None,
        }
        Some(())
    }

    // --- which one runs next

    /// Unlinks the event or call that runs next, and returns its slot; `probing` is whether it runs as a probe.
    pub(super) fn next(&mut self, now: Time, probing: bool) -> Option<u32> {
        let is_events_turn = self.calls.head == NONE || self.calls_in_row >= CALLS_IN_ROW;
        if let Some(event) = is_events_turn
            .then(|| self.next_event(now, probing))
            .flatten()
        {
            self.calls_in_row = 0;
            return Some(event);
        }
        let call = linked(self.calls.head)?;
        self.calls.unlink(&mut self.slots, call);
        self.calls_in_row = self.calls_in_row.saturating_add(1);
        Some(call)
    }

    /// Unlinks the event that has been runnable for longest, or the one that a probe prefers.
    fn next_event(&mut self, now: Time, probing: bool) -> Option<u32> {
        let ready = linked(self.ready.head);
        let due = self.first_delayed().filter(|due| due.at <= now);
        let due = due.filter(|due| ready.is_none_or(|ready| self.slots[ready].at >= due.at));
        let longest = due.map(|due| due.slot).or(ready)?;
        let preferred = probing.then(|| self.preferred(longest));
        match (preferred.flatten(), due) {
            (None, Some(_)) => {
                self.delayed.pop();
                Some(longest)
            }
            (preferred, _) => {
                let slot = preferred.unwrap_or(longest);
                self.ready.unlink(&mut self.slots, slot);
                Some(slot)
            }
        }
    }

    /// Returns the event that a probe prefers to the one that has waited longest. Every other time it is the newest that
    /// has not crashed, for the first events may be bad together; otherwise the next one that has not, if that one has.
    fn preferred(&mut self, longest: u32) -> Option<u32> {
        self.probes = self.probes.wrapping_add(1);
        let newest = self.probes.is_multiple_of(2);
        if !newest && !self.has_crashed(longest) {
            return None;
        }
        let (first, forwards) = match newest {
            true => (self.ready.tail, false),
            false => (self.ready.head, true),
        };
        let ready = std::iter::successors(linked(first), |&slot| {
            let slot = &self.slots[slot];
            linked(if forwards { slot.next } else { slot.prev })
        });
        ready
            .take(PROBE_LOOKS)
            .find(|&index| !self.has_crashed(index))
    }

    fn has_crashed(&self, slot: u32) -> bool {
        let side = self.slots[slot].side.as_ref();
        side.is_some_and(|side| side.attempts.iter().any(|it| it.failure.is_crash()))
    }

    /// Returns the stored events that are ready, the next one first: up to one that must run alone.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = RequestId> {
        let ready = std::iter::successors(linked(self.ready.head), move |&before| {
            linked(self.slots[before].next)
        });
        let alone = |slot: &Slot| slot.side.as_ref().is_some_and(|side| side.suspect);
        let slots = ready.map(|index| &self.slots[index]);
        let together = slots.take_while(move |slot| slot.stored && !alone(slot));
        together.map(|slot| slot.id)
    }

    // --- looking

    #[inline]
    pub(crate) fn has_events(&self) -> bool {
        self.ready.len > 0
    }

    /// Returns how many events and calls are ready.
    #[inline]
    pub(crate) fn ready(&self) -> u32 {
        self.calls.len + self.ready.len
    }

    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        self.calls.len > 0 || self.ready.len > 0
    }

    /// Returns the delayed event that is due first.
    fn first_delayed(&mut self) -> Option<Due> {
        self.delayed.first(&self.slots)
    }

    /// Returns when the next delayed event is due; it may have passed.
    pub(crate) fn next_due(&mut self) -> Option<Time> {
        self.first_delayed().map(|due| due.at)
    }

    /// Returns a call that waits, if there is one.
    pub(crate) fn first_call(&self) -> Option<RequestId> {
        linked(self.calls.head).map(|call| self.slots[call].id)
    }

    /// Returns an event or call that could run now if a worker took it; calls first.
    pub(crate) fn first_due(&mut self, now: Time) -> Option<RequestId> {
        let ready = self.first_ready();
        let due = || Some(self.first_delayed().filter(|due| due.at <= now)?.slot);
        let slot = ready.or_else(due)?;
        Some(self.slots[slot].id)
    }

    /// Returns an event or call that waits, even if it is not due; calls first.
    pub(crate) fn any_waiting(&mut self) -> Option<RequestId> {
        self.first_due(Time(u64::MAX))
    }

    fn first_ready(&self) -> Option<u32> {
        let heads = [self.calls.head, self.ready.head];
        heads.into_iter().find_map(linked)
    }

    /// Returns when the event that has waited longest became ready.
    pub(crate) fn oldest_ready(&self) -> Option<Time> {
        let heads = [self.calls.head, self.ready.head];
        let ready = heads.into_iter().filter_map(linked);
        ready.map(|head| self.slots[head].at).min()
    }
}
