//! The dead-letter queue: the actor that keeps what will not be tried again, and tells its subscribers.
//!
//! It shares nothing with supervisors but messages, and may live on another arbiter. Each message does bounded work
//! (`turn.rs`): what concerns all letters is done in pieces, each with a message of its own, so that burials and other
//! questions come in between. What the queue keeps, `kept.rs` knows; who hears of it, `subscribers.rs`.

mod kept;
mod query;
mod redrive;
mod subscribers;

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use actix::WeakAddr;
use actix::prelude::*;

use crate::actor::arbiter_pool::Pool;
use crate::actor::lost_actor::LossGuard;
use crate::actor::message::Bury;
use crate::actor::work_budget::WorkBudget;
use crate::admission::Admission;
use crate::event::dead_letter::DeadLetter;
use crate::event::request_id::RequestId;
use crate::store::Settlement;
use crate::telemetry;

use kept::{Kept, LOOKS_MAX, Span, size};
use subscribers::Subscribers;

#[cfg(feature = "http")]
pub(crate) use query::Find;
pub use query::{Filter, Get, List, Page, Purge};
pub use redrive::{Redrive, Redriven};
pub use subscribers::{Subscribe, Unsubscribe};

/// How much the dead-letter queue keeps, and what it does when that is too much.
#[derive(Clone, Debug)]
pub struct DeadLetterBounds {
    pub(crate) letters_max: usize,
    pub(crate) bytes_max: u64,
    pub(crate) when_full: WhenFull,
    pub(crate) age_max: Option<Duration>,
}

impl DeadLetterBounds {
    /// At most so many letters with so many bytes of payloads and error texts, and what happens beyond.
    pub fn new(letters_max: usize, bytes_max: u64, when_full: WhenFull) -> Self {
        Self {
            letters_max,
            bytes_max,
            when_full,
            age_max: None,
        }
    }

    /// Letters are dropped so long after they died, which is logged and counted in `DeadLetterErrors`; never unless set.
    pub fn age_max(mut self, age: Duration) -> Self {
        self.age_max = Some(age);
        self
    }
}

/// 100,000 letters, 256 MiB; full means [`WhenFull::Hold`].
impl Default for DeadLetterBounds {
    fn default() -> Self {
        Self::new(100_000, 256 << 20, WhenFull::Hold)
    }
}

/// What a full dead-letter queue does with another dead letter. Each of these is logged as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The event stays pending in its function's mailbox until there is room. Nothing is lost; a function whose events
    /// keep dying fills its mailbox and refuses new ones.
    Hold,
    /// The oldest letter is dropped and counted in `DeadLetterErrors`.
    DropOldest,
    /// The new letter is dropped and counted in `DeadLetterErrors`; subscribers still see it.
    DropNewest,
}

/// The actor that keeps dead letters. Reach it by [`Runtime::dead_letters`](crate::Runtime::dead_letters), and send it
/// [`Subscribe`], [`List`], [`Get`], [`Redrive`] or [`Purge`].
///
/// The letters are in memory: they go with the process, or into the report of the shutdown. Where events are stored, the
/// letters are too, and are here again at the next start.
///
/// Each message is answered after a bounded number of letters was looked at. [`Purge`] and [`Redrive`] of many letters
/// take many turns, between which others get theirs; they mean the letters that are in the queue when they are sent.
pub struct DeadLetterQueue {
    admission: Arc<Admission>,
    _loss_guard: LossGuard,
    bounds: DeadLetterBounds,
    kept: Kept,
    /// The places of letters whose redrive is under way. They keep them until their events are accepted, and until then
    /// nobody else sends, drops or purges them.
    sending: HashSet<u64>,
    /// The place of the last letter that came.
    arrivals: u64,
    /// Came when it was full; their mailboxes still have them. Their places are higher than those of all that are kept.
    held: VecDeque<(u64, Bury)>,
    /// Held letters were seen to have room, and a message is under way that takes them.
    taking: bool,
    subscribers: Subscribers,
    /// Who subscribes before anything runs.
    first: Vec<Subscribe>,
    /// The letters are in the report of the shutdown. What comes later is among the unfinished.
    handed_over: bool,
    budget: WorkBudget,
}

impl std::fmt::Debug for DeadLetterQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetterQueue")
            .field("letters", &self.kept.len())
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

/// Held letters that are kept at once, when there is room again.
const TAKEN_AT_ONCE: usize = 100;

impl DeadLetterQueue {
    /// A queue that `subscribers` hear of from the first letter on.
    pub(crate) fn new(
        admission: Arc<Admission>,
        bounds: DeadLetterBounds,
        pool: Arc<Pool>,
        subscribers: Vec<Subscribe>,
    ) -> Self {
        Self {
            _loss_guard: LossGuard::new(admission.clone(), "dead-letter queue", None),
            admission,
            bounds,
            kept: Kept::default(),
            sending: HashSet::new(),
            arrivals: 0,
            held: VecDeque::new(),
            taking: false,
            subscribers: Subscribers::new(pool),
            first: subscribers,
            handed_over: false,
            budget: WorkBudget::default(),
        }
    }

    fn has_room(&self, letter: &DeadLetter) -> bool {
        // One letter always fits: a bound below its size must not hold it for ever.
        self.kept.is_empty()
            || (self.kept.len() < self.bounds.letters_max
                && self.kept.bytes() + size(letter) <= self.bounds.bytes_max)
    }

    /// The place of a letter that comes now.
    fn place(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// The letters that are kept now, the oldest one first.
    fn present(&self) -> Span {
        Span {
            after: 0,
            until: self.kept.last_place(),
        }
    }

    /// Drops a letter for good, in the store too.
    fn discard(&mut self, place: u64) -> Option<DeadLetter> {
        let letter = self.kept.remove(place)?;
        if letter.stored {
            self.forget(letter.request_id);
        }
        Some(letter)
    }

    fn forget(&self, id: RequestId) {
        let admission = &self.admission;
        admission
            .store
            .settle_stored(None, id, Settlement::Forgotten);
    }

    /// Keeps what was held for want of room: some now, and the rest in later turns.
    fn take_held(&mut self, ctx: &mut Context<Self>) {
        for _ in 0..TAKEN_AT_ONCE {
            let Some((_, bury)) = self.held.front() else {
                return;
            };
            if !self.has_room(&bury.letter) {
                return;
            }
            if let Some((place, bury)) = self.held.pop_front() {
                self.conclude(&bury);
                self.kept.put(place, bury.letter);
            }
        }
        if !std::mem::replace(&mut self.taking, true) {
            ctx.address().do_send(TakeHeld);
        }
    }

    /// Tells the event's mailbox and the store that it is over.
    fn conclude(&self, bury: &Bury) {
        self.admission.store.settle(&bury.mailbox, bury.ticket, || {
            Settlement::Buried(bury.letter.clone())
        });
        bury.mailbox.bury(bury.ticket, &bury.letter);
    }

    /// Answers whether there was one to drop.
    fn drop_oldest(&mut self) -> bool {
        let mut oldest = None;
        self.kept.look(&Filter::new(), Span::ALL, |place, _| {
            if self.sending.contains(&place) {
                return ControlFlow::Continue(());
            }
            oldest = Some(place);
            ControlFlow::Break(())
        });
        let Some(oldest) = oldest.and_then(|place| self.discard(place)) else {
            return false;
        };
        self.count_dropped(&oldest, "the oldest letter was dropped");
        true
    }

    fn publish(&mut self, letter: &DeadLetter) {
        let missed = self.subscribers.publish(letter);
        if missed > 0 {
            self.count_errors(letter, missed);
        }
    }

    fn count_dropped(&self, letter: &DeadLetter, consequence: &str) {
        telemetry::dead_letters_full(letter.request_id, consequence);
        self.count_errors(letter, 1);
    }

    fn count_errors(&self, letter: &DeadLetter, errors: u64) {
        let function = self
            .admission
            .registry
            .current_name(letter.function.clone());
        if let Some(mailbox) = self.admission.registry.named(function.as_str()) {
            mailbox.meter(|meters| meters.dead_letter_errors += errors);
        }
    }
}

impl Actor for DeadLetterQueue {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Failures come in bursts; what is beyond this many waits at the senders.
        ctx.set_mailbox_capacity(1 << 16);
        match self.admission.store.exists() {
            true => self.load(0, ctx),
            false => self.loaded(ctx),
        }
    }
}

/// Letters that are read from the store at once.
const LOAD_MAX: usize = 1_000;

impl DeadLetterQueue {
    /// Takes in what the store keeps from earlier, page by page. Whatever else is asked waits until all of it is here.
    fn load(&mut self, after: u64, ctx: &mut Context<Self>) {
        let admission = self.admission.clone();
        let page = async move {
            admission
                .store
                .letters(after, LOAD_MAX)
                .await
                .unwrap_or_default()
        };
        ctx.wait(page.into_actor(self).map(|page, queue, ctx| {
            for letter in page.letters {
                let place = queue.place();
                let function = queue
                    .admission
                    .registry
                    .current_name(letter.function.clone());
                queue.kept.put(place, letter.traced().renamed(function));
            }
            while queue.bounds.when_full != WhenFull::Hold
                && queue.is_overfull()
                && queue.drop_oldest()
            {}
            match page.next {
                Some(next) => queue.load(next, ctx),
                None => queue.loaded(ctx),
            }
        }));
    }

    /// All that the store had is here.
    fn loaded(&mut self, ctx: &mut Context<Self>) {
        for subscribe in std::mem::take(&mut self.first) {
            self.subscribe(subscribe, ctx);
        }
        if let Some(age_max) = self.bounds.age_max {
            self.expire(ctx);
            let often = (age_max / 10).clamp(Duration::from_millis(10), Duration::from_secs(60));
            actix_rt::spawn(expire_regularly(ctx.address().downgrade(), often));
        }
    }

    fn is_overfull(&self) -> bool {
        self.kept.len() > self.bounds.letters_max || self.kept.bytes() > self.bounds.bytes_max
    }

    /// Drops letters that are too old: some now, and the rest in later turns.
    fn expire(&mut self, ctx: &mut Context<Self>) {
        let Some(age_max) = self.bounds.age_max else {
            return;
        };
        let clock = &self.admission.clock;
        let now = clock.wall(clock.now());
        let mut old = Vec::new();
        let mut young = false;
        let looked = self.kept.look(&Filter::new(), Span::ALL, |place, letter| {
            let age = now.duration_since(letter.died_at);
            if !age.is_ok_and(|age| age > age_max) {
                young = true;
                return ControlFlow::Break(());
            }
            old.push(place);
            ControlFlow::Continue(())
        });
        old.retain(|place| !self.sending.contains(place));
        for &place in &old {
            if let Some(letter) = self.discard(place) {
                self.count_dropped(&letter, "the letter was too old and was dropped");
            }
        }
        self.take_held(ctx);
        self.budget.spend(looked.looks, ctx);
        // Without progress it would go on for ever: letters that are being sent stay.
        if looked.next.is_some() && !young && !old.is_empty() {
            ctx.address().do_send(Expire);
        }
    }
}

/// Queue to itself: there is room for letters that were held.
#[derive(Message)]
#[rtype(result = "()")]
struct TakeHeld;

impl Handler<TakeHeld> for DeadLetterQueue {
    type Result = ();

    fn handle(&mut self, _: TakeHeld, ctx: &mut Self::Context) {
        self.taking = false;
        self.take_held(ctx);
        self.budget.spend(TAKEN_AT_ONCE, ctx);
    }
}

/// Queue to itself: drop letters that are too old.
#[derive(Message)]
#[rtype(result = "()")]
struct Expire;

impl Handler<Expire> for DeadLetterQueue {
    type Result = ();

    fn handle(&mut self, _: Expire, ctx: &mut Self::Context) {
        self.expire(ctx);
    }
}

/// Has the queue look for letters that are too old, for as long as it lives.
async fn expire_regularly(queue: WeakAddr<DeadLetterQueue>, often: Duration) {
    loop {
        tokio::time::sleep(often).await;
        let Some(queue) = queue.upgrade() else { return };
        if queue.send(Expire).await.is_err() {
            return;
        }
    }
}

impl Handler<Bury> for DeadLetterQueue {
    type Result = ();

    fn handle(&mut self, bury: Bury, ctx: &mut Self::Context) {
        if self.handed_over {
            return;
        }
        if self.budget.spend(0, ctx) && self.subscribers.are_catching_up() {
            // Subscribers that take letters as fast as they can have a moment to: they miss nothing.
            ctx.wait(actix::fut::wrap_future(tokio::time::sleep(MOMENT)));
        }
        self.publish(&bury.letter);
        let place = self.place();
        // Those that are held come first, so that places follow the order of arrival.
        if !self.held.is_empty() || !self.has_room(&bury.letter) {
            match self.bounds.when_full {
                WhenFull::Hold => {
                    telemetry::dead_letters_full(
                        bury.letter.request_id,
                        "the event is held in its mailbox until there is room",
                    );
                    self.held.push_back((place, bury));
                    return;
                }
                WhenFull::DropNewest => {
                    self.count_dropped(&bury.letter, "the letter was dropped");
                    self.conclude(&bury);
                    if bury.letter.stored {
                        self.forget(bury.letter.request_id);
                    }
                    return;
                }
                // While all others are being sent, there may be one too many.
                WhenFull::DropOldest => while !self.has_room(&bury.letter) && self.drop_oldest() {},
            }
        }
        self.conclude(&bury);
        self.kept.put(place, bury.letter);
    }
}

/// How long burials wait for subscribers that are behind.
const MOMENT: Duration = Duration::from_millis(1);

/// Takes everything out: the letters, those that are being sent included, and what is held for want of room. Nothing is
/// buried afterwards.
#[derive(Message)]
#[rtype(result = "Vec<DeadLetter>")]
pub(crate) struct HandOver;

impl Handler<HandOver> for DeadLetterQueue {
    type Result = ResponseFuture<Vec<DeadLetter>>;

    fn handle(&mut self, _: HandOver, ctx: &mut Self::Context) -> Self::Result {
        self.handed_over = true;
        let queue = ctx.address();
        Box::pin(async move {
            let mut letters = Vec::new();
            while let Ok(some) = queue.send(HandOverSome).await
                && !some.is_empty()
            {
                letters.extend(some);
            }
            letters
        })
    }
}

/// A piece of [`HandOver`]; empty when nothing is left.
#[derive(Message)]
#[rtype(result = "Vec<DeadLetter>")]
struct HandOverSome;

impl Handler<HandOverSome> for DeadLetterQueue {
    type Result = Vec<DeadLetter>;

    fn handle(&mut self, _: HandOverSome, ctx: &mut Self::Context) -> Self::Result {
        let mut letters = self.kept.take_oldest(LOOKS_MAX);
        if letters.is_empty() {
            let held = self.held.len().min(LOOKS_MAX);
            letters.extend(self.held.drain(..held).map(|(_, bury)| {
                // One that a store has is pending there.
                if !bury.letter.stored {
                    bury.mailbox.bury(bury.ticket, &bury.letter);
                }
                bury.letter
            }));
        }
        self.budget.spend(letters.len(), ctx);
        letters
    }
}
