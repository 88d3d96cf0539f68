//! Where an application keeps its access keys.

use std::collections::HashMap;
use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use super::credential::Credential;

/// The answer to a look-up: the credential, or `None` if the application has no such access key.
pub type Found = Result<Option<Arc<Credential>>, Box<dyn Error + Send + Sync>>;

/// The application's access keys: from memory, from a file, from a database.
///
/// Asked once a request, before the body is read, with whatever a client sent as its access key: up to 128 bytes of any
/// text. Give out the same `Arc` as long as a credential is the same, for it remembers the signing key derived from it. An error
/// answers the request with `ServiceException` (500); its text goes to the log only.
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
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more. Of two with the same access key, the second counts.
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
