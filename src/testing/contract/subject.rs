//! The store under test, and calls to it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::event::Durability;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::{Condition, DeadLetter, Letter};
use crate::event::failure::{Failure, FailureKind};
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::store::{
    Appended, EventStore, Fetch, Fetched, Health, KnownState, Reply, Retained, Settled, Settlement,
    StoredEvent,
};

/// Opens the store again: it must have all that the store before was asked to keep.
type Reopen<'a> = dyn Fn() -> Arc<dyn EventStore> + 'a;

/// A store under test, which can be opened again and again.
pub(super) struct StoreUnderTest<'a> {
    pub(super) reopen: &'a Reopen<'a>,
}

pub(super) const LONG: Duration = Duration::from_secs(3_600);

pub(super) fn name(function: &str) -> FunctionName {
    FunctionName::new(function)
}

/// Returns an event with this number as its payload, accepted now.
pub(super) fn event(store: &dyn EventStore, function: &str, number: u32) -> StoredEvent {
    let now = store.now();
    StoredEvent {
        request_id: RequestId::new(0, 0, u128::from(number) << 3 | 0x5eed_0000_0000),
        id_is_chosen: false,
        function: name(function),
        payload: payload(number),
        accepted_at: now,
        due_at: now,
        first_due_at: now,
        not_before: None,
        meta: Default::default(),
        deduplicate: None,
        durability: Durability::Disk,
        attempts: Vec::new(),
        attempt_count: 0,
        uncounted: 0,
        deaths: 0,
    }
}

pub(super) fn payload(number: u32) -> Payload {
    Payload::new(number).expect("a number is JSON")
}

pub(super) fn number(event: &StoredEvent) -> u32 {
    event.payload.read().expect("the payload is a number")
}

/// Returns the payloads of fetched events.
pub(super) fn numbers(fetched: &Fetched) -> Vec<u32> {
    fetched.events.iter().map(number).collect()
}

pub(super) fn attempt(number: u32, started_at: SystemTime) -> Attempt {
    Attempt {
        number,
        started_at,
        duration: Duration::from_millis(5),
        failure: Failure::new(FailureKind::Error, "Broken", format!("attempt {number}")),
    }
}

/// Makes a call and returns the reply.
pub(super) async fn ask<T: Send + 'static>(call: impl FnOnce(Reply<T>)) -> T {
    let (sender, receiver) = oneshot::channel::<Result<T, StoreError>>();
    call(Reply::new(move |reply| drop(sender.send(reply))));
    let reply = receiver.await.expect("the store replies");
    reply.expect("the call succeeds")
}

pub(super) async fn append(store: &dyn EventStore, events: Vec<StoredEvent>) -> Vec<Appended> {
    ask(|reply| store.append(events, reply)).await
}

/// Appends one event. Returns its request id.
pub(super) async fn append_one(store: &dyn EventStore, event: StoredEvent) -> RequestId {
    match append(store, vec![event]).await[..] {
        [Appended::Kept(id)] => id,
        ref other => panic!("one event was appended, and the reply is {other:?}"),
    }
}

pub(super) async fn fetch(
    store: &dyn EventStore,
    function: &str,
    until: SystemTime,
    events_max: usize,
) -> Fetched {
    let fetch = Fetch {
        function: name(function),
        until,
        events_max,
        bytes_max: 1 << 20,
    };
    ask(|reply| store.fetch(fetch, reply)).await
}

pub(super) async fn fetch_all(store: &dyn EventStore, function: &str) -> Fetched {
    fetch(store, function, store.now() + LONG * 24, 1_000).await
}

/// Returns the state of an event.
pub(super) async fn state(store: &dyn EventStore, id: RequestId) -> Option<KnownState> {
    let known = ask(|reply| store.look(id, reply)).await?;
    assert_eq!(known.request_id, id);
    Some(known.state)
}

pub(super) fn settle(store: &dyn EventStore, id: RequestId, settlement: Settlement) {
    let settled = Settled::new(id, store.now(), settlement);
    store.settle(settled).expect("the settlement is kept");
}

pub(super) fn letter(event: &StoredEvent, id: RequestId, attempts: Vec<Attempt>) -> DeadLetter {
    DeadLetter::new(Letter {
        request_id: id,
        function: event.function.clone(),
        payload: event.payload.clone(),
        condition: Condition::RetriesExhausted,
        attempt_count: attempts.len() as u32,
        attempts,
        accepted_at: event.accepted_at,
        died_at: event.accepted_at,
        meta: Default::default(),
        stored: true,
    })
}

/// Returns all dead letters, read in pages of `limit`.
pub(super) async fn letters(store: &dyn EventStore, limit: usize) -> Vec<DeadLetter> {
    let (mut letters, mut after) = (Vec::new(), Some(0));
    while let Some(place) = after {
        let page = ask(|reply| store.letters(place, limit, reply)).await;
        assert!(page.letters.len() <= limit);
        letters.extend(page.letters);
        after = page.next;
    }
    letters
}

/// Returns the messages of failed attempts.
pub(super) fn messages(attempts: &[Attempt]) -> Vec<&str> {
    let messages = attempts
        .iter()
        .map(|attempt| attempt.failure.message.as_str());
    messages.collect()
}

impl StoreUnderTest<'_> {
    /// Opens the store and `function` in it.
    pub(super) fn open(&self, function: &str) -> Arc<dyn EventStore> {
        let store = (self.reopen)();
        assert_eq!(store.health(), Health::Well);
        store.open(&name(function), Retained::new(1_000, 1 << 20, LONG));
        store
    }
}
