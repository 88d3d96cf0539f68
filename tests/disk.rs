//! The store in a folder: what was accepted is there again, however the process before ended.
#![cfg(all(feature = "disk", feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use redrive::{
    Durability, Event, Filter, Function, Invoke, List, RequestId, RetryPolicy, Runtime, Status,
};

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
async fn what_waits_is_run_by_the_next_process_and_what_ended_is_known_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let start = async |paused: bool| {
        let f = counting("f", &runs).retry(RetryPolicy::none());
        let runtime = Runtime::builder()
            .disk(folder.path())
            .function(f)
            .start()
            .await
            .unwrap();
        if paused {
            runtime.client().pause("f");
        }
        runtime
    };
    let runtime = start(false).await;
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

    let runtime = start(true).await;
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
        Some(Status::Accepted { .. })
    ));
    assert!(matches!(
        client.status(later).await,
        Some(Status::Delayed { .. })
    ));
    client.resume("f");
    let status = client.wait(waits).await.unwrap();
    assert_eq!(status.result::<u32>().unwrap().unwrap(), 8);
    assert_eq!(runs.load(SeqCst), 3);
    assert!(client.cancel(later).await);
    let nobody: RequestId = "00000000-0001-8000-8000-000000000007".parse().unwrap();
    assert!(client.status(nobody).await.is_none());
    drop(runtime.shutdown(Duration::from_secs(5)).await);
    let runtime = start(false).await;
    assert_eq!(runtime.client().stats().events.pending(), 0);
    assert!(matches!(
        runtime.client().status(later).await,
        Some(Status::Cancelled)
    ));
}
