//! Request ids that callers chose: unlike ids of the store, they don't contain the number of their event.

use std::collections::HashMap;

use rustc_hash::FxHashMap;

use crate::event::request_id::RequestId;

#[derive(Debug, Default)]
pub(super) struct ChosenIdIndex {
    events: HashMap<RequestId, u64>,
    /// The same, the other way round.
    ids: FxHashMap<u64, RequestId>,
}

impl ChosenIdIndex {
    /// Returns the number of the event with this id.
    pub(super) fn get(&self, id: RequestId) -> Option<u64> {
        self.events.get(&id).copied()
    }

    pub(super) fn insert(&mut self, seq: u64, id: RequestId) {
        self.events.insert(id, seq);
        self.ids.insert(seq, id);
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Some(id) = self.ids.remove(&seq) {
            self.events.remove(&id);
        }
    }
}
