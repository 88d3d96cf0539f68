//! The health of a function: its crashes, the threads that it holds, and the arbiters that its workers live on.
//!
//! Whether crashes hold a function back is decided in `function/crash_loop.rs`, whether its workers move to dedicated
//! arbiters in `function/dedicated_arbiters.rs`; here the decisions take effect.

use std::task::Waker;
use std::time::Duration;

use super::{Inner, Mailbox};
use crate::base::time::Time;
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::function::crash_loop::{Crash, Gate};
use crate::function::dedicated_arbiters::Holding;
use crate::function::settings::Settings;
use crate::mailbox::deferred::Deferred;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::queue::entry::Ticket;
use crate::telemetry;

/// Reports of a function's crashes and held threads, and their consequences.
#[derive(Clone, Copy)]
pub(crate) struct FunctionHealth<'a> {
    mailbox: &'a Mailbox,
}

impl Mailbox {
    pub(crate) fn health(&self) -> FunctionHealth<'_> {
        FunctionHealth { mailbox: self }
    }
}

impl FunctionHealth<'_> {
    /// A worker of the function crashed. Decides at once whether the function is held back, so that no further attempt is
    /// spent meanwhile.
    pub(crate) fn crashed(self, crash: Crash, failure: &Failure, now: Time) {
        let mailbox = self.mailbox;
        let settings = mailbox.settings();
        let mut inner = mailbox.lock();
        let before = inner.restarts.gate();
        let gate = inner.restarts.crashed(crash, &settings.restarts, now);
        inner.meters.restarts += 1;
        inner.last_crash = Some(Box::new(failure.clone()));
        let held_back = gate != before;
        inner.set_allowance(settings);
        inner.supervisor_called |= held_back;
        drop(inner);
        if held_back {
            if let Gate::BackingOff(until) = gate {
                telemetry::backing_off(mailbox.name(), until.since(now));
            }
            mailbox.notify(SupervisorMessage::Reconcile);
        }
    }

    // --- threads

    /// A handler held its thread for so long, until `now`. The thread is that of a `shared` arbiter, or of one that is
    /// `crowded` with functions that hold threads.
    pub(crate) fn thread_held(self, held: Duration, crowded: bool, shared: Option<u64>, now: Time) {
        let holding = self
            .mailbox
            .dedicated_arbiters
            .lock()
            .held(held, crowded, now);
        match (holding, shared) {
            (Holding::Moves, _) => self.move_to_dedicated_arbiters(),
            (Holding::Stays, Some(arbiter)) => {
                self.mailbox.notify(SupervisorMessage::ArbiterHeld(arbiter));
            }
            _ => {}
        }
    }

    /// A handler blocked its thread for so long that the thread is abandoned.
    pub(crate) fn thread_blocked(self, blocked: Duration, now: Time) {
        let most = self.mailbox.settings().abandoned_threads_max;
        let mut inner = self.mailbox.lock();
        inner.meters.arbiters_blocked += 1;
        inner.restarts.abandoned += 1;
        let abandoned = inner.restarts.abandoned;
        drop(inner);
        self.dedicate_arbiters(now);
        self.crashed(Crash::Blocked, &Failure::blocked(blocked), now);
        if abandoned == most {
            telemetry::threads_abandoned(self.mailbox.name(), abandoned);
        }
    }

    /// The thread of a blocking handler runs on though its attempt was given up.
    pub(crate) fn thread_abandoned(self) {
        let settings = self.mailbox.settings();
        let mut inner = self.mailbox.lock();
        inner.restarts.abandoned += 1;
        let abandoned = inner.restarts.abandoned;
        inner.set_allowance(settings);
        inner.supervisor_called = true;
        drop(inner);
        if abandoned == settings.abandoned_threads_max {
            telemetry::threads_abandoned(self.mailbox.name(), abandoned);
        }
        self.mailbox.notify(SupervisorMessage::Reconcile);
    }

    /// An abandoned thread has finished its handler.
    pub(crate) fn thread_returned(self) {
        let mut inner = self.mailbox.lock();
        inner.restarts.abandoned = inner.restarts.abandoned.saturating_sub(1);
        inner.set_allowance(self.mailbox.settings());
        inner.supervisor_called = true;
        drop(inner);
        self.mailbox.notify(SupervisorMessage::Reconcile);
    }

    // --- arbiters

    /// New workers of the function will live on dedicated arbiters for a while, and the present ones make room for them.
    pub(crate) fn dedicate_arbiters(self, now: Time) {
        if self.mailbox.dedicated_arbiters.lock().begin(now) {
            self.move_to_dedicated_arbiters();
        }
    }

    fn move_to_dedicated_arbiters(self) {
        telemetry::moved_to_dedicated_arbiters(self.mailbox.name());
        self.mailbox.lifecycle().retire(false);
    }

    /// Returns whether new workers live on dedicated arbiters. A function that is held back stays where it does no harm.
    pub(crate) fn has_dedicated_arbiters(self, now: Time) -> bool {
        let held_back = self.mailbox.lock_as_is().restarts.gate() != Gate::Open;
        let mut dedicated_arbiters = self.mailbox.dedicated_arbiters.lock();
        if held_back {
            dedicated_arbiters.prolong(now);
        }
        dedicated_arbiters.is_on(now)
    }

    pub(crate) fn has_workers_on(self, arbiter: u64) -> bool {
        self.mailbox.lock_as_is().workers.has_any_on(arbiter)
    }

    /// Takes the workers on a blocked arbiter out of service. Returns the attempts that are stuck there, and when each
    /// began.
    pub(crate) fn abandon_arbiter(self, arbiter: u64) -> Vec<(Ticket, Time)> {
        let mut inner = self.mailbox.lock();
        let (stuck, wakers) = inner.workers.abandon(arbiter);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        stuck
    }
}

impl Inner {
    /// A run ended without a crash: that may open the gate again. Returns whether it did; then the supervisor is wanted.
    #[inline]
    pub(super) fn survived(&mut self, settings: &Settings, name: &FunctionName) -> bool {
        let opened =
            self.restarts.gate() != Gate::Open && self.restarts.survived(&settings.restarts);
        if opened {
            self.set_allowance(settings);
            self.deferred.push(Deferred::Recovered(name.clone()));
        }
        opened
    }

    /// Returns whether the function has abandoned as many threads as it may.
    pub(super) fn is_out_of_threads(&self, settings: &Settings) -> bool {
        self.restarts.abandoned >= settings.abandoned_threads_max
    }

    /// Sets how many events may run at once, as far as the function's crashes are concerned.
    pub(super) fn set_allowance(&mut self, settings: &Settings) {
        let out_of_threads = self.is_out_of_threads(settings);
        self.queue.allowance = match self.restarts.gate() {
            _ if out_of_threads => 0,
            Gate::Open => u32::MAX,
            Gate::Probing => 1,
            Gate::BackingOff(_) => 0,
        };
    }
}
