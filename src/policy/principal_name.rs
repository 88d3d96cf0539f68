//! The names of principals: accounts, ARNs of identities, and services.

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the account whose root has this ARN.
pub(super) fn account_of_root(arn: &str) -> Option<&str> {
    let parts: Vec<_> = arn.split(':').collect();
    match *parts {
        ["arn", partition, "iam", "", account, "root"]
            if partition.starts_with("aws") && is_account(account) =>
        {
            Some(account)
        }
        _ => None,
    }
}

/// Returns whether this is the ARN of a user, a role, a session or an account's root, without wildcards.
pub(super) fn is_principal_arn(arn: &str) -> bool {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = *parts else {
        return false;
    };
    let kinds: &[&str] = match service {
        "iam" => &["user/", "role/", "root"],
        "sts" => &["assumed-role/", "federated-user/"],
        _ => return false,
    };
    let is_known = kinds.iter().any(|kind| resource.starts_with(kind));
    partition.starts_with("aws")
        && is_account(account)
        && is_known
        && !resource.contains(['*', '?'])
}

/// The suffixes of the names of AWS services, in all partitions.
const SERVICE_SUFFIXES: [&str; 8] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".aws.internal",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
];

/// Returns whether the name has the form of an AWS service's. AWS publishes no list of the services that exist.
pub(super) fn is_aws_service(name: &str) -> bool {
    let is_alexa = name.starts_with("alexa-") && name.ends_with(".amazon.com");
    let has_suffix = SERVICE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    is_service(name) && (is_alexa || has_suffix)
}

/// Returns whether the name is words between dots, such as `s3.amazonaws.com`.
pub(super) fn is_service(name: &str) -> bool {
    let is_word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.contains('.') && name.split('.').all(is_word)
}
