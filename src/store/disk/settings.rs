//! The settings of a store in a folder.

use std::path::{Path, PathBuf};

use super::cipher::Unlock;

/// A folder that keeps events, and its settings: for [`Builder::disk`](crate::Builder::disk).
///
/// The folder has a file `reserve`, half as long as a file of the log may become, at least 64 KiB and at most 2 MiB: room
/// that a full disk needs for the settlements of events. However many files the log has, about 15 are open at once. Without
/// room, or without a descriptor once the last file of the log has grown to twice its size, the store refuses events with
/// [`StoreErrorKind::Full`](crate::StoreErrorKind::Full) or [`StoreErrorKind::Short`](crate::StoreErrorKind::Short) until
/// there is some. No file grows beyond the process's limit (`ulimit -f`).
#[derive(Clone)]
#[must_use = "settings do nothing before `Builder::disk` opens the folder"]
pub struct Disk {
    pub(super) path: PathBuf,
    pub(super) segment_bytes: u32,
    pub(super) unlock: Option<Unlock>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("path", &self.path)
            .field("encrypted", &self.unlock.is_some())
            .finish_non_exhaustive()
    }
}

impl Disk {
    /// The folder at `path`, created if it is missing: on Unix with mode 0700, and its files with 0600. An existing folder
    /// keeps its mode.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            segment_bytes: 64 << 20,
            unlock: None,
        }
    }

    /// Sets the size from which on a file of the log is followed by another: 64 MiB by default, at least 64 KiB, at most
    /// 1 GiB. A file with very many small events is followed sooner.
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.segment_bytes = bytes.clamp(64 << 10, 1 << 30);
        self
    }
}

impl From<String> for Disk {
    fn from(path: String) -> Self {
        Self::new(path)
    }
}

/// `&str`, `&Path`, `&PathBuf`, `&String`, a borrowed temporary folder ...
impl<P: AsRef<Path> + ?Sized> From<&P> for Disk {
    fn from(path: &P) -> Self {
        Self::new(path.as_ref())
    }
}

impl From<PathBuf> for Disk {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}
