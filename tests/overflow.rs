//! Overflow: events beyond a function's window wait in the store and are loaded in due order. The next process continues with
//! the events that a process leaves there.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::{Arc, Mutex};

use common::{invoke, letters, secs, simulate_with, steps};
use redrive::store::Settlement;
use redrive::testing::{
    FaultyStore, RecordingStore, Script, Simulation, Step, StoreCall, StoreFault, scripted,
};
use redrive::{
    Condition, Durability, Event, FailureKind, Function, Invoke, RequestId, RetryPolicy, Runtime,
    State, Status,
};

type Order = Arc<Mutex<Vec<u32>>>;

/// Records its payload.
fn noting(order: &Order) -> Function {
    let order = order.clone();
    let note = move |event: Event<u32>| {
        order.lock().unwrap().push(*event);
        async { Ok::<_, String>(()) }
    };
    Function::new("f", note).concurrency(1)
}

async fn start(store: &Arc<RecordingStore>, function: Function) -> Simulation {
    let builder = Runtime::builder().function(function).store(store.clone());
    Simulation::start(7, builder).await.unwrap()
}

async fn status(s: &Simulation, id: RequestId) -> Status {
    s.client().status(id).await.unwrap()
}

#[test]
fn events_beyond_the_window_run_in_order() {
    let (order, store) = (Order::default(), RecordingStore::new());
    let function = noting(&order).window(10);
    simulate_with(
        Runtime::builder().function(function).store(store),
        |s| async move {
            s.client().pause("f");
            for number in 0..1_000_u32 {
                invoke(&s, "f", number).await;
            }
            let stats = s.stats("f");
            assert_eq!((stats.events.ready, stats.mailbox_depth), (1_000, 1_000));
            s.client().resume("f");
            s.settle().await;
            assert_eq!(*order.lock().unwrap(), (0..1_000).collect::<Vec<_>>());
            assert_eq!(
                (s.succeeded("f"), s.stats("f").events.pending()),
                (1_000, 0)
            );
        },
    );
}

#[test]
fn the_bounds_count_overflow() {
    let function = noting(&Order::default()).window(2).mailbox_events_max(5);
    let builder = Runtime::builder()
        .function(function)
        .store(RecordingStore::new());
    simulate_with(builder, |s| async move {
        s.client().pause("f");
        for number in 0..5_u32 {
            invoke(&s, "f", number).await;
        }
        assert!(s.client().invoke("f", 5_u32).await.is_err());
        s.client().resume("f");
        s.settle().await;
        s.client().invoke("f", 6_u32).await.unwrap();
    });
}

#[test]
fn delayed_events_beyond_the_window_run_when_they_are_due() {
    let order = Order::default();
    let noted = order.clone();
    let function = noting(&order).window(3);
    let builder = Runtime::builder()
        .function(function)
        .store(RecordingStore::new());
    simulate_with(builder, |s| async move {
        // The last to come is the first to be due.
        for number in 0..50_u32 {
            let event = Invoke::event("f", number).delay(secs(1_000 - u64::from(number)));
            s.client().send(event).await.unwrap();
        }
        invoke(&s, "f", 1_000_u32).await;
        s.settle().await;
        assert_eq!(
            *noted.lock().unwrap(),
            [1_000],
            "what is due doesn't wait behind what isn't"
        );
        assert_eq!(s.delayed("f"), 50);
        s.advance(secs(950)).await;
        assert_eq!(noted.lock().unwrap().len(), 1);
        s.advance(secs(10)).await;
        assert_eq!(noted.lock().unwrap().len(), 11);
        s.advance(secs(60)).await;
        let mut ran = noted.lock().unwrap().clone();
        assert_eq!(ran.len(), 51);
        ran.remove(0);
        assert_eq!(ran, (0..50).rev().collect::<Vec<_>>());
    });
}

#[test]
fn retries_beyond_the_window_keep_their_attempts_and_their_time() {
    let builder = Runtime::builder()
        .function(scripted("f").window(2))
        .store(RecordingStore::new());
    simulate_with(builder, |s| async move {
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(invoke(&s, "f", Script::always_fails()).await);
        }
        s.settle().await;
        for &id in &ids {
            let status = status(&s, id).await;
            assert!(
                matches!(
                    status,
                    Status::Delayed {
                        attempts: 1,
                        failure: Some(_),
                        ..
                    }
                ),
                "{status:?}"
            );
        }
        s.advance(secs(59)).await;
        assert_eq!(s.stats("f").invocations, 20);
        s.advance(secs(2)).await;
        assert_eq!(s.stats("f").invocations, 40);
        s.advance(secs(121)).await;
        assert_eq!((s.stats("f").invocations, s.dead("f")), (60, 20));
        for letter in letters(&s).await {
            let numbers: Vec<_> = letter
                .attempts
                .iter()
                .map(|attempt| attempt.number)
                .collect();
            assert_eq!(numbers, [1, 2, 3]);
        }
    });
}

#[test]
fn an_overflow_event_can_be_seen_listed_awaited_and_cancelled() {
    let builder = Runtime::builder()
        .function(scripted("f").window(1))
        .store(RecordingStore::new());
    simulate_with(builder, |s| async move {
        let client = s.client();
        client.pause("f");
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(invoke(&s, "f", Script::succeeds()).await);
        }
        let later = Invoke::event("f", Script::succeeds()).delay(secs(50));
        let here = client.send(later.clone()).await.unwrap().request_id;
        let overflowed = client.send(later).await.unwrap().request_id;
        let (mut listed, mut cursor) = (Vec::new(), Some(0));
        while let Some(from) = cursor {
            let page = client.events("f", State::Accepted, from, 2).await.unwrap();
            listed.extend(page.events.iter().map(|event| event.request_id));
            cursor = page.next;
        }
        assert_eq!(listed, ids);
        assert!(matches!(
            status(&s, overflowed).await,
            Status::Delayed { .. }
        ));
        let waiting = tokio::task::spawn_local({
            let (client, id) = (client.clone(), ids[2]);
            async move { client.wait(id).await }
        });
        let given_up = tokio::task::spawn_local({
            let (client, id) = (client.clone(), ids[3]);
            async move { client.wait(id).await }
        });
        s.settle().await;
        assert!(client.cancel(ids[3]).await && client.cancel(overflowed).await);
        assert!(!client.cancel(ids[3]).await);
        assert!(matches!(status(&s, ids[3]).await, Status::Cancelled));
        client.resume("f");
        assert!(matches!(
            waiting.await.unwrap(),
            Some(Status::Succeeded { .. })
        ));
        assert!(matches!(given_up.await.unwrap(), Some(Status::Cancelled)));
        s.advance(secs(51)).await;
        assert!(matches!(status(&s, here).await, Status::Succeeded { .. }));
        let events = s.stats("f").events;
        assert_eq!(
            (events.succeeded, events.cancelled, events.pending()),
            (4, 2, 0)
        );
    });
}

#[test]
fn the_overflow_events_of_a_removed_function_become_dead_letters() {
    let builder = Runtime::builder()
        .function(scripted("f").window(2))
        .store(RecordingStore::new());
    simulate_with(builder, |s| async move {
        s.client().pause("f");
        for _ in 0..10 {
            invoke(&s, "f", Script::succeeds()).await;
            let later = Invoke::event("f", Script::succeeds()).delay(secs(5_000));
            s.client().send(later).await.unwrap();
        }
        s.runtime().remove_function("f").unwrap();
        s.settle().await;
        let letters = letters(&s).await;
        assert_eq!(letters.len(), 20);
        assert!(
            letters
                .iter()
                .all(|letter| letter.condition == Condition::FunctionRemoved)
        );
        s.runtime().add_function(scripted("f")).unwrap();
        assert_eq!(s.stats("f").events.pending(), 0);
    });
}

#[test]
fn a_failed_load_is_retried() {
    let store = FaultyStore::new(RecordingStore::new()).at(StoreCall::Fetch, 1, StoreFault::Fail);
    let store = Arc::new(store.at(StoreCall::Fetch, 2, StoreFault::Panic));
    let builder = Runtime::builder()
        .function(scripted("f").window(1))
        .store(store.clone());
    simulate_with(builder, |s| async move {
        for _ in 0..5 {
            invoke(&s, "f", steps([Step::Take(secs(1))])).await;
        }
        s.advance(secs(60)).await;
        assert_eq!((s.succeeded("f"), s.stats("f").store_errors), (5, 2));
        assert!(store.calls(StoreCall::Fetch) > 2);
    });
}

/// The next process has waiting, delayed and failed events, with their attempts and times.
#[test]
fn the_next_process_continues_every_pending_event() {
    let store = RecordingStore::new();
    redrive::testing::run(async {
        let s = start(&store, scripted("f")).await;
        let fails = invoke(&s, "f", Script::fails(2)).await;
        s.advance(secs(61)).await;
        s.client().pause("f");
        let waits = invoke(&s, "f", Script::succeeds()).await;
        let later = Invoke::event("f", Script::succeeds()).delay(secs(500));
        let later = s.client().send(later).await.unwrap().request_id;
        drop(s);
        store.reopen();

        let s = start(&store, scripted("f")).await;
        s.settle().await;
        assert!(matches!(status(&s, waits).await, Status::Succeeded { .. }));
        let before = status(&s, fails).await;
        assert!(
            matches!(before, Status::Delayed { attempts: 2, .. }),
            "{before:?}"
        );
        assert_eq!(s.delayed("f"), 2);
        s.advance(secs(121)).await;
        let Status::Succeeded { attempts, .. } = status(&s, fails).await else {
            panic!()
        };
        assert_eq!(attempts, 3);
        s.advance(secs(400)).await;
        assert!(matches!(status(&s, later).await, Status::Succeeded { .. }));
        s.assert_nothing_lost();
    });
}

/// An event that ran when the process died loses no attempt, runs alone, and is dead-lettered after three deaths.
#[test]
fn an_event_whose_runs_kill_the_process_is_a_dead_letter_and_the_others_are_not() {
    let store = RecordingStore::new();
    redrive::testing::run(async {
        let function = || {
            scripted("f")
                .retry(RetryPolicy::none())
                .timeout(secs(10_000))
                .concurrency(2)
        };
        let s = start(&store, function()).await;
        let poison = invoke(&s, "f", steps([Step::Hang])).await;
        let innocent = invoke(&s, "f", steps([Step::Take(secs(5))])).await;
        s.settle().await;
        assert_eq!(s.running("f"), 2);
        kill(s, &store);
        for death in 2..=3 {
            let s = start(&store, function()).await;
            s.settle().await;
            let begun = store.begun();
            assert_eq!(begun.last(), Some(&poison), "suspects run one at a time");
            assert!(matches!(status(&s, innocent).await, Status::Running { .. }));
            let next = invoke(&s, "f", steps([Step::Succeed])).await;
            s.settle().await;
            let next = status(&s, next).await;
            assert!(matches!(next, Status::Accepted { .. }), "{death}: {next:?}");
            kill(s, &store);
        }
        let s = start(&store, function()).await;
        s.advance(secs(6)).await;
        let Status::Dead(letter) = status(&s, poison).await else {
            panic!()
        };
        assert_eq!(letter.condition, Condition::ProcessCrash);
        let attempts: Vec<_> = letter
            .attempts
            .iter()
            .map(|attempt| (attempt.number, attempt.failure.kind))
            .collect();
        assert_eq!(attempts, [(1, FailureKind::ProcessCrash)]);
        assert_eq!(letter.attempt_count, 1);
        assert!(matches!(
            status(&s, innocent).await,
            Status::Succeeded { attempts: 1, .. }
        ));
    });
}

/// Not a shutdown: the store gets no more calls.
/// A suspect has ended, and the process dies of the next one before the store has written that.
#[test]
fn an_ended_event_is_not_charged_with_a_later_process_death() {
    let store = RecordingStore::new();
    redrive::testing::run(async {
        let builder = |concurrency| {
            let function = |name| scripted(name).timeout(secs(10_000));
            Runtime::builder()
                .function(function("f").concurrency(concurrency))
                .function(function("g"))
                .process_deaths_max(2)
        };
        let s = Simulation::start(7, builder(2).store(store.clone()))
            .await
            .unwrap();
        let innocent = invoke(&s, "f", steps([Step::Take(secs(5))])).await;
        let poison = invoke(&s, "g", steps([Step::Hang])).await;
        invoke(&s, "f", steps([Step::Take(secs(5))])).await;
        s.settle().await;
        assert_eq!((s.running("f"), s.running("g")), (2, 1));
        kill(s, &store);
        let forgetful = FaultyStore::new(store.clone()).always(StoreCall::Settle, StoreFault::Hang);
        let s = Simulation::start(7, builder(1).store(Arc::new(forgetful)))
            .await
            .unwrap();
        s.advance(secs(6)).await;
        assert_eq!(store.begun()[3..], [innocent, poison]);
        assert_eq!(s.succeeded("f"), 1);
        kill(s, &store);
        let s = Simulation::start(7, builder(1).store(store.clone()))
            .await
            .unwrap();
        s.advance(secs(11)).await;
        assert_eq!((s.succeeded("f"), s.succeeded("g")), (2, 0));
        assert!(matches!(status(&s, poison).await, Status::Dead(_)));
    });
}

fn kill(simulation: Simulation, store: &Arc<RecordingStore>) {
    store.die();
    drop(simulation);
    store.reopen();
}

#[test]
fn dead_letters_are_there_for_the_next_process() {
    let store = RecordingStore::new();
    redrive::testing::run(async {
        let function = || scripted("f").retry(RetryPolicy::none());
        let s = start(&store, function()).await;
        let mut ids = Vec::new();
        for script in [
            Script::always_fails(),
            Script::always_fails(),
            Script::fails(1),
        ] {
            ids.push(invoke(&s, "f", script).await);
        }
        s.settle().await;
        let queue = s.runtime().dead_letters();
        assert_eq!(
            queue
                .send(redrive::Purge(
                    redrive::Filter::new().condition(Condition::Final)
                ))
                .await
                .unwrap(),
            0
        );
        drop(s);
        store.reopen();

        let s = start(&store, function()).await;
        assert_eq!(
            letters(&s)
                .await
                .iter()
                .map(|letter| letter.request_id)
                .collect::<Vec<_>>(),
            ids
        );
        let redriven = s
            .runtime()
            .dead_letters()
            .send(redrive::Redrive::one(ids[2]))
            .await
            .unwrap();
        assert_eq!(redriven.sent.len(), 1);
        drop(s);
        store.reopen();

        let s = start(&store, function()).await;
        s.settle().await;
        let left: Vec<_> = letters(&s)
            .await
            .iter()
            .map(|letter| letter.redriven_from)
            .collect();
        assert_eq!(
            left,
            [None, None, Some(ids[2])],
            "the letter that was redriven is gone, and its event died"
        );
        let purged = s
            .runtime()
            .dead_letters()
            .send(redrive::Purge(redrive::Filter::new()))
            .await
            .unwrap();
        assert_eq!(purged, 3);
        let forgotten =
            |settled: &redrive::store::Settled| matches!(settled.settlement, Settlement::Forgotten);
        assert_eq!(
            store
                .settled()
                .iter()
                .filter(|settled| forgotten(settled))
                .count(),
            3
        );
        drop(s);
        store.reopen();
        let s = start(&store, function()).await;
        assert!(letters(&s).await.is_empty());
        let forgotten = store
            .settled()
            .iter()
            .filter(|s| matches!(s.settlement, Settlement::Forgotten))
            .count();
        assert_eq!(forgotten, 3);
    });
}

#[test]
fn letters_beyond_their_maximum_age_are_dropped() {
    let bounds = redrive::DeadLetterBounds::default().age_max(secs(100));
    let function = scripted("f").retry(RetryPolicy::none());
    let builder = Runtime::builder().function(function).dead_letters(bounds);
    simulate_with(builder, |s| async move {
        invoke(&s, "f", Script::always_fails()).await;
        s.advance(secs(60)).await;
        invoke(&s, "f", Script::always_fails()).await;
        s.advance(secs(39)).await;
        assert_eq!(letters(&s).await.len(), 2);
        s.advance(secs(12)).await;
        assert_eq!(
            (letters(&s).await.len(), s.stats("f").dead_letter_errors),
            (1, 1)
        );
    });
}

/// BYD-12
#[test]
fn a_key_is_accepted_once_within_its_window() {
    for stored in [false, true] {
        let mut builder = Runtime::builder()
            .function(scripted("f"))
            .function(scripted("g"));
        if stored {
            builder = builder.store(RecordingStore::new());
        }
        simulate_with(builder, |s| async move {
            let keyed = |function: &'static str| {
                Invoke::event(function, Script::succeeds()).deduplicate("order-7", secs(100))
            };
            let first = s.client().send(keyed("f")).await.unwrap();
            assert!(!first.duplicate);
            for _ in 0..3 {
                s.advance(secs(30)).await;
                let again = s.client().send(keyed("f")).await.unwrap();
                assert_eq!(
                    (again.request_id, again.duplicate),
                    (first.request_id, true)
                );
            }
            assert!(
                !s.client().send(keyed("g")).await.unwrap().duplicate,
                "another function's"
            );
            assert_eq!(
                (
                    s.accepted("f"),
                    s.succeeded("f"),
                    s.stats("f").mailbox_depth
                ),
                (1, 1, 0)
            );
            s.advance(secs(11)).await;
            let next = s.client().send(keyed("f")).await.unwrap();
            assert!(!next.duplicate && next.request_id != first.request_id);
            for (key, window) in [("", secs(1)), ("x", secs(0)), (&*"x".repeat(257), secs(1))] {
                let faulty = Invoke::event("f", Script::succeeds()).deduplicate(key, window);
                let refused = s.client().send(faulty).await.unwrap_err().to_string();
                assert!(refused.contains("deduplicate"), "{refused}");
            }
        });
    }
}

#[test]
fn durability_is_stated_per_runtime_and_per_event() {
    let store = RecordingStore::new();
    let appended = store.clone();
    let builder = Runtime::builder().function(scripted("f")).store(store);
    let interval = Durability::DiskInterval(secs(1));
    simulate_with(builder.durability(interval), |s| async move {
        let send = |durability: Option<Durability>| {
            let event = Invoke::event("f", Script::succeeds());
            let event = match durability {
                Some(durability) => event.durability(durability),
                None => event,
            };
            let client = s.client();
            async move { client.send(event).await.unwrap().durability }
        };
        assert_eq!(send(None).await, interval);
        assert_eq!(send(Some(Durability::Disk)).await, Durability::Disk);
        assert_eq!(appended.appended().len(), 2);
        assert_eq!(send(Some(Durability::Memory)).await, Durability::Memory);
        assert_eq!(appended.appended().len(), 2);
        s.settle().await;
        assert_eq!((s.succeeded("f"), appended.settled().len()), (3, 2));
    });
    simulate_with(Runtime::builder().function(scripted("f")), |s| async move {
        let event = Invoke::event("f", Script::succeeds()).durability(Durability::Disk);
        let refused = s.client().send(event).await.unwrap_err().to_string();
        assert!(refused.contains("durability"), "{refused}");
    });
}

#[test]
fn the_recording_store_keeps_the_contract_of_stores() {
    let store = RecordingStore::new();
    redrive::testing::run(redrive::testing::judge(|| {
        store.reopen();
        store.clone()
    }));
}

/// ASY-27, in every process.
#[test]
fn an_event_that_waited_for_a_function_with_zero_concurrency_never_runs() {
    let store = RecordingStore::new();
    redrive::testing::run(async {
        let s = start(&store, scripted("f")).await;
        s.client().pause("f");
        let id = invoke(&s, "f", Script::succeeds()).await;
        kill(s, &store);
        let s = start(&store, scripted("f").reserved_concurrency_zero()).await;
        s.settle().await;
        let Status::Dead(letter) = status(&s, id).await else {
            panic!()
        };
        assert_eq!(letter.condition, Condition::ZeroReservedConcurrency);
        assert_eq!(letter.attempt_count, 0);
    });
}

#[test]
fn a_runtime_with_memory_durability_stores_only_events_that_ask_for_more() {
    let store = RecordingStore::new();
    let appended = store.clone();
    let builder = Runtime::builder().function(scripted("f")).store(store);
    simulate_with(builder.durability(Durability::Memory), |s| async move {
        let client = s.client();
        let receipts = client
            .invoke_batch("f", [Script::succeeds(), Script::fails(1)])
            .await;
        assert!(
            receipts
                .unwrap()
                .iter()
                .all(|receipt| receipt.durability == Durability::Memory)
        );
        invoke(&s, "f", Script::succeeds()).await;
        assert!(appended.appended().is_empty());
        let event = Invoke::event("f", Script::succeeds()).durability(Durability::Disk);
        assert_eq!(
            client.send(event).await.unwrap().durability,
            Durability::Disk
        );
        assert_eq!(appended.appended().len(), 1);
        s.advance(secs(61)).await;
        assert_eq!((s.succeeded("f"), appended.settled().len()), (4, 1));
    });
}
