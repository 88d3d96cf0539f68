//! May they? AWS's order: an explicit deny anywhere ends it; then whoever must allow, has to (IAM-01 to IAM-05).

use std::fmt;

use super::condition::Mismatch;
use super::context::ConditionValues;
use super::principal::{Caller, CallerKind, Named};
use super::statement::{Effect, Statement};
use super::{Policies, Policy, ResourcePolicy};

/// What is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// For what, such as `lambda:InvokeFunction`.
    pub action: &'a str,
    /// On what, as an ARN: with its qualifier if one was given (IAM-06).
    pub resource: &'a str,
    /// Under which circumstances.
    pub context: &'a ConditionValues,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They may.
    Allowed,
    /// They may not.
    Denied(Denial),
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// A statement of such a policy says so, with this id.
    Explicit(PolicyKind, Option<String>),
    /// No policy of this kind says that they may.
    Implicit(PolicyKind),
    /// A condition could not be evaluated.
    Error,
}

/// A kind of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Of the caller's identity.
    Identity,
    /// Of the function.
    Resource,
    /// The caller's permissions boundary.
    Boundary,
    /// Of the caller's session.
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
    /// AWS's message (IAM-09).
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
    /// Decides by the caller's policies and that of the function.
    pub fn decide(&self, policies: &Policies, resource: Option<&ResourcePolicy>) -> Decision {
        match self.judge(policies, resource) {
            Ok(None) => Decision::Allowed,
            Ok(Some(denial)) => Decision::Denied(denial),
            Err(Mismatch) => Decision::Denied(Denial::Error),
        }
    }

    fn judge(
        &self,
        policies: &Policies,
        resource: Option<&ResourcePolicy>,
    ) -> Result<Option<Denial>, Mismatch> {
        let empty: &[Statement] = &[];
        let function = resource.map_or(empty, |policy| &policy.statements);
        let Policies {
            identity,
            boundary,
            session,
        } = policies;
        // All of them, so that an error anywhere is found whatever the others say.
        let identity = self.ask(of(identity))?;
        let limit = self.ask(of(boundary))?;
        let of_session = self.ask(of(session))?;
        let by_function = self.ask(function.iter())?;
        let asked = [
            (PolicyKind::Identity, &identity),
            (PolicyKind::Boundary, &limit),
            (PolicyKind::Session, &of_session),
            (PolicyKind::Resource, &by_function),
        ];
        if let Some((kind, sid)) = asked
            .into_iter()
            .find_map(|(kind, answer)| Some((kind, answer.denied.clone()?)))
        {
            return Ok(Some(Denial::Explicit(kind, sid)));
        }
        let granted = by_function.allowed;
        let own = identity.allowed.is_some();
        match self.caller.kind {
            // IAM-05
            CallerKind::Service | CallerKind::Anonymous => {
                let allowed = granted.is_some();
                return Ok((!allowed).then_some(Denial::Implicit(PolicyKind::Resource)));
            }
            CallerKind::Root if self.is_at_home() => return Ok(None),
            // IAM-04: nothing limits what a function grants to a user or a session by name.
            _ if self.is_at_home() && granted == Some(Named::Directly) => return Ok(None),
            _ => {}
        }
        let missing = match (self.is_at_home(), own, granted) {
            // IAM-03: one side suffices; an account as a whole is no side.
            (true, true, _) | (true, _, Some(Named::ByRole)) => None,
            (true, false, _) => Some(PolicyKind::Identity),
            // Across accounts both sides must allow.
            (false, _, None) => Some(PolicyKind::Resource),
            (false, false, Some(_)) => Some(PolicyKind::Identity),
            (false, true, Some(_)) => None,
        };
        let bounded = boundary.is_some() && limit.allowed.is_none();
        let in_session = !session.is_empty() && of_session.allowed.is_none();
        let missing = missing
            .or(bounded.then_some(PolicyKind::Boundary))
            .or(in_session.then_some(PolicyKind::Session));
        Ok(missing.map(Denial::Implicit))
    }

    /// Is the function in the caller's own account?
    fn is_at_home(&self) -> bool {
        let account = self.resource.split(':').nth(4).unwrap_or_default();
        // What is no function's is everybody's: it belongs to the account that is asked.
        account.is_empty() || account == self.caller.account()
    }

    fn ask<'s>(
        &self,
        statements: impl Iterator<Item = &'s Statement>,
    ) -> Result<Verdict, Mismatch> {
        let mut answer = Verdict::default();
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
                Effect::Allow => answer.allowed = answer.allowed.max(Some(named)),
                // Of several the least id, so that their order says nothing.
                Effect::Deny => {
                    let sid = statement.sid().map(str::to_owned);
                    answer.denied = Some(match answer.denied.take() {
                        Some(other) => other.min(sid),
                        None => sid,
                    });
                }
            }
        }
        Ok(answer)
    }
}

/// What the policies of a kind say.
#[derive(Default)]
struct Verdict {
    allowed: Option<Named>,
    /// The id of a statement that denies.
    denied: Option<Option<String>>,
}

fn of<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> impl Iterator<Item = &'p Statement> {
    policies.into_iter().flat_map(|policy| policy.0.iter())
}
