//! The members that AWS's model constrains, by operation: botocore's `service-2.json` as a table.
//!
//! `tests/aws_sdk/python/test_model.py` compares the table with that file.

use super::member::{
    Member, MemberLocation, body, function, header, max_items, path, query, required,
};
use super::rule::Rule;
use super::texts::{
    ACTION, ALIAS, DESTINATION, DURABLE_EXECUTION_NAME, EVENT_SOURCE_TOKEN, MASTER_REGION,
    NAMESPACED_STATEMENT_ID, PRINCIPAL, PRINCIPAL_ORG_ID, SOURCE_ACCOUNT, SOURCE_ARN, STATEMENT_ID,
    TAG_KEY, TAG_VALUE, TAGGABLE_RESOURCE, TENANT_ID, VERSION,
};
use crate::http::lambda::name_form::NameForm;

pub(in crate::http::lambda) static NONE: [Member; 0] = [];
const QUALIFIER: Member = query("qualifier", Rule::Qualifier);

const fn resource() -> Member {
    path("resource", "resource", Rule::Text(&TAGGABLE_RESOURCE))
}

pub(in crate::http::lambda) static NAMED: [Member; 1] = [function(NameForm::Namespaced)];
pub(in crate::http::lambda) static PLAIN: [Member; 1] = [function(NameForm::Plain)];
pub(in crate::http::lambda) static UNQUALIFIED: [Member; 1] = [function(NameForm::Unqualified)];
pub(in crate::http::lambda) static QUALIFIED: [Member; 2] =
    [function(NameForm::Namespaced), QUALIFIER];

pub(in crate::http::lambda) static INVOKE: [Member; 6] = [
    function(NameForm::Namespaced),
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
pub(in crate::http::lambda) static LIST_FUNCTIONS: [Member; 3] = [
    query("masterRegion", Rule::Text(&MASTER_REGION)),
    query("functionVersion", Rule::Enum(&["ALL"])),
    max_items(10_000),
];
pub(in crate::http::lambda) static LIST_VERSIONS: [Member; 2] =
    [function(NameForm::Namespaced), max_items(10_000)];
pub(in crate::http::lambda) static LIST_ALIASES: [Member; 3] = [
    function(NameForm::Plain),
    query("functionVersion", Rule::Text(&VERSION)),
    max_items(10_000),
];
pub(in crate::http::lambda) static GET_ALIAS: [Member; 2] = [
    function(NameForm::Plain),
    path("alias", "name", Rule::Text(&ALIAS)),
];
pub(in crate::http::lambda) static EVENT_INVOKE_CONFIG: [Member; 6] = [
    function(NameForm::Namespaced),
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
pub(in crate::http::lambda) static LIST_EVENT_INVOKE_CONFIGS: [Member; 2] =
    [function(NameForm::Namespaced), max_items(50)];
pub(in crate::http::lambda) static PUT_CONCURRENCY: [Member; 2] = [
    function(NameForm::Plain),
    required(
        "reservedConcurrentExecutions",
        Rule::Integer {
            min: 0,
            max: i32::MAX,
        },
    ),
];
pub(in crate::http::lambda) static PUT_RECURSION: [Member; 2] = [
    function(NameForm::Unqualified),
    // In the order in which AWS names them (CFG-29).
    required("recursiveLoop", Rule::Enum(&["Terminate", "Allow"])),
];
pub(in crate::http::lambda) static ADD_PERMISSION: [Member; 10] = [
    function(NameForm::Namespaced),
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
pub(in crate::http::lambda) static REMOVE_PERMISSION: [Member; 3] = [
    function(NameForm::Namespaced),
    path("sid", "statementId", Rule::Text(&NAMESPACED_STATEMENT_ID)),
    QUALIFIER,
];
pub(in crate::http::lambda) static LIST_TAGS: [Member; 1] = [resource()];
pub(in crate::http::lambda) static TAG_RESOURCE: [Member; 2] = [
    resource(),
    required(
        "tags",
        Rule::Map {
            keys: &TAG_KEY,
            values: Some(&TAG_VALUE),
        },
    ),
];
pub(in crate::http::lambda) static UNTAG_RESOURCE: [Member; 2] = [
    resource(),
    Member {
        location: MemberLocation::Queries("tagKeys"),
        name: "tagKeys",
        rule: Rule::List {
            max: usize::MAX,
            of: &TAG_KEY,
        },
        required: true,
    },
];
