//! The rarely set fields of an event: traces, qualifier, hops, a retry policy for this one event, and the like.
//!
//! Every form of an event carries them as one value, [`SharedMeta`], from its invocation to its dead letter. A new field
//! is defined here, set in `event/invoke.rs`, and written and read in `store/disk/record.rs`. An event that sets none
//! of them pays one empty pointer.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::base::time::Time;
use crate::event::request_id::RequestId;
use crate::event::retry_policy::RetryPolicy;
use crate::event::trace;

/// The rarely set fields of an event. A [`StoredEvent`](crate::store::StoredEvent) and a
/// [`Letter`](crate::Letter) dereference to them.
///
/// It serialises to the fields that a dead letter shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EventMeta {
    /// The trace header. In a dead letter: the caller's as given, or that of the trace which began with the event.
    pub trace_header: Option<Arc<str>>,
    /// The caller's W3C `traceparent`, as given.
    pub traceparent: Option<Arc<str>>,
    /// The version or alias that was invoked, in the form that the caller gave (NAM-16).
    pub qualifier: Option<Arc<str>>,
    /// The version that the qualifier stands for; none is `$LATEST`.
    pub version: Option<Arc<str>>,
    /// How many invocations stand before this one in its chain.
    pub hops: u8,
    /// The dead letter that this event was redriven from, whose place it takes.
    pub redriven_from: Option<RequestId>,
    /// The retry policy of this one event, in place of its function's.
    #[serde(skip)]
    pub retry: Option<RetryPolicy>,
    /// The maximum age of this one event, in place of its function's.
    #[serde(skip)]
    pub event_age_max: Option<Duration>,
    /// Only calls have one (INV-06). It is never stored.
    #[serde(skip)]
    pub(crate) client_context: Option<ClientContext>,
}

/// The version of the registered code.
pub(crate) const LATEST: &str = "$LATEST";

/// The client's context of a call, as JSON. Like a payload, it is kept out of logs.
#[derive(Clone, PartialEq)]
pub(crate) struct ClientContext(pub(crate) Arc<str>);

impl fmt::Debug for ClientContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientContext(..)")
    }
}

impl EventMeta {
    /// The fields of an event that sets none.
    const NONE: Self = Self {
        trace_header: None,
        traceparent: None,
        qualifier: None,
        version: None,
        hops: 0,
        redriven_from: None,
        retry: None,
        event_age_max: None,
        client_context: None,
    };

    /// Returns the name of a text that is longer than `max` bytes, and its length.
    pub(crate) fn longer_than(&self, max: usize) -> Option<(&'static str, usize)> {
        let lengths = self.texts().map(|(name, text)| (name, text.len()));
        lengths.into_iter().find(|&(_, bytes)| bytes > max)
    }

    /// Returns the bytes of all texts that came from the caller.
    pub(crate) fn text_len(&self) -> usize {
        self.texts().iter().map(|(_, text)| text.len()).sum()
    }

    /// The texts that came from the caller, each with the name of the method that sets it.
    fn texts(&self) -> [(&'static str, &str); 4] {
        [
            ("trace_header", self.trace_header.as_deref()),
            ("traceparent", self.traceparent.as_deref()),
            ("client_context", self.client_context()),
            ("qualifier", self.qualifier.as_deref()),
        ]
        .map(|(name, text)| (name, text.unwrap_or_default()))
    }

    /// Returns the event's trace header: its caller's, or that of the trace which begins with the event (XRY-04). The
    /// latter is computed from fields that never change, so it is not stored.
    pub(crate) fn trace_header(&self, id: RequestId, accepted: Time) -> Cow<'_, str> {
        match self.trace_header.as_deref() {
            Some(given) => Cow::Borrowed(given),
            None => Cow::Owned(trace::beginning(id, accepted.stored())),
        }
    }

    /// Returns the client's context, as JSON.
    pub(crate) fn client_context(&self) -> Option<&str> {
        self.client_context.as_ref().map(|context| &*context.0)
    }

    /// Returns the version that runs: `$LATEST`, or the one that the qualifier stands for.
    pub(crate) fn version(&self) -> &str {
        self.version.as_deref().unwrap_or(LATEST)
    }

    /// Sets the header of the trace that begins with the event, unless the caller gave one.
    pub(crate) fn begin_trace(&mut self, id: RequestId, accepted: Time) {
        if self.trace_header.is_none() {
            self.trace_header = Some(trace::beginning(id, accepted.stored()).into());
        }
    }

    /// Returns the fields that an event inherits which this one gives rise to: the traces.
    pub(crate) fn traces(&self) -> Self {
        Self {
            trace_header: self.trace_header.clone(),
            traceparent: self.traceparent.clone(),
            ..Self::default()
        }
    }

    /// Returns the fields of the event that takes the place of the dead letter `letter`: the same, in a new chain.
    pub(crate) fn redriven(&self, letter: RequestId) -> Self {
        Self {
            redriven_from: Some(letter),
            hops: 0,
            ..self.clone()
        }
    }
}

/// The [`EventMeta`] of one event, shared by all its forms. It takes no memory of its own where no field is set.
#[derive(Clone, Default)]
pub(crate) struct SharedMeta(Option<Arc<EventMeta>>);

impl SharedMeta {
    /// Returns whether no field is set.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the fields for changing: copied first if another form of the event shares them.
    pub(crate) fn make_mut(&mut self) -> &mut EventMeta {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl From<EventMeta> for SharedMeta {
    fn from(meta: EventMeta) -> Self {
        Self((meta != EventMeta::NONE).then(|| Arc::new(meta)))
    }
}

impl Deref for SharedMeta {
    type Target = EventMeta;

    #[inline]
    fn deref(&self) -> &EventMeta {
        static NONE: EventMeta = EventMeta::NONE;
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl fmt::Debug for SharedMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for SharedMeta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}
