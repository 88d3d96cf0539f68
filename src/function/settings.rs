//! A function's settings, their defaults, and the faults that are found in them.

use std::time::Duration;

use crate::error::Fault;
use crate::event::function_name::FunctionName;
use crate::event::retry_policy::RetryPolicy;
use crate::function::crash_loop::RestartIntensity;

/// How many retained outcomes of finished events a function keeps, for `status`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Retention {
    pub(crate) events_max: u32,
    pub(crate) bytes_max: u64,
    pub(crate) age_max: Duration,
}

/// A function's settings. The defaults are AWS's where AWS has one.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) concurrency: u32,
    pub(crate) reserved_zero: bool,
    pub(crate) timeout: Duration,
    pub(crate) init_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) event_age_max: Duration,
    pub(crate) mailbox_events_max: u32,
    pub(crate) mailbox_bytes_max: u64,
    pub(crate) window: u32,
    pub(crate) keep_alive: Duration,
    pub(crate) hops_max: Option<u8>,
    pub(crate) deduplication_keys_max: u32,
    pub(crate) restarts: RestartIntensity,
    pub(crate) abandoned_threads_max: u32,
    pub(crate) retention: Retention,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 10,
            reserved_zero: false,
            timeout: Duration::from_secs(3), // CON-06
            init_timeout: Duration::from_secs(10),
            retry: RetryPolicy::lambda(),               // ASY-13, ASY-14
            event_age_max: Duration::from_secs(21_600), // ASY-34
            mailbox_events_max: 100_000,
            mailbox_bytes_max: 256 << 20,
            window: 10_000,
            keep_alive: Duration::from_secs(60),
            hops_max: Some(16), // REC-01
            deduplication_keys_max: 1_000_000,
            restarts: RestartIntensity::default(),
            abandoned_threads_max: 16,
            retention: Retention {
                events_max: 1_000,
                bytes_max: 8 << 20,
                age_max: Duration::from_secs(300),
            },
        }
    }
}

/// More pending events than a request id can number.
const EVENTS_LIMIT: u32 = 1 << 27;
pub(crate) const CONCURRENCY_LIMIT: u32 = 100_000;

impl Settings {
    /// Returns all faults at once.
    pub(crate) fn faults(&self, name: &FunctionName) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |field, problem: Option<String>| {
            faults.extend(problem.map(|problem| Fault {
                function: name.to_string(),
                field,
                problem,
            }));
        };
        let positive = |duration: Duration| {
            duration
                .is_zero()
                .then(|| "is zero: give it at least a millisecond".to_owned())
        };
        let within = |value: u32, limit: u32| {
            (value == 0 || value > limit).then(|| format!("is {value}: use 1 to {limit}"))
        };
        check("name", name.fault());
        check("concurrency", within(self.concurrency, CONCURRENCY_LIMIT));
        check("timeout", positive(self.timeout));
        check("init_timeout", positive(self.init_timeout));
        check("keep_alive", positive(self.keep_alive));
        check("retry", self.retry.fault().map(str::to_owned));
        check("event_age_max", positive(self.event_age_max));
        check(
            "mailbox_events_max",
            within(self.mailbox_events_max, EVENTS_LIMIT),
        );
        check(
            "mailbox_bytes_max",
            (self.mailbox_bytes_max == 0).then(|| "is 0: no event would fit".to_owned()),
        );
        check("window", within(self.window, EVENTS_LIMIT));
        check("restarts", self.restarts.fault().map(str::to_owned));
        check(
            "abandoned_threads_max",
            within(self.abandoned_threads_max, CONCURRENCY_LIMIT),
        );
        check(
            "deduplication_keys_max",
            (self.deduplication_keys_max == 0).then(|| "is 0: no key could be taken".to_owned()),
        );
        check(
            "retain",
            (self.retention.events_max > EVENTS_LIMIT)
                .then(|| format!("is above {EVENTS_LIMIT} events")),
        );
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_at_once() {
        let settings = Settings {
            concurrency: 0,
            timeout: Duration::ZERO,
            mailbox_events_max: 0,
            ..Settings::default()
        };
        let faults = settings.faults(&FunctionName::new("re size"));
        let fields: Vec<_> = faults.iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            ["name", "concurrency", "timeout", "mailbox_events_max"]
        );
        assert_eq!(
            faults[0].to_string(),
            "function `re size`: name: holds ' ': use letters, digits, `-` and `_`"
        );
    }

    /// NAM-01
    #[test]
    fn names_have_1_to_64_legal_characters() {
        let faulty = |name: &str| FunctionName::new(name).fault().is_some();
        assert!(!faulty("a") && !faulty(&"a".repeat(64)) && !faulty("Resize_v2-x"));
        assert!(faulty("") && faulty(&"a".repeat(65)) && faulty("ä") && faulty("a.b"));
    }
}
