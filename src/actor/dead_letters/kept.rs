//! The letters that the dead-letter queue keeps: by place, by request id, by function, and counted.
//!
//! Pure: it decides nothing, and each look at it is bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, ControlFlow};

use smallvec::SmallVec;

use super::query::Filter;
use crate::event::dead_letter::{Condition, DeadLetter};
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;

/// Letters that are looked at in one go, at most: about a millisecond.
pub(super) const LOOKS_MAX: usize = 5_000;

#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By place, which is the order of arrival.
    letters: BTreeMap<u64, DeadLetter>,
    /// Oldest first. An id that was forgotten may have been proposed again, for another function, and its event died too.
    places: HashMap<RequestId, SmallVec<[u64; 1]>>,
    functions: HashMap<FunctionName, OfFunction>,
    conditions: Count,
    bytes: u64,
}

type Count = HashMap<Condition, usize>;

#[derive(Debug, Default)]
struct OfFunction {
    places: BTreeSet<u64>,
    conditions: Count,
}

/// Which places are looked at: those after `after`, `until` included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) after: u64,
    pub(super) until: u64,
}

impl Span {
    /// All places, from the oldest letter on.
    pub(super) const ALL: Self = Self {
        after: 0,
        until: u64::MAX,
    };
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looked {
    /// Letters that were looked at; one that a rule of the filter's may have to be asked about counts as several.
    pub(super) looks: usize,
    /// The place after which the next look begins; none if this one came to the end of the span.
    pub(super) next: Option<u64>,
}

/// What a letter takes beside its payload, its texts and what its caller said.
const LETTER_BYTES: u64 = 512;

pub(super) fn size(letter: &DeadLetter) -> u64 {
    let failures = letter.attempts.iter().map(|attempt| &attempt.failure);
    let texts: usize = failures.map(Failure::text_len).sum();
    LETTER_BYTES + (letter.payload.size() + texts + letter.text_len()) as u64
}

impl Kept {
    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The place of the newest letter; 0 if there is none.
    pub(super) fn last_place(&self) -> u64 {
        self.letters.last_key_value().map_or(0, |(&place, _)| place)
    }

    /// The newest letter of this id that is meant, and its place.
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

    /// Keeps a letter at a place that is higher than all that are taken.
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

    /// How many letters match, if that is known without a look at each: if the filter says nothing but function and
    /// condition.
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

    /// Hands those letters of the span that match to `take`, oldest first, until it breaks off; the letter with which it
    /// does is the next look's first. Looks at no more than [`LOOKS_MAX`], of the filter's function alone if it names one.
    pub(super) fn look(
        &self,
        filter: &Filter,
        span: Span,
        mut take: impl FnMut(u64, &DeadLetter) -> ControlFlow<()>,
    ) -> Looked {
        let mut looked = Looked {
            looks: 0,
            next: None,
        };
        let mut last = span.after;
        for (place, letter) in self.span(filter, span) {
            if looked.looks >= LOOKS_MAX {
                looked.next = Some(last);
                break;
            }
            looked.looks += filter.cost();
            if filter.matches(letter) && take(place, letter).is_break() {
                looked.next = Some(last);
                break;
            }
            last = place;
        }
        looked
    }

    fn span<'a>(
        &'a self,
        filter: &Filter,
        Span { after, until }: Span,
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

    /// Takes out the oldest letters, so many at most.
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
