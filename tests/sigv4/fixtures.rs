//! The keys that requests are signed with, the vectors, and a verifier that knows them.

use futures_util::FutureExt;
use redrive::http::sigv4::{
    Claim, Credential, Principal, SignatureError, StaticCredentials, Verifier,
};
use serde::Deserialize;

use crate::sent_request::Sent;

#[derive(Deserialize)]
pub(crate) struct Setting {
    region: String,
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Setting {
    pub(crate) fn read(line: &str) -> Self {
        serde_json::from_str(line).unwrap()
    }

    pub(crate) fn verifier(&self) -> Verifier {
        let keys = self.keys.iter();
        let credentials = keys.fold(StaticCredentials::new(), |credentials, key| {
            let principal = Principal::new(format!("arn:aws:iam::123456789012:user/{}", key.id));
            let mut credential = Credential::new(&key.secret, principal);
            if let Some(token) = &key.token {
                credential = credential.session_token(token);
            }
            credentials.key(&key.id, credential)
        });
        Verifier::new(&self.region, credentials)
    }
}

const VECTORS: &str = include_str!("vectors.jsonl");

/// What the vectors are signed with.
pub(crate) fn verifier() -> Verifier {
    Setting::read(VECTORS.lines().next().unwrap()).verifier()
}

/// The vector of this name.
pub(crate) fn vector(name: &str) -> Sent {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let mut lines = VECTORS.lines().skip(1);
    let line = lines.find(|line| serde_json::from_str::<Named>(line).unwrap().name == name);
    Sent::read(line.unwrap())
}

/// The first step.
pub(crate) fn admit(verifier: &Verifier, sent: &Sent) -> Result<Claim, SignatureError> {
    let claim = verifier.admit(&sent.request(), sent.now()).now_or_never();
    claim.unwrap()
}

/// Both steps.
pub(crate) fn verify(verifier: &Verifier, sent: &Sent) -> Result<String, SignatureError> {
    let claim = admit(verifier, sent)?;
    let principal = verifier.settle(claim, &sent.body_hash, sent.now())?;
    Ok(principal.arn.clone())
}
