//! A request as it goes over the wire, and the parts that a signature covers: a second, plain implementation to check the
//! verifier.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use redrive::http::sigv4::{BodyHash, SignedRequest};
use serde::Deserialize;

#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Arc<Vec<u8>>,
    pub(crate) body_hash: [u8; 32],
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// All but the body.
impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}?{}", self.method, self.path, self.query)?;
        let mut headers = self.headers.iter();
        headers.try_for_each(|(name, value)| write!(f, "\n{name}: {value:?}"))
    }
}

#[derive(Deserialize)]
struct Line {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Body,
    now: u64,
}

#[derive(Deserialize)]
struct Body {
    base64: Option<String>,
    #[serde(default)]
    fill: u8,
    #[serde(default)]
    length: usize,
}

impl Sent {
    pub(crate) fn read(line: &str) -> Self {
        let line: Line = serde_json::from_str(line).unwrap();
        let body = match line.body.base64 {
            Some(text) => BASE64_STANDARD.decode(text).unwrap(),
            None => vec![line.body.fill; line.body.length],
        };
        Self {
            method: line.method,
            path: line.path,
            query: line.query,
            headers: line.headers,
            body_hash: BodyHash::of(&body),
            body: Arc::new(body),
            now: line.now,
        }
    }

    pub(crate) fn request(&self) -> SignedRequest<'_> {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        SignedRequest::new(&self.method, &self.path, &self.query, headers)
    }

    pub(crate) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.now)
    }

    pub(crate) fn set_body(&mut self, body: Vec<u8>) {
        self.body_hash = BodyHash::of(&body);
        self.body = Arc::new(body);
    }

    pub(crate) fn header(&mut self, name: &str) -> Option<&mut String> {
        let mut headers = self.headers.iter_mut();
        headers
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns the parts that a signature covers. Two requests with equal parts are one to every verifier.
    pub(crate) fn coverage(&self) -> Coverage<'_> {
        let mut headers: BTreeMap<String, Vec<Vec<&str>>> = BTreeMap::new();
        for (name, value) in &self.headers {
            let name = name.to_lowercase();
            // The parts of a signature may have space between them or not.
            let is_between =
                |c: char| c == ' ' || c == '\t' || (c == ',' && name == "authorization");
            let words = value.split(is_between).filter(|word| !word.is_empty());
            let words = words.collect();
            headers.entry(name).or_default().push(words);
        }
        let signed = self.signed_headers();
        headers.retain(|name, _| {
            name == "authorization" || name.starts_with("x-amz-") || signed.contains(name)
        });
        let segments = segments(&self.path);
        Coverage {
            method: &self.method,
            is_folder: self.path.ends_with('/') && !segments.is_empty(),
            segments,
            parameters: parameters(&self.query),
            headers,
            body: &self.body,
        }
    }

    /// Taken from the header or the query.
    pub(crate) fn signed_headers(&self) -> Vec<String> {
        let mut headers = self.headers.iter();
        let authorization = headers.find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let list = match authorization {
            Some((_, value)) => value
                .split_once("SignedHeaders=")
                .and_then(|(_, rest)| rest.split(',').next())
                .map(str::to_owned),
            None => parameters(&self.query)
                .into_iter()
                .find(|(name, _)| name == b"X-Amz-SignedHeaders")
                .and_then(|(_, value)| String::from_utf8(value).ok()),
        };
        let list = list.unwrap_or_default();
        list.split(';').map(str::to_owned).collect()
    }
}

#[derive(PartialEq, Eq)]
pub(crate) struct Coverage<'s> {
    method: &'s str,
    segments: Vec<&'s str>,
    is_folder: bool,
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
    headers: BTreeMap<String, Vec<Vec<&'s str>>>,
    body: &'s [u8],
}

fn segments(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path
        .split('/')
        .filter(|segment| !["", "."].contains(segment))
    {
        if segment == ".." {
            segments.pop();
        } else {
            segments.push(segment);
        }
    }
    segments
}

fn parameters(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).collect();
    let pieces = query.split('&').filter(|_| !query.is_empty());
    let pairs = pieces.map(|piece| piece.split_once('=').unwrap_or((piece, "")));
    let mut parameters: Vec<_> = pairs
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    parameters.sort();
    parameters
}
