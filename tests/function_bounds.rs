//! Bounds of functions: texts, retries, threads, keys, headers.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::prelude::*;
use common::{dead_letters, invoke, letters, secs, simulate, simulate_with};
use redrive::{
    DeadLetter, Destination, Event, Function, Invoke, InvokeError, Receipt, RetryAfter,
    RetryPolicy, Runtime, Status, Subscribe, Throttled,
};
use tokio::sync::{mpsc, oneshot};

/// A link of an endless chain of causes, each with another text.
#[derive(Debug)]
struct Ring;

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static LINKS: AtomicU32 = AtomicU32::new(0);
        write!(f, "link {}", LINKS.fetch_add(1, Ordering::Relaxed))
    }
}

impl Error for Ring {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&Ring)
    }
}

/// A text without end.
#[derive(Debug)]
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            f.write_str("and so on ")?;
        }
    }
}

impl Error for Endless {}

#[test]
fn an_endless_error_text_is_bounded_in_the_dead_letter() {
    let handler = async |event: Event<String>| -> Result<(), Box<dyn Error>> {
        match &**event {
            "ring" => Err(Ring.into()),
            "endless" => Err(Endless.into()),
            "huge" => Err("x".repeat(50 << 20).into()),
            _ => panic!("as scripted: {}", "x".repeat(50 << 20)),
        }
    };
    let function = Function::new("f", handler).retry(RetryPolicy::none());
    simulate([function], |s| async move {
        for kind in ["ring", "endless", "huge", "panic"] {
            let id = invoke(&s, "f", kind.to_owned()).await;
            let Some(Status::Dead(letter)) = s.client().wait(id).await else {
                panic!("{kind} can't succeed")
            };
            let failure = letter.failure().unwrap();
            let causes: usize = failure.causes.iter().map(String::len).sum();
            assert!(failure.causes.len() <= 32);
            assert!(failure.error_type.len() + failure.message.len() + causes <= 64 << 10);
        }
    });
}

#[test]
fn an_event_with_unlimited_immediate_retries_runs_ten_times_a_second() {
    let at_once = [
        ("throttled", RetryPolicy::lambda()),
        ("retry after", RetryPolicy::fixed(u32::MAX, secs(60))),
        ("policy", RetryPolicy::fixed(u32::MAX, Duration::ZERO)),
    ];
    for (kind, policy) in at_once {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        let handler = move |_: Event<()>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let error: Box<dyn Error> = match kind {
                "throttled" => Throttled::retry_after(Duration::ZERO, "429").into(),
                "retry after" => RetryAfter::new(Duration::from_nanos(1), "busy").into(),
                _ => "no".into(),
            };
            async move { Err::<(), _>(error) }
        };
        let function = Function::new("f", handler).retry(policy);
        simulate([function], |s| async move {
            invoke(&s, "f", ()).await;
            tokio::time::sleep(secs(10)).await;
            let runs = runs.load(Ordering::Relaxed);
            // Eleven at once, and one each 100 ms.
            assert!((100..=112).contains(&runs), "{kind}: {runs} runs in 10 s");
        });
    }
}

/// A subscriber that takes one letter, and the next one only once it is let.
struct Slow {
    heard: mpsc::UnboundedSender<DeadLetter>,
    go_on: Option<oneshot::Receiver<()>>,
}

impl Actor for Slow {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1);
    }
}

impl Handler<DeadLetter> for Slow {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, ctx: &mut Self::Context) {
        self.heard.send(letter).unwrap();
        if let Some(go_on) = self.go_on.take() {
            ctx.wait(go_on.into_actor(self).map(|_, _, _| ()));
        }
    }
}

/// How many of 50 letters with 1,000 bytes reach a subscriber with this backlog that takes the first one and then waits.
fn heard_of_50(letters_max: usize, bytes_max: u64) -> usize {
    let handler = async |_: Event<String>| Err::<(), _>("as scripted");
    let function = Function::new("f", handler).retry(RetryPolicy::none());
    let heard = Arc::new(AtomicU32::new(0));
    let count = heard.clone();
    simulate([function.concurrency(1)], |s| async move {
        let (heard, mut hears) = mpsc::unbounded_channel();
        let (go, go_on) = oneshot::channel();
        let go_on = Some(go_on);
        let slow = Slow { heard, go_on }.start();
        let subscribe = Subscribe::new(slow.recipient()).backlog_max(letters_max, bytes_max);
        dead_letters(&s).send(subscribe).await.unwrap();
        let kill = async |n: usize| {
            let id = invoke(&s, "f", format!("{n:01000}")).await;
            assert!(matches!(s.client().wait(id).await, Some(Status::Dead(_))));
            id
        };
        let mut ids = vec![kill(0).await];
        hears.recv().await.unwrap();
        for n in 1..50 {
            ids.push(kill(n).await);
        }
        let missed = s.client().stats().dead_letter_errors as usize;
        assert_eq!(letters(&s).await.len(), 50, "the queue has them all");
        go.send(()).unwrap();
        for id in &ids[1..50 - missed] {
            assert_eq!(hears.recv().await.unwrap().request_id, *id);
        }
        // The others passed it by; from here on it hears again.
        let next = kill(50).await;
        assert_eq!(hears.recv().await.unwrap().request_id, next);
        count.store(50 - missed as u32, Ordering::Relaxed);
    });
    heard.load(Ordering::Relaxed) as usize
}

#[test]
fn the_backlog_of_a_slow_subscriber_is_bounded() {
    // Beside the backlog: one that it has, and those in its actor's mailbox, which actix lets grow beyond its bound.
    let more = 1..=4;
    let by_letters = heard_of_50(7, u64::MAX);
    assert!(more.contains(&(by_letters - 7)), "{by_letters}");
    let by_bytes = heard_of_50(usize::MAX, 12_000);
    assert!(more.contains(&(by_bytes - 7)), "{by_bytes}");
    let none = heard_of_50(0, 0);
    assert!(more.contains(&none), "{none}");
    assert_eq!(heard_of_50(100, u64::MAX), 50);
}

/// A subscriber that takes letters as fast as they come.
struct Fast(Arc<AtomicU32>);

impl Actor for Fast {
    type Context = Context<Self>;
}

impl Handler<DeadLetter> for Fast {
    type Result = ();

    fn handle(&mut self, _: DeadLetter, _: &mut Self::Context) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[actix::test]
async fn a_subscriber_that_keeps_up_misses_nothing_of_a_burst() {
    const DEAD: u32 = 90_000;
    let function = ok("f").reserved_concurrency_zero();
    let runtime = Runtime::builder().function(function).start().await.unwrap();
    let heard = Arc::new(AtomicU32::new(0));
    let counted = heard.clone();
    let arbiter = actix_rt::Arbiter::new();
    let fast = Fast::start_in_arbiter(&arbiter.handle(), |_| Fast(counted));
    let subscribe = Subscribe::new(fast.recipient()).backlog_max(40_000, u64::MAX);
    runtime.dead_letters().send(subscribe).await.unwrap();
    let client = runtime.client();
    client
        .invoke_batch("f", vec![(); DEAD as usize])
        .await
        .unwrap();
    let all = async {
        while heard.load(Ordering::Relaxed) < DEAD {
            let missed = client.stats().dead_letter_errors;
            assert_eq!(missed, 0);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(secs(60), all).await.unwrap();
    let _ = runtime.shutdown(secs(1)).await;
}

fn ok(name: &str) -> Function {
    Function::new(name, async |_: Event<()>| Ok::<_, String>(()))
}

#[test]
fn a_function_takes_no_more_deduplication_keys_than_it_may() {
    let functions = [ok("f").deduplication_keys_max(3), ok("other")];
    simulate(functions, |s| async move {
        let send = async |function: &str, key: u32, window| -> Result<Receipt, InvokeError> {
            let invoke = Invoke::event(function.to_owned(), ());
            let invoke = invoke.deduplicate(key.to_string(), secs(window));
            s.client().send(invoke).await
        };
        for key in 0..3 {
            send("f", key, 60).await.unwrap();
        }
        let refused = send("f", 3, 60).await.unwrap_err();
        let InvokeError::DeduplicationKeysFull {
            limit, retry_after, ..
        } = refused
        else {
            panic!("{refused}")
        };
        assert_eq!((limit, retry_after), (3, secs(60)));
        assert!(send("f", 2, 60).await.unwrap().duplicate);
        send("other", 3, 60).await.unwrap();
        tokio::time::sleep(secs(60)).await;
        for key in 3..6 {
            send("f", key, 60).await.unwrap();
        }
        send("f", 6, 60).await.unwrap_err();
    });
}

#[test]
fn the_headers_of_an_invocation_are_bounded() {
    let too_long = |max: usize, bytes: usize| {
        let header: Arc<str> = "x".repeat(bytes).into();
        let builder = Runtime::builder().function(ok("f")).headers_max(max);
        simulate_with(builder, |s| async move {
            let invoke = || Invoke::event("f", ());
            let cases = [
                ("trace_header", invoke().trace_header(header.clone())),
                ("traceparent", invoke().traceparent(header.clone())),
                ("client_context", invoke().client_context(header.clone())),
                ("qualifier", invoke().qualifier(header.clone())),
            ];
            for (name, invoke) in cases {
                let refused = s.client().send(invoke.clone()).await;
                let called = s.client().call_with::<()>(invoke).await;
                if bytes > max {
                    let refused = refused.unwrap_err();
                    let InvokeError::HeaderTooLong {
                        header,
                        bytes: told,
                        limit,
                        ..
                    } = refused
                    else {
                        panic!("{refused}")
                    };
                    assert_eq!((header, told, limit), (name, bytes, max));
                    called.unwrap_err();
                } else if name == "qualifier" {
                    let refused = refused.unwrap_err().to_string();
                    assert!(refused.len() < 1_000, "{} bytes", refused.len());
                } else {
                    refused.unwrap();
                    called.unwrap();
                }
            }
        });
    };
    too_long(4_096, 4_096);
    too_long(4_096, 4_097);
    too_long(300, 10 << 20);
    let name = "f".repeat(10 << 20);
    simulate([ok("f")], |s| async move {
        let unknown = s.client().invoke(&name, ()).await.unwrap_err();
        assert!(unknown.to_string().len() < 1_000);
    });
}

/// A payload of a mebibyte, about.
fn large() -> String {
    "x".repeat((1 << 20) - 100)
}

#[test]
fn remembered_dead_events_are_bounded_in_bytes() {
    let handler = async |_: Event<String>| Err::<(), _>("as scripted");
    let function = Function::new("f", handler).retry(RetryPolicy::none());
    let function = function.retain(1_000, secs(3_600), 8 << 20);
    simulate([function], |s| async move {
        let mut ids = Vec::new();
        for _ in 0..20 {
            let id = invoke(&s, "f", large()).await;
            s.client().wait(id).await.unwrap();
            ids.push(id);
        }
        let all = redrive::Filter::new();
        dead_letters(&s).send(redrive::Purge(all)).await.unwrap();
        let mut known = 0;
        for id in ids {
            known += u32::from(s.client().status(id).await.is_some());
        }
        assert!((6..=9).contains(&known), "{known} of a mebibyte each");
    });
}

#[actix::test]
async fn records_that_wait_for_a_slow_closure_are_bounded() {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(Some(gate));
    let delivered = Arc::new(AtomicU32::new(0));
    let counted = delivered.clone();
    let closure = move |_| {
        let first = gate.lock().unwrap().take();
        // Until it is opened.
        let _ = first.map(|gate| gate.recv());
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let function = Function::new("f", async |_: Event<String>| Ok::<_, String>(()));
    let function = function.reserved_concurrency_zero();
    let function = function.on_failure(Destination::closure(closure));
    let builder = Runtime::builder().function(function).arbiters(1);
    let runtime = builder.blocked_after(secs(3_600)).start().await.unwrap();
    let client = runtime.client();
    for _ in 0..100 {
        client.invoke("f", large()).await.unwrap();
    }
    let stats = || client.function_stats("f").unwrap();
    let until = async |holds: &dyn Fn() -> bool| {
        let held = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(secs(60), held).await.unwrap();
    };
    until(&|| stats().events.dead == 100).await;
    let failed = stats().destination_delivery_failures;
    assert_eq!(failed, 100 - 64);
    open.send(()).unwrap();
    until(&|| delivered.load(Ordering::Relaxed) == 64).await;
    client.invoke("f", large()).await.unwrap();
    until(&|| delivered.load(Ordering::Relaxed) == 65).await;
    let _ = runtime.shutdown(secs(1)).await;
}

/// Texts of failures wait with their events, and count as their payloads do.
#[test]
fn long_errors_fill_a_mailbox_until_their_events_are_over() {
    let handler = async |_: Event<()>| Err::<(), _>("x".repeat(60 << 10));
    let function = Function::new("f", handler).mailbox_bytes_max(1 << 20);
    simulate([function], |s| async move {
        for _ in 0..18 {
            invoke(&s, "f", ()).await;
        }
        s.advance(secs(1)).await;
        let refused = s.client().invoke("f", ()).await.unwrap_err();
        assert!(
            matches!(refused, InvokeError::MailboxFull { .. }),
            "{refused}"
        );
        s.advance(secs(3_600)).await;
        assert_eq!(s.dead("f"), 18);
        invoke(&s, "f", ()).await;
    });
}
