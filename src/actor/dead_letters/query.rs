//! Looking into the dead-letter queue, and clearing it.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use actix::prelude::*;

use super::DeadLetterQueue;
use super::kept::Span;
use crate::event::dead_letter::{Condition, DeadLetter};
use crate::event::request_id::RequestId;

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

    /// The function and the condition, if the filter says nothing else.
    pub(super) fn counted(&self) -> Option<(Option<&str>, Option<Condition>)> {
        let Self {
            function,
            condition,
            error_type: None,
            since: None,
            until: None,
            only: None,
        } = self
        else {
            return None;
        };
        Some((function.as_deref(), *condition))
    }

    /// What a look at a letter costs, in looks of a filter without a rule: a rule reads a policy.
    pub(super) fn cost(&self) -> usize {
        match self.only {
            Some(_) => 10,
            None => 1,
        }
    }

    pub(super) fn function_name(&self) -> Option<&str> {
        self.function.as_deref()
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

    fn handle(&mut self, Get(id): Get, ctx: &mut Self::Context) -> Self::Result {
        self.budget.spend(1, ctx);
        let found = self.kept.find(id, |_, _| true);
        found.map(|(_, letter)| letter.clone())
    }
}

/// As [`Get`], of those letters of the id that the filter matches.
#[cfg(feature = "http")]
#[derive(Debug, Message)]
#[rtype(result = "Option<DeadLetter>")]
pub(crate) struct Find(pub(crate) RequestId, pub(crate) Filter);

#[cfg(feature = "http")]
impl Handler<Find> for DeadLetterQueue {
    type Result = Option<DeadLetter>;

    fn handle(&mut self, Find(id, filter): Find, ctx: &mut Self::Context) -> Self::Result {
        self.budget.spend(filter.cost(), ctx);
        let found = self.kept.find(id, |_, letter| filter.matches(letter));
        found.map(|(_, letter)| letter.clone())
    }
}

/// Asks for a page of dead letters, oldest first. They stay in the queue.
///
/// At most 5,000 letters are looked at for a page, of the filter's function alone if it names one. So a page may have fewer
/// letters than its limit, or none, and others follow all the same: [`Page::next`] says where.
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
    /// Where the next page begins; none if this is the last. A page without letters may have one.
    pub next: Option<u64>,
    /// How many letters match, on all pages, if that is known: see `total_is_exact`. Otherwise how many are on this page, and
    /// there may be more.
    pub total: usize,
    /// Is `total` exact? It is for filters that say nothing but function and condition, since these are counted as letters
    /// come and go; and if the first page is the last.
    pub total_is_exact: bool,
}

impl Handler<List> for DeadLetterQueue {
    type Result = Page;

    fn handle(&mut self, list: List, ctx: &mut Self::Context) -> Self::Result {
        let (mut letters, mut bytes) = (Vec::new(), 0_usize);
        let span = Span {
            after: list.after,
            ..Span::ALL
        };
        let looked = self.kept.look(&list.filter, span, |_, letter| {
            bytes = bytes.saturating_add(letter.payload.size());
            let is_full = letters.len() >= list.limit || bytes > list.bytes_max;
            if is_full && !letters.is_empty() {
                return ControlFlow::Break(());
            }
            letters.push(letter.clone());
            ControlFlow::Continue(())
        });
        self.budget.spend(looked.looks, ctx);
        let counted = self.kept.count(&list.filter);
        Page {
            total: counted.unwrap_or(letters.len()),
            total_is_exact: counted.is_some() || list.after == 0 && looked.next.is_none(),
            next: looked.next,
            letters,
        }
    }
}

/// Forgets dead letters for good, except those that are being redriven at this moment. Answers how many: none once the
/// runtime has ended. Events that were
/// held for want of room take their places. Durable a little later, or once [`Client::sync`](crate::Client::sync) has answered.
///
/// Means the letters that are in the queue when the message is handled. Many are purged in pieces of 5,000, between which
/// the queue does other things.
#[derive(Debug, Message)]
#[rtype(result = "usize")]
pub struct Purge(pub Filter);

impl Handler<Purge> for DeadLetterQueue {
    type Result = Response<usize>;

    fn handle(&mut self, Purge(filter): Purge, ctx: &mut Self::Context) -> Self::Result {
        let mut span = self.present();
        let (mut purged, mut next) = self.purge(&filter, span, ctx);
        if next.is_none() {
            return Response::reply(purged);
        }
        let queue = ctx.address();
        Response::fut(async move {
            while let Some(after) = next {
                span.after = after;
                let filter = filter.clone();
                let Ok((some, then)) = queue.send(PurgeSome { filter, span }).await else {
                    break;
                };
                (purged, next) = (purged + some, then);
            }
            purged
        })
    }
}

/// A piece of [`Purge`]. Answers how many it purged, and after which place the next piece begins.
#[derive(Message)]
#[rtype(result = "(usize, Option<u64>)")]
struct PurgeSome {
    filter: Filter,
    span: Span,
}

impl Handler<PurgeSome> for DeadLetterQueue {
    type Result = MessageResult<PurgeSome>;

    fn handle(&mut self, some: PurgeSome, ctx: &mut Self::Context) -> Self::Result {
        MessageResult(self.purge(&some.filter, some.span, ctx))
    }
}

impl DeadLetterQueue {
    fn purge(
        &mut self,
        filter: &Filter,
        span: Span,
        ctx: &mut Context<Self>,
    ) -> (usize, Option<u64>) {
        let (mut places, looks, next) = self.places(filter, span);
        places.retain(|place| !self.sending.contains(place));
        let admission = self.admission.clone();
        let discard = || {
            let places = places.iter();
            places.map(|&place| self.discard(place)).collect::<Vec<_>>()
        };
        // Past the end, the next process would have the letters again.
        let Some(discarded) = admission.door.before_end(discard) else {
            return (0, None);
        };
        drop(discarded);
        self.take_held(ctx);
        self.budget.spend(looks, ctx);
        (places.len(), next)
    }

    /// The places of some of the letters of the span that match; how many were looked at for it, and after which place to
    /// go on.
    pub(super) fn places(&self, filter: &Filter, span: Span) -> (Vec<u64>, usize, Option<u64>) {
        let mut places = Vec::new();
        let looked = self.kept.look(filter, span, |place, _| {
            places.push(place);
            ControlFlow::Continue(())
        });
        (places, looked.looks, looked.next)
    }
}
