//! The supervisor: the actor that owns a function's life. It starts workers on demand, gets every failure, and sends events
//! without further retries to the dead-letter queue. It carries decisions out; they are made in pure files
//! (`function/retry_decision.rs`, `function/crash_loop.rs`) and under the mailbox's lock.
//!
//! All functions' supervisors share an arbiter, so each message does bounded work (`work_budget.rs`): many dead letters and many
//! new workers come in pieces.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::task::JoinHandle;

use crate::actor::arbiter_pool::{Home, Placement, Pool};
use crate::actor::dead_letters::DeadLetterQueue;
use crate::actor::delivery;
use crate::actor::entrance::Entrance;
use crate::actor::lost_actor::LossGuard;
use crate::actor::message::{Bury, Removed};
use crate::actor::work_budget::WorkBudget;
use crate::actor::worker::{Worker, WorkerTask, worker_context};
use crate::admission::Admission;
use crate::admission::destinations::DestinationKind;
use crate::base::time::Time;
use crate::event::dead_letter::DeadLetter;
use crate::event::failure::Failure;
use crate::function::destination::{Destination, InvocationRecord};
use crate::mailbox::Mailbox;
use crate::mailbox::snapshot::EventSnapshot;
use crate::mailbox::supervisor_message::{
    FailedAttempt, FailureOutcome, SupervisorMessage, SupervisorSender,
};
use crate::queue::entry::{Phase, Ticket};
use crate::store::Settlement;
use crate::telemetry;
use crate::telemetry::logs::{LogOwner, Report};

pub(crate) struct Supervisor {
    admission: Arc<Admission>,
    loss_guard: LossGuard,
    mailbox: Arc<Mailbox>,
    pool: Arc<Pool>,
    dead_letters: Addr<DeadLetterQueue>,
    entrance: Arc<Entrance>,
    /// The one timer: for the earliest of delayed events, backoff, keep-alive and retention.
    timer: Option<(JoinHandle<()>, Time)>,
    budget: WorkBudget,
}

/// The mailbox's connection to its supervisor.
struct SupervisorLink(Addr<Supervisor>);

impl SupervisorSender for SupervisorLink {
    fn send(&self, message: SupervisorMessage) {
        self.0.do_send(message);
    }
}

impl Supervisor {
    pub(crate) fn new(mailbox: Arc<Mailbox>, entrance: Arc<Entrance>, pool: Arc<Pool>) -> Self {
        let admission = entrance.admission.clone();
        let function = Some(mailbox.name().clone());
        Self {
            loss_guard: LossGuard::new(admission.clone(), "supervisor", function),
            admission,
            mailbox,
            pool,
            dead_letters: entrance.dead_letters.clone(),
            entrance,
            timer: None,
            budget: WorkBudget::default(),
        }
    }

    /// Returns the connection through which a mailbox reaches the supervisor at `addr`.
    pub(crate) fn link(addr: Addr<Self>) -> Box<dyn SupervisorSender> {
        Box::new(SupervisorLink(addr))
    }

    fn now(&self) -> Time {
        self.mailbox.clock.now()
    }

    fn reconcile(&mut self, ctx: &mut Context<Self>) {
        let mut again = self
            .mailbox
            .supervision()
            .fail_waiting_calls(AT_ONCE, self.now());
        if self.mailbox.live_settings.is_reserved_zero() {
            again |= self.dead_letter_due(ctx);
        }
        let plan = self.mailbox.supervision().reconcile(self.now());
        let start = if plan.probing {
            plan.start.min(1)
        } else {
            plan.start
        };
        let all_started = (0..start.min(STARTS_AT_ONCE)).all(|_| self.start_worker());
        again |= all_started && start > STARTS_AT_ONCE;
        if again {
            self.budget.spend(AT_ONCE, ctx);
            ctx.address().do_send(SupervisorMessage::Reconcile);
        }
        if plan.load {
            self.admission.store.load(&self.mailbox);
        }
        let retry = (!all_started).then(|| self.now().after(NO_THREAD_RETRY));
        self.set_timer(plan.deadline.into_iter().chain(retry).min(), ctx);
    }

    /// Dead-letters the due events of a function that may run nothing. Returns whether more are due.
    fn dead_letter_due(&mut self, ctx: &mut Context<Self>) -> bool {
        let (letters, again) = self
            .mailbox
            .supervision()
            .dead_letter_due(AT_ONCE, self.now());
        self.bury_all(letters.into_iter(), ctx);
        again
    }

    /// Starts one worker. Returns `false` if no thread is available for it.
    fn start_worker(&self) -> bool {
        let Some(placement) = self.place() else {
            return false;
        };
        let admission = self.admission.clone();
        let worker_context = worker_context(&self.entrance, &self.mailbox);
        let handle = self
            .mailbox
            .register_worker(worker_context, placement.serial());
        let arbiter = placement.arbiter();
        let task = WorkerTask {
            handle,
            admission,
            placement: Arc::new(placement),
        };
        // An arbiter that has just gone drops the worker, and its handle gives back its event.
        arbiter.spawn_fn(move || drop(Worker::new(task).start()));
        true
    }

    /// Returns a place for user code of the function; `None` if no thread is available now.
    fn place(&self) -> Option<Placement> {
        let now = self.now();
        let home = if self.mailbox.health().has_dedicated_arbiters(now) {
            // Even with concurrency 0, closures of destinations run.
            Home::Dedicated(self.mailbox.live_settings.concurrency().max(1))
        } else if self.pool.is_alarmed(now) && !self.mailbox.inspect().has_succeeded() {
            Home::Dedicated(1)
        } else {
            Home::Shared
        };
        self.pool.place(self.mailbox.number, home).ok()
    }

    fn set_timer(&mut self, deadline: Option<Time>, ctx: &mut Context<Self>) {
        if self.timer.as_ref().map(|(_, at)| *at) == deadline {
            return;
        }
        self.stop_timer();
        self.timer = deadline.map(|at| (self.send_later(at, ctx, |_| TimerDue), at));
    }

    fn stop_timer(&mut self) {
        if let Some((timer, _)) = self.timer.take() {
            timer.abort();
        }
    }

    /// Sends the supervisor a message at that time. A task does it: futures in an actor's own context wait until its mailbox
    /// is empty, however long that takes.
    fn send_later<M>(
        &self,
        at: Time,
        ctx: &mut Context<Self>,
        message: impl FnOnce(Time) -> M + 'static,
    ) -> JoinHandle<()>
    where
        M: Message<Result = ()> + Send + 'static,
        Self: actix::Handler<M>,
    {
        let (clock, supervisor) = (self.mailbox.clock.clone(), ctx.address().downgrade());
        actix_rt::spawn(async move {
            clock.sleep_until(at).await;
            if let Some(supervisor) = supervisor.upgrade() {
                supervisor.do_send(message(clock.now()));
            }
        })
    }

    fn settle_failure(&mut self, failed: FailedAttempt) {
        let ticket = failed.ticket;
        if !failed.logged {
            self.log(&failed);
        }
        match self
            .mailbox
            .supervision()
            .settle_failure(failed, self.now())
        {
            FailureOutcome::Superseded | FailureOutcome::CallFailed => {}
            FailureOutcome::DeadLetter(ticket, letter) => self.bury(ticket, letter),
            FailureOutcome::Retry {
                attempt,
                uncounted,
                at,
                spilled,
            } => {
                let admission = &self.admission;
                admission
                    .store
                    .settle(&self.mailbox, ticket, || Settlement::Rescheduled {
                        attempt: Box::new(attempt.clone()),
                        uncounted,
                        due_at: at.stored(),
                    });
                if spilled {
                    admission.store.spill(&self.mailbox, &[(ticket.id, at)]);
                }
                let delay = at.since(self.now());
                telemetry::retried(self.mailbox.name(), ticket.id, &attempt, delay);
            }
        }
    }

    /// Reports an attempt to the event's log whose worker could not do so, unless another attempt has begun.
    fn log(&self, failed: &FailedAttempt) {
        let FailedAttempt {
            ticket,
            failure,
            started,
            ended,
            ..
        } = failed;
        let is_present = |view: &EventSnapshot| {
            view.attempt == ticket.attempt && matches!(view.phase, Phase::Running)
        };
        let Some(logs) = self.admission.logs.get() else {
            return;
        };
        if self
            .mailbox
            .inspect()
            .snapshot(ticket.id)
            .as_ref()
            .is_some_and(is_present)
        {
            let report = Report {
                duration: ended.since(*started),
                init: None,
                failure: Some(failure),
                now: self.mailbox.clock.wall(*ended),
            };
            let owner = LogOwner::new(self.mailbox.name().clone(), ticket.id);
            logs.end(&owner, &report);
        }
    }

    /// Dead-letters the first of these, and the others in later turns.
    fn bury_all(&mut self, mut letters: DueLetters, ctx: &mut Context<Self>) {
        for (ticket, letter) in letters.by_ref().take(AT_ONCE) {
            self.bury(ticket, letter);
            self.budget.spend(0, ctx);
        }
        if letters.len() > 0 {
            ctx.address().do_send(BuryRest(letters));
        }
    }

    fn bury(&self, ticket: Ticket, letter: DeadLetter) {
        telemetry::dead_lettered(
            self.mailbox.name(),
            letter.request_id,
            letter.condition,
            letter.failure(),
        );
        let admission = &self.admission;
        match admission.destination_of(&self.mailbox, &letter, DestinationKind::OnFailure) {
            None => {}
            Some(Ok(destination)) => self.deliver(destination.into_owned(), &letter),
            Some(Err(arn)) => delivery::unreachable(&self.mailbox, letter.request_id, arn),
        }
        self.dead_letters.do_send(Bury {
            mailbox: self.mailbox.clone(),
            ticket,
            letter,
        });
    }

    /// Sends the record of a dead letter on its way. User code in it runs on an arbiter of the pool, under the watch.
    fn deliver(&self, destination: Destination, letter: &DeadLetter) {
        let (admission, mailbox, id) = (
            self.admission.clone(),
            self.mailbox.clone(),
            letter.request_id,
        );
        let qualifier = letter.qualifier.as_deref();
        let arn = admission.identity.qualified_arn(mailbox.name(), qualifier);
        let record = InvocationRecord::failure(arn, letter);
        let ancestor = delivery::Ancestor {
            request_id: id,
            hops: letter.hops,
            traces: letter.traces(),
        };
        let here = !destination.runs_user_code();
        let deliver = move |mailbox: &Arc<Mailbox>| {
            let run = |closure: Box<dyn FnOnce() + Send>| closure();
            delivery::deliver(&admission, mailbox, &destination, record, ancestor, run);
        };
        if here {
            return deliver(&mailbox);
        }
        // Dead letters may come faster than the destination's code takes them, so the waiting records are bounded.
        let texts = letter.failure().map_or(0, Failure::text_len);
        let bytes = (letter.payload.size() + texts) as u64;
        let Some(waiting) = mailbox.deliveries.enter(bytes) else {
            let reason = "too many records wait for the destination: make its closure faster";
            return delivery::failed(&mailbox, id, reason);
        };
        let Some(placement) = self.place() else {
            return delivery::failed(&mailbox, id, "no thread is available for its closure");
        };
        placement.arbiter().spawn_fn(move || {
            let _waiting = waiting;
            let guarded = || delivery::guarded(&mailbox, id, || deliver(&mailbox));
            let ((), held) = placement.watched(mailbox.number, guarded);
            if let Some(held) = held {
                mailbox.health().thread_held(
                    held.time,
                    held.crowded,
                    held.shared,
                    mailbox.clock.now(),
                );
            }
        });
    }

    /// Moves the other functions away from a shared arbiter that runs of this function still hold.
    fn leave_alone(&self, arbiter: u64) {
        if !self.pool.give_up(arbiter) {
            return;
        }
        for mailbox in self.admission.registry.all() {
            if mailbox.number != self.mailbox.number && mailbox.health().has_workers_on(arbiter) {
                mailbox.notify(SupervisorMessage::ArbiterBlocked(arbiter));
            }
        }
    }

    /// The workers on a blocked arbiter are out of reach. Others take over, and the attempts that are stuck there
    /// are superseded when their timeout has passed, as they would have been by their own worker.
    fn abandon(&mut self, arbiter: u64, ctx: &mut Context<Self>) {
        let timeout = self.mailbox.live_settings.timeout();
        for (ticket, started) in self.mailbox.health().abandon_arbiter(arbiter) {
            let deadline = started.after(timeout);
            self.send_later(deadline, ctx, move |ended| {
                let failure = Failure::timeout(timeout);
                SupervisorMessage::Failed(Box::new(FailedAttempt {
                    ticket,
                    failure,
                    started,
                    ended,
                    logged: false,
                }))
            });
        }
        self.reconcile(ctx);
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Handler<SupervisorMessage> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: SupervisorMessage, ctx: &mut Self::Context) {
        self.budget.spend(0, ctx);
        match message {
            SupervisorMessage::Reconcile => self.reconcile(ctx),
            SupervisorMessage::Failed(failed) => self.settle_failure(*failed),
            SupervisorMessage::DeadLetters(letters) => self.bury_all(letters.into_iter(), ctx),
            SupervisorMessage::Spilled(events) => {
                self.admission.store.spill(&self.mailbox, &events)
            }
            SupervisorMessage::ArbiterBlocked(arbiter) => self.abandon(arbiter, ctx),
            SupervisorMessage::ArbiterHeld(arbiter) => self.leave_alone(arbiter),
        }
    }
}

/// How long until the next try to start a worker, where no thread was available.
const NO_THREAD_RETRY: Duration = Duration::from_millis(100);

/// Events that end in one piece: when a function is removed, or runs nothing.
const AT_ONCE: usize = 100;

/// Workers that are started in one piece.
const STARTS_AT_ONCE: u32 = 50;

/// Events that will not be tried again, the first one first.
type DueLetters = std::vec::IntoIter<(Ticket, DeadLetter)>;

/// Supervisor to itself: dead-letter these too.
#[derive(Message)]
#[rtype(result = "()")]
struct BuryRest(DueLetters);

impl Handler<BuryRest> for Supervisor {
    type Result = ();

    fn handle(&mut self, BuryRest(letters): BuryRest, ctx: &mut Self::Context) {
        self.bury_all(letters, ctx);
    }
}

/// Supervisor to itself: the time of its timer has come.
#[derive(Message)]
#[rtype(result = "()")]
struct TimerDue;

impl Handler<TimerDue> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: TimerDue, ctx: &mut Self::Context) {
        self.budget.spend(0, ctx);
        self.stop_timer();
        self.reconcile(ctx);
    }
}

impl Handler<Removed> for Supervisor {
    type Result = ();

    fn handle(&mut self, removed: Removed, ctx: &mut Self::Context) {
        self.budget.spend(AT_ONCE, ctx);
        let (letters, more) = self.mailbox.supervision().remove(AT_ONCE);
        self.bury_all(letters.into_iter(), ctx);
        if !more {
            // Events in overflow are loaded and become dead letters then.
            self.reconcile(ctx);
            // Running attempts may end; their failures become dead letters, because the mailbox is removed.
            self.mailbox.lifecycle().retire(false);
            let (mailbox, supervisor) = (self.mailbox.clone(), ctx.address().downgrade());
            actix_rt::spawn(async move {
                mailbox.lifecycle().emptied().await;
                if let Some(supervisor) = supervisor.upgrade() {
                    supervisor.do_send(Emptied);
                }
            });
            return;
        }
        ctx.address().do_send(removed);
    }
}

/// Supervisor to itself: the removed function has neither events nor workers left.
#[derive(Message)]
#[rtype(result = "()")]
struct Emptied;

impl Handler<Emptied> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Emptied, ctx: &mut Self::Context) {
        self.admission.forget(self.mailbox.number);
        self.loss_guard.release();
        self.stop_timer();
        ctx.stop();
    }
}
