//! The damaged folder as a salvage sees it first: the headers of its segments, its keys and its configuration.

use std::collections::BTreeMap;

use super::report::{Lost, lost_file};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::disk::atomic_file;
use crate::store::disk::cipher::{KEYS, Ring};
use crate::store::disk::claimed_ring;
use crate::store::disk::configuration;
use crate::store::disk::files::Files;
use crate::store::disk::loaded_segment::LoadedSegment;
use crate::store::disk::record::Opened;
use crate::store::disk::segment_file;

/// The damaged folder before its records are read.
pub(super) struct SalvageSource {
    /// The segments that exist, with their headers where those are readable.
    pub(super) headers: BTreeMap<u32, Option<Opened>>,
    first: u32,
    pub(super) last: u32,
    /// The keys that the segments are encrypted with.
    ring: Option<Ring>,
    /// The other files that are copied.
    pub(super) companions: Vec<(&'static str, Vec<u8>)>,
    pub(super) lost: Vec<Lost>,
}

impl SalvageSource {
    /// Reads the headers, and the files beside the log.
    pub(super) fn read(files: &dyn Files) -> Result<Self, StoreError> {
        let mut source = Self::read_headers(files)?;
        source.read_keys(files);
        source.read_configuration(files)?;
        source.keep(files, KEYS)?;
        Ok(source)
    }

    fn read_headers(files: &dyn Files) -> Result<Self, StoreError> {
        let (mut headers, mut lost) = (BTreeMap::new(), Vec::new());
        let (mut first, mut another_version) = (None, None);
        for number in segment_file::numbers(files)? {
            let header = LoadedSegment::read(files, number, None)?.header(files);
            if let Err(error) = &header
                && error.kind() == StoreErrorKind::Version
            {
                another_version = Some(error.clone());
            }
            if header.is_err() && segment_file::is_stray(number, headers.keys().next_back()) {
                let name = segment_file::name(number);
                lost.push(lost_file(&name, "probably not a file of the store"));
                continue;
            }
            let header = header.ok();
            let is_beheaded = header
                .as_ref()
                .is_some_and(|header| header.require_oldest(files).is_err());
            first.get_or_insert(number - u32::from(is_beheaded));
            headers.insert(number, header.map(|header| header.opened));
        }
        // One segment of another version among others has a damaged format.
        if let Some(error) = another_version.filter(|_| headers.values().all(Option::is_none)) {
            return Err(error);
        }
        Ok(Self {
            first: first.unwrap_or(1),
            last: headers.keys().next_back().copied().unwrap_or_default(),
            headers,
            ring: None,
            companions: Vec::new(),
            lost,
        })
    }

    /// Finds out which keys the folder is encrypted with.
    fn read_keys(&mut self, files: &dyn Files) {
        let named = self.near(0, |opened| opened.ring.is_some());
        let named = named.and_then(|(since, opened)| opened.ring.map(|id| Ring { id, since }));
        self.ring = named;
        match claimed_ring::read(files, named) {
            Ok(Some(ring)) => self.ring = Some(ring),
            Ok(None) if named.is_none() => {}
            _ => {
                let what = "the keys: without them the copy can't be opened";
                self.lost.push(lost_file(KEYS, what));
            }
        }
    }

    fn read_configuration(&mut self, files: &dyn Files) -> Result<(), StoreError> {
        let configured = self.near(0, |opened| opened.configured).is_some();
        match configuration::read(files) {
            Ok(None) if !configured => {}
            Ok(Some(_)) => self.keep(files, configuration::NAME)?,
            _ => {
                let what = "the live settings of functions";
                self.lost.push(lost_file(configuration::NAME, what));
            }
        }
        Ok(())
    }

    /// Adds a file to those that are copied.
    fn keep(&mut self, files: &dyn Files, name: &'static str) -> Result<(), StoreError> {
        let bytes = atomic_file::read(files, name)?;
        self.companions.extend(bytes.map(|bytes| (name, bytes)));
        Ok(())
    }

    /// Returns the numbers of all segments, also of missing ones.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        self.first..=self.last
    }

    /// Returns the first segment from `number` on whose header fulfils `like`.
    fn near(&self, number: u32, like: impl Fn(&Opened) -> bool) -> Option<(u32, &Opened)> {
        let mut headers = self.headers.range(number..);
        headers.find_map(|(&number, opened)| {
            Some((number, opened.as_ref().filter(|opened| like(opened))?))
        })
    }

    /// Returns the length of a segment, as the next one says.
    pub(super) fn length(&self, number: u32) -> Option<usize> {
        let (said, length) = self
            .headers
            .get(&number.saturating_add(1))?
            .as_ref()?
            .previous?;
        (said == number).then_some(length as usize)
    }

    /// Returns the header of a segment in the copy; an unreadable one is made again, for events from `base` on.
    pub(super) fn header(&self, number: u32, base: u64) -> Opened {
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
