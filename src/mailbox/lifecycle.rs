//! The runtime's view of a mailbox: configure, pause, drain and close it.

use std::collections::HashSet;
use std::task::Waker;

use tokio::sync::oneshot;

use super::{Inner, Mailbox};
use crate::event::request_id::RequestId;
use crate::function::configuration::Configuration;
use crate::mailbox::deferred::Deferred;
use crate::mailbox::supervisor_message::SupervisorMessage;

/// When a mailbox counts as drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// No event runs.
    InFlight,
    /// No event runs or is ready.
    Ready,
    /// No event is on its way to or from the store.
    Storage,
    /// No event is pending.
    Pending,
    /// No worker is left.
    Workers,
}

/// What the runtime does with a mailbox from start to shutdown.
#[derive(Clone, Copy)]
pub(crate) struct Lifecycle<'a> {
    mailbox: &'a Mailbox,
}

impl Mailbox {
    pub(crate) fn lifecycle(&self) -> Lifecycle<'_> {
        Lifecycle { mailbox: self }
    }
}

impl Lifecycle<'_> {
    /// Applies a configuration, to the events that are pending too (ASY-19).
    pub(crate) fn configure(self, configuration: Configuration) {
        self.adopt(configuration);
        self.mailbox.lock().supervisor_called = true;
        self.mailbox.notify(SupervisorMessage::Reconcile);
    }

    /// As `configure`, before there is a supervisor.
    pub(crate) fn adopt(self, configuration: Configuration) {
        let mailbox = self.mailbox;
        let paused = configuration.paused;
        let before = mailbox
            .live_settings
            .configuration()
            .is_some_and(|it| it.paused);
        mailbox
            .live_settings
            .set(&mailbox.function.settings, configuration);
        if paused != before {
            let mut inner = mailbox.lock();
            inner.queue.paused = paused || inner.halted;
        }
    }

    pub(crate) fn pause(self) {
        self.mailbox.lock().queue.paused = true;
    }

    pub(crate) fn resume(self) {
        let mut inner = self.mailbox.lock();
        if inner.halted {
            return;
        }
        inner.queue.paused = false;
        inner.supervisor_called = true;
        drop(inner);
        self.mailbox.notify(SupervisorMessage::Reconcile);
    }

    /// Pauses the function until the end of the process.
    pub(crate) fn halt(self) {
        let mut inner = self.mailbox.lock();
        (inner.queue.paused, inner.halted) = (true, true);
    }

    /// Returns a receiver that completes when the mailbox is drained in this sense.
    pub(crate) fn drained(self, drain: Drain) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.mailbox.lock();
        inner.drains.push((drain, sender));
        inner.check_drained();
        receiver
    }

    /// Completes when a removed mailbox has neither events nor workers left.
    pub(crate) async fn emptied(self) {
        let _ = self.drained(Drain::Pending).await;
        let _ = self.drained(Drain::Workers).await;
    }

    /// Lets all workers stop. Their runs go on, or are given up if `abort`.
    pub(crate) fn retire(self, abort: bool) {
        let wakers = self.mailbox.lock().workers.retire(abort);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Closes the door: no event comes in any more. Every event that has a receipt is in the queue from here on.
    pub(crate) fn close(self) {
        let mut inner = self.mailbox.lock_to_admit();
        (inner.closed, inner.granted) = (true, 0);
    }

    /// Gives up the attempts that run or were not decided on: their results are refused, and their events wait again.
    /// Returns these events.
    pub(crate) fn abandon_attempts(self) -> HashSet<RequestId> {
        let now = self.mailbox.clock.now();
        let mut inner = self.mailbox.lock();
        let ran = inner.queue.abandon_attempts(now);
        inner.check_drained();
        ran.into_iter().collect()
    }

    /// No event ends here any more: closes the channels of all watchers.
    pub(crate) fn end_watches(self) {
        let mut inner = self.mailbox.lock();
        inner.ended = true;
        let watchers = std::mem::take(&mut inner.watchers);
        drop(inner);
        drop(watchers);
    }
}

impl Inner {
    /// Reports to those who wait for a drain that has come about.
    #[inline]
    pub(super) fn check_drained(&mut self) {
        if self.drains.is_empty() {
            return;
        }
        for (drain, sender) in std::mem::take(&mut self.drains) {
            if self.is_drained(drain) {
                self.deferred.push(Deferred::Drained(sender));
            } else {
                self.drains.push((drain, sender));
            }
        }
    }

    fn is_drained(&self, drain: Drain) -> bool {
        match drain {
            Drain::InFlight => self.queue.counts.running() == 0,
            Drain::Ready => {
                let has_ready =
                    self.queue.table.has_ready() || self.queue.volume.overflow.ready > 0;
                self.queue.counts.running() == 0 && !has_ready
            }
            Drain::Storage => {
                !self.queue.volume.is_storing() && !self.queue.volume.overflow.is_loading()
            }
            Drain::Pending => self.queue.volume.pending() == 0,
            Drain::Workers => self.workers.live() == 0,
        }
    }
}
