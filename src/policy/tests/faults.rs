//! Policies that are refused when they are loaded, each with the place and the reason.

use serde_json::json;

use super::*;

/// Members that replace those of a good statement (`null` removes one), and a part of the error.
const STATEMENTS: &str = r#"
{"Conditions": {}}                                         | Statement[0]: `Conditions` is unknown
{"Efect": "Deny"}                                          | `Efect` is unknown
{"Effect": "allow"}                                        | Statement[0].Effect: is `allow`
{"Effect": null}                                           | has no Effect
{"Action": []}                                             | Statement[0].Action: is empty
{"Action": 7}                                              | must be a string
{"Action": "InvokeFunction"}                               | is not an action
{"Action": "lambda:${aws:username}"}                       | is not an action
{"NotAction": "*"}                                         | has both Action and NotAction
{"Resource": "f"}                                          | is not an ARN
{"Resource": "arn:${aws:nonsense}"}                        | variable `${aws:nonsense}` is unknown
{"Principal": "*"}                                         | belongs into a policy of a function
{"Condition": {"StringEqual": {"aws:userid": "a"}}}        | operator `StringEqual` is unknown
{"Condition": {"NullIfExists": {"aws:userid": "true"}}}    | is unknown
{"Condition": {"StringEquals": {"aws:user": "a"}}}         | key `aws:user` is unknown
{"Condition": {"StringEquals": {"aws:userid": []}}}        | is empty
{"Condition": {"StringEquals": {}}}                        | names no key
{"Condition": {"StringEquals": {"aws:userid": true}}}      | is not a value of this operator
{"Condition": {"Bool": {"aws:SecureTransport": "yes"}}}    | true or false
{"Condition": {"IpAddress": {"aws:SourceIp": "1.2.3.4/33"}}} | is not an IP address
{"Condition": {"DateLessThan": {"aws:CurrentTime": "soon"}}} | is not a date
{"Condition": {"ArnLike": {"aws:SourceArn": "s3"}}}        | is not an ARN of six parts
"#;

/// Whole documents, and a part of the error.
const DOCUMENTS: &str = r#"
{"Version":"2008-10-17","Statement":[]}                        | Version: must be
{"Version":"2012-10-17"}                                       | has no Statement
{"Version":"2012-10-17","Statement":[],"Statements":[]}        | `Statements` is unknown
{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]} | `Version` is there twice
[]                                                             | must be an object
"#;

fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let rows = table.trim().lines().map(|row| row.rsplit_once('|'));
    rows.map(|row| {
        row.map(|(text, error)| (text.trim(), error.trim()))
            .unwrap()
    })
}

fn refusal(text: &str) -> String {
    text.parse::<Policy>().unwrap_err().to_string()
}

fn refusal_on_function(statement: Value) -> String {
    let refused = document(statement).parse::<ResourcePolicy>();
    refused.unwrap_err().to_string()
}

#[test]
fn a_faulty_statement_is_refused_with_its_place() {
    for (members, expected) in rows(STATEMENTS) {
        let mut statement = allow("lambda:InvokeFunction", FUNCTION);
        let members: Value = serde_json::from_str(members).unwrap();
        for (name, value) in members.as_object().unwrap() {
            statement[name] = value.clone();
            if value.is_null() {
                statement.as_object_mut().unwrap().remove(name);
            }
        }
        let error = refusal(&document(statement));
        assert!(error.contains(expected), "{members}: {error}");
    }
}

#[test]
fn a_faulty_document_is_refused() {
    let deep = "[".repeat(50_000);
    let long = format!("{{\"Version\":\"{}\"}}", "x".repeat(70_000));
    let large = [
        (&*deep, "recursion limit"),
        (&*long, "has 70014 bytes, and 65536 are allowed"),
    ];
    for (text, expected) in rows(DOCUMENTS).chain(large) {
        let error = refusal(text);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_statement_id_is_unique_in_its_policy() {
    let [mut one, mut other] = [allow("*", "*"), deny("*", "*")];
    one["Sid"] = json!("a");
    other["Sid"] = json!("a");
    let error = refusal(&document(json!([one, other])));
    assert!(error.contains("another statement has the Sid a"), "{error}");
}

#[test]
fn a_policy_of_a_function_needs_valid_principals() {
    assert!(refusal_on_function(allow("*", "*")).contains("has no Principal"));
    let mut all_but = grant(json!({ "AWS": ADA }), "*");
    all_but["NotPrincipal"] = all_but["Principal"].take();
    all_but.as_object_mut().unwrap().remove("Principal");
    assert!(refusal_on_function(all_but).contains("would allow all other callers"));
    for principal in [
        json!({}),
        json!("ada"),
        json!({"AWS": "ada"}),
        json!({"AWS": []}),
        json!({"Service": "s3"}),
        json!({"Federated": "x"}),
        json!({"AWS": "arn:aws:iam::000000000000:user/*"}),
    ] {
        refusal_on_function(grant(principal, "*"));
    }
}
