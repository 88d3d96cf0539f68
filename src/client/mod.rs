//! The client: invoke, call, and look in, from any thread.

mod call;
pub(crate) mod dead_letters;
mod functions;
#[cfg(feature = "http")]
mod signatures;

use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::admission::Admission;
#[cfg(feature = "testing")]
use crate::base::clock::Clock;
use crate::base::time::Time;
use crate::base::time::rfc3339;
use crate::error::{CallError, InvokeError, StoreError};
use crate::event::dead_letter::DeadLetter;
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::event::meta::{EventMeta, SharedMeta};
use crate::event::payload::{Payload, PayloadError};
use crate::event::request_id::RequestId;
use crate::event::{InvocationType, Invoke, Options, Receipt};
use crate::function::context::Context;
use crate::mailbox::Mailbox;
use crate::mailbox::snapshot::{EventOutcome, EventSnapshot};
use crate::queue::entry::Phase;
use crate::store::{Health, Known, KnownState};
use crate::telemetry::{Meters, Stats};

pub use call::Call;
pub use functions::{FunctionInfo, Unregistered};

/// A way into the runtime: cheap to clone, `Send + Sync`, usable from any thread and as actix-web's `web::Data`.
///
/// It does not keep the runtime alive: once that is gone, invocations are refused with
/// [`InvokeError::ShuttingDown`] or [`InvokeError::NoSystem`].
#[derive(Clone)]
pub struct Client {
    admission: Arc<Admission>,
    chain: Option<Chain>,
}

/// What a client that comes from a handler's context passes on.
#[derive(Clone)]
struct Chain {
    hops: u8,
    /// Of the event that it is the context of.
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
    /// A client whose invocations are one hop further in this event's chain and carry its trace header, so that a
    /// loop is noticed (REC-01).
    ///
    /// # Panics
    /// Never for a context that a runtime made.
    pub fn client(&self) -> Client {
        let admission = self.worker_context.home.clone().downcast::<Admission>();
        let admission =
            admission.unwrap_or_else(|_| unreachable!("the home of every worker is an admission"));
        let chain = Chain {
            hops: self.hops().saturating_add(1),
            meta: self.meta.clone(),
            request_id: self.request_id,
            accepted: self.accepted,
        };
        Client {
            admission,
            chain: Some(chain),
        }
    }
}

/// What is known of an event.
///
/// Serialises as an object whose `state` is what [`Status::state`] says, beside the fields of the variant; those of the
/// unnamed ones are `letter` and `failure`. Times are RFC 3339, to the millisecond.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// It waits for a worker; of a runtime that has ended: it didn't finish, and the next process that has its store will go
    /// on with it.
    Accepted {
        /// Since when.
        #[serde(serialize_with = "rfc3339")]
        since: SystemTime,
    },
    /// It waits for its time: a delay, or the next attempt.
    Delayed {
        /// Until when.
        #[serde(serialize_with = "rfc3339")]
        until: SystemTime,
        /// How many attempts it has behind it.
        attempts: u32,
        /// How the last one failed.
        failure: Option<Failure>,
    },
    /// It is being run, or its failure is being decided on.
    Running {
        /// The attempt that runs.
        attempt: u32,
        /// Since when.
        #[serde(serialize_with = "rfc3339")]
        since: SystemTime,
    },
    /// It ended well.
    Succeeded {
        /// What the function returned.
        result: Payload,
        /// The attempt that did it.
        attempts: u32,
    },
    /// It will not be tried again.
    Dead(#[serde(serialize_with = "letter")] DeadLetter),
    /// It was a call, and its one attempt failed.
    Failed(#[serde(serialize_with = "failure")] Failure),
    /// The user cancelled it.
    Cancelled,
}

impl Status {
    /// Is it over, one way or another?
    pub fn is_finished(&self) -> bool {
        matches!(
            self,
            Self::Succeeded { .. } | Self::Dead(_) | Self::Failed(_) | Self::Cancelled
        )
    }

    /// The state's name: `accepted`, `delayed`, `running`, `succeeded`, `dead`, `failed` or `cancelled`. It stays the same
    /// from version to version.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Delayed { .. } => "delayed",
            Self::Running { .. } => "running",
            Self::Succeeded { .. } => "succeeded",
            Self::Dead(_) => "dead",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// What the function returned, read as an `R` as [`Client::call`] does. `None` unless the event succeeded; the error
    /// says where the result doesn't fit `R`.
    ///
    /// ```
    /// # use redrive::Status;
    /// fn thumbnail(status: &Status) -> Option<String> {
    ///     status.result()?.ok()
    /// }
    /// ```
    pub fn result<R: DeserializeOwned>(&self) -> Option<Result<R, PayloadError>> {
        match self {
            Self::Succeeded { result, .. } => Some(result.read()),
            _ => None,
        }
    }
}

fn letter<S: Serializer>(letter: &DeadLetter, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Dead<'a> {
        letter: &'a DeadLetter,
    }
    Dead { letter }.serialize(serializer)
}

fn failure<S: Serializer>(failure: &Failure, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Failed<'a> {
        failure: &'a Failure,
    }
    Failed { failure }.serialize(serializer)
}

/// An event of a function, as [`Client::events`] lists it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EventStatus {
    /// Its request id.
    pub request_id: RequestId,
    /// Whether somebody waits for its result.
    pub invocation_type: InvocationType,
    /// When it was accepted.
    #[serde(serialize_with = "rfc3339")]
    pub accepted_at: SystemTime,
    /// Where it is.
    pub status: Status,
    #[serde(skip)]
    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "the HTTP API asks for it")
    )]
    pub(crate) invoked_as: InvokedAs,
}

/// Under which qualifier an event was invoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    not(feature = "http"),
    allow(dead_code, reason = "the HTTP API asks for it")
)]
pub(crate) enum InvokedAs {
    Known(Option<Arc<str>>),
    /// Only the store has the event, and keeps this to itself.
    Unknown,
}

#[cfg(feature = "http")]
impl InvokedAs {
    /// May it have been invoked under this qualifier?
    pub(crate) fn may_be(&self, qualifier: Option<&str>) -> bool {
        match self {
            Self::Known(known) => known.as_deref() == qualifier,
            Self::Unknown => true,
        }
    }
}

/// Who has a request id.
#[cfg(feature = "http")]
pub(crate) struct Holder {
    pub(crate) function: FunctionName,
    /// What the function was called when the event was sent to it, if that is another name.
    pub(crate) formerly: Option<FunctionName>,
    pub(crate) invoked_as: InvokedAs,
    /// Whether somebody waits for the result.
    pub(crate) kind: InvocationType,
}

/// Which events [`Client::events`] lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waiting for a worker.
    Accepted,
    /// Waiting for their time.
    Delayed,
    /// Being run.
    Running,
    /// Finished, and still remembered.
    Finished,
}

impl State {
    fn of(phase: Phase) -> Self {
        match phase {
            Phase::New | Phase::Ready => Self::Accepted,
            Phase::Delayed => Self::Delayed,
            Phase::Running | Phase::Failed => Self::Running,
            Phase::Succeeded | Phase::Dead | Phase::Cancelled => Self::Finished,
        }
    }
}

/// A page of a function's events.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EventPage {
    /// The events, in no particular order. May be empty though there is a next page.
    pub events: Vec<EventStatus>,
    /// Where the next page begins; none if this is the last.
    pub next: Option<u64>,
}

/// Pages from here on are of events that only the store has.
const PARKED: u64 = 1 << 32;

impl Client {
    pub(crate) fn new(admission: Arc<Admission>) -> Self {
        Self {
            admission,
            chain: None,
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn clock(&self) -> &Clock {
        &self.admission.clock
    }

    // --- invocations

    /// Has `function` run with `payload` in the background (AWS's `Event` invocation).
    ///
    /// Answers as soon as the event is kept: at once in memory, when it is durable with a store. Never waits for the
    /// function, and never for room in a full mailbox.
    ///
    /// With a store, dropping the future does not take the event back: it may be kept and run all the same.
    ///
    /// # Errors
    /// When the event is refused; then nothing of it is kept. Each variant says what to do.
    pub async fn invoke<T>(&self, function: &str, payload: T) -> Result<Receipt, InvokeError>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let options = self.chain.as_ref().map(|chain| Box::new(chain.options()));
        self.admission
            .accept(function, Payload::new(payload), options)
            .wait()
            .await
    }

    /// [`invoke`](Self::invoke) with all that can be said of one event.
    ///
    /// # Errors
    /// As for `invoke`.
    pub async fn send(&self, invoke: Invoke) -> Result<Receipt, InvokeError> {
        let invoke = self.chained(invoke);
        self.admission
            .accept(&invoke.function, invoke.payload, invoke.options)
            .wait()
            .await
    }

    /// Has `function` run once for each of `payloads`: accepts all of them or none. The receipts are in the order of the
    /// payloads. Waits as [`invoke`](Self::invoke) does.
    ///
    /// # Errors
    /// The first refusal; then none is kept.
    pub async fn invoke_batch<T>(
        &self,
        function: &str,
        payloads: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Receipt>, InvokeError>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let events = payloads
            .into_iter()
            .map(|payload| self.chained(Invoke::event("", payload)))
            .collect();
        self.admission.accept_batch(function, events).await
    }

    /// Runs `function` and waits for its result (AWS's `RequestResponse` invocation). It isn't retried and no dead letter
    /// comes of it. Dropping the future cancels the call.
    ///
    /// A call runs before the events that wait for the function, but of four runs that begin while both wait one is an
    /// event's, so that callers can't keep events waiting for ever.
    ///
    /// # Errors
    /// When it is refused, fails, is cancelled, or returns something other than an `R`.
    pub async fn call<R: DeserializeOwned>(
        &self,
        function: &str,
        payload: impl Serialize + Send + Sync + 'static,
    ) -> Result<R, CallError> {
        self.call_with(Invoke::event(function.to_owned(), payload))
            .await
    }

    /// [`call`](Self::call) with all that can be said of one invocation; a retry policy is ignored.
    ///
    /// # Errors
    /// As for `call`.
    pub async fn call_with<R: DeserializeOwned>(&self, invoke: Invoke) -> Result<R, CallError> {
        self.begin_call(invoke)?.result().await
    }

    /// As [`call_with`](Self::call_with), in two steps: answers as soon as the call is accepted, so that its request id is
    /// known while it runs.
    ///
    /// # Errors
    /// When it is refused.
    pub fn begin_call(&self, invoke: Invoke) -> Result<Call, InvokeError> {
        let invoke = self.chained(invoke);
        let function = invoke.function.clone();
        let calling = self.admission.accept_call(invoke)?;
        Ok(Call::new(self.clone(), function, calling))
    }

    /// Says whether an event would be accepted now, and keeps nothing. Doesn't wait, doesn't ask the store, and promises
    /// nothing for the next moment.
    ///
    /// # Errors
    /// The refusal that the event would meet.
    pub fn dry_run(&self, invoke: Invoke) -> Result<(), InvokeError> {
        self.admission.dry_run(self.chained(invoke))
    }

    /// Says whether anything of a call is faulty (INV-15): not whether there is room for it now.
    #[cfg(feature = "http")]
    pub(crate) fn dry_call(&self, invoke: Invoke) -> Result<(), InvokeError> {
        self.admission.dry_call(self.chained(invoke))
    }

    fn chained(&self, invoke: Invoke) -> Invoke {
        let Some(chain) = &self.chain else {
            return invoke;
        };
        invoke.option(|options| {
            let meta = &mut options.meta;
            meta.hops = meta.hops.max(chain.hops);
            // A caller that names a trace of its own has left this one.
            if meta.trace_header.is_none() && meta.traceparent.is_none() {
                let inherited = chain.meta();
                meta.trace_header = inherited.trace_header;
                meta.traceparent = inherited.traceparent;
            }
        })
    }

    // --- events

    /// What is known of an event: always while it is pending, for a bounded time and number once it has finished
    /// ([`Function::retain`](crate::Function::retain)).
    ///
    /// Answers at once of what is in memory, and reads what is only in the store.
    pub async fn status(&self, id: RequestId) -> Option<Status> {
        self.status_of(id, None).await
    }

    /// As `status`, unless the event is of another function than `function`, if one is given.
    pub(crate) async fn status_of(
        &self,
        id: RequestId,
        function: Option<&FunctionName>,
    ) -> Option<Status> {
        if let Some(mailbox) = self.locate_of(id, function)
            && let Some(view) = mailbox.inspect().snapshot(id)
        {
            return Some(status(&mailbox, &view));
        }
        if !self.is_stored_of(id, function) {
            return None;
        }
        let (_, status) = self.stored_status(self.admission.store.look(id).await?);
        Some(status)
    }

    /// The mailbox that has an event, if it is that of `function` or of any.
    fn locate_of(&self, id: RequestId, function: Option<&FunctionName>) -> Option<Arc<Mailbox>> {
        let mailbox = self.admission.locate(id)?;
        let is_own = function.is_none_or(|function| function == mailbox.name());
        is_own.then_some(mailbox)
    }

    /// Does the store have the event, of `function` or of any?
    fn is_stored_of(&self, id: RequestId, function: Option<&FunctionName>) -> bool {
        function
            .is_none_or(|function| self.admission.stored_function(id).as_ref() == Some(function))
    }

    /// Whose a request id is. `None` as long as nothing is kept under it.
    #[cfg(feature = "http")]
    pub(crate) async fn holder(&self, id: RequestId) -> Option<Holder> {
        if let Some(mailbox) = self.admission.locate(id)
            && let Some(view) = mailbox.inspect().snapshot(id)
        {
            return Some(Holder {
                function: mailbox.name().clone(),
                formerly: None,
                invoked_as: InvokedAs::Known(view.qualifier),
                kind: view.kind,
            });
        }
        let function = self.admission.stored_function(id)?;
        let (sent_to, invoked_as) = match self.admission.store.look(id).await?.state {
            KnownState::Dead(letter) => (
                letter.function.clone(),
                InvokedAs::Known(letter.qualifier.clone()),
            ),
            _ => (function.clone(), InvokedAs::Unknown),
        };
        Some(Holder {
            formerly: (sent_to != function).then_some(sent_to),
            function,
            invoked_as,
            // Calls are not stored.
            kind: InvocationType::Event,
        })
    }

    /// When an event was accepted, as long as that is known.
    #[cfg(feature = "http")]
    pub(crate) async fn accepted_at(&self, id: RequestId) -> Option<SystemTime> {
        if let Some(mailbox) = self.admission.locate(id)
            && let Some(view) = mailbox.inspect().snapshot(id)
        {
            return Some(view.accepted.stored());
        }
        Some(self.admission.store.look(id).await?.accepted_at)
    }

    /// Waits until an event is over, through all its retries: with AWS's defaults that can take minutes, with throttles
    /// hours. Answers at once if it has finished and is remembered.
    ///
    /// `None` if nothing is known of the event (an unknown id, or one that finished too long ago), or if the runtime goes
    /// away first. Dropping the future changes nothing for the event.
    pub async fn wait(&self, id: RequestId) -> Option<Status> {
        self.wait_of(id, None).await
    }

    /// As `wait`, unless the event is of another function than `function`, if one is given.
    pub(crate) async fn wait_of(
        &self,
        id: RequestId,
        function: Option<&FunctionName>,
    ) -> Option<Status> {
        let Some(mailbox) = self.locate_of(id, function) else {
            return self.wait_stored(id, function).await;
        };
        let attempts = mailbox
            .inspect()
            .snapshot(id)
            .map_or(0, |view| view.attempt);
        let end = mailbox.inspect().watch(id, false)?.await.ok()?;
        Some(ended(&mailbox, id, end, attempts))
    }

    /// As `wait_of`, for an event that only the store knows.
    async fn wait_stored(&self, id: RequestId, function: Option<&FunctionName>) -> Option<Status> {
        let mailbox = self.admission.stored_mailbox(id);
        let mailbox =
            mailbox.filter(|mailbox| function.is_none_or(|function| function == mailbox.name()));
        let end = mailbox
            .as_ref()
            .and_then(|mailbox| mailbox.inspect().watch(id, true));
        // Asked after the watch began: it may have ended before.
        let now = self.status_of(id, function).await?;
        match (now.is_finished(), mailbox.zip(end)) {
            (true, _) => Some(now),
            (false, Some((mailbox, end))) => Some(ended(&mailbox, id, end.await.ok()?, 0)),
            (false, None) => None,
        }
    }

    /// Waits until all that has happened is as durable as the store makes it: cancellations, purges and results are
    /// otherwise written soon after, and a crash before may undo them. At once without a store.
    ///
    /// # Errors
    /// When the store can't keep it: on a full disk it tries again by itself.
    pub async fn sync(&self) -> Result<(), StoreError> {
        self.admission.store.sync().await
    }

    /// Ends a pending event: it never runs again, and a run that is under way is stopped at its next await point, its result
    /// refused. Answers whether there was one to end.
    ///
    /// Waits for nothing unless the event is only in the store; see [`sync`](Self::sync) for when it is durable.
    ///
    /// `true` is kept by a shutdown too: no later process runs the event. `false` for a pending event means that the
    /// cancellation is not kept and the next process may run it: the runtime has ended ([`is_open`](Self::is_open) is false
    /// then), or the store refused it ([`store_health`](Self::store_health)), and only this process doesn't run it.
    pub async fn cancel(&self, id: RequestId) -> bool {
        self.cancel_of(id, None).await
    }

    /// As `cancel`, unless the event is of another function than `function`, if one is given.
    pub(crate) async fn cancel_of(&self, id: RequestId, function: Option<&FunctionName>) -> bool {
        match self.admission.locate(id) {
            Some(mailbox) if function.is_some_and(|function| function != mailbox.name()) => false,
            Some(mailbox) => self.cancel_here(&mailbox, id),
            None => self.is_stored_of(id, function) && self.admission.cancel_in_overflow(id).await,
        }
    }

    fn cancel_here(&self, mailbox: &Mailbox, id: RequestId) -> bool {
        self.admission.cancel_in_mailbox(mailbox, id)
    }

    /// An event as the store knows it: when it was accepted, and where it is.
    fn stored_status(&self, known: Known) -> (SystemTime, Status) {
        let clock = &self.admission.clock;
        let wall = |time| clock.wall(Time::of(time));
        let status = match known.state {
            KnownState::Pending {
                due_at,
                attempts,
                attempt,
            } if Time::of(due_at) > clock.now() => Status::Delayed {
                until: wall(due_at),
                attempts,
                failure: attempt.map(|attempt| attempt.failure),
            },
            KnownState::Pending { due_at, .. } => Status::Accepted {
                since: wall(due_at),
            },
            KnownState::Succeeded { result, attempt } => Status::Succeeded {
                result,
                attempts: attempt,
            },
            KnownState::Dead(letter) => Status::Dead(letter.traced()),
            KnownState::Cancelled => Status::Cancelled,
        };
        (wall(known.accepted_at), status)
    }

    /// A page of a function's events in one state, from `cursor` (0 is the beginning), with at most `limit` of them (a
    /// limit of 0 counts as 1: such a page would be followed by others like it without end). `None` if the function is unknown.
    ///
    /// A page is a glance at a mailbox that goes on: an event that changes its state between two pages may be in both or
    /// in neither.
    pub async fn events(
        &self,
        function: &str,
        state: State,
        cursor: u64,
        limit: usize,
    ) -> Option<EventPage> {
        let mailbox = self.admission.registry.named(function)?;
        let limit = limit.max(1);
        let waits = matches!(state, State::Accepted | State::Delayed);
        let Ok(slot) = u32::try_from(cursor) else {
            let after = cursor - PARKED;
            return Some(self.parked(&mailbox, state, after, limit).await);
        };
        let (views, next) = mailbox
            .inspect()
            .list(slot, limit, |view| State::of(view.phase) == state);
        let events = views.iter().map(|view| EventStatus {
            request_id: view.id,
            invocation_type: view.kind,
            accepted_at: mailbox.clock.wall(view.accepted),
            status: status(&mailbox, view),
            invoked_as: InvokedAs::Known(view.qualifier.clone()),
        });
        let parked = (waits && mailbox.storage().has_overflow()).then_some(PARKED);
        Some(EventPage {
            events: events.collect(),
            next: next.map(u64::from).or(parked),
        })
    }

    async fn parked(&self, mailbox: &Mailbox, state: State, after: u64, limit: usize) -> EventPage {
        let page = self.admission.store.overflow(mailbox, after, limit).await;
        let events = page.events.into_iter().map(|known| {
            let request_id = known.request_id;
            let (accepted_at, status) = self.stored_status(known);
            EventStatus {
                request_id,
                invocation_type: InvocationType::Event,
                accepted_at,
                status,
                invoked_as: InvokedAs::Unknown,
            }
        });
        let delayed = |status: &Status| matches!(status, Status::Delayed { .. });
        EventPage {
            events: events
                .filter(|event| delayed(&event.status) == (state == State::Delayed))
                .collect(),
            next: page.next.map(|next| next + PARKED),
        }
    }

    // --- the runtime

    /// Are invocations taken? They aren't once the runtime is being shut down, or is gone.
    pub fn is_open(&self) -> bool {
        self.admission.door.check().is_ok()
    }

    /// How the store fares: whether it takes events, has no room, or has failed and says why. `None` where events live in
    /// memory. Doesn't wait.
    pub fn store_health(&self) -> Option<Health> {
        self.admission.store.health()
    }

    /// The whole runtime's figures, of the functions that are registered now. The ledger `events` counts as pending, and as
    /// accepted, what waits in the store for functions that aren't, too.
    pub fn stats(&self) -> Stats {
        let mut meters = Meters::default();
        let mut total = Stats::default();
        for mailbox in self.admission.registry.all() {
            let one = mailbox.inspect().stats(&mut meters);
            total.events += one.events;
            total.calls += one.calls;
            total.workers += one.workers;
            total.paused += one.paused;
            total.abandoned_threads += one.abandoned_threads;
            total.oldest_age = total.oldest_age.max(one.oldest_age);
        }
        let unregistered = self.admission.unregistered();
        let unregistered: u64 = unregistered.iter().map(|(_, events)| events).sum();
        total.events.accepted += unregistered;
        total.events.inherited += unregistered;
        total.events.unregistered += unregistered;
        let Stats {
            workers,
            paused,
            abandoned_threads,
            oldest_age,
            events,
            calls,
            ..
        } = total;
        Stats {
            workers,
            paused,
            abandoned_threads,
            oldest_age,
            ..Stats::new(&meters, events, calls)
        }
    }

    /// One function's figures; its events by state are in `events`. `None` if it is unknown.
    pub fn function_stats(&self, function: &str) -> Option<Stats> {
        Some(
            self.admission
                .registry
                .named(function)?
                .inspect()
                .stats(&mut Meters::default()),
        )
    }
}

impl Chain {
    fn options(&self) -> Options {
        Options {
            meta: self.meta(),
            ..Options::default()
        }
    }

    /// Returns the fields that an event of this chain inherits.
    fn meta(&self) -> EventMeta {
        let mut meta = self.meta.traces();
        meta.begin_trace(self.request_id, self.accepted);
        meta.hops = self.hops;
        meta
    }
}

fn ended(mailbox: &Mailbox, id: RequestId, end: EventOutcome, attempts: u32) -> Status {
    match end {
        EventOutcome::Succeeded(result) => Status::Succeeded {
            result: result.unwrap_or_else(Payload::null),
            attempts: mailbox
                .inspect()
                .snapshot(id)
                .map_or(attempts, |view| view.attempt),
        },
        EventOutcome::Dead(letter) => Status::Dead(letter),
        EventOutcome::Failed(failure) => Status::Failed(failure),
        EventOutcome::Cancelled => Status::Cancelled,
    }
}

fn status(mailbox: &Mailbox, view: &EventSnapshot) -> Status {
    let wall = |time| mailbox.clock.wall(time);
    match view.phase {
        Phase::New | Phase::Ready => Status::Accepted {
            since: wall(view.at),
        },
        Phase::Delayed => Status::Delayed {
            until: wall(view.at),
            attempts: view.attempt,
            failure: view.failure.clone(),
        },
        Phase::Running | Phase::Failed => Status::Running {
            attempt: view.attempt,
            since: wall(view.at),
        },
        Phase::Succeeded => Status::Succeeded {
            result: view.result.clone().unwrap_or_else(Payload::null),
            attempts: view.attempt,
        },
        Phase::Cancelled => Status::Cancelled,
        Phase::Dead => match (&view.letter, &view.failure) {
            (Some(letter), _) => Status::Dead(letter.clone()),
            (None, failure) => Status::Failed(failure.clone().unwrap_or_else(Failure::worker_lost)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Event, Function, Runtime};

    /// By the time that something is done with an event, its id may be another function's.
    #[actix::test]
    async fn what_is_asked_of_a_functions_event_is_not_done_with_anothers() {
        let echo = |event: Event<u32>| async move { Ok::<_, String>(*event) };
        let builder = Runtime::builder().function(Function::new("f", echo));
        let runtime = builder.start().await.unwrap();
        let client = runtime.client();
        client.pause("f");
        let id = client.invoke("f", 1_u32).await.unwrap().request_id;
        let (own, other) = (FunctionName::new("f"), FunctionName::new("g"));
        assert!(client.status_of(id, Some(&other)).await.is_none());
        assert!(client.wait_of(id, Some(&other)).await.is_none());
        assert!(!client.cancel_of(id, Some(&other)).await);
        let status = client.status_of(id, Some(&own)).await;
        assert!(matches!(status, Some(Status::Accepted { .. })));
        assert!(client.cancel_of(id, Some(&own)).await);
        let over = client.wait_of(id, Some(&own)).await;
        assert!(matches!(over, Some(Status::Cancelled)));
        let _ = runtime.shutdown(Duration::from_secs(5)).await;
    }
}
