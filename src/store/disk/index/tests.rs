//! The index, fact by fact.

use super::fact::{EventFact, FinishedFact, KeyFact, RescheduledFact};
use super::*;
use crate::event::function_name::FunctionName;
use crate::store::Retained;

const AT: FramePlace = FramePlace {
    segment: 1,
    offset: 128,
};

fn index() -> Index {
    let mut index = Index::default();
    index.functions.number("charge");
    index.begin_segment(1, 1);
    index
}

/// The next event, which waits until `due`.
fn event(index: &mut Index, due: u64) -> u64 {
    let seq = index.next;
    let fact = Fact::Event(EventFact {
        seq,
        function: 0,
        due,
        bytes: 10,
        delayed: due > 0,
        chosen_id: None,
        replaces: None,
        tail: None,
    });
    index.apply(fact, AT, 100);
    assert!(index.spill(seq));
    seq
}

fn fail(index: &mut Index, seq: u64, due: u64) {
    let fact = Fact::Rescheduled(RescheduledFact {
        seq,
        due,
        attempts: 1,
        uncounted: 0,
    });
    index.apply(fact, AT, 100);
}

fn take(index: &mut Index, until: u64) -> Vec<u64> {
    index.take(&FunctionName::new("charge"), until, 10, 1_000)
}

fn overflow(index: &mut Index) -> (u64, u64, u64) {
    let retained = Retained::new(10, 10, std::time::Duration::MAX);
    let counts = index.open(&FunctionName::new("charge"), retained, 0);
    (counts.ready, counts.delayed, counts.bytes)
}

#[test]
fn an_event_fetched_out_of_order_does_not_block_the_events_behind_it() {
    let mut index = index();
    let (first, second) = (event(&mut index, 0), event(&mut index, 0));
    assert!(index.fetch_one(first));
    fail(&mut index, first, 50);
    assert!(index.spill(first));
    assert_eq!(index.next_due(&FunctionName::new("charge")), Some(0));
    assert_eq!(take(&mut index, 10), [second]);
    assert_eq!(take(&mut index, 50), [first]);
    assert_eq!(overflow(&mut index), (0, 0, 0));
}

#[test]
fn an_event_that_fails_in_the_overflow_becomes_delayed() {
    let mut index = index();
    let seq = event(&mut index, 0);
    fail(&mut index, seq, 50);
    assert_eq!(overflow(&mut index), (0, 1, 10));
    assert!(take(&mut index, 49).is_empty());
    assert_eq!(take(&mut index, 50), [seq]);
    assert_eq!(overflow(&mut index), (0, 0, 0));
}

#[test]
fn a_moved_event_keeps_its_place_in_the_overflow() {
    let mut index = index();
    let seq = event(&mut index, 0);
    fail(&mut index, seq, 0);
    index.begin_segment(2, index.next);
    let fact = Fact::Event(EventFact {
        seq,
        function: 0,
        due: 0,
        bytes: 10,
        delayed: false,
        chosen_id: None,
        replaces: None,
        tail: None,
    });
    let there = FramePlace {
        segment: 2,
        offset: 128,
    };
    index.apply(fact, there, 100);
    assert_eq!(overflow(&mut index), (0, 1, 10));
    let listed = index.overflow(&FunctionName::new("charge"), 0, 10).0;
    assert_eq!(listed, [seq], "also while its old segment is there");
    assert_eq!(index.tables.emptied(), Some(1));
    assert_eq!(take(&mut index, 0), [seq]);
    assert_eq!(overflow(&mut index), (0, 0, 0));
}

#[test]
fn cancelled_events_do_not_pile_up_in_the_overflow_order() {
    let mut index = index();
    for _ in 0..10_000 {
        let seq = event(&mut index, 1 << 60);
        index.fetch_one(seq);
        let seq = event(&mut index, 0);
        index.fetch_one(seq);
    }
    let function = index.functions.get(0);
    assert!(function.delayed.len() <= function_index::STALE as usize + 1);
    assert!(function.ready.len() <= function_index::STALE as usize + 1);
}

#[test]
fn a_key_that_moved_many_times_expires_and_leaves_no_bytes() {
    let mut index = index();
    for segment in 2..100 {
        index.begin_segment(segment, 1);
        let fact = Fact::Key(KeyFact {
            function: 0,
            key: "key".into(),
            first: RequestId::from(uuid::Uuid::nil()),
            until: 50,
        });
        let place = FramePlace { segment, offset: 0 };
        index.apply(fact, place, 100);
    }
    index.expire(50);
    assert_eq!(index.keys.holder(&index.functions, 0, "key", 0), None);
    assert_eq!(index.tables.live_bytes(), 0);
}

#[test]
fn a_success_after_the_death_of_an_event_is_ignored() {
    let mut index = index();
    let seq = event(&mut index, 0);
    index.apply(Fact::Buried { seq, attempts: 1 }, AT, 100);
    let fact = Fact::Finished(FinishedFact {
        seq,
        id: RequestId::from(uuid::Uuid::nil()),
        function: 0,
        at: 1,
        bytes: 0,
    });
    index.apply(fact, AT, 100);
    assert_eq!(index.entry(seq).unwrap().state, EntryState::Dead);
    assert_eq!(index.letters.page(0, 10), (vec![seq], None));
}

/// A look through all functions would be too slow for every commit.
#[test]
fn finished_events_are_checked_for_their_age_once_a_second() {
    let mut index = index();
    let retained = Retained::new(10, 10, std::time::Duration::from_nanos(5));
    index.open(&FunctionName::new("charge"), retained, 0);
    index.expire(1);
    let seq = event(&mut index, 0);
    let fact = Fact::Finished(FinishedFact {
        seq,
        id: RequestId::from(uuid::Uuid::nil()),
        function: 0,
        at: 1,
        bytes: 0,
    });
    index.apply(fact, AT, 100);
    index.expire(TRIM_EVERY);
    assert!(index.entry(seq).is_some());
    index.expire(TRIM_EVERY + 1);
    assert!(index.entry(seq).is_none());
}
