//! A function: its name, its handler, its settings, and where the records of its events go.

pub(crate) mod arn;
pub(crate) mod configuration;
pub(crate) mod context;
pub(crate) mod crash_loop;
pub(crate) mod dedicated_arbiters;
pub(crate) mod destination;
pub(crate) mod handler;
pub(crate) mod idempotent;
pub(crate) mod live_settings;
pub(crate) mod retry_decision;
pub(crate) mod settings;
pub(crate) mod versions;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Fault;
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::event::retry_policy::RetryPolicy;
use crate::function::context::Event;
use crate::function::crash_loop::RestartIntensity;
use crate::function::destination::Destination;
use crate::function::handler::{Factory, Handler, HandlerError, Instance, Stateful};
use crate::function::idempotent::idempotent;
use crate::function::settings::Settings;
use crate::function::versions::{Alias, Versions};
use crate::idempotency::Idempotency;

/// A named handler with its settings, to be registered with a runtime.
///
/// The settings are checked when it is registered, all at once.
///
/// ```
/// # use redrive::{Event, Function, RetryPolicy};
/// # use std::time::Duration;
/// async fn greet(event: Event<String>) -> Result<String, std::io::Error> {
///     Ok(format!("hello, {}", *event))
/// }
///
/// let function = Function::new("greet", greet)
///     .concurrency(8)
///     .timeout(Duration::from_secs(30))
///     .retry(RetryPolicy::exponential(5, Duration::from_secs(1), Duration::from_secs(60)));
/// ```
#[must_use = "a function does nothing until it is registered"]
#[derive(Clone)]
pub struct Function {
    pub(crate) name: FunctionName,
    /// Names that it had before.
    pub(crate) former: Vec<FunctionName>,
    pub(crate) settings: Settings,
    factory: Arc<dyn Factory>,
    idempotency: Option<Idempotency>,
    pub(crate) on_success: Option<Destination>,
    pub(crate) on_failure: Option<Destination>,
    /// Boxed: most functions have none.
    versions: Option<Box<Versions>>,
}

impl Function {
    /// A function that runs `handler`: an `async fn(Event<T>) -> Result<R, E>` or a closure like it.
    pub fn new<Args, H: Handler<Args>>(name: impl AsRef<str>, handler: H) -> Self {
        Self::of(name.as_ref(), handler.factory())
    }

    /// A function whose workers each own a state, built by `init` when the worker starts.
    ///
    /// `init` may fail: then no event is touched, and the worker is started again within the restart
    /// intensity.
    pub fn stateful<I, Fut, S, E, K, L>(name: impl AsRef<str>, init: I) -> Self
    where
        I: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, E>> + 'static,
        S: Stateful<Error: HandlerError<L>>,
        E: HandlerError<K>,
        K: 'static,
        L: 'static,
    {
        Self::of(name.as_ref(), handler::stateful(init))
    }

    /// A function that blocks its thread. Each of its workers has a thread for that, off the arbiters and apart from tokio's
    /// pool of blocking threads: at most [`concurrency`](Self::concurrency) of them, which end with their workers.
    ///
    /// A thread can't be stopped. After a timeout its event is retried and its result refused, while the
    /// thread runs on to its end; an abandoned thread doesn't count against `concurrency`, but there may only be
    /// [`abandoned_threads_max`](Self::abandoned_threads_max) of them.
    ///
    /// Where the machine has no thread for an attempt, the attempt fails as [`System`](crate::FailureKind::System), which
    /// takes nothing from the retry policy: it is tried again after 1 s, 2 s, 4 s … 5 min. An attempt that was given up
    /// before it has begun on its thread never begins.
    ///
    /// In virtual time the threads are those of the runtime that the test runs on, for whose work its clock waits.
    pub fn blocking<F, T, R, E, K>(name: impl AsRef<str>, handler: F) -> Self
    where
        F: Fn(Event<T>) -> Result<R, E> + Send + Sync + 'static,
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        R: Serialize + 'static,
        E: HandlerError<K>,
    {
        Self::of(name.as_ref(), handler::blocking(handler))
    }

    fn of(name: &str, factory: Box<dyn Factory>) -> Self {
        Self {
            name: FunctionName::new(name),
            former: Vec::new(),
            settings: Settings::default(),
            factory: factory.into(),
            idempotency: None,
            on_success: None,
            on_failure: None,
            versions: None,
        }
    }

    /// Returns its name.
    pub fn name(&self) -> &FunctionName {
        &self.name
    }

    /// How many events may run at once; each has its own worker. 10 unless set. Further events wait in the mailbox.
    ///
    /// Workers share the runtime's arbiters: concurrency is for handlers that wait, [`blocking`](Self::blocking) for those
    /// that compute. A function whose handlers hold their threads (three times or more, for 100 ms in all within five
    /// seconds) moves to dedicated arbiters, as many as are shared at most, with new workers; it comes back when it has held none
    /// for a minute.
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.settings.concurrency = workers;
        self
    }

    /// Reserves no concurrency for it: it runs nothing, new events go straight to the dead-letter queue
    /// (ASY-26, ASY-27) and calls are refused (ASY-28). To hold events back, pause the function instead.
    pub fn reserved_concurrency_zero(mut self) -> Self {
        self.settings.reserved_zero = true;
        self
    }

    /// How long one attempt may take, 3 s unless set (CON-06). Measured from the handler's start. An attempt that takes
    /// longer is stopped at its await point and fails as a timeout; one that doesn't await can't be stopped.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// How long `init` may take, 10 s unless set.
    pub fn init_timeout(mut self, timeout: Duration) -> Self {
        self.settings.init_timeout = timeout;
        self
    }

    /// When a failed event runs again; AWS's two retries unless set.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.settings.retry = policy;
        self
    }

    /// How old an event may grow; 6 h unless set (ASY-34). Its age counts from when its first run is due: from its acceptance,
    /// or from the end of its [`delay`](crate::Invoke::delay) or its [`not_before`](crate::Invoke::not_before). An event
    /// that is older when its turn comes, or that would be as old at its next retry, is given up (ASY-17).
    pub fn event_age_max(mut self, age: Duration) -> Self {
        self.settings.event_age_max = age;
        self
    }

    /// How many events may be pending, 100,000 unless set. Beyond it invocations are refused.
    pub fn mailbox_events_max(mut self, events: u32) -> Self {
        self.settings.mailbox_events_max = events;
        self
    }

    /// How many bytes of payload may be pending, 256 MiB unless set; the texts of pending events' failures count too (of one
    /// event at most 128 KiB), unless the event waits in the store alone. Beyond it invocations are refused.
    pub fn mailbox_bytes_max(mut self, bytes: u64) -> Self {
        self.settings.mailbox_bytes_max = bytes;
        self
    }

    /// How many events are kept in memory that a store has, 10,000 unless set; and as many that are delayed. The rest waits
    /// in the store, counts towards the mailbox's bounds, and comes into memory as room appears.
    pub fn window(mut self, events: u32) -> Self {
        self.settings.window = events;
        self
    }

    /// How long an idle worker keeps its state before it is let go, 60 s unless set.
    pub fn keep_alive(mut self, idle: Duration) -> Self {
        self.settings.keep_alive = idle;
        self
    }

    /// How many invocations may stand before one of this function in its chain; 16 unless set (REC-01).
    pub fn hops_max(mut self, hops: u8) -> Self {
        self.settings.hops_max = Some(hops);
        self
    }

    /// How many deduplication keys ([`Invoke::deduplicate`](crate::Invoke::deduplicate)) may be taken at once, 1,000,000
    /// unless set: each takes about 150 bytes of memory, and its own length, until its window is over. Beyond it events
    /// with a new key are refused; known keys are still known. Events that are stored and events that live in memory alone
    /// are counted apart.
    pub fn deduplication_keys_max(mut self, keys: u32) -> Self {
        self.settings.deduplication_keys_max = keys;
        self
    }

    /// Lets it invoke itself without end (REC-06).
    pub fn allow_recursion(mut self) -> Self {
        self.settings.hops_max = None;
        self
    }

    /// How many crashes of its workers are too many; 5 in 10 s unless set.
    pub fn restarts(mut self, intensity: RestartIntensity) -> Self {
        self.settings.restarts = intensity;
        self
    }

    /// How many threads of the function may run on though they were given up, 16 unless set; then nothing of the function
    /// begins until one of them returns, which is logged: its events wait, its calls fail as
    /// [`Throttle`](crate::FailureKind::Throttle). Attempts that run when the bound is met may be given up too, so there can be up to
    /// [`concurrency`](Self::concurrency) more. [`Stats::abandoned_threads`](crate::Stats::abandoned_threads) counts them.
    ///
    /// A handler that doesn't let go of its thread can't be stopped: the thread is abandoned, and another takes its place
    /// ([`Builder::blocked_after`](crate::Builder::blocked_after)). So is the thread of a [`blocking`](Self::blocking)
    /// function whose attempt timed out or was cancelled.
    pub fn abandoned_threads_max(mut self, threads: u32) -> Self {
        self.settings.abandoned_threads_max = threads;
        self
    }

    /// How many finished events are remembered, for how long, and with how many bytes of results, or payloads and error
    /// texts of dead ones, for `status` and `wait`. 1,000 events, 5 min, 8 MiB unless set; none at 0 events.
    pub fn retain(mut self, events: u32, age: Duration, bytes: u64) -> Self {
        self.settings.retention.events_max = events;
        self.settings.retention.age_max = age;
        self.settings.retention.bytes_max = bytes;
        self
    }

    /// Does the work of events that are the same once: the first one's result is the result of all that follow, until it
    /// expires. `by` says which events are the same, and for how long.
    ///
    /// An event leases its key before the handler runs (IDM-04), and the result of the run ends the lease:
    ///
    /// - A **success** is remembered (IDM-08). Further events with the key, and calls, have its result; the handler doesn't run.
    /// - A **failure** frees the key (IDM-07): the next attempt, or another event, runs.
    /// - A **timeout**, a cancellation or a lost worker frees it as soon as the handler's future is dropped. A thread of a
    ///   [`blocking`](Self::blocking) function has it until it ends, and its result counts, late as it is (IDM-13).
    /// - A handler that blocks its arbiter has it until one second after its timeout. Then another event may take it over, and
    ///   the result of the first is refused.
    ///
    /// Meanwhile other events with the key fail as [`InProgress`](crate::FailureKind::InProgress): they are retried when the
    /// key must be free or sooner, after 1 s, 2 s, 4 s … 5 min, which takes nothing from the retry policy (IDM-06). A call has
    /// that failure as its response.
    ///
    /// Keys and results live in memory, shared by all functions of a runtime within
    /// [`Builder::idempotency_max`](crate::Builder::idempotency_max). Effects of a handler that failed
    /// are not undone, nor are those of tasks that it spawned.
    ///
    /// ```
    /// use redrive::{Event, Function, Idempotency, Runtime};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Order {
    ///     id: u64,
    ///     cents: u64,
    /// }
    ///
    /// async fn charge(order: Event<Order>) -> Result<String, std::io::Error> {
    ///     // Twice the same order, one payment.
    ///     Ok(format!("{} cents, paid on request {}", order.cents, order.context().request_id()))
    /// }
    ///
    /// # #[actix::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let by_order = Idempotency::by(|order: &Order| order.id).validate(|order: &Order| order.cents);
    /// let charge = Function::new("charge", charge).idempotent(by_order);
    /// let runtime = Runtime::builder().function(charge).start().await?;
    ///
    /// let first: String = runtime.client().call("charge", Order { id: 7, cents: 999 }).await?;
    /// let again: String = runtime.client().call("charge", Order { id: 7, cents: 999 }).await?;
    /// assert_eq!(first, again);
    /// # Ok(())
    /// # }
    /// ```
    pub fn idempotent(mut self, by: Idempotency) -> Self {
        self.idempotency = Some(by);
        self
    }

    /// Declares that the function was called `name` before, so that it inherits everything in the store under that name:
    /// events that wait, dead letters, deduplication and idempotency keys, and its configuration, unless the
    /// new name has one already. May be called several times, and is needed for as long as anything is left under the old
    /// name: see [`Client::unregistered`](crate::Client::unregistered).
    ///
    /// The old name itself is not registered: invocations of it are refused. A redriven letter and a configured destination
    /// that name it reach this function. A name that is registered, or that another function had, is a fault. With
    /// [`Runtime::add_function`](crate::Runtime::add_function), results under idempotency keys stay with the old name.
    ///
    /// ```
    /// # use redrive::{Event, Function};
    /// # async fn charge(event: Event<u64>) -> Result<(), std::io::Error> { Ok(()) }
    /// let function = Function::new("charge-card", charge).formerly("charge");
    /// ```
    pub fn formerly(mut self, name: impl AsRef<str>) -> Self {
        self.former.push(FunctionName::new(name.as_ref()));
        self
    }

    /// Where the record of every event that succeeds goes. Calls leave no record.
    pub fn on_success(mut self, destination: Destination) -> Self {
        self.on_success = Some(destination);
        self
    }

    /// Where the record of every event that dies goes, beside the dead-letter queue (DLQ-12).
    pub fn on_failure(mut self, destination: Destination) -> Self {
        self.on_failure = Some(destination);
        self
    }

    /// Gives the function a version number besides `$LATEST`, under which it can be invoked too. Old numbers may stay:
    /// this handler runs for every version, and learns from [`Context::version`](crate::Context::version) which
    /// one was asked for.
    pub fn version(mut self, number: u64) -> Self {
        self.versions.get_or_insert_default().publish(number);
        self
    }

    /// Gives a version another name, under which it can be invoked (NAM-14).
    pub fn alias(self, name: impl Into<String>, version: u64) -> Self {
        self.name_version(name.into(), version, None)
    }

    /// As [`alias`](Self::alias), for two versions: of `weight` in 1 invocations, chosen at random, the `second` one is
    /// asked for (NAM-15).
    pub fn weighted_alias(
        self,
        name: impl Into<String>,
        version: u64,
        second: u64,
        weight: f64,
    ) -> Self {
        self.name_version(name.into(), version, Some((second, weight)))
    }

    fn name_version(mut self, name: String, version: u64, second: Option<(u64, f64)>) -> Self {
        self.versions.get_or_insert_default().alias(Alias {
            name,
            version,
            second,
        });
        self
    }

    pub(crate) fn versions(&self) -> &Versions {
        static NONE: Versions = Versions::new();
        self.versions.as_deref().unwrap_or(&NONE)
    }

    /// Returns all faults of its settings at once.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = self.settings.faults(&self.name);
        let former = self.former.iter().filter_map(|former| {
            let problem = match former == &self.name {
                true => Some("is its present name".to_owned()),
                false => former.fault(),
            };
            Some(Fault {
                function: self.name.to_string(),
                field: "formerly",
                problem: format!("`{former}` {}", problem?),
            })
        });
        faults.extend(former);
        let versions = self.versions().faults().into_iter();
        faults.extend(versions.map(|(field, problem)| Fault {
            function: self.name.to_string(),
            field,
            problem,
        }));
        let problem = self.idempotency.as_ref().and_then(Idempotency::fault);
        faults.extend(problem.map(|problem| Fault {
            function: self.name.to_string(),
            field: "idempotent",
            problem,
        }));
        faults
    }

    /// Returns the future that builds a worker's instance. Runs user code.
    pub(crate) fn build(&self) -> LocalBoxFuture<'static, Result<Box<dyn Instance>, Failure>> {
        let building = self.factory.build();
        match &self.idempotency {
            None => building,
            Some(by) => Box::pin(idempotent(building, by.clone())),
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
