//! The builder: how a runtime is put together, checked and started.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::host::{self, Host};
use super::{Parts, Runtime};
use crate::actor::arbiter_pool::Pool;
use crate::actor::arbiter_watch;
use crate::actor::dead_letters::{DeadLetterBounds, DeadLetterQueue, Subscribe};
use crate::actor::entrance::Entrance;
use crate::actor::router::Router;
use crate::admission::Admission;
use crate::admission::checks::Limits;
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::error::BuildError;
#[cfg(feature = "disk")]
use crate::error::StoreError;
use crate::event::Durability;
use crate::function::Function;
use crate::function::arn::Identity;
use crate::function::destination::Destination;
use crate::idempotency::Bounds;
use crate::persistence::StoreLink;
use crate::store::EventStore;
use crate::telemetry;
use crate::telemetry::logs::Logs;

/// The settings of a runtime. Nothing is checked or started before [`start`](Self::start).
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    pub(super) functions: Vec<Function>,
    pub(super) arbiters: Option<usize>,
    pub(super) blocked_after: Duration,
    pub(super) limits: Limits,
    pub(super) identity: Identity,
    pub(super) dead_letters: DeadLetterBounds,
    on_dead_letter: Vec<Subscribe>,
    destinations: HashMap<String, Destination>,
    logs: Option<Logs>,
    store: Option<StoreSource>,
    durability: Durability,
    pub(super) deaths_max: u32,
    simulated: Option<Clock>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("functions", &self.functions)
            .field("arbiters", &self.arbiters)
            .finish_non_exhaustive()
    }
}

/// The store that is used, or how it is opened.
enum StoreSource {
    Given(Arc<dyn EventStore>),
    #[cfg(feature = "disk")] // the variant holds a type of the feature
    Disk(crate::store::disk::Disk),
}

impl StoreSource {
    /// Opens a folder on a thread of its own: reading it takes a while.
    async fn open(self, simulated: Option<&Clock>) -> Result<Arc<dyn EventStore>, BuildError> {
        match (self, simulated) {
            (Self::Given(store), _) => Ok(store),
            // Virtual time doesn't wait for other threads.
            #[cfg(all(feature = "disk", feature = "testing"))] // the variant is one of the feature
            (Self::Disk(disk), Some(clock)) => Ok(disk.open_here(clock.clone())?),
            #[cfg(feature = "disk")] // the variant is one of the feature
            (Self::Disk(disk), _) => {
                let opened = actix_rt::task::spawn_blocking(move || disk.open()).await;
                let opened = opened.map_err(|error| StoreError::new(error.to_string()));
                Ok(opened.and_then(|opened| opened)?)
            }
        }
    }
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            functions: Vec::new(),
            arbiters: None,
            blocked_after: Duration::from_secs(1),
            limits: Limits {
                event_payload_max: 1 << 20,
                call_payload_max: 6 << 20,
                headers_max: 4_096,
                concurrent_executions_max: 1_000, // CON-01
                idempotency: Bounds::default(),
            }, // INV-26, INV-27
            identity: Identity {
                region: "us-east-1".to_owned(),
                account: "000000000000".to_owned(),
            },
            dead_letters: DeadLetterBounds::default(),
            on_dead_letter: Vec::new(),
            destinations: HashMap::new(),
            logs: None,
            store: None,
            durability: Durability::Disk,
            deaths_max: 3,
            simulated: None,
        }
    }

    /// Registers a function. [`start`](Self::start) reports two of the same name as a fault.
    pub fn function(mut self, function: Function) -> Self {
        self.functions.push(function);
        self
    }

    /// How many arbiters (threads) workers run on; one per core unless set.
    pub fn arbiters(mut self, arbiters: usize) -> Self {
        self.arbiters = Some(arbiters);
        self
    }

    /// How long user code may block its arbiter before the log names it and the arbiter is replaced; 1 s unless set.
    pub fn blocked_after(mut self, blocked: Duration) -> Self {
        self.blocked_after = blocked;
        self
    }

    /// The largest payload of an event, as JSON; 1 MiB unless set (INV-27).
    pub fn event_payload_max(mut self, bytes: usize) -> Self {
        self.limits.event_payload_max = bytes;
        self
    }

    /// The largest payload of a call, as JSON; 6 MiB unless set (INV-26).
    pub fn call_payload_max(mut self, bytes: usize) -> Self {
        self.limits.call_payload_max = bytes;
        self
    }

    /// The largest trace header, traceparent, client context and qualifier of an invocation, in bytes each; 4,096 unless
    /// set, and at least 256. An invocation with a longer one is refused. They don't count towards a mailbox's bytes.
    pub fn headers_max(mut self, bytes: usize) -> Self {
        self.limits.headers_max = bytes;
        self
    }

    /// How many idempotency keys are remembered, and with how many bytes of results; 1,000,000 and 256 MiB unless set. No key
    /// is forgotten before it expires: beyond the bound, events with a new key fail as
    /// [`System`](crate::FailureKind::System) and are retried. Results of runs that are under way then are still kept.
    pub fn idempotency_max(mut self, keys: usize, bytes: u64) -> Self {
        self.limits.idempotency = Bounds {
            records_max: keys,
            bytes_max: bytes,
        };
        self
    }

    /// The region and account that the function ARNs in records name; `us-east-1` and `000000000000` unless set. Both must
    /// have AWS's form, or the runtime doesn't start: `us-east-1`, `us-gov-west-1`, `us-isob-east-1` or `eusc-de-east-1`, and
    /// 12 digits.
    pub fn identity(mut self, region: impl Into<String>, account: impl Into<String>) -> Self {
        self.identity = Identity {
            region: region.into(),
            account: account.into(),
        };
        self
    }

    /// Gives a destination an ARN, so that an [`EventInvokeConfig`](crate::EventInvokeConfig) can name it. Functions already
    /// have one.
    pub fn destination(mut self, arn: impl Into<String>, destination: Destination) -> Self {
        self.destinations.insert(arn.into(), destination);
        self
    }

    /// Keeps the log lines of invocations, to be read by function and request id.
    pub fn logs(mut self, logs: Logs) -> Self {
        self.logs = Some(logs);
        self
    }

    /// How much concurrency functions may reserve together with
    /// [`Configuration::reserved_concurrency`](crate::Configuration::reserved_concurrency), 100 less than this; 1,000 unless
    /// set (CON-01). The concurrency that functions are registered with doesn't count.
    pub fn concurrent_executions_max(mut self, executions: u32) -> Self {
        self.limits.concurrent_executions_max = executions;
        self
    }

    /// How many dead letters the queue keeps, and what it does when it is full.
    pub fn dead_letters(mut self, bounds: DeadLetterBounds) -> Self {
        self.dead_letters = bounds;
        self
    }

    /// Sends every dead letter to a subscriber, from the first one on: it is subscribed before any function runs. Takes a closure, which runs on the arbiters of functions
    /// ([`Subscribe::calling`](crate::Subscribe::calling)); a `Recipient<DeadLetter>`; or a
    /// [`Subscribe`](crate::Subscribe) with further options, such as [`with_existing`](crate::Subscribe::with_existing) for the
    /// letters that the store has from earlier processes. May be called several times.
    ///
    /// ```
    /// # use redrive::{DeadLetter, Runtime};
    /// let builder = Runtime::builder()
    ///     .on_dead_letter(|letter: DeadLetter| eprintln!("{} died", letter.request_id));
    /// ```
    pub fn on_dead_letter(mut self, subscriber: impl Into<Subscribe>) -> Self {
        self.on_dead_letter.push(subscriber.into());
        self
    }

    /// Keeps events in `store`: each is appended before its receipt, and settled when it ends.
    pub fn store(mut self, store: Arc<dyn EventStore>) -> Self {
        self.store = Some(StoreSource::Given(store));
        self
    }

    /// Keeps events in a folder, so that they survive the process: each is on the disk before its receipt, and the next
    /// runtime that is started with the folder goes on where this one ended. Takes a path, or a
    /// [`Disk`](crate::Disk).
    ///
    /// ```no_run
    /// # async fn start() -> Result<(), redrive::BuildError> {
    /// let runtime = redrive::Runtime::builder().disk("./data").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "disk")] // the argument is a type of the feature
    pub fn disk(mut self, disk: impl Into<crate::store::disk::Disk>) -> Self {
        self.store = Some(StoreSource::Disk(disk.into()));
        self
    }

    /// How safe an event is before its receipt, unless [`Invoke::durability`](crate::Invoke::durability) is set for it; [`Durability::Disk`] unless set. Without a store it is always [`Durability::Memory`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How often the process may die while it runs an event before that becomes a dead letter with condition
    /// [`ProcessCrash`](crate::Condition::ProcessCrash); 3 unless set. Needs a store: without one, deaths are not counted.
    ///
    /// Events that ran when the process died run one at a time afterwards, so that the next death shows which one it was.
    /// Their retries are untouched. A worker whose events take microseconds marks up to seven at once, so a few events that
    /// were next may be among them. With `deaths` 1 it marks one at a time, and every event that ran becomes a dead letter. A
    /// `kill -9` counts as a death for each event that runs, a shutdown doesn't.
    pub fn process_deaths_max(mut self, deaths: u32) -> Self {
        self.deaths_max = deaths;
        self
    }

    /// Runs everything on the present arbiter and by this clock.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "the testing kit's way in")
    )]
    pub(crate) fn simulated(mut self, clock: Clock) -> Self {
        self.simulated = Some(clock);
        self
    }

    /// Checks all settings and starts the runtime. A worker is started when its function has an event.
    ///
    /// # Errors
    /// When settings are faulty (the error names all of them), when the store can't be opened, or when the machine has no
    /// thread for the runtime.
    pub async fn start(self) -> Result<Runtime, BuildError> {
        let faults = self.faults();
        if !faults.is_empty() {
            return Err(BuildError::Settings(faults));
        }
        if self.simulated.is_none() {
            let application = System::try_current();
            return host::launch(|| self.start_here(application)).await;
        }
        if System::try_current().is_none() {
            return Err(BuildError::NoSystem);
        }
        self.start_here(None).await
    }

    /// Starts the runtime on the present thread.
    async fn start_here(self, application: Option<System>) -> Result<Runtime, BuildError> {
        let Started {
            parts,
            functions,
            blocked_after,
        } = self.start_parts(application).await?;
        if let Some(blocked_after) = blocked_after {
            let (pool, admission) = (parts.pool.clone(), parts.entrance.admission.clone());
            actix_rt::spawn(arbiter_watch::watch(pool, admission, blocked_after));
        }
        for function in functions {
            parts.register(function)?;
        }
        let admission = parts.entrance.admission.clone();
        for (function, events) in admission.unregistered() {
            telemetry::backlog_unregistered(&function, events);
        }
        let router = parts.host.start(move || Router::new(admission));
        Ok(Runtime {
            parts,
            router,
            ended: false,
        })
    }

    /// Opens the store and starts everything that functions need.
    async fn start_parts(self, application: Option<System>) -> Result<Started, BuildError> {
        let is_simulated = self.simulated.is_some();
        let store = match self.store {
            Some(source) => Some(source.open(self.simulated.as_ref()).await?),
            None => None,
        };
        let (host, pool) = match is_simulated {
            true => (Host::Here, Pool::single()),
            false => {
                let pool = Pool::new(arbiters(self.arbiters), application);
                let pool = pool.map_err(|error| host::no_thread(&error))?;
                (Host::own()?, pool)
            }
        };
        let pool = Arc::new(pool);
        let clock = self.simulated.unwrap_or_else(Clock::real);
        let (clock, store) = link(store, clock, self.durability, self.deaths_max);
        let admission = Arc::new(Admission::new(
            clock,
            self.limits,
            self.identity,
            store,
            self.destinations,
            self.logs,
        ));
        recover(&admission, &self.functions).await?;
        let (behind, arbiters) = (admission.clone(), pool.clone());
        let (bounds, subscribers) = (self.dead_letters, self.on_dead_letter);
        let dead_letters = host.start_dead_letters(move || {
            DeadLetterQueue::new(behind, bounds, arbiters, subscribers)
        });
        let entrance = Entrance {
            admission,
            dead_letters,
        };
        Ok(Started {
            parts: Arc::new(Parts::new(entrance, pool, host)),
            functions: self.functions,
            blocked_after: (!is_simulated).then_some(self.blocked_after),
        })
    }
}

/// The parts of a runtime, before its functions are registered.
struct Started {
    parts: Arc<Parts>,
    functions: Vec<Function>,
    /// None where virtual time has one thread: no arbiter is watched.
    blocked_after: Option<Duration>,
}

fn arbiters(wanted: Option<usize>) -> usize {
    wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Returns the runtime's clock and the way to its store. The clock goes on from the store's time, even if the machine's
/// clock was set back.
fn link(
    store: Option<Arc<dyn EventStore>>,
    clock: Clock,
    durability: Durability,
    deaths_max: u32,
) -> (Clock, StoreLink) {
    let Some(store) = store else {
        return (clock, StoreLink::none());
    };
    let clock = clock.set(Time::of(store.now()));
    let link = StoreLink::new(store, clock.clone(), durability, deaths_max);
    (clock, link)
}

/// Takes over configurations, also those under former names, and results of executions that an earlier process left in the
/// store, before any function is registered.
async fn recover(admission: &Admission, functions: &[Function]) -> Result<(), BuildError> {
    let Admission {
        registry,
        configurations,
        leases,
        store,
        ..
    } = admission;
    configurations.load(store).await?;
    for function in functions {
        registry.declare_former(&function.former, &function.name);
    }
    configurations.keep_renamed(functions, store).await;
    let current_name = |name| registry.current_name(name);
    store.keep_executions(leases, current_name).await;
    Ok(())
}
