//! AWS Lambda's HTTP API over real sockets: requests that AWS's clients send, and requests that they never send.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod admin;
mod authorization;
mod bad_input;
mod configuration;
mod connections;
mod denied_letters;
mod event_shape;
mod failures;
mod function_names;
mod invocation;
mod name_grammar;
mod permissions;
mod refused_settings;
mod serving;
mod signed_requests;
mod support;
