//! The members that AWS's model constrains, by operation: botocore's `service-2.json` as a table.
//!
//! `tests/aws_sdk/python/test_model.py` holds the table against that file.

use actix_web::http::header::HeaderName;

use super::configuration::UPDATE_FUNCTION_CONFIGURATION;
use super::rule::{Rule, Text};
use super::{Member, Place};
use crate::function::configuration::{TAG_KEY_MAX, TAG_VALUE_MAX};
use crate::http::lambda::function_ref::Names;
use crate::http::route::Operation;

pub(super) fn members(operation: Operation<'_>) -> &'static [Member] {
    match operation {
        Operation::Invoke(_) => &INVOKE,
        Operation::InvokeAsync(_) => &NAMED,
        Operation::ListFunctions => &LIST_FUNCTIONS,
        Operation::GetFunction(_)
        | Operation::GetFunctionConfiguration(_)
        | Operation::GetFunctionEventInvokeConfig(_)
        | Operation::DeleteFunctionEventInvokeConfig(_)
        | Operation::GetPolicy(_) => &QUALIFIED,
        Operation::UpdateFunctionConfiguration(_) => &UPDATE_FUNCTION_CONFIGURATION,
        Operation::ListVersionsByFunction(_) => &LIST_VERSIONS,
        Operation::ListAliases(_) => &LIST_ALIASES,
        Operation::GetAlias(..) => &GET_ALIAS,
        Operation::PutFunctionEventInvokeConfig(_)
        | Operation::UpdateFunctionEventInvokeConfig(_) => &EVENT_INVOKE_CONFIG,
        Operation::ListFunctionEventInvokeConfigs(_) => &LIST_EVENT_INVOKE_CONFIGS,
        Operation::PutFunctionConcurrency(_) => &PUT_CONCURRENCY,
        Operation::GetFunctionConcurrency(_) | Operation::DeleteFunctionConcurrency(_) => &PLAIN,
        Operation::PutFunctionRecursionConfig(_) => &PUT_RECURSION,
        Operation::GetFunctionRecursionConfig(_) => &UNQUALIFIED,
        Operation::AddPermission(_) => &ADD_PERMISSION,
        Operation::RemovePermission(..) => &REMOVE_PERMISSION,
        Operation::ListTags(_) => &LIST_TAGS,
        Operation::TagResource(_) => &TAG_RESOURCE,
        Operation::UntagResource(_) => &UNTAG_RESOURCE,
        Operation::GetAccountSettings | Operation::Unsupported(..) => &[],
    }
}

const fn member(place: Place, name: &'static str, rule: Rule) -> Member {
    Member {
        place,
        name,
        rule,
        required: false,
    }
}

pub(super) const fn function(names: Names) -> Member {
    member(Place::Function, "functionName", Rule::Function(names))
}

const fn resource() -> Member {
    member(Place::Function, "resource", Rule::Text(&TAGGABLE_RESOURCE))
}

const fn query(name: &'static str, rule: Rule) -> Member {
    member(Place::Query, name, rule)
}

const fn max_items(max: i32) -> Member {
    query("maxItems", Rule::Integer { min: 1, max })
}

const fn header(header: &'static str, name: &'static str, rule: Rule) -> Member {
    member(Place::Header(HeaderName::from_static(header)), name, rule)
}

pub(super) const fn body(name: &'static str, rule: Rule) -> Member {
    member(Place::Body, name, rule)
}

pub(super) const fn required(name: &'static str, rule: Rule) -> Member {
    Member {
        place: Place::Body,
        name,
        rule,
        required: true,
    }
}

const QUALIFIER: Member = query("qualifier", Rule::Qualifier);

static NAMED: [Member; 1] = [function(Names::Namespaced)];
static PLAIN: [Member; 1] = [function(Names::Plain)];
static UNQUALIFIED: [Member; 1] = [function(Names::Unqualified)];
static QUALIFIED: [Member; 2] = [function(Names::Namespaced), QUALIFIER];

static INVOKE: [Member; 6] = [
    function(Names::Namespaced),
    header(
        "x-amz-invocation-type",
        "invocationType",
        Rule::Enum(&["Event", "RequestResponse", "DryRun"]),
    ),
    header("x-amz-log-type", "logType", Rule::Enum(&["None", "Tail"])),
    header(
        "x-amz-durable-execution-name",
        "durableExecutionName",
        Rule::Text(&DURABLE_EXECUTION_NAME),
    ),
    QUALIFIER,
    header("x-amz-tenant-id", "tenantId", Rule::Text(&TENANT_ID)),
];
static LIST_FUNCTIONS: [Member; 3] = [
    query("masterRegion", Rule::Text(&MASTER_REGION)),
    query("functionVersion", Rule::Enum(&["ALL"])),
    max_items(10_000),
];
static LIST_VERSIONS: [Member; 2] = [function(Names::Namespaced), max_items(10_000)];
static LIST_ALIASES: [Member; 3] = [
    function(Names::Plain),
    query("functionVersion", Rule::Text(&VERSION)),
    max_items(10_000),
];
static GET_ALIAS: [Member; 2] = [
    function(Names::Plain),
    member(Place::Last, "name", Rule::Text(&ALIAS)),
];
static EVENT_INVOKE_CONFIG: [Member; 6] = [
    function(Names::Namespaced),
    QUALIFIER,
    body("maximumRetryAttempts", Rule::Integer { min: 0, max: 2 }),
    body(
        "maximumEventAgeInSeconds",
        Rule::Integer {
            min: 60,
            max: 21_600,
        },
    ),
    body(
        "destinationConfig.onSuccess.destination",
        Rule::Text(&DESTINATION),
    ),
    body(
        "destinationConfig.onFailure.destination",
        Rule::Text(&DESTINATION),
    ),
];
static LIST_EVENT_INVOKE_CONFIGS: [Member; 2] = [function(Names::Namespaced), max_items(50)];
static PUT_CONCURRENCY: [Member; 2] = [
    function(Names::Plain),
    required(
        "reservedConcurrentExecutions",
        Rule::Integer {
            min: 0,
            max: i32::MAX,
        },
    ),
];
static PUT_RECURSION: [Member; 2] = [
    function(Names::Unqualified),
    // In the order in which AWS names them (CFG-29).
    required("recursiveLoop", Rule::Enum(&["Terminate", "Allow"])),
];
static ADD_PERMISSION: [Member; 10] = [
    function(Names::Namespaced),
    required("statementId", Rule::Text(&STATEMENT_ID)),
    required("action", Rule::Text(&ACTION)),
    required("principal", Rule::Text(&PRINCIPAL)),
    body("sourceArn", Rule::Text(&SOURCE_ARN)),
    body("functionUrlAuthType", Rule::Enum(&["NONE", "AWS_IAM"])),
    body("sourceAccount", Rule::Text(&SOURCE_ACCOUNT)),
    body("eventSourceToken", Rule::Text(&EVENT_SOURCE_TOKEN)),
    QUALIFIER,
    body("principalOrgID", Rule::Text(&PRINCIPAL_ORG_ID)),
];
static REMOVE_PERMISSION: [Member; 3] = [
    function(Names::Namespaced),
    member(
        Place::Last,
        "statementId",
        Rule::Text(&NAMESPACED_STATEMENT_ID),
    ),
    QUALIFIER,
];
static LIST_TAGS: [Member; 1] = [resource()];
static TAG_RESOURCE: [Member; 2] = [
    resource(),
    required(
        "tags",
        Rule::Map {
            keys: &TAG_KEY,
            values: Some(&TAG_VALUE),
        },
    ),
];
static UNTAG_RESOURCE: [Member; 2] = [
    resource(),
    Member {
        place: Place::Queries("tagKeys"),
        name: "tagKeys",
        rule: Rule::List {
            max: usize::MAX,
            of: &TAG_KEY,
        },
        required: true,
    },
];

static DURABLE_EXECUTION_NAME: Text = Text::new(1, 64, "[a-zA-Z0-9-_]+");
static TENANT_ID: Text = Text::new(1, 256, r"[a-zA-Z0-9\._:\/=+\-@ ]+");
static MASTER_REGION: Text = Text::new(
    1,
    50,
    r"ALL|(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}",
);
static VERSION: Text = Text::new(1, 1024, r"(\$LATEST(\.PUBLISHED)?|[0-9]+)");
static ALIAS: Text = Text::tested(1, 128, "(?!^[0-9]+$)([a-zA-Z0-9-_]+)", is_alias);
/// CFG-18
static DESTINATION: Text = Text::new(
    0,
    350,
    r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);
static STATEMENT_ID: Text = Text::new(1, 100, "([a-zA-Z0-9-_]+)");
static NAMESPACED_STATEMENT_ID: Text = Text::new(1, 100, "([a-zA-Z0-9-_.]+)");
static ACTION: Text = Text::new(0, 10_000, r"(lambda:[*]|lambda:[a-zA-Z]+|[*])");
static PRINCIPAL: Text = Text::new(0, 2_048, r"[^\s]+");
static SOURCE_ARN: Text = Text::new(
    0,
    10_000,
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);
static SOURCE_ACCOUNT: Text = Text::new(0, 12, r"\d{12}");
static EVENT_SOURCE_TOKEN: Text = Text::new(0, 256, r"[a-zA-Z0-9._\-]+");
static PRINCIPAL_ORG_ID: Text = Text::new(12, 34, "o-[a-z0-9]{10,32}");
static TAGGABLE_RESOURCE: Text = Text::new(
    1,
    10_000,
    r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|(capacity-provider|network-connector):[a-zA-Z0-9-_]{1,64})",
);

/// As AWS's model has it for keys and values of tags.
const TAG_PATTERN: &str = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)";
static TAG_KEY: Text = Text::tested(1, TAG_KEY_MAX, TAG_PATTERN, is_tag);
static TAG_VALUE: Text = Text::tested(0, TAG_VALUE_MAX, TAG_PATTERN, is_tag);

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

    const CONSTRAINED: [Operation<'static>; 21] = [
        Operation::Invoke("f"),
        Operation::InvokeAsync("f"),
        Operation::ListFunctions,
        Operation::GetFunction("f"),
        Operation::UpdateFunctionConfiguration("f"),
        Operation::ListVersionsByFunction("f"),
        Operation::ListAliases("f"),
        Operation::GetAlias("f", "a"),
        Operation::PutFunctionEventInvokeConfig("f"),
        Operation::GetFunctionEventInvokeConfig("f"),
        Operation::ListFunctionEventInvokeConfigs("f"),
        Operation::PutFunctionConcurrency("f"),
        Operation::GetFunctionConcurrency("f"),
        Operation::PutFunctionRecursionConfig("f"),
        Operation::GetFunctionRecursionConfig("f"),
        Operation::AddPermission("f"),
        Operation::GetPolicy("f"),
        Operation::RemovePermission("f", "s"),
        Operation::ListTags("f"),
        Operation::TagResource("f"),
        Operation::UntagResource("f"),
    ];

    #[test]
    fn each_pattern_can_be_tried() {
        for member in CONSTRAINED.iter().flat_map(|it| members(*it)) {
            if let Rule::Text(text) | Rule::Map { keys: text, .. } | Rule::List { of: text, .. } =
                member.rule
            {
                assert!(text.compiles(), "{}", member.name);
            }
        }
    }

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
    fn an_aliass_name_is_no_number() {
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
    fn words_of_tags_are_letters_spaces_numbers_and_a_few_signs() {
        for text in ["", "a", "Kosten stelle/ü", "日本 5", "a_.:/=+-@"] {
            assert!(is_tag(text), "{text}");
        }
        for text in ["a\n", "a!", "{}"] {
            assert!(!is_tag(text), "{text}");
        }
    }

    #[test]
    fn what_is_in_the_path_can_be_found() {
        for operation in CONSTRAINED {
            for member in members(operation) {
                let found = match member.place {
                    Place::Function => operation.function().is_some(),
                    Place::Last => operation.last().is_some(),
                    _ => true,
                };
                assert!(found, "{operation:?}: {}", member.name);
            }
        }
    }
}
