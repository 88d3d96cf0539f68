//! A function's tags: keys with values that describe it to its operators, and don't change how it runs.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::function_ref::FunctionRef;
use crate::base::clock;
use crate::client::FunctionInfo;
use crate::function::configuration::TAGS_MAX;
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct TagResourceRequest {
    tags: BTreeMap<String, String>,
}

pub(super) fn list(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let resource = route.path.decoded("resource")?;
    let target = target(incoming, &resource)?;
    let tags = function(incoming, &target)?.configuration.tags;
    Ok(HttpResponse::Ok().json(json!({ "Tags": tags })))
}

/// Adds tags, in place of those with the same keys.
pub(super) async fn tag(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let resource = route.path.decoded("resource")?;
    let TagResourceRequest { tags } = incoming.json().await?;
    let target = target(incoming, &resource)?;
    if tags.is_empty() {
        return Err(ApiError::invalid_parameter(
            "An error occurred and the request cannot be processed.",
        ));
    }
    change(incoming, &target, |kept| kept.extend(tags)).await
}

/// Removes the tags with these keys. Keys without a tag are ignored.
pub(super) async fn untag(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let resource = route.path.decoded("resource")?;
    let (target, keys) = (
        target(incoming, &resource)?,
        incoming.query_values("tagKeys")?,
    );
    change(incoming, &target, |kept| {
        kept.retain(|key, _| !keys.contains(key))
    })
    .await
}

/// Adds the tags to the description of a function, if it has any; an error in their place if the caller may not see them.
pub(super) fn describe(incoming: &Incoming<'_>, info: &FunctionInfo, body: &mut Value) {
    let tags = &info.configuration.tags;
    if tags.is_empty() {
        return;
    }
    match auth::check(incoming, "lambda:ListTags", Some(info.name.as_str())) {
        Ok(()) => body["Tags"] = json!(tags),
        Err(refused) => body["TagsError"] = refused.embedded(),
    }
}

/// Returns the function that a resource's ARN names.
///
/// # Errors
/// When it is the ARN of another kind of resource: none exists here.
pub(super) fn target<'a>(
    incoming: &Incoming<'_>,
    resource: &'a str,
) -> Result<FunctionRef<'a>, ApiError> {
    match resource.split(':').nth(5) {
        Some("function") => incoming.target_of_path(resource),
        Some("code-signing-config") => Err(ApiError::not_found(format!(
            "The Lambda code signing configuration {resource} can not be found."
        ))),
        _ => Err(ApiError::not_found(
            "The resource you requested does not exist.",
        )),
    }
}

/// Returns the function with the tags: its versions and aliases have none.
fn function(incoming: &Incoming<'_>, target: &FunctionRef<'_>) -> Result<FunctionInfo, ApiError> {
    if target.qualifier.is_some() {
        return Err(ApiError::invalid_parameter(
            "Tags on function aliases and versions are not supported. Please specify a function ARN.",
        ));
    }
    let arn = incoming.arn(target);
    incoming
        .function(target)
        .map_err(|_| ApiError::not_found(format!("Function not found: {arn}")))
}

async fn change(
    incoming: &Incoming<'_>,
    target: &FunctionRef<'_>,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> ApiResult {
    function(incoming, target)?;
    let client = &incoming.api.client;
    client
        .configure(target.name, |configuration| {
            let before = configuration.tags.clone();
            change(&mut configuration.tags);
            if configuration.tags.len() > TAGS_MAX {
                return Err(ApiError::invalid_parameter(
                    "Number of tags exceeds resource tag limit.",
                ));
            }
            if configuration.tags != before {
                configuration.revise(clock::wall_now());
            }
            Ok(())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
