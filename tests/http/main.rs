//! AWS Lambda's HTTP API, spoken to over real sockets: what AWS's clients send, and what they never would.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod admin;
mod authorised;
mod bad_input;
mod configuring;
mod connections;
mod described;
mod event_shape;
mod grammar;
mod invoking;
mod naming;
mod outcomes;
mod permitting;
mod serving;
mod signed;
mod support;
mod withheld;
