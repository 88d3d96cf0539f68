//! The task behind a subscription: passes letters on to one subscriber at its own pace.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use actix::WeakAddr;
use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};

use super::DeadLetterQueue;
use super::filter::Filter;
use super::letter_index::PlaceRange;
use super::subscription::{Closure, Subscriber};
use crate::actor::arbiter_pool::{Home, Pool};
use crate::base::capacity::Permit;
use crate::base::panic;
use crate::event::dead_letter::DeadLetter;
use crate::telemetry;

/// Asks the queue for some letters of a range, kept or held. The reply is the letters, and after which place the next piece
/// begins.
#[derive(Clone, Message)]
#[rtype(result = "(Vec<DeadLetter>, Option<u64>)")]
pub(super) struct Existing {
    pub(super) filter: Filter,
    pub(super) range: PlaceRange,
}

impl Handler<Existing> for DeadLetterQueue {
    type Result = MessageResult<Existing>;

    fn handle(&mut self, existing: Existing, ctx: &mut Self::Context) -> Self::Result {
        let (letters, scan) = self.letters.some(&existing.filter, existing.range);
        self.budget.spend(scan.checks, ctx);
        MessageResult((letters, scan.next))
    }
}

/// Passes letters on in order, no faster than the subscriber takes them.
pub(super) struct Forwarder {
    pub(super) subscriber: Subscriber,
    pub(super) number: u64,
    pub(super) pool: Arc<Pool>,
    /// Where a closure runs.
    pub(super) home: Cell<Home>,
    pub(super) queue: WeakAddr<DeadLetterQueue>,
}

impl Forwarder {
    /// Forwards letters, the existing ones first, until the subscription ends or the subscriber is gone.
    pub(super) async fn forward(
        self,
        existing: Option<Existing>,
        letters: mpsc::UnboundedReceiver<(DeadLetter, Permit)>,
    ) {
        if self.forward_all(existing, letters).await.is_none() {
            telemetry::subscriber_gone(self.number);
        }
    }

    /// Returns `None` if the subscriber is gone.
    async fn forward_all(
        &self,
        existing: Option<Existing>,
        mut letters: mpsc::UnboundedReceiver<(DeadLetter, Permit)>,
    ) -> Option<()> {
        let mut piece = existing;
        while let Some(mut existing) = piece.take() {
            // Without a queue, no letter will come.
            let Some(queue) = self.queue.upgrade() else {
                return Some(());
            };
            let Ok((some, next)) = queue.send(existing.clone()).await else {
                return Some(());
            };
            drop(queue);
            for letter in some {
                self.pass(letter).await?;
            }
            piece = next.map(|after| {
                existing.range.after = after;
                existing
            });
        }
        while let Some((letter, place)) = letters.recv().await {
            self.pass(letter).await?;
            drop(place);
        }
        Some(())
    }

    async fn pass(&self, letter: DeadLetter) -> Option<()> {
        match &self.subscriber {
            Subscriber::Actor(recipient) => match recipient.try_send(letter) {
                Ok(()) => Some(()),
                // Waiting for the reply waits for room.
                Err(SendError::Full(letter)) => recipient.send(letter).await.ok(),
                Err(SendError::Closed(_)) => None,
            },
            Subscriber::Closure(closure) => {
                self.run(closure.clone(), letter).await;
                Some(())
            }
        }
    }

    /// Runs the closure on an arbiter of the pool, under the watch; on a dedicated one once it has held its thread.
    async fn run(&self, closure: Closure, letter: DeadLetter) {
        let placement = loop {
            match self.pool.place(NO_FUNCTION, self.home.get()) {
                Ok(placement) => break placement,
                // The letter waits until a thread is available.
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
        // An arbiter that is gone drops the call, which counts as made.
        if ran.await == Ok(true) {
            self.home.set(Home::Dedicated(1));
        }
    }
}

/// Stands for the function in the watch: the closure belongs to none.
const NO_FUNCTION: u32 = u32::MAX;

/// How long until the next try, where no thread was available for a letter.
const NO_THREAD_RETRY: Duration = Duration::from_millis(100);
