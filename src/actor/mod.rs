//! The actors, and the messages between them.
//!
//! ```text
//!  Invoke ──▶ Router ──▶ admission ──▶ mailbox ◀── pull ── Worker   (arbiters of the pool)
//!                                        │  ▲                │
//!                              Reconcile │  │ wake           │ Failed
//!                                        ▼  │                ▼
//!                                       Supervisor ◀─────────┘
//!                                        │      ▲ Removed
//!                                   Bury │      │
//!                                        ▼      └── runtime
//!                            DeadLetterQueue ──▶ subscribers (actors and closures)
//! ```
//!
//! Router, supervisors and the dead-letter queue are the control plane: they live on separate arbiters and never
//! run user code. Each of their messages does bounded work, and they give way to each other (`work_budget.rs`). None of them
//! may be lost while the runtime lives: if one is lost, all further events are refused (`lost_actor.rs`). Workers live on the arbiters
//! of the pool.
//!
//! Who may write which transition of an event (`queue/mod.rs`): admission takes in; a worker takes out and settles
//! successes; the supervisor alone retries; the dead-letter queue alone buries, once it has the letter; a client may
//! cancel. Each does so under the mailbox's lock and with a ticket, so that a late caller changes nothing.

pub(crate) mod arbiter_pool;
pub(crate) mod arbiter_watch;
mod attempt;
mod attempt_result;
pub(crate) mod dead_letters;
mod delivery;
pub(crate) mod entrance;
pub(crate) mod lost_actor;
pub(crate) mod message;
mod pace;
pub(crate) mod router;
pub(crate) mod supervisor;
mod thread_hold;
mod work_budget;
mod worker;
