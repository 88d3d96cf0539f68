//! Who may do what: every request passes here before anything of it is done.
//!
//! With credentials, it must be signed by somebody whose policies, and those of the function, allow it. Without, only this
//! machine is served.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;
use uuid::Uuid;

use super::error::ApiError;
use super::incoming::{Incoming, decode};
use super::invoke;
use super::loopback;
use super::route::Operation;
use super::sigv4::{self, BodyHash, Credential, Verifier};
use crate::clock;
use crate::configuration::Permissions;
use crate::origin::LATEST;
use crate::policy::{Caller, Context, Decision, Request, ResourcePolicy};

/// What guards the API, once the application has given it credentials.
pub(crate) struct Guard {
    pub(crate) verifier: Verifier,
    read: Policies,
}

/// Policies of functions that were read lately, by their revision.
#[derive(Default)]
struct Policies(Mutex<HashMap<Uuid, Arc<ResourcePolicy>>>);

/// Policies that are kept read.
const READ_MAX: usize = 1_024;

impl Guard {
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            read: Policies::default(),
        }
    }
}

impl Policies {
    fn get(&self, permissions: &Permissions) -> Result<Arc<ResourcePolicy>, ApiError> {
        if let Some(known) = self.0.lock().get(&permissions.revision) {
            return Ok(known.clone());
        }
        // What can't be read can't allow anything, and might deny.
        let policy: ResourcePolicy = permissions.policy.parse().map_err(|error| {
            ApiError::access_denied(format!("the function's policy can't be read: {error}"))
        })?;
        let policy = Arc::new(policy);
        let mut all = self.0.lock();
        if all.len() >= READ_MAX {
            all.clear();
        }
        all.insert(permissions.revision, policy.clone());
        Ok(policy)
    }
}

/// Refuses what the caller may not do.
pub(crate) async fn check_operation(
    incoming: &mut Incoming<'_>,
    operation: Operation<'_>,
) -> Result<(), ApiError> {
    let Some(guard) = &incoming.api.guard else {
        return loopback::check(incoming.http);
    };
    let invokes = matches!(operation, Operation::Invoke(_) | Operation::InvokeAsync(_));
    let credential = authenticate(guard, incoming, invokes).await?;
    let action = operation.action();
    let Some(function) = operation.function() else {
        return authorise(guard, incoming, &credential, action, "*", None);
    };
    let name = decode(function)?;
    // What is asked for is what will be done: a qualifier that the operation doesn't read opens nothing.
    let target = match operation.reads_qualifier() {
        true => incoming.target(&name)?,
        false => incoming.target_of_path(&name)?,
    };
    let client = &incoming.api.client;
    let arn = client.arn(target.name);
    let (arn, qualifier) = match &target.qualifier {
        Some(qualifier) => (format!("{arn}:{qualifier}"), &**qualifier),
        None => (arn, LATEST),
    };
    let permissions = client.permissions(target.name, qualifier);
    authorise(guard, incoming, &credential, action, &arn, permissions)
}

/// As `check_operation`, for what AWS doesn't know.
pub(crate) async fn check_action(
    incoming: &mut Incoming<'_>,
    action: &str,
    function: Option<&str>,
) -> Result<(), ApiError> {
    let Some(guard) = &incoming.api.guard else {
        return loopback::check(incoming.http);
    };
    let credential = authenticate(guard, incoming, false).await?;
    let client = &incoming.api.client;
    let (arn, permissions) = match function {
        None => ("*".to_owned(), None),
        Some(name) => (client.arn(name), client.permissions(name, LATEST)),
    };
    authorise(guard, incoming, &credential, action, &arn, permissions)
}

/// As `check_operation`, for what is nothing: only whoever is known learns that.
pub(crate) async fn check_known(incoming: &mut Incoming<'_>) -> Result<(), ApiError> {
    match &incoming.api.guard {
        None => loopback::check(incoming.http),
        Some(guard) => authenticate(guard, incoming, false).await.map(drop),
    }
}

/// As `check_operation`, for what anybody may know who can reach the server.
pub(crate) fn check_open(incoming: &Incoming<'_>) -> Result<(), ApiError> {
    match incoming.api.guard {
        Some(_) => Ok(()),
        None => loopback::check(incoming.http),
    }
}

/// Who signed the request. Its body is read for it, and kept.
async fn authenticate(
    guard: &Guard,
    incoming: &mut Incoming<'_>,
    invokes: bool,
) -> Result<Arc<Credential>, ApiError> {
    let http = incoming.http;
    let headers = http.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
    let (method, path) = (http.method().as_str(), http.uri().path());
    let request = sigv4::Request::new(method, path, http.query_string(), headers);
    let claim = guard.verifier.admit(&request, clock::wall_now()).await?;
    let credential = claim.credential().clone();
    let body = match invokes {
        true => invoke::body(incoming).await?,
        false => incoming.small().await?,
    };
    let hash = BodyHash::of(&body);
    guard.verifier.settle(claim, &hash, clock::wall_now())?;
    incoming.keep(body);
    Ok(credential)
}

fn authorise(
    guard: &Guard,
    incoming: &Incoming<'_>,
    credential: &Credential,
    action: &str,
    resource: &str,
    permissions: Option<Permissions>,
) -> Result<(), ApiError> {
    let policy = permissions.map(|permissions| guard.read.get(&permissions));
    let policy = policy.transpose()?;
    let caller = Caller::principal(&*credential.principal().arn);
    let context = context(incoming, credential, resource);
    let request = Request {
        caller: &caller,
        action,
        resource,
        context: &context,
    };
    match request.decide(credential.granted(), policy.as_deref()) {
        Decision::Allowed => Ok(()),
        Decision::Denied(denial) => Err(ApiError::access_denied(denial.message(&request))),
    }
}

/// The values of condition keys that this request has.
fn context(incoming: &Incoming<'_>, credential: &Credential, resource: &str) -> Context {
    let (http, principal) = (incoming.http, credential.principal());
    let now = clock::wall_now();
    let epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = principal.arn.splitn(6, ':').nth(5).unwrap_or_default();
    let (kind, name) = match name.split_once('/') {
        Some(("user", path)) => ("User", path.rsplit('/').next()),
        Some(("assumed-role", _)) => ("AssumedRole", None),
        _ => ("Account", None),
    };
    let secure = http.app_config().secure();
    let mut context = Context::new()
        .with(
            "aws:CurrentTime",
            humantime::format_rfc3339_seconds(now).to_string(),
        )
        .with("aws:EpochTime", epoch.as_secs().to_string())
        .with("aws:SecureTransport", secure.to_string())
        .with("aws:PrincipalArn", &*principal.arn)
        .with("aws:PrincipalAccount", &*principal.account)
        .with("aws:PrincipalType", kind)
        .with("aws:userid", &*principal.user_id)
        .with("aws:RequestedRegion", incoming.api.client.region());
    if resource != "*" {
        context = context.with("lambda:FunctionArn", resource);
    }
    if let Some(peer) = http.peer_addr() {
        context = context.with("aws:SourceIp", peer.ip().to_canonical().to_string());
    }
    for (key, value) in [
        ("aws:username", name),
        ("aws:UserAgent", incoming.header("user-agent")),
        ("aws:Referer", incoming.header("referer")),
    ] {
        if let Some(value) = value {
            context = context.with(key, value);
        }
    }
    context
}
