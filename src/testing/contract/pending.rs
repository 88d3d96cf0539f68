//! Events that wait: their fields, the order of the overflow, deduplication keys, renamed functions.

use std::time::Duration;

use super::subject::{
    LONG, StoreUnderTest, append, append_one, ask, event, fetch, fetch_all, name, number, numbers,
    state,
};
use crate::event::Deduplicate;
use crate::event::retry_policy::RetryPolicy;
use crate::store::{Appended, Retained, StoredEvent};

impl StoreUnderTest<'_> {
    pub(super) async fn an_appended_event_keeps_all_its_fields(&self) {
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
            "a chosen request id stays"
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
        assert_same_fields(&fetched.events[1], &first);
        assert!(
            state(&*store, uuid::Uuid::from_u128(0xbad).into())
                .await
                .is_none()
        );
    }

    pub(super) async fn the_overflow_is_fetched_once_and_in_due_order(&self) {
        let store = self.open("overflow");
        let now = store.now();
        for (number, wait) in [(1, 30), (2, 10), (3, 20), (4, 0), (5, 0)] {
            let mut event = event(&*store, "overflow", number);
            (event.accepted_at, event.due_at) = (now, now + Duration::from_secs(wait));
            let id = append_one(&*store, event).await;
            store.spill(id, now + Duration::from_secs(wait));
        }
        let page = ask(|reply| store.overflow(&name("overflow"), 0, 3, reply)).await;
        let rest = ask(|reply| {
            store.overflow(
                &name("overflow"),
                page.next.unwrap_or(u64::MAX - 1),
                3,
                reply,
            )
        })
        .await;
        assert_eq!(
            (page.events.len(), rest.events.len(), rest.next),
            (3, 2, None)
        );
        let fetched = fetch(&*store, "overflow", now, 1).await;
        assert_eq!((numbers(&fetched), fetched.next_due), (vec![4], Some(now)));
        let fetched = fetch(&*store, "overflow", now + Duration::from_secs(15), 100).await;
        assert_eq!(numbers(&fetched), [5, 2]);
        assert_eq!(fetched.next_due, Some(now + Duration::from_secs(20)));
        let fetched = fetch_all(&*store, "overflow").await;
        assert_eq!((numbers(&fetched), fetched.next_due), (vec![3, 1], None));
    }

    pub(super) async fn one_event_can_be_fetched(&self) {
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
        assert!(early.events.is_empty(), "its new due time lies later");
        assert_eq!(early.next_due, Some(later));
        assert_eq!(numbers(&fetch_all(&*store, "taken").await), [1]);
    }

    pub(super) async fn a_deduplication_key_is_taken_once(&self) {
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

    pub(super) async fn a_renamed_function_keeps_its_events_and_keys(&self) {
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
        let store = (self.reopen)();
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
}

/// Checks an event that was read again against the one that was appended.
fn assert_same_fields(again: &StoredEvent, first: &StoredEvent) {
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
}
