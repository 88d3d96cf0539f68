//! Settings of a function: event-invoke config, concurrency, recursion, permissions.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::{DestinationConfig, OnFailure, RecursiveLoop};
use redrive_aws_sdk_tests::{ACCOUNT, Server, arn};
use serde_json::{Value, json};

/// CFG-11, CFG-12, CFG-13, CFG-14
#[tokio::test]
async fn an_event_invoke_config_can_be_put_read_and_deleted() {
    let server = Server::start(&[]);
    let client = server.client();
    let put = client
        .put_function_event_invoke_config()
        .function_name("echo")
        .qualifier("live");
    let put = put
        .maximum_retry_attempts(1)
        .maximum_event_age_in_seconds(60)
        .send()
        .await
        .unwrap();
    let live = format!("{}:live", arn("echo"));
    assert_eq!(put.function_arn(), Some(&*live));
    assert!(put.last_modified().is_some());

    let update = client
        .update_function_event_invoke_config()
        .function_name("echo:live");
    update.maximum_retry_attempts(0).send().await.unwrap();
    let get = client
        .get_function_event_invoke_config()
        .function_name(&live);
    let got = get.clone().send().await.unwrap();
    assert_eq!(got.maximum_retry_attempts(), Some(0));
    assert_eq!(got.maximum_event_age_in_seconds(), Some(60));

    let put = client
        .put_function_event_invoke_config()
        .function_name("echo:live");
    let target = OnFailure::builder().destination(arn("log")).build();
    let target = DestinationConfig::builder().on_failure(target).build();
    put.destination_config(target).send().await.unwrap();
    let got = get.clone().send().await.unwrap();
    assert_eq!(got.maximum_retry_attempts(), None);
    let target = got.destination_config().unwrap().on_failure().unwrap();
    assert_eq!(target.destination(), Some(&*arn("log")));

    let list = client
        .list_function_event_invoke_configs()
        .function_name("echo");
    assert_eq!(
        list.send()
            .await
            .unwrap()
            .function_event_invoke_configs()
            .len(),
        1
    );

    let delete = client
        .delete_function_event_invoke_config()
        .function_name("echo:live");
    delete.send().await.unwrap();
    let error = get
        .send()
        .await
        .expect_err("it is deleted")
        .into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
}

/// CFG-11
#[tokio::test]
async fn event_invoke_configs_have_pages() {
    let server = Server::start(&[]);
    let client = server.client();
    for qualifier in ["$LATEST", "1", "live"] {
        let put = client
            .put_function_event_invoke_config()
            .function_name("echo");
        put.qualifier(qualifier)
            .maximum_retry_attempts(1)
            .send()
            .await
            .unwrap();
    }
    let list = client
        .list_function_event_invoke_configs()
        .function_name("echo");
    let mut pages = list.into_paginator().page_size(2).send();
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        sizes.push(page.unwrap().function_event_invoke_configs().len());
    }
    assert_eq!(sizes, [2, 1]);
}

/// CFG-15
#[tokio::test]
async fn an_event_invoke_config_must_set_something() {
    let server = Server::start(&[]);
    let put = server
        .client()
        .put_function_event_invoke_config()
        .function_name("echo");
    let error = put
        .send()
        .await
        .expect_err("a refusal")
        .into_service_error();
    assert!(error.is_invalid_parameter_value_exception(), "{error:?}");
}

/// CFG-24, CFG-25, CFG-26, CFG-27
#[tokio::test]
async fn concurrency_can_be_put_read_and_deleted() {
    let server = Server::start(&[]);
    let client = server.client();
    let reserved = async || {
        let get = client.get_function_concurrency().function_name("echo");
        get.send().await.unwrap().reserved_concurrent_executions()
    };
    assert_eq!(reserved().await, None);
    let put = client.put_function_concurrency().function_name("echo");
    put.clone()
        .reserved_concurrent_executions(0)
        .send()
        .await
        .unwrap();
    assert_eq!(reserved().await, Some(0));
    let error = put.reserved_concurrent_executions(901).send().await;
    let error = error
        .expect_err("100 stay for the others")
        .into_service_error();
    assert!(error.is_invalid_parameter_value_exception(), "{error:?}");
    client
        .delete_function_concurrency()
        .function_name("echo")
        .send()
        .await
        .unwrap();
    assert_eq!(reserved().await, None);
}

/// CFG-29
#[tokio::test]
async fn the_recursion_setting_can_be_put_and_read() {
    let server = Server::start(&[]);
    let client = server.client();
    let get = client
        .get_function_recursion_config()
        .function_name("chain");
    let got = get.clone().send().await.unwrap();
    assert_eq!(got.recursive_loop(), Some(&RecursiveLoop::Terminate));
    let put = client
        .put_function_recursion_config()
        .function_name("chain");
    put.recursive_loop(RecursiveLoop::Allow)
        .send()
        .await
        .unwrap();
    let got = get.send().await.unwrap();
    assert_eq!(got.recursive_loop(), Some(&RecursiveLoop::Allow));
}

async fn policy(client: &Client) -> (Value, String) {
    let got = client
        .get_policy()
        .function_name("echo")
        .send()
        .await
        .unwrap();
    let policy = serde_json::from_str(got.policy().unwrap()).unwrap();
    (policy, got.revision_id().unwrap().to_owned())
}

/// CFG-31 to CFG-37
#[tokio::test]
async fn permissions_can_be_added_read_and_removed() {
    let server = Server::start(&[]);
    let client = server.client();
    let add = client
        .add_permission()
        .function_name("echo")
        .statement_id("bucket");
    let add = add
        .action("lambda:InvokeFunction")
        .principal("s3.amazonaws.com");
    let add = add
        .source_arn("arn:aws:s3:::bucket")
        .source_account(ACCOUNT);
    let added = add.clone().send().await.unwrap();
    let statement: Value = serde_json::from_str(added.statement().unwrap()).unwrap();
    let expected = json!({
        "Sid": "bucket",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": arn("echo"),
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": ACCOUNT},
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
        },
    });
    assert_eq!(statement, expected);
    let (kept, revision) = policy(&client).await;
    assert_eq!(kept["Statement"], json!([expected]));

    let error = add
        .clone()
        .send()
        .await
        .expect_err("it stands already")
        .into_service_error();
    assert!(error.is_resource_conflict_exception(), "{error:?}");
    let stale = add.statement_id("other").revision_id("stale").send().await;
    let error = stale
        .expect_err("the revision is another")
        .into_service_error();
    assert!(error.is_precondition_failed_exception(), "{error:?}");

    let remove = client
        .remove_permission()
        .function_name("echo")
        .statement_id("bucket");
    remove.clone().revision_id(revision).send().await.unwrap();
    let error = remove
        .send()
        .await
        .expect_err("it is gone")
        .into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
    let get = client.get_policy().function_name("echo").send().await;
    let error = get
        .expect_err("the policy went with it")
        .into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
}
