//! The reasons for which a signed request is refused, with AWS's code, status and text where AWS has them.
//!
//! No error contains a part of a secret, a session token or the right signature.

use std::error::Error;

/// Why a signed request is refused. The error's text is the `message` for the client, beside [`code`](Self::code) and
/// [`status`](Self::status).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The request carries no signature in either form (SIG-01). Sign it.
    #[error("Missing Authentication Token")]
    Missing,
    /// The request carries one signature in a header and another in the query. Send one of them.
    #[error(
        "The request carries both an Authorization header and X-Amz-* authentication parameters in its query. Send only one."
    )]
    TwoForms,
    /// A part that may appear once appears again. Which one counts would be a guess.
    #[error("'{what}' must appear only once in the request.")]
    Repeated {
        /// The header or parameter.
        what: &'static str,
    },
    /// A part of the request is too long.
    #[error("The request's {what} exceeds the limit of {limit}.")]
    TooLong {
        /// The part.
        what: &'static str,
        /// Bytes, or how many there may be.
        limit: usize,
    },
    /// The request is signed with another algorithm than `AWS4-HMAC-SHA256`.
    #[error("Unsupported AWS 'algorithm': '{named}'. Only 'AWS4-HMAC-SHA256' is supported.")]
    Algorithm {
        /// The algorithm's name, as far as it is printable.
        named: String,
    },
    /// A piece of the `Authorization` header has no `=` (SIG-02).
    #[error("'{piece}' not a valid key=value pair (missing equal-sign) in Authorization header.")]
    NotAPair {
        /// The piece, shortened.
        piece: String,
    },
    /// A parameter or header is missing (SIG-02).
    #[error("{form} requires '{parameter}' parameter.")]
    Lacks {
        /// The form of the signature.
        form: &'static str,
        /// The missing part.
        parameter: &'static str,
    },
    /// The request has no date (SIG-04).
    #[error("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")]
    Undated,
    /// A parameter or header is malformed (SIG-02).
    #[error("'{what}' must be {expected}.")]
    Malformed {
        /// The parameter or header.
        what: &'static str,
        /// The right form.
        expected: &'static str,
    },
    /// A header that decides what the request means is not signed (SIG-09).
    #[error("'{header}' must be a 'SignedHeader' in the AWS Authorization.")]
    Unsigned {
        /// The header, shortened.
        header: String,
    },
    /// A header that is named as signed is not in the request.
    #[error("'{header}' is named in SignedHeaders and is not a header of the request.")]
    Absent {
        /// The header, shortened.
        header: String,
    },
    /// A word such as `UNSIGNED-PAYLOAD` stands in place of the body's hash. Sign the body.
    #[error(
        "'x-amz-content-sha256' must be the SHA-256 of the body: '{named}' leaves the body unsigned and is not supported."
    )]
    UnsignedBody {
        /// The word, shortened.
        named: String,
    },
    /// The scope does not end in `aws4_request` (SIG-03).
    #[error("Credential should be scoped with a valid terminator: 'aws4_request', not '{named}'.")]
    Terminator {
        /// The end of the scope, shortened.
        named: String,
    },
    /// The scope names another service (SIG-03).
    #[error("Credential should be scoped to correct service: 'lambda'.")]
    Service,
    /// The scope names another region (SIG-03).
    #[error("Credential should be scoped to a valid region, not '{named}'.")]
    Region {
        /// The region, shortened.
        named: String,
    },
    /// The scope names another day than the request's date (SIG-03).
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != '{day}', from '{date}'."
    )]
    Date {
        /// The day of the scope, shortened.
        scope: String,
        /// The day of the request.
        day: String,
        /// The date of the signature.
        date: String,
    },
    /// The request was signed too long ago (SIG-04). Sign it anew, or set the client's clock.
    #[error("Signature expired: {signed_at} is now earlier than {earliest} ({now} - {span})")]
    Expired {
        /// The date of the signature.
        signed_at: String,
        /// The earliest valid date.
        earliest: String,
        /// The server's time.
        now: String,
        /// For how long the signature was valid.
        span: String,
    },
    /// The request is signed in the future (SIG-04). Set the client's clock.
    #[error("Signature not yet current: {signed_at} is still later than {latest} ({now} + {span})")]
    NotYetCurrent {
        /// The date of the signature.
        signed_at: String,
        /// The latest valid date.
        latest: String,
        /// The server's time.
        now: String,
        /// How far the clocks may differ.
        span: String,
    },
    /// The access key is unknown, or the session token belongs to another key (SIG-05).
    #[error("The security token included in the request is invalid.")]
    InvalidToken,
    /// The credential has expired (SIG-05). Get a new one.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// The signature does not fit the request and the key (SIG-08).
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// The body has another hash than the signed one.
    #[error(
        "The provided 'x-amz-content-sha256' header does not match the SHA-256 of the body that was received."
    )]
    BodyMismatch,
    /// A request with this signature was accepted before, and the verifier [refuses
    /// replays](super::Verifier::refuse_replays). Sign it anew.
    #[error("The request was accepted before and its signature is good only once. Sign it anew.")]
    Replayed,
    /// The bound of remembered signatures is reached. Try again later, or raise
    /// [`Verifier::replays_max`](super::Verifier::replays_max).
    #[error("Rate Exceeded.")]
    TooManyRequests,
    /// The application's [`Credentials`](super::Credentials) failed. The cause is for the log, not for the client.
    #[error("The credentials could not be looked up.")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl SignatureError {
    /// Returns the error code, for the header `x-amzn-ErrorType` (ERR-01).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::TwoForms
            | Self::Repeated { .. }
            | Self::TooLong { .. }
            | Self::Algorithm { .. }
            | Self::NotAPair { .. }
            | Self::Lacks { .. }
            | Self::Undated
            | Self::Malformed { .. }
            | Self::Unsigned { .. }
            | Self::Absent { .. }
            | Self::UnsignedBody { .. } => "IncompleteSignatureException",
            Self::Terminator { .. }
            | Self::Service
            | Self::Region { .. }
            | Self::Date { .. }
            | Self::Expired { .. }
            | Self::NotYetCurrent { .. }
            | Self::Mismatch => "InvalidSignatureException",
            Self::InvalidToken => "UnrecognizedClientException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::BodyMismatch => "XAmzContentSHA256Mismatch",
            Self::Replayed => "RequestReplayedException",
            Self::TooManyRequests => "TooManyRequestsException",
            Self::Unavailable(_) => "ServiceException",
        }
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::BodyMismatch => 400,
            Self::TooManyRequests => 429,
            Self::Unavailable(_) => 500,
            _ => 403,
        }
    }
}

/// Returns the beginning of a client's text, in a form that is safe in an error's text.
pub(super) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    text.chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
