//! Descriptions of functions.

use std::time::Duration;

use aws_sdk_lambda::client::Waiters;
use aws_sdk_lambda::types::{FunctionVersion, LastUpdateStatus, State};
use redrive_aws_sdk_tests::{Server, arn};

const FUNCTIONS: [&str; 10] = [
    "big",
    "chain",
    "context",
    "echo",
    "fail",
    "flaky",
    "init-fails",
    "log",
    "panic",
    "sleep",
];
/// Besides `$LATEST`: two of `context`, one of `echo`.
const VERSIONS: usize = 3;

/// CFG-01, CFG-02
#[tokio::test]
async fn pages_have_all_functions_each_once() {
    let server = Server::start(&[]);
    for size in [1, 3, 50] {
        let list = server
            .client()
            .list_functions()
            .into_paginator()
            .page_size(size);
        let mut functions = list.items().send();
        let mut names = Vec::new();
        while let Some(function) = functions.next().await {
            let function = function.unwrap();
            let name = function.function_name().unwrap().to_owned();
            assert_eq!(function.function_arn(), Some(&*arn(&name)));
            names.push(name);
        }
        names.sort_unstable();
        assert_eq!(names, FUNCTIONS);
    }
}

/// CFG-02
#[tokio::test]
async fn versions_are_listed_when_they_are_asked_for() {
    let server = Server::start(&[]);
    let list = server
        .client()
        .list_functions()
        .function_version(FunctionVersion::All);
    let listed = list.send().await.unwrap();
    let arns: Vec<_> = listed
        .functions()
        .iter()
        .filter_map(|it| it.function_arn())
        .collect();
    assert_eq!(arns.len(), FUNCTIONS.len() + VERSIONS);
    assert!(arns.contains(&&*format!("{}:1", arn("echo"))), "{arns:?}");
}

/// CFG-05, CFG-06, CFG-07
#[tokio::test]
async fn one_function_is_described_by_name_and_qualifier() {
    let server = Server::start(&[]);
    let client = server.client();
    let got = client
        .get_function()
        .function_name("echo")
        .send()
        .await
        .unwrap();
    let told = got.configuration().unwrap();
    assert_eq!(told.state(), Some(&State::Active));
    assert_eq!(
        told.last_update_status(),
        Some(&LastUpdateStatus::Successful)
    );
    assert!(got.code().is_some() && got.concurrency().is_none());
    let get = client
        .get_function_configuration()
        .function_name("echo")
        .qualifier("live");
    let told = get.send().await.unwrap();
    assert_eq!(told.version(), Some("1"));
    assert_eq!(told.function_arn(), Some(&*format!("{}:live", arn("echo"))));
}

/// CFG-05
#[tokio::test]
async fn an_unknown_function_is_not_found() {
    let server = Server::start(&[]);
    let get = server.client().get_function().function_name("nobody");
    let error = get
        .send()
        .await
        .expect_err("nobody is there")
        .into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
}

/// CFG-10
#[tokio::test]
async fn waiters_succeed() {
    let server = Server::start(&[]);
    let client = server.client();
    let patience = Duration::from_secs(10);
    let active = client.wait_until_function_active_v2().function_name("echo");
    active.wait(patience).await.unwrap();
    let updated = client
        .wait_until_function_updated_v2()
        .function_name("echo");
    updated.wait(patience).await.unwrap();
}

/// CFG-09, CON-01
#[tokio::test]
async fn the_account_has_its_limits() {
    let server = Server::start(&[]);
    let told = server.client().get_account_settings().send().await.unwrap();
    assert_eq!(told.account_limit().unwrap().concurrent_executions(), 1_000);
    assert_eq!(
        told.account_usage().unwrap().function_count(),
        FUNCTIONS.len() as i64
    );
}
