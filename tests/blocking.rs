//! Functions that block their thread: in virtual time, where there are as many threads for all such work as a test says,
//! and on threads of their own.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use common::{endless_panic, invoke, secs};
use redrive::testing::Simulation;
use redrive::{CallError, Event, FailureKind, Function, RequestId, RetryPolicy, Runtime, Status};

/// Runs `test` in a simulation of `function`.
fn on_one_thread<F, Fut>(function: Function, test: F)
where
    F: FnOnce(Simulation) -> Fut,
    Fut: Future<Output = ()>,
{
    on_threads(1, function, test);
}

fn on_threads<F, Fut>(threads: usize, function: Function, test: F)
where
    F: FnOnce(Simulation) -> Fut,
    Fut: Future<Output = ()>,
{
    let runtime = move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let builder = builder.enable_all().start_paused(true);
        builder.max_blocking_threads(threads).build().unwrap()
    };
    actix::System::with_tokio_rt(runtime).block_on(async {
        let builder = Runtime::builder().function(function);
        test(Simulation::start(7, builder).await.unwrap()).await;
    });
}

/// Waits until the function's only worker runs an event, so that its work is on the thread.
async fn until_running(simulation: &Simulation) {
    while simulation.running("f") == 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_blocking_run_that_is_abandoned_before_it_has_a_thread_never_begins() {
    let (begun, begins) = mpsc::channel();
    let function = Function::blocking("f", move |event: Event<String>| {
        begun.send(event.clone()).map_err(|error| error.to_string())
    });
    // One worker: the next event runs only after the one before was given up.
    let function = function.concurrency(1).timeout(secs(3));
    on_one_thread(function.retry(RetryPolicy::none()), |s| async move {
        let (open, gate) = mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || gate.recv());

        let cancelled = invoke(&s, "f", "cancelled".to_owned()).await;
        until_running(&s).await;
        assert!(s.client().cancel(cancelled).await);
        let late = invoke(&s, "f", "timed out".to_owned()).await;
        until_running(&s).await;
        // Tokio's clock does not jump while a thread works.
        tokio::time::advance(secs(4)).await;
        let Some(Status::Dead(letter)) = s.client().wait(late).await else {
            panic!("it has no time left")
        };
        assert_eq!(letter.failure().unwrap().kind, FailureKind::Timeout);

        let last = invoke(&s, "f", "in time".to_owned()).await;
        until_running(&s).await;
        open.send(()).unwrap();
        busy.await.unwrap().unwrap();
        let end = s.client().wait(last).await;
        assert!(matches!(end, Some(Status::Succeeded { .. })));
        assert_eq!(begins.try_iter().collect::<Vec<_>>(), ["in time"]);
    });
}

#[test]
fn a_blocking_thread_survives_any_panic_of_its_handler() {
    let function = Function::blocking("f", |event: Event<bool>| {
        if *event {
            endless_panic();
        }
        Ok::<_, String>(())
    });
    on_one_thread(function.retry(RetryPolicy::none()), |s| async move {
        let panics = invoke(&s, "f", true).await;
        let Some(Status::Dead(letter)) = s.client().wait(panics).await else {
            panic!("it can't succeed")
        };
        assert_eq!(letter.failure().unwrap().kind, FailureKind::Panic);
        let id = invoke(&s, "f", false).await;
        let end = s.client().wait(id).await;
        assert!(matches!(end, Some(Status::Succeeded { .. })));
    });
}

/// A gate at which threads wait until it is opened.
#[derive(Clone, Default)]
struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
    /// The threads that have arrived.
    came: Arc<AtomicU32>,
}

impl Gate {
    fn pass(&self) {
        let (open, opens) = &*self.open;
        let closed = open.lock().unwrap();
        self.came.fetch_add(1, SeqCst);
        drop(opens.wait_while(closed, |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }

    fn came(&self) -> u32 {
        self.came.load(SeqCst)
    }
}

/// A function that hangs at the gate if its payload says so.
fn hanging(gate: &Gate) -> Function {
    let gate = gate.clone();
    Function::blocking("f", move |event: Event<bool>| {
        if *event {
            gate.pass();
        }
        Ok::<_, String>(())
    })
}

/// Stops tokio's clock, which stands still while a thread works.
async fn until(holds: impl Fn() -> bool) {
    let since = std::time::Instant::now();
    while !holds() {
        assert!(since.elapsed() < secs(60), "it doesn't come");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_function_with_too_many_abandoned_threads_waits_for_one_to_return() {
    let gate = Gate::default();
    let function = hanging(&gate).abandoned_threads_max(3).concurrency(2);
    let function = function.timeout(secs(3)).retry(RetryPolicy::none());
    on_threads(8, function, |s| async move {
        let client = s.client();
        let abandoned = || client.function_stats("f").unwrap().abandoned_threads;
        let mut ids: Vec<RequestId> = Vec::new();
        for _ in 0..6 {
            ids.push(invoke(&s, "f", true).await);
        }
        for came in [2, 4] {
            until(|| gate.came() == came).await;
            tokio::time::advance(secs(4)).await;
            until(|| abandoned() == u64::from(came)).await;
        }
        let Err(CallError::Failed(failure)) = client.call::<()>("f", false).await else {
            panic!("its callers don't wait")
        };
        assert_eq!(failure.kind, FailureKind::Throttle);
        let last = invoke(&s, "f", false).await;
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        let stats = client.function_stats("f").unwrap();
        assert_eq!((stats.events.ready, stats.events.running), (3, 0));
        assert_eq!((gate.came(), client.stats().abandoned_threads), (4, 4));
        gate.open();
        assert!(matches!(
            client.wait(last).await,
            Some(Status::Succeeded { .. })
        ));
        let mut succeeded = 0;
        for id in ids {
            let end = client.wait(id).await;
            succeeded += u32::from(matches!(end, Some(Status::Succeeded { .. })));
        }
        assert_eq!((succeeded, gate.came(), abandoned()), (2, 6, 0));
        client.call::<()>("f", false).await.unwrap();
    });
}

/// Fails the test if `what` never ends.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, what).await.unwrap()
}

#[actix::test]
async fn a_function_that_blocks_takes_no_thread_from_another_nor_from_the_application() {
    // More than tokio's pool has.
    const HANGING: u32 = 600;
    let gate = Gate::default();
    let hanging = hanging(&gate).concurrency(HANGING).timeout(secs(600));
    let blocking = Function::blocking("blocking", |_: Event<()>| Ok::<_, String>(7));
    let spawning = async |_: Event<()>| actix_rt::task::spawn_blocking(|| 8).await;
    let builder = Runtime::builder().function(hanging).function(blocking);
    let builder = builder.function(Function::new("spawning", spawning));
    let runtime = soon(builder.arbiters(1).start()).await.unwrap();
    let client = runtime.client();
    for _ in 0..HANGING {
        client.invoke("f", true).await.unwrap();
    }
    soon(async {
        while gate.came() < HANGING {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let call = |function| soon(client.call::<u32>(function, ()));
    assert_eq!(call("blocking").await.unwrap(), 7);
    assert_eq!(call("spawning").await.unwrap(), 8);
    gate.open();
    let report = soon(runtime.shutdown(secs(60))).await;
    assert!(report.unfinished.is_empty());
}

#[actix::test]
async fn a_blocking_handler_finds_the_runtime_of_its_worker() {
    let function = Function::blocking("f", |_: Event<()>| {
        let runtime = tokio::runtime::Handle::try_current()?;
        Ok::<_, Box<dyn std::error::Error>>(runtime.block_on(async { 7 }))
    });
    let runtime = Runtime::builder().function(function).start().await.unwrap();
    let seven = soon(runtime.client().call::<u32>("f", ())).await;
    assert_eq!(seven.unwrap(), 7);
    let _ = runtime.shutdown(secs(1)).await;
}
