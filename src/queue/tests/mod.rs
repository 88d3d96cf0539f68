//! The queue against a model of it (`queue/tests/steps.rs`), and the facts that the model does not show.

mod model;
mod steps;

use std::time::{Duration, SystemTime};

use super::*;
use crate::event::InvocationType;
use crate::event::attempt::Attempt;
use crate::event::failure::Failure;
use crate::event::payload::Payload;
use crate::queue::entry::Entry;

const BOUNDS: QueueBounds = QueueBounds {
    events_max: 12,
    bytes_max: 100,
    window: 1_000,
};
const RETENTION: Retention = Retention {
    events_max: 5,
    bytes_max: 20,
    age_max: Duration::from_nanos(30),
};

fn queue() -> Queue {
    Queue::new(3, BOUNDS, RETENTION)
}

fn entry(kind: InvocationType, request_id: Option<RequestId>, bytes: usize, start: u64) -> Entry {
    let payload = Payload::new("x".repeat(bytes)).unwrap();
    Entry {
        payload,
        kind,
        side: None,
        request_id,
        start: Time(start),
        stored: false,
        chosen_id: request_id.is_some(),
    }
}

fn chosen(number: u64) -> RequestId {
    uuid::Uuid::from_u128(u128::from(number) << 64).into()
}

fn lost() -> Attempt {
    Attempt {
        number: 1,
        started_at: SystemTime::UNIX_EPOCH,
        duration: Duration::ZERO,
        failure: Failure::worker_lost(),
    }
}

#[test]
fn the_texts_of_failures_count_as_pending_bytes() {
    let mut queue = queue();
    let texts = lost().failure.text_len() as u64;
    let one = |queue: &mut Queue| {
        let entry = entry(InvocationType::Event, None, 0, 0);
        let payload = entry.payload.size() as u64;
        queue.admit(entry, 7, Time(0)).unwrap();
        let ticket = queue.take(Time(0)).unwrap().ticket;
        queue.fail(ticket, Time(0)).unwrap();
        queue.remember(ticket.slot, lost());
        queue.remember(ticket.slot, lost());
        assert_eq!(queue.volume.pending_bytes(), payload + 2 * texts);
        ticket
    };
    let retried = one(&mut queue);
    queue.retry(retried, Time(1), Time(0)).unwrap();
    let again = queue.take(Time(1)).unwrap().ticket;
    queue.succeed(again, None, Time(1)).unwrap();
    assert_eq!(queue.volume.pending_bytes(), 0);
    let buried = one(&mut queue);
    queue.bury(buried, Time(1)).unwrap();
    assert_eq!(queue.volume.pending_bytes(), 0);
    let cancelled = one(&mut queue);
    queue.retry(cancelled, Time(1), Time(0)).unwrap();
    queue.cancel(cancelled.id, Time(1)).unwrap();
    assert_eq!(queue.volume.pending_bytes(), 0);
}

#[test]
fn a_probe_prefers_an_event_that_has_not_crashed() {
    let mut queue = queue();
    let admit = |queue: &mut Queue| {
        queue
            .admit(entry(InvocationType::Event, None, 0, 0), 7, Time(0))
            .unwrap()
    };
    let guilty = admit(&mut queue);
    let (slot, _) = queue.table.get(guilty).unwrap();
    queue.remember(slot, lost());
    let innocent = admit(&mut queue);
    queue.allowance = 1;
    let probe = queue.take(Time(0)).unwrap().ticket;
    assert_eq!(probe.id, innocent);
    queue.succeed(probe, None, Time(0)).unwrap();
    assert_eq!(
        queue.take(Time(0)).unwrap().ticket.id,
        guilty,
        "there is no other event"
    );
}

#[test]
fn one_run_in_four_is_an_events_while_calls_wait() {
    let mut queue = queue();
    for kind in [InvocationType::RequestResponse, InvocationType::Event] {
        for _ in 0..6 {
            queue.admit(entry(kind, None, 0, 0), 7, Time(0)).unwrap();
        }
    }
    let runs = std::iter::from_fn(|| queue.take(Time(0)));
    let runs: String = runs
        .map(|taken| match taken.kind {
            InvocationType::RequestResponse => 'c',
            InvocationType::Event => 'e',
        })
        .collect();
    assert_eq!(runs, "ccceccceeeee");
}

#[test]
fn cancelled_delayed_events_leave_no_stale_entries() {
    let mut queue = queue();
    for _ in 0..10_000 {
        let id = queue
            .admit(entry(InvocationType::Event, None, 0, 1 << 40), 7, Time(0))
            .unwrap();
        assert!(queue.cancel(id, Time(0)).is_some());
    }
    assert!(
        queue.table.delayed.heap().len() < 100,
        "{} stale entries",
        queue.table.delayed.heap().len()
    );
}

#[test]
fn the_heap_of_delayed_events_shrinks_after_their_runs() {
    let mut queue = Queue::new(
        3,
        QueueBounds {
            events_max: 10_000,
            bytes_max: 1 << 20,
            window: 1_000,
        },
        RETENTION,
    );
    for start in 1..=10_000 {
        queue
            .admit(
                entry(InvocationType::Event, None, 0, start),
                u128::from(start),
                Time(0),
            )
            .unwrap();
    }
    let full = queue.table.delayed.heap().capacity();
    for _ in 0..10_000 {
        let taken = queue.take(Time(10_000)).unwrap();
        queue.succeed(taken.ticket, None, Time(10_000)).unwrap();
    }
    assert!(
        queue.table.delayed.heap().capacity() < full / 8,
        "{} of {full}",
        queue.table.delayed.heap().capacity()
    );
}

#[test]
fn an_attempt_of_an_earlier_event_with_the_same_chosen_id_is_refused() {
    let mut queue = queue();
    let id = chosen(1);
    let choose = |queue: &mut Queue| {
        let entry = entry(InvocationType::Event, Some(id), 0, 0);
        assert_eq!(queue.admit(entry, 0, Time(0)).ok(), Some(id));
        queue.take(Time(0)).unwrap().ticket
    };
    let old = choose(&mut queue);
    queue.cancel(id, Time(0)).unwrap();
    queue.expire(queue.next_expiry().unwrap(), 1);
    let new = choose(&mut queue);
    assert_eq!(
        (old.id, old.slot, old.attempt),
        (new.id, new.slot, new.attempt)
    );
    assert!(queue.succeed(old, None, Time(0)).is_none());
    assert!(queue.succeed(new, None, Time(0)).is_some());
}

#[test]
fn an_event_with_a_chosen_id_is_found_until_it_is_forgotten() {
    let mut queue = queue();
    let id = chosen(1);
    assert_eq!(
        queue
            .admit(entry(InvocationType::Event, Some(id), 0, 0), 0, Time(0))
            .ok(),
        Some(id)
    );
    let again = queue.admit(entry(InvocationType::Event, Some(id), 0, 0), 0, Time(0));
    assert_eq!(again.unwrap_err().why, RefusalReason::RequestIdTaken);
    let taken = queue.take(Time(0)).unwrap();
    queue.succeed(taken.ticket, None, Time(0)).unwrap();
    assert_eq!(
        queue.table.get(id).map(|(_, slot)| slot.phase),
        Some(Phase::Succeeded)
    );
    assert!(queue.finished.forgotten_ids.is_empty());
    queue.expire(queue.next_expiry().unwrap(), 1);
    assert!(queue.table.get(id).is_none() && queue.table.by_id.is_empty());
    assert_eq!(std::mem::take(&mut queue.finished.forgotten_ids), [id]);
    assert_eq!(
        queue
            .admit(entry(InvocationType::Event, Some(id), 0, 0), 0, Time(0))
            .ok(),
        Some(id)
    );
}
