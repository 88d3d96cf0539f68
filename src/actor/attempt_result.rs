//! The result of an attempt, passed on: the mailbox settles it, the store keeps it, the log reports it, the
//! destination gets its record.
//!
//! A failure goes to the supervisor, which asks `function/retry_decision.rs`; nothing is decided here.

use std::sync::Arc;
use std::time::Duration;

use crate::actor::attempt::AttemptResult;
use crate::actor::delivery::{self, Ancestor};
use crate::admission::Admission;
use crate::admission::destinations::DestinationKind;
use crate::base::panic;
use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::failure::{Failure, FailureKind};
use crate::event::payload::Payload;
use crate::function::destination::{Destination, InvocationRecord};
use crate::function::handler::Instance;
use crate::mailbox::supervisor_message::FailedAttempt;
use crate::mailbox::take::SucceededRun;
use crate::mailbox::worker_handle::WorkerHandle;
use crate::queue::entry::{Taken, Ticket};
use crate::store::Settlement;
use crate::telemetry::logs::{LogOwner, Logs, Report};

/// The worker's side of an attempt that has ended.
#[derive(Clone, Copy)]
pub(super) struct EndedAttempt<'a> {
    pub(super) worker: &'a WorkerHandle,
    pub(super) admission: &'a Arc<Admission>,
    pub(super) taken: &'a Taken,
    /// When the attempt began.
    pub(super) started: Time,
}

/// Starts the log of an attempt, if logs are kept. Returns the log to report its end to.
#[inline]
pub(super) fn start_log<'a>(
    worker: &WorkerHandle,
    admission: &'a Admission,
    taken: &Taken,
) -> Option<(&'a Logs, LogOwner)> {
    admission.logs.get().map(|logs| {
        let Ticket { id, attempt, .. } = taken.ticket;
        let owner = LogOwner::new(worker.mailbox().name().clone(), id);
        logs.start(&owner, attempt, taken.meta.version.as_ref());
        (logs, owner)
    })
}

impl EndedAttempt<'_> {
    /// Writes AWS's REPORT line. `init` is how long the worker took to start, if it did so for this attempt.
    pub(super) fn report(
        self,
        (logs, owner): &(&Logs, LogOwner),
        init: Option<Duration>,
        result: &AttemptResult,
    ) {
        let clock = &self.worker.mailbox().clock;
        let now = clock.now();
        let failure = match result {
            AttemptResult::Failed(failure) => Some(failure),
            AttemptResult::Succeeded(_) | AttemptResult::Aborted => None,
        };
        let report = Report {
            duration: now.since(self.started),
            init,
            failure,
            now: clock.wall(now),
        };
        logs.end(owner, &report);
    }

    /// Passes a success on. Returns it if nothing but the mailbox has to know of it: then it is settled with the worker's
    /// next turn, under one lock.
    ///
    /// Otherwise it is settled first, so that the success of a superseded attempt reaches neither store nor destination.
    pub(super) fn succeeded(self, result: Option<Payload>) -> Option<SucceededRun> {
        let taken = self.taken;
        let done = SucceededRun {
            ticket: taken.ticket,
            first_due: taken.first_due,
            started: self.started,
            result,
        };
        let mailbox = self.worker.mailbox();
        let destination =
            self.admission
                .destination_of(mailbox, &taken.meta, DestinationKind::OnSuccess);
        let only_mailbox = destination.is_none() && !taken.ticket.stored;
        if only_mailbox || taken.kind != InvocationType::Event {
            return Some(done);
        }
        let (result, now) = (done.result.clone(), mailbox.clock.now());
        let payload = self.worker.settle(done, now)?;
        self.admission
            .store
            .settle(mailbox, taken.ticket, || Settlement::Succeeded {
                result: result.clone(),
                attempt: taken.ticket.attempt,
                accepted_at: taken.accepted.stored(),
            });
        match destination {
            None => {}
            Some(Err(arn)) => delivery::unreachable(mailbox, taken.ticket.id, arn),
            Some(Ok(destination)) => self.deliver(&destination, payload, result, now),
        }
        None
    }

    /// Sends the record of a success on its way; a closure runs here, where user code may.
    fn deliver(
        self,
        destination: &Destination,
        payload: Payload,
        result: Option<Payload>,
        now: Time,
    ) {
        let (mailbox, taken) = (self.worker.mailbox(), self.taken);
        let id = taken.ticket.id;
        let identity = &self.admission.identity;
        let record = InvocationRecord::success(
            identity.qualified_arn(mailbox.name(), taken.meta.qualifier.as_deref()),
            (id, taken.ticket.attempt),
            taken.meta.version.clone(),
            payload,
            result,
            mailbox.clock.wall(now),
        );
        let mut traces = taken.meta.traces();
        traces.begin_trace(id, taken.accepted);
        let ancestor = Ancestor {
            request_id: id,
            hops: taken.meta.hops,
            traces,
        };
        let run = |closure: Box<dyn FnOnce() + Send>| {
            let _ = panic::catch(closure);
        };
        delivery::deliver(self.admission, mailbox, destination, record, ancestor, run);
    }

    /// Hands a failure to the supervisor. Returns whether the user's state can run another event.
    #[cold]
    pub(super) fn failed(self, instance: &mut dyn Instance, failure: Failure) -> bool {
        let _ = panic::catch(|| instance.end()); // the first failure counts
        let panicked = failure.kind == FailureKind::Panic;
        self.worker.failed(FailedAttempt {
            ticket: self.taken.ticket,
            failure,
            started: self.started,
            ended: self.worker.mailbox().clock.now(),
            logged: true,
        });
        !panicked
    }

    /// Ends an attempt that was aborted from outside, which has settled the event already.
    #[cold]
    pub(super) fn aborted(self, instance: &mut dyn Instance) {
        let _ = panic::catch(|| instance.end()); // a panic in its drop changes nothing: the event is over
        self.worker.aborted();
    }
}
