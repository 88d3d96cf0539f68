//! What is secret, on its way to the disk and back: sealed where the application gave a key, as it is otherwise.

use std::borrow::Cow;

use super::record::Blob;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::RequestId;

#[derive(Debug, Default)]
pub(super) struct Vault;

impl Vault {
    /// The bytes as they may lie on the disk. They belong to this event, and open for no other.
    pub(super) fn seal<'a>(
        &self,
        _event: RequestId,
        bytes: Cow<'a, [u8]>,
    ) -> Result<Blob<'a>, StoreError> {
        Ok(Blob { key: 0, bytes })
    }

    /// The bytes as they were given.
    pub(super) fn open<'a>(
        &self,
        _event: RequestId,
        blob: Blob<'a>,
    ) -> Result<Cow<'a, [u8]>, StoreError> {
        match blob.key {
            0 => Ok(blob.bytes),
            key => Err(StoreError::of(
                StoreErrorKind::Key,
                format!(
                    "it is sealed with data key {key}, and no key was given: open the store with its master key"
                ),
            )),
        }
    }
}
