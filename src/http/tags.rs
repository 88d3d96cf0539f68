//! A function's tags: keys with values that describe it to its operators, and change nothing of what it does.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access;
use super::error::ApiError;
use super::incoming::{Incoming, decode};
use super::taggable;
use super::target::Target;
use crate::client::FunctionInfo;
use crate::clock;
use crate::configuration::{TAG_KEY_MAX as KEY_MAX, TAG_VALUE_MAX as VALUE_MAX, TAGS_MAX};

/// As AWS's model has it; refusals quote it.
const WORD_PATTERN: &str = "([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Tagging {
    tags: Option<BTreeMap<String, String>>,
}

pub(crate) fn list(incoming: &Incoming<'_>, resource: &str) -> Result<HttpResponse, ApiError> {
    let resource = decode(resource)?;
    let target = taggable::target(incoming, &resource)?;
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
    let (target, tags) = ApiError::both(taggable::target(incoming, &resource), checked(tags))?;
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
    let (target, keys) = ApiError::both(taggable::target(incoming, &resource), keys(incoming))?;
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
    match access::check(incoming, "lambda:ListTags", Some(info.name.as_str())) {
        Ok(()) => body["Tags"] = json!(tags),
        Err(refused) => body["TagsError"] = refused.told(),
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

/// Tags that keep the rules of AWS's model.
fn checked(tags: Option<BTreeMap<String, String>>) -> Result<BTreeMap<String, String>, ApiError> {
    let Some(tags) = tags else {
        return Err(missing("tags"));
    };
    let shown: Vec<_> = tags
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let shown = format!("{{{}}}", shown.join(", "));
    let broken = |what: &str, min, max| {
        let rules = rules(min, max);
        format!(
            "Value '{shown}' at 'tags' failed to satisfy constraint: Map {what} must satisfy constraint: {rules}"
        )
    };
    let mut all = Vec::new();
    if !tags.keys().all(|key| is_text(key, 1, KEY_MAX)) {
        all.push(broken("keys", 1, KEY_MAX));
    }
    if !tags.values().all(|value| is_text(value, 0, VALUE_MAX)) {
        all.push(broken("value", 0, VALUE_MAX));
    }
    ApiError::unless_empty(all).map(|()| tags)
}

/// The keys of the query, at least one.
fn keys(incoming: &Incoming<'_>) -> Result<Vec<String>, ApiError> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(incoming.http.query_string());
    // It may hold a signature, so it isn't repeated.
    let pairs = pairs.map_err(|error| {
        ApiError::invalid_parameter(format!("the query can't be read: {error}"))
    })?;
    let keys = pairs.into_inner().into_iter();
    let keys: Vec<_> = keys
        .filter_map(|(name, key)| (name == "tagKeys").then_some(key))
        .collect();
    if keys.is_empty() {
        return Err(missing("tagKeys"));
    }
    if !keys.iter().all(|key| is_text(key, 1, KEY_MAX)) {
        return Err(ApiError::validation(vec![format!(
            "Value '[{}]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: {}",
            keys.join(", "),
            rules(1, KEY_MAX)
        )]));
    }
    Ok(keys)
}

fn rules(min: usize, max: usize) -> String {
    format!(
        "[Member must have length less than or equal to {max}, Member must have length greater than or equal to {min}, Member must satisfy regular expression pattern: {WORD_PATTERN}, Member must not be null]"
    )
}

fn is_text(text: &str, min: usize, max: usize) -> bool {
    let legal = |c: char| {
        let space = c.is_whitespace() && !c.is_control();
        c.is_alphabetic() || c.is_numeric() || space || "_.:/=+-@".contains(c)
    };
    (min..=max).contains(&text.chars().count()) && text.chars().all(legal)
}

fn missing(field: &str) -> ApiError {
    ApiError::validation(vec![format!(
        "Value null at '{field}' failed to satisfy constraint: Member must not be null"
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_tags_are_letters_spaces_numbers_and_a_few_signs() {
        for text in ["a", "Kosten stelle/ü", "日本 5", "a_.:/=+-@"] {
            assert!(is_text(text, 1, KEY_MAX), "{text}");
        }
        for text in ["", "a\n", "a!", "{}", &"k".repeat(129)] {
            assert!(!is_text(text, 1, KEY_MAX), "{text}");
        }
    }
}
