//! Events that can't run in time, or whose function changes meanwhile: each ends with a reason.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    fail, invoke, letter, letters, seconds_between, secs, simulate, simulate_with, starts, steps,
};
use redrive::testing::{RecordingStore, Script, Simulation, Step, run, scripted};
use redrive::{
    Condition, Destination, Event, EventInvokeConfig, FailureKind, Function, Invoke, RequestId,
    RetryPolicy, Runtime, Status,
};
use serde_json::{Value, json};

const SIX_HOURS: u64 = 21_600;

/// A destination that keeps its records, as JSON.
fn keeping() -> (Destination, Arc<Mutex<Vec<Value>>>) {
    let records = Arc::<Mutex<Vec<Value>>>::default();
    let kept = records.clone();
    let destination = Destination::closure(move |record| {
        let record = serde_json::to_value(&record).unwrap();
        kept.lock().unwrap().push(record);
    });
    (destination, records)
}

// --- age

/// CFL-11, ASY-06, ASY-34, UNV-01: six hours from its acceptance, in every state.
#[test]
fn an_event_may_wait_for_six_hours_and_no_longer() {
    let (destination, records) = keeping();
    simulate([scripted("f").on_failure(destination)], |s| async move {
        s.client().pause("f");
        let old = invoke(&s, "f", Script::succeeds()).await;
        s.advance(secs(10)).await;
        let young = invoke(&s, "f", Script::succeeds()).await;
        s.advance(secs(SIX_HOURS - 5)).await;
        s.client().resume("f");
        s.settle().await;
        let status = s.client().status(young).await;
        assert!(
            matches!(status, Some(Status::Succeeded { .. })),
            "{status:?}"
        );
        let letter = letter(&s, old).await;
        assert_eq!(letter.condition, Condition::EventAgeExceeded);
        assert_eq!((letter.attempt_count, letter.attempts.len()), (0, 0));
        assert!(seconds_between(letter.accepted_at, letter.died_at) >= SIX_HOURS);
        let record = records.lock().unwrap()[0].clone();
        let context = &record["requestContext"];
        assert_eq!(context["condition"], "EventAgeExceeded");
        assert_eq!(context["approximateInvokeCount"], 0);
        assert_eq!(record.get("responseContext"), None);
        assert_eq!(record.get("responsePayload"), None);
    });
}

/// ASY-25, GAP-18: an event that a slow function has no time for isn't lost: it is a dead letter, and counted.
#[test]
fn events_that_a_slow_function_has_no_time_for_become_dead_letters() {
    let slow = scripted("f").concurrency(1).timeout(secs(7_200));
    simulate([slow], |s| async move {
        let mut ids = Vec::new();
        for _ in 0..9 {
            ids.push(invoke(&s, "f", steps([Step::Take(secs(3_600))])).await);
        }
        s.advance(secs(10 * 3_600)).await;
        let stats = s.stats("f");
        assert_eq!((s.succeeded("f"), s.dead("f")), (7, 2));
        assert_eq!(stats.async_events_received, 9);
        assert_eq!(stats.async_events_dropped, 2);
        for id in &ids[7..] {
            let letter = letter(&s, *id).await;
            let end = (letter.condition, letter.attempt_count);
            assert_eq!(end, (Condition::EventAgeExceeded, 0));
        }
        s.assert_nothing_lost();
    });
}

// --- the order and the pace of runs

/// ASY-31: a later event overtakes one that waits for its retry.
#[test]
fn events_end_in_another_order_than_they_came_in() {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let log = ran.clone();
    let function = Function::new("f", move |event: Event<u32>| {
        let fails = *event == 1 && event.context().attempt() == 1;
        log.lock().unwrap().push(*event);
        async move { if fails { Err("as scripted") } else { Ok(()) } }
    });
    simulate([function.concurrency(1)], |s| async move {
        for number in [1, 2, 3] {
            invoke(&s, "f", number).await;
        }
        s.advance(secs(61)).await;
        assert_eq!(*ran.lock().unwrap(), [1, 2, 3, 1]);
    });
}

/// GAP-20: events that wait for a busy function run as soon as it is free, not after a delay that has grown meanwhile.
#[test]
fn a_function_that_is_free_again_runs_waiting_events_at_once() {
    let busy = scripted("f").concurrency(1).timeout(secs(3_600));
    simulate([busy.retry(RetryPolicy::none())], |s| async move {
        invoke(&s, "f", steps([Step::Take(secs(1_000))])).await;
        s.settle().await;
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(invoke(&s, "f", steps([fail()])).await);
        }
        s.advance(secs(1_001)).await;
        for id in waiting {
            assert_eq!(starts(&letter(&s, id).await), [1_000]);
        }
    });
}

/// GAP-04, BYD-04: with AWS's two retries it would be dead.
#[test]
fn a_retry_policy_outlasts_an_outage_of_five_minutes() {
    let outage = |name: &str| {
        let until_over = |event: Event<()>| async move {
            let context = event.context();
            let age = context.deadline() - secs(3);
            let age = age.duration_since(context.accepted_at()).unwrap();
            if age < secs(300) {
                Err("as scripted")
            } else {
                Ok(())
            }
        };
        Function::new(name, until_over)
    };
    let patient = RetryPolicy::exponential(8, secs(10), secs(120));
    simulate(
        [outage("usual"), outage("patient").retry(patient)],
        |s| async move {
            invoke(&s, "usual", ()).await;
            invoke(&s, "patient", ()).await;
            s.advance(secs(600)).await;
            assert_eq!((s.dead("usual"), s.succeeded("patient")), (1, 1));
        },
    );
}

/// CON-06: the limit is 3 seconds unless another is set.
#[test]
fn an_attempt_times_out_after_three_seconds() {
    simulate([scripted("f").retry(RetryPolicy::none())], |s| async move {
        let id = invoke(&s, "f", steps([Step::Hang])).await;
        s.advance(secs(10)).await;
        let letter = letter(&s, id).await;
        assert_eq!(letter.attempts[0].failure.kind, FailureKind::Timeout);
        assert_eq!(letter.attempts[0].duration.as_secs(), 3);
    });
}

// --- reasons

/// GAP-10, DLQ-07, MET-13, UNV-02: the failure that a letter ends with. In place of AWS's codes it has a kind, a type and a text; an
/// event that never ran has none.
#[test]
fn every_condition_leaves_a_letter_with_its_reason() {
    let none = RetryPolicy::none;
    let functions = [
        scripted("f").retry(none()),
        scripted("aged").event_age_max(secs(10)),
        scripted("held").event_age_max(secs(10)),
        scripted("zero").reserved_concurrency_zero(),
        scripted("removed"),
        scripted("loop").on_success(Destination::function("loop")),
    ];
    simulate(functions, |s| async move {
        let client = s.client();
        let sent = |function: &'static str, step: Step| {
            let event = Invoke::event(function, steps([step]));
            let client = client.clone();
            async move { client.send(event).await.unwrap().request_id }
        };
        client.pause("held");
        let error = sent("f", fail()).await;
        let last = sent("f", Step::Final("as scripted".to_owned())).await;
        let panic = sent("f", Step::Panic).await;
        let hang = sent("f", Step::Hang).await;
        let unfit = invoke(&s, "f", "no script").await;
        let throttled = sent("aged", Step::Throttle).await;
        let held = sent("held", Step::Succeed).await;
        let zero = sent("zero", Step::Succeed).await;
        let later = Invoke::event("removed", Script::succeeds()).delay(secs(60));
        let removed = client.send(later).await.unwrap().request_id;
        s.runtime().remove_function("removed").unwrap();
        s.advance(secs(60)).await;
        client.resume("held");
        s.settle().await;
        let expected = [
            (error, Condition::RetriesExhausted, Some(FailureKind::Error)),
            (last, Condition::Final, Some(FailureKind::Error)),
            (panic, Condition::RetriesExhausted, Some(FailureKind::Panic)),
            (
                hang,
                Condition::RetriesExhausted,
                Some(FailureKind::Timeout),
            ),
            (unfit, Condition::Final, Some(FailureKind::Payload)),
            (
                throttled,
                Condition::EventAgeExceeded,
                Some(FailureKind::Throttle),
            ),
            (held, Condition::EventAgeExceeded, None),
            (zero, Condition::ZeroReservedConcurrency, None),
            (removed, Condition::FunctionRemoved, None),
        ];
        for (id, condition, kind) in expected {
            let letter = letter(&s, id).await;
            let failure = letter.failure();
            let end = (letter.condition, failure.map(|failure| failure.kind));
            assert_eq!(end, (condition, kind), "{}", letter.function);
            let text = failure.map(|failure| &failure.message);
            assert!(text.is_none_or(|text| !text.is_empty()));
        }
        assert_eq!(letters(&s).await.len(), expected.len());
        for (function, dropped) in [("f", 5), ("aged", 1), ("held", 1), ("zero", 1)] {
            assert_eq!(
                s.stats(function).async_events_dropped,
                dropped,
                "{function}"
            );
        }
    });
}

/// ASY-11, REC-04, REC-07, UNV-03: a loop's last event never runs. Its record and its letter name the reason, in redrive's own
/// word.
#[test]
fn a_loop_ends_in_a_record_and_a_letter() {
    let (destination, records) = keeping();
    let function = Function::new("f", |_: Event<Value>| async { Ok::<_, String>(()) })
        .on_success(Destination::function("f"))
        .on_failure(destination);
    simulate([function], |s| async move {
        invoke(&s, "f", json!({})).await;
        s.settle().await;
        let records = records.lock().unwrap().clone();
        let [record] = &records[..] else {
            panic!("{records:?}")
        };
        assert_eq!(record["requestContext"]["condition"], "Recursion");
        assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
        assert_eq!(record.get("responseContext"), None);
        let letters = letters(&s).await;
        let [letter] = &letters[..] else {
            panic!("{letters:?}")
        };
        assert_eq!(letter.condition, Condition::Recursion);
        assert_eq!(seconds_between(letter.accepted_at, letter.died_at), 0);
        assert_eq!(s.stats("f").invocations, 16);
    });
}

/// GAP-16: the threshold is a setting, and a chain that is longer ends at once, with a letter that contains its length.
#[test]
fn the_longest_chain_of_hops_can_be_set_per_function() {
    let link = |hops| {
        Function::new("f", |_: Event<Value>| async { Ok::<_, String>(()) })
            .on_success(Destination::function("f"))
            .hops_max(hops)
    };
    for hops in [3, 100] {
        simulate([link(hops)], |s| async move {
            invoke(&s, "f", json!({})).await;
            s.settle().await;
            assert_eq!(s.stats("f").invocations, u64::from(hops));
            assert_eq!(letters(&s).await[0].hops, hops);
        });
    }
}

/// DLQ-11: a letter has room for the largest payload.
#[test]
fn an_event_as_large_as_it_may_be_is_kept_whole_when_it_dies() {
    let dies = Function::new("f", |_: Event<String>| async {
        Err::<(), _>("as scripted")
    });
    simulate([dies.retry(RetryPolicy::none())], |s| async move {
        let text = "x".repeat(1_048_574);
        let id = invoke(&s, "f", text.clone()).await;
        s.settle().await;
        let letter = letter(&s, id).await;
        assert_eq!(letter.payload.size(), 1_048_576);
        assert_eq!(letter.payload.read::<String>().unwrap(), text);
    });
}

// --- qualifiers

/// CFL-02, DST-19, LST-08, GAP-22, UNV-07, BYD-04: an alias's settings are its own: it has neither those of its version nor those of
/// `$LATEST`. The dead-letter queue is one for all.
#[test]
fn an_alias_has_separate_settings() {
    let function = scripted("f").version(1).alias("live", 1).alias("canary", 1);
    simulate([function], |s| async move {
        let client = s.client();
        let set = client.configure("f", |configuration| {
            for (qualifier, retries) in [("$LATEST", 1), ("1", 0), ("canary", 1)] {
                let mut config = EventInvokeConfig::new(std::time::SystemTime::UNIX_EPOCH);
                config.retries_max = Some(retries);
                let configs = &mut configuration.event_invoke;
                configs.insert(qualifier.to_owned(), config);
            }
            Ok::<_, redrive::ConfigureError>(())
        });
        set.await.unwrap();
        let expected = [("$LATEST", 2), ("1", 1), ("canary", 2), ("live", 3)];
        for (qualifier, attempts) in expected {
            let event = Invoke::event("f", Script::always_fails()).qualifier(qualifier);
            let id = client.send(event).await.unwrap().request_id;
            s.advance(secs(300)).await;
            assert_eq!(letter(&s, id).await.attempt_count, attempts, "{qualifier}");
        }
        assert_eq!(letters(&s).await.len(), expected.len());
    });
}

/// CON-02: of all versions together.
#[test]
fn reserved_concurrency_holds_for_all_versions_together() {
    let function = scripted("f").version(1).alias("live", 1);
    simulate([function.timeout(secs(60))], |s| async move {
        let client = s.client();
        let set = client.configure("f", |configuration| {
            configuration.reserved_concurrency = Some(2);
            Ok::<_, redrive::ConfigureError>(())
        });
        set.await.unwrap();
        for qualifier in ["$LATEST", "1", "live"] {
            let script = steps([Step::Take(secs(10))]);
            let event = Invoke::event("f", script).qualifier(qualifier);
            client.send(event).await.unwrap();
        }
        s.settle().await;
        assert_eq!(s.running("f"), 2);
        s.advance(secs(10)).await;
        assert_eq!((s.succeeded("f"), s.running("f")), (2, 1));
        s.advance(secs(10)).await;
        assert_eq!(s.succeeded("f"), 3);
    });
}

// --- updates

/// ASY-30, ASY-32: events that wait behind a running one when the program is updated run the new code; so does the running
/// one, for the second time.
#[test]
fn events_that_waited_over_an_update_run_the_new_code() {
    let versioned = |version: u32| {
        Function::new("f", move |event: Event<bool>| async move {
            if *event && version == 1 {
                std::future::pending::<()>().await;
            }
            Ok::<_, String>(version)
        })
        .concurrency(1)
        .timeout(secs(600))
    };
    common::hush();
    run(async move {
        let store = RecordingStore::new();
        let start = async |version| {
            store.reopen();
            let builder = Runtime::builder().store(store.clone());
            Simulation::start(7, builder.function(versioned(version))).await
        };
        let old = start(1).await.unwrap();
        let mut ids: Vec<RequestId> = Vec::new();
        for payload in [true, false, false] {
            ids.push(invoke(&old, "f", payload).await);
        }
        old.settle().await;
        assert_eq!((old.running("f"), old.succeeded("f")), (1, 0));
        let _ = old.into_runtime().shutdown(Duration::ZERO).await;

        let new = start(2).await.unwrap();
        for id in ids {
            let status = new.client().wait(id).await.unwrap();
            assert_eq!(status.result::<u32>().unwrap().unwrap(), 2);
        }
    });
}

/// GAP-15
#[test]
fn an_event_may_be_larger_than_at_aws_where_the_limit_is_set() {
    let echo = Function::new("f", |event: Event<String>| async move {
        Ok::<_, String>(event.len())
    });
    let builder = Runtime::builder().function(echo);
    simulate_with(builder.event_payload_max(4 << 20), |s| async move {
        let id = invoke(&s, "f", "x".repeat(3 << 20)).await;
        let status = s.client().wait(id).await.unwrap();
        assert_eq!(status.result::<usize>().unwrap().unwrap(), 3 << 20);
    });
}
