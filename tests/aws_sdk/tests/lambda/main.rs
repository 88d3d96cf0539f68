//! AWS's SDK for Rust calls redrive's Lambda API. Each test starts a separate server.

mod functions;
mod invoke;
mod queue;
mod refusals;
mod settings;
mod signatures;
