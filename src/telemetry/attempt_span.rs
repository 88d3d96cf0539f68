//! The `tracing` span of one attempt, in which its handler runs and logs.

use tracing::Span;

use crate::base::time::Time;
use crate::event::function_name::FunctionName;
use crate::event::meta::EventMeta;
use crate::event::request_id::RequestId;

pub(super) const NAME: &str = "attempt";
pub(super) const TARGET: &str = "redrive";

/// Returns the span of an attempt, with the fields `function`, `request_id`, `attempt`, `trace_header`, and `traceparent` if
/// the caller gave one.
pub(crate) fn attempt_span(
    function: &FunctionName,
    request_id: RequestId,
    attempt: u32,
    meta: &EventMeta,
    accepted: Time,
) -> Span {
    // Without a subscriber, even reading the fields costs too much.
    if !tracing::dispatcher::has_been_set() {
        return Span::none();
    }
    let traceparent = meta.traceparent.as_deref();
    tracing::info_span!(target: TARGET, NAME, %function, %request_id, attempt, trace_header = &*meta.trace_header(request_id, accepted), traceparent)
}
