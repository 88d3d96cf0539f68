//! The owner of a log: one event of one function.

use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;

/// The key of a log. A request id alone would not do: callers choose ids, and may choose a forgotten one again for another
/// function, whose log must not show the first one's lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LogOwner {
    pub(super) event: RequestId,
    pub(super) function: FunctionName,
}

impl LogOwner {
    pub(crate) fn new(function: FunctionName, event: RequestId) -> Self {
        Self { event, function }
    }
}
