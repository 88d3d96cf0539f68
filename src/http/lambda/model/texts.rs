//! The texts that AWS's model constrains: aliases, ARNs, statement ids, tags and the like.

use super::text_rule::TextRule;
use crate::function::configuration::{TAG_KEY_MAX, TAG_VALUE_MAX};

pub(super) static DURABLE_EXECUTION_NAME: TextRule = TextRule::new(1, 64, "[a-zA-Z0-9-_]+");
pub(super) static TENANT_ID: TextRule = TextRule::new(1, 256, r"[a-zA-Z0-9\._:\/=+\-@ ]+");
pub(super) static MASTER_REGION: TextRule = TextRule::new(
    1,
    50,
    r"ALL|(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}",
);
pub(super) static VERSION: TextRule = TextRule::new(1, 1024, r"(\$LATEST(\.PUBLISHED)?|[0-9]+)");
pub(super) static ALIAS: TextRule =
    TextRule::tested(1, 128, "(?!^[0-9]+$)([a-zA-Z0-9-_]+)", is_alias);
/// CFG-18
pub(super) static DESTINATION: TextRule = TextRule::new(
    0,
    350,
    r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);
pub(super) static STATEMENT_ID: TextRule = TextRule::new(1, 100, "([a-zA-Z0-9-_]+)");
pub(super) static NAMESPACED_STATEMENT_ID: TextRule = TextRule::new(1, 100, "([a-zA-Z0-9-_.]+)");
pub(super) static ACTION: TextRule = TextRule::new(0, 10_000, r"(lambda:[*]|lambda:[a-zA-Z]+|[*])");
pub(super) static PRINCIPAL: TextRule = TextRule::new(0, 2_048, r"[^\s]+");
pub(super) static SOURCE_ARN: TextRule = TextRule::new(
    0,
    10_000,
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);
pub(super) static SOURCE_ACCOUNT: TextRule = TextRule::new(0, 12, r"\d{12}");
pub(super) static EVENT_SOURCE_TOKEN: TextRule = TextRule::new(0, 256, r"[a-zA-Z0-9._\-]+");
pub(super) static PRINCIPAL_ORG_ID: TextRule = TextRule::new(12, 34, "o-[a-z0-9]{10,32}");
pub(super) static TAGGABLE_RESOURCE: TextRule = TextRule::new(
    1,
    10_000,
    r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|(capacity-provider|network-connector):[a-zA-Z0-9-_]{1,64})",
);

/// As AWS's model has it for keys and values of tags.
const TAG_PATTERN: &str = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)";
pub(super) static TAG_KEY: TextRule = TextRule::tested(1, TAG_KEY_MAX, TAG_PATTERN, is_tag);
pub(super) static TAG_VALUE: TextRule = TextRule::tested(0, TAG_VALUE_MAX, TAG_PATTERN, is_tag);

/// NAM-14
fn is_alias(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.chars().all(legal) && !text.chars().all(|c| c.is_ascii_digit())
}

fn is_tag(text: &str) -> bool {
    let legal = |c: char| {
        let space = c.is_whitespace() && !c.is_control();
        c.is_alphabetic() || c.is_numeric() || space || "_.:/=+-@".contains(c)
    };
    text.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CFG-18
    #[test]
    fn a_destination_is_nothing_or_an_arn_or_a_kafka_topic() {
        let topic = |length| format!("kafka://{}", "t".repeat(length));
        for legal in [
            "",
            "arn:aws:sqs:us-east-1:000000000000:q",
            "arn:aws-cn:s3:::bucket",
            "arn:aws:events:eusc-de-east-1:000000000000:event-bus/b",
            "kafka://topic-1_a.b",
            &topic(249),
        ] {
            assert!(DESTINATION.holds(legal), "{legal}");
        }
        for other in [
            " ",
            "q",
            "arn:aws:sqs:mars:000000000000:q",
            "arn:aws:sqs:us-east-11:000000000000:q",
            "arn:aws:sqs:us-east-1:0:q",
            "arn:aws:sqs:us-east-1:000000000000",
            "arn:aws:_-/!lambda:us-east-1:000000000000:function:f",
            "arn:aws::us-east-1:000000000000:q",
            "arn:gcp:sqs:us-east-1:000000000000:q",
            "kafka://",
            "kafka://.hidden",
            "kafka://a b",
            &topic(250),
        ] {
            assert!(!DESTINATION.holds(other), "{other}");
        }
    }

    #[test]
    fn only_whole_arns_of_resources_have_tags() {
        let holds = |rest: &str| {
            let arn = format!("arn:aws:lambda:us-east-1:000000000000:{rest}");
            TAGGABLE_RESOURCE.holds(&arn)
        };
        for legal in [
            "function:f",
            "function:f:live",
            "function:f:$LATEST",
            "capacity-provider:c",
            "event-source-mapping:a1b2c3d4-0000-4000-8000-A0b1c2d3e4f5",
            "code-signing-config:csc-0123456789abcdefg",
        ] {
            assert!(holds(legal), "{legal}");
        }
        for other in [
            "function:f:$LATES",
            "function:f:1:2",
            "function:a.b",
            "function:",
            "foobar:f",
            "layer:l:1",
            "event-source-mapping:x",
            "code-signing-config:csc-0123456789ABCDEFG",
        ] {
            assert!(!holds(other), "{other}");
        }
        for text in [
            "f",
            "arn:aws:something",
            "arn::lambda:us-east-1:000000000000:function:f",
        ] {
            assert!(!TAGGABLE_RESOURCE.holds(text), "{text}");
        }
    }

    /// NAM-14
    #[test]
    fn an_alias_name_is_not_a_number() {
        for (name, legal) in [
            ("live", true),
            ("1a", true),
            ("2024", false),
            ("a b", false),
            ("", false),
        ] {
            assert_eq!(is_alias(name), legal, "{name}");
        }
    }

    #[test]
    fn a_tag_has_letters_spaces_digits_and_a_few_signs() {
        for text in ["", "a", "Kosten stelle/ü", "日本 5", "a_.:/=+-@"] {
            assert!(is_tag(text), "{text}");
        }
        for text in ["a\n", "a!", "{}"] {
            assert!(!is_tag(text), "{text}");
        }
    }
}
