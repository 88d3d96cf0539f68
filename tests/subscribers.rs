//! Subscribers of dead letters: from the first letter on, with existing letters, as closures, and until they unsubscribe.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use actix::prelude::*;
use common::{dead_letters, secs, simulate_with};
use redrive::testing::{RecordingStore, Simulation};
use redrive::{
    Builder, DeadLetter, DeadLetterBounds, Event, Filter, Final, Function, Get, Invoke, List,
    Purge, RequestId, RetryPolicy, Runtime, Subscribe, Unsubscribe, WhenFull,
};

type Seen = Arc<Mutex<Vec<RequestId>>>;

/// Records the letters that it gets.
struct Noting(Seen);

impl Actor for Noting {
    type Context = Context<Self>;
}

impl Handler<DeadLetter> for Noting {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Self::Context) {
        self.0.lock().unwrap().push(letter.request_id);
    }
}

fn noting() -> (Addr<Noting>, Seen) {
    let seen = Seen::default();
    (Noting(seen.clone()).start(), seen)
}

fn noting_closure(seen: &Seen) -> impl Fn(DeadLetter) + Send + Sync + 'static {
    let seen = seen.clone();
    move |letter: DeadLetter| seen.lock().unwrap().push(letter.request_id)
}

fn seen(seen: &Seen) -> Vec<RequestId> {
    seen.lock().unwrap().clone()
}

fn mortal(name: &str) -> Function {
    Function::new(name, async |_: Event<u32>| {
        Err::<(), _>(Final::new("as scripted"))
    })
    .retry(RetryPolicy::none())
}

async fn die(s: &Simulation, function: &str, events: usize) -> Vec<RequestId> {
    let client = s.client();
    let receipts = client.invoke_batch(function, vec![0_u32; events]);
    let receipts = receipts.await.unwrap().into_iter();
    s.settle().await;
    receipts.map(|receipt| receipt.request_id).collect()
}

fn with(function: Function, store: &Arc<RecordingStore>) -> Builder {
    Runtime::builder().function(function).store(store.clone())
}

#[test]
fn a_subscriber_of_the_builder_gets_letters_of_events_that_die_at_the_start() {
    redrive::testing::run(async {
        let store = RecordingStore::new();
        let s = Simulation::start(7, with(mortal("f"), &store))
            .await
            .unwrap();
        let mut delayed = Vec::new();
        for number in 0..20_u32 {
            let event = Invoke::event("f", number).delay(secs(10));
            delayed.push(s.client().send(event).await.unwrap().request_id);
        }
        let _ = s.into_runtime().shutdown(Duration::ZERO).await;
        store.reopen();

        let (addr, by_actor) = noting();
        let (by_closure, by_subscribe) = (Seen::default(), Seen::default());
        let builder = with(mortal("f"), &store)
            .on_dead_letter(addr.recipient())
            .on_dead_letter(noting_closure(&by_closure))
            .on_dead_letter(Subscribe::calling(noting_closure(&by_subscribe)).function("f"));
        let s = Simulation::start(7, builder).await.unwrap();
        s.advance(secs(20)).await;
        for heard in [by_actor, by_closure, by_subscribe] {
            assert_eq!(seen(&heard), delayed);
        }
    });
}

#[test]
fn a_subscriber_of_the_builder_can_get_the_letters_of_earlier_processes() {
    redrive::testing::run(async {
        let store = RecordingStore::new();
        let s = Simulation::start(7, with(mortal("f"), &store))
            .await
            .unwrap();
        let mut all = die(&s, "f", 2_500).await;
        let _ = s.into_runtime().shutdown(Duration::ZERO).await;
        store.reopen();

        let (with_existing, new) = (Seen::default(), Seen::default());
        let builder = with(mortal("f"), &store)
            .on_dead_letter(Subscribe::calling(noting_closure(&with_existing)).with_existing())
            .on_dead_letter(noting_closure(&new));
        let s = Simulation::start(7, builder).await.unwrap();
        let later = die(&s, "f", 5).await;
        s.settle().await;
        assert_eq!(seen(&new), later);
        all.extend(later);
        assert_eq!(seen(&with_existing), all);
    });
}

#[test]
fn existing_letters_come_first_and_each_letter_once() {
    // The last ones are held for want of room.
    let bounds = DeadLetterBounds::new(7_500, 1 << 30, WhenFull::Hold);
    let builder = Runtime::builder()
        .function(mortal("f"))
        .function(mortal("g"));
    simulate_with(builder.dead_letters(bounds), |s| async move {
        let mut all = die(&s, "f", 6_000).await;
        let mut of_g = die(&s, "g", 1_000).await;
        all.extend(&of_g);
        all.extend(die(&s, "f", 3_000).await);
        assert_eq!(s.running("f"), 2_500, "held");
        let (everything, heard) = noting();
        let (only_g, heard_of_g) = noting();
        let queue = dead_letters(&s);
        let subscribe = Subscribe::new(everything.recipient()).with_existing();
        queue.do_send(subscribe);
        let subscribe = Subscribe::new(only_g.recipient()).with_existing();
        queue.do_send(subscribe.function("g"));
        // While the existing ones are on their way, others come, and there is room for those that are held.
        for _ in 0..10 {
            let receipt = s.client().invoke("f", 0_u32).await.unwrap();
            all.push(receipt.request_id);
            tokio::task::yield_now().await;
        }
        let receipt = s.client().invoke("g", 0_u32).await.unwrap();
        all.push(receipt.request_id);
        of_g.push(receipt.request_id);
        s.settle().await;
        assert_eq!(seen(&heard), all);
        assert_eq!(seen(&heard_of_g), of_g);
        queue.send(Purge(Filter::new())).await.unwrap();
        s.settle().await;
        assert_eq!(seen(&heard), all, "what was held is told once");
        s.assert_nothing_lost();
    });
}

#[test]
fn a_subscriber_closure_that_panics_gets_the_next_letter() {
    let heard = Seen::default();
    let note = noting_closure(&heard);
    let builder =
        Runtime::builder()
            .function(mortal("f"))
            .on_dead_letter(move |letter: DeadLetter| {
                note(letter);
                panic!("as scripted");
            });
    simulate_with(builder, |s| async move {
        let died = die(&s, "f", 3).await;
        assert_eq!(seen(&heard), died);
        assert_eq!(common::letters(&s).await.len(), 3);
        s.assert_nothing_lost();
    });
}

#[test]
fn an_unsubscribed_actor_gets_no_more_letters() {
    let builder = Runtime::builder().function(mortal("f"));
    simulate_with(builder, |s| async move {
        let ((stays, heard), (leaves, before)) = (noting(), noting());
        let queue = dead_letters(&s);
        for addr in [&stays, &leaves] {
            let subscribe = Subscribe::new(addr.clone().recipient());
            queue.send(subscribe).await.unwrap();
        }
        let mut all = die(&s, "f", 2).await;
        let unsubscribe = || Unsubscribe(leaves.clone().recipient());
        assert!(queue.send(unsubscribe()).await.unwrap());
        assert!(!queue.send(unsubscribe()).await.unwrap(), "only once");
        assert_eq!(seen(&before), all);
        all.extend(die(&s, "f", 2).await);
        assert_eq!(seen(&heard), all);
        assert_eq!(seen(&before).len(), 2);
    });
}

/// On real threads: the closure is the user's code, and runs where that runs.
#[test]
fn a_subscriber_closure_that_blocks_stops_neither_the_queue_nor_supervision() {
    let retried = Function::new("retried", async |event: Event<u32>| {
        match event.context().attempt() {
            1 => Err("as scripted"),
            _ => Ok(()),
        }
    });
    let retried = retried.retry(RetryPolicy::fixed(1, Duration::from_millis(1)));
    actix::System::new().block_on(async move {
        let (blocked, begun) = mpsc::channel::<()>();
        let (release, released) = mpsc::channel::<()>();
        let (blocked, released) = (Mutex::new(blocked), Mutex::new(released));
        let builder = Runtime::builder()
            .function(mortal("f"))
            .function(retried)
            .arbiters(2)
            .on_dead_letter(move |_: DeadLetter| {
                blocked.lock().unwrap().send(()).unwrap();
                let _ = released.lock().unwrap().recv();
            });
        let runtime = builder.start().await.unwrap();
        let client = runtime.client();
        let dead = client.invoke("f", 0_u32).await.unwrap().request_id;
        let begun = actix_rt::task::spawn_blocking(move || begun.recv());
        begun.await.unwrap().unwrap();
        let letter = runtime.dead_letters().send(Get(dead));
        let letter = tokio::time::timeout(secs(60), letter).await;
        assert!(letter.unwrap().unwrap().is_some());
        let retried = client.invoke("retried", 0_u32).await.unwrap();
        let end = tokio::time::timeout(secs(60), client.wait(retried.request_id)).await;
        assert_eq!(end.unwrap().unwrap().state(), "succeeded");
        let page = runtime.dead_letters().send(List::new(Filter::new())).await;
        assert_eq!(page.unwrap().total, 1);
        drop(release);
        let _ = runtime.shutdown(secs(1)).await;
    });
}
