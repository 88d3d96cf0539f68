//! Policies in AWS's JSON language, evaluated as AWS does (IAM-01 to IAM-09).
//!
//! A policy with a part that this evaluator does not know (a member, an operator, a condition key, a variable) is refused when
//! it is loaded: without that part it would mean something else. An explicit deny wins, the order of statements and documents
//! does not matter, and an error during the evaluation denies.
//!
//! A deny with `NotPrincipal` exempts the principals that it names: a user, a session, the sessions of a role, a service. An
//! account that stands there, as AWS asks for beside each principal, exempts its root only.
//!
//! # Why it is our own
//!
//! No crate both decides as AWS does and refuses the policies that it does not understand. `iam-rs` was run on the tables of
//! this folder's tests: 78 decisions in 26 rows (`policy/tests/conditions.rs`), and 27 faulty policies
//! (`policy/tests/faults.rs`). The other two were read.
//!
//! | crate | operators as AWS | faulty policies refused | crates in its tree |
//! |---|---|---|---:|
//! | this module, 2,100 lines | 78 of 78 decisions | 27 of 27 | |
//! | `iam-rs` 0.8.0, 9,000 lines | 72 of 78 decisions | 8 of 27 | 20 |
//! | `aws-iam` 0.2.2, 5,300 lines | 6 of the 26 operators exist | | 24 |
//! | `fakecloud-iam` 0.28.2 | all exist; its license is AGPL | | 141 |
//!
//! `iam-rs` accepts unknown condition keys, misspelt members, and statements with both `Action` and `NotAction`: with such a
//! mistake a deny has no effect. It has neither permissions boundaries nor session policies (IAM-04). Where it decides as AWS,
//! `cargo test --test policy` compares it with this module on random policies.
//!
//! ```
//! use redrive::policy::{Caller, ConditionValues, Decision, Policies, Policy, Request};
//!
//! # fn main() -> Result<(), redrive::policy::PolicyError> {
//! let policy: Policy = r#"{
//!     "Version": "2012-10-17",
//!     "Statement": {
//!         "Effect": "Allow",
//!         "Action": "lambda:Invoke*",
//!         "Resource": "arn:aws:lambda:*:*:function:greet"
//!     }
//! }"#
//! .parse()?;
//! let decision = Request {
//!     caller: &Caller::principal("arn:aws:iam::000000000000:user/ada"),
//!     action: "lambda:InvokeFunction",
//!     resource: "arn:aws:lambda:us-east-1:000000000000:function:greet",
//!     context: &ConditionValues::new(),
//! }
//! .decide(&Policies::new().identity(policy), None);
//! assert_eq!(decision, Decision::Allowed);
//! # Ok(())
//! # }
//! ```

mod arn_pattern;
mod caller;
mod comparison;
mod condition;
mod condition_values;
mod decision;
mod document;
mod error;
mod identity_policy;
mod network;
mod pattern;
mod permission;
mod principal;
mod principal_name;
mod resource_policy;
mod statement;
mod strict_json;

#[cfg(test)]
mod tests;

pub use caller::Caller;
pub use condition_values::ConditionValues;
pub use decision::{Decision, Denial, PolicyKind, Request};
pub use error::PolicyError;
pub use identity_policy::{Policies, Policy};
pub use permission::Permission;
pub use resource_policy::ResourcePolicy;
