//! The runtime: starts everything in order, and ends it in order. It alone names concrete stores.
//!
//! ```text
//!  start:     store ─▶ admission ─▶ dead-letter queue ─▶ supervisors (each opens its function's backlog) ─▶ router
//!  shutdown:  door closes ─▶ what runs finishes, within the grace period ─▶ end ─▶ workers go ─▶ store closes
//! ```
//!
//! The settings and the start are in `runtime/builder.rs`, the end in `runtime/shutdown.rs`, signals in
//! `runtime/serving.rs`. `runtime/host.rs` owns the thread on which a runtime lives.

mod builder;
mod faults;
mod host;
mod serving;
mod shutdown;

use std::sync::Arc;

use actix::prelude::*;
use dashmap::DashMap;
use tokio::sync::Notify;

use crate::actor::arbiter_pool::Pool;
use crate::actor::dead_letters::DeadLetterQueue;
use crate::actor::entrance::Entrance;
use crate::actor::message::Removed;
use crate::actor::router::Router;
use crate::actor::supervisor::Supervisor;
use crate::client::Client;
use crate::error::BuildError;
use crate::event::function_name::FunctionName;
use crate::function::Function;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::telemetry;

use host::Host;

pub use builder::Builder;
pub use shutdown::{Shutdown, ShutdownReport, Unfinished};

/// Functions, their mailboxes and workers, the router and the dead-letter queue.
///
/// It has its own threads and its own actix `System`: one thread for the actors that decide, one for the dead-letter queue,
/// and [`Builder::arbiters`] threads for user code. So it can be started under `#[actix::main]`,
/// `#[actix_web::main]`, `#[tokio::main]`, or any other executor, and outlives the application's `System`. Any
/// actor can send to its router and its dead-letter queue. Inside a handler, `System::current()` and actix's
/// registry of services are the application's.
///
/// End it with [`shutdown`](Self::shutdown). Dropping it instead is safe and stops everything at once; the log then has the
/// number of pending events.
pub struct Runtime {
    parts: Arc<Parts>,
    router: Addr<Router>,
    ended: bool,
}

/// The parts of a runtime. They outlive a `Runtime` that moves into a signal handler.
struct Parts {
    entrance: Arc<Entrance>,
    pool: Arc<Pool>,
    host: Host,
    supervisors: DashMap<FunctionName, Addr<Supervisor>>,
    /// Ends the grace period of a shutdown.
    hurry: Notify,
}

impl Parts {
    fn new(entrance: Entrance, pool: Arc<Pool>, host: Host) -> Self {
        Self {
            entrance: Arc::new(entrance),
            pool,
            host,
            supervisors: DashMap::new(),
            hurry: Notify::new(),
        }
    }

    fn register(&self, function: Function) -> Result<(), BuildError> {
        let name = function.name.clone();
        self.entrance.admission.register(function, |mailbox| {
            let supervised = mailbox.clone();
            let (entrance, pool) = (self.entrance.clone(), self.pool.clone());
            let supervisor = self
                .host
                .start(move || Supervisor::new(supervised, entrance, pool));
            mailbox.set_supervisor(Supervisor::link(supervisor.clone()));
            if mailbox.storage().has_overflow() {
                mailbox.notify(SupervisorMessage::Reconcile);
            }
            self.supervisors.insert(name, supervisor);
        })
    }

    fn stop(&self) {
        self.entrance.admission.close_for_good();
        self.host.stop();
    }
}

impl Runtime {
    /// Returns the settings of a new runtime.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns a client, for use from any thread. It doesn't keep the runtime alive.
    pub fn client(&self) -> Client {
        Client::new(self.parts.entrance.clone())
    }

    /// Returns the actor that accepts [`Invoke`](crate::Invoke) messages.
    pub fn router(&self) -> Addr<Router> {
        self.router.clone()
    }

    /// Returns the actor that keeps dead letters: subscribe to it, list, redrive, purge.
    pub fn dead_letters(&self) -> Addr<DeadLetterQueue> {
        self.parts.entrance.dead_letters.clone()
    }

    /// Registers one more function. It can be invoked as soon as this returns.
    ///
    /// # Errors
    /// When its settings are faulty, its name is taken, or the runtime is shutting down.
    pub fn add_function(&self, function: Function) -> Result<(), BuildError> {
        self.ask_door()?;
        let faults = function.faults();
        if faults.is_empty() {
            self.parts.register(function)
        } else {
            Err(BuildError::Settings(faults))
        }
    }

    /// Removes a function. Runs under way may end; waiting events go to the dead-letter queue with condition
    /// [`FunctionRemoved`](crate::Condition::FunctionRemoved). The name is free at once.
    ///
    /// The handler's closure is dropped once the last worker has gone, on the arbiter of the last one that used it. A panic in
    /// its `Drop` is caught and logged.
    ///
    /// # Errors
    /// When it is not registered, or the runtime is shutting down.
    pub fn remove_function(&self, name: &str) -> Result<(), BuildError> {
        self.ask_door()?;
        let removed = self
            .parts
            .entrance
            .admission
            .registry
            .unregister(name)
            .and_then(|_| self.parts.supervisors.remove(name));
        let (_, supervisor) =
            removed.ok_or_else(|| BuildError::UnknownFunction(name.to_owned()))?;
        supervisor.do_send(Removed);
        Ok(())
    }

    fn ask_door(&self) -> Result<(), BuildError> {
        let open = self.parts.entrance.admission.door.check();
        open.map_err(|_| BuildError::ShuttingDown)
    }

    /// Ends the runtime: refuses new events, waits until running events (with [`Shutdown::drain_mailboxes`] also ready ones)
    /// have ended or the grace period is over, gives up the rest, and returns a report of the events that did not finish.
    ///
    /// Waits for the grace period at most, and up to a second more for workers to go, but not for a handler that blocks its
    /// thread. The shutdown goes on if the caller stops waiting. The application's `System` is not touched.
    pub async fn shutdown(mut self, shutdown: impl Into<Shutdown>) -> ShutdownReport {
        self.ended = true;
        self.end(shutdown.into()).await
    }

    async fn end(&self, shutdown: Shutdown) -> ShutdownReport {
        // The router is dropped last, even if the caller stops waiting and drops its runtime: losing the router closes the
        // door for good.
        let (parts, router) = (self.parts.clone(), self.router.clone());
        let ended = self.parts.host.run(async move {
            let report = parts.shutdown(shutdown).await;
            drop(router);
            report
        });
        ended.await.unwrap_or_else(|| self.parts.lost())
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("functions", &self.parts.supervisors.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mailboxes = self.parts.entrance.admission.registry.all();
        telemetry::dropped_without_shutdown(
            mailboxes
                .iter()
                .map(|mailbox| u64::from(mailbox.inspect().pending()))
                .sum(),
        );
        self.parts.entrance.admission.end();
        for mailbox in mailboxes {
            mailbox.lifecycle().halt();
            mailbox.lifecycle().retire(true);
            mailbox.lifecycle().abandon_attempts();
        }
        self.parts.entrance.admission.store.begin_close();
        self.parts.stop();
    }
}
