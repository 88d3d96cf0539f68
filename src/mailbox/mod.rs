//! A function's mailbox: the queue and the list of its workers behind one lock.
//!
//! ```text
//!   callers                               workers                          supervisor
//!     │ Intake::put, under its own lock     │ WorkerHandle::turn:            │ Supervision::reconcile:
//!     │ as long as a grant lasts            │ settle one event, take one     │ wake, start and reap workers
//!     ▼                                     ▼                                ▼
//!   Intake ───── enqueue_arrivals ─────▶ ┌──────────────────────────────────────┐
//!     │ no grant, or a worker must wake  │ Inner, behind the lock:              │
//!     └───────────── admit ────────────▶ │ Queue (events), Workers, Watchers    │
//!     ◀── grant: how many more events ── └──────────────────────────────────────┘
//!         come in, and until when no        │ 1. the lock is released
//!         worker must wake for them         │ 2. Deferred: drop payloads, send outcomes, log
//!                                           │ 3. Wakeups: a searching worker, an idle worker, the supervisor
//!                                           ▼
//! ```
//!
//! This lock and the intake's guard all shared state of a function's hot path. A worker takes the lock once between two
//! events (`mailbox/take.rs`). A caller takes it once for an event, or only the intake's lock as long as no worker must be
//! woken (`mailbox/grant.rs`).
//! No user code runs under the lock: wakers, dropped payloads and log subscribers wait for its release
//! (`mailbox/deferred.rs`). The locks are always taken in the order mailbox, intake.
//!
//! The methods are grouped by topic: [`WorkerHandle`](worker_handle::WorkerHandle) for a worker's turns,
//! [`Supervision`](supervision::Supervision) for the supervisor's, [`FunctionHealth`](health::FunctionHealth) for crashes and
//! blocked threads, [`MailboxStorage`](overflow::MailboxStorage) for the store, [`Lifecycle`](lifecycle::Lifecycle) for pause,
//! drain and end, [`Inspection`](inspection::Inspection) for status and figures. Who is woken for work is decided in
//! `mailbox/wake.rs` alone.

mod admit;
mod cancel;
mod dead_letter;
mod deferred;
mod dispatch;
mod grant;
pub(crate) mod health;
pub(crate) mod inspection;
mod intake;
pub(crate) mod lifecycle;
mod lock;
pub(crate) mod overflow;
mod settle;
pub(crate) mod snapshot;
pub(crate) mod supervision;
pub(crate) mod supervisor_message;
pub(crate) mod take;
#[cfg(test)]
mod tests;
pub(crate) mod wake;
mod watchers;
pub(crate) mod worker_handle;
mod workers;

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::base::capacity::Capacity;
use crate::base::clock::Clock;
use crate::base::threads::{Change, Threads};
use crate::base::time::Time;
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::function::Function;
use crate::function::crash_loop::Restarts;
use crate::function::dedicated_arbiters::DedicatedArbiters;
use crate::function::live_settings::{LiveSettings, Rules};
use crate::function::settings::Settings;
use crate::mailbox::deferred::Deferred;
use crate::mailbox::intake::Intake;
use crate::mailbox::lifecycle::Drain;
use crate::mailbox::supervisor_message::{SupervisorMessage, SupervisorSender};
use crate::mailbox::watchers::Watchers;
use crate::mailbox::workers::Workers;
use crate::queue::entry::Arrival;
use crate::queue::{Queue, QueueBounds};
use crate::telemetry::Meters;

/// Most records of dead events that wait to be delivered, and most bytes of their payloads and texts.
const DELIVERIES_MAX: usize = 10_000;
const DELIVERIES_BYTES_MAX: u64 = 64 << 20;

pub(crate) struct Mailbox {
    pub(crate) function: Function,
    pub(crate) number: u32,
    pub(crate) clock: Clock,
    supervisor: OnceLock<Box<dyn SupervisorSender>>,
    pub(crate) live_settings: LiveSettings,
    pub(crate) threads: Arc<Threads>,
    /// Records of dead events that wait for an arbiter to be delivered on.
    pub(crate) deliveries: Arc<Capacity>,
    /// When the function was registered.
    pub(crate) registered: Time,
    intake: Intake,
    inner: Mutex<Inner>,
    /// Behind a separate lock: it is used where threads are held, which must not hold up others.
    dedicated_arbiters: Mutex<DedicatedArbiters>,
}

/// What the lock protects.
struct Inner {
    queue: Queue,
    workers: Workers,
    /// How many events the last grant let in without the lock; 0 if there is no grant.
    granted: u32,
    /// Until when callers believe that no worker must be woken.
    published: Time,
    /// Replaces the intake's list while its arrivals are enqueued.
    spare_arrivals: Vec<Arrival>,
    /// Slots for the next grant.
    spare_slots: Vec<u32>,
    /// The supervisor was called and has not reconciled yet.
    supervisor_called: bool,
    /// When the supervisor reconciles by itself.
    reconcile_at: Option<Time>,
    restarts: Restarts,
    /// Boxed: most functions never crash, and there may be many functions.
    last_crash: Option<Box<Failure>>,
    watchers: Watchers,
    meters: Meters,
    /// The function was removed: no event comes in or starts.
    removed: bool,
    /// The runtime shuts down: no event comes in.
    closed: bool,
    /// The runtime ends: no event starts any more, even if the function is resumed.
    halted: bool,
    /// The runtime is gone: no event ends.
    ended: bool,
    drains: Vec<(Drain, oneshot::Sender<()>)>,
    /// Waits for the release of the lock.
    deferred: Vec<Deferred>,
}

impl Mailbox {
    pub(crate) fn new(function: Function, number: u32, clock: Clock) -> Self {
        let settings = &function.settings;
        Self {
            live_settings: LiveSettings::new(settings),
            threads: Arc::default(),
            deliveries: Capacity::new(DELIVERIES_MAX, DELIVERIES_BYTES_MAX),
            registered: clock.now(),
            inner: Mutex::new(Inner::new(settings, number)),
            function,
            number,
            clock,
            supervisor: OnceLock::new(),
            intake: Intake::default(),
            dedicated_arbiters: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &FunctionName {
        &self.function.name
    }

    /// The settings that the function was registered with; some can't be changed later.
    pub(crate) fn settings(&self) -> &Settings {
        &self.function.settings
    }

    /// The settings that hold now.
    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules {
            registered: &self.function.settings,
            live_settings: &self.live_settings,
        }
    }

    /// Counts the abandoned threads of blocking handlers as those of blocked arbiters are counted.
    pub(crate) fn count_threads(self: &Arc<Self>) {
        let mailbox = Arc::downgrade(self);
        self.threads.on_change(move |change| {
            if let Some(mailbox) = mailbox.upgrade() {
                match change {
                    Change::Abandoned => mailbox.health().thread_abandoned(),
                    Change::Returned => mailbox.health().thread_returned(),
                }
            }
        });
    }

    /// Sets the supervisor: once, before the first event.
    pub(crate) fn set_supervisor(&self, supervisor: Box<dyn SupervisorSender>) {
        let _ = self.supervisor.set(supervisor);
    }

    /// Sends the supervisor a message; returns at once.
    pub(crate) fn notify(&self, message: SupervisorMessage) {
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.send(message);
        }
    }

    pub(crate) fn meter(&self, count: impl FnOnce(&mut Meters)) {
        count(&mut self.lock().meters);
    }
}

impl Inner {
    fn new(settings: &Settings, number: u32) -> Self {
        let bounds = QueueBounds {
            events_max: settings.mailbox_events_max,
            bytes_max: settings.mailbox_bytes_max,
            window: settings.window,
        };
        Self {
            queue: Queue::new(number, bounds, settings.retention.clone()),
            workers: Workers::default(),
            granted: 0,
            published: Time::default(),
            spare_arrivals: Vec::new(),
            spare_slots: Vec::new(),
            supervisor_called: false,
            reconcile_at: None,
            restarts: Restarts::new(&settings.restarts),
            last_crash: None,
            watchers: Watchers::default(),
            meters: Meters::default(),
            removed: false,
            closed: false,
            halted: false,
            ended: false,
            drains: Vec::new(),
            deferred: Vec::new(),
        }
    }
}
