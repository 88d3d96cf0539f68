//! AWS Lambda's API: a table with one row for each operation, and a file of handlers for each group of them.
//!
//! ```text
//! request ─▶ dispatch.rs ─▶ operations.rs: which operation ─▶ access.rs: who may ─▶ invoke.rs, functions.rs, … ─▶ Client
//!                                                             model/: AWS's constraints     unsupported.rs: refusals
//! ```

mod access;
mod account;
mod concurrency;
mod description;
pub(crate) mod dispatch;
mod event_invoke;
mod event_invoke_request;
mod function_ref;
mod functions;
mod invocation;
mod invoke;
mod lookup;
mod model;
mod name_form;
mod operation;
pub(crate) mod operations;
mod pages;
mod permissions;
mod recursion;
mod revision;
mod tags;
mod unsupported;
mod versions;
