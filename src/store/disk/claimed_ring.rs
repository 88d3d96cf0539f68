//! The key ring that the file `keys` claims to hold: without the master key it can't be verified.

use super::atomic_file;
use super::cipher::{KEYS, Ring};
use super::encryption_setup;
use super::files::Files;
use crate::error::StoreError;

/// Returns the ring in the file `keys`, if there is one. `named` is the ring that the headers of the log name.
pub(super) fn read(files: &dyn Files, named: Option<Ring>) -> Result<Option<Ring>, StoreError> {
    match atomic_file::read(files, KEYS)? {
        Some(keys) => encryption_setup::claimed(&keys, named),
        None => Ok(None),
    }
}
