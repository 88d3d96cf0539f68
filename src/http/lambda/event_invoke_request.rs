//! The request for an event-invoke config: the members that it sets, and the checks of its destinations (CFG-12 to CFG-22).

use std::time::Duration;

use serde::Deserialize;

use super::lookup::read_target;
use crate::event::function_name::FunctionName;
use crate::function::configuration::EventInvokeConfig;
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::request::Incoming;

/// CFG-12
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
pub(super) struct EventInvokeRequest {
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
    destination_config: Option<DestinationConfig>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct DestinationConfig {
    on_success: Option<DestinationMember>,
    on_failure: Option<DestinationMember>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct DestinationMember {
    destination: Option<String>,
}

impl DestinationMember {
    /// Returns the ARN. An empty one stands for none (CFG-18, CFG-19).
    fn arn(&self) -> Option<&str> {
        self.destination.as_deref().filter(|arn| !arn.is_empty())
    }
}

impl DestinationConfig {
    fn on_success(&self) -> Option<&str> {
        self.on_success.as_ref()?.arn()
    }

    fn on_failure(&self) -> Option<&str> {
        self.on_failure.as_ref()?.arn()
    }

    /// Returns the refusal of a destination that takes no records of its kind, in AWS's words (CFG-20).
    fn invalid(&self) -> ApiError {
        let member = |name: &str, arn: Option<&str>| match arn {
            Some(arn) => format!("{name}(destination={arn})"),
            None => "null".to_owned(),
        };
        ApiError::invalid_parameter(format!(
            "The provided destination config DestinationConfig(onSuccess={}, onFailure={}) is invalid.",
            member("OnSuccess", self.on_success()),
            member("OnFailure", self.on_failure())
        ))
    }
}

impl EventInvokeRequest {
    /// Returns whether it sets no member.
    pub(super) fn is_empty(&self) -> bool {
        self.maximum_retry_attempts.is_none()
            && self.maximum_event_age_in_seconds.is_none()
            && self.destination_config.is_none()
    }

    /// Checks the destinations of a function with the ARN `own` (CFG-20 to CFG-22).
    pub(super) fn check_destinations(
        &self,
        incoming: &Incoming<'_>,
        own: &str,
    ) -> Result<(), ApiError> {
        let Some(config) = &self.destination_config else {
            return Ok(());
        };
        for (arn, of_failures) in [(config.on_success(), false), (config.on_failure(), true)] {
            let Some(arn) = arn else { continue };
            if !takes_records(arn, of_failures) {
                return Err(config.invalid());
            }
            if is_of_function(arn, own) {
                return Err(ApiError::invalid_parameter(
                    "You can't specify the function as a destination for itself.",
                ));
            }
            check_destination(incoming, arn)?;
        }
        Ok(())
    }

    /// Returns the config with the members that the request sets.
    pub(super) fn applied_to(self, before: EventInvokeConfig) -> EventInvokeConfig {
        let mut after = before;
        if let Some(retries) = self.maximum_retry_attempts {
            after.retries_max = u32::try_from(retries).ok();
        }
        if let Some(age) = self.maximum_event_age_in_seconds {
            after.event_age_max = u64::try_from(age).ok().map(Duration::from_secs);
        }
        if let Some(destinations) = self.destination_config {
            if let Some(destination) = destinations.on_success {
                after.on_success = destination.arn().map(str::to_owned);
            }
            if let Some(destination) = destinations.on_failure {
                after.on_failure = destination.arn().map(str::to_owned);
            }
        }
        after
    }
}

/// Returns the service in an ARN.
fn service(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}

/// Returns whether a destination takes the records of successes, or of failures.
fn takes_records(arn: &str, of_failures: bool) -> bool {
    match service(arn) {
        "sqs" | "sns" => !arn.ends_with(".fifo"),
        "lambda" | "events" => true,
        "s3" => of_failures,
        _ => false,
    }
}

/// Returns whether an ARN is the function's, with a qualifier or without.
fn is_of_function(arn: &str, function: &str) -> bool {
    let rest = arn.strip_prefix(function);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Refuses a destination that the caller may not invoke, or that is not here.
fn check_destination(incoming: &Incoming<'_>, arn: &str) -> Result<(), ApiError> {
    let is_function = service(arn) == "lambda";
    if is_function {
        // At AWS the role of the source function needs this right. Functions have no role here, so the caller needs it:
        // otherwise it would get another principal to invoke the function. The check is on the function's present name.
        let target = read_target(arn, None)?;
        let runs = incoming
            .api
            .client
            .current_name(&FunctionName::new(target.name));
        let qualifier = target.qualifier.as_deref();
        auth::check_target(incoming, auth::INVOKE, runs.as_str(), qualifier)?;
    }
    if incoming.api.client.has_destination(arn) {
        return Ok(());
    }
    let hint = match is_function {
        true => "",
        false => " The program has to name it with Builder::destination.",
    };
    Err(ApiError::invalid_parameter(format!(
        "The destination ARN {arn} is invalid.{hint}"
    )))
}
