//! From the user's async fn, stateful type or blocking fn to one erased handler.
//!
//! A [`Factory`] is a function's, shared by all threads. It builds an [`Instance`] for each worker: the
//! user's state and, while an event runs, the user's future. An instance never leaves its thread, so
//! neither needs to be `Send`. The future's memory is allocated once per instance and used again.

use std::any::TypeId;
use std::error::Error;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll};

use futures_util::future::{FutureExt, LocalBoxFuture};
use pin_project_lite::pin_project;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::panic::{self, Caged};
use crate::base::threads::Thread;
use crate::event::failure::{Failure, FailureKind};
use crate::event::payload::Payload;
use crate::function::context::{Context, Event};
use crate::idempotency::lease::ExecutionLease;

/// An async function that handles events: any `async fn(Event<T>) -> Result<R, E>` or closure like it.
///
/// `T` is the payload's type, `R` the result's, `E` the error's: any `std::error::Error`, `anyhow::Error`,
/// `Box<dyn Error>`, `String` or `&str`. The future need not be `Send`. Implemented for functions; not meant to be
/// implemented by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of events",
    label = "expected `async fn(Event<T>) -> Result<R, E>`",
    note = "a handler takes one `redrive::Event<T>` and returns a future of `Result<R, E>`",
    note = "`T` must be `Serialize + DeserializeOwned + Send + Sync`, `R` must be `Serialize`, and `E` an error, a `String` or a `&str`"
)]
pub trait Handler<Args>: Send + Sync + 'static {
    #[doc(hidden)]
    fn factory(self) -> Box<dyn Factory>;
}

/// A type that handles events with its own state, built by its function's `init` for each worker and
/// rebuilt after a panic or a timeout, when its state can't be trusted any more.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the state of a function",
    label = "expected a type that implements `redrive::Stateful`",
    note = "`init` must return `Result<S, E>` with `S: Stateful`"
)]
pub trait Stateful: 'static {
    /// What an event carries.
    type Payload: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The result of a success.
    type Output: Serialize + 'static;
    /// The error of a failure.
    type Error: 'static;

    /// Handles one event; the worker gives it one at a time.
    fn handle(
        &mut self,
        event: Event<Self::Payload>,
    ) -> impl Future<Output = Result<Self::Output, Self::Error>>;
}

/// An error that a handler may return: any `std::error::Error`, `anyhow::Error`, `Box<dyn Error>` with or without
/// `Send + Sync`, `String`, `&str`.
///
/// `Kind` only keeps the two implementations apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the error of a handler",
    label = "expected an error",
    note = "a handler's error is any `std::error::Error`, `anyhow::Error`, `Box<dyn Error>`, `String` or `&str`"
)]
pub trait HandlerError<Kind>: 'static {
    #[doc(hidden)]
    fn into_error(self) -> Box<dyn Error>;
}

/// Errors that a `Box<dyn Error>` can be made from.
#[derive(Debug)]
pub struct Plain;

/// `Box<dyn Error + Send + Sync>`, which the standard library does not turn into a `Box<dyn Error>` by `into`.
#[derive(Debug)]
pub struct Boxed;

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn Error>> + 'static> HandlerError<Plain> for E {
    fn into_error(self) -> Box<dyn Error> {
        self.into()
    }
}

impl HandlerError<Boxed> for Box<dyn Error + Send + Sync> {
    fn into_error(self) -> Box<dyn Error> {
        self
    }
}

/// Largest result of a function (INV-24, INV-26: 6 MiB).
const RESULT_MAX: usize = 6 << 20;

/// The outcome of an attempt; no result means `null`.
pub(crate) type Outcome = Result<Option<Payload>, Failure>;

#[doc(hidden)]
pub trait Factory: Send + Sync {
    #[allow(
        private_interfaces,
        reason = "sealed: the trait is public in name only"
    )]
    fn build(&self) -> LocalBoxFuture<'static, Result<Box<dyn Instance>, Failure>>;
}

/// One execution environment: user code is run here and nowhere else.
pub(crate) trait Instance {
    /// Starts an attempt: reads the payload and makes the user's future.
    fn begin(&mut self, payload: Payload, context: Context) -> Result<(), Failure>;

    /// Goes on with the attempt. The user's future is dropped once it has finished.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Outcome>;

    /// Drops the user's future if it has not finished.
    fn end(&mut self);

    /// Can it run another event, or did its state get lost?
    fn is_whole(&self) -> bool;
}

impl<F, Fut, T, R, E, K> Handler<(T, R, E, K)> for F
where
    F: Fn(Event<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    R: Serialize + 'static,
    E: HandlerError<K>,
    K: 'static,
{
    fn factory(self) -> Box<dyn Factory> {
        let handler = Arc::new(Caged::new(self));
        Box::new(Stateless(move || {
            let handler = handler.clone();
            instance((), move |(), event| {
                caught((**handler)(event), outcome).map(|outcome| ((), outcome))
            })
        }))
    }
}

pub(crate) fn blocking<F, T, R, E, K>(handler: F) -> Box<dyn Factory>
where
    F: Fn(Event<T>) -> Result<R, E> + Send + Sync + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    R: Serialize + 'static,
    E: HandlerError<K>,
{
    let handler = Arc::new(Caged::new(handler));
    Box::new(Stateless(move || {
        let handler = handler.clone();
        instance(Thread::default(), move |mut thread, event: Event<T>| {
            let handler = handler.clone();
            let worker_context = event.context().worker_context.clone();
            let lease = event.context().lease.as_ref().and_then(Weak::upgrade);
            let work = move || outcome((**handler)(event));
            // Caught on the thread, which goes on.
            let work = move || panic::catch(work).unwrap_or_else(|panicked| Err(panicked.into()));
            // Its log lines belong to its attempt, on any thread.
            let span = tracing::Span::current();
            let work = move || span.in_scope(work);
            // An abandoned run keeps its idempotency key until it ends, and its result is kept.
            let work = move || ExecutionLease::run(lease, work);
            let run = if worker_context.clock.is_simulated() {
                Ok(Thread::run_simulated(&worker_context.threads, work))
            } else {
                thread.run(
                    worker_context.function.as_str(),
                    &worker_context.threads,
                    work,
                )
            };
            async move {
                let outcome = match run {
                    Ok(run) => run.await.unwrap_or_else(|| Err(Failure::worker_lost())),
                    Err(error) => Err(Failure::no_thread(&error)),
                };
                (thread, outcome)
            }
        })
    }))
}

pub(crate) fn stateful<I, Fut, S, E, K, L>(init: I) -> Box<dyn Factory>
where
    I: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<S, E>> + 'static,
    S: Stateful<Error: HandlerError<L>>,
    E: HandlerError<K>,
    K: 'static,
    L: 'static,
{
    Box::new(Initialised {
        init: Caged::new(init),
        kinds: PhantomData,
    })
}

/// Builds its instances at once.
struct Stateless<M>(M);

impl<M: Fn() -> Box<dyn Instance> + Send + Sync> Factory for Stateless<M> {
    #[allow(private_interfaces, reason = "sealed")]
    fn build(&self) -> LocalBoxFuture<'static, Result<Box<dyn Instance>, Failure>> {
        Box::pin(std::future::ready(Ok((self.0)())))
    }
}

/// Builds its instances from the user's `init`.
struct Initialised<I, K, L> {
    init: Caged<I>,
    kinds: PhantomData<fn(K, L)>,
}

impl<I, Fut, S, E, K, L> Factory for Initialised<I, K, L>
where
    I: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<S, E>> + 'static,
    S: Stateful<Error: HandlerError<L>>,
    E: HandlerError<K>,
    K: 'static,
    L: 'static,
{
    #[allow(private_interfaces, reason = "sealed")]
    fn build(&self) -> LocalBoxFuture<'static, Result<Box<dyn Instance>, Failure>> {
        let state = (self.init)();
        Box::pin(async move {
            let state = caught(state, |state| state.map(Caged::new).map_err(failure)).await?;
            Ok(instance(state, handle::<S, L>))
        })
    }
}

pin_project! {
    /// A future of the user's, whose output is read by `read`. A panic is caught where it occurs: the future and what is
    /// around it are dropped after, not as it unwinds, for their `Drop` may panic too (over a poisoned mutex, say), and two
    /// panics at once abort the process.
    struct Caught<F, M> {
        #[pin]
        future: F,
        read: M,
    }
}

fn caught<F, R, M>(future: F, read: M) -> Caught<F, M>
where
    F: Future,
    M: Fn(F::Output) -> Result<R, Failure>,
{
    Caught { future, read }
}

impl<F, R, M> Future for Caught<F, M>
where
    F: Future,
    M: Fn(F::Output) -> Result<R, Failure>,
{
    type Output = Result<R, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = panic::catch(|| this.future.poll(cx).map(&*this.read));
        polled.unwrap_or_else(|panicked| Poll::Ready(Err(panicked.into())))
    }
}

/// One event through the state, which is caged: it is dropped with the future where that is given up, whose own `Drop` may
/// panic.
async fn handle<S, L>(mut state: Caged<S>, event: Event<S::Payload>) -> (Caged<S>, Outcome)
where
    S: Stateful<Error: HandlerError<L>>,
{
    let result = caught(state.handle(event), outcome).await;
    (state, result)
}

fn instance<S, M, T, Fut>(state: S, run: M) -> Box<dyn Instance>
where
    S: 'static,
    M: Fn(S, Event<T>) -> Fut + 'static,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    Fut: Future<Output = (S, Outcome)> + 'static,
{
    Box::new(Running {
        state: Some(state),
        run,
        future: Box::pin(None),
        payload: PhantomData,
    })
}

/// The state goes into the future and comes back with its outcome; after a timeout it never comes back. After
/// a panic the worker builds another.
struct Running<S, M, T, Fut> {
    state: Option<S>,
    run: M,
    future: Pin<Box<Option<Fut>>>,
    payload: PhantomData<fn(T)>,
}

impl<S, M, T, Fut> Instance for Running<S, M, T, Fut>
where
    M: Fn(S, Event<T>) -> Fut,
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
    Fut: Future<Output = (S, Outcome)>,
{
    fn begin(&mut self, payload: Payload, context: Context) -> Result<(), Failure> {
        let payload = payload.typed::<T>().map_err(|error| {
            let message = format!(
                "payload doesn't fit `{}`: {error}",
                std::any::type_name::<T>()
            );
            Failure::new(FailureKind::Payload, "PayloadMismatch", message)
        })?;
        let state = self.state.take().ok_or_else(Failure::worker_lost)?;
        let future = (self.run)(state, Event::new(payload, context));
        self.future.set(Some(future));
        Ok(())
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Outcome> {
        let Some(future) = self.future.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(Failure::worker_lost()));
        };
        let (state, outcome) = std::task::ready!(future.poll(cx));
        self.state = Some(state);
        self.future.set(None);
        Poll::Ready(outcome)
    }

    fn end(&mut self) {
        self.future.set(None);
    }

    fn is_whole(&self) -> bool {
        self.state.is_some()
    }
}

fn failure<E: HandlerError<K>, K>(error: E) -> Failure {
    panic::consume(error.into_error(), |error| {
        Failure::of(std::any::type_name::<E>(), &**error)
    })
}

fn outcome<R: Serialize + 'static, E: HandlerError<K>, K>(result: Result<R, E>) -> Outcome {
    let value = result.map_err(failure)?;
    if TypeId::of::<R>() == TypeId::of::<()>() {
        return Ok(None);
    }
    let json = panic::consume(value, serde_json::value::to_raw_value)
        .map_err(|error| Failure::new(FailureKind::Response, "Runtime.MarshalError", error))?;
    // INV-24 adds 100 bytes to the limit that it names.
    let limit = RESULT_MAX + 100;
    if json.get().len() > limit {
        let message =
            format!("Response payload size exceeded maximum allowed payload size ({limit} bytes).");
        return Err(Failure::new(
            FailureKind::Response,
            "Function.ResponseSizeTooLarge",
            message,
        ));
    }
    Ok(Some(json.into()))
}
