//! The dead letters that a request means, of those that its caller may touch.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::json;

use crate::client::InvokedAs;
use crate::client::dead_letters::Filter;
use crate::event::dead_letter::{Condition, DeadLetter};
use crate::event::function_name::FunctionName;
use crate::http::auth;
use crate::http::error::ApiError;
use crate::http::request::Incoming;

/// The letters for which all given members hold.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, expecting = "an object")]
pub(super) struct LetterFilter {
    pub(super) function: Option<String>,
    pub(super) condition: Option<String>,
    pub(super) error_type: Option<String>,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
}

impl LetterFilter {
    /// Returns the filter of those letters with which the caller may do this, and, if it `invokes`, which it may invoke.
    pub(super) fn permitted(
        self,
        incoming: &Incoming<'_>,
        action: &'static str,
        invokes: bool,
    ) -> Result<Filter, ApiError> {
        auth::check(incoming, action, self.function.as_deref())?;
        if invokes {
            auth::check(incoming, auth::INVOKE, self.function.as_deref())?;
        }
        let mut filter = permitted(incoming, action, invokes)?;
        if let Some(function) = self.function {
            filter = filter.function(function);
        }
        if let Some(condition) = self.condition {
            filter = filter.condition(read_condition(&condition)?);
        }
        if let Some(error_type) = self.error_type {
            filter = filter.error_type(error_type);
        }
        if let Some(since) = self.since {
            filter = filter.since(read_time("since", &since)?);
        }
        if let Some(until) = self.until {
            filter = filter.until(read_time("until", &until)?);
        }
        Ok(filter)
    }
}

/// Returns the filter of all letters with which the caller may do this, and, if it `invokes`, which it may invoke.
pub(super) fn permitted(
    incoming: &Incoming<'_>,
    action: &'static str,
    invokes: bool,
) -> Result<Filter, ApiError> {
    let Some(may_touch) = auth::may_touch(incoming, action)? else {
        return Ok(Filter::new());
    };
    let may_invoke = match invokes {
        true => auth::may_invoke(incoming)?,
        false => None,
    };
    let client = incoming.api.client.clone();
    Ok(Filter::new().only(move |letter| {
        let invoked_as = invoked_as(letter);
        // The function that the letter is of, and the one that would run.
        let runs = client.current_name(&letter.function);
        let may_touch = |function: &FunctionName| may_touch(function.as_str(), &invoked_as);
        may_touch(&letter.function)
            && (runs == letter.function || may_touch(&runs))
            && may_invoke
                .as_ref()
                .is_none_or(|may| may(runs.as_str(), &invoked_as))
    }))
}

/// Checks an action on a letter: on the function that it was sent to, and on the present name of that function.
pub(super) fn check_letter(
    incoming: &Incoming<'_>,
    action: &str,
    letter: &DeadLetter,
) -> Result<(), ApiError> {
    let (current, invoked_as) = (
        incoming.api.client.current_name(&letter.function),
        invoked_as(letter),
    );
    auth::check_invoked(incoming, action, letter.function.as_str(), &invoked_as)?;
    auth::check_invoked(incoming, action, current.as_str(), &invoked_as)
}

fn invoked_as(letter: &DeadLetter) -> InvokedAs {
    InvokedAs::Known(letter.qualifier.clone())
}

fn read_condition(name: &str) -> Result<Condition, ApiError> {
    serde_json::from_value(json!(name)).map_err(|error| {
        ApiError::invalid_parameter(format!("condition '{name}' is unknown: {error}"))
    })
}

fn read_time(field: &str, text: &str) -> Result<SystemTime, ApiError> {
    humantime::parse_rfc3339(text).map_err(|error| {
        ApiError::invalid_parameter(format!(
            "{field} '{text}' is not a time; expected for example 2026-01-31T12:00:00Z: {error}"
        ))
    })
}
