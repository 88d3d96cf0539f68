//! The two steps of a verification, and what is set of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::authorization::{Form, Presented, SIGNATURE, Scope};
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
    /// What an unknown access key is verified against, so that it takes as long as a known one.
    decoy: Credential,
}

/// A request that may be what it says: all that can be checked before the body is read has been. It proves nothing until it
/// is [settled](Verifier::settle).
///
/// No output of `Debug` has the signature.
#[must_use = "a claim proves nothing until it is settled"]
pub struct Claim {
    credential: Arc<Credential>,
    signed_at: Timestamp,
    good_for: Seconds,
    signature: [u8; 32],
    attempt: Option<SdkAttempt>,
    body: BodyProof,
}

/// A signature that is used up, where replays are refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsedUp {
    pub(crate) signature: [u8; 32],
    /// The last second in which it would be good.
    pub(crate) good_until: SystemTime,
}

/// What is open about the body.
enum BodyProof {
    /// The signature is verified and covers this hash.
    Declared([u8; 32]),
    /// The signature can't be verified without the hash.
    Awaited(CanonicalRequest),
}

impl Claim {
    /// Whose key it would be. Of no use before the claim is settled.
    pub(crate) fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }
}

impl Verifier {
    /// Verifies requests for Lambda in this region, such as `us-east-1`, by the access keys of the application.
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

    /// How far the clocks of client and server may be apart, in whole seconds. Default: 5 minutes, as AWS has it (SIG-04). That
    /// is how long a signature in the header form is good.
    #[must_use]
    pub fn clock_window(mut self, window: Duration) -> Self {
        self.clock_window = Seconds(window.as_secs());
        self
    }

    /// Refuses a signature that was accepted before, with `RequestReplayedException` (403). Unless this is said, it is accepted
    /// again for as long as it is good, as AWS does: five minutes in a header, up to a week in a presigned URL.
    ///
    /// What it costs: signatures tell seconds apart, so of equal calls within one second by clients that are no AWS SDK (`curl
    /// --aws-sigv4`, aws4fetch, aws4), or by two of them with one key, all but the first are refused; a presigned URL works
    /// once; and each accepted signature takes [memory](Self::replays_max).
    ///
    /// In a [`LambdaApi`](crate::http::LambdaApi) whose runtime has a store, an accepted signature is kept there before the
    /// request is carried out, so that it is refused after a restart too, be it after `kill -9` or a power cut: each request
    /// waits for the disk, and for as long as it is good the signature takes about 150 bytes more. Without a store, and for
    /// those who call [`settle`](Self::settle) themselves, what was accepted is forgotten when the process ends: a presigned
    /// URL that is still good then works once more. Other processes with the same access keys know nothing of it.
    #[must_use]
    pub fn refuse_replays(mut self) -> Self {
        self.refuses_replays = true;
        self
    }

    /// Where [replays are refused](Self::refuse_replays): how many accepted signatures are remembered at most. Default: 4,000,000, at 35 to 80 bytes each, which is 11,000 requests
    /// a second all the time. When as many are, or half as many of one principal, requests are refused with
    /// `TooManyRequestsException` until some expire: to forget one would be to accept its replay.
    #[must_use]
    pub fn replays_max(mut self, max: usize) -> Self {
        self.replays.kept_max = max;
        self
    }

    /// Where [replays are refused](Self::refuse_replays): for how long, in whole seconds, a signature may come again as another
    /// attempt. Default: 5 seconds. Zero refuses every repetition.
    ///
    /// botocore signs to the second and doesn't sign what tells its requests apart, so two equal calls within a second have
    /// one signature. They differ in `amz-sdk-invocation-id` or `amz-sdk-request`. Whoever intercepts a request can make such
    /// headers up, and for so long can have it done again; TLS keeps requests from being intercepted.
    #[must_use]
    pub fn repeat_window(mut self, window: Duration) -> Self {
        self.replays.repeat_window = Seconds(window.as_secs());
        self
    }

    /// The first step: all that the head of a request can tell. Waits for the application's [`Credentials`] only.
    ///
    /// # Errors
    /// Whatever [`SignatureError`] has but [`BodyMismatch`](SignatureError::BodyMismatch), [`Replayed`](SignatureError::Replayed)
    /// and [`TooManyRequests`](SignatureError::TooManyRequests). Answer it and leave the body unread.
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
            (presented.form != Form::Header).then_some(SIGNATURE),
            &presented.signed_headers(),
        )?;
        let found = self.credentials.find(scope.access_key).await;
        let Some(credential) = found.map_err(SignatureError::Unavailable)? else {
            return Err(self.refuse_unknown(canonical, &presented));
        };
        credential.check_token(presented.session_token.as_deref(), now)?;
        let body = match presented.body_hash {
            None => BodyProof::Awaited(canonical),
            Some(hash) => {
                self.check_signature(
                    &credential,
                    canonical.hash(&hash),
                    presented.signed_at,
                    &presented.signature,
                )?;
                BodyProof::Declared(hash)
            }
        };
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

    /// The second step: the body is read, and hashes to this. Where [replays are refused](Self::refuse_replays), the signature
    /// is used up from now on.
    ///
    /// # Errors
    /// [`Mismatch`](SignatureError::Mismatch) or [`BodyMismatch`](SignatureError::BodyMismatch) if the body isn't what was
    /// signed; where replays are refused, [`Replayed`](SignatureError::Replayed), and
    /// [`TooManyRequests`](SignatureError::TooManyRequests) at the [bound](Self::replays_max); [`Expired`](SignatureError::Expired) if the body took so long that the signature is no
    /// longer good.
    pub fn settle(
        &self,
        claim: Claim,
        body_sha256: &[u8; 32],
        now: SystemTime,
    ) -> Result<Arc<Principal>, SignatureError> {
        let principal = claim.credential.principal().clone();
        self.use_up(claim, body_sha256, now).map(|_| principal)
    }

    /// As `settle`. Returns the signature if it must not be good again.
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

    /// A signature was accepted before the process began.
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

    /// SIG-04. For how long the signature is good.
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

    /// Does for an unknown access key what is done for a known one, and refuses it whatever comes out.
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
