//! An invocation of a function, before it is accepted: the payload, and the options of this one event.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::event::meta::{ClientContext, EventMeta};
use crate::event::payload::{Payload, PayloadError};
use crate::event::receipt::Durability;
use crate::event::request_id::RequestId;
use crate::event::retry_policy::RetryPolicy;

/// Whether the caller waits for the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum InvocationType {
    /// The caller does not wait: the event is kept, retried, and dead-lettered after its last attempt.
    Event,
    /// The caller waits: one attempt, no retry, no dead letter.
    RequestResponse,
}

/// An invocation of a function, as a message to the [`Router`](crate::Router) or an argument of
/// [`Client::send`](crate::Client::send).
#[derive(Debug, Clone)]
#[must_use = "an invocation does nothing until it is sent"]
pub struct Invoke {
    pub(crate) function: Cow<'static, str>,
    pub(crate) payload: Result<Payload, PayloadError>,
    pub(crate) options: Option<Box<Options>>,
}

/// The settings of one event. Most events have none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) start: Start,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) meta: EventMeta,
    pub(crate) deduplicate: Option<Deduplicate>,
    pub(crate) durability: Option<Durability>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Start {
    #[default]
    Now,
    After(Duration),
    At(SystemTime),
}

impl Invoke {
    /// Returns the invocation of `function` with an event, which runs in the background.
    ///
    /// The payload is any serialisable value, or a [`Payload`]. One that can't be written as JSON is
    /// refused when the invocation is sent.
    pub fn event<T: Serialize + Send + Sync + 'static>(
        function: impl Into<Cow<'static, str>>,
        payload: T,
    ) -> Self {
        Self {
            function: function.into(),
            payload: Payload::new(payload),
            options: None,
        }
    }

    /// Runs it no sooner than `delay` after it was accepted, independent of the wall clock. The delay may be longer than the
    /// event's maximum age, which counts from the end of the delay.
    pub fn delay(self, delay: Duration) -> Self {
        self.option(|options| options.start = Start::After(delay))
    }

    /// Runs and retries it no sooner than the wall clock shows `time`. A time that has passed means at once. The event's
    /// maximum age counts from `time`.
    ///
    /// If the wall clock is set back, the event waits on, also across restarts. A wall clock that is set forward is not
    /// noticed: the event waits for the time that was left when it was accepted.
    pub fn not_before(self, time: SystemTime) -> Self {
        self.option(|options| options.start = Start::At(time))
    }

    /// Chooses the event's request id. Refused if another event that the runtime knows has it.
    pub fn request_id(self, id: impl Into<RequestId>) -> Self {
        self.option(|options| options.request_id = Some(id.into()))
    }

    /// Carries a trace header (`X-Amzn-Trace-Id`, XRY-01) to the handler, as it is. The trace header, the traceparent, the
    /// client's context and the qualifier have at most 4,096 bytes each; [`Builder::headers_max`](crate::Builder::headers_max)
    /// changes that.
    pub fn trace_header(self, header: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.meta.trace_header = Some(header.into()))
    }

    /// Carries a W3C `traceparent` to the handler, as it is.
    pub fn traceparent(self, header: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.meta.traceparent = Some(header.into()))
    }

    /// Carries the client's context, as JSON, to the handler. Only calls have one: that of an event is dropped (INV-06).
    pub fn client_context(self, json: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.meta.client_context = Some(ClientContext(json.into())))
    }

    /// Invokes this version or alias of the function; `$LATEST` unless set (INV-03). Refused if the function doesn't have it.
    pub fn qualifier(self, qualifier: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.meta.qualifier = Some(qualifier.into()))
    }

    /// Sets the number of invocations before this one in its chain (REC-01). A client from a handler's context sets it
    /// itself.
    pub fn hops(self, hops: u8) -> Self {
        self.option(|options| options.meta.hops = hops)
    }

    /// Replaces the function's retry policy for this event.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.option(|options| options.meta.retry = Some(policy))
    }

    /// Replaces the function's maximum event age for this event. See
    /// [`Function::event_age_max`](crate::Function::event_age_max) for its start.
    pub fn event_age_max(self, age: Duration) -> Self {
        self.option(|options| options.meta.event_age_max = Some(age))
    }

    /// Accepts the event only if no other event of the function with this key was accepted within the last `window`. Otherwise
    /// the caller gets the receipt of the first one, marked [`duplicate`](field@crate::Receipt::duplicate), and nothing is
    /// added (BYD-12).
    ///
    /// A key has 1 to 256 bytes. If events are stored, it holds across restarts.
    /// [`Function::deduplication_keys_max`](crate::Function::deduplication_keys_max) bounds the number of keys.
    pub fn deduplicate(self, key: impl Into<Arc<str>>, window: Duration) -> Self {
        let key = key.into();
        self.option(|options| options.deduplicate = Some(Deduplicate { key, window }))
    }

    /// Sets the durability that this event must have before its receipt, in place of the runtime's. Refused if the runtime
    /// has no store for it; [`Durability::Memory`] always works.
    pub fn durability(self, durability: Durability) -> Self {
        self.option(|options| options.durability = Some(durability))
    }

    pub(crate) fn option(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(self.options.get_or_insert_default());
        self
    }
}

/// A key that only one event of a function may have within a window of time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deduplicate {
    /// The key.
    pub key: Arc<str>,
    /// How long the key is taken, from the acceptance of its first event.
    pub window: Duration,
}
