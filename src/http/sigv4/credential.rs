//! An access key's secret and its principal, with the signing key that was derived last.

use std::sync::Arc;
use std::time::SystemTime;

use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::error::SignatureError;
use super::principal::Principal;
use super::timestamp::Timestamp;
use crate::base::spin_lock::take;
use crate::policy::Policies;

/// The secret, principal and policies of an access key. The secret is wiped from memory when the credential is dropped, and
/// `Debug` omits it.
pub struct Credential {
    secret: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
    expires: Option<SystemTime>,
    principal: Arc<Principal>,
    policies: Policies,
    /// Kept here and not in a table by access key, so that a changed secret never meets the signing key of the old one.
    derived: Mutex<Option<SigningKey>>,
}

impl Credential {
    /// Returns a long-term key of this principal.
    pub fn new(secret: impl Into<String>, principal: Principal) -> Self {
        Self {
            secret: Zeroizing::new(secret.into()),
            session_token: None,
            expires: None,
            principal: Arc::new(principal),
            policies: Policies::new(),
            derived: Mutex::new(None),
        }
    }

    /// Sets the policies of its principal. Without any, the principal may do nothing.
    #[must_use]
    pub fn policies(mut self, policies: Policies) -> Self {
        self.policies = policies;
        self
    }

    /// Makes it a temporary key: requests must carry this token beside the signature, and sign it.
    #[must_use]
    pub fn session_token(mut self, token: impl Into<String>) -> Self {
        self.session_token = Some(Zeroizing::new(token.into()));
        self
    }

    /// Sets the time from which it is refused with `ExpiredTokenException`.
    #[must_use]
    pub fn expires(mut self, at: SystemTime) -> Self {
        self.expires = Some(at);
        self
    }

    /// Returns its principal.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    pub(crate) fn granted(&self) -> &Policies {
        &self.policies
    }

    /// Checks that a request presents this credential's token, and that the credential has not expired (SIG-05).
    pub(super) fn check_token(
        &self,
        presented: Option<&str>,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let is_own = match (&self.session_token, presented) {
            (None, None) => true,
            (Some(own), Some(presented)) => own.as_bytes().ct_eq(presented.as_bytes()).into(),
            _ => false,
        };
        if !is_own {
            return Err(SignatureError::InvalidToken);
        }
        match self.expires {
            Some(at) if Timestamp::of(at) <= now => Err(SignatureError::ExpiredToken),
            _ => Ok(()),
        }
    }

    /// Returns whether this is the credential's signature of the string. Takes the same time in both cases (SIG-07).
    pub(super) fn has_signed(
        &self,
        string_to_sign: &[u8],
        by: KeyScope<'_>,
        signature: &[u8; 32],
    ) -> bool {
        let key = self.signing_key(by);
        mac(&key[..], string_to_sign)
            .verify_slice(signature)
            .is_ok()
    }

    /// Derived once a day and region: requests of one credential rarely have more than one of either.
    fn signing_key(&self, scope: KeyScope<'_>) -> Zeroizing<[u8; 32]> {
        let mut derived = take(&self.derived);
        match &*derived {
            Some(last) if last.is_for(scope) => last.key.clone(),
            _ => {
                let next = SigningKey::derive(&self.secret, scope);
                let key = next.key.clone();
                *derived = Some(next);
                key
            }
        }
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("principal", &self.principal)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The day, region and service that a signing key is derived for.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyScope<'s> {
    /// `YYYYMMDD`.
    pub(super) day: &'s str,
    pub(super) region: &'s str,
    pub(super) service: &'s str,
}

struct SigningKey {
    day: String,
    region: String,
    service: String,
    key: Zeroizing<[u8; 32]>,
}

impl SigningKey {
    /// The chain of SIG-07.
    fn derive(secret: &str, scope: KeyScope<'_>) -> Self {
        let seed = Zeroizing::new(format!("AWS4{secret}"));
        let mut key = Zeroizing::new(digest(mac(seed.as_bytes(), scope.day.as_bytes())));
        for link in [scope.region, scope.service, "aws4_request"] {
            *key = digest(mac(&key[..], link.as_bytes()));
        }
        Self {
            day: scope.day.to_owned(),
            region: scope.region.to_owned(),
            service: scope.service.to_owned(),
            key,
        }
    }

    fn is_for(&self, scope: KeyScope<'_>) -> bool {
        self.day == scope.day && self.region == scope.region && self.service == scope.service
    }
}

fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mac = <Hmac<Sha256> as Mac>::new_from_slice(key);
    mac.unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
        .chain_update(message)
}

fn digest(mac: Hmac<Sha256>) -> [u8; 32] {
    mac.finalize().into_bytes().into()
}
