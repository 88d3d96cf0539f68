//! A disk in memory for tests: it knows which bytes survive the death of the process, and which survive the loss of power.
//!
//! ```text
//! write_at, set_len ─▶ handed to the OS ──── sync ───▶ on the disk       open, remove ─▶ named ── Files::sync ──▶ named on
//!                          │                                                          the disk
//!                          ├─ killed: all of it is there
//!                          └─ power cut: any of its sectors are, and any length or name that there was since the sync
//! ```
//!
//! Bytes whose sync failed count as synced for the OS: no later sync writes them again. Only the loss of power shows whether
//! they are on the disk.

mod damage;
mod folder;
mod inode;
mod machine;

pub(crate) use folder::SimulatedFolder;
pub(crate) use machine::DiskCall;
