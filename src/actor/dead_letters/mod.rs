//! The dead-letter queue: the actor that keeps the events that will not be tried again, and forwards them to its subscribers.
//!
//! It shares nothing with supervisors but messages, and may live on another arbiter. Each message does bounded work
//! (`actor/work_budget.rs`): an operation on all letters is done in pieces, a message each, so that other messages come in
//! between.
//!
//! Here the actor carries messages; the decisions about letters are in the pure `kept_letters.rs`, over the index of
//! `letter_index.rs`. `query.rs`, `purge.rs` and `redrive.rs` have the messages of users, `subscribers.rs` and
//! `forwarder.rs` the way to subscribers.

mod filter;
mod forwarder;
mod hand_over;
mod kept_letters;
mod letter_index;
mod page;
mod purge;
mod query;
mod redrive;
mod settings;
mod subscribers;
mod subscription;

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
use crate::store::Settlement;
use crate::telemetry;

use kept_letters::{KeptLetters, PendingLetter, Room};
use subscribers::Subscribers;

pub use filter::Filter;
pub(crate) use hand_over::HandOver;
pub use page::{List, Page};
pub use purge::Purge;
#[cfg(feature = "http")]
pub(crate) use query::Find;
pub use query::Get;
pub use redrive::{Redrive, Redriven};
pub use settings::{DeadLetterBounds, WhenFull};
pub use subscription::{Subscribe, Unsubscribe};

/// The actor that keeps dead letters. [`Runtime::dead_letters`](crate::Runtime::dead_letters) returns its address; send it
/// [`Subscribe`], [`List`], [`Get`], [`Redrive`] or [`Purge`].
///
/// The letters are in memory: they go with the process, or into the report of the shutdown. With a store they are in the
/// store too, and the next start loads them.
///
/// The queue replies to each message after it has checked a bounded number of letters. [`Purge`] and [`Redrive`] of many
/// letters are done in pieces, between which the queue handles other messages; they mean the letters that are in the queue
/// when they are sent.
pub struct DeadLetterQueue {
    admission: Arc<Admission>,
    _loss_guard: LossGuard,
    letters: KeptLetters<Bury>,
    /// A `KeepHeld` is under way.
    keeping_held: bool,
    subscribers: Subscribers,
    /// Subscriptions from before the start, which begin when the stored letters are loaded.
    first: Vec<Subscribe>,
    /// The letters are in the report of the shutdown. Events that die later are among its unfinished ones.
    handed_over: bool,
    budget: WorkBudget,
}

impl std::fmt::Debug for DeadLetterQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetterQueue")
            .field("letters", &self.letters.len())
            .field("held", &self.letters.held_len())
            .finish_non_exhaustive()
    }
}

impl PendingLetter for Bury {
    fn letter(&self) -> &DeadLetter {
        &self.letter
    }
}

/// Held letters that are kept in one piece, when there is room again.
const KEPT_AT_ONCE: usize = 100;

impl DeadLetterQueue {
    /// Creates a queue with these subscribers, which get every letter from the first on.
    pub(crate) fn new(
        admission: Arc<Admission>,
        bounds: DeadLetterBounds,
        pool: Arc<Pool>,
        subscribers: Vec<Subscribe>,
    ) -> Self {
        Self {
            _loss_guard: LossGuard::new(admission.clone(), "dead-letter queue", None),
            admission,
            letters: KeptLetters::new(bounds),
            keeping_held: false,
            subscribers: Subscribers::new(pool),
            first: subscribers,
            handed_over: false,
            budget: WorkBudget::default(),
        }
    }

    /// Has the store forget a letter that left the queue, if it has it.
    fn forget(&self, letter: &DeadLetter) {
        if letter.stored {
            let store = &self.admission.store;
            store.settle_stored(None, letter.request_id, Settlement::Forgotten);
        }
    }

    /// Keeps held letters for which there is room: some now, and the rest in later turns.
    fn keep_held(&mut self, ctx: &mut Context<Self>) {
        for _ in 0..KEPT_AT_ONCE {
            let Some((place, bury)) = self.letters.next_held() else {
                return;
            };
            self.conclude(&bury);
            self.letters.keep(place, bury.letter);
        }
        if !std::mem::replace(&mut self.keeping_held, true) {
            ctx.address().do_send(KeepHeld);
        }
    }

    /// Ends the event in its mailbox and in the store.
    fn conclude(&self, bury: &Bury) {
        self.admission.store.settle(&bury.mailbox, bury.ticket, || {
            Settlement::Buried(bury.letter.clone())
        });
        bury.mailbox.bury(bury.ticket, &bury.letter);
    }

    /// Forgets, logs and counts letters that the bounds cost.
    fn drop_letters(&self, letters: &[DeadLetter], consequence: &str) {
        for letter in letters {
            self.forget(letter);
            self.count_dropped(letter, consequence);
        }
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
        // Failures come in bursts; further messages wait at their senders.
        ctx.set_mailbox_capacity(1 << 16);
        match self.admission.store.exists() {
            true => self.load(0, ctx),
            false => self.loaded(ctx),
        }
    }
}

/// Letters that are loaded from the store in one piece.
const LOAD_MAX: usize = 1_000;

impl DeadLetterQueue {
    /// Loads the letters of earlier processes from the store, page by page. Until all are loaded, other messages wait.
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
                let place = queue.letters.next_place();
                let function = queue
                    .admission
                    .registry
                    .current_name(letter.function.clone());
                queue.letters.keep(place, letter.traced().renamed(function));
            }
            let dropped = queue.letters.trim();
            queue.drop_letters(&dropped, OLDEST_DROPPED);
            match page.next {
                Some(next) => queue.load(next, ctx),
                None => queue.loaded(ctx),
            }
        }));
    }

    /// Starts what waited for the letters from the store.
    fn loaded(&mut self, ctx: &mut Context<Self>) {
        for subscribe in std::mem::take(&mut self.first) {
            self.subscribe(subscribe, ctx);
        }
        if let Some(age_max) = self.letters.bounds().age_max {
            self.expire(ctx);
            let often = (age_max / 10).clamp(Duration::from_millis(10), Duration::from_secs(60));
            actix_rt::spawn(expire_regularly(ctx.address().downgrade(), often));
        }
    }

    /// Drops letters that are too old: some now, and the rest in later turns.
    fn expire(&mut self, ctx: &mut Context<Self>) {
        let clock = &self.admission.clock;
        let expired = self.letters.expire(clock.wall(clock.now()));
        self.drop_letters(&expired.letters, "the letter was too old and was dropped");
        self.keep_held(ctx);
        self.budget.spend(expired.checks, ctx);
        if expired.more {
            ctx.address().do_send(Expire);
        }
    }
}

/// Queue to itself: there is room for letters that were held.
#[derive(Message)]
#[rtype(result = "()")]
struct KeepHeld;

impl Handler<KeepHeld> for DeadLetterQueue {
    type Result = ();

    fn handle(&mut self, _: KeepHeld, ctx: &mut Self::Context) {
        self.keeping_held = false;
        self.keep_held(ctx);
        self.budget.spend(KEPT_AT_ONCE, ctx);
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

/// Has the queue drop letters that are too old, again and again for as long as it lives.
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
            // A short wait spares letters to subscribers that take them as fast as they can.
            ctx.wait(actix::fut::wrap_future(tokio::time::sleep(MOMENT)));
        }
        self.publish(&bury.letter);
        let place = self.letters.next_place();
        match self.letters.make_room(&bury.letter) {
            Room::Free(dropped) => self.drop_letters(&dropped, OLDEST_DROPPED),
            Room::Hold => {
                telemetry::dead_letters_full(
                    bury.letter.request_id,
                    "the event is held in its mailbox until there is room",
                );
                self.letters.hold(place, bury);
                return;
            }
            Room::DropNewest => {
                self.count_dropped(&bury.letter, "the letter was dropped");
                self.conclude(&bury);
                self.forget(&bury.letter);
                return;
            }
        }
        self.conclude(&bury);
        self.letters.keep(place, bury.letter);
    }
}

const OLDEST_DROPPED: &str = "the oldest letter was dropped";

/// How long the queue waits for subscribers that are behind.
const MOMENT: Duration = Duration::from_millis(1);
