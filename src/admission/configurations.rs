//! The functions' configurations, changed while they run: each change is checked, kept in the store, and only then in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Fault;
use crate::error::{ConfigureError, StoreError};
use crate::event::function_name::FunctionName;
use crate::function::Function;
use crate::function::configuration::Configuration;
use crate::mailbox::Mailbox;
use crate::persistence::StoreLink;
use crate::telemetry;

/// Concurrency that no function may reserve (CFG-27).
const UNRESERVED_MIN: u32 = 100;

/// The configurations of all functions by name, those included that aren't registered.
#[derive(Default)]
pub(crate) struct Configurations {
    /// The configurations in force. A change replaces them after the store has it.
    all: Mutex<BTreeMap<String, Configuration>>,
    /// Locked by a change from its first look at `all` until it is in force.
    changing: tokio::sync::Mutex<()>,
}

impl Configurations {
    pub(crate) fn of(&self, function: &str) -> Configuration {
        let all = self.all.lock();
        all.get(function).cloned().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Configuration> {
        self.all.lock().clone()
    }

    /// Loads the configurations from the store, before any function is registered.
    pub(crate) async fn load(&self, store: &StoreLink) -> Result<(), StoreError> {
        let kept = store.configurations().await?;
        *self.all.lock() = kept;
        Ok(())
    }

    /// Gives the configuration of a former name to the function, unless the function has one. Kept with the next change, or
    /// by `keep_renamed`. Returns whether there was one.
    pub(crate) fn rename(&self, former: &FunctionName, name: &FunctionName) -> bool {
        let mut all = self.all.lock();
        let Some(configuration) = all.remove(former.as_str()) else {
            return false;
        };
        all.entry(name.to_string()).or_insert(configuration);
        true
    }

    /// Gives the configurations of former names to these functions and has the store keep that, before any function is
    /// registered. If the store can't, that is logged, and the next start does it again.
    pub(crate) async fn keep_renamed(&self, functions: &[Function], store: &StoreLink) {
        let mut renamed = false;
        for function in functions {
            for former in &function.former {
                renamed |= self.rename(former, &function.name);
            }
        }
        if !renamed {
            return;
        }
        let all = self.all();
        if let Err(error) = store.keep_configurations(&all).await {
            telemetry::store_query_failed(&error.to_string());
        }
    }

    /// Changes the configuration of a function, one change after the other, and returns the result of `change`, which sees
    /// the latest and may refuse. `mailbox` returns the function's mailbox when it is this change's turn. `executions_max`
    /// bounds what all functions reserve together.
    pub(crate) async fn change<T, E: From<ConfigureError>>(
        &self,
        mailbox: impl FnOnce() -> Result<Arc<Mailbox>, ConfigureError>,
        executions_max: u32,
        store: &StoreLink,
        change: impl FnOnce(&mut Configuration) -> Result<T, E>,
    ) -> Result<T, E> {
        let _turn = self.changing.lock().await;
        let mailbox = mailbox()?;
        let function = mailbox.name().as_str();
        let before = self.of(function);
        let mut configuration = before.clone();
        let changed = change(&mut configuration)?;
        if configuration == before {
            return Ok(changed);
        }
        self.check(&mailbox, &configuration, executions_max)?;
        let mut all = self.all();
        match configuration.is_empty() {
            true => drop(all.remove(function)),
            false => drop(all.insert(function.to_owned(), configuration.clone())),
        }
        let kept = store.keep_configurations(&all).await;
        kept.map_err(ConfigureError::Store)?;
        *self.all.lock() = all;
        mailbox.lifecycle().configure(configuration);
        Ok(changed)
    }

    fn check(
        &self,
        mailbox: &Mailbox,
        configuration: &Configuration,
        executions_max: u32,
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
        let wanted = configuration.reserved_concurrency.unwrap_or_default();
        let reserved = self.reserved_by_others(mailbox.name()) + u64::from(wanted);
        if wanted > 0 && reserved + u64::from(UNRESERVED_MIN) > u64::from(executions_max) {
            return Err(ConfigureError::TooMuchReserved {
                function: mailbox.name().to_string(),
                wanted,
                unreserved_min: UNRESERVED_MIN,
                limit: executions_max,
            });
        }
        Ok(())
    }

    fn reserved_by_others(&self, function: &FunctionName) -> u64 {
        let all = self.all.lock();
        let others = all.iter().filter(|(name, _)| **name != *function.as_str());
        let reserved = others.filter_map(|(_, it)| it.reserved_concurrency);
        reserved.map(u64::from).sum()
    }
}
