//! Who may do what: every request passes here before anything of it is done.
//!
//! With credentials, it must be signed by somebody whose policies, and those of the function, allow it. Without, only this
//! machine is served.

pub(crate) mod loopback;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::api::Api;
use super::error::ApiError;
use super::lambda::invoke;
use super::lambda::model;
use super::lambda::tags;
use super::request::{Incoming, decode};
use super::route::Operation;
use super::server::listener::Listener;
use super::sigv4::{self, BodyHash, Credential, UsedUp, Verifier};
use crate::base::clock;
use crate::client::{Client, InvokedAs};
use crate::event::meta::LATEST;
use crate::function::configuration::Permissions;
use crate::policy::{
    Caller, ConditionValues, Decision, Denial, PolicyKind, Request, ResourcePolicy,
};

/// What guards the API, once the application has given it credentials.
pub(crate) struct Guard {
    pub(crate) verifier: Verifier,
    read: Policies,
    /// Set once the verifier knows which signatures earlier processes accepted.
    recalled: OnceCell<()>,
}

/// Policies of functions that were read lately, by their revision, each with its text: a program may change the text alone, or
/// give one function's policy to another.
#[derive(Default)]
struct Policies(Mutex<HashMap<Uuid, (String, Arc<ResourcePolicy>)>>);

/// Policies that are kept read.
const READ_MAX: usize = 1_024;

impl Guard {
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            read: Policies::default(),
            recalled: OnceCell::new(),
        }
    }

    /// Has the verifier learn, before its first decision, which signatures earlier processes accepted.
    async fn recall(&self, client: &Client) -> Result<(), ApiError> {
        if !self.verifier.refuses_replays() {
            return Ok(());
        }
        let recall = async {
            let kept = client.accepted_signatures().await.map_err(|error| {
                ApiError::unavailable(format!(
                    "Which signatures were accepted before can't be read, and replays are refused: {error}. Try again"
                ))
            })?;
            for (signature, good_until) in kept {
                self.verifier.recall(&UsedUp {
                    signature,
                    good_until,
                });
            }
            Ok(())
        };
        self.recalled.get_or_try_init(|| recall).await.map(|&()| ())
    }
}

impl Policies {
    fn get(&self, permissions: &Permissions) -> Result<Arc<ResourcePolicy>, ApiError> {
        if let Some((text, known)) = self.0.lock().get(&permissions.revision)
            && *text == permissions.policy
        {
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
        let text = permissions.policy.clone();
        all.insert(permissions.revision, (text, policy.clone()));
        Ok(policy)
    }
}

/// Refuses what the caller may not do.
pub(crate) async fn check_operation(
    incoming: &mut Incoming<'_>,
    operation: Operation<'_>,
) -> Result<(), ApiError> {
    match &incoming.api.guard {
        None => loopback::check(incoming.http)?,
        Some(guard) => {
            let invokes = matches!(operation, Operation::Invoke(_) | Operation::InvokeAsync(_));
            authenticate(guard, incoming, invokes).await?;
        }
    }
    model::check(incoming, operation).await?;
    check_account(incoming, operation)?;
    if incoming.api.guard.is_none() {
        return Ok(());
    }
    let action = operation.action();
    let Some(function) = operation.function() else {
        return check(incoming, action, None);
    };
    let name = decode(function)?;
    // What is asked for is what will be done: a qualifier that the operation doesn't read opens nothing.
    let target = match operation.reads_qualifier() {
        _ if operation.is_tagging() => tags::target(incoming, &name)?,
        true => incoming.target(&name)?,
        false => incoming.target_of_path(&name)?,
    };
    check_target(incoming, action, target.name, target.qualifier.as_deref())
}

/// NAM-13: a function of another account is in no policy here, so that nothing allows the call.
fn check_account(incoming: &Incoming<'_>, operation: Operation<'_>) -> Result<(), ApiError> {
    let Some(function) = operation.function() else {
        return Ok(());
    };
    let name = decode(function)?;
    let target = match operation.reads_qualifier() {
        true => incoming.target(&name),
        false => incoming.target_of_path(&name),
    };
    // The operation itself refuses a name that is not one.
    let Ok(target) = target else {
        return Ok(());
    };
    let client = &incoming.api.client;
    if !target.is_of_another_account(client.account()) {
        return Ok(());
    }
    let (arn, action) = (incoming.arn(&target), operation.action());
    let resource = match &target.qualifier {
        Some(qualifier) => format!("{arn}:{qualifier}"),
        None => arn,
    };
    let caller = match &incoming.caller {
        Some(credential) => Caller::principal(&*credential.principal().arn),
        None => Caller::anonymous(),
    };
    let request = Request {
        caller: &caller,
        action,
        resource: &resource,
        context: &ConditionValues::new(),
    };
    let denial = Denial::Implicit(PolicyKind::Resource);
    Err(ApiError::access_denied(denial.message(&request)))
}

/// Refuses whoever may not do this: with the function, or as far as it is no function's. The caller is known already.
pub(crate) fn check(
    incoming: &Incoming<'_>,
    action: &str,
    function: Option<&str>,
) -> Result<(), ApiError> {
    match (Asker::of(incoming)?, function) {
        (None, _) => Ok(()),
        (Some(asker), None) => asker.check(action, "*", None),
        (Some(_), Some(name)) => check_target(incoming, action, name, None),
    }
}

/// As `check`, under a qualifier.
pub(crate) fn check_target(
    incoming: &Incoming<'_>,
    action: &str,
    function: &str,
    qualifier: Option<&str>,
) -> Result<(), ApiError> {
    match Asker::of(incoming)? {
        None => Ok(()),
        Some(asker) => asker.check_target(action, function, qualifier),
    }
}

/// As `check`, of what was invoked as this: who is granted the function may, unless that is denied under which it was invoked,
/// or under which it may have been.
pub(crate) fn check_invoked(
    incoming: &Incoming<'_>,
    action: &str,
    function: &str,
    invoked_as: &InvokedAs,
) -> Result<(), ApiError> {
    match Asker::of(incoming)? {
        None => Ok(()),
        Some(asker) => asker.check_invoked(action, function, invoked_as),
    }
}

/// Says of what was invoked, by function and qualifier, whether the caller may do this with it; none if everybody may.
pub(crate) fn rule(
    incoming: &Incoming<'_>,
    action: &'static str,
) -> Result<Option<impl Fn(&str, &InvokedAs) -> bool + Send + Sync + 'static>, ApiError> {
    let asker = Asker::of(incoming)?;
    Ok(asker.map(|asker| {
        once_each(move |function, invoked_as| {
            asker.check_invoked(action, function, invoked_as).is_ok()
        })
    }))
}

/// Says of what was invoked, by function and qualifier, whether the caller may invoke it; none if everybody may.
pub(crate) fn rule_to_invoke(
    incoming: &Incoming<'_>,
) -> Result<Option<impl Fn(&str, &InvokedAs) -> bool + Send + Sync + 'static>, ApiError> {
    let asker = Asker::of(incoming)?;
    Ok(asker.map(|asker| {
        once_each(move |function, invoked_as| match invoked_as {
            InvokedAs::Known(qualifier) => {
                let qualifier = qualifier.as_deref();
                asker.check_target(INVOKE, function, qualifier).is_ok()
            }
            InvokedAs::Unknown => false,
        })
    }))
}

/// The action that lets somebody have a function run with a payload of theirs. `InvokeAsync` has its own, as at AWS (IAM-07).
pub(crate) const INVOKE: &str = "lambda:InvokeFunction";

/// Decides once for each function and qualifier.
fn once_each(
    decide: impl Fn(&str, &InvokedAs) -> bool + Send + Sync + 'static,
) -> impl Fn(&str, &InvokedAs) -> bool + Send + Sync + 'static {
    let decided = Mutex::new(HashMap::new());
    move |function: &str, invoked_as: &InvokedAs| {
        let of = (function.to_owned(), invoked_as.clone());
        let mut decided = decided.lock();
        *decided
            .entry(of)
            .or_insert_with(|| decide(function, invoked_as))
    }
}

/// Finds out who asks, for what is decided later, or is nothing: only whoever is known learns that.
pub(crate) async fn check_known(incoming: &mut Incoming<'_>) -> Result<(), ApiError> {
    match &incoming.api.guard {
        None => loopback::check(incoming.http),
        Some(guard) => authenticate(guard, incoming, false).await,
    }
}

/// As `check_operation`, for what anybody may know who can reach the server.
pub(crate) fn check_open(incoming: &Incoming<'_>) -> Result<(), ApiError> {
    match incoming.api.guard {
        Some(_) => Ok(()),
        None => loopback::check(incoming.http),
    }
}

/// Finds out who signed the request. Its body is read for it, and kept.
async fn authenticate(
    guard: &Guard,
    incoming: &mut Incoming<'_>,
    invokes: bool,
) -> Result<(), ApiError> {
    let http = incoming.http;
    let headers = http.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
    let (method, path) = (http.method().as_str(), http.uri().path());
    let request = sigv4::SignedRequest::new(method, path, http.query_string(), headers);
    let claim = guard.verifier.admit(&request, clock::wall_now()).await?;
    let credential = claim.credential().clone();
    let body = match invokes {
        true => invoke::body(incoming).await?,
        false => incoming.small().await?,
    };
    let hash = BodyHash::of(&body);
    let client = &incoming.api.client;
    guard.recall(client).await?;
    if let Some(used) = guard.verifier.use_up(claim, &hash, clock::wall_now())? {
        // Kept before anything is done: after a crash the request must not be good again.
        let kept = client.keep_signature(used.signature, used.good_until).await;
        kept.map_err(|error| {
            ApiError::unavailable(format!(
                "Replays are refused, and the store did not keep that this signature is used up: {error}. Nothing was done. Sign the request anew"
            ))
        })?;
    }
    incoming.keep(body);
    incoming.caller = Some(credential);
    Ok(())
}

/// A caller who is known, and from where and how it asks.
struct Asker {
    api: Arc<Api>,
    credential: Arc<Credential>,
    context: ConditionValues,
}

impl Asker {
    /// None where nobody has to say who they are.
    fn of(incoming: &Incoming<'_>) -> Result<Option<Self>, ApiError> {
        if incoming.api.guard.is_none() {
            return Ok(None);
        }
        let Some(credential) = incoming.caller.clone() else {
            return Err(ApiError::access_denied("nobody has signed this request"));
        };
        Ok(Some(Self {
            api: incoming.api.clone(),
            context: context(incoming, &credential),
            credential,
        }))
    }

    fn check(
        &self,
        action: &str,
        resource: &str,
        permissions: Option<Permissions>,
    ) -> Result<(), ApiError> {
        self.ask(action, resource, permissions)
            .map_err(|(refused, _)| refused)
    }

    /// As `check`; a refusal says whether it is only for want of a permission.
    fn ask(
        &self,
        action: &str,
        resource: &str,
        permissions: Option<Permissions>,
    ) -> Result<(), (ApiError, bool)> {
        let Some(guard) = &self.api.guard else {
            return Ok(());
        };
        let policy = permissions.map(|permissions| guard.read.get(&permissions));
        let policy = policy.transpose().map_err(|error| (error, false))?;
        let caller = Caller::principal(&*self.credential.principal().arn);
        let context = match resource {
            "*" => self.context.clone(),
            arn => self.context.clone().with("lambda:FunctionArn", arn),
        };
        let request = Request {
            caller: &caller,
            action,
            resource,
            context: &context,
        };
        let decision = match request.decide(self.credential.granted(), policy.as_deref()) {
            // What is no function's is this account's, and only functions have policies that let others in.
            Decision::Allowed if resource == "*" && !self.is_at_home() => {
                Decision::Denied(Denial::Implicit(PolicyKind::Resource))
            }
            decided => decided,
        };
        match decision {
            Decision::Allowed => Ok(()),
            Decision::Denied(denial) => {
                let refused = ApiError::access_denied(denial.message(&request));
                Err((refused, matches!(denial, Denial::Implicit(_))))
            }
        }
    }

    /// Is the caller of the account whose functions these are?
    fn is_at_home(&self) -> bool {
        let account = self.credential.principal().arn.split(':').nth(4);
        account == Some(self.api.client.account())
    }

    fn check_target(
        &self,
        action: &str,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<(), ApiError> {
        let (resource, permissions) = self.target(function, qualifier);
        self.check(action, &resource, permissions)
    }

    fn check_invoked(
        &self,
        action: &str,
        function: &str,
        invoked_as: &InvokedAs,
    ) -> Result<(), ApiError> {
        self.check_target(action, function, None)?;
        let refused = self.qualifiers(function, invoked_as).into_iter();
        let mut refused = refused.filter_map(|qualifier| {
            let (resource, permissions) = self.target(function, Some(&qualifier));
            match self.ask(action, &resource, permissions) {
                Ok(()) | Err((_, true)) => None,
                Err((refused, false)) => Some(refused),
            }
        });
        refused.next().map_or(Ok(()), Err)
    }

    /// The qualifiers under one of which it may have been invoked.
    fn qualifiers(&self, function: &str, invoked_as: &InvokedAs) -> Vec<Arc<str>> {
        match invoked_as {
            InvokedAs::Known(qualifier) => qualifier.iter().cloned().collect(),
            InvokedAs::Unknown => {
                let info = self.api.client.function(function);
                info.map_or_else(Vec::new, |info| info.qualifiers())
            }
        }
    }

    /// The ARN of what is meant, and its policy.
    fn target(&self, function: &str, qualifier: Option<&str>) -> (String, Option<Permissions>) {
        let client = &self.api.client;
        let arn = client.arn(function);
        let arn = match qualifier {
            Some(qualifier) => format!("{arn}:{qualifier}"),
            None => arn,
        };
        let permissions = client.permissions(function, qualifier.unwrap_or(LATEST));
        (arn, permissions)
    }
}

/// The values of condition keys that this request has.
fn context(incoming: &Incoming<'_>, credential: &Credential) -> ConditionValues {
    let (http, principal) = (incoming.http, credential.principal());
    let now = clock::wall_now();
    let epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = principal.arn.splitn(6, ':').nth(5).unwrap_or_default();
    let (kind, name) = match name.split_once('/') {
        Some(("user", path)) => ("User", path.rsplit('/').next()),
        Some(("assumed-role", _)) => ("AssumedRole", None),
        Some(("federated-user", _)) => ("FederatedUser", None),
        _ => ("Account", None),
    };
    let secure = Listener::of(http).secure;
    let mut context = ConditionValues::new()
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
