//! Emptied segments, whose records compaction took out: they count as whole, and their absence is noticed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{
    Disk, DiskStore, SimulatedFolder, append, ask, at, event, fetch, filler, forgetful, keep, open,
    succeed, tiny, virtual_time,
};
use crate::event::request_id::RequestId;
use crate::store::disk::files::Files;
use crate::store::disk::header::HEADER;
use crate::store::disk::record::LogRecord;
use crate::store::disk::salvage::salvage;
use crate::store::disk::verify::{Extent, Verification, verify_files};
use crate::store::disk::{frame, segment_file};
use crate::store::{EventStore, Health};

const LENGTH: u64 = (HEADER + frame::HEAD + 1) as u64;

fn poke(store: &DiskStore) {
    let nobody = RequestId::from(uuid::Uuid::nil());
    let _ = ask(|reply| store.look(nobody, reply));
}

/// Returns a store on a disk that was full, with a segment in front that must stay because of the returned events, and
/// emptied ones behind it.
fn emptied(files: &SimulatedFolder, disk: &Disk) -> (DiskStore, BTreeSet<RequestId>) {
    let store = open(files, disk, 0).unwrap();
    forgetful(&store, "fill");
    files.room(Some(40_000));
    let payload = format!("\"{}\"", "x".repeat(900));
    let pinned = (0..5).map(|_| keep(&store, event("late", &payload, at(0))));
    let pinned = pinned.collect();
    // The settlements of the first events are taken out too.
    for _ in 0..3 {
        let mut ids = Vec::new();
        while let Ok(appended) = append(&store, vec![filler(300)]) {
            let [crate::store::Appended::Kept(id)] = appended[..] else {
                panic!("{appended:?}");
            };
            ids.push(id);
        }
        ids.iter().for_each(|&id| succeed(&store, id));
        (0..20).for_each(|_| poke(&store));
    }
    assert_eq!(store.health(), Health::Well);
    files.room(None);
    assert!(names(files).len() > 2, "{:?}", files.lengths());
    (store, pinned)
}

/// Returns the names of the emptied segments.
fn names(files: &SimulatedFolder) -> Vec<String> {
    let all = files.lengths().into_iter();
    let emptied = all.filter(|(name, length)| name.ends_with(".log") && *length == LENGTH);
    emptied.map(|(name, _)| name).collect()
}

fn verified(files: &SimulatedFolder) -> Verification {
    verify_files(&(Arc::new(files.clone()) as Arc<dyn Files>)).unwrap()
}

fn waiting(files: &SimulatedFolder, disk: &Disk) -> BTreeSet<RequestId> {
    let store = open(files, disk, 0).unwrap();
    let all = ["late", "fill"].map(|function| fetch(&store, function, at(9)).unwrap());
    assert!(all.iter().all(|fetched| fetched.unreadable.is_empty()));
    let events = all.into_iter().flat_map(|fetched| fetched.events);
    events.map(|event| event.request_id).collect()
}

fn is_whole_and_salvaged(disk: &Disk) {
    let files = SimulatedFolder::new(1);
    let (store, pinned) = emptied(&files, disk);
    let left = super::kill(store, &files);
    let before = verified(&left);
    assert_eq!((before.pending, before.unreadable), (5, 0), "{before:?}");
    assert!(before.is_sound(), "{before:?}");
    let of_log = |name: &str| before.files.iter().any(|file| file.name == name);
    assert!(names(&left).iter().all(|name| of_log(name)));
    let copy = SimulatedFolder::new(9);
    let saved = salvage(&left, &(Arc::new(copy.clone()) as Arc<dyn Files>)).unwrap();
    assert!(saved.lost.is_empty(), "{saved:?}");
    assert!(saved.saved.is_sound(), "{saved:?}");
    assert_eq!((saved.saved.pending, saved.saved.unreadable), (5, 0));
    assert_eq!(waiting(&left, disk), pinned);
    // A copy of the copy is the same.
    let again = SimulatedFolder::new(10);
    let saved = salvage(&copy, &(Arc::new(again.clone()) as Arc<dyn Files>)).unwrap();
    assert!(saved.lost.is_empty(), "{saved:?}");
    for copy in [copy, again] {
        assert_eq!(waiting(&copy, disk), pinned);
    }
}

#[test]
fn emptied_segments_are_whole_and_salvaged_without_a_loss() {
    virtual_time(|| is_whole_and_salvaged(&tiny(4_096)));
}

#[cfg(feature = "encryption")] // encrypts its folder
#[test]
fn emptied_segments_of_an_encrypted_folder_are_salvaged_too() {
    use crate::store::encryption::KeyFile;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    KeyFile::generate(&path).unwrap();
    virtual_time(|| {
        is_whole_and_salvaged(&tiny(4_096).encrypted_with(KeyFile::read(&path).unwrap()));
    });
}

#[cfg(feature = "encryption")] // encrypts its folder
#[test]
fn keys_can_be_rotated_on_a_full_disk() {
    use crate::store::encryption::KeyFile;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    KeyFile::generate(&path).unwrap();
    let key = || KeyFile::read(&path).unwrap();
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096).encrypted_with(key()), 0).unwrap();
        let id = keep(&store, event("late", "1", at(0)));
        let left = super::kill(store, &files);
        left.room(Some(left.lengths().values().sum()));
        let afresh = tiny(4_096).with_rotated_data_key(key());
        assert_eq!(waiting(&left, &afresh), [id].into());
    });
}

#[test]
fn damage_to_an_emptied_segment_is_refused_and_so_is_its_absence() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let (store, pinned) = emptied(&files, &tiny(4_096));
        let left = super::kill(store, &files);
        let name = &names(&left)[1];
        let refused = |damaged: &SimulatedFolder, hint: &str| {
            let error = open(damaged, &tiny(4_096), 0).err();
            let error = error.unwrap_or_else(|| panic!("{hint}"));
            assert!(error.to_string().contains(name), "{hint}: {error}");
            assert!(!verified(damaged).is_sound(), "{hint}");
        };
        for at in HEADER..LENGTH as usize {
            refused(&left.with(name, |bytes| bytes[at] ^= 1), "a flipped byte");
        }
        for at in [0, 1, HEADER - 1, HEADER, HEADER + 5] {
            refused(&left.with(name, |bytes| bytes.truncate(at)), "a cut");
        }
        refused(&left.with(name, |bytes| bytes.push(0)), "something behind");
        let missing = left.killed();
        missing.remove(name).unwrap();
        refused(&missing, "a missing one");
        // Its records were of no use to any reader.
        let damaged = left.with(name, |bytes| bytes[HEADER + 8] ^= 1);
        let copy = SimulatedFolder::new(9);
        let saved = salvage(&damaged, &(Arc::new(copy.clone()) as Arc<dyn Files>)).unwrap();
        assert_eq!(saved.lost.len(), 1, "{saved:?}");
        assert_eq!(waiting(&copy, &tiny(4_096)), pinned);
    });
}

#[test]
fn the_oldest_segment_is_marked_also_when_it_is_emptied() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let (store, pinned) = emptied(&files, &tiny(4_096));
        pinned.iter().for_each(|&id| succeed(&store, id));
        let more = keep(&store, event("late", "2", at(0)));
        (0..5).for_each(|_| poke(&store));
        assert!(
            !files.lengths().contains_key(&segment_file::name(1)),
            "it is removed"
        );
        let left = super::kill(store, &files);
        assert!(verified(&left).is_sound());
        assert_eq!(waiting(&left.killed(), &tiny(4_096)), [more].into());
        let oldest = files
            .lengths()
            .into_keys()
            .find(|name| name.ends_with(".log"));
        left.remove(&oldest.unwrap()).unwrap();
        assert!(open(&left, &tiny(4_096), 0).is_err(), "it is missed");
    });
}

/// The mark of the oldest segment goes to a file that must be opened first.
#[test]
fn removing_a_segment_is_retried_when_descriptors_are_short() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        forgetful(&store, "fill");
        let ids: Vec<_> = (0..60).map(|_| keep(&store, filler(500))).collect();
        let left = super::kill(store, &files);
        let store = open(&left, &tiny(4_096), 0).unwrap();
        forgetful(&store, "fill");
        left.open_max(Some(left.open_count()));
        ids.iter().for_each(|&id| succeed(&store, id));
        (0..5).for_each(|_| poke(&store));
        assert_eq!(store.health(), Health::Well);
        assert!(left.lengths().contains_key(&segment_file::name(1)));
        left.open_max(None);
        keep(&store, filler(10));
        (0..5).for_each(|_| poke(&store));
        assert_eq!(store.health(), Health::Well);
        assert!(!left.lengths().contains_key(&segment_file::name(1)));
        let files = super::kill(store, &left);
        assert!(verified(&files).is_sound());
        assert!(open(&files, &tiny(4_096), 0).is_ok());
    });
}

/// A salvage could not read a record that later ones refer to: the segment stays as long as one of those may exist.
#[test]
fn a_segment_with_salvage_losses_is_not_emptied_before_those_in_front() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let (store, _) = emptied(&files, &tiny(4_096));
        let left = super::kill(store, &files);
        let name = &names(&left)[0];
        let number = name[..8].parse().unwrap();
        let place = frame::FramePlace {
            segment: number,
            offset: HEADER as u32,
        };
        let lost = left.with(name, |bytes| {
            bytes.truncate(HEADER);
            let written = frame::append(bytes, place, |buffer| LogRecord::Lost.write(buffer));
            written.unwrap();
        });
        let next = segment_file::name(number + 1);
        // As in a copy: the next segment holds its length.
        let copy = SimulatedFolder::new(9);
        let files: Arc<dyn Files> = Arc::new(copy.clone());
        salvage(&lost, &files).unwrap();
        assert!(copy.lengths().contains_key(&next));
        let length = copy.lengths()[name];
        let store = open(&copy, &tiny(4_096), 0).unwrap();
        forgetful(&store, "fill");
        copy.room(Some(copy.lengths().values().sum::<u64>() + 2_000));
        while append(&store, vec![filler(300)]).is_ok() {}
        (0..20).for_each(|_| poke(&store));
        assert_eq!(copy.lengths().get(name), Some(&length));
        let whole = verified(&copy);
        let extent = whole.files.iter().find(|file| file.name == *name);
        assert_eq!(extent.map(|file| &file.extent), Some(&Extent::Whole));
        assert!(length > LENGTH, "what is emptied is shorter");
    });
}
