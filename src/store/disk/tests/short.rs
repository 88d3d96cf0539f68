//! A resource is short for a while: the store refuses events meanwhile, and loses none.

use std::io::ErrorKind;
use std::time::Duration;

use super::world::{After, World};
use super::{
    advance, append, ask, at, event, fetch, filler, forgetful, keep, open, settle_success, succeed,
    tiny, virtual_time,
};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::request_id::RequestId;
use crate::store::disk::DiskStore;
use crate::store::disk::open_segments::OPEN_MAX;
use crate::store::disk::simulated::{DiskCall, SimulatedFolder};
use crate::store::disk::verify::verify_files;
use crate::store::{Appended, EventStore, Health, Settled, Settlement};

fn kept(appended: &[Appended]) -> RequestId {
    match appended {
        [Appended::Kept(id)] => *id,
        other => panic!("{other:?}"),
    }
}

/// Appends events until even the smallest is refused without room.
fn fill_up(store: &DiskStore, bytes: usize) -> Vec<RequestId> {
    let mut ids = Vec::new();
    let mut refused = 0;
    while refused < 10 {
        let bytes = if refused < 5 { bytes } else { 1 };
        match append(store, vec![filler(bytes)]) {
            Ok(appended) => ids.push(kept(&appended)),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
                refused += 1;
            }
        }
    }
    ids
}

fn cancel(store: &DiskStore, id: RequestId) {
    let cancelled = Settlement::Cancelled { accepted_at: at(0) };
    store.settle(Settled::new(id, at(0), cancelled)).unwrap();
}

fn poke(store: &DiskStore) {
    let nobody = RequestId::from(uuid::Uuid::nil());
    let _ = ask(|reply| store.look(nobody, reply));
}

/// A disk full of events is free again once they are settled, in any order and in any way.
#[test]
fn a_disk_full_of_events_recovers_by_itself() {
    // Users can set 64 KiB or more.
    for segment in [16_384, 1 << 16, 1 << 17] {
        for bytes in [1_500, 300, 100] {
            for course in ["run", "cancel", "backwards", "pinned", "scattered"] {
                let hint = format!("segments of {segment}, events of {bytes}, {course}");
                virtual_time(|| recovers(segment, bytes, course, &hint));
            }
        }
    }
}

fn recovers(segment: u32, bytes: usize, course: &str, hint: &str) {
    let files = SimulatedFolder::new(1);
    let store = open(&files, &tiny(segment), 0).unwrap();
    forgetful(&store, "fill");
    let room = u64::from(segment).max(64 << 10) * 4;
    files.room(Some(room));
    let mut pinned = Vec::new();
    if course == "pinned" {
        pinned.push(keep(&store, event("late", "1", at(0))));
    }
    let mut ids = fill_up(&store, bytes);
    assert!(ids.len() > 20, "{hint}: {}", ids.len());
    match course {
        "backwards" => ids.reverse(),
        "scattered" => {
            let every = 4_000 / bytes.clamp(100, 1_000);
            pinned.extend(ids.iter().step_by(every).copied());
            ids.retain(|id| !pinned.contains(id));
        }
        _ => {}
    }
    for &id in &ids {
        match course {
            "cancel" => cancel(&store, id),
            _ => succeed(&store, id),
        }
        // The settlements don't come all at once.
        if id == ids[ids.len() / 2] {
            poke(&store);
        }
    }
    for _ in 0..100 {
        poke(&store);
        advance(Duration::from_secs(2));
    }
    assert_eq!(store.health(), Health::Well, "{hint}");
    let more = keep(&store, filler(bytes));
    // The next process has the same events.
    let left = super::kill(store, &files);
    left.room(Some(room));
    let store = open(&left, &tiny(segment), 0).unwrap_or_else(|error| panic!("{hint}: {error}"));
    forgetful(&store, "fill");
    let mut found: Vec<_> = ["fill", "late"]
        .iter()
        .flat_map(|function| fetch(&store, function, at(9)).unwrap().events)
        .map(|event| event.request_id)
        .collect();
    pinned.push(more);
    found.sort();
    pinned.sort();
    assert_eq!(found, pinned, "{hint}");
    drop(store);
    let verified = verify_files(&(std::sync::Arc::new(left) as _)).unwrap();
    assert!(verified.is_sound(), "{hint}: {verified:?}");
}

/// A middle segment is emptied: the events that its records settled stay settled after a death or a power cut at any call.
#[test]
fn events_settled_in_an_emptied_segment_stay_settled_after_a_death() {
    for nth in 1.. {
        let over = virtual_time(|| {
            let files = SimulatedFolder::new(nth);
            let store = open(&files, &tiny(4_096), 0).unwrap();
            forgetful(&store, "fill");
            files.room(Some(40_000));
            let pinned = keep(&store, event("late", "1", at(0)));
            let ids = fill_up(&store, 300);
            ids.iter().for_each(|&id| succeed(&store, id));
            files.kill_at(nth);
            (0..20).for_each(|_| poke(&store));
            let over = !files.is_dead();
            files.kill_at(1);
            drop(store);
            for (left, loses) in [(files.killed(), false), (files.power_cut(nth), true)] {
                left.room(None);
                let store = open(&left, &tiny(4_096), 0)
                    .unwrap_or_else(|error| panic!("{nth} {loses}: {error}"));
                let late = fetch(&store, "late", at(9)).unwrap();
                assert_eq!(late.events[0].request_id, pinned, "{nth}");
                let again = fetch(&store, "fill", at(9)).unwrap();
                assert!(again.unreadable.is_empty(), "{nth}: {again:?}");
                let known = again
                    .events
                    .iter()
                    .all(|event| ids.contains(&event.request_id));
                assert!(known, "{nth}");
                if over {
                    assert!(again.events.is_empty(), "{nth}: {}", again.events.len());
                }
            }
            over
        });
        if over {
            assert!(nth > 20, "{nth}");
            return;
        }
    }
}

/// Random calls on a disk that gets full again and again.
#[test]
fn a_disk_that_fills_up_repeatedly_loses_and_revives_no_event() {
    let mut refusals = 0;
    for seed in 0..30 {
        virtual_time(|| {
            let mut world = World::new(seed + 700, tiny(2_048));
            assert!(world.open());
            world.run(60);
            for round in 0..12 {
                let used: u64 = world.files.lengths().values().sum();
                world.files.room(Some(used + 500 * (round % 4)));
                world.run(40);
                world.files.room(None);
                world.run(10);
            }
            refusals += world.refused.len();
            let hint = format!("seed {seed}");
            world.abandon();
            world.check(&world.files.killed(), After::Kill, &hint);
            world.check(&world.files.power_cut(seed), After::PowerCut, &hint);
        });
    }
    assert!(refusals > 100, "{refusals}");
}

#[test]
fn a_full_disk_can_be_opened_and_its_events_run() {
    // With the reserve, and without it.
    for reserve in [true, false] {
        virtual_time(|| {
            let files = SimulatedFolder::new(1);
            let store = open(&files, &tiny(4_096), 0).unwrap();
            let ids: Vec<_> = (0..20).map(|_| keep(&store, filler(500))).collect();
            let files = super::kill(store, &files);
            let files = match reserve {
                true => files,
                false => files.with("reserve", Vec::clear),
            };
            let used = files.lengths().values().sum();
            files.room(Some(used));
            let store = open(&files, &tiny(4_096), 0).unwrap();
            forgetful(&store, "fill");
            assert!(matches!(store.health(), Health::Full(_)));
            let kind = |error: StoreError| error.kind();
            let refused = append(&store, vec![filler(5_000)]).map_err(kind);
            assert_eq!(refused, Err(StoreErrorKind::Full));
            let fetched = fetch(&store, "fill", at(0));
            assert_eq!(fetched.unwrap().events.len(), 20);
            if reserve {
                ids.iter().for_each(|&id| succeed(&store, id));
                (0..9).for_each(|_| poke(&store));
                assert_eq!(store.health(), Health::Well, "their ends make room");
                keep(&store, filler(10));
            } else {
                // Repeated openings need no further room.
                let known = ask(|reply| store.look(ids[0], reply)).unwrap();
                assert_eq!(known.unwrap().request_id, ids[0]);
                let files = super::kill(store, &files);
                files.room(Some(used));
                let store = open(&files, &tiny(4_096), 0).unwrap();
                forgetful(&store, "fill");
                files.room(None);
                assert_eq!(store.health(), Health::Well);
                assert_eq!(fetch(&store, "fill", at(0)).unwrap().events.len(), 20);
                keep(&store, filler(10));
            }
        });
    }
}

/// A process that can't begin a segment leaves no record of its start.
#[test]
fn a_process_death_on_a_full_disk_is_counted_once() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        let id = keep(&store, filler(500));
        let left = super::kill(store, &files).with("reserve", Vec::clear);
        left.room(Some(left.lengths().values().sum()));
        let store = open(&left, &tiny(4_096), 0).unwrap();
        fetch(&store, "fill", at(0)).unwrap();
        store.begin(0, &[id]).unwrap();
        let mut left = super::kill(store, &left);
        for _ in 0..2 {
            left.room(None);
            let store = open(&left, &tiny(4_096), 0).unwrap();
            let found = fetch(&store, "fill", at(0)).unwrap().events;
            assert_eq!(found[0].deaths, 1);
            left = super::kill(store, &left);
        }
    });
}

#[test]
fn a_close_on_a_full_disk_keeps_earlier_settlements() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        let ids: Vec<_> = (0..20).map(|_| keep(&store, filler(500))).collect();
        let used = files.lengths().values().sum();
        files.room(Some(used));
        ids.iter().for_each(|&id| succeed(&store, id));
        ask(|reply| store.close(reply)).unwrap();
        let files = files.killed();
        files.room(None);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        assert!(fetch(&store, "fill", at(0)).unwrap().events.is_empty());
    });
}

/// Not even an append is refused: the last segment grows on.
#[test]
fn the_store_goes_on_without_a_free_descriptor() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        forgetful(&store, "fill");
        let mut ids: Vec<_> = (0..3).map(|_| keep(&store, filler(500))).collect();
        files.open_max(Some(files.open_count()));
        let mut refused = 0;
        for _ in 0..40 {
            match append(&store, vec![filler(500)]) {
                Ok(appended) => ids.push(kept(&appended)),
                Err(error) => {
                    assert_eq!(error.kind(), StoreErrorKind::Short, "{error}");
                    refused += 1;
                }
            }
        }
        assert!(ids.len() > 10 && refused > 10, "{}, {refused}", ids.len());
        assert_eq!(store.health(), Health::Well);
        // Settlements are written all the same.
        let half = ids.len() / 2;
        ids[..half].iter().for_each(|&id| succeed(&store, id));
        ask(|reply| store.sync(reply)).unwrap();
        files.open_max(None);
        ids.push(keep(&store, filler(500)));
        assert!(files.lengths().contains_key("00000002.log"));
        let left = super::kill(store, &files);
        let store = open(&left, &tiny(4_096), 0).unwrap();
        let found = fetch(&store, "fill", at(0)).unwrap().events;
        let found: Vec<_> = found.iter().map(|event| event.request_id).collect();
        assert_eq!(found, ids[half..]);
    });
}

/// A lack of memory or descriptors before a write never makes the store fail.
#[test]
fn a_lack_of_descriptors_or_memory_never_fails_the_store() {
    for call in [DiskCall::Open, DiskCall::Any] {
        for nth in 1..=60 {
            virtual_time(|| {
                let mut world = World::new(nth + 900, tiny(2_048));
                assert!(world.open());
                world.run(60);
                world.files.fail(call, nth, ErrorKind::OutOfMemory);
                world.run(100);
                let hint = format!("{call:?} {nth}");
                let syncs_or_cuts = call == DiskCall::Any;
                match world.store().health() {
                    Health::Well => {}
                    // A failed sync makes the store fail for any reason.
                    Health::Failed(why) => {
                        let of_sync = why.contains("sync") || why.contains("write to");
                        assert!(syncs_or_cuts && of_sync, "{hint}: {why}");
                    }
                    Health::Full(why) => panic!("{hint}: {why}"),
                }
                world.abandon();
                world.check(&world.files.killed(), After::Kill, &hint);
            });
        }
    }
}

#[test]
fn a_fetch_without_a_descriptor_can_be_retried_and_loses_no_event() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        let ids: Vec<_> = (0..40).map(|_| keep(&store, filler(500))).collect();
        ids.iter().for_each(|&id| store.spill(id, at(0)));
        drop(store);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        files.open_max(Some(files.open_count()));
        let refused = fetch(&store, "fill", at(0));
        assert_eq!(
            refused.map(drop).map_err(|error| error.kind()),
            Err(StoreErrorKind::Short)
        );
        files.open_max(None);
        assert_eq!(fetch(&store, "fill", at(0)).unwrap().events.len(), 40);
    });
}

/// Files that are kept open for reading give their descriptors to others.
#[test]
fn files_open_for_reading_are_closed_first_when_descriptors_are_short() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        let ids: Vec<_> = (0..40).map(|_| keep(&store, filler(500))).collect();
        ids.iter().for_each(|&id| store.spill(id, at(0)));
        let left = super::kill(store, &files);
        let store = open(&left, &tiny(4_096), 0).unwrap();
        // The segment that is read, and the next one.
        left.open_max(Some(left.open_count() + 2));
        let read = fetch(&store, "fill", at(0)).unwrap();
        assert_eq!(read.events.len(), 40);
        // Now no descriptor is left, and a new segment needs one.
        left.open_max(Some(left.open_count()));
        let before = left.lengths().len();
        for _ in 0..12 {
            keep(&store, filler(500));
        }
        assert!(left.lengths().len() > before, "{:?}", left.lengths());
    });
}

/// With no more room than the reserve needs, the first event would use it up again.
#[test]
fn events_are_taken_again_only_with_room_beyond_the_reserve() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        keep(&store, filler(500));
        let left = super::kill(store, &files).with("reserve", Vec::clear);
        let wanted = 4_096;
        // The next opening begins a segment.
        let used: u64 = left.lengths().values().sum::<u64>() + 128;
        left.room(Some(used + wanted));
        let store = open(&left, &tiny(4_096), 0).unwrap();
        assert!(matches!(store.health(), Health::Full(_)));
        left.room(Some(used + wanted + wanted / 4 + 64));
        assert_eq!(store.health(), Health::Well);
    });
}

#[test]
fn thousands_of_segments_need_few_descriptors() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        // The growing segment, `running`, the reserve, and a file that is being made.
        files.open_max(Some(OPEN_MAX + 6));
        let store = open(&files, &tiny(1_024), 0).unwrap();
        let ids: Vec<_> = (0..1_500).map(|_| keep(&store, filler(1_000))).collect();
        assert!(files.lengths().len() > 1_500);
        drop(store);
        let store = open(&files, &tiny(1_024), 0).unwrap();
        forgetful(&store, "fill");
        assert_eq!(
            fetch(&store, "fill", at(0)).unwrap().events.len(),
            ids.len()
        );
        // All but a few events are settled, so that compaction moves the others together.
        let (few, many): (Vec<_>, Vec<_>) =
            ids.iter().enumerate().partition(|(at, _)| at % 100 == 0);
        many.iter().for_each(|&(_, &id)| succeed(&store, id));
        for _ in 0..50 {
            keep(&store, filler(10));
        }
        assert!(files.lengths().len() < 200, "{}", files.lengths().len());
        for &(_, &id) in &few {
            assert!(ask(|reply| store.look(id, reply)).unwrap().is_some());
        }
        let health = store.health();
        assert_eq!(health, Health::Well);
    });
}

#[test]
fn a_file_never_grows_beyond_the_limit_of_the_process() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        files.file_limit(Some(20_000));
        let store = open(&files, &tiny(1 << 20), 0).unwrap();
        forgetful(&store, "fill");
        let mut refused = 0;
        let mut ids = Vec::new();
        for number in 0..300 {
            match append(&store, vec![filler((number * 37) % 6_000)]) {
                Ok(appended) => ids.push(kept(&appended)),
                Err(error) => panic!("{number}: {error}"),
            }
        }
        for bytes in [19_000, 21_000, 100_000] {
            let error = append(&store, vec![filler(bytes)]);
            refused += usize::from(error.is_err());
            assert_eq!(store.health(), Health::Well, "{error:?}");
        }
        assert!(refused >= 2 && !files.is_dead());
        ids.iter()
            .for_each(|&id| settle_success(&store, id).unwrap());
        for _ in 0..30 {
            keep(&store, filler(10));
        }
        assert_eq!(store.health(), Health::Well);
        drop(store);
        assert!(!files.is_dead());
        assert!(open(&files, &tiny(1 << 20), 0).is_ok());
    });
}
