//! Saving what can be read of a damaged folder, into another one. The damaged one is only read.
//!
//! A copy keeps every record where it was, so that what leads to it still does. Damage in it gives way to frames that say
//! so, and files that are missing to empty ones; then the copy opens as any folder does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::atomic_file;
use super::cipher::{self, KEYS, Ring};
use super::configuration;
use super::file_error;
use super::files::{Files, Folder};
use super::frame::{self, FramePlace};
use super::header::{self, HEADER};
use super::loaded_segment::LoadedSegment;
use super::record::{LogRecord, Opened};
use super::recovery;
use super::segment_file;
use super::settings::Disk;
use super::verify::{Verification, verify_files};
use crate::error::{StoreError, StoreErrorKind};

/// What [`Disk::salvage`] could and could not save.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvage {
    /// What can't be read of the damaged folder, file by file.
    pub lost: Vec<Lost>,
    /// What is in the copy; `unreadable` there are the events that were lost, as far as that can be told.
    pub saved: Verification,
}

/// A part of a file that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The file's name in the damaged folder.
    pub name: String,
    /// The byte where the part begins.
    pub at: u64,
    /// How many bytes it has; 0 if the file isn't there.
    pub bytes: u64,
    /// What was there, as far as that can be told.
    pub what: String,
}

impl Disk {
    /// Saves what can be read of this folder into the folder `into`, and says what can't: the way out when a folder is
    /// refused as damaged and there is no backup. Blocks until it is done, and the copy is durable then.
    ///
    /// This folder must not be in use. Nothing in it is changed, but for its file `lock`. `into` must not be there yet, or be
    /// empty; it needs as much room as this folder has, and opens afterwards as any folder does. A sealed one stays sealed: no
    /// key is needed here, and what was forged is found out by whoever reads it.
    ///
    /// **What is lost may be the end of an event**: then the event waits again in the copy, and runs once more. Look at
    /// [`Salvage::lost`] before you start the copy.
    ///
    /// ```no_run
    /// let salvage = redrive::Disk::new("data").salvage("data-salvaged")?;
    /// for lost in &salvage.lost {
    ///     println!("{} at byte {}: {} bytes: {}", lost.name, lost.at, lost.bytes, lost.what);
    /// }
    /// println!("{} events wait in the copy", salvage.saved.pending);
    /// # Ok::<(), redrive::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// When this folder isn't there, is in use, of another version, or a file of it can't be read at all; when `into` holds
    /// something or can't be written. What was written to `into` until then is to be removed.
    pub fn salvage(&self, into: impl AsRef<Path>) -> Result<Salvage, StoreError> {
        if !self.path.is_dir() {
            let path = self.path.display();
            return Err(StoreError::new(format!(
                "there is no folder `{path}` to salvage"
            )));
        }
        let folder = |path: &Path| {
            Folder::new(path.to_owned()).map_err(|error| {
                StoreError::new(format!(
                    "can't make the folder `{}`: {error}",
                    path.display()
                ))
            })
        };
        let from = folder(&self.path)?;
        let into: Arc<dyn Files> = Arc::new(folder(into.as_ref())?);
        salvage(&from, &into)
    }
}

pub(super) fn salvage(from: &dyn Files, into: &Arc<dyn Files>) -> Result<Salvage, StoreError> {
    let _locks = [recovery::lock(from)?, recovery::lock(&**into)?];
    require_empty(&**into)?;
    let source = Source::read(from)?;
    let mut lost = source.lost.clone();
    let (mut next, mut previous) = (1, None);
    for number in source.numbers() {
        let mut part = SalvagedSegment::read(from, &source, number, next)?;
        lost.append(&mut part.lost);
        part.opened.previous = previous;
        next = part.next;
        let is_last = number == source.last;
        let length = part.write(&**into, previous.is_none(), is_last)?;
        previous = Some((number, length));
    }
    for (name, bytes) in &source.companions {
        atomic_file::write(&**into, name, bytes)?;
    }
    let saved = verify_files(into)?;
    Ok(Salvage { lost, saved })
}

fn require_empty(into: &dyn Files) -> Result<(), StoreError> {
    let names = into.list();
    let names = names.map_err(|error| file_error::io_error(into, "", "list", &error))?;
    match names.iter().find(|name| *name != recovery::LOCK) {
        None => Ok(()),
        Some(name) => Err(StoreError::new(format!(
            "`{}` is there: what is salvaged goes into an empty folder",
            into.path(name)
        ))),
    }
}

/// What is found of the damaged folder before its records are looked at.
struct Source {
    /// The headers of the segments that there are, as far as they can be read.
    headers: BTreeMap<u32, Option<Opened>>,
    first: u32,
    last: u32,
    /// What the file of keys says of them.
    ring: Option<Ring>,
    /// The other files that are copied.
    companions: Vec<(&'static str, Vec<u8>)>,
    lost: Vec<Lost>,
}

impl Source {
    fn read(files: &dyn Files) -> Result<Self, StoreError> {
        let (mut headers, mut lost) = (BTreeMap::new(), Vec::new());
        let (mut first, mut another_version) = (None, None);
        for number in segment_file::numbers(files)? {
            let found = LoadedSegment::read(files, number, None)?;
            let header = found.header(files);
            if let Err(error) = &header
                && error.kind() == StoreErrorKind::Version
            {
                another_version = Some(error.clone());
            }
            if header.is_err() && segment_file::is_stray(number, headers.keys().next_back()) {
                lost.push(companion(
                    &segment_file::name(number),
                    "nothing of the store's, it seems",
                ));
                continue;
            }
            let header = header.ok();
            let is_beheaded = header
                .as_ref()
                .is_some_and(|header| header.require_oldest(files).is_err());
            first.get_or_insert(number - u32::from(is_beheaded));
            headers.insert(number, header.map(|header| header.opened));
        }
        // Of one among others it is the format that is damaged.
        if let Some(error) = another_version.filter(|_| headers.values().all(Option::is_none)) {
            return Err(error);
        }
        let mut source = Self {
            first: first.unwrap_or(1),
            last: headers.keys().next_back().copied().unwrap_or_default(),
            headers,
            ring: None,
            companions: Vec::new(),
            lost: Vec::new(),
        };
        let sealed = source.near(0, |opened| opened.ring.is_some());
        let sealed = sealed.and_then(|(since, opened)| opened.ring.map(|id| Ring { id, since }));
        source.ring = sealed;
        match cipher::claimed(files, sealed) {
            Ok(Some(ring)) => source.ring = Some(ring),
            Ok(None) if sealed.is_none() => {}
            _ => lost.push(companion(
                KEYS,
                "the keys: without them the copy can't be opened",
            )),
        }
        let configured = source.near(0, |opened| opened.configured).is_some();
        match configuration::read(files) {
            Ok(None) if !configured => {}
            Ok(Some(_)) => source.keep(files, configuration::NAME)?,
            _ => lost.push(companion(configuration::NAME, "what was set of functions")),
        }
        source.keep(files, KEYS)?;
        source.lost = lost;
        Ok(source)
    }

    fn keep(&mut self, files: &dyn Files, name: &'static str) -> Result<(), StoreError> {
        let bytes = atomic_file::read(files, name)?;
        self.companions.extend(bytes.map(|bytes| (name, bytes)));
        Ok(())
    }

    fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        self.first..=self.last
    }

    /// The first segment from `number` on whose header is like that.
    fn near(&self, number: u32, like: impl Fn(&Opened) -> bool) -> Option<(u32, &Opened)> {
        let mut headers = self.headers.range(number..);
        headers.find_map(|(&number, opened)| {
            Some((number, opened.as_ref().filter(|opened| like(opened))?))
        })
    }

    /// The length of a segment, as the next one says.
    fn length(&self, number: u32) -> Option<usize> {
        let (said, length) = self
            .headers
            .get(&number.saturating_add(1))?
            .as_ref()?
            .previous?;
        (said == number).then_some(length as usize)
    }

    /// The header that a segment has in the copy; one that can't be read is made anew, for events from `base` on.
    fn header(&self, number: u32, base: u64) -> Opened {
        let before = self
            .headers
            .range(..=number)
            .rev()
            .find_map(|(_, opened)| opened.as_ref());
        let known = before.or_else(|| self.near(number, |_| true).map(|(_, opened)| opened));
        let own = self.headers.get(&number).and_then(Option::as_ref);
        let is_kept = |name: &str| self.companions.iter().any(|(kept, _)| *kept == name);
        Opened {
            incarnation: known.map_or(1, |known| known.incarnation),
            base: own.map_or(base, |own| own.base),
            previous: None,
            at: known.map_or(0, |known| known.at),
            boot: known.and_then(|known| known.boot),
            ring: self
                .ring
                .filter(|ring| number >= ring.since)
                .map(|ring| ring.id),
            configured: is_kept(configuration::NAME),
        }
    }
}

fn companion(name: &str, what: &str) -> Lost {
    Lost {
        name: name.to_owned(),
        at: 0,
        bytes: 0,
        what: what.to_owned(),
    }
}

/// A segment, on its way into the copy.
struct SalvagedSegment {
    number: u32,
    opened: Opened,
    /// What follows on the header.
    frames: Vec<u8>,
    /// The last frame's unit goes on.
    is_open: bool,
    is_closed: bool,
    lost: Vec<Lost>,
    /// The number of the event after those in it.
    next: u64,
}

impl SalvagedSegment {
    fn read(
        files: &dyn Files,
        source: &Source,
        number: u32,
        next: u64,
    ) -> Result<Self, StoreError> {
        let (bytes, is_emptied) = match source.headers.contains_key(&number) {
            true => {
                let found = LoadedSegment::read(files, number, None)?;
                let is_emptied = found.is_emptied();
                (found.into_bytes(), is_emptied)
            }
            false => (Vec::new(), false),
        };
        let mut part = Self {
            number,
            opened: source.header(number, next),
            frames: Vec::new(),
            is_open: false,
            is_closed: false,
            lost: Vec::new(),
            next,
        };
        let mut base = None;
        match source.headers.get(&number) {
            Some(Some(_)) => base = Some(part.opened.base),
            Some(None) => {
                let what = "the header, in which nothing of events stands";
                part.lose(0, bytes.len().min(HEADER), what.to_owned());
            }
            None => part.lose(0, 0, "the whole file, which is missing".to_owned()),
        }
        // One whose records were taken out isn't as long as it was.
        let end = source.length(number).filter(|_| !is_emptied);
        part.take(&bytes, end, &mut base);
        part.opened.base = base.unwrap_or(next);
        part.next = part.next.max(part.opened.base);
        Ok(part)
    }

    /// Takes the frames that can be read, up to `end`, if that is known.
    fn take(&mut self, bytes: &[u8], end: Option<usize>, base: &mut Option<u64>) {
        let there = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes);
        let mut at = HEADER;
        while at < end.unwrap_or(there.len()) {
            if let Some((record, more, length)) = self.frame(there, at) {
                self.saw(&record, base);
                self.is_open = more;
                self.frames.extend_from_slice(&there[at..at + length]);
                at += length;
                continue;
            }
            let resumes = self.resumes(there, at);
            let upto = resumes.or(end).unwrap_or(there.len());
            self.lose(at, upto - at, told(there.get(at..).unwrap_or_default()));
            // At the end of the log there is nothing to be kept in its place.
            if resumes.or(end).is_some() {
                self.fill(at, upto - at);
            }
            at = upto;
        }
    }

    fn frame<'b>(&self, bytes: &'b [u8], at: usize) -> Option<(LogRecord<'b>, bool, usize)> {
        let found = frame::read(bytes.get(at..)?, self.place(at)).ok()?;
        let record = LogRecord::read(found.body).ok()?;
        Some((record, found.more, frame::HEAD + found.body.len()))
    }

    /// Where the next frame begins that can be read.
    fn resumes(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let told = bytes.get(at..).and_then(frame::length);
        let told = told.map(|length| at + length).into_iter();
        // No frame is shorter than one of nothing but a record's kind.
        let all = at + frame::HEAD + 1..bytes.len().saturating_sub(frame::HEAD);
        told.chain(all)
            .find(|&later| self.frame(bytes, later).is_some())
    }

    fn saw(&mut self, record: &LogRecord<'_>, base: &mut Option<u64>) {
        self.is_closed = matches!(record, LogRecord::Closed);
        if let LogRecord::Event(event) | LogRecord::Scheduled(event, _) = record
            && !event.side.as_ref().is_some_and(|side| side.moved)
        {
            base.get_or_insert(event.seq);
            self.next = self.next.max(event.seq + 1);
        }
    }

    fn lose(&mut self, at: usize, bytes: usize, what: String) {
        self.lost.push(Lost {
            name: segment_file::name(self.number),
            at: at as u64,
            bytes: bytes as u64,
            what,
        });
    }

    /// Says in so many bytes that what was at `at` is lost.
    fn fill(&mut self, at: usize, bytes: usize) {
        let body = bytes.saturating_sub(frame::HEAD);
        let write = |buffer: &mut Vec<u8>| {
            let begin = buffer.len();
            LogRecord::Lost.write(buffer)?;
            buffer.resize(begin + body.max(buffer.len() - begin), 0);
            Ok::<_, super::record::RecordError>(())
        };
        let place = self.place(at);
        let _ = frame::append(&mut self.frames, place, write); // a kind alone can always be written
        self.is_open = false;
    }

    fn write(mut self, into: &dyn Files, is_first: bool, is_last: bool) -> Result<u32, StoreError> {
        let end = HEADER + self.frames.len();
        if self.is_open {
            self.fill(end, 0);
        }
        let place = self.place(HEADER + self.frames.len());
        let length = HEADER + self.frames.len();
        if is_last && !self.is_closed {
            let closed = frame::append(&mut self.frames, place, |buffer| {
                LogRecord::Closed.write(buffer)
            });
            closed
                .map_err(|error| StoreError::new(format!("the end can't be encoded: {error}")))?;
        }
        let mut bytes = header::write(self.number, &self.opened)?;
        if is_first && self.number > 1 {
            header::set_oldest(&mut bytes, self.number)?;
        }
        bytes.append(&mut self.frames);
        let name = segment_file::name(self.number);
        let write = || {
            let file = into.open(&name, true)?;
            file.write_at(0, &bytes)?;
            file.sync()?;
            into.sync()
        };
        write().map_err(|error| file_error::io_error(into, &name, "write", &error))?;
        Ok(length as u32)
    }

    fn place(&self, at: usize) -> FramePlace {
        FramePlace {
            segment: self.number,
            offset: at as u32,
        }
    }
}

/// What the damaged record at the beginning of `bytes` was, as far as it says so itself.
fn told(bytes: &[u8]) -> String {
    let body = frame::length(bytes).and_then(|length| bytes.get(frame::HEAD..length));
    let of = |what: &str, function: &str, id| {
        format!("{what} of function {function:?}, request id {id}, as far as that can be read")
    };
    match body.map(LogRecord::read) {
        Some(Ok(LogRecord::Event(event) | LogRecord::Scheduled(event, _))) => {
            of("an event", event.function, event.id)
        }
        Some(Ok(LogRecord::Finished(end))) => of("the end of an event", end.function, end.id),
        Some(Ok(LogRecord::Rescheduled { seq, .. })) => {
            format!("a failed attempt of event number {seq}")
        }
        Some(Ok(LogRecord::Buried { seq, .. })) => format!("the burial of event number {seq}"),
        Some(Ok(LogRecord::Forgotten { seq })) => format!("the end of dead letter number {seq}"),
        _ => "records that can't be told apart".to_owned(),
    }
}
