//! Opening and verifying folders: refusals that name the file, and counts that match the store.

use std::sync::Arc;

use super::world::World;
use super::{Disk, DiskStore, append, at, event, fetch, filler, keep, kill, open, tiny};
use super::{succeed, virtual_time};
use crate::error::StoreErrorKind;
use crate::event::request_id::RequestId;
use crate::store::disk::files::{Files, Folder};
use crate::store::disk::simulated::SimulatedFolder;
use crate::store::disk::verify::{Extent, verify, verify_files};

fn refusal(files: &SimulatedFolder) -> (StoreErrorKind, String) {
    let error = open(files, &tiny(4_096), 0).err().unwrap();
    (error.kind(), error.to_string())
}

#[test]
fn another_version_is_refused_and_left_alone() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        // Even without a record in it.
        let empty = files.killed();
        keep(&store, filler(9_000));
        keep(&store, filler(10));
        let full = kill(store, &files);
        for (files, name) in [
            (&empty, "00000001.log"),
            (&full, "00000001.log"),
            (&full, "00000002.log"),
        ] {
            let theirs = files.with(name, |bytes| {
                bytes[..16].copy_from_slice(b"redrive log   3\n");
            });
            let before = theirs.lengths();
            let (kind, text) = refusal(&theirs);
            assert_eq!(kind, StoreErrorKind::Version);
            assert!(text.contains(name) && text.contains("format 3"), "{text}");
            assert!(text.contains("use the version that wrote it"), "{text}");
            assert_eq!(theirs.lengths(), before);
        }
    });
}

#[test]
fn a_folder_belongs_to_one_process() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        let (kind, text) = refusal(&files);
        assert_eq!(kind, StoreErrorKind::Locked);
        assert!(text.contains("in use by another process"), "{text}");
        drop(store);
        open(&files, &tiny(4_096), 0).unwrap();
    });
}

#[test]
fn a_removed_file_is_noticed() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1_024), 0).unwrap();
        (0..5).for_each(|_| {
            keep(&store, filler(1_000));
        });
        let files = kill(store, &files);
        files.remove("00000003.log").unwrap();
        let (kind, text) = refusal(&files);
        assert_eq!(kind, StoreErrorKind::Damaged);
        assert!(
            text.contains("`/simulated/00000003.log` is missing"),
            "{text}"
        );
    });
}

#[test]
fn a_foreign_file_beside_the_log_is_ignored() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        drop(open(&files, &tiny(1_024), 0).unwrap());
        for name in ["1.log", "00000009.log.gz", "notes.log", "+0000001.log"] {
            files.open(name, true).unwrap();
        }
        open(&files, &tiny(1_024), 0).unwrap();
    });
}

/// Each opening begins a file of the log: unused ones must not pile up.
#[test]
fn opening_and_closing_leaves_no_files_behind() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let mut kept = Vec::new();
        for round in 0..50 {
            let store = open(&files, &tiny(1_024), 0).unwrap();
            if round == 20 {
                kept.push(keep(&store, filler(10)));
            }
        }
        assert!(files.lengths().len() <= 4, "{:?}", files.lengths());
        let store = open(&files, &tiny(1_024), 0).unwrap();
        let fetched = fetch(&store, "fill", at(0)).unwrap();
        assert_eq!(fetched.events[0].request_id, kept[0]);
    });
}

/// A store also takes events that another one gave back.
#[test]
fn a_plain_event_with_a_history_keeps_it() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        let mut event = filler(1);
        (event.attempt_count, event.deaths) = (2, 1);
        keep(&store, event);
        let left = kill(store, &files);
        let history = |store: &DiskStore| {
            let fetched = fetch(store, "fill", at(0)).unwrap();
            (fetched.events[0].attempt_count, fetched.events[0].deaths)
        };
        assert_eq!(history(&open(&left, &tiny(4_096), 0).unwrap()), (2, 1));
    });
}

#[test]
fn a_chosen_id_is_accepted_once() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        let given = keep(&store, filler(1));
        let chosen = RequestId::from(uuid::Uuid::from_u128(1));
        let with_id = |id| {
            let mut event = filler(1);
            (event.request_id, event.id_is_chosen) = (id, true);
            event
        };
        // Twice in one batch, and the id of an event that the store gave it.
        assert!(append(&store, vec![with_id(chosen), with_id(chosen)]).is_err());
        assert!(append(&store, vec![with_id(given)]).is_err());
        assert!(append(&store, vec![with_id(chosen)]).is_ok());
        assert!(append(&store, vec![with_id(chosen)]).is_err());
    });
}

#[test]
fn verify_counts_as_the_store_does_and_changes_nothing() {
    for seed in 0..10 {
        virtual_time(|| {
            let mut world = World::new(seed + 60, tiny(2_048));
            assert!(world.open());
            world.run(150);
            world.end();
            let before = world.files.lengths();
            let files: Arc<dyn Files> = Arc::new(world.files.clone());
            let found = verify_files(&files).unwrap();
            assert!(found.is_sound(), "{found:?}");
            let (pending, dead) = world.counts();
            assert_eq!((found.pending, found.dead_letters), (pending, dead));
            assert!(found.files.iter().any(|file| file.records > 3));
            assert_eq!(world.files.lengths(), before);
        });
    }
}

#[test]
fn verify_reports_where_damage_begins_and_how_many_events_it_cost() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1_024), 0).unwrap();
        let ids: Vec<_> = (0..12).map(|_| keep(&store, filler(300))).collect();
        succeed(&store, ids[3]);
        drop(store);
        // Each file has three events; the first event's record is the first unreadable one.
        let files = files.with("00000002.log", |bytes| bytes[200] ^= 1);
        files.remove("00000003.log").unwrap();
        let found = verify_files(&(Arc::new(files) as Arc<dyn Files>)).unwrap();
        let damaged = |at: usize| match &found.files[at].extent {
            Extent::Damaged { at, why } => (*at, why.clone()),
            other => panic!("{other:?}"),
        };
        let (at, why) = damaged(1);
        assert!(at == 128 && why.contains("00000002.log"), "{at}: {why}");
        assert!(damaged(2).1.contains("is missing"));
        assert!(!found.is_sound());
        let known = found.pending + found.finished + found.unreadable;
        assert_eq!(known, 12, "{found:?}");
        assert!(found.unreadable >= 5, "{found:?}");
    });
}

#[test]
fn verify_reads_a_real_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/down");
    assert!(verify(&path).is_err());
    let disk = Disk::new(&path);
    let store = DiskStore::open(&disk).unwrap();
    keep(&store, event("charge", "1", at(0)));
    // A folder in use can be verified too.
    assert_eq!(verify(&path).unwrap().pending, 1);
    assert!(DiskStore::open(&disk).is_err());
    drop(store);
    let found = verify(&path).unwrap();
    assert_eq!((found.pending, found.is_sound()), (1, true));
    assert!(Folder::to_read(&path).open("00000001.log", true).is_err());
}
