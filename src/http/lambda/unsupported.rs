//! AWS's operations that a runtime inside a program can't do. Each is refused by its own name, after what AWS refuses first:
//! a function, version or alias that isn't there.

use std::borrow::Cow;

use actix_web::HttpResponse;
use serde::Deserialize;

use crate::http::error::{ApiError, Constraint};
use crate::http::lambda::function_ref::Target;
use crate::http::request::{Incoming, decode};

/// One of these operations, as a request asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported<'a> {
    /// Its IAM action.
    pub(crate) action: &'static str,
    /// The function that it is about, as the path has it.
    pub(crate) function: Option<&'a str>,
    /// The alias that the path names.
    alias: Option<&'a str>,
    about: About,
}

/// What an operation needs to be there, and so how AWS says that it isn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// Nothing that could be here.
    Nothing,
    /// A function; a qualifier is not looked at.
    Function,
    /// A function, version or alias.
    Qualified,
    /// The same, as `Invoke` says it.
    Invoked,
    /// The version that a new alias is for.
    NewAlias,
    Alias,
    /// A version or alias that has, or gets, environments of its own.
    Provisioned,
    /// A function that gets a URL, or has some.
    Url,
    /// The URL itself.
    UrlConfig,
}

use About::{Alias, Function, Invoked, NewAlias, Nothing, Provisioned, Qualified, Url, UrlConfig};

type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    About,
);

/// Method, date, path, action. In a path, `{f}` is the function, `{a}` an alias and `{}` anything; what follows a `?` must
/// be in the query.
#[rustfmt::skip]
const ALL: &[Row] = &[
    ("POST", "2015-03-31", "functions", "lambda:CreateFunction", Nothing),
    ("DELETE", "2015-03-31", "functions/{f}", "lambda:DeleteFunction", Function),
    ("PUT", "2015-03-31", "functions/{f}/code", "lambda:UpdateFunctionCode", Function),
    ("POST", "2015-03-31", "functions/{f}/versions", "lambda:PublishVersion", Function),
    ("POST", "2015-03-31", "functions/{f}/aliases", "lambda:CreateAlias", NewAlias),
    ("PUT", "2015-03-31", "functions/{f}/aliases/{a}", "lambda:UpdateAlias", Alias),
    ("DELETE", "2015-03-31", "functions/{f}/aliases/{a}", "lambda:DeleteAlias", Function),
    ("POST", "2021-11-15", "functions/{f}/response-streaming-invocations", "lambda:InvokeWithResponseStream", Invoked),
    ("GET", "2019-09-30", "functions/{f}/provisioned-concurrency?List=ALL", "lambda:ListProvisionedConcurrencyConfigs", Function),
    ("GET", "2019-09-30", "functions/{f}/provisioned-concurrency", "lambda:GetProvisionedConcurrencyConfig", Provisioned),
    ("PUT", "2019-09-30", "functions/{f}/provisioned-concurrency", "lambda:PutProvisionedConcurrencyConfig", Provisioned),
    ("DELETE", "2019-09-30", "functions/{f}/provisioned-concurrency", "lambda:DeleteProvisionedConcurrencyConfig", Provisioned),
    ("GET", "2020-06-30", "functions/{f}/code-signing-config", "lambda:GetFunctionCodeSigningConfig", Function),
    ("PUT", "2020-06-30", "functions/{f}/code-signing-config", "lambda:PutFunctionCodeSigningConfig", Function),
    ("DELETE", "2020-06-30", "functions/{f}/code-signing-config", "lambda:DeleteFunctionCodeSigningConfig", Function),
    ("GET", "2021-07-20", "functions/{f}/runtime-management-config", "lambda:GetRuntimeManagementConfig", Qualified),
    ("PUT", "2021-07-20", "functions/{f}/runtime-management-config", "lambda:PutRuntimeManagementConfig", Qualified),
    ("POST", "2021-10-31", "functions/{f}/url", "lambda:CreateFunctionUrlConfig", Url),
    ("PUT", "2021-10-31", "functions/{f}/url", "lambda:UpdateFunctionUrlConfig", Url),
    ("GET", "2021-10-31", "functions/{f}/url", "lambda:GetFunctionUrlConfig", UrlConfig),
    ("DELETE", "2021-10-31", "functions/{f}/url", "lambda:DeleteFunctionUrlConfig", UrlConfig),
    ("GET", "2021-10-31", "functions/{f}/urls", "lambda:ListFunctionUrlConfigs", Url),
    ("GET", "2025-11-30", "functions/{f}/function-scaling-config", "lambda:GetFunctionScalingConfig", Qualified),
    ("PUT", "2025-11-30", "functions/{f}/function-scaling-config", "lambda:PutFunctionScalingConfig", Qualified),
    ("GET", "2025-12-01", "functions/{f}/durable-executions", "lambda:ListDurableExecutionsByFunction", Qualified),
    ("POST", "2015-03-31", "event-source-mappings", "lambda:CreateEventSourceMapping", Nothing),
    ("GET", "2015-03-31", "event-source-mappings", "lambda:ListEventSourceMappings", Nothing),
    ("GET", "2015-03-31", "event-source-mappings/{}", "lambda:GetEventSourceMapping", Nothing),
    ("PUT", "2015-03-31", "event-source-mappings/{}", "lambda:UpdateEventSourceMapping", Nothing),
    ("DELETE", "2015-03-31", "event-source-mappings/{}", "lambda:DeleteEventSourceMapping", Nothing),
    ("GET", "2018-10-31", "layers?find=LayerVersion", "lambda:GetLayerVersionByArn", Nothing),
    ("GET", "2018-10-31", "layers", "lambda:ListLayers", Nothing),
    ("GET", "2018-10-31", "layers/{}/versions", "lambda:ListLayerVersions", Nothing),
    ("POST", "2018-10-31", "layers/{}/versions", "lambda:PublishLayerVersion", Nothing),
    ("GET", "2018-10-31", "layers/{}/versions/{}", "lambda:GetLayerVersion", Nothing),
    ("DELETE", "2018-10-31", "layers/{}/versions/{}", "lambda:DeleteLayerVersion", Nothing),
    ("POST", "2018-10-31", "layers/{}/versions/{}/policy", "lambda:AddLayerVersionPermission", Nothing),
    ("GET", "2018-10-31", "layers/{}/versions/{}/policy", "lambda:GetLayerVersionPolicy", Nothing),
    ("DELETE", "2018-10-31", "layers/{}/versions/{}/policy/{}", "lambda:RemoveLayerVersionPermission", Nothing),
    ("POST", "2020-04-22", "code-signing-configs", "lambda:CreateCodeSigningConfig", Nothing),
    ("GET", "2020-04-22", "code-signing-configs", "lambda:ListCodeSigningConfigs", Nothing),
    ("GET", "2020-04-22", "code-signing-configs/{}", "lambda:GetCodeSigningConfig", Nothing),
    ("PUT", "2020-04-22", "code-signing-configs/{}", "lambda:UpdateCodeSigningConfig", Nothing),
    ("DELETE", "2020-04-22", "code-signing-configs/{}", "lambda:DeleteCodeSigningConfig", Nothing),
    ("GET", "2020-04-22", "code-signing-configs/{}/functions", "lambda:ListFunctionsByCodeSigningConfig", Nothing),
    ("POST", "2025-11-30", "capacity-providers", "lambda:CreateCapacityProvider", Nothing),
    ("GET", "2025-11-30", "capacity-providers", "lambda:ListCapacityProviders", Nothing),
    ("GET", "2025-11-30", "capacity-providers/{}", "lambda:GetCapacityProvider", Nothing),
    ("PUT", "2025-11-30", "capacity-providers/{}", "lambda:UpdateCapacityProvider", Nothing),
    ("DELETE", "2025-11-30", "capacity-providers/{}", "lambda:DeleteCapacityProvider", Nothing),
    ("GET", "2025-11-30", "capacity-providers/{}/function-versions", "lambda:ListFunctionVersionsByCapacityProvider", Nothing),
    ("POST", "2025-12-01", "durable-execution-callbacks/{}/succeed", "lambda:SendDurableExecutionCallbackSuccess", Nothing),
    ("POST", "2025-12-01", "durable-execution-callbacks/{}/fail", "lambda:SendDurableExecutionCallbackFailure", Nothing),
    ("POST", "2025-12-01", "durable-execution-callbacks/{}/heartbeat", "lambda:SendDurableExecutionCallbackHeartbeat", Nothing),
    ("GET", "2025-12-01", "durable-executions/{}", "lambda:GetDurableExecution", Nothing),
    ("DELETE", "2025-12-01", "durable-executions/{}", "lambda:DeleteDurableExecution", Nothing),
    ("POST", "2025-12-01", "durable-executions/{}/checkpoint", "lambda:CheckpointDurableExecution", Nothing),
    ("GET", "2025-12-01", "durable-executions/{}/history", "lambda:GetDurableExecutionHistory", Nothing),
    ("GET", "2025-12-01", "durable-executions/{}/state", "lambda:GetDurableExecutionState", Nothing),
    ("POST", "2025-12-01", "durable-executions/{}/pause", "lambda:PauseDurableExecution", Nothing),
    ("POST", "2025-12-01", "durable-executions/{}/resume", "lambda:ResumeDurableExecution", Nothing),
    ("POST", "2025-12-01", "durable-executions/{}/stop", "lambda:StopDurableExecution", Nothing),
    ("GET", "2026-07-09", "resource-policy/{}", "lambda:GetResourcePolicy", Nothing),
    ("PUT", "2026-07-09", "resource-policy/{}", "lambda:PutResourcePolicy", Nothing),
    ("DELETE", "2026-07-09", "resource-policy/{}", "lambda:DeleteResourcePolicy", Nothing),
];

impl<'a> Unsupported<'a> {
    /// The operation of a method, a path and a query of the API of `date`.
    pub(crate) fn at(method: &str, date: &str, parts: &[&'a str], query: &str) -> Option<Self> {
        ALL.iter()
            .find_map(|&(its_method, its_date, path, action, about)| {
                if method != its_method || date != its_date {
                    return None;
                }
                let (path, needed) = path.split_once('?').unwrap_or((path, ""));
                if !needed.is_empty() && !query.split('&').any(|pair| pair == needed) {
                    return None;
                }
                let mut found = Self {
                    action,
                    function: None,
                    alias: None,
                    about,
                };
                let mut pattern = path.split('/');
                for &part in parts {
                    match pattern.next()? {
                        "{f}" => found.function = Some(part),
                        "{a}" => found.alias = Some(part),
                        "{}" => {}
                        word if word == part => {}
                        _ => return None,
                    }
                }
                pattern.next().is_none().then_some(found)
            })
    }

    /// Refuses it.
    pub(crate) async fn refuse(
        self,
        incoming: &mut Incoming<'_>,
    ) -> Result<HttpResponse, ApiError> {
        self.find(incoming).await?;
        let operation = self.action.trim_start_matches("lambda:");
        let instead = instead(operation);
        Err(ApiError::invalid_parameter(format!(
            "{operation} is not supported by this runtime: {instead}"
        )))
    }

    /// Refuses, in AWS's words, what isn't there.
    async fn find(self, incoming: &mut Incoming<'_>) -> Result<(), ApiError> {
        let Some(function) = self.function else {
            return Ok(());
        };
        let name = decode(function)?;
        let mut target = incoming.target(&name)?;
        let qualifier = self.qualifier(incoming, &target).await?;
        target.qualifier = qualifier.map(Cow::Owned);
        match incoming.function(&target) {
            Ok(_) => Ok(()),
            Err(unknown) if self.about == Invoked => Err(unknown),
            Err(_) => Err(ApiError::not_found(self.missing(incoming, &target))),
        }
    }

    /// Under what it needs the function to be known.
    async fn qualifier(
        self,
        incoming: &mut Incoming<'_>,
        target: &Target<'_>,
    ) -> Result<Option<String>, ApiError> {
        Ok(match self.about {
            Function => None,
            NewAlias => incoming.json::<AliasOf>().await?.function_version,
            Alias => self.alias.map(decode).transpose()?.map(Cow::into_owned),
            Url | UrlConfig => url_qualifier(target)?,
            _ => target.qualifier.as_deref().map(str::to_owned),
        })
    }

    fn missing(self, incoming: &Incoming<'_>, target: &Target<'_>) -> String {
        let function = incoming.arn(target);
        let arn = match &target.qualifier {
            Some(qualifier) => format!("{function}:{qualifier}"),
            None => function.clone(),
        };
        let is_alias = target.qualifier.as_deref().is_some_and(|it| !is_number(it));
        match self.about {
            Alias if incoming.api.client.knows(target.name) => format!("Alias not found: {arn}"),
            Alias => format!("Function not found: {function}"),
            Provisioned if is_alias => format!("Cannot find alias arn: {arn}"),
            Url => "Function does not exist".to_owned(),
            UrlConfig => "The resource you requested does not exist.".to_owned(),
            _ => format!("Function not found: {arn}"),
        }
    }
}

/// The version that a new alias is for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct AliasOf {
    function_version: Option<String>,
}

/// A function's URL is that of the function itself, or of an alias.
fn url_qualifier(target: &Target<'_>) -> Result<Option<String>, ApiError> {
    let Some(qualifier) = target.qualifier.as_deref() else {
        return Ok(None);
    };
    if is_number(qualifier) || qualifier.contains(['$', '.']) {
        let rule = Constraint::Pattern("((?!^\\d+$)^[0-9a-zA-Z-_]+$)");
        let broken = rule.broken_by("qualifier", qualifier);
        return Err(ApiError::validation(vec![broken]));
    }
    Ok(Some(qualifier.to_owned()))
}

fn is_number(qualifier: &str) -> bool {
    qualifier.chars().all(|c| c.is_ascii_digit())
}

/// What to do in place of an operation.
fn instead(operation: &str) -> &'static str {
    match operation {
        "CreateFunction" | "DeleteFunction" | "UpdateFunctionCode" => {
            "functions are part of the program, which registers them with Runtime::builder().function() or Runtime::add_function"
        }
        "PublishVersion" | "CreateAlias" | "UpdateAlias" | "DeleteAlias" => {
            "versions and aliases are registered by the program, with Function::version and Function::alias"
        }
        "InvokeWithResponseStream" => "results are not streamed: use Invoke",
        policy if policy.ends_with("ResourcePolicy") => {
            "use AddPermission, GetPolicy and RemovePermission"
        }
        source if source.contains("EventSourceMapping") => {
            "events come from the program, or by Invoke"
        }
        _ => "functions run in the program that registers them",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(method: &str, date: &str, path: &'a str, query: &str) -> Option<Unsupported<'a>> {
        let parts: Vec<_> = path.split('/').collect();
        Unsupported::at(method, date, &parts, query)
    }

    #[test]
    fn an_operation_has_its_own_name() {
        let action = |method, date, path, query| at(method, date, path, query).map(|it| it.action);
        let layers = |query| action("GET", "2018-10-31", "layers", query);
        assert_eq!(layers(""), Some("lambda:ListLayers"));
        let by_arn = "Arn=x&find=LayerVersion";
        assert_eq!(layers(by_arn), Some("lambda:GetLayerVersionByArn"));
        let provisioned = "functions/f/provisioned-concurrency";
        assert_eq!(
            action("GET", "2019-09-30", provisioned, "Qualifier=1"),
            Some("lambda:GetProvisionedConcurrencyConfig")
        );
        assert_eq!(
            action("GET", "2019-09-30", provisioned, "List=ALL"),
            Some("lambda:ListProvisionedConcurrencyConfigs")
        );
        let policy = "layers/l/versions/1/policy/s";
        assert_eq!(
            action("DELETE", "2018-10-31", policy, ""),
            Some("lambda:RemoveLayerVersionPermission")
        );
        for unknown in ["layers/l", "layers/l/versions/1/policy/s/t", "urls", ""] {
            assert_eq!(
                action("DELETE", "2018-10-31", unknown, ""),
                None,
                "{unknown}"
            );
        }
    }

    #[test]
    fn the_function_and_the_alias_are_those_of_the_path() {
        let found = at("PUT", "2015-03-31", "functions/f/aliases/live", "").unwrap();
        assert_eq!((found.function, found.alias), (Some("f"), Some("live")));
        let found = at("GET", "2018-10-31", "layers/l/versions", "").unwrap();
        assert_eq!((found.function, found.alias), (None, None));
    }
}
