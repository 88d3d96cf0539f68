//! The actors of the control plane share an arbiter: each does bounded work per message, so none starves the others.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{dead_letters, secs, simulate, simulate_with};
use redrive::testing::{Simulation, scripted};
use redrive::{
    DeadLetterBounds, Event, Filter, Final, Function, Invoke, List, Purge, Redrive, RetryPolicy,
    Runtime, Shutdown, WhenFull,
};

/// So many letters that every operation takes several steps.
const MANY: usize = 12_000;

fn mortal(name: &str) -> Function {
    Function::new(name, async |event: Event<u32>| match *event {
        0 => Err(Final::new("as scripted")),
        _ => Ok(()),
    })
    .mailbox_events_max(1_000_000)
    .retry(RetryPolicy::none())
}

/// Returns how often this task is polled until `work` is done, which is how often other tasks run meanwhile.
async fn turns_during<R: 'static>(work: impl Future<Output = R> + 'static) -> (R, usize) {
    let (done, mut turns) = (Rc::new(Cell::new(false)), 0);
    let told = done.clone();
    let work = tokio::task::spawn_local(async move {
        let result = work.await;
        told.set(true);
        result
    });
    while !done.get() {
        turns += 1;
        tokio::task::yield_now().await;
    }
    (work.await.unwrap(), turns)
}

/// Lets many events die, of a function that runs none.
async fn many_letters(s: &Simulation, function: &str) {
    let before = s.dead(function);
    s.client()
        .invoke_batch(function, vec![0_u32; MANY])
        .await
        .unwrap();
    s.settle().await;
    assert_eq!(s.dead(function) - before, MANY as u64);
}

fn bounds() -> DeadLetterBounds {
    DeadLetterBounds::new(10 * MANY, 1 << 30, WhenFull::Hold)
}

#[test]
fn queries_of_the_dead_letter_queue_do_not_starve_other_actors() {
    simulate([mortal("f")], |s| async move {
        let queue = dead_letters(&s);
        let asking = async move {
            for _ in 0..MANY {
                queue.do_send(List::new(Filter::new()));
            }
            queue.send(List::new(Filter::new())).await.unwrap()
        };
        let (_, turns) = turns_during(asking).await;
        assert!(turns > 50, "{turns} turns");
    });
}

#[test]
fn invocations_by_the_router_do_not_starve_other_actors() {
    simulate([mortal("f")], |s| async move {
        let router = s.runtime().router();
        let sending = async move {
            for _ in 0..MANY {
                router.do_send(Invoke::event("f", 1_u32));
            }
            router.send(Invoke::event("f", 1_u32)).await.unwrap()
        };
        let (sent, turns) = turns_during(sending).await;
        sent.unwrap();
        assert!(turns > 50, "{turns} turns");
    });
}

#[test]
fn many_events_at_zero_concurrency_are_dead_lettered_in_bounded_steps() {
    let zero = mortal("f").reserved_concurrency_zero();
    simulate([zero, scripted("g")], |s| async move {
        let client = s.client();
        let dying = async move {
            let receipts = client.invoke_batch("f", vec![0_u32; MANY]).await.unwrap();
            client.wait(receipts[MANY - 1].request_id).await.unwrap()
        };
        let (_, turns) = turns_during(dying).await;
        assert!(turns > 50, "{turns} turns");
        assert_eq!(s.dead("f"), MANY as u64);
    });
}

#[test]
fn the_events_of_a_removed_function_are_dead_lettered_in_bounded_steps() {
    simulate_with(
        Runtime::builder()
            .function(mortal("f"))
            .dead_letters(bounds()),
        |s| async move {
            let client = s.client();
            client.pause("f");
            let receipts = client.invoke_batch("f", vec![1_u32; MANY]).await.unwrap();
            s.runtime().remove_function("f").unwrap();
            let last = receipts[MANY - 1].request_id;
            let told = client.clone();
            let (end, turns) = turns_during(async move { told.wait(last).await }).await;
            assert_eq!(end.unwrap().state(), "dead");
            assert!(turns > 50, "{turns} turns");
            s.settle().await;
            let page = List::new(Filter::new().function("f"));
            let page = dead_letters(&s).send(page).await.unwrap();
            assert_eq!((page.total, page.total_is_exact), (MANY, true));
        },
    );
}

#[test]
fn the_calls_of_a_removed_function_end_in_bounded_steps() {
    let hanging = Function::new("f", async |_: Event<u32>| {
        std::future::pending::<()>().await;
        Ok::<_, String>(())
    });
    let hanging = hanging.mailbox_events_max(1_000_000).concurrency(1);
    simulate([hanging], |s| async move {
        let client = s.client();
        let begin = |_| client.begin_call(Invoke::event("f", 1_u32)).unwrap();
        let mut calls: Vec<_> = (0..MANY).map(begin).collect();
        s.settle().await;
        s.runtime().remove_function("f").unwrap();
        let last = calls.pop().unwrap();
        let (end, turns) = turns_during(async move { last.result::<()>().await }).await;
        assert!(end.is_err());
        assert!(turns > 5, "{turns} turns");
    });
}

#[test]
fn a_page_examines_a_bounded_number_of_letters_and_returns_a_cursor() {
    simulate_with(
        Runtime::builder()
            .function(mortal("f"))
            .function(mortal("g").reserved_concurrency_zero())
            .dead_letters(bounds()),
        |s| async move {
            many_letters(&s, "f").await;
            s.client().invoke("g", 0_u32).await.unwrap();
            s.settle().await;
            let ask = |list: List| {
                let queue = dead_letters(&s);
                async move { queue.send(list).await.unwrap() }
            };
            let nobodys = Filter::new().error_type("nobody");
            let first = ask(List::new(nobodys.clone())).await;
            assert!(first.letters.is_empty() && first.next.is_some());
            assert_eq!((first.total, first.total_is_exact), (0, false));
            let (mut pages, mut found, mut next) = (0, 0, Some(0));
            let final_ones = Filter::new().error_type("Error");
            while let Some(cursor) = next {
                let page = ask(List::new(final_ones.clone()).limit(MANY).after(cursor)).await;
                (pages, found, next) = (pages + 1, found + page.letters.len(), page.next);
            }
            assert!(pages > 2, "{pages} pages");
            assert_eq!(found, MANY);

            // The letters of one function are found without examining the others.
            let of_g = ask(List::new(Filter::new().function("g"))).await;
            assert_eq!((of_g.letters.len(), of_g.next), (1, None));
            let counted = |filter: Filter| {
                let page = ask(List::new(filter).limit(1));
                async move {
                    let page = page.await;
                    assert!(page.total_is_exact);
                    page.total
                }
            };
            use redrive::Condition::{Final, RetriesExhausted, ZeroReservedConcurrency};
            assert_eq!(counted(Filter::new()).await, MANY + 1);
            assert_eq!(counted(Filter::new().condition(Final)).await, MANY);
            assert_eq!(counted(Filter::new().condition(RetriesExhausted)).await, 0);
            let zero = Filter::new().condition(ZeroReservedConcurrency);
            assert_eq!(counted(zero.clone()).await, 1);
            assert_eq!(counted(zero.function("f")).await, 0);
        },
    );
}

#[test]
fn a_purge_works_in_bounded_steps_and_keeps_letters_that_arrive_meanwhile() {
    let builder = Runtime::builder().function(mortal("f"));
    simulate_with(builder.dead_letters(bounds()), |s| async move {
        many_letters(&s, "f").await;
        let queue = dead_letters(&s);
        let (purge, client) = (queue.send(Purge(Filter::new())), s.client());
        let ((purged, receipt), turns) = turns_during(async move {
            let (purged, receipt) = tokio::join!(purge, client.invoke("f", 0_u32));
            (purged.unwrap(), receipt.unwrap())
        })
        .await;
        assert!(turns > 2, "{turns} turns");
        assert_eq!(purged, MANY);
        s.settle().await;
        assert_eq!(common::letters(&s).await[0].request_id, receipt.request_id);
        let left = queue.send(List::new(Filter::new())).await.unwrap();
        assert_eq!((left.letters.len(), left.total), (1, 1));
        s.assert_nothing_lost();
    });
}

#[test]
fn a_purge_keeps_the_letters_that_take_its_freed_room() {
    let bounds = DeadLetterBounds::new(MANY, 1 << 30, WhenFull::Hold);
    let builder = Runtime::builder()
        .function(mortal("f"))
        .dead_letters(bounds);
    simulate_with(builder, |s| async move {
        many_letters(&s, "f").await;
        let held = s
            .client()
            .invoke_batch("f", vec![0_u32; 500])
            .await
            .unwrap();
        s.settle().await;
        assert_eq!(s.running("f"), 500);
        let purged = dead_letters(&s).send(Purge(Filter::new())).await.unwrap();
        assert_eq!(purged, MANY);
        s.settle().await;
        let letters = common::letters(&s).await;
        let letters: Vec<_> = letters.iter().map(|letter| letter.request_id).collect();
        let held: Vec<_> = held.iter().map(|receipt| receipt.request_id).collect();
        assert_eq!(letters, held, "all of them, in their order");
        s.assert_nothing_lost();
    });
}

#[test]
fn many_letters_are_redriven_in_bounded_steps() {
    let builder = Runtime::builder().function(mortal("f"));
    simulate_with(builder.dead_letters(bounds()), |s| async move {
        many_letters(&s, "f").await;
        let queue = dead_letters(&s);
        let filter = Filter::new().error_type("Error");
        let payload = redrive::Payload::new(1_u32).unwrap();
        let redrive = Redrive::filter(filter).payload(payload);
        let (redriven, turns) = turns_during(async move { queue.send(redrive).await }).await;
        assert_eq!(redriven.unwrap().sent.len(), MANY);
        assert!(turns > 2, "{turns} turns");
        s.settle().await;
        assert_eq!(s.succeeded("f"), MANY as u64);
        assert!(common::letters(&s).await.is_empty());
    });
}

#[test]
fn many_letters_expire_in_bounded_steps() {
    let builder = Runtime::builder().function(mortal("f"));
    let bounds = bounds().age_max(secs(3_600));
    simulate_with(builder.dead_letters(bounds), |s| async move {
        many_letters(&s, "f").await;
        s.advance(secs(3_590)).await;
        assert!(!common::letters(&s).await.is_empty());
        s.advance(secs(100)).await;
        assert!(common::letters(&s).await.is_empty());
        assert_eq!(s.stats("f").dead_letter_errors, MANY as u64);
    });
}

#[test]
fn a_shutdown_hands_over_all_letters() {
    let bounds = DeadLetterBounds::new(MANY, 1 << 30, WhenFull::Hold);
    let builder = Runtime::builder()
        .function(mortal("f"))
        .dead_letters(bounds);
    simulate_with(builder, |s| async move {
        many_letters(&s, "f").await;
        s.client()
            .invoke_batch("f", vec![0_u32; 5_000])
            .await
            .unwrap();
        s.settle().await;
        let report = s.into_runtime().shutdown(Shutdown::new(secs(1))).await;
        assert_eq!(report.dead_letters.len(), MANY + 5_000);
        assert!(report.unfinished.is_empty());
    });
}

/// On real threads: those who read come from other arbiters and never let the queue's mailbox become empty.
#[test]
fn an_event_is_retried_while_others_read_dead_letters() {
    let retried = Function::new("retried", async |event: Event<u32>| {
        match event.context().attempt() {
            1 => Err("as scripted"),
            _ => Ok(()),
        }
    });
    let retried = retried.retry(RetryPolicy::fixed(1, Duration::from_millis(1)));
    actix::System::new().block_on(async move {
        let builder = Runtime::builder().function(mortal("f")).function(retried);
        let runtime = builder.dead_letters(bounds()).start().await.unwrap();
        let client = runtime.client();
        client.invoke_batch("f", vec![0_u32; MANY]).await.unwrap();
        while client.stats().events.dead < MANY as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let readers = (0..4).map(|_| {
            let (queue, stop) = (runtime.dead_letters(), stop.clone());
            std::thread::spawn(move || {
                let nobodys = || List::new(Filter::new().error_type("nobody"));
                let reading = async {
                    while !stop.load(Ordering::SeqCst) {
                        queue.send(nobodys()).await.unwrap();
                    }
                };
                tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap()
                    .block_on(reading);
            })
        });
        let readers: Vec<_> = readers.collect();
        for _ in 0..20 {
            let retried = client.invoke("retried", 0_u32).await.unwrap();
            let end = tokio::time::timeout(secs(60), client.wait(retried.request_id)).await;
            let end = end.expect("it is retried, though others read").unwrap();
            assert_eq!(end.state(), "succeeded");
        }
        stop.store(true, Ordering::SeqCst);
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
        let _ = runtime.shutdown(secs(1)).await;
    });
}
