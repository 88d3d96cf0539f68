//! A function's resource policy: who else may do what with it (CFG-31 to CFG-37).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::error::{ApiError, Constraint};
use super::incoming::{Incoming, decode};
use super::target::Target;
use crate::configuration::{Configuration, Permissions};
use crate::origin::LATEST;
use crate::policy::{Permission, PolicyError, ResourcePolicy};

#[derive(Deserialize)]
struct Adding {
    #[serde(flatten)]
    permission: Permission,
    #[serde(rename = "RevisionId")]
    revision: Option<String>,
}

pub(crate) async fn add(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let name = decode(function)?;
    let adding: Adding = incoming.json().await?;
    let valid = ApiError::unless_empty(broken(&adding.permission));
    let (target, ()) = ApiError::both(incoming.target(&name), valid)?;
    let client = &incoming.api.client;
    if target.qualifier.as_deref() == Some(LATEST) {
        return Err(ApiError::invalid_parameter(
            "We currently do not support adding policies for $LATEST.",
        ));
    }
    let arn = arn(incoming, &target);
    incoming
        .function(&target)
        .map_err(|_| ApiError::not_found(format!("Function not found: {arn}")))?;
    let statement = adding.permission.statement(&arn)?;
    let told = statement.to_string();
    client
        .configure(target.name, |configuration| {
            let permissions = current(configuration, &target);
            check_revision(permissions, adding.revision.as_deref())?;
            let mut policy = match permissions {
                None => ResourcePolicy::default(),
                Some(permissions) => permissions.policy.parse()?,
            };
            policy.add(statement)?;
            keep(configuration, &target, &policy);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(HttpResponse::Created().json(json!({ "Statement": told })))
}

pub(crate) fn get(incoming: &Incoming<'_>, function: &str) -> Result<HttpResponse, ApiError> {
    let name = decode(function)?;
    let target = incoming.target(&name)?;
    let missing = || ApiError::not_found("The resource you requested does not exist.");
    let info = incoming.function(&target).map_err(|_| missing())?;
    let permissions = current(&info.configuration, &target).ok_or_else(missing)?;
    Ok(HttpResponse::Ok().json(json!({
        "Policy": permissions.policy,
        "RevisionId": permissions.revision,
    })))
}

pub(crate) async fn remove(
    incoming: &mut Incoming<'_>,
    function: &str,
    sid: &str,
) -> Result<HttpResponse, ApiError> {
    let (name, sid) = (decode(function)?, decode(sid)?);
    let target = incoming.target(&name)?;
    let arn = arn(incoming, &target);
    incoming
        .function(&target)
        .map_err(|_| ApiError::not_found(format!("No policy found for: {arn}")))?;
    let revision = incoming.query()?.remove("RevisionId");
    let client = &incoming.api.client;
    client
        .configure(target.name, |configuration| {
            let permissions = current(configuration, &target).ok_or_else(|| {
                ApiError::not_found("No policy is associated with the given resource.")
            })?;
            check_revision(Some(permissions), revision.as_deref())?;
            let mut policy: ResourcePolicy = permissions.policy.parse()?;
            policy.remove(&sid)?;
            keep(configuration, &target, &policy);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What breaks the rules of AWS's model (CFG-31).
fn broken(permission: &Permission) -> Vec<String> {
    let word = |text: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        text.chars().all(legal)
    };
    let mut broken = Vec::new();
    let mut check = |holds: bool, rule: Constraint<'_>, field, value: &str| {
        if !holds {
            broken.push(rule.broken_by(field, value));
        }
    };
    let sid = &*permission.statement_id;
    check(
        !sid.is_empty(),
        Constraint::LengthMin(1),
        "statementId",
        sid,
    );
    check(
        sid.len() <= 100,
        Constraint::LengthMax(100),
        "statementId",
        sid,
    );
    let pattern = Constraint::Pattern("([a-zA-Z0-9-_]+)");
    check(word(sid), pattern, "statementId", sid);
    let action = &*permission.action;
    let name = action.strip_prefix("lambda:").unwrap_or_default();
    let letters = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic());
    let pattern = Constraint::Pattern("(lambda:[*]|lambda:[a-zA-Z]+|[*])");
    check(
        action == "*" || name == "*" || letters,
        pattern,
        "action",
        action,
    );
    if let Some(account) = &permission.source_account {
        let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        check(
            digits,
            Constraint::Pattern("\\d{12}"),
            "sourceAccount",
            account,
        );
    }
    if let Some(auth) = &permission.function_url_auth_type {
        let known = matches!(&**auth, "NONE" | "AWS_IAM");
        check(
            known,
            Constraint::Enum("NONE, AWS_IAM"),
            "functionUrlAuthType",
            auth,
        );
    }
    broken
}

/// Qualified if a qualifier was given (CFG-33).
fn arn(incoming: &Incoming<'_>, target: &Target<'_>) -> String {
    let arn = incoming.arn(target);
    match &target.qualifier {
        Some(qualifier) => format!("{arn}:{qualifier}"),
        None => arn,
    }
}

fn qualifier<'a>(target: &'a Target<'_>) -> &'a str {
    target.qualifier.as_deref().unwrap_or(LATEST)
}

fn current<'c>(configuration: &'c Configuration, target: &Target<'_>) -> Option<&'c Permissions> {
    configuration.permissions.get(qualifier(target))
}

/// Without its last statement, the policy is gone (CFG-37).
fn keep(configuration: &mut Configuration, target: &Target<'_>, policy: &ResourcePolicy) {
    let all = &mut configuration.permissions;
    match policy.is_empty() {
        true => drop(all.remove(qualifier(target))),
        false => {
            let permissions = Permissions::new(policy.to_json());
            all.insert(qualifier(target).to_owned(), permissions);
        }
    }
}

fn check_revision(permissions: Option<&Permissions>, given: Option<&str>) -> Result<(), ApiError> {
    let latest = permissions.map(|permissions| permissions.revision.to_string());
    match given {
        Some(given) if Some(given) != latest.as_deref() => Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailedException",
            "The RevisionId provided does not match the latest RevisionId. Call the GetPolicy API to retrieve the latest RevisionId",
        )),
        _ => Ok(()),
    }
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
