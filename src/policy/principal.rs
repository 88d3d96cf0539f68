//! The principals that a function's policy names, and which callers they stand for.

use super::caller::{Caller, CallerKind};
use super::error::PolicyError;
use super::principal_name::{account_of_root, is_account, is_principal_arn, is_service};
use super::strict_json::Node;

/// How directly a statement names a caller. A more direct way is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    /// As a member of an account, whose own policies decide.
    ByAccount,
    /// By its role, or by `*`. The permissions boundary and session policies limit it (IAM-04).
    ByRole,
    /// By its own name.
    Directly,
}

/// A principal that a statement names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum StatementPrincipal {
    /// `*`
    Everyone,
    Account(String),
    Arn(String),
    Service(String),
}

impl StatementPrincipal {
    /// Reads `"*"`, or an object with the members `AWS` and `Service`.
    pub(super) fn read(node: Node, place: &str) -> Result<Vec<Self>, PolicyError> {
        let members = match node {
            Node::Text(text) if text == "*" => return Ok(vec![Self::Everyone]),
            Node::Map(members) => members.into_all(),
            _ => {
                let problem = "must be \"*\" or an object with AWS or Service";
                return Err(PolicyError::faulty(place, problem));
            }
        };
        let mut all = Vec::new();
        for (kind, node) in members {
            for name in node.texts(place)? {
                all.push(Self::of(&kind, name, place)?);
            }
        }
        if all.is_empty() {
            return Err(PolicyError::faulty(place, "names no principal"));
        }
        Ok(all)
    }

    fn of(kind: &str, name: String, place: &str) -> Result<Self, PolicyError> {
        match kind {
            "AWS" if name == "*" => Ok(Self::Everyone),
            "AWS" if is_account(&name) => Ok(Self::Account(name)),
            "AWS" => match account_of_root(&name) {
                Some(account) => Ok(Self::Account(account.to_owned())),
                None if is_principal_arn(&name) => Ok(Self::Arn(name)),
                None => Err(PolicyError::faulty(
                    place,
                    format!(
                        "`{name}` is not an account, nor an ARN of a user, a role or a session"
                    ),
                )),
            },
            "Service" if is_service(&name) => Ok(Self::Service(name)),
            "Service" => Err(PolicyError::faulty(
                place,
                format!("`{name}` is not a service"),
            )),
            other => Err(PolicyError::faulty(
                place,
                format!("`{other}` is unknown: use AWS or Service"),
            )),
        }
    }

    /// Returns how directly this names the caller, or `None` if it does not.
    pub(super) fn names(&self, caller: &Caller) -> Option<Named> {
        match self {
            Self::Everyone => Some(Named::ByRole),
            Self::Service(service) => (caller.kind == CallerKind::Service
                && caller.name() == service)
                .then_some(Named::Directly),
            Self::Account(account) => (!account.is_empty() && caller.account() == account)
                .then_some(match caller.kind {
                    CallerKind::Root => Named::Directly,
                    _ => Named::ByAccount,
                }),
            Self::Arn(arn) if arn == caller.name() => Some(Named::Directly),
            Self::Arn(arn) => {
                // The ARN of a session has the role's name without its path.
                let role = without_path(arn)?;
                (caller.role()? == role).then_some(Named::ByRole)
            }
        }
    }

    /// Returns whether `NotPrincipal` with this principal exempts the caller. AWS asks for the account beside each exempt
    /// principal; an account exempts its root only.
    pub(super) fn exempts(&self, caller: &Caller) -> bool {
        let named = self.names(caller);
        match self {
            Self::Account(_) => named == Some(Named::Directly),
            _ => named.is_some(),
        }
    }
}

fn without_path(arn: &str) -> Option<String> {
    let (head, resource) = arn.rsplit_once(':')?;
    let name = resource.strip_prefix("role/")?.rsplit('/').next()?;
    Some(format!("{head}:role/{name}"))
}
