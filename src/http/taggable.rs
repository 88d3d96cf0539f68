//! What an ARN means in the path of an operation on tags.

use super::error::{ApiError, Constraint};
use super::incoming::Incoming;
use super::target::{Target, is_account, is_partition, is_region};

/// As AWS's model has it; refusals quote it.
const RESOURCE_PATTERN: &str = "arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|(capacity-provider|network-connector):[a-zA-Z0-9-_]{1,64})";
const RESOURCE_MAX: usize = 10_000;

/// What a resource's ARN means.
///
/// # Errors
/// It is no such ARN, or one of something other than a function: there are none of these here.
pub(crate) fn target<'a>(
    incoming: &Incoming<'_>,
    resource: &'a str,
) -> Result<Target<'a>, ApiError> {
    let mut broken = Vec::new();
    if resource.len() > RESOURCE_MAX {
        broken.push(Constraint::LengthMax(RESOURCE_MAX).broken_by("resource", resource));
    }
    let kind = kind(resource);
    if kind.is_none() {
        broken.push(Constraint::Pattern(RESOURCE_PATTERN).broken_by("resource", resource));
    }
    ApiError::unless_empty(broken)?;
    match kind {
        Some("function") => incoming.target_of_path(resource),
        Some("code-signing-config") => Err(ApiError::not_found(format!(
            "The Lambda code signing configuration {resource} can not be found."
        ))),
        _ => Err(ApiError::not_found(
            "The resource you requested does not exist.",
        )),
    }
}

/// The kind of what can have tags at AWS and has this ARN.
fn kind(resource: &str) -> Option<&str> {
    let parts: Vec<_> = resource.splitn(8, ':').collect();
    let (head, kind, id) = match *parts {
        [ref head @ .., kind, id] if head.len() == 5 => (head, kind, id),
        [ref head @ .., kind @ "function", id, qualifier] if head.len() == 5 => {
            let known = qualifier == "$LATEST" || is_word(qualifier);
            known.then_some((head, kind, id))?
        }
        _ => return None,
    };
    let &["arn", partition, "lambda", region, account] = head else {
        return None;
    };
    let placed = !partition.is_empty()
        && is_partition(partition)
        && is_region(region)
        && is_account(account);
    let named = match kind {
        "function" => is_word(id),
        "capacity-provider" | "network-connector" => is_word(id) && id.len() <= 64,
        "event-source-mapping" => id.len() == 36 && uuid::Uuid::try_parse(id).is_ok(),
        "code-signing-config" => id.strip_prefix("csc-").is_some_and(|id| {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            id.len() == 17 && id.chars().all(legal)
        }),
        _ => false,
    };
    (placed && named).then_some(kind)
}

fn is_word(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_arns_of_what_can_have_tags_are_read() {
        let arn = |rest: &str| format!("arn:aws:lambda:us-east-1:000000000000:{rest}");
        for (rest, expected) in [
            ("function:f", Some("function")),
            ("function:f:live", Some("function")),
            ("function:f:$LATEST", Some("function")),
            ("function:f:$LATES", None),
            ("function:f:1:2", None),
            ("function:a.b", None),
            ("function:", None),
            ("foobar:f", None),
            ("layer:l:1", None),
            ("capacity-provider:c", Some("capacity-provider")),
            ("capacity-provider:c:1", None),
            (
                "event-source-mapping:a1b2c3d4-0000-4000-8000-A0b1c2d3e4f5",
                Some("event-source-mapping"),
            ),
            ("event-source-mapping:x", None),
            (
                "code-signing-config:csc-0123456789abcdefg",
                Some("code-signing-config"),
            ),
            ("code-signing-config:csc-0123456789ABCDEFG", None),
        ] {
            assert_eq!(kind(&arn(rest)), expected, "{rest}");
        }
        for text in [
            "f",
            "arn:aws:something",
            "arn:aws:s3:us-east-1:000000000000:function:f",
            "arn::lambda:us-east-1:000000000000:function:f",
            "arn:aws:lambda:mars:000000000000:function:f",
            "arn:aws:lambda:us-east-1::function:f",
        ] {
            assert_eq!(kind(text), None, "{text}");
        }
    }
}
