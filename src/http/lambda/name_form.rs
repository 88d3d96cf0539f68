//! The forms in which AWS's operations take a function's name, and the constraints on a qualifier (NAM-03 to NAM-06).

use super::function_ref::{FunctionRef, PUBLISHED};
use crate::http::constraint::Constraint;

/// NAM-06
const QUALIFIER_MAX: usize = 128;
/// The pattern of AWS's model, which errors quote (NAM-04).
const QUALIFIER_PATTERN: &str = "\\$(LATEST(\\.PUBLISHED)?)|[a-zA-Z0-9-_$]+";

/// The forms in which AWS's operations take a function's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameForm {
    /// With a qualifier or not, and with dots.
    Namespaced,
    /// With a qualifier or not.
    Plain,
    Unqualified,
}

impl NameForm {
    /// Returns the greatest length (NAM-03).
    fn length_max(self) -> usize {
        match self {
            Self::Namespaced => 256,
            Self::Plain | Self::Unqualified => 140,
        }
    }

    /// Returns the pattern of AWS's model, which errors quote (NAM-04).
    fn pattern(self) -> &'static str {
        match self {
            Self::Namespaced => {
                r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
            }
            Self::Plain => {
                r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
            }
            Self::Unqualified => {
                r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)"
            }
        }
    }

    fn takes(self, target: &FunctionRef<'_>) -> bool {
        match (self, &target.qualifier) {
            (Self::Namespaced, _) => true,
            (Self::Unqualified, Some(_)) => false,
            (_, Some(qualifier)) if *qualifier == PUBLISHED => false,
            _ => !target.name.contains('.'),
        }
    }

    /// Reads a name, and adds a message for each constraint that it breaks. Returns `None` if it isn't of this form.
    pub(crate) fn read<'a>(
        self,
        field: &str,
        text: &'a str,
        broken: &mut Vec<String>,
    ) -> Option<FunctionRef<'a>> {
        let mut add = |constraint: Constraint<'_>| broken.push(constraint.broken_by(field, text));
        let max = self.length_max();
        if text.is_empty() {
            add(Constraint::LengthMin(1));
        }
        if text.len() > max && text.chars().count() > max {
            add(Constraint::LengthMax(max));
        }
        let target = FunctionRef::parse(text).filter(|target| self.takes(target));
        if target.is_none() {
            add(Constraint::Pattern(self.pattern()));
        }
        target
    }
}

/// Checks a qualifier, and adds a message for each constraint that it breaks (NAM-06).
pub(crate) fn check_qualifier(field: &str, text: &str, broken: &mut Vec<String>) {
    let mut add = |constraint: Constraint<'_>| broken.push(constraint.broken_by(field, text));
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '$' | '_' | '-');
    if text.is_empty() {
        add(Constraint::LengthMin(1));
    }
    if text.len() > QUALIFIER_MAX && text.chars().count() > QUALIFIER_MAX {
        add(Constraint::LengthMax(QUALIFIER_MAX));
    }
    if text != PUBLISHED && (text.is_empty() || !text.chars().all(legal)) {
        add(Constraint::Pattern(QUALIFIER_PATTERN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NAM-01, NAM-02, NAM-03
    #[test]
    fn each_form_of_a_name_has_its_length_and_its_pattern() {
        let broken = |names: NameForm, text: &str| {
            let mut broken = Vec::new();
            let _ = names.read("functionName", text, &mut broken);
            broken.len()
        };
        use NameForm::{Namespaced, Plain, Unqualified};
        let (long, bad) = ("f".repeat(141), "!".repeat(257));
        for (text, faults) in [
            ("f", [0, 0, 0]),
            ("", [2, 2, 2]),
            ("f:live", [0, 0, 1]),
            ("f:$LATEST", [0, 0, 1]),
            ("f:$LATEST.PUBLISHED", [0, 1, 1]),
            ("name.space", [0, 1, 1]),
            ("us-isob-east-1:000000000000:function:f", [0, 0, 0]),
            ("function:f", [0, 0, 0]),
            (&long, [0, 1, 1]),
            (&bad, [2, 2, 2]),
        ] {
            let found = [Namespaced, Plain, Unqualified].map(|names| broken(names, text));
            assert_eq!(found, faults, "{text}");
        }
    }
}
