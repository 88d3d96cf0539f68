//! Invocations: AWS's `Invoke` in its three modes, and the old `InvokeAsync` (INV-01 to INV-33).

use std::borrow::Cow;
use std::time::SystemTime;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::function_ref::FunctionRef;
use super::invocation::{
    InvocationMode, TRACE, body, client_context, invocation, payload, wants_log,
};
use crate::base::clock;
use crate::error::{CallError, InvokeError};
use crate::event::failure::{Failure, FailureKind};
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::event::trace;
use crate::event::{InvocationType, Invoke};
use crate::function::destination::error_object;
use crate::http::body::BodyError;
use crate::http::error::{ApiError, REQUEST_ID};
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

/// Bytes of the log that a response carries (INV-18).
const LOG_MAX: usize = 4_096;
/// INV-31
const INVOKE_ASYNC_MAX: usize = 262_144;

pub(super) async fn invoke(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let headers = incoming.http.headers();
    let name = route.path.decoded("function")?;
    let (mode, with_log) = (InvocationMode::of(headers), wants_log(headers));
    let target = incoming.target(&name)?;
    let context = client_context(incoming, mode)?;
    check_known(incoming, &target)?;
    let payload = payload(body(incoming).await?)?;
    let mut invoke = invocation(incoming, &target, payload);
    if let Some(context) = context {
        invoke = invoke.client_context(context);
    }
    match mode {
        InvocationMode::Event => {
            let (id, accepted) = accept(incoming, &target, invoke).await?;
            Ok(HttpResponse::Accepted()
                .insert_header((REQUEST_ID, id.to_string()))
                .insert_header((TRACE, &*trace_header(incoming, id, accepted)))
                .finish())
        }
        InvocationMode::DryRun => {
            incoming.api.client.dry_call(invoke)?;
            Ok(HttpResponse::NoContent().finish())
        }
        InvocationMode::RequestResponse => call(incoming, target.name, invoke, with_log).await,
    }
}

/// Accepts an event by the old API, which ignores the query's qualifier and takes smaller payloads.
pub(super) async fn invoke_async(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let name = route.path.decoded("function")?;
    let target = incoming.target_of_path(&name)?;
    check_known(incoming, &target)?;
    let bytes = incoming.bytes(INVOKE_ASYNC_MAX).await;
    let bytes = bytes.map_err(|error| match error {
        BodyError::Failed(error) => error,
        BodyError::TooLarge(_) => ApiError::request_too_large(INVOKE_ASYNC_MAX, "InvokeAsync"),
    })?;
    let invoke = invocation(incoming, &target, payload(bytes)?);
    let (id, _) = accept(incoming, &target, invoke).await?;
    Ok(HttpResponse::Accepted()
        .insert_header((REQUEST_ID, id.to_string()))
        .json(serde_json::json!({ "Status": 202 })))
}

/// NAM-13: an unknown function is refused before the body is read.
fn check_known(incoming: &Incoming<'_>, target: &FunctionRef<'_>) -> Result<(), ApiError> {
    let client = &incoming.api.client;
    let plain = target.qualifier.is_none() && !target.is_foreign(client.account());
    if plain && client.knows(target.name) {
        return Ok(());
    }
    incoming.function(target).map(drop)
}

/// Accepts an event, and returns its id and time once it is stored (INV-13). A client that sends an event again under the id
/// that it chose gets the receipt of the first (BYD-12), once that is stored; an id of anything else is a conflict.
async fn accept(
    incoming: &Incoming<'_>,
    target: &FunctionRef<'_>,
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

/// Returns the event's trace header, as its handler sees it.
fn trace_header<'a>(incoming: &Incoming<'a>, id: RequestId, accepted: SystemTime) -> Cow<'a, str> {
    let received = incoming.header(&TRACE).and_then(trace::received);
    match received {
        Some(received) => received.header,
        None => Cow::Owned(trace::beginning(id, accepted)),
    }
}

/// Waits for the result of a synchronous call (INV-14 to INV-25).
async fn call(
    incoming: &mut Incoming<'_>,
    function: &str,
    invoke: Invoke,
    with_log: bool,
) -> ApiResult {
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
    if with_log {
        let log = incoming.api.logs.of(function, id).unwrap_or_default();
        let log = STANDARD.encode(last(log.as_bytes(), LOG_MAX));
        response.insert_header(("x-amz-log-result", log));
    }
    let json = body
        .json()
        .map_err(|error| ApiError::service(error.to_string()))?;
    Ok(response.body(json.get().to_owned()))
}

/// Returns the error object of a function that failed.
///
/// # Errors
/// When the function did not fail: it was throttled, or the runtime failed.
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
        let message = "the failure can't be written as JSON";
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
