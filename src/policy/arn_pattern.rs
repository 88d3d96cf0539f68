//! The pattern of an ARN. Its six parts are compared one by one, so a `*` reaches over no colon but those of the last part.

use super::condition_values::ConditionValues;
use super::pattern::{Pattern, Wildcards};

const PARTS: usize = 6;

#[derive(Clone, Debug)]
pub(super) enum ArnPattern {
    /// `*`
    Any(Pattern),
    Parts(Vec<Pattern>),
}

impl ArnPattern {
    /// # Errors
    /// The reason why the text is not the pattern of an ARN.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Pattern::parse(text, Wildcards::Active).map(Self::Any);
        }
        let parts = split(text);
        if parts.len() != PARTS || parts[0] != "arn" {
            return Err(format!("`{text}` is not an ARN of six parts"));
        }
        let patterns: Result<_, _> = parts
            .iter()
            .map(|part| Pattern::parse(part, Wildcards::Active))
            .collect();
        patterns.map(Self::Parts)
    }

    pub(super) fn matches(&self, arn: &str, context: &ConditionValues) -> bool {
        let parts = match self {
            Self::Any(any) => return any.matches(arn, context),
            Self::Parts(parts) => parts,
        };
        let arn: Vec<_> = arn.splitn(PARTS, ':').collect();
        let matches = |(pattern, part): (&Pattern, &&str)| pattern.matches(part, context);
        arn.len() == PARTS && parts.iter().zip(&arn).all(matches)
    }
}

/// Splits at the first five colons that do not belong to a variable, `${aws:username}` for instance.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0_u32);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 && parts.len() < PARTS - 1 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    parts
}
