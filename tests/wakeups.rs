//! No event waits while a worker could run it, under any interleaving of callers, workers and the supervisor. Each of these
//! tests hangs if one does.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{hush, invoke, secs, simulate, steps};
use futures_util::FutureExt;
use redrive::testing::{Script, Step, scripted};
use redrive::{
    Client, Event, Function, InvokeError, RestartIntensity, RetryPolicy, Runtime, Stats,
};

fn stats(client: &Client) -> Stats {
    client.function_stats("f").unwrap()
}

async fn emptied(client: &Client) {
    while stats(client).events.pending() > 0 {
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Keeps its thread busy.
fn spin(micros: u64) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_micros(micros) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_refused_event_does_not_use_up_a_wakeup() {
    let function = scripted("f").concurrency(1).mailbox_events_max(4);
    simulate([function], |s| async move {
        invoke(&s, "f", Script::succeeds()).await;
        s.settle().await; // its worker sleeps from here on
        let client = s.client();
        client.pause("f");
        for _ in 0..4 {
            invoke(&s, "f", Script::succeeds()).await;
        }
        client.resume("f");
        let refused = client.invoke("f", Script::succeeds()).await;
        assert!(matches!(refused, Err(InvokeError::MailboxFull { .. })));
        s.settle().await;
        assert_eq!(s.succeeded("f"), 5);
    });
}

#[test]
fn a_burst_starts_one_worker_per_event() {
    for burst in 1..=20 {
        let function = scripted("f").concurrency(20).timeout(secs(600));
        simulate([function], |s| async move {
            invoke(&s, "f", Script::succeeds()).await;
            s.settle().await; // one worker, asleep
            for _ in 0..burst {
                invoke(&s, "f", steps([Step::Take(secs(100))])).await;
            }
            s.settle().await;
            assert_eq!(s.running("f"), burst);
        });
    }
}

/// Virtual time stands still while a worker searches in vain.
#[test]
fn a_fast_worker_sleeps_while_its_function_is_paused() {
    let client: Arc<Mutex<Option<Client>>> = Arc::default();
    let shared = client.clone();
    let function = Function::new("f", move |event: Event<u64>| {
        if *event == 50 {
            shared.lock().unwrap().as_ref().unwrap().pause("f");
        }
        async { Ok::<(), String>(()) }
    });
    simulate([function.concurrency(1)], |s| async move {
        *client.lock().unwrap() = Some(s.client());
        for number in 0..60_u64 {
            invoke(&s, "f", number).await;
        }
        s.advance(secs(1)).await;
        assert_eq!(s.succeeded("f"), 51);
        s.client().resume("f");
        s.settle().await;
        assert_eq!(s.succeeded("f"), 60);
        client.lock().unwrap().take();
    });
}

/// The one event that a function backing off may run hangs on a blocked arbiter until it is given up.
#[actix::test]
async fn the_next_probe_follows_an_abandoned_one() {
    hush();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let function = Function::new("f", move |event: Event<u32>| {
        match *event {
            0 => panic!("as scripted"),
            1 => drop(released.lock().unwrap().recv()),
            _ => {}
        }
        async { Ok::<(), String>(()) }
    });
    let function = function
        .retry(RetryPolicy::none())
        .timeout(Duration::from_millis(1_500))
        .restarts(RestartIntensity::new(0, secs(10)));
    let builder = Runtime::builder().arbiters(2).function(function);
    let runtime = builder.start().await.unwrap();
    let client = runtime.client();
    let crash = client.invoke("f", 0_u32).await.unwrap();
    client.wait(crash.request_id).await;
    client.invoke("f", 1_u32).await.unwrap();
    let next = client.invoke("f", 2_u32).await.unwrap();
    client.wait(next.request_id).await;
    drop(release); // only now
    assert!(runtime.shutdown(secs(10)).await.unfinished.is_empty());
}

/// Callers on other threads, a mailbox that is often full, pauses, cancellations, queries, and handlers of all kinds.
#[actix::test]
async fn every_accepted_event_runs_under_any_interleaving() {
    for round in 0..40_u64 {
        let events_max = if round % 2 == 0 { 16 } else { 5_000 };
        let function = Function::new("f", |event: Event<u64>| async move {
            match *event % 97 {
                0 => actix_rt::time::sleep(Duration::from_millis(1)).await,
                1 | 2 => spin(60),
                3 => return Err("no"),
                _ => {}
            }
            Ok(())
        });
        let function = function
            .concurrency(1 + (round % 4) as u32)
            .mailbox_events_max(events_max)
            .retry(RetryPolicy::none());
        let builder = Runtime::builder().arbiters(2).function(function);
        let runtime = builder.start().await.unwrap();
        let client = runtime.client();
        let (stop, receipts) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let callers: Vec<_> = (0..3)
            .map(|me| {
                let (client, stop, receipts) = (client.clone(), stop.clone(), receipts.clone());
                std::thread::spawn(move || {
                    let mut number = me * 31;
                    while !stop.load(SeqCst) {
                        for _ in 0..number % 40 {
                            number += 1;
                            let accepted = client.invoke("f", number).now_or_never().unwrap();
                            if let Ok(receipt) = accepted {
                                receipts.fetch_add(1, SeqCst);
                                if number % 100 == 0 {
                                    let cancelled = client.cancel(receipt.request_id);
                                    cancelled.now_or_never().unwrap();
                                }
                            }
                        }
                        if me == 0 && number % 11 == 0 {
                            client.pause("f");
                            spin(number % 300);
                            client.resume("f");
                        }
                        if number % 7 == 0 {
                            assert!(stats(&client).events.pending() <= u64::from(events_max));
                        }
                        number += 1;
                        spin(number % 400);
                    }
                })
            })
            .collect();
        actix_rt::time::sleep(Duration::from_millis(100)).await;
        stop.store(true, SeqCst);
        callers
            .into_iter()
            .for_each(|caller| caller.join().unwrap());
        emptied(&client).await;
        assert_eq!(stats(&client).events.accepted, receipts.load(SeqCst));
        assert!(runtime.shutdown(secs(10)).await.unfinished.is_empty());
    }
}
