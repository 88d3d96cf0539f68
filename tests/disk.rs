//! The store in a folder: accepted events survive every end of the process.
#![cfg(all(feature = "disk", feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use redrive::{
    BuildError, Disk, Durability, Event, Filter, Function, Idempotency, Invoke, InvokeError, List,
    RequestId, RetryPolicy, Runtime, Status, StoreErrorKind,
};
use tokio::sync::Semaphore;

fn counting(name: &str, runs: &Arc<AtomicU32>) -> Function {
    let runs = runs.clone();
    Function::new(name, move |event: Event<u32>| {
        runs.fetch_add(1, SeqCst);
        async move {
            match *event {
                0 => Err("zero"),
                n => Ok(n * 2),
            }
        }
    })
}

#[actix::test]
async fn the_next_process_runs_waiting_events_and_knows_ended_ones() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let gate = Arc::new(Semaphore::new(1));
    let start = async || {
        let (runs, gate) = (runs.clone(), gate.clone());
        let f = Function::new("f", move |event: Event<u32>| {
            let (runs, gate) = (runs.clone(), gate.clone());
            async move {
                let _open = gate.acquire().await;
                runs.fetch_add(1, SeqCst);
                event.checked_mul(2).filter(|&n| n > 0).ok_or("zero")
            }
        });
        let builder = Runtime::builder().disk(folder.path());
        let f = f.retry(RetryPolicy::none());
        builder.function(f).start().await.unwrap()
    };
    let runtime = start().await;
    let client = runtime.client();
    let receipt = client.invoke("f", 21_u32).await.unwrap();
    assert_eq!(receipt.durability, Durability::Disk);
    client.wait(receipt.request_id).await.unwrap();
    let dead = client.invoke("f", 0_u32).await.unwrap().request_id;
    client.wait(dead).await.unwrap();
    client.pause("f");
    let waits = client.invoke("f", 4_u32).await.unwrap().request_id;
    let later = Invoke::event("f", 5_u32).delay(Duration::from_secs(3_600));
    let later = client.send(later).await.unwrap().request_id;
    drop(runtime.shutdown(Duration::from_secs(5)).await);
    assert_eq!(runs.load(SeqCst), 2);

    let closed = gate.acquire().await.unwrap();
    let runtime = start().await;
    let client = runtime.client();
    assert_eq!(client.stats().events.pending(), 2);
    let status = client.status(receipt.request_id).await.unwrap();
    assert_eq!(status.result::<u32>().unwrap().unwrap(), 42);
    let Some(Status::Dead(letter)) = client.status(dead).await else {
        panic!()
    };
    assert_eq!(
        (
            letter.attempts.len(),
            letter.attempts[0].failure.message.as_str()
        ),
        (1, "zero")
    );
    let page = runtime
        .dead_letters()
        .send(List::new(Filter::new()))
        .await
        .unwrap();
    assert_eq!(page.letters[0].request_id, dead);
    assert!(matches!(
        client.status(waits).await,
        Some(Status::Accepted { .. } | Status::Running { .. })
    ));
    assert!(matches!(
        client.status(later).await,
        Some(Status::Delayed { .. })
    ));
    drop(closed);
    let status = client.wait(waits).await.unwrap();
    assert_eq!(status.result::<u32>().unwrap().unwrap(), 8);
    assert_eq!(runs.load(SeqCst), 3);
    assert!(client.cancel(later).await);
    let nobody: RequestId = "00000000-0001-8000-8000-000000000007".parse().unwrap();
    assert!(client.status(nobody).await.is_none());
    drop(runtime.shutdown(Duration::from_secs(5)).await);
    let runtime = start().await;
    assert_eq!(runtime.client().stats().events.pending(), 0);
    assert!(matches!(
        runtime.client().status(later).await,
        Some(Status::Cancelled)
    ));
}

/// IDM-08: the result is reused for its key until it expires, in every process.
#[actix::test]
async fn a_key_that_was_executed_is_not_executed_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    for process in 1..=3_u32 {
        let f = counting("f", &runs).idempotent(Idempotency::by_payload());
        let runtime = Runtime::builder()
            .disk(folder.path())
            .function(f)
            .start()
            .await
            .unwrap();
        let client = runtime.client();
        let id = client.invoke("f", 21_u32).await.unwrap().request_id;
        let status = client.wait(id).await.unwrap();
        assert_eq!(status.result::<u32>().unwrap().unwrap(), 42);
        let id = client.invoke("f", 100 + process).await.unwrap().request_id;
        client.wait(id).await.unwrap();
        assert_eq!(runs.load(SeqCst), 1 + process);
        drop(runtime.shutdown(Duration::from_secs(5)).await);
    }
}

/// BYD-12
#[actix::test]
async fn a_key_that_was_accepted_is_a_duplicate_for_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let mut first = None;
    for _ in 0..3 {
        let f = counting("f", &runs);
        let runtime = Runtime::builder()
            .disk(folder.path())
            .function(f)
            .start()
            .await
            .unwrap();
        let event = Invoke::event("f", 1_u32).deduplicate("order-7", Duration::from_secs(3_600));
        let receipt = runtime.client().send(event).await.unwrap();
        assert_eq!(receipt.duplicate, first.is_some());
        assert_eq!(receipt.request_id, *first.get_or_insert(receipt.request_id));
        runtime.client().wait(receipt.request_id).await.unwrap();
        drop(runtime.shutdown(Duration::from_secs(5)).await);
    }
    assert_eq!(runs.load(SeqCst), 1);
}

/// INV-10, BYD-12: for every outcome of the event.
#[actix::test]
async fn a_chosen_request_id_stays_taken_in_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let start = async || {
        let f = counting("f", &runs);
        let g = counting("g", &runs);
        let builder = Runtime::builder().disk(folder.path());
        builder.function(f).function(g).start().await.unwrap()
    };
    let (done, waits) = (uuid::Uuid::from_u128(7), uuid::Uuid::from_u128(8));
    let runtime = start().await;
    let event = Invoke::event("f", 1_u32).request_id(done);
    let receipt = runtime.client().send(event).await.unwrap();
    runtime.client().wait(receipt.request_id).await.unwrap();
    let event = Invoke::event("f", 1_u32).request_id(waits);
    let event = event.delay(Duration::from_secs(3_600));
    runtime.client().send(event).await.unwrap();
    drop(runtime.shutdown(Duration::from_secs(5)).await);
    let runtime = start().await;
    for id in [done, waits] {
        for function in ["f", "g"] {
            let event = Invoke::event(function, 1_u32).request_id(id);
            let refused = runtime.client().send(event).await.unwrap_err();
            let InvokeError::RequestIdTaken { request_id } = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(request_id, id.into());
        }
    }
    assert_eq!(runs.load(SeqCst), 1);
    drop(runtime.shutdown(Duration::from_secs(5)).await);
}

#[actix::test]
async fn a_folder_that_is_in_use_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = Runtime::builder()
        .disk(folder.path())
        .start()
        .await
        .unwrap();
    let Err(BuildError::Store(refused)) = Runtime::builder().disk(folder.path()).start().await
    else {
        panic!("it was opened twice")
    };
    assert_eq!(refused.kind(), StoreErrorKind::Locked);
    assert!(
        refused.to_string().contains("in use by another process"),
        "{refused}"
    );
    drop(first.shutdown(Duration::ZERO).await);
    drop(
        Runtime::builder()
            .disk(folder.path())
            .start()
            .await
            .unwrap(),
    );
}

/// More than fits into memory's window, over more segments than one, twice.
#[actix::test]
async fn a_backlog_is_drained_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let start = async || {
        let f = counting("f", &runs).window(100).concurrency(4);
        let disk = Disk::new(folder.path()).segment_bytes(64 << 10);
        Runtime::builder()
            .disk(disk)
            .function(f)
            .start()
            .await
            .unwrap()
    };
    let runtime = start().await;
    runtime.client().pause("f");
    for batch in 0..50_u32 {
        let numbers = batch * 100 + 1..=batch * 100 + 100;
        runtime.client().invoke_batch("f", numbers).await.unwrap();
    }
    let later = Invoke::event("f", 7_u32).delay(Duration::from_secs(7_200));
    let later = runtime.client().send(later).await.unwrap().request_id;
    drop(runtime.shutdown(Duration::from_secs(5)).await);
    let logs = || {
        let names = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_str().unwrap().ends_with(".log"))
            .count()
    };
    assert!(logs() > 3);
    let runtime = start().await;
    while runtime.client().stats().events.pending() > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(runs.load(SeqCst), 5_000);
    drop(runtime.shutdown(Duration::from_secs(5)).await);
    let runtime = start().await;
    assert_eq!(runtime.client().stats().events.delayed, 1);
    assert!(runtime.client().cancel(later).await);
}

#[actix::test]
async fn the_folder_keeps_the_contract_of_stores() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path()).segment_bytes(64 << 10);
    redrive::testing::judge(|| disk.open().unwrap()).await;
}

#[actix::test]
async fn a_function_has_no_more_stored_deduplication_keys_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let start = async |keys: u32| {
        let runs = Arc::default();
        let f = counting("f", &runs).deduplication_keys_max(keys);
        let other = counting("other", &runs).deduplication_keys_max(1);
        let builder = Runtime::builder().disk(folder.path()).function(f);
        builder.function(other).start().await.unwrap()
    };
    let send = async |runtime: &Runtime, function: &'static str, key: u32, window| {
        let event = Invoke::event(function, 1_u32).deduplicate(key.to_string(), window);
        runtime.client().send(event).await
    };
    let (moment, hour) = (Duration::from_nanos(1), Duration::from_secs(3_600));
    let runtime = start(2).await;
    for key in 0..5 {
        send(&runtime, "f", key, moment).await.unwrap();
    }
    for key in 5..7 {
        send(&runtime, "f", key, hour).await.unwrap();
    }
    send(&runtime, "other", 5, hour).await.unwrap();
    let refused = send(&runtime, "f", 7, hour).await.unwrap_err();
    let full = matches!(refused, InvokeError::DeduplicationKeysFull { limit: 2, .. });
    assert!(full, "{refused}");
    assert!(send(&runtime, "f", 5, hour).await.unwrap().duplicate);
    let pending = runtime.client().function_stats("f").unwrap().events;
    assert_eq!(pending.accepted, 7);
    drop(runtime.shutdown(Duration::from_secs(5)).await);

    let runtime = start(3).await;
    assert!(send(&runtime, "f", 6, hour).await.unwrap().duplicate);
    send(&runtime, "f", 7, hour).await.unwrap();
    send(&runtime, "f", 8, hour).await.unwrap_err();
    drop(runtime.shutdown(Duration::from_secs(5)).await);
}

/// Any path that can be borrowed names the folder, and an owned one too.
#[actix::test]
async fn a_folder_can_be_given_as_any_path_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    let text = path.to_str().unwrap().to_owned();
    let builders = [
        Runtime::builder().disk(&path),
        Runtime::builder().disk(&*path),
        Runtime::builder().disk(path.as_os_str()),
        Runtime::builder().disk(&folder),
        Runtime::builder().disk(&text),
        Runtime::builder().disk(&*text),
        Runtime::builder().disk(text.clone()),
        Runtime::builder().disk(path.clone()),
    ];
    for builder in builders {
        let runtime = builder.start().await.unwrap();
        let _ = runtime.shutdown(Duration::from_secs(5)).await;
        let files: Vec<_> = std::fs::read_dir(&path).unwrap().collect();
        assert!(!files.is_empty());
        for file in files {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}
