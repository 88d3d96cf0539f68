//! Functions as a client sees and changes them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Client;
use crate::error::ConfigureError;
use crate::event::function_name::FunctionName;
use crate::function::configuration::Configuration;
use crate::function::versions::Alias;
use crate::telemetry::logs::Logs;

/// A function, as it is registered now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FunctionInfo {
    /// Its name.
    pub name: FunctionName,
    /// Its ARN, unqualified.
    pub arn: String,
    /// How long one attempt may take now.
    pub timeout: Duration,
    /// When it was registered.
    pub registered_at: SystemTime,
    /// Its versions besides `$LATEST`, in order.
    pub versions: Vec<u64>,
    /// Its aliases, by name.
    pub aliases: Vec<Alias>,
    /// Its configuration, as changed while it runs.
    pub configuration: Configuration,
    /// Whether its reserved concurrency is zero, by [`Configuration::reserved_concurrency`] or from its registration.
    pub reserved_zero: bool,
    /// Whether it may invoke itself without end.
    pub allows_recursion: bool,
}

/// A function that is not registered and has events in the store: it was renamed, or is no longer part of the program.
/// The events run once it is registered again, or once another function is registered as
/// [formerly](crate::Function::formerly) of this name. Each can be cancelled by its request id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unregistered {
    /// Its name.
    pub function: FunctionName,
    /// How many events wait for it.
    pub events: u64,
}

impl FunctionInfo {
    /// Returns whether it can be invoked under this qualifier.
    pub fn knows(&self, qualifier: &str) -> bool {
        qualifier == "$LATEST"
            || self.aliases.iter().any(|alias| alias.name == qualifier)
            || self
                .versions
                .iter()
                .any(|version| version.to_string() == qualifier)
    }
}

impl Client {
    /// Returns the logs that [`Builder::logs`](crate::Builder::logs) gave the runtime, or that the Lambda API began.
    pub fn logs(&self) -> Option<&Logs> {
        self.entrance.admission.logs.get()
    }

    /// Returns the region in function ARNs.
    pub fn region(&self) -> &str {
        &self.entrance.admission.identity.region
    }

    /// Returns the account in function ARNs.
    pub fn account(&self) -> &str {
        &self.entrance.admission.identity.account
    }

    /// Returns the ARN of a function with this name, unqualified.
    pub fn arn(&self, function: &str) -> String {
        self.entrance.admission.identity.arn(function)
    }

    /// Returns the functions that have events in the store and aren't registered, by name. [`stats`](Self::stats) counts
    /// their events as pending. Doesn't wait; looks at every function that the store knows.
    pub fn unregistered(&self) -> Vec<Unregistered> {
        let unregistered = self.entrance.admission.unregistered().into_iter();
        let unregistered = unregistered.map(|(function, events)| Unregistered { function, events });
        let mut unregistered: Vec<_> = unregistered.collect();
        unregistered.sort_unstable_by(|one, other| one.function.cmp(&other.function));
        unregistered
    }

    /// Returns whether a function of this name is registered.
    pub fn knows(&self, function: &str) -> bool {
        self.entrance.admission.registry.knows(function)
    }

    /// Returns a function's description. `None` if it isn't registered. Doesn't wait.
    pub fn function(&self, function: &str) -> Option<FunctionInfo> {
        let mailbox = self.entrance.admission.registry.named(function)?;
        let live_settings = &mailbox.live_settings;
        let versions = mailbox.function.versions();
        let configuration = live_settings.configuration();
        Some(FunctionInfo {
            name: mailbox.name().clone(),
            arn: self.arn(function),
            timeout: live_settings.timeout(),
            registered_at: mailbox.registered.stored(),
            versions: versions.published().collect(),
            aliases: versions.aliases().cloned().collect(),
            configuration: configuration.as_deref().cloned().unwrap_or_default(),
            reserved_zero: live_settings.is_reserved_zero(),
            allows_recursion: live_settings.hops_max().is_none(),
        })
    }

    /// Changes a function's configuration while it runs, and returns the result of `change`. The new configuration holds from
    /// then on, for waiting events too (ASY-19), and with a store for later processes. Waits for the store. Changes are made
    /// one after the other, and `change` sees the result of the one before.
    ///
    /// ```
    /// # use redrive::{Client, ConfigureError};
    /// # async fn halve(client: Client) -> Result<(), ConfigureError> {
    /// let change = |configuration: &mut redrive::Configuration| {
    ///     configuration.reserved_concurrency = Some(5);
    ///     Ok::<_, ConfigureError>(())
    /// };
    /// client.configure("thumbnail", change).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// When `change` refuses, the function is unknown, a value is faulty, or the store doesn't keep the change. Then nothing
    /// has changed.
    pub async fn configure<T, E: From<ConfigureError>>(
        &self,
        function: &str,
        change: impl FnOnce(&mut Configuration) -> Result<T, E>,
    ) -> Result<T, E> {
        self.entrance.admission.configure(function, change).await
    }

    /// Returns the configurations of all functions by name, those included that aren't registered now.
    pub fn configurations(&self) -> BTreeMap<String, Configuration> {
        self.entrance.admission.configurations.all()
    }

    /// Returns the concurrency that all functions can reserve together
    /// ([`Builder::concurrent_executions_max`](crate::Builder::concurrent_executions_max)).
    pub fn concurrent_executions_max(&self) -> u32 {
        self.entrance
            .admission
            .checks
            .limits
            .concurrent_executions_max
    }

    /// Returns the largest payload of an event, as JSON, in bytes ([`Builder::event_payload_max`](crate::Builder::event_payload_max)).
    pub fn event_payload_max(&self) -> usize {
        self.entrance.admission.checks.limits.event_payload_max
    }

    /// Returns the largest payload of a call, as JSON, in bytes ([`Builder::call_payload_max`](crate::Builder::call_payload_max)).
    pub fn call_payload_max(&self) -> usize {
        self.entrance.admission.checks.limits.call_payload_max
    }

    /// Returns whether a function or a named destination has this ARN.
    pub fn has_destination(&self, arn: &str) -> bool {
        self.entrance.admission.destination(arn).is_some()
    }

    /// Returns the names of all functions that are registered now, in no particular order.
    pub fn functions(&self) -> Vec<FunctionName> {
        self.entrance
            .admission
            .registry
            .registered()
            .iter()
            .map(|mailbox| mailbox.name().clone())
            .collect()
    }

    /// Pauses a function: no event is lost, no run starts, and runs under way go on. Calls are refused meanwhile. Returns whether
    /// the function is known. The pause lasts until [`resume`](Self::resume) or the end of the process;
    /// [`Configuration::paused`] outlives that, with a store.
    pub fn pause(&self, function: &str) -> bool {
        self.entrance
            .admission
            .registry
            .named(function)
            .map(|mailbox| mailbox.lifecycle().pause())
            .is_some()
    }

    /// Resumes a paused function, and does nothing to another. Returns whether the function is known.
    pub fn resume(&self, function: &str) -> bool {
        self.entrance
            .admission
            .registry
            .named(function)
            .map(|mailbox| mailbox.lifecycle().resume())
            .is_some()
    }
}
