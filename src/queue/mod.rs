//! The state machine of one function's events: ready, delayed, running, finished.
//!
//! ```text
//!            admit                take                 succeed
//!   ──────────┬────────▶ Ready ──────────▶ Running ───────────────▶ Succeeded ─┐
//!             │            ▲ ▲                │ ▲ fenced by attempt            │ remembered for
//!             ▼            │ └─ due ─ Delayed │ │                              │ a while, then
//!         (overflow) ──────┘             ▲    │ └─────── retry ───────┐        │ the slot is free
//!            load                        │    ├─ fail ─▶ Failed ──────┤        │
//!                                        └────┴── retry later ────────┘        │
//!                                                     bury │                   │
//!            cancel, from any of these ──▶ Cancelled       └────▶ Dead ────────┘
//! ```
//!
//! Beyond a window, events that a store has are not here: they overflow, are counted here (`queue/overflow.rs`), and are
//! loaded when there is room (`queue/admit.rs` decides both).
//!
//! Pure: no locks, no clock, no actors. A method takes O(1) per event, or O(log n) in the number of delayed events.
//! `accepted = succeeded + dead + cancelled + pending` holds after every method. How events come in is in
//! `queue/admit.rs`, how they end in `queue/settle.rs`.

mod admit;
mod counts;
mod delayed;
pub(crate) mod entry;
mod event_table;
mod finished;
mod overflow;
mod ready;
mod settle;
mod slab;
#[cfg(test)]
mod tests;
mod volume;
mod waiting;

use crate::base::time::Time;
use crate::event::request_id::RequestId;
use crate::function::settings::Retention;
use crate::queue::counts::PhaseCounts;
use crate::queue::delayed::Due;
use crate::queue::entry::{Phase, Taken, Ticket};
use crate::queue::event_table::EventTable;
use crate::queue::finished::Finished;
use crate::queue::volume::Volume;

pub(crate) use admit::{NEVER, RefusalReason, RefusedEntry};
pub(crate) use settle::Rescheduled;
pub(crate) use volume::QueueBounds;

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) table: EventTable,
    pub(crate) volume: Volume,
    pub(crate) counts: PhaseCounts,
    pub(crate) finished: Finished,
    /// Nothing is taken while it is paused.
    pub(crate) paused: bool,
    /// Most events that may run at once, as far as the function's crashes are concerned.
    pub(crate) allowance: u32,
}

impl Queue {
    pub(crate) fn new(number: u32, bounds: QueueBounds, retention: Retention) -> Self {
        Self {
            table: EventTable::new(number),
            volume: Volume::new(bounds),
            counts: PhaseCounts::default(),
            finished: Finished::new(retention),
            paused: false,
            allowance: u32::MAX,
        }
    }

    // --- phases

    /// Makes an event ready if `at` has come, and delays it otherwise.
    fn schedule(&mut self, slot: u32, at: Time, now: Time) {
        if at <= now {
            self.enter(slot, Phase::Ready, now);
            self.table.push_ready(slot);
        } else {
            self.enter(slot, Phase::Delayed, at);
            let live = self.delayed_here();
            self.table.push_delayed(Due { at, slot }, live);
        }
    }

    /// The only place where an event changes its phase, so that the counts can't disagree.
    fn enter(&mut self, slot: u32, phase: Phase, at: Time) {
        let entry = &mut self.table[slot];
        let old = std::mem::replace(&mut entry.phase, phase);
        entry.at = at;
        self.counts.enter(entry.kind, old, phase);
    }

    /// Returns how many events are delayed here.
    fn delayed_here(&self) -> u64 {
        let overflow = self.volume.overflow.delayed;
        self.counts.delayed().saturating_sub(overflow)
    }

    // --- taking

    /// Takes the next event or call, if one may run now.
    pub(crate) fn take(&mut self, now: Time) -> Option<Taken> {
        if self.paused || self.counts.executing() >= u64::from(self.allowance) {
            return None;
        }
        let index = self.table.next(now, self.allowance == 1)?;
        self.enter(index, Phase::Running, now);
        let slot = &mut self.table[index];
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

    /// Takes back the attempt, which did not take place: the event is failed without it. Returns the ticket of the attempt
    /// before; `None` if the attempt was superseded.
    pub(crate) fn untake(&mut self, ticket: Ticket, now: Time) -> Option<Ticket> {
        let slot = self.table.fenced(ticket, Phase::Running)?;
        self.enter(slot, Phase::Failed, now);
        self.table[slot].attempt -= 1;
        Some(Ticket {
            attempt: ticket.attempt - 1,
            ..ticket
        })
    }

    /// Returns how many events could be taken now, at most: as soon as one delayed event is due, all of them count.
    pub(crate) fn takeable(&mut self, now: Time) -> u64 {
        if self.paused {
            return 0;
        }
        let is_due = self.table.next_due().is_some_and(|at| at <= now);
        let due = match is_due {
            true => self.delayed_here().max(1),
            false => 0,
        };
        let allowed = u64::from(self.allowance).saturating_sub(self.counts.executing());
        (u64::from(self.table.ready()) + due).min(allowed)
    }

    /// Returns an event or call that could run now if a worker took it; calls first.
    pub(crate) fn first_due(&mut self, now: Time) -> Option<RequestId> {
        match self.paused {
            true => None,
            false => self.table.first_due(now),
        }
    }

    /// Returns how much of the concurrency is in use: running events and calls, and the calls that are ready.
    pub(crate) fn occupied(&self) -> u64 {
        self.counts.executing() + u64::from(self.table.calls.len)
    }

    /// Forgets at most `budget` finished events that are beyond the retention.
    pub(crate) fn expire(&mut self, now: Time, budget: u32) {
        self.finished.expire(&mut self.table, now, budget);
    }

    /// Returns when the oldest finished event is to be forgotten.
    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.finished.next_expiry(&self.table)
    }
}
