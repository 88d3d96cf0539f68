//! The promises during a shutdown and after it: cancellations, the report, states, settings.
#![cfg(all(feature = "testing", feature = "disk"))]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{fail, invoke, secs, simulate, steps};
use redrive::testing::{Script, SimulatedDisk, Simulation, Step, run, scripted};
use redrive::{
    BuildError, Client, ConfigureError, DeadLetterBounds, Event, Filter, Function, Invoke, List,
    Purge, RequestId, RetryPolicy, Runtime, State, Status, StoreErrorKind, WhenFull,
};

async fn start(disk: &SimulatedDisk, function: Function) -> Simulation {
    let store = disk.open().unwrap();
    let builder = Runtime::builder().function(function).store(store);
    Simulation::start(7, builder).await.unwrap()
}

async fn is_accepted(client: &Client, id: RequestId) -> bool {
    matches!(client.status(id).await, Some(Status::Accepted { .. }))
}

#[test]
fn a_cancellation_after_the_end_has_no_effect() {
    for polite in [true, false] {
        run(async move {
            let disk = SimulatedDisk::new(1);
            // Ready, delayed, and beyond the window.
            let s = start(&disk, scripted("f").window(1)).await;
            let client = s.client();
            client.pause("f");
            let mut ids = Vec::new();
            for delay in [0, 0, 60, 60] {
                let event = Invoke::event("f", Script::succeeds()).delay(secs(delay));
                ids.push(client.send(event).await.unwrap().request_id);
            }
            match polite {
                true => drop(s.into_runtime().shutdown(secs(1)).await),
                false => drop(s),
            }
            for &id in &ids {
                assert!(!client.cancel(id).await);
                assert!(!matches!(client.status(id).await, Some(Status::Cancelled)));
            }
            assert!(!client.is_open());
            let s = start(&disk, scripted("f")).await;
            s.advance(secs(61)).await;
            assert_eq!(s.succeeded("f"), 4);
        });
    }
}

#[test]
fn a_cancellation_within_the_grace_period_is_kept() {
    run(async {
        let disk = SimulatedDisk::new(1);
        let function = || scripted("f").concurrency(1).window(1).timeout(secs(60));
        let s = start(&disk, function()).await;
        let client = s.client();
        let running = invoke(&s, "f", steps([Step::Take(secs(20))])).await;
        s.settle().await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(invoke(&s, "f", Script::succeeds()).await);
        }
        let shutdown = tokio::task::spawn_local(s.into_runtime().shutdown(secs(30)));
        tokio::time::sleep(secs(1)).await;
        for &id in &ids {
            assert!(client.cancel(id).await);
        }
        assert_eq!(shutdown.await.unwrap().unfinished_count, 0);
        assert!(client.status(running).await.unwrap().is_finished());
        let s = start(&disk, function()).await;
        s.advance(secs(1)).await;
        assert_eq!(s.stats("f").invocations, 0);
    });
}

#[test]
fn no_event_starts_during_a_shutdown_even_if_its_function_is_resumed() {
    simulate(
        [scripted("f").concurrency(1).timeout(secs(60))],
        |s| async move {
            invoke(&s, "f", steps([Step::Take(secs(20))])).await;
            s.settle().await;
            let waiting = invoke(&s, "f", Script::succeeds()).await;
            let client = s.client();
            let shutdown = tokio::task::spawn_local(s.into_runtime().shutdown(secs(30)));
            tokio::time::sleep(secs(1)).await;
            client.resume("f");
            for paused in [true, false] {
                let pause = |configuration: &mut redrive::Configuration| {
                    configuration.paused = paused;
                    Ok::<_, ConfigureError>(())
                };
                client.configure("f", pause).await.unwrap();
            }
            let report = shutdown.await.unwrap();
            assert_eq!(report.unfinished[0].request_id, waiting);
            let late = client.configure("f", |_| Ok::<_, ConfigureError>(())).await;
            assert!(matches!(late, Err(ConfigureError::ShuttingDown)));
        },
    );
}

#[test]
fn events_given_up_at_the_shutdown_do_not_run() {
    for (stored, polite) in [(false, true), (true, true), (false, false), (true, false)] {
        run(async move {
            let disk = SimulatedDisk::new(1);
            let function = || scripted("f").timeout(secs(60));
            let s = match stored {
                true => start(&disk, function()).await,
                false => {
                    let builder = Runtime::builder().function(function());
                    Simulation::start(7, builder).await.unwrap()
                }
            };
            let running = invoke(&s, "f", steps([Step::Hang])).await;
            let retried = invoke(&s, "f", steps([fail(), Step::Hang])).await;
            s.settle().await;
            let client = s.client();
            match polite {
                true => {
                    let report = s.into_runtime().shutdown(secs(1)).await;
                    let one = report
                        .unfinished
                        .iter()
                        .find(|one| one.request_id == running);
                    assert!(one.unwrap().running, "it ran when it was given up");
                }
                false => drop(s),
            }
            assert!(is_accepted(&client, running).await);
            let status = client.status(retried).await;
            assert!(matches!(status, Some(Status::Delayed { .. })), "{status:?}");
            let stats = client.stats();
            assert_eq!(
                (stats.concurrent_executions, stats.events.pending()),
                (0, 2)
            );
        });
    }
}

#[test]
fn a_letter_held_by_a_full_queue_is_dead_and_in_the_report() {
    let bounds = DeadLetterBounds::new(1, 1 << 20, WhenFull::Hold);
    let builder = Runtime::builder()
        .function(scripted("f").retry(RetryPolicy::none()))
        .dead_letters(bounds);
    common::simulate_with(builder, |s| async move {
        invoke(&s, "f", steps([fail()])).await;
        s.settle().await;
        let held = invoke(&s, "f", steps([fail()])).await;
        s.settle().await;
        let client = s.client();
        let report = s.into_runtime().shutdown(secs(1)).await;
        assert_eq!((report.dead_letters.len(), report.unfinished_count), (2, 0));
        assert!(matches!(client.status(held).await, Some(Status::Dead(_))));
    });
}

#[test]
fn the_report_includes_events_that_only_the_store_has() {
    run(async {
        let disk = SimulatedDisk::new(1);
        let s = start(&disk, scripted("f").window(3)).await;
        let client = s.client();
        client.pause("f");
        let mut expected = HashSet::new();
        for number in 0..40 {
            let event = Invoke::event("f", Script::succeeds()).delay(secs(number % 2 * 100));
            expected.insert(client.send(event).await.unwrap().request_id);
        }
        let report = s.into_runtime().shutdown(secs(1)).await;
        let named = report.unfinished.iter().map(|event| event.request_id);
        assert_eq!((report.unfinished.len(), report.unfinished_count), (40, 40));
        assert_eq!(named.collect::<HashSet<_>>(), expected);
    });
}

#[test]
fn the_report_names_a_bounded_number_and_counts_all() {
    run(async {
        let disk = SimulatedDisk::new(1);
        let s = start(&disk, scripted("f").window(10)).await;
        let client = s.client();
        client.pause("f");
        for _ in 0..12 {
            let batch = vec![Script::succeeds(); 1_000];
            client.invoke_batch("f", batch).await.unwrap();
        }
        let report = s.into_runtime().shutdown(secs(1)).await;
        assert_eq!(report.unfinished_count, 12_000);
        assert_eq!(report.unfinished.len(), 10_010);
        let (mut listed, mut cursor) = (0, Some(0));
        while let Some(at) = cursor {
            let page = client
                .events("f", State::Accepted, at, 1_000)
                .await
                .unwrap();
            listed += page.events.len();
            cursor = page.next;
        }
        assert_eq!(listed, 12_000, "the client still pages through all of them");
    });
}

#[test]
fn a_purge_after_the_end_removes_nothing() {
    run(async {
        let disk = SimulatedDisk::new(1);
        let function = || scripted("f").retry(RetryPolicy::none());
        let s = start(&disk, function()).await;
        invoke(&s, "f", steps([fail()])).await;
        s.settle().await;
        let client = s.client();
        drop(s);
        let purged = client.ask_dead_letters(Purge(Filter::new())).await;
        let s = start(&disk, function()).await;
        let letters = s.client().ask_dead_letters(List::new(Filter::new())).await;
        let purged = purged.unwrap_or_default();
        assert_eq!((purged, letters.unwrap().total), (0, 1));
    });
}

/// A function that records the numbers it ran.
fn noting(ran: &Arc<Mutex<HashSet<u32>>>) -> Function {
    let ran = ran.clone();
    let note = move |event: Event<u32>| {
        ran.lock().unwrap().insert(*event);
        async { Ok::<_, String>(()) }
    };
    Function::new("f", note).window(20)
}

async fn on_disk(folder: &Path, function: Function) -> Runtime {
    let builder = Runtime::builder().arbiters(1).function(function);
    builder.disk(folder).start().await.unwrap()
}

/// A runtime that was dropped without a shutdown unlocks its folder a moment later.
async fn on_disk_of_a_dropped_runtime(folder: &Path, function: Function) -> Runtime {
    let deadline = std::time::Instant::now() + secs(30);
    loop {
        let builder = Runtime::builder().arbiters(1).function(function.clone());
        match builder.disk(folder).start().await {
            Err(BuildError::Store(error))
                if error.kind() == StoreErrorKind::Locked
                    && std::time::Instant::now() < deadline =>
            {
                tokio::task::yield_now().await;
            }
            started => return started.unwrap(),
        }
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// Callers on other threads, while the runtime ends.
#[actix::test]
async fn cancelled_events_run_in_no_later_process_and_the_others_do() {
    for round in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let ran = Arc::default();
        let runtime = on_disk(folder.path(), noting(&ran)).await;
        let client = runtime.client();
        client.pause("f");
        let receipts = client.invoke_batch("f", 0..400_u32).await.unwrap();
        let cancel = |client: Client, numbers: std::ops::Range<u32>| {
            let receipts = receipts.clone();
            std::thread::spawn(move || {
                let cancelled = numbers.filter(|&number| {
                    let id = receipts[number as usize].request_id;
                    block(client.cancel(id))
                });
                cancelled.collect::<Vec<_>>()
            })
        };
        let callers = [
            cancel(client.clone(), 0..200),
            cancel(client.clone(), 200..400),
        ];
        while client.stats().events.cancelled < 20 {
            tokio::task::yield_now().await;
        }
        match round % 2 {
            0 => drop(runtime.shutdown(Duration::ZERO).await),
            _ => drop(runtime),
        }
        let mut cancelled = HashSet::new();
        for caller in callers {
            cancelled.extend(caller.join().unwrap());
        }
        drop(client);
        let runtime = match round % 2 {
            0 => on_disk(folder.path(), noting(&ran)).await,
            _ => on_disk_of_a_dropped_runtime(folder.path(), noting(&ran)).await,
        };
        let client = runtime.client();
        while client.stats().events.pending() > 0 {
            tokio::task::yield_now().await;
        }
        let all: HashSet<_> = (0..400).collect();
        assert_eq!(*ran.lock().unwrap(), &all - &cancelled);
        drop(runtime.shutdown(secs(10)).await);
    }
}

#[actix::test]
async fn events_with_a_receipt_from_the_store_are_in_the_report() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let runtime = on_disk(folder.path(), noting(&Arc::default())).await;
        let client = runtime.client();
        client.pause("f");
        let callers = [0, 1].map(|_| {
            let client = client.clone();
            let accepted = move || block(client.invoke("f", 1_u32)).ok();
            std::thread::spawn(move || {
                let receipts = std::iter::repeat_with(accepted).map_while(|receipt| receipt);
                receipts
                    .map(|receipt| receipt.request_id)
                    .collect::<Vec<_>>()
            })
        });
        while client.stats().events.accepted < 50 {
            tokio::task::yield_now().await;
        }
        let report = runtime.shutdown(Duration::ZERO).await;
        let receipts = callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap());
        let receipts: HashSet<_> = receipts.collect();
        let named: HashSet<_> = report.unfinished.iter().map(|one| one.request_id).collect();
        assert_eq!(named, receipts);
        assert_eq!(report.unfinished_count, named.len() as u64);
    }
}
