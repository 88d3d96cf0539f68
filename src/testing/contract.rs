//! The contract of stores, as a suite that every store has to pass.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::event::attempt::Attempt;
use crate::event::dead_letter::{Condition, DeadLetter, Letter};
use crate::event::failure::{Failure, FailureKind};
use crate::event::function_name::FunctionName;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::event::retry_policy::RetryPolicy;
use crate::event::{Deduplicate, Durability};
use crate::store::{
    Appended, CRASH_MARK_EVENTS_MAX, EventStore, Execution, Fetch, Fetched, Health, KnownState,
    Reply, Retained, Settled, Settlement, StoredEvent,
};

/// Opens a store, again and again: what the one before was told must be there.
type Open<'a> = dyn Fn() -> Arc<dyn EventStore> + 'a;

/// Judges a store by the contract in [`crate::store`]. `open` gives the store as a process finds it that starts after the
/// last one died; whatever was opened before has been dropped by then. It must be empty in the beginning.
///
/// # Panics
/// Where the store breaks the contract; the text says how.
pub async fn judge(open: impl Fn() -> Arc<dyn EventStore>) {
    let judge = Judge { open: &open };
    judge
        .what_was_appended_is_there_with_all_that_was_said()
        .await;
    judge.parked_events_come_once_and_in_due_order().await;
    judge.what_ended_stays_ended().await;
    judge.a_failed_event_keeps_its_attempts_and_its_time().await;
    judge.dead_letters_are_kept_until_they_are_forgotten().await;
    judge.a_redriven_event_takes_its_letters_place().await;
    judge.a_key_is_taken_once().await;
    judge
        .a_renamed_function_has_what_its_former_name_had()
        .await;
    judge.who_ran_when_the_process_died_is_known().await;
    judge.one_event_can_be_taken_out().await;
    judge.results_of_executions_are_remembered().await;
    judge.the_last_configuration_is_kept().await;
    judge.what_is_synced_is_durable().await;
}

struct Judge<'a> {
    open: &'a Open<'a>,
}

const LONG: Duration = Duration::from_secs(3_600);

fn name(function: &str) -> FunctionName {
    FunctionName::new(function)
}

fn event(store: &dyn EventStore, function: &str, number: u32) -> StoredEvent {
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

fn payload(number: u32) -> Payload {
    Payload::new(number).expect("a number is JSON")
}

fn number(event: &StoredEvent) -> u32 {
    event.payload.read().expect("the payload is a number")
}

fn numbers(fetched: &Fetched) -> Vec<u32> {
    fetched.events.iter().map(number).collect()
}

fn attempt(number: u32, started_at: SystemTime) -> Attempt {
    Attempt {
        number,
        started_at,
        duration: Duration::from_millis(5),
        failure: Failure::new(FailureKind::Error, "Broken", format!("attempt {number}")),
    }
}

async fn ask<T: Send + 'static>(ask: impl FnOnce(Reply<T>)) -> T {
    let (sender, receiver) = oneshot::channel::<Result<T, StoreError>>();
    ask(Reply::new(move |answer| drop(sender.send(answer))));
    let answer = receiver.await.expect("the store answers");
    answer.expect("the store does what it is asked")
}

async fn append(store: &dyn EventStore, events: Vec<StoredEvent>) -> Vec<Appended> {
    ask(|reply| store.append(events, reply)).await
}

async fn append_one(store: &dyn EventStore, event: StoredEvent) -> RequestId {
    match append(store, vec![event]).await[..] {
        [Appended::Kept(id)] => id,
        ref other => panic!("one event was appended, and the answer is {other:?}"),
    }
}

async fn fetch(
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

async fn fetch_all(store: &dyn EventStore, function: &str) -> Fetched {
    fetch(store, function, store.now() + LONG * 24, 1_000).await
}

async fn state(store: &dyn EventStore, id: RequestId) -> Option<KnownState> {
    let known = ask(|reply| store.look(id, reply)).await?;
    assert_eq!(known.request_id, id);
    Some(known.state)
}

fn settle(store: &dyn EventStore, id: RequestId, settlement: Settlement) {
    let settled = Settled::new(id, store.now(), settlement);
    store.settle(settled).expect("the settlement is kept");
}

fn letter(event: &StoredEvent, id: RequestId, attempts: Vec<Attempt>) -> DeadLetter {
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

async fn letters(store: &dyn EventStore, limit: usize) -> Vec<DeadLetter> {
    let (mut letters, mut after) = (Vec::new(), Some(0));
    while let Some(place) = after {
        let page = ask(|reply| store.letters(place, limit, reply)).await;
        assert!(page.letters.len() <= limit);
        letters.extend(page.letters);
        after = page.next;
    }
    letters
}

impl Judge<'_> {
    /// The store, with `function` known.
    fn open(&self, function: &str) -> Arc<dyn EventStore> {
        let store = (self.open)();
        assert_eq!(store.health(), Health::Well);
        store.open(&name(function), Retained::new(1_000, 1 << 20, LONG));
        store
    }

    async fn what_was_appended_is_there_with_all_that_was_said(&self) {
        let store = self.open("kept");
        let mut first = event(&*store, "kept", 1);
        first.due_at += LONG;
        first.first_due_at += LONG / 2;
        first.not_before = Some(first.due_at - LONG * 3);
        first.hops = 3;
        first.trace_header = Some("Root=1".into());
        first.retry = Some(RetryPolicy::fixed(7, LONG));
        first.event_age_max = Some(LONG * 2);
        (first.id_is_chosen, first.request_id) = (true, uuid::Uuid::from_u128(0xc0ffee).into());
        let ids = append(&*store, vec![first.clone(), event(&*store, "kept", 2)]).await;
        assert_eq!(
            ids[0],
            Appended::Kept(first.request_id),
            "a proposed id stays"
        );
        assert!(
            fetch_all(&*store, "kept").await.events.is_empty(),
            "the runtime holds what it appended"
        );
        assert_eq!(store.locate(first.request_id), Some(name("kept")));
        drop(store);

        let store = self.open("kept");
        let backlog = store.open(&name("kept"), Retained::new(1_000, 1 << 20, LONG));
        assert_eq!((backlog.ready, backlog.delayed, backlog.bytes), (1, 1, 2));
        let fetched = fetch_all(&*store, "kept").await;
        assert_eq!(numbers(&fetched), [2, 1]);
        let again = &fetched.events[1];
        assert_eq!(again.request_id, first.request_id);
        assert_eq!(
            (again.accepted_at, again.due_at),
            (first.accepted_at, first.due_at)
        );
        assert_eq!(
            (again.first_due_at, again.not_before),
            (first.first_due_at, first.not_before)
        );
        assert_eq!(
            (again.hops, again.trace_header.as_deref()),
            (3, Some("Root=1"))
        );
        assert_eq!(
            (&again.retry, again.event_age_max),
            (&first.retry, first.event_age_max)
        );
        assert_eq!(
            (again.id_is_chosen, again.attempt_count, again.deaths),
            (true, 0, 0)
        );
        assert!(
            state(&*store, uuid::Uuid::from_u128(0xbad).into())
                .await
                .is_none()
        );
    }

    async fn parked_events_come_once_and_in_due_order(&self) {
        let store = self.open("parked");
        let now = store.now();
        for (number, wait) in [(1, 30), (2, 10), (3, 20), (4, 0), (5, 0)] {
            let mut event = event(&*store, "parked", number);
            (event.accepted_at, event.due_at) = (now, now + Duration::from_secs(wait));
            let id = append_one(&*store, event).await;
            store.spill(id, now + Duration::from_secs(wait));
        }
        let page = ask(|reply| store.overflow(&name("parked"), 0, 3, reply)).await;
        let rest = ask(|reply| {
            store.overflow(&name("parked"), page.next.unwrap_or(u64::MAX - 1), 3, reply)
        })
        .await;
        assert_eq!(
            (page.events.len(), rest.events.len(), rest.next),
            (3, 2, None)
        );
        let fetched = fetch(&*store, "parked", now, 1).await;
        assert_eq!((numbers(&fetched), fetched.next_due), (vec![4], Some(now)));
        let fetched = fetch(&*store, "parked", now + Duration::from_secs(15), 100).await;
        assert_eq!(numbers(&fetched), [5, 2]);
        assert_eq!(fetched.next_due, Some(now + Duration::from_secs(20)));
        let fetched = fetch_all(&*store, "parked").await;
        assert_eq!((numbers(&fetched), fetched.next_due), (vec![3, 1], None));
    }

    async fn what_ended_stays_ended(&self) {
        let store = self.open("ended");
        let mut ids = Vec::new();
        for number in 1..=3 {
            ids.push(append_one(&*store, event(&*store, "ended", number)).await);
        }
        let accepted_at = store.now();
        let succeeded = Settlement::Succeeded {
            result: Some(payload(42)),
            attempt: 2,
            accepted_at,
        };
        settle(&*store, ids[0], succeeded);
        settle(&*store, ids[1], Settlement::Cancelled { accepted_at });
        ask(|reply| store.close(reply)).await;
        drop(store);

        let store = self.open("ended");
        assert_eq!(numbers(&fetch_all(&*store, "ended").await), [3]);
        match state(&*store, ids[0]).await {
            Some(KnownState::Succeeded { result, attempt: 2 }) => {
                assert_eq!(result.read::<u32>().ok(), Some(42));
            }
            other => panic!("it succeeded, and {other:?} is known"),
        }
        assert!(matches!(
            state(&*store, ids[1]).await,
            Some(KnownState::Cancelled)
        ));
    }

    async fn a_failed_event_keeps_its_attempts_and_its_time(&self) {
        let store = self.open("failed");
        let id = append_one(&*store, event(&*store, "failed", 1)).await;
        let due_at = store.now() + LONG;
        for number in 1..=2 {
            let attempt = attempt(number, store.now());
            let rescheduled = Settlement::Rescheduled {
                attempt: Box::new(attempt),
                uncounted: 1,
                due_at,
            };
            settle(&*store, id, rescheduled);
        }
        ask(|reply| store.close(reply)).await;
        drop(store);

        let store = self.open("failed");
        match state(&*store, id).await {
            Some(KnownState::Pending {
                due_at: until,
                attempts: 2,
                attempt: Some(last),
            }) => assert_eq!((until, last.number), (due_at, 2)),
            other => panic!("it failed twice, and {other:?} is known"),
        }
        assert!(
            fetch(&*store, "failed", store.now(), 10)
                .await
                .events
                .is_empty()
        );
        let fetched = fetch_all(&*store, "failed").await;
        let event = &fetched.events[0];
        assert_eq!(event.first_due_at, event.accepted_at, "its age goes on");
        let messages: Vec<_> = event
            .attempts
            .iter()
            .map(|attempt| attempt.failure.message.as_str())
            .collect();
        assert_eq!(messages, ["attempt 1", "attempt 2"]);
        assert_eq!(
            (event.attempt_count, event.uncounted, event.due_at),
            (2, 1, due_at)
        );
    }

    async fn dead_letters_are_kept_until_they_are_forgotten(&self) {
        let store = self.open("dead");
        let mut ids = Vec::new();
        for number in 1..=5 {
            let event = event(&*store, "dead", number);
            let id = append_one(&*store, event.clone()).await;
            let (first, last) = (attempt(1, store.now()), attempt(2, store.now()));
            let rescheduled = Settlement::Rescheduled {
                attempt: Box::new(first.clone()),
                uncounted: 0,
                due_at: store.now(),
            };
            settle(&*store, id, rescheduled);
            settle(
                &*store,
                id,
                Settlement::Buried(letter(&event, id, vec![first, last])),
            );
            ids.push(id);
        }
        ask(|reply| store.close(reply)).await;
        drop(store);

        let store = self.open("dead");
        assert!(fetch_all(&*store, "dead").await.events.is_empty());
        let kept = letters(&*store, 2).await;
        assert_eq!(
            kept.iter()
                .map(|letter| letter.request_id)
                .collect::<Vec<_>>(),
            ids
        );
        let messages: Vec<_> = kept[4]
            .attempts
            .iter()
            .map(|attempt| attempt.failure.message.as_str())
            .collect();
        assert_eq!(
            (messages, kept[4].attempt_count),
            (vec!["attempt 1", "attempt 2"], 2)
        );
        assert_eq!(kept[4].payload.read::<u32>().ok(), Some(5));
        assert_eq!(kept[4].condition, Condition::RetriesExhausted);
        assert!(matches!(
            state(&*store, ids[0]).await,
            Some(KnownState::Dead(_))
        ));
        settle(&*store, ids[1], Settlement::Forgotten);
        ask(|reply| store.close(reply)).await;
        drop(store);
        let store = self.open("dead");
        assert_eq!(letters(&*store, 100).await.len(), 4);
        assert!(state(&*store, ids[1]).await.is_none());
        for id in ids {
            settle(&*store, id, Settlement::Forgotten);
        }
        ask(|reply| store.close(reply)).await;
    }

    async fn a_redriven_event_takes_its_letters_place(&self) {
        let store = self.open("redriven");
        let dead = event(&*store, "redriven", 1);
        let id = append_one(&*store, dead.clone()).await;
        let last = vec![attempt(1, store.now())];
        settle(&*store, id, Settlement::Buried(letter(&dead, id, last)));
        let mut again = event(&*store, "redriven", 2);
        again.redriven_from = Some(id);
        append_one(&*store, again).await;
        assert!(letters(&*store, 10).await.is_empty());
        drop(store);
        let store = self.open("redriven");
        assert!(letters(&*store, 10).await.is_empty());
        let fetched = fetch_all(&*store, "redriven").await;
        assert_eq!(
            (numbers(&fetched), fetched.events[0].redriven_from),
            (vec![2], Some(id))
        );
    }

    async fn a_key_is_taken_once(&self) {
        let store = self.open("keyed");
        let keyed = |number| {
            let mut event = event(&*store, "keyed", number);
            let key = "order-7".into();
            event.deduplicate = Some(Deduplicate { key, window: LONG });
            event
        };
        let other = event(&*store, "keyed", 3);
        let appended = append(&*store, vec![keyed(1), keyed(2), other]).await;
        let Appended::Kept(first) = appended[0] else {
            panic!("{appended:?}")
        };
        assert_eq!(appended[1], Appended::Duplicate(first));
        assert!(matches!(appended[2], Appended::Kept(_)));
        let again = keyed(4);
        let mut later = keyed(5);
        later.accepted_at += LONG;
        drop(store);
        let store = self.open("keyed");
        assert_eq!(
            append(&*store, vec![again]).await,
            [Appended::Duplicate(first)]
        );
        assert!(matches!(
            append(&*store, vec![later]).await[..],
            [Appended::Kept(_)]
        ));
        assert_eq!(numbers(&fetch_all(&*store, "keyed").await), [1, 3]);
    }

    async fn a_renamed_function_has_what_its_former_name_had(&self) {
        let store = self.open("former");
        let now = store.now();
        let mut ids = Vec::new();
        for (number, wait) in [(1, 0), (2, 20)] {
            let mut event = event(&*store, "former", number);
            event.due_at = now + Duration::from_secs(wait);
            let key = format!("order-{number}").into();
            event.deduplicate = Some(Deduplicate { key, window: LONG });
            ids.push(append_one(&*store, event).await);
        }
        drop(store);

        let retained = || Retained::new(1_000, 1 << 20, LONG);
        let store = (self.open)();
        store.rename(&name("former"), &name("present"));
        let backlog = store.open(&name("present"), retained());
        assert_eq!((backlog.ready, backlog.delayed), (1, 1));
        let mut same = event(&*store, "present", 3);
        let key = "order-1".into();
        same.deduplicate = Some(Deduplicate { key, window: LONG });
        let appended = append(&*store, vec![same]).await;
        assert_eq!(appended, [Appended::Duplicate(ids[0])]);
        let mut between = event(&*store, "present", 4);
        between.due_at = now + Duration::from_secs(10);
        let due = between.due_at;
        store.spill(append_one(&*store, between).await, due);
        let page = ask(|reply| store.overflow(&name("present"), 0, 10, reply)).await;
        assert_eq!(page.events.len(), 3);
        let fetched = fetch_all(&*store, "present").await;
        assert_eq!(numbers(&fetched), [1, 4, 2]);
        assert!(fetch_all(&*store, "former").await.events.is_empty());
        store.spill(ids[1], now);
        assert_eq!(numbers(&fetch_all(&*store, "present").await), [2]);
    }

    async fn who_ran_when_the_process_died_is_known(&self) {
        let store = self.open("dying");
        let mut ids = Vec::new();
        for number in 1..=3 + CRASH_MARK_EVENTS_MAX as u32 {
            ids.push(append_one(&*store, event(&*store, "dying", number)).await);
        }
        let begin = |store: &dyn EventStore, lane, ids: &[RequestId]| {
            store.begin(lane, ids).expect("it is on record");
        };
        begin(&*store, 0, &ids[..1]);
        begin(&*store, 1, &ids[1..2]);
        begin(&*store, 1, &ids[2..3]);
        begin(&*store, 1, &[]);
        begin(&*store, 2, &ids[3..]);
        drop(store);
        let deaths = |fetched: &Fetched| {
            fetched
                .events
                .iter()
                .map(|event| event.deaths)
                .collect::<Vec<_>>()
        };
        let store = self.open("dying");
        let fetched = fetch_all(&*store, "dying").await;
        let once = [vec![1, 0, 0], vec![1; CRASH_MARK_EVENTS_MAX]].concat();
        assert_eq!(deaths(&fetched), once);
        begin(&*store, 7, &ids[1..2]);
        ask(|reply| store.close(reply)).await;
        drop(store);
        let store = self.open("dying");
        let fetched = fetch_all(&*store, "dying").await;
        assert_eq!(deaths(&fetched), once, "a closed store is no death");
    }

    async fn one_event_can_be_taken_out(&self) {
        let store = self.open("taken");
        let mut delayed = event(&*store, "taken", 1);
        delayed.due_at += LONG;
        let due = delayed.due_at;
        let delayed = append_one(&*store, delayed).await;
        let held = append_one(&*store, event(&*store, "taken", 2)).await;
        store.spill(delayed, due);
        let take = async |id| ask(|reply| store.fetch_one(id, reply)).await;
        assert_eq!(take(delayed).await.map(|event| number(&event)), Some(1));
        assert!(take(delayed).await.is_none() && take(held).await.is_none());
        assert!(fetch_all(&*store, "taken").await.events.is_empty());
        let later = due + LONG;
        store.spill(delayed, later);
        let early = fetch(&*store, "taken", due, 10).await;
        assert!(early.events.is_empty(), "it was put off");
        assert_eq!(early.next_due, Some(later));
        assert_eq!(numbers(&fetch_all(&*store, "taken").await), [1]);
    }

    async fn the_last_configuration_is_kept(&self) {
        let store = self.open("f");
        assert_eq!(ask(|reply| store.configured(reply)).await, None);
        for document in ["{}", r#"{"f":{"reserved_concurrency":1}}"#] {
            ask(|reply| store.configure(document.to_owned(), reply)).await;
            let kept = ask(|reply| store.configured(reply)).await;
            assert_eq!(kept.as_deref(), Some(document));
        }
        ask(|reply| store.close(reply)).await;
    }

    /// It can't be seen here that the power may go; that it is answered, after what was told before, can.
    async fn what_is_synced_is_durable(&self) {
        let store = self.open("synced");
        let id = append_one(&*store, event(&*store, "synced", 1)).await;
        settle(
            &*store,
            id,
            Settlement::Cancelled {
                accepted_at: store.now(),
            },
        );
        ask(|reply| store.sync(reply)).await;
        drop(store);
        let store = self.open("synced");
        assert!(fetch_all(&*store, "synced").await.events.is_empty());
    }

    async fn results_of_executions_are_remembered(&self) {
        let store = self.open("executed");
        let execution = |store: &dyn EventStore, key: u8, number| Execution {
            function: name("executed"),
            key: [key; 32],
            validated: Some([9; 32]),
            request_id: RequestId::new(0, 0, 77),
            attempt: 2,
            since: store.now(),
            result: Some(payload(number)),
            expires_at: store.now() + LONG,
        };
        for (key, number) in [(1, 1), (2, 2), (1, 3)] {
            store
                .remember(execution(&*store, key, number))
                .expect("it is kept");
        }
        ask(|reply| store.close(reply)).await;
        drop(store);
        let store = self.open("executed");
        let kept = ask(|reply| store.executions(reply)).await;
        let find = |key: u8| {
            let found = kept.iter().rfind(|execution| execution.key == [key; 32]);
            let found = found.expect("it is remembered");
            assert_eq!((found.validated, found.attempt), (Some([9; 32]), 2));
            found
                .result
                .as_ref()
                .and_then(|result| result.read::<u32>().ok())
        };
        assert_eq!((find(1), find(2)), (Some(3), Some(2)));
    }
}
