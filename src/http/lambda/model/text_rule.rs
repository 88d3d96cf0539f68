//! The constraint on a text: its length in characters, and its pattern.

use std::sync::OnceLock;

use regex_lite::Regex;

use crate::http::constraint::Constraint;

/// The length of a text, in characters, and its pattern.
pub(super) struct TextRule {
    min: usize,
    max: usize,
    pattern: Option<&'static str>,
    test: PatternTest,
}

/// How a text is held against its pattern.
enum PatternTest {
    /// As it stands; made at the first use.
    Pattern(OnceLock<Option<Regex>>),
    /// Without it: the regular expressions here can't look ahead, and know no classes of Unicode.
    By(fn(&str) -> bool),
}

impl TextRule {
    pub(super) const fn new(min: usize, max: usize, pattern: &'static str) -> Self {
        Self {
            min,
            max,
            pattern: Some(pattern),
            test: PatternTest::Pattern(OnceLock::new()),
        }
    }

    /// With a test that is as good as the pattern.
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
            test: PatternTest::By(test),
        }
    }

    pub(super) const fn any(min: usize, max: usize) -> Self {
        Self {
            min,
            max,
            pattern: None,
            test: PatternTest::By(|_| true),
        }
    }

    pub(super) fn check(&self, field: &str, value: &str, broken: &mut Vec<String>) {
        let constraints = self.broken_by(value);
        broken.extend(constraints.map(|constraint| constraint.broken_by(field, value)));
    }

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
            PatternTest::By(test) => return test(value),
            PatternTest::Pattern(compiled) => compiled,
        };
        let compile = || Regex::new(&format!("^(?:{})$", self.pattern?)).ok();
        let compiled = compiled.get_or_init(compile);
        compiled.as_ref().is_none_or(|it| it.is_match(value))
    }

    /// All its constraints, as AWS names them for the items of a list.
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
    /// Can its pattern be tried at all?
    pub(super) fn compiles(&self) -> bool {
        self.matches("");
        match &self.test {
            PatternTest::Pattern(compiled) => compiled.get().is_some_and(Option::is_some),
            PatternTest::By(_) => true,
        }
    }
}
