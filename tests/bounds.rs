//! What a function may take: texts, retries, threads, keys, headers.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{invoke, secs, simulate};
use redrive::{Event, Function, RetryAfter, RetryPolicy, Status, Throttled};

/// A link of a chain of causes that leads back to itself, with a text of its own each time.
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
fn an_error_without_end_is_a_dead_letter_with_bounded_texts() {
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
fn an_event_that_fails_at_once_for_ever_runs_ten_times_a_second() {
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
