//! Lists of dead letters: the request for a page, and the page.

use actix::prelude::*;

use super::filter::Filter;
use crate::event::dead_letter::DeadLetter;

/// Requests a page of dead letters, oldest first. They stay in the queue.
///
/// The queue checks at most 5,000 letters for a page, and only those of the filter's function if it has one. So a page may
/// have fewer letters than its limit, or none, although more follow: [`Page::next`] is then set.
#[derive(Debug, Message)]
#[rtype(result = "Page")]
pub struct List {
    pub(super) filter: Filter,
    pub(super) after: u64,
    pub(super) limit: usize,
    pub(super) bytes_max: usize,
}

impl List {
    /// The first page, of 100 letters.
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            after: 0,
            limit: 100,
            bytes_max: usize::MAX,
        }
    }

    /// The page that begins where another ended: its `next`.
    pub fn after(mut self, cursor: u64) -> Self {
        self.after = cursor;
        self
    }

    /// How many letters a page has at most; at least 1, so that each page gets further.
    pub fn limit(mut self, letters: usize) -> Self {
        self.limit = letters.max(1);
        self
    }

    /// Ends a page before its payloads have more bytes than that; one letter is on each page, however large.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }
}

/// A page of dead letters.
#[derive(Clone, Debug, MessageResponse)]
#[non_exhaustive]
pub struct Page {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; `None` on the last page. A page without letters may have one.
    pub next: Option<u64>,
    /// How many letters match, on all pages, if `total_is_exact`. Otherwise how many are on this page, and there may be more.
    pub total: usize,
    /// Whether `total` is exact. It is for filters that set at most function and condition, since the queue counts these as
    /// letters come and go; and if the first page is the last.
    pub total_is_exact: bool,
}
