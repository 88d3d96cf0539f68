//! The description of a function under a qualifier, as AWS gives it (CFG-03, CFG-07).

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::revision::revision;
use crate::base::clock;
use crate::base::process_memory;
use crate::client::{Client, FunctionInfo};
use crate::event::meta::LATEST;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::Route;

/// Returns the function of a path, and the qualifier that the request gives.
pub(super) fn found(
    incoming: &Incoming<'_>,
    route: &Route<'_>,
) -> Result<(FunctionInfo, Option<String>), ApiError> {
    let name = route.path.decoded("function")?;
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

/// Returns the description of a function (CFG-07).
pub(super) fn described(
    client: &Client,
    info: &FunctionInfo,
    qualifier: Option<&str>,
) -> Map<String, Value> {
    let name = info.name.as_str();
    let arn = match qualifier {
        Some(qualifier) => format!("{}:{qualifier}", info.arn),
        None => info.arn.clone(),
    };
    let version = version(info, qualifier);
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
        "Architectures": [architecture()],
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

/// Returns the version that a qualifier stands for.
fn version(info: &FunctionInfo, qualifier: Option<&str>) -> String {
    let alias = info.aliases.iter().find(|it| qualifier == Some(&it.name));
    match (alias, qualifier) {
        (Some(alias), _) => alias.version.to_string(),
        (None, version) => version.unwrap_or(LATEST).to_owned(),
    }
}

/// Returns the machine's architecture, by AWS's name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

/// As [`described`], without the members that AWS leaves out of lists (CFG-03).
pub(super) fn listed(client: &Client, info: &FunctionInfo, qualifier: Option<&str>) -> Value {
    let mut described = described(client, info, qualifier);
    for key in ["State", "LastUpdateStatus", "RuntimeVersionConfig"] {
        described.remove(key);
    }
    Value::Object(described)
}

/// Returns the ARN of the version of this crate, where AWS has that of a language's runtime.
fn runtime_arn(client: &Client) -> String {
    let (region, version) = (client.region(), env!("CARGO_PKG_VERSION"));
    format!("arn:aws:lambda:{region}::runtime:redrive-{version}")
}

/// Returns a time as `YYYY-MM-DDThh:mm:ss.sss+0000`.
fn modified(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_millis(time).to_string();
    format!("{}+0000", text.trim_end_matches('Z'))
}

/// Returns the ARN of the runtime's dead-letter queue in AWS's API.
pub(super) fn dead_letters_arn(client: &Client) -> String {
    let (region, account) = (client.region(), client.account());
    format!("arn:aws:sqs:{region}:{account}:redrive-dead-letters")
}
