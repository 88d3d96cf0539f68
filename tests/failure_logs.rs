//! The log of a failing attempt: the error with its type, its causes and a panic's location, between START and END.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::error::Error;
use std::time::Duration;

use redrive::{
    Client, Event, Final, Function, Invoke, InvokeError, Logs, RequestId, RetryPolicy, Runtime,
};

#[derive(Debug, thiserror::Error)]
#[error("the card was declined\nEND RequestId: forged")]
struct Declined(#[source] Box<dyn Error + Send + Sync>);

async fn charge(_: Event<u32>) -> Result<(), Declined> {
    Err(Declined("limit reached\rREPORT RequestId: forged".into()))
}

async fn boxed(_: Event<u32>) -> Result<(), Box<dyn Error>> {
    Err(Final::new(Declined("none".into())).into())
}

async fn long(_: Event<u32>) -> Result<(), String> {
    Err("x".repeat(60_000))
}

const PANIC_LINE: u32 = line!() + 2;
async fn crash(_: Event<u32>) -> Result<(), String> {
    panic!("overboard\nSTART RequestId: forged")
}

fn crash_on_a_thread(_: Event<u32>) -> Result<(), String> {
    panic!("on a thread")
}

async fn hang(_: Event<u32>) -> Result<(), String> {
    std::future::pending().await
}

async fn fine(_: Event<u32>) -> Result<(), String> {
    Ok(())
}

fn functions() -> [Function; 7] {
    [
        Function::new("charge", charge),
        Function::new("boxed", boxed),
        Function::new("long", long),
        Function::new("crash", crash),
        Function::blocking("thread", crash_on_a_thread),
        Function::new("hang", hang).timeout(Duration::from_millis(20)),
        Function::new("fine", fine),
    ]
}

async fn start() -> (Runtime, Logs) {
    let logs = Logs::new();
    let builder = functions()
        .into_iter()
        .fold(Runtime::builder(), |it, function| {
            it.function(function.retry(RetryPolicy::none()))
        });
    (builder.logs(logs.clone()).start().await.unwrap(), logs)
}

async fn run(client: &Client, function: &'static str) -> RequestId {
    let id = client.invoke(function, 1_u32).await.unwrap().request_id;
    client.wait(id).await.unwrap();
    id
}

/// The lines between START and END, after it was checked that there is one of each of the runtime's own.
async fn said(client: &Client, logs: &Logs, function: &'static str) -> Vec<String> {
    let id = run(client, function).await;
    let log = logs.of(function, id).unwrap();
    let lines: Vec<_> = log.lines().map(str::to_owned).collect();
    for word in ["START ", "END ", "REPORT "] {
        let own = lines.iter().filter(|line| line.starts_with(word));
        assert_eq!(own.count(), 1, "{log}");
    }
    let end = format!("END RequestId: {id}");
    assert!(
        lines[0].starts_with(&format!("START RequestId: {id} ")),
        "{log}"
    );
    assert_eq!(lines[lines.len() - 2], end, "{log}");
    lines[1..lines.len() - 2].to_vec()
}

/// LOG-03, LOG-04
#[actix::test]
async fn a_failure_is_logged_with_its_type_and_causes() {
    let (runtime, logs) = start().await;
    let client = runtime.client();
    let declined = r"the card was declined\nEND RequestId: forged";
    let charged = said(&client, &logs, "charge").await;
    assert_eq!(charged.len(), 2, "{charged:?}");
    assert_eq!(
        charged[0],
        format!("[ERROR] failure_logs::Declined: {declined}")
    );
    assert_eq!(
        charged[1],
        r"Caused by: limit reached\rREPORT RequestId: forged"
    );
    let boxed = said(&client, &logs, "boxed").await;
    assert_eq!(boxed[0], format!("[ERROR] Declined: {declined}"));
    let long = said(&client, &logs, "long").await;
    assert!(long.len() == 1 && long[0].len() <= 1_024, "{long:?}");
    assert!(said(&client, &logs, "fine").await.is_empty());
}

/// LOG-07
#[actix::test]
async fn a_panic_is_logged_with_its_location() {
    let (runtime, logs) = start().await;
    let client = runtime.client();
    let crashed = said(&client, &logs, "crash").await;
    let text = r"[ERROR] Panic: panicked: overboard\nSTART RequestId: forged";
    assert_eq!(crashed[0], text);
    let place = format!("    at {}:{}:", file!(), PANIC_LINE);
    assert!(crashed[1].starts_with(&place), "{crashed:?}, not {place}");
    let on_a_thread = said(&client, &logs, "thread").await;
    assert_eq!(on_a_thread[0], "[ERROR] Panic: panicked: on a thread");
    assert!(on_a_thread[1].starts_with(&format!("    at {}:", file!())));
}

/// LOG-09
#[actix::test]
async fn a_timeout_is_logged_in_awss_words_only() {
    let (runtime, logs) = start().await;
    let client = runtime.client();
    let hung = said(&client, &logs, "hang").await;
    assert!(
        hung[0].ends_with(" Task timed out after 0.02 seconds"),
        "{hung:?}"
    );
    assert!(!hung.concat().contains("[ERROR]"), "{hung:?}");
}

/// LOG-07: an attempt that ends its worker is logged too.
#[actix::test]
async fn a_lost_worker_is_logged() {
    let logs = Logs::new();
    let stopper = |_: Event<u32>| async move {
        actix::Arbiter::current().stop();
        std::future::pending::<Result<(), String>>().await
    };
    let stopper = Function::new("stopper", stopper).retry(RetryPolicy::none());
    let builder = Runtime::builder().arbiters(1).function(stopper);
    let runtime = builder.logs(logs.clone()).start().await.unwrap();
    let client = runtime.client();
    let lost = said(&client, &logs, "stopper").await;
    let text = "[ERROR] Runtime.ExitError: the worker ended while it ran the event";
    assert_eq!(lost, [text]);
}

/// LOG-09: so is an attempt that was abandoned because it holds its thread.
#[actix::test]
async fn the_timeout_of_a_handler_that_blocks_its_arbiter_is_logged() {
    let logs = Logs::new();
    let (free, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let blocker = move |_: Event<u32>| {
        let _ = held.lock().map(|held| held.recv());
        async move { Ok::<_, String>(()) }
    };
    let timeout = Duration::from_millis(50);
    let blocker = Function::new("blocker", blocker).retry(RetryPolicy::none());
    let builder = Runtime::builder().function(blocker.timeout(timeout));
    let runtime = builder.logs(logs.clone()).start().await.unwrap();
    let client = runtime.client();
    let given_up = said(&client, &logs, "blocker").await;
    assert!(
        given_up[0].ends_with(" Task timed out after 0.05 seconds"),
        "{given_up:?}"
    );
    drop(free);
}

/// LOG-11: the log of a reused id, for another function or the same, contains nothing of the earlier event.
#[actix::test]
async fn a_log_contains_one_event_of_one_function() {
    let logs = Logs::new();
    let day = Duration::from_secs(86_400);
    let forgetful = |it: Function| it.retry(RetryPolicy::none()).retain(1, day, 1 << 20);
    let builder = functions()
        .into_iter()
        .fold(Runtime::builder(), |it, function| {
            it.function(forgetful(function))
        });
    let runtime = builder.logs(logs.clone()).start().await.unwrap();
    let client = runtime.client();
    let id = run(&client, "boxed").await;
    let victim = logs.of("boxed", id);
    assert!(victim.as_ref().unwrap().contains("[ERROR] Declined"));
    for function in ["fine", "charge", "crash"] {
        assert_eq!(logs.of(function, id), None);
    }
    for (function, lines) in [("fine", 3), ("long", 4), ("fine", 3)] {
        invoke_with_id(&client, function, id).await;
        let log = logs.of(function, id).unwrap();
        assert_eq!(log.lines().count(), lines, "{log}");
        assert!(!log.contains("Declined"), "{log}");
        assert_eq!(logs.of("boxed", id), victim);
    }
}

/// Invokes a function under an id, as soon as the last event that had it is forgotten, and waits for the end.
async fn invoke_with_id(client: &Client, function: &'static str, id: RequestId) {
    loop {
        let event = Invoke::event(function, 1_u32).request_id(id);
        match client.send(event).await {
            Ok(_) => break,
            Err(InvokeError::RequestIdTaken { .. }) => {
                for function in ["boxed", "fine", "long"] {
                    run(client, function).await;
                }
            }
            Err(other) => panic!("{other}"),
        }
    }
    client.wait(id).await.unwrap();
}
