//! The report of a salvage.

use crate::store::disk::verify::Verification;

/// The result of a [`Disk::salvage`](crate::Disk::salvage).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvage {
    /// The unreadable parts of the damaged folder, file by file.
    pub lost: Vec<Lost>,
    /// The contents of the copy; its `unreadable` counts the lost events, as far as they are known.
    pub saved: Verification,
}

/// A part of a file that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The file's name in the damaged folder.
    pub name: String,
    /// The byte where the part begins.
    pub at: u64,
    /// How many bytes it has; 0 if the file isn't there.
    pub bytes: u64,
    /// Its former contents, as far as they are known.
    pub what: String,
}

/// Returns the loss of a whole file beside the log.
pub(super) fn lost_file(name: &str, what: &str) -> Lost {
    Lost {
        name: name.to_owned(),
        at: 0,
        bytes: 0,
        what: what.to_owned(),
    }
}
