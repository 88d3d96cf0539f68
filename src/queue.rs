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
//! What a store has needn't be here: beyond a window of so many events it is parked there, counted here (`parked.rs`), and
//! returns when there is room.
//!
//! Pure: no locks, no clock, no actors. Everything here is O(1) per event, or O(log n) in the number of
//! delayed ones. `accepted = succeeded + dead + cancelled + pending` holds after every method.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::event::{InvocationType, RequestId};
use crate::failure::DeadLetter;
use crate::parked::Parked;
use crate::payload::Payload;
use crate::settings::Retention;
use crate::slab::{NONE, Slab};
use crate::slot::{Arrival, Entry, Phase, Returning, Slot, Taken, Ticket};
use crate::time::Time;

/// How many events are where. `accepted = succeeded + dead + cancelled + pending()`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Ledger {
    /// Accepted since the function was registered.
    pub accepted: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Became dead letters; of calls: failed.
    pub dead: u64,
    /// Cancelled by the user.
    pub cancelled: u64,
    /// Waiting for a worker.
    pub ready: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// Being run, or just failed and being decided on.
    pub running: u64,
}

impl Ledger {
    /// Neither succeeded nor dead nor cancelled.
    pub fn pending(&self) -> u64 {
        self.ready + self.delayed + self.running
    }

    fn count(&mut self, phase: Phase) -> Option<&mut u64> {
        Some(match phase {
            Phase::New => return None,
            Phase::Ready => &mut self.ready,
            Phase::Delayed => &mut self.delayed,
            Phase::Running | Phase::Failed => &mut self.running,
            Phase::Succeeded => &mut self.succeeded,
            Phase::Dead => &mut self.dead,
            Phase::Cancelled => &mut self.cancelled,
        })
    }
}

impl std::ops::AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.succeeded += other.succeeded;
        self.dead += other.dead;
        self.cancelled += other.cancelled;
        self.ready += other.ready;
        self.delayed += other.delayed;
        self.running += other.running;
    }
}

/// Why an entry did not get in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unadmitted {
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
pub(crate) struct Refused {
    pub(crate) why: Unadmitted,
    pub(crate) entry: Entry,
}

#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) events_max: u32,
    pub(crate) bytes_max: u64,
    /// Of events that a store has, so many are here; and so many that are delayed.
    pub(crate) window: u32,
}

/// Where an event is kept that runs again.
#[derive(Debug)]
pub(crate) enum Kept {
    Here,
    /// In the store; its payload is needed no longer.
    Parked(Option<Payload>),
}

/// The start of an event that is here only until it is given up: no worker takes it before.
pub(crate) const NEVER: Time = Time(u64::MAX);

/// A doubly linked list through the slots.
#[derive(Debug)]
struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
        len: 0,
    };

    fn push(&mut self, slots: &mut Slab<Slot>, index: u32) {
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

    fn unlink(&mut self, slots: &mut Slab<Slot>, index: u32) {
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

/// An entry of the delayed heap. Stale if its slot is no longer delayed until exactly then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Time,
    slot: u32,
}

#[derive(Debug)]
pub(crate) struct Queue {
    number: u32,
    slots: Slab<Slot>,
    /// Calls come first: somebody waits for each.
    calls: List,
    events: List,
    delayed: BinaryHeap<Reverse<Due>>,
    /// Finished events that are remembered, the oldest first.
    finished: VecDeque<u32>,
    finished_bytes: u64,
    /// Events whose id the caller proposed: it doesn't say where they lie.
    foreign: HashMap<RequestId, u32>,
    /// Letters of forgotten events, which may hold the last of a payload: not to be dropped under a lock.
    pub(crate) remains: Vec<DeadLetter>,
    /// Ids of foreign events that are forgotten, for whoever keeps an index of them.
    pub(crate) forgotten: Vec<RequestId>,
    /// Events that came in so far, for their stamps.
    stamps: u32,
    /// What is pending here, and its bytes.
    pending: u32,
    pending_bytes: u64,
    /// Places that are kept for events that are being stored.
    reserved: u32,
    reserved_bytes: u64,
    pub(crate) parked: Parked,
    /// Of those that the ledgers count as running, how many failed and wait to be decided on or buried.
    failed: u64,
    pub(crate) bounds: Bounds,
    pub(crate) retention: Retention,
    pub(crate) event_ledger: Ledger,
    pub(crate) call_ledger: Ledger,
    /// Nothing is taken while it is paused.
    pub(crate) paused: bool,
    /// Most events that may run at once, as far as the function's health is concerned.
    pub(crate) allowance: u32,
}

impl Queue {
    pub(crate) fn new(number: u32, bounds: Bounds, retention: Retention) -> Self {
        Self {
            number,
            slots: Slab::new(),
            calls: List::EMPTY,
            events: List::EMPTY,
            delayed: BinaryHeap::new(),
            finished: VecDeque::new(),
            finished_bytes: 0,
            foreign: HashMap::new(),
            remains: Vec::new(),
            forgotten: Vec::new(),
            stamps: 0,
            pending: 0,
            pending_bytes: 0,
            reserved: 0,
            reserved_bytes: 0,
            parked: Parked::default(),
            failed: 0,
            bounds,
            retention,
            event_ledger: Ledger::default(),
            call_ledger: Ledger::default(),
            paused: false,
            allowance: u32::MAX,
        }
    }

    // --- what is stored

    /// Keeps places for events that are being stored; `unreserve` must follow.
    pub(crate) fn reserve(&mut self, events: u32, bytes: u64) -> Result<(), Unadmitted> {
        if events > self.room() {
            return Err(Unadmitted::EventsMax);
        } else if bytes > self.room_bytes() {
            return Err(Unadmitted::BytesMax);
        }
        self.reserved += events;
        self.reserved_bytes += bytes;
        Ok(())
    }

    pub(crate) fn unreserve(&mut self, events: u32, bytes: u64) {
        self.reserved -= events;
        self.reserved_bytes -= bytes;
    }

    /// Takes in an event that was stored, or counts it as parked if there is no room for it here.
    pub(crate) fn stock(&mut self, entry: Entry, accepted: Time, now: Time) -> Result<u32, Entry> {
        let delayed = entry.start > now;
        let full = match delayed {
            true => self.delayed_here() >= u64::from(self.bounds.window),
            // What is ready keeps its order.
            false => self.parked.ready > 0 || self.events.len >= self.bounds.window,
        };
        if full && entry.start != NEVER {
            self.event_ledger.accepted += 1;
            self.park(entry.start > accepted, entry.payload.size() as u64);
            return Err(entry);
        }
        let slot = self.place(entry, 0, accepted);
        self.accept(slot, now);
        Ok(slot)
    }

    fn park(&mut self, delayed: bool, bytes: u64) {
        if delayed {
            self.parked.delayed += 1;
            self.event_ledger.delayed += 1;
        } else {
            self.parked.ready += 1;
            self.event_ledger.ready += 1;
        }
        self.parked.bytes += bytes;
    }

    fn unpark(&mut self, delayed: bool, bytes: u64) {
        // What the store says of an event may not be what was counted when it was parked.
        let Parked {
            ready,
            delayed: waiting,
            ..
        } = self.parked;
        if delayed && waiting > 0 || ready == 0 {
            self.parked.delayed = waiting.saturating_sub(1);
            self.event_ledger.delayed = self.event_ledger.delayed.saturating_sub(1);
        } else {
            self.parked.ready -= 1;
            self.event_ledger.ready -= 1;
        }
        self.parked.unpark_bytes(bytes);
    }

    /// Takes back an event that was parked.
    pub(crate) fn restock(&mut self, returning: Returning, now: Time) -> u32 {
        let Returning {
            entry,
            accepted,
            attempt,
            ..
        } = returning;
        let (start, bytes) = (entry.start, entry.payload.size() as u64);
        self.unpark(start > accepted, bytes);
        let slot = self.place(entry, 0, accepted);
        self.slots[slot].attempt = attempt;
        self.schedule(slot, start, now);
        slot
    }

    /// Counts what the store had parked before this process began.
    pub(crate) fn inherit(&mut self, ready: u64, delayed: u64, bytes: u64) {
        self.event_ledger.accepted += ready + delayed;
        self.event_ledger.ready += ready;
        self.event_ledger.delayed += delayed;
        self.parked.ready += ready;
        self.parked.delayed += delayed;
        self.parked.bytes += bytes;
    }

    /// How many events are delayed here.
    fn delayed_here(&self) -> u64 {
        let all = self.event_ledger.delayed + self.call_ledger.delayed;
        all.saturating_sub(self.parked.delayed)
    }

    /// Is there room for parked events that are due?
    pub(crate) fn has_room_for_parked(&self) -> bool {
        self.events.len < self.bounds.window.div_ceil(2)
    }

    /// Takes `entry` in. Ready at once unless it starts later.
    pub(crate) fn admit(
        &mut self,
        entry: Entry,
        random: u128,
        now: Time,
    ) -> Result<RequestId, Refused> {
        if let Some(why) = self.objection(&entry) {
            return Err(Refused { why, entry });
        }
        let slot = self.place(entry, random, now);
        self.accept(slot, now);
        Ok(self.slots[slot].id)
    }

    fn place(&mut self, entry: Entry, random: u128, accepted: Time) -> u32 {
        let Entry {
            payload,
            kind,
            hops,
            side,
            request_id,
            start,
            stored,
            proposed,
        } = entry;
        let bytes = payload.size() as u64;
        let stamp = self.stamp();
        let number = self.number;
        let slot = self.slots.insert_with(|index| Slot {
            id: request_id.unwrap_or_else(|| RequestId::new(number, index, random)),
            body: Some(payload),
            side,
            accepted,
            at: start,
            prev: NONE,
            next: NONE,
            attempt: 0,
            stamp,
            phase: Phase::New,
            kind,
            hops,
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
    fn objection(&self, entry: &Entry) -> Option<Unadmitted> {
        if self.room() == 0 {
            Some(Unadmitted::EventsMax)
        } else if entry.payload.size() as u64 > self.room_bytes() {
            Some(Unadmitted::BytesMax)
        } else if entry.request_id.is_some_and(|id| self.find(id).is_some()) {
            Some(Unadmitted::RequestIdTaken)
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
    pub(crate) fn keep(&mut self, count: usize, slots: &mut Vec<u32>) {
        slots.extend((0..count).map(|_| self.slots.keep()));
    }

    /// Takes back slots that nothing arrived in.
    pub(crate) fn give_back(&mut self, slots: Vec<u32>) {
        slots
            .into_iter()
            .for_each(|slot| self.slots.give_back(slot));
    }

    /// Takes in what was granted and has arrived: it is ready.
    #[inline]
    pub(crate) fn arrive(&mut self, arrival: Arrival) {
        let Arrival {
            id,
            slot,
            payload,
            side,
            hops,
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
            at: accepted,
            prev: NONE,
            next: NONE,
            attempt: 0,
            stamp,
            phase: Phase::New,
            kind: InvocationType::Event,
            hops,
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
            self.delayed.push(Reverse(Due { at, slot }));
            self.sweep();
        }
    }

    /// Events that are cancelled or withdrawn leave stale entries in the heap, which may lie below one that is due in a
    /// year. It never grows beyond twice what is delayed (and a few).
    fn sweep(&mut self) {
        let live = self.delayed_here() as usize;
        if self.delayed.len() <= 2 * live + 64 {
            return;
        }
        let mut entries = std::mem::take(&mut self.delayed).into_vec();
        entries.retain(|&Reverse(due)| self.is_current(due));
        // A slot that was given to another event with the same due time makes the old entry look current.
        entries.sort_unstable();
        entries.dedup();
        self.delayed = entries.into();
    }

    fn is_current(&self, due: Due) -> bool {
        self.slots
            .get(due.slot)
            .is_some_and(|slot| slot.phase == Phase::Delayed && slot.at == due.at)
    }

    /// The only place where an event changes its phase, so that the ledger can't disagree.
    fn enter(&mut self, slot: u32, phase: Phase, at: Time) {
        let entry = &mut self.slots[slot];
        let old = std::mem::replace(&mut entry.phase, phase);
        entry.at = at;
        self.failed += u64::from(phase == Phase::Failed);
        self.failed -= u64::from(old == Phase::Failed);
        let ledger = self.ledger(slot);
        if let Some(count) = ledger.count(old) {
            *count -= 1;
        }
        if let Some(count) = ledger.count(phase) {
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
        Some(Taken {
            ticket: slot.ticket(index),
            payload: slot.body.clone(),
            accepted: slot.accepted,
            hops: slot.hops,
            kind: slot.kind,
            origin: slot.side.as_ref().and_then(|side| side.origin.clone()),
            event_age_max: slot.side.as_ref().and_then(|side| side.event_age_max),
            suspect: slot.side.as_ref().is_some_and(|side| side.suspect),
        })
    }

    /// The stored events that are ready, the next one first: up to one that is to run alone.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = RequestId> {
        let index = |index: u32| (index != NONE).then_some(index);
        let ready = std::iter::successors(index(self.events.head), move |&before| {
            index(self.slots[before].next)
        });
        let slots = ready.map(|index| &self.slots[index]);
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

    /// Unlinks the event that has been runnable for longest, calls first.
    fn next(&mut self, now: Time) -> Option<u32> {
        if self.calls.head != NONE {
            let slot = self.calls.head;
            self.calls.unlink(&mut self.slots, slot);
            return Some(slot);
        }
        let ready = (self.events.head != NONE).then_some(self.events.head);
        let due = self.first_delayed().filter(|due| due.at <= now);
        match (due, ready) {
            (Some(due), Some(ready)) if self.slots[ready].at < due.at => self.next_ready(),
            (Some(due), _) => {
                self.pop_delayed();
                Some(due.slot)
            }
            (None, Some(_)) => self.next_ready(),
            (None, None) => None,
        }
    }

    fn next_ready(&mut self) -> Option<u32> {
        let slot = self.events.head;
        self.events.unlink(&mut self.slots, slot);
        Some(slot)
    }

    /// The delayed event that is due first; drops stale entries on the way.
    fn first_delayed(&mut self) -> Option<Due> {
        while let Some(&Reverse(due)) = self.delayed.peek() {
            if self.is_current(due) {
                return Some(due);
            }
            self.pop_delayed();
        }
        None
    }

    fn pop_delayed(&mut self) {
        self.delayed.pop();
        if self.delayed.len() < self.delayed.capacity() / 8 {
            self.delayed.shrink_to(self.delayed.len() * 2);
        }
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
    pub(crate) fn claimed(&self) -> u64 {
        self.executing() + u64::from(self.calls.len)
    }

    /// Events here, on their way into the store, and parked there.
    pub(crate) fn pending(&self) -> u32 {
        let parked = u32::try_from(self.parked.events()).unwrap_or(u32::MAX);
        (self.pending + self.reserved).saturating_add(parked)
    }

    pub(crate) fn pending_bytes(&self) -> u64 {
        self.pending_bytes + self.reserved_bytes + self.parked.bytes
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
    pub(crate) fn retry(&mut self, ticket: Ticket, at: Time, now: Time) -> Option<Kept> {
        let slot = self.fenced(ticket, Phase::Failed)?;
        let room = self.delayed_here() < u64::from(self.bounds.window);
        if room || !ticket.stored || at <= now {
            self.schedule(slot, at, now);
            return Some(Kept::Here);
        }
        self.failed -= 1;
        self.event_ledger.running -= 1;
        let payload = self.leave_pending(slot);
        self.park(true, payload.as_ref().map_or(0, Payload::size) as u64);
        self.forget(slot);
        Some(Kept::Parked(payload))
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

    fn finish(
        &mut self,
        slot: u32,
        phase: Phase,
        result: Option<Payload>,
        now: Time,
    ) -> Option<Payload> {
        self.enter(slot, phase, now);
        let payload = self.leave_pending(slot);
        self.finished_bytes += result.as_ref().map_or(0, Payload::size) as u64;
        self.slots[slot].body = result;
        self.finished.push_back(slot);
        self.expire(now, 2);
        payload
    }

    fn leave_pending(&mut self, slot: u32) -> Option<Payload> {
        let payload = self.slots[slot].body.take();
        self.pending -= 1;
        self.pending_bytes -= payload.as_ref().map_or(0, Payload::size) as u64;
        payload
    }

    /// Forgets at most `budget` finished events that are beyond the retention.
    pub(crate) fn expire(&mut self, now: Time, budget: u32) {
        for _ in 0..budget {
            let Some(&oldest) = self
                .finished
                .front()
                .filter(|&&oldest| self.beyond_retention(oldest, now))
            else {
                break;
            };
            self.finished.pop_front();
            self.finished_bytes -= self.slots[oldest].body.as_ref().map_or(0, Payload::size) as u64;
            self.forget(oldest);
        }
    }

    fn beyond_retention(&self, slot: u32, now: Time) -> bool {
        self.finished.len() as u32 > self.retention.events_max
            || self.finished_bytes > self.retention.bytes_max
            || now.since(self.slots[slot].at) > self.retention.age_max
    }

    /// When the oldest finished event is to be forgotten.
    pub(crate) fn next_expiry(&self) -> Option<Time> {
        let beyond = self
            .retention
            .age_max
            .saturating_add(Duration::from_nanos(1));
        self.finished
            .front()
            .map(|&oldest| self.slots[oldest].at.after(beyond))
    }

    fn forget(&mut self, slot: u32) {
        let slot = self.slots.remove(slot);
        if slot.is_foreign() {
            self.foreign.remove(&slot.id);
        }
        if slot.proposed {
            self.forgotten.push(slot.id);
        }
        self.remains.extend(slot.side.and_then(|side| side.letter));
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        events_max: 12,
        bytes_max: 100,
        window: 1_000,
    };
    const RETENTION: Retention = Retention {
        events_max: 5,
        bytes_max: 20,
        age_max: Duration::from_nanos(30),
    };

    fn queue() -> Queue {
        Queue::new(3, BOUNDS, RETENTION)
    }

    fn entry(
        kind: InvocationType,
        request_id: Option<RequestId>,
        bytes: usize,
        start: u64,
    ) -> Entry {
        let payload = Payload::new("x".repeat(bytes)).unwrap();
        Entry {
            payload,
            kind,
            hops: 0,
            side: None,
            request_id,
            start: Time(start),
            stored: false,
            proposed: request_id.is_some(),
        }
    }

    fn foreign(number: u64) -> RequestId {
        uuid::Uuid::from_u128(u128::from(number) << 64).into()
    }

    #[derive(Clone, Debug)]
    struct Known {
        id: RequestId,
        kind: InvocationType,
        phase: Phase,
        at: u64,
        /// Its place among those that became ready, or finished.
        order: u64,
        attempt: u32,
        bytes: u64,
        foreign: bool,
    }

    /// What the queue should do, written for clarity and not for speed.
    #[derive(Default)]
    struct Model {
        known: Vec<Known>,
        forgotten: Vec<RequestId>,
        tickets: VecDeque<Ticket>,
        accepted: [u64; 2],
        ended: [[u64; 3]; 2],
        now: u64,
        order: u64,
    }

    impl Model {
        fn get(&mut self, id: RequestId) -> Option<&mut Known> {
            self.known.iter_mut().find(|known| known.id == id)
        }

        fn holds(&mut self, ticket: Ticket, phase: Phase) -> bool {
            self.get(ticket.id)
                .is_some_and(|known| known.attempt == ticket.attempt && known.phase == phase)
        }

        fn pending(&self) -> impl Iterator<Item = &Known> {
            self.known.iter().filter(|known| !known.phase.is_finished())
        }

        fn set(&mut self, id: RequestId, phase: Phase, at: u64) {
            self.order += 1;
            let (order, now) = (self.order, self.now);
            let known = self.get(id).unwrap();
            (known.phase, known.at, known.order) = (phase, at, order);
            if phase == Phase::Ready && at > now {
                known.phase = Phase::Delayed;
            } else if phase == Phase::Ready {
                known.at = now;
            }
        }

        fn finish(&mut self, id: RequestId, phase: Phase, result: u64) {
            self.set(id, phase, self.now);
            let known = self.get(id).unwrap();
            known.bytes = result;
            let kind = known.kind as usize;
            self.ended[kind][phase as usize - Phase::Succeeded as usize] += 1;
            self.expire(2);
        }

        fn expire(&mut self, budget: u32) {
            for _ in 0..budget {
                let finished: Vec<_> = self
                    .known
                    .iter()
                    .filter(|known| known.phase.is_finished())
                    .collect();
                let bytes: u64 = finished.iter().map(|known| known.bytes).sum();
                let Some(oldest) = finished.iter().min_by_key(|known| known.order) else {
                    return;
                };
                let old = Duration::from_nanos(self.now - oldest.at) > RETENTION.age_max;
                if !old
                    && finished.len() <= RETENTION.events_max as usize
                    && bytes <= RETENTION.bytes_max
                {
                    return;
                }
                let id = oldest.id;
                self.known.retain(|known| known.id != id);
                self.forgotten.push(id);
            }
        }

        fn ledger(&self, kind: InvocationType) -> Ledger {
            let count = |phase: Phase| {
                self.known
                    .iter()
                    .filter(|k| k.kind == kind && k.phase == phase)
                    .count() as u64
            };
            let [succeeded, dead, cancelled] = self.ended[kind as usize];
            Ledger {
                accepted: self.accepted[kind as usize],
                succeeded,
                dead,
                cancelled,
                ready: count(Phase::Ready),
                delayed: count(Phase::Delayed),
                running: count(Phase::Running) + count(Phase::Failed),
            }
        }

        /// The events that the rules allow to be handed out next.
        fn allowed(&self) -> Vec<RequestId> {
            let ready = |kind| {
                let all = self
                    .known
                    .iter()
                    .filter(move |known| known.kind == kind && known.phase == Phase::Ready);
                all.min_by_key(|known| known.order)
            };
            if let Some(call) = ready(InvocationType::RequestResponse) {
                return vec![call.id];
            }
            let due = |known: &&Known| known.phase == Phase::Delayed && known.at <= self.now;
            let soonest = self.known.iter().filter(due).map(|known| known.at).min();
            match (soonest, ready(InvocationType::Event)) {
                (Some(at), Some(event)) if event.at < at => vec![event.id],
                (Some(at), _) => self
                    .known
                    .iter()
                    .filter(due)
                    .filter(|known| known.at == at)
                    .map(|known| known.id)
                    .collect(),
                (None, event) => event.map(|event| event.id).into_iter().collect(),
            }
        }
    }

    /// One thing that happens to a queue: what, to whom, and how much.
    type Step = (u8, u16, u64);

    fn step(queue: &mut Queue, model: &mut Model, (what, whom, amount): Step) {
        let now = Time(model.now);
        let pick = |len: usize| usize::from(whom) % len.max(1);
        let ticket = model.tickets.get(pick(model.tickets.len())).copied();
        let id = model
            .known
            .get(pick(model.known.len()))
            .map(|known| known.id);
        match what {
            0..=5 => {
                let kind = if whom % 4 == 0 {
                    InvocationType::RequestResponse
                } else {
                    InvocationType::Event
                };
                let proposed = (whom % 5 == 1).then(|| foreign(amount));
                let start = if what < 4 {
                    model.now
                } else {
                    model.now + amount
                };
                let bytes = amount + 2;
                let (count, sum) = model
                    .pending()
                    .fold((0, 0), |(n, sum), known| (n + 1, sum + known.bytes));
                let expected = if count >= BOUNDS.events_max {
                    Err(Unadmitted::EventsMax)
                } else if sum + bytes > BOUNDS.bytes_max {
                    Err(Unadmitted::BytesMax)
                } else if proposed.is_some_and(|id| model.get(id).is_some()) {
                    Err(Unadmitted::RequestIdTaken)
                } else {
                    Ok(())
                };
                let entry = entry(kind, proposed, amount as usize, start);
                let random = u128::from(model.order) << 8 | u128::from(whom);
                let placed = queue.admit(entry, random, now);
                let outcome = placed.as_ref().map(|_| ()).map_err(|refused| &refused.why);
                assert_eq!(outcome, expected.as_ref().copied());
                let Ok(id) = placed else { return };
                // An id that is proposed again once it is forgotten names another event.
                model.forgotten.retain(|&other| other != id);
                model.tickets.retain(|ticket| ticket.id != id);
                let phase = Phase::New;
                model.known.push(Known {
                    id,
                    kind,
                    phase,
                    at: start,
                    order: 0,
                    attempt: 0,
                    bytes,
                    foreign: proposed.is_some(),
                });
                model.accepted[kind as usize] += 1;
                model.set(id, Phase::Ready, start);
            }
            6..=8 => {}
            9..=12 => {
                let held = queue.paused || queue.executing() >= u64::from(queue.allowance);
                let allowed = if held { Vec::new() } else { model.allowed() };
                assert_eq!(queue.takeable(now) > 0, !allowed.is_empty());
                let taken = queue.take(now);
                assert_eq!(taken.is_some(), !allowed.is_empty());
                let Some(Taken { ticket, .. }) = taken else {
                    return;
                };
                assert!(
                    allowed.contains(&ticket.id),
                    "{ticket:?} was handed out, not one of {allowed:?}"
                );
                model.get(ticket.id).unwrap().attempt += 1;
                model.set(ticket.id, Phase::Running, model.now);
                model.tickets.push_front(ticket);
            }
            13 => {
                let Some(ticket) = ticket else { return };
                let untaken = queue.untake(ticket, now);
                assert_eq!(untaken.is_some(), model.holds(ticket, Phase::Running));
                if let Some(ticket) = untaken {
                    model.get(ticket.id).unwrap().attempt -= 1;
                    model.set(ticket.id, Phase::Failed, model.now);
                    model.tickets.push_front(ticket);
                }
            }
            14 | 15 => {
                let Some(ticket) = ticket else { return };
                let result = Payload::new("r".repeat(amount as usize)).unwrap();
                let counted = queue.succeed(ticket, Some(result), now).is_some();
                assert_eq!(counted, model.holds(ticket, Phase::Running));
                if counted {
                    model.finish(ticket.id, Phase::Succeeded, amount + 2);
                }
            }
            16 | 17 => {
                let Some(ticket) = ticket else { return };
                assert_eq!(
                    queue.fail(ticket, now).is_some(),
                    model.holds(ticket, Phase::Running)
                );
                if model.holds(ticket, Phase::Running) {
                    model.set(ticket.id, Phase::Failed, model.now);
                }
            }
            18 | 19 => {
                let Some(ticket) = ticket else { return };
                let at = model.now + if what == 18 { 0 } else { amount };
                assert_eq!(
                    queue.retry(ticket, Time(at), now).is_some(),
                    model.holds(ticket, Phase::Failed)
                );
                if model.holds(ticket, Phase::Failed) {
                    model.set(ticket.id, Phase::Ready, at);
                }
            }
            20 => {
                let Some(ticket) = ticket else { return };
                assert_eq!(
                    queue.bury(ticket, now).is_some(),
                    model.holds(ticket, Phase::Failed)
                );
                if model.holds(ticket, Phase::Failed) {
                    model.finish(ticket.id, Phase::Dead, 0);
                }
            }
            21 => {
                let Some(id) = id else { return };
                let phase = model.get(id).unwrap().phase;
                let cancelled = queue.cancel(id, now);
                assert_eq!(
                    cancelled.is_some(),
                    matches!(phase, Phase::Ready | Phase::Delayed | Phase::Running)
                );
                if let Some((running, payload)) = cancelled {
                    assert_eq!(
                        (running.is_some(), payload.is_some()),
                        (phase == Phase::Running, true)
                    );
                    model.finish(id, Phase::Cancelled, 0);
                }
            }
            22 => {
                let Some(id) = id else { return };
                let waits = matches!(model.get(id).unwrap().phase, Phase::Ready | Phase::Delayed);
                let withdrawn = queue.withdraw(id, now);
                assert_eq!(withdrawn.is_some(), waits);
                if let Some(ticket) = withdrawn {
                    model.set(id, Phase::Failed, model.now);
                    model.tickets.push_front(ticket);
                }
            }
            23 => {
                let budget = if whom % 2 == 0 { u32::MAX } else { 1 };
                queue.expire(now, budget);
                model.expire(budget.min(1_000));
            }
            24 => queue.paused = whom % 4 == 0,
            25 => {
                queue.allowance = if whom % 2 == 0 {
                    u32::MAX
                } else {
                    amount as u32
                }
            }
            _ => model.now += amount,
        }
        model.tickets.truncate(8);
    }

    fn agree(queue: &mut Queue, model: &Model) {
        assert_eq!(queue.event_ledger, model.ledger(InvocationType::Event));
        assert_eq!(
            queue.call_ledger,
            model.ledger(InvocationType::RequestResponse)
        );
        for ledger in [queue.event_ledger, queue.call_ledger] {
            assert_eq!(
                ledger.accepted,
                ledger.succeeded + ledger.dead + ledger.cancelled + ledger.pending()
            );
        }
        assert_eq!(queue.pending() as usize, model.pending().count());
        assert_eq!(
            queue.pending_bytes(),
            model.pending().map(|known| known.bytes).sum::<u64>()
        );
        let due = model
            .known
            .iter()
            .filter(|known| known.phase == Phase::Delayed)
            .map(|known| Time(known.at))
            .min();
        assert_eq!(queue.next_due(), due);
        for known in &model.known {
            let (_, slot) = queue
                .get(known.id)
                .expect("what is pending or retained is known");
            assert_eq!(
                (slot.id, slot.phase, slot.attempt, slot.at),
                (known.id, known.phase, known.attempt, Time(known.at))
            );
        }
        assert!(
            model.forgotten.iter().all(|&id| queue.get(id).is_none()),
            "what is forgotten is unknown"
        );
        assert_eq!(
            queue.foreign.len(),
            model.known.iter().filter(|known| known.foreign).count()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_happens_in_any_order_every_event_is_in_one_place(steps in prop::collection::vec((0..28_u8, any::<u16>(), 0..12_u64), 0..300)) {
            let (mut queue, mut model) = (queue(), Model::default());
            for one in steps {
                step(&mut queue, &mut model, one);
                agree(&mut queue, &model);
            }
            // Whatever was left is handed out once each, and nothing stays behind.
            (queue.paused, queue.allowance) = (false, u32::MAX);
            model.now += 1_000;
            while let Some(taken) = queue.take(Time(model.now)) {
                prop_assert!(queue.succeed(taken.ticket, None, Time(model.now)).is_some());
                prop_assert!(queue.succeed(taken.ticket, None, Time(model.now)).is_none());
            }
            prop_assert_eq!(queue.event_ledger.ready + queue.event_ledger.delayed, 0);
            queue.expire(Time(model.now), u32::MAX);
            prop_assert!(queue.finished.len() as u32 <= RETENTION.events_max && queue.finished_bytes <= RETENTION.bytes_max);
        }
    }

    #[test]
    fn delayed_events_that_were_cancelled_leave_nothing_behind() {
        let mut queue = queue();
        for _ in 0..10_000 {
            let id = queue
                .admit(entry(InvocationType::Event, None, 0, 1 << 40), 7, Time(0))
                .unwrap();
            assert!(queue.cancel(id, Time(0)).is_some());
        }
        assert!(
            queue.delayed.len() < 100,
            "{} stale entries",
            queue.delayed.len()
        );
    }

    #[test]
    fn the_heap_of_delayed_events_shrinks_once_they_ran() {
        let mut queue = Queue::new(
            3,
            Bounds {
                events_max: 10_000,
                bytes_max: 1 << 20,
                window: 1_000,
            },
            RETENTION,
        );
        for start in 1..=10_000 {
            queue
                .admit(
                    entry(InvocationType::Event, None, 0, start),
                    u128::from(start),
                    Time(0),
                )
                .unwrap();
        }
        let full = queue.delayed.capacity();
        for _ in 0..10_000 {
            let taken = queue.take(Time(10_000)).unwrap();
            queue.succeed(taken.ticket, None, Time(10_000)).unwrap();
        }
        assert!(
            queue.delayed.capacity() < full / 8,
            "{} of {full}",
            queue.delayed.capacity()
        );
    }

    #[test]
    fn an_attempt_of_an_earlier_event_with_the_same_proposed_id_is_fenced_off() {
        let mut queue = queue();
        let id = foreign(1);
        let propose = |queue: &mut Queue| {
            let proposed = entry(InvocationType::Event, Some(id), 0, 0);
            assert_eq!(queue.admit(proposed, 0, Time(0)).ok(), Some(id));
            queue.take(Time(0)).unwrap().ticket
        };
        let old = propose(&mut queue);
        queue.cancel(id, Time(0)).unwrap();
        queue.expire(queue.next_expiry().unwrap(), 1);
        let new = propose(&mut queue);
        assert_eq!(
            (old.id, old.slot, old.attempt),
            (new.id, new.slot, new.attempt)
        );
        assert!(queue.succeed(old, None, Time(0)).is_none());
        assert!(queue.succeed(new, None, Time(0)).is_some());
    }

    #[test]
    fn an_event_with_a_proposed_id_is_found_until_it_is_forgotten() {
        let mut queue = queue();
        let id = foreign(1);
        assert_eq!(
            queue
                .admit(entry(InvocationType::Event, Some(id), 0, 0), 0, Time(0))
                .ok(),
            Some(id)
        );
        let again = queue.admit(entry(InvocationType::Event, Some(id), 0, 0), 0, Time(0));
        assert_eq!(again.unwrap_err().why, Unadmitted::RequestIdTaken);
        let taken = queue.take(Time(0)).unwrap();
        queue.succeed(taken.ticket, None, Time(0)).unwrap();
        assert_eq!(
            queue.get(id).map(|(_, slot)| slot.phase),
            Some(Phase::Succeeded)
        );
        assert!(queue.forgotten.is_empty());
        queue.expire(queue.next_expiry().unwrap(), 1);
        assert!(queue.get(id).is_none() && queue.foreign.is_empty());
        assert_eq!(std::mem::take(&mut queue.forgotten), [id]);
        assert_eq!(
            queue
                .admit(entry(InvocationType::Event, Some(id), 0, 0), 0, Time(0))
                .ok(),
            Some(id)
        );
    }
}
