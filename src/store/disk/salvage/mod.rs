//! Saves the readable part of a damaged folder into another one. The damaged folder is only read.
//!
//! A copy keeps every record at its place, so that references to it stay valid. Frames of kind `Lost` take the place of damage,
//! and empty segments the place of missing files; then the copy opens as any folder does.
//!
//! ```text
//! copy.rs     the whole salvage: source.rs (headers, keys, configuration) ─▶ segment.rs (records) ─▶ report.rs
//! ```

mod copy;
mod report;
mod segment;
mod source;

#[cfg(test)]
pub(super) use copy::salvage;
pub use report::{Lost, Salvage};
