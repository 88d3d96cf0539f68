//! A worker's place at the mailbox, and its turn: settle the one event, take the next, under one lock.
//!
//! Whatever way the worker ends, dropping the seat gives back what it had. Which place is in what state is for
//! `seats.rs` to know.

use std::sync::Arc;
use std::task::Waker;

use super::{Inner, Mailbox, Wake};
use crate::context::Station;
use crate::event::InvocationType;
use crate::failure::{Condition, Failure, FailureKind};
use crate::notice::{Failed, Notice};
use crate::payload::Payload;
use crate::queue::{Taken, Ticket};
use crate::seats::Asking;
use crate::settings::Settings;
use crate::time::Time;

/// A worker's place at the mailbox. Whatever way the worker ends, dropping the seat gives back what it had.
pub(crate) struct Seat {
    mailbox: Arc<Mailbox>,
    index: u32,
    station: Arc<Station>,
}

/// What a worker does next.
pub(crate) enum Turn {
    /// Run this; `run` is its number among the seat's runs, by which it can be given up.
    Run { taken: Taken, run: u64 },
    /// Nothing to do yet: look again soon.
    Linger,
    /// Nothing to do: it will be woken.
    Idle,
    /// Go away.
    Stop,
}

/// What a worker that finds nothing does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Patience {
    /// It looks again soon: events come fast, and being woken costs more than a look.
    Linger,
    /// It sleeps until it is woken.
    Sleep,
}

/// A run that succeeded.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) ticket: Ticket,
    pub(crate) accepted: Time,
    pub(crate) started: Time,
    pub(crate) result: Option<Payload>,
}

impl Seat {
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(crate) fn station(&self) -> &Arc<Station> {
        &self.station
    }

    /// Says how to wake the worker; must come before its first turn.
    pub(crate) fn wakes(&self, waker: &Waker) {
        let waker = waker.clone();
        self.mailbox.inner.lock().seats.wakes(self.index, waker);
    }

    /// Settles what was done, takes what comes next.
    pub(crate) fn turn(
        &self,
        done: Option<Done>,
        patience: Patience,
        now: Time,
    ) -> (Turn, Option<Payload>) {
        self.mailbox.turn(self.index, done, patience, now)
    }

    /// Settles what was done before anything is taken. Answers whether it still counted.
    pub(crate) fn settle(&self, done: Done, now: Time) -> bool {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.inner.lock();
        inner.seats.end(self.index);
        let (payload, attend) = inner.complete(done, mailbox.settings(), mailbox.name(), now);
        let attend = attend && !std::mem::replace(&mut inner.summoned, true);
        inner.check_drained();
        drop(inner);
        if attend {
            mailbox.tell(Notice::Attend);
        }
        payload.is_some()
    }

    /// Hands a failed attempt to the supervisor.
    pub(crate) fn failed(&self, failed: Failed) {
        let mut inner = self.mailbox.inner.lock();
        // The attempt is the supervisor's from here on, not this seat's.
        inner.seats.end(self.index);
        let crash = failed.failure.kind == FailureKind::Panic;
        let attend = !crash
            && inner.survived(self.mailbox.settings(), self.mailbox.name())
            && !inner.summoned;
        inner.summoned |= attend;
        drop(inner);
        if crash {
            self.mailbox.crashed(&failed.failure, failed.ended);
        }
        self.mailbox.tell(Notice::Failed(Box::new(failed)));
        if attend {
            self.mailbox.tell(Notice::Attend);
        }
    }

    /// The attempt was given up from outside; nothing is to be settled.
    pub(crate) fn aborted(&self) {
        self.mailbox.inner.lock().seats.end(self.index);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.inner.lock();
        let left = inner.seats.leave(self.index);
        let attend = !std::mem::replace(&mut inner.summoned, true);
        inner.check_drained();
        drop(inner);
        if let Some((ticket, started)) = left.run {
            let ended = mailbox.clock.now();
            let failure = Failure::worker_lost();
            if !left.retired {
                mailbox.crashed(&failure, ended);
            }
            mailbox.tell(Notice::Failed(Box::new(Failed {
                ticket,
                failure,
                started,
                ended,
            })));
        }
        if attend {
            mailbox.tell(Notice::Attend);
        }
    }
}

impl Mailbox {
    /// A seat for a new worker on the arbiter with this serial number.
    pub(crate) fn seat(self: &Arc<Self>, station: Arc<Station>, arbiter: u64) -> Seat {
        let index = self.inner.lock().seats.take(station.clone(), arbiter);
        Seat {
            mailbox: self.clone(),
            index,
            station,
        }
    }

    /// Settles what the worker did and hands out what it does next. Answers whether the run that was `done` still
    /// counted, and gives its payload back.
    fn turn(
        &self,
        index: u32,
        done: Option<Done>,
        patience: Patience,
        now: Time,
    ) -> (Turn, Option<Payload>) {
        let settings = self.settings();
        let mut doomed = Vec::new();
        let mut inner = self.inner.lock();
        let (payload, mut attend) = match done {
            Some(done) => inner.complete(done, settings, self.name(), now),
            None => (None, false),
        };
        let turn = inner.next(
            index,
            patience,
            now,
            |inner, ticket| {
                doomed.push((
                    ticket,
                    self.letter(inner, ticket, Condition::EventAgeExceeded, now),
                ))
            },
            settings,
        );
        let mut waker = None;
        match turn.0 {
            Turn::Idle => attend |= inner.wants_timer(),
            // It searched and found: if it leaves work behind, the next one searches.
            Turn::Run { .. }
                if turn.1 && !inner.seats.has_searching() && inner.queue.has_ready() =>
            {
                waker = inner.seats.wake_idle(now)
            }
            _ => {}
        }
        attend &= !inner.summoned;
        inner.summoned |= attend;
        inner.check_drained();
        drop(inner);
        self.wake(Wake { waker, attend });
        if !doomed.is_empty() {
            self.tell(Notice::Doomed(doomed));
        }
        (turn.0, payload)
    }
}

impl Inner {
    /// What the worker does next, and whether it was searching. Events that turn out too old are handed to `too_old`.
    fn next(
        &mut self,
        index: u32,
        patience: Patience,
        now: Time,
        mut too_old: impl FnMut(&Self, Ticket),
        settings: &Settings,
    ) -> (Turn, bool) {
        let Asking { searched, retired } = self.seats.ask(index);
        if retired {
            return (Turn::Stop, searched);
        }
        while let Some(taken) = self.queue.take(now) {
            let age_max = taken.event_age_max.unwrap_or(settings.event_age_max);
            if now.since(taken.accepted) > age_max && taken.kind == InvocationType::Event {
                if let Some(ticket) = self.queue.untake(taken.ticket, now) {
                    too_old(self, ticket);
                }
                continue;
            }
            self.meters.concurrent_executions_max = self
                .meters
                .concurrent_executions_max
                .max(self.queue.executing());
            let run = self.seats.begin(index, taken.ticket, now);
            return (Turn::Run { taken, run }, searched);
        }
        if patience == Patience::Linger {
            self.seats.search(index, now);
            return (Turn::Linger, searched);
        }
        self.seats.wait(index, now);
        (Turn::Idle, searched)
    }
}
