//! Invocations that fail, are refused or take long, and their responses.

use std::sync::Arc;
use std::time::Duration;

use redrive::{Destination, Event, Function, RetryPolicy, Runtime, Stateful};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{Answer, builder, invocations, serve, serve_with};

/// Panics by its payload, and quietly.
fn panics() -> Function {
    std::panic::set_hook(Box::new(|_| ()));
    Function::new("panics", |_: Event<Value>| async {
        if true {
            panic!("overboard");
        }
        Ok::<_, String>(())
    })
}

/// Stops the arbiter that it runs on.
fn exits() -> Function {
    Function::new("exits", |_: Event<Value>| async {
        actix::Arbiter::current().stop();
        std::future::pending::<()>().await;
        Ok::<_, String>(())
    })
}

fn hangs(name: &str, timeout: u64) -> Function {
    let hangs = Function::new(name, |_: Event<Value>| async {
        std::future::pending::<()>().await;
        Ok::<_, String>(())
    });
    hangs.timeout(Duration::from_millis(timeout))
}

fn big() -> Function {
    Function::new("big", |bytes: Event<usize>| async move {
        Ok::<_, String>("x".repeat(*bytes - 2))
    })
}

enum Never {}

impl Stateful for Never {
    type Payload = Value;
    type Output = ();
    type Error = String;

    async fn handle(&mut self, _: Event<Value>) -> Result<(), String> {
        match *self {}
    }
}

fn unready() -> Function {
    Function::stateful("unready", || async { Err::<Never, _>("no connection") })
}

fn assert_failed(answer: &Answer, kind: &str, message: &str) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-amz-function-error"), Some("Unhandled"));
    let body = answer.json();
    assert_eq!(body["errorType"], kind, "{body}");
    let id = answer.header("x-amzn-requestid").unwrap();
    assert_eq!(body["errorMessage"], message.replace('@', id));
}

/// INV-22: a worker that is lost with its call is reported as a runtime exit.
#[actix::test]
async fn a_lost_worker_is_reported_as_a_runtime_exit() {
    let served = serve_with(builder().function(exits()), |api| api).await;
    let answer = served.invoke("exits", "RequestResponse", b"{}").await;
    let message = "RequestId: @ Error: Runtime exited without providing a reason";
    assert_failed(&answer, "Runtime.ExitError", message);
}

/// INV-16, UNV-06: every failure of a function is reported as `Unhandled`.
#[actix::test]
async fn every_failure_is_unhandled() {
    let builder = [panics(), exits(), hangs("hangs", 50), big(), unready()]
        .into_iter()
        .fold(builder(), redrive::Builder::function);
    let served = serve_with(builder, |api| api).await;
    for (function, payload) in [
        ("fail", "{}"),
        ("panics", "{}"),
        ("exits", "{}"),
        ("hangs", "{}"),
        ("big", "6291557"),
        ("big", "\"no number\""),
        ("unready", "{}"),
    ] {
        let answer = served
            .invoke(function, "RequestResponse", payload.as_bytes())
            .await;
        let said = answer.header("x-amz-function-error");
        assert_eq!(
            (answer.status, said),
            (200, Some("Unhandled")),
            "{function}"
        );
    }
}

/// INV-23: the timeout that is configured, with two decimals, also for one that is set while the function runs, and in the
/// record of an event.
#[actix::test]
async fn a_timeout_is_reported_in_seconds_with_two_decimals() {
    let (sender, mut records) = mpsc::unbounded_channel();
    let destination = Destination::closure(move |record| {
        let _ = sender.send(serde_json::to_value(&record).unwrap());
    });
    let short = hangs("short", 10)
        .retry(RetryPolicy::none())
        .on_failure(destination);
    let builder = builder().function(short).function(hangs("long", 120));
    let served = serve_with(builder, |api| api).await;
    let text = |seconds| format!("RequestId: @ Error: Task timed out after {seconds} seconds");
    for (function, seconds) in [("short", "0.01"), ("long", "0.12")] {
        let answer = served.invoke(function, "RequestResponse", b"{}").await;
        assert_failed(&answer, "Sandbox.Timedout", &text(seconds));
    }
    let path = "/2015-03-31/functions/long/configuration";
    let set = served.request("PUT", path, &[], br#"{"Timeout":1}"#).await;
    assert_eq!(set.status, 200);
    let answer = served.invoke("long", "RequestResponse", b"{}").await;
    assert_failed(&answer, "Sandbox.Timedout", &text("1.00"));

    let event = served.invoke("short", "Event", b"{}").await;
    let record = records.recv().await.unwrap();
    let told = &record["responsePayload"];
    assert_eq!(told["errorType"], "Sandbox.Timedout");
    let id = event.header("x-amzn-requestid").unwrap();
    assert_eq!(told["errorMessage"], text("0.01").replace('@', id));
}

/// INV-24: of a call and of an event, which is retried as after any other failure.
#[actix::test]
async fn a_result_that_is_too_large_fails_calls_and_events_alike() {
    let (sender, mut records) = mpsc::unbounded_channel();
    let destination = Destination::closure(move |record| {
        let _ = sender.send(serde_json::to_value(&record).unwrap());
    });
    let big = big()
        .retry(RetryPolicy::delays([Duration::from_millis(1)]))
        .on_failure(destination);
    let served = serve_with(Runtime::builder().function(big), |api| api).await;
    let (kind, message) = (
        "Function.ResponseSizeTooLarge",
        "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    );
    let answer = served.invoke("big", "RequestResponse", b"6291557").await;
    assert_failed(&answer, kind, message);
    served.invoke("big", "Event", b"6291557").await;
    let record = records.recv().await.unwrap();
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(record["responsePayload"]["errorType"], kind);
    assert_eq!(record["responsePayload"]["errorMessage"], message);
}

/// INV-15: a dry run returns the refusals of a call, and neither runs nor stores anything.
#[actix::test]
async fn a_dry_run_checks_all_that_a_call_would_be_checked_for() {
    let served = serve().await;
    let dry = async |function: &str, query: &str, context: &str, body: &[u8]| {
        let headers = [
            ("X-Amz-Invocation-Type", "DryRun"),
            ("X-Amz-Client-Context", context),
        ];
        let headers = if context.is_empty() {
            &headers[..1]
        } else {
            &headers
        };
        let path = format!("{}{query}", invocations(function));
        served.request("POST", &path, headers, body).await
    };
    let content = (400, "InvalidRequestContentException");
    let unknown = (404, "ResourceNotFoundException");
    let large = vec![b'1'; 6_291_457];
    for (function, query, context, body, refusal) in [
        ("nope", "", "", &b"{}"[..], unknown),
        ("echo:dead", "", "", b"{}", unknown),
        ("echo", "?Qualifier=2", "", b"{}", unknown),
        ("a%20b", "", "", b"{}", (400, "ValidationException")),
        (
            "echo",
            "?Qualifier=a%20b",
            "",
            b"{}",
            (400, "ValidationException"),
        ),
        (
            "echo:live",
            "?Qualifier=1",
            "",
            b"{}",
            (400, "InvalidParameterValueException"),
        ),
        ("echo", "", "", b"{", content),
        ("echo", "", "", b"\xff", content),
        ("echo", "", "%%%", b"{}", content),
        (
            "echo",
            "",
            "",
            &large,
            (413, "RequestEntityTooLargeException"),
        ),
    ] {
        let answer = dry(function, query, context, body).await;
        assert_eq!(answer.error(), refusal, "{function}{query}");
    }
    for (function, query) in [("echo", ""), ("echo:live", ""), ("echo", "?Qualifier=1")] {
        let answer = dry(function, query, "e30=", b"{}").await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
    }
    let stats = served.runtime.client().function_stats("echo").unwrap();
    assert_eq!((stats.invocations, stats.throttles), (0, 0));
    assert_eq!(stats.events.accepted + stats.calls.accepted, 0);
}

/// INV-31: only the name can hold a qualifier. Unlike at AWS the trace goes on, so that a loop is noticed (REC-02).
#[actix::test]
async fn invoke_async_ignores_the_qualifier_and_continues_the_trace() {
    let nosy = Function::new("nosy", |event: Event<Value>| async move {
        let context = event.context();
        let trace = context.trace_header().into_owned();
        Ok::<_, String>(json!([trace, context.version(), context.hops()]))
    });
    let builder = Runtime::builder().function(nosy.version(1));
    let served = serve_with(builder, |api| api).await;
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=3:72656472:0";
    let path = "/2014-11-13/functions/nosy/invoke-async?Qualifier=1";
    let headers = [("X-Amzn-Trace-Id", trace)];
    let answer = served.request("POST", path, &headers, b"{}").await;
    assert_eq!(answer.status, 202);
    let id = answer.header("x-amzn-requestid").unwrap();
    let status = served.wait(id).await;
    assert_eq!(status["result"], json!([trace, "$LATEST", 3]));
}

/// INV-09, INV-11, UNV-22: in the same words for each invocation type. Other content types than JSON's are accepted.
#[actix::test]
async fn a_body_that_is_not_json_is_refused_in_the_same_words_for_calls_and_events() {
    let served = serve().await;
    for body in [&b"{"[..], b"\xff", b"nul", b"1 2"] {
        let mut told = Vec::new();
        for kind in ["RequestResponse", "Event", "DryRun"] {
            let answer = served.invoke("echo", kind, body).await;
            assert_eq!(answer.error(), (400, "InvalidRequestContentException"));
            told.push(answer.json());
        }
        let begins = "Could not parse request body into json: Could not parse payload into json: ";
        let message = told[0]["message"].as_str().unwrap();
        assert!(
            message.len() > begins.len() && message.starts_with(begins),
            "{message}"
        );
        assert!(told.iter().all(|it| *it == told[0]), "{told:?}");
    }
    for kind in ["text/html", "application/octet-stream"] {
        let path = invocations("echo");
        let answer = served
            .request("POST", &path, &[("Content-Type", kind)], b"7")
            .await;
        assert_eq!(answer.status, 200, "{kind}");
    }
    let stats = served.runtime.client().function_stats("echo").unwrap();
    assert_eq!(stats.events.accepted, 0);
}

/// LST-11: an event is accepted before it runs, and its response contains no result.
#[actix::test]
async fn an_event_gets_its_response_while_it_runs() {
    let gate = Arc::new(Semaphore::new(0));
    let passing = gate.clone();
    let gated = Function::new("gated", move |event: Event<Value>| {
        let passing = passing.clone();
        async move {
            drop(passing.acquire().await);
            Ok::<_, String>(event.payload().clone())
        }
    });
    let gated = gated.timeout(Duration::from_secs(60));
    let served = serve_with(builder().function(gated), |api| api).await;
    let answer = served.invoke("gated", "Event", br#"{"a":1}"#).await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    let id = answer.header("x-amzn-requestid").unwrap();
    let status = served.get(&format!("/_redrive/events/{id}")).await.json();
    assert!(
        ["accepted", "running"].contains(&status["state"].as_str().unwrap()),
        "{status}"
    );
    gate.add_permits(1);
    let status = served.wait(id).await;
    assert_eq!(
        (&status["state"], &status["result"]),
        (&json!("succeeded"), &json!({"a": 1}))
    );
}

/// LST-10, ERR-06: the response to a call says whether the reserved concurrency is in use or the mailbox is full.
#[actix::test]
async fn a_throttled_call_gets_the_reason_that_applies() {
    let busy = |name| hangs(name, 60_000).concurrency(1).mailbox_events_max(1);
    let builder = Runtime::builder()
        .function(busy("reserved"))
        .function(busy("full"));
    let served = serve_with(builder, |api| api).await;
    let path = "/2017-10-31/functions/reserved/concurrency";
    let body = br#"{"ReservedConcurrentExecutions":0}"#;
    assert_eq!(served.request("PUT", path, &[], body).await.status, 200);
    while served.invoke("full", "Event", b"{}").await.status == 202 {}
    for (function, reason) in [
        (
            "reserved",
            "ReservedFunctionConcurrentInvocationLimitExceeded",
        ),
        ("full", "ConcurrentInvocationLimitExceeded"),
    ] {
        let answer = served.invoke(function, "RequestResponse", b"{}").await;
        assert_eq!(answer.error(), (429, "TooManyRequestsException"));
        assert_eq!(answer.json()["Reason"], reason);
    }
}

/// INV-08, UNV-19: an empty body is `{}` in the record of its event too.
#[actix::test]
async fn an_empty_body_is_an_empty_object_in_the_record() {
    let (sender, mut records) = mpsc::unbounded_channel();
    let destination = Destination::closure(move |record| {
        let _ = sender.send(serde_json::to_value(&record).unwrap());
    });
    let function = Function::new("f", |_: Event<Value>| async { Ok::<_, String>(()) });
    let builder = Runtime::builder().function(function.on_success(destination));
    let served = serve_with(builder, |api| api).await;
    assert_eq!(served.invoke("f", "Event", b"").await.status, 202);
    assert_eq!(records.recv().await.unwrap()["requestPayload"], json!({}));
}
