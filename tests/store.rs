//! The calls of a store: an append before each receipt, a settlement for the end of each event.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::{fail, hush, invoke, letters, secs, simulate_with, steps};
use redrive::store::{CRASH_MARK_EVENTS_MAX, Settlement};
use redrive::testing::{
    FaultyStore, RecordingStore, Script, Simulation, Step, StoreCall, StoreFault, scripted,
};
use redrive::{
    Bound, Condition, DeadLetterBounds, Durability, Event, Function, Invoke, InvokeError, Payload,
    RequestId, RetryPolicy, Runtime, Status, WhenFull,
};
use tracing_subscriber::layer::{self, Layer, SubscriberExt};

/// Runs `test` on a simulation of `f` and `g` with a store.
fn stored<F, Fut>(test: F)
where
    F: FnOnce(Simulation, Arc<RecordingStore>) -> Fut,
    Fut: Future<Output = ()>,
{
    let store = RecordingStore::new();
    let zero = scripted("zero").reserved_concurrency_zero();
    let builder = Runtime::builder()
        .function(scripted("f"))
        .function(scripted("g"))
        .function(zero);
    simulate_with(builder.store(store.clone()), |s| test(s, store));
}

/// Returns the calls of the store, one word each.
fn told(store: &RecordingStore, id: RequestId) -> Vec<String> {
    let settled = store
        .settled()
        .into_iter()
        .filter(|settled| settled.request_id == id);
    let word = |settlement| match settlement {
        Settlement::Succeeded { result, .. } => {
            assert_eq!(result.unwrap().read::<RequestId>().unwrap(), id);
            "succeeded".to_owned()
        }
        Settlement::Rescheduled { attempt, .. } => format!("rescheduled {}", attempt.number),
        Settlement::Buried(letter) => format!("buried {}", letter.condition),
        Settlement::Cancelled { .. } => "cancelled".to_owned(),
        other => format!("{other:?}"),
    };
    settled.map(|settled| word(settled.settlement)).collect()
}

#[test]
fn an_event_is_appended_before_its_receipt_and_runs_after_it() {
    stored(|s, store| async move {
        store.hang_append(1);
        let client = s.client();
        let invoke =
            tokio::task::spawn_local(async move { client.invoke("f", Script::succeeds()).await });
        s.advance(secs(3_600)).await;
        assert!(!invoke.is_finished());
        assert_eq!((s.accepted("f"), s.stats("f").invocations), (0, 0));
        store.release();
        let receipt = invoke.await.unwrap().unwrap();
        assert_eq!(receipt.durability, Durability::Disk);
        s.settle().await;
        assert_eq!((s.accepted("f"), s.succeeded("f")), (1, 1));
        assert_eq!(store.appended()[0].request_id, receipt.request_id);
    });
}

#[test]
fn the_store_receives_every_field_of_the_event() {
    stored(|s, store| async move {
        let invoke = Invoke::event("f", steps([Step::Take(secs(1))]));
        let invoke = invoke.delay(secs(60)).trace_header("Root=1").hops(3);
        s.client().send(invoke).await.unwrap();
        let event = &store.appended()[0];
        assert_eq!(event.function.as_str(), "f");
        let script: Script = event.payload.read().unwrap();
        assert_eq!(script, steps([Step::Take(secs(1))]));
        let wait = event.due_at.duration_since(event.accepted_at).unwrap();
        assert_eq!((wait, event.hops), (secs(60), 3));
        assert_eq!(
            (event.trace_header.as_deref(), event.redriven_from),
            (Some("Root=1"), None)
        );
    });
}

#[test]
fn an_event_whose_caller_went_away_runs_once_it_is_stored() {
    stored(|s, store| async move {
        store.hang_append(1);
        let client = s.client();
        let invoke = client.invoke("f", Script::succeeds());
        assert!(tokio::time::timeout(secs(5), invoke).await.is_err());
        store.release();
        s.settle().await;
        assert_eq!((store.appended().len(), s.succeeded("f")), (1, 1));
    });
}

/// A waker that panics.
struct Grumpy;

impl Wake for Grumpy {
    fn wake(self: Arc<Self>) {
        panic!("as scripted");
    }
}

#[test]
fn an_event_runs_although_its_callers_waker_panics() {
    hush();
    stored(|s, store| async move {
        store.hang_append(1);
        let client = s.client();
        let mut invoke = Box::pin(client.invoke("f", Script::succeeds()));
        let waker = Waker::from(Arc::new(Grumpy));
        assert!(
            invoke
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        store.release();
        s.settle().await;
        assert_eq!(s.succeeded("f"), 1);
    });
}

/// Panics over each event that was accepted.
struct Censor;

impl<S: tracing::Subscriber> Layer<S> for Censor {
    fn on_event(&self, event: &tracing::Event<'_>, _: layer::Context<'_, S>) {
        // Nothing else is logged at this level here.
        if *event.metadata().level() == tracing::Level::DEBUG {
            panic!("as scripted");
        }
    }
}

#[test]
fn events_end_although_the_log_subscriber_panics() {
    hush();
    let subscriber = tracing_subscriber::registry().with(Censor);
    tracing::subscriber::with_default(subscriber, || {
        stored(|s, _| async move {
            invoke(&s, "f", Script::succeeds()).await;
            invoke(&s, "zero", Script::succeeds()).await;
            s.settle().await;
            assert_eq!((s.succeeded("f"), s.dead("zero")), (1, 1));
        });
    });
}

#[test]
fn an_event_that_can_not_be_stored_is_refused_and_nothing_of_it_is_kept() {
    stored(|s, store| async move {
        store.fail_append(1);
        let id: RequestId = "018f3c5e-0000-7000-8000-000000000001".parse().unwrap();
        let event = || Invoke::event("f", Script::succeeds()).request_id(id);
        let refused = s.client().send(event()).await;
        assert!(matches!(refused, Err(InvokeError::Store(_))));
        s.advance(secs(60)).await;
        assert_eq!((s.accepted("f"), s.stats("f").mailbox_depth), (0, 0));
        assert!(s.client().status(id).await.is_none() && store.appended().is_empty());
        let receipt = s.client().send(event()).await.unwrap();
        assert_eq!(receipt.request_id, id, "the id is free again");
        s.settle().await;
        assert_eq!(s.succeeded("f"), 1);
    });
}

#[test]
fn an_event_that_is_being_stored_counts_against_the_mailbox() {
    let store = RecordingStore::new();
    let builder = Runtime::builder().function(scripted("f").mailbox_events_max(1));
    simulate_with(builder.store(store.clone()), |s| async move {
        store.hang_append(1);
        let client = s.client();
        let first =
            tokio::task::spawn_local(async move { client.invoke("f", Script::succeeds()).await });
        s.settle().await;
        let second = s.client().invoke("f", Script::succeeds()).await;
        assert!(matches!(second, Err(InvokeError::MailboxFull { .. })));
        store.release();
        first.await.unwrap().unwrap();
        s.settle().await;
        s.client().invoke("f", Script::succeeds()).await.unwrap();
    });
}

#[test]
fn the_bytes_of_an_event_that_is_being_stored_count_against_the_mailbox() {
    let store = RecordingStore::new();
    let handler = |_: Event<String>| async { Ok::<_, String>(()) };
    let small = Function::new("f", handler).mailbox_bytes_max(100);
    let builder = Runtime::builder().function(small).store(store.clone());
    simulate_with(builder, |s| async move {
        let payload = |bytes: usize| Payload::new("x".repeat(bytes - 2)).unwrap();
        store.hang_append(1);
        let client = s.client();
        let first = tokio::task::spawn_local(async move { client.invoke("f", payload(60)).await });
        s.settle().await;
        let refused = s.client().invoke("f", payload(41)).await.unwrap_err();
        let InvokeError::MailboxFull { bound, .. } = refused else {
            panic!("{refused}")
        };
        assert_eq!(bound, Bound::Bytes(100));
        store.release();
        first.await.unwrap().unwrap();
        s.settle().await;
        s.client().invoke("f", payload(100)).await.unwrap();
    });
}

#[test]
fn a_batch_is_one_append() {
    stored(|s, store| async move {
        store.fail_append(1);
        let batch = || vec![Script::succeeds(), Script::succeeds(), Script::succeeds()];
        let refused = s.client().invoke_batch("f", batch()).await;
        assert!(matches!(refused, Err(InvokeError::Store(_))));
        assert_eq!((s.accepted("f"), store.appended().len()), (0, 0));
        let receipts = s.client().invoke_batch("f", batch()).await.unwrap();
        let appended: Vec<_> = store
            .appended()
            .iter()
            .map(|event| event.request_id)
            .collect();
        assert_eq!(
            receipts.iter().map(|r| r.request_id).collect::<Vec<_>>(),
            appended
        );
        s.settle().await;
        assert_eq!(s.succeeded("f"), 3);
    });
}

#[test]
fn the_store_receives_every_settlement_in_order() {
    stored(|s, store| async move {
        let succeeds = invoke(&s, "f", Script::fails(1)).await;
        let dies = invoke(&s, "f", steps([fail(), Step::Panic, fail()])).await;
        let ends = invoke(&s, "f", steps([Step::Final("no".into())])).await;
        let cancelled = invoke(&s, "g", Script::fails(1)).await;
        let running = invoke(&s, "g", steps([Step::Hang])).await;
        let zero = invoke(&s, "zero", Script::succeeds()).await;
        s.advance(secs(1)).await;
        assert!(s.client().cancel(cancelled).await && s.client().cancel(running).await);
        s.advance(secs(300)).await;
        assert_eq!(told(&store, succeeds), ["rescheduled 1", "succeeded"]);
        let course = ["rescheduled 1", "rescheduled 2", "buried RetriesExhausted"];
        assert_eq!(told(&store, dies), course);
        assert_eq!(told(&store, ends), ["buried Final"]);
        assert_eq!(told(&store, cancelled), ["rescheduled 1", "cancelled"]);
        assert_eq!(told(&store, running), ["cancelled"]);
        assert_eq!(told(&store, zero), ["buried ZeroReservedConcurrency"]);
        let due = store
            .settled()
            .into_iter()
            .find_map(|settled| match settled.settlement {
                Settlement::Rescheduled { due_at, .. } => Some(due_at),
                _ => None,
            });
        let accepted = store.appended()[0].accepted_at;
        assert_eq!(common::seconds_between(accepted, due.unwrap()), 60);
    });
}

#[test]
fn a_redriven_event_is_stored_with_its_link() {
    stored(|s, store| async move {
        let dead = invoke(&s, "f", steps([Step::Final("no".into())])).await;
        s.settle().await;
        let queue = common::dead_letters(&s);
        let redriven = queue.send(redrive::Redrive::one(dead)).await.unwrap();
        let [(_, new)] = redriven.sent[..] else {
            panic!("one was sent")
        };
        let event = store
            .appended()
            .into_iter()
            .find(|event| event.request_id == new)
            .unwrap();
        assert_eq!(event.redriven_from, Some(dead));
        store.fail_append(3);
        s.settle().await;
        let redriven = queue.send(redrive::Redrive::one(new)).await.unwrap();
        assert!(matches!(redriven.refused[..], [(id, InvokeError::Store(_))] if id == new));
        assert_eq!(
            letters(&s).await.len(),
            1,
            "a letter that could not be sent stays"
        );
    });
}

/// Lets an event of `f` die and its redrive wait for the store.
async fn redrive_slowly(
    s: &Simulation,
    store: &RecordingStore,
) -> (RequestId, tokio::task::JoinHandle<redrive::Redriven>) {
    let dead = invoke(s, "f", steps([Step::Final("no".into())])).await;
    s.settle().await;
    store.hang_append(2);
    let mended = Payload::new(Script::succeeds()).unwrap();
    let (queue, one) = (common::dead_letters(s), redrive::Redrive::one(dead));
    let redriving =
        tokio::task::spawn_local(async move { queue.send(one.payload(mended)).await.unwrap() });
    s.settle().await;
    (dead, redriving)
}

#[test]
fn a_letter_being_redriven_is_listed_but_neither_redriven_again_nor_purged() {
    stored(|s, store| async move {
        let (dead, redriving) = redrive_slowly(&s, &store).await;
        assert_eq!(common::letter(&s, dead).await.request_id, dead);
        assert_eq!(letters(&s).await.len(), 1);
        let queue = common::dead_letters(&s);
        let again = queue.send(redrive::Redrive::all()).await.unwrap();
        assert!(again.sent.is_empty() && again.refused.is_empty());
        assert_eq!(again.missing, [dead]);
        let purge = redrive::Purge(redrive::Filter::new());
        assert_eq!(queue.send(purge).await.unwrap(), 0);
        store.release();
        assert_eq!(redriving.await.unwrap().sent[0].0, dead);
        assert!(letters(&s).await.is_empty());
        assert_eq!(store.appended().len(), 2);
    });
}

#[test]
fn a_letter_being_redriven_at_shutdown_is_in_the_report() {
    stored(|s, store| async move {
        let (dead, _redriving) = redrive_slowly(&s, &store).await;
        let report = s.into_runtime().shutdown(secs(1)).await;
        let named: Vec<_> = report.dead_letters.iter().map(|l| l.request_id).collect();
        assert_eq!(named, [dead]);
    });
}

#[test]
fn a_full_queue_drops_no_letter_that_is_being_redriven() {
    let store = RecordingStore::new();
    let bounds = DeadLetterBounds::new(1, 1 << 20, WhenFull::DropOldest);
    let builder = Runtime::builder()
        .function(scripted("f"))
        .dead_letters(bounds);
    simulate_with(builder.store(store.clone()), |s| async move {
        let (dead, redriving) = redrive_slowly(&s, &store).await;
        let late = invoke(&s, "f", steps([Step::Final("no".into())])).await;
        s.settle().await;
        assert_eq!(letters(&s).await.len(), 2);
        store.release();
        assert_eq!(redriving.await.unwrap().sent[0].0, dead);
        assert_eq!(letters(&s).await[0].request_id, late);
        assert_eq!(s.stats("f").dead_letter_errors, 0);
    });
}

#[test]
fn a_settlement_that_the_store_refuses_is_counted_and_stops_nothing() {
    stored(|s, store| async move {
        for call in 1..=4 {
            store.fail_settle(call);
            invoke(&s, "f", steps([Step::Final("no".into())])).await;
            s.settle().await;
        }
        assert_eq!((s.dead("f"), s.stats("f").store_errors), (4, 4));
        assert_eq!(letters(&s).await.len(), 4);
        store.fail_settle(5);
        let id = invoke(&s, "f", Script::succeeds()).await;
        s.settle().await;
        assert!(matches!(
            s.client().status(id).await,
            Some(Status::Succeeded { .. })
        ));
        store.fail_settle(6);
        let id = invoke(&s, "f", Script::fails(1)).await;
        s.advance(secs(61)).await;
        assert!(matches!(
            s.client().status(id).await,
            Some(Status::Succeeded { .. })
        ));
        assert_eq!(s.stats("f").store_errors, 6);
        assert_eq!(told(&store, id), ["succeeded"]);
    });
}

#[test]
fn a_store_that_panics_in_an_append_has_refused_the_event() {
    let builder = Runtime::builder().function(scripted("f").mailbox_events_max(1));
    simulate_with(
        builder.store(Arc::new(FaultyStore::new(RecordingStore::new()).at(
            StoreCall::Append,
            1,
            StoreFault::Panic,
        ))),
        |s| async move {
            let id: RequestId = "018f3c5e-0000-7000-8000-000000000001".parse().unwrap();
            let event = Invoke::event("f", Script::succeeds()).request_id(id);
            let refused = s.client().send(event).await.unwrap_err();
            assert!(matches!(refused, InvokeError::Store(_)), "{refused:?}");
            assert!(
                refused.to_string().ends_with("the store sent no reply"),
                "{refused}"
            );
            assert_eq!(s.stats("f").store_errors, 1);
            // Place and id are free again.
            let event = Invoke::event("f", Script::succeeds()).request_id(id);
            assert_eq!(s.client().send(event).await.unwrap().request_id, id);
            s.settle().await;
            assert_eq!((s.accepted("f"), s.succeeded("f")), (1, 1));
        },
    );
}

#[test]
fn a_store_that_panics_in_settlements_stops_no_worker() {
    let store =
        FaultyStore::new(RecordingStore::new()).always(StoreCall::Settle, StoreFault::Panic);
    let builder = Runtime::builder().function(scripted("f").concurrency(1));
    simulate_with(builder.store(Arc::new(store)), |s| async move {
        for round in 1..=2 {
            invoke(&s, "f", Script::succeeds()).await;
            invoke(&s, "f", Script::fails(1)).await;
            invoke(&s, "f", steps([Step::Final("no".into())])).await;
            let waits = Invoke::event("f", Script::succeeds()).delay(secs(100));
            let waits = s.client().send(waits).await.unwrap().request_id;
            s.advance(secs(61)).await;
            // It has its effect, but a later process would run the event.
            assert!(!s.client().cancel(waits).await);
            let status = s.client().status(waits).await;
            assert!(matches!(status, Some(Status::Cancelled)));
            assert_eq!((s.succeeded("f"), s.dead("f")), (round * 2, round));
            assert_eq!(letters(&s).await.len() as u64, round);
            assert_eq!(s.stats("f").store_errors, round * 5);
        }
        s.assert_nothing_lost();
    });
}

/// Returns the most events that a crash mark named at once, for `deaths_max`.
fn marked_at_once(deaths_max: u32) -> usize {
    let (store, most) = (RecordingStore::new(), Arc::new(AtomicUsize::new(0)));
    let (kept, seen) = (store.clone(), most.clone());
    let function = Function::new("quick", move |event: Event<u32>| {
        let marks = kept.running();
        let id = event.context().request_id();
        let mark = marks.iter().find(|mark| mark.contains(&id));
        let named = mark.map_or(0, Vec::len);
        assert!(named > 0, "{id} runs and no mark names it");
        seen.fetch_max(named, Ordering::Relaxed);
        async { Ok::<(), Infallible>(()) }
    });
    let builder = Runtime::builder()
        .function(function.retry(RetryPolicy::none()).concurrency(1))
        .process_deaths_max(deaths_max)
        .store(store.clone());
    simulate_with(builder, |s| async move {
        let client = s.client();
        client.pause("quick");
        client.invoke_batch("quick", 0..100_u32).await.unwrap();
        client.resume("quick");
        s.settle().await;
        assert_eq!(s.succeeded("quick"), 100);
        assert!(store.running().iter().all(Vec::is_empty), "nothing runs");
    });
    most.load(Ordering::Relaxed)
}

#[test]
fn a_fast_worker_marks_its_next_events_in_the_store_ahead() {
    assert_eq!(marked_at_once(3), CRASH_MARK_EVENTS_MAX);
}

#[test]
fn at_one_allowed_death_only_running_events_are_marked_in_the_store() {
    assert_eq!(marked_at_once(1), 1);
}

#[test]
fn a_call_is_not_stored() {
    stored(|s, store| async move {
        let _: RequestId = s.client().call("f", Script::succeeds()).await.unwrap();
        let failed = s
            .client()
            .call::<RequestId>("f", Script::always_fails())
            .await;
        assert!(failed.is_err());
        let hanging = s.client();
        let call = hanging.call::<RequestId>("f", steps([Step::Hang]));
        assert!(
            tokio::time::timeout(Duration::from_secs(1), call)
                .await
                .is_err()
        );
        s.settle().await;
        assert!(store.appended().is_empty() && store.settled().is_empty());
    });
}

#[test]
fn an_event_that_was_being_stored_when_its_function_was_removed_is_a_dead_letter() {
    stored(|s, store| async move {
        store.hang_append(1);
        let client = s.client();
        let invoke =
            tokio::task::spawn_local(async move { client.invoke("f", Script::succeeds()).await });
        s.settle().await;
        s.runtime().remove_function("f").unwrap();
        s.settle().await;
        store.release();
        let receipt = invoke.await.unwrap().unwrap();
        s.settle().await;
        let letters = letters(&s).await;
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].request_id, receipt.request_id);
        assert_eq!(letters[0].condition, Condition::FunctionRemoved);
        assert_eq!(told(&store, receipt.request_id), ["buried FunctionRemoved"]);
    });
}

#[test]
fn an_event_that_was_being_stored_at_shutdown_is_kept_for_the_next_process() {
    let store = RecordingStore::new();
    let function: Function = scripted("f").retry(RetryPolicy::none());
    simulate_with(
        Runtime::builder().function(function).store(store.clone()),
        |s| async move {
            store.hang_append(1);
            let client = s.client();
            let invoke =
                tokio::task::spawn_local(
                    async move { client.invoke("f", Script::succeeds()).await },
                );
            s.settle().await;
            let report = s.into_runtime().shutdown(secs(1)).await;
            assert!(report.unfinished.is_empty());
            store.release();
            assert_eq!(invoke.await.unwrap().unwrap().durability, Durability::Disk);
            assert!(store.settled().is_empty());
        },
    );
}
