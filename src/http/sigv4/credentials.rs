//! The application's access keys, and how the verifier looks one up.

use std::collections::HashMap;
use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use super::credential::Credential;

/// The result of a lookup: the credential, or `None` if the application has no such access key.
pub type Found = Result<Option<Arc<Credential>>, Box<dyn Error + Send + Sync>>;

/// The application's access keys: from memory, from a file, from a database.
///
/// The verifier looks a key up once per request, before the body is read. The client chooses the text of the key, of up to 128
/// bytes. Return the same `Arc` for the same credential, because it caches the signing key derived from it. An error becomes a
/// `ServiceException` (500); its text goes to the log only.
pub trait Credentials: Send + Sync {
    /// Looks up an access key.
    fn find<'a>(&'a self, access_key: &'a str) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>>;
}

/// Access keys in memory, fixed when the server starts.
///
/// ```
/// use redrive::http::sigv4::{Credential, Principal, StaticCredentials};
///
/// let alice = Principal::new("arn:aws:iam::123456789012:user/alice");
/// let keys = StaticCredentials::new().key("AKIDEXAMPLE", Credential::new("secret", alice));
/// ```
#[derive(Debug, Default)]
pub struct StaticCredentials {
    keys: HashMap<String, Arc<Credential>>,
}

impl StaticCredentials {
    /// Returns an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key. It replaces an earlier one with the same name.
    #[must_use]
    pub fn key(mut self, access_key: impl Into<String>, credential: Credential) -> Self {
        self.keys.insert(access_key.into(), Arc::new(credential));
        self
    }
}

impl Credentials for StaticCredentials {
    fn find<'a>(&'a self, access_key: &'a str) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
        Box::pin(ready(Ok(self.keys.get(access_key).cloned())))
    }
}

impl<T: Credentials + ?Sized> Credentials for Arc<T> {
    fn find<'a>(&'a self, access_key: &'a str) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
        (**self).find(access_key)
    }
}
