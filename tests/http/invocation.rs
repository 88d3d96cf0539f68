//! Invocations: their three types, and the data that they carry.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redrive::{Event, Function, Logs, Runtime};
use serde_json::{Value, json};

use crate::support::{builder, invocations, serve, serve_with};

/// INV-13, INV-19: the response has the event's id.
#[actix::test]
async fn an_event_gets_an_empty_202() {
    let served = serve().await;
    let answer = served.invoke("echo", "Event", br#"{"a":1}"#).await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    for absent in [
        "x-amz-executed-version",
        "x-amz-function-error",
        "x-amz-log-result",
    ] {
        assert_eq!(answer.header(absent), None);
    }
    let status = served
        .wait(answer.header("x-amzn-requestid").unwrap())
        .await;
    assert_eq!(
        (&status["state"], &status["result"]),
        (&json!("succeeded"), &json!({"a": 1}))
    );
}

/// ASY-13, ASY-16: an event that fails, seen from outside.
#[actix::test]
async fn an_event_that_fails_is_retried_twice_and_becomes_a_dead_letter() {
    let served = serve().await;
    let answer = served
        .invoke("fail", "Event", br#"{"message":"ouch"}"#)
        .await;
    assert_eq!(answer.status, 202);
    let status = served
        .wait(answer.header("x-amzn-requestid").unwrap())
        .await;
    assert_eq!(status["state"], "dead");
    assert_eq!(status["letter"]["condition"], "RetriesExhausted");
    assert_eq!(status["letter"]["attempts"].as_array().unwrap().len(), 3);
    assert_eq!(
        status["letter"]["attempts"][0]["failure"]["message"],
        "ouch"
    );
}

/// INV-14, INV-17, INV-04: the type is `RequestResponse` by default.
#[actix::test]
async fn a_call_returns_its_result_in_the_body() {
    let served = serve().await;
    for headers in [&[][..], &[("X-Amz-Invocation-Type", "RequestResponse")]] {
        let answer = served
            .request("POST", &invocations("echo"), headers, b"[1, 2]")
            .await;
        assert_eq!((answer.status, answer.json()), (200, json!([1, 2])));
        assert_eq!(answer.header("x-amz-executed-version"), Some("$LATEST"));
        assert_eq!(answer.header("x-amz-function-error"), None);
        let log = answer.header("x-amz-log-result");
        assert_eq!(log, None, "nobody asked for it");
    }
    let live = served.invoke("echo:live", "RequestResponse", b"1").await;
    assert_eq!(live.header("x-amz-executed-version"), Some("1"));
}

/// INV-08, INV-20
#[actix::test]
async fn an_empty_body_is_an_empty_object_and_no_result_is_null() {
    let served = serve().await;
    let answer = served.invoke("echo", "RequestResponse", b"").await;
    assert_eq!(answer.json(), json!({}));
    let answer = served.invoke("sleep", "RequestResponse", b"0").await;
    assert_eq!(answer.json(), json!(0));
    let nothing = Function::new("nothing", |_: Event<Value>| async { Ok::<_, String>(()) });
    let served = serve_with(Runtime::builder().function(nothing), |api| api).await;
    let answer = served.invoke("nothing", "RequestResponse", b"1").await;
    assert_eq!((answer.status, &*answer.body), (200, &b"null"[..]));
}

/// INV-15
#[actix::test]
async fn a_dry_run_runs_nothing() {
    let served = serve().await;
    let answer = served.invoke("echo", "DryRun", b"{}").await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let stats = served.get("/_redrive/stats").await.json();
    assert_eq!(
        (&stats["Invocations"], &stats["AsyncEventsReceived"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(served.invoke("nope", "DryRun", b"{}").await.error().0, 404);
}

/// INV-14, INV-16, INV-21, INV-23, INV-25
#[actix::test]
async fn a_failure_of_the_function_is_returned_in_the_body() {
    std::panic::set_hook(Box::new(|_| ()));
    let panics = Function::new("panics", |_: Event<Value>| async {
        if true {
            panic!("overboard");
        }
        Ok::<_, String>(())
    });
    let slow = Function::new("slow", |_: Event<Value>| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<_, String>(())
    });
    let builder = builder()
        .function(panics)
        .function(slow.timeout(Duration::from_millis(50)));
    let served = serve_with(builder, |api| api).await;
    for (function, kind, message, has_id) in [
        ("fail", "alloc::string::String", "ouch", true),
        ("panics", "Panic", "Lambda panicked: overboard", false),
        (
            "slow",
            "Sandbox.Timedout",
            "RequestId: @ Error: Task timed out after 0.05 seconds",
            false,
        ),
    ] {
        let answer = served
            .invoke(function, "RequestResponse", br#"{"message":"ouch"}"#)
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-amz-function-error"), Some("Unhandled"));
        let (body, id) = (answer.json(), answer.header("x-amzn-requestid").unwrap());
        assert_eq!(body["errorType"], kind);
        assert_eq!(body["errorMessage"], message.replace('@', id));
        assert_eq!(body.get("requestId"), has_id.then(|| json!(id)).as_ref());
    }
}

/// INV-24: 6 MiB and 100 bytes.
#[actix::test]
async fn a_result_that_is_too_large_is_a_failure() {
    let big = Function::new("big", |bytes: Event<usize>| async move {
        Ok::<_, String>("x".repeat(*bytes - 2))
    });
    let served = serve_with(Runtime::builder().function(big), |api| api).await;
    let answer = served.invoke("big", "RequestResponse", b"6291556").await;
    assert_eq!((answer.status, answer.body.len()), (200, 6_291_556));
    assert_eq!(answer.header("x-amz-function-error"), None);
    let answer = served.invoke("big", "RequestResponse", b"6291557").await;
    assert_eq!(answer.json()["errorType"], "Function.ResponseSizeTooLarge");
    assert_eq!(
        answer.json()["errorMessage"],
        "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
    );
}

/// INV-05, INV-18, LOG-03 to LOG-05
#[actix::test]
async fn a_tail_shows_what_the_function_logged() {
    use tracing_subscriber::layer::SubscriberExt;

    let logs = Logs::new();
    let subscriber = tracing_subscriber::registry().with(logs.layer());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let chatty = Function::new("chatty", |lines: Event<u32>| async move {
        for line in 0..*lines {
            tracing::info!(line, "working");
        }
        Ok::<_, String>(())
    });
    let blocking = Function::blocking("blocking", |_: Event<Value>| {
        tracing::warn!("from a thread");
        Ok::<_, String>(())
    });
    let forger = Function::new("forger", |_: Event<Value>| async move {
        let line = "paid\nEND RequestId: x\r\nREPORT RequestId: x";
        tracing::info!(line, "START\nSTART RequestId: x");
        Ok::<_, String>(())
    });
    let builder = Runtime::builder()
        .logs(logs)
        .function(chatty)
        .function(forger)
        .function(blocking);
    let served = serve_with(builder, |api| api).await;
    let tail = async |function, body: &[u8]| {
        let headers = [("X-Amz-Log-Type", "Tail")];
        let answer = served
            .request("POST", &invocations(function), &headers, body)
            .await;
        let id = answer.header("x-amzn-requestid").unwrap().to_owned();
        let log = STANDARD
            .decode(answer.header("x-amz-log-result").unwrap())
            .unwrap();
        (id, String::from_utf8(log).unwrap())
    };
    let (id, log) = tail("chatty", b"2").await;
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines[0], format!("START RequestId: {id} Version: $LATEST"));
    assert!(
        lines[1].starts_with("[INFO]\t") && lines[1].ends_with(&format!("\t{id}\tworking line=0")),
        "{log}"
    );
    assert_eq!(lines[3], format!("END RequestId: {id}"));
    assert!(lines[4].starts_with(&format!("REPORT RequestId: {id}\tDuration: ")));
    assert_eq!(lines.len(), 5);

    let (id, log) = tail("chatty", b"500").await;
    assert_eq!(log.len(), 4_096);
    assert!(log.contains("line=499") && log.contains(&format!("REPORT RequestId: {id}")));

    let (id, log) = tail("forger", b"1").await;
    let said = log.lines().nth(1).unwrap();
    assert!(
        said.contains(&format!("\t{id}\tSTART\\nSTART RequestId: x line=")),
        "{log}"
    );
    assert_eq!(log.lines().count(), 4, "{log}");

    let (_, log) = tail("blocking", b"1").await;
    assert!(log.contains("\tfrom a thread\n"), "{log}");
    let (id, _) = tail("chatty", b"500").await;
    let stored = served
        .get(&format!("/_redrive/events/{id}/log"))
        .await
        .json();
    assert!(stored["log"].as_str().unwrap().contains("line=499"));
}

fn nosy() -> Function {
    Function::new("nosy", |event: Event<Value>| async move {
        let context = event.context();
        Ok::<_, String>(json!({
            "trace": context.trace_header(),
            "parent": context.traceparent(),
            "client": context.client_context(),
            "qualifier": context.qualifier(),
            "hops": context.hops(),
            "onward": context.onward_trace_header(),
        }))
    })
}

/// INV-12, XRY-01, XRY-03, XRY-04
#[actix::test]
async fn traces_reach_the_function() {
    let served = serve_with(Runtime::builder().function(nosy()), |api| api).await;
    let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let given = format!("Self=1-2-3;{root};Parent=53995c3f42cd8ad8;Sampled=1;x=y");
    let headers = [("X-Amzn-Trace-Id", &*given), ("traceparent", parent)];
    let seen = served
        .request("POST", &invocations("nosy"), &headers, b"1")
        .await
        .json();
    assert_eq!(
        seen["trace"],
        format!("{root};Parent=53995c3f42cd8ad8;Sampled=1;x=y")
    );
    assert_eq!(
        (&seen["parent"], &seen["hops"]),
        (&json!(parent), &json!(0))
    );

    let answer = served
        .request("POST", &invocations("nosy"), &[], b"1")
        .await;
    let made = answer.json();
    assert_eq!(answer.header("x-amzn-trace-id"), made["trace"].as_str());
    let made = made["trace"].as_str().unwrap().to_owned();
    assert!(
        made.starts_with("Root=1-") && made.ends_with(";Sampled=0"),
        "{made}"
    );
    let faulty = [("X-Amzn-Trace-Id", "nonsense")];
    let seen = served
        .request("POST", &invocations("nosy"), &faulty, b"1")
        .await
        .json();
    let seen = seen["trace"].as_str().unwrap();
    assert!(seen.starts_with("Root=1-") && seen != made, "{seen}");
}

/// REC-01, REC-02, REC-03, REC-04: a chain of calls that goes through this API is counted by the header that the function passes on.
#[actix::test]
async fn a_loop_over_http_is_noticed() {
    let served = serve_with(Runtime::builder().function(nosy()), |api| api).await;
    let mut trace = "Root=1-5759e988-bd862e3fe1be46a994272793".to_owned();
    for hops in 0..16 {
        let headers = [("X-Amzn-Trace-Id", &*trace)];
        let seen = served
            .request("POST", &invocations("nosy"), &headers, b"1")
            .await
            .json();
        assert_eq!(seen["hops"], hops);
        trace = seen["onward"].as_str().unwrap().to_owned();
    }
    let headers = [("X-Amzn-Trace-Id", &*trace)];
    let stopped = served
        .request("POST", &invocations("nosy"), &headers, b"1")
        .await;
    assert_eq!(stopped.error(), (400, "RecursiveInvocationException"));
}

/// INV-06
#[actix::test]
async fn the_client_context_reaches_calls_only() {
    let served = serve_with(Runtime::builder().function(nosy()), |api| api).await;
    let context = r#"{"custom":{"a":"b"}}"#;
    let ask = async |context: &str, kind: &str| {
        let headers = [
            ("X-Amz-Client-Context", context),
            ("X-Amz-Invocation-Type", kind),
        ];
        served
            .request("POST", &invocations("nosy"), &headers, b"1")
            .await
    };
    let encoded = STANDARD.encode(context);
    let answer = ask(&encoded, "RequestResponse").await;
    assert_eq!(answer.json()["client"], context);
    let event = ask(&encoded, "Event").await;
    let status = served.wait(event.header("x-amzn-requestid").unwrap()).await;
    assert_eq!(status["result"]["client"], Value::Null);
    for faulty in [
        "%%%",
        &STANDARD.encode("[1]"),
        &STANDARD.encode("{"),
        &"A".repeat(3_584),
    ] {
        let answer = ask(faulty, "RequestResponse").await;
        assert_eq!(
            answer.error(),
            (400, "InvalidRequestContentException"),
            "{faulty}"
        );
    }
}

/// INV-10, BYD-12, GAP-07: a client that sends an event again under its chosen id has one event.
#[actix::test]
async fn an_event_that_is_sent_twice_under_one_id_runs_once() {
    let served = serve().await;
    let id = "5f0c5a4e-9d0a-4d8e-8b51-1d9f6f4f9a01";
    let headers = [("X-Amz-Invocation-Type", "Event"), ("X-Amzn-RequestId", id)];
    for _ in 0..2 {
        let answer = served
            .request("POST", &invocations("echo"), &headers, b"1")
            .await;
        assert_eq!(
            (answer.status, answer.header("x-amzn-requestid")),
            (202, Some(id))
        );
    }
    served.wait(id).await;
    // Under another qualifier it would be another event, and the id is taken.
    let latest = format!("{}?Qualifier=$LATEST", invocations("echo"));
    let other = served.request("POST", &latest, &headers, b"1").await;
    assert_eq!(other.error(), (409, "ResourceConflictException"));
    let stats = served.get("/_redrive/stats").await.json();
    assert_eq!(stats["AsyncEventsReceived"], 1);
    let call = [("X-Amzn-RequestId", id)];
    let answer = served
        .request("POST", &invocations("echo"), &call, b"1")
        .await;
    assert_eq!(answer.error(), (409, "ResourceConflictException"));
    let faulty = [("X-Amzn-RequestId", "7")];
    let answer = served
        .request("POST", &invocations("echo"), &faulty, b"1")
        .await;
    assert_eq!(answer.error(), (400, "InvalidRequestContentException"));
}

/// INV-10, BYD-12: an event that was never stored has no receipt, even if another event has its id.
#[actix::test]
async fn a_request_id_of_another_event_is_a_conflict() {
    let served = serve().await;
    let (of_event, of_call) = (
        "5f0c5a4e-9d0a-4d8e-8b51-1d9f6f4f9a02",
        "5f0c5a4e-9d0a-4d8e-8b51-1d9f6f4f9a03",
    );
    let ask = async |function, kind, id| {
        let headers = [("X-Amz-Invocation-Type", kind), ("X-Amzn-RequestId", id)];
        served
            .request("POST", &invocations(function), &headers, b"1")
            .await
    };
    assert_eq!(ask("echo", "Event", of_event).await.status, 202);
    assert_eq!(ask("echo", "RequestResponse", of_call).await.status, 200);
    for (function, id) in [("sleep", of_event), ("echo", of_call), ("sleep", of_call)] {
        let answer = ask(function, "Event", id).await;
        assert_eq!(answer.error(), (409, "ResourceConflictException"));
    }
    let stats = served.get("/_redrive/stats").await.json();
    assert_eq!(stats["AsyncEventsReceived"], 1);
}

/// ASY-02: the first is not on the disk yet, so the second has no receipt either.
#[cfg(feature = "testing")]
#[actix::test]
async fn an_event_that_is_sent_again_before_it_is_kept_is_sent_once_more() {
    use std::sync::Arc;

    use redrive::testing::{FaultyStore, RecordingStore, StoreCall, StoreFault};

    let store = FaultyStore::new(RecordingStore::new()).at(StoreCall::Append, 1, StoreFault::Hang);
    let store = Arc::new(store);
    let served = serve_with(builder().store(store.clone()), |api| api).await;
    let id = "5f0c5a4e-9d0a-4d8e-8b51-1d9f6f4f9a04";
    let headers = [("X-Amz-Invocation-Type", "Event"), ("X-Amzn-RequestId", id)];
    let path = invocations("echo");
    let first = served.request("POST", &path, &headers, b"1");
    let second = async {
        while store.calls(StoreCall::Append) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        served.request("POST", &path, &headers, b"1").await
    };
    let answer = tokio::select! {
        answer = first => panic!("nothing was kept, and yet there is an answer: {answer:?}"),
        answer = second => answer,
    };
    assert_eq!(answer.error(), (503, "ServiceUnavailableException"));
}

/// INV-30 to INV-33
#[actix::test]
async fn invoke_async_takes_small_events() {
    let served = serve().await;
    let path = "/2014-11-13/functions/echo/invoke-async/";
    let answer = served.request("POST", path, &[], br#"{"a":1}"#).await;
    assert_eq!(answer.status, 202);
    let status = served
        .wait(answer.header("x-amzn-requestid").unwrap())
        .await;
    assert_eq!(status["result"], json!({"a": 1}));
    let body = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
    assert_eq!(
        served
            .request("POST", path, &[], &body(262_144))
            .await
            .status,
        202
    );
    let answer = served.request("POST", path, &[], &body(262_145)).await;
    assert_eq!(answer.error(), (413, "RequestEntityTooLargeException"));
    let path = "/2014-11-13/functions/nope/invoke-async";
    assert_eq!(served.request("POST", path, &[], b"1").await.error().0, 404);
}

/// ERR-05, ERR-06, ASY-26, ASY-28, ERR-08
#[actix::test]
async fn a_function_with_zero_concurrency_takes_events_and_refuses_calls() {
    let served = serve().await;
    let path = "/2017-10-31/functions/echo/concurrency";
    let body = br#"{"ReservedConcurrentExecutions":0}"#;
    assert_eq!(served.request("PUT", path, &[], body).await.status, 200);
    let call = served.invoke("echo", "RequestResponse", b"1").await;
    assert_eq!(call.error(), (429, "TooManyRequestsException"));
    assert_eq!(
        call.json(),
        json!({
            "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
            "Type": "User",
            "message": "Rate Exceeded.",
        })
    );
    let event = served.invoke("echo", "Event", b"1").await;
    assert_eq!(event.status, 202);
    let status = served.wait(event.header("x-amzn-requestid").unwrap()).await;
    assert_eq!(status["letter"]["condition"], "ZeroReservedConcurrency");
    assert_eq!(status["letter"]["attempt_count"], 0);
}

/// ERR-05: a full mailbox says when to come back.
#[actix::test]
async fn a_full_mailbox_is_429_with_a_time_to_come_back() {
    let full = Function::new("full", |_: Event<Value>| async { Ok::<_, String>(()) });
    let builder = Runtime::builder().function(full.mailbox_events_max(1));
    let served = serve_with(builder, |api| api).await;
    served
        .request("POST", "/_redrive/functions/full/pause", &[], b"")
        .await;
    assert_eq!(served.invoke("full", "Event", b"1").await.status, 202);
    let refused = served.invoke("full", "Event", b"1").await;
    assert_eq!(refused.error(), (429, "TooManyRequestsException"));
    assert_eq!(
        refused.json()["Reason"],
        "ConcurrentInvocationLimitExceeded"
    );
    assert!(
        refused
            .header("retry-after")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
}
