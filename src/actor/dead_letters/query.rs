//! Requests that read the dead-letter queue: one letter, or a page. They change nothing.

use actix::prelude::*;

use super::DeadLetterQueue;
use super::filter::Filter;
use super::page::{List, Page};
use crate::event::dead_letter::DeadLetter;
use crate::event::request_id::RequestId;

/// Requests one dead letter by its event's request id. The reply is `None` if it isn't in the queue (any more).
#[derive(Debug, Message)]
#[rtype(result = "Option<DeadLetter>")]
pub struct Get(pub RequestId);

impl Handler<Get> for DeadLetterQueue {
    type Result = Option<DeadLetter>;

    fn handle(&mut self, Get(id): Get, ctx: &mut Self::Context) -> Self::Result {
        self.budget.spend(1, ctx);
        let found = self.letters.find(id, &Filter::new());
        found.map(|(_, letter)| letter.clone())
    }
}

/// As [`Get`], among the letters of the id that the filter matches.
// The HTTP API alone finds by id and filter: its callers may not see all letters.
#[cfg(feature = "http")]
#[derive(Debug, Message)]
#[rtype(result = "Option<DeadLetter>")]
pub(crate) struct Find(pub(crate) RequestId, pub(crate) Filter);

// As `Find` itself.
#[cfg(feature = "http")]
impl Handler<Find> for DeadLetterQueue {
    type Result = Option<DeadLetter>;

    fn handle(&mut self, Find(id, filter): Find, ctx: &mut Self::Context) -> Self::Result {
        self.budget.spend(filter.cost(), ctx);
        let found = self.letters.find(id, &filter);
        found.map(|(_, letter)| letter.clone())
    }
}

impl Handler<List> for DeadLetterQueue {
    type Result = Page;

    fn handle(&mut self, list: List, ctx: &mut Self::Context) -> Self::Result {
        let (page, checks) = self.letters.page(&list);
        self.budget.spend(checks, ctx);
        page
    }
}
