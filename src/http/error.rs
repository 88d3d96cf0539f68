//! Error responses: AWS's status, error code and body, by AWS's rules (ERR-01 to ERR-06).
//!
//! The errors of the runtime become AWS's errors here. Elsewhere are the codes of signatures (`http/sigv4/error.rs`), of
//! unreadable requests (`http/server/refusal.rs`), and those of single operations, in `lambda/` and `admin/`.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde_json::{Map, Value};

use super::sigv4::SignatureError;
use crate::error::{CallError, ConfigureError, InvokeError};
use crate::event::request_id::RequestId;
use crate::telemetry;

/// An error response.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Refusal>);

#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    blame: Blame,
    reason: Option<&'static str>,
    retry_after: Option<Duration>,
}

/// The side that caused the error, as the body's `Type` (ERR-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    User,
    Server,
    /// The body has no `Type` (ERR-03, CFG-27).
    Unsaid,
}

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(crate) const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Returns a new request id, for a response to a request without one.
pub(crate) fn random_id() -> RequestId {
    let bytes = rand::random();
    uuid::Builder::from_random_bytes(bytes).into_uuid().into()
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let blame = match status.is_server_error() {
            true => Blame::Server,
            false => Blame::User,
        };
        Self(Box::new(Refusal {
            status,
            code,
            message: message.into(),
            blame,
            reason: None,
            retry_after: None,
        }))
    }

    fn unsaid(mut self) -> Self {
        self.0.blame = Blame::Unsaid;
        self
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    pub(crate) fn invalid_parameter(message: impl Into<String>) -> Self {
        let code = "InvalidParameterValueException";
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn invalid_content(message: impl Into<String>) -> Self {
        let code = "InvalidRequestContentException";
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Returns the refusal of a request that breaks the model, with all violations in AWS's words (NAM-05).
    pub(crate) fn validation(broken: Vec<String>) -> Self {
        let count = broken.len();
        let errors = if count == 1 { "error" } else { "errors" };
        let message = format!(
            "{count} validation {errors} detected: {}",
            broken.join("; ")
        );
        Self::new(StatusCode::BAD_REQUEST, "ValidationException", message).unsaid()
    }

    pub(crate) fn unless_empty(broken: Vec<String>) -> Result<(), Self> {
        match broken.is_empty() {
            true => Ok(()),
            false => Err(Self::validation(broken)),
        }
    }

    pub(crate) fn unknown_operation(http: &HttpRequest) -> Self {
        let (method, path) = (http.method(), http.path());
        let message = format!(
            "{method} {path} is neither an operation of AWS Lambda nor one of /_redrive/openapi.json"
        );
        Self::new(StatusCode::NOT_FOUND, "UnknownOperationException", message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "ResourceConflictException", message)
    }

    /// Returns the refusal of a body that is not the operation's JSON.
    pub(crate) fn serialization(error: impl std::fmt::Display) -> Self {
        let message = format!("Could not parse request body into json: {error}");
        Self::new(StatusCode::BAD_REQUEST, "SerializationException", message).unsaid()
    }

    /// Returns the refusal of a query that has a value of another type than the operation's.
    pub(crate) fn query(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "SerializationException", message).unsaid()
    }

    /// CFG-27
    fn too_much_reserved(min: u32) -> Self {
        Self::invalid_parameter(format!(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [{min}]."
        ))
        .unsaid()
    }

    pub(crate) fn access_denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDeniedException", message).unsaid()
    }

    /// CFL-04, INV-27
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        let code = "RequestEntityTooLargeException";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code, message)
    }

    /// INV-26: larger than any request of its kind. AWS refuses it before Lambda sees it, without a `Type`.
    pub(crate) fn request_too_large(max: usize, operation: &str) -> Self {
        Self::too_large(format!(
            "Request must be smaller than {max} bytes for the {operation} operation"
        ))
        .unsaid()
    }

    /// ERR-05, ERR-06
    pub(crate) fn throttled(reason: &'static str, retry_after: Option<Duration>) -> Self {
        let code = "TooManyRequestsException";
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, code, "Rate Exceeded.");
        (error.0.reason, error.0.retry_after) = (Some(reason), retry_after);
        error
    }

    pub(crate) fn service(message: impl Into<String>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "ServiceException", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "ServiceUnavailableException", message)
    }

    /// The body that the client gets, as JSON.
    pub(crate) fn body(&self) -> Value {
        let Refusal {
            code,
            message,
            blame,
            reason,
            ..
        } = &*self.0;
        let mut body = Map::new();
        let mut put = |key: &str, value: &str| drop(body.insert(key.to_owned(), value.into()));
        if let Some(reason) = reason {
            put("Reason", reason);
        }
        match blame {
            Blame::User => put("Type", "User"),
            Blame::Server => put("Type", "Server"),
            Blame::Unsaid => {}
        }
        // ERR-02: the key's case is the shape's.
        let capital = matches!(
            *code,
            "ResourceNotFoundException" | "ServiceException" | "AccessDeniedException"
        );
        put(if capital { "Message" } else { "message" }, message);
        Value::Object(body)
    }

    /// Returns the error as a member of a response that is not an error.
    pub(crate) fn embedded(&self) -> Value {
        serde_json::json!({ "ErrorCode": self.0.code, "Message": self.0.message })
    }

    pub(crate) fn respond(&self, id: RequestId) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.0.status);
        response
            .insert_header((ERROR_TYPE, HeaderValue::from_static(self.0.code)))
            .insert_header((REQUEST_ID, id.to_string()));
        if let Some(retry_after) = self.0.retry_after {
            let seconds = retry_after.as_secs_f64().ceil().max(1.0) as u64;
            response.insert_header(("retry-after", seconds.to_string()));
        }
        response.json(self.body())
    }
}

/// ERR-06
const RESERVED: &str = "ReservedFunctionConcurrentInvocationLimitExceeded";

impl From<InvokeError> for ApiError {
    fn from(error: InvokeError) -> Self {
        let message = error.to_string();
        match error {
            InvokeError::UnknownFunction { .. } | InvokeError::UnknownQualifier { .. } => {
                Self::not_found(message)
            }
            InvokeError::PayloadTooLarge { .. } => Self::too_large(message),
            InvokeError::PayloadUnserialisable { .. } => Self::invalid_content(message),
            InvokeError::MailboxFull { retry_after, .. }
            | InvokeError::DeduplicationKeysFull { retry_after, .. } => {
                Self::throttled("ConcurrentInvocationLimitExceeded", Some(retry_after))
            }
            // A pause ends when an operator resumes the function.
            InvokeError::Paused { .. } => {
                let mut error = Self::throttled(RESERVED, None);
                error.0.message = message;
                error
            }
            InvokeError::ZeroReservedConcurrency { .. }
            | InvokeError::ReservedConcurrencyInUse { .. } => Self::throttled(RESERVED, None),
            InvokeError::Recursion { .. } => {
                let code = "RecursiveInvocationException";
                Self::new(StatusCode::BAD_REQUEST, code, message)
            }
            InvokeError::RequestIdTaken { .. } => Self::conflict(message),
            InvokeError::Setting(_) | InvokeError::HeaderTooLong { .. } => {
                Self::invalid_parameter(message)
            }
            InvokeError::ShuttingDown | InvokeError::NoSystem => Self::unavailable(message),
            InvokeError::Store(_) => Self::service(message),
        }
    }
}

impl From<SignatureError> for ApiError {
    fn from(error: SignatureError) -> Self {
        if matches!(error, SignatureError::TooManyRequests) {
            return Self::throttled("CallerRateLimitExceeded", None);
        }
        if let SignatureError::Unavailable(cause) = &error {
            telemetry::credentials_unavailable(&cause.to_string());
        }
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::FORBIDDEN);
        Self::new(status, error.code(), error.to_string()).unsaid()
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refused) => refused.into(),
            CallError::Removed { .. } => Self::not_found(error.to_string()),
            CallError::Gone => Self::unavailable(error.to_string()),
            _ => Self::service(error.to_string()),
        }
    }
}

impl From<ConfigureError> for ApiError {
    fn from(error: ConfigureError) -> Self {
        match error {
            ConfigureError::UnknownFunction { .. } => Self::not_found(error.to_string()),
            ConfigureError::TooMuchReserved { unreserved_min, .. } => {
                Self::too_much_reserved(unreserved_min)
            }
            ConfigureError::Settings(_) => Self::invalid_parameter(error.to_string()),
            ConfigureError::Store(_) => Self::service(error.to_string()),
            ConfigureError::ShuttingDown => Self::unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::constraint::Constraint;

    fn body(error: &ApiError) -> String {
        error.body().to_string()
    }

    /// ERR-02, ERR-03, ERR-05
    #[test]
    fn the_body_has_the_shape_of_its_code() {
        assert_eq!(
            body(&ApiError::not_found("x")),
            r#"{"Message":"x","Type":"User"}"#
        );
        assert_eq!(
            body(&ApiError::service("x")),
            r#"{"Message":"x","Type":"Server"}"#
        );
        assert_eq!(
            body(&ApiError::invalid_parameter("x")),
            r#"{"Type":"User","message":"x"}"#
        );
        let broken = [Constraint::Min(1).broken_by("n", 0)];
        assert_eq!(
            body(&ApiError::validation(broken.into())),
            r#"{"message":"1 validation error detected: Value '0' at 'n' failed to satisfy constraint: Member must have value greater than or equal to 1"}"#
        );
        let throttled = ApiError::throttled(RESERVED, Some(Duration::from_millis(1_200)));
        assert_eq!(
            body(&throttled),
            r#"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#
        );
        let response = throttled.respond(RequestId::new(0, 0, 1));
        assert_eq!(response.headers().get("retry-after").unwrap(), "2");
        assert_eq!(response.status(), 429);
    }

    /// ERR-01, INV-19
    #[test]
    fn the_code_and_the_id_travel_in_headers() {
        let id = RequestId::new(0, 0, 1);
        let response = ApiError::not_found("x").respond(id);
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(header("x-amzn-errortype"), "ResourceNotFoundException");
        assert_eq!(header("x-amzn-requestid"), id.to_string());
        assert_eq!(response.status(), 404);
    }
}
