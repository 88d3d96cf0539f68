//! Methods that only the HTTP API uses: who may see an event or a function, and the dry run of a call.

use std::sync::Arc;
use std::time::SystemTime;

use super::Client;
use super::functions::FunctionInfo;
use super::status::InvokedAs;
use crate::error::InvokeError;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::event::{InvocationType, Invoke};
use crate::function::configuration::Permissions;
use crate::store::KnownState;
use crate::telemetry::logs::Logs;

/// The function and the caller of an event.
pub(crate) struct Holder {
    pub(crate) function: FunctionName,
    /// The function's name when the event was sent to it, if that was another one.
    pub(crate) formerly: Option<FunctionName>,
    pub(crate) invoked_as: InvokedAs,
    /// `RequestResponse` if a caller waits for the result.
    pub(crate) kind: InvocationType,
}

impl InvokedAs {
    /// Returns whether the event may have been invoked under this qualifier.
    pub(crate) fn may_be(&self, qualifier: Option<&str>) -> bool {
        match self {
            Self::Known(known) => known.as_deref() == qualifier,
            Self::Unknown => true,
        }
    }
}

impl FunctionInfo {
    /// Returns all qualifiers under which the function can be invoked.
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
    /// Returns who has a request id. `None` as long as no event has it.
    pub(crate) async fn holder(&self, id: RequestId) -> Option<Holder> {
        if let Some(mailbox) = self.entrance.admission.locate(id)
            && let Some(view) = mailbox.inspect().snapshot(id)
        {
            return Some(Holder {
                function: mailbox.name().clone(),
                formerly: None,
                invoked_as: InvokedAs::Known(view.qualifier),
                kind: view.kind,
            });
        }
        let function = self.entrance.admission.stored_function(id)?;
        let (sent_to, invoked_as) = match self.entrance.admission.store.look(id).await?.state {
            KnownState::Dead(letter) => (
                letter.function.clone(),
                InvokedAs::Known(letter.qualifier.clone()),
            ),
            _ => (function.clone(), InvokedAs::Unknown),
        };
        Some(Holder {
            formerly: (sent_to != function).then_some(sent_to),
            function,
            invoked_as,
            // Calls are not stored.
            kind: InvocationType::Event,
        })
    }

    /// Returns when an event was accepted, as long as that is known.
    pub(crate) async fn accepted_at(&self, id: RequestId) -> Option<SystemTime> {
        if let Some(mailbox) = self.entrance.admission.locate(id)
            && let Some(view) = mailbox.inspect().snapshot(id)
        {
            return Some(view.accepted.stored());
        }
        Some(self.entrance.admission.store.look(id).await?.accepted_at)
    }

    /// Checks a call for faults (INV-15), not whether there is room for it now.
    pub(crate) fn dry_call(&self, invoke: Invoke) -> Result<(), InvokeError> {
        self.entrance.admission.dry_call(self.chained(invoke))
    }

    /// Keeps the logs of invocations from now on, unless they are kept already.
    pub(crate) fn keep_logs(&self) -> Logs {
        self.entrance.admission.logs.get_or_init(Logs::new).clone()
    }

    /// Returns the present name of the function that has, or had, this name: its dead letters are redriven there.
    pub(crate) fn current_name(&self, function: &FunctionName) -> FunctionName {
        self.entrance
            .admission
            .registry
            .current_name(function.clone())
    }

    /// Returns the permissions on a function under a qualifier; `$LATEST` stands for the function without one.
    pub(crate) fn permissions(&self, function: &str, qualifier: &str) -> Option<Permissions> {
        let mailbox = self.entrance.admission.registry.named(function)?;
        let configuration = mailbox.live_settings.configuration()?;
        configuration.permissions.get(qualifier).cloned()
    }
}
