//! The body of a request, read within bounds: of its size, of the time that it takes, and of the memory that it gets before
//! any of it has come.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, EXPECT, HeaderMap};
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::unwanted_body::UnwantedBody;

/// How long a body may take: 6 MiB at 100 KiB a second.
const BODY_MAX: Duration = Duration::from_secs(60);
/// How long a body may pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long the body of a refused request is discarded for, and how long it may pause.
const DISCARD_MAX: Duration = Duration::from_secs(20);
const DISCARD_PAUSE_MAX: Duration = Duration::from_millis(500);
/// Bytes of a refused request's body that are discarded so that its sender reads the error.
const DISCARDED_MAX: usize = 32 << 20;
/// Memory that a body gets before any of it has come.
const RESERVED_MAX: usize = 64 << 10;

/// A body, as far as it was read.
pub(crate) enum BoundedBody {
    Unread(web::Payload),
    /// Read in part: an error ended the reading.
    Begun(web::Payload),
    Read(Vec<u8>),
    Gone,
}

/// Why a body was not read.
pub(crate) enum BodyError {
    /// It has more bytes than allowed: at least so many.
    TooLarge(usize),
    Failed(ApiError),
}

impl BoundedBody {
    /// Returns the body, of at most `max` bytes. A body that declares a greater length is not read at all.
    pub(crate) async fn read(
        &mut self,
        headers: &HeaderMap,
        max: usize,
    ) -> Result<Vec<u8>, BodyError> {
        let mut body = match std::mem::replace(self, Self::Gone) {
            Self::Unread(body) | Self::Begun(body) => body,
            Self::Read(bytes) if bytes.len() > max => return Err(BodyError::TooLarge(bytes.len())),
            Self::Read(bytes) => return Ok(bytes),
            Self::Gone => return Ok(Vec::new()),
        };
        let declared = declared_length(headers);
        if let Some(length) = declared.filter(|&length| length > max) {
            *self = Self::Unread(body);
            return Err(BodyError::TooLarge(length));
        }
        let mut bytes = Vec::with_capacity(declared.unwrap_or(0).min(RESERVED_MAX));
        let read = async {
            while let Some(part) = next_part(&mut body).await? {
                if bytes.len() + part.len() > max {
                    return Err(BodyError::TooLarge(bytes.len() + part.len()));
                }
                bytes.extend_from_slice(&part);
            }
            Ok(())
        };
        let read = in_time(BODY_MAX, read)
            .await
            .unwrap_or_else(|| Err(too_slow()));
        if read.is_err() {
            *self = Self::Begun(body);
        }
        read.map(|()| bytes)
    }

    /// Discards the unread rest of a refused request's body, so that its sender stops sending and reads the error.
    pub(crate) async fn discard(self, http: &HttpRequest) {
        let body = match self {
            // Its sender waits to be asked for it, and gets the error instead.
            Self::Unread(_) if http.headers().contains_key(EXPECT) => return,
            Self::Unread(body) | Self::Begun(body) => body,
            Self::Read(_) | Self::Gone => return,
        };
        UnwantedBody::mark(http);
        discard(body).await;
    }
}

/// Returns the length that the client declares.
fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns a future's output, or `None` after `max`. Most futures are ready at the first poll, which sets no timer.
async fn in_time<F: Future>(max: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match poll_fn(|task| Poll::Ready(future.as_mut().poll(task))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout(max, future).await.ok(),
    }
}

fn too_slow() -> BodyError {
    let message = format!(
        "The request's body did not arrive within {} s, or nothing of it came for {} s",
        BODY_MAX.as_secs(),
        PAUSE_MAX.as_secs()
    );
    BodyError::Failed(ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        "RequestTimeoutException",
        message,
    ))
}

/// Returns the next bytes of a body, or `None` at its end.
async fn next_part(body: &mut web::Payload) -> Result<Option<web::Bytes>, BodyError> {
    let why = match in_time(PAUSE_MAX, body.next()).await {
        None => return Err(too_slow()),
        Some(None) => return Ok(None),
        Some(Some(Ok(part))) => return Ok(Some(part)),
        Some(Some(Err(PayloadError::Incomplete(_)))) => "it breaks off".to_owned(),
        Some(Some(Err(error))) => error.to_string(),
    };
    let message = format!("Could not read the request's body: {why}");
    Err(BodyError::Failed(ApiError::invalid_content(message)))
}

async fn discard(mut body: web::Payload) {
    let mut discarded = 0;
    let all = async {
        while let Ok(Ok(Some(part))) =
            tokio::time::timeout(DISCARD_PAUSE_MAX, next_part(&mut body)).await
        {
            discarded += part.len();
            if discarded > DISCARDED_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_MAX, all).await;
}

/// Returns a body read as a `T`; an empty body counts as `{}`.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let json = if bytes.is_empty() { b"{}" } else { bytes };
    // serde would take the items of an array for the members in their order.
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
