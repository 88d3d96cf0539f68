//! Subscriptions to dead letters: the requests that begin and end one.

use std::fmt;
use std::sync::Arc;

use actix::prelude::*;

use crate::base::panic::Caged;
use crate::event::dead_letter::DeadLetter;

/// Subscribes an actor or a closure to dead letters. It gets each letter once and in order: all that come from now on, and
/// with [`with_existing`](Self::with_existing) first those that are in the queue now. The reply comes when the subscription
/// holds.
///
/// The queue forwards at the subscriber's pace. It waits a moment for a subscriber that is behind and goes on taking
/// letters; apart from that, a slow subscriber delays no other. Letters that it has not taken yet wait in its
/// [backlog](Self::backlog_max). A subscriber whose backlog is full misses the letter, which is logged and counted in
/// `DeadLetterErrors`; the queue keeps the letter all the same. An actor that is gone is removed, with a log line.
///
/// Letters may come before the application can subscribe, from the first moment that the runtime runs:
/// [`Builder::on_dead_letter`](crate::Builder::on_dead_letter) subscribes before that.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Subscribe {
    pub(super) subscriber: Subscriber,
    pub(super) function: Option<String>,
    pub(super) existing: bool,
    /// Letters and bytes.
    pub(super) backlog_max: (usize, u64),
}

/// Where letters go.
#[derive(Clone)]
pub(super) enum Subscriber {
    Actor(Recipient<DeadLetter>),
    Closure(Closure),
}

/// User code, and so are the values that it holds.
pub(super) type Closure = Arc<Caged<Box<dyn Fn(DeadLetter) + Send + Sync>>>;

impl Subscribe {
    /// All dead letters, for an actor.
    pub fn new(recipient: Recipient<DeadLetter>) -> Self {
        Self::of(Subscriber::Actor(recipient))
    }

    /// All dead letters, for a closure. It runs on one of the arbiters that functions run on, once for each letter and
    /// for one letter at a time, so it should neither block nor compute for long; it may spawn a task there. A panic is
    /// logged, and the closure still gets the next letter. Once it has held its thread for a millisecond, it runs on a
    /// dedicated arbiter.
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

    /// Only the letters of one function.
    pub fn function(mut self, name: impl Into<String>) -> Self {
        self.function = Some(name.into());
        self
    }

    /// How many letters may wait for the subscriber, and with how many bytes of payloads and error texts, beside those in
    /// its actor's mailbox; 100,000 letters and 64 MiB unless set. One letter may always wait. Letters that
    /// [`with_existing`](Self::with_existing) asks for wait in the queue and don't count.
    pub fn backlog_max(mut self, letters: usize, bytes: u64) -> Self {
        self.backlog_max = (letters, bytes);
        self
    }

    /// Also the letters that are in the queue when the subscription begins, before all later ones. A letter that is purged,
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

/// Ends all subscriptions of an actor: after the reply no letter is sent there, nor are letters that wait for a slow
/// subscriber. The reply is whether there was a subscription.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Unsubscribe(pub Recipient<DeadLetter>);

impl fmt::Debug for Unsubscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsubscribe")
    }
}
