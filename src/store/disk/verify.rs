//! Looking at a folder without touching it: which files can be read, how far, and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::cipher::{self, Cipher, Ring};
use super::configuration;
use super::files::{Files, Folder};
use super::header::HEADER;
use super::index::{Fact, Index};
use super::loaded_segment::LoadedSegment;
use super::open_segments::OpenSegments;
use super::reader::{Reader, Window};
use super::record::Opened;
use super::recovery::{self, TimeLine};
use super::segment_file;
use super::segment_table::EntryState;
use crate::error::{StoreError, StoreErrorKind};

/// What [`verify`] found in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// The files of the log, the oldest first; then those beside it that are missing or damaged.
    pub files: Vec<VerifiedFile>,
    /// Events that wait or run, and can be read.
    pub pending: u64,
    /// Dead letters that can be read.
    pub dead_letters: u64,
    /// Finished events that are remembered.
    pub finished: u64,
    /// Events that were accepted and can't be read, as far as that can be told: what lies behind the damage in the last
    /// file isn't counted. Nor is what was in the oldest file, if that is missing.
    pub unreadable: u64,
}

impl Verification {
    /// Would the store open, with everything that was ever acknowledged, as far as that can be told without its key? What
    /// lies behind an [`Extent::Torn`] is not counted against it.
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
    /// Records that can be read.
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
    /// To this byte, behind which lies what the end of a process or a loss of power tore. Nothing of it was acknowledged as
    /// durable, unless the disk lost it: in the last file that looks the same.
    Torn {
        /// Where it begins.
        at: u64,
    },
    /// Not behind this byte, though it must be.
    Damaged {
        /// Where the damage begins.
        at: u64,
        /// What is wrong.
        why: String,
    },
}

/// Reads the whole folder of a store and says what is in it and what can't be read. Blocks.
///
/// Nothing is written, made or locked, and damage is no error but part of the answer. Of a store that is in use it is a
/// view of a moment: its last file may look torn, and files that are removed meanwhile may be missed. What is sealed is
/// not opened: it counts as readable if it is what was written, and the file `keys` is there and belongs to it.
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
/// When the folder or a file in it can't be read at all: it isn't there, or the process may not.
pub fn verify(path: impl AsRef<Path>) -> Result<Verification, StoreError> {
    let folder = Folder::to_read(path.as_ref());
    verify_files(&(Arc::new(folder) as Arc<dyn Files>))
}

pub(super) fn verify_files(files: &Arc<dyn Files>) -> Result<Verification, StoreError> {
    let mut survey = Survey::default();
    let mut all = BTreeMap::new();
    for number in segment_file::numbers(&**files)? {
        let header = LoadedSegment::read(&**files, number, None)?.header(&**files);
        match header {
            Err(error) if segment_file::is_stray(number, all.keys().next_back()) => {
                survey.damaged(segment_file::name(number), error.to_string());
            }
            header => drop(all.insert(number, header.ok())),
        }
    }
    let last = all.keys().next_back().copied().unwrap_or_default();
    let mut first = all.keys().next().copied().unwrap_or(1);
    let oldest = all.values().next().and_then(Option::as_ref);
    if oldest.is_some_and(|oldest| oldest.require_oldest(&**files).is_err()) {
        first -= 1;
    }
    for number in first..=last {
        let next = all
            .get(&number.saturating_add(1))
            .cloned()
            .flatten()
            .map(|next| next.opened);
        if all.contains_key(&number) {
            let sealed = next.as_ref().and_then(|next| next.previous);
            let found = LoadedSegment::read(&**files, number, sealed.map(|(_, length)| length))?;
            survey.segment(files, &found, number == last);
            if found.is_emptied() {
                continue;
            }
        } else {
            survey.lost(files, number);
        }
        // Whatever was accepted in it and could not be read.
        if let Some(next) = &next {
            survey.missing.extend(survey.index.next..next.base);
        }
    }
    let opened: BTreeMap<_, _> = all
        .into_iter()
        .filter_map(|(number, header)| Some((number, header?.opened)))
        .collect();
    let since = survey.companions(&**files, &opened)?;
    let index = Arc::new(Mutex::new(survey.index));
    let reader = Reader {
        files: files.clone(),
        index: index.clone(),
        segments: Arc::new(OpenSegments::new(files.clone())),
        cipher: Arc::new(Cipher::locked(since)),
    };
    let mut found = Verification {
        files: survey.files,
        pending: 0,
        dead_letters: 0,
        finished: 0,
        unreadable: survey.missing.len() as u64,
    };
    let mut window = Window::default();
    let all: Vec<_> = index.lock().all().collect();
    for (seq, entry) in all {
        let tail = index.lock().tail(seq);
        let (count, readable) = match entry.state {
            EntryState::Held | EntryState::Spilled => (
                &mut found.pending,
                is_whole(
                    reader
                        .event(&entry, tail, &mut window)
                        .map_err(|(_, error)| error),
                ),
            ),
            EntryState::Dead => (
                &mut found.dead_letters,
                is_whole(reader.letter(&entry, tail, &mut window)),
            ),
            EntryState::Done => (
                &mut found.finished,
                is_whole(reader.end(entry.place, &mut window, |_, _| ())),
            ),
            EntryState::Gone => continue,
        };
        *match readable {
            true => count,
            false => &mut found.unreadable,
        } += 1;
    }
    Ok(found)
}

/// What was learnt so far.
#[derive(Default)]
struct Survey {
    index: Index,
    line: TimeLine,
    files: Vec<VerifiedFile>,
    /// Numbers of events whose records can't be read, and of which nothing else is known.
    missing: BTreeSet<u64>,
}

impl Survey {
    /// The file isn't there.
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

    /// Looks at the files beside the log. Returns from which segment on all is sealed.
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
        let sealed = opened
            .iter()
            .find_map(|(&since, opened)| opened.ring.map(|id| Ring { id, since }));
        let ring = cipher::claimed(files, sealed);
        let checked = ring.and_then(|ring| {
            let headers = opened.iter();
            let mut checks = headers
                .map(|(&number, opened)| cipher::check(files, ring.as_ref(), number, opened.ring));
            checks.try_for_each(|check| check)
        });
        if let Err(error) = checked {
            self.damaged(cipher::KEYS.to_owned(), error.to_string());
        }
        Ok(sealed.map(|ring| ring.since))
    }

    fn segment(&mut self, files: &Arc<dyn Files>, found: &LoadedSegment, is_last: bool) {
        let base = found.header(&**files).map(|header| header.opened.base);
        let start = base.as_ref().map_or(0, |_| HEADER as u32);
        self.index
            .begin_segment(found.number, base.unwrap_or(self.index.next));
        let (mut records, mut end) = (0, start);
        let replayed = found.replay(&**files, |record, place, weight| {
            records += 1;
            end = place.offset + weight;
            for fact in recovery::facts(&mut self.index, record, &mut self.line) {
                if let Fact::Event { seq, .. }
                | Fact::Finished { seq, .. }
                | Fact::Forgotten { seq } = &fact
                {
                    self.missing.remove(seq);
                }
                // What a salvage could not save in front of it.
                if let &Fact::Event { seq, .. } = &fact
                    && seq.saturating_sub(self.index.next) <= place.records_before()
                {
                    self.missing.extend(self.index.next..seq);
                }
                self.index.apply(fact, place, weight);
            }
            Ok(())
        });
        let extent = match replayed {
            Ok(end) if end.closed || u64::from(end.at) == found.length() => Extent::Whole,
            Ok(end) => Extent::Torn {
                at: u64::from(end.at),
            },
            // One that was about to begin.
            Err(_) if is_last && found.is_unborn() => Extent::Torn { at: 0 },
            Err(error) => Extent::Damaged {
                at: u64::from(end),
                why: error.to_string(),
            },
        };
        self.files.push(VerifiedFile {
            name: segment_file::name(found.number),
            bytes: found.length(),
            records,
            extent,
        });
    }
}

/// What is sealed is whole as far as can be told without its key.
fn is_whole<T>(read: Result<T, StoreError>) -> bool {
    read.err()
        .is_none_or(|error| error.kind() == StoreErrorKind::Key)
}
