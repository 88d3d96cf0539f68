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

/// Whether somebody waits for the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum InvocationType {
    /// Nobody waits: the event is kept, retried, and dead-lettered if nothing helps.
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

/// What a caller may say of one event; most say nothing.
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
    /// An event for `function`, to be run in the background.
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

    /// Runs it no sooner than `delay` after it was accepted, whatever the wall clock is set to meanwhile. The delay may be
    /// longer than the event's maximum age, which counts from its end.
    pub fn delay(self, delay: Duration) -> Self {
        self.option(|options| options.start = Start::After(delay))
    }

    /// Runs it, and runs it again, no sooner than the wall clock shows `time`; one that has passed means at once. The event's
    /// maximum age counts from then.
    ///
    /// If the wall clock is set back, the event waits on, across restarts too. If it is set forward, that is not noticed:
    /// the event runs when the time has passed that was left when it was accepted.
    pub fn not_before(self, time: SystemTime) -> Self {
        self.option(|options| options.start = Start::At(time))
    }

    /// Proposes the event's request id. It is refused if an event the runtime knows has it already.
    pub fn request_id(self, id: impl Into<RequestId>) -> Self {
        self.option(|options| options.request_id = Some(id.into()))
    }

    /// Carries a trace header (`X-Amzn-Trace-Id`, XRY-01) to the handler, as it is. This, the traceparent, the client's
    /// context and the qualifier have at most 4,096 bytes each, unless
    /// [`Builder::headers_max`](crate::Builder::headers_max) says otherwise.
    pub fn trace_header(self, header: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.meta.trace_header = Some(header.into()))
    }

    /// Carries a W3C `traceparent` to the handler, as it is.
    pub fn traceparent(self, header: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.meta.traceparent = Some(header.into()))
    }

    /// Carries the client's context, as JSON, to the handler. Calls alone have one: that of an event is dropped (INV-06).
    pub fn client_context(self, json: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.meta.client_context = Some(ClientContext(json.into())))
    }

    /// Invokes this version or alias of the function; `$LATEST` unless set (INV-03). It is refused if the function
    /// doesn't have it.
    pub fn qualifier(self, qualifier: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.meta.qualifier = Some(qualifier.into()))
    }

    /// Says how many invocations stand before this one in its chain (REC-01). A client that comes from a
    /// handler's context counts by itself.
    pub fn hops(self, hops: u8) -> Self {
        self.option(|options| options.meta.hops = hops)
    }

    /// Replaces the function's retry policy for this event.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.option(|options| options.meta.retry = Some(policy))
    }

    /// Replaces the function's maximum event age for this event; see
    /// [`Function::event_age_max`](crate::Function::event_age_max) for what it counts from.
    pub fn event_age_max(self, age: Duration) -> Self {
        self.option(|options| options.meta.event_age_max = Some(age))
    }

    /// Accepts the event only if no other of the function was accepted with this key within the last `window`. Otherwise
    /// the receipt is that of the first one, marked [`duplicate`](field@Receipt::duplicate), and nothing is added (BYD-12).
    ///
    /// A key has 1 to 256 bytes. Where events are stored, it holds across restarts. A function may have
    /// [so many](crate::Function::deduplication_keys_max) keys at once.
    pub fn deduplicate(self, key: impl Into<Arc<str>>, window: Duration) -> Self {
        let key = key.into();
        self.option(|options| options.deduplicate = Some(Deduplicate { key, window }))
    }

    /// How safe this event has to be before its receipt, in place of what holds for the runtime. Refused where the
    /// runtime has no store that can do it; [`Durability::Memory`] always works.
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
    /// How long it is taken, from the acceptance of the first event that has it.
    pub window: Duration,
}
