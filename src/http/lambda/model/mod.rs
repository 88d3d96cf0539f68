//! The constraints of AWS's model on each operation's request: on its members in the path, the query, the headers and the body.
//!
//! A request is checked against all of them before anything else, so that one answer names every violation (NAM-05), in the
//! model's order. The code that reads a member afterwards relies on that.
//!
//! ```text
//! members.rs: the members of an operation ─▶ rule.rs: the rule of each
//! ```

mod configuration;
mod members;
mod rule;

use std::borrow::Cow;

use actix_web::http::header::HeaderName;
use serde_json::{Map, Value};

use crate::http::error::ApiError;
use crate::http::request::{Incoming, decode};
use crate::http::route::Operation;
use members::members;
use rule::{Rule, mismatch, wire_name};

/// A member of a request that the model constrains.
struct Member {
    place: Place,
    /// The name in AWS's errors: `maxItems`, or for a member of a member `vpcConfig.subnetIds`.
    name: &'static str,
    rule: Rule,
    /// Must it be there, if the member that holds it is?
    required: bool,
}

#[derive(PartialEq)]
enum Place {
    /// The function in the path.
    Function,
    /// The last part of the path: an alias, or a statement's id.
    Last,
    Query,
    /// All parameters of the query with this name.
    Queries(&'static str),
    Header(HeaderName),
    Body,
}

/// Checks a request against the model.
///
/// # Errors
/// Every violation at once, or a value of another type than its member's.
pub(crate) async fn check(
    incoming: &mut Incoming<'_>,
    operation: Operation<'_>,
) -> Result<(), ApiError> {
    let members = members(operation);
    let has = |place| members.iter().any(|member| member.place == place);
    let body = match has(Place::Body) {
        true => incoming.object().await?,
        false => Map::new(),
    };
    let query = match has(Place::Query) {
        true => incoming.query()?,
        false => Default::default(),
    };
    let mut broken = Vec::new();
    for member in members {
        let Member {
            place, name, rule, ..
        } = member;
        let text = match place {
            Place::Function => operation.function().map(decode).transpose()?,
            Place::Last => operation.last().map(decode).transpose()?,
            Place::Header(header) => {
                let value = incoming.http.headers().get(header);
                value.map(|value| String::from_utf8_lossy(value.as_bytes()))
            }
            Place::Query if query.is_empty() => None,
            Place::Query => query.get(&wire_name(name)).map(|it| Cow::Borrowed(&**it)),
            Place::Queries(wanted) => {
                let all: Vec<_> = incoming.queries(wanted)?;
                let all = (!all.is_empty()).then(|| Value::from(all));
                let found = all.as_ref().map_or(Found::Nothing, Found::Value);
                check_found(member, found, &mut broken)?;
                None
            }
            Place::Body => {
                check_found(member, find(&body, name)?, &mut broken)?;
                None
            }
        };
        if let Some(text) = text {
            rule.check_text(name, &text, &mut broken)?;
        }
    }
    ApiError::unless_empty(broken)
}

fn check_found(
    member: &Member,
    found: Found<'_>,
    broken: &mut Vec<String>,
) -> Result<(), ApiError> {
    let name = member.name;
    match found {
        Found::Value(value) => member.rule.check_json(name, value, broken)?,
        Found::Nothing if member.required => broken.push(format!(
            "Value null at '{name}' failed to satisfy constraint: Member must not be null"
        )),
        Found::Nothing | Found::NothingToHoldIt => {}
    }
    Ok(())
}

enum Found<'v> {
    Value(&'v Value),
    Nothing,
    NothingToHoldIt,
}

/// The value of a member of a body. A null counts as a missing member.
fn find<'v>(body: &'v Map<String, Value>, way: &str) -> Result<Found<'v>, ApiError> {
    let mut map = body;
    for (at, _) in way.match_indices('.') {
        let step = &way[..at];
        let name = step.rsplit('.').next().unwrap_or(step);
        match map.get(&wire_name(name)) {
            None | Some(Value::Null) => return Ok(Found::NothingToHoldIt),
            Some(Value::Object(inner)) => map = inner,
            Some(_) => return Err(mismatch(step, "an object")),
        }
    }
    let name = way.rsplit('.').next().unwrap_or(way);
    Ok(match map.get(&wire_name(name)) {
        None | Some(Value::Null) => Found::Nothing,
        Some(value) => Found::Value(value),
    })
}
