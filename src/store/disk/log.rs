//! The log: segments in their order, of which the last one grows.
//!
//! ```text
//! 00000001.log   magic | Opened | frames …                              no longer needed: removed, the oldest first
//! 00000002.log   magic | Opened: after segment 1, of n bytes | frames …
//! 00000003.log   magic | Opened: after segment 2, of n bytes | Emptied   not needed, and not the oldest
//! 00000004.log   magic | Opened: after segment 3, of n bytes | frames … | what a crash tore
//! ```
//!
//! A segment is durable to its last byte before the next one begins, and the next one says how long it is. So only the
//! last one can be torn, and only behind the last byte that a later frame says was synced; anything else that can't be
//! read is damage, and is named. What was torn stays where it is: the next opening begins a new segment.
//!
//! What can't be told from a torn write: in the last segment, damage that reaches its end, or so far that no `Synced` mark
//! is left behind it. A mark comes with the first commit after a sync. So a last segment that doesn't end with `Closed` is
//! reported when it is opened: up to which byte it counts, and how many bytes behind that don't. An end in order begins
//! another segment and closes it, so that damage to what was written before is told from a torn write.
//!
//! A segment that was removed from outside is missed: one in the middle by its number, the oldest by its mark
//! (`header.rs`), all of them by the other files. Of the newest ones it is reported that the last one left isn't closed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use parking_lot::Mutex;

use super::atomic_file;
use super::files::{self, File, Files};
use super::frame::{self, Place};
use super::header::{self, HEADER, Header};
use super::record::{LogRecord, Opened};
use super::segments::Segments;
use crate::error::{StoreError, StoreErrorKind};
use crate::telemetry;

const SUFFIX: &str = ".log";

/// The log, open for writing.
pub(super) struct Log {
    files: Arc<dyn Files>,
    pub(super) segments: Arc<Segments>,
    number: u32,
    file: Arc<dyn File>,
    /// The last segment takes nothing more: the next one could not begin when the log was opened.
    is_over: bool,
    /// Where the next frame goes.
    end: u32,
    /// What is durable of the last segment.
    synced: u32,
    /// Bytes of all segments but the last.
    sealed_bytes: u64,
    lengths: BTreeMap<u32, u32>,
}

/// A segment that was found and read.
pub(super) struct Sealed {
    pub(super) number: u32,
    /// Where what counts of it ends.
    pub(super) end: u32,
}

/// Where what counts of a segment ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct End {
    pub(super) at: u32,
    /// The store was closed in order there.
    pub(super) closed: bool,
}

/// A segment of a log that is being opened.
pub(super) struct Found {
    pub(super) number: u32,
    file: Arc<dyn File>,
    bytes: Vec<u8>,
    /// How much of it counts, if the next segment says so.
    sealed: Option<u32>,
    /// Where its memory goes for another one: fresh memory costs as much as what is read into it.
    spare: Spare,
}

type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

pub(super) fn name(number: u32) -> String {
    format!("{number:08}{SUFFIX}")
}

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

/// The numbers of the segments that are there, in their order.
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

/// Is a file with this number, whose header can't be read, no segment but somebody else's? `before` is the segment in front
/// of it.
pub(super) fn is_stray(number: u32, before: Option<&u32>) -> bool {
    /// More segments in a row than this are hardly missing.
    const GAP_MAX: u32 = 1_000;
    before.is_some_and(|before| number - before > GAP_MAX)
}

/// What a segment's file holds, read into memory that was used before.
fn read_whole(
    files: &dyn Files,
    number: u32,
    mut bytes: Vec<u8>,
) -> Result<(Arc<dyn File>, Vec<u8>), StoreError> {
    let name = name(number);
    let read = || {
        let file = files.open(&name, false)?;
        let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        bytes.resize(len, 0);
        let read = file.read_full(0, &mut bytes)?;
        bytes.truncate(read);
        Ok::<_, io::Error>((file, bytes))
    };
    read().map_err(|error| io_error(files, &name, "read", &error))
}

pub(super) fn damaged(files: &dyn Files, number: u32, offset: usize) -> StoreError {
    let message = format!(
        "`{}` is damaged at byte {offset}: what is there isn't what was written. Nothing was changed. Restore the folder from \
         a backup, see what is readable with `redrive::store::disk::verify`, or save that with `Disk::salvage`",
        files.path(&name(number))
    );
    StoreError::of(StoreErrorKind::Damaged, message)
}

/// Finds the segments of a log, the oldest first, each with its header when it is asked for.
fn find(
    files: &dyn Files,
) -> Result<impl Iterator<Item = Result<(Opened, Found), StoreError>> + '_, StoreError> {
    let numbers = born(files)?;
    let mut headers = Vec::new();
    for &number in &numbers {
        let (_, bytes) = read_start(files, number)?;
        headers.push(header::read(files, number, &bytes)?);
    }
    if let Some(oldest) = headers.first() {
        oldest.require_oldest(files)?;
    }
    for (at, window) in numbers.windows(2).enumerate() {
        let said = headers[at + 1].opened.previous.map(|(number, _)| number);
        if window[1] != window[0] + 1 || said != Some(window[0]) {
            return Err(missing(files, window[1] - 1));
        }
    }
    let sealed: Vec<_> = headers
        .iter()
        .map(|header| header.opened.previous)
        .collect();
    let all = numbers.into_iter().zip(headers).enumerate();
    let spare = Spare::default();
    Ok(all.map(move |(at, (number, header))| {
        let sealed = sealed.get(at + 1).copied().flatten();
        let length = sealed.map(|(_, length)| length);
        let found = Found::read_into(files, number, length, &spare)?;
        Ok((header.opened, found))
    }))
}

/// The numbers of the segments that there are, but for one that was about to begin when the process died.
fn born(files: &dyn Files) -> Result<Vec<u32>, StoreError> {
    let mut numbers = numbers(files)?;
    let follows = match numbers[..] {
        [.., before, last] => last == before + 1,
        [only] => only == 1,
        [] => false,
    };
    if let Some(&last) = numbers.last().filter(|_| follows) {
        let (_, bytes) = read_start(files, last)?;
        if header::is_unborn(&bytes) {
            numbers.pop();
            telemetry::store_unborn(&files.path(&name(last)), bytes.len());
        }
    }
    Ok(numbers)
}

/// A segment that must be there isn't.
pub(super) fn missing(files: &dyn Files, number: u32) -> StoreError {
    let message = format!(
        "`{}` is missing: a file of the store was removed. Restore it from a backup, or save what is left with \
         `Disk::salvage`",
        files.path(&name(number))
    );
    StoreError::of(StoreErrorKind::Damaged, message)
}

/// Hands each segment of a log to `learn`, the oldest first. Meanwhile the next one is read.
pub(super) fn for_each(
    files: &dyn Files,
    mut learn: impl FnMut(Opened, Found) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut all = find(files)?;
    thread::scope(|scope| {
        let (sender, read) = mpsc::sync_channel(0);
        // It ends when there is nothing more to read, or when nobody wants it any more.
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

/// Enough of a segment for its header.
fn read_start(files: &dyn Files, number: u32) -> Result<(Arc<dyn File>, Vec<u8>), StoreError> {
    let name = name(number);
    let read = || {
        let file = files.open(&name, false)?;
        let mut bytes = vec![0; HEADER + 1];
        let read = file.read_full(0, &mut bytes)?;
        bytes.truncate(read);
        Ok::<_, io::Error>((file, bytes))
    };
    read().map_err(|error| io_error(files, &name, "read", &error))
}

impl Sealed {
    /// Nothing counts of it but its header.
    pub(super) fn is_empty(&self) -> bool {
        self.end as usize == HEADER
    }
}

impl Found {
    /// Reads a segment that ends where the next one says, if there is one.
    pub(super) fn read(
        files: &dyn Files,
        number: u32,
        sealed: Option<u32>,
    ) -> Result<Self, StoreError> {
        Self::read_into(files, number, sealed, &Spare::default())
    }

    fn read_into(
        files: &dyn Files,
        number: u32,
        sealed: Option<u32>,
        spare: &Spare,
    ) -> Result<Self, StoreError> {
        let memory = spare.lock().pop().unwrap_or_default();
        let (file, bytes) = read_whole(files, number, memory)?;
        Ok(Self {
            number,
            file,
            bytes,
            sealed,
            spare: spare.clone(),
        })
    }

    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn header(&self, files: &dyn Files) -> Result<Header, StoreError> {
        header::read(files, self.number, &self.bytes)
    }

    pub(super) fn is_unborn(&self) -> bool {
        header::is_unborn(&self.bytes)
    }

    /// No segment follows that says where it ends.
    pub(super) fn is_last(&self) -> bool {
        self.sealed.is_none()
    }

    /// Nothing in it was needed, and its records were taken out.
    pub(super) fn is_emptied(&self) -> bool {
        let rest = self.bytes.get(HEADER..).unwrap_or_default();
        frame::read(rest, self.place(HEADER)).is_ok_and(|found| {
            // Nothing else is in it: the file was replaced as a whole.
            frame::HEAD + found.body.len() == rest.len()
                && matches!(LogRecord::read(found.body), Ok(LogRecord::Emptied))
        })
    }

    /// Hands each record that counts to `learn`, with its place. Returns where the segment ends.
    pub(super) fn replay(
        &self,
        files: &dyn Files,
        mut learn: impl FnMut(LogRecord<'_>, Place, u32) -> Result<(), StoreError>,
    ) -> Result<End, StoreError> {
        header::read(files, self.number, &self.bytes)?;
        if self.is_emptied() {
            return Ok(End {
                at: self.bytes.len() as u32,
                closed: false,
            });
        }
        let mut at = HEADER;
        let end = self
            .sealed
            .map_or(self.bytes.len(), |sealed| sealed as usize);
        // The records of a unit count once the last one is there.
        let (mut unit, mut start) = (Vec::new(), at);
        while at < end {
            let place = self.place(at);
            let rest = self.bytes.get(at..end.min(self.bytes.len()));
            let found = frame::read(rest.unwrap_or_default(), place);
            let torn = match found {
                Ok(found) => {
                    let Ok(record) = LogRecord::read(found.body) else {
                        return Err(damaged(files, self.number, at));
                    };
                    let length = frame::HEAD + found.body.len();
                    at += length;
                    if matches!(record, LogRecord::Closed)
                        && at == self.bytes.len()
                        && start + length == at
                    {
                        return Ok(End {
                            at: start as u32,
                            closed: true,
                        });
                    }
                    unit.push((record, place, length as u32));
                    if !found.more {
                        for (record, place, length) in unit.drain(..) {
                            learn(record, place, length)?;
                        }
                        start = at;
                    }
                    continue;
                }
                Err(_) => self.sealed.is_none() && !self.is_synced_beyond(at),
            };
            if !torn {
                return Err(damaged(files, self.number, at));
            }
            break;
        }
        if self.sealed.is_some() && start != end {
            return Err(damaged(files, self.number, start));
        }
        Ok(End {
            at: start as u32,
            closed: false,
        })
    }

    /// Makes sure that all of it up to `end` is durable before the next one says so. The process before may have died before
    /// it was, or because it could not be: then the operating system takes it for written, and must be given it again.
    pub(super) fn make_durable(
        &self,
        files: &dyn Files,
        synced: u32,
        end: u32,
    ) -> Result<(), StoreError> {
        let unsure = self.bytes.get(synced as usize..end as usize);
        let (None, Some(bytes)) = (self.sealed, unsure.filter(|bytes| !bytes.is_empty())) else {
            return Ok(());
        };
        let write = || {
            self.file.write_at(u64::from(synced), bytes)?;
            self.file.sync()
        };
        write().map_err(|error| io_error(files, &name(self.number), "write to", &error))
    }

    /// It was read up to `end`.
    pub(super) fn seal(self, end: u32) -> Sealed {
        self.spare.lock().push(self.bytes);
        Sealed {
            number: self.number,
            end,
        }
    }

    fn place(&self, at: usize) -> Place {
        Place {
            segment: self.number,
            offset: at as u32,
        }
    }

    /// Does a frame behind `at` say that more than `at` was durable?
    fn is_synced_beyond(&self, at: usize) -> bool {
        (at + 1..self.bytes.len()).any(|later| {
            let rest = &self.bytes[later..];
            // Such a frame is short: nothing else is worth its checksum.
            frame::length(rest).is_some_and(|length| length <= frame::HEAD + 8)
                && frame::read(rest, self.place(later)).is_ok_and(|found| {
                    match LogRecord::read(found.body) {
                        Ok(LogRecord::Synced { upto }) => upto as usize > at,
                        Ok(LogRecord::Closed) => true,
                        _ => false,
                    }
                })
        })
    }
}

impl Log {
    /// Begins a new segment behind those that were found, if need be after `make_room` has made some. Without room it begins
    /// later.
    pub(super) fn begin(
        files: Arc<dyn Files>,
        sealed: Vec<Sealed>,
        opened: &Opened,
        make_room: impl FnOnce() -> bool,
    ) -> Result<Self, StoreError> {
        let number = sealed.last().map_or(1, |last| last.number + 1);
        // One that was about to begin when the process died, if there is one.
        remove(&*files, number)?;
        let begun = match create(&*files, number, opened) {
            Err(error) if error.kind() == StoreErrorKind::Full && make_room() => {
                create(&*files, number, opened)
            }
            begun => begun,
        };
        let (number, file, end, is_over) = match (begun, sealed.last()) {
            (Ok((file, end)), _) => (number, file, end, false),
            // It begins as soon as it can.
            (Err(error), Some(last)) if error.is_passing() => {
                let last_name = name(last.number);
                let file = files
                    .open(&last_name, false)
                    .map_err(|error| io_error(&*files, &last_name, "open", &error))?;
                (last.number, file, last.end, true)
            }
            (Err(error), _) => return Err(error),
        };
        let lengths: BTreeMap<_, _> = sealed
            .iter()
            .map(|sealed| (sealed.number, sealed.end))
            .filter(|(sealed, _)| *sealed != number)
            .collect();
        let segments = Segments::new(files.clone());
        segments.begin(number, file.clone());
        Ok(Self {
            files,
            segments: Arc::new(segments),
            number,
            file,
            is_over,
            end,
            synced: end,
            sealed_bytes: lengths.values().map(|&length| u64::from(length)).sum(),
            lengths,
        })
    }

    /// Does the last segment take nothing more, whatever room it has?
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// How long a segment is that is sealed.
    pub(super) fn length(&self, number: u32) -> Option<u32> {
        self.lengths.get(&number).copied()
    }

    /// Where the next frame goes.
    pub(super) fn end(&self) -> Place {
        Place {
            segment: self.number,
            offset: self.end,
        }
    }

    /// What is known to be durable of the last segment.
    pub(super) fn synced(&self) -> u32 {
        self.synced
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced == self.end
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sealed_bytes + u64::from(self.end)
    }

    pub(super) fn segments_count(&self) -> usize {
        self.lengths.len() + 1
    }

    /// Writes frames at the end. If that fails, nothing of them counts.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let end = u64::from(self.end);
        if let Err(error) = self.file.write_at(end, bytes) {
            // What is there of them must not be taken for frames by the next opening, nor what lies behind what is written
            // here next.
            let cut = self.file.set_len(end).and_then(|()| self.file.sync());
            let error = io_error(&*self.files, &name(self.number), "write to", &error);
            if cut.is_ok() {
                self.synced = self.end;
                return Err(error);
            }
            return Err(StoreError::of(StoreErrorKind::Failed, error.to_string()));
        }
        self.end += bytes.len() as u32;
        Ok(())
    }

    /// Makes durable what was written. If that fails, nobody knows what is on the disk.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        if self.is_synced() {
            return Ok(());
        }
        self.file.sync().map_err(|error| {
            let error = io_error(&*self.files, &name(self.number), "sync", &error);
            StoreError::of(StoreErrorKind::Failed, error.to_string())
        })?;
        self.synced = self.end;
        Ok(())
    }

    /// Takes back what was written behind `end` and is not to count, as far as that can still be done.
    pub(super) fn cut(&mut self, end: u32) {
        if self.file.set_len(u64::from(end)).is_ok() {
            self.end = end;
            self.synced = self.synced.min(end);
            let _ = self.file.sync(); // nobody is told that it worked
        }
    }

    /// Marks the end in order. Nothing is written any more.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        let mut bytes = Vec::new();
        let place = self.end();
        frame::append(&mut bytes, place, |buffer| LogRecord::Closed.write(buffer))
            .map_err(|error| StoreError::new(format!("the end can't be encoded: {error}")))?;
        let written = self.file.write_at(u64::from(self.end), &bytes);
        written
            .and_then(|()| self.file.sync())
            .map_err(|error| io_error(&*self.files, &name(self.number), "write to", &error))
    }

    /// Nothing was written to the last segment yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.end as usize == HEADER
    }

    /// Seals the last segment and begins another.
    pub(super) fn roll(&mut self, opened: &Opened) -> Result<u32, StoreError> {
        self.sync()?;
        let next = self.number + 1;
        let (file, end) = match create(&*self.files, next, opened) {
            Err(error) if error.kind() == StoreErrorKind::Short && self.segments.close_all() => {
                create(&*self.files, next, opened)?
            }
            created => created?,
        };
        self.segments.begin(next, file.clone());
        self.sealed_bytes += u64::from(self.end);
        self.lengths.insert(self.number, self.end);
        (self.number, self.file, self.end, self.synced) = (next, file, end, end);
        self.is_over = false;
        Ok(next)
    }

    /// Removes the oldest segment, in which nothing is needed any more.
    pub(super) fn remove(&mut self, number: u32) -> Result<(), StoreError> {
        let next = self.lengths.range(number + 1..).next();
        let next = next.map_or(self.number, |(&next, _)| next);
        let file = self.segments.get(next);
        let file = file.map_err(|error| io_error(&*self.files, &name(next), "open", &error))?;
        header::mark_oldest(&*self.files, next, &*file)?;
        remove(&*self.files, number)?;
        self.segments.close(number);
        self.sealed_bytes -= u64::from(self.lengths.remove(&number).unwrap_or_default());
        Ok(())
    }

    /// Takes the records out of a segment in which nothing is needed any more, and that must stay because of those before
    /// it. The file is replaced as a whole, so that a crash leaves the one or the other.
    pub(super) fn empty(&mut self, number: u32) -> Result<(), StoreError> {
        let (_, mut bytes) = read_start(&*self.files, number)?;
        header::read(&*self.files, number, &bytes)?;
        bytes.truncate(HEADER);
        let place = Place {
            segment: number,
            offset: HEADER as u32,
        };
        frame::append(&mut bytes, place, |buffer| LogRecord::Emptied.write(buffer)).map_err(
            |error| StoreError::new(format!("an empty segment can't be encoded: {error}")),
        )?;
        atomic_file::write(&*self.files, &name(number), &bytes)?;
        self.segments.close(number);
        let length = self.lengths.entry(number).or_default();
        self.sealed_bytes -= u64::from(std::mem::replace(length, bytes.len() as u32));
        self.sealed_bytes += bytes.len() as u64;
        Ok(())
    }
}

fn create(
    files: &dyn Files,
    number: u32,
    opened: &Opened,
) -> Result<(Arc<dyn File>, u32), StoreError> {
    let name = name(number);
    let bytes = header::write(number, opened)?;
    let failed = |error| io_error(files, &name, "create", &error);
    let file = files.open(&name, true).map_err(failed)?;
    let begun = file.write_at(0, &bytes).and_then(|()| file.sync());
    let Err(error) = begun.and_then(|()| files.sync()) else {
        return Ok((file, bytes.len() as u32));
    };
    // It would say that the one before it ends there.
    let gone = files.remove(&name).and_then(|()| files.sync());
    let error = failed(error);
    Err(match gone {
        Ok(()) => error,
        Err(_) => StoreError::of(StoreErrorKind::Failed, error.to_string()),
    })
}

/// Durable at once: a later one must not be gone while this one is there again after a loss of power.
fn remove(files: &dyn Files, number: u32) -> Result<(), StoreError> {
    let name = name(number);
    let removed = match files.remove(&name) {
        // It was removed before, and that could not be made durable.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    let removed = removed.and_then(|()| files.sync());
    removed.map_err(|error| io_error(files, &name, "remove", &error))
}
