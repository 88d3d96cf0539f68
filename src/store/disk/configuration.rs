//! The document of the functions' live settings: a separate file, replaced as a whole, under a checksum.
//!
//! ```text
//! redrive configuration 1 5f0c93ab          version, and a checksum of the rest
//! { "thumbnail": { "paused": true } }
//! ```
//!
//! The header of each segment says whether the file exists. A file with nothing but the document is accepted as it is:
//! earlier versions wrote it so, and it can be made by hand.

use super::atomic_file;
use super::files::Files;
use crate::error::{StoreError, StoreErrorKind};

pub(super) const NAME: &str = "configuration";
const MAGIC: &str = "redrive configuration 1 ";
/// The advice for a missing or damaged file.
const GO_ON: &str = "Restore it from a backup, or, to go on without live settings, put a file with `{}` in its place";

/// Replaces the document. Durable on return.
pub(super) fn write(files: &dyn Files, document: &str) -> Result<(), StoreError> {
    let head = format!("{MAGIC}{:08x}\n", crc32fast::hash(document.as_bytes()));
    atomic_file::write(files, NAME, (head + document).as_bytes())
}

/// Returns the document, if there is one.
pub(super) fn read(files: &dyn Files) -> Result<Option<String>, StoreError> {
    let Some(bytes) = atomic_file::read(files, NAME)? else {
        return Ok(None);
    };
    let document = String::from_utf8(bytes)
        .ok()
        .and_then(|text| document(&text));
    document.map(Some).ok_or_else(|| {
        let message = format!(
            "`{}` is damaged: its content is not what was written. {GO_ON}",
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

/// Returns the error for a file that must exist and does not.
pub(super) fn missing(files: &dyn Files) -> StoreError {
    let message = format!(
        "`{}` is missing: it held the functions' live settings, such as pauses and permissions. {GO_ON}",
        files.path(NAME)
    );
    StoreError::of(StoreErrorKind::Damaged, message)
}
