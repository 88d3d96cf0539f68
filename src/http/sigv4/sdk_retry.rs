//! The attempt of an SDK's call, as the headers `amz-sdk-invocation-id` and `amz-sdk-request` state it.
//!
//! botocore adds both after signing, so they prove nothing. They distinguish an SDK's own repetition from a replay.

use sha2::{Digest, Sha256};

use super::request::SignedRequest;

/// The hash of both headers.
#[derive(Clone, Debug)]
pub(super) struct SdkAttempt([u8; 16]);

impl SdkAttempt {
    /// Returns `None` unless the request has both headers.
    pub(super) fn of(request: &SignedRequest<'_>) -> Option<Self> {
        let id = request.values("amz-sdk-invocation-id").next()?;
        let number = request.values("amz-sdk-request").next()?;
        let hash: [u8; 32] = Sha256::new_with_prefix(id)
            .chain_update([0])
            .chain_update(number)
            .finalize()
            .into();
        hash.first_chunk().copied().map(Self)
    }

    /// Returns enough bits to distinguish the attempts of one call.
    pub(super) fn number(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d])
    }

    /// Combines the print of a signature with this attempt.
    pub(super) fn print_of(&self, mut signature: [u8; 16]) -> [u8; 16] {
        for (byte, own) in signature.iter_mut().zip(self.0) {
            *byte ^= own;
        }
        signature
    }
}
