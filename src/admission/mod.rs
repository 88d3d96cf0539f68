//! The door: an event is refused or kept. Checks are made here; the mailbox decides whether there is room, and the store
//! whether it keeps the event. The router and every client share the door.
//!
//! ```text
//!  invoke ─▶ door open? ─▶ function known? ─▶ checks ─▶ deduplication key ─▶ chosen request id ─▶ mailbox
//!                                                                                              └▶ store, then mailbox
//! ```
//!
//! | file | decides |
//! |---|---|
//! | `admission/shutdown_gate.rs` | whether anything is still accepted |
//! | `admission/registry.rs` | which function has a name, a former name, a number |
//! | `admission/checks.rs` | sizes, options, versions: what can be refused without asking the mailbox |
//! | `admission/dedup_keys.rs` | which event has a deduplication key, for events in memory |
//! | `admission/request_ids.rs` | which function has a chosen request id |
//! | `admission/configurations.rs` | the functions' configurations, changed while they run |
//!
//! With a store, the store checks the deduplication key, after the request id (`persistence/append.rs`).

mod cancel;
pub(crate) mod checks;
pub(crate) mod configurations;
pub(crate) mod dedup_keys;
pub(crate) mod destinations;
mod invoke;
pub(crate) mod receipts;
mod refusal;
pub(crate) mod registry;
pub(crate) mod request_ids;
pub(crate) mod shutdown_gate;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::admission::checks::{Checks, Limits};
use crate::admission::configurations::Configurations;
use crate::admission::dedup_keys::DedupKeys;
use crate::admission::refusal::{not_registered, refusal};
use crate::admission::registry::Registry;
use crate::admission::request_ids::ChosenIds;
use crate::admission::shutdown_gate::{Door, DoorState};
use crate::base::clock::Clock;
use crate::error::{BuildError, ConfigureError, InvokeError};
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::function::Function;
use crate::function::arn::Identity;
use crate::function::configuration::Configuration;
use crate::function::destination::Destination;
use crate::idempotency::lease::ExecutionLeases;
use crate::mailbox::Mailbox;
use crate::persistence::StoreLink;
use crate::queue::RefusalReason;
use crate::queue::entry::Entry;
use crate::telemetry::logs::{LogOwner, Logs};

pub(crate) struct Admission {
    pub(crate) registry: Registry,
    pub(crate) door: Door,
    pub(crate) checks: Checks,
    /// The deduplication keys of events that live in memory alone. The store has those of its events.
    dedup_keys: Mutex<DedupKeys>,
    chosen_ids: ChosenIds,
    pub(crate) configurations: Configurations,
    /// The execution leases of all functions.
    pub(crate) leases: Arc<ExecutionLeases>,
    pub(crate) store: StoreLink,
    pub(crate) clock: Clock,
    pub(crate) identity: Identity,
    /// The destinations that the application named, by ARN.
    destinations: HashMap<String, Destination>,
    /// Set once logs are kept.
    pub(crate) logs: OnceLock<Logs>,
}

impl Admission {
    pub(crate) fn new(
        clock: Clock,
        limits: Limits,
        identity: Identity,
        store: StoreLink,
        destinations: HashMap<String, Destination>,
        logs: Option<Logs>,
    ) -> Self {
        Self {
            registry: Registry::default(),
            door: Door::default(),
            leases: Arc::new(ExecutionLeases::new(limits.idempotency.clone())),
            checks: Checks {
                limits,
                clock: clock.clone(),
                has_store: store.exists(),
            },
            dedup_keys: Mutex::default(),
            chosen_ids: ChosenIds::default(),
            configurations: Configurations::default(),
            store,
            clock,
            identity,
            destinations,
            logs: logs.map(OnceLock::from).unwrap_or_default(),
        }
    }

    // --- functions

    /// Gives the function a mailbox, and makes it known once `oversee` has started its supervisor.
    ///
    /// # Errors
    /// When its name or one of its former names is taken, or there is no number left.
    pub(crate) fn register(
        &self,
        function: Function,
        oversee: impl FnOnce(&Arc<Mailbox>),
    ) -> Result<(), BuildError> {
        let (name, former) = (function.name.clone(), function.former.clone());
        let make = |number| {
            for former in &former {
                self.store.rename(former, &function.name);
                self.configurations.rename(former, &function.name);
            }
            let mailbox = Mailbox::new(function, number, self.clock.clone());
            mailbox
                .lifecycle()
                .adopt(self.configurations.of(mailbox.name().as_str()));
            let mailbox = Arc::new(mailbox);
            mailbox.count_threads();
            self.store.open(&mailbox);
            oversee(&mailbox);
            mailbox
        };
        let registered = self.registry.register(name.clone(), &former, make);
        registered.map_err(|refused| not_registered(&name, refused))
    }

    /// Forgets a function that was unregistered and has no events left.
    pub(crate) fn forget(&self, number: u32) {
        self.dedup_keys.lock().forget(number);
        self.chosen_ids.forget(number);
        self.registry.forget(number);
    }

    /// Returns the functions that events wait for in the store though they aren't registered, and how many events.
    pub(crate) fn unregistered(&self) -> Vec<(FunctionName, u64)> {
        self.registry.without_function(self.store.waiting())
    }

    /// Changes a function's configuration, and returns the result of `change`.
    pub(crate) async fn configure<T, E: From<ConfigureError>>(
        &self,
        function: &str,
        change: impl FnOnce(&mut Configuration) -> Result<T, E>,
    ) -> Result<T, E> {
        let mailbox = || {
            if self.door.has_ended() {
                return Err(ConfigureError::ShuttingDown);
            }
            let mailbox = self.registry.named(function);
            mailbox.ok_or_else(|| ConfigureError::UnknownFunction {
                function: function.to_owned(),
            })
        };
        let executions_max = self.checks.limits.concurrent_executions_max;
        self.configurations
            .change(mailbox, executions_max, &self.store, change)
            .await
    }

    // --- request ids

    /// Returns the mailbox that has the event, if one does.
    pub(crate) fn locate(&self, id: RequestId) -> Option<Arc<Mailbox>> {
        let owner = self.chosen_ids.owner(id);
        let number = owner.unwrap_or_else(|| id.place().0);
        let has_event = |mailbox: &Arc<Mailbox>| mailbox.inspect().snapshot(id).is_some();
        let here = self.registry.numbered(number).filter(has_event);
        here.or_else(|| self.stored_mailbox(id).filter(has_event))
    }

    /// Returns the present name of the function whose event the store has.
    pub(crate) fn stored_function(&self, id: RequestId) -> Option<FunctionName> {
        let function = self.store.locate(id)?;
        Some(self.registry.current_name(function))
    }

    /// Returns the mailbox of the function whose event the store has.
    pub(crate) fn stored_mailbox(&self, id: RequestId) -> Option<Arc<Mailbox>> {
        self.registry.named(self.stored_function(id)?.as_str())
    }

    /// Takes a chosen request id for an event of this function, so that no other event can have it.
    fn choose_id(
        &self,
        mailbox: &Mailbox,
        id: Option<RequestId>,
    ) -> Result<Option<RequestId>, InvokeError> {
        let Some(id) = id else {
            return Ok(None);
        };
        let is_known = |id| self.locate(id).is_some() || self.stored_function(id).is_some();
        self.chosen_ids
            .take(mailbox, id, &self.registry, is_known)?;
        // The log of an earlier event under this id is not this one's: its reader may not be allowed to see that.
        if let Some(logs) = self.logs.get() {
            logs.forget(&LogOwner::new(mailbox.name().clone(), id));
        }
        Ok(Some(id))
    }

    /// Takes the chosen request ids of all entries, or none of them.
    fn choose_ids<'a>(
        &self,
        mailbox: &Mailbox,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> Result<Vec<RequestId>, InvokeError> {
        let mut taken = Vec::new();
        for entry in entries {
            match self.choose_id(mailbox, entry.request_id) {
                Ok(id) => taken.extend(id),
                Err(refused) => {
                    self.chosen_ids.give_back(taken);
                    return Err(refused);
                }
            }
        }
        Ok(taken)
    }

    /// Gives back the chosen ids of events that the mailbox refused, and returns the error.
    fn refused(
        &self,
        mailbox: &Mailbox,
        chosen: impl IntoIterator<Item = RequestId>,
        why: RefusalReason,
    ) -> InvokeError {
        let mut chosen = chosen.into_iter().peekable();
        let first = chosen.peek().copied();
        self.chosen_ids.give_back(chosen);
        refusal(mailbox, why, first)
    }

    // --- the end

    /// Closes the door this far. Returns `false` if it was closed this far already.
    pub(crate) fn close(&self, state: DoorState) -> bool {
        let news = self.door.close(state);
        if news {
            if self.door.has_ended() {
                self.store.end();
            }
            // An event that passed the door before is in its mailbox by now, or finds it closed.
            self.registry
                .all()
                .iter()
                .for_each(|mailbox| mailbox.lifecycle().close());
        }
        news
    }

    /// Ends the runtime for events: waits for the changes that have begun (`Door::before_end`), and lets no other begin.
    pub(crate) fn end(&self) {
        self.door.end(|| {
            self.close(DoorState::Ended);
        });
    }

    /// Closes the door for good: no actor is behind it any more. Callers that wait for the end of an event learn that it
    /// won't come. Returns `false` if it was closed for good already.
    pub(crate) fn close_for_good(&self) -> bool {
        let news = self.close(DoorState::Gone);
        if news {
            self.registry
                .all()
                .iter()
                .for_each(|mailbox| mailbox.lifecycle().end_watches());
        }
        news
    }
}
