//! The state of an event as text, from the model and from the store, so that the two can be compared.

use std::time::SystemTime;

use crate::event::dead_letter::{Condition, DeadLetter, Letter};
use crate::event::payload::Payload;
use crate::store::{Known, KnownState, Settlement, StoredEvent};

/// The state of an event that the store doesn't know.
pub(super) const GONE: &str = "gone";

/// Returns the number that identifies an event, which is a part of its payload.
pub(in crate::store::disk::tests) fn mark(payload: &Payload) -> u64 {
    #[derive(serde::Deserialize)]
    struct Marked {
        mark: u64,
    }
    payload.read::<Marked>().unwrap().mark
}

/// Returns a pending event's state without its count of process deaths.
pub(super) fn deathless(fate: &str) -> &str {
    match fate.rsplit_once(' ') {
        Some((event, _)) if fate.starts_with("pending") => event,
        _ => fate,
    }
}

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos()
}

/// Returns the state of an event that waits or runs.
pub(super) fn pending(event: &StoredEvent) -> String {
    format!(
        "pending {} {} {} {} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {} {}",
        event.function.as_str(),
        event.payload.json().unwrap(),
        nanos(event.accepted_at),
        nanos(event.due_at),
        event.hops,
        (&event.trace_header, &event.traceparent),
        (&event.qualifier, &event.version),
        event.redriven_from,
        event.retry,
        (event.event_age_max, event.first_due_at, event.not_before),
        event.deduplicate,
        event.attempts,
        event.attempt_count,
        event.uncounted,
        event.deaths,
    )
}

/// Returns the dead letter of an event.
pub(super) fn letter(event: &StoredEvent, now: SystemTime) -> DeadLetter {
    DeadLetter::new(Letter {
        request_id: event.request_id,
        function: event.function.clone(),
        payload: event.payload.clone(),
        condition: Condition::RetriesExhausted,
        attempts: event.attempts.clone(),
        attempt_count: event.attempt_count,
        accepted_at: event.accepted_at,
        died_at: now,
        meta: event.meta.clone(),
        stored: true,
    })
}

/// Returns the state of a dead letter.
pub(super) fn dead(letter: &DeadLetter) -> String {
    format!(
        "dead {} {} {:?} {:?} {} {} {} {:?} {:?} {} {:?} {:?} {:?}",
        letter.function.as_str(),
        letter.payload.json().unwrap(),
        letter.condition,
        letter.attempts,
        letter.attempt_count,
        nanos(letter.accepted_at),
        nanos(letter.died_at),
        (&letter.trace_header, &letter.traceparent),
        (&letter.qualifier, &letter.version),
        letter.hops,
        letter.redriven_from,
        letter.retry,
        letter.event_age_max,
    )
}

fn ended(accepted_at: SystemTime, result: Option<&Payload>, attempt: u32) -> String {
    let result = result.cloned().unwrap_or_else(Payload::null);
    let result = result.json().unwrap();
    format!("succeeded {} {result} {attempt}", nanos(accepted_at))
}

fn cancelled(accepted_at: SystemTime) -> String {
    format!("cancelled {}", nanos(accepted_at))
}

/// Returns the state of an event after a settlement.
pub(super) fn fate(event: &StoredEvent, settlement: &Settlement) -> String {
    match settlement {
        Settlement::Succeeded {
            result,
            attempt,
            accepted_at,
        } => ended(*accepted_at, result.as_ref(), *attempt),
        Settlement::Rescheduled { .. } => pending(event),
        Settlement::Buried(letter) => dead(letter),
        Settlement::Cancelled { accepted_at } => cancelled(*accepted_at),
        Settlement::Forgotten => GONE.to_owned(),
    }
}

/// Returns the state that the store reports.
pub(super) fn known(found: Option<Known>) -> String {
    let Some(known) = found else {
        return GONE.to_owned();
    };
    match known.state {
        KnownState::Pending { .. } => "pending, and no fetch returns it".to_owned(),
        KnownState::Succeeded { result, attempt } => {
            ended(known.accepted_at, Some(&result), attempt)
        }
        KnownState::Dead(letter) => dead(&letter),
        KnownState::Cancelled => cancelled(known.accepted_at),
    }
}
