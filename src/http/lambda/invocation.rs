//! The request of an invocation: its mode, its headers and its payload (INV-04 to INV-09, INV-26, INV-27).

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::function_ref::FunctionRef;
use crate::client::Client;
use crate::event::Invoke;
use crate::event::payload::Payload;
use crate::event::trace;
use crate::http::body::BodyError;
use crate::http::error::ApiError;
use crate::http::request::Incoming;

/// The mode of an invocation, AWS's `InvocationType` (INV-04).
#[derive(Clone, Copy, PartialEq)]
pub(super) enum InvocationMode {
    RequestResponse,
    Event,
    DryRun,
}

/// INV-06
const CLIENT_CONTEXT_MAX: usize = 3_583;

// Made once: a name that is text is parsed anew for each request.
const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");
const LOG_TYPE: HeaderName = HeaderName::from_static("x-amz-log-type");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("x-amz-client-context");
pub(super) const TRACE: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

// The model refuses other values than these.

impl InvocationMode {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match headers.get(&INVOCATION_TYPE).map(HeaderValue::as_bytes) {
            Some(b"Event") => Self::Event,
            Some(b"DryRun") => Self::DryRun,
            _ => Self::RequestResponse,
        }
    }

    fn payload_max(self, client: &Client) -> usize {
        match self {
            Self::Event => client.event_payload_max(),
            Self::RequestResponse | Self::DryRun => client.call_payload_max(),
        }
    }

    fn too_large(self, bytes: usize, max: usize) -> ApiError {
        match self {
            // INV-27
            Self::Event => ApiError::too_large(format!(
                "{bytes} byte payload is too large for the Event invocation type (limit {max} bytes)"
            )),
            _ => ApiError::request_too_large(max, "InvokeFunction"),
        }
    }
}

/// Returns whether the caller wants the end of the log (INV-05).
pub(super) fn wants_log(headers: &HeaderMap) -> bool {
    headers.get(&LOG_TYPE).is_some_and(|value| value == "Tail")
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    match headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_| {
            ApiError::invalid_parameter(format!("the header {name} isn't printable ASCII"))
        }),
    }
}

/// Returns the client context as JSON, if the function gets one (INV-06).
pub(super) fn client_context(
    incoming: &Incoming<'_>,
    mode: InvocationMode,
) -> Result<Option<String>, ApiError> {
    let Some(given) = header(incoming.http.headers(), &CLIENT_CONTEXT)? else {
        return Ok(None);
    };
    if given.len() > CLIENT_CONTEXT_MAX {
        return Err(ApiError::invalid_content(format!(
            "Client context must be at most {CLIENT_CONTEXT_MAX} bytes of Base64: it has {}",
            given.len()
        )));
    }
    let text = STANDARD.decode(given).ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    // Only the outermost form is checked: the function reads the members.
    let is_object =
        |json: &String| Payload::from_json(&**json).is_ok() && json.trim_start().starts_with('{');
    let json = text.filter(is_object).ok_or_else(|| {
        ApiError::invalid_content("Client context must be a valid Base64-encoded JSON object.")
    })?;
    Ok((mode == InvocationMode::RequestResponse).then_some(json))
}

/// Returns the body, as large as the mode of the invocation allows.
pub(super) async fn body(incoming: &mut Incoming<'_>) -> Result<Vec<u8>, ApiError> {
    let mode = InvocationMode::of(incoming.http.headers());
    let max = mode.payload_max(&incoming.api.client);
    let bytes = incoming.bytes(max).await;
    bytes.map_err(|error| match error {
        BodyError::Failed(error) => error,
        BodyError::TooLarge(bytes) => mode.too_large(bytes, max),
    })
}

/// Returns a body as a payload; an empty body counts as `{}` (INV-08, INV-09).
pub(super) fn payload(bytes: Vec<u8>) -> Result<Payload, ApiError> {
    let refuse = |detail: &dyn std::fmt::Display| {
        ApiError::invalid_content(format!(
            "Could not parse request body into json: Could not parse payload into json: {detail}"
        ))
    };
    if bytes.is_empty() {
        return Payload::from_json("{}").map_err(|error| refuse(&error));
    }
    let text = String::from_utf8(bytes).map_err(|error| refuse(&error.utf8_error()))?;
    Payload::from_json(text).map_err(|error| refuse(&error))
}

/// Returns the invocation of a function with a payload, and with the request's trace, qualifier and chosen id.
pub(super) fn invocation(
    incoming: &Incoming<'_>,
    target: &FunctionRef<'_>,
    payload: Payload,
) -> Invoke {
    let mut invoke = Invoke::event(target.name.to_owned(), payload);
    if let Some(received) = incoming.header(&TRACE).and_then(trace::received) {
        invoke = invoke.trace_header(received.header).hops(received.hops);
    }
    if let Some(parent) = incoming.header(&TRACE_PARENT) {
        invoke = invoke.traceparent(parent);
    }
    if let Some(qualifier) = &target.qualifier {
        invoke = invoke.qualifier(&**qualifier);
    }
    if incoming.id_is_chosen {
        invoke = invoke.request_id(incoming.id);
    }
    invoke
}
