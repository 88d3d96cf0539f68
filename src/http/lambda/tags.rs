//! A function's tags: keys with values that describe it to its operators, and change nothing of what it does.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::clock;
use crate::client::FunctionInfo;
use crate::function::configuration::TAGS_MAX;
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::lambda::function_ref::Target;
use crate::http::request::{Incoming, decode};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Tagging {
    tags: BTreeMap<String, String>,
}

pub(crate) fn list(incoming: &Incoming<'_>, resource: &str) -> Result<HttpResponse, ApiError> {
    let resource = decode(resource)?;
    let target = target(incoming, &resource)?;
    let tags = function(incoming, &target)?.configuration.tags;
    Ok(HttpResponse::Ok().json(json!({ "Tags": tags })))
}

/// Adds tags, in place of those with the same keys.
pub(crate) async fn tag(
    incoming: &mut Incoming<'_>,
    resource: &str,
) -> Result<HttpResponse, ApiError> {
    let resource = decode(resource)?;
    let Tagging { tags } = incoming.json().await?;
    let target = target(incoming, &resource)?;
    if tags.is_empty() {
        return Err(ApiError::invalid_parameter(
            "An error occurred and the request cannot be processed.",
        ));
    }
    change(incoming, &target, |kept| kept.extend(tags)).await
}

/// Removes the tags with these keys; others are no fault.
pub(crate) async fn untag(
    incoming: &mut Incoming<'_>,
    resource: &str,
) -> Result<HttpResponse, ApiError> {
    let resource = decode(resource)?;
    let (target, keys) = (target(incoming, &resource)?, incoming.queries("tagKeys")?);
    change(incoming, &target, |kept| {
        kept.retain(|key, _| !keys.contains(key))
    })
    .await
}

/// Shows the tags among what is said of a function, if it has any and the caller may see them.
pub(crate) fn show(incoming: &Incoming<'_>, info: &FunctionInfo, body: &mut Value) {
    let tags = &info.configuration.tags;
    if tags.is_empty() {
        return;
    }
    match auth::check(incoming, "lambda:ListTags", Some(info.name.as_str())) {
        Ok(()) => body["Tags"] = json!(tags),
        Err(refused) => body["TagsError"] = refused.told(),
    }
}

/// What a resource's ARN means.
///
/// # Errors
/// When it is the ARN of something other than a function: there are none of these here.
pub(crate) fn target<'a>(
    incoming: &Incoming<'_>,
    resource: &'a str,
) -> Result<Target<'a>, ApiError> {
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

/// The function with the tags: neither its versions nor its aliases have any.
fn function(incoming: &Incoming<'_>, target: &Target<'_>) -> Result<FunctionInfo, ApiError> {
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
    target: &Target<'_>,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<HttpResponse, ApiError> {
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
