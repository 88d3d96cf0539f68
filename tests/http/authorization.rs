//! The table of routes with the action and resource that each requires. A request without that right is refused, one with
//! exactly that right passes, and one with every other right is refused. An operation without a row here fails the first test.

use std::time::Duration;

use redrive::http::sigv4::{Credential, Principal, StaticCredentials};
use redrive::policy::Policies;
use redrive::{
    Client, ConfigureError, Event, Function, Invoke, Permissions, RetryPolicy, Runtime, Status,
};
use serde_json::{Value, json};

use crate::signed_requests::{REFUSED, ask};
use crate::support::{Served, serve_with};

const HOME: &str = "000000000000";
const INVOKE: &str = "lambda:InvokeFunction";

pub(crate) fn function(name: &str) -> String {
    format!("arn:aws:lambda:us-east-1:{HOME}:function:{name}")
}

/// A request for an operation, and the rights that it requires.
struct Route {
    method: &'static str,
    /// `{pending}` is an event of `echo:live` that waits, `{dead}` one of `fail:live` that is a dead letter: new ones each.
    path: &'static str,
    body: &'static str,
    /// The actions and their resources. `*` stands for resources that belong to no function.
    needs: Vec<(&'static str, String)>,
    /// The status for callers with the right.
    passes: u16,
}

impl Route {
    fn new(method: &'static str, path: &'static str) -> Self {
        Self {
            method,
            path,
            body: "",
            needs: Vec::new(),
            passes: 200,
        }
    }

    /// Requires an action on a function, under its qualifier if it has one, or on `*`.
    fn needs(mut self, action: &'static str, on: &str) -> Self {
        let resource = if on == "*" {
            on.to_owned()
        } else {
            function(on)
        };
        self.needs.push((action, resource));
        self
    }

    fn body(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    fn passes(mut self, status: u16) -> Self {
        self.passes = status;
        self
    }

    /// Returns whether it concerns an event that was invoked under an alias.
    fn is_of_an_event(&self) -> bool {
        format!("{}{}", self.path, self.body).contains("{pending}")
            || format!("{}{}", self.path, self.body).contains("{dead}")
    }
}

const ECHOS_TAGS: &str = "/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:echo";

/// Every supported AWS operation.
fn aws() -> Vec<Route> {
    let at = Route::new;
    let config = "/2019-09-25/functions/echo/event-invoke-config";
    let live = "/2019-09-25/functions/echo/event-invoke-config?Qualifier=live";
    let to_fail = r#"{"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:lambda:us-east-1:000000000000:function:fail:live"}}}"#;
    let to_other = r#"{"DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:lambda:us-east-1:000000000000:function:sleep"}}}"#;
    let permission =
        r#"{"StatementId":"s","Action":"lambda:InvokeFunction","Principal":"000000000000"}"#;
    vec![
        at("POST", "/2015-03-31/functions/echo/invocations")
            .body("1")
            .needs(INVOKE, "echo")
            .passes(202),
        at(
            "POST",
            "/2015-03-31/functions/echo/invocations?Qualifier=live",
        )
        .body("2")
        .needs(INVOKE, "echo:live")
        .passes(202),
        at("POST", "/2014-11-13/functions/echo/invoke-async")
            .body("3")
            .needs("lambda:InvokeAsync", "echo")
            .passes(202),
        at("GET", "/2015-03-31/functions").needs("lambda:ListFunctions", "*"),
        at("GET", "/2015-03-31/functions/echo").needs("lambda:GetFunction", "echo"),
        at("GET", "/2015-03-31/functions/echo?Qualifier=live")
            .needs("lambda:GetFunction", "echo:live"),
        at("GET", "/2015-03-31/functions/echo/configuration")
            .needs("lambda:GetFunctionConfiguration", "echo"),
        at("PUT", "/2015-03-31/functions/echo/configuration")
            .body(r#"{"Timeout":5}"#)
            .needs("lambda:UpdateFunctionConfiguration", "echo"),
        at("GET", "/2015-03-31/functions/echo/versions")
            .needs("lambda:ListVersionsByFunction", "echo"),
        at("GET", "/2015-03-31/functions/echo/aliases").needs("lambda:ListAliases", "echo"),
        at("GET", "/2015-03-31/functions/echo/aliases/live").needs("lambda:GetAlias", "echo"),
        at("PUT", config)
            .body(r#"{"MaximumRetryAttempts":1}"#)
            .needs("lambda:PutFunctionEventInvokeConfig", "echo"),
        at("PUT", live)
            .body(to_fail)
            .needs("lambda:PutFunctionEventInvokeConfig", "echo:live")
            .needs(INVOKE, "fail:live"),
        at("POST", config)
            .body(to_other)
            .needs("lambda:UpdateFunctionEventInvokeConfig", "echo")
            .needs(INVOKE, "sleep"),
        at("GET", config).needs("lambda:GetFunctionEventInvokeConfig", "echo"),
        at("GET", "/2019-09-25/functions/echo/event-invoke-config/list")
            .needs("lambda:ListFunctionEventInvokeConfigs", "echo"),
        at("DELETE", config)
            .needs("lambda:DeleteFunctionEventInvokeConfig", "echo")
            .passes(204),
        at("PUT", "/2017-10-31/functions/echo/concurrency")
            .body(r#"{"ReservedConcurrentExecutions":3}"#)
            .needs("lambda:PutFunctionConcurrency", "echo"),
        at("GET", "/2019-09-30/functions/echo/concurrency")
            .needs("lambda:GetFunctionConcurrency", "echo"),
        at("DELETE", "/2017-10-31/functions/echo/concurrency")
            .needs("lambda:DeleteFunctionConcurrency", "echo")
            .passes(204),
        at("PUT", "/2024-08-31/functions/echo/recursion-config")
            .body(r#"{"RecursiveLoop":"Allow"}"#)
            .needs("lambda:PutFunctionRecursionConfig", "echo"),
        at("GET", "/2024-08-31/functions/echo/recursion-config")
            .needs("lambda:GetFunctionRecursionConfig", "echo"),
        at("POST", "/2015-03-31/functions/echo/policy")
            .body(permission)
            .needs("lambda:AddPermission", "echo")
            .passes(201),
        at("GET", "/2015-03-31/functions/echo/policy").needs("lambda:GetPolicy", "echo"),
        at("DELETE", "/2015-03-31/functions/echo/policy/s")
            .needs("lambda:RemovePermission", "echo")
            .passes(204),
        at("GET", "/2016-08-19/account-settings").needs("lambda:GetAccountSettings", "*"),
        at("POST", ECHOS_TAGS)
            .body(r#"{"Tags":{"a":"b"}}"#)
            .needs("lambda:TagResource", "echo")
            .passes(204),
        at("GET", ECHOS_TAGS).needs("lambda:ListTags", "echo"),
        at(
            "DELETE",
            "/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:echo?tagKeys=a",
        )
        .needs("lambda:UntagResource", "echo")
        .passes(204),
    ]
}

/// Every operation beyond AWS's.
fn own() -> Vec<Route> {
    let at = Route::new;
    let redrive = "/_redrive/dead-letters/redrive";
    let purge = "/_redrive/dead-letters/purge";
    vec![
        at("GET", "/_redrive/stats").needs("redrive:GetStats", "*"),
        at("GET", "/_redrive/functions").needs("redrive:ListFunctions", "*"),
        at("GET", "/_redrive/unregistered").needs("redrive:ListFunctions", "*"),
        at("GET", "/_redrive/functions/echo/stats").needs("redrive:GetStats", "echo"),
        at("GET", "/_redrive/functions/echo/events").needs("redrive:ListEvents", "echo"),
        at("POST", "/_redrive/functions/sleep/pause").needs("redrive:PauseFunction", "sleep"),
        at("POST", "/_redrive/functions/sleep/resume").needs("redrive:ResumeFunction", "sleep"),
        at("GET", "/_redrive/events/{pending}").needs("redrive:GetEvent", "echo"),
        at("GET", "/_redrive/events/{dead}").needs("redrive:GetEvent", "fail"),
        at(
            "GET",
            "/_redrive/events/5f0c5a4e-9d0a-4d8e-8b51-1d9f6f4f9a01",
        )
        .needs("redrive:GetEvent", "*")
        .passes(404),
        at("DELETE", "/_redrive/events/{pending}").needs("redrive:CancelEvent", "echo"),
        at("GET", "/_redrive/events/{dead}/log").needs("redrive:GetEventLog", "fail"),
        at("GET", "/_redrive/dead-letters").needs("redrive:ListDeadLetters", "*"),
        at("GET", "/_redrive/dead-letters?function=fail").needs("redrive:ListDeadLetters", "fail"),
        at("GET", "/_redrive/dead-letters/{dead}").needs("redrive:GetDeadLetter", "fail"),
        at(
            "GET",
            "/_redrive/dead-letters/5f0c5a4e-9d0a-4d8e-8b51-1d9f6f4f9a01",
        )
        .needs("redrive:GetDeadLetter", "*")
        .passes(404),
        at("POST", redrive)
            .body(r#"{"request_id":"{dead}"}"#)
            .needs("redrive:RedriveDeadLetters", "fail"),
        at("POST", redrive)
            .body(r#"{"request_id":"{dead}","payload":{"message":"x"}}"#)
            .needs("redrive:RedriveDeadLetters", "fail")
            .needs(INVOKE, "fail:live"),
        at("POST", redrive)
            .body(r#"{"request_id":"{dead}","payload":null,"dry_run":true}"#)
            .needs("redrive:RedriveDeadLetters", "fail")
            .needs(INVOKE, "fail:live"),
        at("POST", redrive)
            .body(r#"{"filter":{"function":"fail"}}"#)
            .needs("redrive:RedriveDeadLetters", "fail"),
        at("POST", redrive)
            .body(r#"{"filter":{"function":"fail"},"payload":{"message":"y"}}"#)
            .needs("redrive:RedriveDeadLetters", "fail")
            .needs(INVOKE, "fail"),
        at("POST", redrive)
            .body(r#"{"filter":{},"payload":7}"#)
            .needs("redrive:RedriveDeadLetters", "*")
            .needs(INVOKE, "*"),
        at("POST", purge)
            .body(r#"{"filter":{"function":"fail"}}"#)
            .needs("redrive:PurgeDeadLetters", "fail"),
        at("POST", purge)
            .body(r#"{"filter":{}}"#)
            .needs("redrive:PurgeDeadLetters", "*"),
    ]
}

/// The rows of a route table in a source whose operations have a handler: method, path and action.
fn rows(source: &'static str) -> Vec<(&'static str, String, &'static str)> {
    let lines = source.lines().map(str::trim);
    let rows = lines.filter(|line| line.starts_with("row(\"") || line.starts_with("open(\""));
    rows.map(|line| match *line.split('"').collect::<Vec<_>>() {
        [_, method, _, date, _, path, _, action, ..] if date.starts_with('2') => {
            (method, format!("/{date}/{path}"), action)
        }
        ["open(", method, _, path, ..] => (method, format!("/_redrive/{path}"), ""),
        [_, method, _, path, _, action, ..] => (method, format!("/_redrive/{path}"), action),
        _ => panic!("not a row: {line}"),
    })
    .collect()
}

/// Whether a path has this pattern, of which the parts in braces match any part.
fn has_pattern(path: &str, pattern: &str) -> bool {
    let path = path.split('?').next().unwrap();
    let (parts, pattern) = (path.split('/'), pattern.split('/'));
    parts.clone().count() == pattern.clone().count()
        && parts
            .zip(pattern)
            .all(|(part, word)| part == word || word.starts_with('{'))
}

#[test]
fn every_operation_has_a_row_in_the_table() {
    let lambda = rows(include_str!("../../src/http/lambda/operations.rs"));
    let admin = rows(include_str!("../../src/http/admin/operations.rs"));
    assert!(
        lambda.len() >= 26 && admin.len() >= 17,
        "the tables are read"
    );
    let routes: Vec<_> = aws().into_iter().chain(own()).collect();
    let open: Vec<_> = admin
        .iter()
        .filter(|(_, _, action)| action.is_empty())
        .map(|(_, pattern, _)| pattern.clone())
        .collect();
    assert_eq!(
        open,
        [
            "/_redrive/health/live",
            "/_redrive/health/ready",
            "/_redrive/openapi.json"
        ],
        "all others need a right"
    );
    for (method, pattern, action) in lambda.into_iter().chain(admin) {
        let known = routes.iter().any(|route| {
            let (demanded, _) = route.needs[0];
            route.method == method && has_pattern(route.path, &pattern) && demanded == action
        });
        // Everyone may do without an action who can reach the server.
        assert!(
            known || open.contains(&pattern),
            "{method} {pattern} has no row"
        );
    }
}

// --- callers

fn statement(effect: &str, member: &str, action: &Value, resource: &Value) -> Value {
    json!({ "Effect": effect, member: action, "Resource": resource })
}

pub(crate) fn allow(action: &str, resource: &str) -> Value {
    statement("Allow", "Action", &json!(action), &json!(resource))
}

pub(crate) fn deny(action: &str, resource: &str) -> Value {
    statement("Deny", "Action", &json!(action), &json!(resource))
}

fn all_but(action: &str) -> Value {
    statement("Allow", "NotAction", &json!(action), &json!("*"))
}

pub(crate) fn policy(statements: Vec<Value>) -> redrive::policy::Policy {
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    document.to_string().parse().unwrap()
}

/// A caller, and whether it has the right. Each has a separate key, so that no two requests are equal.
struct Asker {
    case: String,
    arn: String,
    policies: Policies,
    may: bool,
}

fn askers(route: &Route) -> Vec<Asker> {
    let mut all = Vec::new();
    let mut add = |case: String, arn: &str, policies: Policies, may: bool| {
        all.push(Asker {
            case,
            arn: arn.to_owned(),
            policies,
            may,
        });
    };
    let identity = |statements: Vec<Value>| Policies::new().identity(policy(statements));
    let everything = || identity(vec![allow("*", "*")]);
    let ada = "arn:aws:iam::000000000000:user/ada";
    add("no right".to_owned(), ada, identity(vec![]), false);
    for (index, (action, resource)) in route.needs.iter().enumerate() {
        let others = || {
            let others = route.needs.iter().enumerate();
            let others = others.filter(move |&(other, _)| other != index);
            others.map(|(_, (action, resource))| allow(action, resource))
        };
        let case = |case: &str| format!("{case} {action} on {resource}");
        add(
            case("all rights but"),
            ada,
            identity(vec![all_but(action)]),
            false,
        );
        let elsewhere = match resource.as_str() {
            "*" => function("*"),
            _ => function("elsewhere"),
        };
        let mut statements: Vec<_> = others().collect();
        statements.push(allow(action, &elsewhere));
        add(case("elsewhere"), ada, identity(statements), false);
        let denied = identity(vec![allow("*", "*"), deny(action, resource)]);
        add(case("an explicit deny of"), ada, denied, false);
        let in_session = everything().session(policy(vec![all_but(action)]));
        let session = "arn:aws:sts::000000000000:assumed-role/r/s";
        add(case("a session without"), session, in_session, false);
        let bounded = everything().boundary(policy(vec![all_but(action)]));
        add(case("a boundary without"), ada, bounded, false);
        if route.is_of_an_event() && index == 0 {
            let alias = deny(action, &format!("{resource}:live"));
            let denied = identity(vec![allow("*", "*"), alias]);
            add(case("the alias denied:"), ada, denied, false);
        }
    }
    let eve = "arn:aws:iam::111111111111:user/eve";
    add("a foreigner".to_owned(), eve, everything(), false);
    let root = "arn:aws:iam::111111111111:root";
    add("a foreign root".to_owned(), root, everything(), false);
    let exact: Vec<_> = route
        .needs
        .iter()
        .map(|(action, on)| allow(action, on))
        .collect();
    add(
        "exactly that right".to_owned(),
        ada,
        identity(exact.clone()),
        true,
    );
    let in_session = everything().session(policy(exact));
    add("a session with it".to_owned(), ada, in_session, true);
    all
}

// --- requests

pub(crate) fn functions() -> [Function; 3] {
    let quick = RetryPolicy::delays([Duration::from_millis(1)]);
    let echo = |event: Event<Value>| async move { Ok::<_, String>(event.payload().clone()) };
    let fail = |_: Event<Value>| async move { Err::<(), _>("as ever".to_owned()) };
    let sleep = |_: Event<Value>| async move { Ok::<_, String>(()) };
    [
        Function::new("echo", echo).version(1).alias("live", 1),
        Function::new("fail", fail)
            .version(1)
            .alias("live", 1)
            .retry(quick),
        Function::new("sleep", sleep),
    ]
}

async fn pending(client: &Client) -> String {
    let event = Invoke::event("echo", 1).qualifier("live");
    client.send(event).await.unwrap().request_id.to_string()
}

async fn dead(client: &Client) -> String {
    let event = Invoke::event("fail", json!({})).qualifier("live");
    let id = client.send(event).await.unwrap().request_id;
    assert!(matches!(client.wait(id).await, Some(Status::Dead(_))));
    id.to_string()
}

async fn check_all(routes: Vec<Route>) {
    let mut credentials = StaticCredentials::new();
    let all: Vec<_> = routes.iter().map(askers).collect();
    for (row, askers) in all.iter().enumerate() {
        for (column, asker) in askers.iter().enumerate() {
            let name = format!("{row}x{column}");
            let credential = Credential::new(&*name, Principal::new(&*asker.arn));
            let credential = credential.policies(asker.policies.clone());
            credentials = credentials.key(format!("AK{name}"), credential);
        }
    }
    let builder = functions()
        .into_iter()
        .fold(Runtime::builder(), |it, function| it.function(function));
    let served = serve_with(builder, |api| api.credentials(credentials)).await;
    let client = served.runtime.client();
    client.pause("echo");
    for (row, (route, askers)) in routes.iter().zip(&all).enumerate() {
        for (column, asker) in askers.iter().enumerate() {
            check(&served, &client, route, asker, &format!("{row}x{column}")).await;
        }
    }
}

async fn check(served: &Served, client: &Client, route: &Route, asker: &Asker, name: &str) {
    let filled = async |text: &str| {
        let mut text = text.to_owned();
        if text.contains("{pending}") {
            text = text.replace("{pending}", &pending(client).await);
        }
        if text.contains("{dead}") {
            text = text.replace("{dead}", &dead(client).await);
        }
        text
    };
    let (path, body) = (filled(route.path).await, filled(route.body).await);
    let answer = ask(served, name, route.method, &path, &body).await;
    let case = format!("{} {path} {body}: {}: {answer:?}", route.method, asker.case);
    if !asker.may {
        assert_eq!(answer.error(), REFUSED, "{case}");
        return;
    }
    // The first to do it may have undone it for the second.
    let second = asker.case.starts_with("a session") && answer.status != 403;
    assert!(answer.status == route.passes || second, "{case}");
}

#[actix::test]
async fn each_aws_operation_requires_exactly_its_action() {
    check_all(aws()).await;
}

#[actix::test]
async fn each_admin_operation_requires_exactly_its_action() {
    check_all(own()).await;
}

/// The refusal of an unsupported operation must not help callers without rights.
#[actix::test]
async fn unsupported_operations_are_refused_by_name_only_to_callers_with_rights() {
    let mut credentials = StaticCredentials::new();
    for (name, statements) in [("none", vec![]), ("all", vec![allow("*", "*")])] {
        let principal = Principal::new("arn:aws:iam::000000000000:user/ada");
        let credential = Credential::new(name, principal);
        let policies = Policies::new().identity(policy(statements));
        credentials = credentials.key(format!("AK{name}"), credential.policies(policies));
    }
    let builder = functions()
        .into_iter()
        .fold(Runtime::builder(), |it, function| it.function(function));
    let served = serve_with(builder, |api| api.credentials(credentials)).await;
    for (method, path) in [
        ("POST", "/2015-03-31/functions"),
        ("DELETE", "/2015-03-31/functions/echo"),
        ("PUT", "/2015-03-31/functions/echo/code"),
        ("POST", "/2015-03-31/functions/echo/versions"),
        ("PUT", "/2015-03-31/functions/echo/aliases/live"),
        (
            "POST",
            "/2021-11-15/functions/echo/response-streaming-invocations",
        ),
        ("GET", "/2015-03-31/event-source-mappings"),
        ("GET", "/2018-10-31/layers"),
    ] {
        let refused = ask(&served, "none", method, path, "").await;
        assert_eq!(refused.error(), REFUSED, "{method} {path}");
        let known = ask(&served, "all", method, path, "").await;
        assert_ne!(known.status, 403, "{method} {path}");
        assert!(known.status >= 400, "{method} {path}");
    }
}

/// A foreign account is let in by a function's policy, to that function alone.
#[actix::test]
async fn a_functions_policy_admits_a_foreign_account_to_that_function_only() {
    let eve = Principal::new("arn:aws:iam::111111111111:user/eve");
    let everything = || Policies::new().identity(policy(vec![allow("*", "*")]));
    let ada = Principal::new("arn:aws:iam::000000000000:user/ada");
    let credentials = StaticCredentials::new()
        .key("AKada", Credential::new("ada", ada).policies(everything()))
        .key("AKeve", Credential::new("eve", eve).policies(everything()));
    let builder = functions()
        .into_iter()
        .fold(Runtime::builder(), |it, function| it.function(function));
    let served = serve_with(builder, |api| api.credentials(credentials)).await;
    let permission = json!({"StatementId": "eve", "Action": "*", "Principal": "111111111111"});
    let path = "/2015-03-31/functions/echo/policy";
    let added = ask(&served, "ada", "POST", path, &permission.to_string()).await;
    assert_eq!(added.status, 201, "{added:?}");
    let may = async |method: &str, path: &str, body: &str| {
        ask(&served, "eve", method, path, body).await.status != 403
    };
    assert!(may("POST", "/2015-03-31/functions/echo/invocations", "1").await);
    assert!(may("GET", "/2015-03-31/functions/echo", "").await);
    assert!(may("GET", "/_redrive/functions/echo/stats", "").await);
    for (method, path) in [
        ("POST", "/2015-03-31/functions/fail/invocations"),
        ("GET", "/2015-03-31/functions"),
        ("GET", "/2016-08-19/account-settings"),
        ("GET", "/_redrive/stats"),
        ("GET", "/_redrive/functions"),
        ("GET", "/_redrive/unregistered"),
        ("GET", "/_redrive/dead-letters"),
        ("POST", "/2015-03-31/functions"),
    ] {
        assert!(!may(method, path, "").await, "{method} {path}");
    }
}

/// CFG-22: a destination under a function's former name runs the function, and needs the right to.
#[actix::test]
async fn a_former_name_does_not_bypass_a_denial() {
    let statements = vec![
        allow("*", "*"),
        deny("lambda:InvokeFunction", &function("renamed")),
    ];
    let principal = Principal::new("arn:aws:iam::000000000000:user/ada");
    let policies = Policies::new().identity(policy(statements));
    let credential = Credential::new("ada", principal).policies(policies);
    let credentials = StaticCredentials::new().key("AKada", credential);
    let sleep = |_: Event<Value>| async move { Ok::<_, String>(()) };
    let renamed = Function::new("renamed", sleep).formerly("old");
    let builder = functions()
        .into_iter()
        .fold(Runtime::builder().function(renamed), |it, function| {
            it.function(function)
        });
    let served = serve_with(builder, |api| api.credentials(credentials)).await;
    let path = "/2019-09-25/functions/echo/event-invoke-config";
    for (name, status) in [("renamed", 403), ("old", 403), ("fail", 200)] {
        let goal = json!({ "OnSuccess": { "Destination": function(name) } });
        let body = json!({ "DestinationConfig": goal }).to_string();
        let answer = ask(&served, "ada", "PUT", path, &body).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
}

/// The qualifier of an event that only the store has is unknown, so a denial of any qualifier counts.
#[cfg(feature = "testing")]
#[actix::test]
async fn an_event_that_only_the_store_has_is_denied_if_any_alias_is_denied() {
    use redrive::testing::RecordingStore;

    let mut credentials = StaticCredentials::new();
    let denied = vec![allow("*", "*"), deny("redrive:*", &function("echo:live"))];
    for (name, statements) in [("all", vec![allow("*", "*")]), ("most", denied)] {
        let principal = Principal::new("arn:aws:iam::000000000000:user/ada");
        let policies = Policies::new().identity(policy(statements));
        let credential = Credential::new(name, principal).policies(policies);
        credentials = credentials.key(format!("AK{name}"), credential);
    }
    let echo = |event: Event<Value>| async move { Ok::<_, String>(event.payload().clone()) };
    let echo = Function::new("echo", echo)
        .version(1)
        .alias("live", 1)
        .window(1);
    let builder = Runtime::builder()
        .function(echo)
        .store(RecordingStore::new());
    let served = serve_with(builder, |api| api.credentials(credentials)).await;
    let client = served.runtime.client();
    client.pause("echo");
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(pending(&client).await);
    }
    for id in &ids {
        let path = format!("/_redrive/events/{id}");
        let refused = ask(&served, "most", "GET", &path, "").await;
        assert_eq!(refused.error(), REFUSED, "{refused:?}");
        let allowed = ask(&served, "all", "GET", &path, "").await;
        assert_eq!(allowed.status, 200, "{allowed:?}");
    }
    let mut cursor = 0;
    loop {
        let path = format!("/_redrive/functions/echo/events?cursor={cursor}");
        let page = ask(&served, "most", "GET", &path, "").await.json();
        assert_eq!(page["events"], json!([]));
        match page["next"].as_u64() {
            Some(next) => cursor = next,
            None => break,
        }
    }
}

/// IAM-08: the program denies everyone but Bob, and names his account beside him as AWS asks for. The policy's text decides, at
/// any revision.
#[actix::test]
async fn a_policy_that_exempts_one_user_exempts_no_other() {
    let mut credentials = StaticCredentials::new();
    let user = |name: &str| format!("arn:aws:iam::000000000000:user/{name}");
    for name in ["bob", "eve"] {
        let policies = Policies::new().identity(policy(vec![allow("*", "*")]));
        let credential = Credential::new(name, Principal::new(user(name))).policies(policies);
        credentials = credentials.key(format!("AK{name}"), credential);
    }
    let builder = functions()
        .into_iter()
        .fold(Runtime::builder(), |it, function| it.function(function));
    let served = serve_with(builder, |api| api.credentials(credentials)).await;
    let client = served.runtime.client();
    let but = |name: &str| {
        let but = json!({ "AWS": [user(name), "arn:aws:iam::000000000000:root"] });
        let deny =
            json!({ "Effect": "Deny", "NotPrincipal": but, "Action": "lambda:*", "Resource": "*" });
        json!({ "Version": "2012-10-17", "Statement": [deny] }).to_string()
    };
    let invoke = async |name: &str, body: &str| {
        let path = "/2015-03-31/functions/echo/invocations";
        ask(&served, name, "POST", path, body).await.status
    };
    let set = Permissions::new(but("bob"));
    let set = client.configure("echo", |it| -> Result<(), ConfigureError> {
        it.permissions.insert("$LATEST".to_owned(), set);
        Ok(())
    });
    set.await.unwrap();
    assert_eq!(
        (invoke("bob", "1").await, invoke("eve", "1").await),
        (202, 403)
    );
    let change = client.configure("echo", |it| -> Result<(), ConfigureError> {
        if let Some(permissions) = it.permissions.get_mut("$LATEST") {
            permissions.policy = but("eve");
        }
        Ok(())
    });
    change.await.unwrap();
    assert_eq!(
        (invoke("bob", "2").await, invoke("eve", "2").await),
        (403, 202)
    );
}

/// A page of events omits those that were invoked under a denied alias.
#[actix::test]
async fn a_page_of_events_omits_those_of_a_denied_alias() {
    let denied = vec![allow("*", "*"), deny("redrive:*", &function("echo:live"))];
    let mut credentials = StaticCredentials::new();
    for (name, statements) in [("all", vec![allow("*", "*")]), ("most", denied)] {
        let principal = Principal::new("arn:aws:iam::000000000000:user/ada");
        let policies = Policies::new().identity(policy(statements));
        let credential = Credential::new(name, principal).policies(policies);
        credentials = credentials.key(format!("AK{name}"), credential);
    }
    let builder = functions()
        .into_iter()
        .fold(Runtime::builder(), |it, function| it.function(function));
    let served = serve_with(builder, |api| api.credentials(credentials)).await;
    let client = served.runtime.client();
    client.pause("echo");
    pending(&client).await;
    let plain = client.invoke("echo", 1).await.unwrap().request_id;
    let listed = async |name: &str| {
        let page = ask(&served, name, "GET", "/_redrive/functions/echo/events", "").await;
        let events = page.json()["events"].as_array().unwrap().clone();
        let ids = events.iter().map(|event| event["request_id"].clone());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(listed("all").await.len(), 2);
    assert_eq!(listed("most").await, [json!(plain)]);
}
