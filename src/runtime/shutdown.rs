//! The end of a runtime: running events may finish within a grace period, and a report names the unfinished ones.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select};

use super::Parts;
use crate::actor::dead_letters::HandOver;
use crate::admission::shutdown_gate::DoorState;
use crate::event::dead_letter::DeadLetter;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::mailbox::Mailbox;
use crate::mailbox::lifecycle::Drain;
use crate::store::KnownState;

/// Events of the overflow that the report of a shutdown names.
const OVERFLOW_NAMED_MAX: usize = 10_000;
/// How long a shutdown waits for workers to go, and for the store to name its events.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// How a runtime ends: its grace period, and what may still run.
#[derive(Clone, Debug)]
pub struct Shutdown {
    pub(super) grace: Duration,
    drain: Drain,
}

impl Shutdown {
    /// Waits for the events that run, for at most `grace`. The waiting ones are left, and named in the [`ShutdownReport`].
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            drain: Drain::InFlight,
        }
    }

    /// Runs ready events too, as long as the grace period lasts. Delayed events are left.
    pub fn drain_mailboxes(mut self) -> Self {
        self.drain = Drain::Ready;
        self
    }
}

impl From<Duration> for Shutdown {
    fn from(grace: Duration) -> Self {
        Self::new(grace)
    }
}

/// The events and dead letters that a runtime left.
#[derive(Debug, Default)]
#[must_use = "it names the events that did not finish"]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The events that neither finished nor are among the letters: all events in memory, and up to 10,000 of those that only
    /// the store has ([`Function::window`](crate::Function::window)). Without a store they are lost, unless the application
    /// keeps them. With a store the next process runs them.
    pub unfinished: Vec<Unfinished>,
    /// How many events did not finish in all. [`Client::events`](crate::Client::events) pages through those that aren't
    /// named, with a client of this runtime or of the next process.
    pub unfinished_count: u64,
    /// The letters that were in the dead-letter queue.
    pub dead_letters: Vec<DeadLetter>,
}

/// An event that did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// Its function.
    pub function: FunctionName,
    /// Its request id.
    pub request_id: RequestId,
    /// How many of its attempts began.
    pub attempts: u32,
    /// Whether it ran and was stopped.
    pub running: bool,
}

impl Parts {
    pub(super) async fn shutdown(&self, shutdown: Shutdown) -> ShutdownReport {
        let admission = &self.entrance.admission;
        admission.close(DoorState::ShuttingDown);
        let mailboxes = admission.registry.all();
        self.drain(&mailboxes, shutdown).await;
        admission.end();
        give_up_workers(&mailboxes).await;
        let dead_letters = self.entrance.dead_letters.send(HandOver);
        let dead_letters = dead_letters.await.unwrap_or_default();
        // From here on no event ends: the report stays true.
        let letters: HashSet<_> = dead_letters
            .iter()
            .map(|letter| letter.request_id)
            .collect();
        let (mut unfinished, overflow) = unfinished(&mailboxes);
        // An event that a full queue held back, or that a removed function just gave up, is reported as a dead letter only.
        unfinished.retain(|event| !letters.contains(&event.request_id));
        let unfinished_count = unfinished.len() as u64 + overflow;
        let naming = self.name_overflow(&mailboxes, &mut unfinished);
        let _ = tokio::time::timeout(WAIT_MAX, naming).await;
        admission.store.close().await;
        self.stop();
        ShutdownReport {
            unfinished,
            unfinished_count,
            dead_letters,
        }
    }

    /// Waits for running events to finish, with `Drain::Ready` for ready ones too, until the grace period is over or `hurry`
    /// ends it.
    async fn drain(&self, mailboxes: &[Arc<Mailbox>], shutdown: Shutdown) {
        if shutdown.drain == Drain::InFlight {
            mailboxes
                .iter()
                .for_each(|mailbox| mailbox.lifecycle().halt());
        }
        let drained = mailboxes
            .iter()
            .map(|mailbox| mailbox.lifecycle().drained(shutdown.drain));
        let grace = tokio::time::timeout(shutdown.grace, join_all(drained));
        // Either may end it.
        let _ = select(std::pin::pin!(grace), std::pin::pin!(self.hurry.notified())).await;
        mailboxes
            .iter()
            .for_each(|mailbox| mailbox.lifecycle().halt());
    }

    /// Returns the report of a runtime whose own thread is gone: the `System` on it was stopped from elsewhere.
    pub(super) fn lost(&self) -> ShutdownReport {
        let admission = &self.entrance.admission;
        admission.end();
        let (unfinished, overflow) = unfinished(&admission.registry.all());
        let unfinished_count = unfinished.len() as u64 + overflow;
        admission.store.begin_close();
        self.stop();
        ShutdownReport {
            unfinished,
            unfinished_count,
            ..ShutdownReport::default()
        }
    }

    /// Adds events that only the store has, up to a bound.
    async fn name_overflow(&self, mailboxes: &[Arc<Mailbox>], unfinished: &mut Vec<Unfinished>) {
        let mut room = OVERFLOW_NAMED_MAX;
        for mailbox in mailboxes {
            let mut after = Some(0).filter(|_| mailbox.storage().has_overflow());
            while let Some(place) = after.filter(|_| room > 0) {
                let page = self
                    .entrance
                    .admission
                    .store
                    .overflow(mailbox, place, room.min(1_000))
                    .await;
                room = room.saturating_sub(page.events.len());
                unfinished.extend(page.events.into_iter().map(|known| Unfinished {
                    function: mailbox.name().clone(),
                    request_id: known.request_id,
                    attempts: match known.state {
                        KnownState::Pending { attempts, .. } => attempts,
                        _ => 0,
                    },
                    running: false,
                }));
                after = page.next;
            }
        }
    }
}

/// Stops all workers and waits a moment until they have gone and the appends under way have ended. A handler that blocks its
/// thread can't be stopped and is not waited for.
async fn give_up_workers(mailboxes: &[Arc<Mailbox>]) {
    mailboxes
        .iter()
        .for_each(|mailbox| mailbox.lifecycle().retire(true));
    let drains = [Drain::Workers, Drain::Storage];
    let gone = mailboxes
        .iter()
        .flat_map(|mailbox| drains.map(|drain| mailbox.lifecycle().drained(drain)));
    let _ = tokio::time::timeout(WAIT_MAX, join_all(gone)).await;
}

/// Returns the events in memory that did not finish, and how many there are in the overflow.
fn unfinished(mailboxes: &[Arc<Mailbox>]) -> (Vec<Unfinished>, u64) {
    let in_memory = mailboxes.iter().flat_map(|mailbox| give_up(mailbox));
    let in_memory = in_memory.collect();
    let overflow = mailboxes
        .iter()
        .map(|mailbox| mailbox.storage().overflow_events());
    (in_memory, overflow.sum())
}

/// Gives up a mailbox, and returns its events that did not finish.
fn give_up(mailbox: &Mailbox) -> Vec<Unfinished> {
    let ran = mailbox.lifecycle().abandon_attempts();
    let mut all = Vec::new();
    let mut from = Some(0);
    while let Some(cursor) = from {
        let (snapshots, next) = mailbox
            .inspect()
            .list(cursor, 10_000, |event| !event.phase.is_finished());
        all.extend(snapshots.into_iter().map(|event| Unfinished {
            function: mailbox.name().clone(),
            request_id: event.id,
            attempts: event.attempt,
            running: ran.contains(&event.id),
        }));
        from = next;
    }
    all
}
