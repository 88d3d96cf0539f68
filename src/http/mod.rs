//! AWS Lambda's HTTP API: AWS's SDKs and command lines invoke and configure the functions of this runtime.
//!
//! ```text
//! aws lambda invoke --endpoint-url http://127.0.0.1:9000 --function-name greet \
//!     --invocation-type Event --cli-binary-format raw-in-base64-out --payload '{"name":"Ada"}' out.json
//! ```
//!
//! An invocation by HTTP goes through the same admission, mailbox, retries, dead-letter queue and destinations as any other.
//! [`LambdaApi`] mounts on an actix-web application, under any scope, or [serves](LambdaApi::bind) the API standalone.
//!
//! ```text
//! request ─▶ auth/: who asks ─▶ lambda/: AWS Lambda's operations ─────────────▶ Client
//!                            ─▶ admin/:  status, dead letters, figures, health ─▶ Client
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
