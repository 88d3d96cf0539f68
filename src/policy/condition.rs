//! Conditions: operators, keys and values, compared as AWS does.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::PolicyError;
use super::context::{ConditionKey, ConditionValues};
use super::pattern::{Pattern, Wild};
use super::strict_json::Node;

/// One key under one operator.
#[derive(Clone, Debug)]
pub(super) struct ConditionClause {
    operator: Operator,
    key: ConditionKey,
    values: Vec<Operand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operator {
    test: Comparison,
    negated: bool,
    /// A key that the request doesn't have is no obstacle.
    if_exists: bool,
    quantifier: Option<Quantifier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    ForAllValues,
    ForAnyValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
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
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
enum Operand {
    Text(Pattern),
    /// The six parts of an ARN.
    Arn(Vec<Pattern>),
    Bool(bool),
    Net(Net),
    Number(f64),
    Date(SystemTime),
}

/// A request's value is of another kind than the operator.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch;

impl ConditionClause {
    /// All conditions of a block.
    pub(super) fn read(node: Node, place: &str) -> Result<Vec<Self>, PolicyError> {
        let mut all = Vec::new();
        for (name, keys) in node.map(place)?.into_all() {
            let operator = Operator::named(&name).ok_or_else(|| {
                PolicyError::faulty(place, format!("the operator `{name}` is unknown"))
            })?;
            let place = format!("{place}.{name}");
            let before = all.len();
            for (name, values) in keys.map(&place)?.into_all() {
                let key = ConditionKey::named(&name).ok_or_else(|| {
                    PolicyError::faulty(&*place, format!("the key `{name}` is unknown"))
                })?;
                let place = format!("{place}.{name}");
                let values = values.some(&place)?.into_iter();
                let values: Result<_, _> = values
                    .map(|value| {
                        operator
                            .test
                            .value(value)
                            .map_err(|problem| PolicyError::faulty(&*place, problem))
                    })
                    .collect();
                all.push(Self {
                    operator,
                    key,
                    values: values?,
                });
            }
            // It would demand nothing, which can't be meant.
            if all.len() == before {
                return Err(PolicyError::faulty(place, "it names no key"));
            }
        }
        Ok(all)
    }

    /// Is it met? A value of the wrong kind is an error, which has to deny: in a denying statement, "not met" would allow.
    pub(super) fn is_met(&self, context: &ConditionValues) -> Result<bool, Mismatch> {
        let Operator {
            test,
            negated,
            if_exists,
            quantifier,
        } = self.operator;
        let given = context.get(self.key);
        if test == Comparison::Null {
            let absent = given.is_none();
            let wanted =
                |value: &Operand| matches!(value, Operand::Bool(wanted) if *wanted == absent);
            return Ok(self.values.iter().any(wanted));
        }
        let Some(given) = given else {
            return Ok(match quantifier {
                _ if if_exists => true,
                Some(Quantifier::ForAllValues) => true,
                Some(Quantifier::ForAnyValue) => false,
                None => negated,
            });
        };
        let mut any = false;
        for value in &self.values {
            any |= test.holds(given, value, context)?;
        }
        Ok(any != negated)
    }
}

impl Operator {
    fn named(name: &str) -> Option<Self> {
        let (quantifier, name) = match name.split_once(':') {
            None => (None, name),
            Some(("ForAllValues", name)) => (Some(Quantifier::ForAllValues), name),
            Some(("ForAnyValue", name)) => (Some(Quantifier::ForAnyValue), name),
            Some(_) => return None,
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        use Order::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        let (test, negated) = match name {
            "StringEquals" => (Comparison::String, false),
            "StringNotEquals" => (Comparison::String, true),
            "StringEqualsIgnoreCase" => (Comparison::StringIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Comparison::StringIgnoreCase, true),
            "StringLike" => (Comparison::StringLike, false),
            "StringNotLike" => (Comparison::StringLike, true),
            // To AWS, `ArnEquals` and `ArnLike` are the same.
            "ArnEquals" | "ArnLike" => (Comparison::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Comparison::Arn, true),
            "Bool" => (Comparison::Bool, false),
            "IpAddress" => (Comparison::Ip, false),
            "NotIpAddress" => (Comparison::Ip, true),
            "NumericEquals" => (Comparison::Number(Equal), false),
            "NumericNotEquals" => (Comparison::Number(Equal), true),
            "NumericLessThan" => (Comparison::Number(Less), false),
            "NumericLessThanEquals" => (Comparison::Number(LessOrEqual), false),
            "NumericGreaterThan" => (Comparison::Number(Greater), false),
            "NumericGreaterThanEquals" => (Comparison::Number(GreaterOrEqual), false),
            "DateEquals" => (Comparison::Date(Equal), false),
            "DateNotEquals" => (Comparison::Date(Equal), true),
            "DateLessThan" => (Comparison::Date(Less), false),
            "DateLessThanEquals" => (Comparison::Date(LessOrEqual), false),
            "DateGreaterThan" => (Comparison::Date(Greater), false),
            "DateGreaterThanEquals" => (Comparison::Date(GreaterOrEqual), false),
            // Whether a key is there can't depend on its being there.
            "Null" if !if_exists && quantifier.is_none() => (Comparison::Null, false),
            _ => return None,
        };
        Some(Self {
            test,
            negated,
            if_exists,
            quantifier,
        })
    }
}

impl Comparison {
    /// A policy's value.
    fn value(self, node: Node) -> Result<Operand, String> {
        let text = match node {
            Node::Text(text) => text,
            Node::Bool(value) if matches!(self, Self::Bool | Self::Null) => {
                return Ok(Operand::Bool(value));
            }
            Node::Number(value) if matches!(self, Self::Number(_)) => {
                return Ok(Operand::Number(value));
            }
            Node::Number(seconds) if matches!(self, Self::Date(_)) => {
                let date = epoch(seconds).ok_or_else(|| format!("{seconds} is no date"))?;
                return Ok(Operand::Date(date));
            }
            other => {
                return Err(format!(
                    "{other:?} is no value of this operator: use a string"
                ));
            }
        };
        match self {
            Self::String | Self::StringIgnoreCase => {
                Pattern::parse(&text, Wild::Letters).map(Operand::Text)
            }
            Self::StringLike => Pattern::parse(&text, Wild::Cards).map(Operand::Text),
            Self::Arn => arn_parts(&text).map(Operand::Arn),
            Self::Bool | Self::Null => boolean(&text)
                .map(Operand::Bool)
                .ok_or_else(|| format!("`{text}` must be true or false")),
            Self::Ip => Net::parse(&text).map(Operand::Net).ok_or_else(|| {
                format!("`{text}` is no IP address, with or without a prefix length")
            }),
            Self::Number(_) => number(&text)
                .map(Operand::Number)
                .ok_or_else(|| format!("`{text}` is no number")),
            Self::Date(_) => date(&text)
                .map(Operand::Date)
                .ok_or_else(|| format!("`{text}` is no date such as 2026-01-31T12:00:00Z")),
        }
    }

    fn holds(
        self,
        given: &str,
        value: &Operand,
        context: &ConditionValues,
    ) -> Result<bool, Mismatch> {
        match (self, value) {
            (Self::StringIgnoreCase, Operand::Text(text)) => {
                Ok(text.matches_in_any_case(given, context))
            }
            (_, Operand::Text(text)) => Ok(text.matches(given, context)),
            (_, Operand::Arn(parts)) => Ok(arn_matches(parts, given, context)),
            (_, Operand::Bool(value)) => Ok(boolean(given).ok_or(Mismatch)? == *value),
            (_, Operand::Net(net)) => Ok(net.has(given.parse().map_err(|_| Mismatch)?)),
            (Self::Number(order), Operand::Number(value)) => {
                let given = number(given).ok_or(Mismatch)?;
                Ok(given.partial_cmp(value).is_some_and(|it| order.is(it)))
            }
            (Self::Date(order), Operand::Date(value)) => {
                let given = date(given).ok_or(Mismatch)?;
                Ok(order.is(given.cmp(value)))
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

/// The parts of an ARN are compared one by one: no card reaches over a colon, but in the last one.
fn arn_parts(text: &str) -> Result<Vec<Pattern>, String> {
    if text == "*" {
        return Pattern::parse(text, Wild::Cards).map(|any| vec![any]);
    }
    // Colons of variables are no colons of the ARN.
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0_u32);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 && parts.len() < 5 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    if parts.len() != 6 || parts[0] != "arn" {
        return Err(format!("`{text}` is no ARN of six parts"));
    }
    let parse = |part: &String| Pattern::parse(part, Wild::Cards);
    parts.iter().map(parse).collect()
}

fn arn_matches(parts: &[Pattern], given: &str, context: &ConditionValues) -> bool {
    if let [any] = parts {
        return any.matches(given, context);
    }
    let given: Vec<_> = given.splitn(6, ':').collect();
    let same = |(part, given): (&Pattern, &&str)| part.matches(given, context);
    given.len() == 6 && parts.iter().zip(&given).all(same)
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

/// RFC 3339 in UTC, a day, or seconds since 1970.
fn date(text: &str) -> Option<SystemTime> {
    if let Some(seconds) = number(text) {
        return epoch(seconds);
    }
    let day = || humantime::parse_rfc3339(&format!("{text}T00:00:00Z"));
    humantime::parse_rfc3339(text).or_else(|_| day()).ok()
}

/// Addresses with a common beginning.
#[derive(Clone, Copy, Debug)]
struct Net {
    address: IpAddr,
    prefix: u32,
}

impl Net {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // A sign or a zero in front is no way to write a length.
            Some(text) if text.len() > 3 || !text.bytes().all(|byte| byte.is_ascii_digit()) => {
                return None;
            }
            Some(text) => text.parse().ok().filter(|prefix| *prefix <= all)?,
            None => all,
        };
        Some(Self { address, prefix })
    }

    fn has(self, address: IpAddr) -> bool {
        let begins = |own: u128, other: u128, bits: u32| {
            let shift = bits - self.prefix;
            shift == bits || own >> shift == other >> shift
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                begins(own.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => begins(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}
