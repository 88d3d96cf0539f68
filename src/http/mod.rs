//! AWS Lambda's HTTP API: AWS's SDKs and command lines invoke and configure the functions of this runtime.
//!
//! ```text
//! aws lambda invoke --endpoint-url http://127.0.0.1:9000 --function-name greet \
//!     --invocation-type Event --cli-binary-format raw-in-base64-out --payload '{"name":"Ada"}' out.json
//! ```
//!
//! What comes in takes the way of any other invocation: the router's admission, the mailbox, retries, the dead-letter queue,
//! destinations. [`LambdaApi`] mounts on an actix-web application, under any scope, or [serves](LambdaApi::bind) alone.
//!
//! ```text
//! request ─▶ route.rs: which operation ─▶ access.rs: who may ─▶ invoke.rs, functions.rs, … ─▶ Client
//!                                         model/: what may be asked      admin/: status, cancel, dead letters, stats, health
//! ```

#![doc = include_str!("serving.md")]
#![doc = include_str!("lambda/differences.md")]

mod admin;
mod api;
mod auth;
mod body;
mod constraint;
mod error;
mod lambda;
mod lambda_api;
mod path;
mod request;
mod route;
mod server;
pub mod sigv4;
mod unwanted_body;

pub use lambda_api::LambdaApi;
pub use server::{Server, ServerError};
