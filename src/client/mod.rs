//! The client: invokes functions, and sees and changes events and functions, from any thread.
//!
//! A client is a handle. Each file adds the methods of one theme: `client/invoke.rs`, `client/events.rs`,
//! `client/functions.rs`, `client/status.rs`, `client/call.rs`, `client/dead_letters.rs`, `client/stats.rs`. The decisions are
//! made in `admission/`.

mod call;
pub(crate) mod dead_letters;
mod events;
#[cfg(feature = "http")]
mod for_http;
mod functions;
mod invoke;
#[cfg(feature = "http")]
mod signatures;
mod stats;
mod status;

use std::sync::Arc;

use crate::actor::entrance::Entrance;
#[cfg(feature = "testing")]
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::event::meta::SharedMeta;
use crate::event::request_id::RequestId;
use crate::function::context::Context;

pub use call::Call;
pub use functions::{FunctionInfo, Unregistered};
#[cfg(feature = "http")]
pub(crate) use status::InvokedAs;
pub use status::{EventPage, EventStatus, State, Status};

/// A way into the runtime: cheap to clone, `Send + Sync`, usable from any thread and as actix-web's `web::Data`.
///
/// It does not keep the runtime alive: once that is gone, invocations are refused with
/// [`InvokeError::ShuttingDown`](crate::InvokeError::ShuttingDown) or
/// [`InvokeError::NoSystem`](crate::InvokeError::NoSystem).
#[derive(Clone)]
pub struct Client {
    entrance: Arc<Entrance>,
    chain: Option<Chain>,
}

/// The event whose handler invokes: its invocations belong to its chain.
#[derive(Clone)]
struct Chain {
    hops: u8,
    meta: SharedMeta,
    request_id: RequestId,
    accepted: Time,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("hops", &self.chain.as_ref().map_or(0, |chain| chain.hops))
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Returns a client whose invocations are one hop further in this event's chain and carry its trace header, so that a loop
    /// is noticed (REC-01).
    ///
    /// # Panics
    /// Never for a context that a runtime made.
    pub fn client(&self) -> Client {
        let entrance = self.worker_context.entrance.clone().downcast::<Entrance>();
        let entrance = entrance
            .unwrap_or_else(|_| unreachable!("every worker has the entrance of its runtime"));
        let chain = Chain {
            hops: self.hops().saturating_add(1),
            meta: self.meta.clone(),
            request_id: self.request_id,
            accepted: self.accepted,
        };
        Client {
            entrance,
            chain: Some(chain),
        }
    }
}

impl Client {
    pub(crate) fn new(entrance: Arc<Entrance>) -> Self {
        Self {
            entrance,
            chain: None,
        }
    }

    #[cfg(feature = "testing")] // virtual time is advanced through it
    pub(crate) fn clock(&self) -> &Clock {
        &self.entrance.admission.clock
    }
}
