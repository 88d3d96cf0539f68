//! The supervisor's view of a mailbox: what it is to do now, and when it must look again.
//!
//! The supervisor decides on failed attempts too (`mailbox/settle.rs`) and ends events that will not run
//! (`mailbox/dead_letter.rs`).

use std::task::Waker;

use super::{Inner, Mailbox};
use crate::base::time::Time;
use crate::function::crash_loop::Gate;
use crate::function::settings::Settings;
use crate::mailbox::wake::{self, RECHECK_AFTER, Staffing};

/// Most finished events that are forgotten at once.
const EXPIRE_AT_ONCE: u32 = 10_000;

/// What the supervisor is to do.
#[derive(Default)]
pub(crate) struct SupervisorPlan {
    /// Workers to start.
    pub(crate) start: u32,
    /// When to reconcile next.
    pub(crate) deadline: Option<Time>,
    /// One worker may try one event.
    pub(crate) probing: bool,
    /// Load events from the overflow.
    pub(crate) load: bool,
}

/// What the supervisor does with a mailbox.
#[derive(Clone, Copy)]
pub(crate) struct Supervision<'a> {
    pub(super) mailbox: &'a Mailbox,
}

impl Mailbox {
    pub(crate) fn supervision(&self) -> Supervision<'_> {
        Supervision { mailbox: self }
    }
}

impl Supervision<'_> {
    /// Brings the workers in line with the work: wakes idle ones, reaps those that were idle for too long, and forgets
    /// events beyond the retention. Returns the rest, which the supervisor does itself.
    pub(crate) fn reconcile(self, now: Time) -> SupervisorPlan {
        let mailbox = self.mailbox;
        let rules = mailbox.rules();
        let mut wakers = Vec::new();
        let mut inner = mailbox.lock();
        inner.supervisor_called = false;
        inner.queue.expire(now, EXPIRE_AT_ONCE);
        let load = inner.begin_load(now);
        let gate = inner.restarts.probe(now);
        inner.set_allowance(rules.registered);
        let room = match inner.removed {
            true => 0,
            false => {
                let concurrency = rules.live_settings.concurrency();
                concurrency.saturating_sub(inner.workers.live())
            }
        };
        let takeable = inner.queue.takeable(now);
        let coming = inner.workers.coming(now);
        let Staffing { wake, start } = wake::staffing(takeable, coming, inner.workers.idle(), room);
        wakers.extend((0..wake).filter_map(|_| inner.workers.wake_idle(now)));
        inner
            .workers
            .reap(rules.registered.keep_alive, now, &mut wakers);
        let deadline = inner.next_deadline(rules.registered, start, now);
        inner.reconcile_at = deadline;
        let wakeups = mailbox.publish(&mut inner, now);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        mailbox.wake(wakeups);
        SupervisorPlan {
            start,
            deadline,
            probing: gate == Gate::Probing,
            load,
        }
    }
}

impl Inner {
    /// Returns when the supervisor must reconcile next by itself, once it has started `start` workers.
    fn next_deadline(&mut self, settings: &Settings, start: u32, now: Time) -> Option<Time> {
        let due = self
            .queue
            .table
            .next_due()
            .filter(|&at| at > now && !self.queue.paused);
        let probe = match self.restarts.gate() {
            Gate::BackingOff(until) => Some(until),
            _ => None,
        };
        let reap = self.workers.next_reap(settings.keep_alive, start, now);
        // Not for every event that expires: once in a while.
        let soonest = now.after(settings.retention.age_max / 4);
        let expiry = self.queue.next_expiry().map(|at| at.max(soonest));
        let relied_upon = self.workers.is_relied_upon();
        let recheck = relied_upon.then(|| now.after(RECHECK_AFTER));
        let load = self.load_due().filter(|&at| at > now);
        let all = [reap, due, probe, expiry, recheck, load];
        all.into_iter().flatten().min()
    }
}
