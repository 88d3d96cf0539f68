//! A machine without free threads or descriptors: the runtime refuses events meanwhile, and nothing worse.
//!
//! Each test lowers the limit of its process, so each runs in a separate process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod log_capture;

use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use redrive::{BuildError, Event, Function, Runtime};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::mpsc;

const FAR: Duration = Duration::from_secs(3600);
const TASK: &str = "REDRIVE_TEST_CHILD";

fn echo() -> Function {
    Function::new("echo", |event: Event<u32>| async move {
        Ok::<_, String>(*event)
    })
}

/// Prevents new descriptors until the result is given to `restore`. An arbiter needs some.
fn no_descriptors() -> Rlimit {
    let before = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..before
    };
    setrlimit(Resource::Nofile, none).unwrap();
    before
}

fn restore(before: Rlimit) {
    setrlimit(Resource::Nofile, before).unwrap();
}

/// Runs the named test of this file in a separate process, unless this is that process. Returns whether it is.
fn alone(name: &str) -> bool {
    if std::env::var(TASK).is_ok_and(|task| task == name) {
        return true;
    }
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(TASK, name)
        .status()
        .unwrap();
    assert!(run.success(), "{run}");
    false
}

fn block_on<R>(test: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let test = tokio::time::timeout(Duration::from_secs(60), test);
        test.await.expect("nobody waits for ever")
    })
}

#[test]
fn a_start_without_descriptors_is_refused_and_another_succeeds() {
    if !alone("a_start_without_descriptors_is_refused_and_another_succeeds") {
        return;
    }
    block_on(async {
        let before = no_descriptors();
        let refused = Runtime::builder().function(echo()).start().await;
        restore(before);
        let error = refused.unwrap_err();
        assert!(matches!(error, BuildError::Thread(_)), "{error}");
        assert!(error.to_string().contains("Too many open files"), "{error}");
        let runtime = Runtime::builder().function(echo()).start().await.unwrap();
        assert_eq!(
            runtime.client().call::<u32>("echo", 7_u32).await.unwrap(),
            7
        );
        let _ = runtime.shutdown(FAR).await;
    });
}

/// So many of the threads that a start needs can be had; then no more.
#[test]
fn a_start_that_is_refused_half_way_leaves_no_thread_behind() {
    if !alone("a_start_that_is_refused_half_way_leaves_no_thread_behind") {
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    block_on(async {
        let before = getrlimit(Resource::Nofile);
        let quiet = threads();
        let mut refused = 0;
        for spare in 0..40 {
            let scarce = Rlimit {
                current: Some(descriptors() + spare),
                ..before
            };
            setrlimit(Resource::Nofile, scarce).unwrap();
            let started = Runtime::builder()
                .arbiters(4)
                .function(echo())
                .start()
                .await;
            restore(before);
            match started {
                Err(BuildError::Thread(_)) => refused += 1,
                Err(other) => panic!("{other}"),
                Ok(runtime) => drop(runtime.shutdown(FAR).await),
            }
            while threads() > quiet {
                tokio::task::yield_now().await;
            }
        }
        assert!((1..40).contains(&refused), "{refused} of 40 were refused");
    });
}

#[test]
fn a_blocked_arbiter_is_replaced_as_soon_as_a_thread_can_be_had() {
    if !alone("a_blocked_arbiter_is_replaced_as_soon_as_a_thread_can_be_had") {
        return;
    }
    let log = log_capture::log();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (sender, mut stuck) = mpsc::unbounded_channel();
    let passing = gate.clone();
    let handler = move |_: Event<u32>| {
        sender.send(()).unwrap();
        let (open, opened) = &*passing;
        drop(opened.wait_while(open.lock().unwrap(), |open| !*open));
        async { Ok::<_, String>(()) }
    };
    let blocking = Function::new("blocking", handler).timeout(FAR);
    block_on(async {
        let runtime = Runtime::builder()
            .arbiters(1)
            .blocked_after(Duration::from_millis(50))
            .function(blocking)
            .function(echo())
            .start()
            .await
            .unwrap();
        let client = runtime.client();
        let event = client.invoke("blocking", 1_u32).await.unwrap().request_id;
        stuck.recv().await.unwrap();
        let before = no_descriptors();
        let caller = client.clone();
        let calling = tokio::spawn(async move { caller.call::<u32>("echo", 7_u32).await });
        let line = log.wait(|line| line.text.contains("no thread")).await;
        assert_eq!(line.level, tracing::Level::ERROR);
        assert!(!calling.is_finished());
        restore(before);
        assert_eq!(calling.await.unwrap().unwrap(), 7);
        log.wait(|line| line.text.contains("available again")).await;
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        client.wait(event).await.unwrap();
        let lines = log.lines(|line| line.text.contains("no thread"));
        assert_eq!(lines.len(), 1, "it is said once");
        let _ = runtime.shutdown(FAR).await;
    });
}
