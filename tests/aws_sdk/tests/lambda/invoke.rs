//! The three invocation types, and the data that an invocation carries and returns.

use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redrive_aws_sdk_tests::{Server, arn};
use serde_json::{Value, json};

fn payload(value: Value) -> Blob {
    Blob::new(value.to_string())
}

fn value(payload: Option<Blob>) -> Value {
    serde_json::from_slice(payload.expect("a payload").as_ref()).expect("the payload is JSON")
}

/// INV-01, INV-14, INV-17, INV-19
#[tokio::test]
async fn a_call_returns_what_the_function_returned() {
    let server = Server::start(&[]);
    let call = server.client().invoke().function_name("echo");
    let answer = call
        .payload(payload(json!({"a": "é"})))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status_code(), 200);
    assert_eq!(answer.executed_version(), Some("$LATEST"));
    assert_eq!(answer.function_error(), None);
    assert!(uuid::Uuid::try_parse(answer.request_id().unwrap()).is_ok());
    assert_eq!(value(answer.payload), json!({"a": "é"}));
}

/// INV-08
#[tokio::test]
async fn a_call_without_a_payload_has_an_empty_object() {
    let server = Server::start(&[]);
    let answer = server
        .client()
        .invoke()
        .function_name("echo")
        .send()
        .await
        .unwrap();
    assert_eq!(value(answer.payload), json!({}));
}

/// INV-13, INV-19
#[tokio::test]
async fn an_event_is_a_202_and_runs_under_that_request_id() {
    let server = Server::start(&[]);
    let call = server.client().invoke().function_name("echo");
    let call = call
        .invocation_type(InvocationType::Event)
        .log_type(LogType::Tail);
    let answer = call.payload(payload(json!([1]))).send().await.unwrap();
    assert_eq!(answer.status_code(), 202);
    assert_eq!(answer.payload().map_or(0, |it| it.as_ref().len()), 0);
    assert_eq!(answer.executed_version(), None);
    assert_eq!(answer.log_result(), None);
    let event = server.event(answer.request_id().unwrap());
    assert_eq!(
        (&event["state"], &event["result"]),
        (&json!("succeeded"), &json!([1]))
    );
}

/// INV-15
#[tokio::test]
async fn a_dry_run_is_a_204_and_runs_nothing() {
    let server = Server::start(&[]);
    let call = server.client().invoke().function_name("echo");
    let answer = call
        .invocation_type(InvocationType::DryRun)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status_code(), 204);
    assert_eq!(server.get("functions/echo/stats")["Invocations"], 0);
}

/// INV-30
#[tokio::test]
async fn invoke_async_is_a_202() {
    let server = Server::start(&[]);
    #[expect(deprecated, reason = "that is what is tested")]
    let call = server.client().invoke_async().function_name("echo");
    let answer = call
        .invoke_args(Vec::from("{}").into())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(
        server.event(answer.request_id().unwrap())["state"],
        "succeeded"
    );
}

/// INV-02, INV-03, INV-17, NAM-02
#[tokio::test]
async fn names_arns_and_qualifiers_select_a_version() {
    let server = Server::start(&[]);
    let client = server.client();
    let names = ["echo", "000000000000:function:echo", &arn("echo")];
    for name in names {
        for (qualifier, version) in [("$LATEST", "$LATEST"), ("1", "1"), ("live", "1")] {
            let within = client.invoke().function_name(format!("{name}:{qualifier}"));
            let beside = client.invoke().function_name(name).qualifier(qualifier);
            for call in [within, beside] {
                let answer = call.send().await.unwrap();
                assert_eq!(
                    answer.executed_version(),
                    Some(version),
                    "{name} {qualifier}"
                );
            }
        }
    }
}

/// INV-05, INV-18, LOG-03, LOG-04, LOG-05
#[tokio::test]
async fn a_tail_is_the_end_of_the_log() {
    let server = Server::start(&[]);
    for lines in [2, 3_000] {
        let call = server
            .client()
            .invoke()
            .function_name("log")
            .log_type(LogType::Tail);
        let answer = call
            .payload(payload(json!({"lines": lines})))
            .send()
            .await
            .unwrap();
        let log = STANDARD.decode(answer.log_result().unwrap()).unwrap();
        let log = String::from_utf8(log).unwrap();
        let id = answer.request_id().unwrap();
        assert_eq!(
            log.contains(&format!("START RequestId: {id} Version: $LATEST\n")),
            lines == 2
        );
        assert!(log.contains(&format!("line {lines}\n")), "{log}");
        assert!(log.contains(&format!("END RequestId: {id}\n")), "{log}");
        assert!(
            log.contains(&format!("REPORT RequestId: {id}\tDuration: ")),
            "{log}"
        );
        assert_eq!(log.len() == 4_096, lines == 3_000);
    }
}

/// INV-06
#[tokio::test]
async fn a_client_context_may_come_along() {
    let server = Server::start(&[]);
    let context = STANDARD.encode(r#"{"custom":{"who":"test"}}"#);
    for (kind, status) in [
        (InvocationType::RequestResponse, 200),
        (InvocationType::Event, 202),
    ] {
        let call = server
            .client()
            .invoke()
            .function_name("echo")
            .client_context(&context);
        let answer = call.invocation_type(kind).send().await.unwrap();
        assert_eq!(answer.status_code(), status);
    }
}

/// INV-14, INV-16, INV-21, INV-23, INV-24, INV-25
#[tokio::test]
async fn a_failing_function_is_not_an_error_of_the_call() {
    let server = Server::start(&["--timeout", "500"]);
    let cases = [
        ("fail", json!({"message": "no disk"}), "no disk"),
        ("panic", json!({"message": "no cheese"}), "no cheese"),
        (
            "sleep",
            json!({"milliseconds": 60_000}),
            "Task timed out after 0.50 seconds",
        ),
        ("big", json!({"bytes": 6_291_557}), "(6291556 bytes)"),
    ];
    for (function, given, said) in cases {
        let call = server.client().invoke().function_name(function);
        let answer = call.payload(payload(given)).send().await.unwrap();
        assert_eq!(answer.status_code(), 200);
        assert_eq!(answer.function_error(), Some("Unhandled"));
        let error = value(answer.payload);
        assert!(error["errorType"].is_string(), "{error}");
        assert!(
            error["errorMessage"].as_str().unwrap().contains(said),
            "{error}"
        );
    }
}
