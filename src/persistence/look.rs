//! Questions to the store: where an event is, and pages of what only the store has.

use super::StoreLink;
use crate::base::panic;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;
use crate::store::{Known, KnownPage, Letters};

impl StoreLink {
    /// Returns the function of an event that the store has, under the name that it had when the event was accepted.
    pub(crate) fn locate(&self, id: RequestId) -> Option<FunctionName> {
        self.link.as_ref()?.store.locate(id)
    }

    /// Returns the state of an event that the store has.
    pub(crate) async fn look(&self, id: RequestId) -> Option<Known> {
        self.ask(|store, reply| store.look(id, reply)).await?
    }

    /// Returns a page of a function's overflow.
    pub(crate) async fn overflow(&self, mailbox: &Mailbox, after: u64, limit: usize) -> KnownPage {
        let page = self.ask(|store, reply| store.overflow(mailbox.name(), after, limit, reply));
        page.await.unwrap_or_default()
    }

    /// Returns a page of the dead letters that the store has.
    pub(crate) async fn letters(&self, after: u64, limit: usize) -> Option<Letters> {
        self.ask(|store, reply| store.letters(after, limit, reply))
            .await
    }

    /// Returns how many events wait in the store, for each function that has some.
    pub(crate) fn waiting(&self) -> Vec<(FunctionName, u64)> {
        let waiting = self
            .link
            .as_ref()
            .map(|link| panic::catch(|| link.store.waiting()));
        waiting.and_then(Result::ok).unwrap_or_default()
    }
}
