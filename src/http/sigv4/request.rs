//! A request as the verifier sees it: method, path, query and headers as they came over the wire, without the body.

use std::fmt;

use super::error::SignatureError;

/// Bytes of a path: a function's ARN with every byte escaped takes a few hundred.
const PATH_MAX: usize = 8 * 1024;
/// Bytes of a query: a presigned one carries a session token, which takes up to 4 KiB, escaped.
const QUERY_MAX: usize = 16 * 1024;
/// How many headers there may be: SDKs send about a dozen.
const HEADERS_MAX: usize = 100;

/// The head of an HTTP request, borrowed, exactly as it was sent: nothing decoded, normalised or removed.
///
/// A request of HTTP/2 has `:authority` where another has `host`: pass it as `host`.
///
/// `Debug` shows the method, the path and the names of the headers: values, and the query, may hold a signature or a session
/// token.
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
    /// The path with its escapes, the query without its `?` (empty if there is none), the headers in their order, each as
    /// often as it was sent.
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

    /// Is every part within its bound?
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

    /// The values of a header, in their order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// The value of a header that may be there once, as text.
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
