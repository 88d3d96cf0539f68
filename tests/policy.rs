//! The evaluator of policies beside another one: both decide alike on the operators that `iam-rs` implements as AWS does.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use iam_rs::{
    Arn, Context as TheirContext, ContextValue, IAMPolicy, IAMRequest, Principal, PrincipalId,
};
use proptest::prelude::*;
use redrive::policy::{Caller, ConditionValues, Decision, Policies, Request};
use serde_json::{Value, json};

const ADA: &str = "arn:aws:iam::000000000000:user/ada";

fn ours(document: &Value, action: &str, resource: &str, context: &[(&str, &str)]) -> bool {
    let policy = document.to_string().parse().unwrap();
    let context = context
        .iter()
        .fold(ConditionValues::new(), |context, (key, value)| {
            context.with(key, *value)
        });
    let request = Request {
        caller: &Caller::principal(ADA),
        action,
        resource,
        context: &context,
    };
    request.decide(&Policies::new().identity(policy), None) == Decision::Allowed
}

fn theirs(document: &Value, action: &str, resource: &str, context: &[(&str, &str)]) -> bool {
    let policy: IAMPolicy = serde_json::from_value(document.clone()).unwrap();
    let mut values = TheirContext::new();
    for (key, value) in context {
        // It compares values of one type only, where AWS has texts.
        let value = match *key {
            "aws:SecureTransport" => ContextValue::Boolean(*value == "true"),
            "aws:EpochTime" => ContextValue::Number(value.parse().unwrap()),
            _ => ContextValue::String((*value).to_owned()),
        };
        values.insert((*key).to_owned(), value);
    }
    let request = IAMRequest::new_with_context(
        Principal::Aws(PrincipalId::String(ADA.to_owned())),
        action,
        Arn::parse(resource).unwrap(),
        values,
    );
    matches!(
        iam_rs::evaluate_policy(&policy, &request),
        Ok(iam_rs::Decision::Allow)
    )
}

/// Returns whether a function's policy that allows everyone, but denies all but some, allows this user.
fn all_but(but: &[&str], user: &str, ours: bool) -> bool {
    let document = document(&[
        json!({ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" }),
        json!({ "Effect": "Deny", "NotPrincipal": { "AWS": but }, "Action": "*", "Resource": "*" }),
    ]);
    let (action, function) = ("lambda:InvokeFunction", RESOURCES[1]);
    if ours {
        let request = Request {
            caller: &Caller::principal(user),
            action,
            resource: function,
            context: &ConditionValues::new(),
        };
        let policy = document.to_string().parse().unwrap();
        return request.decide(&Policies::new(), Some(&policy)) == Decision::Allowed;
    }
    let policy: IAMPolicy = serde_json::from_value(document).unwrap();
    let user = Principal::Aws(PrincipalId::String(user.to_owned()));
    let request = IAMRequest::new_with_context(
        user,
        action,
        Arn::parse(function).unwrap(),
        TheirContext::new(),
    );
    matches!(
        iam_rs::evaluate_policy(&policy, &request),
        Ok(iam_rs::Decision::Allow)
    )
}

/// A deny exempts exactly the users that it names, beside any other principal.
#[test]
fn denies_with_not_principal_decide_as_iam_rs_does() {
    let user = |name: &str| format!("arn:aws:iam::000000000000:user/{name}");
    let (ada, bob, root) = (user("ada"), user("bob"), "arn:aws:iam::000000000000:root");
    for but in [
        vec![&*ada],
        vec![&*ada, root],
        vec![&*ada, &*bob, root],
        vec![root],
    ] {
        for user in [&*ada, &*bob, &*user("eve"), root] {
            let (own, other) = (all_but(&but, user, true), all_but(&but, user, false));
            assert_eq!(own, other, "{user}, all but {but:?}");
            assert_eq!(own, but.contains(&user), "{user}, all but {but:?}");
        }
    }
}

fn document(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

const ACTIONS: [&str; 5] = [
    "lambda:InvokeFunction",
    "lambda:Invoke*",
    "lambda:*",
    "lambda:GetFunctio?",
    "s3:GetObject",
];
const RESOURCES: [&str; 4] = [
    "*",
    "arn:aws:lambda:us-east-1:000000000000:function:f",
    "arn:aws:lambda:us-east-1:000000000000:function:*",
    "arn:aws:lambda:us-east-1:000000000000:function:g?",
];

fn condition() -> impl Strategy<Value = Value> {
    let of = |operator: &'static str, key: &'static str, values: Vec<&'static str>| {
        let values = prop::sample::subsequence(values, 1..=2);
        values
            .prop_map(move |values| json!({ operator: { key: values } }))
            .boxed()
    };
    let texts = || vec!["ada", "bob", "a*"];
    prop_oneof![
        Just(Value::Null),
        of("StringEquals", "aws:userid", texts()),
        of("StringNotEquals", "aws:userid", texts()),
        of("StringLike", "aws:userid", texts()),
        of("NumericLessThan", "aws:EpochTime", vec!["5", "10"]),
        of("NumericGreaterThanEquals", "aws:EpochTime", vec!["5", "10"]),
        of(
            "DateLessThan",
            "aws:CurrentTime",
            vec!["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"]
        ),
        of(
            "IpAddress",
            "aws:SourceIp",
            vec!["10.0.0.0/8", "192.168.0.0/16"]
        ),
        of("Bool", "aws:SecureTransport", vec!["true", "false"]),
    ]
}

fn statement() -> impl Strategy<Value = Value> {
    let effect = prop::sample::select(vec!["Allow", "Allow", "Deny"]);
    let actions = prop::sample::subsequence(ACTIONS.to_vec(), 1..=2);
    let resource = prop::sample::select(RESOURCES.to_vec());
    (effect, actions, resource, condition()).prop_map(|(effect, actions, resource, condition)| {
        let mut statement = json!({ "Effect": effect, "Action": actions, "Resource": resource });
        if !condition.is_null() {
            statement["Condition"] = condition;
        }
        statement
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn random_policies_decide_as_iam_rs_does(
        statements in prop::collection::vec(statement(), 0..5),
        action in prop::sample::select(vec!["lambda:InvokeFunction", "lambda:GetFunction", "s3:GetObject"]),
        function in prop::sample::select(vec!["f", "g1", "h"]),
        id in prop::sample::select(vec!["ada", "bob", "a*"]),
        time in prop::sample::select(vec!["4", "5", "11"]),
        ip in prop::sample::select(vec!["10.1.1.1", "192.168.1.1", "8.8.8.8"]),
        secure in prop::sample::select(vec!["true", "false"]),
        absent in prop::sample::subsequence(vec!["aws:userid", "aws:EpochTime", "aws:SourceIp"], 0..=1),
    ) {
        let resource = format!("arn:aws:lambda:us-east-1:000000000000:function:{function}");
        let context = [
            ("aws:userid", id),
            ("aws:EpochTime", time),
            ("aws:CurrentTime", "2026-06-01T00:00:00Z"),
            ("aws:SourceIp", ip),
            ("aws:SecureTransport", secure),
        ];
        let context: Vec<_> = context.into_iter().filter(|(key, _)| !absent.contains(key)).collect();
        let own = ours(&document(&statements), action, &resource, &context);
        let other = theirs(&document(&statements), action, &resource, &context);
        prop_assert_eq!(own, other, "{}", document(&statements));
    }
}
