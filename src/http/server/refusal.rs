//! Error responses to bytes that never become a request, and to calls that the server's stop cancels.

use std::time::Duration;

use actix_http::error::ParseError;
use actix_web::http::StatusCode;

use super::wire::{HEAD_BYTES_MAX, NoRequest};
use crate::http::error::ApiError;

/// The most headers that actix-http reads.
const HEADERS_MAX: usize = 96;

/// Returns the error response, or `None` if the client is gone.
pub(super) fn no_request(why: NoRequest) -> Option<ApiError> {
    match why {
        NoRequest::Gone => None,
        NoRequest::BrokenOff => Some(malformed("it breaks off")),
        NoRequest::Malformed(error) => Some(unreadable(&error)),
        NoRequest::Unclear(why) => Some(malformed(why)),
    }
}

fn unreadable(error: &ParseError) -> ApiError {
    match error {
        ParseError::TooLarge => ApiError::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "RequestHeaderFieldsTooLargeException",
            format!(
                "The request line and the headers must have fewer than {HEAD_BYTES_MAX} bytes together, and be at most {HEADERS_MAX} headers"
            ),
        ),
        ParseError::Uri(error) => malformed(&format!("its path can't be read, {error}")),
        ParseError::Version => malformed("its version is neither HTTP/1.1 nor HTTP/1.0"),
        _ => malformed(
            "its request line or a header is malformed, there is no Host or more than one, or the headers for the body's length contradict each other",
        ),
    }
}

fn malformed(why: &str) -> ApiError {
    let message = format!("Could not read an HTTP/1.1 request: {why}");
    ApiError::invalid_content(message)
}

/// The head of a request did not arrive in time.
pub(super) fn too_slow(max: Duration) -> ApiError {
    let seconds = max.as_secs();
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        "RequestTimeoutException",
        format!("The request's line and headers did not arrive within {seconds} s"),
    )
}

/// A call outlasts the server's stop.
pub(super) fn stopped(stop_max: Duration) -> ApiError {
    ApiError::unavailable(format!(
        "The server is stopping and waits at most {} s for running requests. A synchronous call was cancelled; any other request may have been carried out",
        stop_max.as_secs()
    ))
}
