//! The members of `UpdateFunctionConfiguration` that AWS's model constrains. Most of them can't be changed while the program
//! runs, and are checked all the same.

use super::member::{Member, body, function, required};
use super::rule::Rule;
use super::text_rule::TextRule;
use crate::http::lambda::name_form::NameForm;

pub(in crate::http::lambda) static UPDATE_FUNCTION_CONFIGURATION: [Member; 34] = [
    function(NameForm::Plain),
    body("role", Rule::Text(&ROLE)),
    body("handler", Rule::Text(&HANDLER)),
    body("description", Rule::Text(&DESCRIPTION)),
    // The model's 5,400 s are for functions on managed instances (CON-06).
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
    body(
        "environment.variables",
        Rule::Map {
            keys: &VARIABLE,
            values: None,
        },
    ),
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

static ANY_TEXT: TextRule = TextRule::any(0, usize::MAX);
static ROLE: TextRule = TextRule::new(
    0,
    10_000,
    r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
);
static HANDLER: TextRule = TextRule::new(0, 128, r"[^\s]+");
static DESCRIPTION: TextRule = TextRule::any(0, 256);
static SUBNET_ID: TextRule = TextRule::new(0, 1_024, "subnet-[0-9a-z]*");
static SECURITY_GROUP_ID: TextRule = TextRule::new(0, 1_024, "sg-[0-9a-zA-Z]*");
static VARIABLE: TextRule = TextRule::new(0, usize::MAX, "[a-zA-Z]([a-zA-Z0-9_])+");
static RESOURCE_ARN: TextRule =
    TextRule::new(0, 10_000, r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()");
static LAYER: TextRule = TextRule::new(
    1,
    2_048,
    r"((arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+))",
);
static WORKING_DIRECTORY: TextRule = TextRule::any(0, 1_000);
static LOG_GROUP: TextRule = TextRule::new(1, 512, r"[\.\-_/#A-Za-z0-9]+");
static CAPACITY_PROVIDER: TextRule = TextRule::new(
    1,
    140,
    r"arn:aws[a-zA-Z-]*:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:capacity-provider:[a-zA-Z0-9-_]+",
);
static RUNTIME_ARN: TextRule = TextRule::new(
    48,
    2_048,
    r"arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:runtime/.+",
);
static RUNTIME_ALIAS: TextRule = TextRule::any(1, 128);
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
