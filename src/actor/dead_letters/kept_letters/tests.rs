//! A property of [`KeptLetters`]: it behaves as a naive list of letters does.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::event::dead_letter::{Condition, Letter};
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;

impl PendingLetter for DeadLetter {
    fn letter(&self) -> &DeadLetter {
        self
    }
}

const CONDITIONS: [Condition; 2] = [Condition::RetriesExhausted, Condition::Final];

fn at(second: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second.into())
}

/// The `id`-th letter; its function, condition and size follow from the number.
fn letter(id: u32, died: u32) -> DeadLetter {
    DeadLetter::new(Letter {
        request_id: RequestId::new(0, id, u128::from(id)),
        function: FunctionName::new(["f", "g"][id as usize % 2]),
        payload: Payload::new("x".repeat(id as usize * 7 % 300)).unwrap(),
        condition: CONDITIONS[id as usize / 2 % 2],
        attempts: Vec::new(),
        attempt_count: 0,
        accepted_at: at(0),
        died_at: at(died),
        meta: Default::default(),
        stored: false,
    })
}

fn filter(choice: u8) -> Filter {
    match choice % 4 {
        0 => Filter::new(),
        1 => Filter::new().function("f"),
        2 => Filter::new().condition(Condition::Final),
        _ => Filter::new().since(at(u32::from(choice))),
    }
}

/// A letter of the naive list.
#[derive(Clone)]
struct Row {
    place: u64,
    letter: DeadLetter,
    held: bool,
    sending: bool,
}

/// The naive list: every operation looks at all letters.
struct Model {
    bounds: DeadLetterBounds,
    rows: Vec<Row>,
    arrivals: u64,
}

type Ids = Vec<RequestId>;

impl Model {
    fn kept(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.held)
    }

    fn has_room(&self, letter: &DeadLetter) -> bool {
        let bytes: u64 = self.kept().map(|row| size(&row.letter)).sum();
        let count = self.kept().count();
        count == 0
            || count < self.bounds.letters_max && bytes + size(letter) <= self.bounds.bytes_max
    }

    /// Returns the ids of the letters that are dropped for it.
    fn arrive(&mut self, letter: DeadLetter) -> Ids {
        self.arrivals += 1;
        let any_held = self.rows.iter().any(|row| row.held);
        let mut dropped = Vec::new();
        let mut held = false;
        if any_held || !self.has_room(&letter) {
            match self.bounds.when_full {
                WhenFull::Hold => held = true,
                WhenFull::DropNewest => return vec![letter.request_id],
                WhenFull::DropOldest => {
                    while !self.has_room(&letter)
                        && let Some(oldest) = self.rows.iter().position(|row| !row.sending)
                    {
                        dropped.push(self.rows.remove(oldest).letter.request_id);
                    }
                }
            }
        }
        self.rows.push(Row {
            place: self.arrivals,
            letter,
            held,
            sending: false,
        });
        dropped
    }

    fn take_held(&mut self) {
        while let Some(first) = self.rows.iter().position(|row| row.held)
            && self.has_room(&self.rows[first].letter)
        {
            self.rows[first].held = false;
        }
    }

    fn expire(&mut self, now: SystemTime) -> Ids {
        let age_max = self.bounds.age_max.unwrap();
        let is_old = |row: &Row| {
            !row.held
                && now
                    .duration_since(row.letter.died_at)
                    .is_ok_and(|age| age > age_max)
        };
        let old = self.rows.iter().take_while(|row| is_old(row)).count();
        let first: Vec<_> = self.rows.drain(..old).collect();
        let (stay, gone): (Vec<_>, Vec<_>) = first.into_iter().partition(|row| row.sending);
        self.rows.splice(..0, stay);
        gone.iter().map(|row| row.letter.request_id).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Arrive,
    TakeHeld,
    Expire(u32),
    StartSending(usize),
    Sent(usize, bool),
    Purge(u8),
    Page(u8, u64, usize),
    Some(u8, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Arrive),
        1 => Just(Step::TakeHeld),
        1 => (0..60_u32).prop_map(Step::Expire),
        2 => (0..8_usize).prop_map(Step::StartSending),
        2 => (0..8_usize, any::<bool>()).prop_map(|(nth, accepted)| Step::Sent(nth, accepted)),
        1 => any::<u8>().prop_map(Step::Purge),
        2 => (any::<u8>(), 0..20_u64, 1..6_usize).prop_map(|(filter, after, limit)| Step::Page(filter, after, limit)),
        1 => (any::<u8>(), 0..20_u64).prop_map(|(filter, after)| Step::Some(filter, after)),
    ]
}

fn ids<'a>(letters: impl IntoIterator<Item = &'a DeadLetter>) -> Ids {
    letters.into_iter().map(|it| it.request_id).collect()
}

fn arrive(letters: &mut KeptLetters<DeadLetter>, letter: DeadLetter) -> Ids {
    let place = letters.next_place();
    match letters.make_room(&letter) {
        Room::Hold => letters.hold(place, letter),
        Room::DropNewest => return vec![letter.request_id],
        Room::Free(dropped) => {
            letters.keep(place, letter);
            return ids(&dropped);
        }
    }
    Vec::new()
}

/// Does a step in both, and compares what they return.
fn run(letters: &mut KeptLetters<DeadLetter>, model: &mut Model, step: Step, number: u32) {
    match step {
        Step::Arrive => {
            let letter = letter(number, number);
            assert_eq!(arrive(letters, letter.clone()), model.arrive(letter));
        }
        Step::TakeHeld => {
            while let Some((place, letter)) = letters.next_held() {
                letters.keep(place, letter);
            }
            model.take_held();
        }
        Step::Expire(second) => {
            let expired = letters.expire(at(second));
            assert_eq!(ids(&expired.letters), model.expire(at(second)));
        }
        Step::StartSending(nth) => {
            let row = model
                .rows
                .iter_mut()
                .filter(|row| !row.held && !row.sending)
                .nth(nth);
            if let Some(row) = row {
                row.sending = true;
                let found = letters.find_unsent(row.letter.request_id, &Filter::new());
                assert_eq!(found, Some(row.place));
                letters.start_sending(row.place);
            }
        }
        Step::Sent(nth, accepted) => {
            let mut sending = model.rows.iter_mut().filter(|row| row.sending);
            if let Some(row) = sending.nth(nth) {
                row.sending = false;
                let place = row.place;
                letters.sent(place, accepted);
                model.rows.retain(|row| row.place != place || !accepted);
            }
        }
        Step::Purge(choice) => {
            let (mut places, _) = letters.places(&filter(choice), letters.present());
            places.retain(|&place| !letters.is_sending(place));
            places.iter().for_each(|&place| drop(letters.remove(place)));
            let filter = filter(choice);
            model
                .rows
                .retain(|row| row.held || row.sending || !filter.matches(&row.letter));
        }
        Step::Page(choice, after, limit) => compare_pages(letters, model, choice, after, limit),
        Step::Some(choice, after) => {
            let filter = filter(choice);
            let range = PlaceRange {
                after,
                ..letters.arrived()
            };
            let expected = model.rows.iter().filter(|row| row.place > after);
            let expected = expected.map(|row| &row.letter);
            let (some, scan) = letters.some(&filter, range);
            assert_eq!(ids(&some), ids(expected.filter(|it| filter.matches(it))));
            assert_eq!(scan.next, None);
        }
    }
}

fn compare_pages(
    letters: &KeptLetters<DeadLetter>,
    model: &Model,
    choice: u8,
    after: u64,
    limit: usize,
) {
    let filter = filter(choice);
    let matching: Vec<_> = model
        .kept()
        .filter(|row| filter.matches(&row.letter))
        .collect();
    let rest: Vec<_> = matching.iter().filter(|row| row.place > after).collect();
    let list = List::new(filter).after(after).limit(limit);
    let (page, _) = letters.page(&list);
    let expected = rest.iter().take(limit).map(|row| &row.letter);
    assert_eq!(ids(&page.letters), ids(expected));
    assert_eq!(page.next.is_some(), rest.len() > limit);
    if page.total_is_exact {
        assert_eq!(page.total, matching.len());
    }
}

fn bounds() -> impl Strategy<Value = DeadLetterBounds> {
    let when_full = prop_oneof![
        Just(WhenFull::Hold),
        Just(WhenFull::DropOldest),
        Just(WhenFull::DropNewest)
    ];
    (1..8_usize, 600..5_000_u64, when_full, 1..40_u64).prop_map(|(letters, bytes, full, age)| {
        DeadLetterBounds::new(letters, bytes, full).age_max(Duration::from_secs(age))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_keeps_and_drops_as_a_naive_list_does(
        bounds in bounds(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut letters = KeptLetters::new(bounds.clone());
        let mut model = Model { bounds, rows: Vec::new(), arrivals: 0 };
        for (number, step) in (1..).zip(steps) {
            run(&mut letters, &mut model, step, number);
            let (kept, _) = letters.page(&List::new(Filter::new()));
            prop_assert_eq!(ids(&kept.letters), ids(model.kept().map(|row| &row.letter)));
            let held = model.rows.iter().filter(|row| row.held);
            prop_assert_eq!(letters.held_len(), held.count());
        }
    }
}

#[test]
fn letters_from_the_store_beyond_the_bounds_are_trimmed_unless_the_queue_holds() {
    for (when_full, left) in [
        (WhenFull::Hold, 5),
        (WhenFull::DropOldest, 2),
        (WhenFull::DropNewest, 2),
    ] {
        let mut letters =
            KeptLetters::<DeadLetter>::new(DeadLetterBounds::new(2, u64::MAX, when_full));
        for id in 1..=5 {
            let place = letters.next_place();
            letters.keep(place, letter(id, id));
        }
        assert_eq!(letters.trim().len(), 5 - left, "{when_full:?}");
        assert_eq!(letters.len(), left);
    }
}
