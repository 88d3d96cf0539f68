//! Looking into the dead-letter queue, and clearing it.

use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::SystemTime;

use actix::prelude::*;

use super::DeadLetterQueue;
use crate::event::RequestId;
use crate::failure::{Condition, DeadLetter};

/// Which dead letters are meant; all of them unless something is said.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    function: Option<String>,
    condition: Option<Condition>,
    error_type: Option<String>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
    only: Option<Only>,
}

/// A rule of whoever asks.
#[derive(Clone)]
struct Only(Arc<dyn Fn(&DeadLetter) -> bool + Send + Sync>);

impl fmt::Debug for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Only")
    }
}

impl Filter {
    /// All dead letters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of one function.
    pub fn function(mut self, name: impl Into<String>) -> Self {
        self.function = Some(name.into());
        self
    }

    /// Those with this condition.
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = Some(condition);
        self
    }

    /// Those whose last failure is of this error type.
    pub fn error_type(mut self, error_type: impl Into<String>) -> Self {
        self.error_type = Some(error_type.into());
        self
    }

    /// Those that died at `time` or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Those that died before `time`.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// Those of which `rule` is true. It runs in the dead-letter queue's actor, for each letter that matches otherwise.
    #[cfg(feature = "http")]
    pub(crate) fn only(
        mut self,
        rule: impl Fn(&DeadLetter) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.only = Some(Only(Arc::new(rule)));
        self
    }

    fn says_something(&self) -> bool {
        self.function.is_some()
            || self.condition.is_some()
            || self.error_type.is_some()
            || self.since.is_some()
            || self.until.is_some()
            || self.only.is_some()
    }

    pub(super) fn matches(&self, letter: &DeadLetter) -> bool {
        let error_type = || letter.failure().map(|failure| failure.error_type.as_str());
        self.function
            .as_ref()
            .is_none_or(|name| name == letter.function.as_str())
            && self
                .condition
                .is_none_or(|condition| condition == letter.condition)
            && self
                .error_type
                .as_ref()
                .is_none_or(|wanted| error_type() == Some(wanted))
            && self.since.is_none_or(|since| letter.died_at >= since)
            && self.until.is_none_or(|until| letter.died_at < until)
            && self.only.as_ref().is_none_or(|only| (only.0)(letter))
    }
}

/// Asks for one dead letter by its event's request id. Answers `None` if it isn't in the queue, or isn't any more.
#[derive(Debug, Message)]
#[rtype(result = "Option<DeadLetter>")]
pub struct Get(pub RequestId);

impl Handler<Get> for DeadLetterQueue {
    type Result = Option<DeadLetter>;

    fn handle(&mut self, Get(id): Get, _: &mut Self::Context) -> Self::Result {
        self.get(id).cloned()
    }
}

/// Asks for a page of dead letters, oldest first. They stay in the queue.
#[derive(Debug, Message)]
#[rtype(result = "Page")]
pub struct List {
    filter: Filter,
    after: u64,
    limit: usize,
    bytes_max: usize,
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
    /// Where the next page begins; none if this is the last.
    pub next: Option<u64>,
    /// How many letters match, on all pages.
    pub total: usize,
}

impl Handler<List> for DeadLetterQueue {
    type Result = Page;

    fn handle(&mut self, list: List, _: &mut Self::Context) -> Self::Result {
        let (mut letters, mut bytes) = (Vec::new(), 0_usize);
        let found = self
            .letters
            .range((Bound::Excluded(list.after), Bound::Unbounded))
            .filter(|(_, letter)| list.filter.matches(letter))
            .try_fold(list.after, |last, (&place, letter)| {
                bytes = bytes.saturating_add(letter.payload.size());
                let is_full = letters.len() >= list.limit || bytes > list.bytes_max;
                if is_full && !letters.is_empty() {
                    return ControlFlow::Break(last);
                }
                letters.push(letter.clone());
                ControlFlow::Continue(place)
            });
        let next = match found {
            ControlFlow::Break(last) => Some(last),
            ControlFlow::Continue(_) => None,
        };
        Page {
            letters,
            next,
            total: match list.filter.says_something() {
                true => self.matching(&list.filter).count(),
                false => self.letters.len(),
            },
        }
    }
}

/// Forgets dead letters for good, except those that are being redriven at this moment. Answers how many: none once the
/// runtime has ended. Events that were
/// held for want of room take their places. Durable a little later, or once [`Client::sync`](crate::Client::sync) has answered.
#[derive(Debug, Message)]
#[rtype(result = "usize")]
pub struct Purge(pub Filter);

impl Handler<Purge> for DeadLetterQueue {
    type Result = usize;

    fn handle(&mut self, Purge(filter): Purge, _: &mut Self::Context) -> usize {
        let ids: Vec<_> = self
            .matching(&filter)
            .map(|letter| letter.request_id)
            .filter(|id| !self.sending.contains(id))
            .collect();
        let admission = self.post.admission.clone();
        let discard = || ids.iter().map(|&id| self.discard(id)).collect::<Vec<_>>();
        // Past the end, the next process would have the letters again.
        let Some(discarded) = admission.before_end(discard) else {
            return 0;
        };
        drop(discarded);
        self.take_held();
        ids.len()
    }
}
