//! Settled events: results, retries, dead letters and their redrive.

use super::subject::{
    LONG, StoreUnderTest, append_one, ask, attempt, event, fetch, fetch_all, letter, letters,
    messages, numbers, payload, settle, state,
};
use crate::event::dead_letter::Condition;
use crate::event::request_id::RequestId;
use crate::store::{EventStore, KnownState, Settlement};

impl StoreUnderTest<'_> {
    pub(super) async fn a_finished_event_stays_finished(&self) {
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

    pub(super) async fn a_failed_event_keeps_its_attempts_and_its_time(&self) {
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
        assert_eq!(messages(&event.attempts), ["attempt 1", "attempt 2"]);
        assert_eq!(
            (event.attempt_count, event.uncounted, event.due_at),
            (2, 1, due_at)
        );
    }

    pub(super) async fn dead_letters_are_kept_until_they_are_forgotten(&self) {
        let store = self.open("dead");
        let ids = bury_five(&*store).await;
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
        assert_eq!(
            (messages(&kept[4].attempts), kept[4].attempt_count),
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

    pub(super) async fn a_redriven_event_takes_its_letters_place(&self) {
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
}

/// Appends five events that fail twice and become dead letters. Returns their request ids.
async fn bury_five(store: &dyn EventStore) -> Vec<RequestId> {
    let mut ids = Vec::new();
    for number in 1..=5 {
        let event = event(store, "dead", number);
        let id = append_one(store, event.clone()).await;
        let (first, last) = (attempt(1, store.now()), attempt(2, store.now()));
        let rescheduled = Settlement::Rescheduled {
            attempt: Box::new(first.clone()),
            uncounted: 0,
            due_at: store.now(),
        };
        settle(store, id, rescheduled);
        settle(
            store,
            id,
            Settlement::Buried(letter(&event, id, vec![first, last])),
        );
        ids.push(id);
    }
    ids
}
