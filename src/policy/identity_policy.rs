//! The policies of a caller: those that grant or deny, the permissions boundary, and those of a session.

use std::str::FromStr;
use std::sync::Arc;

use super::document;
use super::error::PolicyError;
use super::statement::{AttachedTo, Statement};

/// The longest policy, in bytes. AWS allows less for every kind.
const BYTES_MAX: usize = 64 << 10;

/// A policy of a caller: the actions that it may take. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policy(Arc<Vec<Statement>>);

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let statements = document::read(text, BYTES_MAX, AttachedTo::Identity)?;
        Ok(Self(Arc::new(statements)))
    }
}

impl Policy {
    pub(super) fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.0.iter()
    }
}

/// All policies of a caller. Without any, everything is denied.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    pub(super) identity: Vec<Policy>,
    pub(super) boundary: Option<Policy>,
    pub(super) session: Vec<Policy>,
}

impl Policies {
    /// Returns an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a policy that grants or denies.
    pub fn identity(mut self, policy: Policy) -> Self {
        self.identity.push(policy);
        self
    }

    /// Sets the permissions boundary. It limits all grants except one that a function of the same account gives
    /// to this caller by name.
    pub fn boundary(mut self, policy: Policy) -> Self {
        self.boundary = Some(policy);
        self
    }

    /// Adds a policy of the session. A grant holds only if one of these allows the action too, except a grant that a
    /// function of the same account gives to this caller by name.
    pub fn session(mut self, policy: Policy) -> Self {
        self.session.push(policy);
        self
    }
}
