//! Errors that name a file of the store: which call failed, which file is damaged, which one is missing.
//!
//! It decides how an error of the system counts: as a lack of room, a lack of descriptors or memory, or a failure.

use std::io;

use super::files::{self, Files};
use crate::error::{StoreError, StoreErrorKind};

/// Returns the error for the file `name`, on which the system refused `what`, a verb.
pub(super) fn io_error(files: &dyn Files, name: &str, what: &str, error: &io::Error) -> StoreError {
    let kind = match error {
        error if files::is_full(error) => StoreErrorKind::Full,
        error if files::is_short(error) => StoreErrorKind::Short,
        _ => StoreErrorKind::Failed,
    };
    StoreError::of(
        kind,
        format!("can't {what} `{}`: {error}", files.path(name)),
    )
}

/// Returns the error for a file whose bytes from `offset` on are not the ones that were written.
pub(super) fn damaged(files: &dyn Files, name: &str, offset: usize) -> StoreError {
    let message = format!(
        "`{}` is damaged at byte {offset}: its content is not what was written. Nothing was changed. Restore the folder from \
         a backup, see what is readable with `redrive::store::disk::verify`, or save that with `Disk::salvage`",
        files.path(name)
    );
    StoreError::of(StoreErrorKind::Damaged, message)
}

/// Returns the error for a file that must exist and does not.
pub(super) fn missing(files: &dyn Files, name: &str) -> StoreError {
    let message = format!(
        "`{}` is missing: a file of the store was removed. Restore it from a backup, or save what is left with \
         `Disk::salvage`",
        files.path(name)
    );
    StoreError::of(StoreErrorKind::Damaged, message)
}
