//! The operations of AWS Lambda's API: one row each. A new operation is a row here and its handler.

use super::model::configuration::UPDATE_FUNCTION_CONFIGURATION;
use super::model::members::{
    ADD_PERMISSION, EVENT_INVOKE_CONFIG, GET_ALIAS, INVOKE, LIST_ALIASES,
    LIST_EVENT_INVOKE_CONFIGS, LIST_FUNCTIONS, LIST_TAGS, LIST_VERSIONS, NAMED, NONE, PLAIN,
    PUT_CONCURRENCY, PUT_RECURSION, QUALIFIED, REMOVE_PERMISSION, TAG_RESOURCE, UNQUALIFIED,
    UNTAG_RESOURCE,
};
use super::operation::ActionScope::{Account, Function, Qualified, Tagged};
use super::operation::{Operation, refused, row};
use super::unsupported::Prerequisite as Needs;
use super::{
    account, concurrency, event_invoke, functions, invoke, permissions, recursion, tags, versions,
};
use crate::http::path::{PathVariables, parts};
use crate::http::route::RouteHandler::Sync;
use crate::http::route::waits;

/// Method, version of the API, path, IAM action, the subject that the action is checked on, the members that AWS's model
/// constrains, and the handler. The first row that matches counts; `Invoke` is asked for most, and comes first.
///
/// In a path, a name in braces is a variable, `{}` is any part, and the text after a `?` must be in the query. Refused
/// operations have, in place of a handler, their prerequisite: AWS's 404 about it comes before the refusal.
#[rustfmt::skip]
static OPERATIONS: &[Operation] = &[
    row("POST", "2015-03-31", "functions/{function}/invocations", "lambda:InvokeFunction", Qualified, &INVOKE, waits!(invoke::invoke)).with_payload(),
    row("POST", "2014-11-13", "functions/{function}/invoke-async", "lambda:InvokeAsync", Function, &NAMED, waits!(invoke::invoke_async)).with_payload(),
    row("GET", "2015-03-31", "functions", "lambda:ListFunctions", Account, &LIST_FUNCTIONS, Sync(functions::list)),
    row("GET", "2015-03-31", "functions/{function}", "lambda:GetFunction", Qualified, &QUALIFIED, Sync(functions::get)),
    row("GET", "2015-03-31", "functions/{function}/configuration", "lambda:GetFunctionConfiguration", Qualified, &QUALIFIED, Sync(functions::configuration)),
    row("PUT", "2015-03-31", "functions/{function}/configuration", "lambda:UpdateFunctionConfiguration", Function, &UPDATE_FUNCTION_CONFIGURATION, waits!(functions::update)),
    row("GET", "2015-03-31", "functions/{function}/versions", "lambda:ListVersionsByFunction", Function, &LIST_VERSIONS, Sync(versions::list_versions)),
    row("GET", "2015-03-31", "functions/{function}/aliases", "lambda:ListAliases", Function, &LIST_ALIASES, Sync(versions::list_aliases)),
    row("GET", "2015-03-31", "functions/{function}/aliases/{alias}", "lambda:GetAlias", Function, &GET_ALIAS, Sync(versions::get_alias)),
    row("PUT", "2019-09-25", "functions/{function}/event-invoke-config", "lambda:PutFunctionEventInvokeConfig", Qualified, &EVENT_INVOKE_CONFIG, waits!(event_invoke::put)),
    row("POST", "2019-09-25", "functions/{function}/event-invoke-config", "lambda:UpdateFunctionEventInvokeConfig", Qualified, &EVENT_INVOKE_CONFIG, waits!(event_invoke::update)),
    row("GET", "2019-09-25", "functions/{function}/event-invoke-config", "lambda:GetFunctionEventInvokeConfig", Qualified, &QUALIFIED, Sync(event_invoke::get)),
    row("DELETE", "2019-09-25", "functions/{function}/event-invoke-config", "lambda:DeleteFunctionEventInvokeConfig", Qualified, &QUALIFIED, waits!(event_invoke::delete)),
    row("GET", "2019-09-25", "functions/{function}/event-invoke-config/list", "lambda:ListFunctionEventInvokeConfigs", Function, &LIST_EVENT_INVOKE_CONFIGS, Sync(event_invoke::list)),
    row("PUT", "2017-10-31", "functions/{function}/concurrency", "lambda:PutFunctionConcurrency", Function, &PUT_CONCURRENCY, waits!(concurrency::put)),
    row("GET", "2019-09-30", "functions/{function}/concurrency", "lambda:GetFunctionConcurrency", Function, &PLAIN, Sync(concurrency::get)),
    row("DELETE", "2017-10-31", "functions/{function}/concurrency", "lambda:DeleteFunctionConcurrency", Function, &PLAIN, waits!(concurrency::delete)),
    row("PUT", "2024-08-31", "functions/{function}/recursion-config", "lambda:PutFunctionRecursionConfig", Function, &PUT_RECURSION, waits!(recursion::put)),
    row("GET", "2024-08-31", "functions/{function}/recursion-config", "lambda:GetFunctionRecursionConfig", Function, &UNQUALIFIED, Sync(recursion::get)),
    row("POST", "2015-03-31", "functions/{function}/policy", "lambda:AddPermission", Qualified, &ADD_PERMISSION, waits!(permissions::add)),
    row("GET", "2015-03-31", "functions/{function}/policy", "lambda:GetPolicy", Qualified, &QUALIFIED, Sync(permissions::get)),
    row("DELETE", "2015-03-31", "functions/{function}/policy/{sid}", "lambda:RemovePermission", Qualified, &REMOVE_PERMISSION, waits!(permissions::remove)),
    row("GET", "2016-08-19", "account-settings", "lambda:GetAccountSettings", Account, &NONE, Sync(account::settings)),
    row("GET", "2017-03-31", "tags/{resource}", "lambda:ListTags", Tagged, &LIST_TAGS, Sync(tags::list)),
    row("POST", "2017-03-31", "tags/{resource}", "lambda:TagResource", Tagged, &TAG_RESOURCE, waits!(tags::tag)),
    row("DELETE", "2017-03-31", "tags/{resource}", "lambda:UntagResource", Tagged, &UNTAG_RESOURCE, waits!(tags::untag)),

    refused("POST", "2015-03-31", "functions", "lambda:CreateFunction", Needs::Nothing),
    refused("DELETE", "2015-03-31", "functions/{function}", "lambda:DeleteFunction", Needs::Function),
    refused("PUT", "2015-03-31", "functions/{function}/code", "lambda:UpdateFunctionCode", Needs::Function),
    refused("POST", "2015-03-31", "functions/{function}/versions", "lambda:PublishVersion", Needs::Function),
    refused("POST", "2015-03-31", "functions/{function}/aliases", "lambda:CreateAlias", Needs::AliasVersion),
    refused("PUT", "2015-03-31", "functions/{function}/aliases/{alias}", "lambda:UpdateAlias", Needs::Alias),
    refused("DELETE", "2015-03-31", "functions/{function}/aliases/{alias}", "lambda:DeleteAlias", Needs::Function),
    refused("POST", "2021-11-15", "functions/{function}/response-streaming-invocations", "lambda:InvokeWithResponseStream", Needs::InvokedQualifier),
    refused("GET", "2019-09-30", "functions/{function}/provisioned-concurrency?List=ALL", "lambda:ListProvisionedConcurrencyConfigs", Needs::Function),
    refused("GET", "2019-09-30", "functions/{function}/provisioned-concurrency", "lambda:GetProvisionedConcurrencyConfig", Needs::Provisioned),
    refused("PUT", "2019-09-30", "functions/{function}/provisioned-concurrency", "lambda:PutProvisionedConcurrencyConfig", Needs::Provisioned),
    refused("DELETE", "2019-09-30", "functions/{function}/provisioned-concurrency", "lambda:DeleteProvisionedConcurrencyConfig", Needs::Provisioned),
    refused("GET", "2020-06-30", "functions/{function}/code-signing-config", "lambda:GetFunctionCodeSigningConfig", Needs::Function),
    refused("PUT", "2020-06-30", "functions/{function}/code-signing-config", "lambda:PutFunctionCodeSigningConfig", Needs::Function),
    refused("DELETE", "2020-06-30", "functions/{function}/code-signing-config", "lambda:DeleteFunctionCodeSigningConfig", Needs::Function),
    refused("GET", "2021-07-20", "functions/{function}/runtime-management-config", "lambda:GetRuntimeManagementConfig", Needs::Qualifier),
    refused("PUT", "2021-07-20", "functions/{function}/runtime-management-config", "lambda:PutRuntimeManagementConfig", Needs::Qualifier),
    refused("POST", "2021-10-31", "functions/{function}/url", "lambda:CreateFunctionUrlConfig", Needs::UrlOwner),
    refused("PUT", "2021-10-31", "functions/{function}/url", "lambda:UpdateFunctionUrlConfig", Needs::UrlOwner),
    refused("GET", "2021-10-31", "functions/{function}/url", "lambda:GetFunctionUrlConfig", Needs::Url),
    refused("DELETE", "2021-10-31", "functions/{function}/url", "lambda:DeleteFunctionUrlConfig", Needs::Url),
    refused("GET", "2021-10-31", "functions/{function}/urls", "lambda:ListFunctionUrlConfigs", Needs::UrlOwner),
    refused("GET", "2025-11-30", "functions/{function}/function-scaling-config", "lambda:GetFunctionScalingConfig", Needs::Qualifier),
    refused("PUT", "2025-11-30", "functions/{function}/function-scaling-config", "lambda:PutFunctionScalingConfig", Needs::Qualifier),
    refused("GET", "2025-12-01", "functions/{function}/durable-executions", "lambda:ListDurableExecutionsByFunction", Needs::Qualifier),
    refused("POST", "2015-03-31", "event-source-mappings", "lambda:CreateEventSourceMapping", Needs::Nothing),
    refused("GET", "2015-03-31", "event-source-mappings", "lambda:ListEventSourceMappings", Needs::Nothing),
    refused("GET", "2015-03-31", "event-source-mappings/{}", "lambda:GetEventSourceMapping", Needs::Nothing),
    refused("PUT", "2015-03-31", "event-source-mappings/{}", "lambda:UpdateEventSourceMapping", Needs::Nothing),
    refused("DELETE", "2015-03-31", "event-source-mappings/{}", "lambda:DeleteEventSourceMapping", Needs::Nothing),
    refused("GET", "2018-10-31", "layers?find=LayerVersion", "lambda:GetLayerVersionByArn", Needs::Nothing),
    refused("GET", "2018-10-31", "layers", "lambda:ListLayers", Needs::Nothing),
    refused("GET", "2018-10-31", "layers/{}/versions", "lambda:ListLayerVersions", Needs::Nothing),
    refused("POST", "2018-10-31", "layers/{}/versions", "lambda:PublishLayerVersion", Needs::Nothing),
    refused("GET", "2018-10-31", "layers/{}/versions/{}", "lambda:GetLayerVersion", Needs::Nothing),
    refused("DELETE", "2018-10-31", "layers/{}/versions/{}", "lambda:DeleteLayerVersion", Needs::Nothing),
    refused("POST", "2018-10-31", "layers/{}/versions/{}/policy", "lambda:AddLayerVersionPermission", Needs::Nothing),
    refused("GET", "2018-10-31", "layers/{}/versions/{}/policy", "lambda:GetLayerVersionPolicy", Needs::Nothing),
    refused("DELETE", "2018-10-31", "layers/{}/versions/{}/policy/{}", "lambda:RemoveLayerVersionPermission", Needs::Nothing),
    refused("POST", "2020-04-22", "code-signing-configs", "lambda:CreateCodeSigningConfig", Needs::Nothing),
    refused("GET", "2020-04-22", "code-signing-configs", "lambda:ListCodeSigningConfigs", Needs::Nothing),
    refused("GET", "2020-04-22", "code-signing-configs/{}", "lambda:GetCodeSigningConfig", Needs::Nothing),
    refused("PUT", "2020-04-22", "code-signing-configs/{}", "lambda:UpdateCodeSigningConfig", Needs::Nothing),
    refused("DELETE", "2020-04-22", "code-signing-configs/{}", "lambda:DeleteCodeSigningConfig", Needs::Nothing),
    refused("GET", "2020-04-22", "code-signing-configs/{}/functions", "lambda:ListFunctionsByCodeSigningConfig", Needs::Nothing),
    refused("POST", "2025-11-30", "capacity-providers", "lambda:CreateCapacityProvider", Needs::Nothing),
    refused("GET", "2025-11-30", "capacity-providers", "lambda:ListCapacityProviders", Needs::Nothing),
    refused("GET", "2025-11-30", "capacity-providers/{}", "lambda:GetCapacityProvider", Needs::Nothing),
    refused("PUT", "2025-11-30", "capacity-providers/{}", "lambda:UpdateCapacityProvider", Needs::Nothing),
    refused("DELETE", "2025-11-30", "capacity-providers/{}", "lambda:DeleteCapacityProvider", Needs::Nothing),
    refused("GET", "2025-11-30", "capacity-providers/{}/function-versions", "lambda:ListFunctionVersionsByCapacityProvider", Needs::Nothing),
    refused("POST", "2025-12-01", "durable-execution-callbacks/{}/succeed", "lambda:SendDurableExecutionCallbackSuccess", Needs::Nothing),
    refused("POST", "2025-12-01", "durable-execution-callbacks/{}/fail", "lambda:SendDurableExecutionCallbackFailure", Needs::Nothing),
    refused("POST", "2025-12-01", "durable-execution-callbacks/{}/heartbeat", "lambda:SendDurableExecutionCallbackHeartbeat", Needs::Nothing),
    refused("GET", "2025-12-01", "durable-executions/{}", "lambda:GetDurableExecution", Needs::Nothing),
    refused("DELETE", "2025-12-01", "durable-executions/{}", "lambda:DeleteDurableExecution", Needs::Nothing),
    refused("POST", "2025-12-01", "durable-executions/{}/checkpoint", "lambda:CheckpointDurableExecution", Needs::Nothing),
    refused("GET", "2025-12-01", "durable-executions/{}/history", "lambda:GetDurableExecutionHistory", Needs::Nothing),
    refused("GET", "2025-12-01", "durable-executions/{}/state", "lambda:GetDurableExecutionState", Needs::Nothing),
    refused("POST", "2025-12-01", "durable-executions/{}/pause", "lambda:PauseDurableExecution", Needs::Nothing),
    refused("POST", "2025-12-01", "durable-executions/{}/resume", "lambda:ResumeDurableExecution", Needs::Nothing),
    refused("POST", "2025-12-01", "durable-executions/{}/stop", "lambda:StopDurableExecution", Needs::Nothing),
    refused("GET", "2026-07-09", "resource-policy/{}", "lambda:GetResourcePolicy", Needs::Nothing),
    refused("PUT", "2026-07-09", "resource-policy/{}", "lambda:PutResourcePolicy", Needs::Nothing),
    refused("DELETE", "2026-07-09", "resource-policy/{}", "lambda:DeleteResourcePolicy", Needs::Nothing),
];

/// Returns the operation of a request, and the variables of its path.
pub(super) fn find<'a>(
    method: &str,
    date: &str,
    path: &'a str,
    query: &str,
) -> Option<(&'static Operation, PathVariables<'a>)> {
    let parts = parts(path);
    OPERATIONS.iter().find_map(|operation| {
        let variables = operation.matching(method, date, &parts, query)?;
        Some((operation, variables))
    })
}

/// Returns the versions of AWS's API, as its paths begin, in the order of the table.
pub(crate) fn dates() -> Vec<&'static str> {
    let mut dates = Vec::new();
    for operation in OPERATIONS {
        if !dates.contains(&operation.date) {
            dates.push(operation.date);
        }
    }
    dates
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the action and the variables of a request.
    fn at<'a>(
        method: &str,
        path: &'a str,
        query: &str,
    ) -> Option<(&'static str, PathVariables<'a>)> {
        let (date, rest) = path.trim_start_matches('/').split_once('/')?;
        let (operation, variables) = find(method, date, rest, query)?;
        Some((operation.action, variables))
    }

    fn action(method: &str, path: &str, query: &str) -> Option<&'static str> {
        at(method, path, query).map(|(action, _)| action)
    }

    /// INV-01, INV-30, CFG-01, CFG-05, CFG-11
    #[test]
    fn a_method_and_a_path_select_an_operation() {
        for (method, path, expected) in [
            (
                "POST",
                "2015-03-31/functions/f/invocations",
                "InvokeFunction",
            ),
            ("GET", "2015-03-31/functions/", "ListFunctions"),
            ("GET", "2015-03-31/functions", "ListFunctions"),
            ("GET", "2015-03-31/functions/f", "GetFunction"),
            ("DELETE", "2015-03-31/functions/f", "DeleteFunction"),
            (
                "DELETE",
                "2015-03-31/functions/f/policy/s",
                "RemovePermission",
            ),
            (
                "POST",
                "2019-09-25/functions/f/event-invoke-config",
                "UpdateFunctionEventInvokeConfig",
            ),
            (
                "GET",
                "2019-09-25/functions/f/event-invoke-config/list",
                "ListFunctionEventInvokeConfigs",
            ),
        ] {
            let found = action(method, path, "");
            assert_eq!(
                found,
                Some(&*format!("lambda:{expected}")),
                "{method} {path}"
            );
        }
        for (method, path) in [
            ("GET", "2015-03-31/functions/f/invocations"),
            ("PATCH", "2019-09-25/functions/f/event-invoke-config"),
            ("POST", "2014-03-31/functions/f/invocations"),
            ("GET", "2015-03-31/a/b/c/d/e/f/g"),
        ] {
            assert_eq!(action(method, path, ""), None, "{method} {path}");
        }
    }

    #[test]
    fn each_unsupported_operation_is_found_by_its_name() {
        let layers = |query| action("GET", "/2018-10-31/layers", query);
        assert_eq!(layers(""), Some("lambda:ListLayers"));
        let by_arn = "Arn=x&find=LayerVersion";
        assert_eq!(layers(by_arn), Some("lambda:GetLayerVersionByArn"));
        let provisioned = |query| {
            action(
                "GET",
                "/2019-09-30/functions/f/provisioned-concurrency",
                query,
            )
        };
        assert_eq!(
            provisioned("Qualifier=1"),
            Some("lambda:GetProvisionedConcurrencyConfig")
        );
        assert_eq!(
            provisioned("List=ALL"),
            Some("lambda:ListProvisionedConcurrencyConfigs")
        );
        let layer = |path: &str| action("DELETE", &format!("/2018-10-31/{path}"), "");
        assert_eq!(
            layer("layers/l/versions/1/policy/s"),
            Some("lambda:RemoveLayerVersionPermission")
        );
        for unknown in ["layers/l", "layers/l/versions/1/policy/s/t", "urls", ""] {
            assert_eq!(layer(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_path_names_the_function_and_the_alias() {
        let (_, path) = at("PUT", "/2015-03-31/functions/f/aliases/live", "").unwrap();
        assert_eq!(
            (path.raw("function"), path.raw("alias")),
            (Some("f"), Some("live"))
        );
        let (_, path) = at("GET", "/2018-10-31/layers/l/versions", "").unwrap();
        assert_eq!((path.raw("function"), path.raw("alias")), (None, None));
    }

    #[test]
    fn each_path_has_the_variables_that_its_operation_reads() {
        for operation in OPERATIONS {
            let path = operation.path;
            let variable = operation.subject.variable();
            let has = |name: &str| path.contains(&format!("{{{name}}}"));
            assert!(variable.is_none_or(has), "{path}");
            assert!(variable.is_some() || !has("function"), "{path}");
            for member in operation.members {
                assert!(member.path_variable().is_none_or(has), "{path}");
            }
        }
    }

    #[test]
    fn each_pattern_of_the_model_can_be_tried() {
        for member in OPERATIONS.iter().flat_map(|operation| operation.members) {
            assert!(member.rule_compiles(), "{}", member.name());
        }
    }
}
