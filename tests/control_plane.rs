//! The loss of an actor of the control plane while the runtime lives.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use actix::prelude::*;
use common::{dead_letters, invoke, secs, simulate_with, steps};
use redrive::testing::{Script, Simulation, Step, scripted};
use redrive::{
    CallError, DeadLetterBounds, Event, Filter, Function, Invoke, InvokeError, Purge, RequestId,
    Runtime, WhenFull,
};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context as Scope, Layer, SubscriberExt};

/// Records the log lines of its thread, and panics once at a chosen line: user code that the control plane has to call.
#[derive(Clone, Default)]
struct Saboteur {
    lines: Arc<Mutex<Vec<String>>>,
    at: Arc<Mutex<Option<&'static str>>>,
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl<S: tracing::Subscriber> Layer<S> for Saboteur {
    fn on_event(&self, event: &tracing::Event<'_>, _: Scope<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let strikes = self
            .at
            .lock()
            .unwrap()
            .is_some_and(|at| text.0.contains(at));
        self.lines.lock().unwrap().push(text.0);
        if strikes {
            *self.at.lock().unwrap() = None;
            panic!("as scripted");
        }
    }
}

impl Saboteur {
    fn strike(&self, line: &'static str) {
        *self.at.lock().unwrap() = Some(line);
    }

    fn losses(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let losses = lines
            .iter()
            .filter(|line| line.contains("control-plane actor"));
        losses.cloned().collect()
    }
}

/// Runs `test` on a simulation whose log is the saboteur's.
fn sabotaged<F, Fut>(test: F)
where
    F: FnOnce(Simulation, Saboteur) -> Fut,
    Fut: Future<Output = ()>,
{
    let saboteur = Saboteur::default();
    let subscriber = tracing_subscriber::registry().with(saboteur.clone());
    let _listening = tracing::subscriber::set_default(subscriber);
    let builder = Runtime::builder()
        .function(scripted("f"))
        .function(scripted("g").timeout(secs(3_600)))
        .dead_letters(DeadLetterBounds::new(1, 1 << 20, WhenFull::Hold));
    simulate_with(builder, |s| test(s, saboteur));
}

/// Ends an actor by `provoke`, and checks that all callers get an error.
fn lose<F, Fut>(line: &'static str, named: &'static str, provoke: F)
where
    F: FnOnce(Simulation) -> Fut,
    Fut: Future<Output = Simulation>,
{
    sabotaged(|s, saboteur| async move {
        let client = s.client();
        let call = tokio::task::spawn_local(async move {
            client.call::<RequestId>("g", steps([Step::Hang])).await
        });
        s.settle().await;
        assert!(!call.is_finished());
        saboteur.strike(line);
        let s = provoke(s).await;
        s.settle().await;
        let refused = s.client().invoke("g", Script::succeeds()).await;
        assert!(matches!(refused, Err(InvokeError::NoSystem)), "{refused:?}");
        assert!(call.is_finished(), "nobody waits for ever");
        assert!(matches!(call.await.unwrap(), Err(CallError::Gone)));
        let losses = saboteur.losses();
        assert_eq!(losses.len(), 1, "{losses:?}");
        assert!(losses[0].contains(named), "{losses:?}");
        assert!(losses[0].contains("panicked=true"), "{losses:?}");
        let _ = s.into_runtime().shutdown(secs(1)).await;
        assert_eq!(saboteur.losses().len(), 1);
    });
}

fn dies() -> Script {
    steps([Step::Final("no".into())])
}

#[test]
fn new_events_are_refused_after_the_router_is_lost() {
    lose("accepted", "actor=\"router\"", |s| async move {
        let router = s.runtime().router();
        assert!(
            router
                .send(Invoke::event("f", Script::succeeds()))
                .await
                .is_err()
        );
        s
    });
}

#[test]
fn new_events_are_refused_after_the_dead_letter_queue_is_lost() {
    lose(
        "queue is full",
        "actor=\"dead-letter queue\"",
        |s| async move {
            invoke(&s, "f", dies()).await;
            invoke(&s, "f", dies()).await;
            s.settle().await;
            assert!(dead_letters(&s).send(Purge(Filter::new())).await.is_err());
            s
        },
    );
}

#[test]
fn new_events_are_refused_after_a_supervisor_is_lost() {
    let named = "actor=\"supervisor\" function=f ";
    lose("became a dead letter", named, |s| async move {
        invoke(&s, "f", dies()).await;
        s
    });
}

#[test]
fn a_shutdown_is_not_reported_as_a_lost_actor() {
    sabotaged(|s, saboteur| async move {
        invoke(&s, "f", Script::succeeds()).await;
        s.settle().await;
        s.runtime().remove_function("f").unwrap();
        s.advance(secs(60)).await;
        s.runtime().add_function(scripted("f")).unwrap();
        for function in ["f", "g"] {
            invoke(&s, function, Script::succeeds()).await;
        }
        s.settle().await;
        let _ = s.into_runtime().shutdown(secs(1)).await;
        tokio::time::sleep(secs(60)).await;
        assert!(saboteur.losses().is_empty(), "{:?}", saboteur.losses());
    });
    sabotaged(|s, saboteur| async move {
        invoke(&s, "g", steps([Step::Hang])).await;
        s.settle().await;
        drop(s);
        tokio::time::sleep(secs(60)).await;
        assert!(saboteur.losses().is_empty(), "{:?}", saboteur.losses());
    });
}

/// A function that reports its start and never returns.
fn endless() -> (Function, mpsc::UnboundedReceiver<()>) {
    let (begun, begins) = mpsc::unbounded_channel();
    let handler = move |_: Event<()>| {
        begun.send(()).unwrap();
        std::future::pending::<Result<(), String>>()
    };
    (
        Function::new("endless", handler).timeout(secs(3_600)),
        begins,
    )
}

/// Without an application's `System`, a handler finds the runtime's own, and can stop it.
#[tokio::test]
async fn waiting_callers_get_an_error_when_the_runtimes_system_ends() {
    let (function, mut begins) = endless();
    let vandal = Function::new("vandal", |_: Event<()>| async {
        System::current().stop();
        Ok::<_, String>(())
    });
    let builder = Runtime::builder().function(function).function(vandal);
    let runtime = builder.start().await.unwrap();
    let client = runtime.client();
    let test = async {
        let event = client.invoke("endless", ()).await.unwrap().request_id;
        let (waiter, caller) = (client.clone(), client.clone());
        let waiting = tokio::spawn(async move { waiter.wait(event).await });
        let calling = tokio::spawn(async move { caller.call::<()>("endless", ()).await });
        begins.recv().await.unwrap();
        begins.recv().await.unwrap();
        client.invoke("vandal", ()).await.unwrap();
        // The worker's arbiter may be the first to end; then the supervisor reports that the worker was lost.
        let end = calling.await.unwrap();
        assert!(
            matches!(end, Err(CallError::Gone | CallError::Failed(_))),
            "{end:?}"
        );
        assert!(waiting.await.unwrap().is_none());
        let late = client.call::<()>("endless", ()).await;
        assert!(
            matches!(late, Err(CallError::Refused(InvokeError::NoSystem))),
            "{late:?}"
        );
        assert!(client.wait(event).await.is_none());
        let report = runtime.shutdown(secs(1)).await;
        assert!(report.unfinished.iter().any(|it| it.request_id == event));
    };
    let waited = tokio::time::timeout(secs(20), test).await;
    waited.expect("nobody waits for ever");
}
