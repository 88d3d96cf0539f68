//! Functions that block their thread, where there is one thread for all such work.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::future::Future;
use std::sync::mpsc;

use common::{endless_panic, invoke, secs};
use redrive::testing::Simulation;
use redrive::{Event, FailureKind, Function, RetryPolicy, Runtime, Status};

/// Runs `test` in a simulation of `function`.
fn on_one_thread<F, Fut>(function: Function, test: F)
where
    F: FnOnce(Simulation) -> Fut,
    Fut: Future<Output = ()>,
{
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let builder = builder.enable_all().start_paused(true);
        builder.max_blocking_threads(1).build().unwrap()
    };
    actix::System::with_tokio_rt(runtime).block_on(async {
        let builder = Runtime::builder().function(function);
        test(Simulation::start(7, builder).await.unwrap()).await;
    });
}

/// Until the function's one worker runs an event: its work has been given to the thread.
async fn until_running(simulation: &Simulation) {
    while simulation.running("f") == 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_run_that_is_given_up_before_its_thread_is_free_never_begins() {
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
fn whatever_a_blocking_handler_panics_with_its_thread_goes_on() {
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
