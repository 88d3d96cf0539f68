//! The request ids that callers chose. They don't contain the function's number, so they are looked up here.
//!
//! An id belongs to one function at a time, from before its event is admitted until the mailbox has forgotten it. A mailbox
//! reports forgotten ids when it is asked, so an id may stand here for a while after its event is gone.

use dashmap::DashMap;
use dashmap::mapref::entry;

use super::registry::Registry;
use crate::error::InvokeError;
use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;

#[derive(Default)]
pub(crate) struct ChosenIds {
    /// The number of the function that has the id.
    owners: DashMap<RequestId, u32>,
}

impl ChosenIds {
    /// Returns the number of the function that has the id, if a caller chose it.
    #[inline]
    pub(crate) fn owner(&self, id: RequestId) -> Option<u32> {
        self.owners.get(&id).map(|number| *number)
    }

    /// Takes an id for an event of `mailbox`, so that no other event can have it. `is_known` returns whether an event has it
    /// already.
    ///
    /// # Errors
    /// When the id is taken.
    pub(super) fn take(
        &self,
        mailbox: &Mailbox,
        request_id: RequestId,
        registry: &Registry,
        is_known: impl FnOnce(RequestId) -> bool,
    ) -> Result<(), InvokeError> {
        self.give_back(mailbox.inspect().take_forgotten_ids());
        // Its last owner may have forgotten it without having reported that.
        let owner = self.owner(request_id);
        let owner = owner.filter(|&number| number != mailbox.number);
        if let Some(owner) = owner.and_then(|number| registry.numbered(number)) {
            self.give_back(owner.inspect().take_forgotten_ids());
        }
        if is_known(request_id) {
            return Err(InvokeError::RequestIdTaken { request_id });
        }
        match self.owners.entry(request_id) {
            entry::Entry::Occupied(_) => Err(InvokeError::RequestIdTaken { request_id }),
            entry::Entry::Vacant(vacant) => {
                vacant.insert(mailbox.number);
                Ok(())
            }
        }
    }

    /// Frees ids for other events.
    pub(crate) fn give_back(&self, ids: impl IntoIterator<Item = RequestId>) {
        for id in ids {
            self.owners.remove(&id);
        }
    }

    /// Frees all ids of a function that was removed.
    pub(crate) fn forget(&self, number: u32) {
        self.owners.retain(|_, owner| *owner != number);
    }
}
