//! A verification of a folder, which touches nothing: which files can be read, how far, and how many events are in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::cipher::{self, Cipher, Ring};
use super::claimed_ring;
use super::configuration;
use super::files::{Files, Folder};
use super::frame::FramePlace;
use super::header::{HEADER, Header};
use super::index::{EntryState, Fact, FinishedFact, Index, IndexEntry, Tail, facts};
use super::loaded_segment::LoadedSegment;
use super::open_segments::OpenSegments;
use super::reader::{Reader, Window};
use super::record::{LogRecord, Opened};
use super::recovery;
use super::segment_file;
use crate::error::{StoreError, StoreErrorKind};

/// The findings of [`verify`] in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// The files of the log, oldest first; then those beside it that are missing or damaged.
    pub files: Vec<VerifiedFile>,
    /// The number of readable events that wait or run.
    pub pending: u64,
    /// The number of readable dead letters.
    pub dead_letters: u64,
    /// The number of readable finished events.
    pub finished: u64,
    /// The number of accepted events that can't be read, as far as it can be known: events behind damage in the last file,
    /// and those of a missing oldest file, are not counted.
    pub unreadable: u64,
}

impl Verification {
    /// Returns whether the store would open with all that it ever acknowledged, as far as that can be known without its key.
    /// Bytes behind an [`Extent::Torn`] don't count against it.
    pub fn is_sound(&self) -> bool {
        let damaged = |file: &VerifiedFile| matches!(file.extent, Extent::Damaged { .. });
        self.unreadable == 0 && !self.files.iter().any(damaged)
    }
}

/// A file of the store, as [`verify`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedFile {
    /// Its name in the folder.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The number of readable records.
    pub records: u64,
    /// How far it can be read.
    pub extent: Extent,
}

/// How far a file can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extent {
    /// To its end.
    Whole,
    /// To this byte: the end of a process or a loss of power tore off the rest. None of it was acknowledged as durable,
    /// unless the disk lost it, which looks the same in the last file.
    Torn {
        /// Where it begins.
        at: u64,
    },
    /// To this byte only, though more must be readable.
    Damaged {
        /// Where the damage begins.
        at: u64,
        /// The reason.
        why: String,
    },
}

/// Reads the whole folder of a store. Returns the number of its events, and which of its files and events can't be read.
/// Blocks.
///
/// Nothing is written, created or locked, and damage is not an error but a finding. The last file of a store in use may look
/// torn, and files that the store removes meanwhile may be missed. Encrypted records are not decrypted: they count as
/// readable if they are as they were written, and the file `keys` is there and belongs to them.
///
/// ```
/// # let folder = std::env::temp_dir().join("redrive-verify-example");
/// # std::fs::create_dir_all(&folder)?;
/// let found = redrive::store::disk::verify(&folder)?;
/// println!("{} events wait, {} can't be read", found.pending, found.unreadable);
/// for file in &found.files {
///     println!("{}: {} records, {:?}", file.name, file.records, file.extent);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the folder or a file in it can't be read at all: it is missing, or the process may not read it.
pub fn verify(path: impl AsRef<Path>) -> Result<Verification, StoreError> {
    let folder = Folder::to_read(path.as_ref());
    verify_files(&(Arc::new(folder) as Arc<dyn Files>))
}

pub(super) fn verify_files(files: &Arc<dyn Files>) -> Result<Verification, StoreError> {
    let mut survey = Survey::default();
    let headers = survey.headers(&**files)?;
    survey.segments(files, &headers)?;
    let opened: BTreeMap<_, _> = headers
        .into_iter()
        .filter_map(|(number, header)| Some((number, header?.opened)))
        .collect();
    let since = survey.companions(&**files, &opened)?;
    Ok(survey.count(files, since))
}

/// The state of a verification: the index so far, and the findings.
#[derive(Default)]
struct Survey {
    index: Index,
    files: Vec<VerifiedFile>,
    /// The numbers of events whose records can't be read, and of which nothing else is known.
    missing: BTreeSet<u64>,
}

/// The headers of the segments; `None` for an unreadable one.
type Headers = BTreeMap<u32, Option<Header>>;

impl Survey {
    /// Reads the headers of all segments. A file of another origin is reported as damaged.
    fn headers(&mut self, files: &dyn Files) -> Result<Headers, StoreError> {
        let mut headers = Headers::new();
        for number in segment_file::numbers(files)? {
            let header = LoadedSegment::read(files, number, None)?.header(files);
            match header {
                Err(error) if segment_file::is_stray(number, headers.keys().next_back()) => {
                    self.damaged(segment_file::name(number), error.to_string());
                }
                header => drop(headers.insert(number, header.ok())),
            }
        }
        Ok(headers)
    }

    /// Replays all segments, and notes those that are missing.
    fn segments(&mut self, files: &Arc<dyn Files>, headers: &Headers) -> Result<(), StoreError> {
        let last = headers.keys().next_back().copied().unwrap_or_default();
        let mut first = headers.keys().next().copied().unwrap_or(1);
        let oldest = headers.values().next().and_then(Option::as_ref);
        if oldest.is_some_and(|oldest| oldest.require_oldest(&**files).is_err()) {
            first -= 1;
        }
        for number in first..=last {
            let next = headers.get(&number.saturating_add(1));
            let next = next.and_then(Option::as_ref).map(|next| &next.opened);
            if headers.contains_key(&number) {
                let length = next.and_then(|next| next.previous);
                let length = length.map(|(_, length)| length);
                let segment = LoadedSegment::read(&**files, number, length)?;
                self.segment(files, &segment, number == last);
                if segment.is_emptied() {
                    continue;
                }
            } else {
                self.lost(files, number);
            }
            // Events of the segment that could not be read.
            if let Some(next) = next {
                self.missing.extend(self.index.next..next.base);
            }
        }
        Ok(())
    }

    /// Notes a missing segment.
    fn lost(&mut self, files: &Arc<dyn Files>, number: u32) {
        self.index.begin_segment(number, self.index.next);
        let why = format!("`{}` is missing", files.path(&segment_file::name(number)));
        self.damaged(segment_file::name(number), why);
    }

    fn damaged(&mut self, name: String, why: String) {
        self.files.push(VerifiedFile {
            name,
            bytes: 0,
            records: 0,
            extent: Extent::Damaged { at: 0, why },
        });
    }

    /// Checks the files beside the log. Returns the first encrypted segment.
    fn companions(
        &mut self,
        files: &dyn Files,
        opened: &BTreeMap<u32, Opened>,
    ) -> Result<Option<u32>, StoreError> {
        let last = opened.values().next_back();
        let beside = match (last, self.files.is_empty()) {
            (None, true) => recovery::orphans(files).map(drop),
            _ => recovery::configured(files, last).map(drop),
        };
        if let Err(error) = beside {
            self.damaged(configuration::NAME.to_owned(), error.to_string());
        }
        let named = opened
            .iter()
            .find_map(|(&since, opened)| opened.ring.map(|id| Ring { id, since }));
        let ring = claimed_ring::read(files, named);
        let checked = ring.and_then(|ring| {
            let headers = opened.iter();
            let mut checks = headers
                .map(|(&number, opened)| cipher::check(files, ring.as_ref(), number, opened.ring));
            checks.try_for_each(|check| check)
        });
        if let Err(error) = checked {
            self.damaged(cipher::KEYS.to_owned(), error.to_string());
        }
        Ok(named.map(|ring| ring.since))
    }

    /// Replays a segment into the index.
    fn segment(&mut self, files: &Arc<dyn Files>, segment: &LoadedSegment, is_last: bool) {
        let base = segment.header(&**files).map(|header| header.opened.base);
        let start = base.as_ref().map_or(0, |_| HEADER as u32);
        let base = base.unwrap_or(self.index.next);
        self.index.begin_segment(segment.number, base);
        let (mut records, mut end) = (0, start);
        let replayed = segment.replay(&**files, |record, place, weight| {
            records += 1;
            end = place.offset + weight;
            self.record(&record, place, weight);
            Ok(())
        });
        let extent = match replayed {
            Ok(end) if end.closed || u64::from(end.at) == segment.length() => Extent::Whole,
            Ok(end) => Extent::Torn {
                at: u64::from(end.at),
            },
            // It was about to begin.
            Err(_) if is_last && segment.is_unborn() => Extent::Torn { at: 0 },
            Err(error) => Extent::Damaged {
                at: u64::from(end),
                why: error.to_string(),
            },
        };
        self.files.push(VerifiedFile {
            name: segment_file::name(segment.number),
            bytes: segment.length(),
            records,
            extent,
        });
    }

    fn record(&mut self, record: &LogRecord<'_>, place: FramePlace, weight: u32) {
        let functions = &mut self.index.functions;
        for fact in facts(record, |name| functions.number(name)) {
            match &fact {
                Fact::Event(event) => {
                    self.missing.remove(&event.seq);
                    // A salvage could not save the events in front of it.
                    if event.seq.saturating_sub(self.index.next) <= place.records_before() {
                        self.missing.extend(self.index.next..event.seq);
                    }
                }
                Fact::Finished(FinishedFact { seq, .. }) | Fact::Forgotten { seq } => {
                    self.missing.remove(seq);
                }
                _ => {}
            }
            self.index.apply(fact, place, weight);
        }
    }

    /// Reads all events of the index, and counts those that are readable. `since` is the first encrypted segment.
    fn count(self, files: &Arc<dyn Files>, since: Option<u32>) -> Verification {
        let events: Vec<_> = {
            let all = self.index.tables.all();
            all.map(|(seq, &entry)| (entry, self.index.tail(seq)))
                .collect()
        };
        let reader = Reader {
            files: files.clone(),
            index: Arc::new(Mutex::new(self.index)),
            segments: Arc::new(OpenSegments::new(files.clone())),
            cipher: Arc::new(Cipher::without_key(since)),
        };
        let mut found = Verification {
            files: self.files,
            pending: 0,
            dead_letters: 0,
            finished: 0,
            unreadable: self.missing.len() as u64,
        };
        let mut window = Window::default();
        for (entry, tail) in events {
            let count = match entry.state {
                EntryState::Held | EntryState::Spilled => &mut found.pending,
                EntryState::Dead => &mut found.dead_letters,
                EntryState::Done => &mut found.finished,
                EntryState::Gone => continue,
            };
            match is_readable(&reader, &entry, tail, &mut window) {
                true => *count += 1,
                false => found.unreadable += 1,
            }
        }
        found
    }
}

/// Returns whether an event can be read. Without the key a ciphertext counts as readable.
fn is_readable(
    reader: &Reader,
    entry: &IndexEntry,
    tail: Option<Tail>,
    window: &mut Window,
) -> bool {
    let error = match entry.state {
        EntryState::Dead => reader.letter(entry, tail, window).err(),
        EntryState::Done => reader.end(entry.place, window, |_, _| ()).err(),
        _ => {
            let event = reader.event(entry, tail, window);
            event.err().map(|(_, error)| error)
        }
    };
    error.is_none_or(|error| error.kind() == StoreErrorKind::Key)
}
