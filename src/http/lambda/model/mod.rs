//! The constraints of AWS's model on each operation's request: on its members in the path, the query, the headers and the body.
//!
//! A request is checked against all of them before anything else, so that one error names every violation (NAM-05), in the
//! model's order. The code that reads a member afterwards relies on that.
//!
//! ```text
//! members.rs, configuration.rs: an operation's members ─▶ rule.rs: a member's rule ─▶ text_rule.rs, texts.rs
//! ```

pub(super) mod configuration;
pub(super) mod member;
pub(super) mod members;
mod rule;
mod text_rule;
mod texts;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::http::error::ApiError;
use crate::http::path::{PathVariables, decode};
use crate::http::request::Incoming;
use member::{Member, MemberLocation};
use rule::{mismatch, wire_name};

/// Checks a request against the model.
///
/// # Errors
/// Every violation at once, or a value of another type than its member's.
pub(super) async fn check(
    incoming: &mut Incoming<'_>,
    members: &[Member],
    path: &PathVariables<'_>,
) -> Result<(), ApiError> {
    let has = |location| members.iter().any(|member| member.location == location);
    let body = match has(MemberLocation::Body) {
        true => incoming.object().await?,
        false => Map::new(),
    };
    let query = match has(MemberLocation::Query) {
        true => incoming.query()?,
        false => BTreeMap::new(),
    };
    let mut broken = Vec::new();
    for member in members {
        match member.location {
            MemberLocation::Body => check_value(member, find(&body, member.name)?, &mut broken)?,
            MemberLocation::Queries(parameter) => {
                let all = incoming.query_values(parameter)?;
                let all = (!all.is_empty()).then(|| Value::from(all));
                let value = all
                    .as_ref()
                    .map_or(MemberValue::Missing, MemberValue::Given);
                check_value(member, value, &mut broken)?;
            }
            _ => {
                if let Some(text) = text(incoming, member, path, &query)? {
                    member.rule.check_text(member.name, &text, &mut broken)?;
                }
            }
        }
    }
    ApiError::unless_empty(broken)
}

/// Returns the value of a member outside the body, if it is given.
fn text<'v, 'p: 'v>(
    incoming: &'v Incoming<'_>,
    member: &Member,
    path: &PathVariables<'p>,
    query: &'v BTreeMap<String, String>,
) -> Result<Option<Cow<'v, str>>, ApiError> {
    Ok(match member.location {
        MemberLocation::Path(variable) => path.raw(variable).map(decode).transpose()?,
        MemberLocation::Header(ref header) => {
            let value = incoming.http.headers().get(header);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()))
        }
        MemberLocation::Query if query.is_empty() => None,
        MemberLocation::Query => {
            let value = query.get(&wire_name(member.name));
            value.map(|value| Cow::Borrowed(&**value))
        }
        MemberLocation::Queries(_) | MemberLocation::Body => None,
    })
}

/// Checks the value of a member in the body, or of a list in the query.
fn check_value(
    member: &Member,
    value: MemberValue<'_>,
    broken: &mut Vec<String>,
) -> Result<(), ApiError> {
    let name = member.name;
    match value {
        MemberValue::Given(value) => member.rule.check_json(name, value, broken)?,
        MemberValue::Missing if member.required => broken.push(format!(
            "Value null at '{name}' failed to satisfy constraint: Member must not be null"
        )),
        MemberValue::Missing | MemberValue::HolderMissing => {}
    }
    Ok(())
}

/// The value of a member in a body or query.
enum MemberValue<'v> {
    Given(&'v Value),
    Missing,
    /// The member that would hold it is missing too.
    HolderMissing,
}

/// Returns the value of a member of a body. A null counts as a missing member.
fn find<'v>(body: &'v Map<String, Value>, way: &str) -> Result<MemberValue<'v>, ApiError> {
    let mut map = body;
    for (at, _) in way.match_indices('.') {
        let step = &way[..at];
        let name = step.rsplit('.').next().unwrap_or(step);
        match map.get(&wire_name(name)) {
            None | Some(Value::Null) => return Ok(MemberValue::HolderMissing),
            Some(Value::Object(inner)) => map = inner,
            Some(_) => return Err(mismatch(step, "an object")),
        }
    }
    let name = way.rsplit('.').next().unwrap_or(way);
    Ok(match map.get(&wire_name(name)) {
        None | Some(Value::Null) => MemberValue::Missing,
        Some(value) => MemberValue::Given(value),
    })
}
