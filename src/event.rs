//! An event: its request id, what a caller may say about it, and the receipt that says it is kept.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::origin::Origin;
use crate::payload::{Payload, PayloadError};
use crate::retry::RetryPolicy;
use crate::time::Time;

/// An event's UUID, the same on every attempt (ASY-04).
///
/// Those that the runtime gives are of version 8: 74 of their bits are random, so nobody guesses another's,
/// and the rest says where the event lies, so that looking one up needs no index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

/// Functions that a request id can number.
pub(crate) const FUNCTIONS_MAX: u32 = 1 << 20;
const SLOT_BITS: u32 = 28;

impl RequestId {
    /// The id of the event in `slot` of function number `function`.
    pub(crate) fn new(function: u32, slot: u32, random: u128) -> Self {
        let place = (u128::from(function) << SLOT_BITS) | u128::from(slot);
        let bits = (place << 80) | (random & ((1 << 80) - 1));
        Self(uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid())
    }

    /// Where the event lies, if the runtime gave this id: function number and slot.
    pub(crate) fn place(self) -> (u32, u32) {
        let place = (self.0.as_u128() >> 80) as u64;
        (
            (place >> SLOT_BITS) as u32,
            (place & ((1 << SLOT_BITS) - 1)) as u32,
        )
    }

    /// This id, but saying that its event is number `place` in a store.
    #[cfg_attr(
        not(any(feature = "disk", feature = "testing")),
        allow(dead_code, reason = "the stores'")
    )]
    pub(crate) fn store_at(self, place: u64) -> Self {
        let random = self.0.as_u128() & ((1 << 80) - 1);
        let bits = (u128::from(place) << 80) | random;
        Self(uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid())
    }

    /// The number of its event in a store, if a store gave this id.
    #[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the disk store's"))]
    pub(crate) fn stored_at(self) -> Option<u64> {
        let ours = self.0.get_version_num() == 8;
        ours.then_some((self.0.as_u128() >> 80) as u64)
    }

    /// The UUID itself.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl From<Uuid> for RequestId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for RequestId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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
    pub(crate) origin: Origin,
    pub(crate) hops: u8,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) event_age_max: Option<Duration>,
    pub(crate) redriven_from: Option<RequestId>,
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
        self.option(|options| options.origin.trace_header = Some(header.into()))
    }

    /// Carries a W3C `traceparent` to the handler, as it is.
    pub fn traceparent(self, header: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.origin.traceparent = Some(header.into()))
    }

    /// Carries the client's context, as JSON, to the handler. Calls alone have one: that of an event is dropped (INV-06).
    pub fn client_context(self, json: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.origin.client_context = Some(json.into()))
    }

    /// Invokes this version or alias of the function; `$LATEST` unless set (INV-03). It is refused if the function
    /// doesn't have it.
    pub fn qualifier(self, qualifier: impl Into<Arc<str>>) -> Self {
        self.option(|options| options.origin.qualifier = Some(qualifier.into()))
    }

    /// Says how many invocations stand before this one in its chain (REC-01). A client that comes from a
    /// handler's context counts by itself.
    pub fn hops(self, hops: u8) -> Self {
        self.option(|options| options.hops = hops)
    }

    /// Replaces the function's retry policy for this event.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.option(|options| options.retry = Some(policy))
    }

    /// Replaces the function's maximum event age for this event; see
    /// [`Function::event_age_max`](crate::Function::event_age_max) for what it counts from.
    pub fn event_age_max(self, age: Duration) -> Self {
        self.option(|options| options.event_age_max = Some(age))
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

/// How safe an accepted event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub enum Durability {
    /// It lives as long as the process.
    Memory,
    /// It survives the death of the process (`kill -9`), and of the machine except for what was accepted within the last
    /// so much time.
    DiskInterval(Duration),
    /// It survives the death of the process and the loss of power: it was synced to disk before the receipt.
    Disk,
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

/// The proof that an event was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Receipt {
    /// The event's id, for `status`, `wait` and `cancel`, and in logs and dead letters.
    pub request_id: RequestId,
    /// How safe it is.
    pub durability: Durability,
    /// An event with the same deduplication key had been accepted before: this is its id, and nothing was added.
    pub duplicate: bool,
    /// When the event was accepted; a duplicate, when it came.
    #[serde(skip)]
    pub(crate) accepted: Time,
}

impl Receipt {
    pub(crate) fn new(request_id: RequestId, durability: Durability, accepted: Time) -> Self {
        Self {
            request_id,
            durability,
            duplicate: false,
            accepted,
        }
    }

    pub(crate) fn duplicate(self) -> Self {
        Self {
            duplicate: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_says_where_its_event_lies() {
        for (function, slot) in [(0, 0), (1, 2), (FUNCTIONS_MAX - 1, (1 << SLOT_BITS) - 1)] {
            let id = RequestId::new(function, slot, u128::MAX / 3);
            assert_eq!(id.place(), (function, slot));
            assert_eq!(id.as_uuid().get_version_num(), 8);
            assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
        }
    }
}
