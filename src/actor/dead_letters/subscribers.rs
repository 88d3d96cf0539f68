//! Who hears of dead letters: actors, and closures. Each has a task that hands letters on at the subscriber's own pace.

use std::cell::Cell;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use actix::WeakAddr;
use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::DeadLetterQueue;
use super::kept::{LOOKS_MAX, Span, size};
use super::query::Filter;
use crate::actor::arbiter_pool::{Home, Pool};
use crate::base::capacity::{Capacity, Permit};
use crate::base::panic::{self, Caged};
use crate::event::dead_letter::DeadLetter;
use crate::telemetry;

/// Has dead letters sent to an actor or a closure, each once and in order: every one that comes from now on, and with
/// [`with_existing`](Self::with_existing) those before that are in the queue now. Answers once the subscription holds.
///
/// The queue forwards at the subscriber's pace, and slows down for a moment for one that is behind and goes on taking
/// letters; beyond that a slow one slows nobody. What it has not taken yet waits in its
/// [backlog](Self::backlog_max): a letter for which that has no room passes the subscriber by, which is logged and counted in
/// `DeadLetterErrors`. The queue has the letter all the same. An actor that is gone is dropped, with a log line.
///
/// Letters may come before the application can subscribe, from the first moment that the runtime runs:
/// [`Builder::on_dead_letter`](crate::Builder::on_dead_letter) subscribes before that.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Subscribe {
    subscriber: Subscriber,
    function: Option<String>,
    existing: bool,
    /// Letters and bytes.
    backlog_max: (usize, u64),
}

#[derive(Clone)]
enum Subscriber {
    Actor(Recipient<DeadLetter>),
    Closure(Closure),
}

/// The user's, and so is what it holds.
type Closure = Arc<Caged<Box<dyn Fn(DeadLetter) + Send + Sync>>>;

impl Subscribe {
    /// All dead letters, for an actor.
    pub fn new(recipient: Recipient<DeadLetter>) -> Self {
        Self::of(Subscriber::Actor(recipient))
    }

    /// All dead letters, for a closure. It runs on one of the arbiters that functions run on, once for each letter and
    /// for one letter at a time, so it should neither block nor compute for long; it may spawn a task there. That it
    /// panics is logged, and the next letter is handed to it all the same. Once it has held its thread for a millisecond, it runs
    /// on an arbiter of its own.
    pub fn calling(closure: impl Fn(DeadLetter) + Send + Sync + 'static) -> Self {
        Self::of(Subscriber::Closure(Arc::new(Caged::new(Box::new(closure)))))
    }

    fn of(subscriber: Subscriber) -> Self {
        Self {
            subscriber,
            function: None,
            existing: false,
            backlog_max: (100_000, 64 << 20),
        }
    }

    /// Only those of one function.
    pub fn function(mut self, name: impl Into<String>) -> Self {
        self.function = Some(name.into());
        self
    }

    /// How many letters may wait for the subscriber, and with how many bytes of payloads and error texts, beside those in
    /// its actor's mailbox; 100,000 letters and 64 MiB unless set. Where none waits, one always may. Letters that
    /// [`with_existing`](Self::with_existing) asks for wait in the queue and don't count.
    pub fn backlog_max(mut self, letters: usize, bytes: u64) -> Self {
        self.backlog_max = (letters, bytes);
        self
    }

    /// Those too that are in the queue when the subscription begins, before all that come later. One that is purged,
    /// dropped or redriven before its turn is not sent.
    pub fn with_existing(mut self) -> Self {
        self.existing = true;
        self
    }
}

impl From<Recipient<DeadLetter>> for Subscribe {
    fn from(recipient: Recipient<DeadLetter>) -> Self {
        Self::new(recipient)
    }
}

impl<F: Fn(DeadLetter) + Send + Sync + 'static> From<F> for Subscribe {
    fn from(closure: F) -> Self {
        Self::calling(closure)
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("function", &self.function)
            .field("existing", &self.existing)
            .finish_non_exhaustive()
    }
}

/// Ends all subscriptions of an actor: once it is answered no letter is sent there any more, nor are those that wait for a
/// slow subscriber. Answers whether there was one.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Unsubscribe(pub Recipient<DeadLetter>);

impl fmt::Debug for Unsubscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsubscribe")
    }
}

pub(super) struct Subscribers {
    /// Where closures run.
    pool: Arc<Pool>,
    all: Vec<Subscription>,
    /// So many there have been.
    count: u64,
}

struct Subscription {
    subscriber: Subscriber,
    function: Option<String>,
    /// To the task that forwards to it, so that a slow one slows nobody.
    letters: mpsc::UnboundedSender<(DeadLetter, Permit)>,
    forwarding: JoinHandle<()>,
    number: u64,
    backlog: Arc<Capacity>,
    /// Letters in a row that passed it by.
    missed: u64,
    /// How many it had taken when it was last looked at.
    taken: usize,
}

/// What became of a letter, as far as one subscriber is concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offered {
    /// It is on its way, or is none of its.
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

    /// Is it behind, and busy taking what waits for it? Then a moment's patience spares it letters.
    fn is_catching_up(&mut self) -> bool {
        let taken = self.backlog.left();
        let busy = std::mem::replace(&mut self.taken, taken) != taken;
        busy && self.backlog.is_half_full()
    }

    /// Has the letter forwarded, if it is wanted and there is room.
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

    /// Sends a letter that comes to those who want it. Answers how many had no room for it.
    pub(super) fn publish(&mut self, letter: &DeadLetter) -> u64 {
        let mut missed = 0;
        self.all.retain_mut(|subscription| {
            let offered = subscription.offer(letter);
            missed += u64::from(offered == Offered::Missed);
            offered != Offered::Gone
        });
        missed
    }

    /// Is any behind, and busy taking what waits for it?
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
        // Those that are held were published: whoever subscribes now hears of them as of letters that are here.
        let span = Span {
            after: 0,
            until: self.arrivals,
        };
        let existing = existing.then(|| Existing { filter, span });
        let (sender, letters) = mpsc::unbounded_channel();
        // Those who have gone make room before the list grows.
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

/// Asks for letters of the span that are in the queue, or held for want of room: some of them, and after which place the
/// next piece begins.
#[derive(Clone, Message)]
#[rtype(result = "(Vec<DeadLetter>, Option<u64>)")]
struct Existing {
    filter: Filter,
    span: Span,
}

impl Handler<Existing> for DeadLetterQueue {
    type Result = MessageResult<Existing>;

    fn handle(&mut self, existing: Existing, ctx: &mut Self::Context) -> Self::Result {
        let Existing { filter, span } = existing;
        let mut letters = Vec::new();
        let looked = self.kept.look(&filter, span, |_, letter| {
            letters.push(letter.clone());
            ControlFlow::Continue(())
        });
        self.budget.spend(looked.looks, ctx);
        if looked.next.is_some() {
            return MessageResult((letters, looked.next));
        }
        // What is held came after all that is kept.
        let first = self.held.partition_point(|&(place, _)| place <= span.after);
        let held = self.held.range(first..);
        let mut held = held.take_while(|&&(place, _)| place <= span.until);
        let mut last = span.after;
        for (place, bury) in held.by_ref().take(LOOKS_MAX) {
            last = *place;
            letters.extend(filter.matches(&bury.letter).then(|| bury.letter.clone()));
        }
        let more = held.next().is_some();
        MessageResult((letters, more.then_some(last)))
    }
}

/// Hands letters on in order, no faster than the subscriber takes them.
struct Forwarder {
    subscriber: Subscriber,
    number: u64,
    pool: Arc<Pool>,
    /// Where a closure runs.
    home: Cell<Home>,
    queue: WeakAddr<DeadLetterQueue>,
}

impl Forwarder {
    async fn forward(
        self,
        existing: Option<Existing>,
        letters: mpsc::UnboundedReceiver<(DeadLetter, Permit)>,
    ) {
        if self.forward_all(existing, letters).await.is_none() {
            telemetry::subscriber_gone(self.number);
        }
    }

    /// Answers `None` if the subscriber is gone.
    async fn forward_all(
        &self,
        existing: Option<Existing>,
        mut letters: mpsc::UnboundedReceiver<(DeadLetter, Permit)>,
    ) -> Option<()> {
        let mut piece = existing;
        while let Some(mut existing) = piece.take() {
            // Without a queue there are no letters, and none will come.
            let Some(queue) = self.queue.upgrade() else {
                return Some(());
            };
            let Ok((some, next)) = queue.send(existing.clone()).await else {
                return Some(());
            };
            drop(queue);
            for letter in some {
                self.hand(letter).await?;
            }
            piece = next.map(|after| {
                existing.span.after = after;
                existing
            });
        }
        while let Some((letter, place)) = letters.recv().await {
            self.hand(letter).await?;
            drop(place);
        }
        Some(())
    }

    async fn hand(&self, letter: DeadLetter) -> Option<()> {
        match &self.subscriber {
            Subscriber::Actor(recipient) => match recipient.try_send(letter) {
                Ok(()) => Some(()),
                // Waiting for the answer is waiting for room.
                Err(SendError::Full(letter)) => recipient.send(letter).await.ok(),
                Err(SendError::Closed(_)) => None,
            },
            Subscriber::Closure(closure) => {
                self.run(closure.clone(), letter).await;
                Some(())
            }
        }
    }

    /// Runs the closure where user code runs, and watched as such: on an arbiter of its own once it has held its thread.
    async fn run(&self, closure: Closure, letter: DeadLetter) {
        let placement = loop {
            match self.pool.place(NO_FUNCTION, self.home.get()) {
                Ok(placement) => break placement,
                // The letter waits until there is a thread for it.
                Err(_) => tokio::time::sleep(NO_THREAD_RETRY).await,
            }
        };
        let (done, ran) = oneshot::channel();
        let number = self.number;
        placement.arbiter().spawn_fn(move || {
            let guarded = || panic::catch(|| closure(letter));
            let (result, held) = placement.watched(NO_FUNCTION, guarded);
            if let Err(panicked) = result {
                telemetry::subscriber_panicked(number, &panicked.message);
            }
            let _ = done.send(held.is_some()); // the queue may be gone
        });
        // An arbiter that is gone drops the closure's call, and it counts as made.
        if ran.await == Ok(true) {
            self.home.set(Home::Dedicated(1));
        }
    }
}

/// The number of no function: what a closure does is no function's doing.
const NO_FUNCTION: u32 = u32::MAX;

/// How long until a letter is handed over again for which no thread could be had.
const NO_THREAD_RETRY: Duration = Duration::from_millis(100);
