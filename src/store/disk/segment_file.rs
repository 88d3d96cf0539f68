//! The files of the log's segments: their names, which of them exist, and the start of one.

use std::io;

use super::file_error::io_error;
use super::files::Files;
use crate::error::StoreError;

const SUFFIX: &str = ".log";

/// Returns the name of the file of segment `number`.
pub(super) fn name(number: u32) -> String {
    format!("{number:08}{SUFFIX}")
}

/// Returns the numbers of the segments whose files exist, in ascending order.
pub(super) fn numbers(files: &dyn Files) -> Result<Vec<u32>, StoreError> {
    let names = files
        .list()
        .map_err(|error| io_error(files, "", "list", &error))?;
    let number = |of: &String| {
        let number = of.strip_suffix(SUFFIX)?.parse().ok()?;
        (*of == name(number)).then_some(number)
    };
    let mut numbers: Vec<_> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Returns whether a file with this number and an unreadable header belongs to another program. `before` is the number of
/// the segment in front of it.
pub(super) fn is_stray(number: u32, before: Option<&u32>) -> bool {
    /// A log hardly ever misses more segments in a row.
    const GAP_MAX: u32 = 1_000;
    before.is_some_and(|before| number - before > GAP_MAX)
}

/// Returns at most the first `length` bytes of a segment's file.
pub(super) fn read_start(
    files: &dyn Files,
    number: u32,
    length: usize,
) -> Result<Vec<u8>, StoreError> {
    let name = name(number);
    let read = || {
        let file = files.open(&name, false)?;
        let mut bytes = vec![0; length];
        let read = file.read_full(0, &mut bytes)?;
        bytes.truncate(read);
        Ok::<_, io::Error>(bytes)
    };
    read().map_err(|error| io_error(files, &name, "read", &error))
}
