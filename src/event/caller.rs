//! What an event carries from its caller to its handler beside the payload: traces, the client's context, and under which
//! qualifier the function was invoked.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::base::time::Time;
use crate::event::request_id::RequestId;
use crate::event::trace;

/// The caller's words. Most events have none; the others share one allocation, whatever of it is said.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) trace_header: Option<Arc<str>>,
    pub(crate) traceparent: Option<Arc<str>>,
    /// JSON; of calls alone (INV-06).
    pub(crate) client_context: Option<Arc<str>>,
    /// As given, so that the handler sees the caller's form (NAM-16).
    pub(crate) qualifier: Option<Arc<str>>,
    /// The version that the qualifier stands for; none is `$LATEST`.
    pub(crate) version: Option<Arc<str>>,
}

/// The version of what is registered now.
pub(crate) const LATEST: &str = "$LATEST";

impl fmt::Debug for Origin {
    /// Without the client's context, which is the caller's as a payload is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("trace_header", &self.trace_header)
            .field("traceparent", &self.traceparent)
            .field("qualifier", &self.qualifier)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// A header that is longer than `max` bytes, by name, and how long it is.
    pub(crate) fn longer_than(&self, max: usize) -> Option<(&'static str, usize)> {
        let headers = [
            ("trace_header", &self.trace_header),
            ("traceparent", &self.traceparent),
            ("client_context", &self.client_context),
            ("qualifier", &self.qualifier),
        ];
        let lengths = headers.map(|(name, text)| (name, text.as_ref().map_or(0, |it| it.len())));
        lengths.into_iter().find(|&(_, bytes)| bytes > max)
    }

    /// Shared, if it says anything.
    pub(crate) fn shared(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }
}

/// The event's trace header: its caller's, or that of the trace which begins with it (XRY-04). The latter is made of what
/// never changes of an event, so that nothing has to be kept.
pub(crate) fn trace_header(origin: Option<&Origin>, id: RequestId, accepted: Time) -> Cow<'_, str> {
    match origin.and_then(|origin| origin.trace_header.as_deref()) {
        Some(given) => Cow::Borrowed(given),
        None => Cow::Owned(trace::beginning(id, accepted.stored())),
    }
}

/// What an event that this one gives rise to inherits: its traces.
pub(crate) fn traces(origin: Option<&Origin>, id: RequestId, accepted: Time) -> Origin {
    let given = origin.and_then(|origin| origin.trace_header.clone());
    let header = given.unwrap_or_else(|| trace::beginning(id, accepted.stored()).into());
    Origin {
        trace_header: Some(header),
        traceparent: origin.and_then(|origin| origin.traceparent.clone()),
        ..Origin::default()
    }
}

/// As what the function was invoked: the qualifier as given, and the version that runs.
pub(crate) fn qualifier(origin: Option<&Arc<Origin>>) -> Option<&str> {
    origin.and_then(|origin| origin.qualifier.as_deref())
}

pub(crate) fn version(origin: Option<&Arc<Origin>>) -> &str {
    let version = origin.and_then(|origin| origin.version.as_deref());
    version.unwrap_or(LATEST)
}
