//! Keeps what is secret from whoever reads the store's files: sealed before it is written, opened after it is read.
//!
//! ```text
//! master key      the application's: a KeyFile, a KeyVariable, a KMS
//!   └─ wraps ──▶ data keys 1, 2, 3 …      the store's file `keys`
//!                  └─ the newest seals ──▶ what the store writes from now on
//! ```
//!
//! The cipher is XChaCha20-Poly1305. What was sealed opens only whole, with the data key and for the identity it was
//! sealed with: the event, and what its record says in the clear. Each file of the log names the keys that it is sealed with. Changing the master key wraps a few data keys anew and touches no event. Without the master key nothing
//! can be read, by anyone: keep a copy of it where the store's backups are not.
//!
//! Sizes are not hidden, nor is that somebody put an old copy of a file in the place of the new one.

mod encoding;
pub(crate) mod keyring;
mod master_key;

use std::fmt;

use chacha20poly1305::{AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce};
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::error::StoreError;

pub use master_key::{KeyError, KeyFile, KeyVariable, MasterKey};
pub use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// The bytes of a key, erased when dropped. Boxed, so that they lie in one place: whoever moves them leaves no copy behind.
type Secret = Box<Zeroizing<[u8; KEY_BYTES]>>;

fn secret(bytes: &[u8; KEY_BYTES]) -> Secret {
    let mut secret = Secret::default();
    secret.copy_from_slice(bytes);
    secret
}

/// A key that seals what the store writes. `Debug` shows nothing of it.
pub(crate) struct DataKey {
    bytes: Secret,
}

impl DataKey {
    pub(crate) fn generate() -> Result<Self, StoreError> {
        let mut bytes = Secret::default();
        fill_random(bytes.as_mut_slice())?;
        Ok(Self { bytes })
    }

    /// Seals `plain` for `identity`, which isn't secret and is not kept: who opens it must name the same.
    /// The same text sealed twice looks different.
    pub(crate) fn seal(&self, identity: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        seal(&self.bytes, identity, plain)
    }

    /// The text itself. A plain `Vec`: events lie open in memory while they wait, so erasing this copy would hide nothing.
    pub(crate) fn open(&self, identity: &[u8], sealed: &[u8]) -> Result<Vec<u8>, BrokenSeal> {
        open(&self.bytes, identity, sealed)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

/// What was sealed can't be opened. It doesn't say which of the reasons holds: the cipher can't tell either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the seal is broken: the bytes were damaged, or another key sealed them, or for another identity"
)]
pub(crate) struct BrokenSeal;

/// nonce ‖ ciphertext ‖ tag
fn seal(key: &[u8; KEY_BYTES], identity: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce)?;
    let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let tag = XChaCha20Poly1305::new(key.into())
        .encrypt_in_place_detached(&nonce.into(), identity, &mut sealed[NONCE_BYTES..])
        .map_err(|_| {
            StoreError::new(format!(
                "{} bytes are too many for one seal: 256 GiB is the most",
                plain.len()
            ))
        })?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

fn open(key: &[u8; KEY_BYTES], identity: &[u8], sealed: &[u8]) -> Result<Vec<u8>, BrokenSeal> {
    let (nonce, rest) = sealed
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(BrokenSeal)?;
    let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(BrokenSeal)?;
    let mut text = text.to_vec();
    XChaCha20Poly1305::new(key.into())
        .decrypt_in_place_detached(nonce.into(), identity, &mut text, tag.into())
        .map_err(|_| BrokenSeal)?;
    Ok(text)
}

/// Tells keys apart without telling anything of them: the tag of an empty text for `label`, 32 hex digits.
///
/// Its nonce is zero, which no random one ever meets. So a secret key must see one label only, ever: the tags of two
/// would tell how to forge a third.
fn fingerprint(key: &[u8; KEY_BYTES], label: &[u8]) -> String {
    let tag = XChaCha20Poly1305::new(key.into())
        .encrypt_in_place_detached(&XNonce::default(), label, &mut [])
        .expect("an empty text is not too long");
    encoding::to_hex(&tag)
}

/// Straight from the system: a process that forked, or a machine that resumed twice from one snapshot, must not draw the
/// same nonce again.
fn fill_random(bytes: &mut [u8]) -> Result<(), StoreError> {
    OsRng
        .try_fill_bytes(bytes)
        .map_err(|error| StoreError::new(format!("the system gives no random bytes: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = br#"{"iban":"DE89 3704 0044 0532 0130 00"}"#;

    fn key() -> DataKey {
        DataKey::generate().unwrap()
    }

    #[test]
    fn what_was_sealed_opens() {
        let key = key();
        for plain in [b"".as_slice(), PLAIN, &[7; 100_000]] {
            let sealed = key.seal(b"event 1", plain).unwrap();
            assert_eq!(sealed.len(), NONCE_BYTES + plain.len() + TAG_BYTES);
            assert_eq!(key.open(b"event 1", &sealed).as_deref(), Ok(plain));
        }
    }

    #[test]
    fn another_identity_or_another_key_does_not_open() {
        let sealed = key().seal(b"event 1", PLAIN).unwrap();
        assert_eq!(key().open(b"event 1", &sealed), Err(BrokenSeal));
        let key = key();
        let sealed = key.seal(b"event 1", PLAIN).unwrap();
        for identity in [b"event 2".as_slice(), b"event 11", b"event ", b""] {
            assert_eq!(key.open(identity, &sealed), Err(BrokenSeal));
        }
    }

    #[test]
    fn each_flipped_bit_is_refused() {
        let key = key();
        let sealed = key.seal(b"event 1", PLAIN).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(b"event 1", &damaged), Err(BrokenSeal), "{bit}");
        }
    }

    #[test]
    fn a_part_is_refused() {
        let key = key();
        let sealed = key.seal(b"event 1", PLAIN).unwrap();
        for length in 0..sealed.len() {
            assert_eq!(key.open(b"event 1", &sealed[..length]), Err(BrokenSeal));
            assert_eq!(key.open(b"event 1", &sealed[length + 1..]), Err(BrokenSeal));
        }
        let longer = [&sealed[..], &[0]].concat();
        assert_eq!(key.open(b"event 1", &longer), Err(BrokenSeal));
    }

    #[test]
    fn two_seals_of_one_text_have_nothing_in_common() {
        let key = key();
        let [one, two] = [(), ()].map(|()| key.seal(b"event 1", PLAIN).unwrap());
        assert_ne!(one[..NONCE_BYTES], two[..NONCE_BYTES]);
        let alike = one.iter().zip(&two).filter(|(a, b)| a == b).count();
        assert!(alike < one.len() / 4, "{alike} bytes are alike");
    }

    /// draft-irtf-cfrg-xchacha-03, A.3.1
    #[test]
    fn the_cipher_is_the_one_of_the_draft() {
        let hex = |text: &str| encoding::from_hex(text.as_bytes()).unwrap().to_vec();
        let key = DataKey {
            bytes: secret(&std::array::from_fn(|at| 0x80 + at as u8)),
        };
        let identity = hex("50515253c0c1c2c3c4c5c6c7");
        let sealed = hex(concat!(
            "404142434445464748494a4b4c4d4e4f5051525354555657",
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb",
            "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452",
            "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9",
            "21f9664c97637da9768812f615c68b13b52e",
            "c0875924c1c7987947deafd8780acf49",
        ));
        let plain =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
                      future, sunscreen would be it.";
        assert_eq!(key.open(&identity, &sealed).as_deref(), Ok(&plain[..]));
    }

    #[test]
    fn a_fingerprint_belongs_to_its_key_and_its_label() {
        let one = fingerprint(&[1; KEY_BYTES], b"label");
        assert_eq!(one, fingerprint(&[1; KEY_BYTES], b"label"));
        assert_ne!(one, fingerprint(&[2; KEY_BYTES], b"label"));
        assert_ne!(one, fingerprint(&[1; KEY_BYTES], b"another"));
        assert_eq!(one.len(), 2 * TAG_BYTES);
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", key()), "DataKey");
    }
}
