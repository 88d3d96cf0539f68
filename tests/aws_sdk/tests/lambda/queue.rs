//! Retries and dead letters, seen from outside.

use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use redrive_aws_sdk_tests::Server;
use serde_json::{Value, json};

const DELAYS: [&str; 2] = ["--retry-delays", "10,20"];

async fn send(server: &Server, function: &str, payload: Value) -> String {
    let call = server.client().invoke().function_name(function);
    let call = call
        .invocation_type(InvocationType::Event)
        .payload(Blob::new(payload.to_string()));
    let answer = call.send().await.unwrap();
    assert_eq!(answer.status_code(), 202);
    answer.request_id().unwrap().to_owned()
}

/// ASY-04, ASY-13
#[tokio::test]
async fn an_event_is_tried_three_times() {
    let server = Server::start(&DELAYS);
    for failures in 0..3 {
        let id = send(&server, "flaky", json!({"failures": failures})).await;
        let event = server.event(&id);
        assert_eq!(event["state"], "succeeded", "{event}");
        assert_eq!(event["result"], json!({"attempt": failures + 1}));
    }
}

/// ASY-16, DLQ-02, DLQ-03
#[tokio::test]
async fn an_event_that_keeps_failing_is_a_dead_letter() {
    let server = Server::start(&DELAYS);
    for (function, payload) in [
        ("fail", json!({"message": "m"})),
        ("panic", json!({"message": "m"})),
    ] {
        let id = send(&server, function, payload.clone()).await;
        let event = server.event(&id);
        assert_eq!(event["state"], "dead", "{event}");
        let letter = &event["letter"];
        assert_eq!(letter["condition"], "RetriesExhausted", "{letter}");
        assert_eq!(letter["attempts"].as_array().unwrap().len(), 3);
        assert_eq!(letter["payload"], payload);
        let page = server.get(&format!("dead-letters?function={function}"));
        assert!(page["letters"].to_string().contains(&id), "{page}");
    }
}

/// ASY-13, CFG-12
#[tokio::test]
async fn the_configured_retries_are_made() {
    let server = Server::start(&DELAYS);
    let put = server
        .client()
        .put_function_event_invoke_config()
        .function_name("fail");
    put.maximum_retry_attempts(0).send().await.unwrap();
    let id = send(&server, "fail", json!({"message": "m"})).await;
    let letter = &server.event(&id)["letter"];
    assert_eq!(letter["attempts"].as_array().unwrap().len(), 1, "{letter}");
}

/// ASY-26, ASY-27, ERR-08
#[tokio::test]
async fn at_zero_concurrency_an_event_is_accepted_and_dies_untried() {
    let server = Server::start(&DELAYS);
    let put = server
        .client()
        .put_function_concurrency()
        .function_name("echo");
    put.reserved_concurrent_executions(0).send().await.unwrap();
    let id = send(&server, "echo", json!({})).await;
    let letter = &server.event(&id)["letter"];
    assert_eq!(letter["condition"], "ZeroReservedConcurrency", "{letter}");
    assert_eq!(letter["attempts"].as_array().unwrap().len(), 0);
}

/// DLQ-02
#[tokio::test]
async fn a_call_that_failed_is_no_dead_letter() {
    let server = Server::start(&DELAYS);
    let call = server.client().invoke().function_name("fail");
    let answer = call
        .payload(Blob::new(r#"{"message":"m"}"#))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.function_error(), Some("Unhandled"));
    assert_eq!(
        server.get("dead-letters?function=fail")["letters"],
        json!([])
    );
}
