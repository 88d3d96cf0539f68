//! A worker: one execution environment of a function. It pulls events from the mailbox and runs them one
//! at a time; user code runs here and nowhere else, always under `panic::catch`.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tracing::Span;

use crate::actor::arbiter_pool::Placement;
use crate::actor::delivery;
use crate::admission::Admission;
use crate::admission::destinations::DestinationKind;
use crate::base::panic;
use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::failure::{Failure, FailureKind};
use crate::event::payload::Payload;
use crate::function::context::{Context, WorkerContext};
use crate::function::crash_loop::Crash;
use crate::function::destination::{Destination, InvocationRecord};
use crate::function::handler::Instance;
use crate::mailbox::Mailbox;
use crate::mailbox::supervisor_message::FailedAttempt;
use crate::mailbox::take::{SucceededRun, Turn};
use crate::mailbox::wake::WorkerMode;
use crate::mailbox::worker_handle::WorkerHandle;
use crate::queue::entry::{Taken, Ticket};
use crate::store::Settlement;
use crate::telemetry;
use crate::telemetry::logs::{LogOwner, Logs, Report};

/// How long a worker goes on before it lets the others on its arbiter have a turn, and after how many events at most.
const TURN_MAX: Duration = Duration::from_micros(200);
const ROW_MAX: u32 = 256;

/// Quick events in a row after which a worker is brisk, and lingers when it finds no more: so many mean that the next is
/// near.
const BRISK_ROW: u32 = 16;
/// Longest run that counts as quick; one that waits for something never does.
const QUICK: Duration = Duration::from_micros(20);
/// How long a brisk worker lingers.
const LINGER: Duration = Duration::from_micros(50);
/// For how long of that it doesn't let go of its processor: as a rule others have use for it.
const SPIN: Duration = Duration::from_micros(5);
/// How often it asks meanwhile: a virtual clock stands still as long as anybody has something to do.
const LINGER_LOOKS: u32 = 1_000;

pub(crate) struct Worker {
    shift: Option<Shift>,
}

/// All that a worker works with.
pub(crate) struct Shift {
    pub(crate) seat: WorkerHandle,
    pub(crate) admission: Arc<Admission>,
    pub(crate) placement: Arc<Placement>,
}

impl Worker {
    pub(crate) fn new(shift: Shift) -> Self {
        Self { shift: Some(shift) }
    }
}

impl Actor for Worker {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(shift) = self.shift.take() {
            let (placement, mailbox) = (shift.placement.clone(), shift.mailbox().clone());
            let serving = watched(placement, mailbox, shift.serve());
            ctx.spawn(serving.into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }
}

/// Polls a worker's task under the watch, and notes if it holds its thread.
async fn watched(placement: Arc<Placement>, mailbox: Arc<Mailbox>, task: impl Future<Output = ()>) {
    let mut task = pin!(task);
    poll_fn(|cx| {
        let (polled, held) = placement.watched(mailbox.number, || task.as_mut().poll(cx));
        if let Some(held) = held {
            mailbox
                .health()
                .thread_held(held.time, held.crowded, held.shared, mailbox.clock.now());
        }
        polled
    })
    .await;
}

/// A worker's turn at its arbiter: how long it has gone on, and with how many events.
struct ArbiterTurn {
    began: Time,
    runs: u32,
}

impl ArbiterTurn {
    fn begin(now: Time) -> Self {
        Self {
            began: now,
            runs: 0,
        }
    }

    fn is_over(&self, now: Time) -> bool {
        self.runs >= ROW_MAX || now.since(self.began) >= TURN_MAX
    }
}

/// How a run ended.
enum Ran {
    Well(Option<Payload>),
    Badly(Failure),
    /// Given up from outside: it was cancelled, or the runtime stops.
    Aborted,
}

/// The run was given up from outside before it began.
struct Aborted;

impl Shift {
    fn mailbox(&self) -> &Arc<Mailbox> {
        self.seat.mailbox()
    }

    fn now(&self) -> Time {
        self.mailbox().clock.now()
    }

    async fn serve(self) {
        poll_fn(|cx| {
            self.seat.set_waker(cx.waker());
            Poll::Ready(())
        })
        .await;
        let mut arbiter_turn = ArbiterTurn::begin(self.now());
        // Each round of this loop is one life of the user's state.
        loop {
            let building = self.now();
            let mut instance = match self.build().await {
                Ok(instance) => instance,
                Err(failure) => {
                    telemetry::init_failed(self.mailbox().name(), &failure);
                    self.mailbox()
                        .health()
                        .crashed(Crash::Init, &failure, self.now());
                    return;
                }
            };
            let init = self.now().since(building);
            let alive = self.live(&mut *instance, init, &mut arbiter_turn).await;
            let _ = self.guarded(move || drop(instance));
            if !alive {
                return;
            }
        }
    }

    /// Runs the user's `init`, within its time and caught.
    async fn build(&self) -> Result<Box<dyn Instance>, Failure> {
        let settings = self.mailbox().settings();
        let init = |failure: Failure| Failure {
            kind: FailureKind::Init,
            ..failure
        };
        let mut building = self
            .guarded(|| self.mailbox().function.build())
            .map_err(init)?;
        let mut timeout = None;
        let built = poll_fn(|cx| {
            match self.guarded(|| building.as_mut().poll(cx)) {
                Err(panic) => return Poll::Ready(Err(panic)),
                Ok(Poll::Ready(built)) => return Poll::Ready(built),
                Ok(Poll::Pending) => {}
            }
            let timeout =
                timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep(settings.init_timeout)));
            timeout
                .as_mut()
                .poll(cx)
                .map(|()| Err(Failure::timeout(settings.init_timeout)))
        })
        .await;
        let dropped = self.guarded(move || drop(building));
        let built = built.map_err(init)?;
        dropped.map(|()| built).map_err(init)
    }

    /// Runs events until the state is lost (`true`: build another) or the worker is to go (`false`).
    async fn live(
        &self,
        instance: &mut dyn Instance,
        init: Duration,
        arbiter_turn: &mut ArbiterTurn,
    ) -> bool {
        let mut done = None;
        let mut init = Some(init);
        let mut timer = None;
        let mut lane = self.admission.store.crash_mark();
        // Of the last runs, how many in a row were quick; when the last one began; whether it lingered since.
        let (mut quick, mut began, mut lingered) = (0_u32, None, false);
        loop {
            let mut now = self.now();
            if began.take().is_some_and(|began| now.since(began) > QUICK) {
                quick = 0;
            }
            if arbiter_turn.is_over(now) {
                now = self.give_way(done.take(), now).await;
                *arbiter_turn = ArbiterTurn::begin(now);
            }
            let pace = match (quick >= BRISK_ROW, lingered) {
                (false, _) => WorkerMode::Normal,
                (true, false) => WorkerMode::FastPolling,
                (true, true) => WorkerMode::Fast,
            };
            let (turn, payload) = self.seat.turn(done.take(), pace, now);
            drop(payload);
            let (mut taken, run) = match turn {
                Turn::Run { taken, run } => (taken, run),
                Turn::Stop => return false,
                Turn::PollAgain => {
                    lingered = !self.linger(now).await;
                    continue;
                }
                Turn::Idle => {
                    if let Some(lane) = &mut lane {
                        lane.rest();
                    }
                    (quick, lingered) = (0, false);
                    pause().await;
                    *arbiter_turn = ArbiterTurn::begin(self.now());
                    continue;
                }
            };
            // Whatever kills the process from here on, it isn't what this worker ran before.
            if let Some(lane) = lane.as_mut().filter(|_| taken.suspect) {
                lane.rest();
            }
            let Ok(alone) = self.alone(&taken, run).await else {
                self.seat.aborted();
                continue;
            };
            let now = alone.as_ref().map_or(now, |_| self.now());
            (began, lingered) = (Some(now), false);
            let brisk = pace != WorkerMode::Normal;
            if let Some(lane) = &mut lane {
                lane.run(&taken, brisk, self.mailbox());
            }
            let log = self.admission.logs.get().map(|logs| {
                let Ticket { id, attempt, .. } = taken.ticket;
                let owner = LogOwner::new(self.mailbox().name().clone(), id);
                logs.start(&owner, attempt, taken.meta.version.as_ref());
                (logs, owner)
            });
            let (ran, waited) = self
                .run(instance, &mut taken, run, brisk, now, &mut timer)
                .await;
            arbiter_turn.runs += 1;
            if waited {
                *arbiter_turn = ArbiterTurn::begin(self.now());
            }
            if let Some((logs, owner)) = log {
                self.report(logs, &owner, now, init.take(), &ran);
            }
            if let Some(lane) = lane.as_mut().filter(|_| alone.is_some()) {
                lane.rest();
            }
            drop(alone);
            // After a success it is whole: the state came back with the result.
            let whole = match ran {
                Ran::Well(result) => {
                    done = self.succeeded(&taken, now, result);
                    true
                }
                Ran::Badly(failure) => self.failed(instance, &taken, now, failure),
                Ran::Aborted => self.aborted(instance),
            };
            if !whole || !instance.is_whole() {
                return true;
            }
            quick = if waited { 0 } else { quick.saturating_add(1) };
        }
    }

    /// Lets the others on the arbiter have a turn, after what was done is settled. Returns the time afterwards.
    async fn give_way(&self, done: Option<SucceededRun>, now: Time) -> Time {
        if let Some(done) = done {
            drop(self.seat.settle(done, now));
        }
        tokio::task::yield_now().await;
        self.now()
    }

    /// Hands on the failure of a run that began at `started`. Returns whether the state is whole.
    #[cold]
    fn failed(
        &self,
        instance: &mut dyn Instance,
        taken: &Taken,
        started: Time,
        failure: Failure,
    ) -> bool {
        let _ = self.guarded(|| instance.end()); // the failure that came first counts
        let panicked = failure.kind == FailureKind::Panic;
        self.seat.failed(FailedAttempt {
            ticket: taken.ticket,
            failure,
            started,
            ended: self.now(),
            logged: true,
        });
        !panicked
    }

    /// Gives a run up that was aborted from outside. Returns whether the state is whole.
    #[cold]
    fn aborted(&self, instance: &mut dyn Instance) -> bool {
        let _ = self.guarded(|| instance.end()); // nobody waits for it
        self.seat.aborted();
        true
    }

    /// What AWS's REPORT line says of the attempt that began at `started`.
    fn report(
        &self,
        logs: &Logs,
        owner: &LogOwner,
        started: Time,
        init: Option<Duration>,
        ran: &Ran,
    ) {
        let now = self.now();
        let failure = match ran {
            Ran::Badly(failure) => Some(failure),
            Ran::Well(_) | Ran::Aborted => None,
        };
        let report = Report {
            duration: now.since(started),
            init,
            failure,
            now: self.mailbox().clock.wall(now),
        };
        logs.end(owner, &report);
    }

    /// One attempt. A timer is set only if the handler waits for something.
    async fn run(
        &self,
        instance: &mut dyn Instance,
        taken: &mut Taken,
        run: u64,
        brisk: bool,
        now: Time,
        timer: &mut Option<Pin<Box<Sleep>>>,
    ) -> (Ran, bool) {
        let mailbox = self.mailbox();
        let timeout = mailbox.live_settings.timeout();
        let deadline = now.after(timeout);
        let mut payload = taken.payload.take();
        let taken = &*taken;
        let span = telemetry::attempt_span(
            mailbox.name(),
            taken.ticket.id,
            taken.ticket.attempt,
            &taken.meta,
            taken.accepted,
        );
        let mut begun = false;
        let mut waiting = false;
        let ran = poll_fn(|cx| {
            if begun && self.is_aborted(run) {
                return Poll::Ready(Ran::Aborted);
            }
            let polled = self.guarded(|| {
                in_span(&span, || {
                    begun = true;
                    if let Some(payload) = payload.take()
                        && let Err(failure) = instance.begin(payload, self.context(taken, deadline))
                    {
                        return Poll::Ready(Err(failure));
                    }
                    instance.poll(cx)
                })
            });
            match polled {
                Ok(Poll::Ready(Ok(result))) => return Poll::Ready(Ran::Well(result)),
                Ok(Poll::Ready(Err(failure))) | Err(failure) => {
                    return Poll::Ready(Ran::Badly(failure));
                }
                Ok(Poll::Pending) => {}
            }
            let instant = mailbox.clock.instant(deadline);
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(instant)));
            if !std::mem::replace(&mut waiting, true) {
                timer.as_mut().reset(instant);
                if brisk {
                    self.seat.report_slow();
                }
            }
            timer
                .as_mut()
                .poll(cx)
                .map(|()| Ran::Badly(Failure::timeout(timeout)))
        })
        .await;
        (ran, waiting)
    }

    /// An event that may have killed the process waits until no other such event runs; or is given up meanwhile.
    async fn alone(
        &self,
        taken: &Taken,
        run: u64,
    ) -> Result<Option<OwnedSemaphorePermit>, Aborted> {
        if !taken.suspect {
            return Ok(None);
        }
        let mut turn = Box::pin(self.admission.store.suspect_turn());
        poll_fn(|cx| {
            if self.is_aborted(run) {
                return Poll::Ready(Err(Aborted));
            }
            turn.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    fn is_aborted(&self, run: u64) -> bool {
        self.seat.worker_context().abort.load(Ordering::Acquire) == run
    }

    /// Waits for something to come, for a moment. Answers whether something did.
    async fn linger(&self, since: Time) -> bool {
        for _ in 0..LINGER_LOOKS {
            yield_now().await;
            if self.seat.may_have_work() {
                return true;
            }
            let lingered = self.now().since(since);
            if lingered >= LINGER {
                break;
            }
            if lingered >= SPIN {
                std::thread::yield_now();
            }
        }
        false
    }

    fn context(&self, taken: &Taken, deadline: Time) -> Context {
        Context {
            request_id: taken.ticket.id,
            attempt: taken.ticket.attempt,
            accepted: taken.accepted,
            deadline,
            meta: taken.meta.clone(),
            worker_context: self.seat.worker_context().clone(),
            lease: None,
        }
    }

    /// Where somebody else must hear of a success, it is settled first: a superseded one is nobody's business.
    /// Otherwise it is given back, to be settled with the next turn.
    fn succeeded(
        &self,
        taken: &Taken,
        started: Time,
        result: Option<Payload>,
    ) -> Option<SucceededRun> {
        let done = SucceededRun {
            ticket: taken.ticket,
            first_due: taken.first_due,
            started,
            result,
        };
        let mailbox = self.mailbox();
        let destination =
            self.admission
                .destination_of(mailbox, &taken.meta, DestinationKind::OnSuccess);
        let silent = destination.is_none() && !taken.ticket.stored;
        if silent || taken.kind != InvocationType::Event {
            return Some(done);
        }
        let (id, result, now) = (taken.ticket.id, done.result.clone(), self.now());
        let payload = self.seat.settle(done, now)?;
        self.admission
            .store
            .settle(mailbox, taken.ticket, || Settlement::Succeeded {
                result: result.clone(),
                attempt: taken.ticket.attempt,
                accepted_at: taken.accepted.stored(),
            });
        match destination {
            None => {}
            Some(Err(arn)) => delivery::unreachable(mailbox, id, arn),
            Some(Ok(destination)) => {
                let arn = self
                    .admission
                    .identity
                    .qualified_arn(mailbox.name(), taken.meta.qualifier.as_deref());
                let record = InvocationRecord::success(
                    arn,
                    (id, taken.ticket.attempt),
                    taken.meta.version.clone(),
                    payload,
                    result,
                    mailbox.clock.wall(now),
                );
                self.deliver(taken, &destination, record);
            }
        }
        None
    }

    fn deliver(&self, taken: &Taken, destination: &Destination, record: InvocationRecord) {
        let mut traces = taken.meta.traces();
        traces.begin_trace(taken.ticket.id, taken.accepted);
        let ancestor = delivery::Ancestor {
            request_id: taken.ticket.id,
            hops: taken.meta.hops,
            traces,
        };
        let run = |closure: Box<dyn FnOnce() + Send>| {
            let _ = self.guarded(closure);
        };
        let (admission, mailbox) = (&self.admission, self.mailbox());
        delivery::deliver(admission, mailbox, destination, record, ancestor, run);
    }

    /// Runs user code, with its panic caught.
    fn guarded<R>(&self, code: impl FnOnce() -> R) -> Result<R, Failure> {
        panic::catch(code).map_err(Failure::from)
    }
}

/// Most of the time nobody listens: then entering a span is not worth its call.
fn in_span<R>(span: &Span, code: impl FnOnce() -> R) -> R {
    if span.is_disabled() {
        code()
    } else {
        span.in_scope(code)
    }
}

/// Waits for somebody to wake the worker.
async fn pause() {
    wait_once(|_| ()).await;
}

/// Lets the other tasks of the arbiter have a turn.
async fn yield_now() {
    wait_once(|cx| cx.waker().wake_by_ref()).await;
}

async fn wait_once(before: impl Fn(&mut TaskContext<'_>)) {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        before(cx);
        Poll::Pending
    })
    .await;
}

/// The worker_context of a new worker.
pub(crate) fn worker_context(admission: &Arc<Admission>, mailbox: &Mailbox) -> Arc<WorkerContext> {
    Arc::new(WorkerContext {
        function: mailbox.name().clone(),
        clock: mailbox.clock.clone(),
        home: admission.clone(),
        abort: std::sync::atomic::AtomicU64::new(0),
        leases: admission.leases.clone(),
        threads: mailbox.threads.clone(),
    })
}
