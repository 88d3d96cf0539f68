//! AWS Lambda's API: a file for each group of operations.

pub(crate) mod account;
pub(crate) mod concurrency;
pub(crate) mod dispatch;
pub(crate) mod event_invoke;
pub(crate) mod function_ref;
pub(crate) mod functions;
pub(crate) mod invoke;
pub(crate) mod model;
pub(crate) mod permissions;
pub(crate) mod recursion;
pub(crate) mod tags;
pub(crate) mod unsupported;
