//! The index of the kept letters: by place, by request id and by function, with counters.
//!
//! Pure. It decides nothing (`kept_letters.rs` does), and each scan is bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, ControlFlow};

use smallvec::SmallVec;

use super::filter::Filter;
use crate::event::dead_letter::{Condition, DeadLetter};
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;

/// Most letters that one scan checks: about a millisecond.
pub(super) const CHECKS_MAX: usize = 5_000;

/// All letters of the queue.
#[derive(Debug, Default)]
pub(super) struct LetterIndex {
    /// By place, which is the order of arrival.
    letters: BTreeMap<u64, DeadLetter>,
    /// Oldest first. An id may have several letters: callers may choose a forgotten id again.
    places: HashMap<RequestId, SmallVec<[u64; 1]>>,
    functions: HashMap<FunctionName, OfFunction>,
    conditions: Count,
    bytes: u64,
}

type Count = HashMap<Condition, usize>;

/// The letters of one function.
#[derive(Debug, Default)]
struct OfFunction {
    places: BTreeSet<u64>,
    conditions: Count,
}

/// A range of places: after `after`, up to and including `until`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlaceRange {
    pub(super) after: u64,
    pub(super) until: u64,
}

impl PlaceRange {
    /// All places, from the oldest letter on.
    pub(super) const ALL: Self = Self {
        after: 0,
        until: u64::MAX,
    };
}

/// How far a scan came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Letters that were checked; one that the filter's rule may have to check counts as several.
    pub(super) checks: usize,
    /// The place after which the next scan begins; `None` at the end of the range.
    pub(super) next: Option<u64>,
}

/// Bytes that a letter counts as, beside its payload and its texts.
const LETTER_BYTES: u64 = 512;

/// Returns the bytes that a letter counts as.
pub(super) fn size(letter: &DeadLetter) -> u64 {
    let failures = letter.attempts.iter().map(|attempt| &attempt.failure);
    let texts: usize = failures.map(Failure::text_len).sum();
    LETTER_BYTES + (letter.payload.size() + texts + letter.text_len()) as u64
}

impl LetterIndex {
    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the place of the newest letter; 0 if there is none.
    pub(super) fn last_place(&self) -> u64 {
        self.letters.last_key_value().map_or(0, |(&place, _)| place)
    }

    /// Returns the newest letter of this id for which `is_meant` is true, and its place.
    pub(super) fn find(
        &self,
        id: RequestId,
        is_meant: impl Fn(u64, &DeadLetter) -> bool,
    ) -> Option<(u64, &DeadLetter)> {
        let places = self.places.get(&id)?.iter().rev();
        let mut letters = places.filter_map(|&place| Some((place, self.letters.get(&place)?)));
        letters.find(|(place, letter)| is_meant(*place, letter))
    }

    pub(super) fn at(&self, place: u64) -> Option<&DeadLetter> {
        self.letters.get(&place)
    }

    /// Adds a letter, at a place after all others.
    pub(super) fn put(&mut self, place: u64, letter: DeadLetter) {
        self.bytes += size(&letter);
        self.places
            .entry(letter.request_id)
            .or_default()
            .push(place);
        *self.conditions.entry(letter.condition).or_default() += 1;
        let of_function = self.functions.entry(letter.function.clone()).or_default();
        of_function.places.insert(place);
        *of_function.conditions.entry(letter.condition).or_default() += 1;
        self.letters.insert(place, letter);
    }

    pub(super) fn remove(&mut self, place: u64) -> Option<DeadLetter> {
        let letter = self.letters.remove(&place)?;
        if let Some(places) = self.places.get_mut(&letter.request_id) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.places.remove(&letter.request_id);
            }
        }
        self.bytes -= size(&letter);
        discount(&mut self.conditions, letter.condition);
        if let Some(of_function) = self.functions.get_mut(&letter.function) {
            of_function.places.remove(&place);
            discount(&mut of_function.conditions, letter.condition);
            if of_function.places.is_empty() {
                self.functions.remove(&letter.function);
            }
        }
        Some(letter)
    }

    /// Returns how many letters match, if the counters know: if the filter has no field but function and condition.
    pub(super) fn count(&self, filter: &Filter) -> Option<usize> {
        let (function, condition) = filter.counted()?;
        let of = |count: &Count, condition| count.get(&condition).copied().unwrap_or_default();
        Some(match (function, condition) {
            (None, None) => self.len(),
            (None, Some(condition)) => of(&self.conditions, condition),
            (Some(name), condition) => self.functions.get(name).map_or(0, |of_function| {
                let all = of_function.places.len();
                condition.map_or(all, |condition| of(&of_function.conditions, condition))
            }),
        })
    }

    /// Passes the matching letters of the range to `take`, oldest first, until it breaks; the next scan then begins with the
    /// letter at which it broke. Checks at most [`CHECKS_MAX`] letters, and only those of the filter's function if it has one.
    pub(super) fn scan(
        &self,
        filter: &Filter,
        range: PlaceRange,
        mut take: impl FnMut(u64, &DeadLetter) -> ControlFlow<()>,
    ) -> Scan {
        let mut scan = Scan {
            checks: 0,
            next: None,
        };
        let mut last = range.after;
        for (place, letter) in self.within(filter, range) {
            if scan.checks >= CHECKS_MAX {
                scan.next = Some(last);
                break;
            }
            scan.checks += filter.cost();
            if filter.matches(letter) && take(place, letter).is_break() {
                scan.next = Some(last);
                break;
            }
            last = place;
        }
        scan
    }

    fn within<'a>(
        &'a self,
        filter: &Filter,
        PlaceRange { after, until }: PlaceRange,
    ) -> Box<dyn Iterator<Item = (u64, &'a DeadLetter)> + 'a> {
        if after >= until {
            return Box::new(std::iter::empty());
        }
        let places = (Bound::Excluded(after), Bound::Included(until));
        let Some(function) = filter.function_name() else {
            let all = self.letters.range(places);
            return Box::new(all.map(|(&place, letter)| (place, letter)));
        };
        let own = self.functions.get(function).into_iter();
        let own = own.flat_map(move |own| own.places.range(places));
        Box::new(own.filter_map(|&place| Some((place, self.letters.get(&place)?))))
    }

    /// Takes out the oldest letters, at most `most`.
    pub(super) fn take_oldest(&mut self, most: usize) -> Vec<DeadLetter> {
        let places: Vec<_> = self.letters.keys().copied().take(most).collect();
        let places = places.into_iter();
        places.filter_map(|place| self.remove(place)).collect()
    }
}

fn discount(count: &mut Count, condition: Condition) {
    if let Some(letters) = count.get_mut(&condition) {
        *letters -= 1;
    }
}
