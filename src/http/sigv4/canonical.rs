//! The canonical request (SIG-06), hashed up to the place where the body's hash goes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::error::{SignatureError, excerpt};
use super::query::CanonicalQuery;
use super::request::SignedRequest;

/// The characters that are escaped in a segment of the path: all but the unreserved ones of SIG-10. They include the `%` of
/// escapes in the path, so the path is encoded twice.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A canonical request that lacks its last line, the hash of the body.
#[derive(Clone)]
pub(super) struct CanonicalRequest(Sha256);

impl std::fmt::Debug for CanonicalRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CanonicalRequest(..)")
    }
}

impl CanonicalRequest {
    pub(super) fn of(
        request: &SignedRequest<'_>,
        query: &CanonicalQuery,
        signature: Option<&str>,
        signed_headers: &[&str],
    ) -> Result<Self, SignatureError> {
        let mut text = Vec::with_capacity(1024);
        text.extend_from_slice(request.method.as_bytes());
        text.push(b'\n');
        write_path(request.path, &mut text);
        text.push(b'\n');
        query.write_canonical(signature, &mut text);
        text.push(b'\n');
        for name in signed_headers {
            write_header(request, name, &mut text)?;
        }
        text.push(b'\n');
        text.extend_from_slice(signed_headers.join(";").as_bytes());
        text.push(b'\n');
        Ok(Self(Sha256::new_with_prefix(text)))
    }

    /// Returns the hash of the whole request, given the hash of its body.
    pub(super) fn hash(self, body: &[u8; 32]) -> [u8; 32] {
        let hex = base16ct::lower::encode_string(body);
        self.0.chain_update(hex).finalize().into()
    }
}

/// Writes the path without empty and dot segments, each segment escaped once more than it was sent. As in botocore, `..` at
/// the root stays at the root, and a path that ends in a slash still does.
fn write_path(path: &str, out: &mut Vec<u8>) {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push(b'/');
        for piece in utf8_percent_encode(segment, SEGMENT) {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push(b'/');
    }
}

/// Writes `name:value`, with the values of a repeated header joined by commas.
fn write_header(
    request: &SignedRequest<'_>,
    name: &str,
    out: &mut Vec<u8>,
) -> Result<(), SignatureError> {
    let mut values = request.values(name);
    let first = values.next().ok_or_else(|| SignatureError::Absent {
        header: excerpt(name),
    })?;
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    write_folded(first, out);
    for value in values {
        out.push(b',');
        write_folded(value, out);
    }
    out.push(b'\n');
    Ok(())
}

/// Writes the value without white space around it, and with one space for each run of it inside.
fn write_folded(value: &[u8], out: &mut Vec<u8>) {
    let words = value.split(|byte| matches!(byte, b' ' | b'\t'));
    for (at, word) in words.filter(|word| !word.is_empty()).enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}
