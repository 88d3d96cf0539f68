//! The parameters of a request under `/_redrive/`: numbers and page sizes in the query, and request ids in the path.

use crate::event::request_id::RequestId;
use crate::http::constraint::Constraint;
use crate::http::error::ApiError;
use crate::http::request::Incoming;

/// Items of a page unless the request gives a limit, and the greatest limit.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

/// Returns the number of items that a page may have.
pub(super) fn limit(incoming: &Incoming<'_>) -> Result<usize, ApiError> {
    let limit = number(incoming, "limit")?.map_or(PAGE, |limit| limit as usize);
    let rule = match limit {
        0 => Constraint::Min(1),
        high if high > PAGE_MAX => Constraint::Max(PAGE_MAX as i64),
        within => return Ok(within),
    };
    Err(ApiError::validation(vec![rule.broken_by("limit", limit)]))
}

/// Returns a number of the query.
pub(super) fn number(incoming: &Incoming<'_>, name: &str) -> Result<Option<u64>, ApiError> {
    let query = incoming.query()?;
    let number = query.get(name).map(|text| {
        text.parse().map_err(|error| {
            ApiError::invalid_parameter(format!("{name} '{text}' is not a number: {error}"))
        })
    });
    number.transpose()
}

/// Returns the request id of a path.
pub(super) fn request_id(text: &str) -> Result<RequestId, ApiError> {
    text.parse().map_err(|error| {
        ApiError::invalid_parameter(format!("'{text}' is not a request id: {error}"))
    })
}
