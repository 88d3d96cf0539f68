//! The filter of dead letters: which of them a list, a purge or a redrive means. Pure.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::event::dead_letter::{Condition, DeadLetter};

/// A choice of dead letters: all of them, unless it is narrowed down.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    function: Option<String>,
    condition: Option<Condition>,
    error_type: Option<String>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
    rule: Option<LetterRule>,
}

/// A rule of the caller, beside the other fields.
#[derive(Clone)]
struct LetterRule(Arc<dyn Fn(&DeadLetter) -> bool + Send + Sync>);

impl fmt::Debug for LetterRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LetterRule")
    }
}

impl Filter {
    /// All dead letters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only the letters of one function.
    pub fn function(mut self, name: impl Into<String>) -> Self {
        self.function = Some(name.into());
        self
    }

    /// Only letters with this condition.
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = Some(condition);
        self
    }

    /// Only letters whose last failure has this error type.
    pub fn error_type(mut self, error_type: impl Into<String>) -> Self {
        self.error_type = Some(error_type.into());
        self
    }

    /// Only letters that died at `time` or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Only letters that died before `time`.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// Only letters for which `rule` is true. It runs in the dead-letter queue's actor, for each letter that matches otherwise.
    // The HTTP API alone has rules: they read its policies.
    #[cfg(feature = "http")]
    pub(crate) fn only(
        mut self,
        rule: impl Fn(&DeadLetter) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.rule = Some(LetterRule(Arc::new(rule)));
        self
    }

    /// Returns the function and the condition, if the filter has no other field.
    pub(super) fn counted(&self) -> Option<(Option<&str>, Option<Condition>)> {
        let Self {
            function,
            condition,
            error_type: None,
            since: None,
            until: None,
            rule: None,
        } = self
        else {
            return None;
        };
        Some((function.as_deref(), *condition))
    }

    /// Returns what checking a letter costs, in checks of a filter without a rule: a rule reads a policy.
    pub(super) fn cost(&self) -> usize {
        match self.rule {
            Some(_) => 10,
            None => 1,
        }
    }

    pub(super) fn function_name(&self) -> Option<&str> {
        self.function.as_deref()
    }

    pub(super) fn matches(&self, letter: &DeadLetter) -> bool {
        let error_type = || letter.failure().map(|failure| failure.error_type.as_str());
        self.function
            .as_ref()
            .is_none_or(|name| name == letter.function.as_str())
            && self
                .condition
                .is_none_or(|condition| condition == letter.condition)
            && self
                .error_type
                .as_ref()
                .is_none_or(|wanted| error_type() == Some(wanted))
            && self.since.is_none_or(|since| letter.died_at >= since)
            && self.until.is_none_or(|until| letter.died_at < until)
            && self.rule.as_ref().is_none_or(|rule| (rule.0)(letter))
    }
}
