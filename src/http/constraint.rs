//! The constraints of AWS's models, in the words in which AWS refuses a value (NAM-04).

/// A constraint that a value breaks.
pub(crate) enum Constraint<'a> {
    Pattern(&'a str),
    LengthMin(usize),
    LengthMax(usize),
    Enum(&'a str),
    Min(i64),
    Max(i64),
}

impl Constraint<'_> {
    /// Returns AWS's message for a value that breaks the constraint.
    pub(crate) fn broken_by(&self, field: &str, value: impl std::fmt::Display) -> String {
        violation(field, value, &self.in_words())
    }

    /// Returns the constraint in AWS's words.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Pattern(pattern) => {
                format!("Member must satisfy regular expression pattern: {pattern}")
            }
            Self::LengthMin(min) => {
                format!("Member must have length greater than or equal to {min}")
            }
            Self::LengthMax(max) => format!("Member must have length less than or equal to {max}"),
            Self::Enum(values) => format!("Member must satisfy enum value set: [{values}]"),
            Self::Min(min) => format!("Member must have value greater than or equal to {min}"),
            Self::Max(max) => format!("Member must have value less than or equal to {max}"),
        }
    }
}

/// Returns AWS's message for a value that breaks a rule.
pub(crate) fn violation(field: &str, value: impl std::fmt::Display, rule: &str) -> String {
    format!("Value '{value}' at '{field}' failed to satisfy constraint: {rule}")
}
