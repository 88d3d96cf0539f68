//! AWS Signature Version 4, verified: who signed a request, and that nothing of it was changed since (SIG-01 to SIG-10).
//!
//! Written for this crate, on `ring`'s HMAC: the crates that do it buffer the whole request first, know no replays, and ask
//! for a web framework of their own. Both forms are known, the `Authorization` header and the presigned query. A signature
//! counts once: a request that was heard can't be sent again, and a presigned URL works one time.
//!
//! ```text
//! headers ─▶ presented.rs: what is claimed ─▶ credentials ─▶ [body] ─▶ canonical.rs: what was signed ─▶ replay.rs: once
//! ```

mod canonical;
mod credentials;
mod error;
mod presented;
mod replay;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ring::{digest, hmac};

pub use credentials::{Credential, Credentials, CredentialsError, Principal, StaticCredentials};
pub use error::SignatureError;

use presented::Presented;
use replay::Replays;

/// A request as it was sent, without its body.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, encoded as it was sent.
    pub path: &'a str,
    /// The query, encoded as it was sent, without the question mark; empty if there is none.
    pub query: &'a str,
    /// All headers, names in lower case, in their order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Verifies signatures against the credentials of an application.
pub struct Verifier {
    credentials: Arc<dyn Credentials>,
    region: String,
    window: Duration,
    replays: Replays,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("region", &self.region)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// A request whose head is in order: what remains is the body.
#[derive(Debug)]
pub struct Pending<'a> {
    verifier: &'a Verifier,
    request: SignedRequest<'a>,
    presented: Presented<'a>,
    credential: Option<Arc<Credential>>,
    /// The body that is announced, and under which the signature was found right.
    announced: Option<String>,
}

/// SIG-04
const WINDOW: Duration = Duration::from_secs(300);

impl Verifier {
    /// Verifies requests to `region`, signed with one of these credentials at most 5 min ago.
    pub fn new(region: impl Into<String>, credentials: impl Credentials) -> Self {
        Self {
            credentials: Arc::new(credentials),
            region: region.into(),
            window: WINDOW,
            replays: Replays::default(),
        }
    }

    /// How old a signature may be, and how far its clock may be ahead; 5 min unless set (SIG-04). A presigned one says itself
    /// how old it may grow.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Checks all that can be checked without the body: form, scope, time, whose key it is; and the signature, if the body's
    /// hash is announced in `x-amz-content-sha256`.
    ///
    /// # Errors
    /// When the request is not to be served.
    pub async fn begin<'a>(
        &'a self,
        request: SignedRequest<'a>,
        now: SystemTime,
    ) -> Result<Pending<'a>, SignatureError> {
        let presented = Presented::read(&request)?;
        presented.check_scope(&self.region)?;
        presented.check_time(self.window, now)?;
        presented.check_signed(&request)?;
        let credential = self.credentials.credential(presented.access_key_id).await;
        let credential = credential.map_err(SignatureError::Credentials)?;
        if let Some(credential) = &credential {
            credential.check(presented.session_token, now)?;
        }
        let announced = presented.announced_hash(&request)?;
        let pending = Pending {
            verifier: self,
            request,
            presented,
            credential,
            announced,
        };
        if let Some(announced) = &pending.announced {
            pending.check_signature(announced)?;
        }
        Ok(pending)
    }
}

impl Pending<'_> {
    /// Checks the signature over the head and this body, and that it is used for the first time. Answers whose it is.
    ///
    /// # Errors
    /// When the request is not to be served.
    pub fn finish(self, body: &[u8], now: SystemTime) -> Result<Arc<Credential>, SignatureError> {
        let hash = hex(digest::digest(&digest::SHA256, body).as_ref());
        match &self.announced {
            Some(announced) if *announced != hash => return Err(SignatureError::BodyChanged),
            Some(_) => {}
            None => self.check_signature(&hash)?,
        }
        let credential = self.credential.ok_or(SignatureError::UnknownKey)?;
        let until = self.presented.valid_until(self.verifier.window);
        let first = self
            .verifier
            .replays
            .admit(self.presented.signature, until, now)?;
        match first {
            true => Ok(credential),
            false => Err(SignatureError::Replayed),
        }
    }

    fn check_signature(&self, body_hash: &str) -> Result<(), SignatureError> {
        let presented = &self.presented;
        let canonical = canonical::request(&self.request, presented, body_hash);
        let canonical = hex(digest::digest(&digest::SHA256, &canonical).as_ref());
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{canonical}",
            presented.date_time, presented.scope
        );
        // A key that nobody has takes as long as one that somebody has.
        let secret = match &self.credential {
            Some(credential) => credential.secret(),
            None => b"AWS4no such key",
        };
        let [date, region, service, terminator] = presented.scope_parts;
        let key = [date, region, service, terminator].into_iter().fold(
            hmac::Key::new(hmac::HMAC_SHA256, secret),
            |key, part| {
                let next = hmac::sign(&key, part.as_bytes());
                hmac::Key::new(hmac::HMAC_SHA256, next.as_ref())
            },
        );
        // In constant time.
        let right = hmac::verify(&key, text.as_bytes(), &presented.signature).is_ok();
        match (&self.credential, right) {
            (None, _) => Err(SignatureError::UnknownKey),
            (Some(_), false) => Err(SignatureError::Mismatch),
            (Some(_), true) => Ok(()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        |byte: &u8| [byte >> 4, byte & 15].map(|half| char::from(DIGITS[usize::from(half)]));
    bytes.iter().flat_map(digits).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let text = text.as_bytes();
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
