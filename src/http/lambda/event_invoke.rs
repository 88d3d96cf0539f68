//! The event-invoke config of a function, per qualifier: retries, maximum age and destinations of its events (CFG-11 to
//! CFG-23).

use std::time::UNIX_EPOCH;

use actix_web::HttpResponse;
use serde_json::{Map, Value, json};

use super::event_invoke_request::EventInvokeRequest;
use super::function_ref::FunctionRef;
use super::pages::{PageBuilder, PageRequest};
use crate::base::clock;
use crate::function::configuration::EventInvokeConfig;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

pub(super) async fn put(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    change(incoming, route, false).await
}

pub(super) async fn update(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    change(incoming, route, true).await
}

/// Replaces the config, or updates the given members of an existing one (CFG-11).
async fn change(incoming: &mut Incoming<'_>, route: &Route<'_>, update: bool) -> ApiResult {
    let name = route.path.decoded("function")?;
    let request: EventInvokeRequest = incoming.json().await?;
    let target = incoming.target(&name)?;
    if request.is_empty() {
        // CFG-15: also for a function that does not exist.
        return Err(ApiError::invalid_parameter(
            "You must specify at least one of error handling or destination setting.",
        ));
    }
    check_exists(incoming, &target)?;
    let (client, arn) = (&incoming.api.client, config_arn(incoming, &target));
    request.check_destinations(incoming, &client.arn(target.name))?;
    let now = clock::wall_now();
    let config = client
        .configure(target.name, |configuration| {
            let configs = &mut configuration.event_invoke;
            let before = configs.get(target.qualifier_or_latest()).cloned();
            let before = match (update, before) {
                (true, None) => return Err(without(&arn)),
                (true, Some(before)) => before,
                (false, _) => EventInvokeConfig::new(now),
            };
            let after = request.applied_to(before);
            let after = EventInvokeConfig {
                last_modified: now,
                ..after
            };
            configs.insert(target.qualifier_or_latest().to_owned(), after.clone());
            Ok(after)
        })
        .await?;
    Ok(HttpResponse::Ok().json(described(&config, &arn)))
}

pub(super) fn get(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let name = route.path.decoded("function")?;
    let target = incoming.target(&name)?;
    let arn = config_arn(incoming, &target);
    let info = incoming.function(&target).map_err(|_| without(&arn))?;
    let config = info
        .configuration
        .event_invoke
        .get(target.qualifier_or_latest());
    let config = config.ok_or_else(|| without(&arn))?;
    Ok(HttpResponse::Ok().json(described(config, &arn)))
}

pub(super) async fn delete(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let name = route.path.decoded("function")?;
    let target = incoming.target(&name)?;
    let arn = config_arn(incoming, &target);
    incoming.function(&target).map_err(|_| without(&arn))?;
    let client = &incoming.api.client;
    client
        .configure(target.name, |configuration| {
            let removed = configuration
                .event_invoke
                .remove(target.qualifier_or_latest());
            removed.map(drop).ok_or_else(|| without(&arn))
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(super) fn list(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let name = route.path.decoded("function")?;
    let target = incoming.target(&name)?;
    check_exists(incoming, &target)?;
    let PageRequest { limit, after } = PageRequest::of(&incoming.query()?)?;
    let info = incoming.function(&target)?;
    let arn = incoming.api.client.arn(target.name);
    let mut page = PageBuilder::new(limit);
    for (qualifier, config) in &info.configuration.event_invoke {
        if after.as_ref().is_some_and(|after| qualifier <= after) {
            continue;
        }
        let item = described(config, &format!("{arn}:{qualifier}"));
        if !page.add(item, qualifier.clone()) {
            break;
        }
    }
    Ok(page.respond("FunctionEventInvokeConfigs"))
}

/// Returns the ARN of a target, under `$LATEST` if it has no qualifier.
fn config_arn(incoming: &Incoming<'_>, target: &FunctionRef<'_>) -> String {
    let arn = incoming.api.client.arn(target.name);
    format!("{arn}:{}", target.qualifier_or_latest())
}

/// Refuses an unknown function (CFG-16).
fn check_exists(incoming: &Incoming<'_>, target: &FunctionRef<'_>) -> Result<(), ApiError> {
    match incoming.function(target) {
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::not_found("The function doesn't exist.")),
    }
}

/// Returns the refusal of a function without a config (CFG-17).
fn without(arn: &str) -> ApiError {
    ApiError::not_found(format!(
        "The function {arn} doesn't have an EventInvokeConfig"
    ))
}

/// Returns a config as AWS describes it (CFG-13).
fn described(config: &EventInvokeConfig, arn: &str) -> Value {
    let modified = config.last_modified.duration_since(UNIX_EPOCH);
    let modified = modified.unwrap_or_default().as_millis() as f64 / 1e3;
    let mut body = Map::new();
    body.insert("LastModified".to_owned(), modified.into());
    body.insert("FunctionArn".to_owned(), arn.into());
    if let Some(retries) = config.retries_max {
        body.insert("MaximumRetryAttempts".to_owned(), retries.into());
    }
    if let Some(age) = config.event_age_max {
        let age = age.as_secs().into();
        body.insert("MaximumEventAgeInSeconds".to_owned(), age);
    }
    let destination = |arn: &Option<String>| match arn {
        Some(arn) => json!({ "Destination": arn }),
        None => json!({}),
    };
    let destinations = json!({
        "OnSuccess": destination(&config.on_success),
        "OnFailure": destination(&config.on_failure),
    });
    body.insert("DestinationConfig".to_owned(), destinations);
    Value::Object(body)
}
