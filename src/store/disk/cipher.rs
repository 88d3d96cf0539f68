//! The cipher: encrypts payloads, results and failures on their way to the disk, if the application gave a master key.
//!
//! A folder is encrypted from one segment on: the first one, or a later one if it held events before. The key ring contains
//! that number, under its own keys. From there on each segment's header names the ring, the store refuses plaintext, and
//! each ciphertext is bound to its event and to the plain fields of its record (`associated_data`).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::atomic_file;
use super::encrypted_fields::SecretKind;
use super::files::Files;
use super::frame::FramePlace;
use super::record::Blob;
use super::segment_file;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::request_id::RequestId;

/// The file of the wrapped data keys.
pub(super) const KEYS: &str = "keys";

/// The key ring of an encrypted folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    pub(crate) id: u64,
    /// The first encrypted segment.
    pub(crate) since: u32,
}

/// Encryption under the data keys of a ring.
pub(crate) trait Encrypt: Send + Sync {
    fn ring(&self) -> Ring;

    /// Encrypts `plain`, bound to `associated`. Returns the number of the data key, and the ciphertext.
    fn encrypt(&self, associated: &[u8], plain: &[u8]) -> Result<(u32, Vec<u8>), StoreError>;

    /// Decrypts a ciphertext of data key number `key`, bound to `associated`.
    fn decrypt(&self, key: u32, associated: &[u8], encrypted: &[u8])
    -> Result<Vec<u8>, StoreError>;
}

/// Unwraps the data keys in the file `keys`; without a file it makes new ones.
pub(crate) type Unlock = Arc<dyn Fn(Option<Vec<u8>>) -> Result<Unlocked, StoreError> + Send + Sync>;

pub(crate) struct Unlocked {
    /// The ring of the folder, if it is encrypted already.
    pub(crate) ring: Option<Ring>,
    pub(crate) renew: Renew,
}

/// Makes or changes the keys, for the number of the next segment and the present.
pub(crate) type Renew = Box<dyn FnOnce(u32, SystemTime) -> Result<Renewed, StoreError>>;

pub(crate) struct Renewed {
    pub(crate) encrypt: Box<dyn Encrypt>,
    /// The new content of the file `keys`, if it changes.
    pub(crate) keys: Option<Vec<u8>>,
}

/// A folder's keys, unwrapped and not changed yet.
pub(super) struct CipherKeys {
    ring: Option<Ring>,
    renew: Option<Renew>,
}

impl CipherKeys {
    /// Reads the folder's keys, if it has any. A wrong master key, or none for an encrypted folder, is an error.
    pub(super) fn read(files: &dyn Files, unlock: Option<&Unlock>) -> Result<Self, StoreError> {
        let keys = atomic_file::read(files, KEYS)?;
        let Some(unlock) = unlock else {
            return match keys {
                None => Ok(Self {
                    ring: None,
                    renew: None,
                }),
                Some(_) => Err(StoreError::of(
                    StoreErrorKind::Key,
                    format!(
                        "`{}` is encrypted, and no key was given: open it with `Disk::encrypted_with`",
                        files.path("")
                    ),
                )),
            };
        };
        let Unlocked { ring, renew } = unlock(keys)?;
        let renew = Some(renew);
        Ok(Self { ring, renew })
    }

    /// Checks that segment `number`, whose header names `ring`, is encrypted with these keys if it must be, and not otherwise.
    pub(super) fn check(
        &self,
        files: &dyn Files,
        number: u32,
        ring: Option<u64>,
    ) -> Result<(), StoreError> {
        check(files, self.ring.as_ref(), number, ring)
    }

    /// Returns the cipher for the segments from `next` on: encrypting, if a master key was given. A changed file `keys` is
    /// durable on return, if need be after `make_room` has freed some.
    pub(super) fn unlock(
        self,
        files: &dyn Files,
        next: u32,
        now: SystemTime,
        make_room: impl FnOnce() -> bool,
    ) -> Result<Cipher, StoreError> {
        let Some(renew) = self.renew else {
            return Ok(Cipher::default());
        };
        let Renewed { encrypt, keys } = renew(next, now)?;
        if let Some(keys) = keys {
            match atomic_file::write(files, KEYS, &keys) {
                Err(error) if error.kind() == StoreErrorKind::Full && make_room() => {
                    atomic_file::write(files, KEYS, &keys)?;
                }
                written => written?,
            }
        }
        Ok(Cipher {
            since: Some(encrypt.ring().since),
            keys: Some(encrypt),
        })
    }
}

/// Checks that segment `number`, whose header names `named`, is encrypted with `ring` if it must be, and not otherwise.
pub(super) fn check(
    files: &dyn Files,
    ring: Option<&Ring>,
    number: u32,
    named: Option<u64>,
) -> Result<(), StoreError> {
    let wanted = ring.filter(|ring| number >= ring.since);
    if named == wanted.map(|ring| ring.id) {
        return Ok(());
    }
    let (keys, segment) = (files.path(KEYS), files.path(&segment_file::name(number)));
    let message = match (named, ring.is_some()) {
        (Some(_), false) => format!(
            "`{keys}` is missing, and `{segment}` is encrypted: without that file it can't be decrypted by anyone. Restore it from \
             a backup"
        ),
        (Some(_), true) => format!(
            "`{keys}` isn't the file that `{segment}` was encrypted with: restore the one that belongs to it from a backup"
        ),
        (None, _) => format!(
            "`{segment}` isn't encrypted, though by `{keys}` it must be: it was put there or changed from outside. Restore the \
             folder from a backup"
        ),
    };
    Err(StoreError::of(StoreErrorKind::Damaged, message))
}

#[derive(Default)]
pub(super) struct Cipher {
    keys: Option<Box<dyn Encrypt>>,
    /// The first segment in which plaintext is refused.
    since: Option<u32>,
}

impl Cipher {
    /// Returns a cipher for a look at a folder without its key, encrypted from segment `since` on.
    pub(super) fn without_key(since: Option<u32>) -> Self {
        Self { keys: None, since }
    }

    /// Returns the id of the key ring for new records.
    pub(super) fn ring(&self) -> Option<u64> {
        self.keys.as_ref().map(|keys| keys.ring().id)
    }

    /// Returns the bytes as a blob, encrypted if the folder is. The ciphertext is bound to this event and to `clear`, the
    /// plain fields of its record.
    pub(super) fn encrypt<'a>(
        &self,
        event: RequestId,
        secret: SecretKind,
        clear: impl Serialize,
        bytes: Cow<'a, [u8]>,
    ) -> Result<Blob<'a>, StoreError> {
        let Some(keys) = &self.keys else {
            return Ok(Blob { key: 0, bytes });
        };
        let (key, encrypted) = keys.encrypt(&associated_data(event, secret, clear)?, &bytes)?;
        let bytes = Cow::Owned(encrypted);
        Ok(Blob { key, bytes })
    }

    /// Returns the plain bytes of a blob in the record at `place`.
    pub(super) fn decrypt<'a>(
        &self,
        event: RequestId,
        secret: SecretKind,
        clear: impl Serialize,
        blob: Blob<'a>,
        place: FramePlace,
    ) -> Result<Cow<'a, [u8]>, StoreError> {
        let name = segment_file::name(place.segment);
        match (blob.key, &self.keys) {
            (0, _) if self.since.is_none_or(|since| place.segment < since) => Ok(blob.bytes),
            (0, _) => Err(StoreError::of(
                StoreErrorKind::Damaged,
                format!(
                    "the record in `{name}` at byte {} isn't encrypted, in a folder that is: it was put there without the key",
                    place.offset
                ),
            )),
            (key, None) => Err(StoreError::of(
                StoreErrorKind::Key,
                format!(
                    "it is encrypted with data key {key}, and no key was given: open the store with `Disk::encrypted_with`"
                ),
            )),
            (key, Some(keys)) => {
                let opened =
                    keys.decrypt(key, &associated_data(event, secret, clear)?, &blob.bytes);
                let opened = opened.map_err(|error| {
                    let message = format!("`{name}` at byte {}: {error}", place.offset);
                    StoreError::of(error.kind(), message)
                })?;
                Ok(Cow::Owned(opened))
            }
        }
    }
}

/// Returns the associated data of a ciphertext: the kind of secret, the event, and the plain fields of its record.
fn associated_data(
    event: RequestId,
    secret: SecretKind,
    clear: impl Serialize,
) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(&(secret as u8, event, clear)).map_err(|error| {
        StoreError::new(format!(
            "the associated data of a ciphertext can't be encoded: {error}"
        ))
    })
}
