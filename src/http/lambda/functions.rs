//! The functions, as AWS describes them (CFG-01 to CFG-10, CFG-30), and what can be changed of them while they run.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::concurrency::reserved;
use super::tags;
use crate::base::clock;
use crate::base::process_memory;
use crate::client::{Client, FunctionInfo};
use crate::event::meta::LATEST;
use crate::function::versions::Alias;
use crate::http::error::ApiError;
use crate::http::request::{Incoming, decode, marked, marker};

/// Most functions of a page, whatever is asked for (CFG-01).
const PAGE_MAX: usize = 50;

type Query = BTreeMap<String, String>;

// --- operations

/// CFG-01 to CFG-04
pub(crate) fn list(incoming: &Incoming<'_>) -> Result<HttpResponse, ApiError> {
    let query = incoming.query()?;
    let limit = page_limit(&query);
    let versions = query.contains_key("FunctionVersion");
    let client = &incoming.api.client;
    let after = query.get("Marker").map(|it| marked(it)).transpose()?;
    let after = after.as_deref().unwrap_or_default();
    let (after, skipped) = after.split_once(':').unwrap_or((after, ""));
    let mut names = client.functions();
    names.retain(|name| {
        let order = name.as_str().cmp(after);
        order.is_gt() || order.is_eq() && !skipped.is_empty()
    });
    names.sort_unstable();
    let mut page = Page::new(limit);
    'all: for name in &names {
        let Some(info) = client.function(name.as_str()) else {
            continue;
        };
        let mut shown = vec![None];
        if versions {
            shown = vec![Some(LATEST.to_owned())];
            shown.extend(
                info.versions
                    .iter()
                    .map(|version| Some(version.to_string())),
            );
        }
        let seen = match name.as_str() == after {
            true => skipped.parse().unwrap_or(0),
            false => 0,
        };
        for (index, version) in shown.iter().enumerate().skip(seen) {
            let listed = listed(client, &info, version.as_deref());
            let next = format!("{name}:{}", index + 1);
            if !page.add(listed, next) {
                break 'all;
            }
        }
    }
    Ok(page.answer("Functions"))
}

/// CFG-05
pub(crate) fn get(incoming: &Incoming<'_>, function: &str) -> Result<HttpResponse, ApiError> {
    let (info, qualifier) = found(incoming, function)?;
    let configuration = described(&incoming.api.client, &info, qualifier.as_deref());
    let mut body = json!({
        "Configuration": configuration,
        // The code is the program's, and nowhere to be had.
        "Code": { "RepositoryType": "Program", "Location": "" },
    });
    tags::show(incoming, &info, &mut body);
    if let Some(reserved) = reserved(&info) {
        body["Concurrency"] = json!({ "ReservedConcurrentExecutions": reserved });
    }
    Ok(HttpResponse::Ok().json(body))
}

/// CFG-06
pub(crate) fn configuration(
    incoming: &Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let (info, qualifier) = found(incoming, function)?;
    let described = described(&incoming.api.client, &info, qualifier.as_deref());
    Ok(HttpResponse::Ok().json(described))
}

/// CFG-09, CFG-30: of AWS's settings, the timeout can be changed; the others belong to the program.
pub(crate) async fn update(
    incoming: &mut Incoming<'_>,
    function: &str,
) -> Result<HttpResponse, ApiError> {
    let mut info = super::concurrency::unqualified(incoming, function)?;
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
            info.configuration = configuration.clone();
            if expected.is_some_and(|revision_id| *revision_id != json!(revision(&info, None))) {
                return Err(ApiError::new(
                    StatusCode::PRECONDITION_FAILED,
                    "PreconditionFailedException",
                    "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
                ));
            }
            if timeout.is_some() {
                configuration.timeout = timeout;
                configuration.revise(clock::wall_now());
            }
            Ok(())
        })
        .await?;
    configuration(incoming, function)
}

/// CFG-02
pub(crate) fn versions(incoming: &Incoming<'_>, function: &str) -> Result<HttpResponse, ApiError> {
    let (info, _) = found(incoming, function)?;
    let all = std::iter::once(LATEST.to_owned());
    let all = all.chain(info.versions.iter().map(u64::to_string));
    let versions = all.map(|version| {
        let listed = listed(&incoming.api.client, &info, Some(&version));
        (listed, version)
    });
    paged(incoming, versions, "Versions")
}

pub(crate) fn aliases(incoming: &Incoming<'_>, function: &str) -> Result<HttpResponse, ApiError> {
    let (info, _) = found(incoming, function)?;
    let query = incoming.query()?;
    let of = query.get("FunctionVersion");
    let aliases = info.aliases.iter();
    let aliases = aliases.filter(|alias| of.is_none_or(|of| alias.version.to_string() == **of));
    let aliases = aliases.map(|alias| {
        let described = described_alias(&info, alias);
        (described, alias.name.clone())
    });
    paged(incoming, aliases, "Aliases")
}

pub(crate) fn alias(
    incoming: &Incoming<'_>,
    function: &str,
    alias: &str,
) -> Result<HttpResponse, ApiError> {
    let name = decode(alias)?;
    let (info, _) = found(incoming, function)?;
    let known = info.aliases.iter().find(|alias| alias.name == name);
    let known = known.ok_or_else(|| {
        ApiError::not_found(format!("Cannot find alias arn: {}:{name}", info.arn))
    })?;
    Ok(HttpResponse::Ok().json(described_alias(&info, known)))
}

// --- what is found and described

/// The function and the qualifier that a part of the path means.
fn found(
    incoming: &Incoming<'_>,
    function: &str,
) -> Result<(FunctionInfo, Option<String>), ApiError> {
    let name = decode(function)?;
    let target = incoming.target(&name)?;
    let unknown = |_| {
        let arn = incoming.api.client.arn(target.name);
        let qualifier = target.qualifier.as_deref();
        let qualifier = qualifier.map(|it| format!(":{it}")).unwrap_or_default();
        ApiError::not_found(format!("Function not found: {arn}{qualifier}"))
    };
    let info = incoming.function(&target).map_err(unknown)?;
    Ok((info, target.qualifier.map(|it| it.into_owned())))
}

/// CFG-07
fn described(client: &Client, info: &FunctionInfo, qualifier: Option<&str>) -> Map<String, Value> {
    let name = info.name.as_str();
    let arn = match qualifier {
        Some(qualifier) => format!("{}:{qualifier}", info.arn),
        None => info.arn.clone(),
    };
    let alias = info.aliases.iter().find(|it| qualifier == Some(&it.name));
    let version = match (alias, qualifier) {
        (Some(alias), _) => alias.version.to_string(),
        (None, version) => version.unwrap_or(LATEST).to_owned(),
    };
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let described = json!({
        "FunctionName": name,
        "FunctionArn": arn,
        "Runtime": "provided.al2023",
        "Role": format!("arn:aws:iam::{}:role/redrive", client.account()),
        "Handler": name,
        "CodeSize": 0,
        "Description": "",
        "Timeout": info.timeout.as_secs_f64().ceil() as u64,
        "MemorySize": process_memory::megabytes(clock::wall_now()).machine,
        "LastModified": modified(info.configuration.modified_at.unwrap_or(info.registered_at)),
        "CodeSha256": "",
        "Version": version,
        "TracingConfig": { "Mode": "PassThrough" },
        "RevisionId": revision(info, Some(&version)),
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [architecture],
        "EphemeralStorage": { "Size": 512 },
        "SnapStart": { "ApplyOn": "None", "OptimizationStatus": "Off" },
        "RuntimeVersionConfig": { "RuntimeVersionArn": runtime_arn(client) },
        "LoggingConfig": { "LogFormat": "Text", "LogGroup": format!("/aws/lambda/{name}") },
        "DeadLetterConfig": { "TargetArn": dead_letters_arn(client) },
    });
    match described {
        Value::Object(described) => described,
        _ => Map::new(),
    }
}

/// As `described`, without what AWS leaves out of lists (CFG-03).
fn listed(client: &Client, info: &FunctionInfo, qualifier: Option<&str>) -> Value {
    let mut described = described(client, info, qualifier);
    for key in ["State", "LastUpdateStatus", "RuntimeVersionConfig"] {
        described.remove(key);
    }
    Value::Object(described)
}

/// What runs functions here, where AWS names the version of a language's runtime.
fn runtime_arn(client: &Client) -> String {
    let (region, version) = (client.region(), env!("CARGO_PKG_VERSION"));
    format!("arn:aws:lambda:{region}::runtime:redrive-{version}")
}

fn described_alias(info: &FunctionInfo, alias: &Alias) -> Value {
    let mut described = json!({
        "AliasArn": format!("{}:{}", info.arn, alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.version.to_string(),
        "Description": "",
        "RevisionId": revision(info, Some(&alias.name)),
    });
    if let Some((version, weight)) = alias.second {
        let weights = json!({ version.to_string(): weight });
        described["RoutingConfig"] = json!({ "AdditionalVersionWeights": weights });
    }
    described
}

/// `YYYY-MM-DDThh:mm:ss.sss+0000`
fn modified(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_millis(time).to_string();
    format!("{}+0000", text.trim_end_matches('Z'))
}

/// The revision of what a qualifier stands for: the same after a restart, and another one after each change of it. The
/// function itself changes with its settings, tags, versions and policy; a version with its policy; an alias with its policy
/// and where it points. As at AWS, it is the policy's revision while there is a policy.
pub(crate) fn revision(info: &FunctionInfo, qualifier: Option<&str>) -> String {
    let (qualifier, configuration) = (qualifier.unwrap_or(LATEST), &info.configuration);
    if let Some(permissions) = configuration.permissions.get(qualifier) {
        return permissions.revision.to_string();
    }
    let alias = info.aliases.iter().find(|alias| alias.name == qualifier);
    let state = match alias {
        None if qualifier == LATEST => format!(
            "{:?}:{:?}:{:?}:{:?}",
            info.timeout, info.versions, configuration.tags, configuration.modified_at
        ),
        None => String::new(),
        Some(alias) => format!("{alias:?}"),
    };
    let digest = hmac_sha256::Hash::hash(format!("{}:{qualifier}:{state}", info.arn).as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .to_string()
}

// --- dead letters

/// The ARN under which AWS's API knows the runtime's dead-letter queue.
fn dead_letters_arn(client: &Client) -> String {
    let (region, account) = (client.region(), client.account());
    format!("arn:aws:sqs:{region}:{account}:redrive-dead-letters")
}

/// CFG-30: dead letters go to the runtime's own queue, which nothing turns off: what it doesn't keep would be lost.
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

// --- pages

/// How many items a page may have.
pub(crate) fn page_limit(query: &Query) -> usize {
    let asked = query.get("MaxItems").and_then(|it| it.parse().ok());
    asked.unwrap_or(PAGE_MAX).min(PAGE_MAX)
}

struct Page {
    items: Vec<Value>,
    limit: usize,
    /// Where the next page begins, after the last item.
    last: String,
    more: bool,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self {
            items: Vec::new(),
            limit,
            last: String::new(),
            more: false,
        }
    }

    /// Answers whether there was room.
    fn add(&mut self, item: Value, next: String) -> bool {
        self.more = self.items.len() >= self.limit;
        if !self.more {
            self.items.push(item);
            self.last = next;
        }
        !self.more
    }

    fn answer(self, key: &str) -> HttpResponse {
        let mut body = json!({ key: self.items });
        if self.more {
            body["NextMarker"] = marker(&self.last).into();
        }
        HttpResponse::Ok().json(body)
    }
}

/// A page of items with their keys.
fn paged(
    incoming: &Incoming<'_>,
    items: impl Iterator<Item = (Value, String)>,
    key: &str,
) -> Result<HttpResponse, ApiError> {
    let query = incoming.query()?;
    let after = query.get("Marker").map(|it| marked(it)).transpose()?;
    let mut seen = after.is_none();
    let mut page = Page::new(page_limit(&query));
    for (item, name) in items {
        if !seen {
            seen = after.as_ref() == Some(&name);
            continue;
        }
        if !page.add(item, name) {
            break;
        }
    }
    Ok(page.answer(key))
}
