//! What AWS's API doesn't know, as JSON under `/_redrive/`: status and results, cancelling, pausing, dead letters, figures and
//! health. `openapi.json` describes it; a test holds it against this table.

mod dead_letters;
mod events;
mod functions;
mod health;

use actix_web::HttpResponse;
use actix_web::http::Method;

use super::auth;
use super::error::ApiError;
use super::request::{Incoming, decode, parts, raw_tail};

/// The description of all of this, in OpenAPI 3.1.
const OPENAPI: &str = include_str!("openapi.json");

/// What is asked for, with the variable parts of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked<'a> {
    Live,
    Ready,
    OpenApi,
    Stats,
    Functions,
    Unregistered,
    Function(&'a str),
    Events(&'a str),
    Pause(&'a str),
    Resume(&'a str),
    Event(&'a str),
    Cancel(&'a str),
    Log(&'a str),
    DeadLetters,
    DeadLetter(&'a str),
    Redrive,
    Purge,
}

impl<'a> Asked<'a> {
    fn at(method: &Method, path: &'a str) -> Option<Self> {
        Some(match (method.as_str(), &*parts(path)) {
            ("GET", ["health", "live"]) => Self::Live,
            ("GET", ["health", "ready"]) => Self::Ready,
            ("GET", ["openapi.json"]) => Self::OpenApi,
            ("GET", ["stats"]) => Self::Stats,
            ("GET", ["functions"]) => Self::Functions,
            ("GET", ["unregistered"]) => Self::Unregistered,
            ("GET", ["functions", f, "stats"]) => Self::Function(f),
            ("GET", ["functions", f, "events"]) => Self::Events(f),
            ("POST", ["functions", f, "pause"]) => Self::Pause(f),
            ("POST", ["functions", f, "resume"]) => Self::Resume(f),
            ("GET", ["events", id]) => Self::Event(id),
            ("DELETE", ["events", id]) => Self::Cancel(id),
            ("GET", ["events", id, "log"]) => Self::Log(id),
            ("GET", ["dead-letters"]) => Self::DeadLetters,
            ("POST", ["dead-letters", "redrive"]) => Self::Redrive,
            ("POST", ["dead-letters", "purge"]) => Self::Purge,
            ("GET", ["dead-letters", id]) => Self::DeadLetter(id),
            _ => return None,
        })
    }

    /// Its IAM action; none for what anybody may know.
    fn action(self) -> Option<&'static str> {
        Some(match self {
            Self::Live | Self::Ready | Self::OpenApi => return None,
            Self::Stats | Self::Function(_) => "redrive:GetStats",
            Self::Functions | Self::Unregistered => "redrive:ListFunctions",
            Self::Events(_) => "redrive:ListEvents",
            Self::Pause(_) => "redrive:PauseFunction",
            Self::Resume(_) => "redrive:ResumeFunction",
            Self::Event(_) => "redrive:GetEvent",
            Self::Cancel(_) => "redrive:CancelEvent",
            Self::Log(_) => "redrive:GetEventLog",
            Self::DeadLetters => "redrive:ListDeadLetters",
            Self::DeadLetter(_) => "redrive:GetDeadLetter",
            Self::Redrive => "redrive:RedriveDeadLetters",
            Self::Purge => "redrive:PurgeDeadLetters",
        })
    }

    /// The function that it is about, as the path has it.
    fn function(self) -> Option<&'a str> {
        match self {
            Self::Function(f) | Self::Events(f) | Self::Pause(f) | Self::Resume(f) => Some(f),
            _ => None,
        }
    }
}

pub(crate) async fn answer(incoming: &mut Incoming<'_>) -> Result<HttpResponse, ApiError> {
    let http = incoming.http;
    let Some(asked) = Asked::at(http.method(), raw_tail(http)) else {
        auth::check_known(incoming).await?;
        return Err(ApiError::unknown_operation(http));
    };
    if asked == Asked::Redrive {
        incoming.carries_payload();
    }
    let function = asked.function().map(decode).transpose()?;
    let function = function.as_deref();
    let Some(action) = asked.action() else {
        auth::check_open(incoming)?;
        return open(incoming, asked);
    };
    auth::check_known(incoming).await?;
    let mut of = None;
    match asked {
        Asked::Event(id) | Asked::Cancel(id) | Asked::Log(id) => {
            of = events::check(incoming, action, id).await?;
        }
        // Of whose letters it is, only the letters tell.
        Asked::DeadLetters | Asked::DeadLetter(_) | Asked::Redrive | Asked::Purge => {}
        _ => auth::check(incoming, action, function)?,
    }
    let function = function.unwrap_or_default();
    match asked {
        Asked::Live | Asked::Ready | Asked::OpenApi => open(incoming, asked),
        Asked::Stats => Ok(HttpResponse::Ok().json(incoming.api.client.stats())),
        Asked::Functions => Ok(functions::list(incoming)),
        Asked::Unregistered => Ok(functions::unregistered(incoming)),
        Asked::Function(_) => functions::stats(incoming, function),
        Asked::Events(_) => functions::events(incoming, action, function).await,
        Asked::Pause(_) => functions::hold(incoming, function, true).await,
        Asked::Resume(_) => functions::hold(incoming, function, false).await,
        Asked::Event(id) => events::get(incoming, id, of).await,
        Asked::Cancel(id) => events::cancel(incoming, id, of).await,
        Asked::Log(id) => events::log(incoming, id, of),
        Asked::DeadLetters => dead_letters::list(incoming).await,
        Asked::DeadLetter(id) => dead_letters::get(incoming, id).await,
        Asked::Redrive => dead_letters::redrive(incoming).await,
        Asked::Purge => dead_letters::purge(incoming).await,
    }
}

/// What anybody may know who can reach the server.
fn open(incoming: &Incoming<'_>, asked: Asked<'_>) -> Result<HttpResponse, ApiError> {
    match asked {
        Asked::Live => Ok(health::live()),
        Asked::Ready => Ok(health::ready(incoming)),
        _ => Ok(HttpResponse::Ok()
            .content_type("application/json")
            .body(OPENAPI)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What is described can be asked for, and what can be asked for is described.
    #[test]
    fn the_description_and_the_table_say_the_same() {
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = described["paths"].as_object().unwrap();
        let mut found = std::collections::BTreeSet::new();
        for (path, methods) in paths {
            let path = path.strip_prefix("/_redrive/").unwrap();
            let example = path.replace("{function}", "f").replace("{id}", "x");
            for method in methods
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| *key != "parameters")
            {
                let method = method.to_uppercase().parse().unwrap();
                let asked = Asked::at(&method, &example);
                let asked = asked.unwrap_or_else(|| panic!("{method} {path} can't be asked for"));
                assert!(
                    found.insert(format!("{asked:?}")),
                    "{method} {path} stands twice"
                );
            }
        }
        // As many as there are: an arm that is added above needs a line in the description.
        let source = include_str!("mod.rs");
        let table = source.split("fn at(").nth(1).unwrap();
        let table = table.split("_ => return None").next().unwrap();
        assert_eq!(found.len(), table.matches("=> Self::").count());
    }

    /// Every action is named in the description, for whoever writes a policy.
    #[test]
    fn the_description_names_every_action() {
        let source = include_str!("mod.rs");
        let actions = source.split('"').filter(|word| {
            word.strip_prefix("redrive:")
                .is_some_and(|rest| !rest.is_empty())
        });
        for action in actions {
            assert!(OPENAPI.contains(&format!("\"{action}\"")), "{action}");
        }
    }
}
