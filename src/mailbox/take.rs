//! A worker's place at the mailbox, and its turn: settle the one event, take the next, under one lock.
//!
//! Whatever way the worker ends, dropping the seat gives back what it had. Which place is in what state is for
//! `mailbox/workers.rs` to know.

use std::sync::Arc;
use std::task::Waker;

use super::{Deferred, Inner, Mailbox, Wake};
use crate::base::time::Time;
use crate::event::dead_letter::{Condition, DeadLetter};
use crate::event::failure::{Failure, FailureKind};
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::function::context::WorkerContext;
use crate::function::crash_loop::Crash;
use crate::function::live_settings::Rules;
use crate::function::retry::{self, DueEvent, EarlierFailures};
use crate::mailbox::supervisor_message::{FailedAttempt, SupervisorMessage};
use crate::mailbox::workers::TurnStart;
use crate::queue::Rescheduled;
use crate::queue::entry::{Taken, Ticket};

/// A worker's place at the mailbox. Whatever way the worker ends, dropping the seat gives back what it had.
pub(crate) struct WorkerHandle {
    mailbox: Arc<Mailbox>,
    index: u32,
    worker_context: Arc<WorkerContext>,
}

/// What a worker does next.
pub(crate) enum Turn {
    /// Run this; `run` is its number among the seat's runs, by which it can be given up.
    Run { taken: Taken, run: u64 },
    /// Nothing to do yet: look again soon.
    PollAgain,
    /// Nothing to do: it will be woken.
    Idle,
    /// Go away.
    Stop,
}

/// How a worker works.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum WorkerMode {
    /// It sleeps when it finds nothing.
    Normal,
    /// Its runs are quick, one after the other: nobody else is needed as long as it copes. It sleeps when it finds nothing.
    Fast,
    /// As brisk; when it finds nothing it looks again soon, for being woken costs more than a look.
    FastPolling,
}

/// Ready events beyond which a brisk worker gets help.
const BACKLOG: u32 = 1_024;

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
    doomed: Vec<(Ticket, DeadLetter)>,
    /// Some came before their time by the wall clock.
    is_early: bool,
    /// Those of them that wait in the store.
    parked: Vec<(RequestId, Time)>,
}

impl WorkerHandle {
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(crate) fn worker_context(&self) -> &Arc<WorkerContext> {
        &self.worker_context
    }

    /// Says how to wake the worker; must come before its first turn.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let waker = waker.clone();
        self.mailbox.lock().workers.wakes(self.index, waker);
    }

    /// Settles what was done, takes what comes next.
    pub(crate) fn turn(
        &self,
        done: Option<SucceededRun>,
        pace: WorkerMode,
        now: Time,
    ) -> (Turn, Option<Payload>) {
        self.mailbox.turn(self.index, done, pace, now)
    }

    /// Has anything come since the last look? It is a guess: now and then a look must be taken anyway.
    #[inline]
    pub(crate) fn may_have_work(&self) -> bool {
        self.mailbox.intake.is_stirred()
    }

    /// What runs takes longer than expected: nobody shall wait for this worker.
    pub(crate) fn report_slow(&self) {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.lock();
        if !inner.workers.slow(self.index) {
            return;
        }
        let now = mailbox.clock.now();
        let mut wake = inner.rouse(mailbox.rules(), now);
        wake += mailbox.publish(&mut inner, now);
        drop(inner);
        mailbox.wake(wake);
    }

    /// Settles what was done before anything is taken. Gives its payload back, if it still counted.
    pub(crate) fn settle(&self, done: SucceededRun, now: Time) -> Option<Payload> {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.lock();
        inner.workers.end(self.index);
        let (payload, attend) = inner.complete(done, mailbox.settings(), mailbox.name(), now);
        let attend = attend && !std::mem::replace(&mut inner.summoned, true);
        inner.check_drained();
        drop(inner);
        if attend {
            mailbox.notify(SupervisorMessage::Reconcile);
        }
        payload
    }

    /// Hands a failed attempt to the supervisor.
    pub(crate) fn failed(&self, failed: FailedAttempt) {
        let mut inner = self.mailbox.lock();
        // The attempt is the supervisor's from here on, not this seat's.
        inner.workers.end(self.index);
        let crash = failed.failure.kind == FailureKind::Panic;
        inner.restarts.failed();
        let attend = !crash
            && inner.survived(self.mailbox.settings(), self.mailbox.name())
            && !inner.summoned;
        inner.summoned |= attend;
        drop(inner);
        if crash {
            self.report_slow();
            let crash = Crash::Run;
            self.mailbox.crashed(crash, &failed.failure, failed.ended);
        }
        self.mailbox
            .notify(SupervisorMessage::Failed(Box::new(failed)));
        if attend {
            self.mailbox.notify(SupervisorMessage::Reconcile);
        }
    }

    /// The attempt was given up from outside; nothing is to be settled.
    pub(crate) fn aborted(&self) {
        self.mailbox.lock().workers.end(self.index);
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.lock();
        let left = inner.workers.leave(self.index);
        let attend = !std::mem::replace(&mut inner.summoned, true);
        inner.check_drained();
        drop(inner);
        if let Some((ticket, started)) = left.run {
            let ended = mailbox.clock.now();
            let failure = Failure::worker_lost();
            if !left.retired {
                mailbox.lock().restarts.failed();
                mailbox.crashed(Crash::Run, &failure, ended);
            }
            mailbox.notify(SupervisorMessage::Failed(Box::new(FailedAttempt {
                ticket,
                failure,
                started,
                ended,
                logged: false,
            })));
        }
        if attend {
            mailbox.notify(SupervisorMessage::Reconcile);
        }
    }
}

impl Mailbox {
    /// A seat for a new worker on the arbiter with this serial number.
    pub(crate) fn register_worker(
        self: &Arc<Self>,
        worker_context: Arc<WorkerContext>,
        arbiter: u64,
    ) -> WorkerHandle {
        let index = self.lock().workers.take(worker_context.clone(), arbiter);
        WorkerHandle {
            mailbox: self.clone(),
            index,
            worker_context,
        }
    }

    /// Adds the stored events that come next, at most so many: up to one that is to run alone.
    pub(crate) fn upcoming(&self, events: &mut impl Extend<RequestId>, max: usize) {
        events.extend(self.lock_as_is().queue.upcoming().take(max));
    }

    /// Settles what the worker did and hands out what it does next. Answers whether the run that was `done` still
    /// counted, and gives its payload back.
    fn turn(
        &self,
        index: u32,
        done: Option<SucceededRun>,
        pace: WorkerMode,
        now: Time,
    ) -> (Turn, Option<Payload>) {
        let rules = self.rules();
        let mut passed = Skipped::default();
        let mut inner = self.lock_as_is();
        let (payload, mut attend) = match done {
            Some(done) => inner.complete(done, rules.registered, self.name(), now),
            None => (None, false),
        };
        let turn = loop {
            if !inner.queue.has_events() && self.intake.is_stirred() {
                self.intake.calm();
                self.bring_in(&mut inner, false);
            }
            let turn = inner.next(index, pace, now, self, &mut passed);
            if !matches!(turn.0, Turn::Idle) || self.settle_down(&mut inner) {
                break turn;
            }
            self.bring_in(&mut inner, false);
        };
        let mut wake = Wake::default();
        match turn.0 {
            Turn::Idle => attend |= inner.wants_timer(),
            Turn::Run { .. } if inner.wants_help(pace, turn.1, now) => {
                wake.waker = inner.workers.wake_idle(now);
                attend |= wake.waker.is_none()
                    && inner.workers.live() < rules.live_settings.concurrency();
            }
            _ => {}
        }
        attend |= inner.wants_look(now) || inner.is_hungry(now);
        attend |= passed.is_early && inner.wants_timer();
        wake.attend = attend && !inner.summoned;
        inner.summoned |= attend;
        wake += self.publish(&mut inner, now);
        inner.check_drained();
        drop(inner);
        self.wake(wake);
        if !passed.doomed.is_empty() {
            self.notify(SupervisorMessage::DeadLetters(passed.doomed));
        }
        if !passed.parked.is_empty() {
            self.notify(SupervisorMessage::Spilled(passed.parked));
        }
        (turn.0, payload)
    }
}

impl Inner {
    /// Is the next worker to be woken for what this one leaves behind?
    #[inline]
    fn wants_help(&self, pace: WorkerMode, searched: bool, now: Time) -> bool {
        let wanted = match pace {
            // It searched and found: if it leaves work behind, the next one searches.
            WorkerMode::Normal => searched && self.queue.has_ready(),
            WorkerMode::Fast | WorkerMode::FastPolling => self.queue.ready() > BACKLOG,
        };
        wanted && !self.workers.is_searched(now)
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
        retry::before_attempt(&due, age_max, failures, now)
    }

    fn earlier_failures(&self, ticket: Ticket, rules: Rules<'_>) -> Option<EarlierFailures> {
        let slot = self.queue.get(ticket.id).map(|(_, slot)| slot);
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

    /// The event's time has come, but not by the wall clock, which was set back: it waits on.
    fn postpone(&mut self, taken: Taken, at: Time, now: Time, passed: &mut Skipped) {
        passed.is_early = true;
        if let Some(Rescheduled::Spilled(payload)) = self.queue.postpone(taken.ticket, at, now) {
            self.later.extend(payload.map(Deferred::Payload));
            passed.parked.push((taken.ticket.id, at));
        }
        self.later.extend(taken.payload.map(Deferred::Payload));
    }

    /// What the worker does next, and whether it was searching. Events that turn out not to run now go to `passed`.
    fn next(
        &mut self,
        index: u32,
        pace: WorkerMode,
        now: Time,
        mailbox: &Mailbox,
        passed: &mut Skipped,
    ) -> (Turn, bool) {
        let rules = mailbox.rules();
        let TurnStart { searched, retired } = self.workers.ask(index);
        // There may be more workers than are wanted by now.
        if retired || self.workers.live() > rules.live_settings.concurrency() {
            return (Turn::Stop, searched);
        }
        while let Some(taken) = self.queue.take(now) {
            if let Some(wall) = taken.not_before
                && let Some(at) = mailbox.clock.until(wall)
            {
                self.postpone(taken, at, now, passed);
                continue;
            }
            if let Some(condition) = self.is_over(&taken, now, rules) {
                if let Some(ticket) = self.queue.untake(taken.ticket, now) {
                    let letter = mailbox.letter(self, ticket, condition, now);
                    passed.doomed.push((ticket, letter));
                }
                continue;
            }
            self.meters.concurrent_executions_max = self
                .meters
                .concurrent_executions_max
                .max(self.queue.executing());
            let brisk = pace != WorkerMode::Normal;
            let run = self.workers.begin(index, taken.ticket, brisk, now);
            return (Turn::Run { taken, run }, searched);
        }
        // What is ready and may not be taken is not worth waiting for.
        if pace == WorkerMode::FastPolling && !self.queue.has_ready() {
            self.workers.search(index, now);
            return (Turn::PollAgain, searched);
        }
        self.workers.wait(index, now);
        (Turn::Idle, searched)
    }
}
