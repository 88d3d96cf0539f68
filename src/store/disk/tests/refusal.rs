//! A disk that refuses: without room, or with a failed write or sync.

use std::io::ErrorKind;

use super::kill::past;
use super::world::{After, World};
use super::{append, at, event, fetch, filler, keep, open, succeed, tiny, virtual_time};
use crate::error::StoreErrorKind;
use crate::store::disk::simulated::{DiskCall, SimulatedFolder};
use crate::store::{EventStore, Health};

#[test]
fn without_room_appends_are_refused_and_settlements_kept() {
    let mut refusals = 0;
    each_point(
        &[(DiskCall::Write, ErrorKind::StorageFull)],
        |mut world, hint| {
            refusals += world.refused.len();
            let full = |kind: &StoreErrorKind| *kind == StoreErrorKind::Full;
            assert!(world.refused.values().all(full), "{:?}", world.refused);
            (0..2).for_each(|_| world.poke());
            assert_eq!(world.store().health(), Health::Well, "{hint}");
            world.files.mend();
            world.restart();
            world.check(&world.files.killed(), After::Kill, hint);
        },
    );
    assert!(refusals > 50, "{refusals}");
}

#[test]
fn after_a_failed_sync_the_store_takes_nothing_and_refused_events_stay_away() {
    let mut failures = 0;
    let errors = [
        (DiskCall::Write, ErrorKind::Other),
        (DiskCall::Sync, ErrorKind::Other),
        (DiskCall::Sync, ErrorKind::StorageFull),
        (DiskCall::Open, ErrorKind::Other),
        (DiskCall::Remove, ErrorKind::Other),
    ];
    each_point(&errors, |mut world, hint| {
        world.poke();
        match world.store().health() {
            Health::Well => {}
            Health::Failed(why) => {
                failures += 1;
                assert!(why.contains("/simulated/"), "{why}");
                let refused = append(world.store(), vec![event("charge", "1", at(0))]);
                let kind = refused.map_err(|error| error.kind());
                assert_eq!(kind, Err(StoreErrorKind::Failed), "{hint}");
            }
            // The only failure is that a segment could not begin without room.
            Health::Full(_) => assert!(hint.contains("StorageFull"), "{hint}"),
        }
        world.abandon();
        world.check(&world.files.killed(), After::Kill, hint);
        world.check(&world.files.power_cut(7), After::PowerCut, hint);
    });
    assert!(failures > 200, "{failures}");
}

/// Repeats one course of events and lets each of its first 200 calls fail in turn.
fn each_point(faults: &[(DiskCall, ErrorKind)], mut then: impl FnMut(World, &str)) {
    for (seed, &(call, error)) in faults.iter().enumerate() {
        let past = virtual_time(|| past(seed as u64 + 30));
        for nth in 1..=200 {
            let struck = virtual_time(|| {
                let mut world = past.fork();
                let before = world.files.calls(call);
                world.files.fail(call, nth, error);
                world.run(400);
                let struck = world.files.calls(call) - before >= nth;
                then(world, &format!("{call:?} {nth}: {error:?}"));
                struck
            });
            if !struck {
                assert!(
                    !matches!(call, DiskCall::Write | DiskCall::Sync),
                    "{nth} {call:?}s"
                );
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_takes_events_again_as_soon_as_there_is_room() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        files.room(Some(24_000));
        let mut kept = Vec::new();
        let error = loop {
            match append(&store, vec![filler(500)]) {
                Ok(appended) => kept.extend(appended),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), StoreErrorKind::Full);
        assert!(kept.len() > 20);
        let error = append(&store, vec![filler(1)]).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        let id = |appended: &_| match appended {
            crate::store::Appended::Kept(id) => *id,
            other => panic!("{other:?}"),
        };
        let ids: Vec<_> = kept.iter().map(id).collect();
        ids.iter().for_each(|&id| succeed(&store, id));
        assert_eq!(store.health(), Health::Well, "their ends make room");
        keep(&store, filler(500));
        // The calls made meanwhile are written.
        let files = super::kill(store, &files);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        assert_eq!(fetch(&store, "fill", at(0)).unwrap().events.len(), 1);
    });
}
