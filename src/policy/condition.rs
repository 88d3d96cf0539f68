//! The condition block of a statement: one clause for each operator and key.
//!
//! All clauses must hold; of the values of one clause, one must.

use super::comparison::{Comparison, Mismatch, Operand, Order};
use super::condition_values::{ConditionKey, ConditionValues};
use super::error::PolicyError;
use super::strict_json::Node;

/// One key under one operator.
#[derive(Clone, Debug)]
pub(super) struct ConditionClause {
    operator: Operator,
    key: ConditionKey,
    operands: Vec<Operand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operator {
    comparison: Comparison,
    negated: bool,
    /// The clause holds for a request that has no value for the key.
    if_exists: bool,
    quantifier: Option<Quantifier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    ForAllValues,
    ForAnyValue,
}

impl ConditionClause {
    /// Reads all clauses of a block.
    pub(super) fn read(node: Node, place: &str) -> Result<Vec<Self>, PolicyError> {
        let mut clauses = Vec::new();
        for (name, keys) in node.map(place)?.into_all() {
            let operator = Operator::named(&name).ok_or_else(|| {
                PolicyError::faulty(place, format!("the operator `{name}` is unknown"))
            })?;
            let place = format!("{place}.{name}");
            let keys = keys.map(&place)?.into_all();
            // Without a key it would demand nothing, which can't be meant.
            if keys.is_empty() {
                return Err(PolicyError::faulty(place, "it names no key"));
            }
            for (name, values) in keys {
                clauses.push(Self::read_one(operator, &name, values, &place)?);
            }
        }
        Ok(clauses)
    }

    fn read_one(
        operator: Operator,
        name: &str,
        values: Node,
        place: &str,
    ) -> Result<Self, PolicyError> {
        let key = ConditionKey::named(name)
            .ok_or_else(|| PolicyError::faulty(place, format!("the key `{name}` is unknown")))?;
        let place = format!("{place}.{name}");
        let values = values.some(&place)?.into_iter();
        let operands: Result<_, _> = values
            .map(|value| {
                let operand = operator.comparison.operand(value);
                operand.map_err(|problem| PolicyError::faulty(&*place, problem))
            })
            .collect();
        Ok(Self {
            operator,
            key,
            operands: operands?,
        })
    }

    /// Returns whether the request meets the clause.
    ///
    /// # Errors
    /// When the request's value has another type. The caller must deny: in a denying statement, `false` would allow.
    pub(super) fn is_met(&self, context: &ConditionValues) -> Result<bool, Mismatch> {
        let Operator {
            comparison,
            negated,
            if_exists,
            quantifier,
        } = self.operator;
        let value = context.get(self.key);
        if comparison == Comparison::Null {
            let absent = value.is_none();
            let expected =
                |operand: &Operand| matches!(operand, Operand::Bool(null) if *null == absent);
            return Ok(self.operands.iter().any(expected));
        }
        let Some(value) = value else {
            return Ok(match quantifier {
                _ if if_exists => true,
                Some(Quantifier::ForAllValues) => true,
                Some(Quantifier::ForAnyValue) => false,
                None => negated,
            });
        };
        // All of them, so that a mismatch is found in any order.
        let mut any = false;
        for operand in &self.operands {
            any |= comparison.holds(value, operand, context)?;
        }
        Ok(any != negated)
    }
}

const OPERATORS: [(&str, Comparison, bool); 26] = [
    ("StringEquals", Comparison::String, false),
    ("StringNotEquals", Comparison::String, true),
    (
        "StringEqualsIgnoreCase",
        Comparison::StringIgnoreCase,
        false,
    ),
    (
        "StringNotEqualsIgnoreCase",
        Comparison::StringIgnoreCase,
        true,
    ),
    ("StringLike", Comparison::StringLike, false),
    ("StringNotLike", Comparison::StringLike, true),
    // AWS compares `ArnEquals` as `ArnLike`.
    ("ArnEquals", Comparison::Arn, false),
    ("ArnLike", Comparison::Arn, false),
    ("ArnNotEquals", Comparison::Arn, true),
    ("ArnNotLike", Comparison::Arn, true),
    ("Bool", Comparison::Bool, false),
    ("IpAddress", Comparison::Ip, false),
    ("NotIpAddress", Comparison::Ip, true),
    ("NumericEquals", Comparison::Number(Order::Equal), false),
    ("NumericNotEquals", Comparison::Number(Order::Equal), true),
    ("NumericLessThan", Comparison::Number(Order::Less), false),
    (
        "NumericLessThanEquals",
        Comparison::Number(Order::LessOrEqual),
        false,
    ),
    (
        "NumericGreaterThan",
        Comparison::Number(Order::Greater),
        false,
    ),
    (
        "NumericGreaterThanEquals",
        Comparison::Number(Order::GreaterOrEqual),
        false,
    ),
    ("DateEquals", Comparison::Date(Order::Equal), false),
    ("DateNotEquals", Comparison::Date(Order::Equal), true),
    ("DateLessThan", Comparison::Date(Order::Less), false),
    (
        "DateLessThanEquals",
        Comparison::Date(Order::LessOrEqual),
        false,
    ),
    ("DateGreaterThan", Comparison::Date(Order::Greater), false),
    (
        "DateGreaterThanEquals",
        Comparison::Date(Order::GreaterOrEqual),
        false,
    ),
    ("Null", Comparison::Null, false),
];

impl Operator {
    /// Returns the operator of this name, with its quantifier and `IfExists`.
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
        let &(_, comparison, negated) = OPERATORS.iter().find(|(known, ..)| *known == name)?;
        // `Null` asks whether a value exists, so a form for the case that it does not has no meaning.
        if comparison == Comparison::Null && (if_exists || quantifier.is_some()) {
            return None;
        }
        Some(Self {
            comparison,
            negated,
            if_exists,
            quantifier,
        })
    }
}
