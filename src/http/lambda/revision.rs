//! Revisions, by which a client makes sure that it changes the state that it has read.

use crate::client::FunctionInfo;
use crate::event::meta::LATEST;

/// Returns the revision of a function under a qualifier: the same after a restart, and another one after each change. The
/// function itself changes with its settings, tags, versions and policy; a version with its policy; an alias with its policy
/// and its versions. As at AWS, it is the policy's revision while there is a policy.
pub(super) fn revision(info: &FunctionInfo, qualifier: Option<&str>) -> String {
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
