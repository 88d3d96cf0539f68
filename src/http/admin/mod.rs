//! The API beyond AWS's, as JSON under `/_redrive/`: status and results, cancelling, pausing, dead letters, figures and
//! health. `operations.rs` has one row for each operation, and `openapi.json` describes them.

mod dead_letter_filter;
mod dead_letters;
pub(crate) mod dispatch;
mod durable;
mod events;
mod functions;
mod health;
mod operations;
mod parameters;
