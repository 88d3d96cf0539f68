//! When events run, and from when on their age counts: delays, start times by the wall clock, restarts in between.
#![cfg(all(feature = "testing", feature = "disk"))]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use common::{fail, letter, secs, simulate, steps};
use redrive::testing::{Script, SimulatedDisk, Simulation, Step, run, scripted};
use redrive::{
    Condition, Event, Function, Invoke, Redrive, RequestId, RetryPolicy, Runtime, Status,
};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Where virtual time begins.
fn epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH + secs(1_767_225_600)
}

/// When each run began, in seconds after the beginning by the clock of the timers.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<Vec<(u32, u64)>>>);

impl Runs {
    fn function(&self, failures: u32) -> Function {
        let (runs, began) = (self.clone(), tokio::time::Instant::now());
        let handler = move |event: Event<u32>| {
            let at = began.elapsed().as_secs();
            runs.0.lock().unwrap().push((*event, at));
            let fails = event.context().attempt() <= failures;
            async move { if fails { Err("as scripted") } else { Ok(()) } }
        };
        Function::new("f", handler).concurrency(1)
    }

    fn seconds(&self) -> Vec<u64> {
        self.0.lock().unwrap().iter().map(|(_, at)| *at).collect()
    }
}

async fn start(disk: &SimulatedDisk, function: Function) -> Simulation {
    let store = disk.open().unwrap();
    let builder = Runtime::builder().function(function).store(store);
    Simulation::start(7, builder).await.unwrap()
}

async fn send(s: &Simulation, invoke: Invoke) -> RequestId {
    s.client().send(invoke).await.unwrap().request_id
}

/// ASY-17, ASY-34
#[test]
fn an_event_may_be_delayed_beyond_its_maximum_age() {
    simulate([scripted("f")], |s| async move {
        let once = steps([fail(), Step::Succeed]);
        let id = send(&s, Invoke::event("f", once).delay(3 * DAY)).await;
        s.advance(3 * DAY - secs(1)).await;
        assert_eq!(s.stats("f").invocations, 0);
        s.advance(secs(120)).await;
        let status = s.client().status(id).await;
        assert!(
            matches!(status, Some(Status::Succeeded { attempts: 2, .. })),
            "{status:?}"
        );
        let age = s.stats("f").async_event_age.max;
        assert!(age >= secs(59) && age < secs(70), "{age:?}");
    });
}

/// ASY-17, ASY-24
#[test]
fn the_age_counts_from_the_time_that_the_first_run_is_due() {
    simulate([scripted("f").event_age_max(secs(90))], |s| async move {
        let failing = Invoke::event("f", steps([fail()])).delay(HOUR);
        let retried = send(&s, failing.clone()).await;
        let throttled = send(&s, Invoke::event("f", steps([Step::Throttle])).delay(HOUR)).await;
        s.advance(HOUR + secs(200)).await;
        let letter = letter(&s, retried).await;
        assert_eq!(
            (letter.condition, letter.attempt_count),
            (Condition::EventAgeExceeded, 2)
        );
        let letter = common::letter(&s, throttled).await;
        assert_eq!(letter.condition, Condition::EventAgeExceeded);
        // 1, 2, 4, 8, 16 and 32 seconds later.
        assert_eq!(letter.attempt_count, 7);
        s.client().pause("f");
        let paused = send(&s, Invoke::event("f", Script::succeeds()).delay(HOUR)).await;
        let fresh = send(
            &s,
            Invoke::event("f", Script::succeeds()).delay(HOUR + secs(10)),
        )
        .await;
        s.advance(HOUR + secs(95)).await;
        s.client().resume("f");
        s.settle().await;
        let letter = common::letter(&s, paused).await;
        assert_eq!(
            (letter.condition, letter.attempt_count),
            (Condition::EventAgeExceeded, 0)
        );
        let status = s.client().status(fresh).await;
        assert!(matches!(status, Some(Status::Succeeded { .. })));
    });
}

#[test]
fn a_redriven_event_has_a_fresh_age() {
    simulate([scripted("f").event_age_max(secs(90))], |s| async move {
        let id = send(&s, Invoke::event("f", steps([fail()])).delay(HOUR)).await;
        s.advance(HOUR + secs(200)).await;
        let queue = s.runtime().dead_letters();
        let redriven = queue.send(Redrive::one(id)).await.unwrap();
        s.advance(secs(200)).await;
        let letter = letter(&s, redriven.sent[0].1).await;
        assert_eq!(letter.attempt_count, 2);
    });
}

/// Restarts before the first run, between the attempts, and after the record of the event has moved.
#[test]
fn the_age_is_the_same_after_restarts() {
    run(async {
        let disk = SimulatedDisk::new(1);
        let function = || {
            let policy = RetryPolicy::delays([20 * HOUR, 6 * HOUR]);
            scripted("f").event_age_max(DAY).retry(policy)
        };
        let s = start(&disk, function()).await;
        let id = send(&s, Invoke::event("f", steps([fail()])).delay(3 * DAY)).await;
        s.advance(DAY).await;
        let _ = s.into_runtime().shutdown(Duration::ZERO).await;
        let s = start(&disk, function()).await;
        s.advance(2 * DAY + HOUR).await;
        assert_eq!(s.stats("f").invocations, 1);
        // So many events that its record moves on.
        for _ in 0..300 {
            send(&s, Invoke::event("f", Script::succeeds())).await;
            s.settle().await;
        }
        drop(s);
        disk.kill();
        let s = start(&disk, function()).await;
        s.advance(20 * HOUR).await;
        // The second retry would come 26 hours after the first run.
        let letter = letter(&s, id).await;
        assert_eq!(
            (letter.condition, letter.attempt_count),
            (Condition::EventAgeExceeded, 2)
        );
    });
}

#[test]
fn an_event_runs_no_sooner_than_the_wall_clock_says() {
    run(async {
        let runs = Runs::default();
        let builder = Runtime::builder().function(runs.function(0));
        let s = Simulation::start(7, builder).await.unwrap();
        let at = epoch() + 2 * HOUR;
        let id = send(&s, Invoke::event("f", 1_u32).not_before(at)).await;
        send(&s, Invoke::event("f", 2_u32).delay(2 * HOUR)).await;
        s.advance(HOUR).await;
        s.set_wall_clock(epoch());
        s.advance(HOUR + secs(1)).await;
        assert_eq!(
            runs.seconds(),
            [7_200],
            "a delay is none of the wall clock's business"
        );
        let status = s.client().status(id).await;
        assert!(
            matches!(status, Some(Status::Delayed { until, .. }) if until == at),
            "{status:?}"
        );
        s.assert_nothing_lost();
        // Set back again, to before the time that it was postponed from.
        s.set_wall_clock(epoch() - 10 * HOUR);
        s.advance(12 * HOUR + secs(1)).await;
        assert_eq!(runs.seconds().len(), 2);
        assert!(
            runs.seconds()[1] >= 7_200 + 12 * 3_600,
            "{:?}",
            runs.seconds()
        );
        assert_eq!(
            s.succeeded("f"),
            2,
            "though it waited longer than its age allows"
        );
    });
}

/// A clock that is set forward has no effect on waiting events.
#[test]
fn a_wall_clock_that_is_set_forward_makes_nothing_run_sooner_or_never() {
    run(async {
        let runs = Runs::default();
        let builder = Runtime::builder().function(runs.function(1));
        let s = Simulation::start(7, builder).await.unwrap();
        send(&s, Invoke::event("f", 1_u32).not_before(epoch() + HOUR)).await;
        s.set_wall_clock(epoch() + 1_000 * DAY);
        s.advance(2 * HOUR).await;
        assert_eq!(runs.seconds(), [3_600, 3_660]);
        send(
            &s,
            Invoke::event("f", 2_u32).not_before(epoch() + 999 * DAY),
        )
        .await;
        s.settle().await;
        assert_eq!(runs.seconds().len(), 3, "the time has passed");
    });
}

#[test]
fn not_before_holds_across_restarts_while_the_wall_clock_goes_back() {
    run(async {
        let (disk, runs) = (SimulatedDisk::new(1), Runs::default());
        let s = start(&disk, runs.function(1)).await;
        let at = epoch() + 2 * HOUR;
        send(&s, Invoke::event("f", 1_u32).not_before(at)).await;
        s.advance(HOUR).await;
        let _ = s.into_runtime().shutdown(Duration::ZERO).await;
        let s = start(&disk, runs.function(1)).await;
        s.set_wall_clock(epoch() - 9 * HOUR);
        s.advance(10 * HOUR).await;
        assert!(runs.seconds().is_empty());
        drop(s);
        disk.kill();
        let s = start(&disk, runs.function(1)).await;
        s.set_wall_clock(epoch() + HOUR);
        s.advance(secs(3_590)).await;
        assert!(runs.seconds().is_empty());
        s.advance(secs(20)).await;
        assert_eq!(runs.seconds().len(), 1);
        // It is retried, though the time that it was stored with is half a day ago.
        drop(s);
        disk.kill();
        let s = start(&disk, runs.function(1)).await;
        s.set_wall_clock(at + secs(20));
        s.advance(secs(60)).await;
        assert_eq!((runs.seconds().len(), s.succeeded("f")), (2, 1));
    });
}

#[test]
fn events_that_the_wall_clock_puts_off_wait_in_the_store_beyond_the_window() {
    run(async {
        let (disk, runs) = (SimulatedDisk::new(1), Runs::default());
        let s = start(&disk, runs.function(0).window(5)).await;
        for number in 0..100_u32 {
            let at = epoch() + HOUR + secs(number.into());
            send(&s, Invoke::event("f", number).not_before(at)).await;
        }
        s.set_wall_clock(epoch() - 10 * HOUR);
        s.advance(2 * HOUR).await;
        assert_eq!((runs.seconds().len(), s.delayed("f")), (0, 100));
        let report = s
            .client()
            .events("f", redrive::State::Delayed, 0, 1_000)
            .await;
        assert!(report.unwrap().events.len() <= 10, "few are in memory");
        s.advance(10 * HOUR).await;
        let ran: Vec<_> = runs
            .0
            .lock()
            .unwrap()
            .iter()
            .map(|(number, _)| *number)
            .collect();
        assert_eq!(ran, (0..100).collect::<Vec<_>>());
        s.assert_nothing_lost();
    });
}

/// MET-11
#[test]
fn an_event_counts_as_received_in_one_process_only() {
    run(async {
        let (disk, runs) = (SimulatedDisk::new(1), Runs::default());
        let (mut received, mut finished) = (0, 0);
        for life in 0..4_u64 {
            let s = start(&disk, runs.function(0).window(2)).await;
            let found = s.stats("f");
            let left = found.events.pending();
            assert_eq!(found.events.inherited, left);
            assert_eq!(
                (found.events.accepted, found.async_events_received),
                (left, 0)
            );
            for number in 0..4_u32 {
                send(&s, Invoke::event("f", number)).await;
                send(&s, Invoke::event("f", number).delay(DAY)).await;
            }
            s.settle().await;
            s.assert_nothing_lost();
            let stats = s.client().stats();
            assert_eq!(stats.async_events_received, 8, "life {life}");
            assert_eq!((stats.invocations, stats.events.succeeded), (4, 4));
            assert_eq!(stats.events.accepted, 4 * life + 8);
            received += stats.async_events_received;
            finished += stats.events.succeeded;
            let _ = s.into_runtime().shutdown(secs(1)).await;
        }
        let s = start(&disk, runs.function(0)).await;
        assert_eq!(received - finished, s.stats("f").events.pending());
    });
}
