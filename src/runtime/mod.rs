//! The runtime: what starts everything, and what brings it to a good end. Where it lives is told in `runtime/host.rs`.

mod host;
mod serving;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::{join_all, select};
use tokio::sync::Notify;

use crate::actor::arbiter_pool::Pool;
use crate::actor::arbiter_watch;
use crate::actor::dead_letters::{DeadLetterBounds, DeadLetterQueue, HandOver, Subscribe};
use crate::actor::message::Removed;
use crate::actor::router::Router;
use crate::actor::supervisor::Supervisor;
use crate::admission::Admission;
use crate::admission::checks::Limits;
use crate::admission::door::DoorState;
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::client::Client;
use crate::error::BuildError;
use crate::error::Fault;
#[cfg(feature = "disk")]
use crate::error::StoreError;
use crate::event::Durability;
use crate::event::dead_letter::DeadLetter;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::function::Function;
use crate::function::arn::Identity;
use crate::function::destination::Destination;
use crate::idempotency::Bounds;
use crate::mailbox::Mailbox;
use crate::mailbox::lifecycle::Drain;
use crate::mailbox::supervisor_message::SupervisorMessage;
use crate::persistence::StoreLink;
use crate::store::{EventStore, KnownState};
use crate::telemetry;
use crate::telemetry::logs::Logs;

use host::Host;

/// Functions, their mailboxes and workers, the router and the dead-letter queue.
///
/// It lives on threads of its own, with an actix `System` of its own: one thread for the actors that decide, one for the
/// dead-letter queue, and as many as [`Builder::arbiters`] says for user code. So it can be started under `#[actix::main]`,
/// `#[actix_web::main]`, `#[tokio::main]`, or any other executor, and outlives the application's `System`. Its router and its
/// dead-letter queue are actors like others: any actor can send to them. Inside a handler, `System::current()` and actix's
/// registry of services are the application's.
///
/// Bring it to an end with [`shutdown`](Self::shutdown). Dropping it instead is safe and stops everything at once;
/// the log then says how much was pending.
pub struct Runtime {
    parts: Arc<Parts>,
    router: Addr<Router>,
    ended: bool,
}

/// What outlives a `Runtime` that moves into a signal handler.
struct Parts {
    admission: Arc<Admission>,
    pool: Arc<Pool>,
    host: Host,
    dead_letters: Addr<DeadLetterQueue>,
    supervisors: dashmap::DashMap<FunctionName, Addr<Supervisor>>,
    /// Ends the grace period of a shutdown.
    hurry: Notify,
}

/// How a runtime is put together. Nothing is checked or started before [`start`](Self::start).
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    functions: Vec<Function>,
    arbiters: Option<usize>,
    blocked_after: Duration,
    limits: Limits,
    identity: Identity,
    dead_letters: DeadLetterBounds,
    on_dead_letter: Vec<Subscribe>,
    destinations: HashMap<String, Destination>,
    logs: Option<Logs>,
    store: Option<Place>,
    durability: Durability,
    deaths_max: u32,
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

/// Where the store comes from.
enum Place {
    Given(Arc<dyn EventStore>),
    #[cfg(feature = "disk")]
    Disk(crate::store::disk::Disk),
}

impl Place {
    /// Reading a folder takes a while, so it is done on a thread where that hurts nobody.
    async fn open(self, simulated: Option<&Clock>) -> Result<Arc<dyn EventStore>, BuildError> {
        match (self, simulated) {
            (Self::Given(store), _) => Ok(store),
            // Virtual time would not wait for other threads.
            #[cfg(all(feature = "disk", feature = "testing"))]
            (Self::Disk(disk), Some(clock)) => Ok(disk.open_here(clock.clone())?),
            #[cfg(feature = "disk")]
            (Self::Disk(disk), _) => {
                let opened = actix_rt::task::spawn_blocking(move || disk.open()).await;
                let opened = opened.map_err(|error| StoreError::new(error.to_string()));
                Ok(opened.and_then(|opened| opened)?)
            }
        }
    }
}

impl Builder {
    fn new() -> Self {
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

    /// Registers a function. Two of one name are a fault that [`start`](Self::start) reports.
    pub fn function(mut self, function: Function) -> Self {
        self.functions.push(function);
        self
    }

    /// How many arbiters (threads) workers run on; one per core unless set.
    pub fn arbiters(mut self, arbiters: usize) -> Self {
        self.arbiters = Some(arbiters);
        self
    }

    /// How long user code may keep its arbiter from going on before it is named in the log and the arbiter
    /// replaced; 1 s unless set.
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

    /// How long each of the texts may be that an invocation carries beside its payload, in bytes: trace header, traceparent,
    /// client context, qualifier; 4,096 unless set, and at least 256. An invocation with a longer one is refused. They don't
    /// count towards a mailbox's bytes.
    pub fn headers_max(mut self, bytes: usize) -> Self {
        self.limits.headers_max = bytes;
        self
    }

    /// How many idempotency keys are remembered, and with how many bytes of results; 1,000,000 and 256 MiB unless set.
    /// Nothing is forgotten before it expires: beyond it, events with a new key fail as
    /// [`System`](crate::FailureKind::System) and wait. Results of runs that are under way then are kept all the same.
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

    /// Gives a destination an ARN, so that an [`EventInvokeConfig`](crate::EventInvokeConfig) can name it. Functions have one
    /// already.
    pub fn destination(mut self, arn: impl Into<String>, destination: Destination) -> Self {
        self.destinations.insert(arn.into(), destination);
        self
    }

    /// Keeps what invocations log, for whoever asks for it by function and request id.
    pub fn logs(mut self, logs: Logs) -> Self {
        self.logs = Some(logs);
        self
    }

    /// How much concurrency functions may reserve together with
    /// [`Configuration::reserved_concurrency`](crate::Configuration::reserved_concurrency), 100 less than this; 1,000 unless
    /// set (CON-01). What functions are registered with doesn't count.
    pub fn concurrent_executions_max(mut self, executions: u32) -> Self {
        self.limits.concurrent_executions_max = executions;
        self
    }

    /// How much the dead-letter queue keeps, and what it does beyond.
    pub fn dead_letters(mut self, bounds: DeadLetterBounds) -> Self {
        self.dead_letters = bounds;
        self
    }

    /// Has every dead letter sent to a subscriber, from the first one on: subscribed before anything runs, so that letters of
    /// the start are not missed. Takes a closure, which runs on the arbiters of functions
    /// ([`Subscribe::calling`](crate::Subscribe::calling)); a `Recipient<DeadLetter>`; or a
    /// [`Subscribe`](crate::Subscribe) that says more, such as [`with_existing`](crate::Subscribe::with_existing) for the
    /// letters that the store has from earlier processes. May be said several times.
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

    /// Keeps events in `store`, which is asked before a receipt is given and told how each event ends.
    pub fn store(mut self, store: Arc<dyn EventStore>) -> Self {
        self.store = Some(Place::Given(store));
        self
    }

    /// Keeps events in a folder, so that they survive the process: what is accepted is on the disk before its receipt, and
    /// the next runtime that is started with the folder goes on where this one was. Takes a path, or a
    /// [`Disk`](crate::Disk).
    ///
    /// ```no_run
    /// # async fn start() -> Result<(), redrive::BuildError> {
    /// let runtime = redrive::Runtime::builder().disk("./data").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "disk")]
    pub fn disk(mut self, disk: impl Into<crate::store::disk::Disk>) -> Self {
        self.store = Some(Place::Disk(disk.into()));
        self
    }

    /// How safe an event is before its receipt, unless [`Invoke::durability`](crate::Invoke::durability) says otherwise
    /// for one; [`Durability::Disk`] unless set. Without a store it is always [`Durability::Memory`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How often the process may die while it runs an event before that becomes a dead letter with condition
    /// [`ProcessCrash`](crate::Condition::ProcessCrash); 3 unless set. Needs a store: without one, nobody remembers.
    ///
    /// Events that ran when the process died run one at a time afterwards, so that the innocent are soon told from the
    /// guilty; their retries are untouched. A worker whose events take microseconds puts up to seven on record at once, so
    /// that a few that were next may be among them; unless `deaths` is 1, which makes a dead letter of everything that ran. A
    /// `kill -9` counts as a death of whatever runs, a shutdown doesn't.
    pub fn process_deaths_max(mut self, deaths: u32) -> Self {
        self.deaths_max = deaths;
        self
    }

    /// Runs everything on this arbiter and by this clock.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "the testing kit's way in")
    )]
    pub(crate) fn simulated(mut self, clock: Clock) -> Self {
        self.simulated = Some(clock);
        self
    }

    /// Checks all settings and starts the runtime. No worker is started before its function has an event.
    ///
    /// # Errors
    /// When settings are faulty (then all of them are named), when the store can't be opened, or when the machine has no
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
        let store = match self.store {
            Some(place) => Some(place.open(self.simulated.as_ref()).await?),
            None => None,
        };
        let (host, pool) = match &self.simulated {
            Some(_) => (Host::Here, Pool::single()),
            None => {
                let arbiters = self
                    .arbiters
                    .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
                let pool = Pool::new(arbiters, application).map_err(|it| host::no_thread(&it))?;
                (Host::own()?, pool)
            }
        };
        let pool = Arc::new(pool);
        let mut clock = self.simulated.clone().unwrap_or_else(Clock::real);
        if let Some(store) = &store {
            // The store's time line goes on, whatever the machine's clock was set to.
            clock = clock.set(Time::of(store.now()));
        }
        let store = match store {
            Some(store) => StoreLink::new(store, clock.clone(), self.durability, self.deaths_max),
            None => StoreLink::none(),
        };
        let admission = Arc::new(Admission::new(
            clock,
            self.limits.clone(),
            self.identity.clone(),
            store,
            self.destinations,
            self.logs,
        ));
        let store = admission.store.clone();
        admission.configurations.load(&store).await?;
        for function in &self.functions {
            admission
                .registry
                .declare_former(&function.former, &function.name);
        }
        admission
            .configurations
            .keep_renamed(&self.functions, &store)
            .await;
        let current_name = |name| admission.registry.current_name(name);
        store.keep_executions(&admission.leases, current_name).await;
        let (shared, arbiters) = (admission.clone(), pool.clone());
        let (bounds, subscribers) = (self.dead_letters, self.on_dead_letter);
        let dead_letters = host.start_dead_letters(move || {
            DeadLetterQueue::new(shared, bounds, arbiters, subscribers)
        });
        let address = Box::new(dead_letters.clone());
        let _ = admission.dead_letters.set(address); // there is one queue
        if self.simulated.is_none() {
            actix_rt::spawn(arbiter_watch::watch(
                pool.clone(),
                admission.clone(),
                self.blocked_after,
            ));
        }
        let supervisors = dashmap::DashMap::new();
        let parts = Arc::new(Parts {
            admission,
            pool,
            host,
            dead_letters,
            supervisors,
            hurry: Notify::new(),
        });
        for function in self.functions {
            parts.register(function)?;
        }
        for (function, events) in parts.admission.unregistered() {
            telemetry::backlog_unregistered(&function, events);
        }
        let shared = parts.admission.clone();
        let router = parts.host.start(move || Router::new(shared));
        Ok(Runtime {
            parts,
            router,
            ended: false,
        })
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<_> = self.functions.iter().flat_map(Function::faults).collect();
        faults.extend(self.identity.faults());
        let mut seen = HashSet::new();
        for function in &self.functions {
            if !seen.insert(&function.name) {
                let problem = "is given to two functions: give each its own".to_owned();
                faults.push(Fault {
                    function: function.name.to_string(),
                    field: "name",
                    problem,
                });
            }
        }
        for function in &self.functions {
            for former in &function.former {
                let others = self.functions.iter().filter(|other| {
                    other.name != function.name
                        && (other.name == *former || other.former.contains(former))
                });
                faults.extend(others.map(|other| Fault {
                    function: function.name.to_string(),
                    field: "formerly",
                    problem: format!("`{former}` is, or was, the name of function `{}`: only one can have what is kept under it", other.name),
                }));
            }
        }
        let mut check = |field, faulty: bool, problem: &str| {
            if faulty {
                faults.push(Fault {
                    function: String::new(),
                    field,
                    problem: problem.to_owned(),
                });
            }
        };
        check(
            "arbiters",
            self.arbiters == Some(0),
            "is 0: workers need at least one",
        );
        check(
            "blocked_after",
            self.blocked_after < Duration::from_millis(10),
            "is below 10 ms: the watch would do nothing else",
        );
        check(
            "event_payload_max",
            self.limits.event_payload_max == 0,
            "is 0: no event would fit",
        );
        check(
            "call_payload_max",
            self.limits.call_payload_max == 0,
            "is 0: no call would fit",
        );
        check(
            "headers_max",
            self.limits.headers_max < 256,
            "is below 256: a trace header with its lineage would not fit",
        );
        check(
            "idempotency_max",
            self.limits.idempotency.records_max == 0 || self.limits.idempotency.bytes_max == 0,
            "is 0: no key would be remembered",
        );
        check(
            "dead_letters",
            self.dead_letters.letters_max == 0,
            "keeps no letter: give it room for at least one",
        );
        check(
            "process_deaths_max",
            self.deaths_max == 0,
            "is 0: no event would ever run",
        );
        faults
    }
}

impl Parts {
    fn register(&self, function: Function) -> Result<(), BuildError> {
        let name = function.name.clone();
        self.admission.register(function, |mailbox| {
            let supervised = mailbox.clone();
            let (admission, pool, dead_letters) = (
                self.admission.clone(),
                self.pool.clone(),
                self.dead_letters.clone(),
            );
            let supervisor = self
                .host
                .start(move || Supervisor::new(supervised, admission, pool, dead_letters));
            mailbox.set_supervisor(Supervisor::line(supervisor.clone()));
            if mailbox.storage().has_overflow() {
                mailbox.notify(SupervisorMessage::Reconcile);
            }
            self.supervisors.insert(name, supervisor);
        })
    }

    async fn shutdown(&self, shutdown: Shutdown) -> ShutdownReport {
        self.admission.close(DoorState::ShuttingDown);
        let mailboxes = self.admission.registry.all();
        if shutdown.drain == Drain::InFlight {
            mailboxes
                .iter()
                .for_each(|mailbox| mailbox.lifecycle().halt());
        }
        let drained = join_all(
            mailboxes
                .iter()
                .map(|mailbox| mailbox.lifecycle().drained(shutdown.drain)),
        );
        let grace = tokio::time::timeout(shutdown.grace, drained);
        // Either may end it.
        let _ = select(std::pin::pin!(grace), std::pin::pin!(self.hurry.notified())).await;
        mailboxes
            .iter()
            .for_each(|mailbox| mailbox.lifecycle().halt());
        self.admission.end();
        mailboxes
            .iter()
            .for_each(|mailbox| mailbox.lifecycle().retire(true));
        let drains = [Drain::Workers, Drain::Storage];
        let gone = mailboxes
            .iter()
            .flat_map(|mailbox| drains.map(|drain| mailbox.lifecycle().drained(drain)));
        // A handler that blocks its thread can't be stopped; it is not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(1), join_all(gone)).await;
        let dead_letters = self.dead_letters.send(HandOver).await.unwrap_or_default();
        // From here on nothing ends, so that what is named stays so.
        let mut unfinished: Vec<_> = mailboxes
            .iter()
            .flat_map(|mailbox| unfinished(mailbox))
            .collect();
        // What a full queue held, or a function on its way out gave up just now, is a letter and nothing else.
        let letters: HashSet<_> = dead_letters
            .iter()
            .map(|letter| letter.request_id)
            .collect();
        unfinished.retain(|event| !letters.contains(&event.request_id));
        let parked = mailboxes
            .iter()
            .map(|mailbox| mailbox.storage().overflow_events());
        let unfinished_count = unfinished.len() as u64 + parked.sum::<u64>();
        let naming = self.name_parked(&mailboxes, &mut unfinished);
        let _ = tokio::time::timeout(Duration::from_secs(1), naming).await;
        self.admission.store.close().await;
        self.stop();
        ShutdownReport {
            unfinished,
            unfinished_count,
            dead_letters,
        }
    }

    /// What is left to say once the runtime's own thread is gone: somebody stopped its `System`.
    fn lost(&self) -> ShutdownReport {
        self.admission.end();
        let mailboxes = self.admission.registry.all();
        let unfinished: Vec<_> = mailboxes.iter().flat_map(|it| unfinished(it)).collect();
        let parked = mailboxes
            .iter()
            .map(|mailbox| mailbox.storage().overflow_events());
        let unfinished_count = unfinished.len() as u64 + parked.sum::<u64>();
        self.admission.store.begin_close();
        self.stop();
        ShutdownReport {
            unfinished,
            unfinished_count,
            ..ShutdownReport::default()
        }
    }

    /// Adds events that only the store has, up to a bound.
    async fn name_parked(&self, mailboxes: &[Arc<Mailbox>], unfinished: &mut Vec<Unfinished>) {
        let mut room = PARKED_NAMED_MAX;
        for mailbox in mailboxes {
            let mut after = Some(0).filter(|_| mailbox.storage().has_overflow());
            while let Some(place) = after.filter(|_| room > 0) {
                let page = self
                    .admission
                    .store
                    .overflow(mailbox, place, room.min(1_000))
                    .await;
                room = room.saturating_sub(page.events.len());
                unfinished.extend(page.events.into_iter().map(|known| Unfinished {
                    function: mailbox.name().clone(),
                    request_id: known.request_id,
                    attempts: match known.state {
                        KnownState::Pending { attempts, .. } => attempts,
                        _ => 0,
                    },
                    running: false,
                }));
                after = page.next;
            }
        }
    }

    fn stop(&self) {
        self.admission.desert();
        self.host.stop();
    }
}

/// Events that only the store has and that the report of a shutdown names.
const PARKED_NAMED_MAX: usize = 10_000;

/// What a mailbox has that did not finish, and will not any more.
fn unfinished(mailbox: &Mailbox) -> Vec<Unfinished> {
    let ran = mailbox.lifecycle().abandon_attempts();
    let mut all = Vec::new();
    let mut from = Some(0);
    while let Some(cursor) = from {
        let (views, next) = mailbox
            .inspect()
            .list(cursor, 10_000, |view| !view.phase.is_finished());
        all.extend(views.into_iter().map(|view| Unfinished {
            function: mailbox.name().clone(),
            request_id: view.id,
            attempts: view.attempt,
            running: ran.contains(&view.id),
        }));
        from = next;
    }
    all
}

/// How a runtime ends.
#[derive(Clone, Debug)]
pub struct Shutdown {
    grace: Duration,
    drain: Drain,
}

impl Shutdown {
    /// Finishes what runs, for at most `grace`; what waits is left, and named in the [`ShutdownReport`].
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            drain: Drain::InFlight,
        }
    }

    /// Runs what is ready too, as far as the grace period goes. What is delayed is left.
    pub fn drain_mailboxes(mut self) -> Self {
        self.drain = Drain::Ready;
        self
    }
}

impl From<Duration> for Shutdown {
    fn from(grace: Duration) -> Self {
        Self::new(grace)
    }
}

/// What a runtime left behind.
#[derive(Debug, Default)]
#[must_use = "it names the events that did not finish"]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The events that neither finished nor are among the letters: all that were in memory, and with a store up to 10,000 of
    /// those that are only there ([`Function::window`](crate::Function::window)). Without a store they are gone, unless
    /// the application keeps them; with one the next process goes on with them.
    pub unfinished: Vec<Unfinished>,
    /// How many events did not finish in all. Those of them that aren't named can be paged through with
    /// [`Client::events`](crate::Client::events), by a client of this runtime as well as in the next process.
    pub unfinished_count: u64,
    /// The letters that were in the dead-letter queue.
    pub dead_letters: Vec<DeadLetter>,
}

/// An event that did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// Its function.
    pub function: FunctionName,
    /// Its request id.
    pub request_id: RequestId,
    /// How many attempts began.
    pub attempts: u32,
    /// Was it running, and was stopped?
    pub running: bool,
}

impl Runtime {
    /// Puts a runtime together.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A way in, from any thread. It doesn't keep the runtime alive.
    pub fn client(&self) -> Client {
        Client::new(self.parts.admission.clone())
    }

    /// The actor that accepts [`Invoke`](crate::Invoke) messages.
    pub fn router(&self) -> Addr<Router> {
        self.router.clone()
    }

    /// The actor that keeps dead letters: subscribe to it, list, redrive, purge.
    pub fn dead_letters(&self) -> Addr<DeadLetterQueue> {
        self.parts.dead_letters.clone()
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

    /// Removes a function. What runs may end; what waits goes to the dead-letter queue with condition
    /// [`FunctionRemoved`](crate::Condition::FunctionRemoved). The name is free at once.
    ///
    /// What the handler's closure holds is dropped once the last worker has gone, on whichever arbiter lets go last; a
    /// `Drop` that panics is caught and logged.
    ///
    /// # Errors
    /// When it is not registered, or the runtime is shutting down.
    pub fn remove_function(&self, name: &str) -> Result<(), BuildError> {
        self.ask_door()?;
        let removed = self
            .parts
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
        let open = self.parts.admission.door.check();
        open.map_err(|_| BuildError::ShuttingDown)
    }

    /// Ends the runtime: refuses new work, finishes what runs (and, with [`Shutdown::drain_mailboxes`], what is ready) until the
    /// grace period is over, gives up the rest, and names the events that did not finish.
    ///
    /// Waits for the grace period at most, and up to a second more for workers to go. A handler that blocks its thread is
    /// not waited for beyond that. It goes on if the caller stops waiting. The application's `System` is not touched.
    pub async fn shutdown(mut self, shutdown: impl Into<Shutdown>) -> ShutdownReport {
        self.ended = true;
        self.end(shutdown.into()).await
    }

    async fn end(&self, shutdown: Shutdown) -> ShutdownReport {
        // The router goes last, even if the caller stops waiting and drops its runtime: a lost router would close everything.
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
        let mailboxes = self.parts.admission.registry.all();
        telemetry::dropped_without_shutdown(
            mailboxes
                .iter()
                .map(|mailbox| u64::from(mailbox.inspect().pending()))
                .sum(),
        );
        self.parts.admission.end();
        for mailbox in mailboxes {
            mailbox.lifecycle().halt();
            mailbox.lifecycle().retire(true);
            mailbox.lifecycle().abandon_attempts();
        }
        self.parts.admission.store.begin_close();
        self.parts.stop();
    }
}
