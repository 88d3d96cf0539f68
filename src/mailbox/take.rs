//! A worker's turn: it settles the run that succeeded and takes the next event, under one lock.
//!
//! An event that was taken may turn out not to run now: too old, out of retries, or too early by the wall clock. It is
//! skipped, and the next one is taken. Which worker is in which state, `mailbox/workers.rs` knows.

use super::{Inner, Mailbox};
use crate::base::time::Time;
use crate::event::dead_letter::{Condition, DeadLetter};
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::function::live_settings::Rules;
use crate::function::retry_decision::{self, DueEvent, EarlierFailures};
use crate::mailbox::deferred::Deferred;
use crate::mailbox::dispatch::Wakeups;
use crate::mailbox::grant::Grants;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::mailbox::wake::WorkerMode;
use crate::mailbox::workers::TurnStart;
use crate::queue::Rescheduled;
use crate::queue::entry::{Taken, Ticket};

/// What a worker does next.
pub(crate) enum Turn {
    /// Run this event; `run` is its number among the worker's runs, by which it can be given up.
    Run { taken: Taken, run: u64 },
    /// There is nothing to do yet: poll for a moment.
    PollAgain,
    /// There is nothing to do: sleep until woken.
    Idle,
    /// Go away.
    Stop,
}

/// A run that succeeded.
#[derive(Debug)]
pub(crate) struct SucceededRun {
    pub(crate) ticket: Ticket,
    pub(crate) first_due: Time,
    pub(crate) started: Time,
    pub(crate) result: Option<Payload>,
}

/// Events that a worker took and that don't run now.
#[derive(Default)]
struct Skipped {
    /// Too old, or out of retries.
    letters: Vec<(Ticket, DeadLetter)>,
    /// Some were too early by the wall clock.
    is_early: bool,
    /// Those of them that went to the overflow, and when they are due.
    spilled: Vec<(RequestId, Time)>,
}

impl Mailbox {
    pub(super) fn turn(
        &self,
        index: u32,
        succeeded: Option<SucceededRun>,
        mode: WorkerMode,
        now: Time,
    ) -> (Turn, Option<Payload>) {
        let rules = self.rules();
        let mut skipped = Skipped::default();
        let mut inner = self.lock_as_is();
        let (payload, mut supervisor) = match succeeded {
            Some(run) => inner.settle_success(run, rules.registered, self.name(), now),
            None => (None, false),
        };
        let (turn, searched) = self.take_next(&mut inner, index, mode, now, &mut skipped);
        let mut wakeups = match turn {
            Turn::Run { .. } => inner.wake_for_help(mode, searched, rules, now),
            _ => Wakeups::default(),
        };
        supervisor |= wakeups.supervisor;
        supervisor |= (matches!(turn, Turn::Idle) || skipped.is_early) && inner.needs_timer();
        supervisor |= inner.needs_recheck(now) || inner.can_load(now);
        wakeups.supervisor = inner.call_supervisor(supervisor);
        wakeups += self.publish(&mut inner, now);
        inner.check_drained();
        drop(inner);
        self.wake(wakeups);
        if !skipped.letters.is_empty() {
            self.notify(SupervisorMessage::DeadLetters(skipped.letters));
        }
        if !skipped.spilled.is_empty() {
            self.notify(SupervisorMessage::Spilled(skipped.spilled));
        }
        (turn, payload)
    }

    /// Returns what the worker does next, and whether it had been searching. It does not sleep on an event that has just
    /// arrived in the intake.
    #[inline]
    fn take_next(
        &self,
        inner: &mut Inner,
        index: u32,
        mode: WorkerMode,
        now: Time,
        skipped: &mut Skipped,
    ) -> (Turn, bool) {
        loop {
            if !inner.queue.table.has_events() && self.intake.is_signalled() {
                self.intake.clear_signal();
                self.enqueue_arrivals(inner, Grants::Renew);
            }
            let turn = inner.next(index, mode, now, self, skipped);
            if !matches!(turn.0, Turn::Idle) || self.prepare_sleep(inner) {
                return turn;
            }
            self.enqueue_arrivals(inner, Grants::Renew);
        }
    }
}

impl Inner {
    /// Returns what the worker does next, and whether it had been searching. Events that don't run now go to `skipped`.
    fn next(
        &mut self,
        index: u32,
        mode: WorkerMode,
        now: Time,
        mailbox: &Mailbox,
        skipped: &mut Skipped,
    ) -> (Turn, bool) {
        let rules = mailbox.rules();
        let TurnStart { searched, retired } = self.workers.begin_turn(index);
        // There may be more workers than are wanted by now.
        if retired || self.workers.live() > rules.live_settings.concurrency() {
            return (Turn::Stop, searched);
        }
        while let Some(taken) = self.queue.take(now) {
            if let Some(wall) = taken.not_before
                && let Some(at) = mailbox.clock.until(wall)
            {
                self.postpone(taken, at, now, skipped);
                continue;
            }
            if let Some(condition) = self.is_over(&taken, now, rules) {
                if let Some(ticket) = self.queue.untake(taken.ticket, now) {
                    let letter = mailbox.letter(self, ticket, condition, now);
                    skipped.letters.push((ticket, letter));
                }
                continue;
            }
            self.meters.concurrent_executions_max = self
                .meters
                .concurrent_executions_max
                .max(self.queue.counts.executing());
            let fast = mode != WorkerMode::Normal;
            let run = self.workers.begin_run(index, taken.ticket, fast, now);
            return (Turn::Run { taken, run }, searched);
        }
        // A ready event that may not be taken is not worth polling for.
        if mode == WorkerMode::FastPolling && !self.queue.table.has_ready() {
            self.workers.begin_search(index, now);
            return (Turn::PollAgain, searched);
        }
        self.workers.begin_idle(index, now);
        (Turn::Idle, searched)
    }

    /// The event is due, but not by the wall clock, which was set back: it waits on.
    fn postpone(&mut self, taken: Taken, at: Time, now: Time, skipped: &mut Skipped) {
        skipped.is_early = true;
        if let Some(Rescheduled::Spilled(payload)) = self.queue.postpone(taken.ticket, at, now) {
            self.deferred.extend(payload.map(Deferred::Payload));
            skipped.spilled.push((taken.ticket.id, at));
        }
        self.deferred.extend(taken.payload.map(Deferred::Payload));
    }

    /// Returns why an event that was to run is given up instead, by the rules that hold now (ASY-19).
    #[inline]
    fn is_over(&self, taken: &Taken, now: Time, rules: Rules<'_>) -> Option<Condition> {
        let due = DueEvent {
            invocation: taken.kind,
            attempt: taken.ticket.attempt,
            first_due: taken.first_due,
        };
        let age_max = || {
            let own = taken.meta.event_age_max;
            own.unwrap_or_else(|| rules.event_age_max(&taken.meta))
        };
        let failures = || self.earlier_failures(taken.ticket, rules);
        retry_decision::before_attempt(&due, age_max, failures, now)
    }

    fn earlier_failures(&self, ticket: Ticket, rules: Rules<'_>) -> Option<EarlierFailures> {
        let slot = self.queue.table.get(ticket.id).map(|(_, slot)| slot);
        let side = slot.and_then(|slot| slot.side.as_deref())?;
        let retries = match &side.meta.retry {
            Some(policy) => policy.retries(),
            None => rules.retry(&side.meta).retries(),
        };
        Some(EarlierFailures {
            uncounted: side.uncounted,
            retries,
        })
    }
}
