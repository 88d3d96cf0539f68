//! Destinations: the receivers of the records of finished events, and the record itself.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use actix::{Message, Recipient};
use serde::Serialize;

use crate::base::panic::Caged;
use crate::base::time::rfc3339;
use crate::event::dead_letter::{Condition, DeadLetter};
use crate::event::failure::{Failure, FailureKind};
use crate::event::meta::LATEST;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;

/// A receiver of [`InvocationRecord`]s.
///
/// A record is handed over once, when its event finishes, and not again if that fails. A failure is counted in
/// `DestinationDeliveryFailures` and logged; the event itself stays finished.
#[derive(Clone)]
pub struct Destination(pub(crate) DestinationTarget);

#[derive(Clone)]
pub(crate) enum DestinationTarget {
    Function(Arc<str>, Option<Arc<str>>),
    Recipient(Recipient<InvocationRecord>),
    Closure(Arc<dyn Fn(InvocationRecord) + Send + Sync>),
}

impl Destination {
    /// Another function: the record becomes an event of it (DST-13), one hop further.
    pub fn function(name: impl Into<Arc<str>>) -> Self {
        Self::qualified(name.into(), None)
    }

    /// Another function, under a qualifier.
    pub(crate) fn qualified(function: Arc<str>, qualifier: Option<Arc<str>>) -> Self {
        Self(DestinationTarget::Function(function, qualifier))
    }

    /// An actor. One whose mailbox is full or closed misses the record, which is counted and logged.
    pub fn recipient(recipient: Recipient<InvocationRecord>) -> Self {
        Self(DestinationTarget::Recipient(recipient))
    }

    /// A closure. It runs on an arbiter of the workers and must not block: its function is then named, and the arbiter
    /// replaced, as for a handler. A panic in it is counted and logged. Of the records of dead events, at most 10,000 of a
    /// function with 64 MiB wait for it; further ones are not delivered.
    pub fn closure(closure: impl Fn(InvocationRecord) + Send + Sync + 'static) -> Self {
        // It is dropped on the thread that delivers last.
        let closure = Caged::new(closure);
        Self(DestinationTarget::Closure(Arc::new(move |record| {
            let deliver = &*closure;
            deliver(record);
        })))
    }

    /// Returns whether delivering to it runs user code. A function gets its record as JSON, and the payload's `Serialize`
    /// is the user's.
    pub(crate) fn runs_user_code(&self) -> bool {
        !matches!(self.0, DestinationTarget::Recipient(_))
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            DestinationTarget::Function(name, _) => f.debug_tuple("Function").field(name).finish(),
            DestinationTarget::Recipient(_) => f.write_str("Recipient"),
            DestinationTarget::Closure(_) => f.write_str("Closure"),
        }
    }
}

/// The record of a finished event, in AWS's form, version 1.0 (DST-03 to DST-10).
#[derive(Clone, Debug, Serialize, Message)]
#[rtype(result = "()")]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InvocationRecord {
    /// Always `1.0`.
    pub version: &'static str,
    /// When the event finished.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: SystemTime,
    /// Which event it was and how it ended.
    pub request_context: RequestContext,
    /// The payload, as JSON (DST-06).
    pub request_payload: Payload,
    /// Absent if it never ran (DST-10).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_context: Option<ResponseContext>,
    /// The result, or the error as an object; absent if it never ran (DST-10).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_payload: Option<Payload>,
}

/// DST-04
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RequestContext {
    /// The event's request id.
    pub request_id: RequestId,
    /// Always qualified.
    pub function_arn: String,
    /// `Success`, or a [`Condition`] by its name (DST-07).
    pub condition: String,
    /// How many attempts ran (DST-21).
    pub approximate_invoke_count: u32,
}

/// DST-05
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ResponseContext {
    /// Always 200: the function was reached.
    pub status_code: u16,
    /// `$LATEST`, or the version that ran.
    pub executed_version: Arc<str>,
    /// `Unhandled` if the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_error: Option<&'static str>,
}

impl ResponseContext {
    fn new(version: Option<Arc<str>>, function_error: Option<&'static str>) -> Self {
        Self {
            status_code: 200,
            executed_version: version.unwrap_or_else(|| LATEST.into()),
            function_error,
        }
    }
}

/// INV-21
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorObject<'a> {
    error_message: &'a str,
    error_type: &'a str,
    /// Empty where the function could not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stack_trace: &'a [String],
}

impl InvocationRecord {
    /// The record of an event that succeeded after so many attempts.
    pub(crate) fn success(
        arn: String,
        (request_id, attempts): (RequestId, u32),
        version: Option<Arc<str>>,
        payload: Payload,
        result: Option<Payload>,
        timestamp: SystemTime,
    ) -> Self {
        Self {
            version: "1.0",
            timestamp,
            request_context: RequestContext {
                request_id,
                function_arn: arn,
                condition: "Success".to_owned(),
                approximate_invoke_count: attempts,
            },
            request_payload: payload,
            response_context: Some(ResponseContext::new(version, None)),
            response_payload: Some(result.unwrap_or_else(Payload::null)),
        }
    }

    /// The record of an event that died.
    pub(crate) fn failure(arn: String, letter: &DeadLetter) -> Self {
        let failure = letter
            .failure()
            .filter(|_| letter.condition != Condition::ZeroReservedConcurrency);
        Self {
            version: "1.0",
            timestamp: letter.died_at,
            request_context: RequestContext {
                request_id: letter.request_id,
                function_arn: arn,
                condition: letter.condition.to_string(),
                approximate_invoke_count: letter.attempt_count,
            },
            request_payload: letter.payload.clone(),
            response_context: failure
                .map(|_| ResponseContext::new(letter.version.clone(), Some("Unhandled"))),
            response_payload: failure.and_then(|failure| error_object(letter.request_id, failure)),
        }
    }
}

/// Returns a failure as the error object that AWS sends.
pub(crate) fn error_object(request_id: RequestId, failure: &Failure) -> Option<Payload> {
    // INV-22, INV-23, INV-25: failures that the runtime reports have AWS's texts.
    let message = match failure.kind {
        FailureKind::Timeout => {
            let text = &failure.message;
            let text = text.strip_prefix("task").unwrap_or(text);
            Some(format!("RequestId: {request_id} Error: Task{text}"))
        }
        FailureKind::WorkerLost => Some(format!(
            "RequestId: {request_id} Error: Runtime exited without providing a reason"
        )),
        FailureKind::Panic => failure
            .message
            .strip_prefix("panicked: ")
            .map(|text| format!("Lambda panicked: {text}")),
        _ => None,
    };
    // INV-21: failures without a response of the handler have the id in their text, or nowhere.
    let request_id = match failure.kind {
        FailureKind::Init => Some(String::new()),
        FailureKind::Panic
        | FailureKind::Timeout
        | FailureKind::WorkerLost
        | FailureKind::ProcessCrash => None,
        FailureKind::Response if failure.error_type == "Function.ResponseSizeTooLarge" => None,
        _ => Some(request_id.to_string()),
    };
    let object = ErrorObject {
        error_message: message.as_ref().unwrap_or(&failure.message),
        error_type: &failure.error_type,
        request_id,
        stack_trace: &failure.causes,
    };
    serde_json::value::to_raw_value(&object)
        .ok()
        .map(Payload::from)
}
