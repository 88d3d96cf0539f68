//! The cipher: XChaCha20-Poly1305 over bytes in memory, and the fingerprints of keys that it makes.
//!
//! A ciphertext is `nonce ‖ encrypted text ‖ tag`. Its nonce is random, so encrypting a text twice gives two ciphertexts.

use chacha20poly1305::{AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce};
use rand::TryRngCore;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use super::encoding;
use crate::error::StoreError;

pub(super) const KEY_BYTES: usize = 32;
pub(super) const NONCE_BYTES: usize = 24;
pub(super) const TAG_BYTES: usize = 16;

/// The bytes of a key, erased when dropped. Boxed, so that moving them leaves no copy behind.
pub(super) type KeyBytes = Box<Zeroizing<[u8; KEY_BYTES]>>;

pub(super) fn key_bytes(bytes: &[u8; KEY_BYTES]) -> KeyBytes {
    let mut key = KeyBytes::default();
    key.copy_from_slice(bytes);
    key
}

/// A ciphertext can't be decrypted. The cipher can't say which of the reasons holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "decryption failed: the bytes were damaged, or encrypted with another key or for another identity"
)]
pub(crate) struct DecryptError;

/// Encrypts `plain` for `identity`, which isn't secret and isn't stored: decrypting needs the same one.
pub(super) fn encrypt(
    key: &[u8; KEY_BYTES],
    identity: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce)?;
    let mut encrypted = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
    encrypted.extend_from_slice(&nonce);
    encrypted.extend_from_slice(plain);
    let tag = XChaCha20Poly1305::new(key.into())
        .encrypt_in_place_detached(&nonce.into(), identity, &mut encrypted[NONCE_BYTES..])
        .map_err(|_| {
            StoreError::new(format!(
                "{} bytes are too many to encrypt at once: 256 GiB is the most",
                plain.len()
            ))
        })?;
    encrypted.extend_from_slice(&tag);
    Ok(encrypted)
}

/// Returns the text that [`encrypt`] was given.
pub(super) fn decrypt(
    key: &[u8; KEY_BYTES],
    identity: &[u8],
    encrypted: &[u8],
) -> Result<Vec<u8>, DecryptError> {
    let (nonce, rest) = encrypted
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(DecryptError)?;
    let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(DecryptError)?;
    let mut text = text.to_vec();
    XChaCha20Poly1305::new(key.into())
        .decrypt_in_place_detached(nonce.into(), identity, &mut text, tag.into())
        .map_err(|_| DecryptError)?;
    Ok(text)
}

/// Returns 32 hex digits that identify a key and reveal nothing of it: the tag of an empty text for `label`.
///
/// Its nonce is zero, which a random one never meets. So a secret key must be used with one label only, ever: the tags of two
/// labels are enough to forge a third.
pub(super) fn fingerprint(key: &[u8; KEY_BYTES], label: &[u8]) -> String {
    let tag = XChaCha20Poly1305::new(key.into())
        .encrypt_in_place_detached(&XNonce::default(), label, &mut [])
        .expect("an empty text is not too long");
    encoding::to_hex(&tag)
}

/// Fills `bytes` from the operating system's generator: a process that forked, or a machine that resumed twice from one
/// snapshot, must not draw the same nonce again.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<(), StoreError> {
    OsRng
        .try_fill_bytes(bytes)
        .map_err(|error| StoreError::new(format!("the system gives no random bytes: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_belongs_to_its_key_and_its_label() {
        let one = fingerprint(&[1; KEY_BYTES], b"label");
        assert_eq!(one, fingerprint(&[1; KEY_BYTES], b"label"));
        assert_ne!(one, fingerprint(&[2; KEY_BYTES], b"label"));
        assert_ne!(one, fingerprint(&[1; KEY_BYTES], b"another"));
        assert_eq!(one.len(), 2 * TAG_BYTES);
    }
}
