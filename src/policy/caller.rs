//! The caller that makes a request.

/// The caller that makes a request.
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
    /// Returns the principal with this ARN: a user, a role's session (`arn:aws:sts::…:assumed-role/role/session`), or an
    /// account's root.
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

    /// Returns an AWS service, such as `s3.amazonaws.com`, that acts for another principal.
    pub fn service(name: impl Into<String>) -> Self {
        Self {
            kind: CallerKind::Service,
            name: name.into(),
        }
    }

    /// Returns the caller of a request without a signature.
    pub fn anonymous() -> Self {
        Self {
            kind: CallerKind::Anonymous,
            name: "anonymous".to_owned(),
        }
    }

    /// Returns the ARN, or the service's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the account; empty for services and anonymous callers.
    pub(super) fn account(&self) -> &str {
        match self.kind {
            CallerKind::Service | CallerKind::Anonymous => "",
            _ => self.name.split(':').nth(4).unwrap_or_default(),
        }
    }

    /// Returns the ARN, without its path, of the role that a session belongs to.
    pub(super) fn role(&self) -> Option<String> {
        let session = self.name.splitn(6, ':').nth(5)?;
        let role = session.strip_prefix("assumed-role/")?.split('/').next()?;
        let partition = self.name.split(':').nth(1)?;
        Some(format!(
            "arn:{partition}:iam::{}:role/{role}",
            self.account()
        ))
    }
}
