//! How attempts end: success, failure, and the receipt of the dead-letter queue.
//!
//! Every transition names its event by a ticket or an id, so a late result changes nothing. Payloads that are no longer
//! needed are dropped once the lock is released. Whether a failed event runs again is decided in `function/retry_decision.rs`.

use super::{Inner, Mailbox};
use crate::base::time::Time;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::DeadLetter;
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::function::live_settings::Rules;
use crate::function::retry_decision::{self, FailedEvent, RetryDecision};
use crate::function::settings::Settings;
use crate::mailbox::deferred::Deferred;
use crate::mailbox::snapshot::EventOutcome;
use crate::mailbox::supervision::Supervision;
use crate::mailbox::supervisor_message::{FailedAttempt, FailureOutcome};
use crate::mailbox::take::SucceededRun;
use crate::queue::Rescheduled;
use crate::queue::entry::Ticket;
use crate::telemetry;

impl Supervision<'_> {
    /// Settles a failed attempt. Returns the consequence for its event: a retry, a dead letter, or nothing because a later
    /// attempt has begun or the event was cancelled.
    pub(crate) fn settle_failure(self, failed: FailedAttempt, now: Time) -> FailureOutcome {
        let mailbox = self.mailbox;
        let rules = mailbox.rules();
        let chance = mailbox.clock.chance();
        let (ticket, started) = (failed.ticket, failed.started);
        let attempt = Attempt {
            number: ticket.attempt,
            started_at: mailbox.clock.wall(started),
            duration: failed.ended.since(started),
            failure: failed.failure,
        };
        let mut inner = mailbox.lock();
        let Some(slot) = inner.queue.fail(ticket, now) else {
            inner.meters.superseded += 1;
            drop(inner);
            telemetry::superseded(mailbox.name(), ticket.id, ticket.attempt);
            return FailureOutcome::Superseded;
        };
        let first_due = slot.first_due;
        let (decision, uncounted) = inner.decide_retry(ticket, &attempt, rules, chance, now);
        inner.count_failure(&attempt, first_due, started);
        let (outcome, payload) = match decision {
            RetryDecision::FailCall => {
                let payload = inner.queue.bury(ticket, now);
                inner.report_outcome(ticket.id, || EventOutcome::Failed(attempt.failure.clone()));
                (FailureOutcome::CallFailed, payload)
            }
            RetryDecision::RetryAt(at) => inner.schedule_retry(ticket, attempt, uncounted, at, now),
            RetryDecision::GiveUp(condition) => {
                let letter = mailbox.letter(&inner, ticket, condition, now);
                (FailureOutcome::DeadLetter(ticket, letter), None)
            }
        };
        // The event may be ready again; and where few may run at once, another one may run now.
        let wakeups = inner.wake_for_event(rules, now);
        inner.check_drained();
        drop(inner);
        drop(payload);
        mailbox.wake(wakeups);
        outcome
    }
}

impl Mailbox {
    /// The dead-letter queue keeps the event's letter: the event ends here.
    pub(crate) fn bury(&self, ticket: Ticket, letter: &DeadLetter) {
        let mut inner = self.lock();
        if let Some(slot) = inner.queue.table.get_mut(ticket.id) {
            slot.side.get_or_insert_default().letter = Some(letter.clone());
        }
        let now = self.clock.now();
        let payload = inner.queue.bury(ticket, now);
        inner.report_outcome(ticket.id, || EventOutcome::Dead(letter.clone()));
        inner.check_drained();
        drop(inner);
        drop(payload);
    }
}

impl Inner {
    /// Settles and counts a success, if its attempt still counts. Returns its payload, and whether the supervisor is wanted.
    #[inline]
    pub(super) fn settle_success(
        &mut self,
        run: SucceededRun,
        settings: &Settings,
        name: &FunctionName,
        now: Time,
    ) -> (Option<Payload>, bool) {
        let SucceededRun {
            ticket,
            first_due,
            started,
            result,
        } = run;
        let outcome = (!self.watchers.is_empty()).then(|| EventOutcome::Succeeded(result.clone()));
        let Some(payload) = self.queue.succeed(ticket, result, now) else {
            self.meters.superseded += 1;
            let (id, attempt) = (ticket.id, ticket.attempt);
            self.deferred
                .push(Deferred::Superseded(name.clone(), id, attempt));
            return (None, false);
        };
        let duration = now.since(started);
        self.meters.invocations += 1;
        self.meters.duration_total += duration;
        self.meters.duration.record(duration);
        self.meters.age.record(started.since(first_due));
        self.restarts.failures = 0;
        if let Some(outcome) = outcome {
            self.report_outcome(ticket.id, || outcome.clone());
        }
        (Some(payload), self.survived(settings, name))
    }

    /// Adds the failed attempt to the event's history. Returns whether the event runs again, and how many of its failures
    /// don't count.
    fn decide_retry(
        &mut self,
        ticket: Ticket,
        attempt: &Attempt,
        rules: Rules<'_>,
        chance: f64,
        now: Time,
    ) -> (RetryDecision, u32) {
        let slot = &self.queue.table[ticket.slot];
        let (invocation, first_due) = (slot.kind, slot.first_due);
        let side = self.queue.remember(ticket.slot, attempt.clone());
        side.uncounted += u32::from(!attempt.failure.counts());
        let uncounted = side.uncounted;
        let meta = &side.meta;
        let own = meta.retry.clone();
        let facts = FailedEvent {
            invocation,
            policy: &own.unwrap_or_else(|| rules.retry(meta)),
            kind: attempt.failure.kind,
            directive: attempt.failure.directive,
            counted: ticket.attempt - uncounted,
            uncounted,
            first_due,
            age_max: meta
                .event_age_max
                .unwrap_or_else(|| rules.event_age_max(meta)),
            removed: self.removed,
            chance,
        };
        (retry_decision::after_failure(&facts, now), uncounted)
    }

    fn schedule_retry(
        &mut self,
        ticket: Ticket,
        attempt: Attempt,
        uncounted: u32,
        at: Time,
        now: Time,
    ) -> (FailureOutcome, Option<Payload>) {
        let (spilled, payload) = match self.queue.retry(ticket, at, now) {
            Some(Rescheduled::Spilled(payload)) => (true, payload),
            _ => (false, None),
        };
        let retry = FailureOutcome::Retry {
            attempt,
            uncounted,
            at,
            spilled,
        };
        (retry, payload)
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
}
