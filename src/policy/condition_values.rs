//! The values of condition keys: facts about a request beside its caller, action and resource.
//!
//! The set of keys is closed. A policy that names another key is refused when it is loaded.

use std::fmt;

/// A condition key that policies may name. Names ignore case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConditionKey(usize);

/// All keys, in lower case.
const KEYS: [&str; 20] = [
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:sourceip",
    "aws:currenttime",
    "aws:epochtime",
    "aws:securetransport",
    "aws:useragent",
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principaltype",
    "aws:principalorgid",
    "aws:username",
    "aws:userid",
    "aws:referer",
    "aws:requestedregion",
    "lambda:functionarn",
    "lambda:eventsourcetoken",
    "lambda:functionurlauthtype",
    "lambda:invokedviafunctionurl",
    "lambda:principal",
];

impl ConditionKey {
    /// Returns the key of this name, or `None` if the name is unknown.
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = KEYS.iter().position(|key| key.eq_ignore_ascii_case(name));
        found.map(Self)
    }
}

/// The values of condition keys that a request has.
///
/// `Debug` lists the keys and omits the values: one of them may be a token.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConditionValues(Vec<(ConditionKey, String)>);

impl fmt::Debug for ConditionValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.iter().map(|(key, _)| KEYS[key.0]);
        f.debug_set().entries(keys).finish()
    }
}

impl ConditionValues {
    /// Returns an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a key, such as `aws:SourceArn`. A key that no policy can name is ignored.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        if let Some(key) = ConditionKey::named(key) {
            self.0.retain(|(other, _)| *other != key);
            self.0.push((key, value.into()));
        }
        self
    }

    /// Returns the value of a key, if the request has one.
    pub(super) fn get(&self, key: ConditionKey) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| *other == key);
        found.map(|(_, value)| value.as_str())
    }
}
