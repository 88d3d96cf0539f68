//! The checks that come before a mailbox is asked: sizes, options, versions. A checked event becomes an entry for the
//! mailbox, which refuses it if it is full (`queue/admit.rs`).

use std::sync::Arc;

use super::refusal::NAME_SHOWN;
use crate::base::clock::Clock;
use crate::base::excerpt::excerpt;
use crate::base::time::Time;
use crate::error::Fault;
use crate::error::InvokeError;
use crate::event::meta::LATEST;
use crate::event::payload::{Payload, PayloadError};
use crate::event::{Deduplicate, Durability, InvocationType, Options, Start};
use crate::idempotency::Bounds;
use crate::mailbox::Mailbox;
use crate::queue::entry::{Entry, Side};

/// Bounds that are the same for all functions.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) event_payload_max: usize,
    pub(crate) call_payload_max: usize,
    pub(crate) headers_max: usize,
    pub(crate) concurrent_executions_max: u32,
    pub(crate) idempotency: Bounds,
}

/// The checks of one runtime.
pub(crate) struct Checks {
    pub(crate) limits: Limits,
    pub(super) clock: Clock,
    pub(super) has_store: bool,
}

impl Checks {
    /// Checks all that can be checked before the mailbox is asked, and returns the event's entry.
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
        self.check_size(mailbox, kind, payload)?;
        let Some(options) = options else {
            return Ok(());
        };
        self.check_headers(mailbox, options)?;
        check_hops(mailbox, options.meta.hops)?;
        self.check_settings(mailbox, options)
    }

    fn check_size(
        &self,
        mailbox: &Mailbox,
        kind: InvocationType,
        payload: &Payload,
    ) -> Result<(), InvokeError> {
        let limit = match kind {
            InvocationType::Event => self.limits.event_payload_max,
            InvocationType::RequestResponse => self.limits.call_payload_max,
        };
        if payload.size() <= limit {
            return Ok(());
        }
        Err(InvokeError::PayloadTooLarge {
            function: mailbox.name().to_string(),
            bytes: payload.size(),
            limit,
        })
    }

    fn check_headers(&self, mailbox: &Mailbox, options: &Options) -> Result<(), InvokeError> {
        let limit = self.limits.headers_max;
        let Some((header, bytes)) = options.meta.longer_than(limit) else {
            return Ok(());
        };
        Err(InvokeError::HeaderTooLong {
            function: mailbox.name().to_string(),
            header,
            bytes,
            limit,
        })
    }

    /// Refuses the first of these options that is faulty.
    fn check_settings(&self, mailbox: &Mailbox, options: &Options) -> Result<(), InvokeError> {
        let retry = options
            .meta
            .retry
            .as_ref()
            .and_then(|policy| policy.fault());
        let key = || options.deduplicate.as_ref().and_then(faulty_key);
        let durability = || options.durability.and_then(|wanted| self.undurable(wanted));
        let (field, problem) = if let Some(problem) = retry {
            ("retry", problem.to_owned())
        } else if let Some(problem) = key() {
            ("deduplicate", problem)
        } else if let Some(problem) = durability() {
            ("durability", problem)
        } else {
            return Ok(());
        };
        Err(InvokeError::Setting(Fault {
            function: mailbox.name().to_string(),
            field,
            problem,
        }))
    }

    /// Returns why an event can't be as durable as is wanted.
    fn undurable(&self, wanted: Durability) -> Option<String> {
        (wanted != Durability::Memory && !self.has_store).then(|| {
            format!("is {wanted:?}, and the runtime has no store: give it one with `Builder::disk`")
        })
    }

    /// Returns the entry of a checked event.
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
            chosen_id: false,
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
            entry.chosen_id = options.request_id.is_some();
            entry.side = Side::of(options.meta.into(), not_before);
        }
        Ok(entry)
    }

    /// Returns the version of the function that runs under `qualifier`.
    fn version(&self, mailbox: &Mailbox, qualifier: &str) -> Result<Arc<str>, InvokeError> {
        let chance = self.clock.chance();
        let version = mailbox.function.versions().version(qualifier, chance);
        version.ok_or_else(|| InvokeError::UnknownQualifier {
            function: mailbox.name().to_string(),
            qualifier: excerpt(qualifier, NAME_SHOWN),
        })
    }
}

/// Refuses an event that is one hop too many.
fn check_hops(mailbox: &Mailbox, hops: u8) -> Result<(), InvokeError> {
    let limit = mailbox.live_settings.hops_max();
    let Some(limit) = limit.filter(|&limit| hops >= limit) else {
        return Ok(());
    };
    mailbox.meter(|meters| meters.recursive_invocations_dropped += 1);
    Err(InvokeError::Recursion {
        function: mailbox.name().to_string(),
        hops,
        limit,
    })
}

/// Refuses a call that its function can't begin: it is paused, or its concurrency is in use.
pub(super) fn check_call(mailbox: &Mailbox) -> Result<(), InvokeError> {
    let function = || mailbox.name().to_string();
    if mailbox.live_settings.is_reserved_zero() {
        mailbox.meter(|meters| meters.throttles += 1);
        return Err(InvokeError::ZeroReservedConcurrency {
            function: function(),
        });
    }
    let reserved = mailbox.live_settings.reserved();
    if let Some(reserved) = reserved.filter(|&it| mailbox.inspect().executing() >= u64::from(it)) {
        mailbox.meter(|meters| meters.throttles += 1);
        return Err(InvokeError::ReservedConcurrencyInUse {
            function: function(),
            reserved,
        });
    }
    if mailbox.inspect().is_paused() {
        mailbox.meter(|meters| meters.throttles += 1);
        return Err(InvokeError::Paused {
            function: function(),
        });
    }
    Ok(())
}

/// Longest deduplication key, in bytes.
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
