//! Decisions by identity policies, function policies, boundaries and session policies.

use serde_json::json;

use super::*;

/// IAM-01, IAM-08
#[test]
fn a_request_is_allowed_if_a_policy_allows_it_and_none_denies_it() {
    let other_case = "arn:aws:lambda:us-east-1:000000000000:function:F";
    let invoke = "lambda:InvokeFunction";
    let but = |members: Value| {
        let mut statement = json!({ "Effect": "Allow" });
        for (name, value) in members.as_object().unwrap() {
            statement[name] = value.clone();
        }
        statement
    };
    let not_get = but(json!({ "NotAction": "lambda:Get*", "Resource": "*" }));
    let not_invoke = but(json!({ "NotAction": ["lambda:Invoke*", "s3:*"], "Resource": "*" }));
    let not_here = but(json!({ "Action": "*", "NotResource": FUNCTION }));
    for (statements, expected) in [
        (json!([]), false),
        (json!([allow(invoke, FUNCTION)]), true),
        (allow("lambda:invokefunction", FUNCTION), true),
        (allow("lambda:Invoke*", "*"), true),
        (allow("*", "arn:aws:lambda:*:*:function:?"), true),
        (allow(invoke, &format!("{FUNCTION}:live")), false),
        (allow(invoke, other_case), false),
        (allow("lambda:InvokeAsync", "*"), false),
        (json!([allow("*", "*"), deny(invoke, FUNCTION)]), false),
        (json!([deny(invoke, FUNCTION), allow("*", "*")]), false),
        (json!([allow("*", "*"), deny("lambda:Get*", "*")]), true),
        (not_get, true),
        (not_invoke, false),
        (not_here, false),
    ] {
        let decision = is_allowed(statements.clone(), ConditionValues::new());
        assert_eq!(decision, expected, "{statements}");
    }
}

/// The callers and policies of the tests below.
struct Cast {
    ada: Caller,
    eve: Caller,
    session: Caller,
    root: Caller,
}

fn cast() -> Cast {
    Cast {
        ada: Caller::principal(ADA),
        eve: Caller::principal("arn:aws:iam::111111111111:user/eve"),
        session: Caller::principal("arn:aws:sts::000000000000:assumed-role/r/s"),
        root: Caller::principal("arn:aws:iam::000000000000:root"),
    }
}

fn none() -> Policies {
    Policies::new()
}

fn all() -> Policies {
    none().identity(policy(allow("*", "*")))
}

fn bounded(policies: Policies) -> Policies {
    policies.boundary(policy(allow("s3:*", "*")))
}

fn in_session(policies: Policies) -> Policies {
    policies.session(policy(allow("s3:*", "*")))
}

fn granted_to(principal: Value) -> ResourcePolicy {
    on_function(grant(principal, FUNCTION))
}

fn allowed(caller: &Caller, policies: Policies, function: Option<&ResourcePolicy>) -> bool {
    decide(caller, FUNCTION, &policies, function) == Decision::Allowed
}

/// IAM-03: a grant to the whole account only delegates to its policies.
#[test]
fn within_an_account_one_side_is_enough() {
    let Cast { ada, session, .. } = cast();
    let named = granted_to(json!({ "AWS": ADA }));
    let account = granted_to(json!({ "AWS": "000000000000" }));
    let everyone = granted_to(json!("*"));
    assert!(allowed(&ada, all(), None));
    assert!(allowed(&ada, none(), Some(&named)));
    assert!(!allowed(&ada, none(), Some(&account)));
    assert!(allowed(&ada, none(), Some(&everyone)));
    assert!(!allowed(&session, none(), Some(&named)));
}

/// IAM-04
#[test]
fn boundary_and_session_limit_every_grant_but_one_by_name() {
    let Cast { ada, session, .. } = cast();
    let named = granted_to(json!({ "AWS": ADA }));
    let role = granted_to(json!({ "AWS": "arn:aws:iam::000000000000:role/path/r" }));
    let this_session = granted_to(json!({ "AWS": session.name() }));
    assert!(!allowed(&ada, bounded(all()), None));
    assert!(!allowed(&session, in_session(all()), None));
    assert!(allowed(&ada, bounded(none()), Some(&named)));
    assert!(allowed(&session, none(), Some(&role)));
    assert!(!allowed(&session, in_session(none()), Some(&role)));
    assert!(!allowed(&session, bounded(none()), Some(&role)));
    assert!(allowed(&session, in_session(none()), Some(&this_session)));
}

#[test]
fn the_root_of_an_account_may_do_everything_that_is_not_denied() {
    let root = cast().root;
    assert!(allowed(&root, none(), None));
    let denied = none().identity(policy(deny("*", "*")));
    assert!(!allowed(&root, denied, None));
}

/// IAM-03
#[test]
fn across_accounts_both_sides_must_allow() {
    let eve = cast().eve;
    let granted = granted_to(json!({ "AWS": "arn:aws:iam::111111111111:root" }));
    assert!(!allowed(&eve, all(), None));
    assert!(!allowed(&eve, none(), Some(&granted)));
    assert!(allowed(&eve, all(), Some(&granted)));
    assert!(!allowed(&eve, bounded(all()), Some(&granted)));
}

/// IAM-05
#[test]
fn services_and_anonymous_callers_have_only_the_functions_policy() {
    let (s3, sns) = (
        Caller::service("s3.amazonaws.com"),
        Caller::service("sns.amazonaws.com"),
    );
    let named = granted_to(json!({ "AWS": ADA }));
    let for_s3 = granted_to(json!({ "Service": "s3.amazonaws.com" }));
    let everyone = granted_to(json!("*"));
    assert!(allowed(&s3, none(), Some(&for_s3)));
    assert!(!allowed(&s3, none(), Some(&named)));
    assert!(!allowed(&sns, all(), Some(&for_s3)));
    assert!(!allowed(&Caller::anonymous(), all(), Some(&named)));
    assert!(allowed(&Caller::anonymous(), none(), Some(&everyone)));
}

#[test]
fn a_deny_with_not_principal_spares_the_principals_it_names() {
    let Cast { ada, session, .. } = cast();
    let all_but_ada = on_function(json!({
        "Effect": "Deny", "NotPrincipal": { "AWS": ADA }, "Action": "*", "Resource": "*",
    }));
    assert!(allowed(&ada, all(), Some(&all_but_ada)));
    assert!(!allowed(&session, all(), Some(&all_but_ada)));
}

/// IAM-06
#[test]
fn a_qualified_grant_is_for_that_qualifier_alone() {
    let eve = Caller::principal("arn:aws:iam::000000000000:user/eve");
    let live = format!("{FUNCTION}:live");
    let qualified = on_function(grant(json!({ "AWS": eve.name() }), &live));
    let plain = on_function(grant(json!({ "AWS": eve.name() }), FUNCTION));
    let is_allowed = |resource: &str, function| {
        decide(&eve, resource, &Policies::new(), Some(function)) == Decision::Allowed
    };
    assert!(is_allowed(&live, &qualified) && !is_allowed(FUNCTION, &qualified));
    assert!(is_allowed(FUNCTION, &plain) && !is_allowed(&live, &plain));
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

/// In a denying statement, "not met" would allow.
#[test]
fn a_condition_that_can_not_be_evaluated_denies() {
    let mut against = deny("*", "*");
    against["Condition"] = json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/8" } });
    let both = json!([allow("*", "*"), against]);
    assert!(is_allowed(
        both.clone(),
        ConditionValues::new().with("aws:SourceIp", "11.0.0.1")
    ));
    assert!(!is_allowed(
        both.clone(),
        ConditionValues::new().with("aws:SourceIp", "10.0.0.1")
    ));
    assert!(!is_allowed(
        both,
        ConditionValues::new().with("aws:SourceIp", "nonsense")
    ));
}
