//! The access control of an API with credentials: it verifies signatures, refuses replays across restarts, and parses the
//! functions' policies. An API without credentials has none, and serves loopback alone.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::policy_cache::PolicyCache;
use crate::base::clock;
use crate::client::Client;
use crate::function::configuration::Permissions;
use crate::http::error::ApiError;
use crate::http::sigv4::{BodyHash, Claim, SignedRequest, UsedUp, Verifier};
use crate::policy::ResourcePolicy;

pub(crate) struct AccessControl {
    verifier: Verifier,
    policies: PolicyCache,
    /// Set once the verifier knows the signatures that earlier processes accepted.
    recalled: OnceCell<()>,
}

impl AccessControl {
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            policies: PolicyCache::default(),
            recalled: OnceCell::new(),
        }
    }

    /// Checks the head of a request. The claim becomes an identity by [`accept`](Self::accept).
    pub(super) async fn admit(&self, request: &SignedRequest<'_>) -> Result<Claim, ApiError> {
        Ok(self.verifier.admit(request, clock::wall_now()).await?)
    }

    /// Checks the body of a request, and uses up its signature where replays are refused.
    pub(super) async fn accept(
        &self,
        claim: Claim,
        body: &[u8],
        client: &Client,
    ) -> Result<(), ApiError> {
        let hash = BodyHash::of(body);
        self.recall(client).await?;
        let Some(used) = self.verifier.use_up(claim, &hash, clock::wall_now())? else {
            return Ok(());
        };
        // Stored before anything is done: after a crash the request must not be good again.
        let stored = client.keep_signature(used.signature, used.good_until).await;
        stored.map_err(|error| {
            ApiError::unavailable(format!(
                "Replays are refused, and the store did not keep that this signature is used up: {error}. Nothing was done. Sign the request anew"
            ))
        })
    }

    /// Loads, before the first decision, the signatures that earlier processes accepted.
    async fn recall(&self, client: &Client) -> Result<(), ApiError> {
        if !self.verifier.refuses_replays() {
            return Ok(());
        }
        let recall = async {
            let stored = client.accepted_signatures().await.map_err(|error| {
                ApiError::unavailable(format!(
                    "The signatures that were accepted before can't be read, and replays are refused: {error}. Try again"
                ))
            })?;
            for (signature, good_until) in stored {
                self.verifier.recall(&UsedUp {
                    signature,
                    good_until,
                });
            }
            Ok(())
        };
        self.recalled.get_or_try_init(|| recall).await.map(|&()| ())
    }

    /// Returns a function's policy, parsed.
    pub(super) fn policy(
        &self,
        permissions: &Permissions,
    ) -> Result<Arc<ResourcePolicy>, ApiError> {
        self.policies.get(permissions)
    }
}
