//! The policy of a function: its statements, each with the JSON that it was read from.

use std::str::FromStr;

use serde_json::Value;

use super::document;
use super::error::PolicyError;
use super::statement::{AttachedTo, Statement};

/// The longest policy, in bytes (CFG-35).
const BYTES_MAX: usize = 20 << 10;

/// A policy of a function: which callers may take which actions on it.
#[derive(Clone, Debug, Default)]
pub struct ResourcePolicy {
    pub(super) statements: Vec<Statement>,
    /// The JSON of each statement, in the same order.
    texts: Vec<Value>,
}

impl FromStr for ResourcePolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let statements = document::read(text, BYTES_MAX, AttachedTo::Resource)?;
        let json: Value =
            serde_json::from_str(text).map_err(|error| PolicyError::Json(error.to_string()))?;
        let texts = match json.get("Statement") {
            Some(Value::Array(all)) => all.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        Ok(Self { statements, texts })
    }
}

impl ResourcePolicy {
    /// Adds a statement, given as JSON.
    ///
    /// # Errors
    /// When the statement is faulty, its id is taken, or the policy would be too long.
    pub fn add(&mut self, statement: Value) -> Result<(), PolicyError> {
        let sid = statement.get("Sid").and_then(Value::as_str);
        if let Some(sid) = sid.filter(|sid| self.position(sid).is_some()) {
            return Err(PolicyError::DuplicateSid(sid.to_owned()));
        }
        let mut texts = self.texts.clone();
        texts.push(statement);
        *self = document::write(&texts).parse()?;
        Ok(())
    }

    /// Removes the statement with this id.
    ///
    /// # Errors
    /// When no statement has it.
    pub fn remove(&mut self, sid: &str) -> Result<(), PolicyError> {
        let index = self.position(sid);
        let index = index.ok_or_else(|| PolicyError::UnknownSid(sid.to_owned()))?;
        self.statements.remove(index);
        self.texts.remove(index);
        Ok(())
    }

    /// Returns whether the policy has no statement.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Returns the document in AWS's form (CFG-36).
    pub fn to_json(&self) -> String {
        document::write(&self.texts)
    }

    fn position(&self, sid: &str) -> Option<usize> {
        self.statements.iter().position(|it| it.sid() == Some(sid))
    }
}
