//! Carries out what `mailbox/wake.rs` decides: reads the state under the lock, marks the worker that is woken, and wakes it
//! once the lock is released.

use std::task::Waker;

use super::{Inner, Mailbox};
use crate::base::time::Time;
use crate::function::live_settings::Rules;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::mailbox::wake::{self, Target, WakeState, WorkerMode};

/// Who is woken once the lock is released. A worker that was chosen counts as awake, so this must reach `Mailbox::wake`.
#[derive(Default)]
#[must_use]
pub(crate) struct Wakeups {
    /// The idle worker.
    pub(super) worker: Option<Waker>,
    pub(super) supervisor: bool,
    /// The worker that searches is to look at the intake.
    pub(super) searching: bool,
}

impl std::ops::AddAssign for Wakeups {
    /// The worker that is woken first searches, so there is never a second one to wake.
    fn add_assign(&mut self, other: Self) {
        self.worker = self.worker.take().or(other.worker);
        self.supervisor |= other.supervisor;
        self.searching |= other.searching;
    }
}

impl Mailbox {
    #[inline]
    pub(crate) fn wake(&self, wakeups: Wakeups) {
        if wakeups.searching {
            self.intake.signal();
        }
        if let Some(worker) = wakeups.worker {
            worker.wake();
        }
        if wakeups.supervisor {
            self.notify(SupervisorMessage::Reconcile);
        }
    }
}

impl Inner {
    #[inline]
    pub(super) fn wake_state(&self, rules: Rules<'_>) -> WakeState {
        WakeState {
            removed: self.removed,
            reserved_zero: rules.live_settings.is_reserved_zero(),
            held: self.is_held(),
            searched_until: self.workers.searched_until(),
            has_idle: self.workers.has_idle(),
            may_start: self.may_start(rules),
            supervisor_called: self.supervisor_called,
        }
    }

    /// Nothing may be taken, as far as pauses and crashes are concerned.
    #[inline]
    fn is_held(&self) -> bool {
        self.queue.paused || self.queue.allowance == 0
    }

    #[inline]
    fn may_start(&self, rules: Rules<'_>) -> bool {
        self.workers.live() < rules.live_settings.concurrency()
    }

    /// After something became ready or delayed: marks who is woken for it.
    pub(super) fn wake_for_event(&mut self, rules: Rules<'_>, now: Time) -> Wakeups {
        let mut wakeups = Wakeups::default();
        if self.queue.table.has_ready() {
            let target = wake::for_ready(self.wake_state(rules), now);
            wakeups = self.mark(target, now);
        }
        let is_due = self.needs_recheck(now) || self.needs_timer();
        let wanted = wake::calls_supervisor(self.is_held(), wakeups.supervisor, is_due);
        wakeups.supervisor = self.call_supervisor(wanted);
        wakeups
    }

    /// After a worker took an event: marks who helps it with those that it left. The supervisor is not called yet.
    #[inline]
    pub(super) fn wake_for_help(
        &mut self,
        mode: WorkerMode,
        searched: bool,
        rules: Rules<'_>,
        now: Time,
    ) -> Wakeups {
        let ready = self.queue.table.ready();
        if !wake::needs_help(mode, searched, ready, self.workers.is_searched(now)) {
            return Wakeups::default();
        }
        let target = wake::for_help(self.workers.has_idle(), self.may_start(rules));
        self.mark(target, now)
    }

    fn mark(&mut self, target: Target, now: Time) -> Wakeups {
        Wakeups {
            worker: match target {
                Target::Idle => self.workers.wake_idle(now),
                _ => None,
            },
            supervisor: target == Target::Supervisor,
            searching: target == Target::Searching,
        }
    }

    /// Returns whether the supervisor is to be called: it is `wanted`, and has not been called since it reconciled last.
    #[inline]
    pub(super) fn call_supervisor(&mut self, wanted: bool) -> bool {
        let call = wanted && !self.supervisor_called;
        self.supervisor_called |= wanted;
        call
    }

    /// Returns whether a delayed event, here or in the overflow, is due before the supervisor reconciles by itself.
    #[inline]
    pub(super) fn needs_timer(&mut self) -> bool {
        let due = [self.queue.table.next_due(), self.load_due()];
        wake::is_before_reconcile(due.into_iter().flatten().min(), self.reconcile_at)
    }

    /// Returns whether the supervisor must check soon on a worker that is relied upon.
    #[inline]
    pub(super) fn needs_recheck(&self, now: Time) -> bool {
        wake::needs_recheck(self.workers.is_relied_upon(), self.reconcile_at, now)
    }
}
