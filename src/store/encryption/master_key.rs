//! The application's own key, which wraps the data keys: the seam for a KMS or an HSM.

use zeroize::Zeroizing;

use crate::error::StoreError;

/// The key that wraps a store's data keys. Implement it to keep that key in a KMS or an HSM;
/// [`KeyFile`](super::KeyFile) and [`KeyVariable`](super::KeyVariable) are ready to use.
///
/// A store calls it when it is opened and when a key is rotated, never for an event. It may block, on the network too:
/// the store waits for it.
pub trait MasterKey: Send + Sync + 'static {
    /// Returns a name that isn't secret, such as the ARN of a KMS key. It is stored beside the wrapped keys, so that an error
    /// can name the key that the store needs. It must stay the same for as long as the key is the same, and differ from the
    /// name of every other key.
    fn id(&self) -> String;

    /// Encrypts a data key. The result is stored, for [`unwrap_key`](Self::unwrap_key) at every start. The store unwraps it
    /// once at once, before it encrypts any event.
    ///
    /// # Errors
    /// When the key can't be used now. Nothing has changed then.
    fn wrap(&self, data_key: &[u8; 32]) -> Result<Vec<u8>, StoreError>;

    /// Decrypts and returns a data key that [`wrap`](Self::wrap) encrypted, perhaps years ago.
    ///
    /// # Errors
    /// When the key can't be used now, or `wrapped` isn't its work. The store isn't opened then.
    fn unwrap_key(&self, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, StoreError>;
}
