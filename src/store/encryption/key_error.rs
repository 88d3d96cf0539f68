//! The errors of reading and making a master key.

use std::path::PathBuf;

/// Why a master key can't be read or made. Nothing of a key's text is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Correct the path, or make the file its reader's own. For a new store, make a key with
    /// [`KeyFile::generate`](super::KeyFile::generate).
    #[error("key file `{}` can't be read: {problem}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        problem: String,
    },
    /// Close the file to others. If they may have read it, change the master key and the data key.
    #[error("key file `{0}` is open to others than its owner (mode {mode:03o}): run `chmod 600 {0}`", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Put the key there as it was made. If the key is lost, the data encrypted under it is lost too.
    #[error("{place} holds no key: {problem}")]
    Malformed {
        /// The file or the variable.
        place: String,
        /// Its contents, as far as they may be shown.
        problem: String,
    },
    /// Set the variable, or correct its name.
    #[error("environment variable `{name}` is not set")]
    Unset {
        /// The variable.
        name: String,
    },
    /// Use the key that is there, or another path.
    #[error("key file `{}` exists and is not overwritten", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Make room, or correct the path.
    #[error("key file `{}` can't be written: {problem}", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        problem: String,
    },
}
