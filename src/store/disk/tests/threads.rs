//! The store with its own threads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{append, ask, at, event, fetch, filler, keep, succeed, tiny};
use crate::base::clock::Clock;
use crate::event::request_id::RequestId;
use crate::store::disk::DiskStore;
use crate::store::disk::simulated::{DiskCall, SimulatedFolder};
use crate::store::{Appended, EventStore, Health};

fn open(files: &SimulatedFolder) -> DiskStore {
    let clock = Clock::simulated(7, at(0));
    DiskStore::threaded(Arc::new(files.clone()), &tiny(2_048), clock).unwrap()
}

#[test]
fn many_callers_at_once_fetch_each_event_once() {
    let files = SimulatedFolder::new(1);
    let store = open(&files);
    let fetched = thread::scope(|scope| {
        let caller = |number: usize| {
            let store = &store;
            move || {
                let name = format!("function {}", number % 2);
                let mut mine = Vec::new();
                for _ in 0..60 {
                    let events = vec![event(&name, "[1, 2]", at(0)); 3];
                    for kept in append(store, events).unwrap() {
                        let Appended::Kept(id) = kept else { continue };
                        store.spill(id, at(0));
                    }
                    for event in fetch(store, &name, at(0)).unwrap().events {
                        ask(|reply| store.look(event.request_id, reply)).unwrap();
                        succeed(store, event.request_id);
                        mine.push(event.request_id);
                    }
                    let _ = ask(|reply| store.letters(0, 10, reply)).unwrap();
                }
                mine
            }
        };
        let callers: Vec<_> = (0..4).map(|number| scope.spawn(caller(number))).collect();
        let all = callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap());
        all.collect::<Vec<_>>()
    });
    let once: BTreeSet<_> = fetched.iter().collect();
    assert_eq!(once.len(), fetched.len());
    assert_eq!(once.len(), 4 * 60 * 3);
    drop(store);
    let store = open(&files);
    for name in ["function 0", "function 1"] {
        assert!(fetch(&store, name, at(9)).unwrap().events.is_empty());
    }
}

/// The next process that locks the folder may write to it.
#[test]
fn the_store_touches_nothing_after_it_unlocked_the_folder() {
    for _ in 0..20 {
        let files = SimulatedFolder::new(1);
        let store = open(&files);
        let ids: Vec<_> = (0..60).map(|_| keep(&store, filler(500))).collect();
        // Much to be compacted.
        ids.iter().for_each(|&id| succeed(&store, id));
        ask(|reply| store.close(reply)).unwrap();
        let calls = files.calls(DiskCall::Any);
        let next = open(&files);
        let opened = files.calls(DiskCall::Any);
        assert!(opened > calls);
        thread::sleep(Duration::from_millis(5));
        drop(store);
        assert_eq!(files.calls(DiskCall::Any), opened);
        drop(next);
    }
}

#[test]
fn a_failed_store_stays_readable_and_closes() {
    let files = SimulatedFolder::new(1);
    let store = open(&files);
    let id = keep(&store, filler(10));
    files.fail(DiskCall::Sync, 1, std::io::ErrorKind::Other);
    assert!(append(&store, vec![filler(10)]).is_err());
    assert!(matches!(store.health(), Health::Failed(_)));
    assert!(
        store
            .settle(crate::store::Settled::new(
                id,
                at(0),
                crate::store::Settlement::Forgotten
            ))
            .is_err()
    );
    let calls = files.calls(DiskCall::Any);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(files.calls(DiskCall::Any), calls);
    // Earlier events can still be read, and the store closes.
    let known = ask(|reply| store.look(id, reply)).unwrap();
    assert_eq!(known.unwrap().request_id, id);
    assert!(ask(|reply| store.close(reply)).is_err());
}

#[test]
fn a_full_disk_is_retried_without_a_call() {
    let files = SimulatedFolder::new(1);
    let store = open(&files);
    let id = keep(&store, filler(10));
    files.room(Some(0));
    assert!(append(&store, vec![filler(10)]).is_err());
    succeed(&store, id);
    assert!(matches!(store.health(), Health::Full(_)));
    files.room(None);
    for _ in 0..1_000 {
        if store.health() == Health::Well {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    keep(&store, filler(10));
    let nobody = RequestId::from(uuid::Uuid::nil());
    assert!(ask(|reply| store.look(nobody, reply)).unwrap().is_none());
}

#[test]
fn a_panic_of_the_writer_fails_all_waiting_calls() {
    let files = SimulatedFolder::new(1);
    let store = open(&files);
    files.panic_at(1);
    assert!(append(&store, vec![filler(10)]).is_err());
    assert!(append(&store, vec![filler(10)]).is_err());
    assert!(matches!(store.health(), Health::Failed(_)));
}
