//! The store's time line when the machine's clock is set while the store is closed or open.

use std::sync::Arc;
use std::time::Duration;

use super::{advance, at, event, fetch, keep, kill, tiny, virtual_time};
use crate::base::clock::Clock;
use crate::store::EventStore;
use crate::store::disk::DiskStore;
use crate::store::disk::simulated::SimulatedFolder;

/// A store on a machine whose clock shows `wall`, started `uptime` seconds ago.
fn open(files: &SimulatedFolder, wall: u64, boot: u128, uptime: u64) -> DiskStore {
    let clock = Clock::simulated(7, at(wall)).booted(boot, Duration::from_secs(uptime));
    DiskStore::driven(Arc::new(files.clone()), &tiny(4_096), clock).unwrap()
}

const HOUR: u64 = 3_600;

/// Returns the disk half an hour after an event was accepted at hour 10; it is due an hour after that.
fn half_an_hour_before() -> SimulatedFolder {
    let files = SimulatedFolder::new(1);
    let store = open(&files, 10 * HOUR, 1, 100);
    let mut late = event("charge", "1", store.now());
    late.due_at += Duration::from_secs(HOUR);
    keep(&store, late);
    advance(Duration::from_secs(HOUR / 2));
    assert_eq!(store.now(), at(10 * HOUR + HOUR / 2));
    kill(store, &files)
}

fn is_due(store: &DiskStore) -> bool {
    let fetched = fetch(store, "charge", store.now()).unwrap();
    !fetched.events.is_empty()
}

#[test]
fn the_wall_clock_does_not_matter_while_the_machine_runs() {
    for wall in [0, 5, 10, 11, 15, 100] {
        virtual_time(|| {
            let files = half_an_hour_before();
            let store = open(&files, wall * HOUR, 1, 100 + HOUR / 2 + 60);
            assert_eq!(store.now(), at(10 * HOUR + HOUR / 2 + 60), "{wall}");
            assert!(!is_due(&store), "{wall}");
            advance(Duration::from_secs(HOUR / 2));
            assert!(is_due(&store), "{wall}");
        });
    }
}

#[test]
fn after_a_reboot_the_wall_clock_counts_unless_it_went_back() {
    virtual_time(|| {
        let files = half_an_hour_before();
        let store = open(&files, 12 * HOUR, 2, 5);
        assert_eq!(store.now(), at(12 * HOUR));
        assert!(is_due(&store));
    });
    virtual_time(|| {
        let files = half_an_hour_before();
        let store = open(&files, HOUR, 2, 5);
        // The time line continues from the last recorded time, so the event is late by the unrecorded time and no more.
        assert_eq!(store.now(), at(10 * HOUR));
        assert!(!is_due(&store));
        advance(Duration::from_secs(HOUR));
        assert!(is_due(&store));
    });
}

#[test]
fn an_orderly_end_records_its_time() {
    virtual_time(|| {
        let files = half_an_hour_before();
        let store = open(&files, 10 * HOUR, 1, 100 + HOUR / 2);
        keep(&store, event("mail", "1", store.now()));
        advance(Duration::from_secs(HOUR / 4));
        drop(store);
        let store = open(&files, 0, 2, 5);
        assert_eq!(store.now(), at(10 * HOUR + HOUR * 3 / 4));
    });
}

/// Uses the machine's real clocks, which no test sets.
#[test]
fn restarts_do_not_speed_up_the_time_line() {
    let (files, machine) = (SimulatedFolder::new(1), Clock::real());
    let began = machine.now();
    let open = || {
        let files = Arc::new(files.clone());
        DiskStore::driven(files, &tiny(4_096), Clock::real()).unwrap()
    };
    let start = open().now();
    for _ in 0..200 {
        let now = open().now().duration_since(start).unwrap();
        let since = machine.now().since(began);
        assert!(now <= since, "{now:?} on the store's line in {since:?}");
    }
}
