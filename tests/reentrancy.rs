//! User code that the runtime calls, a payload's `Drop` or a waker for instance, may use the client: the runtime holds no lock
//! meanwhile. Each of these tests hangs if it does.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use common::{dead_letters, invoke, secs, simulate, simulate_with};
use redrive::testing::{Script, Simulation, scripted};
use redrive::{
    Client, Event, Filter, Function, Invoke, Purge, RestartIntensity, RetryPolicy, Runtime,
};
use serde::{Deserialize, Serialize};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

/// Uses the client when it is dropped.
#[derive(Default, Serialize, Deserialize)]
struct Nosy {
    text: String,
    #[serde(skip)]
    client: Option<Client>,
    #[serde(skip)]
    dropped: Arc<AtomicU32>,
}

impl Drop for Nosy {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            look_around(&client);
            self.dropped.fetch_add(1, SeqCst);
        }
    }
}

/// Takes every lock there is.
fn look_around(client: &Client) {
    client.stats();
    for function in ["f", "g"] {
        client.pause(function);
        client.resume(function);
    }
    let _ = futures_util::FutureExt::now_or_never(client.invoke("g", Script::succeeds()));
}

struct Crowd {
    client: Client,
    dropped: Arc<AtomicU32>,
}

impl Crowd {
    fn new(simulation: &Simulation) -> Self {
        let (client, dropped) = (simulation.client(), Arc::default());
        Self { client, dropped }
    }

    fn nosy(&self, bytes: usize) -> Nosy {
        Nosy {
            text: "x".repeat(bytes),
            client: Some(self.client.clone()),
            dropped: self.dropped.clone(),
        }
    }

    fn dropped(&self) -> u32 {
        self.dropped.load(SeqCst)
    }
}

fn waits(name: &str) -> Function {
    Function::new(name, |_: Event<Nosy>| async {
        tokio::time::sleep(secs(60)).await;
        Ok::<_, String>(())
    })
    .timeout(secs(600))
}

#[test]
fn the_drop_of_a_refused_payload_may_use_the_client() {
    let f = waits("f").mailbox_events_max(1).mailbox_bytes_max(1_000);
    let builder = Runtime::builder()
        .event_payload_max(2_000)
        .function(f)
        .function(scripted("g"));
    simulate_with(builder, |s| async move {
        let crowd = Crowd::new(&s);
        let client = s.client();
        // Too many bytes for the mailbox, too many for any event, too many events, one by one and in a batch.
        assert!(client.invoke("f", crowd.nosy(1_500)).await.is_err());
        assert!(client.invoke("f", crowd.nosy(3_000)).await.is_err());
        invoke(&s, "f", crowd.nosy(1)).await;
        assert!(client.invoke("f", crowd.nosy(1)).await.is_err());
        let batch = [crowd.nosy(1), crowd.nosy(1)];
        assert!(client.invoke_batch("f", batch).await.is_err());
        assert!(client.call::<()>("f", crowd.nosy(1)).await.is_err());
        assert!(client.invoke("unknown", crowd.nosy(1)).await.is_err());
        assert_eq!(crowd.dropped(), 7);
    });
}

#[test]
fn the_drop_of_an_ended_events_payload_may_use_the_client() {
    simulate([waits("f").concurrency(2), scripted("g")], |s| async move {
        let crowd = Crowd::new(&s);
        let client = s.client();
        invoke(&s, "f", crowd.nosy(1)).await;
        let cancelled = invoke(&s, "f", crowd.nosy(1)).await;
        assert!(client.cancel(cancelled).await);
        assert_eq!(crowd.dropped(), 1);
        s.advance(secs(61)).await;
        assert_eq!(crowd.dropped(), 2);
        // A call that waits when its function is removed.
        for _ in 0..2 {
            invoke(&s, "f", Nosy::default()).await;
        }
        s.settle().await;
        let remove = async {
            s.settle().await;
            s.runtime().remove_function("f").unwrap();
        };
        let (called, ()) = tokio::join!(client.call::<()>("f", crowd.nosy(1)), remove);
        assert!(called.is_err());
        assert_eq!(crowd.dropped(), 3);
    });
}

/// A waker that uses the client.
struct Curious {
    client: Client,
    woken: AtomicU32,
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        look_around(&self.client);
        self.woken.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_waker_may_use_the_client() {
    simulate([waits("f"), scripted("g")], |s| async move {
        let client = s.client();
        let curious = Arc::new(Curious {
            client: client.clone(),
            woken: AtomicU32::new(0),
        });
        let waker = Waker::from(curious.clone());
        let mut cx = Context::from_waker(&waker);
        let ends = invoke(&s, "f", Nosy::default()).await;
        let cancelled = invoke(&s, "f", Nosy::default()).await;
        s.settle().await;
        let mut first = Box::pin(client.wait(ends));
        let mut second = Box::pin(client.wait(cancelled));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        client.cancel(cancelled).await;
        assert_eq!(curious.woken.load(SeqCst), 1);
        s.advance(secs(61)).await;
        assert_eq!(curious.woken.load(SeqCst), 2);
        assert!(matches!(first.as_mut().poll(&mut cx), Poll::Ready(Some(_))));
    });
}

#[test]
fn values_captured_by_a_handler_may_panic_when_its_function_is_removed() {
    struct Brittle(Arc<OnceLock<()>>);
    impl Drop for Brittle {
        fn drop(&mut self) {
            let _ = self.0.set(());
            panic!("as scripted");
        }
    }
    simulate([scripted("g")], |s| async move {
        let gone = Arc::new(OnceLock::new());
        let brittle = Mutex::new(Some(Brittle(gone.clone())));
        let f = Function::new("f", move |_: Event<Script>| {
            let whole = brittle.lock().unwrap().is_some();
            async move { if whole { Ok(()) } else { Err("broken") } }
        });
        s.runtime().add_function(f).unwrap();
        let client = s.client();
        client.call::<()>("f", Script::succeeds()).await.unwrap();
        s.runtime().remove_function("f").unwrap();
        s.settle().await;
        assert!(
            gone.get().is_some(),
            "the handler is dropped with its function"
        );
        client
            .send(Invoke::event("g", Script::succeeds()))
            .await
            .unwrap();
        s.settle().await;
        assert_eq!(s.stats("g").events.succeeded, 1);
    });
}

/// The last of its payload lies in the mailbox once its letter is purged.
#[test]
fn the_drop_of_a_forgotten_letter_may_use_the_client() {
    let function = Function::new("f", |event: Event<Nosy>| async move {
        if event.client.is_some() {
            Err("as scripted")
        } else {
            Ok(())
        }
    });
    let function = function
        .retry(RetryPolicy::none())
        .retain(1, secs(300), 1 << 20);
    simulate([function, scripted("g")], |s| async move {
        let crowd = Crowd::new(&s);
        invoke(&s, "f", crowd.nosy(1)).await;
        s.settle().await;
        assert_eq!(s.dead("f"), 1);
        let purge = Purge(Filter::new());
        assert_eq!(dead_letters(&s).send(purge).await.unwrap(), 1);
        for _ in 0..3 {
            invoke(&s, "f", Nosy::default()).await;
        }
        s.settle().await;
        assert_eq!(crowd.dropped.load(SeqCst), 1);
    });
}

/// Receives every log line.
struct Subscriber {
    client: Arc<Mutex<Option<Client>>>,
    heard: Arc<AtomicU32>,
}

impl<S: tracing::Subscriber> Layer<S> for Subscriber {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        // What it does itself is logged too: once is enough.
        let client = self.client.lock().unwrap().take();
        if let Some(client) = client {
            look_around(&client);
            self.heard.fetch_add(1, SeqCst);
            *self.client.lock().unwrap() = Some(client);
        }
    }
}

#[test]
fn a_log_subscriber_may_use_the_client() {
    let (client, heard) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU32::new(0)));
    let subscriber = tracing_subscriber::registry().with(Subscriber {
        client: client.clone(),
        heard: heard.clone(),
    });
    tracing::subscriber::with_default(subscriber, || {
        let function = Function::new("f", |event: Event<u64>| async move {
            let client = event.context().client();
            match *event {
                // It cancels itself, and succeeds all the same.
                0 => drop(client.cancel(event.context().request_id()).await),
                1 => return Err("as scripted".to_owned()),
                2 if event.context().attempt() == 1 => panic!("as scripted"),
                _ => {}
            }
            Ok(())
        });
        let function = function
            .retry(RetryPolicy::fixed(1, secs(1)))
            .restarts(RestartIntensity::new(0, secs(10)));
        simulate([function, scripted("g")], |s| async move {
            *client.lock().unwrap() = Some(s.client());
            for number in 0..4_u64 {
                invoke(&s, "f", number).await;
            }
            s.advance(secs(60)).await;
            client.lock().unwrap().take();
            assert_eq!((s.succeeded("f"), s.dead("f")), (2, 1));
            // Accepted, superseded, retried, dead-lettered, backing off, recovered.
            assert!(heard.load(SeqCst) >= 6, "{heard:?}");
        });
    });
}
