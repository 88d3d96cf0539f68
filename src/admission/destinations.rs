//! Which destination gets the record of an event: one that was set while the function runs, or the registered one.

use std::borrow::Cow;
use std::sync::Arc;

use super::Admission;
use crate::event::function_name::FunctionName;
use crate::event::meta::EventMeta;
use crate::function::destination::Destination;
use crate::mailbox::Mailbox;

/// An ARN that no function and no named destination has.
pub(crate) struct UnknownDestination(pub(crate) String);

#[derive(Clone, Copy)]
pub(crate) enum DestinationKind {
    OnSuccess,
    OnFailure,
}

impl Admission {
    /// Returns the destination with this ARN: a function, or one that the application named.
    pub(crate) fn destination(&self, arn: &str) -> Option<Destination> {
        if let Some(named) = self.destinations.get(arn) {
            return Some(named.clone());
        }
        let (function, qualifier) = self.identity.parse(arn)?;
        let current = self.registry.current_name(FunctionName::new(function));
        let mailbox = self.registry.named(current.as_str())?;
        let known = qualifier.is_none_or(|it| mailbox.function.versions().knows(it));
        known.then(|| Destination::qualified(current.as_str().into(), qualifier.map(Arc::from)))
    }

    /// Returns where the records of an event go, if anywhere.
    pub(crate) fn destination_of<'a>(
        &self,
        mailbox: &'a Mailbox,
        meta: &EventMeta,
        kind: DestinationKind,
    ) -> Option<Result<Cow<'a, Destination>, UnknownDestination>> {
        let config = mailbox.live_settings.event_invoke(meta);
        let arn = config.and_then(|config| match kind {
            DestinationKind::OnSuccess => config.on_success,
            DestinationKind::OnFailure => config.on_failure,
        });
        if let Some(arn) = arn {
            let destination = self.destination(&arn).map(Cow::Owned);
            return Some(destination.ok_or(UnknownDestination(arn)));
        }
        let registered = match kind {
            DestinationKind::OnSuccess => &mailbox.function.on_success,
            DestinationKind::OnFailure => &mailbox.function.on_failure,
        };
        registered.as_ref().map(|it| Ok(Cow::Borrowed(it)))
    }
}
