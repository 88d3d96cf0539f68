//! The functions: listed, described, and the settings that can be changed while they run (CFG-01 to CFG-10, CFG-30).

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::concurrency::{reserved, unqualified};
use super::description::{dead_letters_arn, described, found, listed};
use super::pages::{PageBuilder, PageRequest};
use super::revision::revision;
use super::tags;
use crate::base::clock;
use crate::client::{Client, FunctionInfo};
use crate::event::meta::LATEST;
use crate::function::configuration::Configuration;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

/// Lists the functions, or with `FunctionVersion` their versions too (CFG-01 to CFG-04). A marker is a function's name and the
/// number of its versions that were listed.
pub(super) fn list(incoming: &Incoming<'_>, _: &Route<'_>) -> ApiResult {
    let query = incoming.query()?;
    let PageRequest { limit, after } = PageRequest::of(&query)?;
    let with_versions = query.contains_key("FunctionVersion");
    let client = &incoming.api.client;
    let after = after.as_deref().unwrap_or_default();
    let (after, listed_versions) = after.split_once(':').unwrap_or((after, ""));
    let mut names = client.functions();
    names.retain(|name| {
        let order = name.as_str().cmp(after);
        order.is_gt() || order.is_eq() && !listed_versions.is_empty()
    });
    names.sort_unstable();
    let mut page = PageBuilder::new(limit);
    'all: for name in &names {
        let Some(info) = client.function(name.as_str()) else {
            continue;
        };
        let skipped = match name.as_str() == after {
            true => listed_versions.parse().unwrap_or(0),
            false => 0,
        };
        let qualifiers = listed_qualifiers(&info, with_versions);
        for (index, qualifier) in qualifiers.iter().enumerate().skip(skipped) {
            let item = listed(client, &info, qualifier.as_deref());
            if !page.add(item, format!("{name}:{}", index + 1)) {
                break 'all;
            }
        }
    }
    Ok(page.respond("Functions"))
}

/// Returns the qualifiers under which a list has a function: none, or each version.
fn listed_qualifiers(info: &FunctionInfo, with_versions: bool) -> Vec<Option<String>> {
    if !with_versions {
        return vec![None];
    }
    let versions = info.versions.iter().map(u64::to_string);
    let all = std::iter::once(LATEST.to_owned()).chain(versions);
    all.map(Some).collect()
}

/// CFG-05
pub(super) fn get(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let (info, qualifier) = found(incoming, route)?;
    let configuration = described(&incoming.api.client, &info, qualifier.as_deref());
    let mut body = json!({
        "Configuration": configuration,
        // The code is the program's, and can't be fetched.
        "Code": { "RepositoryType": "Program", "Location": "" },
    });
    tags::describe(incoming, &info, &mut body);
    if let Some(reserved) = reserved(&info) {
        body["Concurrency"] = json!({ "ReservedConcurrentExecutions": reserved });
    }
    Ok(HttpResponse::Ok().json(body))
}

/// CFG-06
pub(super) fn configuration(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let (info, qualifier) = found(incoming, route)?;
    let described = described(&incoming.api.client, &info, qualifier.as_deref());
    Ok(HttpResponse::Ok().json(described))
}

/// CFG-09, CFG-30: of AWS's settings, the timeout can be changed; the others belong to the program.
pub(super) async fn update(incoming: &mut Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let info = unqualified(incoming, route)?;
    let body: Map<String, Value> = incoming.json().await?;
    let client = &incoming.api.client;
    let (mut timeout, mut expected) = (None, None);
    for (member, value) in body.iter().filter(|(_, value)| !value.is_null()) {
        match member.as_str() {
            "Timeout" => timeout = value.as_u64().map(Duration::from_secs),
            "RevisionId" => expected = Some(value),
            "DeadLetterConfig" => check_dead_letters(client, value)?,
            other => {
                return Err(ApiError::invalid_parameter(format!(
                    "{other} can't be changed while the program runs: set it where the function is registered"
                )));
            }
        }
    }
    let name = info.name.clone();
    client
        .configure(name.as_str(), |configuration| {
            check_revision(info, configuration, expected)?;
            if timeout.is_some() {
                configuration.timeout = timeout;
                configuration.revise(clock::wall_now());
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    self::configuration(incoming, route)
}

/// Refuses a change that expects another revision than the function's.
fn check_revision(
    mut info: FunctionInfo,
    configuration: &Configuration,
    expected: Option<&Value>,
) -> Result<(), ApiError> {
    info.configuration = configuration.clone();
    match expected {
        Some(expected) if *expected != json!(revision(&info, None)) => Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
        )),
        _ => Ok(()),
    }
}

/// CFG-30: refuses another dead-letter queue than the runtime's, which nothing turns off: without it, letters would be lost.
fn check_dead_letters(client: &Client, value: &Value) -> Result<(), ApiError> {
    let arn = dead_letters_arn(client);
    match value.get("TargetArn") {
        None => Ok(()),
        Some(given) if *given == json!(arn) => Ok(()),
        Some(given) => Err(ApiError::invalid_parameter(format!(
            "dead letters go to {arn} and can't go to {given}: use an OnFailure destination for copies elsewhere"
        ))),
    }
}
