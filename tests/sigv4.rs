//! Signature Version 4, seen from outside.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

#[path = "sigv4/botocore.rs"]
mod botocore;
#[path = "sigv4/fixtures.rs"]
mod fixtures;
#[path = "sigv4/mutation.rs"]
mod mutation;
#[path = "sigv4/replays.rs"]
mod replays;
#[path = "sigv4/rules.rs"]
mod rules;
#[path = "sigv4/sent_request.rs"]
mod sent_request;
