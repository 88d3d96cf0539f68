//! Whose access key it is, and what its secret is: the application's to say.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use ring::hmac;
use zeroize::Zeroizing;

use super::SignatureError;
use crate::policy::Policies;

/// Where access keys are looked up.
pub trait Credentials: Send + Sync + 'static {
    /// The credential with this access key id; `None` if there is none. Asked for each request: it should be quick.
    fn credential<'a>(
        &'a self,
        access_key_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Arc<Credential>>, CredentialsError>>;
}

/// An application's credentials could not be asked. The request gets a 500, so that AWS's SDKs try again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credentials can't be looked up: {0}")]
pub struct CredentialsError(String);

impl CredentialsError {
    /// Says why.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Principal {
    /// The ARN of a user, a role's session, or an account's root.
    pub arn: String,
    /// The account, twelve digits.
    pub account: String,
    /// As `aws:userid` has it.
    pub user_id: String,
}

impl Principal {
    /// The principal with this ARN, such as `arn:aws:iam::000000000000:user/ada`. Account and user id are taken from it.
    pub fn new(arn: impl Into<String>) -> Self {
        let arn = arn.into();
        let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
        let user_id = arn.rsplit('/').next().unwrap_or_default().to_owned();
        Self {
            arn,
            account,
            user_id,
        }
    }
}

/// A secret access key, and whose it is. Its `Debug` shows no secret, and its memory is wiped when it is dropped.
pub struct Credential {
    /// With AWS's prefix, as the derivation of signing keys begins.
    secret: Zeroizing<Vec<u8>>,
    session_token: Option<Zeroizing<String>>,
    expires_at: Option<SystemTime>,
    principal: Principal,
    grants: Policies,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("principal", &self.principal)
            .field("temporary", &self.session_token.is_some())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// The secret of `principal`, who may do nothing yet.
    pub fn new(secret_access_key: &str, principal: Principal) -> Self {
        let mut secret = Zeroizing::new(Vec::with_capacity(4 + secret_access_key.len()));
        secret.extend_from_slice(b"AWS4");
        secret.extend_from_slice(secret_access_key.as_bytes());
        Self {
            secret,
            session_token: None,
            expires_at: None,
            principal,
            grants: Policies::new(),
        }
    }

    /// What its principal may do.
    pub fn policies(mut self, policies: Policies) -> Self {
        self.grants = policies;
        self
    }

    /// A temporary one: requests must carry this token.
    pub fn session_token(mut self, token: impl Into<String>) -> Self {
        self.session_token = Some(Zeroizing::new(token.into()));
        self
    }

    /// It is of no use from then on.
    pub fn expires_at(mut self, time: SystemTime) -> Self {
        self.expires_at = Some(time);
        self
    }

    /// Whose it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    pub(crate) fn grants(&self) -> &Policies {
        &self.grants
    }

    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Is it good now, with this token?
    pub(super) fn check(&self, token: Option<&str>, now: SystemTime) -> Result<(), SignatureError> {
        let same = match (&self.session_token, token) {
            (None, None) => true,
            (Some(own), Some(given)) => same(own.as_bytes(), given.as_bytes()),
            _ => false,
        };
        if !same {
            return Err(SignatureError::UnknownKey);
        }
        match self.expires_at {
            Some(until) if until <= now => Err(SignatureError::Expired),
            _ => Ok(()),
        }
    }
}

/// Compares in a time that says nothing of where they differ.
fn same(own: &[u8], given: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"comparison");
    hmac::verify(&key, given, hmac::sign(&key, own).as_ref()).is_ok()
}

/// Credentials in memory.
#[derive(Clone, Debug, Default)]
pub struct StaticCredentials(HashMap<String, Arc<Credential>>);

impl StaticCredentials {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one under its access key id, in place of what that had.
    pub fn with(mut self, access_key_id: impl Into<String>, credential: Credential) -> Self {
        self.0.insert(access_key_id.into(), Arc::new(credential));
        self
    }
}

impl Credentials for StaticCredentials {
    fn credential<'a>(
        &'a self,
        access_key_id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Arc<Credential>>, CredentialsError>> {
        let found = self.0.get(access_key_id).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }
}
