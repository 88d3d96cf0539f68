//! The end of a process and the next one: crash marks, results of executions, the configuration, and syncs.

use super::subject::{
    LONG, StoreUnderTest, append_one, ask, event, fetch_all, name, payload, settle,
};
use crate::event::request_id::RequestId;
use crate::store::{CRASH_MARK_EVENTS_MAX, EventStore, Execution, Fetched, Settlement};

impl StoreUnderTest<'_> {
    pub(super) async fn an_event_that_ran_at_a_process_death_counts_it(&self) {
        let store = self.open("dying");
        let mut ids = Vec::new();
        for number in 1..=3 + CRASH_MARK_EVENTS_MAX as u32 {
            ids.push(append_one(&*store, event(&*store, "dying", number)).await);
        }
        let begin = |store: &dyn EventStore, mark, ids: &[RequestId]| {
            store.begin(mark, ids).expect("the crash mark is written");
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
        assert_eq!(
            deaths(&fetched),
            once,
            "an orderly end is not a process death"
        );
    }

    pub(super) async fn results_of_executions_are_remembered(&self) {
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

    pub(super) async fn the_last_configuration_is_kept(&self) {
        let store = self.open("f");
        assert_eq!(ask(|reply| store.configured(reply)).await, None);
        for document in ["{}", r#"{"f":{"reserved_concurrency":1}}"#] {
            ask(|reply| store.configure(document.to_owned(), reply)).await;
            let kept = ask(|reply| store.configured(reply)).await;
            assert_eq!(kept.as_deref(), Some(document));
        }
        ask(|reply| store.close(reply)).await;
    }

    /// Checks the order only: this suite can't cut the power.
    pub(super) async fn a_sync_follows_all_earlier_calls(&self) {
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
}
