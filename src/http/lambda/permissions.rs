//! A function's resource policy: the statements that let others use it (CFG-31 to CFG-37).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::function_ref::FunctionRef;
use super::revision::revision;
use crate::client::FunctionInfo;
use crate::event::meta::LATEST;
use crate::function::configuration::{Configuration, Permissions};
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};
use crate::policy::{Permission, PolicyError, ResourcePolicy};

#[derive(Deserialize)]
struct AddPermissionRequest {
    #[serde(flatten)]
    permission: Permission,
    #[serde(rename = "RevisionId")]
    revision: Option<String>,
}

pub(super) async fn add(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let name = route.path.decoded("function")?;
    let request: AddPermissionRequest = incoming.json().await?;
    let target = incoming.target(&name)?;
    let client = &incoming.api.client;
    if target.qualifier.as_deref() == Some(LATEST) {
        return Err(ApiError::invalid_parameter(
            "We currently do not support adding policies for $LATEST.",
        ));
    }
    let mut info = owner(incoming, &target, "Function not found")?;
    let statement = request
        .permission
        .statement(&incoming.qualified_arn(&target))?;
    let added = statement.to_string();
    client
        .configure(target.name, |configuration| {
            info.configuration = configuration.clone();
            check_revision(&info, &target, request.revision.as_deref())?;
            let permissions = current(configuration, &target);
            let mut policy = match permissions {
                None => ResourcePolicy::default(),
                Some(permissions) => permissions.policy.parse()?,
            };
            policy.add(statement)?;
            keep(configuration, &target, &policy);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(HttpResponse::Created().json(json!({ "Statement": added })))
}

pub(super) fn get(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let name = route.path.decoded("function")?;
    let target = incoming.target(&name)?;
    let missing = || ApiError::not_found("The resource you requested does not exist.");
    let info = incoming.function(&target).map_err(|_| missing())?;
    let permissions = current(&info.configuration, &target).ok_or_else(missing)?;
    Ok(HttpResponse::Ok().json(json!({
        "Policy": permissions.policy,
        "RevisionId": permissions.revision,
    })))
}

pub(super) async fn remove(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let (name, sid) = (route.path.decoded("function")?, route.path.decoded("sid")?);
    let target = incoming.target(&name)?;
    let mut info = owner(incoming, &target, "No policy found for")?;
    let revision = incoming.query()?.remove("RevisionId");
    let client = &incoming.api.client;
    client
        .configure(target.name, |configuration| {
            info.configuration = configuration.clone();
            let permissions = current(configuration, &target).ok_or_else(|| {
                ApiError::not_found("No policy is associated with the given resource.")
            })?;
            check_revision(&info, &target, revision.as_deref())?;
            let mut policy: ResourcePolicy = permissions.policy.parse()?;
            policy.remove(&sid)?;
            keep(configuration, &target, &policy);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Returns the function that a policy belongs to. AWS has different words for an unknown function, alias and version.
fn owner(
    incoming: &Incoming<'_>,
    target: &FunctionRef<'_>,
    unknown: &str,
) -> Result<FunctionInfo, ApiError> {
    let arn = incoming.qualified_arn(target);
    let info = incoming.function(&target.unqualified());
    let info = info.map_err(|_| ApiError::not_found(format!("{unknown}: {arn}")))?;
    match &target.qualifier {
        Some(qualifier) if !info.knows(qualifier) => {
            let unknown = match is_alias(qualifier) {
                true => "Cannot find alias arn",
                false => "Function not found",
            };
            Err(ApiError::not_found(format!("{unknown}: {arn}")))
        }
        _ => Ok(info),
    }
}

/// Returns whether a qualifier could be an alias's name (NAM-14).
fn is_alias(qualifier: &str) -> bool {
    !qualifier.contains('$') && !qualifier.bytes().all(|byte| byte.is_ascii_digit())
}

fn current<'c>(
    configuration: &'c Configuration,
    target: &FunctionRef<'_>,
) -> Option<&'c Permissions> {
    configuration.permissions.get(target.qualifier_or_latest())
}

/// Keeps a policy. One without statements is removed (CFG-37).
fn keep(configuration: &mut Configuration, target: &FunctionRef<'_>, policy: &ResourcePolicy) {
    let all = &mut configuration.permissions;
    match policy.is_empty() {
        true => drop(all.remove(target.qualifier_or_latest())),
        false => {
            let permissions = Permissions::new(policy.to_json());
            all.insert(target.qualifier_or_latest().to_owned(), permissions);
        }
    }
}

/// CFG-35, CFG-37: refuses a change of another revision than the latest, of the policy or of the function without one.
fn check_revision(
    info: &FunctionInfo,
    target: &FunctionRef<'_>,
    given: Option<&str>,
) -> Result<(), ApiError> {
    let Some(given) = given else {
        return Ok(());
    };
    if given == revision(info, target.qualifier.as_deref()) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::PRECONDITION_FAILED,
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id",
    ))
}

impl From<PolicyError> for ApiError {
    fn from(error: PolicyError) -> Self {
        let message = error.to_string();
        match error {
            PolicyError::DuplicateSid(_) => Self::conflict(message),
            PolicyError::UnknownSid(_) => Self::not_found(message),
            PolicyError::TooLarge { .. } => {
                let code = "PolicyLengthExceededException";
                Self::new(StatusCode::BAD_REQUEST, code, message)
            }
            _ => Self::invalid_parameter(message),
        }
    }
}
