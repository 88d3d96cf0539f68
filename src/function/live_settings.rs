//! The settings of a function that can change while it runs. They are read at the moment of each decision (ASY-19), without
//! a lock on the hot path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::event::meta::{EventMeta, LATEST};
use crate::event::retry_policy::RetryPolicy;
use crate::function::configuration::{Configuration, EventInvokeConfig, RecursiveLoop};
use crate::function::settings::Settings;

/// A function's run-time configuration.
#[derive(Debug)]
pub(crate) struct LiveSettings {
    concurrency: AtomicU32,
    reserved_zero: AtomicBool,
    /// Hops that are allowed; `HOPS_FREE` if any number is.
    hops_max: AtomicU32,
    timeout_nanos: AtomicU64,
    /// Whether `event_invoke` has entries.
    has_event_invoke: AtomicBool,
    configuration: RwLock<Option<Arc<Configuration>>>,
}

const HOPS_FREE: u32 = u32::MAX;

/// The settings that hold for a function now: those it was registered with, and those that were set since.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// The settings that can't change.
    pub(crate) registered: &'a Settings,
    pub(crate) live_settings: &'a LiveSettings,
}

impl LiveSettings {
    pub(crate) fn new(settings: &Settings) -> Self {
        let live_settings = Self {
            concurrency: AtomicU32::new(0),
            reserved_zero: AtomicBool::new(false),
            hops_max: AtomicU32::new(0),
            timeout_nanos: AtomicU64::new(0),
            has_event_invoke: AtomicBool::new(false),
            configuration: RwLock::new(None),
        };
        live_settings.set(settings, Configuration::default());
        live_settings
    }

    /// Returns the configuration that was set while it ran, if any.
    pub(crate) fn configuration(&self) -> Option<Arc<Configuration>> {
        self.configuration.read().clone()
    }

    /// Replaces the configuration.
    pub(crate) fn set(&self, settings: &Settings, configuration: Configuration) {
        let reserved = configuration.reserved_concurrency;
        let zero = reserved.map_or(settings.reserved_zero, |reserved| reserved == 0);
        let workers = reserved.unwrap_or(settings.concurrency);
        let hops_max = match configuration.recursive_loop {
            None => settings.hops_max,
            Some(RecursiveLoop::Allow) => None,
            Some(RecursiveLoop::Terminate) => settings.hops_max.or(Some(HOPS_MAX)),
        };
        let timeout = configuration.timeout.unwrap_or(settings.timeout);
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let event_invoke = !configuration.event_invoke.is_empty();
        let mut kept = self.configuration.write();
        *kept = (!configuration.is_empty()).then(|| Arc::new(configuration));
        let workers = if zero { 0 } else { workers };
        self.concurrency.store(workers, Ordering::Relaxed);
        self.reserved_zero.store(zero, Ordering::Relaxed);
        let hops_max = hops_max.map_or(HOPS_FREE, u32::from);
        self.hops_max.store(hops_max, Ordering::Relaxed);
        self.timeout_nanos.store(nanos, Ordering::Relaxed);
        self.has_event_invoke.store(event_invoke, Ordering::Relaxed);
    }

    /// Returns how many events may run at once.
    #[inline]
    pub(crate) fn concurrency(&self) -> u32 {
        self.concurrency.load(Ordering::Relaxed)
    }

    /// Returns the reserved concurrency that was set while it ran.
    pub(crate) fn reserved(&self) -> Option<u32> {
        self.configuration.read().as_ref()?.reserved_concurrency
    }

    /// Returns whether its reserved concurrency is 0.
    #[inline]
    pub(crate) fn is_reserved_zero(&self) -> bool {
        self.reserved_zero.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn hops_max(&self) -> Option<u8> {
        u8::try_from(self.hops_max.load(Ordering::Relaxed)).ok()
    }

    #[inline]
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_nanos(self.timeout_nanos.load(Ordering::Relaxed))
    }

    /// Returns the configuration for events like this one, if any.
    #[inline]
    pub(crate) fn event_invoke(&self, meta: &EventMeta) -> Option<EventInvokeConfig> {
        if !self.has_event_invoke.load(Ordering::Relaxed) {
            return None;
        }
        let configuration = self.configuration()?;
        let qualifier = meta.qualifier.as_deref().unwrap_or(LATEST);
        configuration.event_invoke.get(qualifier).cloned()
    }
}

/// REC-01
const HOPS_MAX: u8 = 16;

impl Rules<'_> {
    /// Returns the retry policy of an event like this one that has no policy itself.
    pub(crate) fn retry(&self, meta: &EventMeta) -> RetryPolicy {
        let retries = self
            .live_settings
            .event_invoke(meta)
            .and_then(|config| config.retries_max);
        let policy = self.registered.retry.clone();
        match retries {
            Some(retries) => policy.with_retries(retries),
            None => policy,
        }
    }

    /// Returns the maximum age of an event like this one that has none itself.
    #[inline]
    pub(crate) fn event_age_max(&self, meta: &EventMeta) -> Duration {
        self.live_settings
            .event_invoke(meta)
            .and_then(|config| config.event_age_max)
            .unwrap_or(self.registered.event_age_max)
    }
}
