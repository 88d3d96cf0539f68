//! Which operation a method and a path stand for: AWS's paths, and ours under `/_redrive/`.

use actix_web::http::Method;

use super::lambda::unsupported::Unsupported;
use super::request::parts;

/// What a request asks for, with the variable parts of its path as they are in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    Invoke(&'a str),
    InvokeAsync(&'a str),
    ListFunctions,
    GetFunction(&'a str),
    GetFunctionConfiguration(&'a str),
    UpdateFunctionConfiguration(&'a str),
    ListVersionsByFunction(&'a str),
    ListAliases(&'a str),
    GetAlias(&'a str, &'a str),
    PutFunctionEventInvokeConfig(&'a str),
    UpdateFunctionEventInvokeConfig(&'a str),
    GetFunctionEventInvokeConfig(&'a str),
    DeleteFunctionEventInvokeConfig(&'a str),
    ListFunctionEventInvokeConfigs(&'a str),
    PutFunctionConcurrency(&'a str),
    GetFunctionConcurrency(&'a str),
    DeleteFunctionConcurrency(&'a str),
    PutFunctionRecursionConfig(&'a str),
    GetFunctionRecursionConfig(&'a str),
    AddPermission(&'a str),
    GetPolicy(&'a str),
    RemovePermission(&'a str, &'a str),
    GetAccountSettings,
    ListTags(&'a str),
    TagResource(&'a str),
    UntagResource(&'a str),
    /// One of AWS's that a runtime inside a program can't do.
    Unsupported(Unsupported<'a>),
}

/// The versions of AWS's API, as its paths begin. The one of `Invoke` comes first: it is asked for most.
pub(crate) const DATES: [&str; 17] = [
    "2015-03-31",
    "2014-11-13",
    "2016-08-19",
    "2017-03-31",
    "2017-10-31",
    "2018-10-31",
    "2019-09-25",
    "2019-09-30",
    "2020-04-22",
    "2020-06-30",
    "2021-07-20",
    "2021-10-31",
    "2021-11-15",
    "2024-08-31",
    "2025-11-30",
    "2025-12-01",
    "2026-07-09",
];

impl<'a> Operation<'a> {
    /// Its IAM action.
    pub(crate) fn action(self) -> &'static str {
        match self {
            Self::Invoke(_) => "lambda:InvokeFunction",
            Self::InvokeAsync(_) => "lambda:InvokeAsync",
            Self::ListFunctions => "lambda:ListFunctions",
            Self::GetFunction(_) => "lambda:GetFunction",
            Self::GetFunctionConfiguration(_) => "lambda:GetFunctionConfiguration",
            Self::UpdateFunctionConfiguration(_) => "lambda:UpdateFunctionConfiguration",
            Self::ListVersionsByFunction(_) => "lambda:ListVersionsByFunction",
            Self::ListAliases(_) => "lambda:ListAliases",
            Self::GetAlias(..) => "lambda:GetAlias",
            Self::PutFunctionEventInvokeConfig(_) => "lambda:PutFunctionEventInvokeConfig",
            Self::UpdateFunctionEventInvokeConfig(_) => "lambda:UpdateFunctionEventInvokeConfig",
            Self::GetFunctionEventInvokeConfig(_) => "lambda:GetFunctionEventInvokeConfig",
            Self::DeleteFunctionEventInvokeConfig(_) => "lambda:DeleteFunctionEventInvokeConfig",
            Self::ListFunctionEventInvokeConfigs(_) => "lambda:ListFunctionEventInvokeConfigs",
            Self::PutFunctionConcurrency(_) => "lambda:PutFunctionConcurrency",
            Self::GetFunctionConcurrency(_) => "lambda:GetFunctionConcurrency",
            Self::DeleteFunctionConcurrency(_) => "lambda:DeleteFunctionConcurrency",
            Self::PutFunctionRecursionConfig(_) => "lambda:PutFunctionRecursionConfig",
            Self::GetFunctionRecursionConfig(_) => "lambda:GetFunctionRecursionConfig",
            Self::AddPermission(_) => "lambda:AddPermission",
            Self::GetPolicy(_) => "lambda:GetPolicy",
            Self::RemovePermission(..) => "lambda:RemovePermission",
            Self::GetAccountSettings => "lambda:GetAccountSettings",
            Self::ListTags(_) => "lambda:ListTags",
            Self::TagResource(_) => "lambda:TagResource",
            Self::UntagResource(_) => "lambda:UntagResource",
            Self::Unsupported(operation) => operation.action,
        }
    }

    /// The function that it is about, as the path has it.
    pub(crate) fn function(self) -> Option<&'a str> {
        match self {
            Self::ListFunctions | Self::GetAccountSettings => None,
            Self::Unsupported(operation) => operation.function,
            Self::Invoke(function)
            | Self::InvokeAsync(function)
            | Self::GetFunction(function)
            | Self::GetFunctionConfiguration(function)
            | Self::UpdateFunctionConfiguration(function)
            | Self::ListVersionsByFunction(function)
            | Self::ListAliases(function)
            | Self::GetAlias(function, _)
            | Self::PutFunctionEventInvokeConfig(function)
            | Self::UpdateFunctionEventInvokeConfig(function)
            | Self::GetFunctionEventInvokeConfig(function)
            | Self::DeleteFunctionEventInvokeConfig(function)
            | Self::ListFunctionEventInvokeConfigs(function)
            | Self::PutFunctionConcurrency(function)
            | Self::GetFunctionConcurrency(function)
            | Self::DeleteFunctionConcurrency(function)
            | Self::PutFunctionRecursionConfig(function)
            | Self::GetFunctionRecursionConfig(function)
            | Self::AddPermission(function)
            | Self::GetPolicy(function)
            | Self::RemovePermission(function, _)
            | Self::ListTags(function)
            | Self::TagResource(function)
            | Self::UntagResource(function) => Some(function),
        }
    }

    /// What the path ends with beyond the function, as the path has it.
    pub(crate) fn last(self) -> Option<&'a str> {
        match self {
            Self::GetAlias(_, last) | Self::RemovePermission(_, last) => Some(last),
            _ => None,
        }
    }

    /// Does the query's qualifier say what it is about? Others do the same with any, or refuse it.
    pub(crate) fn reads_qualifier(self) -> bool {
        matches!(
            self,
            Self::Invoke(_)
                | Self::GetFunction(_)
                | Self::GetFunctionConfiguration(_)
                | Self::PutFunctionEventInvokeConfig(_)
                | Self::UpdateFunctionEventInvokeConfig(_)
                | Self::GetFunctionEventInvokeConfig(_)
                | Self::DeleteFunctionEventInvokeConfig(_)
                | Self::AddPermission(_)
                | Self::GetPolicy(_)
                | Self::RemovePermission(..)
        )
    }

    /// Is what it is about an ARN of something that can have tags?
    pub(crate) fn is_tagging(self) -> bool {
        matches!(
            self,
            Self::ListTags(_) | Self::TagResource(_) | Self::UntagResource(_)
        )
    }

    /// The operation of a method, a path and a query of the API of `date`.
    pub(crate) fn at(method: &Method, date: &str, path: &'a str, query: &str) -> Option<Self> {
        let parts = parts(path);
        // Hottest first.
        match (method.as_str(), date, &*parts) {
            ("POST", "2015-03-31", ["functions", f, "invocations"]) => Some(Self::Invoke(f)),
            ("POST", "2014-11-13", ["functions", f, "invoke-async"]) => Some(Self::InvokeAsync(f)),
            ("GET", "2016-08-19", ["account-settings"]) => Some(Self::GetAccountSettings),
            ("GET", "2017-03-31", ["tags", arn]) => Some(Self::ListTags(arn)),
            ("POST", "2017-03-31", ["tags", arn]) => Some(Self::TagResource(arn)),
            ("DELETE", "2017-03-31", ["tags", arn]) => Some(Self::UntagResource(arn)),
            (method, date, ["functions", rest @ ..]) => Self::of_functions(method, date, rest)
                .or_else(|| Self::unsupported(method, date, &parts, query)),
            (method, date, _) => Self::unsupported(method, date, &parts, query),
        }
    }

    fn unsupported(method: &str, date: &str, parts: &[&'a str], query: &str) -> Option<Self> {
        Unsupported::at(method, date, parts, query).map(Self::Unsupported)
    }

    fn of_functions(method: &str, date: &str, path: &[&'a str]) -> Option<Self> {
        Some(match (method, date, path) {
            ("GET", "2015-03-31", []) => Self::ListFunctions,
            ("GET", "2015-03-31", [f]) => Self::GetFunction(f),
            ("GET", "2015-03-31", [f, "configuration"]) => Self::GetFunctionConfiguration(f),
            ("PUT", "2015-03-31", [f, "configuration"]) => Self::UpdateFunctionConfiguration(f),
            ("GET", "2015-03-31", [f, "versions"]) => Self::ListVersionsByFunction(f),
            ("GET", "2015-03-31", [f, "aliases"]) => Self::ListAliases(f),
            ("GET", "2015-03-31", [f, "aliases", alias]) => Self::GetAlias(f, alias),
            ("POST", "2015-03-31", [f, "policy"]) => Self::AddPermission(f),
            ("GET", "2015-03-31", [f, "policy"]) => Self::GetPolicy(f),
            ("DELETE", "2015-03-31", [f, "policy", sid]) => Self::RemovePermission(f, sid),
            (method, "2019-09-25", [f, "event-invoke-config"]) => match method {
                "PUT" => Self::PutFunctionEventInvokeConfig(f),
                "POST" => Self::UpdateFunctionEventInvokeConfig(f),
                "GET" => Self::GetFunctionEventInvokeConfig(f),
                "DELETE" => Self::DeleteFunctionEventInvokeConfig(f),
                _ => return None,
            },
            ("GET", "2019-09-25", [f, "event-invoke-config", "list"]) => {
                Self::ListFunctionEventInvokeConfigs(f)
            }
            ("PUT", "2017-10-31", [f, "concurrency"]) => Self::PutFunctionConcurrency(f),
            ("GET", "2019-09-30", [f, "concurrency"]) => Self::GetFunctionConcurrency(f),
            ("DELETE", "2017-10-31", [f, "concurrency"]) => Self::DeleteFunctionConcurrency(f),
            ("PUT", "2024-08-31", [f, "recursion-config"]) => Self::PutFunctionRecursionConfig(f),
            ("GET", "2024-08-31", [f, "recursion-config"]) => Self::GetFunctionRecursionConfig(f),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(method: &str, path: &'a str) -> Option<Operation<'a>> {
        let (date, rest) = path.trim_start_matches('/').split_once('/')?;
        Operation::at(&method.parse().unwrap(), date, rest, "")
    }

    /// INV-01, INV-30, CFG-01, CFG-05, CFG-11
    #[test]
    fn each_path_is_an_operation() {
        use Operation::*;
        let f = "/2015-03-31/functions/f";
        assert_eq!(at("POST", &format!("{f}/invocations")), Some(Invoke("f")));
        assert_eq!(at("GET", "/2015-03-31/functions/"), Some(ListFunctions));
        assert_eq!(at("GET", "/2015-03-31/functions"), Some(ListFunctions));
        assert_eq!(at("GET", f), Some(GetFunction("f")));
        let config = "/2019-09-25/functions/f/event-invoke-config";
        assert_eq!(
            at("POST", config),
            Some(UpdateFunctionEventInvokeConfig("f"))
        );
        assert_eq!(
            at("GET", &format!("{config}/list")),
            Some(ListFunctionEventInvokeConfigs("f"))
        );
        assert_eq!(
            at("DELETE", &format!("{f}/policy/s")),
            Some(RemovePermission("f", "s"))
        );
        let Some(Unsupported(delete)) = at("DELETE", f) else {
            panic!("no function can be deleted");
        };
        assert_eq!(
            (delete.action, delete.function),
            ("lambda:DeleteFunction", Some("f"))
        );
        assert_eq!(at("GET", &format!("{f}/invocations")), None);
        assert_eq!(at("PATCH", config), None);
        assert_eq!(at("POST", "/2014-03-31/functions/f/invocations"), None);
        assert_eq!(at("GET", "/2015-03-31/a/b/c/d/e/f/g"), None);
    }
}
