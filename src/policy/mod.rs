//! Who may do what: policies in AWS's JSON language, with AWS's evaluation (IAM-01 to IAM-09).
//!
//! Strict where it counts: what a policy says and this evaluator doesn't know (a member, an operator, a condition key, a
//! variable) is refused when the policy is loaded, because half of a policy is another policy. An explicit deny wins, the
//! order of statements and documents says nothing, and an error while deciding denies.
//!
//! A deny with `NotPrincipal` excepts whom it names: a user, a session, the sessions of a role, a service. An account that is
//! named there, as AWS asks for beside a principal, excepts its root and nobody else of it.
//!
//! ```
//! use redrive::policy::{Caller, ConditionValues, Decision, Policies, Policy, Request};
//!
//! # fn main() -> Result<(), redrive::policy::PolicyError> {
//! let policy: Policy = r#"{
//!     "Version": "2012-10-17",
//!     "Statement": {
//!         "Effect": "Allow",
//!         "Action": "lambda:Invoke*",
//!         "Resource": "arn:aws:lambda:*:*:function:greet"
//!     }
//! }"#
//! .parse()?;
//! let decision = Request {
//!     caller: &Caller::principal("arn:aws:iam::000000000000:user/ada"),
//!     action: "lambda:InvokeFunction",
//!     resource: "arn:aws:lambda:us-east-1:000000000000:function:greet",
//!     context: &ConditionValues::new(),
//! }
//! .decide(&Policies::new().identity(policy), None);
//! assert_eq!(decision, Decision::Allowed);
//! # Ok(())
//! # }
//! ```

mod condition;
mod context;
mod decision;
mod pattern;
mod permission;
mod principal;
mod statement;
mod strict_json;

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Value, json};

pub use context::ConditionValues;
pub use decision::{Decision, Denial, PolicyKind, Request};
pub use permission::Permission;
pub use principal::Caller;

use statement::{AttachedTo, Statement};
use strict_json::Node;

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It is no JSON, or has a member twice.
    #[error("the policy can't be read: {0}")]
    Json(String),
    /// Shorten it, or give several.
    #[error("the policy has {bytes} bytes, and {limit} are allowed")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have (CFG-35).
        limit: usize,
    },
    /// Correct what stands there.
    #[error("{place}: {problem}")]
    Faulty {
        /// Where in the document.
        place: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Another statement has this id (CFG-35).
    #[error(
        "The statement id ({0}) provided already exists. Please provide a new statement id, or remove the existing statement."
    )]
    DuplicateSid(String),
    /// No statement has this id (CFG-37).
    #[error("Statement {0} is not found in resource policy.")]
    UnknownSid(String),
    /// A parameter of a permission isn't one (CFG-31).
    #[error("{0}")]
    Permission(String),
}

impl PolicyError {
    fn faulty(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Faulty {
            place: place.into(),
            problem: problem.into(),
        }
    }
}

/// A policy of an identity: what its principal may do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policy(Arc<Vec<Statement>>);

/// Longest policy of an identity, in bytes: more than AWS allows of any kind.
const IDENTITY_MAX: usize = 64 << 10;
/// Longest policy of a function, in bytes (CFG-35).
const RESOURCE_MAX: usize = 20 << 10;

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let statements = statements(text, IDENTITY_MAX, AttachedTo::Identity)?;
        Ok(Self(Arc::new(statements)))
    }
}

/// All that says what a principal may do. Says nothing yet, which denies everything.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    identity: Vec<Policy>,
    boundary: Option<Policy>,
    session: Vec<Policy>,
}

impl Policies {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a policy that grants or denies.
    pub fn identity(mut self, policy: Policy) -> Self {
        self.identity.push(policy);
        self
    }

    /// Sets the permissions boundary: whatever the others grant, no more than this.
    pub fn boundary(mut self, policy: Policy) -> Self {
        self.boundary = Some(policy);
        self
    }

    /// Adds a policy of the session: whatever the others grant, no more than one of these.
    pub fn session(mut self, policy: Policy) -> Self {
        self.session.push(policy);
        self
    }
}

/// A policy of a function: who may do what with it.
#[derive(Clone, Debug, Default)]
pub struct ResourcePolicy {
    statements: Vec<Statement>,
    /// As they were given.
    texts: Vec<Value>,
}

impl FromStr for ResourcePolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let statements = statements(text, RESOURCE_MAX, AttachedTo::Resource)?;
        let document: Value =
            serde_json::from_str(text).map_err(|error| PolicyError::Json(error.to_string()))?;
        let texts = match document.get("Statement") {
            Some(Value::Array(all)) => all.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        Ok(Self { statements, texts })
    }
}

impl ResourcePolicy {
    /// Adds a statement, as JSON.
    ///
    /// # Errors
    /// When it is faulty, its id is taken, or the policy would grow too long.
    pub fn add(&mut self, statement: Value) -> Result<(), PolicyError> {
        let sid = statement.get("Sid").and_then(Value::as_str);
        if let Some(sid) = sid.filter(|sid| self.has(sid)) {
            return Err(PolicyError::DuplicateSid(sid.to_owned()));
        }
        let mut texts = self.texts.clone();
        texts.push(statement);
        *self = document(&texts).parse()?;
        Ok(())
    }

    /// Removes the statement with this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove(&mut self, sid: &str) -> Result<(), PolicyError> {
        let index = self.statements.iter().position(|it| it.sid() == Some(sid));
        let index = index.ok_or_else(|| PolicyError::UnknownSid(sid.to_owned()))?;
        self.statements.remove(index);
        self.texts.remove(index);
        Ok(())
    }

    /// Says it nothing (any more)?
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    fn has(&self, sid: &str) -> bool {
        self.statements.iter().any(|it| it.sid() == Some(sid))
    }

    /// The document, as AWS has it (CFG-36).
    pub fn to_json(&self) -> String {
        document(&self.texts)
    }
}

fn document(statements: &[Value]) -> String {
    json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements }).to_string()
}

fn statements(text: &str, limit: usize, side: AttachedTo) -> Result<Vec<Statement>, PolicyError> {
    if text.len() > limit {
        let bytes = text.len();
        return Err(PolicyError::TooLarge { bytes, limit });
    }
    let mut document = Node::parse(text)?.map("policy")?;
    match document.take("Version") {
        Some(Node::Text(version)) if version == "2012-10-17" => {}
        _ => {
            let problem = "must be \"2012-10-17\": the language of 2008 is another one";
            return Err(PolicyError::faulty("Version", problem));
        }
    }
    if let Some(id) = document.take("Id") {
        id.text("Id")?;
    }
    let all = match document.take("Statement") {
        Some(Node::List(all)) => all,
        Some(one) => vec![one],
        None => return Err(PolicyError::faulty("policy", "has no Statement")),
    };
    document.end("policy")?;
    let mut statements: Vec<Statement> = Vec::with_capacity(all.len());
    for (index, node) in all.into_iter().enumerate() {
        let statement = Statement::read(node, index, side)?;
        let sid = statement.sid();
        let taken = |other: &Statement| other.sid() == sid;
        if let Some(sid) = sid.filter(|_| statements.iter().any(taken)) {
            let problem = format!("another statement has the Sid {sid}");
            return Err(PolicyError::faulty(format!("Statement[{index}]"), problem));
        }
        statements.push(statement);
    }
    Ok(statements)
}

#[cfg(test)]
mod tests;
