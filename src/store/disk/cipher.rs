//! What is secret, on its way to the disk and back: sealed where the application gave a key, as it is otherwise.
//!
//! A folder is sealed from one segment on: the first one, unless it was open before. The key ring knows which, under its
//! own keys. From there on each segment's header names the ring, what isn't sealed is refused, and each seal is bound to
//! the event and to what its record says in the clear (`bond`).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::atomic_file;
use super::files::Files;
use super::frame::FramePlace;
use super::record::Blob;
use super::segment_file;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::request_id::RequestId;

/// The file of the wrapped data keys.
pub(super) const KEYS: &str = "keys";

/// Which keys a folder is sealed with, and from which segment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    pub(crate) id: u64,
    pub(crate) since: u32,
}

/// What seals, and opens again.
pub(crate) trait Encrypt: Send + Sync {
    fn ring(&self) -> Ring;

    /// Encrypt `plain` for `identity`. Answers with which data key.
    fn seal(&self, identity: &[u8], plain: &[u8]) -> Result<(u32, Vec<u8>), StoreError>;

    /// Opens what data key number `key` sealed for `identity`.
    fn open(&self, key: u32, identity: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError>;
}

/// From what the file of keys holds, if it is there, to what is sealed with from now on.
pub(crate) type Unlock = Arc<dyn Fn(Option<Vec<u8>>) -> Result<Unlocked, StoreError> + Send + Sync>;

pub(crate) struct Unlocked {
    /// What the folder is sealed with already.
    pub(crate) ring: Option<Ring>,
    pub(crate) renew: Renew,
}

/// From the number of the next segment and the present to what seals; and what the file of keys is to hold from now on, if
/// that is something else.
pub(crate) type Renew = Box<dyn FnOnce(u32, SystemTime) -> Result<Renewed, StoreError>>;

pub(crate) struct Renewed {
    pub(crate) seals: Box<dyn Encrypt>,
    pub(crate) keys: Option<Vec<u8>>,
}

/// A folder's keys, read and opened, and not changed yet.
pub(super) struct CipherKeys {
    ring: Option<Ring>,
    renew: Option<Renew>,
}

impl CipherKeys {
    /// Reads the folder's keys, if it has any. A wrong key, or none for a folder that has some, is refused.
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
                        "`{}` is sealed, and no key was given: open it with `Disk::encrypted_with`",
                        files.path("")
                    ),
                )),
            };
        };
        let Unlocked { ring, renew } = unlock(keys)?;
        let renew = Some(renew);
        Ok(Self { ring, renew })
    }

    /// Is segment `number`, whose header names `ring`, sealed with these keys, or not, as it must be?
    pub(super) fn check(
        &self,
        files: &dyn Files,
        number: u32,
        ring: Option<u64>,
    ) -> Result<(), StoreError> {
        check(files, self.ring.as_ref(), number, ring)
    }

    /// Has what is written from segment `next` on sealed, if a key was given. The file of keys is durable then, if need be
    /// after `make_room` has made some room for it.
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
        let Renewed { seals, keys } = renew(next, now)?;
        if let Some(keys) = keys {
            match atomic_file::write(files, KEYS, &keys) {
                Err(error) if error.kind() == StoreErrorKind::Full && make_room() => {
                    atomic_file::write(files, KEYS, &keys)?;
                }
                written => written?,
            }
        }
        let since = Some(seals.ring().since);
        let seals = Some(seals);
        Ok(Cipher { seals, since })
    }
}

/// Is segment `number`, whose header names `named`, sealed with the keys of `ring`, or not, as it must be?
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
            "`{keys}` is missing, and `{segment}` is sealed: without that file what is sealed can't be opened by anyone. \
             Restore it from a backup"
        ),
        (Some(_), true) => format!(
            "`{keys}` isn't the file that `{segment}` was sealed with: restore the one that belongs to it from a backup"
        ),
        (None, _) => format!(
            "`{segment}` isn't sealed, though by `{keys}` it must be: it was put there or changed by somebody else. Restore \
             the folder from a backup"
        ),
    };
    Err(StoreError::of(StoreErrorKind::Damaged, message))
}

/// What the file of keys says, if it is there, of the ring in it: nobody vouches for that without the master key. `named` is
/// the ring that the headers name, for a build that can't read such a file.
#[cfg_attr(
    feature = "encryption",
    allow(unused_variables, reason = "it reads it")
)]
pub(super) fn claimed(files: &dyn Files, named: Option<Ring>) -> Result<Option<Ring>, StoreError> {
    let Some(keys) = atomic_file::read(files, KEYS)? else {
        return Ok(None);
    };
    #[cfg(feature = "encryption")]
    let named = Some(super::encryption::claimed(&keys)?);
    #[cfg(not(feature = "encryption"))]
    drop(keys);
    Ok(named)
}

/// What a blob holds: one kind can't stand in for another.
#[derive(Clone, Copy)]
pub(super) enum SecretKind {
    Payload = 1,
    Attempts = 2,
    Result = 3,
    Execution = 4,
}

#[derive(Default)]
pub(super) struct Cipher {
    seals: Option<Box<dyn Encrypt>>,
    /// From this segment on, what isn't sealed is refused.
    since: Option<u32>,
}

impl Cipher {
    /// For looking at a folder without its key, which is sealed from segment `since` on.
    pub(super) fn locked(since: Option<u32>) -> Self {
        Self { seals: None, since }
    }

    /// The id of the key ring that what is written is sealed with.
    pub(super) fn ring(&self) -> Option<u64> {
        self.seals.as_ref().map(|seals| seals.ring().id)
    }

    /// The bytes as they may lie on the disk. They belong to this event and to what `clear` says of it, and open for no other.
    pub(super) fn seal<'a>(
        &self,
        event: RequestId,
        secret: SecretKind,
        clear: impl Serialize,
        bytes: Cow<'a, [u8]>,
    ) -> Result<Blob<'a>, StoreError> {
        let Some(seals) = &self.seals else {
            return Ok(Blob { key: 0, bytes });
        };
        let (key, sealed) = seals.seal(&bond(event, secret, clear)?, &bytes)?;
        let bytes = Cow::Owned(sealed);
        Ok(Blob { key, bytes })
    }

    /// The bytes as they were given, of a record at `place`.
    pub(super) fn open<'a>(
        &self,
        event: RequestId,
        secret: SecretKind,
        clear: impl Serialize,
        blob: Blob<'a>,
        place: FramePlace,
    ) -> Result<Cow<'a, [u8]>, StoreError> {
        let name = segment_file::name(place.segment);
        match (blob.key, &self.seals) {
            (0, _) if self.since.is_none_or(|since| place.segment < since) => Ok(blob.bytes),
            (0, _) => Err(StoreError::of(
                StoreErrorKind::Damaged,
                format!(
                    "what lies in `{name}` at byte {} isn't sealed, in a folder that is: it was put there by somebody without \
                     the key",
                    place.offset
                ),
            )),
            (key, None) => Err(StoreError::of(
                StoreErrorKind::Key,
                format!(
                    "it is sealed with data key {key}, and no key was given: open the store with `Disk::encrypted_with`"
                ),
            )),
            (key, Some(seals)) => {
                let opened = seals.open(key, &bond(event, secret, clear)?, &blob.bytes);
                let opened = opened.map_err(|error| {
                    let message = format!("`{name}` at byte {}: {error}", place.offset);
                    StoreError::of(error.kind(), message)
                })?;
                Ok(Cow::Owned(opened))
            }
        }
    }
}

/// What a seal is bound to: the kind of secret, the event, and what its record says in the clear.
fn bond(
    event: RequestId,
    secret: SecretKind,
    clear: impl Serialize,
) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(&(secret as u8, event, clear)).map_err(|error| {
        StoreError::new(format!("what it is sealed for can't be encoded: {error}"))
    })
}
