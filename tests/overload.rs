//! An offer of ten times the capacity of a function: refusals carry a hint, and accepted events are done.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redrive::{Bound, Client, Event, Function, InvokeError, Runtime, Shutdown};

/// How long the overload lasts: `REDRIVE_TEST_SECONDS`, or ten seconds.
fn seconds() -> u32 {
    std::env::var("REDRIVE_TEST_SECONDS").map_or(10, |text| text.parse().unwrap())
}

const CONCURRENCY: u32 = 4;
const EACH: Duration = Duration::from_millis(2);
/// The capacity of the function, in events per second.
const CAPACITY: u32 = CONCURRENCY * 500;
const PRODUCERS: u32 = 4;
const MAILBOX: u32 = 500;
const PAYLOAD: usize = 1_000;

#[derive(Default)]
struct Offered {
    accepted: u64,
    refused: u64,
    pending_max: u64,
    memory_max: u64,
}

/// Offers a share of ten times the capacity, evenly over the time.
fn produce(client: &Client) -> Offered {
    let executor = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let rate = f64::from(CAPACITY * 10 / PRODUCERS);
    let total = u64::from(CAPACITY * 10 / PRODUCERS * seconds());
    let mut offered = Offered::default();
    let start = Instant::now();
    while offered.accepted + offered.refused < total {
        let due = (start.elapsed().as_secs_f64() * rate) as u64;
        while offered.accepted + offered.refused < due.min(total) {
            match executor.block_on(client.invoke("busy", "x".repeat(PAYLOAD))) {
                Ok(_) => offered.accepted += 1,
                Err(InvokeError::MailboxFull {
                    function,
                    bound,
                    retry_after,
                }) => {
                    assert_eq!((function.as_str(), bound), ("busy", Bound::Events(MAILBOX)));
                    assert!(retry_after >= Duration::from_millis(10), "{retry_after:?}");
                    assert!(retry_after <= Duration::from_secs(60), "{retry_after:?}");
                    offered.refused += 1;
                }
                Err(other) => panic!("refused otherwise: {other}"),
            }
        }
        let pending = client.function_stats("busy").unwrap().events.pending();
        offered.pending_max = offered.pending_max.max(pending);
        offered.memory_max = offered.memory_max.max(memory());
        thread::sleep(Duration::from_millis(1));
    }
    offered
}

/// Returns the resident memory of this process in bytes; 0 if it is unknown.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

#[actix::test]
async fn overload_is_refused_with_a_hint_and_accepted_events_are_done() {
    let done = Arc::new(AtomicU64::new(0));
    let count = done.clone();
    let handler = move |_: Event<String>| {
        let count = count.clone();
        async move {
            tokio::time::sleep(EACH).await;
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>(())
        }
    };
    let busy = Function::new("busy", handler)
        .concurrency(CONCURRENCY)
        .mailbox_events_max(MAILBOX);
    let runtime = Runtime::builder()
        .arbiters(2)
        .function(busy)
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    let before = memory();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || produce(&client))
        })
        .collect();
    let offered: Vec<_> = producers
        .into_iter()
        .map(|producer| producer.join().unwrap())
        .collect();
    let report = runtime
        .shutdown(Shutdown::new(Duration::from_secs(60)).drain_mailboxes())
        .await;

    let accepted: u64 = offered.iter().map(|one| one.accepted).sum();
    let refused: u64 = offered.iter().map(|one| one.refused).sum();
    assert_eq!(accepted + refused, u64::from(CAPACITY * 10 * seconds()));
    assert!(
        refused > 4 * accepted,
        "{accepted} accepted, {refused} refused: no overload"
    );
    assert!(
        report.unfinished.is_empty(),
        "{} unfinished",
        report.unfinished.len()
    );
    assert_eq!(done.load(Ordering::Relaxed), accepted);
    let stats = client.function_stats("busy").unwrap();
    assert_eq!(
        (stats.events.accepted, stats.events.succeeded),
        (accepted, accepted)
    );
    assert_eq!(
        (stats.throttles, stats.invocations, stats.errors),
        (refused, accepted, 0)
    );
    assert!(stats.concurrent_executions_max <= u64::from(CONCURRENCY));

    let pending = offered.iter().map(|one| one.pending_max).max().unwrap();
    assert!(pending <= u64::from(MAILBOX), "{pending} pending");
    // The whole offer would be 200 MB in ten seconds; the waiting events take half a megabyte.
    let grown = offered
        .iter()
        .map(|one| one.memory_max)
        .max()
        .unwrap()
        .saturating_sub(before);
    assert!(grown < 32 << 20, "memory grew by {grown} bytes");
}
