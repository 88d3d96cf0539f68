//! Who asks, and whom a function's policy names.

use super::PolicyError;
use super::strict_json::Node;

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(super) kind: CallerKind,
    /// The ARN, or the service's name.
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallerKind {
    Root,
    User,
    /// A session of a role.
    Session,
    Service,
    Anonymous,
}

impl Caller {
    /// The principal with this ARN: a user, a role's session (`arn:aws:sts::…:assumed-role/role/session`), or an account's
    /// root.
    pub fn principal(arn: impl Into<String>) -> Self {
        let name = arn.into();
        let resource = name.splitn(6, ':').nth(5).unwrap_or_default();
        let kind = match resource {
            "root" => CallerKind::Root,
            session if session.starts_with("assumed-role/") => CallerKind::Session,
            _ => CallerKind::User,
        };
        Self { kind, name }
    }

    /// A service, such as `s3.amazonaws.com`, which acts for somebody.
    pub fn service(name: impl Into<String>) -> Self {
        Self {
            kind: CallerKind::Service,
            name: name.into(),
        }
    }

    /// Whoever didn't sign.
    pub fn anonymous() -> Self {
        Self {
            kind: CallerKind::Anonymous,
            name: "anonymous".to_owned(),
        }
    }

    /// The ARN, or the service's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The account; empty for services and strangers.
    pub(super) fn account(&self) -> &str {
        match self.kind {
            CallerKind::Service | CallerKind::Anonymous => "",
            _ => self.name.split(':').nth(4).unwrap_or_default(),
        }
    }

    /// The role whose session it is, as an ARN without its path.
    fn role(&self) -> Option<String> {
        let session = self.name.splitn(6, ':').nth(5)?;
        let role = session.strip_prefix("assumed-role/")?.split('/').next()?;
        let partition = self.name.split(':').nth(1)?;
        Some(format!(
            "arn:{partition}:iam::{}:role/{role}",
            self.account()
        ))
    }
}

/// How directly a policy names a caller; the more directly, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    /// As one of an account: its own policies decide.
    ByAccount,
    /// As anybody, or by its role: boundary and session policies limit it (IAM-04).
    ByRole,
    /// By itself.
    Directly,
}

/// Whom a statement names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum StatementPrincipal {
    Anybody,
    Account(String),
    Arn(String),
    Service(String),
}

impl StatementPrincipal {
    pub(super) fn read(node: Node, place: &str) -> Result<Vec<Self>, PolicyError> {
        let members = match node {
            Node::Text(text) if text == "*" => return Ok(vec![Self::Anybody]),
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
            return Err(PolicyError::faulty(place, "names nobody"));
        }
        Ok(all)
    }

    fn of(kind: &str, name: String, place: &str) -> Result<Self, PolicyError> {
        match kind {
            "AWS" if name == "*" => Ok(Self::Anybody),
            "AWS" if is_account(&name) => Ok(Self::Account(name)),
            "AWS" => match root_of(&name) {
                Some(account) => Ok(Self::Account(account.to_owned())),
                None if is_principal_arn(&name) => Ok(Self::Arn(name)),
                None => Err(PolicyError::faulty(
                    place,
                    format!("`{name}` is no account, and no ARN of a user, a role or a session"),
                )),
            },
            "Service" if is_service(&name) => Ok(Self::Service(name)),
            "Service" => Err(PolicyError::faulty(
                place,
                format!("`{name}` is no service"),
            )),
            other => Err(PolicyError::faulty(
                place,
                format!("`{other}` is unknown: use AWS or Service"),
            )),
        }
    }

    /// Names it the caller, and how?
    pub(super) fn names(&self, caller: &Caller) -> Option<Named> {
        match self {
            Self::Anybody => Some(Named::ByRole),
            Self::Service(service) => (caller.kind == CallerKind::Service
                && caller.name == *service)
                .then_some(Named::Directly),
            Self::Account(account) => (!account.is_empty() && caller.account() == account)
                .then_some(match caller.kind {
                    CallerKind::Root => Named::Directly,
                    _ => Named::ByAccount,
                }),
            Self::Arn(arn) if *arn == caller.name => Some(Named::Directly),
            Self::Arn(arn) => {
                // A role's path isn't in its sessions' ARNs.
                let role = without_path(arn)?;
                (caller.role()? == role).then_some(Named::ByRole)
            }
        }
    }

    /// Is the caller excepted where this stands in `NotPrincipal`? AWS has the account named beside whom it excepts: that
    /// excepts the account's root, and nobody else of it.
    pub(super) fn excepts(&self, caller: &Caller) -> bool {
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

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn root_of(arn: &str) -> Option<&str> {
    let parts: Vec<_> = arn.split(':').collect();
    match *parts {
        ["arn", partition, "iam", "", account, "root"]
            if partition.starts_with("aws") && is_account(account) =>
        {
            Some(account)
        }
        _ => None,
    }
}

pub(super) fn is_principal_arn(arn: &str) -> bool {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = *parts else {
        return false;
    };
    let kinds: &[&str] = match service {
        "iam" => &["user/", "role/", "root"],
        "sts" => &["assumed-role/", "federated-user/"],
        _ => return false,
    };
    let known = kinds.iter().any(|kind| resource.starts_with(kind));
    partition.starts_with("aws") && is_account(account) && known && !resource.contains(['*', '?'])
}

/// The ends of the names of AWS's services, in its partitions.
const SERVICES: [&str; 8] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".aws.internal",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
];

/// A service of AWS's, by its name: which of them there are, AWS alone knows.
pub(super) fn is_aws_service(name: &str) -> bool {
    let alexa = name.starts_with("alexa-") && name.ends_with(".amazon.com");
    is_service(name) && (alexa || SERVICES.iter().any(|end| name.ends_with(end)))
}

/// `s3.amazonaws.com`
pub(super) fn is_service(name: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.contains('.') && name.split('.').all(word)
}
