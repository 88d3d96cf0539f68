//! A function that always panics: the runtime loses no event, tries each three times, and stays responsive.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::time::Duration;

use actix::prelude::*;
use redrive::{
    Condition, DeadLetter, DeadLetterBounds, Event, FailureKind, Filter, Function, Invoke, List,
    RestartIntensity, RetryPolicy, Runtime, Subscribe, WhenFull,
};
use tokio::sync::oneshot;

/// How many events panic: `REDRIVE_TEST_EVENTS`, or a million.
fn events() -> u32 {
    std::env::var("REDRIVE_TEST_EVENTS").map_or(1_000_000, |text| text.parse().unwrap())
}

/// Counts how often each event became a dead letter, and reports when their number reaches that of the events.
struct Census {
    seen: Vec<u8>,
    letters: u32,
    wrong: Vec<DeadLetter>,
    done: Option<oneshot::Sender<(Vec<u8>, Vec<DeadLetter>)>>,
}

impl Actor for Census {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1 << 16);
    }
}

impl Handler<DeadLetter> for Census {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Self::Context) {
        let number: u32 = letter.payload.read().unwrap();
        self.seen[number as usize] += 1;
        self.letters += 1;
        let panicked = |attempt: &redrive::Attempt| attempt.failure.kind == FailureKind::Panic;
        let as_expected = letter.condition == Condition::RetriesExhausted
            && letter.attempt_count == 3
            && letter.attempts.len() == 3
            && letter.attempts.iter().all(panicked);
        if !as_expected {
            self.wrong.push(letter);
        }
        if self.letters as usize == self.seen.len() {
            let _ = self.done.take().unwrap().send((
                std::mem::take(&mut self.seen),
                std::mem::take(&mut self.wrong),
            ));
        }
    }
}

#[actix::test]
async fn a_million_panicking_events_are_each_tried_three_times_and_dead_lettered_once() {
    std::panic::set_hook(Box::new(|panic| {
        let ours = panic.payload().downcast_ref::<&str>() == Some(&"on purpose");
        if !ours {
            eprintln!("{panic}");
        }
    }));
    let events = events();
    let crash = Function::new("crash", |_: Event<u32>| async { panic_on_purpose() })
        .retry(RetryPolicy::fixed(2, Duration::ZERO))
        .restarts(RestartIntensity::unlimited())
        .mailbox_events_max(2_000_000)
        .event_age_max(Duration::from_secs(86_400));
    let echo = Function::new("echo", |event: Event<u32>| async move {
        Ok::<_, String>(*event)
    });
    let runtime = Runtime::builder()
        .function(crash)
        .function(echo)
        .dead_letters(DeadLetterBounds::new(2_000_000, 4 << 30, WhenFull::Hold))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    let (sender, done) = oneshot::channel();
    let seen = vec![0; events as usize];
    let census = Census {
        seen,
        letters: 0,
        wrong: Vec::new(),
        done: Some(sender),
    };
    let subscribe = Subscribe::new(census.start().recipient());
    runtime.dead_letters().send(subscribe).await.unwrap();

    for number in 0..events {
        client.invoke("crash", number).await.unwrap();
    }
    let (seen, wrong) = done.await.unwrap();

    assert!(
        wrong.is_empty(),
        "{} letters of another kind, first {:?}",
        wrong.len(),
        wrong[0]
    );
    assert!(
        seen.iter().all(|&times| times == 1),
        "each is buried exactly once"
    );
    let stats = client.function_stats("crash").unwrap();
    let attempts = u64::from(events) * 3;
    assert_eq!(
        (stats.invocations, stats.errors, stats.restarts),
        (attempts, attempts, attempts)
    );
    assert_eq!(
        (stats.events.accepted, stats.events.dead),
        (u64::from(events), u64::from(events))
    );
    assert_eq!(
        stats.events.succeeded + stats.events.cancelled + stats.events.pending(),
        0
    );
    assert_eq!((stats.superseded_results, stats.dead_letter_errors), (0, 0));

    // Every actor of the runtime still responds.
    let page = runtime
        .dead_letters()
        .send(List::new(Filter::new()).limit(1))
        .await
        .unwrap();
    assert_eq!(page.total, events as usize);
    let receipt = runtime
        .router()
        .send(Invoke::event("echo", 7_u32))
        .await
        .unwrap()
        .unwrap();
    assert!(client.wait(receipt.request_id).await.unwrap().is_finished());
    assert_eq!(client.call::<u32>("echo", 8_u32).await.unwrap(), 8);
    let report = runtime.shutdown(Duration::from_secs(10)).await;
    assert_eq!(
        (report.unfinished.len(), report.dead_letters.len()),
        (0, events as usize)
    );
}

fn panic_on_purpose() -> Result<(), String> {
    panic!("on purpose")
}
