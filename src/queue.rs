//! The state machine of one function's mailbox: what is ready, delayed, running, finished.
//!
//! ```text
//!            admit                take                 succeed
//!   ┌───────────┬──────▶ Ready ──────────▶ Running ───────────────▶ Succeeded ─┐
//!   │ reserve   │          ▲ ▲                │ ▲ fence by attempt             │ retained for
//!   ▼           ▼          │ └─ due ─ Delayed │ │                              │ a while, then
//! Reserved ─ confirm ──────┘             ▲    │ └─────── retry ───────┐        │ the slot is free
//!   │                                    │    ├─ fail ─▶ Failed ──────┤        │
//!   └─ release ─▶ (nothing was there)    └────┴── retry later ────────┘        │
//!                                                     bury │                   │
//!            cancel, from any of these ──▶ Cancelled       └────▶ Dead ────────┘
//! ```
//!
//! Pure: no locks, no clock, no actors. Everything here is O(1) per event, or O(log n) in the number of
//! delayed ones. `accepted = succeeded + dead + cancelled + pending` holds after every method.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use serde::Serialize;

use crate::event::{InvocationType, RequestId, Side};
use crate::payload::Payload;
use crate::settings::Retention;
use crate::slab::{NONE, Slab};
use crate::time::Time;

/// Names one attempt of one event. A ticket whose attempt is over opens nothing: that is the fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) id: RequestId,
    pub(crate) slot: u32,
    pub(crate) attempt: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being stored; the caller has no receipt yet.
    Reserved,
    Ready,
    Delayed,
    Running,
    /// Its attempt failed and the supervisor or the dead-letter queue has it in hands.
    Failed,
    Succeeded,
    Dead,
    Cancelled,
}

impl Phase {
    pub(crate) fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Cancelled)
    }
}

/// An event in the mailbox, or what is remembered of one that finished.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: RequestId,
    /// The payload while it is pending, the result once it succeeded.
    pub(crate) body: Option<Payload>,
    pub(crate) side: Option<Box<Side>>,
    pub(crate) accepted: Time,
    /// When the present phase began; for a delayed event, when it ends.
    pub(crate) at: Time,
    prev: u32,
    next: u32,
    /// Attempts that began.
    pub(crate) attempt: u32,
    pub(crate) phase: Phase,
    pub(crate) kind: InvocationType,
    pub(crate) hops: u8,
    foreign: bool,
}

/// An event at the door.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) payload: Payload,
    pub(crate) kind: InvocationType,
    pub(crate) hops: u8,
    pub(crate) side: Option<Box<Side>>,
    pub(crate) request_id: Option<RequestId>,
    /// When it may run first.
    pub(crate) start: Time,
}

/// What a worker is given to run.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) ticket: Ticket,
    pub(crate) payload: Payload,
    pub(crate) accepted: Time,
    pub(crate) hops: u8,
    pub(crate) kind: InvocationType,
    pub(crate) trace_header: Option<std::sync::Arc<str>>,
    pub(crate) event_age_max: Option<Duration>,
}

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
            Phase::Reserved => return None,
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
}

#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) events_max: u32,
    pub(crate) bytes_max: u64,
}

/// A doubly linked list through the slots.
#[derive(Debug)]
struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    const EMPTY: Self = Self { head: NONE, tail: NONE, len: 0 };

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
    finished: List,
    finished_bytes: u64,
    /// Events whose id the caller proposed: it doesn't say where they lie.
    foreign: HashMap<RequestId, u32>,
    /// Ids of foreign events that are forgotten, for whoever keeps an index of them.
    pub(crate) forgotten: Vec<RequestId>,
    pending: u32,
    pending_bytes: u64,
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
            finished: List::EMPTY,
            finished_bytes: 0,
            foreign: HashMap::new(),
            forgotten: Vec::new(),
            pending: 0,
            pending_bytes: 0,
            failed: 0,
            bounds,
            retention,
            event_ledger: Ledger::default(),
            call_ledger: Ledger::default(),
            paused: false,
            allowance: u32::MAX,
        }
    }

    /// Keeps a place for `entry` while it is stored; `confirm` or `release` must follow.
    pub(crate) fn reserve(&mut self, entry: Entry, random: u128, now: Time) -> Result<RequestId, Unadmitted> {
        self.place(entry, random, now).map(|slot| self.slots[slot].id)
    }

    /// Takes `entry` in. Ready at once unless it starts later.
    pub(crate) fn admit(&mut self, entry: Entry, random: u128, now: Time) -> Result<RequestId, Unadmitted> {
        let slot = self.place(entry, random, now)?;
        self.accept(slot, now);
        Ok(self.slots[slot].id)
    }

    fn place(&mut self, entry: Entry, random: u128, now: Time) -> Result<u32, Unadmitted> {
        let Entry { payload, kind, hops, side, request_id, start } = entry;
        let bytes = payload.size() as u64;
        if self.pending >= self.bounds.events_max {
            return Err(Unadmitted::EventsMax);
        }
        if self.pending_bytes + bytes > self.bounds.bytes_max {
            return Err(Unadmitted::BytesMax);
        }
        if request_id.is_some_and(|id| self.find(id).is_some()) {
            return Err(Unadmitted::RequestIdTaken);
        }
        let number = self.number;
        let slot = self.slots.insert_with(|index| Slot {
            id: request_id.unwrap_or_else(|| RequestId::new(number, index, random)),
            body: Some(payload),
            side,
            accepted: now,
            at: start,
            prev: NONE,
            next: NONE,
            attempt: 0,
            phase: Phase::Reserved,
            kind,
            hops,
            foreign: request_id.is_some(),
        });
        if let Some(id) = request_id {
            self.foreign.insert(id, slot);
        }
        self.pending += 1;
        self.pending_bytes += bytes;
        Ok(slot)
    }

    /// The reserved event is stored: it may run.
    pub(crate) fn confirm(&mut self, id: RequestId, now: Time) {
        if let Some(slot) = self.find(id).filter(|&slot| self.slots[slot].phase == Phase::Reserved) {
            self.accept(slot, now);
        }
    }

    /// The reserved event could not be stored: it never was.
    pub(crate) fn release(&mut self, id: RequestId) -> Option<Payload> {
        let slot = self.find(id).filter(|&slot| self.slots[slot].phase == Phase::Reserved)?;
        let body = self.leave_pending(slot);
        self.forget(slot);
        body
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
            ticket: Ticket { id: slot.id, slot: index, attempt: slot.attempt },
            payload: slot.body.clone()?,
            accepted: slot.accepted,
            hops: slot.hops,
            kind: slot.kind,
            trace_header: slot.side.as_ref().and_then(|side| side.trace_header.clone()),
            event_age_max: slot.side.as_ref().and_then(|side| side.event_age_max),
        })
    }

    /// The attempt did not take place after all: the event is failed without it.
    pub(crate) fn untake(&mut self, ticket: Ticket, now: Time) -> Option<Ticket> {
        let slot = self.fenced(ticket, Phase::Running)?;
        self.enter(slot, Phase::Failed, now);
        self.slots[slot].attempt -= 1;
        Some(Ticket { attempt: ticket.attempt - 1, ..ticket })
    }

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
            let current = self.slots.get(due.slot).is_some_and(|slot| slot.phase == Phase::Delayed && slot.at == due.at);
            if current {
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
        let due = if due == 1 { self.event_ledger.delayed.max(1) } else { 0 };
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

    pub(crate) fn pending(&self) -> u32 {
        self.pending
    }

    pub(crate) fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// The slot of the attempt, if that attempt still counts.
    fn fenced(&self, ticket: Ticket, phase: Phase) -> Option<u32> {
        let slot = self.slots.get(ticket.slot)?;
        (slot.id == ticket.id && slot.attempt == ticket.attempt && slot.phase == phase).then_some(ticket.slot)
    }

    /// The attempt succeeded. Gives the payload back, to be dropped outside of any lock; `None` if the attempt was
    /// superseded, in which case its result counts for nothing.
    pub(crate) fn succeed(&mut self, ticket: Ticket, result: Option<Payload>, now: Time) -> Option<Payload> {
        let slot = self.fenced(ticket, Phase::Running)?;
        self.finish(slot, Phase::Succeeded, result, now)
    }

    /// The attempt failed: the supervisor decides. `None` if it was superseded.
    pub(crate) fn fail(&mut self, ticket: Ticket, now: Time) -> Option<&mut Slot> {
        let slot = self.fenced(ticket, Phase::Running)?;
        self.enter(slot, Phase::Failed, now);
        Some(&mut self.slots[slot])
    }

    /// The failed event runs again at `at`.
    pub(crate) fn retry(&mut self, ticket: Ticket, at: Time, now: Time) -> bool {
        let Some(slot) = self.fenced(ticket, Phase::Failed) else { return false };
        self.schedule(slot, at, now);
        true
    }

    /// The failed event is in the dead-letter queue, or its caller knows: it is over.
    pub(crate) fn bury(&mut self, ticket: Ticket, now: Time) -> Option<Payload> {
        let slot = self.fenced(ticket, Phase::Failed)?;
        self.finish(slot, Phase::Dead, None, now)
    }

    /// Takes an event that waits out of the lists, for a decision that needs no attempt.
    pub(crate) fn withdraw(&mut self, id: RequestId, now: Time) -> Option<Ticket> {
        let slot = self.find(id)?;
        self.unlink_waiting(slot)?;
        self.enter(slot, Phase::Failed, now);
        Some(Ticket { id, slot, attempt: self.slots[slot].attempt })
    }

    /// Any event that waits, for withdrawing them all; calls first.
    pub(crate) fn any_waiting(&mut self) -> Option<RequestId> {
        let ready = [self.calls.head, self.events.head].into_iter().find(|&head| head != NONE);
        let slot = ready.or_else(|| self.first_delayed().map(|due| due.slot))?;
        Some(self.slots[slot].id)
    }

    /// A call that waits, if any.
    pub(crate) fn first_call(&self) -> Option<RequestId> {
        (self.calls.head != NONE).then(|| self.slots[self.calls.head].id)
    }

    fn unlink_waiting(&mut self, slot: u32) -> Option<()> {
        match (self.slots[slot].phase, self.slots[slot].kind) {
            (Phase::Ready, InvocationType::Event) => self.events.unlink(&mut self.slots, slot),
            (Phase::Ready, InvocationType::RequestResponse) => self.calls.unlink(&mut self.slots, slot),
            (Phase::Delayed, _) => {} // its entry in the heap is stale from here on
            _ => return None,
        }
        Some(())
    }

    /// Ends a pending event. Answers the ticket of the attempt that was running, if one was.
    pub(crate) fn cancel(&mut self, id: RequestId, now: Time) -> Option<(Option<Ticket>, Option<Payload>)> {
        let slot = self.find(id)?;
        let entry = &self.slots[slot];
        let running = match entry.phase {
            Phase::Running => Some(Ticket { id, slot, attempt: entry.attempt }),
            Phase::Ready | Phase::Delayed => None,
            // A failed event is in somebody's hands and about to be decided; a finished one is over.
            _ => return None,
        };
        let _ = self.unlink_waiting(slot);
        Some((running, self.finish(slot, Phase::Cancelled, None, now)))
    }

    fn finish(&mut self, slot: u32, phase: Phase, result: Option<Payload>, now: Time) -> Option<Payload> {
        self.enter(slot, phase, now);
        let payload = self.leave_pending(slot);
        self.finished_bytes += result.as_ref().map_or(0, Payload::size) as u64;
        self.slots[slot].body = result;
        self.finished.push(&mut self.slots, slot);
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
            let oldest = self.finished.head;
            if oldest == NONE || !self.beyond_retention(oldest, now) {
                break;
            }
            self.finished.unlink(&mut self.slots, oldest);
            self.finished_bytes -= self.slots[oldest].body.as_ref().map_or(0, Payload::size) as u64;
            self.forget(oldest);
        }
    }

    fn beyond_retention(&self, slot: u32, now: Time) -> bool {
        self.finished.len > self.retention.events_max
            || self.finished_bytes > self.retention.bytes_max
            || now.since(self.slots[slot].at) > self.retention.age_max
    }

    /// When the oldest finished event is to be forgotten.
    pub(crate) fn next_expiry(&self) -> Option<Time> {
        (self.finished.head != NONE).then(|| {
            let beyond = self.retention.age_max + Duration::from_nanos(1);
            self.slots[self.finished.head].at.after(beyond)
        })
    }

    fn forget(&mut self, slot: u32) {
        let slot = self.slots.remove(slot);
        if slot.foreign {
            self.foreign.remove(&slot.id);
            self.forgotten.push(slot.id);
        }
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
        self.slots.iter(from).filter(|(_, slot)| slot.phase != Phase::Reserved)
    }

    /// When the event that has waited longest became ready.
    pub(crate) fn oldest_ready(&self) -> Option<Time> {
        let at = |head: u32| (head != NONE).then(|| self.slots[head].at);
        [at(self.calls.head), at(self.events.head)].into_iter().flatten().min()
    }
}
