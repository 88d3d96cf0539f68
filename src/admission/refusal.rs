//! The errors for events that are refused because of their name, their mailbox, or their deduplication key.

use std::time::Duration;

use super::registry::NotRegistered;
use crate::base::excerpt::excerpt;
use crate::error::Fault;
use crate::error::{Bound, BuildError, InvokeError};
use crate::event::function_name::FunctionName;
use crate::event::request_id::{FUNCTIONS_MAX, RequestId};
use crate::mailbox::Mailbox;
use crate::queue::RefusalReason;

pub(super) fn unknown(function: &str) -> InvokeError {
    InvokeError::UnknownFunction {
        function: excerpt(function, NAME_SHOWN),
    }
}

/// Bytes of an unknown name that its error shows.
pub(super) const NAME_SHOWN: usize = 256;

/// Returns the refusal of an event whose function has as many deduplication keys as it may. `next` is when one may be
/// free, if that is known.
pub(super) fn keys_full(mailbox: &Mailbox, next: Option<Duration>) -> InvokeError {
    mailbox.meter(|meters| meters.throttles += 1);
    let soon = Duration::from_millis(10)..=Duration::from_secs(60);
    InvokeError::DeduplicationKeysFull {
        function: mailbox.name().to_string(),
        limit: mailbox.settings().deduplication_keys_max,
        retry_after: next
            .unwrap_or(*soon.end())
            .clamp(*soon.start(), *soon.end()),
    }
}

/// Returns the error for an event that a mailbox refused. `chosen_id` is the request id that the caller chose, if it did.
pub(super) fn refusal(
    mailbox: &Mailbox,
    refused: RefusalReason,
    chosen_id: Option<RequestId>,
) -> InvokeError {
    let settings = mailbox.settings();
    let bound = match (refused, chosen_id) {
        (RefusalReason::Removed, _) => return unknown(mailbox.name().as_str()),
        (RefusalReason::Closed, _) => return InvokeError::ShuttingDown,
        (RefusalReason::ReservedInUse(reserved), _) => {
            return InvokeError::ReservedConcurrencyInUse {
                function: mailbox.name().to_string(),
                reserved,
            };
        }
        (RefusalReason::RequestIdTaken, Some(request_id)) => {
            return InvokeError::RequestIdTaken { request_id };
        }
        (RefusalReason::BytesMax, _) => Bound::Bytes(settings.mailbox_bytes_max),
        (RefusalReason::EventsMax | RefusalReason::RequestIdTaken, _) => {
            Bound::Events(settings.mailbox_events_max)
        }
    };
    mailbox.meter(|meters| meters.throttles += 1);
    let retry_after: Duration = mailbox.inspect().retry_after();
    InvokeError::MailboxFull {
        function: mailbox.name().to_string(),
        bound,
        retry_after,
    }
}

/// Returns the error for a function that the registry refused.
pub(super) fn not_registered(name: &FunctionName, refused: NotRegistered) -> BuildError {
    let (field, problem) = match refused {
        NotRegistered::NameTaken => ("name", "is taken by another function".to_owned()),
        NotRegistered::NameOf(current) => (
            "name",
            format!(
                "is the former name of function `{current}`: use another, or take `formerly` from that"
            ),
        ),
        NotRegistered::FormerTaken(former, other) => (
            "formerly",
            format!(
                "`{former}` is, or was, the name of function `{other}`: only one can have what is kept under it"
            ),
        ),
        NotRegistered::NumbersMax => (
            "name",
            format!("would be function number {FUNCTIONS_MAX}, more than a runtime can have"),
        ),
    };
    BuildError::Settings(vec![Fault {
        function: name.to_string(),
        field,
        problem,
    }])
}
