//! A request on its way through: its id, its path and query, and its body, read within bounds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{AsHeaderName, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use smallvec::SmallVec;
use uuid::Uuid;

use super::api::Api;
use super::error::{ApiError, REQUEST_ID, random_id};
use super::lambda::function_ref::Target;
use super::sigv4::Credential;
use super::unwanted_body::UnwantedBody;
use crate::client::FunctionInfo;
use crate::event::meta::LATEST;
use crate::event::request_id::RequestId;

/// A request, and what is known of it so far.
pub(crate) struct Incoming<'a> {
    pub(crate) api: &'a Arc<Api>,
    pub(crate) http: &'a HttpRequest,
    /// The id that the answer carries (INV-19).
    pub(crate) id: RequestId,
    /// The caller proposed that id (INV-10).
    pub(crate) proposed: bool,
    /// Who signed it, once that is known.
    pub(crate) caller: Option<Arc<Credential>>,
    /// Largest body of an operation other than an invocation.
    small_max: usize,
    body: Body,
}

enum Body {
    Unread(web::Payload),
    /// Not to its end.
    Begun(web::Payload),
    Read(Vec<u8>),
    Gone,
}

/// Why a body was not read.
pub(crate) enum Unread {
    /// It has more bytes than allowed: at least so many.
    TooLarge(usize),
    Failed(ApiError),
}

/// Largest body of an operation that carries no payload.
const SMALL_MAX: usize = 128 << 10;
/// How long a body may take: 6 MiB at 100 KiB a second.
const BODY_MAX: Duration = Duration::from_secs(60);
/// How long nothing of it may come.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a body that is refused is listened to, and how long when nothing of it comes.
const DISCARD_MAX: Duration = Duration::from_secs(20);
const DISCARD_PAUSE_MAX: Duration = Duration::from_millis(500);
/// Of a body that is refused, so much is read and thrown away, so that its sender gets to read the answer.
const DISCARDED_MAX: usize = 32 << 20;
/// Memory that a body gets before any of it has come.
const RESERVED_MAX: usize = 64 << 10;

impl<'a> Incoming<'a> {
    pub(crate) fn new(api: &'a Arc<Api>, http: &'a HttpRequest, body: web::Payload) -> Self {
        Self {
            api,
            http,
            id: random_id(),
            proposed: false,
            caller: None,
            small_max: SMALL_MAX,
            body: Body::Unread(body),
        }
    }

    /// INV-10
    pub(crate) fn take_proposed_id(&mut self) -> Result<(), ApiError> {
        let Some(given) = self.http.headers().get(&REQUEST_ID) else {
            return Ok(());
        };
        let uuid = given
            .to_str()
            .ok()
            .and_then(|text| text.parse::<Uuid>().ok());
        let uuid = uuid.ok_or_else(|| {
            let text = String::from_utf8_lossy(given.as_bytes());
            ApiError::invalid_content(format!("x-amzn-RequestId '{text}' is no UUID"))
        })?;
        (self.id, self.proposed) = (uuid.into(), true);
        Ok(())
    }

    // --- path and query

    /// A header's value, if it is there and is text.
    pub(crate) fn header(&self, name: impl AsHeaderName) -> Option<&'a str> {
        self.http.headers().get(name)?.to_str().ok()
    }

    /// All parameters of the query; of one that is given twice, the last.
    pub(crate) fn query(&self) -> Result<BTreeMap<String, String>, ApiError> {
        let query = self.http.query_string();
        if query.is_empty() {
            return Ok(BTreeMap::new());
        }
        web::Query::from_query(query)
            .map(web::Query::into_inner)
            .map_err(|error| {
                // It may hold a signature, so it isn't repeated.
                ApiError::invalid_parameter(format!("the query can't be read: {error}"))
            })
    }

    /// All parameters of the query with this name.
    pub(crate) fn queries(&self, wanted: &str) -> Result<Vec<String>, ApiError> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(self.http.query_string());
        // It may hold a signature, so it isn't repeated.
        let pairs = pairs.map_err(|error| {
            ApiError::invalid_parameter(format!("the query can't be read: {error}"))
        })?;
        let pairs = pairs.into_inner().into_iter();
        let found = pairs.filter_map(|(name, value)| (name == wanted).then_some(value));
        Ok(found.collect())
    }

    /// The function that a part of the path means, with the query's qualifier.
    pub(crate) fn target<'t>(&self, function: &'t str) -> Result<Target<'t>, ApiError> {
        let qualifier = self.query()?.remove("Qualifier").map(Cow::Owned);
        let target = Target::new(function, qualifier)?;
        target.check_region(self.api.client.region())?;
        Ok(target)
    }

    /// As `target`, where the query has no say (INV-31).
    pub(crate) fn target_of_path<'t>(&self, function: &'t str) -> Result<Target<'t>, ApiError> {
        let target = Target::new(function, None)?;
        target.check_region(self.api.client.region())?;
        Ok(target)
    }

    /// The registered function that a target means.
    pub(crate) fn function(&self, target: &Target<'_>) -> Result<FunctionInfo, ApiError> {
        let client = &self.api.client;
        let known = client
            .function(target.name)
            .filter(|_| !target.is_foreign(client.account()))
            .filter(|info| target.qualifier.as_ref().is_none_or(|it| info.knows(it)));
        known.ok_or_else(|| {
            // NAM-13
            let qualifier = target.qualifier.as_deref().unwrap_or(LATEST);
            let arn = self.arn(target);
            ApiError::not_found(format!("Function not found: {arn}:{qualifier}"))
        })
    }

    /// The ARN of the function that a target asks for, be it here or not.
    pub(crate) fn arn(&self, target: &Target<'_>) -> String {
        let client = &self.api.client;
        target.arn(client.region(), client.account())
    }

    // --- the body

    /// The body, of at most `max` bytes. One that is said to have more isn't read at all.
    pub(crate) async fn bytes(&mut self, max: usize) -> Result<Vec<u8>, Unread> {
        let mut body = match std::mem::replace(&mut self.body, Body::Gone) {
            Body::Unread(body) | Body::Begun(body) => body,
            Body::Read(bytes) if bytes.len() > max => return Err(Unread::TooLarge(bytes.len())),
            Body::Read(bytes) => return Ok(bytes),
            Body::Gone => return Ok(Vec::new()),
        };
        let declared = declared(self.http.headers());
        if let Some(length) = declared.filter(|&length| length > max) {
            self.body = Body::Unread(body);
            return Err(Unread::TooLarge(length));
        }
        let mut bytes = Vec::with_capacity(declared.unwrap_or(0).min(RESERVED_MAX));
        let read = async {
            while let Some(part) = part(&mut body).await? {
                if bytes.len() + part.len() > max {
                    return Err(Unread::TooLarge(bytes.len() + part.len()));
                }
                bytes.extend_from_slice(&part);
            }
            Ok(())
        };
        let read = in_time(BODY_MAX, read)
            .await
            .unwrap_or_else(|| Err(too_slow()));
        if read.is_err() {
            self.body = Body::Begun(body);
        }
        read.map(|()| bytes)
    }

    /// Keeps the body that was read, for whoever reads it next.
    pub(crate) fn keep(&mut self, bytes: Vec<u8>) {
        self.body = Body::Read(bytes);
    }

    /// Has room made for an event's payload in the body, beside what else it says.
    pub(crate) fn carries_payload(&mut self) {
        self.small_max = SMALL_MAX + self.api.client.event_payload_max();
    }

    /// The body of a request that isn't an invocation.
    pub(crate) async fn small(&mut self) -> Result<Vec<u8>, ApiError> {
        let max = self.small_max;
        let bytes = self.bytes(max).await;
        bytes.map_err(|unread| match unread {
            Unread::Failed(error) => error,
            Unread::TooLarge(_) => {
                ApiError::too_large(format!("Request must have at most {max} bytes"))
            }
        })
    }

    /// The body of a small request, read as a `T`; an empty one counts as `{}`.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        parsed(&self.small().await?)
    }

    /// As `json`, of any object; the body is there for whoever reads it next.
    pub(crate) async fn object(&mut self) -> Result<Map<String, Value>, ApiError> {
        let bytes = self.small().await?;
        let object = parsed(&bytes);
        self.keep(bytes);
        object
    }

    // --- the answer

    /// The answer as it leaves: with the request's id, and after the client has got rid of a body that nobody wanted.
    pub(crate) async fn finish(self, answer: Result<HttpResponse, ApiError>) -> HttpResponse {
        let response = match answer {
            Ok(mut response) => {
                if !response.headers().contains_key(&REQUEST_ID)
                    && let Ok(id) = HeaderValue::from_str(&self.id.to_string())
                {
                    response.headers_mut().insert(REQUEST_ID, id);
                }
                response
            }
            Err(error) => error.respond(self.id),
        };
        let unread = match self.body {
            // Its sender waits to be asked for it, and has the answer instead.
            Body::Unread(_) if self.http.headers().contains_key(EXPECT) => None,
            Body::Unread(body) | Body::Begun(body) => Some(body),
            Body::Read(_) | Body::Gone => None,
        };
        if let Some(body) = unread.filter(|_| response.status().is_client_error()) {
            UnwantedBody::say(self.http);
            discard(body).await;
        }
        response
    }
}

/// A body, read as a `T`; an empty one counts as `{}`.
fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let json = if bytes.is_empty() { b"{}" } else { bytes };
    // A list would be taken for the members in their order.
    if json.trim_ascii_start().first() == Some(&b'[') {
        return Err(ApiError::serialization(
            "a JSON object is expected, and this is an array",
        ));
    }
    let mut json = serde_json::Deserializer::from_slice(json);
    let read = serde_path_to_error::deserialize(&mut json);
    let read = read.map_err(ApiError::serialization)?;
    json.end().map_err(ApiError::serialization)?;
    Ok(read)
}

/// How many bytes the client says that it sends.
fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a future comes to, if that doesn't take too long. As a rule it is ready at once: then no timer is set.
async fn in_time<F: Future>(max: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match poll_fn(|task| Poll::Ready(future.as_mut().poll(task))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout(max, future).await.ok(),
    }
}

fn too_slow() -> Unread {
    let message = format!(
        "The request's body did not arrive within {} s, or nothing of it came for {} s",
        BODY_MAX.as_secs(),
        PAUSE_MAX.as_secs()
    );
    Unread::Failed(ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        "RequestTimeoutException",
        message,
    ))
}

async fn part(body: &mut web::Payload) -> Result<Option<web::Bytes>, Unread> {
    let why = match in_time(PAUSE_MAX, body.next()).await {
        None => return Err(too_slow()),
        Some(None) => return Ok(None),
        Some(Some(Ok(part))) => return Ok(Some(part)),
        Some(Some(Err(PayloadError::Incomplete(_)))) => "it breaks off".to_owned(),
        Some(Some(Err(error))) => error.to_string(),
    };
    let message = format!("Could not read the request's body: {why}");
    Err(Unread::Failed(ApiError::invalid_content(message)))
}

/// Reads a body for nobody, as long as it comes, so that its sender gets to read the answer.
async fn discard(mut body: web::Payload) {
    let mut discarded = 0;
    let all = async {
        while let Ok(Ok(Some(part))) =
            tokio::time::timeout(DISCARD_PAUSE_MAX, part(&mut body)).await
        {
            discarded += part.len();
            if discarded > DISCARDED_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_MAX, all).await;
}

/// What follows the date, or `/_redrive/`, in the path as the client sent it: still encoded, so that an encoded slash is no
/// slash.
pub(crate) fn raw_tail(http: &HttpRequest) -> &str {
    let rest = http.match_info().unprocessed();
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let slashes = rest.matches('/').count();
    let path = http.uri().path();
    match path.rmatch_indices('/').nth(slashes) {
        Some((at, _)) => &path[at + 1..],
        None => path,
    }
}

/// The parts of a path, as many as tell it from the others. A trailing slash counts for nothing.
pub(crate) fn parts(path: &str) -> SmallVec<[&str; PARTS]> {
    let parts = path.trim_end_matches('/').split('/');
    parts.take(PARTS).collect()
}

/// More than any operation is told by.
const PARTS: usize = 7;

/// A part of a path, decoded.
pub(crate) fn decode(part: &str) -> Result<Cow<'_, str>, ApiError> {
    if !part.contains('%') {
        return Ok(Cow::Borrowed(part));
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                high.zip(low).map(|(high, low)| (high * 16 + low) as u8)
            }
            byte => Some(byte),
        };
        bytes.push(decoded.ok_or_else(|| malformed(part))?);
    }
    let text = String::from_utf8(bytes).map_err(|_| malformed(part))?;
    Ok(Cow::Owned(text))
}

fn malformed(part: &str) -> ApiError {
    ApiError::invalid_parameter(format!("'{part}' in the path is no percent-encoded UTF-8"))
}

/// A page's marker: where it begins, not to be read by the client.
pub(crate) fn marker(at: &str) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(at)
}

/// Where the page of this marker begins.
pub(crate) fn marked(marker: &str) -> Result<String, ApiError> {
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(marker);
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| ApiError::invalid_parameter(format!("Invalid marker: '{marker}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_decoded_once() {
        assert_eq!(decode("f%3Alive").unwrap(), "f:live");
        assert_eq!(decode("%24LATEST%2f").unwrap(), "$LATEST/");
        assert_eq!(decode("%2541").unwrap(), "%41");
        for faulty in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(
                decode(faulty).unwrap_err().code(),
                "InvalidParameterValueException"
            );
        }
    }

    #[test]
    fn markers_are_read_back() {
        assert_eq!(marked(&marker("f:live")).unwrap(), "f:live");
        marked("*").unwrap_err();
    }
}
