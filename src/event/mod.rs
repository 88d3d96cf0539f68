//! An event: its invocation, request id, payload and rarely set fields, its receipt, and how its attempts failed.
//!
//! Plain data without locks and clocks. Queues, stores and actors carry it.

pub(crate) mod attempt;
pub(crate) mod dead_letter;
pub(crate) mod directive;
pub(crate) mod error_type;
pub(crate) mod failure;
pub(crate) mod function_name;
pub(crate) mod invoke;
pub(crate) mod json_size;
pub(crate) mod ledger;
pub(crate) mod meta;
pub(crate) mod payload;
pub(crate) mod receipt;
pub(crate) mod request_id;
pub(crate) mod retry_policy;
#[cfg_attr(
    not(feature = "http"),
    allow(dead_code, reason = "only the HTTP API reads some of it")
)]
pub(crate) mod trace;

pub use invoke::{Deduplicate, InvocationType, Invoke};
pub(crate) use invoke::{Options, Start};
pub use receipt::{Durability, Receipt};
