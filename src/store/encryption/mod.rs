//! Keeps payloads, results and failures secret from readers of the store's files: encrypted before they are written,
//! decrypted after they are read.
//!
//! ```text
//! master key      the application's: a KeyFile, a KeyVariable, a KMS
//!   └─ wraps ──▶ data keys 1, 2, 3 …                 the store's file `keys`
//!                  └─ the newest encrypts ──▶ each record that the store writes from now on
//! ```
//!
//! The cipher is XChaCha20-Poly1305. A ciphertext decrypts only as a whole, with the data key and for the identity that it was
//! encrypted with: the event, and the fields of its record that stay readable. Each file of the log names the keys that it is
//! encrypted with. A new master key wraps a few data keys again and rewrites no event. Without the master key, no reader can
//! decrypt anything: keep a copy of it where the store's backups are not.
//!
//! Not hidden are request ids, function names, times, deduplication keys, trace headers and the sizes of records. An old copy
//! of a file that takes the place of a new one is not noticed.
//!
//! ```text
//! aead.rs          the cipher: encrypt, decrypt, fingerprint
//! data_key.rs      a key that encrypts records
//! master_key.rs    the trait; key_file.rs and key_variable.rs implement it with wrapping_key.rs
//! keyring.rs       a store's data keys; wrapped_key.rs is one of them, keys_file.rs their file
//! ```

mod aead;
mod data_key;
mod encoding;
mod key_error;
mod key_file;
mod key_variable;
pub(crate) mod keyring;
mod keyring_error;
mod keys_file;
mod master_key;
mod wrapped_key;
mod wrapping_key;

pub use key_error::KeyError;
pub use key_file::KeyFile;
pub use key_variable::KeyVariable;
pub use master_key::MasterKey;
pub use zeroize::Zeroizing;
