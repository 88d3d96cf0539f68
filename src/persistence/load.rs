//! What comes back from the store: the backlog of a function that is registered, and parked events as there is room.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::crash_marks::Lane;
use crate::admission::{Admission, Stored};
use crate::base::clock::Clock;
use crate::base::panic;
use crate::base::time::Time;
use crate::error::StoreError;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::function::retry::{self, AfterDeaths};
use crate::idempotency::{Completed, Digest, Key, Owner};
use crate::mailbox::Mailbox;
use crate::queue::entry::{Entry, Returning, Side};
use crate::store::{
    Backlog, EventStore, Execution, Fetch, Fetched, Health, Known, KnownPage, Letters, Reply,
    Retained, Settlement, StoredEvent,
};
use crate::telemetry;

/// Bytes of payloads that are fetched at once.
const FETCH_BYTES_MAX: u64 = 32 << 20;
/// When to try again after a fetch that failed.
const FETCH_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

impl Admission {
    /// The function has what waits for it in the store.
    pub(crate) fn inherit(&self, mailbox: &Mailbox) {
        let Some(Stored { store, .. }) = &self.store else {
            return;
        };
        let settings = mailbox.settings();
        let retention = &settings.retention;
        let retained = Retained::new(retention.events_max, retention.bytes_max, retention.age_max)
            .keys_max(settings.deduplication_keys_max);
        match panic::catch(|| store.open(mailbox.name(), retained)) {
            Ok(Backlog {
                ready,
                delayed,
                bytes,
                next_due,
            }) => {
                mailbox.inherit_overflow(ready, delayed, bytes, next_due.map(Time::of));
            }
            Err(panicked) => telemetry::store_panicked(&panicked.message),
        }
    }

    /// The function has from now on what is kept under its former names.
    pub(crate) fn take_over(&self, former: &[FunctionName], name: &FunctionName) {
        for former in former {
            if let Some(Stored { store, .. }) = &self.store
                && let Err(panicked) = panic::catch(|| store.rename(former, name))
            {
                telemetry::store_panicked(&panicked.message);
            }
            self.move_configuration(former, name);
        }
    }

    /// Has the store keep the results of executions, and takes back what it kept.
    pub(crate) async fn remember_executions(&self) {
        let Some(Stored { store, refused, .. }) = &self.store else {
            return;
        };
        let kept = self.ask(|store, reply| store.executions(reply)).await;
        let kept = kept.unwrap_or_default().into_iter();
        let kept = kept.filter(|it| !is_signature(it)).map(|execution| {
            let function = self.heir(execution.function.clone());
            completed(Execution {
                function,
                ..execution
            })
        });
        let (store, refused, clock) = (store.clone(), refused.clone(), self.clock.clone());
        let keep = move |completed| {
            let execution = execution(completed);
            let id = execution.request_id;
            let problem = match panic::catch(|| store.remember(execution)) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(panicked) => panicked.message,
            };
            telemetry::settle_failed(&refused.settlements, clock.now(), None, id, &problem);
        };
        self.claims.keep(kept.collect(), Box::new(keep));
    }

    /// Says in the log for which functions events wait that nobody will run.
    pub(crate) fn name_the_unregistered(&self) {
        for (function, events) in self.unregistered() {
            telemetry::backlog_unregistered(&function, events);
        }
    }

    /// The functions that events wait for in the store though they aren't registered, and how many.
    pub(crate) fn unregistered(&self) -> Vec<(FunctionName, u64)> {
        let Some(Stored { store, .. }) = &self.store else {
            return Vec::new();
        };
        let mut waiting = panic::catch(|| store.waiting()).unwrap_or_default();
        waiting.retain(|(function, _)| {
            let heir = self.heir(function.clone());
            !self.knows(heir.as_str())
        });
        if !waiting.is_empty() {
            // One that is being removed is not known any more, and has its events still.
            let mailboxes = self.mailboxes();
            let names: HashSet<_> = mailboxes.iter().map(|mailbox| mailbox.name()).collect();
            waiting.retain(|(function, _)| !names.contains(function));
        }
        waiting
    }

    /// How the store fares, if there is one.
    pub(crate) fn store_health(&self) -> Option<Health> {
        let store = &self.store.as_ref()?.store;
        let health = panic::catch(|| store.health());
        Some(health.unwrap_or_else(|panicked| Health::Failed(panicked.message)))
    }

    /// A lane for a worker.
    pub(crate) fn lane(&self) -> Option<Lane> {
        let stored = self.store.as_ref()?;
        Some(stored.lanes.take(stored.store.clone(), stored.deaths_max))
    }

    /// Leaves events to the store, until there is room for them.
    pub(crate) fn park(&self, mailbox: &Mailbox, events: &[(RequestId, Time)]) {
        let Some(Stored { store, .. }) = &self.store else {
            return;
        };
        for (id, due) in events {
            if let Err(panicked) = panic::catch(|| store.spill(*id, due.stored())) {
                telemetry::store_panicked(&panicked.message);
            }
        }
        // Only now: what was asked for before the store has heard of them would not bring them.
        if let Some(due) = events.iter().map(|(_, due)| *due).min() {
            mailbox.spilled(due);
        }
    }

    /// Fetches parked events that are due.
    pub(crate) fn fetch(self: &Arc<Self>, mailbox: &Arc<Mailbox>) {
        let Some(Stored {
            store, deaths_max, ..
        }) = &self.store
        else {
            return;
        };
        let (events_max, until) = mailbox.load_request();
        let fetch = Fetch {
            function: mailbox.name().clone(),
            until: until.stored(),
            events_max,
            bytes_max: FETCH_BYTES_MAX,
        };
        let (admission, mailbox, deaths_max) = (self.clone(), mailbox.clone(), *deaths_max);
        let reply = Reply::new(move |fetched| admission.restock(&mailbox, fetched, deaths_max));
        if let Err(panicked) = panic::catch(|| store.fetch(fetch, reply)) {
            telemetry::store_panicked(&panicked.message);
        }
    }

    fn restock(&self, mailbox: &Mailbox, fetched: Result<Fetched, StoreError>, deaths_max: u32) {
        let now = self.clock.now();
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                mailbox.meter(|meters| meters.store_errors += 1);
                telemetry::fetch_failed(mailbox.name(), &error.to_string());
                return mailbox.load(Vec::new(), Some(now.after(FETCH_AGAIN)), now);
            }
        };
        for (id, error) in &fetched.unreadable {
            mailbox.meter(|meters| meters.store_errors += 1);
            telemetry::event_unreadable(mailbox.name(), *id, &error.to_string());
        }
        let returning = fetched
            .events
            .into_iter()
            .map(|event| returning(event, deaths_max, &self.clock));
        mailbox.load(returning.collect(), fetched.next_due.map(Time::of), now);
    }

    /// Asks the store something, and waits for the answer. That there is none is logged, unless the runtime has ended.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn EventStore, Reply<T>),
    ) -> Option<T> {
        let answer = ask(self.store.as_ref()?, question).await;
        answer
            .inspect_err(|error| {
                if !self.has_ended() {
                    telemetry::store_query_failed(&error.to_string());
                }
            })
            .ok()
    }

    /// Ends a parked event. Answers whether it was parked.
    pub(crate) async fn cancel_parked(&self, id: RequestId) -> bool {
        let event = self.ask(|store, reply| store.fetch_one(id, reply)).await;
        let Some(event) = event.flatten() else {
            return false;
        };
        let (accepted_at, due) = (event.accepted_at, Time::of(event.due_at));
        let mailbox = self.mailbox(self.heir(event.function.clone()).as_str());
        let settlement = Settlement::Cancelled { accepted_at };
        let settle = || self.settle_stored(mailbox.as_deref(), id, settlement);
        let kept = self.before_end(settle).unwrap_or(false);
        match &mailbox {
            Some(mailbox) if kept => {
                mailbox.cancel_loaded(returning(event, u32::MAX, &self.clock), id);
            }
            Some(mailbox) => self.park(mailbox, &[(id, due)]),
            None => {}
        }
        kept
    }

    /// Ends an event that its mailbox has. Answers whether it was pending, and stays ended.
    pub(crate) fn cancel_held(&self, mailbox: &Mailbox, id: RequestId) -> bool {
        let cancelled = self.before_end(|| {
            let cancelled = mailbox.cancel(id)?;
            let kept = cancelled.stored.is_none_or(|accepted| {
                let accepted_at = accepted.stored();
                let settlement = Settlement::Cancelled { accepted_at };
                self.settle_stored(Some(mailbox), id, settlement)
            });
            Some((cancelled, kept))
        });
        let Some((cancelled, kept)) = cancelled.flatten() else {
            return false;
        };
        mailbox.finish_cancel(cancelled);
        kept
    }

    /// What the store knows of an event.
    pub(crate) async fn look(&self, id: RequestId) -> Option<Known> {
        self.ask(|store, reply| store.look(id, reply)).await?
    }

    /// A page of a function's parked events.
    pub(crate) async fn parked(&self, mailbox: &Mailbox, after: u64, limit: usize) -> KnownPage {
        let page = self.ask(|store, reply| store.overflow(mailbox.name(), after, limit, reply));
        page.await.unwrap_or_default()
    }

    /// A page of the dead letters that the store keeps.
    pub(crate) async fn letters(&self, after: u64, limit: usize) -> Option<Letters> {
        self.ask(|store, reply| store.letters(after, limit, reply))
            .await
    }

    /// As `close_store`, and doesn't wait.
    pub(crate) fn let_store_close(&self) {
        if let Some(Stored { store, .. }) = &self.store
            && let Err(panicked) = panic::catch(|| store.close(Reply::new(|_| ())))
        {
            telemetry::store_panicked(&panicked.message);
        }
    }

    /// Has the store make everything durable. Nothing is told to it afterwards.
    pub(crate) async fn close_store(&self) {
        let _ = self.ask(|store, reply| store.close(reply)).await;
    }
}

/// Asks the store something, and waits for the answer.
pub(crate) async fn ask<T: Send + 'static>(
    Stored { store, .. }: &Stored,
    question: impl FnOnce(&dyn EventStore, Reply<T>),
) -> Result<T, StoreError> {
    let (sender, receiver) = oneshot::channel();
    let reply = Reply::new(move |answer| drop(sender.send(answer)));
    if let Err(panicked) = panic::catch(|| question(&**store, reply)) {
        telemetry::store_panicked(&panicked.message);
    }
    let silent = |_| Err(StoreError::new("the store sent no reply"));
    receiver.await.unwrap_or_else(silent)
}

/// The function whose executions are signatures. No application has one of this name, which is not legal.
pub(crate) fn signatures() -> FunctionName {
    FunctionName::new("$signatures")
}

pub(crate) fn is_signature(execution: &Execution) -> bool {
    execution.function == signatures()
}

fn execution(completed: Completed) -> Execution {
    let Completed {
        key,
        owner,
        validated,
        result,
        expires,
    } = completed;
    Execution {
        function: key.function().clone(),
        key: key.digest().0,
        validated: validated.map(|digest| digest.0),
        request_id: owner.request_id,
        attempt: owner.attempt,
        since: owner.since.stored(),
        result,
        expires_at: expires.stored(),
    }
}

fn completed(execution: Execution) -> Completed {
    Completed {
        key: Key::new(execution.function, Digest(execution.key)),
        owner: Owner {
            request_id: execution.request_id,
            attempt: execution.attempt,
            since: Time::of(execution.since),
        },
        validated: execution.validated.map(Digest),
        result: execution.result,
        expires: Time::of(execution.expires_at),
    }
}

fn returning(event: StoredEvent, deaths_max: u32, clock: &Clock) -> Returning {
    let after_deaths = retry::after_process_deaths(event.deaths, deaths_max);
    // The wall clock may have been set back since the event was stored.
    let due_by_wall = event.not_before.map(|wall| clock.time(wall));
    let first_due = Time::of(event.first_due_at).max(due_by_wall.unwrap_or_default());
    let side = Side {
        meta: event.meta,
        not_before: event.not_before,
        attempts: event.attempts,
        uncounted: event.uncounted,
        suspect: after_deaths != AfterDeaths::Run,
        letter: None,
    };
    Returning {
        entry: Entry {
            payload: event.payload,
            kind: crate::event::InvocationType::Event,
            side: side.says_something().then(|| Box::new(side)),
            request_id: Some(event.request_id),
            start: Time::of(event.due_at),
            stored: true,
            proposed: event.id_is_chosen,
        },
        accepted: Time::of(event.accepted_at),
        first_due,
        attempt: event.attempt_count,
        deadly: after_deaths == AfterDeaths::GiveUp,
    }
}
