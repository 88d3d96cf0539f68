//! Signatures of requests that were accepted and must not be good again, kept by the store until they expire.
//!
//! The store keeps them as executions of a function that no application can have, so that every store that keeps executions
//! keeps signatures as well.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::load::{ask, is_signature, signatures};
use crate::admission::Admission;
use crate::base::clock;
use crate::base::panic;
use crate::error::StoreError;
use crate::store::Execution;

/// How long a signature is kept beyond its last second.
const SPARE: Duration = Duration::from_secs(2);

impl Admission {
    /// Keeps that a signature was accepted; durable before it returns. Does nothing without a store.
    pub(crate) async fn keep_signature(
        &self,
        signature: [u8; 32],
        good_until: SystemTime,
    ) -> Result<(), StoreError> {
        let Some(stored) = &self.store else {
            return Ok(());
        };
        // The store's time line may be ahead of the wall clock, by which the signature is good.
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
            expires_at: (self.clock.now().stored() + left).max(good_until + SPARE),
        };
        panic::catch(|| stored.store.remember(execution))
            .unwrap_or_else(|panicked| Err(StoreError::new(panicked.message)))?;
        ask(stored, |store, reply| store.sync(reply)).await
    }

    /// The signatures that are kept, each with its last second. None without a store.
    pub(crate) async fn accepted_signatures(
        &self,
    ) -> Result<Vec<([u8; 32], SystemTime)>, StoreError> {
        let Some(stored) = &self.store else {
            return Ok(Vec::new());
        };
        let kept = ask(stored, |store, reply| store.executions(reply)).await?;
        let kept = kept.into_iter().filter(is_signature);
        Ok(kept.map(|kept| (kept.key, kept.since)).collect())
    }
}
