//! The operations of AWS's that a runtime inside a program can't do. Each is refused by its own name, after AWS's 404s: a
//! function, version or alias that doesn't exist.

use std::borrow::Cow;

use serde::Deserialize;

use super::function_ref::FunctionRef;
use crate::http::constraint::Constraint;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

/// The thing that must exist for an operation, which decides how AWS refuses the operation without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prerequisite {
    /// Nothing that could exist here.
    Nothing,
    /// The function; the qualifier is ignored.
    Function,
    /// The function, version or alias.
    Qualifier,
    /// The same, in the words of `Invoke`.
    InvokedQualifier,
    /// The version that a new alias is for.
    AliasVersion,
    Alias,
    /// A version or alias that has, or gets, provisioned environments.
    Provisioned,
    /// The function that gets a URL, or has some.
    UrlOwner,
    /// The URL itself.
    Url,
}

/// The version that a new alias is for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct CreateAliasRequest {
    function_version: Option<String>,
}

/// Refuses an operation.
pub(super) async fn refuse(
    incoming: &mut Incoming<'_>,
    route: &Route<'_>,
    prerequisite: Prerequisite,
) -> ApiResult {
    if prerequisite != Prerequisite::Nothing {
        check_exists(incoming, route, prerequisite).await?;
    }
    let operation = route.action.trim_start_matches("lambda:");
    let instead = instead(operation);
    Err(ApiError::invalid_parameter(format!(
        "{operation} is not supported by this runtime: {instead}"
    )))
}

/// Refuses, in AWS's words, an operation without its prerequisite.
async fn check_exists(
    incoming: &mut Incoming<'_>,
    route: &Route<'_>,
    prerequisite: Prerequisite,
) -> Result<(), ApiError> {
    let name = route.path.decoded("function")?;
    let mut target = incoming.target(&name)?;
    let qualifier = qualifier(incoming, route, &target, prerequisite).await?;
    target.qualifier = qualifier.map(Cow::Owned);
    match incoming.function(&target) {
        Ok(_) => Ok(()),
        Err(unknown) if prerequisite == Prerequisite::InvokedQualifier => Err(unknown),
        Err(_) => Err(ApiError::not_found(missing(
            incoming,
            &target,
            prerequisite,
        ))),
    }
}

/// Returns the qualifier under which the function must be known.
async fn qualifier(
    incoming: &mut Incoming<'_>,
    route: &Route<'_>,
    target: &FunctionRef<'_>,
    prerequisite: Prerequisite,
) -> Result<Option<String>, ApiError> {
    Ok(match prerequisite {
        Prerequisite::Nothing | Prerequisite::Function => None,
        Prerequisite::AliasVersion => {
            let request: CreateAliasRequest = incoming.json().await?;
            request.function_version
        }
        Prerequisite::Alias => Some(route.path.decoded("alias")?.into_owned()),
        Prerequisite::UrlOwner | Prerequisite::Url => url_qualifier(target)?,
        Prerequisite::Qualifier | Prerequisite::InvokedQualifier | Prerequisite::Provisioned => {
            target.qualifier.as_deref().map(str::to_owned)
        }
    })
}

/// Returns AWS's message for a missing prerequisite.
fn missing(
    incoming: &Incoming<'_>,
    target: &FunctionRef<'_>,
    prerequisite: Prerequisite,
) -> String {
    let (function, arn) = (incoming.arn(target), incoming.qualified_arn(target));
    let is_alias = target.qualifier.as_deref().is_some_and(|it| !is_number(it));
    match prerequisite {
        Prerequisite::Alias if incoming.api.client.knows(target.name) => {
            format!("Alias not found: {arn}")
        }
        Prerequisite::Alias => format!("Function not found: {function}"),
        Prerequisite::Provisioned if is_alias => format!("Cannot find alias arn: {arn}"),
        Prerequisite::UrlOwner => "Function does not exist".to_owned(),
        Prerequisite::Url => "The resource you requested does not exist.".to_owned(),
        _ => format!("Function not found: {arn}"),
    }
}

/// Returns the qualifier of a URL: the function itself has one, or an alias.
fn url_qualifier(target: &FunctionRef<'_>) -> Result<Option<String>, ApiError> {
    let Some(qualifier) = target.qualifier.as_deref() else {
        return Ok(None);
    };
    if is_number(qualifier) || qualifier.contains(['$', '.']) {
        let rule = Constraint::Pattern("((?!^\\d+$)^[0-9a-zA-Z-_]+$)");
        let broken = rule.broken_by("qualifier", qualifier);
        return Err(ApiError::validation(vec![broken]));
    }
    Ok(Some(qualifier.to_owned()))
}

fn is_number(qualifier: &str) -> bool {
    qualifier.chars().all(|c| c.is_ascii_digit())
}

/// Returns the way to the same end here.
fn instead(operation: &str) -> &'static str {
    match operation {
        "CreateFunction" | "DeleteFunction" | "UpdateFunctionCode" => {
            "functions are part of the program, which registers them with Runtime::builder().function() or Runtime::add_function"
        }
        "PublishVersion" | "CreateAlias" | "UpdateAlias" | "DeleteAlias" => {
            "versions and aliases are registered by the program, with Function::version and Function::alias"
        }
        "InvokeWithResponseStream" => "results are not streamed: use Invoke",
        policy if policy.ends_with("ResourcePolicy") => {
            "use AddPermission, GetPolicy and RemovePermission"
        }
        source if source.contains("EventSourceMapping") => {
            "events come from the program, or by Invoke"
        }
        _ => "functions run in the program that registers them",
    }
}
