//! A function's name.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A function's name: 1 to 64 letters, digits, `-` and `_` (NAM-01). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct FunctionName(Arc<str>);

/// NAM-01
const NAME_MAX: usize = 64;

impl FunctionName {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.0.is_empty() || self.0.len() > NAME_MAX {
            Some(format!(
                "has {} characters: use 1 to {NAME_MAX}",
                self.0.len()
            ))
        } else {
            self.0
                .chars()
                .find(|&c| !legal(c))
                .map(|c| format!("holds {c:?}: use letters, digits, `-` and `_`"))
        }
    }
}

impl Borrow<str> for FunctionName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
