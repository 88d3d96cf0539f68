//! One data key of a store, as the master key wraps it.

use std::sync::Arc;
use std::time::SystemTime;

use super::aead::{fingerprint, key_bytes};
use super::data_key::DataKey;
use super::keyring_error::KeyringError;
use super::master_key::MasterKey;
use crate::error::StoreError;

/// A data key and its wrapped form, which the store's file `keys` holds.
#[derive(Clone)]
pub(super) struct WrappedKey {
    pub(super) number: u32,
    pub(super) created_at: SystemTime,
    pub(super) key: Arc<DataKey>,
    pub(super) wrapped: Vec<u8>,
}

impl WrappedKey {
    /// Returns a random data key, wrapped.
    pub(super) fn create(
        number: u32,
        master: &dyn MasterKey,
        now: SystemTime,
    ) -> Result<Self, KeyringError> {
        let key = DataKey::generate().map_err(KeyringError::NotGenerated)?;
        Ok(Self {
            number,
            created_at: now,
            wrapped: wrap(master, number, &key)?,
            key: key.into(),
        })
    }

    /// Returns the same data key, wrapped by another master key.
    pub(super) fn rewrap(&self, master: &dyn MasterKey) -> Result<Self, KeyringError> {
        Ok(Self {
            wrapped: wrap(master, self.number, &self.key)?,
            ..self.clone()
        })
    }

    /// Returns the fingerprint that ties the key to its number, and to the segment from which on the store is encrypted.
    ///
    /// A data key has one number and one keyring all its life, so its fingerprint is made for one label only.
    pub(super) fn check(&self, since: u32) -> String {
        check(self.number, since, &self.key)
    }
}

/// Wraps `key`, and unwraps it as a test: a master key that can't do both is refused now, before it encrypts anything, and
/// not at the next opening.
fn wrap(master: &dyn MasterKey, number: u32, key: &DataKey) -> Result<Vec<u8>, KeyringError> {
    let wrapped = master
        .wrap(&key.bytes)
        .map_err(|source| refused(master, number, source))?;
    let unwrapped = unwrap(master, number, &wrapped)?;
    if unwrapped.bytes != key.bytes {
        return Err(mistaken(master, number));
    }
    Ok(wrapped)
}

/// Returns the data key that `wrapped` holds.
pub(super) fn unwrap(
    master: &dyn MasterKey,
    number: u32,
    wrapped: &[u8],
) -> Result<DataKey, KeyringError> {
    let unwrapped = master
        .unwrap_key(wrapped)
        .map_err(|source| refused(master, number, source))?;
    Ok(DataKey {
        bytes: key_bytes(&unwrapped),
    })
}

fn refused(master: &dyn MasterKey, number: u32, source: StoreError) -> KeyringError {
    KeyringError::Refused {
        master: master.id(),
        number,
        source,
    }
}

/// Returns the error for a master key that unwraps a data key to another one.
pub(super) fn mistaken(master: &dyn MasterKey, number: u32) -> KeyringError {
    KeyringError::Mistaken {
        master: master.id(),
        number,
    }
}

/// See [`WrappedKey::check`].
pub(super) fn check(number: u32, since: u32, key: &DataKey) -> String {
    let label = format!("redrive: data key {number}, since segment {since}");
    fingerprint(&key.bytes, label.as_bytes())
}
