//! The scan of a log that is being opened: its segments, the oldest first, checked to be complete.
//!
//! A missing segment is refused before any record is replayed. A segment whose creation a crash interrupted is skipped, and
//! reported. While one segment is replayed, a second thread reads the next one.

use std::sync::mpsc;
use std::thread;

use super::file_error::missing;
use super::files::Files;
use super::header::{self, HEADER};
use super::loaded_segment::{LoadedSegment, SpareMemory};
use super::record::Opened;
use super::segment_file;
use crate::error::StoreError;
use crate::telemetry;

/// Passes each segment of a log to `learn`, the oldest first.
pub(super) fn for_each(
    files: &dyn Files,
    mut learn: impl FnMut(Opened, LoadedSegment) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut all = segments(files)?;
    thread::scope(|scope| {
        let (sender, read) = mpsc::sync_channel(0);
        // The thread ends after the last segment, or when `learn` failed and the receiver is dropped.
        thread::Builder::new()
            .name("redrive-open".to_owned())
            .spawn_scoped(scope, move || all.all(|found| sender.send(found).is_ok()))
            .map_err(|error| {
                StoreError::new(format!("can't start a thread to read with: {error}"))
            })?;
        read.into_iter().try_for_each(|found| {
            let (opened, found) = found?;
            learn(opened, found)
        })
    })
}

/// Returns the segments of a log, the oldest first. Each is read when the iterator reaches it.
fn segments(
    files: &dyn Files,
) -> Result<impl Iterator<Item = Result<(Opened, LoadedSegment), StoreError>> + '_, StoreError> {
    let numbers = complete_numbers(files)?;
    let mut headers = Vec::new();
    for &number in &numbers {
        let bytes = segment_file::read_start(files, number, HEADER)?;
        headers.push(header::read(files, number, &bytes)?);
    }
    if let Some(oldest) = headers.first() {
        oldest.require_oldest(files)?;
    }
    for (at, window) in numbers.windows(2).enumerate() {
        let said = headers[at + 1].opened.previous.map(|(number, _)| number);
        if window[1] != window[0] + 1 || said != Some(window[0]) {
            return Err(missing(files, &segment_file::name(window[1] - 1)));
        }
    }
    let previous: Vec<_> = headers
        .iter()
        .map(|header| header.opened.previous)
        .collect();
    let all = numbers.into_iter().zip(headers).enumerate();
    let spare = SpareMemory::default();
    Ok(all.map(move |(at, (number, header))| {
        let next_says = previous.get(at + 1).copied().flatten();
        let closed_at = next_says.map(|(_, length)| length);
        let found = LoadedSegment::read_into(files, number, closed_at, &spare)?;
        Ok((header.opened, found))
    }))
}

/// Returns the numbers of the segments, without the last one if a crash interrupted its creation.
fn complete_numbers(files: &dyn Files) -> Result<Vec<u32>, StoreError> {
    let mut numbers = segment_file::numbers(files)?;
    let follows = match numbers[..] {
        [.., before, last] => last == before + 1,
        [only] => only == 1,
        [] => false,
    };
    if let Some(&last) = numbers.last().filter(|_| follows) {
        // One byte more than a header: a longer file is a segment.
        let bytes = segment_file::read_start(files, last, HEADER + 1)?;
        if header::is_unborn(&bytes) {
            numbers.pop();
            telemetry::store_file_unfinished(&files.path(&segment_file::name(last)), bytes.len());
        }
    }
    Ok(numbers)
}
