//! One segment of a salvage: its readable frames, and the parts that are lost.

use super::report::Lost;
use super::source::SalvageSource;
use crate::error::StoreError;
use crate::store::disk::file_error;
use crate::store::disk::files::Files;
use crate::store::disk::frame::{self, FramePlace};
use crate::store::disk::header::{self, HEADER};
use crate::store::disk::loaded_segment::LoadedSegment;
use crate::store::disk::record::{LogRecord, Opened, RecordError};
use crate::store::disk::segment_file;

/// A segment on its way into the copy.
pub(super) struct SalvagedSegment {
    number: u32,
    pub(super) opened: Opened,
    /// The frames behind the header.
    frames: Vec<u8>,
    /// The last frame's unit goes on.
    is_open: bool,
    is_closed: bool,
    pub(super) lost: Vec<Lost>,
    /// The number of the event after its last one.
    pub(super) next: u64,
}

impl SalvagedSegment {
    /// Reads a segment, whose events begin at number `next` if its own header can't say.
    pub(super) fn read(
        files: &dyn Files,
        source: &SalvageSource,
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
                let what = "the header, which holds no event";
                part.lose(0, bytes.len().min(HEADER), what.to_owned());
            }
            None => part.lose(0, 0, "the whole file, which is missing".to_owned()),
        }
        // An emptied segment is shorter than it was.
        let end = source.length(number).filter(|_| !is_emptied);
        part.take(&bytes, end, &mut base);
        part.opened.base = base.unwrap_or(next);
        part.next = part.next.max(part.opened.base);
        Ok(part)
    }

    /// Takes the readable frames, up to `end` if that is known.
    fn take(&mut self, bytes: &[u8], end: Option<usize>, base: &mut Option<u64>) {
        let there = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes);
        let mut at = HEADER;
        while at < end.unwrap_or(there.len()) {
            if let Some((record, more, length)) = self.frame(there, at) {
                self.note(&record, base);
                self.is_open = more;
                self.frames.extend_from_slice(&there[at..at + length]);
                at += length;
                continue;
            }
            let resumes = self.resumes(there, at);
            let upto = resumes.or(end).unwrap_or(there.len());
            self.lose(
                at,
                upto - at,
                description(there.get(at..).unwrap_or_default()),
            );
            // At the end of the log no later record must keep its place.
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

    /// Returns the offset of the next readable frame.
    fn resumes(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let by_length = bytes.get(at..).and_then(frame::length);
        let by_length = by_length.map(|length| at + length).into_iter();
        // The shortest frame holds only a record's kind.
        let all = at + frame::HEAD + 1..bytes.len().saturating_sub(frame::HEAD);
        by_length
            .chain(all)
            .find(|&later| self.frame(bytes, later).is_some())
    }

    /// Notes a record that was read.
    fn note(&mut self, record: &LogRecord<'_>, base: &mut Option<u64>) {
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

    /// Fills so many bytes at `at` with a frame of kind `Lost`.
    fn fill(&mut self, at: usize, bytes: usize) {
        let body = bytes.saturating_sub(frame::HEAD);
        let write = |buffer: &mut Vec<u8>| {
            let begin = buffer.len();
            LogRecord::Lost.write(buffer)?;
            buffer.resize(begin + body.max(buffer.len() - begin), 0);
            Ok::<_, RecordError>(())
        };
        let place = self.place(at);
        let _ = frame::append(&mut self.frames, place, write); // a kind alone can always be written
        self.is_open = false;
    }

    /// Writes the segment into the copy. Returns its length.
    pub(super) fn write(
        mut self,
        into: &dyn Files,
        is_first: bool,
        is_last: bool,
    ) -> Result<u32, StoreError> {
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

/// Returns a description of the damaged record at the beginning of `bytes`, as far as it is readable.
fn description(bytes: &[u8]) -> String {
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
        Some(Ok(LogRecord::Buried { seq, .. })) => format!("the dead letter of event number {seq}"),
        Some(Ok(LogRecord::Forgotten { seq })) => format!("the end of dead letter number {seq}"),
        _ => "unreadable records".to_owned(),
    }
}
