//! AWS's evaluation, by a table of what its documentation tells, and by properties that hold of every policy.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ADA: &str = "arn:aws:iam::000000000000:user/ada";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

fn document(statements: Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn policy(statements: Value) -> Policy {
    document(statements).parse().unwrap()
}

fn on_function(statements: Value) -> ResourcePolicy {
    document(statements).parse().unwrap()
}

fn allow(action: &str, resource: &str) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": resource })
}

fn deny(action: &str, resource: &str) -> Value {
    json!({ "Effect": "Deny", "Action": action, "Resource": resource })
}

fn grant(principal: Value, resource: &str) -> Value {
    json!({ "Effect": "Allow", "Principal": principal, "Action": "lambda:InvokeFunction", "Resource": resource })
}

fn decide(
    caller: &Caller,
    resource: &str,
    policies: &Policies,
    function: Option<&ResourcePolicy>,
) -> Decision {
    Request {
        caller,
        action: "lambda:InvokeFunction",
        resource,
        context: &ConditionValues::new(),
    }
    .decide(policies, function)
}

/// May ada, by her own policies alone?
fn may(statements: Value, context: ConditionValues) -> bool {
    let request = Request {
        caller: &Caller::principal(ADA),
        action: "lambda:InvokeFunction",
        resource: FUNCTION,
        context: &context,
    };
    request.decide(&Policies::new().identity(policy(statements)), None) == Decision::Allowed
}

/// IAM-01, IAM-08
#[test]
fn nothing_is_allowed_but_what_a_policy_allows_and_none_denies() {
    let now = ConditionValues::new;
    for (statements, expected) in [
        (json!([]), false),
        (json!([allow("lambda:InvokeFunction", FUNCTION)]), true),
        (allow("lambda:invokefunction", FUNCTION), true),
        (allow("lambda:Invoke*", "*"), true),
        (allow("*", "arn:aws:lambda:*:*:function:?"), true),
        (
            allow("lambda:InvokeFunction", &format!("{FUNCTION}:live")),
            false,
        ),
        (
            allow(
                "lambda:InvokeFunction",
                "arn:aws:lambda:us-east-1:000000000000:function:F",
            ),
            false,
        ),
        (allow("lambda:InvokeAsync", "*"), false),
        (
            json!([allow("*", "*"), deny("lambda:InvokeFunction", FUNCTION)]),
            false,
        ),
        (
            json!([deny("lambda:InvokeFunction", FUNCTION), allow("*", "*")]),
            false,
        ),
        (json!([allow("*", "*"), deny("lambda:Get*", "*")]), true),
        (
            json!({"Effect": "Allow", "NotAction": "lambda:Get*", "Resource": "*"}),
            true,
        ),
        (
            json!({"Effect": "Allow", "NotAction": ["lambda:Invoke*", "s3:*"], "Resource": "*"}),
            false,
        ),
        (
            json!({"Effect": "Allow", "Action": "*", "NotResource": FUNCTION}),
            false,
        ),
    ] {
        assert_eq!(may(statements.clone(), now()), expected, "{statements}");
    }
}

/// IAM-03, IAM-04, IAM-05
#[test]
fn identity_and_function_answer_for_each_other_as_aws_has_it() {
    let ada = Caller::principal(ADA);
    let stranger = Caller::principal("arn:aws:iam::111111111111:user/eve");
    let session = Caller::principal("arn:aws:sts::000000000000:assumed-role/r/s");
    let root = Caller::principal("arn:aws:iam::000000000000:root");
    let s3 = Caller::service("s3.amazonaws.com");
    let all = || Policies::new().identity(policy(allow("*", "*")));
    let none = Policies::new;
    let bounded = |policies: Policies| policies.boundary(policy(allow("s3:*", "*")));
    let in_session = |policies: Policies| policies.session(policy(allow("s3:*", "*")));
    let by = |principal: Value| on_function(grant(principal, FUNCTION));
    let allowed = |caller: &Caller, policies: Policies, function: Option<&ResourcePolicy>| {
        decide(caller, FUNCTION, &policies, function) == Decision::Allowed
    };
    let named = by(json!({ "AWS": ADA }));
    let account = by(json!({ "AWS": "000000000000" }));
    let role = by(json!({ "AWS": "arn:aws:iam::000000000000:role/path/r" }));
    let this_session = by(json!({ "AWS": session.name() }));
    let anybody = by(json!("*"));
    // Same account: one side suffices, and an account as a whole is no side.
    assert!(allowed(&ada, all(), None));
    assert!(allowed(&ada, none(), Some(&named)));
    assert!(!allowed(&ada, none(), Some(&account)));
    assert!(allowed(&ada, none(), Some(&anybody)));
    assert!(!allowed(&session, none(), Some(&named)));
    // Boundary and session limit what is granted, but not to a user or a session by name.
    assert!(!allowed(&ada, bounded(all()), None));
    assert!(!allowed(&session, in_session(all()), None));
    assert!(allowed(&ada, bounded(none()), Some(&named)));
    assert!(allowed(&session, none(), Some(&role)));
    assert!(!allowed(&session, in_session(none()), Some(&role)));
    assert!(!allowed(&session, bounded(none()), Some(&role)));
    assert!(allowed(&session, in_session(none()), Some(&this_session)));
    // The root of the account, unless somebody denies.
    assert!(allowed(&root, none(), None));
    let against = Policies::new().identity(policy(deny("*", "*")));
    assert!(!allowed(&root, against, None));
    // Across accounts: both sides.
    let theirs = by(json!({ "AWS": "arn:aws:iam::111111111111:root" }));
    assert!(!allowed(&stranger, all(), None));
    assert!(!allowed(&stranger, none(), Some(&theirs)));
    assert!(allowed(&stranger, all(), Some(&theirs)));
    assert!(!allowed(&stranger, bounded(all()), Some(&theirs)));
    // Services and strangers have nothing but the function's policy.
    let for_s3 = by(json!({ "Service": "s3.amazonaws.com" }));
    assert!(allowed(&s3, none(), Some(&for_s3)));
    assert!(!allowed(&s3, none(), Some(&named)));
    assert!(!allowed(
        &Caller::service("sns.amazonaws.com"),
        all(),
        Some(&for_s3)
    ));
    assert!(!allowed(&Caller::anonymous(), all(), Some(&named)));
    assert!(allowed(&Caller::anonymous(), none(), Some(&anybody)));
    // A function's deny holds for everybody but those it spares.
    let but_ada = on_function(json!({
        "Effect": "Deny", "NotPrincipal": { "AWS": ADA }, "Action": "*", "Resource": "*",
    }));
    assert!(allowed(&ada, all(), Some(&but_ada)));
    assert!(!allowed(&session, all(), Some(&but_ada)));
}

/// IAM-08: in the form that AWS's documentation asks for, the account stands beside whom is excepted. It excepts its root, and
/// nobody else.
#[test]
fn a_deny_for_all_but_some_excepts_nobody_by_account() {
    let arn = |kind: &str| Caller::principal(format!("arn:aws:iam::444455556666:{kind}"));
    let sts = |kind: &str| Caller::principal(format!("arn:aws:sts::444455556666:{kind}"));
    let (bob, eve, root) = (arn("user/Bob"), arn("user/Eve"), arn("root"));
    let audit = sts("assumed-role/audit/app");
    let other_audit = sts("assumed-role/audit/other");
    let other_role = sts("assumed-role/other/app");
    let federated = sts("federated-user/Fay");
    let foreign = Caller::principal("arn:aws:iam::777788889999:user/Bob");
    let (s3, sns) = (
        Caller::service("s3.amazonaws.com"),
        Caller::service("sns.amazonaws.com"),
    );
    let everybody = [
        &bob,
        &eve,
        &root,
        &audit,
        &other_audit,
        &other_role,
        &federated,
        &foreign,
        &s3,
        &sns,
    ];
    let account = "arn:aws:iam::444455556666:root";
    let session = "arn:aws:sts::444455556666:assumed-role/audit/app";
    let role = "arn:aws:iam::444455556666:role/path/audit";
    for (but, excepted) in [
        (json!({ "AWS": [bob.name(), account] }), vec![&bob, &root]),
        (
            json!({ "AWS": [bob.name(), "444455556666"] }),
            vec![&bob, &root],
        ),
        (json!({ "AWS": bob.name() }), vec![&bob]),
        (json!({ "AWS": account }), vec![&root]),
        (json!({ "AWS": [session, account] }), vec![&audit, &root]),
        (
            json!({ "AWS": [session, role, account] }),
            vec![&audit, &other_audit, &root],
        ),
        (
            json!({ "AWS": [federated.name(), account] }),
            vec![&federated, &root],
        ),
        (
            json!({ "Service": "s3.amazonaws.com", "AWS": account }),
            vec![&s3, &root],
        ),
        (json!({ "AWS": "777788889999" }), vec![]),
    ] {
        let function = on_function(json!([
            { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" },
            { "Effect": "Deny", "NotPrincipal": but, "Action": "lambda:*", "Resource": "*" },
        ]));
        for caller in everybody {
            let all = Policies::new().identity(policy(allow("*", "*")));
            let decision = decide(caller, FUNCTION, &all, Some(&function));
            let expected = excepted.contains(&caller);
            let who = caller.name();
            assert_eq!(
                decision == Decision::Allowed,
                expected,
                "{who}, all but {but}"
            );
        }
    }
}

/// A token that the caller must know is a secret, and logs are read by others.
#[test]
fn no_debug_shows_a_token() {
    let permission = Permission {
        event_source_token: Some("hush-hush".to_owned()),
        ..Permission::default()
    };
    assert!(!format!("{permission:?}").contains("hush"));
    let context = ConditionValues::new().with("lambda:EventSourceToken", "hush-hush");
    let shown = format!("{context:?}");
    assert!(
        !shown.contains("hush") && shown.contains("eventsourcetoken"),
        "{shown}"
    );
}

/// IAM-06
#[test]
fn a_qualified_grant_is_for_that_qualifier_alone() {
    let eve = Caller::principal("arn:aws:iam::000000000000:user/eve");
    let live = format!("{FUNCTION}:live");
    let qualified = on_function(grant(json!({ "AWS": eve.name() }), &live));
    let plain = on_function(grant(json!({ "AWS": eve.name() }), FUNCTION));
    let may = |resource: &str, function| {
        decide(&eve, resource, &Policies::new(), Some(function)) == Decision::Allowed
    };
    assert!(may(&live, &qualified) && !may(FUNCTION, &qualified));
    assert!(may(FUNCTION, &plain) && !may(&live, &plain));
}

/// IAM-09
#[test]
fn a_denial_has_awss_words() {
    let caller = Caller::principal(ADA);
    let context = ConditionValues::new();
    let request = Request {
        caller: &caller,
        action: "lambda:InvokeFunction",
        resource: FUNCTION,
        context: &context,
    };
    let message = |policies: Policies| match request.decide(&policies, None) {
        Decision::Denied(denial) => denial.message(&request),
        Decision::Allowed => panic!("allowed"),
    };
    assert_eq!(
        message(Policies::new()),
        format!(
            "User: {ADA} is not authorized to perform: lambda:InvokeFunction on resource: {FUNCTION} because no identity-based policy allows the lambda:InvokeFunction action"
        )
    );
    let explicit = message(Policies::new().identity(policy(deny("*", "*"))));
    assert!(
        explicit.ends_with(" with an explicit deny in an identity-based policy"),
        "{explicit}"
    );
    let bounded = Policies::new().identity(policy(allow("*", "*")));
    let bounded = message(bounded.boundary(policy(allow("s3:*", "*"))));
    assert!(
        bounded
            .ends_with("because no permissions boundary allows the lambda:InvokeFunction action")
    );
}

fn conditioned(operator: &str, key: &str, value: Value) -> Value {
    let mut statement = allow("*", "*");
    statement["Condition"] = json!({ operator: { key: value } });
    statement
}

/// The operators, each with a value that meets it and one that doesn't; and what a key does that isn't there.
#[test]
fn conditions_compare_as_aws_does() {
    let with = |key: &str, value: &str| ConditionValues::new().with(key, value);
    let source = "arn:aws:s3:::bucket";
    for (operator, key, value, meets, fails, absent) in [
        ("StringEquals", "aws:userid", json!("a*"), "a*", "ab", false),
        (
            "StringNotEquals",
            "aws:userid",
            json!(["a", "b"]),
            "c",
            "b",
            true,
        ),
        (
            "StringEqualsIgnoreCase",
            "aws:userid",
            json!("Ä"),
            "ä",
            "a",
            false,
        ),
        (
            "StringNotEqualsIgnoreCase",
            "aws:userid",
            json!("A"),
            "b",
            "a",
            true,
        ),
        (
            "StringLike",
            "aws:userid",
            json!("a?c*"),
            "abcd",
            "ac",
            false,
        ),
        ("StringNotLike", "aws:userid", json!("a*"), "b", "ab", true),
        (
            "ArnLike",
            "AWS:SourceArn",
            json!("arn:aws:s3:::*"),
            source,
            "arn:aws:sns:::x",
            false,
        ),
        (
            "ArnEquals",
            "AWS:SourceArn",
            json!("arn:aws:s3:*:*:b*"),
            source,
            "arn:aws:s3:x",
            false,
        ),
        (
            "ArnNotLike",
            "aws:SourceArn",
            json!("arn:aws:sns:*:*:*"),
            source,
            "arn:aws:sns:a:b:c",
            true,
        ),
        (
            "StringEquals",
            "AWS:SourceAccount",
            json!("000000000000"),
            "000000000000",
            "1",
            false,
        ),
        (
            "Bool",
            "aws:SecureTransport",
            json!("true"),
            "true",
            "false",
            false,
        ),
        (
            "Bool",
            "aws:SecureTransport",
            json!(false),
            "false",
            "true",
            false,
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            json!("10.0.0.0/8"),
            "10.9.8.7",
            "11.0.0.1",
            false,
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            json!("2001:db8::/32"),
            "2001:db8::1",
            "2001:db9::1",
            false,
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            json!("10.0.0.1"),
            "::ffff:10.0.0.1",
            "10.0.0.2",
            false,
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            json!("0.0.0.0/0"),
            "1.2.3.4",
            "::1",
            false,
        ),
        (
            "NotIpAddress",
            "aws:SourceIp",
            json!(["10.0.0.0/8", "11.0.0.0/8"]),
            "12.0.0.1",
            "11.0.0.1",
            true,
        ),
        (
            "NumericLessThan",
            "aws:EpochTime",
            json!("7"),
            "6.5",
            "7",
            false,
        ),
        (
            "NumericGreaterThanEquals",
            "aws:EpochTime",
            json!(7),
            "7",
            "6",
            false,
        ),
        (
            "NumericNotEquals",
            "aws:EpochTime",
            json!(7),
            "8",
            "7.0",
            true,
        ),
        (
            "DateLessThan",
            "aws:CurrentTime",
            json!("2026-06-01T00:00:00Z"),
            "2026-05-31T23:59:59Z",
            "2026-06-01T00:00:00Z",
            false,
        ),
        (
            "DateGreaterThan",
            "aws:CurrentTime",
            json!("2026-06-01"),
            "2026-06-01T00:00:01Z",
            "2026-06-01T00:00:00Z",
            false,
        ),
        (
            "DateEquals",
            "aws:EpochTime",
            json!(0),
            "1970-01-01T00:00:00Z",
            "1",
            false,
        ),
        (
            "StringEqualsIfExists",
            "aws:userid",
            json!("a"),
            "a",
            "b",
            true,
        ),
        (
            "ForAllValues:StringLike",
            "aws:userid",
            json!("a*"),
            "ab",
            "b",
            true,
        ),
        (
            "ForAnyValue:StringNotEquals",
            "aws:userid",
            json!("a"),
            "b",
            "a",
            false,
        ),
        (
            "StringEquals",
            "aws:username",
            json!("${aws:userid}"),
            "",
            "x",
            false,
        ),
    ] {
        let statement = conditioned(operator, key, value.clone());
        let name = format!("{operator} {key} {value}");
        if !meets.is_empty() {
            assert!(may(statement.clone(), with(key, meets)), "{name}: {meets}");
        }
        assert!(!may(statement.clone(), with(key, fails)), "{name}: {fails}");
        assert_eq!(
            may(statement, ConditionValues::new()),
            absent,
            "{name}: absent"
        );
    }
    let null = |value| conditioned("Null", "aws:userid", json!(value));
    assert!(
        may(null("true"), ConditionValues::new()) && !may(null("true"), with("aws:userid", "a"))
    );
    assert!(
        !may(null("false"), ConditionValues::new()) && may(null("false"), with("aws:userid", "a"))
    );
    let own = conditioned("StringEquals", "aws:username", json!("${aws:userid}"));
    let same = ConditionValues::new()
        .with("aws:username", "a")
        .with("AWS:UserId", "a");
    assert!(may(own, same));
}

/// All operators, all keys: and. Values: or.
#[test]
fn conditions_are_joined_as_aws_does() {
    let mut statement = allow("*", "*");
    statement["Condition"] = json!({
        "StringEquals": { "aws:userid": ["a", "b"], "aws:username": "u" },
        "Bool": { "aws:SecureTransport": true },
    });
    let context = |id: &str, name: &str, secure: &str| {
        let context = ConditionValues::new()
            .with("aws:userid", id)
            .with("aws:username", name);
        context.with("aws:SecureTransport", secure)
    };
    assert!(may(statement.clone(), context("b", "u", "true")));
    for (id, name, secure) in [("c", "u", "true"), ("a", "v", "true"), ("a", "u", "false")] {
        assert!(!may(statement.clone(), context(id, name, secure)));
    }
}

/// In a denying statement, a condition that can't be evaluated must not count as one that isn't met.
#[test]
fn an_error_denies() {
    let mut against = deny("*", "*");
    against["Condition"] = json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/8" } });
    let both = json!([allow("*", "*"), against]);
    assert!(may(
        both.clone(),
        ConditionValues::new().with("aws:SourceIp", "11.0.0.1")
    ));
    assert!(!may(
        both.clone(),
        ConditionValues::new().with("aws:SourceIp", "10.0.0.1")
    ));
    assert!(!may(
        both,
        ConditionValues::new().with("aws:SourceIp", "nonsense")
    ));
}

/// What isn't known is refused when the policy is loaded, with its place.
#[test]
fn half_of_a_policy_is_no_policy() {
    let refused = |text: &str| text.parse::<Policy>().unwrap_err().to_string();
    let statement = |change: fn(&mut Value)| {
        let mut statement = allow("lambda:InvokeFunction", FUNCTION);
        change(&mut statement);
        document(statement)
    };
    for (text, says) in [
        (
            statement(|it| it["Conditions"] = json!({})),
            "Statement[0]: `Conditions` is unknown",
        ),
        (
            statement(|it| it["Efect"] = json!("Deny")),
            "`Efect` is unknown",
        ),
        (
            statement(|it| it["Effect"] = json!("allow")),
            "Statement[0].Effect: is `allow`",
        ),
        (
            statement(|it| drop(it.as_object_mut().unwrap().remove("Effect"))),
            "has no Effect",
        ),
        (
            statement(|it| it["Action"] = json!([])),
            "Statement[0].Action: is empty",
        ),
        (statement(|it| it["Action"] = json!(7)), "must be a string"),
        (
            statement(|it| it["Action"] = json!("InvokeFunction")),
            "is no action",
        ),
        (
            statement(|it| it["Action"] = json!("lambda:${aws:username}")),
            "is no action",
        ),
        (
            statement(|it| it["NotAction"] = json!("*")),
            "has both Action and NotAction",
        ),
        (statement(|it| it["Resource"] = json!("f")), "is no ARN"),
        (
            statement(|it| it["Resource"] = json!("arn:${aws:nonsense}")),
            "variable `${aws:nonsense}` is unknown",
        ),
        (
            statement(|it| it["Principal"] = json!("*")),
            "belongs into a policy of a function",
        ),
        (
            statement(|it| it["Condition"] = json!({"StringEqual": {"aws:userid": "a"}})),
            "operator `StringEqual` is unknown",
        ),
        (
            statement(|it| it["Condition"] = json!({"NullIfExists": {"aws:userid": "true"}})),
            "is unknown",
        ),
        (
            statement(|it| it["Condition"] = json!({"StringEquals": {"aws:user": "a"}})),
            "key `aws:user` is unknown",
        ),
        (
            statement(|it| it["Condition"] = json!({"StringEquals": {"aws:userid": []}})),
            "is empty",
        ),
        (
            statement(|it| it["Condition"] = json!({"StringEquals": {}})),
            "names no key",
        ),
        (
            statement(|it| it["Condition"] = json!({"StringEquals": {"aws:userid": true}})),
            "no value of this operator",
        ),
        (
            statement(|it| it["Condition"] = json!({"Bool": {"aws:SecureTransport": "yes"}})),
            "true or false",
        ),
        (
            statement(|it| it["Condition"] = json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}})),
            "is no IP address",
        ),
        (
            statement(|it| it["Condition"] = json!({"DateLessThan": {"aws:CurrentTime": "soon"}})),
            "is no date",
        ),
        (
            statement(|it| it["Condition"] = json!({"ArnLike": {"aws:SourceArn": "s3"}})),
            "is no ARN of six parts",
        ),
        (
            r#"{"Version":"2008-10-17","Statement":[]}"#.to_owned(),
            "Version: must be",
        ),
        (r#"{"Version":"2012-10-17"}"#.to_owned(), "has no Statement"),
        (
            r#"{"Version":"2012-10-17","Statement":[],"Statements":[]}"#.to_owned(),
            "`Statements` is unknown",
        ),
        (
            r#"{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}"#.to_owned(),
            "`Version` stands twice",
        ),
        ("[".repeat(50_000), "recursion limit"),
        ("[]".to_owned(), "must be an object"),
        (
            format!("{{\"Version\":\"{}\"}}", "x".repeat(70_000)),
            "has 70014 bytes, and 65536 are allowed",
        ),
    ] {
        let error = refused(&text);
        assert!(error.contains(says), "{error}");
    }
    let twice = json!([{"Sid": "a", "Effect": "Allow", "Action": "*", "Resource": "*"}, {"Sid": "a", "Effect": "Deny", "Action": "*", "Resource": "*"}]);
    assert!(refused(&document(twice)).contains("another statement has the Sid a"));
    let on_function = |statement: Value| {
        document(statement)
            .parse::<ResourcePolicy>()
            .unwrap_err()
            .to_string()
    };
    assert!(on_function(allow("*", "*")).contains("has no Principal"));
    let mut but = grant(json!({ "AWS": ADA }), "*");
    but["NotPrincipal"] = but["Principal"].take();
    but.as_object_mut().unwrap().remove("Principal");
    assert!(on_function(but).contains("would allow everybody else"));
    for principal in [
        json!({}),
        json!("ada"),
        json!({"AWS": "ada"}),
        json!({"AWS": []}),
        json!({"Service": "s3"}),
        json!({"Federated": "x"}),
        json!({"AWS": "arn:aws:iam::000000000000:user/*"}),
    ] {
        document(grant(principal, "*"))
            .parse::<ResourcePolicy>()
            .unwrap_err();
    }
}

/// CFG-31, CFG-33 to CFG-35, CFG-37
#[test]
fn permissions_become_statements_and_go_again() {
    let permission = Permission {
        statement_id: "s3".to_owned(),
        action: "lambda:InvokeFunction".to_owned(),
        principal: "s3.amazonaws.com".to_owned(),
        source_arn: Some("arn:aws:s3:::bucket".to_owned()),
        source_account: Some("000000000000".to_owned()),
        ..Permission::default()
    };
    let statement = permission.statement(FUNCTION).unwrap();
    assert_eq!(
        statement,
        json!({
            "Sid": "s3", "Effect": "Allow",
            "Principal": { "Service": "s3.amazonaws.com" },
            "Action": "lambda:InvokeFunction", "Resource": FUNCTION,
            "Condition": {
                "StringEquals": { "AWS:SourceAccount": "000000000000" },
                "ArnLike": { "AWS:SourceArn": "arn:aws:s3:::bucket" },
            },
        })
    );
    let mut policy = ResourcePolicy::default();
    policy.add(statement.clone()).unwrap();
    assert_eq!(
        policy.add(statement),
        Err(PolicyError::DuplicateSid("s3".to_owned()))
    );
    let again: ResourcePolicy = policy.to_json().parse().unwrap();
    assert_eq!(again.to_json(), policy.to_json());
    let context = ConditionValues::new()
        .with("aws:SourceArn", "arn:aws:s3:::bucket")
        .with("aws:SourceAccount", "000000000000");
    let decide = |context: &ConditionValues| {
        let request = Request {
            caller: &Caller::service("s3.amazonaws.com"),
            action: "lambda:InvokeFunction",
            resource: FUNCTION,
            context,
        };
        request.decide(&Policies::new(), Some(&again))
    };
    assert_eq!(decide(&context), Decision::Allowed);
    assert_ne!(
        decide(&context.clone().with("aws:SourceArn", "arn:aws:s3:::other")),
        Decision::Allowed
    );
    assert_ne!(decide(&ConditionValues::new()), Decision::Allowed);
    assert_eq!(
        policy.remove("sns"),
        Err(PolicyError::UnknownSid("sns".to_owned()))
    );
    policy.remove("s3").unwrap();
    assert!(policy.is_empty());
    let mut long = permission.clone();
    for number in 0.. {
        long.statement_id = format!("s{number}");
        if let Err(error) = policy.add(long.statement(FUNCTION).unwrap()) {
            assert!(matches!(error, PolicyError::TooLarge { limit: 20_480, .. }));
            break;
        }
    }
    let changes: [fn(&mut Permission); 9] = [
        |it| it.statement_id = "a b".to_owned(),
        |it| it.statement_id = String::new(),
        |it| it.action = "s3:GetObject".to_owned(),
        |it| it.principal = "nobody".to_owned(),
        |it| it.principal = "invalid.nonaws.com".to_owned(),
        |it| it.principal = "amazonaws.com".to_owned(),
        |it| it.function_url_auth_type = Some("NONE".to_owned()),
        |it| it.source_account = Some("1".to_owned()),
        |it| it.function_url_auth_type = Some("SOME".to_owned()),
    ];
    for change in changes {
        let mut faulty = permission.clone();
        change(&mut faulty);
        faulty.statement(FUNCTION).unwrap_err();
    }
    for service in [
        "s3.amazonaws.com",
        "delivery.logs.amazonaws.com",
        "elasticmapreduce.eu-west-1.amazonaws.com",
        "ec2.amazonaws.com.cn",
        "alexa-appkit.amazon.com",
        "lambda.amazonaws.eu",
    ] {
        let mut allowed = permission.clone();
        allowed.principal = service.to_owned();
        assert_eq!(
            allowed.statement(FUNCTION).unwrap()["Principal"],
            json!({ "Service": service })
        );
    }
    // A policy that was written before is read all the same.
    on_function(json!({
        "Effect": "Allow", "Principal": { "Service": "invalid.nonaws.com" },
        "Action": "lambda:InvokeFunction", "Resource": FUNCTION,
    }));
}

fn statements() -> impl Strategy<Value = Vec<Value>> {
    let action = prop::sample::select(vec![
        "*",
        "lambda:*",
        "lambda:InvokeFunction",
        "lambda:Get*",
    ]);
    let resource = prop::sample::select(vec!["*", FUNCTION, "arn:aws:lambda:*:*:function:g"]);
    let effect = prop::sample::select(vec!["Allow", "Allow", "Deny"]);
    let condition = prop::sample::select(vec![
        Value::Null,
        json!({ "StringEquals": { "aws:userid": ["a", "b"] } }),
        json!({ "StringNotLike": { "aws:userid": "a*" } }),
        json!({ "Null": { "aws:userid": "true" } }),
        json!({ "IpAddress": { "aws:SourceIp": ["10.0.0.0/8", "11.0.0.0/8"] } }),
    ]);
    let statement =
        (effect, action, resource, condition).prop_map(|(effect, action, resource, condition)| {
            let mut statement = json!({ "Effect": effect, "Action": action, "Resource": resource });
            if !condition.is_null() {
                statement["Condition"] = condition;
            }
            statement
        });
    prop::collection::vec(statement, 0..6)
}

fn contexts() -> impl Strategy<Value = ConditionValues> {
    let id = prop::option::of(prop::sample::select(vec!["a", "b", "c"]));
    let ip = prop::option::of(prop::sample::select(vec![
        "10.0.0.1", "12.0.0.1", "nonsense",
    ]));
    (id, ip).prop_map(|(id, ip)| {
        let context = id.map_or(ConditionValues::new(), |id| {
            ConditionValues::new().with("aws:userid", id)
        });
        ip.map_or(context.clone(), |ip| context.with("aws:SourceIp", ip))
    })
}

proptest! {
    /// The order of statements, and in which documents they stand, says nothing.
    #[test]
    fn order_never_matters(
        mut all in statements(),
        context in contexts(),
        split in 0_usize..6,
        seed in any::<u64>(),
    ) {
        let decide = |documents: &[&[Value]]| {
            let policies = documents.iter().fold(Policies::new(), |policies, statements| {
                policies.identity(policy(json!(statements)))
            });
            let request = Request {
                caller: &Caller::principal(ADA),
                action: "lambda:InvokeFunction",
                resource: FUNCTION,
                context: &context,
            };
            request.decide(&policies, None)
        };
        let before = decide(&[&all]);
        let (one, other) = all.split_at(split.min(all.len()));
        prop_assert_eq!(&decide(&[other, one]), &before);
        use rand::SeedableRng;
        use rand::seq::SliceRandom;
        all.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        prop_assert_eq!(&decide(&[&all]), &before);
        // One more deny makes nothing allowed, and one that applies makes nothing stay so.
        all.push(deny("lambda:Invoke*", FUNCTION));
        prop_assert_ne!(decide(&[&all]), Decision::Allowed);
    }

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = text.parse::<Policy>();
        let _ = text.parse::<ResourcePolicy>();
    }

    #[test]
    fn no_document_panics(
        version in prop::sample::select(vec!["2012-10-17", "2008-10-17"]),
        operator in "(ForAnyValue:)?[A-Za-z]{0,20}",
        key in "aws:[a-zA-Z]{0,12}",
        value in ".{0,30}",
        resource in "arn:.{0,30}",
    ) {
        let document = json!({
            "Version": version,
            "Statement": {
                "Effect": "Allow", "Action": "*", "Resource": resource,
                "Condition": { operator: { key: value } },
            },
        });
        let _ = document.to_string().parse::<Policy>();
    }
}
