//! The contract of stores, as a suite that every store has to pass.
//!
//! ```text
//! judge.rs      runs the suite: pending.rs, settled.rs, process.rs
//! subject.rs    the store under test, and calls to it
//! ```

mod judge;
mod pending;
mod process;
mod settled;
mod subject;

pub use judge::judge;
