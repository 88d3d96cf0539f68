//! Between mailboxes and store: appends events, loads them again, and marks what runs.

pub(crate) mod append;
pub(crate) mod crash_marks;
pub(crate) mod load;
#[cfg(feature = "http")]
mod signatures;
