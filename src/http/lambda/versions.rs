//! The versions and aliases of a function (CFG-02).

use actix_web::HttpResponse;
use serde_json::{Value, json};

use super::description::{found, listed};
use super::pages::paged;
use super::revision::revision;
use crate::client::FunctionInfo;
use crate::event::meta::LATEST;
use crate::function::versions::Alias;
use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::{ApiResult, Route};

/// Lists the versions of a function, `$LATEST` first (CFG-02).
pub(super) fn list_versions(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let (info, _) = found(incoming, route)?;
    let all = std::iter::once(LATEST.to_owned());
    let all = all.chain(info.versions.iter().map(u64::to_string));
    let versions = all.map(|version| {
        let listed = listed(&incoming.api.client, &info, Some(&version));
        (listed, version)
    });
    paged(incoming, versions, "Versions")
}

pub(super) fn list_aliases(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let (info, _) = found(incoming, route)?;
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

pub(super) fn get_alias(incoming: &Incoming<'_>, route: &Route<'_>) -> ApiResult {
    let name = route.path.decoded("alias")?;
    let (info, _) = found(incoming, route)?;
    let known = info.aliases.iter().find(|alias| alias.name == name);
    let known = known.ok_or_else(|| {
        ApiError::not_found(format!("Cannot find alias arn: {}:{name}", info.arn))
    })?;
    Ok(HttpResponse::Ok().json(described_alias(&info, known)))
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
