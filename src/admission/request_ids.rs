//! The request ids that callers proposed. They don't say which function has them, so they are looked up here.
//!
//! An id belongs to one function at a time, from before its event is admitted until the mailbox has forgotten it.
//! What a mailbox forgot it says when asked, so an id may stand here for a while after its event is gone.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::event::request_id::RequestId;

#[derive(Default)]
pub(crate) struct Proposals {
    /// The number of the function that has the id.
    owners: DashMap<RequestId, u32>,
}

impl Proposals {
    /// The number of the function that has this id, if it was proposed.
    #[inline]
    pub(crate) fn owner(&self, id: RequestId) -> Option<u32> {
        self.owners.get(&id).map(|number| *number)
    }

    /// Takes the id for this function. Answers whether it was free.
    #[must_use]
    pub(crate) fn take(&self, id: RequestId, number: u32) -> bool {
        match self.owners.entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(number);
                true
            }
        }
    }

    pub(crate) fn give_back(&self, ids: impl IntoIterator<Item = RequestId>) {
        for id in ids {
            self.owners.remove(&id);
        }
    }

    /// Gives back whatever the function has.
    pub(crate) fn forget(&self, number: u32) {
        self.owners.retain(|_, owner| *owner != number);
    }
}
