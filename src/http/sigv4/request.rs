//! The head of a signed request: method, path, query and headers as they came over the wire.

use std::fmt;

use super::error::SignatureError;

/// The longest path, in bytes. A function's ARN with every byte escaped takes a few hundred.
const PATH_MAX: usize = 8 * 1024;
/// The longest query, in bytes. A presigned one carries an escaped session token, of up to 4 KiB.
const QUERY_MAX: usize = 16 * 1024;
/// The most headers. SDKs send about a dozen.
const HEADERS_MAX: usize = 100;

/// The head of an HTTP request, borrowed, exactly as it was sent: nothing decoded, normalised or removed.
///
/// An HTTP/2 request has `:authority` in place of `host`: pass it as `host`.
///
/// `Debug` shows the method, the path and the names of the headers. It omits the query and the values of headers, which may
/// hold a signature or a session token.
#[derive(Clone)]
pub struct SignedRequest<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    headers: Vec<(&'a str, &'a [u8])>,
}

impl fmt::Debug for SignedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        f.debug_struct("SignedRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

impl<'a> SignedRequest<'a> {
    /// Takes the path with its escapes, the query without its `?` (empty if there is none), and the headers in their order,
    /// each as often as it was sent.
    pub fn new(
        method: &'a str,
        path: &'a str,
        query: &'a str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        Self {
            method,
            path,
            query,
            // One more than allowed is enough to refuse it.
            headers: headers.into_iter().take(HEADERS_MAX + 1).collect(),
        }
    }

    /// Checks that every part is within its bound.
    pub(super) fn check_bounds(&self) -> Result<(), SignatureError> {
        let parts = [
            ("path", self.path.len(), PATH_MAX),
            ("query", self.query.len(), QUERY_MAX),
            ("number of headers", self.headers.len(), HEADERS_MAX),
        ];
        match parts.into_iter().find(|(_, length, limit)| length > limit) {
            Some((what, _, limit)) => Err(SignatureError::TooLong { what, limit }),
            None => Ok(()),
        }
    }

    /// Returns the values of a header, in their order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Returns the value, as text, of a header that may appear once.
    pub(super) fn single(&self, name: &'static str) -> Result<Option<&'a str>, SignatureError> {
        let mut values = self.values(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(SignatureError::Repeated { what: name });
        }
        match std::str::from_utf8(value) {
            Ok(text) => Ok(Some(text.trim_matches([' ', '\t']))),
            Err(_) => Err(SignatureError::Malformed {
                what: name,
                expected: "text",
            }),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.headers.iter().map(|(name, _)| *name)
    }
}
