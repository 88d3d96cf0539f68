//! The letters of the dead-letter queue, and what happens to them: keep, hold, drop the oldest, expire, list.
//!
//! Pure: it takes the time as an argument, and has no store, log or mailbox. The actor carries out what follows: a letter
//! that is returned as dropped is logged, counted, and forgotten by the store.
//!
//! `kept_letters/full_queue.rs` decides about a letter for which there is no room.

mod full_queue;

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::time::SystemTime;

use super::filter::Filter;
use super::letter_index::{CHECKS_MAX, LetterIndex, PlaceRange, Scan, size};
use super::page::{List, Page};
use super::settings::{DeadLetterBounds, WhenFull};
use crate::event::dead_letter::DeadLetter;
use crate::event::request_id::RequestId;

pub(super) use full_queue::Room;

/// An event that has died and is still pending in its mailbox, with its letter.
pub(super) trait PendingLetter {
    fn letter(&self) -> &DeadLetter;
}

/// The letters, kept and held. `P` is a held letter with all that its event's end needs.
#[derive(Debug)]
pub(super) struct KeptLetters<P> {
    bounds: DeadLetterBounds,
    index: LetterIndex,
    /// The places of letters whose redrive is under way. They keep their places until their events are accepted, and until
    /// then no other redrive sends them and nothing drops, expires or purges them.
    sending: HashSet<u64>,
    /// The place of the last letter that arrived.
    arrivals: u64,
    /// Letters that arrived when the queue was full. Their places are higher than those of all kept letters.
    held: VecDeque<(u64, P)>,
}

/// Letters that have expired, and how far the queue looked.
#[derive(Debug)]
pub(super) struct Expired {
    pub(super) letters: Vec<DeadLetter>,
    pub(super) checks: usize,
    /// There may be more, and looking again makes progress.
    pub(super) more: bool,
}

impl<P: PendingLetter> KeptLetters<P> {
    pub(super) fn new(bounds: DeadLetterBounds) -> Self {
        Self {
            bounds,
            index: LetterIndex::default(),
            sending: HashSet::new(),
            arrivals: 0,
            held: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn held_len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn bounds(&self) -> &DeadLetterBounds {
        &self.bounds
    }

    fn has_room(&self, letter: &DeadLetter) -> bool {
        // One letter always fits: a bound below its size must not hold it for ever.
        self.index.is_empty()
            || (self.index.len() < self.bounds.letters_max
                && self.index.bytes() + size(letter) <= self.bounds.bytes_max)
    }

    /// Returns the place of a letter that arrives now.
    pub(super) fn next_place(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Keeps a letter, at a place after all others.
    pub(super) fn keep(&mut self, place: u64, letter: DeadLetter) {
        self.index.put(place, letter);
    }

    /// Holds a letter until there is room.
    pub(super) fn hold(&mut self, place: u64, pending: P) {
        self.held.push_back((place, pending));
    }

    /// Takes out the first held letter if there is room for it now; it is to be kept at its place.
    pub(super) fn next_held(&mut self) -> Option<(u64, P)> {
        let (_, pending) = self.held.front()?;
        match self.has_room(pending.letter()) {
            true => self.held.pop_front(),
            false => None,
        }
    }

    /// Drops the oldest letters that are too many, after some were loaded from the store; none if the bounds say `Hold`.
    /// Returns the dropped letters.
    pub(super) fn trim(&mut self) -> Vec<DeadLetter> {
        let mut dropped = Vec::new();
        while self.bounds.when_full != WhenFull::Hold
            && (self.index.len() > self.bounds.letters_max
                || self.index.bytes() > self.bounds.bytes_max)
            && let Some(oldest) = self.drop_oldest()
        {
            dropped.push(oldest);
        }
        dropped
    }

    /// Drops letters that are older than the bounds allow at `now`: some, if there are many.
    pub(super) fn expire(&mut self, now: SystemTime) -> Expired {
        let (mut old, mut young) = (Vec::new(), false);
        let Some(age_max) = self.bounds.age_max else {
            return Expired {
                letters: Vec::new(),
                checks: 0,
                more: false,
            };
        };
        let scan = self
            .index
            .scan(&Filter::new(), PlaceRange::ALL, |place, letter| {
                let age = now.duration_since(letter.died_at);
                if !age.is_ok_and(|age| age > age_max) {
                    young = true;
                    return ControlFlow::Break(());
                }
                old.push(place);
                ControlFlow::Continue(())
            });
        old.retain(|place| !self.sending.contains(place));
        let letters: Vec<_> = old
            .into_iter()
            .filter_map(|place| self.index.remove(place))
            .collect();
        Expired {
            checks: scan.checks,
            // Letters that are being sent stay: where only these are old, looking again would not end.
            more: scan.next.is_some() && !young && !letters.is_empty(),
            letters,
        }
    }

    /// Returns the range of the letters that are kept now.
    pub(super) fn present(&self) -> PlaceRange {
        PlaceRange {
            after: 0,
            until: self.index.last_place(),
        }
    }

    /// Returns the range of all letters that have arrived so far.
    pub(super) fn arrived(&self) -> PlaceRange {
        PlaceRange {
            after: 0,
            until: self.arrivals,
        }
    }

    pub(super) fn at(&self, place: u64) -> Option<&DeadLetter> {
        self.index.at(place)
    }

    /// Returns the newest kept letter of an id that the filter matches, and its place.
    pub(super) fn find(&self, id: RequestId, filter: &Filter) -> Option<(u64, &DeadLetter)> {
        self.index.find(id, |_, letter| filter.matches(letter))
    }

    /// Returns the place of the newest letter of an id that the filter matches and that is not being sent.
    pub(super) fn find_unsent(&self, id: RequestId, filter: &Filter) -> Option<u64> {
        let is_meant = |place, letter: &_| !self.is_sending(place) && filter.matches(letter);
        self.index.find(id, is_meant).map(|(place, _)| place)
    }

    /// Returns a page, and how many letters were checked for it.
    pub(super) fn page(&self, list: &List) -> (Page, usize) {
        let (mut letters, mut bytes) = (Vec::new(), 0_usize);
        let range = PlaceRange {
            after: list.after,
            ..PlaceRange::ALL
        };
        let scan = self.index.scan(&list.filter, range, |_, letter| {
            bytes = bytes.saturating_add(letter.payload.size());
            let is_full = letters.len() >= list.limit || bytes > list.bytes_max;
            if is_full && !letters.is_empty() {
                return ControlFlow::Break(());
            }
            letters.push(letter.clone());
            ControlFlow::Continue(())
        });
        let counted = self.index.count(&list.filter);
        let page = Page {
            total: counted.unwrap_or(letters.len()),
            total_is_exact: counted.is_some() || list.after == 0 && scan.next.is_none(),
            next: scan.next,
            letters,
        };
        (page, scan.checks)
    }

    /// Returns the places of some kept letters of the range that match, and how far the scan came.
    pub(super) fn places(&self, filter: &Filter, range: PlaceRange) -> (Vec<u64>, Scan) {
        let mut places = Vec::new();
        let scan = self.index.scan(filter, range, |place, _| {
            places.push(place);
            ControlFlow::Continue(())
        });
        (places, scan)
    }

    /// Returns some letters of the range that match, kept or held, and how far the scan came.
    pub(super) fn some(&self, filter: &Filter, range: PlaceRange) -> (Vec<DeadLetter>, Scan) {
        let mut letters = Vec::new();
        let mut scan = self.index.scan(filter, range, |_, letter| {
            letters.push(letter.clone());
            ControlFlow::Continue(())
        });
        if scan.next.is_some() {
            return (letters, scan);
        }
        // The held letters arrived after all kept ones.
        let first = self
            .held
            .partition_point(|&(place, _)| place <= range.after);
        let held = self.held.range(first..);
        let mut held = held.take_while(|&&(place, _)| place <= range.until);
        let mut last = range.after;
        for (place, pending) in held.by_ref().take(CHECKS_MAX) {
            last = *place;
            let letter = pending.letter();
            letters.extend(filter.matches(letter).then(|| letter.clone()));
        }
        scan.next = held.next().is_some().then_some(last);
        (letters, scan)
    }

    pub(super) fn is_sending(&self, place: u64) -> bool {
        self.sending.contains(&place)
    }

    pub(super) fn start_sending(&mut self, place: u64) {
        self.sending.insert(place);
    }

    /// Ends the sending of a letter. One whose event was accepted leaves the queue.
    pub(super) fn sent(&mut self, place: u64, accepted: bool) {
        self.sending.remove(&place);
        if accepted {
            self.index.remove(place);
        }
    }

    pub(super) fn remove(&mut self, place: u64) -> Option<DeadLetter> {
        self.index.remove(place)
    }

    /// Takes out the oldest kept letters, some at a time, those that are being sent included.
    pub(super) fn take_kept(&mut self) -> Vec<DeadLetter> {
        self.index.take_oldest(CHECKS_MAX)
    }

    /// Takes out the oldest held letters, some at a time.
    pub(super) fn take_held(&mut self) -> Vec<P> {
        let some = self.held.len().min(CHECKS_MAX);
        self.held
            .drain(..some)
            .map(|(_, pending)| pending)
            .collect()
    }
}

#[cfg(test)]
mod tests;
