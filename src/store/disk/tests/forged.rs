//! Forged records in an encrypted folder: the attacker can write to it and knows the format, but not the key.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{at, event, fetch, keep, tiny, virtual_time};
use crate::error::StoreErrorKind;
use crate::event::attempt::Attempt;
use crate::event::failure::{Failure, FailureKind};
use crate::store::disk::Disk;
use crate::store::disk::files::Files;
use crate::store::disk::frame::{self, FramePlace};
use crate::store::disk::header::{self, HEADER};
use crate::store::disk::record::{Blob, LogRecord, Opened};
use crate::store::disk::salvage::salvage;
use crate::store::disk::simulated::SimulatedFolder;
use crate::store::disk::verify::{Verification, verify_files};
use crate::store::encryption::KeyFile;
use crate::store::encryption::keyring::Keyring;
use crate::store::{EventStore, Fetched, Settled, Settlement};

const LOG: &str = "00000001.log";

/// Returns the frames of the first file, each with its offset.
fn frames(bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
    frames_of(bytes, 1)
}

fn frames_of(bytes: &[u8], segment: u32) -> Vec<(usize, Vec<u8>)> {
    let (mut at, mut all) = (HEADER, Vec::new());
    let place = |at| FramePlace {
        segment,
        offset: at as u32,
    };
    while let Ok(found) = frame::read(&bytes[at..], place(at)) {
        all.push((at, found.body.to_vec()));
        at += frame::HEAD + found.body.len();
    }
    all
}

fn place(at: usize) -> FramePlace {
    FramePlace {
        segment: 1,
        offset: at as u32,
    }
}

/// Swaps the encrypted payloads of the first two events, in records that are otherwise sound.
fn swap_payloads(bytes: &mut [u8]) {
    let frames = frames(bytes);
    let events = frames
        .iter()
        .filter_map(|(at, body)| match LogRecord::read(body) {
            Ok(LogRecord::Event(event)) => Some((*at, event)),
            _ => None,
        });
    let mut events: Vec<_> = events.take(2).collect();
    let [(_, first), (_, second)] = &mut events[..] else {
        panic!("two events")
    };
    std::mem::swap(&mut first.payload, &mut second.payload);
    for (at, event) in events {
        let mut forged = Vec::new();
        let write = |buffer: &mut Vec<u8>| LogRecord::Event(event).write(buffer);
        frame::append(&mut forged, place(at), write).unwrap();
        bytes[at..at + forged.len()].copy_from_slice(&forged);
    }
}

/// Replaces the events' records by forged ones, which are sound and equally long.
fn forge(bytes: &mut [u8], forge: impl Fn(&mut LogRecord<'_>)) {
    for (at, body) in frames(bytes) {
        let mut record = LogRecord::read(&body).unwrap();
        forge(&mut record);
        let mut forged = Vec::new();
        let write = |buffer: &mut Vec<u8>| record.write(buffer);
        frame::append(&mut forged, place(at), write).unwrap();
        assert_eq!(forged.len(), frame::HEAD + body.len(), "{record:?}");
        bytes[at..at + forged.len()].copy_from_slice(&forged);
    }
}

fn encrypted(path: &Path) -> Disk {
    tiny(1 << 16).encrypted_with(KeyFile::read(path).unwrap())
}

/// Returns an encrypted folder of a killed process with two waiting events, and the file of its key.
fn folder() -> (SimulatedFolder, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    KeyFile::generate(&path).unwrap();
    let files = SimulatedFolder::new(1);
    let store = super::open(&files, &encrypted(&path), 0).unwrap();
    for payload in [r#""mine""#, r#""your""#] {
        keep(&store, event("charge", payload, at(0)));
    }
    (super::kill(store, &files), folder, path)
}

fn verified(files: &SimulatedFolder) -> Verification {
    verify_files(&(Arc::new(files.clone()) as Arc<dyn Files>)).unwrap()
}

/// Returns the events of all functions.
fn read(files: &SimulatedFolder, path: &Path) -> Fetched {
    let store = super::open(files, &encrypted(path), 0).unwrap();
    let mut all = fetch(&store, "charge", at(99)).unwrap();
    let other = fetch(&store, "refund", at(99)).unwrap();
    all.events.extend(other.events);
    all.unreadable.extend(other.unreadable);
    all
}

#[test]
fn a_payload_decrypts_for_its_own_event_only() {
    virtual_time(|| {
        let (left, _folder, path) = folder();
        assert_eq!(read(&left.killed(), &path).events.len(), 2);
        let forged = left.with(LOG, |bytes| swap_payloads(bytes));
        let fetched = read(&forged, &path);
        assert!(fetched.events.is_empty(), "{fetched:?}");
        let kinds = fetched.unreadable.iter().map(|(_, error)| error.kind());
        let kinds: Vec<_> = kinds.collect();
        assert_eq!(kinds, [StoreErrorKind::Damaged; 2]);
    });
}

fn bytes_of(files: &SimulatedFolder) -> Vec<u8> {
    let mut all = Vec::new();
    files.with(LOG, |bytes| all.clone_from(bytes));
    all
}

type Forgery = fn(&mut LogRecord<'_>);

#[test]
fn a_forged_record_does_not_decrypt() {
    let forgeries: [Forgery; 5] = [
        |record| {
            if let LogRecord::Event(event) = record {
                event.function = "refund";
            }
        },
        |record| {
            if let LogRecord::Event(event) = record {
                event.due += 1;
            }
        },
        |record| {
            if let LogRecord::Event(event) = record {
                event.accepted -= 1;
            }
        },
        |record| {
            if let LogRecord::Event(event) = record {
                event.hops += 1;
            }
        },
        // Not encrypted at all.
        |record| {
            if let LogRecord::Event(event) = record {
                let length = event.payload.bytes.len();
                let text = format!("{:>1$}", r#""forged""#, length);
                event.payload = Blob {
                    key: 0,
                    bytes: Cow::Owned(text.into_bytes()),
                };
            }
        },
    ];
    virtual_time(|| {
        let (left, _folder, path) = folder();
        for (number, forgery) in forgeries.into_iter().enumerate() {
            let forged = left.with(LOG, |bytes| forge(bytes, forgery));
            let is_plain = number == 4;
            assert_eq!(verified(&forged).is_sound(), !is_plain, "{number}");
            let fetched = read(&forged, &path);
            assert!(fetched.events.is_empty(), "{number}: {fetched:?}");
            assert_eq!(fetched.unreadable.len(), 2, "{number}");
            for (_, error) in &fetched.unreadable {
                assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
                assert!(error.to_string().contains(LOG), "{error}");
            }
        }
    });
}

#[test]
fn a_retry_with_a_forged_time_does_not_decrypt() {
    virtual_time(|| {
        let (left, _folder, path) = folder();
        let store = super::open(&left, &encrypted(&path), 0).unwrap();
        let id = fetch(&store, "charge", at(0)).unwrap().events[0].request_id;
        let attempt = Attempt {
            number: 1,
            started_at: at(0),
            duration: Duration::ZERO,
            failure: Failure::new(FailureKind::Error, "Refused", "no"),
        };
        let settlement = Settlement::Rescheduled {
            attempt: Box::new(attempt),
            uncounted: 0,
            due_at: at(5),
        };
        store.settle(Settled::new(id, at(0), settlement)).unwrap();
        let left = super::kill(store, &left);
        assert_eq!(read(&left.killed(), &path).unreadable.len(), 0);
        let second = "00000002.log";
        let forged = left.with(second, |bytes| {
            for (at, body) in frames_of(bytes, 2) {
                let Ok(LogRecord::Rescheduled { due, .. }) = LogRecord::read(&body) else {
                    continue;
                };
                let mut record = LogRecord::read(&body).unwrap();
                if let LogRecord::Rescheduled { due: forged, .. } = &mut record {
                    *forged = due - 1;
                }
                let mut forged = Vec::new();
                let place = FramePlace {
                    segment: 2,
                    offset: at as u32,
                };
                frame::append(&mut forged, place, |buffer| record.write(buffer)).unwrap();
                bytes[at..at + forged.len()].copy_from_slice(&forged);
            }
        });
        let fetched = read(&forged, &path);
        assert_eq!((fetched.events.len(), fetched.unreadable.len()), (1, 1));
        assert_eq!(fetched.unreadable[0].0, Some(id));
    });
}

#[test]
fn an_encrypted_folder_without_its_keys_is_refused() {
    virtual_time(|| {
        let (left, _folder, path) = folder();
        let gone = left.killed();
        gone.remove("keys").unwrap();
        // The keys of another folder under the same master key.
        let other = SimulatedFolder::new(2);
        drop(super::open(&other, &encrypted(&path), 0).unwrap());
        let mut theirs = Vec::new();
        other.with("keys", |bytes| theirs = bytes.clone());
        let changed = left.with("keys", |bytes| *bytes = theirs);
        for (what, files) in [("is missing", gone), ("isn't the file", changed)] {
            let before = files.lengths();
            let without = super::open(&files, &tiny(1 << 16), 0).err().unwrap();
            let with = super::open(&files, &encrypted(&path), 0).err().unwrap();
            assert!(
                with.to_string()
                    .contains(&format!("/simulated/keys` {what}")),
                "{with}"
            );
            assert_eq!(with.kind(), StoreErrorKind::Damaged);
            assert!(without.to_string().contains("/simulated/"), "{without}");
            assert_eq!(files.lengths(), before);
            let found = verified(&files);
            assert!(!found.is_sound());
            assert!(
                found.files.iter().any(|file| file.name == "keys"),
                "{found:?}"
            );
        }
        assert!(verified(&left).is_sound());
    });
}

#[test]
fn a_forger_cannot_claim_that_a_folder_is_unencrypted() {
    virtual_time(|| {
        let (left, _folder, path) = folder();
        // The header of a segment claims it.
        let opened = |bytes: &[u8]| {
            let body = frame::read(&bytes[16..], place(16)).unwrap().body.to_vec();
            match LogRecord::read(&body) {
                Ok(LogRecord::Opened(opened)) => opened,
                other => panic!("{other:?}"),
            }
        };
        let unnamed = left.with(LOG, |bytes| {
            let opened = Opened {
                ring: None,
                ..opened(bytes)
            };
            bytes[..HEADER].copy_from_slice(&header::write(1, &opened).unwrap());
        });
        let error = super::open(&unnamed, &encrypted(&path), 0).err().unwrap();
        assert!(error.to_string().contains("isn't encrypted"), "{error}");
        assert!(!verified(&unnamed).is_sound());
        // The file of keys claims it, with a valid checksum.
        let later = left.with("keys", |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let (_, rest) = text.split_once('\n').unwrap();
            *bytes = Keyring::forged(&rest.replace("\"since\": 1", "\"since\": 2"));
        });
        for disk in [encrypted(&path), tiny(1 << 16)] {
            super::open(&later, &disk, 0).err().unwrap();
        }
    });
}

#[test]
fn a_folder_that_is_encrypted_later_refuses_plain_records_from_there_on() {
    virtual_time(|| {
        let (_, _folder, path) = folder();
        let files = SimulatedFolder::new(1);
        let store = super::open(&files, &tiny(1 << 16), 0).unwrap();
        keep(&store, event("charge", r#""open""#, at(0)));
        drop(store);
        for _ in 0..3 {
            // Encrypted segments don't take the place of empty ones.
            drop(super::open(&files, &encrypted(&path), 0).unwrap());
        }
        let store = super::open(&files, &encrypted(&path), 0).unwrap();
        keep(&store, event("charge", r#""sealed""#, at(0)));
        let left = super::kill(store, &files);
        assert!(verified(&left).is_sound());
        assert_eq!(read(&left.killed(), &path).events.len(), 2);
    });
}

#[test]
fn a_refused_folder_does_not_become_encrypted() {
    virtual_time(|| {
        let (_, _folder, path) = folder();
        let files = SimulatedFolder::new(1);
        let store = super::open(&files, &tiny(1 << 16), 0).unwrap();
        for payload in ["1", "2"] {
            keep(&store, event("charge", payload, at(0)));
        }
        drop(store);
        for byte in 0..files.lengths()[LOG] as usize {
            let damaged = files.with(LOG, |bytes| bytes[byte] ^= 1);
            let before = damaged.lengths();
            if super::open(&damaged, &encrypted(&path), 0).is_err() {
                assert_eq!(damaged.lengths(), before, "byte {byte}");
            }
        }
    });
}

#[test]
fn an_encrypted_folder_is_salvaged_without_its_key() {
    virtual_time(|| {
        let (left, _folder, path) = folder();
        let (at_byte, _) = frames(&bytes_of(&left))[0];
        let damaged = left.with(LOG, |bytes| bytes[at_byte + 60] ^= 1);
        super::open(&damaged.killed(), &tiny(1 << 16), 0)
            .err()
            .unwrap();
        let copy = SimulatedFolder::new(3);
        let into: Arc<dyn Files> = Arc::new(copy.clone());
        let salvage = salvage(&damaged, &into).unwrap();
        assert_eq!(salvage.lost.len(), 1, "{salvage:?}");
        super::open(&copy.killed(), &tiny(1 << 16), 0)
            .err()
            .unwrap();
        let fetched = read(&copy, &path);
        assert_eq!((fetched.events.len(), fetched.unreadable.len()), (1, 0));
    });
}
