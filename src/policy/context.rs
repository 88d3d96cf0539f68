//! What is known of a request beside who, what and on what: the values of condition keys.

use std::fmt;

/// A condition key that policies may name. Case says nothing in their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConditionKey(usize);

/// All of them, in lower case.
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
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = KEYS.iter().position(|key| key.eq_ignore_ascii_case(name));
        found.map(Self)
    }
}

/// The values of condition keys that a request has.
///
/// `Debug` shows which keys have one, and no value: a token may be among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConditionValues(Vec<(ConditionKey, String)>);

impl fmt::Debug for ConditionValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.iter().map(|(key, _)| KEYS[key.0]);
        f.debug_set().entries(keys).finish()
    }
}

impl ConditionValues {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key, such as `aws:SourceArn`. One that no policy could name is left out.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        if let Some(key) = ConditionKey::named(key) {
            self.0.retain(|(other, _)| *other != key);
            self.0.push((key, value.into()));
        }
        self
    }

    pub(super) fn get(&self, key: ConditionKey) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| *other == key);
        found.map(|(_, value)| value.as_str())
    }
}
