//! Compaction: the log takes about as much room as its live records.

use std::time::Duration;

use super::{at, event, fetch, filler, forgetful, keep, open, succeed, tiny, virtual_time};
use crate::event::Deduplicate;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::{Condition, DeadLetter, Letter};
use crate::event::failure::{Failure, FailureKind};
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::store::disk::DiskStore;
use crate::store::disk::simulated::SimulatedFolder;
use crate::store::{EventStore, Settled, Settlement};

fn log_bytes(files: &SimulatedFolder) -> u64 {
    let lengths = files.lengths();
    let logs = lengths.iter().filter(|(name, _)| name.ends_with(".log"));
    logs.map(|(_, length)| length).sum()
}

#[test]
fn an_event_that_is_due_in_years_survives_thousands_of_segments() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let mut store = open(&files, &tiny(1_024), 0).unwrap();
        forgetful(&store, "fill");
        let mut late = event("late", r#""then""#, at(0));
        late.due_at = at(1 << 30);
        late.deduplicate = Some(Deduplicate {
            key: "once".into(),
            window: Duration::from_secs(1 << 30),
        });
        let id = keep(&store, late.clone());
        let mut most = 0;
        for round in 0..3_000 {
            let filler = keep(&store, filler(1_000));
            succeed(&store, filler);
            most = most.max(log_bytes(&files));
            if round % 500 == 499 {
                drop(store);
                store = open(&files, &tiny(1_024), 0).unwrap();
                forgetful(&store, "fill");
            }
        }
        let lengths = files.lengths();
        let last = lengths.keys().rfind(|name| name.ends_with(".log")).unwrap();
        assert!(last.as_str() > "00003000.log", "{last}");
        // Four segments of spare room, and the records in flight.
        assert!(most < 12_000, "{most}");
        assert!(fetch(&store, "late", at(9)).unwrap().events.is_empty());
        let again = super::append(&store, vec![late]).unwrap();
        assert_eq!(again, [crate::store::Appended::Duplicate(id)]);
        let fetched = fetch(&store, "late", at(1 << 30)).unwrap();
        assert_eq!(fetched.events[0].request_id, id);
        assert_eq!(fetched.events[0].payload.json().unwrap().get(), r#""then""#);
    });
}

fn fail(store: &DiskStore, id: RequestId, number: u32) -> Attempt {
    let attempt = Attempt {
        number,
        started_at: at(0),
        duration: Duration::ZERO,
        failure: Failure::new(FailureKind::Error, "Long", "story ".repeat(200)),
    };
    let settlement = Settlement::Rescheduled {
        attempt: Box::new(attempt.clone()),
        uncounted: 0,
        due_at: at(0),
    };
    store.settle(Settled::new(id, at(0), settlement)).unwrap();
    attempt
}

/// The attempts of an event are live as long as it is: counted as garbage, they would be moved for ever.
#[test]
fn long_histories_are_moved_once() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(4_096), 0).unwrap();
        for _ in 0..40 {
            let id = keep(&store, event("charge", "1", at(0)));
            let attempts: Vec<_> = (1..=3).map(|number| fail(&store, id, number)).collect();
            let letter = DeadLetter::new(Letter {
                request_id: id,
                function: FunctionName::new("charge"),
                payload: crate::event::payload::Payload::null(),
                condition: Condition::RetriesExhausted,
                attempts,
                attempt_count: 3,
                accepted_at: at(0),
                died_at: at(0),
                meta: Default::default(),
                stored: true,
            });
            let settlement = Settlement::Buried(letter);
            store.settle(Settled::new(id, at(0), settlement)).unwrap();
        }
        // It comes to an end: with every reply, all compaction is done.
        keep(&store, event("charge", "1", at(0)));
        let needed = 40 * 3 * 1_200;
        let bytes = log_bytes(&files);
        assert!(bytes > needed && bytes < 3 * needed, "{bytes}");
        let letters = super::ask(|reply| store.letters(0, 100, reply)).unwrap();
        assert!(
            letters
                .letters
                .iter()
                .all(|letter| letter.attempts.len() == 3)
        );
    });
}

/// An unreadable event blocks only the compaction of its segment, until the next opening.
#[test]
fn an_unreadable_event_blocks_only_compaction() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1_024), 0).unwrap();
        forgetful(&store, "fill");
        let id = keep(&store, event("late", "1", at(0)));
        store.spill(id, at(0));
        files.damage_byte("00000001.log", 140);
        for _ in 0..50 {
            let id = keep(&store, filler(1_000));
            succeed(&store, id);
        }
        assert_eq!(store.health(), crate::store::Health::Well);
        let fetched = fetch(&store, "late", at(9)).unwrap();
        assert!(fetched.unreadable[0].1.to_string().contains("00000001.log"));
    });
}
