//! The hash of a body, computed while it is read.

use sha2::{Digest, Sha256};

/// Hashes a body piece by piece, for [`Verifier::settle`](super::Verifier::settle).
///
/// ```
/// use redrive::http::sigv4::BodyHash;
///
/// let mut hash = BodyHash::new();
/// hash.update(b"{\"key\":");
/// hash.update(b"1}");
/// assert_eq!(hash.finish(), BodyHash::of(b"{\"key\":1}"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct BodyHash(Sha256);

impl BodyHash {
    /// Returns the hash of an empty body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next piece of the body.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Returns the SHA-256 of all pieces.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// Returns the SHA-256 of a whole body.
    pub fn of(body: &[u8]) -> [u8; 32] {
        Sha256::digest(body).into()
    }
}
