//! A worker's instance of an idempotent function: it leases an event's key before the handler runs, and stores the
//! result afterwards.
//!
//! It stands around the handler's own instance, so a function that is not idempotent knows nothing of it. Like all of an
//! instance it runs under the worker's guard: a panic in a closure of an [`Idempotency`] fails the attempt.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use futures_util::future::LocalBoxFuture;

use crate::base::time::Time;
use crate::event::failure::Failure;
use crate::event::payload::Payload;
use crate::function::context::{Context, WorkerContext};
use crate::function::handler::{Instance, Outcome};
use crate::idempotency::lease::{Acquired, ExecutionLease, LeaseRequest, MARGIN};
use crate::idempotency::{Idempotency, Owner};
use crate::telemetry;

/// Puts an instance that is being built behind its function's idempotency.
pub(crate) async fn idempotent(
    building: LocalBoxFuture<'static, Result<Box<dyn Instance>, Failure>>,
    by: Idempotency,
) -> Result<Box<dyn Instance>, Failure> {
    Ok(Box::new(Idempotent {
        inner: building.await?,
        by,
        key: KeyState::NoKey,
        warned: false,
    }))
}

struct Idempotent {
    // Dropped before the attempt's lease: when the key is free, nothing of the handler is left.
    inner: Box<dyn Instance>,
    key: KeyState,
    by: Idempotency,
    /// It was logged that there are events without a key.
    warned: bool,
}

enum KeyState {
    /// The event has no key, or nothing runs.
    NoKey,
    /// The handler runs.
    Leased(Lease),
    /// There is a result already.
    Done(Option<Payload>),
}

struct Lease {
    execution: Arc<ExecutionLease>,
    worker_context: Arc<WorkerContext>,
    until: Time,
}

impl Lease {
    /// Beyond its lease an attempt asks before each step. An attempt that has lost its key doesn't go on.
    fn check(&mut self) -> Result<(), Failure> {
        let now = self.worker_context.clock.now();
        if now > self.until {
            self.until = now.after(MARGIN);
            self.execution.renew(self.until)?;
        }
        Ok(())
    }
}

impl Idempotent {
    /// Leases the key of the event, if it has one.
    fn lease(&mut self, payload: &Payload, context: &Context) -> Result<KeyState, Failure> {
        let Some(key) = self.by.key(context.function(), payload)? else {
            if !std::mem::replace(&mut self.warned, true) {
                telemetry::no_idempotency_key(context.function(), context.request_id);
            }
            return Ok(KeyState::NoKey);
        };
        let worker_context = &context.worker_context;
        let owner = Owner {
            request_id: context.request_id,
            attempt: context.attempt,
            since: worker_context.clock.now(),
        };
        let until = context.deadline.after(MARGIN);
        let request = LeaseRequest {
            key,
            validated: self.by.validated(payload)?,
            owner,
            until,
            lifetime: self.by.lifetime(),
        };
        Ok(
            match worker_context
                .leases
                .acquire(request, &worker_context.clock)?
            {
                Acquired::Result(result) => KeyState::Done(result),
                Acquired::Lease(execution) => KeyState::Leased(Lease {
                    execution,
                    worker_context: worker_context.clone(),
                    until,
                }),
            },
        )
    }
}

impl Instance for Idempotent {
    fn begin(&mut self, payload: Payload, mut context: Context) -> Result<(), Failure> {
        self.key = self.lease(&payload, &context)?;
        match &self.key {
            KeyState::Done(_) => return Ok(()),
            KeyState::Leased(lease) => context.lease = Some(Arc::downgrade(&lease.execution)),
            KeyState::NoKey => {}
        }
        self.inner.begin(payload, context)
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Outcome> {
        if let KeyState::Leased(lease) = &mut self.key {
            lease.check()?;
        }
        if let KeyState::Done(result) = &mut self.key {
            return Poll::Ready(Ok(result.take()));
        }
        let outcome = std::task::ready!(self.inner.poll(cx));
        Poll::Ready(match std::mem::replace(&mut self.key, KeyState::NoKey) {
            KeyState::Leased(lease) => lease.execution.settle(outcome),
            _ => outcome,
        })
    }

    fn end(&mut self) {
        self.inner.end();
        self.key = KeyState::NoKey;
    }

    fn is_whole(&self) -> bool {
        self.inner.is_whole()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::task::Waker;
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::event::failure::FailureKind;
    use crate::event::request_id::RequestId;

    /// A handler that waits for ever and counts how often it is asked.
    #[derive(Clone, Default)]
    struct Waits(Rc<Cell<u32>>);

    impl Instance for Waits {
        fn begin(&mut self, _: Payload, _: Context) -> Result<(), Failure> {
            Ok(())
        }

        fn poll(&mut self, _: &mut TaskContext<'_>) -> Poll<Outcome> {
            self.0.set(self.0.get() + 1);
            Poll::Pending
        }

        fn end(&mut self) {}

        fn is_whole(&self) -> bool {
            true
        }
    }

    /// An attempt that has three seconds; all of them have one key.
    async fn attempt(
        by: u128,
        worker_context: &Arc<WorkerContext>,
    ) -> (Box<dyn Instance>, Waits, Result<(), Failure>) {
        let handler = Waits::default();
        let building: Box<dyn Instance> = Box::new(handler.clone());
        let building = Box::pin(std::future::ready(Ok(building)));
        let by_payload = Idempotency::by_payload();
        let mut instance = idempotent(building, by_payload).await.unwrap();
        let now = worker_context.clock.now();
        let context = Context {
            request_id: RequestId::from(Uuid::from_u128(by)),
            attempt: 1,
            accepted: now,
            deadline: now.after(Duration::from_secs(3)),
            meta: Default::default(),
            worker_context: worker_context.clone(),
            lease: None,
        };
        let begun = instance.begin(Payload::new(1).unwrap(), context);
        (instance, handler, begun)
    }

    fn poll(instance: &mut Box<dyn Instance>) -> Poll<Outcome> {
        instance.poll(&mut TaskContext::from_waker(Waker::noop()))
    }

    /// BYD-15, GAP-12
    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_lost_its_key_does_not_take_another_step() {
        let worker_context = WorkerContext::for_test();
        let (mut first, handler, _) = attempt(1, &worker_context).await;
        assert!(poll(&mut first).is_pending());
        tokio::time::advance(Duration::from_secs(5)).await;
        let (_second, _, begun) = attempt(2, &worker_context).await;
        begun.unwrap();
        let Poll::Ready(Err(failure)) = poll(&mut first) else {
            panic!("it has lost its key")
        };
        assert_eq!(
            (failure.kind, handler.0.get()),
            (FailureKind::InProgress, 1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_beyond_its_lease_that_still_has_its_key_goes_on_with_it() {
        let worker_context = WorkerContext::for_test();
        let (mut first, handler, _) = attempt(1, &worker_context).await;
        assert!(poll(&mut first).is_pending());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(poll(&mut first).is_pending());
        assert_eq!(handler.0.get(), 2);
        let (_second, _, begun) = attempt(2, &worker_context).await;
        assert_eq!(begun.unwrap_err().kind, FailureKind::InProgress);
        first.end();
        let (_third, _, begun) = attempt(3, &worker_context).await;
        begun.unwrap();
    }
}
