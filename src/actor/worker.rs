//! A worker: one execution environment of a function. It pulls events from the mailbox and runs them one at a time; user
//! code runs here and nowhere else, always under `panic::catch`.
//!
//! `attempt.rs` runs one event, `attempt_result.rs` passes the result on, `pace.rs` decides when the worker yields.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::OwnedSemaphorePermit;

use crate::actor::arbiter_pool::Placement;
use crate::actor::attempt::{AttemptResult, AttemptTimer, is_aborted, run_attempt};
use crate::actor::attempt_result::{EndedAttempt, start_log};
use crate::actor::entrance::Entrance;
use crate::actor::pace::{POLLS_MAX, Pace, Polling, polling};
use crate::admission::Admission;
use crate::base::panic;
use crate::base::time::Time;
use crate::event::failure::{Failure, FailureKind};
use crate::function::context::WorkerContext;
use crate::function::crash_loop::Crash;
use crate::function::handler::Instance;
use crate::mailbox::Mailbox;
use crate::mailbox::take::{SucceededRun, Turn};
use crate::mailbox::wake::WorkerMode;
use crate::mailbox::worker_handle::WorkerHandle;
use crate::persistence::crash_marks::CrashMark;
use crate::queue::entry::Taken;
use crate::telemetry;

pub(crate) struct Worker {
    task: Option<WorkerTask>,
}

/// Everything that a worker works with.
pub(crate) struct WorkerTask {
    pub(crate) handle: WorkerHandle,
    pub(crate) admission: Arc<Admission>,
    pub(crate) placement: Arc<Placement>,
}

impl Worker {
    pub(crate) fn new(task: WorkerTask) -> Self {
        Self { task: Some(task) }
    }
}

impl Actor for Worker {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(task) = self.task.take() {
            let (placement, mailbox) = (task.placement.clone(), task.mailbox().clone());
            let serving = watched(placement, mailbox, task.serve());
            ctx.spawn(serving.into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }
}

/// Polls a worker's task under the watch, and reports to the mailbox if a poll held its thread.
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

/// One life of the user's state: from its `init` until it is lost, or the worker goes.
struct Life<'a> {
    instance: &'a mut dyn Instance,
    /// How long `init` took, until the first attempt's log has it.
    init: Option<Duration>,
    timer: AttemptTimer,
    /// If there is a store: where it keeps which event runs.
    crash_mark: Option<CrashMark>,
    /// A success that the worker's next turn settles.
    done: Option<SucceededRun>,
}

impl Life<'_> {
    /// Lets the store know that nothing runs.
    fn clear_crash_mark(&mut self) {
        if let Some(mark) = &mut self.crash_mark {
            mark.rest();
        }
    }

    /// Passes the result of an attempt on. Returns whether the user's state can run another event.
    #[inline]
    fn conclude(&mut self, ended: EndedAttempt<'_>, result: AttemptResult) -> bool {
        let whole = match result {
            // The state came back with the result.
            AttemptResult::Succeeded(result) => {
                self.done = ended.succeeded(result);
                true
            }
            AttemptResult::Failed(failure) => ended.failed(self.instance, failure),
            AttemptResult::Aborted => {
                ended.aborted(self.instance);
                true
            }
        };
        whole && self.instance.is_whole()
    }
}

/// The run was aborted from outside before it began.
struct AbortedEarly;

impl WorkerTask {
    fn mailbox(&self) -> &Arc<Mailbox> {
        self.handle.mailbox()
    }

    fn now(&self) -> Time {
        self.mailbox().clock.now()
    }

    async fn serve(self) {
        poll_fn(|cx| {
            self.handle.set_waker(cx.waker());
            Poll::Ready(())
        })
        .await;
        let mut pace = Pace::new(self.now());
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
            pace.new_state();
            let goes_on = self.live(&mut *instance, init, &mut pace).await;
            let _ = panic::catch(move || drop(instance));
            if !goes_on {
                return;
            }
        }
    }

    /// Runs the user's `init`, within its time, with panics caught.
    async fn build(&self) -> Result<Box<dyn Instance>, Failure> {
        let settings = self.mailbox().settings();
        let init = |failure: Failure| Failure {
            kind: FailureKind::Init,
            ..failure
        };
        let mut building = guarded(|| self.mailbox().function.build()).map_err(init)?;
        let mut timeout = None;
        let built = poll_fn(|cx| {
            match guarded(|| building.as_mut().poll(cx)) {
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
        let dropped = guarded(move || drop(building));
        let built = built.map_err(init)?;
        dropped.map(|()| built).map_err(init)
    }

    /// Runs events until the user's state is lost (`true`: build another) or the worker is to go (`false`).
    async fn live(&self, instance: &mut dyn Instance, init: Duration, pace: &mut Pace) -> bool {
        let mut life = Life {
            instance,
            init: Some(init),
            timer: None,
            crash_mark: self.admission.store.crash_mark(),
            done: None,
        };
        loop {
            let mut now = self.now();
            if pace.must_yield(now) {
                now = self.yield_arbiter(life.done.take(), now).await;
                pace.new_turn(now);
            }
            let mode = pace.mode();
            let (turn, payload) = self.handle.turn(life.done.take(), mode, now);
            drop(payload);
            match turn {
                Turn::Run { taken, run } => {
                    let fast = mode != WorkerMode::Normal;
                    let run = (run, fast, now);
                    if !self.run_event(&mut life, pace, taken, run).await {
                        return true;
                    }
                }
                Turn::Stop => return false,
                Turn::PollAgain => pace.polled(self.poll_for_work(now).await),
                Turn::Idle => {
                    life.clear_crash_mark();
                    sleep_until_woken().await;
                    pace.slept(self.now());
                }
            }
        }
    }

    /// Runs one event that was taken at `now`, in the worker's run of this number. Returns whether the user's state can run
    /// another one.
    async fn run_event(
        &self,
        life: &mut Life<'_>,
        pace: &mut Pace,
        mut taken: Taken,
        (run, fast, now): (u64, bool, Time),
    ) -> bool {
        // A death of the process from here on isn't the doing of an earlier event.
        if taken.suspect {
            life.clear_crash_mark();
        }
        let Ok(alone) = self.wait_to_run_alone(&taken, run).await else {
            self.handle.aborted();
            return true;
        };
        let started = alone.as_ref().map_or(now, |_| self.now());
        pace.run_begins(started);
        if let Some(mark) = &mut life.crash_mark {
            mark.run(&taken, fast, self.mailbox());
        }
        let log = start_log(&self.handle, &self.admission, &taken);
        let (instance, timer) = (&mut *life.instance, &mut life.timer);
        let run = (run, fast, started);
        let (result, waited) = run_attempt(&self.handle, instance, timer, &mut taken, run).await;
        match waited {
            true => pace.waiting_run_ended(self.now()),
            false => pace.run_ended(),
        }
        let ended = EndedAttempt {
            worker: &self.handle,
            admission: &self.admission,
            taken: &taken,
            started,
        };
        if let Some(log) = log {
            ended.report(&log, life.init.take(), &result);
        }
        if alone.is_some() {
            life.clear_crash_mark();
        }
        drop(alone);
        life.conclude(ended, result)
    }

    /// Settles `done`, and lets the other tasks of the arbiter be polled. Returns the time afterwards.
    async fn yield_arbiter(&self, done: Option<SucceededRun>, now: Time) -> Time {
        if let Some(done) = done {
            drop(self.handle.settle(done, now));
        }
        tokio::task::yield_now().await;
        self.now()
    }

    /// Waits, for an event that may have killed the process, until no other such event runs. Returns the permit, or `None`
    /// for the usual event, which needs none.
    async fn wait_to_run_alone(
        &self,
        taken: &Taken,
        run: u64,
    ) -> Result<Option<OwnedSemaphorePermit>, AbortedEarly> {
        if !taken.suspect {
            return Ok(None);
        }
        let mut permit = Box::pin(self.admission.store.suspect_turn());
        poll_fn(|cx| {
            if is_aborted(&self.handle, run) {
                return Poll::Ready(Err(AbortedEarly));
            }
            permit.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Polls for a moment for an event. Returns whether there may be one.
    async fn poll_for_work(&self, since: Time) -> bool {
        for _ in 0..POLLS_MAX {
            yield_now().await;
            if self.handle.may_have_work() {
                return true;
            }
            match polling(self.now().since(since)) {
                Polling::Spin => {}
                Polling::YieldThread => std::thread::yield_now(),
                Polling::Stop => break,
            }
        }
        false
    }
}

/// Runs user code, with its panic caught.
fn guarded<R>(code: impl FnOnce() -> R) -> Result<R, Failure> {
    panic::catch(code).map_err(Failure::from)
}

async fn sleep_until_woken() {
    wait_once(|_| ()).await;
}

/// Lets the other tasks of the arbiter be polled.
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

/// Returns the context of a new worker.
pub(crate) fn worker_context(entrance: &Arc<Entrance>, mailbox: &Mailbox) -> Arc<WorkerContext> {
    Arc::new(WorkerContext {
        function: mailbox.name().clone(),
        clock: mailbox.clock.clone(),
        entrance: entrance.clone(),
        abort: std::sync::atomic::AtomicU64::new(0),
        leases: entrance.admission.leases.clone(),
        threads: mailbox.threads.clone(),
    })
}
