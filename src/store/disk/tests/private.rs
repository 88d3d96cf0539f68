//! A real folder is private to its owner and to one process.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Disk, DiskStore, ask, at, event, filler, keep};
use crate::error::StoreErrorKind;
use crate::store::EventStore;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn files_and_folder_are_private_to_their_owner() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/data");
    fs::create_dir(parent.path().join("deep")).unwrap();
    let before = mode(&parent.path().join("deep"));
    let disk = Disk::new(&path).segment_bytes(1);
    #[cfg(feature = "encryption")] // with it, the file `keys` is checked too
    let disk = {
        let key = parent.path().join("master.key");
        disk.encrypted_with(crate::store::encryption::KeyFile::generate(&key).unwrap())
    };
    let store = DiskStore::open(&disk).unwrap();
    // A leftover of a replaced file, from a crash or from another program.
    let left = path.join("configuration.new");
    fs::write(&left, "{}").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o666)).unwrap();
    for _ in 0..3 {
        keep(&store, filler(70_000));
        ask(|reply| store.configure("{}".to_owned(), reply)).unwrap();
    }
    drop(store);
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&parent.path().join("deep")), before);
    let files: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert!(files.len() > 5, "{files:?}");
    for file in &files {
        assert_eq!(mode(file), 0o600, "{file:?}");
    }
}

#[test]
fn a_folder_without_its_lock_file_is_still_locked() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path());
    let store = DiskStore::open(&disk).unwrap();
    for _ in 0..2 {
        fs::remove_file(folder.path().join("lock")).unwrap();
        let error = DiskStore::open(&disk).err().unwrap();
        assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    }
    keep(&store, event("charge", "1", at(0)));
    drop(store);
    DiskStore::open(&disk).unwrap();
}
