//! The configuration of a function: settings that were changed while it runs, in place of the registered ones.
//!
//! Plain data, in a form that stores keep: an operator sets it, through [`Client::configure`](crate::Client::configure) or
//! AWS's API, and it holds until it is set otherwise. `function/live_settings.rs` applies it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[cfg(feature = "http")]
use crate::event::meta::LATEST;

/// A function's settings that were changed while it ran. Settings that are not set hold as registered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Configuration {
    /// How many events may run at once, in place of [`Function::concurrency`](crate::Function::concurrency). At 0 nothing
    /// runs: all events, waiting and new, go straight to the dead-letter queue (ASY-26, ASY-27), and calls are refused (ASY-28).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_concurrency: Option<u32>,
    /// Its events are held back, as by [`Client::pause`](crate::Client::pause), which lasts for this process only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Whether it may invoke itself without end (CFG-29, REC-06).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recursive_loop: Option<RecursiveLoop>,
    /// How long one attempt may take, in place of [`Function::timeout`](crate::Function::timeout).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The function's tags, as AWS's API sets and lists them: at most 50, with keys of 1 to 128 characters and values of at
    /// most 256. They change nothing of what the function does.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// When AWS's API changed the function itself last, its tags included, if it did (CFG-09); nothing depends on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<SystemTime>,
    /// How events are dealt with that are invoked under a qualifier (CFG-14); those without one are under `$LATEST`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub event_invoke: BTreeMap<String, EventInvokeConfig>,
    /// Who may do what with the function, by qualifier; `$LATEST` stands for the function without one (CFG-31).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub permissions: BTreeMap<String, Permissions>,
}

/// The treatment of a chain of invocations that is too long to be intended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecursiveLoop {
    /// It goes on.
    Allow,
    /// It is cut (REC-01).
    Terminate,
}

/// How the events of one qualifier are dealt with (CFG-12).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EventInvokeConfig {
    /// How often a failed event is retried: 0 to 2 times, after the delays of the function's retry policy.
    pub retries_max: Option<u32>,
    /// How old an event may grow, as [`Function::event_age_max`](crate::Function::event_age_max) says.
    pub event_age_max: Option<Duration>,
    /// The ARN of the destination that records of successes go to.
    pub on_success: Option<String>,
    /// The ARN of the destination that records of dead events go to.
    pub on_failure: Option<String>,
    /// When it was set.
    pub last_modified: SystemTime,
}

impl EventInvokeConfig {
    /// One that sets nothing yet.
    pub fn new(last_modified: SystemTime) -> Self {
        Self {
            retries_max: None,
            event_age_max: None,
            on_success: None,
            on_failure: None,
            last_modified,
        }
    }
}

/// A resource policy, in AWS's language, and which edition of it this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Permissions {
    /// The document, as JSON.
    pub policy: String,
    /// Another one after each change.
    pub revision: Uuid,
}

impl Permissions {
    /// A new edition.
    pub fn new(policy: impl Into<String>) -> Self {
        Self {
            policy: policy.into(),
            revision: new_revision(),
        }
    }
}

fn new_revision() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

impl Configuration {
    /// Returns whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Has AWS's API show another revision of the function itself from now on.
    // Revisions are AWS's API's.
    #[cfg(feature = "http")]
    pub(crate) fn revise(&mut self, now: SystemTime) {
        self.modified_at = Some(now);
        // A function with a policy has that one's revision.
        if let Some(permissions) = self.permissions.get_mut(LATEST) {
            permissions.revision = new_revision();
        }
    }

    /// Returns the faults, each with its field.
    pub(crate) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if let Some(concurrency) = self
            .reserved_concurrency
            .filter(|&it| it > CONCURRENCY_LIMIT)
        {
            let problem = format!("is {concurrency}: use 0 to {CONCURRENCY_LIMIT}");
            faults.push(("reserved_concurrency", problem));
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            let problem = "is zero: give it at least a millisecond".to_owned();
            faults.push(("timeout", problem));
        }
        if self.tags.len() > TAGS_MAX {
            let problem = format!("has {}: use at most {TAGS_MAX}", self.tags.len());
            faults.push(("tags", problem));
        }
        for (key, value) in &self.tags {
            let (key_length, length) = (key.chars().count(), value.chars().count());
            if !(1..=TAG_KEY_MAX).contains(&key_length) || length > TAG_VALUE_MAX {
                let problem = format!(
                    "has a key of {key_length} characters with a value of {length}: use 1 to {TAG_KEY_MAX} and at most {TAG_VALUE_MAX}"
                );
                faults.push(("tags", problem));
            }
        }
        for (qualifier, config) in &self.event_invoke {
            if let Some(retries) = config.retries_max.filter(|&retries| retries > 2) {
                let problem = format!("has {retries} retries for `{qualifier}`: use 0 to 2");
                faults.push(("event_invoke", problem));
            }
            if config.event_age_max.is_some_and(|age| age.is_zero()) {
                let problem = format!("has a maximum age of zero for `{qualifier}`");
                faults.push(("event_invoke", problem));
            }
        }
        faults
    }
}

/// As AWS bounds tags.
pub(crate) const TAGS_MAX: usize = 50;
pub(crate) const TAG_KEY_MAX: usize = 128;
pub(crate) const TAG_VALUE_MAX: usize = 256;

/// As for the registered concurrency.
const CONCURRENCY_LIMIT: u32 = crate::function::settings::CONCURRENCY_LIMIT;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_json_and_unknown_fields_are_refused() {
        let mut configuration = Configuration {
            reserved_concurrency: Some(0),
            recursive_loop: Some(RecursiveLoop::Allow),
            paused: true,
            ..Configuration::default()
        };
        let mut config = EventInvokeConfig::new(SystemTime::UNIX_EPOCH);
        config.retries_max = Some(1);
        let configs = &mut configuration.event_invoke;
        configs.insert("live".to_owned(), config);
        configuration.tags.insert("team".to_owned(), String::new());
        let json = serde_json::to_string(&configuration).unwrap();
        assert_eq!(
            serde_json::from_str::<Configuration>(&json).unwrap(),
            configuration
        );
        assert_eq!(
            serde_json::to_string(&Configuration::default()).unwrap(),
            "{}"
        );
        serde_json::from_str::<Configuration>(r#"{"reserved_concurency": 0}"#).unwrap_err();
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let mut configuration = Configuration {
            reserved_concurrency: Some(u32::MAX),
            timeout: Some(Duration::ZERO),
            ..Configuration::default()
        };
        let mut config = EventInvokeConfig::new(SystemTime::UNIX_EPOCH);
        (config.retries_max, config.event_age_max) = (Some(3), Some(Duration::ZERO));
        let configs = &mut configuration.event_invoke;
        configs.insert("$LATEST".to_owned(), config);
        assert_eq!(configuration.faults().len(), 4);
    }

    #[test]
    fn tags_are_bounded() {
        let tags = |count: usize, key: usize, value: usize| {
            let tag = |n| (format!("{n:0>key$}"), "v".repeat(value));
            let tags = (0..count).map(tag).collect();
            let configuration = Configuration {
                tags,
                ..Configuration::default()
            };
            configuration.faults().len()
        };
        assert_eq!(tags(50, 128, 256), 0);
        assert_eq!(tags(51, 128, 256), 1);
        assert_eq!(tags(1, 129, 256), 1);
        assert_eq!(tags(1, 128, 257), 1);
    }
}
