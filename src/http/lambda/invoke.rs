//! Invocations: AWS's `Invoke` in its three types, and the old `InvokeAsync` (INV-01 to INV-33).

use std::borrow::Cow;
use std::time::SystemTime;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::clock;
use crate::client::Client;
use crate::error::{CallError, InvokeError};
use crate::event::failure::{Failure, FailureKind};
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::event::trace;
use crate::event::{InvocationType, Invoke};
use crate::function::destination::error_object;
use crate::http::error::{ApiError, REQUEST_ID};
use crate::http::lambda::function_ref::Target;
use crate::http::request::{Incoming, Unread, decode};

/// INV-04
#[derive(Clone, Copy, PartialEq)]
enum Type {
    RequestResponse,
    Event,
    DryRun,
}

/// Bytes of a log that an answer carries (INV-18).
const TAIL_MAX: usize = 4_096;
/// INV-06
const CLIENT_CONTEXT_MAX: usize = 3_583;
/// INV-31
const INVOKE_ASYNC_MAX: usize = 262_144;

pub(crate) async fn invoke(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let headers = incoming.http.headers();
    let name = decode(function)?;
    let (kind, tail) = (kind(headers), wants_tail(headers));
    let target = incoming.target(&name)?;
    let context = client_context(incoming, kind)?;
    check_known(incoming, &target)?;
    let payload = parsed(body(incoming).await?)?;
    let mut invoke = described(incoming, &target, payload);
    if let Some(context) = context {
        invoke = invoke.client_context(context);
    }
    match kind {
        Type::Event => {
            let (id, accepted) = accept(incoming, &target, invoke).await?;
            Ok(HttpResponse::Accepted()
                .insert_header((REQUEST_ID, id.to_string()))
                .insert_header((TRACE, &*trace(incoming, id, accepted)))
                .finish())
        }
        Type::DryRun => {
            incoming.api.client.dry_call(invoke)?;
            Ok(HttpResponse::NoContent().finish())
        }
        Type::RequestResponse => call(incoming, target.name, invoke, tail).await,
    }
}

/// The old API: an event, with no qualifier of its own and a smaller payload.
pub(crate) async fn invoke_async(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let name = decode(function)?;
    let target = incoming.target_of_path(&name)?;
    check_known(incoming, &target)?;
    let bytes = incoming.bytes(INVOKE_ASYNC_MAX).await;
    let bytes = bytes.map_err(|unread| match unread {
        Unread::Failed(error) => error,
        Unread::TooLarge(_) => ApiError::request_too_large(INVOKE_ASYNC_MAX, "InvokeAsync"),
    })?;
    let invoke = described(incoming, &target, parsed(bytes)?);
    let (id, _) = accept(incoming, &target, invoke).await?;
    Ok(HttpResponse::Accepted()
        .insert_header((REQUEST_ID, id.to_string()))
        .json(serde_json::json!({ "Status": 202 })))
}

// Made once: a name that is text is read anew for each request.
const KIND: HeaderName = HeaderName::from_static("x-amz-invocation-type");
const LOG_TYPE: HeaderName = HeaderName::from_static("x-amz-log-type");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("x-amz-client-context");
const TRACE: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

// --- what is asked for

// Other values than these are refused with all else that breaks the model.

fn kind(headers: &HeaderMap) -> Type {
    match headers.get(&KIND).map(HeaderValue::as_bytes) {
        Some(b"Event") => Type::Event,
        Some(b"DryRun") => Type::DryRun,
        _ => Type::RequestResponse,
    }
}

/// INV-05
fn wants_tail(headers: &HeaderMap) -> bool {
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

/// The context as JSON (INV-06).
fn client_context(incoming: &Incoming<'_>, kind: Type) -> Result<Option<String>, ApiError> {
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
    // Only its outermost form matters here: what is within is the function's to read.
    let is_object =
        |json: &String| Payload::from_json(&**json).is_ok() && json.trim_start().starts_with('{');
    let json = text.filter(is_object).ok_or_else(|| {
        ApiError::invalid_content("Client context must be a valid Base64-encoded JSON object.")
    })?;
    Ok((kind == Type::RequestResponse).then_some(json))
}

/// NAM-13: what isn't here is told before the body is read.
fn check_known(incoming: &Incoming<'_>, target: &Target<'_>) -> Result<(), ApiError> {
    let client = &incoming.api.client;
    let plain = target.qualifier.is_none() && !target.is_foreign(client.account());
    if plain && client.knows(target.name) {
        return Ok(());
    }
    incoming.function(target).map(drop)
}

/// The body, as large as its type of invocation allows.
pub(crate) async fn body(incoming: &mut Incoming<'_>) -> Result<Vec<u8>, ApiError> {
    let kind = kind(incoming.http.headers());
    let max = kind.payload_max(&incoming.api.client);
    let bytes = incoming.bytes(max).await;
    bytes.map_err(|unread| match unread {
        Unread::Failed(error) => error,
        Unread::TooLarge(bytes) => kind.too_large(bytes, max),
    })
}

impl Type {
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

/// INV-08, INV-09
fn parsed(bytes: Vec<u8>) -> Result<Payload, ApiError> {
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

/// The invocation with all that is said of it but its payload's meaning.
fn described(incoming: &Incoming<'_>, target: &Target<'_>, payload: Payload) -> Invoke {
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
    if incoming.proposed {
        invoke = invoke.request_id(incoming.id);
    }
    invoke
}

// --- what comes of it

/// INV-13: answers once the event is kept. A client that sends an event again under the id that it proposed gets the
/// receipt of the first (BYD-12), once that is kept; what else has the id is no reason for one.
async fn accept(
    incoming: &Incoming<'_>,
    target: &Target<'_>,
    invoke: Invoke,
) -> Result<(RequestId, SystemTime), ApiError> {
    let client = &incoming.api.client;
    let taken = match client.send(invoke).await {
        Ok(receipt) => return Ok((receipt.request_id, receipt.accepted.stored())),
        Err(taken @ InvokeError::RequestIdTaken { .. }) => taken,
        Err(refused) => return Err(refused.into()),
    };
    match client.holder(incoming.id).await {
        Some(holder)
            if holder.kind == InvocationType::Event
                && holder.function.as_str() == target.name
                && holder.invoked_as.may_be(target.qualifier.as_deref()) =>
        {
            let first = client.accepted_at(incoming.id).await;
            Ok((incoming.id, first.unwrap_or_else(clock::wall_now)))
        }
        Some(_) => Err(taken.into()),
        None => Err(ApiError::unavailable(format!(
            "an invocation with request id {} is being accepted: try again",
            incoming.id
        ))),
    }
}

/// The event's trace header, as its handler sees it.
fn trace<'a>(incoming: &Incoming<'a>, id: RequestId, accepted: SystemTime) -> Cow<'a, str> {
    let received = incoming.header(&TRACE).and_then(trace::received);
    match received {
        Some(received) => received.header,
        None => Cow::Owned(trace::beginning(id, accepted)),
    }
}

/// INV-14 to INV-25
async fn call(
    incoming: &mut Incoming<'_>,
    function: &str,
    invoke: Invoke,
    tail: bool,
) -> Result<HttpResponse, ApiError> {
    let call = incoming.api.client.begin_call(invoke)?;
    let (id, version) = (call.request_id(), call.version().to_owned());
    let trace = call.trace_header().into_owned();
    incoming.id = id;
    let (body, failed) = match call.result::<Payload>().await {
        Ok(result) => (result, false),
        Err(CallError::Failed(failure)) => (failed(id, &failure)?, true),
        Err(CallError::Cancelled) => {
            let message = "the call was cancelled";
            let failure = Failure::new(FailureKind::Error, "Cancelled", message);
            (failed_payload(id, &failure)?, true)
        }
        Err(other) => return Err(other.into()),
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((REQUEST_ID, id.to_string()))
        .insert_header((TRACE, trace))
        .insert_header(("x-amz-executed-version", version))
        .content_type("application/json");
    if failed {
        // INV-16
        response.insert_header(("x-amz-function-error", "Unhandled"));
    }
    if tail {
        let log = incoming.api.logs.of(function, id).unwrap_or_default();
        let log = STANDARD.encode(last(log.as_bytes(), TAIL_MAX));
        response.insert_header(("x-amz-log-result", log));
    }
    let json = body
        .json()
        .map_err(|error| ApiError::service(error.to_string()))?;
    Ok(response.body(json.get().to_owned()))
}

/// The error object of a function that failed; or whose fault it was instead.
fn failed(id: RequestId, failure: &Failure) -> Result<Payload, ApiError> {
    match failure.kind {
        // ASY-28: its concurrency was taken away while it waited.
        FailureKind::Throttle if failure.error_type == "TooManyRequestsException" => Err(
            ApiError::throttled("ReservedFunctionConcurrentInvocationLimitExceeded", None),
        ),
        FailureKind::System => Err(ApiError::service(failure.message.clone())),
        _ => failed_payload(id, failure),
    }
}

fn failed_payload(id: RequestId, failure: &Failure) -> Result<Payload, ApiError> {
    error_object(id, failure).ok_or_else(|| {
        let message = "the failure can't be told as JSON";
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "ServiceException",
            message,
        )
    })
}

fn last(bytes: &[u8], max: usize) -> &[u8] {
    &bytes[bytes.len().saturating_sub(max)..]
}
