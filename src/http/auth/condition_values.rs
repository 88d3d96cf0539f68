//! The values that a request gives to the condition keys of policies.

use std::time::UNIX_EPOCH;

use crate::base::clock;
use crate::http::request::Incoming;
use crate::http::server::listener::Listener;
use crate::http::sigv4::Credential;
use crate::policy::ConditionValues;

/// Returns the values of all keys that hold for every resource of the request.
pub(super) fn of_request(incoming: &Incoming<'_>, credential: &Credential) -> ConditionValues {
    let (http, principal) = (incoming.http, credential.principal());
    let now = clock::wall_now();
    let epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (kind, name) = kind_and_name(&principal.arn);
    let secure = Listener::of(http).secure;
    let mut values = ConditionValues::new()
        .with(
            "aws:CurrentTime",
            humantime::format_rfc3339_seconds(now).to_string(),
        )
        .with("aws:EpochTime", epoch.as_secs().to_string())
        .with("aws:SecureTransport", secure.to_string())
        .with("aws:PrincipalArn", &*principal.arn)
        .with("aws:PrincipalAccount", &*principal.account)
        .with("aws:PrincipalType", kind)
        .with("aws:userid", &*principal.user_id)
        .with("aws:RequestedRegion", incoming.api.client.region());
    if let Some(peer) = http.peer_addr() {
        values = values.with("aws:SourceIp", peer.ip().to_canonical().to_string());
    }
    for (key, value) in [
        ("aws:username", name),
        ("aws:UserAgent", incoming.header("user-agent")),
        ("aws:Referer", incoming.header("referer")),
    ] {
        if let Some(value) = value {
            values = values.with(key, value);
        }
    }
    values
}

/// Returns the kind of a principal, and the name of a user.
fn kind_and_name(arn: &str) -> (&'static str, Option<&str>) {
    let name = arn.splitn(6, ':').nth(5).unwrap_or_default();
    match name.split_once('/') {
        Some(("user", path)) => ("User", path.rsplit('/').next()),
        Some(("assumed-role", _)) => ("AssumedRole", None),
        Some(("federated-user", _)) => ("FederatedUser", None),
        _ => ("Account", None),
    }
}
