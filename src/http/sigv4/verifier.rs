//! The two steps of a verification, and their settings.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::authorization::{Form, Presented, Scope};
use super::canonical::CanonicalRequest;
use super::credential::{Credential, KeyScope};
use super::credentials::Credentials;
use super::error::{SignatureError, excerpt};
use super::principal::Principal;
use super::query::CanonicalQuery;
use super::replays::{Replays, Use};
use super::request::SignedRequest;
use super::sdk_retry::SdkAttempt;
use super::timestamp::{Seconds, Timestamp};

const SERVICE: &str = "lambda";
const CLOCK_WINDOW: Seconds = Seconds(5 * 60);
const REPEAT_WINDOW: Seconds = Seconds(5);
const REPLAYS_MAX: usize = 4_000_000;

/// Verifies signed requests. Share it between threads behind an [`Arc`].
pub struct Verifier {
    region: String,
    credentials: Box<dyn Credentials>,
    clock_window: Seconds,
    refuses_replays: bool,
    replays: Replays,
    /// Unknown access keys are verified against it, so that they take as long as known ones.
    decoy: Credential,
}

/// A request that passed every check that is possible before its body is read. It proves nothing until it is
/// [settled](Verifier::settle).
///
/// `Debug` omits the signature.
#[must_use = "a claim proves nothing until it is settled"]
pub struct Claim {
    credential: Arc<Credential>,
    signed_at: Timestamp,
    good_for: Seconds,
    signature: [u8; 32],
    attempt: Option<SdkAttempt>,
    body: BodyProof,
}

/// A signature that is used up, because replays are refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsedUp {
    pub(crate) signature: [u8; 32],
    /// The last second in which it would be valid.
    pub(crate) good_until: SystemTime,
}

/// What the signature has proven about the body.
enum BodyProof {
    /// The signature is verified and covers this hash.
    Declared([u8; 32]),
    /// Nothing yet: the signature can't be verified without the body's hash.
    Awaited(CanonicalRequest),
}

impl Claim {
    /// Returns the credential that the request claims. It is proven only once the claim is settled.
    pub(crate) fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }
}

impl Verifier {
    /// Returns a verifier of requests for Lambda in this region, such as `us-east-1`, by the application's access keys.
    pub fn new(region: impl Into<String>, credentials: impl Credentials + 'static) -> Self {
        Self {
            region: region.into(),
            credentials: Box::new(credentials),
            clock_window: CLOCK_WINDOW,
            refuses_replays: false,
            replays: Replays::new(REPLAYS_MAX, REPEAT_WINDOW),
            decoy: Credential::new("decoy", Principal::new("")),
        }
    }

    /// Sets how far the clocks of client and server may differ, in whole seconds. Default: 5 minutes, as at AWS (SIG-04). A
    /// signature in the header form is valid for as long.
    #[must_use]
    pub fn clock_window(mut self, window: Duration) -> Self {
        self.clock_window = Seconds(window.as_secs());
        self
    }

    /// Refuses a signature that was accepted before, with `RequestReplayedException` (403). By default it is accepted again for
    /// as long as it is valid, as at AWS: five minutes in a header, up to a week in a presigned URL.
    ///
    /// The costs: a signature is dated to the second, so of equal calls within one second by a client that is not an AWS SDK
    /// (`curl --aws-sigv4`, aws4fetch, aws4), or by two such clients with one key, all but the first are refused. A presigned
    /// URL works once. Each accepted signature takes [memory](Self::replays_max).
    ///
    /// In a [`LambdaApi`](crate::http::LambdaApi) whose runtime has a store, an accepted signature is stored before the request
    /// is carried out, so it is refused after a restart too, including `kill -9` and a power cut. Each request then waits for
    /// the disk, and a stored signature takes about 150 bytes while it is valid. Without a store, and for direct callers of
    /// [`settle`](Self::settle), accepted signatures are forgotten when the process ends: a presigned URL that is still valid
    /// then works once more. Other processes with the same access keys do not know them.
    #[must_use]
    pub fn refuse_replays(mut self) -> Self {
        self.refuses_replays = true;
        self
    }

    /// If [replays are refused](Self::refuse_replays): sets how many accepted signatures are remembered at most. Default:
    /// 4,000,000, at 35 to 80 bytes each, enough for a steady 11,000 requests a second. At the bound, or at half of it for one
    /// principal, requests are refused with `TooManyRequestsException` until signatures expire: forgetting one would accept its
    /// replay.
    #[must_use]
    pub fn replays_max(mut self, max: usize) -> Self {
        self.replays.kept_max = max;
        self
    }

    /// If [replays are refused](Self::refuse_replays): sets for how long, in whole seconds, a signature may come again as another
    /// attempt. Default: 5 seconds. Zero refuses every repetition.
    ///
    /// botocore signs to the second, so two equal calls within a second have one signature. They differ in
    /// `amz-sdk-invocation-id` or `amz-sdk-request`, which botocore does not sign. An attacker who intercepts a request can
    /// invent such headers and repeat the request within this window; TLS keeps requests from being intercepted.
    #[must_use]
    pub fn repeat_window(mut self, window: Duration) -> Self {
        self.replays.repeat_window = Seconds(window.as_secs());
        self
    }

    /// The first step: checks the head of a request and returns its claim. Waits for the application's [`Credentials`] only.
    ///
    /// # Errors
    /// Each [`SignatureError`] except [`BodyMismatch`](SignatureError::BodyMismatch), [`Replayed`](SignatureError::Replayed) and
    /// [`TooManyRequests`](SignatureError::TooManyRequests). Send it as the response and leave the body unread.
    pub async fn admit(
        &self,
        request: &SignedRequest<'_>,
        now: SystemTime,
    ) -> Result<Claim, SignatureError> {
        let now = Timestamp::of(now);
        request.check_bounds()?;
        let query = CanonicalQuery::parse(request.query);
        let presented = Presented::read(request, &query)?;
        let scope = presented.scope()?;
        self.check_scope(&scope, presented.signed_at)?;
        let good_for = self.check_clock(&presented, now)?;
        let canonical = CanonicalRequest::of(
            request,
            &query,
            presented.unsigned_parameter(),
            &presented.signed_headers(),
        )?;
        let found = self.credentials.find(scope.access_key).await;
        let Some(credential) = found.map_err(SignatureError::Unavailable)? else {
            return Err(self.refuse_unknown(canonical, &presented));
        };
        credential.check_token(presented.session_token.as_deref(), now)?;
        let body = self.prove_body(&credential, canonical, &presented)?;
        Ok(Claim {
            credential,
            signed_at: presented.signed_at,
            good_for,
            signature: presented.signature,
            attempt: match presented.form {
                Form::Header => SdkAttempt::of(request),
                // No SDK makes two attempts with one presigned URL.
                Form::Presigned(_) => None,
            },
            body,
        })
    }

    /// Verifies the signature if the request declares the hash of its body.
    fn prove_body(
        &self,
        credential: &Credential,
        canonical: CanonicalRequest,
        presented: &Presented<'_>,
    ) -> Result<BodyProof, SignatureError> {
        let Some(hash) = presented.body_hash else {
            return Ok(BodyProof::Awaited(canonical));
        };
        self.check_signature(
            credential,
            canonical.hash(&hash),
            presented.signed_at,
            &presented.signature,
        )?;
        Ok(BodyProof::Declared(hash))
    }

    /// The second step: takes the hash of the body and returns the principal. If [replays are refused](Self::refuse_replays),
    /// the signature is used up from now on.
    ///
    /// # Errors
    /// - [`Mismatch`](SignatureError::Mismatch) or [`BodyMismatch`](SignatureError::BodyMismatch) if another body was signed.
    /// - [`Expired`](SignatureError::Expired) if the body arrived after the signature expired.
    /// - If replays are refused, [`Replayed`](SignatureError::Replayed), and
    ///   [`TooManyRequests`](SignatureError::TooManyRequests) at the [bound](Self::replays_max).
    pub fn settle(
        &self,
        claim: Claim,
        body_sha256: &[u8; 32],
        now: SystemTime,
    ) -> Result<Arc<Principal>, SignatureError> {
        let principal = claim.credential.principal().clone();
        self.use_up(claim, body_sha256, now).map(|_| principal)
    }

    /// As `settle`. Returns the signature if it must never be accepted again.
    pub(crate) fn use_up(
        &self,
        claim: Claim,
        body_sha256: &[u8; 32],
        now: SystemTime,
    ) -> Result<Option<UsedUp>, SignatureError> {
        match claim.body {
            BodyProof::Declared(hash) if hash == *body_sha256 => {}
            BodyProof::Declared(_) => return Err(SignatureError::BodyMismatch),
            BodyProof::Awaited(canonical) => self.check_signature(
                &claim.credential,
                canonical.hash(body_sha256),
                claim.signed_at,
                &claim.signature,
            )?,
        }
        let now = Timestamp::of(now);
        check_age(claim.signed_at, claim.good_for, now)?;
        if !self.refuses_replays {
            return Ok(None);
        }
        let used = Use {
            signer: &claim.credential.principal().arn,
            signature: claim.signature,
            good_until: claim.signed_at.after(claim.good_for),
            attempt: claim.attempt,
        };
        self.replays.accept(&used, now)?;
        Ok(Some(UsedUp {
            signature: used.signature,
            good_until: used.good_until.time(),
        }))
    }

    pub(crate) fn refuses_replays(&self) -> bool {
        self.refuses_replays
    }

    /// Remembers a signature that was accepted before the process began.
    pub(crate) fn recall(&self, used: &UsedUp) {
        let until = Timestamp::of(used.good_until);
        self.replays.recall(&used.signature, until);
    }

    /// SIG-03.
    fn check_scope(&self, scope: &Scope<'_>, signed_at: Timestamp) -> Result<(), SignatureError> {
        if scope.terminator != "aws4_request" {
            return Err(SignatureError::Terminator {
                named: excerpt(scope.terminator),
            });
        }
        if scope.service != SERVICE {
            return Err(SignatureError::Service);
        }
        if scope.region != self.region {
            return Err(SignatureError::Region {
                named: excerpt(scope.region),
            });
        }
        let date = signed_at.to_string();
        match date.get(..8) {
            Some(day) if day == scope.day => Ok(()),
            day => Err(SignatureError::Date {
                scope: excerpt(scope.day),
                day: day.unwrap_or_default().to_owned(),
                date,
            }),
        }
    }

    /// SIG-04. Returns for how long the signature is valid.
    fn check_clock(
        &self,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<Seconds, SignatureError> {
        let latest = now.after(self.clock_window);
        if presented.signed_at > latest {
            return Err(SignatureError::NotYetCurrent {
                signed_at: presented.signed_at.to_string(),
                latest: latest.to_string(),
                now: now.to_string(),
                span: self.clock_window.to_string(),
            });
        }
        let good_for = match presented.form {
            Form::Header => self.clock_window,
            Form::Presigned(lifetime) => lifetime,
        };
        check_age(presented.signed_at, good_for, now)?;
        Ok(good_for)
    }

    /// SIG-07, SIG-08.
    fn check_signature(
        &self,
        credential: &Credential,
        canonical_hash: [u8; 32],
        signed_at: Timestamp,
        signature: &[u8; 32],
    ) -> Result<(), SignatureError> {
        let date = signed_at.to_string();
        let day = date.get(..8).unwrap_or_default();
        let hash = base16ct::lower::encode_string(&canonical_hash);
        let region = &self.region;
        let string_to_sign =
            format!("AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{SERVICE}/aws4_request\n{hash}");
        let scope = KeyScope {
            day,
            region,
            service: SERVICE,
        };
        if credential.has_signed(string_to_sign.as_bytes(), scope, signature) {
            Ok(())
        } else {
            Err(SignatureError::Mismatch)
        }
    }

    /// Refuses an unknown access key after the work that a known one takes.
    fn refuse_unknown(
        &self,
        canonical: CanonicalRequest,
        presented: &Presented<'_>,
    ) -> SignatureError {
        let hash = canonical.hash(&presented.body_hash.unwrap_or_default());
        let checked =
            self.check_signature(&self.decoy, hash, presented.signed_at, &presented.signature);
        let _ = std::hint::black_box(checked);
        SignatureError::InvalidToken
    }
}

fn check_age(
    signed_at: Timestamp,
    good_for: Seconds,
    now: Timestamp,
) -> Result<(), SignatureError> {
    if signed_at.after(good_for) >= now {
        return Ok(());
    }
    Err(SignatureError::Expired {
        signed_at: signed_at.to_string(),
        earliest: now.before(good_for).to_string(),
        now: now.to_string(),
        span: good_for.to_string(),
    })
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim")
            .field("credential", &self.credential)
            .field("signed_at", &self.signed_at)
            .field("good_for", &self.good_for)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("region", &self.region)
            .field("clock_window", &self.clock_window)
            .finish_non_exhaustive()
    }
}
