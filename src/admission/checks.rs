//! What is refused before a mailbox is asked, and what becomes of the rest: an entry.

use std::sync::Arc;

use super::{Admission, NAME_SHOWN};
use crate::base::excerpt::excerpt;
use crate::base::time::Time;
use crate::error::InvokeError;
use crate::event::meta::LATEST;
use crate::event::payload::{Payload, PayloadError};
use crate::event::{Deduplicate, Durability, InvocationType, Options, Start};
use crate::function::settings::Fault;
use crate::mailbox::Mailbox;
use crate::queue::entry::{Entry, Side};

impl Admission {
    /// An event at the door, with all checked that can be checked before its mailbox is asked.
    pub(super) fn entry(
        &self,
        mailbox: &Mailbox,
        kind: InvocationType,
        payload: Result<Payload, PayloadError>,
        options: Option<Box<Options>>,
        now: Time,
    ) -> Result<Entry, InvokeError> {
        let payload = serialisable(mailbox.name().as_str(), payload)?;
        self.check(mailbox, kind, &payload, options.as_deref())?;
        self.enter(mailbox, kind, payload, options, now)
    }

    pub(super) fn check(
        &self,
        mailbox: &Mailbox,
        kind: InvocationType,
        payload: &Payload,
        options: Option<&Options>,
    ) -> Result<(), InvokeError> {
        let function = || mailbox.name().to_string();
        let limit = match kind {
            InvocationType::Event => self.limits.event_payload_max,
            InvocationType::RequestResponse => self.limits.call_payload_max,
        };
        if payload.size() > limit {
            return Err(InvokeError::PayloadTooLarge {
                function: function(),
                bytes: payload.size(),
                limit,
            });
        }
        let Some(options) = options else {
            return Ok(());
        };
        if let Some((header, bytes)) = options.meta.longer_than(self.limits.headers_max) {
            return Err(InvokeError::HeaderTooLong {
                function: function(),
                header,
                bytes,
                limit: self.limits.headers_max,
            });
        }
        let hops = options.meta.hops;
        if let Some(limit) = mailbox
            .live_settings
            .hops_max()
            .filter(|&limit| hops >= limit)
        {
            mailbox.meter(|meters| meters.recursive_invocations_dropped += 1);
            return Err(InvokeError::Recursion {
                function: function(),
                hops,
                limit,
            });
        }
        if let Some(problem) = options
            .meta
            .retry
            .as_ref()
            .and_then(|policy| policy.fault())
        {
            return Err(InvokeError::Setting(Fault {
                function: function(),
                field: "retry",
                problem: problem.to_owned(),
            }));
        }
        let faults = [
            (
                "deduplicate",
                options.deduplicate.as_ref().and_then(faulty_key),
            ),
            (
                "durability",
                options.durability.and_then(|wanted| self.undurable(wanted)),
            ),
        ];
        for (field, problem) in faults {
            if let Some(problem) = problem {
                let function = function();
                return Err(InvokeError::Setting(Fault {
                    function,
                    field,
                    problem,
                }));
            }
        }
        Ok(())
    }

    /// Why an event can't be as durable as is wanted.
    fn undurable(&self, wanted: Durability) -> Option<String> {
        (wanted != Durability::Memory && self.store.is_none()).then(|| {
            format!("is {wanted:?}, and the runtime has no store: give it one with `Builder::disk`")
        })
    }

    pub(super) fn enter(
        &self,
        mailbox: &Mailbox,
        kind: InvocationType,
        payload: Payload,
        options: Option<Box<Options>>,
        now: Time,
    ) -> Result<Entry, InvokeError> {
        let mut entry = Entry {
            payload,
            kind,
            side: None,
            request_id: None,
            start: now,
            stored: false,
            proposed: false,
        };
        if let Some(mut options) = options {
            let meta = &mut options.meta;
            if let Some(qualifier) = &meta.qualifier {
                let version = self.version(mailbox, qualifier)?;
                meta.version = Some(version).filter(|version| &**version != LATEST);
            }
            if kind == InvocationType::Event {
                meta.client_context = None;
            }
            let mut not_before = None;
            match options.start {
                Start::Now => {}
                Start::After(delay) => entry.start = now.after(delay),
                Start::At(wall) => {
                    if let Some(due) = self.clock.until(wall) {
                        (entry.start, not_before) = (due, Some(wall));
                    }
                }
            }
            entry.request_id = options.request_id;
            entry.proposed = options.request_id.is_some();
            entry.side = Side::of(options.meta.into(), not_before);
        }
        Ok(entry)
    }

    /// The version of the function that runs under `qualifier`.
    fn version(&self, mailbox: &Mailbox, qualifier: &str) -> Result<Arc<str>, InvokeError> {
        let chance = self.clock.chance();
        let version = mailbox.function.versions().version(qualifier, chance);
        version.ok_or_else(|| InvokeError::UnknownQualifier {
            function: mailbox.name().to_string(),
            qualifier: excerpt(qualifier, NAME_SHOWN),
        })
    }

    pub(super) fn callable(&self, mailbox: &Mailbox) -> Result<(), InvokeError> {
        let function = || mailbox.name().to_string();
        if mailbox.live_settings.is_reserved_zero() {
            mailbox.meter(|meters| meters.throttles += 1);
            return Err(InvokeError::ZeroReservedConcurrency {
                function: function(),
            });
        }
        let reserved = mailbox.live_settings.reserved();
        if let Some(reserved) = reserved.filter(|&it| mailbox.executing() >= u64::from(it)) {
            mailbox.meter(|meters| meters.throttles += 1);
            return Err(InvokeError::ReservedConcurrencyInUse {
                function: function(),
                reserved,
            });
        }
        if mailbox.is_paused() {
            mailbox.meter(|meters| meters.throttles += 1);
            return Err(InvokeError::Paused {
                function: function(),
            });
        }
        Ok(())
    }
}

/// Longest key of an event, in bytes.
const KEY_MAX: usize = 256;

fn faulty_key(deduplicate: &Deduplicate) -> Option<String> {
    let len = deduplicate.key.len();
    if len == 0 || len > KEY_MAX {
        Some(format!("has a key of {len} bytes: use 1 to {KEY_MAX}"))
    } else if deduplicate.window.is_zero() {
        Some("has a window of zero: nothing would be a duplicate".to_owned())
    } else {
        None
    }
}

pub(super) fn serialisable(
    function: &str,
    payload: Result<Payload, PayloadError>,
) -> Result<Payload, InvokeError> {
    payload.map_err(|source| InvokeError::PayloadUnserialisable {
        function: function.to_owned(),
        source,
    })
}
