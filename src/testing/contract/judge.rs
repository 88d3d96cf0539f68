//! The suite: every check of the contract, one after the other.

use std::sync::Arc;

use super::subject::StoreUnderTest;
use crate::store::EventStore;

/// Judges a store by the contract in [`crate::store`]. `open` returns the store as a new process finds it after the death of
/// the last one; the store that it returned before has been dropped by then. The store must be empty in the beginning.
///
/// # Panics
/// Where the store breaks the contract; the text says how.
pub async fn judge(open: impl Fn() -> Arc<dyn EventStore>) {
    let store = StoreUnderTest { reopen: &open };
    store.an_appended_event_keeps_all_its_fields().await;
    store.the_overflow_is_fetched_once_and_in_due_order().await;
    store.a_finished_event_stays_finished().await;
    store.a_failed_event_keeps_its_attempts_and_its_time().await;
    store.dead_letters_are_kept_until_they_are_forgotten().await;
    store.a_redriven_event_takes_its_letters_place().await;
    store.a_deduplication_key_is_taken_once().await;
    store.a_renamed_function_keeps_its_events_and_keys().await;
    store.an_event_that_ran_at_a_process_death_counts_it().await;
    store.one_event_can_be_fetched().await;
    store.results_of_executions_are_remembered().await;
    store.the_last_configuration_is_kept().await;
    store.a_sync_follows_all_earlier_calls().await;
}
