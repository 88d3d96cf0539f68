//! The watchers of events: where the outcome of each event is sent.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::event::request_id::RequestId;
use crate::mailbox::snapshot::EventOutcome;

/// For each watched event, the senders of its watchers. An event that has ended has none.
#[derive(Default)]
pub(super) struct Watchers(HashMap<RequestId, Vec<oneshot::Sender<EventOutcome>>>);

impl Watchers {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a watcher. Watchers that have gone make room before the list grows.
    pub(super) fn add(&mut self, id: RequestId, watcher: oneshot::Sender<EventOutcome>) {
        let watchers = self.0.entry(id).or_default();
        if watchers.len() == watchers.capacity() {
            watchers.retain(|watcher| !watcher.is_closed());
        }
        watchers.push(watcher);
    }

    /// Takes out the watchers of an event that ends.
    pub(super) fn take(
        &mut self,
        id: RequestId,
    ) -> impl Iterator<Item = oneshot::Sender<EventOutcome>> + use<> {
        self.0.remove(&id).into_iter().flatten()
    }
}
