//! What was signed: the request in the one form that signer and verifier agree on (SIG-06, SIG-10).

use super::SignedRequest;
use super::presented::{Presented, parameters};

/// The canonical request.
pub(super) fn request(
    request: &SignedRequest<'_>,
    presented: &Presented<'_>,
    body_hash: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + request.query.len());
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    path(&mut out, request.path);
    out.push(b'\n');
    query(&mut out, request.query);
    out.push(b'\n');
    for name in presented.signed_headers.split(';') {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        let values = request.headers.iter().filter(|(key, _)| *key == name);
        for (index, (_, value)) in values.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            trimmed(&mut out, value);
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(presented.signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(body_hash.as_bytes());
    out
}

/// The path without empty and dot segments, and encoded once more: it was encoded when it was sent.
fn path(out: &mut Vec<u8>, path: &str) {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push(b'/');
        segment.bytes().for_each(|byte| encoded(out, byte));
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push(b'/');
    }
}

/// SIG-10
fn encoded(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
        _ => {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |half: u8| DIGITS[usize::from(half)];
            out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// The parameters in order of name and value, as they were sent.
fn query(out: &mut Vec<u8>, query: &str) {
    let mut pairs: Vec<_> = parameters(query)
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.into_iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
}

/// The value without white space around it, and with single spaces within.
fn trimmed(out: &mut Vec<u8>, value: &[u8]) {
    let words = value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// SIG-06, SIG-10
    #[test]
    fn a_path_is_encoded_twice_and_has_no_dots() {
        let of = |it: &str| shown(|out| path(out, it));
        assert_eq!(of(""), "/");
        assert_eq!(of("/"), "/");
        assert_eq!(of("/a/fn%3A1"), "/a/fn%253A1");
        assert_eq!(of("/a//b/./c/../d/"), "/a/b/d/");
        assert_eq!(of("/../.."), "/");
        assert_eq!(of("/a~b-c_d.e f"), "/a~b-c_d.e%20f");
    }

    #[test]
    fn a_query_is_sorted_and_keeps_what_was_sent() {
        let of = |it: &str| shown(|out| query(out, it));
        assert_eq!(of("b=2&a=1&b=1&c&X-Amz-Signature=0"), "a=1&b=1&b=2&c=");
        assert_eq!(of("&&a=x=y"), "a=x=y");
    }

    #[test]
    fn white_space_of_a_header_is_one_space() {
        let of = |it: &str| shown(|out| trimmed(out, it.as_bytes()));
        assert_eq!(of("  a \t b  "), "a b");
        assert_eq!(of(""), "");
    }
}
