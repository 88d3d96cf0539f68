//! The store under faults: on a disk in memory, in the caller's thread, in virtual time. Each seed gives one course of events.

mod clock;
mod damage;
mod emptied;
#[cfg(feature = "encryption")]
mod forged;
mod kill;
mod opening;
mod power;
mod private;
mod refusal;
mod salvage;
mod same;
mod short;
mod silence;
mod space;
mod threads;
mod world;

use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use super::simulated::SimulatedFolder;
use super::{Disk, DiskStore};
use crate::base::clock::Clock;
use crate::error::StoreError;
use crate::event::Durability;
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::store::{
    Appended, EventStore, Fetch, Fetched, Reply, Retained, Settled, Settlement, StoredEvent,
};

/// The first second of 2026.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// Returns the time so many seconds after the start of the tests' time.
fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + EPOCH + Duration::from_secs(seconds)
}

/// Runs `test` in virtual time, which passes only in [`advance`].
fn virtual_time<R>(test: impl FnOnce() -> R) -> R {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { test() })
}

fn advance(time: Duration) {
    use futures_util::FutureExt;
    // The clock advances before the future waits for the first time.
    let _ = tokio::time::advance(time).now_or_never();
}

/// Returns a disk whose files of the log are much smaller than users can set.
fn tiny(segment_bytes: u32) -> Disk {
    Disk {
        path: "/simulated".into(),
        segment_bytes,
        unlock: None,
    }
}

fn open(files: &SimulatedFolder, disk: &Disk, seconds: u64) -> Result<DiskStore, StoreError> {
    let clock = Clock::simulated(7, at(seconds));
    DiskStore::driven(std::sync::Arc::new(files.clone()), disk, clock)
}

/// Makes a call and returns the reply.
fn ask<T: Send + 'static>(call: impl FnOnce(Reply<T>)) -> Result<T, StoreError> {
    let (sender, receiver) = mpsc::channel();
    call(Reply::new(move |reply| drop(sender.send(reply))));
    let wait = Duration::from_secs(60);
    receiver
        .recv_timeout(wait)
        .unwrap_or_else(|_| panic!("no reply"))
}

fn event(function: &str, payload: &str, accepted_at: SystemTime) -> StoredEvent {
    StoredEvent {
        request_id: RequestId::from(uuid::Uuid::from_u128(
            0xfeed_f00d_dead_beef_1234_5678_9abc_def0,
        )),
        id_is_chosen: false,
        function: FunctionName::new(function),
        payload: Payload::from_json(payload).unwrap(),
        accepted_at,
        due_at: accepted_at,
        first_due_at: accepted_at,
        not_before: None,
        meta: Default::default(),
        deduplicate: None,
        durability: Durability::Disk,
        attempts: Vec::new(),
        attempt_count: 0,
        uncounted: 0,
        deaths: 0,
    }
}

/// Returns an event of so many bytes.
fn filler(bytes: usize) -> StoredEvent {
    event("fill", &format!("\"{}\"", "x".repeat(bytes)), at(0))
}

/// Makes the store forget the finished events of this function at once.
fn forgetful(store: &DiskStore, function: &str) {
    let retained = Retained::new(0, 0, Duration::ZERO);
    store.open(&FunctionName::new(function), retained);
}

fn append(store: &DiskStore, events: Vec<StoredEvent>) -> Result<Vec<Appended>, StoreError> {
    ask(|reply| store.append(events, reply))
}

fn keep(store: &DiskStore, event: StoredEvent) -> RequestId {
    match append(store, vec![event]).unwrap()[..] {
        [Appended::Kept(id)] => id,
        ref other => panic!("{other:?}"),
    }
}

/// Returns a request for all events of a function that are due by then.
fn due(function: &str, until: SystemTime) -> Fetch {
    Fetch {
        function: FunctionName::new(function),
        until,
        events_max: usize::MAX,
        bytes_max: u64::MAX,
    }
}

fn fetch(store: &DiskStore, function: &str, until: SystemTime) -> Result<Fetched, StoreError> {
    ask(|reply| store.fetch(due(function, until), reply))
}

fn succeed(store: &DiskStore, id: RequestId) {
    settle_success(store, id).unwrap();
}

fn settle_success(store: &DiskStore, id: RequestId) -> Result<(), StoreError> {
    let settlement = Settlement::Succeeded {
        result: None,
        attempt: 1,
        accepted_at: at(0),
    };
    store.settle(Settled::new(id, at(0), settlement))
}

/// Lets the store apply all calls, and ends it as a kill does. Returns the remaining disk.
fn kill(store: DiskStore, files: &SimulatedFolder) -> SimulatedFolder {
    let _ = ask(|reply| store.look(RequestId::from(uuid::Uuid::nil()), reply));
    let left = files.killed();
    files.kill_at(1);
    drop(store);
    left
}
