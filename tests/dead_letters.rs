//! The dead-letter queue: subscriptions, pages, redrives, bounds.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use common::{dead_letters, fail, invoke, letter, letters, secs, simulate, simulate_with, steps};
use redrive::testing::{Script, Simulation, Step, scripted};
use redrive::{
    Condition, DeadLetter, DeadLetterBounds, FailureKind, Filter, Function, Get, Invoke,
    InvokeError, List, Payload, Purge, Redrive, Redriven, RequestId, RetryPolicy, Runtime, Status,
    Subscribe, WhenFull,
};
use tokio::time::Instant;

/// Records the letters that it gets, at its own pace.
struct Subscriber {
    seen: Arc<Mutex<Vec<RequestId>>>,
    pace: Duration,
}

impl Actor for Subscriber {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1);
    }
}

impl Handler<DeadLetter> for Subscriber {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, letter: DeadLetter, ctx: &mut Self::Context) -> Self::Result {
        self.seen.lock().unwrap().push(letter.request_id);
        let rest = tokio::time::sleep(self.pace).into_actor(self);
        if !self.pace.is_zero() {
            ctx.wait(rest);
        }
        Box::pin(actix::fut::ready(()))
    }
}

type Seen = Arc<Mutex<Vec<RequestId>>>;

async fn subscribe(
    simulation: &Simulation,
    pace: Duration,
    only: Option<&str>,
) -> (Addr<Subscriber>, Seen) {
    let seen = Seen::default();
    let addr = Subscriber {
        seen: seen.clone(),
        pace,
    }
    .start();
    let mut subscribe = Subscribe::new(addr.clone().recipient());
    if let Some(function) = only {
        subscribe = subscribe.function(function);
    }
    dead_letters(simulation).send(subscribe).await.unwrap();
    (addr, seen)
}

fn mortal(name: &str) -> Function {
    scripted(name)
        .retry(RetryPolicy::none())
        .restarts(redrive::RestartIntensity::unlimited())
}

/// Lets `count` events of `function` die.
async fn die(simulation: &Simulation, function: &str, count: usize) -> Vec<RequestId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(invoke(simulation, function, Script::always_fails()).await);
        simulation.settle().await;
    }
    ids
}

async fn redrive(simulation: &Simulation, redrive: Redrive) -> Redriven {
    dead_letters(simulation).send(redrive).await.unwrap()
}

#[test]
fn every_subscriber_sees_every_letter_once_and_in_order() {
    simulate([mortal("f"), mortal("g")], |s| async move {
        let early = die(&s, "f", 1).await;
        let (_a, quick) = subscribe(&s, Duration::ZERO, None).await;
        let (_b, slow) = subscribe(&s, secs(10), None).await;
        let (_c, only) = subscribe(&s, Duration::ZERO, Some("g")).await;
        let mut all = die(&s, "f", 20).await;
        let g = die(&s, "g", 3).await;
        all.extend(&g);
        all.extend(die(&s, "f", 2).await);
        assert_eq!(
            *quick.lock().unwrap(),
            all,
            "at once, though another is slow"
        );
        assert_eq!(slow.lock().unwrap().len(), 1);
        assert_eq!(*only.lock().unwrap(), g);
        s.advance(secs(1_000)).await;
        assert_eq!(*slow.lock().unwrap(), all);
        assert!(!all.contains(&early[0]));
    });
}

#[test]
fn a_dead_subscriber_does_not_affect_the_others() {
    simulate([mortal("f")], |s| async move {
        let (gone, its) = subscribe(&s, Duration::ZERO, None).await;
        let (_stays, seen) = subscribe(&s, Duration::ZERO, None).await;
        die(&s, "f", 1).await;
        drop(gone);
        s.settle().await;
        die(&s, "f", 3).await;
        assert_eq!(
            (its.lock().unwrap().len(), seen.lock().unwrap().len()),
            (4, 4)
        );
        assert_eq!(letters(&s).await.len(), 4);
    });
}

#[test]
fn a_subscriber_that_stops_is_dropped() {
    struct Mayfly(Seen);
    impl Actor for Mayfly {
        type Context = Context<Self>;
    }
    impl Handler<DeadLetter> for Mayfly {
        type Result = ();
        fn handle(&mut self, letter: DeadLetter, ctx: &mut Self::Context) {
            self.0.lock().unwrap().push(letter.request_id);
            ctx.stop();
        }
    }
    simulate([mortal("f")], |s| async move {
        let seen = Seen::default();
        let mayfly = Mayfly(seen.clone()).start();
        let subscribe = Subscribe::new(mayfly.clone().recipient());
        dead_letters(&s).send(subscribe).await.unwrap();
        die(&s, "f", 5).await;
        assert!(!mayfly.connected());
        let kept = letters(&s).await.len();
        assert_eq!((seen.lock().unwrap().len(), kept), (1, 5));
    });
}

/// GAP-09
#[test]
fn a_letter_contains_the_whole_history_of_its_event() {
    simulate([scripted("f")], |s| async move {
        let script = steps([fail(), Step::Panic, Step::Hang]);
        let event = redrive::Invoke::event("f", script)
            .trace_header("Root=1")
            .hops(2);
        let id = s.client().send(event).await.unwrap().request_id;
        s.advance(secs(300)).await;
        let letter = letter(&s, id).await;
        let kinds: Vec<_> = letter
            .attempts
            .iter()
            .map(|a| (a.number, a.failure.kind))
            .collect();
        let expected = [FailureKind::Error, FailureKind::Panic, FailureKind::Timeout];
        assert_eq!(
            kinds,
            [1, 2, 3].into_iter().zip(expected).collect::<Vec<_>>()
        );
        assert_eq!(letter.attempts[1].failure.message, "panicked: as scripted");
        assert_eq!(letter.failure().unwrap().error_type, "Sandbox.Timedout");
        assert_eq!(letter.attempts[2].duration.as_secs(), 3);
        assert_eq!(
            (letter.hops, letter.trace_header.as_deref()),
            (2, Some("Root=1"))
        );
        assert_eq!(letter.payload.read::<Script>().unwrap().0.len(), 3);
        let json = serde_json::to_value(&letter).unwrap();
        assert_eq!(json["condition"], "RetriesExhausted");
        assert_eq!(json["accepted_at"], "2026-01-01T00:00:00.000Z");
    });
}

#[test]
fn letters_are_filtered_and_paged_in_order() {
    simulate([mortal("f"), mortal("g")], |s| async move {
        let f = die(&s, "f", 7).await;
        s.advance(secs(100)).await;
        let late = die(&s, "g", 2).await;
        let last = invoke(&s, "g", steps([Step::Final("no".into())])).await;
        let panic = invoke(&s, "f", steps([Step::Panic])).await;
        s.settle().await;
        let list = |filter| {
            let queue = dead_letters(&s);
            async move {
                let page = queue.send(List::new(filter)).await.unwrap();
                page.letters
                    .iter()
                    .map(|letter| letter.request_id)
                    .collect::<Vec<_>>()
            }
        };
        let g = [late[0], late[1], last];
        assert_eq!(list(Filter::new().function("g")).await, g);
        assert_eq!(
            list(Filter::new().condition(Condition::Final)).await,
            [last]
        );
        assert_eq!(list(Filter::new().error_type("Panic")).await, [panic]);
        let died = letter(&s, late[0]).await.died_at;
        assert_eq!(list(Filter::new().since(died).function("g")).await, g);
        assert_eq!(list(Filter::new().until(died)).await, f);
        assert!(list(Filter::new().function("h")).await.is_empty());

        let mut pages = Vec::new();
        let mut next = Some(0);
        while let Some(cursor) = next {
            let page = List::new(Filter::new().function("f"))
                .limit(3)
                .after(cursor);
            let page = dead_letters(&s).send(page).await.unwrap();
            assert_eq!(page.total, 8);
            pages.push(page.letters.len());
            next = page.next;
        }
        assert_eq!(pages, [3, 3, 2]);
    });
}

#[test]
fn paging_ends_with_any_cursor_and_any_limit() {
    simulate([mortal("f")], |s| async move {
        die(&s, "f", 2).await;
        let list = |list| {
            let queue = dead_letters(&s);
            async move { queue.send(list).await.unwrap() }
        };
        let beyond = list(List::new(Filter::new()).after(u64::MAX)).await;
        assert_eq!(
            (beyond.letters.len(), beyond.next, beyond.total),
            (0, None, 2)
        );
        let small = list(List::new(Filter::new()).bytes_max(0)).await;
        assert_eq!((small.letters.len(), small.total), (1, 2));
        assert!(small.next.is_some());
        let first = list(List::new(Filter::new()).limit(0)).await;
        assert_eq!(
            first.letters.len(),
            1,
            "a page of none would be the next one too"
        );
        let second = list(List::new(Filter::new()).limit(0).after(first.next.unwrap())).await;
        assert_eq!((second.letters.len(), second.next), (1, None));
    });
}

#[test]
fn one_letter_is_got_by_its_id() {
    simulate([mortal("f")], |s| async move {
        let ids = die(&s, "f", 2).await;
        let known = dead_letters(&s).send(Get(ids[1])).await.unwrap();
        assert_eq!(known.unwrap().request_id, ids[1]);
        let pending = invoke(&s, "f", steps([Step::Hang])).await;
        assert!(dead_letters(&s).send(Get(pending)).await.unwrap().is_none());
    });
}

/// BYD-07, GAP-08
#[test]
fn a_redriven_letter_leaves_the_queue_and_its_event_starts_anew() {
    simulate([scripted("f")], |s| async move {
        let ids = die(&s, "f", 2).await;
        s.advance(secs(7_200)).await;
        let redriven = redrive(&s, Redrive::one(ids[0])).await;
        let [(old, new)] = redriven.sent[..] else {
            panic!("one was sent")
        };
        assert_eq!(old, ids[0]);
        assert_ne!(new, old);
        assert_eq!(letters(&s).await.len(), 1);
        s.advance(secs(300)).await;
        let again = letter(&s, new).await;
        assert_eq!((again.redriven_from, again.attempt_count), (Some(old), 3));
        assert_eq!(common::starts(&again), [0, 60, 180], "a fresh age");
        s.assert_nothing_lost();
    });
}

#[test]
fn a_letter_that_is_not_in_the_queue_is_named_as_missing() {
    simulate([mortal("f")], |s| async move {
        let ids = die(&s, "f", 3).await;
        assert_eq!(redrive(&s, Redrive::one(ids[0])).await.sent.len(), 1);
        let again = redrive(&s, Redrive::one(ids[0]).dry_run()).await;
        assert_eq!((again.sent.len(), again.refused.len()), (0, 0));
        assert_eq!(again.missing, [ids[0]]);

        let queue = dead_letters(&s);
        let paced = Redrive::all().per_second(1.0);
        let paced = tokio::task::spawn_local(async move { queue.send(paced).await.unwrap() });
        s.settle().await;
        assert_eq!(redrive(&s, Redrive::one(ids[2])).await.sent.len(), 1);
        let paced = paced.await.unwrap();
        assert_eq!((paced.sent[0].0, paced.missing), (ids[1], vec![ids[2]]));
    });
}

#[test]
fn a_redriven_event_keeps_the_retry_policy_and_the_age_that_it_was_given() {
    simulate([scripted("f")], |s| async move {
        let event = || Invoke::event("f", Script::always_fails());
        let policy = RetryPolicy::fixed(4, secs(10));
        let told = event()
            .retry(policy)
            .event_age_max(secs(25))
            .trace_header("Root=1");
        let first = s.client().send(told).await.unwrap().request_id;
        s.advance(secs(300)).await;
        assert_eq!(common::starts(&letter(&s, first).await), [0, 10, 20]);
        let second = redrive(&s, Redrive::one(first)).await.sent[0].1;
        s.advance(secs(300)).await;
        let again = letter(&s, second).await;
        assert_eq!(common::starts(&again), [0, 10, 20]);
        assert_eq!(again.condition, Condition::EventAgeExceeded);
        assert_eq!(again.trace_header.as_deref(), Some("Root=1"));
        let third = redrive(&s, Redrive::one(second)).await.sent[0].1;
        s.advance(secs(300)).await;
        assert_eq!(letter(&s, third).await.attempt_count, 3, "again and again");
        let json = serde_json::to_value(&again).unwrap();
        assert!(json.get("retry").is_none() && json.get("event_age_max").is_none());
    });
}

#[test]
fn a_redrive_may_carry_an_edited_payload() {
    simulate([mortal("f")], |s| async move {
        let [id] = die(&s, "f", 1).await[..] else {
            panic!("one")
        };
        let mended = Payload::new(Script::succeeds()).unwrap();
        let redriven = redrive(&s, Redrive::one(id).payload(mended)).await;
        s.settle().await;
        let status = s.client().status(redriven.sent[0].1).await;
        assert!(matches!(status, Some(Status::Succeeded { .. })));
        assert!(letters(&s).await.is_empty());
    });
}

#[test]
fn a_filtered_redrive_leaves_the_other_letters() {
    simulate([mortal("f"), mortal("g")], |s| async move {
        die(&s, "f", 3).await;
        let g = die(&s, "g", 2).await;
        let redriven = redrive(&s, Redrive::filter(Filter::new().function("g"))).await;
        assert_eq!(
            redriven
                .sent
                .iter()
                .map(|(old, _)| *old)
                .collect::<Vec<_>>(),
            g
        );
        s.settle().await;
        assert_eq!((s.accepted("f"), s.accepted("g")), (3, 4));
        assert_eq!(redrive(&s, Redrive::all()).await.sent.len(), 5);
        s.settle().await;
        assert_eq!(letters(&s).await.len(), 5, "they died again");
    });
}

#[test]
fn a_dry_run_of_a_redrive_changes_nothing() {
    simulate([mortal("f"), mortal("g")], |s| async move {
        let f = die(&s, "f", 2).await;
        die(&s, "g", 1).await;
        s.runtime().remove_function("g").unwrap();
        let redriven = redrive(&s, Redrive::all().dry_run()).await;
        assert_eq!(
            redriven
                .sent
                .iter()
                .map(|(old, _)| *old)
                .collect::<Vec<_>>(),
            f
        );
        assert!(matches!(
            redriven.refused[..],
            [(_, InvokeError::UnknownFunction { .. })]
        ));
        s.settle().await;
        assert_eq!((s.accepted("f"), letters(&s).await.len()), (2, 3));
        let order: Vec<_> = letters(&s)
            .await
            .iter()
            .map(|letter| letter.request_id)
            .collect();
        assert_eq!(order[..2], f);
    });
}

#[test]
fn a_letter_whose_redrive_is_refused_stays_in_the_queue() {
    simulate([mortal("f"), mortal("g")], |s| async move {
        let first = die(&s, "f", 1).await[0];
        die(&s, "g", 1).await;
        s.runtime().remove_function("f").unwrap();
        let redriven = redrive(&s, Redrive::all()).await;
        assert!(matches!(redriven.refused[..], [(id, _)] if id == first));
        s.settle().await;
        let order: Vec<_> = letters(&s)
            .await
            .iter()
            .map(|letter| letter.request_id)
            .collect();
        assert_eq!((order.len(), order[0]), (2, first));
    });
}

#[test]
fn a_paced_redrive_keeps_its_pace_and_does_not_block_the_queue() {
    simulate([mortal("f"), mortal("g")], |s| async move {
        die(&s, "f", 11).await;
        let queue = dead_letters(&s);
        let began = Instant::now();
        let pace = Redrive::all().per_second(2.0);
        let paced = tokio::task::spawn_local(async move { queue.send(pace).await.unwrap() });
        s.advance(Duration::from_millis(2_100)).await;
        assert_eq!(s.accepted("f"), 11 + 5);
        die(&s, "g", 1).await;
        assert_eq!(paced.await.unwrap().sent.len(), 11);
        assert_eq!(began.elapsed().as_secs(), 5);
    });
}

#[test]
fn a_redrive_whose_pace_is_not_positive_sends_nothing() {
    simulate([mortal("f")], |s| async move {
        let ids = die(&s, "f", 2).await;
        for pace in [0.0, -0.0, -2.0, f64::NAN, f64::NEG_INFINITY, 1e-300] {
            let all = redrive(&s, Redrive::all().per_second(pace)).await;
            assert_eq!((all.sent.len(), all.refused.len()), (0, 2), "{pace}");
            let (first, refusal) = &all.refused[0];
            assert_eq!(*first, ids[0]);
            let expected = format!("function `f`: per_second: is {pace:?}: use a positive number");
            assert!(refusal.to_string().starts_with(&expected), "{refusal}");
        }
        assert_eq!((s.accepted("f"), letters(&s).await.len()), (2, 2));
        let quick = redrive(&s, Redrive::all().per_second(f64::INFINITY)).await;
        assert_eq!(quick.sent.len(), 2);
    });
}

#[test]
fn purged_letters_are_gone() {
    simulate([mortal("f"), mortal("g")], |s| async move {
        die(&s, "f", 3).await;
        die(&s, "g", 2).await;
        let purge = |filter| {
            let queue = dead_letters(&s);
            async move { queue.send(Purge(filter)).await.unwrap() }
        };
        assert_eq!(purge(Filter::new().function("f")).await, 3);
        assert_eq!(letters(&s).await.len(), 2);
        assert_eq!(purge(Filter::new()).await, 2);
        assert_eq!(purge(Filter::new()).await, 0);
        s.assert_nothing_lost();
    });
}

/// Runs `test` with a queue of two letters.
fn bounded<F, Fut>(when_full: WhenFull, test: F)
where
    F: FnOnce(Simulation) -> Fut,
    Fut: Future<Output = ()>,
{
    let bounds = DeadLetterBounds::new(2, 1 << 20, when_full);
    let builder = Runtime::builder().function(mortal("f").mailbox_events_max(4));
    simulate_with(builder.dead_letters(bounds), test);
}

#[test]
fn a_full_queue_holds_events_in_their_mailbox_until_there_is_room() {
    bounded(WhenFull::Hold, |s| async move {
        let (_addr, seen) = subscribe(&s, Duration::ZERO, None).await;
        let ids = die(&s, "f", 6).await;
        assert_eq!((letters(&s).await.len(), s.dead("f")), (2, 2));
        assert_eq!(s.stats("f").events.pending(), 4);
        assert!(!s.client().status(ids[5]).await.unwrap().is_finished());
        let refused = s.client().invoke("f", Script::succeeds()).await;
        assert!(matches!(refused, Err(InvokeError::MailboxFull { .. })));
        assert_eq!(
            *seen.lock().unwrap(),
            ids,
            "subscribers see them all the same"
        );
        dead_letters(&s).send(Purge(Filter::new())).await.unwrap();
        s.settle().await;
        let kept: Vec<_> = letters(&s)
            .await
            .iter()
            .map(|letter| letter.request_id)
            .collect();
        assert_eq!((kept, s.dead("f")), (ids[2..4].to_vec(), 4));
        assert_eq!(s.stats("f").dead_letter_errors, 0);
        s.assert_nothing_lost();
        dead_letters(&s).send(Purge(Filter::new())).await.unwrap();
        s.settle().await;
        assert_eq!((s.dead("f"), s.stats("f").events.pending()), (6, 0));
        assert_eq!(seen.lock().unwrap().len(), 6);
    });
}

#[test]
fn a_function_with_held_letters_recovers_from_its_crashes() {
    let bounds = DeadLetterBounds::new(1, 1 << 20, WhenFull::Hold);
    let function = scripted("f").retry(RetryPolicy::none());
    simulate_with(
        Runtime::builder().function(function).dead_letters(bounds),
        |s| async move {
            for _ in 0..6 {
                invoke(&s, "f", steps([Step::Panic])).await;
            }
            let id = invoke(&s, "f", Script::succeeds()).await;
            s.advance(secs(60)).await;
            assert_eq!(s.dead("f"), 1, "the others are held");
            assert!(matches!(
                s.client().status(id).await,
                Some(Status::Succeeded { .. })
            ));
        },
    );
}

#[test]
fn the_report_of_a_shutdown_names_held_letters_once() {
    bounded(WhenFull::Hold, |s| async move {
        let ids = die(&s, "f", 4).await;
        let report = s.into_runtime().shutdown(secs(1)).await;
        let named: Vec<_> = report
            .dead_letters
            .iter()
            .map(|letter| letter.request_id)
            .collect();
        assert_eq!(named, ids);
        assert!(report.unfinished.is_empty());
    });
}

#[test]
fn a_redrive_makes_room_for_held_letters() {
    bounded(WhenFull::Hold, |s| async move {
        die(&s, "f", 5).await;
        let mended = Payload::new(Script::succeeds()).unwrap();
        let redriven = redrive(&s, Redrive::all().payload(mended)).await;
        assert_eq!(redriven.sent.len(), 2);
        s.settle().await;
        assert_eq!(
            (s.dead("f"), s.succeeded("f"), letters(&s).await.len()),
            (4, 2, 2)
        );
    });
}

/// MET-14
#[test]
fn a_full_queue_may_drop_its_oldest_letters_and_counts_them() {
    bounded(WhenFull::DropOldest, |s| async move {
        let ids = die(&s, "f", 5).await;
        let kept: Vec<_> = letters(&s)
            .await
            .iter()
            .map(|letter| letter.request_id)
            .collect();
        assert_eq!((kept, s.dead("f")), (ids[3..].to_vec(), 5));
        assert_eq!(s.stats("f").dead_letter_errors, 3);
    });
}

/// MET-14
#[test]
fn a_full_queue_may_drop_new_letters_and_counts_them() {
    bounded(WhenFull::DropNewest, |s| async move {
        let (_addr, seen) = subscribe(&s, Duration::ZERO, None).await;
        let ids = die(&s, "f", 5).await;
        let kept: Vec<_> = letters(&s)
            .await
            .iter()
            .map(|letter| letter.request_id)
            .collect();
        assert_eq!((kept, s.dead("f")), (ids[..2].to_vec(), 5));
        assert_eq!(s.stats("f").dead_letter_errors, 3);
        assert_eq!(*seen.lock().unwrap(), ids);
    });
}

#[test]
fn the_queue_is_bound_by_bytes_too_and_one_letter_always_fits() {
    let bounds = DeadLetterBounds::new(100, 1_500, WhenFull::DropOldest);
    let builder = Runtime::builder()
        .function(mortal("f"))
        .dead_letters(bounds);
    simulate_with(builder, |s| async move {
        die(&s, "f", 5).await;
        assert_eq!(letters(&s).await.len(), 2);
        let large = invoke(&s, "f", steps([Step::Fail("x".repeat(5_000))])).await;
        s.settle().await;
        assert_eq!(letters(&s).await[0].request_id, large);
        die(&s, "f", 1).await;
        assert_eq!(letters(&s).await.len(), 1);
        assert_eq!(s.stats("f").dead_letter_errors, 6);
    });
}
