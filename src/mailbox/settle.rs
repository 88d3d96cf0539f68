//! How events end: judging failures, burying, cancelling, and what success and failure do to the counts and the gate.
//!
//! Every transition is asked for with a ticket or an id, so whoever comes late changes nothing. Payloads that are no
//! longer needed are dropped once the lock is released. Letters are written here; keeping them is the dead-letter queue's.

use std::task::Waker;
use std::time::Duration;

use super::{Deferred, Inner, Mailbox, SucceededRun, Wake};
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::{Condition, DeadLetter, Letter};
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::function::crash_loop::{Crash, Gate};
use crate::function::retry::{self, RetryDecision};
use crate::function::settings::Settings;
use crate::mailbox::snapshot::EventOutcome;
use crate::mailbox::supervisor_message::{FailedAttempt, FailureOutcome, SupervisorMessage};
use crate::queue::Rescheduled;
use crate::queue::entry::Ticket;
use crate::telemetry;

/// An event that was cancelled, and what it leaves.
#[must_use = "whoever has to be woken for it is woken by `finish_cancel`"]
pub(crate) struct Cancelled {
    /// If the store has the event: when it was accepted.
    pub(crate) stored: Option<Time>,
    payload: Option<Payload>,
    /// The worker that ran it.
    aborted: Option<Waker>,
    wake: Wake,
}

impl Mailbox {
    /// Judges a failed attempt: again, or never, or not at all because it is over already.
    pub(crate) fn settle_failure(&self, failed: FailedAttempt, now: Time) -> FailureOutcome {
        let FailedAttempt {
            ticket,
            failure,
            started,
            ended,
            logged: _,
        } = failed;
        let rules = self.rules();
        let chance = self.clock.chance();
        let attempt = Attempt {
            number: ticket.attempt,
            started_at: self.clock.wall(started),
            duration: ended.since(started),
            failure,
        };
        let mut inner = self.lock();
        let removed = inner.removed;
        let Some(slot) = inner.queue.fail(ticket, now) else {
            inner.meters.superseded += 1;
            drop(inner);
            telemetry::superseded(self.name(), ticket.id, ticket.attempt);
            return FailureOutcome::Superseded;
        };
        let (kind, first_due) = (slot.kind, slot.first_due);
        let side = inner.queue.remember(ticket.slot, attempt.clone());
        side.uncounted += u32::from(!attempt.failure.counts());
        let uncounted = side.uncounted;
        let meta = &side.meta;
        let own = meta.retry.clone();
        let decision = retry::after_failure(
            &retry::FailedEvent {
                invocation: kind,
                policy: &own.unwrap_or_else(|| rules.retry(meta)),
                kind: attempt.failure.kind,
                directive: attempt.failure.directive,
                counted: ticket.attempt - side.uncounted,
                uncounted: side.uncounted,
                first_due,
                age_max: meta
                    .event_age_max
                    .unwrap_or_else(|| rules.event_age_max(meta)),
                removed,
                chance,
            },
            now,
        );
        inner.count_failure(&attempt, first_due, started);
        let (judgement, payload) = match decision {
            RetryDecision::FailCall => {
                let payload = inner.queue.bury(ticket, now);
                inner.tell_watchers(ticket.id, || EventOutcome::Failed(attempt.failure.clone()));
                (FailureOutcome::CallFailed, payload)
            }
            RetryDecision::RetryAt(at) => {
                let (parked, payload) = match inner.queue.retry(ticket, at, now) {
                    Some(Rescheduled::Spilled(payload)) => (true, payload),
                    _ => (false, None),
                };
                let retry = FailureOutcome::Retry {
                    attempt,
                    uncounted,
                    at,
                    parked,
                };
                (retry, payload)
            }
            RetryDecision::GiveUp(condition) => {
                let letter = self.letter(&inner, ticket, condition, now);
                (FailureOutcome::DeadLetter(ticket, letter), None)
            }
        };
        // What is to be retried is waiting again; and where few may run at once, another one may now.
        let wake = inner.rouse(rules, now);
        inner.check_drained();
        drop(inner);
        drop(payload);
        self.wake(wake);
        judgement
    }

    /// The dead-letter queue has the event: it is over here.
    pub(crate) fn bury(&self, ticket: Ticket, letter: &DeadLetter) {
        let mut inner = self.lock();
        if let Some(slot) = inner.queue.get_mut(ticket.id) {
            slot.side.get_or_insert_default().letter = Some(letter.clone());
        }
        let now = self.clock.now();
        let payload = inner.queue.bury(ticket, now);
        inner.tell_watchers(ticket.id, || EventOutcome::Dead(letter.clone()));
        inner.check_drained();
        drop(inner);
        drop(payload);
    }

    /// Takes a waiting event out, because it will not be tried (any more).
    pub(crate) fn dead_letter(
        &self,
        id: RequestId,
        condition: Condition,
    ) -> Option<(Ticket, DeadLetter)> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let ticket = inner.queue.withdraw(id, now)?;
        let letter = self.letter(&inner, ticket, condition, now);
        Some((ticket, letter))
    }

    /// Closes the mailbox for good: nothing starts any more, and whatever waits will not be tried again. At most `limit`
    /// events and calls at a time; answers whether there are more.
    pub(crate) fn remove(&self, limit: usize) -> (Vec<(Ticket, DeadLetter)>, bool) {
        let now = self.clock.now();
        let mut doomed = Vec::new();
        let mut inner = self.lock();
        inner.removed = true;
        for _ in 0..limit {
            let Some(id) = inner.queue.any_waiting() else {
                break;
            };
            let Some(ticket) = inner.queue.withdraw(id, now) else {
                break;
            };
            if inner.is_call(id) {
                let payload = inner.queue.bury(ticket, now);
                let watchers = inner.watchers.remove(&id);
                let watchers = watchers.into_iter().flatten().map(Deferred::Gone);
                inner
                    .later
                    .extend(payload.map(Deferred::Payload).into_iter().chain(watchers));
                continue;
            }
            let letter = self.letter(&inner, ticket, Condition::FunctionRemoved, now);
            doomed.push((ticket, letter));
        }
        (doomed, inner.queue.any_waiting().is_some())
    }

    /// No concurrency is reserved for the function: what may run now won't (ASY-27), and those who wait for an answer have
    /// it (ASY-28). At most `limit` events and calls at a time; answers whether there are more.
    pub(crate) fn dead_letter_due(
        &self,
        limit: usize,
        now: Time,
    ) -> (Vec<(Ticket, DeadLetter)>, bool) {
        let mut doomed = Vec::new();
        let mut inner = self.lock();
        for _ in 0..limit {
            let Some(id) = inner.queue.first_due(now) else {
                break;
            };
            let Some(ticket) = inner.queue.withdraw(id, now) else {
                break;
            };
            if inner.is_call(id) {
                inner.fail_call(ticket, &Failure::zero_concurrency(), &self.clock, now);
                continue;
            }
            let letter = self.letter(&inner, ticket, Condition::ZeroReservedConcurrency, now);
            doomed.push((ticket, letter));
        }
        inner.check_drained();
        (doomed, inner.queue.first_due(now).is_some())
    }

    /// Ends a pending event, the running attempt included, if there is one to end. `finish_cancel` must follow.
    pub(crate) fn cancel(&self, id: RequestId) -> Option<Cancelled> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let (_, slot) = inner.queue.get(id)?;
        let stored = slot.stored.then_some(slot.accepted);
        let (running, payload) = inner.queue.cancel(id, now)?;
        let waker = running.and_then(|ticket| inner.workers.abort(ticket));
        // Where few may run at once, another one may now.
        let wake = match running {
            Some(_) => inner.rouse(self.rules(), now),
            None => Wake::default(),
        };
        inner.tell_watchers(id, || EventOutcome::Cancelled);
        inner.check_drained();
        drop(inner);
        Some(Cancelled {
            stored,
            payload,
            aborted: waker,
            wake,
        })
    }

    /// Drops and wakes what a cancelled event had: that may run user code.
    pub(crate) fn finish_cancel(&self, cancelled: Cancelled) {
        drop(cancelled.payload);
        if let Some(waker) = cancelled.aborted {
            waker.wake();
        }
        self.wake(cancelled.wake);
    }

    /// If the function is held back: the failure that did it, for the callers that wait. At most `limit` calls at a time;
    /// answers whether there are more.
    pub(crate) fn fail_waiting_calls(&self, limit: usize, now: Time) -> bool {
        let mut inner = self.lock();
        let crashed = || inner.last_crash.as_deref().cloned();
        let failure = match inner.restarts.gate() {
            Gate::BackingOff(_) => crashed().unwrap_or_else(Failure::worker_lost),
            _ if inner.is_out_of_threads(self.settings()) => {
                Failure::threads_used_up(self.settings().abandoned_threads_max)
            }
            _ => return false,
        };
        for _ in 0..limit {
            let Some(id) = inner.queue.first_call() else {
                break;
            };
            let Some(ticket) = inner.queue.withdraw(id, now) else {
                break;
            };
            inner.fail_call(ticket, &failure, &self.clock, now);
        }
        inner.queue.first_call().is_some()
    }

    /// A worker of the function crashed. Decides at once whether the function is held back, so that no
    /// further attempt is burnt meanwhile.
    pub(crate) fn crashed(&self, crash: Crash, failure: &Failure, now: Time) {
        let settings = self.settings();
        let mut inner = self.lock();
        let before = inner.restarts.gate();
        let gate = inner.restarts.crashed(crash, &settings.restarts, now);
        inner.meters.restarts += 1;
        inner.last_crash = Some(Box::new(failure.clone()));
        let held = gate != before;
        inner.set_allowance(settings);
        inner.summoned |= held;
        drop(inner);
        if held {
            if let Gate::BackingOff(until) = gate {
                telemetry::backing_off(self.name(), until.since(now));
            }
            self.notify(SupervisorMessage::Reconcile);
        }
    }

    /// A handler did not let go of its thread for so long; the thread is abandoned.
    pub(crate) fn thread_blocked(&self, blocked: Duration, now: Time) {
        let most = self.settings().abandoned_threads_max;
        let mut inner = self.lock();
        inner.meters.arbiters_blocked += 1;
        inner.restarts.abandoned += 1;
        let abandoned = inner.restarts.abandoned;
        drop(inner);
        self.dedicate_arbiters(now);
        self.crashed(Crash::Blocked, &Failure::blocked(blocked), now);
        if abandoned == most {
            telemetry::threads_abandoned(self.name(), abandoned);
        }
    }

    /// The thread of a blocking handler runs on though its attempt was given up.
    pub(crate) fn thread_abandoned(&self) {
        let most = self.settings().abandoned_threads_max;
        let mut inner = self.lock();
        inner.restarts.abandoned += 1;
        let abandoned = inner.restarts.abandoned;
        inner.set_allowance(self.settings());
        inner.summoned = true;
        drop(inner);
        if abandoned == most {
            telemetry::threads_abandoned(self.name(), abandoned);
        }
        self.notify(SupervisorMessage::Reconcile);
    }

    /// A thread that was abandoned is done with what it was held for.
    pub(crate) fn thread_returned(&self) {
        let mut inner = self.lock();
        inner.restarts.abandoned = inner.restarts.abandoned.saturating_sub(1);
        inner.set_allowance(self.settings());
        inner.summoned = true;
        drop(inner);
        self.notify(SupervisorMessage::Reconcile);
    }

    /// What a waiting event that will not be tried again leaves behind.
    pub(super) fn letter(
        &self,
        inner: &Inner,
        ticket: Ticket,
        condition: Condition,
        now: Time,
    ) -> DeadLetter {
        let slot = inner.queue.get(ticket.id).map(|(_, slot)| slot);
        let side = slot.and_then(|slot| slot.side.as_deref());
        let accepted = slot.map_or(now, |slot| slot.accepted);
        let mut meta = side.map(|side| side.meta.clone()).unwrap_or_default();
        meta.make_mut().begin_trace(ticket.id, accepted);
        DeadLetter::new(Letter {
            request_id: ticket.id,
            function: self.name().clone(),
            payload: slot
                .and_then(|slot| slot.body.clone())
                .unwrap_or_else(Payload::null),
            condition,
            attempts: side.map(|side| side.attempts.clone()).unwrap_or_default(),
            attempt_count: ticket.attempt,
            accepted_at: self.clock.wall(accepted),
            died_at: self.clock.wall(now),
            meta,
            stored: ticket.stored,
        })
    }
}

impl Inner {
    /// Counts a success, if it still counts. Gives its payload back, and whether the supervisor should attend.
    #[inline]
    pub(super) fn complete(
        &mut self,
        done: SucceededRun,
        settings: &Settings,
        name: &FunctionName,
        now: Time,
    ) -> (Option<Payload>, bool) {
        let SucceededRun {
            ticket,
            first_due,
            started,
            result,
        } = done;
        let end = (!self.watchers.is_empty()).then(|| EventOutcome::Succeeded(result.clone()));
        let Some(payload) = self.queue.succeed(ticket, result, now) else {
            self.meters.superseded += 1;
            let (id, attempt) = (ticket.id, ticket.attempt);
            self.later
                .push(Deferred::Superseded(name.clone(), id, attempt));
            return (None, false);
        };
        let duration = now.since(started);
        self.meters.invocations += 1;
        self.meters.duration_total += duration;
        self.meters.duration.record(duration);
        self.meters.age.record(started.since(first_due));
        self.restarts.failures = 0;
        if let Some(end) = end {
            self.tell_watchers(ticket.id, || end.clone());
        }
        (Some(payload), self.survived(settings, name))
    }

    /// A run ended without a crash: that may open the gate again.
    #[inline]
    pub(super) fn survived(&mut self, settings: &Settings, name: &FunctionName) -> bool {
        let opened =
            self.restarts.gate() != Gate::Open && self.restarts.survived(&settings.restarts);
        if opened {
            self.set_allowance(settings);
            self.later.push(Deferred::Recovered(name.clone()));
        }
        opened
    }

    /// Have as many threads of the function been given up as may?
    pub(super) fn is_out_of_threads(&self, settings: &Settings) -> bool {
        self.restarts.abandoned >= settings.abandoned_threads_max
    }

    /// How many events may run at once, as far as the function's crashes are concerned.
    pub(super) fn set_allowance(&mut self, settings: &Settings) {
        let out_of_threads = self.is_out_of_threads(settings);
        self.queue.allowance = match self.restarts.gate() {
            _ if out_of_threads => 0,
            Gate::Open => u32::MAX,
            Gate::Probing => 1,
            Gate::BackingOff(_) => 0,
        };
    }

    fn count_failure(&mut self, attempt: &Attempt, first_due: Time, started: Time) {
        if attempt.failure.counts() {
            self.meters.invocations += 1;
            self.meters.errors += 1;
            self.meters.duration_total += attempt.duration;
            self.meters.duration.record(attempt.duration);
            self.meters.age.record(started.since(first_due));
        } else {
            self.meters.throttles += 1;
        }
    }

    fn is_call(&self, id: RequestId) -> bool {
        let slot = self.queue.get(id).map(|(_, slot)| slot);
        slot.is_some_and(|slot| slot.kind == InvocationType::RequestResponse)
    }

    /// A call that was withdrawn ends with this failure, and didn't run.
    fn fail_call(&mut self, ticket: Ticket, failure: &Failure, clock: &Clock, now: Time) {
        self.remember_failure(
            ticket,
            Attempt {
                number: ticket.attempt,
                started_at: clock.wall(now),
                duration: Duration::ZERO,
                failure: failure.clone(),
            },
        );
        let payload = self.queue.bury(ticket, now);
        self.later.extend(payload.map(Deferred::Payload));
        self.tell_watchers(ticket.id, || EventOutcome::Failed(failure.clone()));
    }

    pub(super) fn remember_failure(&mut self, ticket: Ticket, attempt: Attempt) {
        if let Some((slot, _)) = self.queue.get(ticket.id) {
            self.queue.remember(slot, attempt);
        }
    }
}
