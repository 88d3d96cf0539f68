//! A machine that has no thread for a while.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod child;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use child::{Running, Voice};
use redrive::{CallError, Event, FailureKind, Function, RetryPolicy, Runtime, Status};

/// Bounds the memory that this process may map, or lifts the bound. Without memory for its stack no thread starts.
/// Returns whether the system allowed it.
fn limit(bytes: Option<u64>) -> bool {
    let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let (process, bound) = (std::process::id().to_string(), format!("--as={soft}:"));
    let done = Command::new("prlimit")
        .args(["--pid", &process, &bound])
        .status();
    done.is_ok_and(|status| status.success())
}

/// How much memory this process has mapped, in bytes.
fn mapped() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().next().unwrap().parse().unwrap();
    pages * 4_096
}

/// Runs events without threads, then with.
async fn run_short(voice: &Voice) {
    let begun = Arc::new(AtomicU32::new(0));
    let counted = begun.clone();
    let function = Function::blocking("f", move |_: Event<()>| {
        counted.fetch_add(1, SeqCst);
        Ok::<_, String>(())
    });
    let function = function.concurrency(4).timeout(Duration::from_secs(5));
    let function = function.retry(RetryPolicy::none());
    let other = Function::new("other", async |_: Event<()>| Ok::<_, String>(()));
    let builder = Runtime::builder().function(function).function(other);
    let runtime = builder.arbiters(2).start().await.unwrap();
    let client = runtime.client();
    client.call::<()>("other", ()).await.unwrap();
    // Small allocations still fit; a stack has two megabytes.
    if !limit(Some(mapped() + (1 << 20))) {
        return voice.say("no limit");
    }
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(client.invoke("f", ()).await.unwrap().request_id);
    }
    let call = client.call::<()>("f", ()).await;
    let other = client.call::<()>("other", ()).await;
    limit(None);
    match call {
        Err(CallError::Failed(failure)) => assert_eq!(failure.kind, FailureKind::System),
        other => return voice.say(format_args!("no limit: {other:?}")),
    }
    other.unwrap();
    for id in ids {
        let end = client.wait(id).await;
        assert!(matches!(end, Some(Status::Succeeded { .. })), "{end:?}");
    }
    client.call::<()>("f", ()).await.unwrap();
    let _ = runtime.shutdown(Duration::from_secs(1)).await;
    voice.say(format_args!("begun {}", begun.load(SeqCst)));
}

#[test]
#[ignore = "the process of another test"]
fn child() {
    if child::task().is_none() {
        return;
    }
    let voice = Voice::new();
    actix::System::new().block_on(run_short(&voice));
}

#[test]
fn an_attempt_that_found_no_thread_runs_later_and_once() {
    let mut running = Running::start("child", Path::new("."), "short");
    let said: Vec<_> = running.lines().collect();
    match said.as_slice() {
        [line] if line.starts_with("no limit") => println!("skipped: {line}"),
        said => assert_eq!(said, ["begun 7"]),
    }
}
