//! Whoever can write to the folder knows what a record looks like, but not the key.

use super::{DiskStore, at, event, fetch, keep, tiny, virtual_time};
use crate::error::StoreErrorKind;
use crate::store::disk::Disk;
use crate::store::disk::frame::{self, Place};
use crate::store::disk::log::HEADER;
use crate::store::disk::record::Record;
use crate::store::disk::simulated::Simulated;
use crate::store::seal::KeyFile;

const LOG: &str = "00000001.log";

/// The frames of the file, each with where it begins.
fn frames(bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let (mut at, mut all) = (HEADER, Vec::new());
    while let Ok(found) = frame::read(&bytes[at..], place(at)) {
        all.push((at, found.body.to_vec()));
        at += frame::HEAD + found.body.len();
    }
    all
}

fn place(at: usize) -> Place {
    Place {
        segment: 1,
        offset: at as u32,
    }
}

/// Has the first two events carry each other's sealed payloads, in records that are sound.
fn swap_payloads(bytes: &mut [u8]) {
    let frames = frames(bytes);
    let events = frames
        .iter()
        .filter_map(|(at, body)| match Record::read(body) {
            Ok(Record::Event(event)) => Some((*at, event)),
            _ => None,
        });
    let mut events: Vec<_> = events.take(2).collect();
    let [(_, first), (_, second)] = &mut events[..] else {
        panic!("two events")
    };
    std::mem::swap(&mut first.payload, &mut second.payload);
    for (at, event) in events {
        let mut forged = Vec::new();
        let write = |buffer: &mut Vec<u8>| Record::Event(event).write(buffer);
        frame::append(&mut forged, place(at), write).unwrap();
        bytes[at..at + forged.len()].copy_from_slice(&forged);
    }
}

#[test]
fn a_payload_opens_for_its_own_event_alone() {
    virtual_time(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        KeyFile::generate(&path).unwrap();
        let open = |files: &Simulated| -> DiskStore {
            let disk: Disk = tiny(1 << 16).sealed_with(KeyFile::read(&path).unwrap());
            super::open(files, &disk, 0).unwrap()
        };
        let files = Simulated::new(1);
        let store = open(&files);
        for payload in [r#""mine""#, r#""your""#] {
            keep(&store, event("charge", payload, at(0)));
        }
        let left = super::kill(store, &files);
        let read = |files: &Simulated| fetch(&open(files), "charge", at(0)).unwrap();
        assert_eq!(read(&left.killed()).events.len(), 2);
        let forged = left.with(LOG, |bytes| swap_payloads(bytes));
        let fetched = read(&forged);
        assert!(fetched.events.is_empty(), "{fetched:?}");
        let kinds = fetched.unreadable.iter().map(|(_, error)| error.kind());
        let kinds: Vec<_> = kinds.collect();
        assert_eq!(kinds, [StoreErrorKind::Damaged; 2]);
    });
}
