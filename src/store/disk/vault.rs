//! What is secret, on its way to the disk and back: sealed where the application gave a key, as it is otherwise.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use super::files::Files;
use super::record::Blob;
use super::replaced;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::RequestId;

/// The file of the wrapped data keys.
const KEYS: &str = "keys";

/// What seals, and opens again.
pub(crate) trait Seals: Send + Sync {
    /// Seals `plain` for `identity`. Answers with which data key.
    fn seal(&self, identity: &[u8], plain: &[u8]) -> Result<(u32, Vec<u8>), StoreError>;

    /// Opens what data key number `key` sealed for `identity`.
    fn open(&self, key: u32, identity: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError>;
}

/// From what the file of keys holds, if it is there, to what seals; and what the file is to hold from now on, if that is
/// something else.
pub(crate) type Unlock =
    Arc<dyn Fn(Option<Vec<u8>>, SystemTime) -> Result<Unlocked, StoreError> + Send + Sync>;

pub(crate) struct Unlocked {
    pub(crate) seals: Box<dyn Seals>,
    pub(crate) keys: Option<Vec<u8>>,
}

/// What a blob holds: one kind can't stand in for another.
#[derive(Clone, Copy)]
pub(super) enum Secret {
    Payload = 1,
    Attempts = 2,
    Result = 3,
    Execution = 4,
}

#[derive(Default)]
pub(super) struct Vault {
    seals: Option<Box<dyn Seals>>,
}

impl Vault {
    /// Opens the folder's keys, if it has any. A wrong key, or none for a folder that has some, changes nothing.
    pub(super) fn unlock(
        files: &dyn Files,
        unlock: Option<&Unlock>,
        now: SystemTime,
    ) -> Result<Self, StoreError> {
        let keys = replaced::read(files, KEYS)?;
        let Some(unlock) = unlock else {
            return match keys {
                None => Ok(Self::default()),
                Some(_) => Err(StoreError::of(
                    StoreErrorKind::Key,
                    format!(
                        "`{}` is sealed, and no key was given: open it with `Disk::sealed_with`",
                        files.path("")
                    ),
                )),
            };
        };
        let Unlocked { seals, keys } = unlock(keys, now)?;
        if let Some(keys) = keys {
            replaced::write(files, KEYS, &keys)?;
        }
        Ok(Self { seals: Some(seals) })
    }

    /// The bytes as they may lie on the disk. They belong to this event, and open for no other.
    pub(super) fn seal<'a>(
        &self,
        event: RequestId,
        secret: Secret,
        bytes: Cow<'a, [u8]>,
    ) -> Result<Blob<'a>, StoreError> {
        let Some(seals) = &self.seals else {
            return Ok(Blob { key: 0, bytes });
        };
        let (key, sealed) = seals.seal(&identity(event, secret), &bytes)?;
        let bytes = Cow::Owned(sealed);
        Ok(Blob { key, bytes })
    }

    /// The bytes as they were given.
    pub(super) fn open<'a>(
        &self,
        event: RequestId,
        secret: Secret,
        blob: Blob<'a>,
    ) -> Result<Cow<'a, [u8]>, StoreError> {
        match (blob.key, &self.seals) {
            (0, _) => Ok(blob.bytes),
            (key, Some(seals)) => {
                let opened = seals.open(key, &identity(event, secret), &blob.bytes)?;
                Ok(Cow::Owned(opened))
            }
            (key, None) => Err(StoreError::of(
                StoreErrorKind::Key,
                format!(
                    "it is sealed with data key {key}, and no key was given: open the store with `Disk::sealed_with`"
                ),
            )),
        }
    }
}

fn identity(event: RequestId, secret: Secret) -> [u8; 17] {
    let mut identity = [secret as u8; 17];
    identity[1..].copy_from_slice(event.as_uuid().as_bytes());
    identity
}
