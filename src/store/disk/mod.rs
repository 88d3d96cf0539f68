//! The store in a folder: an embedded log that survives `kill -9` and the loss of power.
//!
//! ```text
//!  callers, any thread          writer thread                                       reader thread
//!
//!  append, settle, spill,       take the whole queue                    group_commit.rs
//!  fetch, look, sync ──▶ queue ─▶ 1. ops ─▶ records and facts           batch/
//!            writer.rs          2. write the records in one piece       log.rs
//!                               3. sync once, if an op waits for it     log.rs
//!                               4. apply the facts                      index/
//!  append's reply ◀──────────── 5. reply to appends
//!  fetch's, look's, sync's reply ◀─ 6. hand over the reads ──────────────────────▶ reader/
//!                               7. one bounded step of compaction       compaction.rs
//!
//!  begin ──▶ crash_marks.rs: a write in the caller's thread, without a sync
//!  opening ─▶ recovery.rs: the records of log.rs ─▶ facts ─▶ index/
//! ```
//!
//! | who | waits for |
//! |---|---|
//! | `append` | the write of its batch, and the sync unless its durability is an interval |
//! | `fetch`, `look`, pages | the commit of all earlier calls, then a read |
//! | `sync`, `close` | the sync of all earlier calls |
//! | `configure` | the commit of all earlier calls, and the durable write of the file `configuration` |
//! | `settle`, `remember`, `spill` | nothing: they ride along with the next batch, at the latest after 2 ms |
//! | `begin` | a write to the operating system |
//! | the writer | one sync for all callers of a batch: group commit |
//!
//! The log is the only copy of the truth: the index is rebuilt from it, and holds in memory the state of each event and
//! the order of the overflow, in 32 bytes an event, 40 in the overflow.
//!
//! | file | holds |
//! |---|---|
//! | `00000001.log` ... | the segments of the log (`log.rs`) |
//! | `running` | the crash marks: events that run at this moment (`crash_marks.rs`) |
//! | `configuration` | the functions' live settings (`configuration.rs`) |
//! | `reserve` | room that is kept back for a full disk (`reserve.rs`) |
//! | `keys` | the wrapped data keys of an encrypted folder (`cipher.rs`) |
//! | `lock` | nothing; the process that uses the folder locks it |
//!
//! Folder and files are created for their owner alone.
//!
//! Changes from outside are refused with the name of the file, or logged as a warning that names it: a missing or damaged
//! file, and an end that was not in order (`log.rs`). `verify.rs` inspects a folder that is refused, and `salvage/mod.rs` saves
//! its readable events into another folder.
//!
//! # Why it is our own
//!
//! The same runtime ran on three stores behind the same trait in the same run: on this one, and on fjall (a log-structured
//! merge tree) and redb (a B-tree) under a small store with group commit. Each receipt waits for a sync of the disk. The
//! small store does less than this one (no retries, dead letters, results, keys, crash marks or recovery), so the rates of
//! the databases are upper bounds. `cd benches/peers && cargo run --release --bin embedded -- 5 5 200000`
//! repeats it.
//!
//! Medians of five interleaved rounds on a busy 2-core VM, payloads of 512 bytes, a backlog of 200,000 events:
//!
//! | work | this store | fjall 3.1 | redb 4.6 |
//! |---|---:|---:|---:|
//! | accept, run and settle, 1 caller: events/s | 640 | 595 | 454 |
//! | the same, 64 callers | 17,093 | 11,782 | 17,956 |
//! | the same, 1,024 callers | 74,573 | 26,830 | 50,107 |
//! | backlog: accept, events/s | 82,357 | 66,433 | 53,939 |
//! | backlog: fetch, run and settle, events/s | 227,175 | 82,594 | 131,572 |
//! | bytes on disk for each waiting event | 579 | 872 | 598 |
//! | bytes on disk for each settled event | 70 | 1,096 | 559 |
//!
//! With one caller, every store waits for the disk. With 1,024 callers, and when a backlog drains, this store is ahead of
//! both; with 64 callers redb is level with it. A queue needs less than sorted keys give: this store writes an event once and
//! its settlement as some 50 bytes, and reads a backlog in the order of the log. The databases also keep their keys in order,
//! and delete each settled event by another write. The price of this store is the code in this folder, and its own tests of
//! crashes, power cuts and damage.
//!
#![doc = include_str!("folder.md")]

mod atomic_file;
mod batch;
// Virtual time needs a store without threads.
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(
    not(feature = "testing"),
    allow(dead_code, reason = "the testing kit's")
)]
mod caller_thread;
mod cipher;
mod claimed_ring;
mod compaction;
mod configuration;
mod crash_marks;
mod disk_store;
mod encrypted_fields;
#[cfg(feature = "encryption")]
mod encryption_setup;
#[cfg(not(feature = "encryption"))]
#[path = "no_encryption.rs"]
mod encryption_setup;
mod file_error;
pub(crate) mod files;
mod frame;
mod full_disk;
mod group_commit;
mod header;
mod index;
mod loaded_segment;
mod log;
mod log_scan;
mod op;
mod open_segments;
mod payloads;
mod reader;
mod record;
mod recovery;
mod reported_health;
mod reserve;
mod salvage;
mod segment_file;
mod settings;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(not(test), allow(dead_code, reason = "the testing kit's"))]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
mod threads;
mod time_line;
mod verify;
mod writer;

#[cfg(any(test, feature = "testing"))]
pub(crate) use disk_store::DiskStore;
pub use salvage::{Lost, Salvage};
pub use settings::Disk;
pub use verify::{Extent, Verification, VerifiedFile, verify};
