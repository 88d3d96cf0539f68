//! The comparison of a request's value with a policy's: as text, ARN, boolean, address, number or date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::arn_pattern::ArnPattern;
use super::condition_values::ConditionValues;
use super::network::Network;
use super::pattern::{Pattern, Wildcards};
use super::strict_json::Node;

/// The type of the values that are compared, and for ordered types the order that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    String,
    StringIgnoreCase,
    StringLike,
    Arn,
    Bool,
    Ip,
    Number(Order),
    Date(Order),
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A policy's value.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Text(Pattern),
    Arn(ArnPattern),
    Bool(bool),
    Network(Network),
    Number(f64),
    Date(SystemTime),
}

/// A request's value has another type than the operator compares.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch;

impl Comparison {
    /// Reads a policy's value.
    ///
    /// # Errors
    /// The reason why it does not fit this comparison.
    pub(super) fn operand(self, node: Node) -> Result<Operand, String> {
        match node {
            Node::Text(text) => self.operand_of_text(&text),
            Node::Bool(value) if matches!(self, Self::Bool | Self::Null) => {
                Ok(Operand::Bool(value))
            }
            Node::Number(value) if matches!(self, Self::Number(_)) => Ok(Operand::Number(value)),
            Node::Number(seconds) if matches!(self, Self::Date(_)) => {
                let date = epoch(seconds).ok_or_else(|| format!("{seconds} is not a date"))?;
                Ok(Operand::Date(date))
            }
            other => Err(format!(
                "{other:?} is not a value of this operator: use a string"
            )),
        }
    }

    fn operand_of_text(self, text: &str) -> Result<Operand, String> {
        match self {
            Self::String | Self::StringIgnoreCase => {
                Pattern::parse(text, Wildcards::Literal).map(Operand::Text)
            }
            Self::StringLike => Pattern::parse(text, Wildcards::Active).map(Operand::Text),
            Self::Arn => ArnPattern::parse(text).map(Operand::Arn),
            Self::Bool | Self::Null => boolean(text)
                .map(Operand::Bool)
                .ok_or_else(|| format!("`{text}` must be true or false")),
            Self::Ip => Network::parse(text).map(Operand::Network).ok_or_else(|| {
                format!("`{text}` is not an IP address, with or without a prefix length")
            }),
            Self::Number(_) => number(text)
                .map(Operand::Number)
                .ok_or_else(|| format!("`{text}` is not a number")),
            Self::Date(_) => date(text).map(Operand::Date).ok_or_else(|| {
                format!("`{text}` is not a date; expected for example 2026-01-31T12:00:00Z")
            }),
        }
    }

    /// Returns whether the request's value compares with the operand as it must.
    ///
    /// # Errors
    /// When the value has another type.
    pub(super) fn holds(
        self,
        value: &str,
        operand: &Operand,
        context: &ConditionValues,
    ) -> Result<bool, Mismatch> {
        match (self, operand) {
            (Self::StringIgnoreCase, Operand::Text(text)) => {
                Ok(text.matches_in_any_case(value, context))
            }
            (_, Operand::Text(text)) => Ok(text.matches(value, context)),
            (_, Operand::Arn(arn)) => Ok(arn.matches(value, context)),
            (_, Operand::Bool(expected)) => Ok(boolean(value).ok_or(Mismatch)? == *expected),
            (_, Operand::Network(network)) => {
                Ok(network.contains(value.parse().map_err(|_| Mismatch)?))
            }
            (Self::Number(order), Operand::Number(limit)) => {
                let value = number(value).ok_or(Mismatch)?;
                Ok(value.partial_cmp(limit).is_some_and(|it| order.is(it)))
            }
            (Self::Date(order), Operand::Date(limit)) => {
                let value = date(value).ok_or(Mismatch)?;
                Ok(order.is(value.cmp(limit)))
            }
            _ => Err(Mismatch),
        }
    }
}

impl Order {
    fn is(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn epoch(seconds: f64) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    UNIX_EPOCH.checked_add(since)
}

/// Reads RFC 3339 in UTC, a day, or seconds since 1970.
fn date(text: &str) -> Option<SystemTime> {
    if let Some(seconds) = number(text) {
        return epoch(seconds);
    }
    let day = || humantime::parse_rfc3339(&format!("{text}T00:00:00Z"));
    humantime::parse_rfc3339(text).or_else(|_| day()).ok()
}
