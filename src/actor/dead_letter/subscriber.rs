//! Those who hear of dead letters, each at its own pace and with a bounded backlog.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::mpsc;

use super::{DeadLetterQueue, size};
use crate::backlog::{Backlog, Place};
use crate::failure::DeadLetter;
use crate::telemetry;

/// Has every dead letter from now on sent to an actor, each once and in order.
///
/// The queue forwards at the subscriber's pace, and slows down for a moment for one that is behind and goes on taking
/// letters; beyond that a slow one slows nobody. What it has not taken yet waits in its
/// [backlog](Self::backlog_max): a letter for which that has no room passes the subscriber by, which is logged and counted in
/// `DeadLetterErrors`. The queue has the letter all the same. A subscriber that is gone is dropped, with a log line.
/// Answers once the subscription holds.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Subscribe {
    recipient: Recipient<DeadLetter>,
    function: Option<String>,
    /// Letters and bytes.
    backlog_max: (usize, u64),
}

impl Subscribe {
    /// All dead letters.
    pub fn new(recipient: Recipient<DeadLetter>) -> Self {
        Self {
            recipient,
            function: None,
            backlog_max: (100_000, 64 << 20),
        }
    }

    /// Only those of one function.
    pub fn function(mut self, name: impl Into<String>) -> Self {
        self.function = Some(name.into());
        self
    }

    /// How many letters may wait for the subscriber, and with how many bytes of payloads and error texts, beside those in
    /// its actor's mailbox; 100,000 letters and 64 MiB unless set. Where none waits, one always may.
    pub fn backlog_max(mut self, letters: usize, bytes: u64) -> Self {
        self.backlog_max = (letters, bytes);
        self
    }
}

impl std::fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscribe")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

impl Handler<Subscribe> for DeadLetterQueue {
    type Result = ();

    fn handle(&mut self, subscribe: Subscribe, _: &mut Self::Context) {
        // Those who have gone make room before the list grows.
        if self.subscribers.len() == self.subscribers.capacity() {
            self.subscribers.retain(Subscriber::is_there);
        }
        self.subscriptions += 1;
        let subscriber = Subscriber::start(subscribe, self.subscriptions);
        self.subscribers.push(subscriber);
    }
}

pub(super) struct Subscriber {
    number: u64,
    function: Option<String>,
    recipient: Recipient<DeadLetter>,
    /// To the task that forwards to it, so that a slow one slows nobody.
    letters: mpsc::UnboundedSender<(DeadLetter, Place)>,
    backlog: Arc<Backlog>,
    /// Letters in a row that passed it by.
    missed: u64,
    /// How many it had taken when it was last looked at.
    taken: usize,
}

/// What became of a letter, as far as one subscriber is concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is on its way, or is none of its.
    Taken,
    /// There was no room for it.
    Missed,
    /// The subscriber is gone.
    Gone,
}

impl Subscriber {
    fn start(subscribe: Subscribe, number: u64) -> Self {
        let (sender, letters) = mpsc::unbounded_channel();
        let Subscribe {
            recipient,
            function,
            backlog_max: (letters_max, bytes_max),
        } = subscribe;
        actix_rt::spawn(forward(letters, recipient.clone(), number));
        Self {
            number,
            function,
            recipient,
            letters: sender,
            backlog: Backlog::new(letters_max, bytes_max),
            missed: 0,
            taken: 0,
        }
    }

    fn is_there(&self) -> bool {
        self.recipient.connected() && !self.letters.is_closed()
    }

    /// Is it behind, and busy taking what waits for it? Then a moment's patience spares it letters.
    pub(super) fn is_catching_up(&mut self) -> bool {
        let taken = self.backlog.left();
        let busy = std::mem::replace(&mut self.taken, taken) != taken;
        busy && self.backlog.is_half_full()
    }

    /// Has the letter forwarded, if it is wanted and there is room.
    pub(super) fn offer(&mut self, letter: &DeadLetter) -> Offered {
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

/// Hands letters on in order, no faster than the subscriber takes them.
async fn forward(
    mut letters: mpsc::UnboundedReceiver<(DeadLetter, Place)>,
    recipient: Recipient<DeadLetter>,
    subscriber: u64,
) {
    while let Some((letter, place)) = letters.recv().await {
        let sent = match recipient.try_send(letter) {
            Ok(()) => true,
            // Waiting for the answer is waiting for room.
            Err(SendError::Full(letter)) => recipient.send(letter).await.is_ok(),
            Err(SendError::Closed(_)) => false,
        };
        drop(place);
        if !sent {
            telemetry::subscriber_gone(subscriber);
            return;
        }
    }
}
