//! Request ids that callers propose: each is one event's at a time.

use super::{Admission, refusal};
use crate::error::InvokeError;
use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;
use crate::queue::RefusalReason;
use crate::queue::entry::Entry;
use crate::telemetry::logs::LogOwner;

impl Admission {
    /// Takes a proposed id for this function, so that no other event can have it.
    pub(super) fn propose(
        &self,
        mailbox: &Mailbox,
        id: Option<RequestId>,
    ) -> Result<Option<RequestId>, InvokeError> {
        let Some(request_id) = id else {
            return Ok(None);
        };
        self.unpropose(mailbox);
        // Its last owner may have forgotten it and not said so yet.
        let owner = self.proposals.owner(request_id);
        let owner = owner.filter(|&number| number != mailbox.number);
        if let Some(owner) = owner.and_then(|number| self.numbered(number)) {
            self.unpropose(&owner);
        }
        let is_known = self.locate(request_id).is_some() || self.stored(request_id).is_some();
        if is_known || !self.proposals.take(request_id, mailbox.number) {
            return Err(InvokeError::RequestIdTaken { request_id });
        }
        // What an earlier event under this id has logged isn't this one's, and may be nobody's to read who asks for this one.
        if let Some(logs) = self.logs.get() {
            logs.forget(&LogOwner::new(mailbox.name().clone(), request_id));
        }
        Ok(Some(request_id))
    }

    pub(crate) fn propose_all<'a>(
        &self,
        mailbox: &Mailbox,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> Result<Vec<RequestId>, InvokeError> {
        let mut taken = Vec::new();
        for entry in entries {
            match self.propose(mailbox, entry.request_id) {
                Ok(id) => taken.extend(id),
                Err(refused) => {
                    self.proposals.give_back(taken);
                    return Err(refused);
                }
            }
        }
        Ok(taken)
    }

    /// Gives the proposed ids back if the mailbox refused.
    pub(super) fn conclude<T>(
        &self,
        mailbox: &Mailbox,
        proposals: impl IntoIterator<Item = RequestId>,
        admitted: Result<T, RefusalReason>,
    ) -> Result<T, InvokeError> {
        admitted.map_err(|full| {
            let mut proposals = proposals.into_iter().peekable();
            let first = proposals.peek().copied();
            self.proposals.give_back(proposals);
            refusal(mailbox, full, first)
        })
    }

    /// Drops the ids of events that the mailbox has forgotten.
    fn unpropose(&self, mailbox: &Mailbox) {
        self.proposals.give_back(mailbox.take_forgotten_ids());
    }
}
