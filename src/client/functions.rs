//! What a client can know of functions, and do to them as a whole.

use std::collections::BTreeMap;
#[cfg(feature = "http")]
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Client;
use crate::error::ConfigureError;
use crate::event::function_name::FunctionName;
use crate::function::configuration::Configuration;
#[cfg(feature = "http")]
use crate::function::configuration::Permissions;
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
    /// Since when it is registered.
    pub registered_at: SystemTime,
    /// Its versions besides `$LATEST`, in order.
    pub versions: Vec<u64>,
    /// Its aliases, by name.
    pub aliases: Vec<Alias>,
    /// What was set of it while it ran.
    pub configuration: Configuration,
    /// Whether no concurrency is reserved for it, by [`Configuration::reserved_concurrency`] or from its registration.
    pub reserved_zero: bool,
    /// Whether it may invoke itself without end.
    pub allows_recursion: bool,
}

/// A function that events wait for in the store, though none of this name is registered: it was renamed, or is no longer
/// part of the program. Nothing runs them until it is registered again, or another function says that it was
/// [formerly](crate::Function::formerly) called so; each can be cancelled by its request id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unregistered {
    /// Its name.
    pub function: FunctionName,
    /// How many events wait for it.
    pub events: u64,
}

impl FunctionInfo {
    /// Can it be invoked under this qualifier?
    pub fn knows(&self, qualifier: &str) -> bool {
        qualifier == "$LATEST"
            || self.aliases.iter().any(|alias| alias.name == qualifier)
            || self
                .versions
                .iter()
                .any(|version| version.to_string() == qualifier)
    }
}

#[cfg(feature = "http")]
impl FunctionInfo {
    /// All under which it can be invoked.
    pub(crate) fn qualifiers(&self) -> Vec<Arc<str>> {
        let versions = self
            .versions
            .iter()
            .map(|version| version.to_string().into());
        let aliases = self.aliases.iter().map(|alias| alias.name.as_str().into());
        let all = std::iter::once("$LATEST".into());
        all.chain(versions).chain(aliases).collect()
    }
}

impl Client {
    /// The logs that [`Builder::logs`](crate::Builder::logs) gave the runtime, or that the Lambda API began.
    pub fn logs(&self) -> Option<&Logs> {
        self.admission.logs.get()
    }

    /// Has what invocations log kept from now on, unless it is already.
    #[cfg(feature = "http")]
    pub(crate) fn keep_logs(&self) -> Logs {
        self.admission.logs.get_or_init(Logs::new).clone()
    }

    /// The region that function ARNs name.
    pub fn region(&self) -> &str {
        &self.admission.identity.region
    }

    /// The account that function ARNs name.
    pub fn account(&self) -> &str {
        &self.admission.identity.account
    }

    /// The ARN of a function with this name, unqualified.
    pub fn arn(&self, function: &str) -> String {
        self.admission.identity.arn(function)
    }

    /// The functions that events wait for in the store though they aren't registered, by name. In [`stats`](Self::stats)
    /// their events are pending. Doesn't wait; looks at every function that the store knows.
    pub fn unregistered(&self) -> Vec<Unregistered> {
        let unregistered = self.admission.unregistered().into_iter();
        let unregistered = unregistered.map(|(function, events)| Unregistered { function, events });
        let mut unregistered: Vec<_> = unregistered.collect();
        unregistered.sort_unstable_by(|one, other| one.function.cmp(&other.function));
        unregistered
    }

    /// Is a function of this name registered?
    pub fn knows(&self, function: &str) -> bool {
        self.admission.registry.knows(function)
    }

    /// What the function is called now that was once called so: what a dead letter of it goes back to.
    #[cfg(feature = "http")]
    pub(crate) fn heir(&self, function: &FunctionName) -> FunctionName {
        self.admission.registry.current_name(function.clone())
    }

    /// What is known of a function. `None` if it isn't registered. Doesn't wait.
    pub fn function(&self, function: &str) -> Option<FunctionInfo> {
        let mailbox = self.admission.registry.named(function)?;
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

    /// Who may do what with a function under a qualifier; `$LATEST` stands for the function without one.
    #[cfg(feature = "http")]
    pub(crate) fn permissions(&self, function: &str, qualifier: &str) -> Option<Permissions> {
        let mailbox = self.admission.registry.named(function)?;
        let configuration = mailbox.live_settings.configuration()?;
        configuration.permissions.get(qualifier).cloned()
    }

    /// Changes what is set of a function while it runs, and answers what `change` does. It holds from then on, for events
    /// that wait too (ASY-19), and with a store for later processes. Waits for the store; one change is made after the
    /// other, and `change` sees what the one before left.
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
    /// When `change` refuses, the function is unknown, a value is faulty, or the store doesn't keep it. Then everything is as
    /// it was.
    pub async fn configure<T, E: From<ConfigureError>>(
        &self,
        function: &str,
        change: impl FnOnce(&mut Configuration) -> Result<T, E>,
    ) -> Result<T, E> {
        self.admission.configure(function, change).await
    }

    /// What was set of functions, those that aren't registered now included, by name.
    pub fn configurations(&self) -> BTreeMap<String, Configuration> {
        self.admission.configurations.all()
    }

    /// How much concurrency there is to reserve
    /// ([`Builder::concurrent_executions_max`](crate::Builder::concurrent_executions_max)).
    pub fn concurrent_executions_max(&self) -> u32 {
        self.admission.checks.limits.concurrent_executions_max
    }

    /// The largest payload of an event, as JSON, in bytes ([`Builder::event_payload_max`](crate::Builder::event_payload_max)).
    pub fn event_payload_max(&self) -> usize {
        self.admission.checks.limits.event_payload_max
    }

    /// The largest payload of a call, as JSON, in bytes ([`Builder::call_payload_max`](crate::Builder::call_payload_max)).
    pub fn call_payload_max(&self) -> usize {
        self.admission.checks.limits.call_payload_max
    }

    /// Does a function or a named destination have this ARN?
    pub fn has_destination(&self, arn: &str) -> bool {
        self.admission.destination(arn).is_some()
    }

    /// The names of all functions that are registered now, in no particular order.
    pub fn functions(&self) -> Vec<FunctionName> {
        self.admission
            .registry
            .registered()
            .iter()
            .map(|mailbox| mailbox.name().clone())
            .collect()
    }

    /// Holds a function's events back: nothing is lost, nothing starts, what runs goes on. Calls are refused meanwhile.
    /// Answers whether the function is known. It lasts until [`resume`](Self::resume) or the end of the process;
    /// [`Configuration::paused`] outlives that, with a store.
    pub fn pause(&self, function: &str) -> bool {
        self.admission
            .registry
            .named(function)
            .map(|mailbox| mailbox.lifecycle().pause())
            .is_some()
    }

    /// Lets a paused function go on. Does nothing to one that isn't paused. Answers whether the function is known.
    pub fn resume(&self, function: &str) -> bool {
        self.admission
            .registry
            .named(function)
            .map(|mailbox| mailbox.lifecycle().resume())
            .is_some()
    }
}
