//! Events, workers and their state when user code panics, hangs or can't start.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use common::{endless_panic, invoke, letter, secs, simulate, steps};
use redrive::testing::{Script, Simulation, Step, scripted};
use redrive::{
    CallError, Event, FailureKind, Function, RequestId, RestartIntensity, RetryPolicy, State,
    Stateful, Status,
};
use tokio::time::Instant;

const WAYS_TO_DIE: [(Step, FailureKind); 4] = [
    (Step::Panic, FailureKind::Panic),
    (Step::PanicLater, FailureKind::Panic),
    (Step::PanicInDrop, FailureKind::Panic),
    (Step::Hang, FailureKind::Timeout),
];

#[test]
fn an_event_is_retried_after_every_kind_of_failure_and_the_others_go_on() {
    for (way, kind) in WAYS_TO_DIE {
        simulate(
            [scripted("f").concurrency(2), scripted("g")],
            |s| async move {
                let id = invoke(&s, "f", steps([way, Step::Succeed])).await;
                let mut others = Vec::new();
                for function in ["f", "f", "f", "g"] {
                    others.push(invoke(&s, function, Script::succeeds()).await);
                }
                s.advance(secs(4)).await;
                let Some(Status::Delayed {
                    attempts: 1,
                    failure,
                    ..
                }) = s.client().status(id).await
                else {
                    panic!("it waits for its second attempt")
                };
                assert_eq!(failure.unwrap().kind, kind);
                for other in others {
                    let status = s.client().status(other).await;
                    assert!(matches!(
                        status,
                        Some(Status::Succeeded { attempts: 1, .. })
                    ));
                }
                s.advance(secs(61)).await;
                let status = s.client().status(id).await;
                assert!(matches!(
                    status,
                    Some(Status::Succeeded { attempts: 2, .. })
                ));
                s.assert_nothing_lost();
            },
        );
    }
}

#[test]
fn an_event_that_always_fails_is_tried_three_times_and_its_letter_says_how() {
    let names = ["panic", "later", "drop", "hang"];
    simulate(names.map(scripted), |s| async move {
        for (name, (way, kind)) in names.into_iter().zip(WAYS_TO_DIE) {
            let id = invoke(&s, name, steps([way])).await;
            s.advance(secs(300)).await;
            let letter = letter(&s, id).await;
            let kinds: Vec<_> = letter
                .attempts
                .iter()
                .map(|attempt| attempt.failure.kind)
                .collect();
            assert_eq!(kinds, [kind; 3], "{name}");
        }
        assert_eq!(s.stats("panic").restarts, 3);
        assert_eq!(s.stats("hang").restarts, 0);
    });
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_is_one_panic() {
    let function = Function::new("f", |event: Event<bool>| async move {
        if *event {
            endless_panic();
        }
        Ok::<_, String>(())
    });
    simulate([function.retry(RetryPolicy::none())], |s| async move {
        let id = invoke(&s, "f", true).await;
        s.settle().await;
        assert_eq!(
            letter(&s, id).await.attempts[0].failure.kind,
            FailureKind::Panic
        );
        invoke(&s, "f", false).await;
        s.settle().await;
        assert_eq!(s.succeeded("f"), 1);
    });
}

#[test]
fn a_timeout_drops_the_attempts_future() {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let function = Function::new("f", move |_: Event<()>| {
        let flag = Flag(flag.clone());
        async move {
            std::future::pending::<()>().await;
            drop(flag);
            Ok::<_, String>(())
        }
    });
    simulate([function.timeout(secs(5))], |s| async move {
        invoke(&s, "f", ()).await;
        s.advance(secs(4)).await;
        assert!(!dropped.load(SeqCst));
        s.advance(secs(2)).await;
        assert!(dropped.load(SeqCst));
        assert_eq!(s.delayed("f"), 1);
    });
}

/// How many events its state has seen.
struct Counter {
    seen: u32,
}

impl Stateful for Counter {
    type Payload = String;
    type Output = u32;
    type Error = String;

    async fn handle(&mut self, event: Event<String>) -> Result<u32, String> {
        self.seen += 1;
        match event.as_str() {
            "panic" => panic!("as scripted"),
            "hang" => std::future::pending().await,
            "fail" => Err("as scripted".to_owned()),
            _ => Ok(self.seen),
        }
    }
}

async fn count(simulation: &Simulation, what: &str) -> Result<u32, CallError> {
    simulation.client().call("f", what.to_owned()).await
}

#[test]
fn state_survives_an_error_and_is_rebuilt_after_a_panic_and_a_timeout() {
    let function = Function::stateful("f", || async { Ok::<_, String>(Counter { seen: 0 }) });
    simulate([function.concurrency(1)], |s| async move {
        assert_eq!(
            (count(&s, "").await.unwrap(), count(&s, "").await.unwrap()),
            (1, 2)
        );
        assert!(count(&s, "fail").await.is_err());
        assert_eq!(count(&s, "").await.unwrap(), 4);
        assert!(count(&s, "panic").await.is_err());
        assert_eq!(count(&s, "").await.unwrap(), 1);
        assert!(count(&s, "hang").await.is_err());
        assert_eq!(count(&s, "").await.unwrap(), 1);
        let misfit = s.client().call::<u32>("f", 7).await;
        assert!(matches!(misfit, Err(CallError::Failed(f)) if f.kind == FailureKind::Payload));
        assert_eq!(
            count(&s, "").await.unwrap(),
            2,
            "a payload that doesn't fit costs no state"
        );
    });
}

#[test]
fn each_worker_has_its_own_state_until_it_is_reaped() {
    let inits = Arc::new(AtomicU32::new(0));
    let built = inits.clone();
    let function = Function::stateful("f", move || {
        built.fetch_add(1, SeqCst);
        async { Ok::<_, String>(Counter { seen: 0 }) }
    });
    simulate(
        [function.concurrency(2).keep_alive(secs(60))],
        |s| async move {
            assert_eq!(count(&s, "").await.unwrap(), 1);
            s.advance(secs(50)).await;
            assert_eq!(count(&s, "").await.unwrap(), 2);
            s.advance(secs(50)).await;
            assert_eq!((s.stats("f").workers, inits.load(SeqCst)), (1, 1));
            s.advance(secs(200)).await;
            assert_eq!(s.stats("f").workers, 0);
            assert_eq!(count(&s, "").await.unwrap(), 1);
            assert_eq!(inits.load(SeqCst), 2);
        },
    );
}

#[derive(Clone, Copy)]
enum Init {
    PanicsAtOnce,
    PanicsLater,
    Fails,
    Hangs,
}

/// A function whose `init` fails the first `times` times. Its calls are counted.
fn unready(init: Init, times: u32) -> (Function, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let function = Function::stateful("f", move || {
        let wrong = count.fetch_add(1, SeqCst) < times;
        if wrong && matches!(init, Init::PanicsAtOnce) {
            panic!("as scripted");
        }
        async move {
            match init {
                Init::PanicsLater if wrong => {
                    tokio::task::yield_now().await;
                    panic!("as scripted")
                }
                Init::Fails if wrong => Err("not yet"),
                Init::Hangs if wrong => std::future::pending().await,
                _ => Ok(Counter { seen: 0 }),
            }
        }
    });
    (function, asked)
}

#[test]
fn a_worker_that_can_not_start_burns_no_attempt() {
    for init in [
        Init::PanicsAtOnce,
        Init::PanicsLater,
        Init::Fails,
        Init::Hangs,
    ] {
        let (function, asked) = unready(init, 3);
        simulate([function.concurrency(1)], |s| async move {
            let ids = [
                invoke(&s, "f", String::new()).await,
                invoke(&s, "f", String::new()).await,
            ];
            s.advance(secs(31)).await;
            for id in ids {
                let status = s.client().status(id).await;
                assert!(matches!(
                    status,
                    Some(Status::Succeeded { attempts: 1, .. })
                ));
            }
            assert_eq!((asked.load(SeqCst), s.stats("f").restarts), (4, 3));
            assert_eq!((s.stats("f").invocations, s.stats("f").errors), (2, 0));
        });
    }
}

#[test]
fn init_has_a_separate_timeout() {
    let (function, asked) = unready(Init::Hangs, 1);
    simulate([function.init_timeout(secs(2))], |s| async move {
        let id = invoke(&s, "f", String::new()).await;
        s.advance(secs(1)).await;
        assert!(matches!(
            s.client().status(id).await,
            Some(Status::Accepted { .. })
        ));
        s.advance(secs(2)).await;
        assert!(matches!(
            s.client().status(id).await,
            Some(Status::Succeeded { .. })
        ));
        assert_eq!(asked.load(SeqCst), 2);
    });
}

#[test]
fn a_function_whose_init_fails_backs_off_and_its_events_wait() {
    let (function, asked) = unready(Init::Fails, 14);
    simulate([function, scripted("g")], |s| async move {
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(invoke(&s, "f", String::new()).await);
        }
        s.settle().await;
        let at_once = asked.load(SeqCst);
        assert!(
            (6..=10).contains(&at_once),
            "{at_once}: those that started together"
        );
        s.advance(secs(3_600)).await;
        assert_eq!(s.succeeded("f"), 20);
        for id in ids {
            assert!(!matches!(
                s.client().status(id).await,
                Some(Status::Succeeded { attempts: 2.., .. })
            ));
        }
        assert_eq!(
            (s.stats("f").errors, s.stats("f").async_events_dropped),
            (0, 0)
        );
    });
}

#[test]
fn the_sixth_crash_in_ten_seconds_holds_the_function_back_for_1_2_4_seconds() {
    let (function, asked) = unready(Init::Fails, u32::MAX);
    simulate([function.concurrency(1), scripted("g")], |s| async move {
        let id = invoke(&s, "f", String::new()).await;
        let mut now = 0;
        for (until, expected) in [(0, 6), (2, 7), (4, 8), (8, 9), (16, 10), (32, 11), (64, 12)] {
            s.advance(secs(until - now)).await;
            s.settle().await;
            now = until;
            assert_eq!(asked.load(SeqCst), expected, "after {until} s");
        }
        assert!(matches!(
            s.client().status(id).await,
            Some(Status::Accepted { .. })
        ));
        s.advance(secs(10 * 300)).await;
        let hourly = asked.load(SeqCst);
        s.advance(secs(3_000)).await;
        assert_eq!(asked.load(SeqCst) - hourly, 10, "every 300 s in the end");
        invoke(&s, "g", Script::succeeds()).await;
        s.settle().await;
        assert_eq!(s.succeeded("g"), 1);
    });
}

#[test]
fn while_a_function_of_which_nothing_succeeds_backs_off_one_event_at_a_time_is_tried() {
    simulate([scripted("f")], |s| async move {
        for _ in 0..40 {
            invoke(&s, "f", steps([Step::Panic, Step::Succeed])).await;
        }
        s.settle().await;
        for (wait, tried) in [(0, 20), (1, 21), (2, 22), (4, 23), (8, 24), (16, 25)] {
            s.advance(secs(wait)).await;
            s.settle().await;
            let stats = s.stats("f");
            assert_eq!(
                (stats.errors, stats.restarts),
                (tried, tried),
                "after {wait} s more"
            );
            assert_eq!((s.delayed("f"), stats.events.ready), (tried, 40 - tried));
        }
        s.advance(secs(86_400)).await;
        assert_eq!((s.succeeded("f"), s.stats("f").errors), (40, 40));
        s.assert_nothing_lost();
    });
}

#[test]
fn a_probe_that_does_not_crash_brings_back_full_concurrency() {
    let function = scripted("f").concurrency(4).retry(RetryPolicy::none());
    simulate([function], |s| async move {
        for _ in 0..20 {
            invoke(&s, "f", steps([Step::Panic])).await;
        }
        s.settle().await;
        for _ in 0..8 {
            invoke(&s, "f", steps([Step::Take(secs(2))])).await;
        }
        s.settle().await;
        assert_eq!((s.dead("f"), s.running("f")), (20, 0));
        s.advance(secs(1)).await;
        assert_eq!(s.running("f"), 1, "the probe");
        s.advance(secs(2)).await;
        assert_eq!((s.succeeded("f"), s.running("f")), (1, 4));
        // The intensity starts anew.
        s.advance(secs(4)).await;
        for _ in 0..5 {
            invoke(&s, "f", steps([Step::Panic])).await;
        }
        invoke(&s, "f", Script::succeeds()).await;
        s.settle().await;
        assert_eq!((s.dead("f"), s.succeeded("f")), (25, 9));
    });
}

#[test]
fn a_probe_that_is_cancelled_makes_room_for_another() {
    simulate([scripted("f").retry(RetryPolicy::none())], |s| async move {
        for _ in 0..20 {
            invoke(&s, "f", steps([Step::Panic])).await;
        }
        s.settle().await;
        let probe = invoke(&s, "f", steps([Step::Hang])).await;
        let next = invoke(&s, "f", Script::succeeds()).await;
        s.advance(secs(1)).await;
        s.settle().await;
        assert!(matches!(
            s.client().status(probe).await,
            Some(Status::Running { .. })
        ));
        assert!(s.client().cancel(probe).await);
        s.settle().await;
        assert!(matches!(
            s.client().status(next).await,
            Some(Status::Succeeded { .. })
        ));
    });
}

/// One of three panics: their successes prove the function healthy.
#[test]
fn events_that_panic_hold_back_no_event_of_a_function_that_succeeds() {
    simulate([scripted("f").retry(RetryPolicy::none())], |s| async move {
        for _ in 0..100 {
            invoke(&s, "f", steps([Step::Panic])).await;
            invoke(&s, "f", Script::succeeds()).await;
            invoke(&s, "f", Script::succeeds()).await;
        }
        s.settle().await;
        assert_eq!((s.dead("f"), s.succeeded("f")), (100, 200));
    });
}

#[test]
fn a_probe_tries_an_event_that_has_not_crashed_before_one_that_has() {
    let function = scripted("f").retry(RetryPolicy::fixed(100, secs(1)));
    simulate([function], |s| async move {
        for _ in 0..20 {
            invoke(&s, "f", steps([Step::Panic])).await;
        }
        s.settle().await;
        let innocent = invoke(&s, "f", Script::succeeds()).await;
        // The guilty ones are due again by now, and were so before.
        s.advance(secs(1)).await;
        s.settle().await;
        assert!(matches!(
            s.client().status(innocent).await,
            Some(Status::Succeeded { .. })
        ));
    });
}

/// Bad events in a block before good ones hold up a function for moments, not for as long as there are bad ones.
#[test]
fn bad_events_before_good_ones_hold_the_function_up_for_seconds_alone() {
    let function = scripted("f").concurrency(1).retry(RetryPolicy::none());
    simulate([function], |s| async move {
        for _ in 0..60 {
            invoke(&s, "f", steps([Step::Panic])).await;
        }
        for _ in 0..500 {
            invoke(&s, "f", Script::succeeds()).await;
        }
        s.advance(secs(30)).await;
        assert_eq!((s.succeeded("f"), s.dead("f")), (500, 60));
    });
}

#[test]
fn calls_do_not_starve_events() {
    simulate([scripted("f").concurrency(1)], |s| async move {
        let callers = (0..4).map(|_| {
            let client = s.client();
            tokio::task::spawn_local(async move {
                loop {
                    let take = steps([Step::Take(secs(1))]);
                    client.call::<RequestId>("f", take).await.unwrap();
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        s.settle().await;
        for _ in 0..5 {
            invoke(&s, "f", Script::succeeds()).await;
        }
        s.advance(secs(5 * 4)).await;
        assert_eq!(s.succeeded("f"), 5);
        callers.iter().for_each(|caller| caller.abort());
    });
}

#[test]
fn slow_crashes_cause_no_backoff() {
    simulate([scripted("f").retry(RetryPolicy::none())], |s| async move {
        for n in 1..=30 {
            invoke(&s, "f", steps([Step::Panic])).await;
            s.advance(secs(3)).await;
            assert_eq!(s.dead("f"), n);
        }
    });
}

#[test]
fn with_unlimited_restart_intensity_crashes_do_not_slow_other_events() {
    let function = scripted("f").restarts(RestartIntensity::unlimited());
    simulate([function.retry(RetryPolicy::none())], |s| async move {
        for _ in 0..100 {
            invoke(&s, "f", steps([Step::PanicLater])).await;
        }
        s.settle().await;
        assert_eq!((s.dead("f"), s.stats("f").restarts), (100, 100));
    });
}

#[test]
fn a_call_to_a_function_that_backs_off_fails_at_once() {
    let (function, _) = unready(Init::Fails, u32::MAX);
    simulate([function], |s| async move {
        // The first one waits until the sixth crash, and gets its error.
        let waited = count(&s, "").await;
        assert!(matches!(waited, Err(CallError::Failed(f)) if f.kind == FailureKind::Init));
        let began = Instant::now();
        let Err(CallError::Failed(failure)) = count(&s, "").await else {
            panic!("failed")
        };
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (FailureKind::Init, "not yet")
        );
        assert!(began.elapsed() < secs(1), "{:?}", began.elapsed());
        let event = invoke(&s, "f", String::new()).await;
        s.settle().await;
        assert!(matches!(
            s.client().status(event).await,
            Some(Status::Accepted { .. })
        ));
        assert_eq!(s.stats("f").calls.dead, 2);
    });
}

#[test]
fn a_call_is_not_retried_and_leaves_no_dead_letter() {
    simulate([scripted("f")], |s| async move {
        let call = s
            .client()
            .call::<RequestId>("f", steps([Step::PanicLater]))
            .await;
        assert!(matches!(call, Err(CallError::Failed(f)) if f.kind == FailureKind::Panic));
        s.advance(secs(300)).await;
        assert_eq!((s.stats("f").invocations, s.stats("f").calls.dead), (1, 1));
        assert!(common::letters(&s).await.is_empty());
    });
}

#[test]
fn a_state_that_panics_when_dropped_affects_nothing_else() {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("as scripted, in the drop of a state");
        }
    }
    impl Stateful for Grenade {
        type Payload = bool;
        type Output = ();
        type Error = String;

        async fn handle(&mut self, event: Event<bool>) -> Result<(), String> {
            if *event {
                std::future::pending().await
            } else {
                Ok(())
            }
        }
    }
    let function = Function::stateful("f", || async { Ok::<_, String>(Grenade) });
    let function = function.concurrency(1).retry(RetryPolicy::none());
    simulate([function], |s| async move {
        for n in 1..=10 {
            invoke(&s, "f", true).await;
            invoke(&s, "f", false).await;
            s.advance(secs(100)).await;
            assert_eq!((s.dead("f"), s.succeeded("f")), (n, n));
        }
        let finished = s.client().events("f", State::Running, 0, 10).await.unwrap();
        assert!(finished.events.is_empty());
    });
}
