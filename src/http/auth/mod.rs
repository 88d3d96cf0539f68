//! Authentication and authorisation. Every request passes here before any of its effects.
//!
//! With credentials, a request must be signed, except for the open ones (health), and the policies of its signer and of the
//! function together must allow it (`policy/decision.rs`). Without credentials, only
//! loopback is served.
//!
//! ```text
//! check_caller: loopback.rs, or authentication.rs (signature, replay)
//!     ─▶ check, check_target, check_invoked: authorization.rs (policies, with the values of condition_values.rs)
//! ```

pub(crate) mod authentication;
mod authorization;
mod condition_values;
mod loopback;
mod policy_cache;

use std::collections::HashMap;

use parking_lot::Mutex;

use super::error::ApiError;
use super::request::Incoming;
use super::sigv4::SignedRequest;
use crate::client::InvokedAs;
use authentication::AccessControl;
use authorization::AuthenticatedCaller;

/// The action of an invocation with the caller's payload. `InvokeAsync` has a separate action, as at AWS (IAM-07).
pub(crate) const INVOKE: &str = "lambda:InvokeFunction";

// --- the caller

/// Authenticates the caller of a request. `read_body` reads the body that was signed, within the operation's bound.
pub(crate) async fn check_caller<'i>(
    incoming: &mut Incoming<'i>,
    read_body: impl AsyncFnOnce(&mut Incoming<'i>) -> Result<Vec<u8>, ApiError>,
) -> Result<(), ApiError> {
    match &incoming.api.access_control {
        None => loopback::check(incoming.http),
        Some(access_control) => authenticate(access_control, incoming, read_body).await,
    }
}

/// Checks a request that everyone may make who can reach the server.
pub(crate) fn check_open(incoming: &Incoming<'_>) -> Result<(), ApiError> {
    match incoming.api.access_control {
        Some(_) => Ok(()),
        None => loopback::check(incoming.http),
    }
}

/// Finds the signer of a request. Reads its body, and keeps it.
async fn authenticate<'i>(
    access_control: &AccessControl,
    incoming: &mut Incoming<'i>,
    read_body: impl AsyncFnOnce(&mut Incoming<'i>) -> Result<Vec<u8>, ApiError>,
) -> Result<(), ApiError> {
    let http = incoming.http;
    let headers = http.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
    let (method, path) = (http.method().as_str(), http.uri().path());
    let request = SignedRequest::new(method, path, http.query_string(), headers);
    let claim = access_control.admit(&request).await?;
    let credential = claim.credential().clone();
    let body = read_body(incoming).await?;
    access_control
        .accept(claim, &body, &incoming.api.client)
        .await?;
    incoming.keep(body);
    incoming.caller = Some(credential);
    Ok(())
}

// --- its rights

/// Checks an action on a function, or on the account if there is none.
pub(crate) fn check(
    incoming: &Incoming<'_>,
    action: &str,
    function: Option<&str>,
) -> Result<(), ApiError> {
    match (AuthenticatedCaller::of(incoming)?, function) {
        (None, _) => Ok(()),
        (Some(caller), None) => caller.check_account(action),
        (Some(caller), Some(function)) => caller.check_target(action, function, None),
    }
}

/// Checks an action on a function under a qualifier.
pub(crate) fn check_target(
    incoming: &Incoming<'_>,
    action: &str,
    function: &str,
    qualifier: Option<&str>,
) -> Result<(), ApiError> {
    match AuthenticatedCaller::of(incoming)? {
        None => Ok(()),
        Some(caller) => caller.check_target(action, function, qualifier),
    }
}

/// Checks an action on an event: the function must be allowed, and no qualifier denied under which the event was invoked, or
/// may have been.
pub(crate) fn check_invoked(
    incoming: &Incoming<'_>,
    action: &str,
    function: &str,
    invoked_as: &InvokedAs,
) -> Result<(), ApiError> {
    match AuthenticatedCaller::of(incoming)? {
        None => Ok(()),
        Some(caller) => caller.check_invoked(action, function, invoked_as),
    }
}

/// Returns a predicate on events, by function and qualifier: whether the caller may do this with them. `None` allows all.
pub(crate) fn may_touch(
    incoming: &Incoming<'_>,
    action: &'static str,
) -> Result<Option<impl Fn(&str, &InvokedAs) -> bool + Send + Sync + 'static>, ApiError> {
    let caller = AuthenticatedCaller::of(incoming)?;
    Ok(caller.map(|caller| {
        once_each(move |function, invoked_as| {
            caller.check_invoked(action, function, invoked_as).is_ok()
        })
    }))
}

/// Returns a predicate on events, by function and qualifier: whether the caller may invoke the same. `None` allows all.
pub(crate) fn may_invoke(
    incoming: &Incoming<'_>,
) -> Result<Option<impl Fn(&str, &InvokedAs) -> bool + Send + Sync + 'static>, ApiError> {
    let caller = AuthenticatedCaller::of(incoming)?;
    Ok(caller.map(|caller| {
        once_each(move |function, invoked_as| match invoked_as {
            InvokedAs::Known(qualifier) => {
                let qualifier = qualifier.as_deref();
                caller.check_target(INVOKE, function, qualifier).is_ok()
            }
            InvokedAs::Unknown => false,
        })
    }))
}

/// Returns a predicate that decides once for each function and qualifier.
fn once_each(
    decide: impl Fn(&str, &InvokedAs) -> bool + Send + Sync + 'static,
) -> impl Fn(&str, &InvokedAs) -> bool + Send + Sync + 'static {
    let decided = Mutex::new(HashMap::new());
    move |function: &str, invoked_as: &InvokedAs| {
        let key = (function.to_owned(), invoked_as.clone());
        let mut decided = decided.lock();
        *decided
            .entry(key)
            .or_insert_with(|| decide(function, invoked_as))
    }
}
