//! Idempotency: work that is done once for any number of invocations with one key.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;
mod log_capture;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::{dead_letters, hush, invoke, letter, secs, simulate, simulate_with};
use redrive::testing::{Simulation, run};
use redrive::{
    BuildError, CallError, Client, Condition, Event, FailureKind, Function, Idempotency, Payload,
    Redrive, RequestId, RetryPolicy, Runtime, Stateful, Status,
};
use serde::{Deserialize, Serialize};

/// The job in an event's payload.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Job {
    key: Option<u32>,
    amount: u32,
    /// How many attempts fail.
    fails: u32,
    panics: bool,
    seconds: u64,
}

fn job(key: u32) -> Job {
    Job {
        key: Some(key),
        ..Job::default()
    }
}

fn by_key() -> Idempotency {
    Idempotency::by(|job: &Job| job.key)
}

/// How often handlers ran.
type Runs = Arc<AtomicU32>;

/// A function that does what a job says and returns how many runs there were by then.
fn counting(name: &str, runs: &Runs) -> Function {
    let runs = runs.clone();
    Function::new(name, move |job: Event<Job>| {
        let run = runs.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            tokio::time::sleep(secs(job.seconds)).await;
            assert!(!job.panics || job.context().attempt() > 1, "as scripted");
            if job.context().attempt() <= job.fails {
                return Err("as scripted");
            }
            Ok(run)
        }
    })
}

/// Runs `test` on a simulation of one such function, `f`.
fn counted<Fut: Future<Output = ()>>(by: Idempotency, test: impl FnOnce(Simulation, Runs) -> Fut) {
    let runs = Runs::default();
    let function = counting("f", &runs).idempotent(by);
    simulate([function], |s| test(s, runs));
}

fn count(runs: &Runs) -> u32 {
    runs.load(Ordering::Relaxed)
}

/// Returns the result of an event that has succeeded.
async fn result(simulation: &Simulation, id: RequestId) -> u32 {
    match simulation.client().status(id).await {
        Some(Status::Succeeded { result, .. }) => result.read().unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn call(simulation: &Simulation, job: Job) -> Result<u32, CallError> {
    simulation.client().call("f", job).await
}

fn failure(called: Result<u32, CallError>) -> redrive::Failure {
    match called {
        Err(CallError::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// IDM-06, IDM-08
#[test]
fn a_result_stands_for_all_further_events_and_calls_with_its_key() {
    counted(by_key(), |s, runs| async move {
        let first = invoke(&s, "f", job(1)).await;
        s.settle().await;
        let again = invoke(&s, "f", job(1)).await;
        s.settle().await;
        assert_eq!((result(&s, first).await, result(&s, again).await), (1, 1));
        assert_eq!(call(&s, job(1)).await.unwrap(), 1);
        assert_eq!(call(&s, job(2)).await.unwrap(), 2);
        assert_eq!(count(&runs), 2);
        s.assert_nothing_lost();
    });
}

/// IDM-02
#[test]
fn each_function_has_separate_keys() {
    let runs = Runs::default();
    let functions = ["f", "g"].map(|name| counting(name, &runs).idempotent(by_key()));
    simulate(functions, |s| async move {
        assert_eq!(call(&s, job(1)).await.unwrap(), 1);
        let other: u32 = s.client().call("g", job(1)).await.unwrap();
        assert_eq!(other, 2);
    });
}

/// IDM-02
#[test]
fn a_key_is_the_json_of_a_part_or_of_the_whole_payload_in_any_order() {
    let json = |text: &str| Payload::from_json(text).unwrap();
    let echo = |runs: &Runs, by: Idempotency| {
        let runs = runs.clone();
        let run = move |_: Event<serde_json::Value>| {
            let run = runs.fetch_add(1, Ordering::Relaxed) + 1;
            async move { Ok::<_, String>(run) }
        };
        Function::new("f", run).idempotent(by)
    };
    for by in [
        Idempotency::by_pointer("/order/id"),
        Idempotency::by_payload(),
    ] {
        let runs = Runs::default();
        simulate([echo(&runs, by)], |s| async move {
            let one = json(r#"{"order": {"id": "a", "line": 1}, "at": 5}"#);
            let same = json(r#"{"at":5,"order":{"line":1,"id":"a"}}"#);
            let other = json(r#"{"at":5,"order":{"line":1,"id":"b"}}"#);
            let call = async |payload| s.client().call::<u32>("f", payload).await.unwrap();
            assert_eq!(call(one).await, call(same).await);
            assert_eq!(call(other).await, 2);
            assert_eq!(count(&runs), 2);
        });
    }
}

/// IDM-05
#[test]
fn a_result_expires_an_hour_after_the_run_by_default() {
    for (by, age) in [(by_key(), 3_600), (by_key().expires_after(secs(60)), 60)] {
        counted(by, |s, runs| async move {
            call(&s, job(1)).await.unwrap();
            s.advance(secs(age - 1)).await;
            assert_eq!(call(&s, job(1)).await.unwrap(), 1);
            s.advance(secs(2)).await;
            assert_eq!(call(&s, job(1)).await.unwrap(), 2);
            assert_eq!(count(&runs), 2);
        });
    }
}

/// IDM-03
#[test]
fn an_event_without_a_key_runs_each_time_and_the_log_warns() {
    let log = log_capture::log();
    counted(by_key(), |s, runs| async move {
        for _ in 0..2 {
            invoke(&s, "f", Job::default()).await;
            s.settle().await;
        }
        assert_eq!((count(&runs), s.succeeded("f")), (2, 2));
        let warned = log.lines(|line| line.is("f", "has no idempotency key"));
        assert_eq!(warned.len(), 1);
    });
}

/// IDM-03
#[test]
fn an_event_without_a_key_fails_for_good_where_one_is_required() {
    counted(by_key().require_key(), |s, runs| async move {
        let id = invoke(&s, "f", Job::default()).await;
        s.settle().await;
        let letter = letter(&s, id).await;
        let failure = letter.failure().unwrap();
        assert_eq!(letter.condition, Condition::Final);
        assert_eq!(failure.kind, FailureKind::Idempotency);
        assert_eq!(failure.error_type, "IdempotencyKeyError");
        assert_eq!(count(&runs), 0);
    });
}

/// IDM-03: null and empty collections are not keys; zero and `false` are.
#[test]
fn zero_is_a_key_and_null_is_not() {
    for (key, is_key) in [
        ("0", true),
        ("false", true),
        ("\"\"", true),
        ("[null, 1]", true),
        ("null", false),
        ("[null, null]", false),
        (r#"{"a": null}"#, false),
    ] {
        let key = Payload::from_json(key).unwrap();
        let function = Function::new("f", async |_: Event<serde_json::Value>| Ok::<_, String>(()));
        let function = function.idempotent(Idempotency::by_payload().require_key());
        simulate([function], |s| async move {
            let id = invoke(&s, "f", key.clone()).await;
            s.settle().await;
            assert_eq!(
                s.succeeded("f") == 1,
                is_key,
                "{:?}",
                s.client().status(id).await
            );
        });
    }
}

/// IDM-04, IDM-06
#[test]
fn events_with_a_running_key_wait_and_get_the_same_result() {
    let runs = Runs::default();
    let function = counting("f", &runs).idempotent(by_key());
    let function = function.timeout(secs(60)).retry(RetryPolicy::none());
    simulate([function], |s| async move {
        let slow = Job {
            seconds: 10,
            ..job(1)
        };
        let ids = [
            invoke(&s, "f", slow.clone()).await,
            invoke(&s, "f", slow.clone()).await,
            invoke(&s, "f", slow).await,
        ];
        s.advance(secs(9)).await;
        assert_eq!((s.running("f"), s.delayed("f")), (1, 2));
        // After 1, 2 and 4 seconds it was still running; the next look is after 8.
        s.advance(secs(8)).await;
        for id in ids {
            assert_eq!(result(&s, id).await, 1);
        }
        assert_eq!((count(&runs), s.stats("f").errors), (1, 0));
        s.assert_nothing_lost();
    });
}

/// IDM-06
#[test]
fn a_call_with_a_running_key_is_refused() {
    counted(by_key(), |s, runs| async move {
        let slow = Job {
            seconds: 2,
            ..job(1)
        };
        invoke(&s, "f", slow).await;
        s.settle().await;
        let failure = failure(call(&s, job(1)).await);
        assert_eq!(failure.kind, FailureKind::InProgress);
        assert_eq!(failure.error_type, "IdempotencyAlreadyInProgressError");
        s.advance(secs(2)).await;
        assert_eq!((call(&s, job(1)).await.unwrap(), count(&runs)), (1, 1));
    });
}

/// IDM-07
#[test]
fn a_failure_frees_the_key_for_the_next_attempt_and_for_others() {
    counted(by_key(), |s, runs| async move {
        let fails = |panics: bool| Job {
            fails: u32::from(!panics),
            panics,
            ..job(panics.into())
        };
        for panics in [false, true] {
            let id = invoke(&s, "f", fails(panics)).await;
            s.advance(secs(1)).await;
            let before = count(&runs);
            s.advance(secs(60)).await;
            assert_eq!(result(&s, id).await, before + 1);
            assert!(call(&s, fails(panics)).await.is_ok());
            assert_eq!(count(&runs), before + 1);
        }
        failure(call(&s, Job { fails: 9, ..job(5) }).await);
        assert!(call(&s, job(5)).await.is_ok());
    });
}

/// IDM-07
#[test]
fn a_dead_letter_that_is_redriven_runs() {
    counted(by_key(), |s, runs| async move {
        let bad = Job { fails: 3, ..job(1) };
        let id = invoke(&s, "f", bad).await;
        s.advance(secs(200)).await;
        assert_eq!((letter(&s, id).await.attempts.len(), count(&runs)), (3, 3));
        let queue = dead_letters(&s);
        queue
            .send(Redrive::all().payload(Payload::new(job(1)).unwrap()))
            .await
            .unwrap();
        s.settle().await;
        assert_eq!((count(&runs), s.succeeded("f")), (4, 1));
    });
}

/// IDM-09
#[test]
fn a_payload_that_disagrees_with_its_key_fails_for_good() {
    for by in [
        by_key().validate(|job: &Job| job.amount),
        by_key().validate_pointer("/amount"),
    ] {
        counted(by, |s, runs| async move {
            let of = |amount| Job { amount, ..job(1) };
            assert_eq!(call(&s, of(5)).await.unwrap(), 1);
            assert_eq!(call(&s, of(5)).await.unwrap(), 1);
            let id = invoke(&s, "f", of(6)).await;
            s.settle().await;
            let letter = letter(&s, id).await;
            assert_eq!(letter.condition, Condition::Final);
            let failure = letter.failure().unwrap();
            assert_eq!(failure.kind, FailureKind::Idempotency);
            assert_eq!(failure.error_type, "IdempotencyValidationError");
            assert_eq!(count(&runs), 1);
        });
    }
}

/// IDM-13, GAP-12: an attempt that timed out or was cancelled leaves nothing that could hold the key.
#[test]
fn a_timeout_and_a_cancellation_free_the_key_at_once() {
    counted(by_key(), |s, runs| async move {
        let hangs = |key| Job {
            seconds: 100,
            ..job(key)
        };
        invoke(&s, "f", hangs(1)).await;
        let cancelled = invoke(&s, "f", hangs(2)).await;
        s.advance(secs(1)).await;
        assert!(s.client().cancel(cancelled).await);
        s.settle().await;
        assert_eq!(call(&s, job(2)).await.unwrap(), 3);
        s.advance(secs(2)).await;
        assert_eq!(call(&s, job(1)).await.unwrap(), 4);
        // The retry of the timed-out event finds the result of the call.
        s.advance(secs(100)).await;
        assert_eq!((s.succeeded("f"), count(&runs)), (1, 4));
    });
}

/// A fault of the key closure is a failure of the event; the function goes on.
#[test]
fn a_panic_in_a_key_and_a_payload_without_its_fields_are_failures_of_the_event() {
    let by = Idempotency::by(|job: &Job| {
        assert!(job.key != Some(13), "as scripted");
        job.key
    });
    counted(by, |s, runs| async move {
        assert_eq!(failure(call(&s, job(13)).await).kind, FailureKind::Panic);
        let misfit = s.client().call::<u32>("f", "no job").await;
        assert_eq!(failure(misfit).kind, FailureKind::Payload);
        assert_eq!(count(&runs), 0);
        assert_eq!(call(&s, job(1)).await.unwrap(), 1);
    });
}

/// No key is forgotten to make room: an event with a new key waits.
#[test]
fn at_the_bound_new_keys_wait_until_one_expires() {
    let runs = Runs::default();
    let by = by_key().expires_after(secs(10));
    let function = counting("f", &runs)
        .idempotent(by)
        .retry(RetryPolicy::none());
    let builder = Runtime::builder()
        .function(function)
        .idempotency_max(1, 1_000);
    simulate_with(builder, |s| async move {
        assert_eq!(call(&s, job(1)).await.unwrap(), 1);
        let waits = invoke(&s, "f", job(2)).await;
        s.settle().await;
        assert_eq!(failure(call(&s, job(3)).await).kind, FailureKind::System);
        s.advance(secs(9)).await;
        assert_eq!((call(&s, job(1)).await.unwrap(), s.delayed("f")), (1, 1));
        s.advance(secs(10)).await;
        assert_eq!((result(&s, waits).await, count(&runs)), (2, 2));
    });
}

/// A function whose state counts its runs.
struct Counter(u32);

impl Stateful for Counter {
    type Payload = Job;
    type Output = u32;
    type Error = String;

    async fn handle(&mut self, _: Event<Job>) -> Result<u32, String> {
        self.0 += 1;
        Ok(self.0)
    }
}

#[test]
fn a_worker_keeps_its_state_when_its_handler_does_not_run() {
    let function = Function::stateful("f", async || Ok::<_, String>(Counter(0)));
    let function = function.concurrency(1).idempotent(by_key());
    simulate([function], |s| async move {
        let mut results = Vec::new();
        for key in [1, 1, 2, 1] {
            results.push(call(&s, job(key)).await.unwrap());
        }
        assert_eq!(results, [1, 1, 2, 1]);
    });
}

#[test]
fn faulty_settings_are_named() {
    let faulty = |name, by| counting(name, &Runs::default()).idempotent(by);
    let builder = Runtime::builder()
        .function(faulty("f", by_key().expires_after(Duration::ZERO)))
        .function(faulty("g", by_key().validate_pointer("amount")))
        .idempotency_max(0, 1);
    run(async {
        let Err(BuildError::Settings(faults)) = Simulation::start(7, builder).await.map(drop)
        else {
            panic!("they are faulty")
        };
        let fields: Vec<_> = faults
            .iter()
            .map(|f| (f.function.as_str(), f.field))
            .collect();
        assert_eq!(
            fields,
            [
                ("f", "idempotent"),
                ("g", "idempotent"),
                ("", "idempotency_max")
            ]
        );
    });
}

/// Runs `test` in real time, on a runtime of `function`.
fn in_real_time<Fut: Future<Output = ()>>(function: Function, test: impl FnOnce(Runtime) -> Fut) {
    hush();
    actix::System::new().block_on(async {
        let builder = Runtime::builder().function(function).arbiters(1);
        let builder = builder.blocked_after(Duration::from_millis(20));
        test(builder.start().await.unwrap()).await;
    });
}

/// A function whose threads each wait for an outcome; it times out after 50 ms and is retried soon.
fn gated(runs: &Runs) -> (Function, mpsc::Sender<Result<u32, &'static str>>) {
    let (open, gate) = mpsc::channel();
    let (gate, runs) = (Mutex::new(gate), runs.clone());
    let function = Function::blocking("f", move |_: Event<Job>| {
        runs.fetch_add(1, Ordering::Relaxed);
        gate.lock().unwrap().recv().unwrap()
    });
    let function = function.timeout(Duration::from_millis(50));
    let function = function.retry(RetryPolicy::fixed(1, Duration::from_millis(100)));
    (function.idempotent(by_key()), open)
}

async fn until(mut is: impl FnMut() -> bool) {
    while !is() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the final outcome of an event.
async fn outcome(client: &Client, id: RequestId) -> u32 {
    match tokio::time::timeout(secs(60), client.wait(id))
        .await
        .unwrap()
    {
        Some(Status::Succeeded { result, .. }) => result.read().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// IDM-13, BYD-15: a thread can't be stopped, so it keeps its key until it ends, and its result counts.
#[test]
fn a_thread_that_outlives_its_timeout_keeps_the_key_and_its_result_counts() {
    let runs = Runs::default();
    let (function, open) = gated(&runs);
    in_real_time(function, |runtime| async move {
        let client = runtime.client();
        let id = client.invoke("f", job(1)).await.unwrap().request_id;
        until(|| client.function_stats("f").unwrap().errors == 1).await;
        // Beyond the second that a lease outlasts the timeout.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let waits = failure(client.call("f", job(1)).await);
        assert_eq!(waits.kind, FailureKind::InProgress);
        open.send(Ok(7)).unwrap();
        assert_eq!((outcome(&client, id).await, count(&runs)), (7, 1));
    });
}

/// IDM-07
#[test]
fn a_thread_that_fails_after_its_timeout_frees_the_key() {
    let runs = Runs::default();
    let (function, open) = gated(&runs);
    in_real_time(function, |runtime| async move {
        let client = runtime.client();
        let id = client.invoke("f", job(1)).await.unwrap().request_id;
        until(|| client.function_stats("f").unwrap().errors == 1).await;
        open.send(Err("as scripted")).unwrap();
        open.send(Ok(8)).unwrap();
        assert_eq!((outcome(&client, id).await, count(&runs)), (8, 2));
    });
}

/// GAP-12: a lost worker leaves nothing that could hold the key.
#[test]
fn a_worker_that_is_lost_frees_the_key() {
    let runs = Runs::default();
    let counts = runs.clone();
    let function = Function::new("f", move |_: Event<Job>| {
        let run = counts.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            if run == 1 {
                actix::Arbiter::current().stop();
                std::future::pending::<()>().await;
            }
            Ok::<_, String>(run)
        }
    });
    let function = function.timeout(secs(3_600)).idempotent(by_key());
    let function = function.retry(RetryPolicy::fixed(1, Duration::from_millis(100)));
    in_real_time(function, |runtime| async move {
        let client = runtime.client();
        let id = client.invoke("f", job(1)).await.unwrap().request_id;
        assert_eq!((outcome(&client, id).await, count(&runs)), (2, 2));
    });
}

/// IDM-13, BYD-15, GAP-12: the key of a handler that blocks its arbiter goes to the next event a second after its timeout;
/// when it comes back it finds itself fenced, and its own event has the result of the other.
#[test]
fn an_attempt_that_outlives_its_lease_is_fenced() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let runs = Runs::default();
    let (counts, fenced) = (runs.clone(), log_capture::log());
    let function = Function::new("f", move |_: Event<Job>| {
        let run = counts.fetch_add(1, Ordering::Relaxed) + 1;
        if run == 1 {
            gate.lock().unwrap().recv().unwrap();
        }
        async move { Ok::<_, String>(run) }
    });
    let function = function
        .timeout(Duration::from_millis(50))
        .idempotent(by_key());
    let function = function.retry(RetryPolicy::fixed(2, secs(2)));
    in_real_time(function, |runtime| async move {
        let client = runtime.client();
        let blocks = client.invoke("f", job(1)).await.unwrap().request_id;
        until(|| count(&runs) == 1).await;
        let other = client.invoke("f", job(1)).await.unwrap().request_id;
        assert_eq!(outcome(&client, other).await, 2);
        open.send(()).unwrap();
        fenced
            .wait(|line| line.is("f", "outlived its idempotency lease"))
            .await;
        assert_eq!((outcome(&client, blocks).await, count(&runs)), (2, 2));
    });
}
