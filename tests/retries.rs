//! When a failed event runs again, and when it is given up.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{fail, invoke, letter, letters, seconds_between, secs, simulate, starts, steps};
use redrive::testing::{Faults, Script, Simulation, Step, scripted};
use redrive::{
    CallError, Condition, Event, FailureKind, Function, Invoke, InvokeError, Jitter, Payload,
    RequestId, RetryPolicy, Status, Throttled,
};

/// Sends an event that always fails and returns when its attempts began.
async fn failing(simulation: &Simulation, function: &str) -> Vec<u64> {
    let id = invoke(simulation, function, Script::always_fails()).await;
    simulation.advance(secs(86_400)).await;
    starts(&letter(simulation, id).await)
}

/// ASY-13, ASY-14, ASY-16, PAR-04
#[test]
fn by_default_an_event_runs_three_times_60_and_120_seconds_apart() {
    simulate([scripted("f")], |s| async move {
        let id = invoke(&s, "f", Script::always_fails()).await;
        s.advance(secs(59)).await;
        assert_eq!((s.stats("f").invocations, s.delayed("f")), (1, 1));
        s.advance(secs(2)).await;
        assert_eq!((s.stats("f").invocations, s.delayed("f")), (2, 1));
        s.advance(secs(118)).await;
        assert_eq!((s.stats("f").invocations, s.dead("f")), (2, 0));
        s.advance(secs(2)).await;
        assert_eq!((s.stats("f").invocations, s.dead("f")), (3, 1));
        let letter = letter(&s, id).await;
        assert_eq!(letter.condition, Condition::RetriesExhausted);
        assert_eq!(
            (letter.attempt_count, starts(&letter)),
            (3, vec![0, 60, 180])
        );
        s.assert_nothing_lost();
    });
}

/// ASY-14, UNV-10: the delay is measured from the failure, not from the attempt's start.
#[test]
fn the_delay_is_measured_from_the_failure() {
    let slow = Function::new("f", |_: Event<()>| async {
        tokio::time::sleep(secs(20)).await;
        Err::<(), _>("as scripted")
    });
    simulate([slow.timeout(secs(30))], |s| async move {
        let id = invoke(&s, "f", ()).await;
        s.advance(secs(3_600)).await;
        let letter = letter(&s, id).await;
        assert_eq!(starts(&letter), [0, 80, 220]);
        assert!(
            letter
                .attempts
                .iter()
                .all(|attempt| attempt.duration.as_secs() == 20)
        );
    });
}

/// ASY-04
#[test]
fn every_attempt_has_the_same_request_id() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let function = Function::new("f", move |event: Event<()>| {
        let context = event.context();
        log.lock()
            .unwrap()
            .push((context.request_id(), context.attempt()));
        async { Err::<(), _>("as scripted") }
    });
    simulate([function], |s| async move {
        let id = invoke(&s, "f", ()).await;
        s.advance(secs(300)).await;
        assert_eq!(*seen.lock().unwrap(), [(id, 1), (id, 2), (id, 3)]);
        assert_eq!(letter(&s, id).await.request_id, id);
    });
}

/// MET-20
#[test]
fn an_event_that_fails_and_then_succeeds_leaves_no_dead_letter() {
    simulate([scripted("f")], |s| async move {
        let id = invoke(&s, "f", Script::fails(2)).await;
        s.advance(secs(181)).await;
        let Some(Status::Succeeded { result, attempts }) = s.client().status(id).await else {
            panic!("succeeded")
        };
        assert_eq!((result.read::<RequestId>().unwrap(), attempts), (id, 3));
        assert!(letters(&s).await.is_empty());
    });
}

/// ASY-17, ASY-18: both as recorded of AWS, though here a failure takes no time.
#[test]
fn a_retry_beyond_the_maximum_age_is_not_waited_for() {
    let aged = |name, age| scripted(name).event_age_max(secs(age));
    simulate([aged("short", 60), aged("long", 90)], |s| async move {
        let short = invoke(&s, "short", Script::always_fails()).await;
        let long = invoke(&s, "long", Script::always_fails()).await;
        s.settle().await;
        let dead = letter(&s, short).await;
        assert_eq!(
            (dead.condition, dead.attempt_count),
            (Condition::EventAgeExceeded, 1)
        );
        assert_eq!(dead.failure().unwrap().message, "as scripted");
        s.advance(secs(61)).await;
        let dead = letter(&s, long).await;
        assert_eq!(
            (dead.condition, dead.attempt_count),
            (Condition::EventAgeExceeded, 2)
        );
        assert_eq!(seconds_between(dead.accepted_at, dead.died_at), 60);
    });
}

/// BYD-04, BYD-13
#[test]
fn an_event_can_have_its_own_retry_policy_and_maximum_age() {
    simulate([scripted("f")], |s| async move {
        let client = s.client();
        let event = || Invoke::event("f", Script::always_fails());
        let policy = RetryPolicy::fixed(4, secs(7));
        let own = client.send(event().retry(policy)).await.unwrap().request_id;
        let aged = client
            .send(event().event_age_max(secs(100)))
            .await
            .unwrap()
            .request_id;
        let usual = client.send(event()).await.unwrap().request_id;
        s.advance(secs(1_000)).await;
        assert_eq!(starts(&letter(&s, own).await), [0, 7, 14, 21, 28]);
        let aged = letter(&s, aged).await;
        assert_eq!(
            (starts(&aged), aged.condition),
            (vec![0, 60], Condition::EventAgeExceeded)
        );
        assert_eq!(starts(&letter(&s, usual).await), [0, 60, 180]);
    });
}

/// BYD-04
#[test]
fn each_policy_keeps_its_delays() {
    let exponential = RetryPolicy::exponential(5, secs(1), secs(6));
    let functions = [
        scripted("none").retry(RetryPolicy::none()),
        scripted("fixed").retry(RetryPolicy::fixed(3, secs(5))),
        scripted("exponential").retry(exponential.clone()),
        scripted("jitter").retry(exponential.jitter(Jitter::Full)),
        scripted("list").retry(RetryPolicy::delays([secs(30), secs(1), secs(600)])),
        scripted("at-once").retry(RetryPolicy::fixed(3, Duration::ZERO)),
    ];
    simulate(functions, |s| async move {
        assert_eq!(failing(&s, "none").await, [0]);
        assert_eq!(failing(&s, "fixed").await, [0, 5, 10, 15]);
        assert_eq!(failing(&s, "exponential").await, [0, 1, 3, 7, 13, 19]);
        assert_eq!(failing(&s, "list").await, [0, 30, 31, 631]);
        assert_eq!(failing(&s, "at-once").await, [0; 4]);
        let spread = failing(&s, "jitter").await;
        assert_eq!(spread.len(), 6);
        assert!(
            spread
                .iter()
                .zip([0, 1, 3, 7, 13, 19])
                .all(|(start, most)| *start <= most)
        );
    });
}

/// BYD-05, GAP-05
#[test]
fn a_final_error_is_not_retried() {
    simulate([scripted("f")], |s| async move {
        let id = invoke(
            &s,
            "f",
            steps([fail(), Step::Final("no such order".into())]),
        )
        .await;
        s.advance(secs(3_600)).await;
        let letter = letter(&s, id).await;
        assert_eq!(
            (letter.condition, letter.attempt_count),
            (Condition::Final, 2)
        );
        assert_eq!(letter.failure().unwrap().message, "no such order");
    });
}

/// BYD-05
#[test]
fn the_handler_sets_the_delay_but_not_the_number_of_retries() {
    simulate([scripted("f")], |s| async move {
        let id = invoke(&s, "f", steps([Step::RetryAfter(secs(5))])).await;
        s.advance(secs(3_600)).await;
        let letter = letter(&s, id).await;
        assert_eq!(starts(&letter), [0, 5, 10]);
        assert_eq!(letter.condition, Condition::RetriesExhausted);
    });
}

/// ASY-08, ASY-20, ASY-21, ASY-23, ASY-24, LST-05, PAR-04, UNV-09: the delays grow and have no jitter.
#[test]
fn a_throttled_event_is_retried_after_1_to_300_seconds_until_its_age_is_over() {
    simulate([scripted("f").retry(RetryPolicy::none())], |s| async move {
        let id = invoke(&s, "f", steps([Step::Throttle])).await;
        s.advance(secs(21_601)).await;
        let letter = letter(&s, id).await;
        assert_eq!(letter.condition, Condition::EventAgeExceeded);
        let starts = starts(&letter);
        let delays: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(delays[..9], [1, 2, 4, 8, 16, 32, 64, 128, 256]);
        assert!(delays[9..].iter().all(|delay| *delay == 300));
        assert_eq!(starts.last(), Some(&(511 + 300 * 70)));
        assert_eq!(letter.attempts[0].failure.kind, FailureKind::Throttle);
        let stats = s.stats("f");
        let throttles = u64::from(letter.attempt_count);
        assert_eq!(
            (stats.invocations, stats.errors, stats.throttles),
            (0, 0, throttles)
        );
    });
}

/// ASY-21
#[test]
fn throttles_do_not_count_as_retries() {
    simulate([scripted("f")], |s| async move {
        let throttle = || Step::Throttle;
        let script = steps([throttle(), fail(), throttle(), throttle(), fail(), fail()]);
        let id = invoke(&s, "f", script).await;
        s.advance(secs(3_600)).await;
        let letter = letter(&s, id).await;
        assert_eq!(starts(&letter), [0, 1, 61, 63, 67, 187]);
        assert_eq!(letter.condition, Condition::RetriesExhausted);
        assert_eq!((s.stats("f").invocations, s.stats("f").throttles), (3, 3));
    });
}

#[test]
fn a_throttle_may_set_its_delay() {
    let function = Function::new("f", |event: Event<()>| async move {
        match event.context().attempt() {
            1 => Err(Throttled::retry_after(secs(42), "429")),
            _ => Ok(event.context().accepted_at()),
        }
    });
    simulate([function], |s| async move {
        let id = invoke(&s, "f", ()).await;
        s.advance(secs(41)).await;
        assert_eq!(s.delayed("f"), 1);
        s.advance(secs(2)).await;
        assert!(matches!(
            s.client().status(id).await,
            Some(Status::Succeeded { attempts: 2, .. })
        ));
    });
}

#[test]
fn a_payload_that_does_not_fit_is_final_and_the_letter_names_the_path() {
    simulate([scripted("f")], |s| async move {
        let payload = Payload::from_json(r#"[{"Fail":"x"},{"Take":{"secs":"soon"}}]"#).unwrap();
        let id = invoke(&s, "f", payload).await;
        s.advance(secs(3_600)).await;
        let letter = letter(&s, id).await;
        assert_eq!(
            (letter.condition, letter.attempt_count),
            (Condition::Final, 1)
        );
        let failure = letter.failure().unwrap();
        assert_eq!(failure.kind, FailureKind::Payload);
        assert!(
            failure.message.contains("[1].Take.secs"),
            "{}",
            failure.message
        );
        assert!(letter.payload.json().unwrap().get().contains("soon"));
    });
}

/// ASY-24
#[test]
fn an_event_that_grows_too_old_in_a_paused_function_dies_without_an_attempt() {
    simulate([scripted("f").event_age_max(secs(100))], |s| async move {
        s.client().pause("f");
        let old = invoke(&s, "f", Script::succeeds()).await;
        s.advance(secs(50)).await;
        let young = invoke(&s, "f", Script::succeeds()).await;
        s.advance(secs(51)).await;
        s.client().resume("f");
        s.settle().await;
        let letter = letter(&s, old).await;
        assert_eq!(
            (letter.condition, letter.attempt_count),
            (Condition::EventAgeExceeded, 0)
        );
        assert!(letter.attempts.is_empty());
        assert!(matches!(
            s.client().status(young).await,
            Some(Status::Succeeded { .. })
        ));
        assert_eq!(
            (s.stats("f").invocations, s.stats("f").async_events_dropped),
            (1, 1)
        );
        s.assert_nothing_lost();
    });
}

#[test]
fn a_retry_that_comes_due_in_a_paused_function_expires_once_it_is_too_old() {
    simulate([scripted("f").event_age_max(secs(100))], |s| async move {
        let id = invoke(&s, "f", Script::fails(1)).await;
        s.settle().await;
        s.client().pause("f");
        s.advance(secs(101)).await;
        s.client().resume("f");
        s.settle().await;
        let letter = letter(&s, id).await;
        assert_eq!(
            (letter.condition, letter.attempt_count),
            (Condition::EventAgeExceeded, 1)
        );
        assert_eq!(letter.attempts.len(), 1);
    });
}

/// ASY-26, ASY-27, ASY-28, ASY-29
#[test]
fn at_zero_reserved_concurrency_an_event_is_accepted_and_dies_at_once() {
    simulate(
        [scripted("f").reserved_concurrency_zero()],
        |s| async move {
            let id = invoke(&s, "f", Script::succeeds()).await;
            let batch = s
                .client()
                .invoke_batch("f", [Script::succeeds(), Script::succeeds()])
                .await;
            s.settle().await;
            let letter = letter(&s, id).await;
            assert_eq!(letter.condition, Condition::ZeroReservedConcurrency);
            assert_eq!((letter.attempt_count, letter.attempts.len()), (0, 0));
            assert_eq!(
                (batch.unwrap().len(), s.dead("f"), s.stats("f").invocations),
                (2, 3, 0)
            );
            let call = s.client().call::<RequestId>("f", Script::succeeds()).await;
            let refused = InvokeError::ZeroReservedConcurrency {
                function: "f".into(),
            };
            let Err(CallError::Refused(error)) = call else {
                panic!("refused")
            };
            assert_eq!(error.to_string(), refused.to_string());
            assert_eq!(s.stats("f").throttles, 1);
            s.assert_nothing_lost();
        },
    );
}

#[test]
fn injected_faults_of_one_seed_hit_the_same_attempts() {
    let course = || {
        let results = Arc::new(Mutex::new(Vec::new()));
        let faults = Faults::new(11)
            .errors(0.3)
            .panics(0.2)
            .hangs(0.1)
            .at(3, Step::Succeed);
        let handler = faults.inject(|_: Event<u32>| async { Ok::<_, String>(()) });
        let function = Function::new("f", handler).restarts(redrive::RestartIntensity::unlimited());
        let log = results.clone();
        simulate([function], |s| async move {
            for number in 0..50 {
                let id = invoke(&s, "f", number).await;
                s.advance(secs(300)).await;
                let Some(Status::Succeeded { attempts, .. }) = s.client().status(id).await else {
                    panic!("nothing fails three times")
                };
                log.lock().unwrap().push(attempts);
            }
        });
        results.lock().unwrap().clone()
    };
    let first = course();
    assert!(first.contains(&1) && first.contains(&2) && first.contains(&3));
    assert_eq!(first, course());
}
