//! The subscribers of dead letters, and how a new letter reaches them. Each has a task (`forwarder.rs`), so that a slow one
//! delays no other.

use std::cell::Cell;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::DeadLetterQueue;
use super::filter::Filter;
use super::forwarder::{Existing, Forwarder};
use super::letter_index::size;
use super::subscription::{Subscribe, Subscriber, Unsubscribe};
use crate::actor::arbiter_pool::{Home, Pool};
use crate::base::capacity::{Capacity, Permit};
use crate::event::dead_letter::DeadLetter;
use crate::telemetry;

pub(super) struct Subscribers {
    /// Where closures run.
    pool: Arc<Pool>,
    all: Vec<Subscription>,
    /// How many subscriptions there have been.
    count: u64,
}

struct Subscription {
    subscriber: Subscriber,
    function: Option<String>,
    /// To the task that forwards to it, so that a slow subscriber delays no other.
    letters: mpsc::UnboundedSender<(DeadLetter, Permit)>,
    forwarding: JoinHandle<()>,
    number: u64,
    backlog: Arc<Capacity>,
    /// Letters in a row that it missed.
    missed: u64,
    /// How many letters it had taken at the last check.
    taken: usize,
}

/// What happened to a letter that was offered to one subscriber.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offered {
    /// It is on its way, or not wanted.
    Taken,
    /// There was no room for it.
    Missed,
    /// The subscriber is gone.
    Gone,
}

impl Subscription {
    fn is_there(&self) -> bool {
        let connected = match &self.subscriber {
            Subscriber::Actor(recipient) => recipient.connected(),
            Subscriber::Closure(_) => true,
        };
        connected && !self.letters.is_closed()
    }

    /// Returns whether it is behind, and takes letters: then a short wait spares it from missing some.
    fn is_catching_up(&mut self) -> bool {
        let taken = self.backlog.left();
        let busy = std::mem::replace(&mut self.taken, taken) != taken;
        busy && self.backlog.is_half_full()
    }

    /// Forwards the letter, if it is wanted and there is room.
    fn offer(&mut self, letter: &DeadLetter) -> Offered {
        if self.letters.is_closed() {
            return Offered::Gone;
        }
        let wanted = self.function.as_ref();
        if wanted.is_some_and(|name| name != letter.function.as_str()) {
            return Offered::Taken;
        }
        let Some(place) = self.backlog.enter(size(letter)) else {
            self.missed += 1;
            if self.missed == 1 {
                telemetry::subscriber_slow(self.number);
            }
            return Offered::Missed;
        };
        if self.missed > 0 {
            telemetry::subscriber_caught_up(self.number, self.missed);
            self.missed = 0;
        }
        match self.letters.send((letter.clone(), place)) {
            Ok(()) => Offered::Taken,
            Err(_) => Offered::Gone,
        }
    }
}

impl Subscribers {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            all: Vec::new(),
            count: 0,
        }
    }

    /// Offers a new letter to all subscribers. Returns how many missed it.
    pub(super) fn publish(&mut self, letter: &DeadLetter) -> u64 {
        let mut missed = 0;
        self.all.retain_mut(|subscription| {
            let offered = subscription.offer(letter);
            missed += u64::from(offered == Offered::Missed);
            offered != Offered::Gone
        });
        missed
    }

    /// Returns whether any subscriber is behind and takes letters.
    pub(super) fn are_catching_up(&mut self) -> bool {
        let catching_up = self.all.iter_mut().map(Subscription::is_catching_up);
        catching_up.fold(false, std::ops::BitOr::bitor)
    }

    fn end(&mut self, recipient: &Recipient<DeadLetter>) -> bool {
        let before = self.all.len();
        self.all
            .retain(|subscription| match &subscription.subscriber {
                Subscriber::Actor(actor) if actor == recipient => {
                    subscription.forwarding.abort();
                    false
                }
                _ => true,
            });
        self.all.len() < before
    }
}

impl DeadLetterQueue {
    pub(super) fn subscribe(&mut self, subscribe: Subscribe, ctx: &mut Context<Self>) {
        let Subscribe {
            subscriber,
            function,
            existing,
            backlog_max: (letters_max, bytes_max),
        } = subscribe;
        let filter = function
            .clone()
            .map_or_else(Filter::new, |name| Filter::new().function(name));
        // Held letters count as existing: they were published before.
        let range = self.letters.arrived();
        let existing = existing.then(|| Existing { filter, range });
        let (sender, letters) = mpsc::unbounded_channel();
        // Subscribers that are gone are removed before the list grows.
        if self.subscribers.all.len() == self.subscribers.all.capacity() {
            self.subscribers.all.retain(Subscription::is_there);
        }
        self.subscribers.count += 1;
        let forwarder = Forwarder {
            subscriber: subscriber.clone(),
            number: self.subscribers.count,
            pool: self.subscribers.pool.clone(),
            home: Cell::new(Home::Shared),
            queue: ctx.address().downgrade(),
        };
        self.subscribers.all.push(Subscription {
            subscriber,
            function,
            number: self.subscribers.count,
            backlog: Capacity::new(letters_max, bytes_max),
            missed: 0,
            taken: 0,
            letters: sender,
            forwarding: actix_rt::spawn(forwarder.forward(existing, letters)),
        });
    }
}

impl Handler<Subscribe> for DeadLetterQueue {
    type Result = ();

    fn handle(&mut self, subscribe: Subscribe, ctx: &mut Self::Context) {
        self.budget.spend(0, ctx);
        self.subscribe(subscribe, ctx);
    }
}

impl Handler<Unsubscribe> for DeadLetterQueue {
    type Result = bool;

    fn handle(&mut self, Unsubscribe(recipient): Unsubscribe, ctx: &mut Self::Context) -> bool {
        self.budget.spend(0, ctx);
        self.subscribers.end(&recipient)
    }
}
