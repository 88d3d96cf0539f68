//! Overflow: events that the store alone has, because the mailbox has no room for them, and how they come back.

use std::sync::Arc;
use std::time::Duration;

use super::{Link, StoreLink};
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::error::StoreError;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::function::retry_decision::{self, AfterDeaths};
use crate::mailbox::Mailbox;
use crate::queue::entry::{Entry, LoadedEvent, Side};
use crate::store::{Backlog, Fetch, Fetched, Reply, Retained, StoredEvent};
use crate::telemetry;

/// Bytes of payloads that are loaded at once.
const LOAD_BYTES_MAX: u64 = 32 << 20;
/// When a load is tried again after it failed.
const LOAD_RETRY: Duration = Duration::from_millis(500);

impl StoreLink {
    /// Opens a function's part of the store, and counts its backlog as the mailbox's overflow.
    pub(crate) fn open(&self, mailbox: &Mailbox) {
        let settings = mailbox.settings();
        let retention = &settings.retention;
        let retained = Retained::new(retention.events_max, retention.bytes_max, retention.age_max)
            .keys_max(settings.deduplication_keys_max);
        let opened = self.tell(|store| store.open(mailbox.name(), retained));
        if let Some(Backlog {
            ready,
            delayed,
            bytes,
            next_due,
        }) = opened
        {
            mailbox
                .storage()
                .inherit(ready, delayed, bytes, next_due.map(Time::of));
        }
    }

    /// Gives everything that is kept under a former name to the function.
    pub(crate) fn rename(&self, former: &FunctionName, name: &FunctionName) {
        self.tell(|store| store.rename(former, name));
    }

    /// Leaves events to the store until the mailbox has room for them. Each comes with when it is due.
    pub(crate) fn spill(&self, mailbox: &Mailbox, events: &[(RequestId, Time)]) {
        if let Some(link) = &self.link {
            link.spill(mailbox, events);
        }
    }

    /// Loads overflow that is due into the mailbox, as much as it has room for. Doesn't wait.
    pub(crate) fn load(&self, mailbox: &Arc<Mailbox>) {
        let Some(link) = &self.link else {
            return;
        };
        let (events_max, until) = mailbox.storage().load_request();
        let fetch = Fetch {
            function: mailbox.name().clone(),
            until: until.stored(),
            events_max,
            bytes_max: LOAD_BYTES_MAX,
        };
        let (loading, mailbox) = (link.clone(), mailbox.clone());
        let reply = Reply::new(move |fetched| loading.take_in(&mailbox, fetched));
        link.tell(|store| store.fetch(fetch, reply));
    }

    /// Takes one event out of the overflow. Returns `None` if it is not there.
    pub(crate) async fn load_one(&self, id: RequestId) -> Option<StoredEvent> {
        let event = self.ask(|store, reply| store.fetch_one(id, reply)).await;
        event.flatten()
    }
}

impl Link {
    pub(super) fn spill(&self, mailbox: &Mailbox, events: &[(RequestId, Time)]) {
        for (id, due) in events {
            self.tell(|store| store.spill(*id, due.stored()));
        }
        // Only after the store has them: a load that began before would miss them.
        if let Some(due) = events.iter().map(|(_, due)| *due).min() {
            mailbox.storage().spilled(due);
        }
    }

    fn take_in(&self, mailbox: &Mailbox, fetched: Result<Fetched, StoreError>) {
        let now = self.clock.now();
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                mailbox.meter(|meters| meters.store_errors += 1);
                telemetry::fetch_failed(mailbox.name(), &error.to_string());
                return mailbox
                    .storage()
                    .load(Vec::new(), Some(now.after(LOAD_RETRY)), now);
            }
        };
        for (id, error) in &fetched.unreadable {
            mailbox.meter(|meters| meters.store_errors += 1);
            telemetry::event_unreadable(mailbox.name(), *id, &error.to_string());
        }
        let events = fetched.events.into_iter();
        let returning = events.map(|event| returning(event, self.deaths_max, &self.clock));
        mailbox
            .storage()
            .load(returning.collect(), fetched.next_due.map(Time::of), now);
    }
}

/// Returns a stored event in the form in which a mailbox takes it back.
pub(crate) fn returning(event: StoredEvent, deaths_max: u32, clock: &Clock) -> LoadedEvent {
    // The wall clock may have been set back since the event was stored.
    let due_by_wall = event.not_before.map(|wall| clock.time(wall));
    let first_due = Time::of(event.first_due_at).max(due_by_wall.unwrap_or_default());
    let after_deaths = retry_decision::after_process_deaths(event.deaths, deaths_max);
    let side = Side {
        meta: event.meta,
        not_before: event.not_before,
        attempts: event.attempts,
        uncounted: event.uncounted,
        suspect: after_deaths != AfterDeaths::Run,
        letter: None,
    };
    LoadedEvent {
        entry: Entry {
            payload: event.payload,
            kind: crate::event::InvocationType::Event,
            side: side.is_set().then(|| Box::new(side)),
            request_id: Some(event.request_id),
            start: Time::of(event.due_at),
            stored: true,
            chosen_id: event.id_is_chosen,
        },
        accepted: Time::of(event.accepted_at),
        first_due,
        attempt: event.attempt_count,
        deadly: after_deaths == AfterDeaths::GiveUp,
    }
}
