//! The state machine of one function's mailbox: what is ready, delayed, running, finished.
//!
//! ```text
//!            admit                take                 succeed
//!   ──────────┬────────▶ Ready ──────────▶ Running ───────────────▶ Succeeded ─┐
//!             │            ▲ ▲                │ ▲ fence by attempt             │ retained for
//!             ▼            │ └─ due ─ Delayed │ │                              │ a while, then
//!         (parked) ────────┘             ▲    │ └─────── retry ───────┐        │ the slot is free
//!          return                        │    ├─ fail ─▶ Failed ──────┤        │
//!                                        └────┴── retry later ────────┘        │
//!                                                     bury │                   │
//!            cancel, from any of these ──▶ Cancelled       └────▶ Dead ────────┘
//! ```
//!
//! What a store has needn't be here: beyond a window of so many events it is parked there, counted here (`queue/overflow.rs`), and
//! returns when there is room.
//!
//! Pure: no locks, no clock, no actors. Everything here is O(1) per event, or O(log n) in the number of
//! delayed ones. `accepted = succeeded + dead + cancelled + pending` holds after every method.

mod delayed;
pub(crate) mod entry;
mod finished;
pub(crate) mod overflow;
mod ready;
pub(crate) mod slab;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::attempt;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::DeadLetter;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::function::settings::Retention;
use crate::queue::entry::{Arrival, Entry, Phase, Returning, Side, Slot, Taken, Ticket};
use crate::queue::overflow::Overflow;
use crate::queue::slab::{NONE, Slab};

use crate::event::ledger::Ledger;

use delayed::{Delayed, Due};
use finished::{Finished, failed_texts, texts};
use ready::ReadyList;

/// After so many calls in a row an event has its turn, if one is runnable: callers can't keep events waiting for ever.
const CALLS_IN_ROW: u8 = 3;
/// Among so many ready events a probe looks for one that has not crashed.
const PROBE_LOOKS: usize = 64;

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
    /// A call, while as many run as are reserved (CON-02).
    ReservedInUse(u32),
}

/// An entry that did not get in. It goes back to its caller, so that it is not dropped under any lock.
#[derive(Debug)]
pub(crate) struct RefusedEntry {
    pub(crate) why: RefusalReason,
    pub(crate) entry: Entry,
}

#[derive(Debug)]
pub(crate) struct QueueBounds {
    pub(crate) events_max: u32,
    pub(crate) bytes_max: u64,
    /// Of events that a store has, so many are here; and so many that are delayed.
    pub(crate) window: u32,
}

/// Where an event is kept that runs again.
#[derive(Debug)]
pub(crate) enum Rescheduled {
    InMemory,
    /// In the store; its payload is needed no longer.
    Spilled(Option<Payload>),
}

/// The start of an event that is here only until it is given up: no worker takes it before.
pub(crate) const NEVER: Time = Time(u64::MAX);

#[derive(Debug)]
pub(crate) struct Queue {
    number: u32,
    slots: Slab<Slot>,
    /// Calls come first: somebody waits for each.
    calls: ReadyList,
    /// Calls that were taken since the last event.
    calls_in_row: u8,
    /// Probes that looked for an event.
    probes: u8,
    events: ReadyList,
    delayed: Delayed,
    finished: Finished,
    /// Events whose id the caller proposed: it doesn't say where they lie.
    foreign: HashMap<RequestId, u32>,
    /// Letters of forgotten events, which may hold the last of a payload: not to be dropped under a lock.
    pub(crate) forgotten_letters: Vec<DeadLetter>,
    /// Ids of foreign events that are forgotten, for whoever keeps an index of them.
    pub(crate) forgotten_ids: Vec<RequestId>,
    /// Events that came in so far, for their stamps.
    stamps: u32,
    /// What is pending here, and its bytes.
    pending: u32,
    pending_bytes: u64,
    /// Places that are kept for events that are being stored.
    reserved: u32,
    reserved_bytes: u64,
    pub(crate) overflow: Overflow,
    /// Of those that the ledgers count as running, how many failed and wait to be decided on or buried.
    failed: u64,
    pub(crate) bounds: QueueBounds,
    pub(crate) event_ledger: Ledger,
    pub(crate) call_ledger: Ledger,
    /// Nothing is taken while it is paused.
    pub(crate) paused: bool,
    /// Most events that may run at once, as far as the function's health is concerned.
    pub(crate) allowance: u32,
}

impl Queue {
    pub(crate) fn new(number: u32, bounds: QueueBounds, retention: Retention) -> Self {
        Self {
            number,
            slots: Slab::new(),
            calls: ReadyList::EMPTY,
            calls_in_row: 0,
            probes: 0,
            events: ReadyList::EMPTY,
            delayed: Delayed::default(),
            finished: Finished::new(retention),
            foreign: HashMap::new(),
            forgotten_letters: Vec::new(),
            forgotten_ids: Vec::new(),
            stamps: 0,
            pending: 0,
            pending_bytes: 0,
            reserved: 0,
            reserved_bytes: 0,
            overflow: Overflow::default(),
            failed: 0,
            bounds,
            event_ledger: Ledger::default(),
            call_ledger: Ledger::default(),
            paused: false,
            allowance: u32::MAX,
        }
    }

    // --- what is stored

    /// Keeps places for events that are being stored; `unreserve` must follow.
    pub(crate) fn reserve(&mut self, events: u32, bytes: u64) -> Result<(), RefusalReason> {
        if events > self.room() {
            return Err(RefusalReason::EventsMax);
        } else if bytes > self.room_bytes() {
            return Err(RefusalReason::BytesMax);
        }
        self.reserved += events;
        self.reserved_bytes += bytes;
        Ok(())
    }

    pub(crate) fn unreserve(&mut self, events: u32, bytes: u64) {
        self.reserved -= events;
        self.reserved_bytes -= bytes;
    }

    /// Are events being stored?
    pub(crate) fn is_storing(&self) -> bool {
        self.reserved > 0
    }

    /// Takes in an event that was stored, or counts it as parked if there is no room for it here.
    pub(crate) fn admit_stored(
        &mut self,
        entry: Entry,
        accepted: Time,
        now: Time,
    ) -> Result<u32, Entry> {
        let delayed = entry.start > now;
        let full = match delayed {
            true => self.delayed_here() >= u64::from(self.bounds.window),
            // What is ready keeps its order.
            false => self.overflow.ready > 0 || self.events.len >= self.bounds.window,
        };
        if full && entry.start != NEVER {
            self.event_ledger.accepted += 1;
            self.spill(entry.start > accepted, entry.payload.size() as u64);
            return Err(entry);
        }
        let first_due = entry.start.max(accepted);
        let slot = self.place(entry, 0, accepted, first_due);
        self.accept(slot, now);
        Ok(slot)
    }

    fn spill(&mut self, delayed: bool, bytes: u64) {
        if delayed {
            self.overflow.delayed += 1;
            self.event_ledger.delayed += 1;
        } else {
            self.overflow.ready += 1;
            self.event_ledger.ready += 1;
        }
        self.overflow.bytes += bytes;
    }

    fn unspill(&mut self, delayed: bool, bytes: u64) {
        // What the store says of an event may not be what was counted when it was parked.
        let Overflow {
            ready,
            delayed: waiting,
            ..
        } = self.overflow;
        if delayed && waiting > 0 || ready == 0 {
            self.overflow.delayed = waiting.saturating_sub(1);
            self.event_ledger.delayed = self.event_ledger.delayed.saturating_sub(1);
        } else {
            self.overflow.ready -= 1;
            self.event_ledger.ready -= 1;
        }
        self.overflow.remove_bytes(bytes);
    }

    /// Takes back an event that was parked.
    pub(crate) fn load(&mut self, returning: Returning, now: Time) -> u32 {
        let Returning {
            entry,
            accepted,
            first_due,
            attempt,
            ..
        } = returning;
        let (start, bytes) = (entry.start, entry.payload.size() as u64);
        self.unspill(start > accepted, bytes);
        let slot = self.place(entry, 0, accepted, first_due);
        self.slots[slot].attempt = attempt;
        self.schedule(slot, start, now);
        slot
    }

    /// Counts what the store had parked before this process began.
    pub(crate) fn inherit(&mut self, ready: u64, delayed: u64, bytes: u64) {
        self.event_ledger.accepted += ready + delayed;
        self.event_ledger.inherited += ready + delayed;
        self.event_ledger.ready += ready;
        self.event_ledger.delayed += delayed;
        self.overflow.ready += ready;
        self.overflow.delayed += delayed;
        self.overflow.bytes += bytes;
    }

    /// How many events are delayed here.
    fn delayed_here(&self) -> u64 {
        let all = self.event_ledger.delayed + self.call_ledger.delayed;
        all.saturating_sub(self.overflow.delayed)
    }

    /// Is there room for parked events that are due?
    pub(crate) fn has_room_to_load(&self) -> bool {
        self.events.len < self.bounds.window.div_ceil(2)
    }

    /// Takes `entry` in. Ready at once unless it starts later.
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
        Ok(self.slots[slot].id)
    }

    fn place(&mut self, entry: Entry, random: u128, accepted: Time, first_due: Time) -> u32 {
        let Entry {
            payload,
            kind,
            side,
            request_id,
            start,
            stored,
            proposed,
        } = entry;
        let bytes = (payload.size() + failed_texts(side.as_deref())) as u64;
        let stamp = self.stamp();
        let number = self.number;
        let slot = self.slots.insert_with(|index| Slot {
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
            proposed,
            stored,
        });
        if let Some(id) = request_id {
            self.foreign.insert(id, slot);
        }
        self.pending += 1;
        self.pending_bytes += bytes;
        slot
    }

    /// Why the entry can't get in, if it can't.
    fn objection(&self, entry: &Entry) -> Option<RefusalReason> {
        if self.room() == 0 {
            Some(RefusalReason::EventsMax)
        } else if entry.payload.size() as u64 > self.room_bytes() {
            Some(RefusalReason::BytesMax)
        } else if entry.request_id.is_some_and(|id| self.find(id).is_some()) {
            Some(RefusalReason::RequestIdTaken)
        } else {
            None
        }
    }

    fn stamp(&mut self) -> u32 {
        self.stamps = self.stamps.wrapping_add(1);
        self.stamps
    }

    /// How many more events may be pending.
    pub(crate) fn room(&self) -> u32 {
        self.bounds.events_max.saturating_sub(self.pending())
    }

    /// How many more bytes may be pending.
    pub(crate) fn room_bytes(&self) -> u64 {
        self.bounds.bytes_max.saturating_sub(self.pending_bytes())
    }

    /// Keeps so many slots for events that will arrive.
    pub(crate) fn reserve_slots(&mut self, count: usize, slots: &mut Vec<u32>) {
        slots.extend((0..count).map(|_| self.slots.reserve()));
    }

    /// Takes back slots that nothing arrived in.
    pub(crate) fn release_slots(&mut self, slots: Vec<u32>) {
        slots.into_iter().for_each(|slot| self.slots.release(slot));
    }

    /// Takes in what was granted and has arrived: it is ready.
    #[inline]
    pub(crate) fn arrive(&mut self, arrival: Arrival) {
        let Arrival {
            id,
            slot,
            payload,
            side,
            accepted,
        } = arrival;
        self.pending += 1;
        self.pending_bytes += payload.size() as u64;
        let stamp = self.stamp();
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
            proposed: false,
            stored: false,
        };
        self.slots.fill(slot, entry);
        self.accept(slot, accepted);
    }

    fn accept(&mut self, slot: u32, now: Time) {
        self.ledger(slot).accepted += 1;
        let start = self.slots[slot].at;
        self.schedule(slot, start, now);
    }

    /// Ready if `at` has come, delayed otherwise.
    fn schedule(&mut self, slot: u32, at: Time, now: Time) {
        if at <= now {
            self.enter(slot, Phase::Ready, now);
            let list = match self.slots[slot].kind {
                InvocationType::Event => &mut self.events,
                InvocationType::RequestResponse => &mut self.calls,
            };
            list.push(&mut self.slots, slot);
        } else {
            self.enter(slot, Phase::Delayed, at);
            let live = self.delayed_here();
            self.delayed.push(Due { at, slot }, &self.slots, live);
        }
    }

    /// The only place where an event changes its phase, so that the ledger can't disagree.
    fn enter(&mut self, slot: u32, phase: Phase, at: Time) {
        let entry = &mut self.slots[slot];
        let old = std::mem::replace(&mut entry.phase, phase);
        entry.at = at;
        self.failed += u64::from(phase == Phase::Failed);
        self.failed -= u64::from(old == Phase::Failed);
        let ledger = self.ledger(slot);
        if let Some(count) = old.count(ledger) {
            *count -= 1;
        }
        if let Some(count) = phase.count(ledger) {
            *count += 1;
        }
    }

    fn ledger(&mut self, slot: u32) -> &mut Ledger {
        match self.slots[slot].kind {
            InvocationType::Event => &mut self.event_ledger,
            InvocationType::RequestResponse => &mut self.call_ledger,
        }
    }

    /// Hands out the next event, if one may run now.
    pub(crate) fn take(&mut self, now: Time) -> Option<Taken> {
        if self.paused || self.executing() >= u64::from(self.allowance) {
            return None;
        }
        let index = self.next(now)?;
        self.enter(index, Phase::Running, now);
        let slot = &mut self.slots[index];
        slot.attempt += 1;
        let side = slot.side.as_ref();
        Some(Taken {
            ticket: slot.ticket(index),
            payload: slot.body.clone(),
            accepted: slot.accepted,
            first_due: slot.first_due,
            kind: slot.kind,
            meta: side.map(|side| side.meta.clone()).unwrap_or_default(),
            not_before: side.and_then(|side| side.not_before),
            suspect: side.is_some_and(|side| side.suspect),
        })
    }

    /// The stored events that are ready, the next one first: up to one that is to run alone.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = RequestId> {
        let slots = self.ready_events().map(|index| &self.slots[index]);
        let alone = |slot: &Slot| slot.side.as_ref().is_some_and(|side| side.suspect);
        let company = slots.take_while(move |slot| slot.stored && !alone(slot));
        company.map(|slot| slot.id)
    }

    /// The attempt did not take place after all: the event is failed without it.
    pub(crate) fn untake(&mut self, ticket: Ticket, now: Time) -> Option<Ticket> {
        let slot = self.fenced(ticket, Phase::Running)?;
        self.enter(slot, Phase::Failed, now);
        self.slots[slot].attempt -= 1;
        Some(Ticket {
            attempt: ticket.attempt - 1,
            ..ticket
        })
    }

    #[inline]
    pub(crate) fn has_events(&self) -> bool {
        self.events.len > 0
    }

    #[inline]
    pub(crate) fn ready(&self) -> u32 {
        self.calls.len + self.events.len
    }

    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        self.calls.len > 0 || self.events.len > 0
    }

    /// Unlinks what runs next: calls before events, but of so many runs one is an event's.
    fn next(&mut self, now: Time) -> Option<u32> {
        let is_events_turn = self.calls.head == NONE || self.calls_in_row >= CALLS_IN_ROW;
        if let Some(event) = is_events_turn.then(|| self.next_event(now)).flatten() {
            self.calls_in_row = 0;
            return Some(event);
        }
        let call = (self.calls.head != NONE).then_some(self.calls.head)?;
        self.calls.unlink(&mut self.slots, call);
        self.calls_in_row = self.calls_in_row.saturating_add(1);
        Some(call)
    }

    /// Unlinks the event that has been runnable for longest. A probe prefers one that has not crashed.
    fn next_event(&mut self, now: Time) -> Option<u32> {
        let ready = (self.events.head != NONE).then_some(self.events.head);
        let due = self.first_delayed().filter(|due| due.at <= now);
        let due = due.filter(|due| ready.is_none_or(|ready| self.slots[ready].at >= due.at));
        let longest = due.map(|due| due.slot).or(ready)?;
        let innocent = (self.allowance == 1).then(|| self.innocent(longest));
        match (innocent.flatten(), due) {
            (None, Some(_)) => {
                self.delayed.pop();
                Some(longest)
            }
            (innocent, _) => {
                let slot = innocent.unwrap_or(longest);
                self.events.unlink(&mut self.slots, slot);
                Some(slot)
            }
        }
    }

    /// What a probe prefers to the event that has waited longest: every other time the newest of those that have not
    /// crashed, for the first ones may be bad together; otherwise the next one that has not, if that one has.
    fn innocent(&mut self, longest: u32) -> Option<u32> {
        self.probes = self.probes.wrapping_add(1);
        let newest = self.probes.is_multiple_of(2);
        if !newest && !self.has_crashed(longest) {
            return None;
        }
        let (first, forwards) = match newest {
            true => (self.events.tail, false),
            false => (self.events.head, true),
        };
        let index = |index: u32| (index != NONE).then_some(index);
        let ready = std::iter::successors(index(first), |&slot| {
            let slot = &self.slots[slot];
            index(if forwards { slot.next } else { slot.prev })
        });
        ready
            .take(PROBE_LOOKS)
            .find(|&index| !self.has_crashed(index))
    }

    fn has_crashed(&self, slot: u32) -> bool {
        let side = self.slots[slot].side.as_ref();
        side.is_some_and(|side| side.attempts.iter().any(|it| it.failure.is_crash()))
    }

    /// The slots of the events that are ready, the next one first.
    fn ready_events(&self) -> impl Iterator<Item = u32> {
        let index = |index: u32| (index != NONE).then_some(index);
        std::iter::successors(index(self.events.head), move |&before| {
            index(self.slots[before].next)
        })
    }

    /// The delayed event that is due first.
    fn first_delayed(&mut self) -> Option<Due> {
        self.delayed.first(&self.slots)
    }

    /// When the next delayed event is due; it may have passed.
    pub(crate) fn next_due(&mut self) -> Option<Time> {
        self.first_delayed().map(|due| due.at)
    }

    /// How many events could be taken now, at least (due ones count as one).
    pub(crate) fn takeable(&mut self, now: Time) -> u64 {
        if self.paused {
            return 0;
        }
        let due = u64::from(self.next_due().is_some_and(|at| at <= now));
        let due = if due == 1 {
            self.delayed_here().max(1)
        } else {
            0
        };
        let allowed = u64::from(self.allowance).saturating_sub(self.executing());
        (u64::from(self.calls.len) + u64::from(self.events.len) + due).min(allowed)
    }

    pub(crate) fn running(&self) -> u64 {
        self.event_ledger.running + self.call_ledger.running
    }

    /// Events that a worker has in hands. Letters that a full dead-letter queue holds back are not among them.
    pub(crate) fn executing(&self) -> u64 {
        self.running() - self.failed
    }

    /// What runs, and the calls that are about to.
    pub(crate) fn occupied(&self) -> u64 {
        self.executing() + u64::from(self.calls.len)
    }

    /// Events here, on their way into the store, and parked there.
    pub(crate) fn pending(&self) -> u32 {
        let parked = u32::try_from(self.overflow.events()).unwrap_or(u32::MAX);
        (self.pending + self.reserved).saturating_add(parked)
    }

    pub(crate) fn pending_bytes(&self) -> u64 {
        self.pending_bytes + self.reserved_bytes + self.overflow.bytes
    }

    /// The slot of the attempt, if that attempt still counts.
    fn fenced(&self, ticket: Ticket, phase: Phase) -> Option<u32> {
        let slot = self.slots.get(ticket.slot)?;
        let same = slot.id == ticket.id && slot.stamp == ticket.stamp;
        (same && slot.attempt == ticket.attempt && slot.phase == phase).then_some(ticket.slot)
    }

    /// The attempt succeeded. Gives the payload back, to be dropped outside of any lock; `None` if the attempt was
    /// superseded, in which case its result counts for nothing.
    pub(crate) fn succeed(
        &mut self,
        ticket: Ticket,
        result: Option<Payload>,
        now: Time,
    ) -> Option<Payload> {
        let slot = self.fenced(ticket, Phase::Running)?;
        self.finish(slot, Phase::Succeeded, result, now)
    }

    /// The attempt failed: the supervisor decides. `None` if it was superseded.
    pub(crate) fn fail(&mut self, ticket: Ticket, now: Time) -> Option<&mut Slot> {
        let slot = self.fenced(ticket, Phase::Running)?;
        self.enter(slot, Phase::Failed, now);
        Some(&mut self.slots[slot])
    }

    /// The failed event runs again at `at`: here, or, if there is no room, from where the store has it. `None` if it was
    /// superseded.
    pub(crate) fn retry(&mut self, ticket: Ticket, at: Time, now: Time) -> Option<Rescheduled> {
        let slot = self.fenced(ticket, Phase::Failed)?;
        Some(self.put_off(slot, at, now))
    }

    /// The attempt did not take place: the event may not run before `at`, and is no older than if it were due then for the
    /// first time. `None` if it was superseded.
    pub(crate) fn postpone(&mut self, ticket: Ticket, at: Time, now: Time) -> Option<Rescheduled> {
        let ticket = self.untake(ticket, now)?;
        let slot = self.fenced(ticket, Phase::Failed)?;
        self.slots[slot].first_due = at;
        Some(self.put_off(slot, at, now))
    }

    /// A failed event runs at `at`: here, or, if there is no room, from where the store has it.
    fn put_off(&mut self, slot: u32, at: Time, now: Time) -> Rescheduled {
        let room = self.delayed_here() < u64::from(self.bounds.window);
        if room || !self.slots[slot].stored || at <= now {
            self.schedule(slot, at, now);
            return Rescheduled::InMemory;
        }
        self.failed -= 1;
        self.event_ledger.running -= 1;
        let payload = self.leave_pending(slot);
        self.spill(true, payload.as_ref().map_or(0, Payload::size) as u64);
        self.forget(slot);
        Rescheduled::Spilled(payload)
    }

    /// The failed event is in the dead-letter queue, or its caller knows: it is over.
    pub(crate) fn bury(&mut self, ticket: Ticket, now: Time) -> Option<Payload> {
        let slot = self.fenced(ticket, Phase::Failed)?;
        self.finish(slot, Phase::Dead, None, now)
    }

    /// Takes an event that waits out of the lists, for a decision that needs no attempt.
    pub(crate) fn withdraw(&mut self, id: RequestId, now: Time) -> Option<Ticket> {
        let slot = self.find(id)?;
        self.withdraw_slot(slot, now)
    }

    pub(crate) fn withdraw_slot(&mut self, slot: u32, now: Time) -> Option<Ticket> {
        self.unlink_waiting(slot)?;
        self.enter(slot, Phase::Failed, now);
        Some(self.slots[slot].ticket(slot))
    }

    /// Any event that waits, for withdrawing them all; calls first.
    pub(crate) fn any_waiting(&mut self) -> Option<RequestId> {
        let ready = [self.calls.head, self.events.head]
            .into_iter()
            .find(|&head| head != NONE);
        let slot = ready.or_else(|| self.first_delayed().map(|due| due.slot))?;
        Some(self.slots[slot].id)
    }

    /// An event that could run now if a worker took it; calls first.
    pub(crate) fn first_due(&mut self, now: Time) -> Option<RequestId> {
        if self.paused {
            return None;
        }
        let ready = [self.calls.head, self.events.head];
        let ready = ready.into_iter().find(|&head| head != NONE);
        let due = || Some(self.first_delayed().filter(|due| due.at <= now)?.slot);
        let slot = ready.or_else(due)?;
        Some(self.slots[slot].id)
    }

    /// A call that waits, if any.
    pub(crate) fn first_call(&self) -> Option<RequestId> {
        (self.calls.head != NONE).then(|| self.slots[self.calls.head].id)
    }

    fn unlink_waiting(&mut self, slot: u32) -> Option<()> {
        match (self.slots[slot].phase, self.slots[slot].kind) {
            (Phase::Ready, InvocationType::Event) => self.events.unlink(&mut self.slots, slot),
            (Phase::Ready, InvocationType::RequestResponse) => {
                self.calls.unlink(&mut self.slots, slot)
            }
            (Phase::Delayed, _) => {} // its entry in the heap is stale from here on
            _ => return None,
        }
        Some(())
    }

    /// Ends a pending event. Answers the ticket of the attempt that was running, if one was.
    pub(crate) fn cancel(
        &mut self,
        id: RequestId,
        now: Time,
    ) -> Option<(Option<Ticket>, Option<Payload>)> {
        let slot = self.find(id)?;
        let entry = &self.slots[slot];
        let running = match entry.phase {
            Phase::Running => Some(entry.ticket(slot)),
            Phase::Ready | Phase::Delayed => None,
            // A failed event is in somebody's hands and about to be decided; a finished one is over.
            _ => return None,
        };
        let _ = self.unlink_waiting(slot);
        Some((running, self.finish(slot, Phase::Cancelled, None, now)))
    }

    /// Events whose attempts count for nothing from now on: they wait again. Answers those that ran.
    pub(crate) fn abandon_attempts(&mut self, now: Time) -> Vec<RequestId> {
        let begun = |slot: &Slot| matches!(slot.phase, Phase::Running | Phase::Failed);
        let slots = self.slots.iter(0).filter(|(_, slot)| begun(slot));
        let slots: Vec<_> = slots.map(|(index, slot)| (index, slot.id)).collect();
        for &(slot, _) in &slots {
            self.schedule(slot, now, now);
        }
        slots.into_iter().map(|(_, id)| id).collect()
    }

    fn finish(
        &mut self,
        slot: u32,
        phase: Phase,
        result: Option<Payload>,
        now: Time,
    ) -> Option<Payload> {
        self.enter(slot, phase, now);
        let payload = self.leave_pending(slot);
        self.slots[slot].body = result;
        self.finished.push(slot, &self.slots);
        self.expire(now, 2);
        payload
    }

    fn leave_pending(&mut self, slot: u32) -> Option<Payload> {
        let slot = &mut self.slots[slot];
        let payload = slot.body.take();
        let texts = failed_texts(slot.side.as_deref());
        self.pending -= 1;
        self.pending_bytes -= (payload.as_ref().map_or(0, Payload::size) + texts) as u64;
        payload
    }

    /// Adds a failed attempt to the history of a pending event, whose texts count as its payload does.
    pub(crate) fn remember(&mut self, slot: u32, attempt: Attempt) -> &mut Side {
        let side = self.slots[slot].side.get_or_insert_default();
        self.pending_bytes -= texts(&side.attempts) as u64;
        attempt::remember(&mut side.attempts, attempt);
        self.pending_bytes += texts(&side.attempts) as u64;
        side
    }

    /// Forgets at most `budget` finished events that are beyond the retention.
    pub(crate) fn expire(&mut self, now: Time, budget: u32) {
        for _ in 0..budget {
            match self.finished.pop_expired(&self.slots, now) {
                Some(oldest) => self.forget(oldest),
                None => break,
            }
        }
    }

    /// When the oldest finished event is to be forgotten.
    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.finished.next_expiry(&self.slots)
    }

    fn forget(&mut self, slot: u32) {
        let slot = self.slots.remove(slot);
        if slot.is_foreign() {
            self.foreign.remove(&slot.id);
        }
        if slot.proposed {
            self.forgotten_ids.push(slot.id);
        }
        self.forgotten_letters
            .extend(slot.side.and_then(|side| side.letter));
    }

    fn find(&self, id: RequestId) -> Option<u32> {
        let (number, slot) = id.place();
        if number == self.number && self.slots.get(slot).is_some_and(|entry| entry.id == id) {
            return Some(slot);
        }
        self.foreign.get(&id).copied()
    }

    /// An event that is pending, or finished and not yet forgotten.
    pub(crate) fn get(&self, id: RequestId) -> Option<(u32, &Slot)> {
        self.find(id).map(|slot| (slot, &self.slots[slot]))
    }

    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut Slot> {
        self.find(id).map(|slot| &mut self.slots[slot])
    }

    /// Pending and remembered events in the order of their slots, from slot `from` on.
    pub(crate) fn iter(&self, from: u32) -> impl Iterator<Item = (u32, &Slot)> {
        self.slots.iter(from)
    }

    /// When the event that has waited longest became ready.
    pub(crate) fn oldest_ready(&self) -> Option<Time> {
        let at = |head: u32| (head != NONE).then(|| self.slots[head].at);
        [at(self.calls.head), at(self.events.head)]
            .into_iter()
            .flatten()
            .min()
    }
}
