//! A master key in this process's memory: it wraps data keys with the cipher of the store.

use std::fmt;

use zeroize::Zeroizing;

use super::aead::{KEY_BYTES, KeyBytes, decrypt, encrypt, fingerprint, key_bytes};
use super::data_key::DataKey;
use super::encoding;
use super::master_key::MasterKey;
use crate::error::StoreError;

/// The identity that wrapped data keys are encrypted for.
const WRAPPED: &[u8] = b"redrive: wrapped data key";
/// The only label that a master key's fingerprint is ever made for.
const NAMED: &[u8] = b"redrive: master key";
/// The longest text of a key: 64 hex digits and the end of a line.
pub(super) const TEXT_MAX: usize = 66;

/// A key that wraps data keys. `Debug` shows its id only.
pub(super) struct WrappingKey(KeyBytes);

impl WrappingKey {
    /// Returns a random key.
    pub(super) fn generate() -> Result<Self, StoreError> {
        DataKey::generate().map(|key| Self(key.bytes))
    }

    /// Reads a key of 64 hex digits or base64, which may end with a newline.
    ///
    /// The error describes the text without showing it.
    pub(super) fn from_text(text: &[u8]) -> Result<Self, String> {
        let line = text.strip_suffix(b"\n").unwrap_or(text);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let key = match line.len() {
            64 => encoding::from_hex(line),
            43 | 44 => encoding::from_base64(line),
            _ => None,
        };
        key.and_then(|key| Self::from_bytes(&key)).ok_or_else(|| {
            let length = match text.len() {
                0..=TEXT_MAX => format!("its {} bytes", text.len()),
                _ => format!("its more than {TEXT_MAX} bytes"),
            };
            format!("{length} are neither 64 hex digits nor base64 of {KEY_BYTES} bytes")
        })
    }

    /// Returns the key with these bytes; `None` for a wrong number of them.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(key_bytes(bytes)))
    }

    /// Returns the key as 64 hex digits.
    pub(super) fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(encoding::to_hex(self.0.as_slice()))
    }
}

impl MasterKey for WrappingKey {
    fn id(&self) -> String {
        format!("key-{:.16}", fingerprint(&self.0, NAMED))
    }

    fn wrap(&self, data_key: &[u8; KEY_BYTES]) -> Result<Vec<u8>, StoreError> {
        encrypt(&self.0, WRAPPED, data_key)
    }

    fn unwrap_key(&self, wrapped: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, StoreError> {
        let unwrapped = decrypt(&self.0, WRAPPED, wrapped).map(Zeroizing::new);
        let unwrapped = unwrapped.map_err(|error| StoreError::new(error.to_string()))?;
        if unwrapped.len() != KEY_BYTES {
            let bytes = unwrapped.len();
            return Err(StoreError::new(format!(
                "{bytes} bytes were wrapped, and a data key has {KEY_BYTES}"
            )));
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(&unwrapped);
        Ok(key)
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_unwraps_under_its_own_master_key_only() {
        let [master, other] = ["00", "01"].map(|byte| {
            let text = byte.repeat(KEY_BYTES);
            WrappingKey::from_text(text.as_bytes()).unwrap()
        });
        let wrapped = master.wrap(&[7; 32]).unwrap();
        assert_eq!(*master.unwrap_key(&wrapped).unwrap(), [7; 32]);
        assert!(other.unwrap_key(&wrapped).is_err());
        for bit in 0..wrapped.len() * 8 {
            let mut damaged = wrapped.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(master.unwrap_key(&damaged).is_err(), "{bit}");
        }
        let short = encrypt(&master.0, WRAPPED, &[7; 31]).unwrap();
        assert!(master.unwrap_key(&short).is_err());
    }
}
