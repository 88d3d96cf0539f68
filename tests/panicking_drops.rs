//! Values that panic when they are dropped during the unwinding of another panic: two panics at once would abort this process.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use common::{invoke, secs, simulate, simulate_with};
use redrive::{
    Destination, Event, FailureKind, Function, Idempotency, Payload, RetryPolicy, Runtime,
    Stateful, Status,
};
use serde::{Deserialize, Serialize, Serializer};

/// Its drop panics: it can't lock a mutex that a panic has poisoned.
struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        panic!("as scripted: dropped");
    }
}

/// Everything about it panics.
#[derive(Debug, Deserialize)]
struct Hostile;

impl Serialize for Hostile {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("as scripted: serialised");
    }
}

impl fmt::Display for Hostile {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("as scripted: displayed");
    }
}

impl std::error::Error for Hostile {}

impl Drop for Hostile {
    fn drop(&mut self) {
        panic!("as scripted: dropped");
    }
}

#[derive(Serialize, Deserialize, Clone, Copy)]
enum Task {
    Panic,
    Hang,
    Fail,
    Work,
}

impl Task {
    async fn run(self) -> Result<(), String> {
        match self {
            Self::Panic => panic!("as scripted: run"),
            Self::Hang => std::future::pending().await,
            Self::Fail => Err("as scripted".to_owned()),
            Self::Work => Ok(()),
        }
    }
}

/// A state that can't be dropped once its lock is poisoned.
struct Poisoned(Arc<Mutex<u32>>);

impl Drop for Poisoned {
    fn drop(&mut self) {
        *self.0.lock().expect("as scripted: poisoned") += 1;
    }
}

impl Stateful for Poisoned {
    type Payload = Task;
    type Output = ();
    type Error = String;

    async fn handle(&mut self, event: Event<Task>) -> Result<(), String> {
        let _lock = match *event {
            Task::Panic => Some(self.0.lock().unwrap()),
            _ => None,
        };
        event.run().await
    }
}

/// A future that panics when it is dropped, before and after its end.
struct Handling<F>(Pin<Box<F>>);

impl<F: Future> Future for Handling<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<F> Drop for Handling<F> {
    fn drop(&mut self) {
        panic!("as scripted: the future was dropped");
    }
}

fn stateful() -> Function {
    let lock = Arc::default();
    Function::stateful("f", move || {
        let state = Poisoned(Arc::clone(&lock));
        async move { Ok::<_, String>(state) }
    })
}

fn once(function: Function) -> Function {
    function.retry(RetryPolicy::none()).concurrency(1)
}

/// How an event ended.
fn kind(end: Option<Status>) -> Option<FailureKind> {
    match end {
        Some(Status::Dead(letter)) => Some(letter.failure().unwrap().kind),
        Some(Status::Succeeded { .. }) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_state_whose_drop_panics_while_its_handler_unwinds_is_one_failure() {
    let functions = [stateful(), stateful().idempotent(Idempotency::by_payload())];
    for function in functions {
        simulate([once(function).timeout(secs(1))], |s| async move {
            let ends = [
                (Task::Work, None),
                (Task::Fail, Some(FailureKind::Error)),
                (Task::Panic, Some(FailureKind::Panic)),
                (Task::Hang, Some(FailureKind::Timeout)),
                (Task::Work, None),
            ];
            for (task, expected) in ends {
                let id = invoke(&s, "f", task).await;
                assert_eq!(kind(s.client().wait(id).await), expected);
            }
        });
    }
}

/// A state and a future that can't be dropped.
struct Both(#[allow(dead_code, reason = "dropped")] Brittle);

impl Stateful for Both {
    type Payload = Task;
    type Output = ();
    type Error = String;

    fn handle(&mut self, event: Event<Task>) -> impl Future<Output = Result<(), String>> {
        Handling(Box::pin(event.run()))
    }
}

#[test]
fn a_future_whose_drop_panics_is_one_failure_however_it_ends() {
    let functions = [
        Function::new("f", |event: Event<Task>| Handling(Box::pin(event.run()))),
        Function::stateful("f", async || Ok::<_, String>(Both(Brittle))),
        Function::stateful("f", async || Ok::<_, String>(Both(Brittle)))
            .idempotent(Idempotency::by_payload()),
    ];
    for function in functions {
        simulate([once(function).timeout(secs(1))], |s| async move {
            let ends = [
                (Task::Work, FailureKind::Panic),
                (Task::Fail, FailureKind::Panic),
                (Task::Panic, FailureKind::Panic),
                (Task::Hang, FailureKind::Timeout),
            ];
            for (task, expected) in ends {
                let id = invoke(&s, "f", task).await;
                assert_eq!(kind(s.client().wait(id).await), Some(expected));
            }
        });
    }
}

#[test]
fn a_result_that_panics_when_serialized_and_when_dropped_is_one_failure() {
    let functions = [
        Function::new("f", async |_: Event<()>| Ok::<_, String>(Hostile)),
        Function::new("f", |_: Event<()>| {
            Handling(Box::pin(async { Ok::<_, String>(Hostile) }))
        }),
        Function::blocking("f", |_: Event<()>| Ok::<_, String>(Hostile)),
        Function::new("f", async |_: Event<()>| Err::<(), _>(Hostile)),
        Function::new("f", |_: Event<()>| {
            Handling(Box::pin(async { Err::<(), _>(Hostile) }))
        }),
        Function::blocking("f", |_: Event<()>| Err::<(), _>(Hostile)),
        Function::new("f", async |_: Event<()>| Ok::<_, String>(()))
            .idempotent(Idempotency::by(|(): &()| Hostile)),
    ];
    for function in functions {
        simulate([once(function)], |s| async move {
            let id = invoke(&s, "f", ()).await;
            let end = s.client().wait(id).await;
            assert_eq!(kind(end), Some(FailureKind::Panic));
        });
    }
}

#[test]
fn an_init_future_and_its_state_that_panic_when_dropped_are_one_failure() {
    let function = Function::stateful("f", || {
        Handling(Box::pin(async { Ok::<_, String>(State(Brittle)) }))
    });
    struct State(#[allow(dead_code, reason = "dropped")] Brittle);
    impl Stateful for State {
        type Payload = ();
        type Output = ();
        type Error = String;

        async fn handle(&mut self, _: Event<()>) -> Result<(), String> {
            Ok(())
        }
    }
    simulate([once(function)], |s| async move {
        let called = s.client().call::<()>("f", ()).await;
        assert!(called.is_err(), "its workers can't start");
    });
}

#[test]
fn a_payload_that_panics_when_serialized_and_when_dropped_is_one_panic() {
    common::hush();
    let refused = std::panic::catch_unwind(|| drop(Payload::new(Hostile)));
    assert!(refused.is_err());
}

#[test]
fn values_captured_by_a_function_may_panic_when_dropped() {
    let [one, other, third] = [Brittle, Brittle, Brittle];
    let handler = move |_: Event<()>| {
        let _captured = &one;
        async { Ok::<_, String>(()) }
    };
    let delivered = Destination::closure(move |_| {
        let _captured = &other;
    });
    let key = Idempotency::by(move |(): &()| {
        let _captured = &third;
        7
    });
    let function = Function::new("f", handler)
        .on_success(delivered)
        .idempotent(key);
    let builder = Runtime::builder().function(function);
    simulate_with(builder, |s| async move {
        let id = invoke(&s, "f", ()).await;
        assert_eq!(kind(s.client().wait(id).await), None);
        s.runtime().remove_function("f").unwrap();
    });
}
