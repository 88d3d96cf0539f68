//! Why a signature is not accepted, in AWS's words where AWS has some.

use super::CredentialsError;

/// Why a signed request is not served. Nothing here tells more of a secret than whether a signature was right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Sign the request (SIG-01).
    #[error("Missing Authentication Token")]
    Missing,
    /// Sign it as AWS's SDKs do (SIG-02).
    #[error("{0}")]
    Incomplete(String),
    /// Sign for this region, this service and this day (SIG-03).
    #[error("{0}")]
    Scope(String),
    /// Set the clock, and sign again (SIG-04).
    #[error("{0}")]
    Time(String),
    /// Sign what it names (SIG-09).
    #[error("{0}")]
    Unsigned(String),
    /// Use an access key that is known here (SIG-05).
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// Get new temporary credentials (SIG-05).
    #[error("The security token included in the request is expired")]
    Expired,
    /// Check the secret access key (SIG-08).
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// The body isn't the one whose hash was signed.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    BodyChanged,
    /// Sign the request again: this signature was used before.
    #[error("The signature was used before. Sign the request again.")]
    Replayed,
    /// Too many signatures have to be remembered. Try again later.
    #[error("Rate Exceeded.")]
    TooMany,
    /// The application could not say whose key it is.
    #[error(transparent)]
    Credentials(CredentialsError),
}

impl SignatureError {
    /// AWS's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::Expired => "ExpiredTokenException",
            Self::Scope(_)
            | Self::Time(_)
            | Self::Unsigned(_)
            | Self::Mismatch
            | Self::BodyChanged
            | Self::Replayed => "InvalidSignatureException",
            Self::TooMany => "TooManyRequestsException",
            Self::Credentials(_) => "ServiceException",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooMany => 429,
            Self::Credentials(_) => 500,
            _ => 403,
        }
    }
}
