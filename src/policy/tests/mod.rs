//! AWS's evaluation: tables of what its documentation states, and properties that hold for every policy.

mod conditions;
mod decisions;
mod faults;
mod not_principal;
mod permissions;
mod properties;

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

/// Returns whether Ada may invoke the function by her own policies.
fn is_allowed(statements: Value, context: ConditionValues) -> bool {
    let request = Request {
        caller: &Caller::principal(ADA),
        action: "lambda:InvokeFunction",
        resource: FUNCTION,
        context: &context,
    };
    request.decide(&Policies::new().identity(policy(statements)), None) == Decision::Allowed
}
