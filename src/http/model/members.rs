//! The members that AWS's model constrains, by operation: botocore's `service-2.json` as a table.
//!
//! `tests/aws_sdk/python/test_model.py` holds the table against that file.

use actix_web::http::header::HeaderName;

use super::rule::{Rule, Text};
use super::{Member, Place};
use crate::http::route::Operation;
use crate::http::target::Names;

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
        Operation::ListTags(_) | Operation::TagResource(_) | Operation::UntagResource(_) => {
            &LIST_TAGS
        }
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

const fn function(names: Names) -> Member {
    member(Place::Function, "functionName", Rule::Function(names))
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

const fn body(name: &'static str, rule: Rule) -> Member {
    member(Place::Body, name, rule)
}

const fn required(name: &'static str, rule: Rule) -> Member {
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
static LIST_TAGS: [Member; 1] = [member(
    Place::Function,
    "resource",
    Rule::Text(&TAGGABLE_RESOURCE),
)];

static DURABLE_EXECUTION_NAME: Text = Text::new(1, 64, "[a-zA-Z0-9-_]+");
static TENANT_ID: Text = Text::new(1, 256, r"[a-zA-Z0-9\._:\/=+\-@ ]+");
static MASTER_REGION: Text = Text::new(
    1,
    50,
    r"ALL|(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}",
);
static VERSION: Text = Text::new(1, 1024, r"(\$LATEST(\.PUBLISHED)?|[0-9]+)");
static ALIAS: Text = Text::new(1, 128, "(?!^[0-9]+$)([a-zA-Z0-9-_]+)");
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

// --- UpdateFunctionConfiguration

static UPDATE_FUNCTION_CONFIGURATION: [Member; 34] = [
    function(Names::Plain),
    body("role", Rule::Text(&ROLE)),
    body("handler", Rule::Text(&HANDLER)),
    body("description", Rule::Text(&DESCRIPTION)),
    // The model's 5,400 s are for functions on instances of one's own (CON-06).
    body("timeout", Rule::Integer { min: 1, max: 900 }),
    body(
        "memorySize",
        Rule::Integer {
            min: 128,
            max: 32_768,
        },
    ),
    body(
        "vpcConfig.subnetIds",
        Rule::List {
            max: 16,
            of: &SUBNET_ID,
        },
    ),
    body(
        "vpcConfig.securityGroupIds",
        Rule::List {
            max: 5,
            of: &SECURITY_GROUP_ID,
        },
    ),
    body("environment.variables", Rule::Keys(&VARIABLE)),
    body("runtime", Rule::Enum(&RUNTIMES)),
    body("deadLetterConfig.targetArn", Rule::Text(&RESOURCE_ARN)),
    body("kMSKeyArn", Rule::Text(&RESOURCE_ARN)),
    body("tracingConfig.mode", Rule::Enum(&["Active", "PassThrough"])),
    body(
        "layers",
        Rule::List {
            max: usize::MAX,
            of: &LAYER,
        },
    ),
    body("fileSystemConfigs", Rule::Structures { max: 1 }),
    body(
        "imageConfig.entryPoint",
        Rule::List {
            max: 1_500,
            of: &ANY_TEXT,
        },
    ),
    body(
        "imageConfig.command",
        Rule::List {
            max: 1_500,
            of: &ANY_TEXT,
        },
    ),
    body(
        "imageConfig.workingDirectory",
        Rule::Text(&WORKING_DIRECTORY),
    ),
    required(
        "ephemeralStorage.size",
        Rule::Integer {
            min: 512,
            max: 32_768,
        },
    ),
    body(
        "snapStart.applyOn",
        Rule::Enum(&["PublishedVersions", "None"]),
    ),
    body("loggingConfig.logFormat", Rule::Enum(&["JSON", "Text"])),
    body(
        "loggingConfig.applicationLogLevel",
        Rule::Enum(&["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]),
    ),
    body(
        "loggingConfig.systemLogLevel",
        Rule::Enum(&["DEBUG", "INFO", "WARN"]),
    ),
    body("loggingConfig.logGroup", Rule::Text(&LOG_GROUP)),
    required(
        "capacityProviderConfig.lambdaManagedInstancesCapacityProviderConfig",
        Rule::Structure,
    ),
    required(
        "capacityProviderConfig.lambdaManagedInstancesCapacityProviderConfig.capacityProviderArn",
        Rule::Text(&CAPACITY_PROVIDER),
    ),
    body(
        "capacityProviderConfig.lambdaManagedInstancesCapacityProviderConfig.perExecutionEnvironmentMaxConcurrency",
        Rule::Integer { min: 1, max: 1_600 },
    ),
    body(
        "capacityProviderConfig.lambdaManagedInstancesCapacityProviderConfig.executionEnvironmentMemoryGiBPerVCpu",
        Rule::Double { min: 2, max: 8 },
    ),
    body("durableConfig.kMSKeyArn", Rule::Text(&RESOURCE_ARN)),
    body(
        "durableConfig.retentionPeriodInDays",
        Rule::Integer { min: 1, max: 90 },
    ),
    body(
        "durableConfig.executionTimeout",
        Rule::Integer {
            min: 1,
            max: 31_622_400,
        },
    ),
    required("runtimeConfig.runtimeArn", Rule::Text(&RUNTIME_ARN)),
    required("runtimeConfig.runtimeAlias", Rule::Text(&RUNTIME_ALIAS)),
    required(
        "acceleratorConfig.acceleratorMemorySize",
        Rule::Integer {
            min: i32::MIN,
            max: i32::MAX,
        },
    ),
];

static ANY_TEXT: Text = Text::any(0, usize::MAX);
static ROLE: Text = Text::new(
    0,
    10_000,
    r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
);
static HANDLER: Text = Text::new(0, 128, r"[^\s]+");
static DESCRIPTION: Text = Text::any(0, 256);
static SUBNET_ID: Text = Text::new(0, 1_024, "subnet-[0-9a-z]*");
static SECURITY_GROUP_ID: Text = Text::new(0, 1_024, "sg-[0-9a-zA-Z]*");
static VARIABLE: Text = Text::new(0, usize::MAX, "[a-zA-Z]([a-zA-Z0-9_])+");
static RESOURCE_ARN: Text = Text::new(0, 10_000, r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()");
static LAYER: Text = Text::new(
    1,
    2_048,
    r"((arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+))",
);
static WORKING_DIRECTORY: Text = Text::any(0, 1_000);
static LOG_GROUP: Text = Text::new(1, 512, r"[\.\-_/#A-Za-z0-9]+");
static CAPACITY_PROVIDER: Text = Text::new(
    1,
    140,
    r"arn:aws[a-zA-Z-]*:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:capacity-provider:[a-zA-Z0-9-_]+",
);
static RUNTIME_ARN: Text = Text::new(
    48,
    2_048,
    r"arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:runtime/.+",
);
static RUNTIME_ALIAS: Text = Text::any(1, 128);
static RUNTIMES: [&str; 52] = [
    "nodejs",
    "nodejs4.3",
    "nodejs6.10",
    "nodejs8.10",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs16.x",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "java8",
    "java8.al2",
    "java11",
    "java17",
    "java21",
    "java25",
    "python2.7",
    "python3.6",
    "python3.7",
    "python3.8",
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "nodejs4.3-edge",
    "go1.x",
    "ruby2.5",
    "ruby2.7",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
    "provided",
    "provided.al2",
    "provided.al2023",
    "nodejs26.x",
    "python3.15",
    "java8.al2023",
    "java11.al2023",
    "java17.al2023",
    "custom",
];

#[cfg(test)]
mod tests {
    use super::*;

    const CONSTRAINED: [Operation<'static>; 19] = [
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
    ];

    #[test]
    fn each_pattern_can_be_tried() {
        for member in CONSTRAINED.iter().flat_map(|it| members(*it)) {
            if let Rule::Text(text) | Rule::Keys(text) | Rule::List { of: text, .. } = member.rule {
                assert!(text.compiles(), "{}", member.name);
            }
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
