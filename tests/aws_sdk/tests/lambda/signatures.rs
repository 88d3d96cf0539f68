//! Authentication, when the server requires signatures.

use std::io::Write;

use aws_sdk_lambda::error::ProvideErrorMetadata;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use redrive_aws_sdk_tests::{ACCOUNT, Server, arn};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

const ALICE: &str = "AKIA0000000000000ALI";
const BOB: &str = "AKIA0000000000000BOB";
const ERIN: &str = "ASIA0000000000000ERI";
const SECRET: &str = "between us";
const TOKEN: &str = "came with the keys";

fn person(key: &str, name: &str, token: Option<&str>, policies: Value) -> Value {
    json!({
        "access_key_id": key,
        "secret_access_key": SECRET,
        "session_token": token,
        "principal": format!("arn:aws:iam::{ACCOUNT}:user/{name}"),
        "policies": policies,
    })
}

/// The server, and the file it has its credentials from.
fn guarded() -> (Server, NamedTempFile) {
    let statement = json!({"Effect": "Allow", "Action": "lambda:*", "Resource": "*"});
    let everything = json!([{"Version": "2012-10-17", "Statement": [statement]}]);
    let people = json!({"credentials": [
        person(ALICE, "alice", None, everything.clone()),
        person(BOB, "bob", None, json!([])),
        person(ERIN, "erin", Some(TOKEN), everything),
    ]});
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(people.to_string().as_bytes()).unwrap();
    let server = Server::start(&["--auth", file.path().to_str().unwrap()]);
    (server, file)
}

/// SIG-01, SIG-06, SIG-10
#[tokio::test]
async fn signed_requests_are_accepted() {
    let (server, _file) = guarded();
    let client = server.client_of(ALICE, SECRET, None);
    for name in ["echo", "echo:live", "echo:$LATEST", &arn("echo")] {
        let call = client.invoke().function_name(name);
        let answer = call.payload(Blob::new("[1]")).send().await.unwrap();
        assert_eq!(answer.status_code(), 200);
    }
    let list = client.list_functions().max_items(2).send().await.unwrap();
    let next = list.next_marker().unwrap();
    client.list_functions().marker(next).send().await.unwrap();
}

/// SIG-06: two calls of one second must not be taken for one and its replay.
#[tokio::test]
async fn the_same_call_again_is_accepted() {
    let (server, _file) = guarded();
    let client = server.client_of(ALICE, SECRET, None);
    for _ in 0..50 {
        let call = client
            .invoke()
            .function_name("echo")
            .payload(Blob::new("{}"));
        call.invocation_type(InvocationType::Event)
            .send()
            .await
            .unwrap();
    }
}

/// SIG-05, SIG-09
#[tokio::test]
async fn temporary_credentials_need_their_token() {
    let (server, _file) = guarded();
    let with = server.client_of(ERIN, SECRET, Some(TOKEN));
    with.invoke().function_name("echo").send().await.unwrap();
    for token in [None, Some("another")] {
        let without = server
            .client_of(ERIN, SECRET, token)
            .invoke()
            .function_name("echo");
        let refused = without.send().await.expect_err("the token is another");
        assert_eq!(refused.raw_response().unwrap().status().as_u16(), 403);
    }
}

/// SIG-05, SIG-08, IAM-09
#[tokio::test]
async fn a_denied_caller_gets_the_reason() {
    let (server, _file) = guarded();
    let cases = [
        (
            "AKIA0000000000000WHO",
            SECRET,
            "UnrecognizedClientException",
        ),
        (ALICE, "a guess", "InvalidSignatureException"),
        (BOB, SECRET, "AccessDeniedException"),
    ];
    for (key, secret, code) in cases {
        let call = server
            .client_of(key, secret, None)
            .invoke()
            .function_name("echo");
        let refused = call.send().await.expect_err("a refusal");
        assert_eq!(refused.raw_response().unwrap().status().as_u16(), 403);
        assert_eq!(refused.code(), Some(code), "{refused:?}");
    }
}

/// IAM-03, CFG-31
#[tokio::test]
async fn a_resource_policy_admits_a_caller() {
    let (server, _file) = guarded();
    let bob = server
        .client_of(BOB, SECRET, None)
        .invoke()
        .function_name("echo");
    bob.clone().send().await.expect_err("nothing allows it yet");
    let add = server
        .client_of(ALICE, SECRET, None)
        .add_permission()
        .function_name("echo");
    let add = add.statement_id("bob").action("lambda:InvokeFunction");
    let add = add.principal(format!("arn:aws:iam::{ACCOUNT}:user/bob"));
    add.send().await.unwrap();
    bob.send().await.unwrap();
}
