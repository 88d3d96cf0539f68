//! What is set of functions while they run: checked, kept in the store, and only then in force.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Admission;
use crate::error::{ConfigureError, StoreError, StoreErrorKind};
use crate::event::function_name::FunctionName;
use crate::event::meta::EventMeta;
use crate::function::Function;
use crate::function::configuration::Configuration;
use crate::function::destination::Destination;
use crate::function::settings::Fault;
use crate::mailbox::Mailbox;
use crate::telemetry;

/// Concurrency that no function may reserve (CFG-27).
const UNRESERVED_MIN: u32 = 100;

/// An ARN that nothing answers to.
pub(crate) struct Unreachable(pub(crate) String);

/// Which records go there.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Success,
    Failure,
}

impl Admission {
    /// What was set of a function.
    pub(crate) fn configuration(&self, function: &str) -> Configuration {
        let all = self.configurations.lock();
        all.get(function).cloned().unwrap_or_default()
    }

    /// What was set of all functions, by name.
    pub(crate) fn configurations(&self) -> BTreeMap<String, Configuration> {
        self.configurations.lock().clone()
    }

    /// Takes back what the store kept, before any function is registered.
    pub(crate) async fn recall_configurations(&self) -> Result<(), StoreError> {
        let Some(stored) = &self.store else {
            return Ok(());
        };
        let kept =
            crate::persistence::load::ask(stored, |store, reply| store.configured(reply)).await?;
        let Some(document) = kept else {
            return Ok(());
        };
        let all = serde_json::from_str(&document).map_err(|error| {
            let message = format!(
                "the functions' configuration can't be read: {error}; it was written by another version of redrive, or by hand"
            );
            StoreError::of(StoreErrorKind::Damaged, message)
        })?;
        *self.configurations.lock() = all;
        Ok(())
    }

    /// What was set under the former name holds for the function, unless something is set of it already. Kept with the next
    /// change, or by `keep_configurations`. Answers whether there was anything.
    pub(crate) fn move_configuration(&self, former: &FunctionName, name: &FunctionName) -> bool {
        let mut all = self.configurations.lock();
        let Some(configuration) = all.remove(former.as_str()) else {
            return false;
        };
        all.entry(name.to_string()).or_insert(configuration);
        true
    }

    /// Has the store keep what was set of functions under their former names as theirs, before any is registered. If it
    /// can't, that is logged, and the next start does it again.
    pub(crate) async fn keep_renamed(&self, functions: &[Function]) {
        let moved = functions.iter().filter(|function| {
            let moves = |former| self.move_configuration(former, &function.name);
            // All of them, not only up to the first.
            function
                .former
                .iter()
                .map(moves)
                .filter(|&moved| moved)
                .count()
                > 0
        });
        let moved = moved.count() > 0;
        let Some(stored) = self.store.as_ref().filter(|_| moved) else {
            return;
        };
        let all = self.configurations.lock().clone();
        let kept = match serde_json::to_string(&all) {
            Ok(document) => {
                crate::persistence::load::ask(stored, |store, reply| {
                    store.configure(document, reply)
                })
                .await
            }
            Err(error) => Err(StoreError::new(error.to_string())),
        };
        if let Err(error) = kept {
            telemetry::store_query_failed(&error.to_string());
        }
    }

    /// Changes what is set of a function. `change` may refuse; it sees the latest, and one change is made after the other.
    pub(crate) async fn configure<T, E: From<ConfigureError>>(
        &self,
        function: &str,
        change: impl FnOnce(&mut Configuration) -> Result<T, E>,
    ) -> Result<T, E> {
        let _turn = self.configuring.lock().await;
        if self.has_ended() {
            return Err(ConfigureError::ShuttingDown.into());
        }
        let unknown = || ConfigureError::UnknownFunction {
            function: function.to_owned(),
        };
        let mailbox = self.mailbox(function).ok_or_else(unknown)?;
        let before = self.configuration(function);
        let mut configuration = before.clone();
        let changed = change(&mut configuration)?;
        if configuration == before {
            return Ok(changed);
        }
        self.check_configuration(&mailbox, &configuration)?;
        let mut all = self.configurations.lock().clone();
        match configuration.is_empty() {
            true => drop(all.remove(function)),
            false => drop(all.insert(function.to_owned(), configuration.clone())),
        }
        if let Some(stored) = &self.store {
            let document = serde_json::to_string(&all)
                .map_err(|error| ConfigureError::Store(StoreError::new(error.to_string())))?;
            let kept = crate::persistence::load::ask(stored, |store, reply| {
                store.configure(document, reply)
            });
            kept.await.map_err(ConfigureError::Store)?;
        }
        *self.configurations.lock() = all;
        mailbox.configure(configuration);
        Ok(changed)
    }

    fn check_configuration(
        &self,
        mailbox: &Mailbox,
        configuration: &Configuration,
    ) -> Result<(), ConfigureError> {
        let faults = configuration.faults().into_iter();
        let faults: Vec<_> = faults
            .map(|(field, problem)| Fault {
                function: mailbox.name().to_string(),
                field,
                problem,
            })
            .collect();
        if !faults.is_empty() {
            return Err(ConfigureError::Settings(faults));
        }
        let limit = self.limits.concurrent_executions_max;
        let all = self.configurations.lock();
        let others = all
            .iter()
            .filter(|(name, _)| **name != *mailbox.name().as_str());
        let reserved = |configuration: &Configuration| configuration.reserved_concurrency;
        let others: u64 = others
            .filter_map(|(_, it)| reserved(it))
            .map(u64::from)
            .sum();
        let wanted = u64::from(reserved(configuration).unwrap_or_default());
        if wanted > 0 && others + wanted + u64::from(UNRESERVED_MIN) > u64::from(limit) {
            return Err(ConfigureError::TooMuchReserved {
                function: mailbox.name().to_string(),
                wanted: wanted as u32,
                unreserved_min: UNRESERVED_MIN,
                limit,
            });
        }
        Ok(())
    }

    /// The destination with this ARN: a function, or one that the application named.
    pub(crate) fn destination(&self, arn: &str) -> Option<Destination> {
        if let Some(named) = self.destinations.get(arn) {
            return Some(named.clone());
        }
        let (function, qualifier) = self.identity.parse(arn)?;
        let heir = self.heir(FunctionName::new(function));
        let mailbox = self.mailbox(heir.as_str())?;
        let known = qualifier.is_none_or(|it| mailbox.function.versions().knows(it));
        known.then(|| Destination::qualified(heir.as_str().into(), qualifier.map(Arc::from)))
    }

    /// Where the records of events like this one go.
    pub(crate) fn destination_of<'a>(
        &self,
        mailbox: &'a Mailbox,
        meta: &EventMeta,
        outcome: Outcome,
    ) -> Option<Result<Cow<'a, Destination>, Unreachable>> {
        let config = mailbox.live_settings.event_invoke(meta);
        let arn = config.and_then(|config| match outcome {
            Outcome::Success => config.on_success,
            Outcome::Failure => config.on_failure,
        });
        if let Some(arn) = arn {
            let destination = self.destination(&arn).map(Cow::Owned);
            return Some(destination.ok_or(Unreachable(arn)));
        }
        let registered = match outcome {
            Outcome::Success => &mailbox.function.on_success,
            Outcome::Failure => &mailbox.function.on_failure,
        };
        registered.as_ref().map(|it| Ok(Cow::Borrowed(it)))
    }
}
