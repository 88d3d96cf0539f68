//! Signatures of accepted requests, which the store keeps until they expire, so that a replay is refused after a restart too.
//!
//! The store keeps them as executions of a function that an application can't have: a store that keeps executions keeps
//! signatures as well.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::StoreLink;
use super::executions::{is_signature, signatures};
use crate::base::clock;
use crate::base::panic;
use crate::error::StoreError;
use crate::store::Execution;

/// How long a signature is kept beyond its last second.
const SPARE: Duration = Duration::from_secs(2);

impl StoreLink {
    /// Keeps the signature of an accepted request; durable when it returns. Does nothing without a store.
    pub(crate) async fn keep_signature(
        &self,
        signature: [u8; 32],
        good_until: SystemTime,
    ) -> Result<(), StoreError> {
        let Some(link) = &self.link else {
            return Ok(());
        };
        // The store's time line may be ahead of the wall clock, and the signature is good by the wall clock.
        let now = clock::wall_now();
        let left = good_until.duration_since(now).unwrap_or_default() + SPARE;
        let execution = Execution {
            function: signatures(),
            key: signature,
            validated: None,
            request_id: Uuid::nil().into(),
            attempt: 0,
            since: good_until,
            result: None,
            expires_at: (link.clock.now().stored() + left).max(good_until + SPARE),
        };
        panic::catch(|| link.store.remember(execution))
            .unwrap_or_else(|panicked| Err(StoreError::new(panicked.message)))?;
        link.ask(|store, reply| store.sync(reply)).await
    }

    /// Returns the signatures that are kept, each with its last second. None without a store.
    pub(crate) async fn accepted_signatures(
        &self,
    ) -> Result<Vec<([u8; 32], SystemTime)>, StoreError> {
        let Some(link) = &self.link else {
            return Ok(Vec::new());
        };
        let kept = link.ask(|store, reply| store.executions(reply)).await?;
        let kept = kept.into_iter().filter(is_signature);
        Ok(kept.map(|kept| (kept.key, kept.since)).collect())
    }
}
