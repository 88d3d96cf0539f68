//! AWS Signature Version 4, verified: who signed this request, and is it this request that was signed?
//!
//! A [`Verifier`] takes a request in two steps, so that most of what is wrong is refused before the body is read:
//!
//! 1. [`admit`](Verifier::admit) sees the head. It checks form, scope, clock and token, and the signature itself if the header
//!    `x-amz-content-sha256` declares what the body hashes to. What it returns is a [`Claim`], not yet an identity.
//! 2. [`settle`](Verifier::settle) sees the body's hash ([`BodyHash`]). It checks what is still open, and returns the
//!    [`Principal`]. Where [replays are refused](Verifier::refuse_replays), it makes sure that this signature was never
//!    accepted before.
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
//! # What it demands
//!
//! - The request is signed for `lambda` in the verifier's region, by a clock at most [five minutes](Verifier::clock_window)
//!   away. A presigned URL is good from its date for `X-Amz-Expires`.
//! - The signature comes once: in one `Authorization` header, or in the query.
//! - `host`, in the header form `x-amz-date` (or `date`, in the form of HTTP too, where the other is not there), and every
//!   `x-amz-*` header that is there are signed. AWS demands the last of those who sign; were one left out, a proxy between
//!   could turn an `Event` into a `RequestResponse`. `x-amz-content-sha256` need not be named among them: the signature
//!   covers its value in any case.
//! - The body is signed. `UNSIGNED-PAYLOAD` and the streaming forms are refused. A presigned URL signs the body too, as botocore
//!   does for Lambda: usually the empty one.
//! - With [`Verifier::refuse_replays`], **each request is accepted once**, whatever its method; a presigned URL works once. A
//!   request that comes again byte for byte is refused for as long as its signature is good. Equal calls that an SDK makes
//!   within a second have one signature, and are told apart by headers that botocore doesn't sign: that is believed [for five
//!   seconds](Verifier::repeat_window). A client without such headers, as curl is, makes the same request twice if it asks the
//!   same twice within a second, and the second is refused. That is why it is not the default: AWS accepts a signature again.
//!
//! # What it doesn't do
//!
//! By default a request that is intercepted can be sent again for as long as its signature is good, as with AWS: TLS keeps
//! requests from being intercepted. Where replays are refused, accepted signatures are remembered [up to a
//! bound](Verifier::replays_max), across restarts if the runtime has a store; another process with the same keys knows
//! nothing of them.
//!
//! The signature covers the path as AWS normalises it: `/a/./b`, `/a//b` and `/a/c/../b` all have the signature of `/a/b`, and
//! of repeated query parameters it covers no order. Whoever routes the request decides what these mean.
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
