//! The event as its handler sees it: the payload, and the context of the attempt.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use crate::base::clock::Clock;
use crate::base::threads::Threads;
use crate::base::time::Time;
use crate::event::function_name::FunctionName;
use crate::event::meta::SharedMeta;
use crate::event::payload::Typed;
use crate::event::request_id::RequestId;
use crate::idempotency::lease::{ExecutionLease, ExecutionLeases};

/// An event, given to a handler. Dereferences to the payload.
///
/// The payload is shared: the event is kept for its next attempt until this one succeeds.
pub struct Event<T> {
    payload: Arc<Typed<T>>,
    context: Context,
}

impl<T> Event<T> {
    pub(crate) fn new(payload: Arc<Typed<T>>, context: Context) -> Self {
        Self { payload, context }
    }

    /// Returns the payload.
    pub fn payload(&self) -> &T {
        self.payload.get()
    }

    /// Returns the attempt: its event, its number, its deadline.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

impl<T> Deref for Event<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.payload.get()
    }
}

impl<T> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// The attempt that a handler runs: its event, its number, its deadline.
#[derive(Clone)]
pub struct Context {
    pub(crate) request_id: RequestId,
    pub(crate) attempt: u32,
    pub(crate) accepted: Time,
    pub(crate) deadline: Time,
    pub(crate) meta: SharedMeta,
    pub(crate) worker_context: Arc<WorkerContext>,
    /// The attempt's lease of its idempotency key, if it has one. A kept context doesn't keep the lease.
    pub(crate) lease: Option<Weak<ExecutionLease>>,
}

/// The values that all attempts of one worker share.
pub(crate) struct WorkerContext {
    pub(crate) function: FunctionName,
    pub(crate) clock: Clock,
    /// The way into the runtime for a client of the context. `client/mod.rs` knows its type, which holds mailboxes and so
    /// functions and so contexts: naming it here would close that circle.
    pub(crate) entrance: Arc<dyn Any + Send + Sync>,
    /// The number of the run that is to be given up, if it is still going on.
    pub(crate) abort: AtomicU64,
    pub(crate) leases: Arc<ExecutionLeases>,
    /// For a function that blocks.
    pub(crate) threads: Arc<Threads>,
}

#[cfg(test)]
impl WorkerContext {
    /// Returns a context without a runtime.
    pub(crate) fn for_test() -> Arc<Self> {
        Arc::new(Self {
            function: FunctionName::new("f"),
            clock: Clock::real(),
            entrance: Arc::new(()),
            abort: AtomicU64::default(),
            leases: Arc::new(ExecutionLeases::new(Default::default())),
            threads: Arc::default(),
        })
    }
}

impl Context {
    /// The event's request id, the same on every attempt (ASY-04).
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// 1 for the first attempt.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The function that runs.
    pub fn function(&self) -> &FunctionName {
        &self.worker_context.function
    }

    /// Returns how many invocations stand before this one in its chain; 0 if it came from outside.
    pub fn hops(&self) -> u8 {
        self.meta.hops
    }

    /// The trace header (`X-Amzn-Trace-Id`): the caller's as given, or that of the trace which begins with this event
    /// (XRY-04). The same on every attempt.
    pub fn trace_header(&self) -> Cow<'_, str> {
        self.meta.trace_header(self.request_id, self.accepted)
    }

    /// The trace header to send with a request that the handler makes, to AWS's services or to a
    /// [`LambdaApi`](crate::http::LambdaApi): it says how long this chain of invocations is, so that a loop is noticed
    /// (REC-02).
    #[cfg(feature = "http")] // the header is read by the HTTP API
    pub fn onward_trace_header(&self) -> String {
        crate::event::trace::onward(&self.trace_header(), self.hops())
    }

    /// The caller's W3C `traceparent`, as given.
    pub fn traceparent(&self) -> Option<&str> {
        self.meta.traceparent.as_deref()
    }

    /// The client's context, as JSON. Calls alone have one (INV-06).
    pub fn client_context(&self) -> Option<&str> {
        self.meta.client_context()
    }

    /// The version or alias that was invoked, as the caller gave it (NAM-16).
    pub fn qualifier(&self) -> Option<&str> {
        self.meta.qualifier.as_deref()
    }

    /// The version that runs: `$LATEST`, or the one that the qualifier stands for.
    pub fn version(&self) -> &str {
        self.meta.version()
    }

    /// Returns when the event was accepted.
    pub fn accepted_at(&self) -> SystemTime {
        self.worker_context.clock.wall(self.accepted)
    }

    /// Returns when this attempt times out.
    pub fn deadline(&self) -> SystemTime {
        self.worker_context.clock.wall(self.deadline)
    }

    /// Returns how long this attempt may still run.
    pub fn remaining(&self) -> Duration {
        self.deadline.since(self.worker_context.clock.now())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("function", self.function())
            .field("request_id", &self.request_id)
            .field("attempt", &self.attempt)
            .field("hops", &self.hops())
            .finish_non_exhaustive()
    }
}
