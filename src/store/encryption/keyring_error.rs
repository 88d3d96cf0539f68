//! The errors of a store's data keys and of their file.

use std::fmt;

use crate::error::{StoreError, StoreErrorKind};

/// The version of the file of keys that this crate reads and writes.
pub(super) const VERSION: u32 = 2;

/// Why a keyring can't be made, loaded or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    /// Give the store the master key that is wanted. To change it, open the store with the old one and rotate.
    #[error("the store's keys are wrapped by master key `{wanted}`, and `{given}` was given")]
    WrongMaster { wanted: String, given: String },
    /// See the error of the system. Nothing has changed.
    #[error("no data key could be made: {0}")]
    NotGenerated(StoreError),
    /// See the error of the master key. Nothing has changed.
    #[error("master key `{master}` refused data key {number}: {source}")]
    Refused {
        master: String,
        number: u32,
        source: StoreError,
    },
    /// Correct the `MasterKey`: it unwraps a key to other bytes than it wrapped, or it is another key by the same id.
    #[error("master key `{master}` unwraps data key {number} to something else")]
    Mistaken { master: String, number: u32 },
    /// Restore the file from a backup. Without it, the encrypted data is lost.
    #[error("the store's keys are damaged: {problem}")]
    Damaged { problem: String },
    /// Open the store with the version of the crate that wrote it, or a later one.
    #[error("the store's keys are of version {version}, and only {VERSION} is known")]
    UnknownVersion { version: u32 },
    /// Start a new store. This one had 4,294,967,295 data keys.
    #[error("there is no number left for another data key")]
    Full,
}

impl From<KeyringError> for StoreError {
    fn from(error: KeyringError) -> Self {
        let kind = match &error {
            KeyringError::Damaged { .. } => StoreErrorKind::Damaged,
            KeyringError::UnknownVersion { .. } => StoreErrorKind::Version,
            _ => StoreErrorKind::Key,
        };
        Self::of(kind, error.to_string())
    }
}

/// Returns the error for a file of keys with this problem.
pub(super) fn damaged(problem: impl fmt::Display) -> KeyringError {
    KeyringError::Damaged {
        problem: problem.to_string(),
    }
}
