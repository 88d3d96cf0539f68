//! How a function's events are dealt with: retries, age and destinations, per qualifier (CFG-11 to CFG-23).

use std::time::{Duration, UNIX_EPOCH};

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::base::clock;
use crate::event::function_name::FunctionName;
use crate::event::meta::LATEST;
use crate::function::configuration::EventInvokeConfig;
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::lambda::function_ref::Target;
use crate::http::request::{Incoming, decode, marked, marker};

/// CFG-12
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Wanted {
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
    destination_config: Option<Destinations>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Destinations {
    on_success: Option<Goal>,
    on_failure: Option<Goal>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Goal {
    destination: Option<String>,
}

impl Goal {
    /// An empty one stands for none (CFG-18, CFG-19).
    fn arn(self) -> Option<String> {
        self.destination.filter(|arn| !arn.is_empty())
    }
}

// --- operations

pub(crate) async fn put(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    change(incoming, function, false).await
}

pub(crate) async fn update(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    change(incoming, function, true).await
}

/// Replaces the configuration, or changes what is said of it in one that is there (CFG-11).
async fn change(
    incoming: &mut Incoming<'_>,
    function: &str,
    update: bool,
) -> Result<HttpResponse, ApiError> {
    let name = decode(function)?;
    let wanted: Wanted = incoming.json().await?;
    let target = incoming.target(&name)?;
    if wanted.says_nothing() {
        // CFG-15: of a function that isn't there, too.
        return Err(ApiError::invalid_parameter(
            "You must specify at least one of error handling or destination setting.",
        ));
    }
    check_exists(incoming, &target)?;
    let (client, arn) = (&incoming.api.client, qualified_arn(incoming, &target));
    wanted.check_destinations(incoming, &client.arn(target.name))?;
    let now = clock::wall_now();
    let config = client
        .configure(target.name, |configuration| {
            let configs = &mut configuration.event_invoke;
            let before = configs.get(qualifier(&target)).cloned();
            let before = match (update, before) {
                (true, None) => return Err(without(&arn)),
                (true, Some(before)) => before,
                (false, _) => EventInvokeConfig::new(now),
            };
            let after = wanted.applied_to(before);
            let after = EventInvokeConfig {
                last_modified: now,
                ..after
            };
            configs.insert(qualifier(&target).to_owned(), after.clone());
            Ok(after)
        })
        .await?;
    Ok(HttpResponse::Ok().json(described(&config, &arn)))
}

pub(crate) fn get(incoming: &Incoming<'_>, function: &str) -> Result<HttpResponse, ApiError> {
    let name = decode(function)?;
    let target = incoming.target(&name)?;
    let arn = qualified_arn(incoming, &target);
    let info = incoming.function(&target).map_err(|_| without(&arn))?;
    let config = info.configuration.event_invoke.get(qualifier(&target));
    let config = config.ok_or_else(|| without(&arn))?;
    Ok(HttpResponse::Ok().json(described(config, &arn)))
}

pub(crate) async fn delete(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let name = decode(function)?;
    let target = incoming.target(&name)?;
    let arn = qualified_arn(incoming, &target);
    incoming.function(&target).map_err(|_| without(&arn))?;
    let client = &incoming.api.client;
    client
        .configure(target.name, |configuration| {
            let removed = configuration.event_invoke.remove(qualifier(&target));
            removed.map(drop).ok_or_else(|| without(&arn))
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) fn list(incoming: &Incoming<'_>, function: &str) -> Result<HttpResponse, ApiError> {
    let name = decode(function)?;
    let target = incoming.target(&name)?;
    check_exists(incoming, &target)?;
    let query = incoming.query()?;
    let limit = super::functions::page_limit(&query);
    let after = query.get("Marker").map(|it| marked(it)).transpose()?;
    let info = incoming.function(&target)?;
    let configs = &info.configuration.event_invoke;
    let later = configs.iter().filter(|(qualifier, _)| {
        let after = after.as_ref();
        after.is_none_or(|after| *qualifier > after)
    });
    let mut page: Vec<_> = later.take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let arn = incoming.api.client.arn(target.name);
    let all: Vec<_> = page
        .iter()
        .map(|(qualifier, config)| described(config, &format!("{arn}:{qualifier}")))
        .collect();
    let mut body = json!({ "FunctionEventInvokeConfigs": all });
    if let Some((last, _)) = page.last().filter(|_| more) {
        body["NextMarker"] = marker(last).into();
    }
    Ok(HttpResponse::Ok().json(body))
}

// --- what is said and answered

fn qualifier<'a>(target: &'a Target<'_>) -> &'a str {
    target.qualifier.as_deref().unwrap_or(LATEST)
}

fn qualified_arn(incoming: &Incoming<'_>, target: &Target<'_>) -> String {
    let arn = incoming.api.client.arn(target.name);
    format!("{arn}:{}", qualifier(target))
}

/// CFG-16
fn check_exists(incoming: &Incoming<'_>, target: &Target<'_>) -> Result<(), ApiError> {
    match incoming.function(target) {
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::not_found("The function doesn't exist.")),
    }
}

/// CFG-17
fn without(arn: &str) -> ApiError {
    ApiError::not_found(format!(
        "The function {arn} doesn't have an EventInvokeConfig"
    ))
}

/// CFG-13
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
    let goal = |arn: &Option<String>| match arn {
        Some(arn) => json!({ "Destination": arn }),
        None => json!({}),
    };
    let destinations = json!({
        "OnSuccess": goal(&config.on_success),
        "OnFailure": goal(&config.on_failure),
    });
    body.insert("DestinationConfig".to_owned(), destinations);
    Value::Object(body)
}

impl Wanted {
    fn says_nothing(&self) -> bool {
        self.maximum_retry_attempts.is_none()
            && self.maximum_event_age_in_seconds.is_none()
            && self.destination_config.is_none()
    }

    /// CFG-20 to CFG-22
    fn check_destinations(&self, incoming: &Incoming<'_>, own: &str) -> Result<(), ApiError> {
        let Some(destinations) = &self.destination_config else {
            return Ok(());
        };
        let arn = |goal: &Option<Goal>| {
            let arn = goal.as_ref()?.destination.clone();
            arn.filter(|arn| !arn.is_empty())
        };
        let (success, failure) = (arn(&destinations.on_success), arn(&destinations.on_failure));
        for (arn, failing) in [(&success, false), (&failure, true)] {
            let Some(arn) = arn else { continue };
            let service = arn.split(':').nth(2).unwrap_or_default();
            let takes = match service {
                "sqs" | "sns" => !arn.ends_with(".fifo"),
                "lambda" | "events" => true,
                "s3" => failing,
                _ => false,
            };
            if !takes {
                let goal = |name: &str, arn: &Option<String>| match arn {
                    Some(arn) => format!("{name}(destination={arn})"),
                    None => "null".to_owned(),
                };
                return Err(ApiError::invalid_parameter(format!(
                    "The provided destination config DestinationConfig(onSuccess={}, onFailure={}) is invalid.",
                    goal("OnSuccess", &success),
                    goal("OnFailure", &failure)
                )));
            }
            if arn == own
                || arn
                    .strip_prefix(own)
                    .is_some_and(|rest| rest.starts_with(':'))
            {
                return Err(ApiError::invalid_parameter(
                    "You can't specify the function as a destination for itself.",
                ));
            }
            if service == "lambda" {
                // Here functions have no role that would have to be allowed to invoke it, so the caller must be: whoever may
                // not invoke it gets nobody else to. What runs is what the function is called now.
                let target = Target::new(arn, None)?;
                let runs = incoming.api.client.heir(&FunctionName::new(target.name));
                let qualifier = target.qualifier.as_deref();
                auth::check_target(incoming, auth::INVOKE, runs.as_str(), qualifier)?;
            }
            if !incoming.api.client.has_destination(arn) {
                let hint = match service {
                    "lambda" => "",
                    _ => " The program has to name it with Builder::destination.",
                };
                return Err(ApiError::invalid_parameter(format!(
                    "The destination ARN {arn} is invalid.{hint}"
                )));
            }
        }
        Ok(())
    }

    /// What is said takes the place of what was.
    fn applied_to(self, before: EventInvokeConfig) -> EventInvokeConfig {
        let mut after = before;
        if let Some(retries) = self.maximum_retry_attempts {
            after.retries_max = u32::try_from(retries).ok();
        }
        if let Some(age) = self.maximum_event_age_in_seconds {
            after.event_age_max = u64::try_from(age).ok().map(Duration::from_secs);
        }
        if let Some(destinations) = self.destination_config {
            if let Some(goal) = destinations.on_success {
                after.on_success = goal.arn();
            }
            if let Some(goal) = destinations.on_failure {
                after.on_failure = goal.arn();
            }
        }
        after
    }
}
