//! The decision on a request, in AWS's order (IAM-01 to IAM-05): an explicit deny in any policy ends it; otherwise each side
//! that must allow the request has to.

use std::fmt;

use super::caller::{Caller, CallerKind};
use super::comparison::Mismatch;
use super::condition_values::ConditionValues;
use super::identity_policy::{Policies, Policy};
use super::principal::Named;
use super::resource_policy::ResourcePolicy;
use super::statement::{Effect, Statement};

/// A request to decide on.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The caller.
    pub caller: &'a Caller,
    /// The action, such as `lambda:InvokeFunction`.
    pub action: &'a str,
    /// The ARN of the resource, with its qualifier if one was given (IAM-06).
    pub resource: &'a str,
    /// The values of condition keys.
    pub context: &'a ConditionValues,
}

/// The decision on a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The caller may.
    Allowed,
    /// The caller may not.
    Denied(Denial),
}

/// Why a request is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// The statement with this id, in a policy of this kind, denies it.
    Explicit(PolicyKind, Option<String>),
    /// No policy of this kind allows it.
    Implicit(PolicyKind),
    /// A condition could not be evaluated.
    Error,
}

/// A kind of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Attached to the caller's identity.
    Identity,
    /// Attached to the function.
    Resource,
    /// The caller's permissions boundary.
    Boundary,
    /// Attached to the caller's session.
    Session,
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity-based policy",
            Self::Resource => "resource-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
        })
    }
}

impl Denial {
    /// Returns AWS's message (IAM-09).
    pub fn message(&self, request: &Request<'_>) -> String {
        let Request {
            caller,
            action,
            resource,
            ..
        } = request;
        let because = match self {
            Self::Explicit(kind, _) => {
                let article = if *kind == PolicyKind::Identity {
                    "an"
                } else {
                    "a"
                };
                format!("with an explicit deny in {article} {kind}")
            }
            Self::Implicit(kind) => format!("because no {kind} allows the {action} action"),
            Self::Error => "because a condition could not be evaluated".to_owned(),
        };
        let name = caller.name();
        format!(
            "User: {name} is not authorized to perform: {action} on resource: {resource} {because}"
        )
    }
}

impl Request<'_> {
    /// Decides by the caller's policies and the function's policy.
    pub fn decide(&self, policies: &Policies, resource: Option<&ResourcePolicy>) -> Decision {
        let verdicts = match self.verdicts(policies, resource) {
            Ok(verdicts) => verdicts,
            Err(Mismatch) => return Decision::Denied(Denial::Error),
        };
        let denial = verdicts.explicit_denial().or_else(|| {
            let missing = self.missing_grant(policies, &verdicts);
            missing.map(Denial::Implicit)
        });
        denial.map_or(Decision::Allowed, Decision::Denied)
    }

    /// Evaluates all policies before any of them counts, so that an error in one of them always denies.
    fn verdicts(
        &self,
        policies: &Policies,
        resource: Option<&ResourcePolicy>,
    ) -> Result<Verdicts, Mismatch> {
        let empty: &[Statement] = &[];
        let of_function = resource.map_or(empty, |policy| &policy.statements);
        Ok(Verdicts {
            identity: self.evaluate(statements_of(&policies.identity))?,
            boundary: self.evaluate(statements_of(&policies.boundary))?,
            session: self.evaluate(statements_of(&policies.session))?,
            resource: self.evaluate(of_function.iter())?,
        })
    }

    /// Returns the kind of policy that would have to allow the request and does not.
    fn missing_grant(&self, policies: &Policies, verdicts: &Verdicts) -> Option<PolicyKind> {
        let granted = verdicts.resource.allowed;
        let is_home = self.is_in_callers_account();
        match self.caller.kind {
            // IAM-05
            CallerKind::Service | CallerKind::Anonymous => {
                return granted.is_none().then_some(PolicyKind::Resource);
            }
            CallerKind::Root if is_home => return None,
            // IAM-04: nothing limits a function's grant to a user or a session by name.
            _ if is_home && granted == Some(Named::Directly) => return None,
            _ => {}
        }
        let missing = match (is_home, verdicts.identity.allowed.is_some(), granted) {
            // IAM-03: within an account one side is enough. A grant to the whole account only delegates to its policies.
            (true, true, _) | (true, _, Some(Named::ByRole)) => None,
            (true, false, _) => Some(PolicyKind::Identity),
            // Across accounts both sides must allow.
            (false, _, None) => Some(PolicyKind::Resource),
            (false, false, Some(_)) => Some(PolicyKind::Identity),
            (false, true, Some(_)) => None,
        };
        let exceeds_boundary = policies.boundary.is_some() && verdicts.boundary.allowed.is_none();
        let exceeds_session = !policies.session.is_empty() && verdicts.session.allowed.is_none();
        missing
            .or(exceeds_boundary.then_some(PolicyKind::Boundary))
            .or(exceeds_session.then_some(PolicyKind::Session))
    }

    fn is_in_callers_account(&self) -> bool {
        let account = self.resource.split(':').nth(4).unwrap_or_default();
        // A resource without an account, such as `*`, belongs to the account of each caller.
        account.is_empty() || account == self.caller.account()
    }

    /// Returns the verdict of the policies of one kind.
    fn evaluate<'s>(
        &self,
        statements: impl Iterator<Item = &'s Statement>,
    ) -> Result<Verdict, Mismatch> {
        let mut verdict = Verdict::default();
        for statement in statements {
            let Self {
                caller,
                action,
                resource,
                context,
            } = *self;
            let Some(named) = statement.applies(caller, action, resource, context)? else {
                continue;
            };
            match statement.effect {
                Effect::Allow => verdict.allowed = verdict.allowed.max(Some(named)),
                // The least id of several, so that the order of statements does not matter.
                Effect::Deny => {
                    let sid = statement.sid().map(str::to_owned);
                    verdict.denied = Some(match verdict.denied.take() {
                        Some(other) => other.min(sid),
                        None => sid,
                    });
                }
            }
        }
        Ok(verdict)
    }
}

/// The verdict of each kind of policy.
struct Verdicts {
    identity: Verdict,
    boundary: Verdict,
    session: Verdict,
    resource: Verdict,
}

/// The verdict of the policies of one kind.
#[derive(Default)]
struct Verdict {
    /// How directly a statement that allows the request names the caller.
    allowed: Option<Named>,
    /// The id of a statement that denies it.
    denied: Option<Option<String>>,
}

impl Verdicts {
    fn explicit_denial(&self) -> Option<Denial> {
        let kinds = [
            (PolicyKind::Identity, &self.identity),
            (PolicyKind::Boundary, &self.boundary),
            (PolicyKind::Session, &self.session),
            (PolicyKind::Resource, &self.resource),
        ];
        kinds.into_iter().find_map(|(kind, verdict)| {
            let sid = verdict.denied.clone()?;
            Some(Denial::Explicit(kind, sid))
        })
    }
}

fn statements_of<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
) -> impl Iterator<Item = &'p Statement> {
    policies.into_iter().flat_map(Policy::statements)
}
