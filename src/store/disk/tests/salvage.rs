//! Salvage: the readable records of a damaged folder are saved into another one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::world::World;
use super::{
    Disk, DiskStore, SimulatedFolder, at, event, fetch, filler, keep, kill, open, succeed, tiny,
};
use super::{ask, virtual_time};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::attempt::Attempt;
use crate::event::failure::{Failure, FailureKind};
use crate::event::request_id::RequestId;
use crate::store::disk::files::Files;
use crate::store::disk::salvage::{Salvage, salvage};
use crate::store::{EventStore, Settled, Settlement, StoredEvent};

const SECOND: &str = "00000002.log";

/// Returns the copy of a folder, and the report. Checks that the folder itself stays as it is.
fn saved(files: &SimulatedFolder) -> Result<(SimulatedFolder, Salvage), StoreError> {
    let before = files.lengths();
    let copy = SimulatedFolder::new(9);
    let into: Arc<dyn Files> = Arc::new(copy.clone());
    let salvage = salvage(files, &into)?;
    assert_eq!(files.lengths(), before);
    // The copy is durable.
    Ok((copy.power_cut(1), salvage))
}

fn ids(store: &DiskStore, function: &str) -> BTreeSet<RequestId> {
    let fetched = fetch(store, function, at(99)).unwrap();
    assert!(fetched.unreadable.is_empty(), "{fetched:?}");
    fetched
        .events
        .iter()
        .map(|event| event.request_id)
        .collect()
}

#[test]
fn a_flipped_byte_costs_only_its_own_record() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1_024), 0).unwrap();
        let kept: Vec<_> = (0..12).map(|_| keep(&store, filler(300))).collect();
        ask(|reply| store.configure("{}".to_owned(), reply)).unwrap();
        let kept: BTreeSet<_> = kept.into_iter().collect();
        drop(store);
        let whole = files.killed();
        for byte in (0..whole.lengths()[SECOND] as usize).step_by(3) {
            let damaged = whole.with(SECOND, |bytes| bytes[byte] ^= 0x10);
            let refused = open(&damaged.killed(), &tiny(1_024), 0).is_err();
            let (copy, salvage) = saved(&damaged).unwrap();
            assert_eq!(
                salvage.lost.len(),
                usize::from(refused),
                "byte {byte}: {salvage:?}"
            );
            let store = open(&copy, &tiny(1_024), 0).unwrap();
            let found = ids(&store, "fill");
            let lost = kept.len() - found.len();
            assert_eq!(
                salvage.saved.unreadable, lost as u64,
                "byte {byte}: {salvage:?}"
            );
            assert!(found.is_subset(&kept) && lost <= usize::from(byte >= 128 && refused));
            for part in &salvage.lost {
                assert_eq!(part.name, SECOND);
                assert!(
                    (part.at..part.at + part.bytes).contains(&(byte as u64)),
                    "{part:?}"
                );
                let gone = kept.difference(&found).next();
                // The flipped byte may lie in the text of the report.
                if let Some(gone) = gone.filter(|_| byte as u64 > part.at + 60) {
                    assert!(part.what.contains(&gone.to_string()), "{part:?} {gone}");
                }
            }
            // It takes new events, with unused numbers.
            let more = keep(&store, filler(10));
            store.spill(more, at(0));
            assert!(!kept.contains(&more));
            assert_eq!(ids(&store, "fill"), [more].into());
            let configured = ask(|reply| store.configured(reply)).unwrap();
            assert_eq!(configured.as_deref(), Some("{}"));
        }
    });
}

#[test]
fn scheduled_events_keep_their_numbers_where_a_header_is_lost() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1_024), 0).unwrap();
        let scheduled = || StoredEvent {
            not_before: Some(at(1)),
            ..filler(300)
        };
        let kept: BTreeSet<_> = (0..12).map(|_| keep(&store, scheduled())).collect();
        let damaged = kill(store, &files);
        damaged.damage_byte(SECOND, 20);
        let (copy, salvage) = saved(&damaged).unwrap();
        let found = (salvage.saved.pending, salvage.saved.unreadable);
        assert_eq!(found, (12, 0), "{salvage:?}");
        let store = open(&copy, &tiny(1_024), 0).unwrap();
        assert_eq!(ids(&store, "fill"), kept);
    });
}

#[test]
fn missing_headless_and_short_files_cost_only_their_own_records() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1_024), 0).unwrap();
        let kept: Vec<_> = (0..12).map(|_| keep(&store, filler(300))).collect();
        let whole = kill(store, &files);
        type Harm = fn(&SimulatedFolder);
        let harms: [(Harm, usize); 4] = [
            (|files| files.remove(SECOND).unwrap(), 3),
            (|files| files.remove("00000001.log").unwrap(), 3),
            (|files| files.damage_byte(SECOND, 20), 0),
            (|files| files.damage_byte(SECOND, 3), 0),
        ];
        for (harm, costs) in harms {
            let files = whole.killed();
            harm(&files);
            assert!(open(&files.killed(), &tiny(1_024), 0).is_err());
            let (copy, salvage) = saved(&files).unwrap();
            assert_eq!(salvage.saved.pending as usize, 12 - costs, "{salvage:?}");
            assert_eq!(salvage.saved.unreadable as usize, costs, "{salvage:?}");
            assert!(!salvage.lost.is_empty());
            let store = open(&copy, &tiny(1_024), 0).unwrap();
            assert_eq!(ids(&store, "fill").len(), 12 - costs);
            let more = keep(&store, filler(10));
            assert!(!kept.contains(&more));
        }
        let short = whole.with(SECOND, |bytes| bytes.truncate(600));
        let (copy, salvage) = saved(&short).unwrap();
        let lost = &salvage.lost[..];
        assert!(
            matches!(lost, [part] if part.name == SECOND && part.at < 600),
            "{lost:?}"
        );
        let store = open(&copy, &tiny(1_024), 0).unwrap();
        assert_eq!(ids(&store, "fill").len(), 10);
    });
}

#[test]
fn an_event_is_saved_without_its_lost_history() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1 << 16), 0).unwrap();
        let id = keep(&store, event("charge", "1", at(0)));
        let before = files.lengths()["00000001.log"] as usize;
        for number in 1..=3 {
            let attempt = Attempt {
                number,
                started_at: at(0),
                duration: std::time::Duration::ZERO,
                failure: Failure::new(FailureKind::Error, "Refused", "no"),
            };
            let settlement = Settlement::Rescheduled {
                attempt: Box::new(attempt),
                uncounted: 0,
                due_at: at(5),
            };
            store.settle(Settled::new(id, at(0), settlement)).unwrap();
            keep(&store, event("other", "2", at(0)));
        }
        drop(store);
        let damaged = files.killed();
        damaged.damage_byte("00000001.log", before + 12);
        let (copy, salvage) = saved(&damaged).unwrap();
        assert!(salvage.saved.is_sound(), "{salvage:?}");
        let store = open(&copy, &tiny(1 << 16), 0).unwrap();
        let fetched = fetch(&store, "charge", at(9)).unwrap();
        let [event] = &fetched.events[..] else {
            panic!("{fetched:?}")
        };
        assert_eq!(event.attempt_count, 3);
        let told: Vec<_> = event
            .attempts
            .iter()
            .map(|attempt| attempt.number)
            .collect();
        assert!(told.ends_with(&[3]) && told.len() < 3, "{told:?}");
    });
}

/// After any damage, the copy opens, and the report names each lost part.
#[test]
fn a_copy_of_any_damaged_folder_opens() {
    let mut opened = 0;
    for seed in 0..12 {
        virtual_time(|| {
            let mut world = World::new(seed + 200, tiny(2_048));
            assert!(world.open());
            world.run(70);
            match seed % 2 {
                0 => world.close(),
                _ => world.abandon(),
            }
            let whole = world.files.killed();
            for chance in 0..40 {
                let damaged = whole.killed();
                let how = damaged.damage(seed * 1_000 + chance);
                let refused = open(&damaged.killed(), &tiny(2_048), world.now()).is_err();
                let (copy, salvage) = match saved(&damaged) {
                    Ok(saved) => saved,
                    Err(error) if error.kind() == StoreErrorKind::Version => continue,
                    Err(error) => panic!("{how}: {error}"),
                };
                assert!(!refused || !salvage.lost.is_empty(), "{how}");
                let store = open(&copy, &tiny(2_048), world.now());
                let store = store.unwrap_or_else(|error| panic!("{how}: {error}\n{salvage:?}"));
                keep(&store, event("charge", "1", at(0)));
                opened += 1;
            }
        });
    }
    assert!(opened > 400, "{opened}");
}

#[test]
fn a_copy_of_a_sound_folder_is_the_same() {
    for seed in 0..10 {
        virtual_time(|| {
            let mut world = World::new(seed + 300, tiny(2_048));
            assert!(world.open());
            world.run(150);
            world.close();
            let whole = world.files.killed();
            let right = world.read(&whole.killed()).unwrap();
            let (copy, salvage) = saved(&whole).unwrap();
            assert_eq!(salvage.lost, []);
            assert_eq!(world.read(&copy).unwrap(), right);
        });
    }
}

#[test]
fn salvage_needs_a_source_and_an_empty_target() {
    let folder = tempfile::tempdir().unwrap();
    let (from, into) = (folder.path().join("from"), folder.path().join("into"));
    let disk = Disk::new(&from);
    assert!(disk.salvage(&into).is_err());
    assert!(!from.exists());
    let store = DiskStore::open(&disk).unwrap();
    let id = keep(&store, event("charge", "1", at(0)));
    succeed(&store, id);
    keep(&store, event("charge", "2", at(0)));
    let in_use = disk.salvage(&into).unwrap_err();
    assert_eq!(in_use.kind(), StoreErrorKind::Locked);
    drop(store);
    let salvage = disk.salvage(&into).unwrap();
    assert_eq!(salvage.lost, []);
    assert_eq!((salvage.saved.pending, salvage.saved.finished), (1, 1));
    let error = disk.salvage(&into).unwrap_err();
    assert!(error.to_string().contains("empty folder"), "{error}");
    let error = disk.salvage(&from).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    let store = DiskStore::open(&Disk::new(&into)).unwrap();
    assert_eq!(fetch(&store, "charge", at(9)).unwrap().events.len(), 1);
}
