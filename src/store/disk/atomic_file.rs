//! Small files that are replaced as a whole: the old one is there until the new one is durable.

use super::file_error::io_error;
use super::files::Files;
use crate::error::StoreError;

/// Returns the contents of a file; `None` if it doesn't exist.
pub(super) fn read(files: &dyn Files, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let read = || {
        if !files.list()?.iter().any(|file| file == name) {
            return Ok(None);
        }
        let file = files.open(name, false)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or_default()];
        let read = file.read_full(0, &mut bytes)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    };
    read().map_err(|error| io_error(files, name, "read", &error))
}

/// Replaces the contents of a file, durably. After an error or a crash, it holds the new contents or the old ones.
pub(super) fn write(files: &dyn Files, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let new = format!("{name}.new");
    let write = || {
        // A leftover of a crash, or a file that another program made readable for all.
        if files.list()?.contains(&new) {
            files.remove(&new)?;
        }
        let file = files.open(&new, true)?;
        file.write_at(0, bytes)?;
        file.sync()?;
        files.rename(&new, name)?;
        files.sync()
    };
    write().map_err(|error| {
        let _ = files.remove(&new); // it only takes room; the next write makes it again
        io_error(files, &new, "write", &error)
    })
}
