//! One attempt: the handler's future, polled under `panic::catch` until it ends, times out or is aborted.
//!
//! A timer is set only if the handler waits for something. `attempt_result.rs` passes the result on.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::time::Sleep;
use tracing::Span;

use crate::base::panic;
use crate::base::time::Time;
use crate::event::failure::Failure;
use crate::event::payload::Payload;
use crate::function::context::Context;
use crate::function::handler::Instance;
use crate::mailbox::worker_handle::WorkerHandle;
use crate::queue::entry::Taken;
use crate::telemetry;

/// How an attempt ended.
pub(super) enum AttemptResult {
    Succeeded(Option<Payload>),
    Failed(Failure),
    /// Ended from outside: the event was cancelled, or the runtime stops.
    Aborted,
}

/// The timer of a worker's attempts, allocated when the first of them waits and used again by the others.
pub(super) type AttemptTimer = Option<Pin<Box<Sleep>>>;

/// An attempt under way.
struct RunningAttempt<'a> {
    worker: &'a WorkerHandle,
    instance: &'a mut dyn Instance,
    timer: &'a mut AttemptTimer,
    taken: &'a Taken,
    /// Its number among the worker's runs, by which it is aborted.
    run: u64,
    /// The worker is fast: the mailbox must hear if this attempt waits.
    fast: bool,
    timeout: Duration,
    deadline: Time,
    /// Until the handler's future is made.
    payload: Option<Payload>,
    begun: bool,
    /// The handler has waited for something.
    waited: bool,
}

/// Runs an attempt that begins at `now`. Returns how it ended, and whether its handler waited for something.
pub(super) async fn run_attempt(
    worker: &WorkerHandle,
    instance: &mut dyn Instance,
    timer: &mut AttemptTimer,
    taken: &mut Taken,
    (run, fast, now): (u64, bool, Time),
) -> (AttemptResult, bool) {
    let mailbox = worker.mailbox();
    let timeout = mailbox.live_settings.timeout();
    let payload = taken.payload.take();
    let span = telemetry::attempt_span(
        mailbox.name(),
        taken.ticket.id,
        taken.ticket.attempt,
        &taken.meta,
        taken.accepted,
    );
    let mut attempt = RunningAttempt {
        worker,
        instance,
        timer,
        taken,
        run,
        fast,
        timeout,
        deadline: now.after(timeout),
        payload,
        begun: false,
        waited: false,
    };
    let result = poll_fn(|cx| attempt.poll(&span, cx)).await;
    (result, attempt.waited)
}

/// Returns whether the worker's run with this number is to end now.
pub(super) fn is_aborted(worker: &WorkerHandle, run: u64) -> bool {
    worker.worker_context().abort.load(Ordering::Acquire) == run
}

impl RunningAttempt<'_> {
    #[inline]
    fn poll(&mut self, span: &Span, cx: &mut TaskContext<'_>) -> Poll<AttemptResult> {
        if self.begun && is_aborted(self.worker, self.run) {
            return Poll::Ready(AttemptResult::Aborted);
        }
        match panic::catch(|| self.step(span, cx)) {
            Ok(Poll::Ready(Ok(result))) => Poll::Ready(AttemptResult::Succeeded(result)),
            Ok(Poll::Ready(Err(failure))) => Poll::Ready(AttemptResult::Failed(failure)),
            Err(panicked) => Poll::Ready(AttemptResult::Failed(panicked.into())),
            Ok(Poll::Pending) => self.poll_timeout(cx),
        }
    }

    /// Runs user code: makes the handler's future if there is none yet, and polls it, in the attempt's span.
    #[inline]
    fn step(
        &mut self,
        span: &Span,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<Option<Payload>, Failure>> {
        // Usually there is no subscriber: then entering the span is not worth the call.
        let _entered = (!span.is_disabled()).then(|| span.enter());
        self.begun = true;
        if let Some(payload) = self.payload.take() {
            let context = self.context();
            self.instance.begin(payload, context)?;
        }
        self.instance.poll(cx)
    }

    fn poll_timeout(&mut self, cx: &mut TaskContext<'_>) -> Poll<AttemptResult> {
        let instant = self.worker.mailbox().clock.instant(self.deadline);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(instant)));
        if !std::mem::replace(&mut self.waited, true) {
            timer.as_mut().reset(instant);
            if self.fast {
                self.worker.report_slow();
            }
        }
        timer
            .as_mut()
            .poll(cx)
            .map(|()| AttemptResult::Failed(Failure::timeout(self.timeout)))
    }

    fn context(&self) -> Context {
        Context {
            request_id: self.taken.ticket.id,
            attempt: self.taken.ticket.attempt,
            accepted: self.taken.accepted,
            deadline: self.deadline,
            meta: self.taken.meta.clone(),
            worker_context: self.worker.worker_context().clone(),
            lease: None,
        }
    }
}
