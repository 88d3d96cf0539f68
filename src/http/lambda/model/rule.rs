//! The constraints that AWS's model puts on a value, and AWS's words for a value that breaks one (NAM-04, NAM-05).
//!
//! `members.rs` and `configuration.rs` assign the rules to the members of a request.

use serde_json::{Map, Value};

use super::text_rule::TextRule;
use crate::http::constraint::{Constraint, violation};
use crate::http::error::ApiError;
use crate::http::lambda::name_form::{NameForm, check_qualifier};

/// The constraints of a member.
pub(super) enum Rule {
    /// A function's name, in one of its forms.
    Function(NameForm),
    Qualifier,
    Text(&'static TextRule),
    /// One of these values. They stand in the order in which AWS names them.
    Enum(&'static [&'static str]),
    /// An integer of 32 bits.
    Integer {
        min: i32,
        max: i32,
    },
    Double {
        min: i32,
        max: i32,
    },
    /// A list of at most `max` texts.
    List {
        max: usize,
        of: &'static TextRule,
    },
    /// A list of at most `max` structures, whose members are not checked.
    Structures {
        max: usize,
    },
    /// A map from texts to texts, or to any values.
    Map {
        keys: &'static TextRule,
        values: Option<&'static TextRule>,
    },
    Structure,
}

impl Rule {
    /// Checks a value of a path, a query or a header, and adds a message for each violation.
    ///
    /// # Errors
    /// When the text is not of the rule's type.
    pub(super) fn check_text(
        &self,
        field: &str,
        value: &str,
        broken: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        match self {
            Self::Function(names) => drop(names.read(field, value, broken)),
            Self::Qualifier => check_qualifier(field, value, broken),
            Self::Text(text) => text.check(field, value, broken),
            Self::Enum(values) if values.contains(&value) => {}
            Self::Enum(values) => {
                broken.push(Constraint::Enum(&values.join(", ")).broken_by(field, value));
            }
            Self::Integer { min, max } => {
                let number: i32 = value.parse().map_err(|error| {
                    let name = wire_name(field);
                    ApiError::query(format!("{name} '{value}' is not a number: {error}"))
                })?;
                check_range(field, number.into(), (*min, *max), broken);
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks a value of a body, and adds a message for each violation.
    ///
    /// # Errors
    /// When the value is not of the rule's type.
    pub(super) fn check_json(
        &self,
        field: &str,
        value: &Value,
        broken: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        match (self, value) {
            (Self::Text(_) | Self::Enum(_), Value::String(text)) => {
                self.check_text(field, text, broken)
            }
            (Self::Integer { min, max }, Value::Number(number)) => {
                let number = number.as_i64().and_then(|it| i32::try_from(it).ok());
                let number = number.ok_or_else(|| self.mismatch(field))?;
                check_range(field, number.into(), (*min, *max), broken);
                Ok(())
            }
            (Self::Double { min, max }, Value::Number(number)) => {
                let number = number.as_f64().ok_or_else(|| self.mismatch(field))?;
                check_range(field, number, (*min, *max), broken);
                Ok(())
            }
            (Self::Structures { max }, Value::Array(items)) => {
                if items.len() > *max {
                    broken.push(Constraint::LengthMax(*max).broken_by(field, listed(items)));
                }
                Ok(())
            }
            (Self::List { max, of }, Value::Array(items)) => {
                self.check_items(field, items, (*max, of), broken)
            }
            (Self::Map { keys, values }, Value::Object(map)) => {
                self.check_map(field, map, (keys, *values), broken)
            }
            (Self::Structure, Value::Object(_)) => Ok(()),
            _ => Err(self.mismatch(field)),
        }
    }

    fn check_items(
        &self,
        field: &str,
        items: &[Value],
        (max, of): (usize, &TextRule),
        broken: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        if items.len() > max {
            broken.push(Constraint::LengthMax(max).broken_by(field, listed(items)));
        }
        let mut faulty = false;
        for item in items {
            let text = item.as_str().ok_or_else(|| self.mismatch(field))?;
            faulty |= !of.holds(text);
        }
        if faulty {
            let rule = format!("Member must satisfy constraint: {}", of.in_words());
            broken.push(violation(field, listed(items), &rule));
        }
        Ok(())
    }

    fn check_map(
        &self,
        field: &str,
        map: &Map<String, Value>,
        (keys, values): (&TextRule, Option<&TextRule>),
        broken: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        let shown = || {
            let members = map
                .iter()
                .map(|(key, value)| format!("{key}={}", shown(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        };
        if !map.keys().all(|key| keys.holds(key)) {
            let rule = format!("Map keys must satisfy constraint: {}", keys.in_words());
            broken.push(violation(field, shown(), &rule));
        }
        let Some(values) = values else { return Ok(()) };
        let mut faulty = false;
        for value in map.values() {
            let text = value.as_str().ok_or_else(|| self.mismatch(field))?;
            faulty |= !values.holds(text);
        }
        if faulty {
            let rule = format!("Map value must satisfy constraint: {}", values.in_words());
            broken.push(violation(field, shown(), &rule));
        }
        Ok(())
    }

    /// Returns the refusal of a value of another type.
    fn mismatch(&self, field: &str) -> ApiError {
        let wanted = match self {
            Self::Integer { .. } => "an integer of 32 bits",
            Self::Double { .. } => "a number",
            Self::List { .. } => "a list of strings",
            Self::Structures { .. } => "a list",
            Self::Map {
                values: Some(_), ..
            } => "an object of strings",
            Self::Map { .. } | Self::Structure => "an object",
            _ => "a string",
        };
        mismatch(field, wanted)
    }
}

/// Returns the refusal of a body with a value of another type than `wanted`.
pub(super) fn mismatch(field: &str, wanted: &str) -> ApiError {
    let way: Vec<_> = field.split('.').map(wire_name).collect();
    ApiError::serialization(format!("{}: {wanted} is expected", way.join(".")))
}

/// Returns the name of a member in a request: its first letter is upper case, and lower case in errors.
pub(super) fn wire_name(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

fn check_range(field: &str, value: f64, (min, max): (i32, i32), broken: &mut Vec<String>) {
    if value < f64::from(min) {
        broken.push(Constraint::Min(min.into()).broken_by(field, value));
    } else if value > f64::from(max) {
        broken.push(Constraint::Max(max.into()).broken_by(field, value));
    }
}

/// Returns the items as `[a, b]`.
fn listed(items: &[Value]) -> String {
    let items: Vec<_> = items.iter().map(shown).collect();
    format!("[{}]", items.join(", "))
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static TOKEN: TextRule = TextRule::new(2, 4, "[a-z]+");

    fn texts(rule: &Rule, value: &str) -> Vec<String> {
        let mut broken = Vec::new();
        rule.check_text("field", value, &mut broken).unwrap();
        broken
    }

    fn jsons(rule: &Rule, value: &Value) -> Result<Vec<String>, ApiError> {
        let mut broken = Vec::new();
        rule.check_json("field", value, &mut broken)?;
        Ok(broken)
    }

    /// NAM-04, NAM-05
    #[test]
    fn a_text_breaks_its_length_and_its_pattern_both() {
        let begins = |value: &str| {
            format!("Value '{value}' at 'field' failed to satisfy constraint: Member must")
        };
        assert_eq!(
            texts(&Rule::Text(&TOKEN), "ABCDE"),
            [
                format!("{} have length less than or equal to 4", begins("ABCDE")),
                format!(
                    "{} satisfy regular expression pattern: [a-z]+",
                    begins("ABCDE")
                ),
            ]
        );
        assert_eq!(
            texts(&Rule::Text(&TOKEN), "").len(),
            2,
            "too short, and not of the pattern"
        );
        // Characters count, not bytes.
        assert_eq!(texts(&Rule::Text(&TOKEN), "ääää").len(), 1);
        for legal in ["ab", "abcd"] {
            assert!(texts(&Rule::Text(&TOKEN), legal).is_empty());
        }
        assert_eq!(texts(&Rule::Text(&TOKEN), "ab\n").len(), 1);
    }

    #[test]
    fn numbers_have_32_bits_and_a_range() {
        let rule = Rule::Integer { min: 1, max: 50 };
        for (value, faults) in [(0, 1), (1, 0), (50, 0), (51, 1), (-1, 1)] {
            assert_eq!(texts(&rule, &value.to_string()).len(), faults);
            assert_eq!(jsons(&rule, &json!(value)).unwrap().len(), faults);
        }
        for foreign in [
            json!(2_147_483_648_i64),
            json!(9_223_372_000_000_000_000_i64),
            json!(1.5),
            json!("1"),
            json!(true),
        ] {
            let error = jsons(&rule, &foreign).unwrap_err();
            assert_eq!(error.code(), "SerializationException", "{foreign}");
        }
        let mut broken = Vec::new();
        let error = rule.check_text("maxItems", "2147483648", &mut broken);
        assert!(
            error
                .unwrap_err()
                .message()
                .starts_with("MaxItems '2147483648' is not a number")
        );
    }

    #[test]
    fn an_error_shows_the_whole_list_or_map() {
        let rule = Rule::List { max: 2, of: &TOKEN };
        assert!(jsons(&rule, &json!(["ab", "cd"])).unwrap().is_empty());
        assert_eq!(
            jsons(&rule, &json!(["ab", "cd", "E"])).unwrap(),
            [
                "Value '[ab, cd, E]' at 'field' failed to satisfy constraint: Member must have length less than or equal to 2",
                "Value '[ab, cd, E]' at 'field' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 4, Member must have length greater than or equal to 2, Member must satisfy regular expression pattern: [a-z]+, Member must not be null]",
            ]
        );
        jsons(&rule, &json!([1])).unwrap_err();
        let keys = Rule::Map {
            keys: &TOKEN,
            values: None,
        };
        assert!(jsons(&keys, &json!({"ab": 1})).unwrap().is_empty());
        assert!(
            jsons(&keys, &json!({"A": 1})).unwrap()[0]
                .contains("Map keys must satisfy constraint: [")
        );
        let both = Rule::Map {
            keys: &TOKEN,
            values: Some(&TOKEN),
        };
        let messages = jsons(&both, &json!({"A": "B", "ab": "cd"})).unwrap();
        assert_eq!(messages.len(), 2);
        assert!(messages[1].starts_with("Value '{A=B, ab=cd}' at 'field' failed to satisfy constraint: Map value must satisfy constraint: ["));
        jsons(&both, &json!({"ab": 1})).unwrap_err();
    }
}
