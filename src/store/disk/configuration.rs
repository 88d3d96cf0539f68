//! What was set of functions while they ran: a file of its own, replaced as a whole, under a checksum.
//!
//! ```text
//! redrive configuration 1 5f0c93ab          version, and a checksum of the rest
//! { "thumbnail": { "paused": true } }
//! ```
//!
//! The header of each segment says whether there is one. One that holds nothing but the document is taken as it is: that is
//! how it was written before, and how it can be made by hand.

use super::atomic_file;
use super::files::Files;
use crate::error::{StoreError, StoreErrorKind};

pub(super) const NAME: &str = "configuration";
const MAGIC: &str = "redrive configuration 1 ";
/// What to do about one that is missing or damaged.
const GO_ON: &str = "Restore it from a backup, or, to go on without anything that was set, put a file with `{}` in its place";

/// Keeps the document in place of the one before; durable on return.
pub(super) fn write(files: &dyn Files, document: &str) -> Result<(), StoreError> {
    let head = format!("{MAGIC}{:08x}\n", crc32fast::hash(document.as_bytes()));
    atomic_file::write(files, NAME, (head + document).as_bytes())
}

/// The document, if there is one.
pub(super) fn read(files: &dyn Files) -> Result<Option<String>, StoreError> {
    let Some(bytes) = atomic_file::read(files, NAME)? else {
        return Ok(None);
    };
    let document = String::from_utf8(bytes)
        .ok()
        .and_then(|text| document(&text));
    document.map(Some).ok_or_else(|| {
        let message = format!(
            "`{}` is damaged: what is there isn't what was written. {GO_ON}",
            files.path(NAME)
        );
        StoreError::of(StoreErrorKind::Damaged, message)
    })
}

fn document(text: &str) -> Option<String> {
    if text.starts_with('{') {
        return Some(text.to_owned());
    }
    let (checksum, document) = text.strip_prefix(MAGIC)?.split_once('\n')?;
    (checksum == format!("{:08x}", crc32fast::hash(document.as_bytes())))
        .then(|| document.to_owned())
}

/// There was one, and it is gone.
pub(super) fn missing(files: &dyn Files) -> StoreError {
    let message = format!(
        "`{}` is missing: it held what was set of functions while they ran, such as pauses and permissions. {GO_ON}",
        files.path(NAME)
    );
    StoreError::of(StoreErrorKind::Damaged, message)
}
