//! A worker's view of a mailbox. However the worker ends, dropping its handle gives back the event that it ran.

use std::sync::Arc;
use std::task::Waker;

use super::Mailbox;
use crate::base::time::Time;
use crate::event::failure::{Failure, FailureKind};
use crate::event::payload::Payload;
use crate::function::context::WorkerContext;
use crate::function::crash_loop::Crash;
use crate::mailbox::supervisor_message::{FailedAttempt, SupervisorMessage};
use crate::mailbox::take::{SucceededRun, Turn};
use crate::mailbox::wake::WorkerMode;

/// Through which a worker pulls from its mailbox.
pub(crate) struct WorkerHandle {
    mailbox: Arc<Mailbox>,
    index: u32,
    worker_context: Arc<WorkerContext>,
}

impl Mailbox {
    /// Adds a worker on the arbiter with this serial number. Returns its handle.
    pub(crate) fn register_worker(
        self: &Arc<Self>,
        worker_context: Arc<WorkerContext>,
        arbiter: u64,
    ) -> WorkerHandle {
        let index = self.lock().workers.add(worker_context.clone(), arbiter);
        WorkerHandle {
            mailbox: self.clone(),
            index,
            worker_context,
        }
    }
}

impl WorkerHandle {
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(crate) fn worker_context(&self) -> &Arc<WorkerContext> {
        &self.worker_context
    }

    /// Sets how to wake the worker; must come before its first turn.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let waker = waker.clone();
        self.mailbox.lock().workers.set_waker(self.index, waker);
    }

    /// Settles the run that succeeded and takes the next event, under one lock. Returns what the worker does next, and the
    /// payload of the settled event, if its attempt still counted.
    pub(crate) fn turn(
        &self,
        succeeded: Option<SucceededRun>,
        mode: WorkerMode,
        now: Time,
    ) -> (Turn, Option<Payload>) {
        self.mailbox.turn(self.index, succeeded, mode, now)
    }

    /// Returns whether events may have come since the last turn. It is a hint: a worker must take a turn now and then
    /// anyway.
    #[inline]
    pub(crate) fn may_have_work(&self) -> bool {
        self.mailbox.intake.is_signalled()
    }

    /// The worker's run takes longer than expected: no event waits for this worker any more.
    pub(crate) fn report_slow(&self) {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.lock();
        if !inner.workers.stop_relying_on(self.index) {
            return;
        }
        let now = mailbox.clock.now();
        let mut wakeups = inner.wake_for_event(mailbox.rules(), now);
        wakeups += mailbox.publish(&mut inner, now);
        drop(inner);
        mailbox.wake(wakeups);
    }

    /// Settles a success without taking the next event. Returns the payload, if the attempt still counted.
    pub(crate) fn settle(&self, run: SucceededRun, now: Time) -> Option<Payload> {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.lock();
        inner.workers.end_run(self.index);
        let (payload, wanted) = inner.settle_success(run, mailbox.settings(), mailbox.name(), now);
        let call = inner.call_supervisor(wanted);
        inner.check_drained();
        drop(inner);
        if call {
            mailbox.notify(SupervisorMessage::Reconcile);
        }
        payload
    }

    /// Hands a failed attempt to the supervisor.
    pub(crate) fn failed(&self, failed: FailedAttempt) {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.lock();
        // From here on the attempt is the supervisor's, not this worker's.
        inner.workers.end_run(self.index);
        let crash = failed.failure.kind == FailureKind::Panic;
        inner.restarts.failed();
        let opened = !crash && inner.survived(mailbox.settings(), mailbox.name());
        let call = inner.call_supervisor(opened);
        drop(inner);
        if crash {
            self.report_slow();
            let health = mailbox.health();
            health.crashed(Crash::Run, &failed.failure, failed.ended);
        }
        mailbox.notify(SupervisorMessage::Failed(Box::new(failed)));
        if call {
            mailbox.notify(SupervisorMessage::Reconcile);
        }
    }

    /// The run was given up from outside; there is nothing to settle.
    pub(crate) fn aborted(&self) {
        self.mailbox.lock().workers.end_run(self.index);
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.lock();
        let departed = inner.workers.remove(self.index);
        let call = inner.call_supervisor(true);
        inner.check_drained();
        drop(inner);
        if let Some((ticket, started)) = departed.run {
            let ended = mailbox.clock.now();
            let failure = Failure::worker_lost();
            if !departed.retired {
                mailbox.lock().restarts.failed();
                mailbox.health().crashed(Crash::Run, &failure, ended);
            }
            mailbox.notify(SupervisorMessage::Failed(Box::new(FailedAttempt {
                ticket,
                failure,
                started,
                ended,
                logged: false,
            })));
        }
        if call {
            mailbox.notify(SupervisorMessage::Reconcile);
        }
    }
}
