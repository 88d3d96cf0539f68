//! A text of a policy that a request is compared with: it may hold the wildcards `*` and `?`, and variables such as
//! `${aws:username}`.

use super::condition_values::{ConditionKey, ConditionValues};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Char(char),
    /// `?`
    One,
    /// `*`
    Any,
    /// Stands for the request's value of a key, or for a default.
    Variable(ConditionKey, Option<String>),
}

/// Whether `*` and `?` match other characters or only themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcards {
    Active,
    Literal,
}

impl Pattern {
    /// # Errors
    /// The fault of a variable.
    pub(super) fn parse(text: &str, wildcards: Wildcards) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(variable) = rest.strip_prefix("${") {
                let (name, after) = variable
                    .split_once('}')
                    .ok_or_else(|| format!("`{rest}` has no closing brace"))?;
                pieces.push(variable_piece(name)?);
                rest = after;
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match (c, wildcards) {
                // Several in a row match the same texts as one.
                ('*', Wildcards::Active) if pieces.last() == Some(&Piece::Any) => {}
                ('*', Wildcards::Active) => pieces.push(Piece::Any),
                ('?', Wildcards::Active) => pieces.push(Piece::One),
                (c, _) => pieces.push(Piece::Char(c)),
            }
        }
        Ok(Self(pieces))
    }

    pub(super) fn matches(&self, text: &str, context: &ConditionValues) -> bool {
        self.compare(text, context, false)
    }

    pub(super) fn matches_in_any_case(&self, text: &str, context: &ConditionValues) -> bool {
        self.compare(text, context, true)
    }

    fn compare(&self, text: &str, context: &ConditionValues, any_case: bool) -> bool {
        let variable = |piece: &Piece| matches!(piece, Piece::Variable(..));
        if !self.0.iter().any(variable) {
            return compare(&self.0, text, any_case);
        }
        // A variable without a value matches nothing.
        let Some(pieces) = self.with_values(context) else {
            return false;
        };
        compare(&pieces, text, any_case)
    }

    /// Returns the pieces with each variable replaced, or `None` if one has neither value nor default.
    fn with_values(&self, context: &ConditionValues) -> Option<Vec<Piece>> {
        let mut pieces = Vec::with_capacity(self.0.len());
        for piece in &self.0 {
            match piece {
                Piece::Variable(key, default) => {
                    let value = context.get(*key).or(default.as_deref())?;
                    // A `*` in a value is a plain character: the user named `*` is one user.
                    pieces.extend(value.chars().map(Piece::Char));
                }
                piece => pieces.push(piece.clone()),
            }
        }
        Some(pieces)
    }
}

fn variable_piece(name: &str) -> Result<Piece, String> {
    if let "*" | "?" | "$" = name {
        return Ok(name.chars().next().map_or(Piece::Any, Piece::Char));
    }
    let (name, default) = match name.split_once(',') {
        None => (name.trim(), None),
        Some((name, default)) => {
            let default = default.trim();
            let inner = default
                .strip_prefix('\'')
                .and_then(|it| it.strip_suffix('\''));
            let inner = inner.ok_or_else(|| {
                format!("the default of `${{{name}}}` must stand in single quotes")
            })?;
            (name.trim(), Some(inner.to_owned()))
        }
    };
    let key = ConditionKey::named(name)
        .ok_or_else(|| format!("the variable `${{{name}}}` is unknown"))?;
    Ok(Piece::Variable(key, default))
}

/// Backtracks to the last `*` only, so the time is bounded by the product of the lengths.
fn compare(pieces: &[Piece], text: &str, any_case: bool) -> bool {
    let same = |one: char, other: char| match any_case {
        true => one.to_lowercase().eq(other.to_lowercase()),
        false => one == other,
    };
    let (mut at, mut rest) = (0, text);
    // The piece after the last star, and the text that is tried there next.
    let mut star: Option<(usize, &str)> = None;
    loop {
        let c = rest.chars().next();
        let after = |c: char| &rest[c.len_utf8()..];
        match (pieces.get(at), c) {
            (Some(Piece::Any), _) => {
                star = Some((at + 1, rest));
                at += 1;
                continue;
            }
            (Some(Piece::One), Some(c)) => {
                (at, rest) = (at + 1, after(c));
                continue;
            }
            (Some(Piece::Char(piece)), Some(c)) if same(*piece, c) => {
                (at, rest) = (at + 1, after(c));
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((place, tried)) = star else {
            return false;
        };
        let mut next = tried.chars();
        if next.next().is_none() {
            return false;
        }
        star = Some((place, next.as_str()));
        (at, rest) = (place, next.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let pattern = Pattern::parse(pattern, Wildcards::Active).unwrap();
        pattern.matches(text, &ConditionValues::new().with("aws:username", "a*"))
    }

    #[test]
    fn wildcards_and_variables_are_matched() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("a*c", "abbc"),
            ("a?c", "aöc"),
            ("*a*b*", "xxaxxbxx"),
            ("${aws:username}/*", "a*/x"),
            ("${*}${?}${$}", "*?$"),
            ("${aws:userid, 'nobody'}", "nobody"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "b"),
            ("?", ""),
            ("a*c", "abb"),
            ("${aws:username}", "ax"),
            ("${aws:userid}", ""),
            ("${*}", "x"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        for faulty in ["${aws:username", "${aws:nonsense}", "${aws:userid, nobody}"] {
            Pattern::parse(faulty, Wildcards::Active).unwrap_err();
        }
    }

    /// A naive matcher that tries every way.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                naive(rest, text) || matches!(text, [_, after @ ..] if naive(pattern, after))
            }
            (['?', rest @ ..], [_, after @ ..]) => naive(rest, after),
            ([one, rest @ ..], [other, after @ ..]) if one == other => naive(rest, after),
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn the_matcher_agrees_with_a_naive_one(
            pattern in "[ab?*]{0,10}",
            text in "[ab]{0,10}",
        ) {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = naive(&letters(&pattern), &letters(&text));
            proptest::prop_assert_eq!(matches(&pattern, &text), expected);
        }
    }

    #[test]
    fn long_patterns_are_matched_fast() {
        let stars = "*".repeat(1 << 20);
        assert!(matches(&stars, &"x".repeat(2_048)));
        let hard = "a*".repeat(5_000);
        assert!(!matches(&format!("{hard}b"), &"a".repeat(2_048)));
    }
}
