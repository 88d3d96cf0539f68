//! A request on its way through: its id, its caller, its query and its body, and the response as it leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::header::{AsHeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::api::Api;
use super::body::{BodyError, BoundedBody, parse_json};
use super::error::{ApiError, REQUEST_ID, random_id};
use super::sigv4::Credential;
use crate::event::request_id::RequestId;

/// A request, and the facts found about it so far.
pub(crate) struct Incoming<'a> {
    pub(crate) api: &'a Arc<Api>,
    pub(crate) http: &'a HttpRequest,
    /// The id that the response carries (INV-19).
    pub(crate) id: RequestId,
    /// The caller chose that id (INV-10).
    pub(crate) id_is_chosen: bool,
    /// The signer, once authentication has found it.
    pub(crate) caller: Option<Arc<Credential>>,
    /// Largest body of an operation other than an invocation.
    small_max: usize,
    body: BoundedBody,
}

/// Largest body of an operation that carries no payload.
const SMALL_MAX: usize = 128 << 10;

impl<'a> Incoming<'a> {
    pub(crate) fn new(api: &'a Arc<Api>, http: &'a HttpRequest, body: web::Payload) -> Self {
        Self {
            api,
            http,
            id: random_id(),
            id_is_chosen: false,
            caller: None,
            small_max: SMALL_MAX,
            body: BoundedBody::Unread(body),
        }
    }

    /// Takes the request id that the caller chose, if there is one (INV-10).
    pub(crate) fn take_chosen_id(&mut self) -> Result<(), ApiError> {
        let Some(given) = self.http.headers().get(&REQUEST_ID) else {
            return Ok(());
        };
        let uuid = given
            .to_str()
            .ok()
            .and_then(|text| text.parse::<Uuid>().ok());
        let uuid = uuid.ok_or_else(|| {
            let text = String::from_utf8_lossy(given.as_bytes());
            ApiError::invalid_content(format!("x-amzn-RequestId '{text}' is not a UUID"))
        })?;
        (self.id, self.id_is_chosen) = (uuid.into(), true);
        Ok(())
    }

    /// Returns a header's value, if it is there and is text.
    pub(crate) fn header(&self, name: impl AsHeaderName) -> Option<&'a str> {
        self.http.headers().get(name)?.to_str().ok()
    }

    // --- the query

    /// Returns all parameters of the query; of one that is given twice, the last.
    pub(crate) fn query(&self) -> Result<BTreeMap<String, String>, ApiError> {
        match self.http.query_string().is_empty() {
            true => Ok(BTreeMap::new()),
            false => self.read_query(),
        }
    }

    /// Returns all values of a parameter of the query.
    pub(crate) fn query_values(&self, name: &str) -> Result<Vec<String>, ApiError> {
        let pairs: Vec<(String, String)> = self.read_query()?;
        let found = pairs
            .into_iter()
            .filter_map(|(key, value)| (key == name).then_some(value));
        Ok(found.collect())
    }

    fn read_query<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        web::Query::from_query(self.http.query_string())
            .map(web::Query::into_inner)
            .map_err(|error| {
                // The query may hold a signature, so the error doesn't repeat it.
                ApiError::invalid_parameter(format!("the query can't be read: {error}"))
            })
    }

    // --- the body

    /// Returns the body, of at most `max` bytes.
    pub(crate) async fn bytes(&mut self, max: usize) -> Result<Vec<u8>, BodyError> {
        self.body.read(self.http.headers(), max).await
    }

    /// Keeps a body that was read, for the next reader.
    pub(crate) fn keep(&mut self, bytes: Vec<u8>) {
        self.body = BoundedBody::Read(bytes);
    }

    /// Allows a body that carries an event's payload beside its other members.
    pub(crate) fn allow_payload(&mut self) {
        self.small_max = SMALL_MAX + self.api.client.event_payload_max();
    }

    /// Returns the body of a request that isn't an invocation.
    pub(crate) async fn small(&mut self) -> Result<Vec<u8>, ApiError> {
        let max = self.small_max;
        let bytes = self.bytes(max).await;
        bytes.map_err(|error| match error {
            BodyError::Failed(error) => error,
            BodyError::TooLarge(_) => {
                ApiError::too_large(format!("Request must have at most {max} bytes"))
            }
        })
    }

    /// Returns the body of a small request, read as a `T`; an empty body counts as `{}`.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        parse_json(&self.small().await?)
    }

    /// Returns the body of a small request as an object, and keeps the body for the next reader.
    pub(crate) async fn object(&mut self) -> Result<Map<String, Value>, ApiError> {
        let bytes = self.small().await?;
        let object = parse_json(&bytes);
        self.keep(bytes);
        object
    }

    // --- the response

    /// Returns the response as it leaves, with the request's id. Waits until the client of a refused request has sent its
    /// body, within bounds.
    pub(crate) async fn finish(self, outcome: Result<HttpResponse, ApiError>) -> HttpResponse {
        let response = match outcome {
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
        if response.status().is_client_error() {
            self.body.discard(self.http).await;
        }
        response
    }
}
