//! Signatures of requests that were accepted and must not be good again, for the API that refuses replays.

use std::time::SystemTime;

use super::Client;
use crate::error::StoreError;

impl Client {
    /// Keeps that a signature was accepted; durable before it returns, with a store.
    pub(crate) async fn keep_signature(
        &self,
        signature: [u8; 32],
        good_until: SystemTime,
    ) -> Result<(), StoreError> {
        self.admission
            .store
            .keep_signature(signature, good_until)
            .await
    }

    /// The signatures that were kept, each with its last second. None without a store.
    pub(crate) async fn accepted_signatures(
        &self,
    ) -> Result<Vec<([u8; 32], SystemTime)>, StoreError> {
        self.admission.store.accepted_signatures().await
    }
}
