//! The constraint on a text: its length in characters, and its pattern.

use std::sync::OnceLock;

use regex_lite::Regex;

use crate::http::constraint::Constraint;

/// The bounds of a text's length, in characters, and its pattern.
pub(super) struct TextRule {
    min: usize,
    max: usize,
    pattern: Option<&'static str>,
    test: PatternTest,
}

/// The test of a text against its pattern.
enum PatternTest {
    /// The pattern as a regular expression, compiled at the first use.
    Regex(OnceLock<Option<Regex>>),
    /// A function with the same result: `regex-lite` has neither look-ahead nor classes of Unicode.
    Function(fn(&str) -> bool),
}

impl TextRule {
    pub(super) const fn new(min: usize, max: usize, pattern: &'static str) -> Self {
        Self {
            min,
            max,
            pattern: Some(pattern),
            test: PatternTest::Regex(OnceLock::new()),
        }
    }

    /// Returns the rule with a function in place of the pattern, which errors still quote.
    pub(super) const fn tested(
        min: usize,
        max: usize,
        pattern: &'static str,
        test: fn(&str) -> bool,
    ) -> Self {
        Self {
            min,
            max,
            pattern: Some(pattern),
            test: PatternTest::Function(test),
        }
    }

    /// Returns the rule without a pattern.
    pub(super) const fn any(min: usize, max: usize) -> Self {
        Self {
            min,
            max,
            pattern: None,
            test: PatternTest::Function(|_| true),
        }
    }

    /// Checks a text, and adds a message for each violation.
    pub(super) fn check(&self, field: &str, value: &str, broken: &mut Vec<String>) {
        let constraints = self.broken_by(value);
        broken.extend(constraints.map(|constraint| constraint.broken_by(field, value)));
    }

    /// Returns whether a text breaks no constraint.
    pub(super) fn holds(&self, value: &str) -> bool {
        self.broken_by(value).next().is_none()
    }

    fn broken_by(&self, value: &str) -> impl Iterator<Item = Constraint<'static>> {
        let length = value.chars().count();
        let short = (length < self.min).then_some(Constraint::LengthMin(self.min));
        let long = (length > self.max).then_some(Constraint::LengthMax(self.max));
        let other = self.pattern.filter(|_| !self.matches(value));
        let other = other.map(Constraint::Pattern);
        [short, long, other].into_iter().flatten()
    }

    fn matches(&self, value: &str) -> bool {
        let compiled = match &self.test {
            PatternTest::Function(test) => return test(value),
            PatternTest::Regex(compiled) => compiled,
        };
        let compile = || Regex::new(&format!("^(?:{})$", self.pattern?)).ok();
        let compiled = compiled.get_or_init(compile);
        compiled.as_ref().is_none_or(|it| it.is_match(value))
    }

    /// Returns all constraints in AWS's words, as for the items of a list.
    pub(super) fn in_words(&self) -> String {
        let mut rules = Vec::new();
        if self.max < usize::MAX {
            rules.push(Constraint::LengthMax(self.max).in_words());
            rules.push(Constraint::LengthMin(self.min).in_words());
        }
        rules.extend(self.pattern.map(|it| Constraint::Pattern(it).in_words()));
        rules.push("Member must not be null".to_owned());
        format!("[{}]", rules.join(", "))
    }
}

#[cfg(test)]
impl TextRule {
    /// Returns whether its pattern can be tested.
    pub(super) fn compiles(&self) -> bool {
        self.matches("");
        match &self.test {
            PatternTest::Regex(compiled) => compiled.get().is_some_and(Option::is_some),
            PatternTest::Function(_) => true,
        }
    }
}
