//! Verification of AWS Signature Version 4: which principal signed a request, and whether the request is the signed one.
//!
//! A [`Verifier`] takes a request in two steps, so that most faults are refused before the body is read:
//!
//! 1. [`admit`](Verifier::admit) reads the head. It checks form, scope, clock and token, and the signature itself if the header
//!    `x-amz-content-sha256` declares the hash of the body. It returns a [`Claim`], which is not yet an identity.
//! 2. [`settle`](Verifier::settle) takes the body's hash ([`BodyHash`]). It makes the remaining checks and returns the
//!    [`Principal`]. If [replays are refused](Verifier::refuse_replays), it also checks that this signature was never accepted
//!    before.
//!
//! ```
//! use std::time::SystemTime;
//!
//! use redrive::http::sigv4::{BodyHash, Credential, Principal, SignedRequest, SignatureError, StaticCredentials, Verifier};
//!
//! # async fn example() -> Result<(), SignatureError> {
//! let alice = Principal::new("arn:aws:iam::123456789012:user/alice");
//! let keys = StaticCredentials::new().key("AKIDEXAMPLE", Credential::new("secret", alice));
//! let verifier = Verifier::new("us-east-1", keys);
//!
//! let headers: [(&str, &[u8]); 1] = [("host", b"127.0.0.1:9000")];
//! let request = SignedRequest::new("GET", "/2015-03-31/functions", "", headers);
//! let claim = verifier.admit(&request, SystemTime::now()).await?;
//! let principal = verifier.settle(claim, &BodyHash::of(b""), SystemTime::now())?;
//! println!("{}", principal.arn);
//! # Ok(())
//! # }
//! ```
//!
//! # Requirements
//!
//! - The request is signed for `lambda` in the verifier's region, by a clock at most [five minutes](Verifier::clock_window)
//!   away. A presigned URL is valid from its date for `X-Amz-Expires`.
//! - The signature comes once: in one `Authorization` header, or in the query.
//! - `host`, every `x-amz-*` header of the request, and in the header form `x-amz-date` are signed. A request without
//!   `x-amz-date` signs `date`, which may also have the HTTP form. AWS requires clients to sign every `x-amz-*` header: with
//!   one unsigned, a proxy could turn an `Event` into a `RequestResponse`. `x-amz-content-sha256` need not be listed, since
//!   the signature covers its value in any case.
//! - The body is signed. `UNSIGNED-PAYLOAD` and the streaming forms are refused. A presigned URL signs the body too, as botocore
//!   does for Lambda: usually the empty one.
//! - With [`Verifier::refuse_replays`], **each request is accepted once**, with any method; a presigned URL works once. The
//!   same bytes again are refused for as long as their signature is valid. Equal calls that an SDK makes within a second have
//!   one signature and differ in headers that botocore does not sign; such repetitions are accepted [for five
//!   seconds](Verifier::repeat_window). A client without such headers, curl for instance, sends identical requests when it
//!   makes the same call twice within a second, and the second is refused. Refusing replays is therefore off by default;
//!   AWS, too, accepts a signature again.
//!
//! # Limits
//!
//! By default an intercepted request can be sent again for as long as its signature is valid, as with AWS: TLS keeps requests
//! from being intercepted. If replays are refused, accepted signatures are remembered [up to a bound](Verifier::replays_max),
//! across restarts if the runtime has a store. Another process with the same keys does not know them.
//!
//! The signature covers the path as AWS normalises it: `/a/./b`, `/a//b` and `/a/c/../b` all have the signature of `/a/b`, and
//! of repeated query parameters it covers no order. The router decides what these mean.
//!
//! # Why it is our own
//!
//! `scratchstack-aws-signature` 0.11 refuses what SDKs send for `fn:1`, because it escapes paths once where Lambda's clients do it
//! twice; it also wants the whole body before it looks at the signature, fixes the clock window at 15 minutes and knows no
//! replay. The cryptography here is that of `hmac`, `sha2` and `subtle`.

mod authorization;
mod body;
mod canonical;
mod credential;
mod credentials;
mod error;
mod principal;
mod query;
mod replays;
mod request;
mod sdk_retry;
mod timestamp;
mod verifier;

pub use body::BodyHash;
pub use credential::Credential;
pub use credentials::{Credentials, Found, StaticCredentials};
pub use error::SignatureError;
pub use principal::Principal;
pub use request::SignedRequest;
pub(crate) use verifier::UsedUp;
pub use verifier::{Claim, Verifier};
