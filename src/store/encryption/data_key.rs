//! A data key: the key that encrypts records of the store.

use std::fmt;

use super::aead::{self, DecryptError, KeyBytes, fill_random};
use crate::error::StoreError;

/// A key that encrypts records. `Debug` shows nothing of it.
pub(crate) struct DataKey {
    pub(super) bytes: KeyBytes,
}

impl DataKey {
    /// Returns a random key.
    pub(crate) fn generate() -> Result<Self, StoreError> {
        let mut bytes = KeyBytes::default();
        fill_random(bytes.as_mut_slice())?;
        Ok(Self { bytes })
    }

    /// Encrypts `plain` for `identity`, which isn't secret and isn't stored: decrypting needs the same one.
    /// Encrypting a text twice gives two ciphertexts.
    pub(crate) fn encrypt(&self, identity: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        aead::encrypt(&self.bytes, identity, plain)
    }

    /// Returns the text as a plain `Vec`: waiting events lie unencrypted in memory, so erasing this copy would hide nothing.
    pub(crate) fn decrypt(
        &self,
        identity: &[u8],
        encrypted: &[u8],
    ) -> Result<Vec<u8>, DecryptError> {
        aead::decrypt(&self.bytes, identity, encrypted)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::encryption::aead::{NONCE_BYTES, TAG_BYTES, key_bytes};
    use crate::store::encryption::encoding;

    const PLAIN: &[u8] = br#"{"iban":"DE89 3704 0044 0532 0130 00"}"#;

    fn key() -> DataKey {
        DataKey::generate().unwrap()
    }

    #[test]
    fn an_encrypted_text_decrypts_to_itself() {
        let key = key();
        for plain in [b"".as_slice(), PLAIN, &[7; 100_000]] {
            let encrypted = key.encrypt(b"event 1", plain).unwrap();
            assert_eq!(encrypted.len(), NONCE_BYTES + plain.len() + TAG_BYTES);
            assert_eq!(key.decrypt(b"event 1", &encrypted).as_deref(), Ok(plain));
        }
    }

    #[test]
    fn another_identity_or_another_key_does_not_decrypt() {
        let encrypted = key().encrypt(b"event 1", PLAIN).unwrap();
        assert_eq!(key().decrypt(b"event 1", &encrypted), Err(DecryptError));
        let key = key();
        let encrypted = key.encrypt(b"event 1", PLAIN).unwrap();
        for identity in [b"event 2".as_slice(), b"event 11", b"event ", b""] {
            assert_eq!(key.decrypt(identity, &encrypted), Err(DecryptError));
        }
    }

    #[test]
    fn a_ciphertext_with_a_flipped_bit_is_refused() {
        let key = key();
        let encrypted = key.encrypt(b"event 1", PLAIN).unwrap();
        for bit in 0..encrypted.len() * 8 {
            let mut damaged = encrypted.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                key.decrypt(b"event 1", &damaged),
                Err(DecryptError),
                "{bit}"
            );
        }
    }

    #[test]
    fn a_part_of_a_ciphertext_is_refused() {
        let key = key();
        let encrypted = key.encrypt(b"event 1", PLAIN).unwrap();
        for length in 0..encrypted.len() {
            assert_eq!(
                key.decrypt(b"event 1", &encrypted[..length]),
                Err(DecryptError)
            );
            assert_eq!(
                key.decrypt(b"event 1", &encrypted[length + 1..]),
                Err(DecryptError)
            );
        }
        let longer = [&encrypted[..], &[0]].concat();
        assert_eq!(key.decrypt(b"event 1", &longer), Err(DecryptError));
    }

    #[test]
    fn two_ciphertexts_of_one_text_have_nothing_in_common() {
        let key = key();
        let [one, two] = [(), ()].map(|()| key.encrypt(b"event 1", PLAIN).unwrap());
        assert_ne!(one[..NONCE_BYTES], two[..NONCE_BYTES]);
        let alike = one.iter().zip(&two).filter(|(a, b)| a == b).count();
        assert!(alike < one.len() / 4, "{alike} bytes are alike");
    }

    /// draft-irtf-cfrg-xchacha-03, A.3.1
    #[test]
    fn the_cipher_is_xchacha20_poly1305_of_the_draft() {
        let hex = |text: &str| encoding::from_hex(text.as_bytes()).unwrap().to_vec();
        let key = DataKey {
            bytes: key_bytes(&std::array::from_fn(|at| 0x80 + at as u8)),
        };
        let identity = hex("50515253c0c1c2c3c4c5c6c7");
        let encrypted = hex(concat!(
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
        assert_eq!(
            key.decrypt(&identity, &encrypted).as_deref(),
            Ok(&plain[..])
        );
    }

    #[test]
    fn debug_output_of_a_data_key_hides_it() {
        assert_eq!(format!("{:?}", key()), "DataKey");
    }
}
