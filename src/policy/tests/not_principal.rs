//! Denies with `NotPrincipal`.

use serde_json::json;

use super::*;

fn iam(resource: &str) -> Caller {
    Caller::principal(format!("arn:aws:iam::444455556666:{resource}"))
}

fn sts(resource: &str) -> Caller {
    Caller::principal(format!("arn:aws:sts::444455556666:{resource}"))
}

/// Every kind of caller, in and outside of the account.
fn callers() -> Vec<Caller> {
    vec![
        iam("user/Bob"),
        iam("user/Eve"),
        iam("root"),
        sts("assumed-role/audit/app"),
        sts("assumed-role/audit/other"),
        sts("assumed-role/other/app"),
        sts("federated-user/Fay"),
        Caller::principal("arn:aws:iam::777788889999:user/Bob"),
        Caller::service("s3.amazonaws.com"),
        Caller::service("sns.amazonaws.com"),
    ]
}

/// Checks that a deny for all but `but` exempts these callers and denies the others.
fn check(but: Value, exempt: &[&str]) {
    let function = on_function(json!([
        { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" },
        { "Effect": "Deny", "NotPrincipal": but, "Action": "lambda:*", "Resource": "*" },
    ]));
    let all = Policies::new().identity(policy(allow("*", "*")));
    for caller in callers() {
        let name = caller.name();
        let decision = decide(&caller, FUNCTION, &all, Some(&function));
        let is_exempt = exempt.contains(&name);
        assert_eq!(
            decision == Decision::Allowed,
            is_exempt,
            "{name}, all but {but}"
        );
    }
}

/// IAM-08: AWS's documentation asks for the account beside each exempt principal. The account exempts its root only.
#[test]
fn a_deny_with_not_principal_exempts_no_one_by_account() {
    let bob = "arn:aws:iam::444455556666:user/Bob";
    let root = "arn:aws:iam::444455556666:root";
    let session = "arn:aws:sts::444455556666:assumed-role/audit/app";
    let other_session = "arn:aws:sts::444455556666:assumed-role/audit/other";
    let role = "arn:aws:iam::444455556666:role/path/audit";
    let federated = "arn:aws:sts::444455556666:federated-user/Fay";
    let s3 = "s3.amazonaws.com";
    check(json!({ "AWS": [bob, root] }), &[bob, root]);
    check(json!({ "AWS": [bob, "444455556666"] }), &[bob, root]);
    check(json!({ "AWS": bob }), &[bob]);
    check(json!({ "AWS": root }), &[root]);
    check(json!({ "AWS": [session, root] }), &[session, root]);
    let by_role = json!({ "AWS": [session, role, root] });
    check(by_role, &[session, other_session, root]);
    check(json!({ "AWS": [federated, root] }), &[federated, root]);
    check(json!({ "Service": s3, "AWS": root }), &[s3, root]);
    check(json!({ "AWS": "777788889999" }), &[]);
}
