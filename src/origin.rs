//! What an event carries from its caller to its handler beside the payload: traces, the client's context, and under which
//! qualifier the function was invoked.

use std::sync::Arc;

/// The caller's words. Most events have none; the others share one allocation, whatever of it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

impl Origin {
    /// Shared, if it says anything.
    pub(crate) fn shared(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }

    /// What an event that this one gives rise to inherits: its traces.
    pub(crate) fn heirloom(&self) -> Option<Arc<Self>> {
        let traces = Self {
            trace_header: self.trace_header.clone(),
            traceparent: self.traceparent.clone(),
            ..Self::default()
        };
        traces.shared()
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
