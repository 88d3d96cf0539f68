//! Which attempt at a call an SDK says that a request is: its headers `amz-sdk-invocation-id` and `amz-sdk-request`.
//!
//! botocore adds both after signing, so they prove nothing. They tell an honest repetition from the same request again.

use sha2::{Digest, Sha256};

use super::request::SignedRequest;

/// The hash of both headers.
#[derive(Clone, Debug)]
pub(super) struct SdkAttempt([u8; 16]);

impl SdkAttempt {
    /// `None` unless both headers are there.
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

    /// Enough of it to tell the attempts at one call apart.
    pub(super) fn number(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d])
    }

    /// The print of this attempt with the signature that has this print.
    pub(super) fn print_of(&self, mut signature: [u8; 16]) -> [u8; 16] {
        for (byte, own) in signature.iter_mut().zip(self.0) {
            *byte ^= own;
        }
        signature
    }
}
