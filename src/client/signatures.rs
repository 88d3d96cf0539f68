//! Signatures of accepted requests, for the HTTP API, which refuses replays.

use std::time::SystemTime;

use super::Client;
use crate::error::StoreError;

impl Client {
    /// Keeps the signature of an accepted request; with a store, durable when it returns.
    pub(crate) async fn keep_signature(
        &self,
        signature: [u8; 32],
        good_until: SystemTime,
    ) -> Result<(), StoreError> {
        self.entrance
            .admission
            .store
            .keep_signature(signature, good_until)
            .await
    }

    /// Returns the kept signatures, each with its last second. None without a store.
    pub(crate) async fn accepted_signatures(
        &self,
    ) -> Result<Vec<([u8; 32], SystemTime)>, StoreError> {
        self.entrance.admission.store.accepted_signatures().await
    }
}
