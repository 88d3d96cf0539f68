//! The pages of AWS's lists: their size, and the opaque markers at which the next page begins.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::http::error::ApiError;
use crate::http::request::Incoming;
use crate::http::route::ApiResult;

/// Most items of a page, also if more are requested (CFG-01).
const PAGE_MAX: usize = 50;

/// The part of a list that a request is for.
pub(super) struct PageRequest {
    pub(super) limit: usize,
    /// The key after which the page begins.
    pub(super) after: Option<String>,
}

impl PageRequest {
    pub(super) fn of(query: &BTreeMap<String, String>) -> Result<Self, ApiError> {
        let limit = query.get("MaxItems").and_then(|it| it.parse().ok());
        let after = query.get("Marker").map(|marker| read_marker(marker));
        Ok(Self {
            limit: limit.unwrap_or(PAGE_MAX).min(PAGE_MAX),
            after: after.transpose()?,
        })
    }
}

/// A page in the making.
pub(super) struct PageBuilder {
    items: Vec<Value>,
    limit: usize,
    /// The key of the last item, where the next page begins.
    last: String,
    more: bool,
}

impl PageBuilder {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            items: Vec::new(),
            limit,
            last: String::new(),
            more: false,
        }
    }

    /// Adds an item and its key. Returns `false` if the page is full: then the list goes on after it.
    pub(super) fn add(&mut self, item: Value, key: String) -> bool {
        self.more = self.items.len() >= self.limit;
        if !self.more {
            self.items.push(item);
            self.last = key;
        }
        !self.more
    }

    /// Returns the response, with the items as this member.
    pub(super) fn respond(self, member: &str) -> HttpResponse {
        let mut body = json!({ member: self.items });
        if self.more {
            body["NextMarker"] = marker(&self.last).into();
        }
        HttpResponse::Ok().json(body)
    }
}

/// Returns a page of items with their keys.
pub(super) fn paged(
    incoming: &Incoming<'_>,
    items: impl Iterator<Item = (Value, String)>,
    member: &str,
) -> ApiResult {
    let PageRequest { limit, after } = PageRequest::of(&incoming.query()?)?;
    let mut begun = after.is_none();
    let mut page = PageBuilder::new(limit);
    for (item, key) in items {
        if !begun {
            begun = after.as_ref() == Some(&key);
            continue;
        }
        if !page.add(item, key) {
            break;
        }
    }
    Ok(page.respond(member))
}

/// Returns the marker of a page that begins after this key. Clients can't read it.
fn marker(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// Returns the key in a marker.
fn read_marker(marker: &str) -> Result<String, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| ApiError::invalid_parameter(format!("Invalid marker: '{marker}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_holds_its_key() {
        assert_eq!(read_marker(&marker("f:live")).unwrap(), "f:live");
        read_marker("*").unwrap_err();
    }
}
