//! The query in its canonical form: names and values escaped one way, and sorted.

use std::borrow::Cow;

use percent_encoding::{percent_decode_str, percent_encode_byte};

use super::error::SignatureError;

/// The parameters of a query, escaped as SIG-10 has it, in the order of the canonical request.
pub(super) struct CanonicalQuery(Vec<(String, String)>);

impl CanonicalQuery {
    /// Splits as botocore does: a parameter without `=` has an empty value, and `&&` holds a parameter with an empty name.
    pub(super) fn parse(raw: &str) -> Self {
        if raw.is_empty() {
            return Self(Vec::new());
        }
        let mut parameters: Vec<_> = raw
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (escape(name), escape(value)))
            .collect();
        parameters.sort_unstable();
        Self(parameters)
    }

    /// Returns the decoded value of a parameter that may appear once.
    pub(super) fn single(
        &self,
        name: &'static str,
    ) -> Result<Option<Cow<'_, str>>, SignatureError> {
        let mut values = self.0.iter().filter(|(other, _)| other == name);
        let Some((_, value)) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(SignatureError::Repeated { what: name });
        }
        match percent_decode_str(value).decode_utf8() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(SignatureError::Malformed {
                what: name,
                expected: "text",
            }),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    /// Appends the query to the canonical request, without the parameter that holds the signature.
    pub(super) fn write_canonical(&self, without: Option<&str>, out: &mut Vec<u8>) {
        let signed = self
            .0
            .iter()
            .filter(|(name, _)| Some(name.as_str()) != without);
        for (at, (name, value)) in signed.enumerate() {
            if at > 0 {
                out.push(b'&');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(value.as_bytes());
        }
    }
}

/// Escapes raw characters, upper-cases escapes, and resolves escapes of unreserved characters. Two texts that a server could
/// read differently stay different: a `+`, which some servers read as a space, stays a `+`, and a stray `%` a `%`.
fn escape(raw: &str) -> String {
    let mut escaped = String::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte == b'%'
            && let Some((byte, after)) = hex_pair(tail)
        {
            push(byte, &mut escaped);
            rest = after;
        } else if matches!(byte, b'+' | b'%') {
            escaped.push(char::from(*byte));
        } else {
            push(*byte, &mut escaped);
        }
    }
    escaped
}

/// Returns the byte of the first two hexadecimal digits, and the rest of the text.
fn hex_pair(text: &[u8]) -> Option<(u8, &[u8])> {
    let ([high, low], after) = text.split_first_chunk()?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    Some((byte, after))
}

fn push(byte: u8, escaped: &mut String) {
    if is_unreserved(byte) {
        escaped.push(char::from(byte));
    } else {
        escaped.push_str(percent_encode_byte(byte));
    }
}

/// SIG-10.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
