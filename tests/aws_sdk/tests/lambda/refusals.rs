//! Every class of error that a client can provoke, as the SDK types it.

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::operation::invoke::builders::InvokeFluentBuilder;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, ThrottleReason};
use redrive_aws_sdk_tests::{Server, arn};

/// The typed error, after its status and its request id were checked.
async fn refusal(call: InvokeFluentBuilder, status: u16) -> InvokeError {
    let error = call.send().await.expect_err("a refusal");
    let SdkError::ServiceError(refused) = error else {
        panic!("no answer of the service: {error:?}")
    };
    assert_eq!(refused.raw().status().as_u16(), status, "{refused:?}");
    let error = refused.into_err();
    let id = error.request_id().expect("a request id (INV-19)");
    assert!(uuid::Uuid::try_parse(id).is_ok(), "{id}");
    error
}

/// ERR-01, NAM-13
#[tokio::test]
async fn an_unknown_function_is_not_found() {
    let server = Server::start(&[]);
    for kind in [
        InvocationType::RequestResponse,
        InvocationType::Event,
        InvocationType::DryRun,
    ] {
        let call = server
            .client()
            .invoke()
            .function_name("nobody")
            .invocation_type(kind);
        let error = refusal(call, 404).await;
        assert!(error.is_resource_not_found_exception(), "{error:?}");
        let expected = format!("Function not found: {}:$LATEST", arn("nobody"));
        assert_eq!(error.message(), Some(&*expected));
    }
}

/// ERR-03, NAM-04, NAM-05
#[tokio::test]
async fn an_invalid_name_is_a_validation_exception() {
    let server = Server::start(&[]);
    let call = server
        .client()
        .invoke()
        .function_name("echo!")
        .qualifier("!");
    let error = refusal(call, 400).await;
    assert_eq!(error.code(), Some("ValidationException"));
    let message = error.message().unwrap();
    assert!(
        message.starts_with("2 validation errors detected: "),
        "{message}"
    );
    assert!(
        message.contains("at 'functionName'") && message.contains("at 'qualifier'"),
        "{message}"
    );
}

/// NAM-11
#[tokio::test]
async fn two_qualifiers_that_differ_are_an_invalid_parameter() {
    let server = Server::start(&[]);
    let call = server
        .client()
        .invoke()
        .function_name("echo:live")
        .qualifier("1");
    assert!(
        refusal(call, 400)
            .await
            .is_invalid_parameter_value_exception()
    );
}

/// INV-09
#[tokio::test]
async fn a_payload_that_is_not_json_is_invalid_content() {
    let server = Server::start(&[]);
    for kind in [InvocationType::RequestResponse, InvocationType::Event] {
        let call = server
            .client()
            .invoke()
            .function_name("echo")
            .invocation_type(kind);
        let error = refusal(call.payload(Blob::new("{")), 400).await;
        assert!(error.is_invalid_request_content_exception(), "{error:?}");
    }
}

/// INV-06
#[tokio::test]
async fn a_malformed_client_context_is_invalid_content() {
    let server = Server::start(&[]);
    let call = server
        .client()
        .invoke()
        .function_name("echo")
        .client_context("e30");
    assert!(
        refusal(call, 400)
            .await
            .is_invalid_request_content_exception()
    );
}

/// INV-26, INV-27, INV-29, CFL-03, CFL-04: the code on the wire isn't the model's, so the SDK has no type for it.
#[tokio::test]
async fn payloads_have_their_limits() {
    let server = Server::start(&[]);
    let sizes = [
        (InvocationType::RequestResponse, 6_291_456),
        (InvocationType::Event, 1_048_576),
    ];
    for (kind, limit) in sizes {
        let call = server
            .client()
            .invoke()
            .function_name("echo")
            .invocation_type(kind);
        let text = |size: usize| Blob::new(format!("\"{}\"", "x".repeat(size - 2)));
        call.clone().payload(text(limit)).send().await.unwrap();
        let error = refusal(call.payload(text(limit + 1)), 413).await;
        assert_eq!(error.code(), Some("RequestEntityTooLargeException"));
    }
}

/// ERR-05, ERR-06, ASY-28
#[tokio::test]
async fn a_throttled_call_has_its_reason() {
    let server = Server::start(&[]);
    let client = server.client();
    let reserve = client.put_function_concurrency().function_name("echo");
    reserve
        .reserved_concurrent_executions(0)
        .send()
        .await
        .unwrap();
    let error = refusal(client.invoke().function_name("echo"), 429).await;
    let InvokeError::TooManyRequestsException(throttled) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        throttled.reason(),
        Some(&ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded)
    );
    assert_eq!(throttled.message(), Some("Rate Exceeded."));
}

/// NAM-12
#[tokio::test]
async fn another_region_is_out_of_reach() {
    let server = Server::start(&[]);
    let elsewhere = arn("echo").replace("us-east-1", "eu-west-1");
    let error = refusal(server.client().invoke().function_name(elsewhere), 404).await;
    assert!(error.is_resource_not_found_exception(), "{error:?}");
}

/// CFG-09: the SDK must be able to read why.
#[tokio::test]
async fn unsupported_operations_are_refused_with_a_code() {
    let server = Server::start(&[]);
    let delete = server.client().delete_function().function_name("echo");
    let error = delete
        .send()
        .await
        .expect_err("a refusal")
        .into_service_error();
    assert!(
        error.code().is_some() && error.message().is_some(),
        "{error:?}"
    );
}
