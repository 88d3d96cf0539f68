//! Why a request is refused: AWS's code, status and words where AWS has them, ours where it has none.
//!
//! No error carries anything of a secret, a session token or the right signature.

use std::error::Error;

/// Why a signed request is refused. Its text is the `message` that goes to the client; [`code`](Self::code) and
/// [`status`](Self::status) go with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The request carries no signature in either form (SIG-01). Sign it.
    #[error("Missing Authentication Token")]
    Missing,
    /// It carries one in a header and another in the query. Send one of them.
    #[error(
        "The request carries both an Authorization header and X-Amz-* authentication parameters in its query. Send only one."
    )]
    TwoForms,
    /// Something that may be there once is there again: which one counts would be a guess.
    #[error("'{what}' must appear only once in the request.")]
    Repeated {
        /// The header or parameter.
        what: &'static str,
    },
    /// A part of the request is beyond the bound up to which it is looked at.
    #[error("The request's {what} exceeds the limit of {limit}.")]
    TooLong {
        /// The part.
        what: &'static str,
        /// Bytes, or how many there may be.
        limit: usize,
    },
    /// It is signed by another algorithm than `AWS4-HMAC-SHA256`.
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
    /// A parameter or header is not there (SIG-02).
    #[error("{form} requires '{parameter}' parameter.")]
    Lacks {
        /// The form of the signature.
        form: &'static str,
        /// What it lacks.
        parameter: &'static str,
    },
    /// It doesn't say when it was signed (SIG-04).
    #[error("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")]
    Undated,
    /// A parameter or header isn't what it has to be (SIG-02).
    #[error("'{what}' must be {expected}.")]
    Malformed {
        /// The parameter or header.
        what: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A header that decides what the request means is not signed (SIG-09).
    #[error("'{header}' must be a 'SignedHeader' in the AWS Authorization.")]
    Unsigned {
        /// The header, shortened.
        header: String,
    },
    /// A header is said to be signed and isn't in the request.
    #[error("'{header}' is named in SignedHeaders and is not a header of the request.")]
    Absent {
        /// The header, shortened.
        header: String,
    },
    /// The hash of the body is replaced by a word, such as `UNSIGNED-PAYLOAD`. Sign the body.
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
        /// What it ends in, shortened.
        named: String,
    },
    /// The scope is another service's (SIG-03).
    #[error("Credential should be scoped to correct service: 'lambda'.")]
    Service,
    /// The scope is another region's (SIG-03).
    #[error("Credential should be scoped to a valid region, not '{named}'.")]
    Region {
        /// The region it is scoped to, shortened.
        named: String,
    },
    /// The scope is another day's (SIG-03).
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != '{day}', from '{date}'."
    )]
    Date {
        /// The day of the scope, shortened.
        scope: String,
        /// The day of the request.
        day: String,
        /// When the request was signed.
        date: String,
    },
    /// It was signed too long ago (SIG-04). Sign it anew, or set the client's clock.
    #[error("Signature expired: {signed_at} is now earlier than {earliest} ({now} - {span})")]
    Expired {
        /// When it was signed.
        signed_at: String,
        /// The earliest that would do.
        earliest: String,
        /// What the time is.
        now: String,
        /// For how long it was good.
        span: String,
    },
    /// It is signed in the future (SIG-04). Set the client's clock.
    #[error("Signature not yet current: {signed_at} is still later than {latest} ({now} + {span})")]
    NotYetCurrent {
        /// When it says to have been signed.
        signed_at: String,
        /// The latest that would do.
        latest: String,
        /// What the time is.
        now: String,
        /// How far clocks may be apart.
        span: String,
    },
    /// The access key is unknown, or the session token is not that key's (SIG-05).
    #[error("The security token included in the request is invalid.")]
    InvalidToken,
    /// The credential is over (SIG-05). Get a new one.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// The signature isn't that of this request by this key (SIG-08).
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// The body isn't the one whose hash is signed.
    #[error(
        "The provided 'x-amz-content-sha256' header does not match the SHA-256 of the body that was received."
    )]
    BodyMismatch,
    /// A request with this signature was accepted before, and the verifier [refuses
    /// replays](super::Verifier::refuse_replays). Sign it anew.
    #[error("The request was accepted before and its signature is good only once. Sign it anew.")]
    Replayed,
    /// As many accepted signatures are remembered as may be. Try again later, or raise
    /// [`Verifier::replays_max`](super::Verifier::replays_max).
    #[error("Rate Exceeded.")]
    TooManyRequests,
    /// The application's [`Credentials`](super::Credentials) could not be asked. The cause is for the log, not for the client.
    #[error("The credentials could not be looked up.")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl SignatureError {
    /// The error code, for the header `x-amzn-ErrorType` (ERR-01).
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

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::BodyMismatch => 400,
            Self::TooManyRequests => 429,
            Self::Unavailable(_) => 500,
            _ => 403,
        }
    }
}

/// The beginning of what a client sent, fit for an error's text.
pub(super) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    text.chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
