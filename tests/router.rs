//! The entry points and the observable output: router, clients on other threads, spans and log events.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod log_capture;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use redrive::{
    Client, Durability, Event, Function, Invoke, InvokeError, RetryPolicy, Runtime, Status,
};
use tokio::sync::mpsc;
use tracing::Level;

/// Sends each payload on.
fn relay(name: &str) -> (Function, mpsc::UnboundedReceiver<u32>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let handler = move |event: Event<u32>| {
        let sent = sender.send(*event).map_err(|error| error.to_string());
        async move { sent }
    };
    (Function::new(name, handler), receiver)
}

#[actix::test]
async fn the_router_replies_with_a_receipt_or_a_refusal() {
    let (function, mut seen) = relay("relay");
    let runtime = Runtime::builder().function(function).start().await.unwrap();
    let router = runtime.router();
    let receipt = router
        .send(Invoke::event("relay", 1_u32))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receipt.durability, Durability::Memory);
    let end = runtime.client().wait(receipt.request_id).await;
    assert!(
        matches!(end, Some(Status::Succeeded { attempts: 1, .. })),
        "{end:?}"
    );
    assert_eq!(seen.recv().await, Some(1));

    router.do_send(Invoke::event("relay", 2_u32));
    assert_eq!(seen.recv().await, Some(2));

    let refused = router
        .send(Invoke::event("nobody", 3_u32))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(refused.to_string(), "function `nobody` is not registered");
    let _ = runtime.shutdown(Duration::from_secs(10)).await;
    let late = router.send(Invoke::event("relay", 4_u32)).await;
    assert!(!matches!(late, Ok(Ok(_))), "{late:?}");
}

#[test]
fn a_client_is_send_sync_clone_and_static() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Client>();
    fn check_future<T: Send>(_: &T) {}
    fn futures_are_send(client: &Client) {
        check_future(&client.invoke("f", 1_u32));
        check_future(&client.send(Invoke::event("f", 1_u32)));
        check_future(&client.call::<u32>("f", 1_u32));
    }
    let _ = futures_are_send;
}

#[actix::test]
async fn clients_invoke_from_threads_without_an_executor() {
    let (function, mut seen) = relay("threads");
    let runtime = Runtime::builder().function(function).start().await.unwrap();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let client = runtime.client();
            std::thread::spawn(move || {
                for n in 0..100 {
                    let accepting = pin!(client.invoke("threads", thread * 100 + n));
                    // In memory, acceptance waits for nothing.
                    let polled = accepting.poll(&mut Context::from_waker(Waker::noop()));
                    assert!(matches!(polled, Poll::Ready(Ok(_))), "{polled:?}");
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    while all.len() < 400 {
        all.push(seen.recv().await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (0..400).collect::<Vec<u32>>());
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let _ = runtime.shutdown(Duration::from_secs(10)).await;
}

#[actix::test]
async fn a_client_that_outlives_its_runtime_is_refused() {
    let (function, _seen) = relay("gone");
    let runtime = Runtime::builder().function(function).start().await.unwrap();
    let client = runtime.client();
    drop(runtime);
    let refused = client.invoke("gone", 1_u32).await.unwrap_err();
    assert!(
        matches!(refused, InvokeError::ShuttingDown | InvokeError::NoSystem),
        "{refused:?}"
    );
}

#[actix::test]
async fn each_attempt_has_one_span_and_each_event_is_logged_as_accepted_retried_and_buried() {
    let log = log_capture::log();
    let handler = |event: Event<u32>| async move {
        tracing::info!("before");
        tokio::task::yield_now().await;
        tracing::info!("after");
        if event.context().attempt() <= *event {
            Err("not yet")
        } else {
            Ok(())
        }
    };
    let function = Function::new("seen", handler).retry(RetryPolicy::fixed(2, Duration::ZERO));
    let runtime = Runtime::builder().function(function).start().await.unwrap();
    let client = runtime.client();
    let healed = client
        .send(Invoke::event("seen", 2_u32).trace_header("Root=1-2"))
        .await
        .unwrap()
        .request_id;
    assert!(matches!(
        client.wait(healed).await,
        Some(Status::Succeeded { attempts: 3, .. })
    ));
    let dead = client.invoke("seen", 9_u32).await.unwrap().request_id;
    let Some(Status::Dead(letter)) = client.wait(dead).await else {
        panic!("it never succeeds");
    };

    for (id, trace) in [
        (healed.to_string(), "Root=1-2"),
        // XRY-04: its own, and the same on every attempt.
        (dead.to_string(), &letter.trace_header.clone().unwrap()),
    ] {
        let spans = log.lines(|line| line.span && line.fields.get("request_id") == Some(&id));
        assert!(
            spans
                .iter()
                .all(|span| span.text == "attempt" && span.fields["function"] == "seen")
        );
        let attempts: Vec<_> = spans
            .iter()
            .map(|span| span.fields["attempt"].as_str())
            .collect();
        assert_eq!(attempts, ["1", "2", "3"]);
        assert!(
            spans
                .iter()
                .all(|span| span.fields["trace_header"] == trace)
        );
        // The handler's log lines, before and after an await, are inside the span.
        for text in ["before", "after"] {
            let inside =
                log.lines(|line| line.text == text && line.within.get("request_id") == Some(&id));
            let attempts: Vec<_> = inside
                .iter()
                .map(|line| line.within["attempt"].as_str())
                .collect();
            assert_eq!(attempts, ["1", "2", "3"]);
        }
        let of_it = |line: &log_capture::Line, text: &str| {
            line.is("seen", text) && line.fields.get("request_id") == Some(&id)
        };
        assert_eq!(
            log.lines(|line| of_it(line, "accepted") && line.level == Level::DEBUG)
                .len(),
            1
        );
        for attempt in ["1", "2"] {
            let retried = log
                .wait(|line| of_it(line, "retrying") && line.fields["attempt"] == attempt)
                .await;
            assert_eq!(
                (retried.level, retried.fields["failure"].contains("not yet")),
                (Level::WARN, true)
            );
        }
    }
    let buried = log.lines(|line| line.is("seen", "event became a dead letter"));
    assert_eq!(buried.len(), 1);
    assert_eq!(
        (buried[0].level, &buried[0].fields["request_id"]),
        (Level::ERROR, &dead.to_string())
    );
    assert_eq!(buried[0].fields["condition"], "RetriesExhausted");
    let _ = runtime.shutdown(Duration::from_secs(10)).await;
}
