//! A function's mailbox: the queue behind one lock, with the seats of the workers that pull from it.
//!
//! The only shared mutable state on the hot path. Pushing takes the lock once; so does a worker between two
//! events, for settling the one and taking the other. Nothing of the user's runs under the lock, nobody is woken
//! under it, and no payload is dropped under it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::context::Station;
use crate::event::{InvocationType, RequestId, Side};
use crate::failure::{Attempt, Condition, DeadLetter, Failure, Letter, remember};
use crate::function::Function;
use crate::notice::{Failed, Judgement, Notice, Overseer};
use crate::payload::Payload;
use crate::queue::{Bounds, Entry, Phase, Queue, Taken, Ticket, Unadmitted};
use crate::restart::{Gate, Restarts};
use crate::retry::{self, Verdict};
use crate::seats::{Asking, Seats};
use crate::settings::{FunctionName, Settings};
use crate::telemetry::{self, Meters, Stats};
use crate::time::Time;
use crate::view::{End, View};

/// A run that succeeded.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) ticket: Ticket,
    pub(crate) accepted: Time,
    pub(crate) started: Time,
    pub(crate) result: Option<Payload>,
}

/// What a worker does next.
pub(crate) enum Turn {
    /// Run this; `run` is its number among the seat's runs, by which it can be given up.
    Run { taken: Taken, run: u64 },
    /// Nothing to do yet: look again soon.
    Linger,
    /// Nothing to do: it will be woken.
    Idle,
    /// Go away.
    Stop,
}

/// What a worker that finds nothing does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Patience {
    /// It looks again soon: events come fast, and being woken costs more than a look.
    Linger,
    /// It sleeps until it is woken.
    Sleep,
}

/// What the supervisor is to do.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) start: u32,
    pub(crate) deadline: Option<Time>,
    pub(crate) probing: bool,
}

pub(crate) struct Mailbox {
    pub(crate) function: Function,
    pub(crate) number: u32,
    pub(crate) clock: Clock,
    overseer: OnceLock<Box<dyn Overseer>>,
    inner: Mutex<Inner>,
}

struct Inner {
    queue: Queue,
    seats: Seats,
    /// The supervisor was told to attend and has not yet.
    summoned: bool,
    /// When the supervisor attends by itself.
    armed: Option<Time>,
    restarts: Restarts,
    last_crash: Option<Failure>,
    watchers: HashMap<u32, Vec<oneshot::Sender<End>>>,
    meters: Meters,
    /// The function was removed: nothing comes in or starts.
    removed: bool,
    /// The runtime is gone: nothing ends.
    deserted: bool,
    drains: Vec<(Drain, oneshot::Sender<()>)>,
}

/// When a mailbox counts as drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// Nothing runs.
    InFlight,
    /// Nothing runs and nothing is ready.
    Ready,
    /// Nothing is pending.
    Pending,
    /// No worker is left.
    Workers,
}

/// Whom to wake once the lock is released.
#[derive(Default)]
#[must_use]
struct Wake {
    waker: Option<Waker>,
    attend: bool,
}

impl Mailbox {
    pub(crate) fn new(function: Function, number: u32, clock: Clock) -> Self {
        let settings = &function.settings;
        let bounds = Bounds {
            events_max: settings.mailbox_events_max,
            bytes_max: settings.mailbox_bytes_max,
        };
        let inner = Inner {
            queue: Queue::new(number, bounds, settings.retention.clone()),
            seats: Seats::default(),
            summoned: false,
            armed: None,
            restarts: Restarts::new(&settings.restarts),
            last_crash: None,
            watchers: HashMap::new(),
            meters: Meters::default(),
            removed: false,
            deserted: false,
            drains: Vec::new(),
        };
        Self {
            function,
            number,
            clock,
            overseer: OnceLock::new(),
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn name(&self) -> &FunctionName {
        &self.function.name
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.function.settings
    }

    /// Whom to tell; set once, before the first event.
    pub(crate) fn oversee(&self, overseer: Box<dyn Overseer>) {
        let _ = self.overseer.set(overseer);
    }

    pub(crate) fn tell(&self, notice: Notice) {
        if let Some(overseer) = self.overseer.get() {
            overseer.tell(notice);
        }
    }

    fn wake(&self, wake: Wake) {
        if let Some(waker) = wake.waker {
            waker.wake();
        }
        if wake.attend {
            self.tell(Notice::Attend);
        }
    }

    // --- admission

    /// Takes the event in and wakes whoever may run it.
    pub(crate) fn admit(
        &self,
        entry: Entry,
        random: u128,
        now: Time,
    ) -> Result<RequestId, Unadmitted> {
        let mut inner = self.inner.lock();
        inner.ask_open()?;
        let id = inner.queue.admit(entry, random, now)?;
        let wake = inner.rouse(self.settings(), now);
        drop(inner);
        self.wake(wake);
        Ok(id)
    }

    /// Takes all of `entries` in or none.
    pub(crate) fn admit_all(
        &self,
        entries: Vec<(Entry, u128)>,
        now: Time,
    ) -> Result<Vec<RequestId>, Unadmitted> {
        let ids = self.reserve_all(entries, now)?;
        self.confirm(&ids, now);
        Ok(ids)
    }

    /// Takes a call in and answers where its end will be told.
    pub(crate) fn admit_call(
        &self,
        entry: Entry,
        random: u128,
        now: Time,
    ) -> Result<(RequestId, oneshot::Receiver<End>), Unadmitted> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        inner.ask_open()?;
        let id = inner.queue.admit(entry, random, now)?;
        if let Some((slot, _)) = inner.queue.get(id) {
            inner.watchers.entry(slot).or_default().push(sender);
        }
        let mut wake = inner.rouse(self.settings(), now);
        // A function that backs off fails its callers at once rather than keep them waiting.
        wake.attend |= matches!(inner.restarts.gate(), Gate::BackingOff(_));
        drop(inner);
        self.wake(wake);
        Ok((id, receiver))
    }

    /// Keeps places for `entries`, all or none, while they are stored.
    pub(crate) fn reserve_all(
        &self,
        entries: Vec<(Entry, u128)>,
        now: Time,
    ) -> Result<Vec<RequestId>, Unadmitted> {
        let mut inner = self.inner.lock();
        inner.ask_open()?;
        let mut ids = Vec::with_capacity(entries.len());
        for (entry, random) in entries {
            match inner.queue.reserve(entry, random, now) {
                Ok(id) => ids.push(id),
                Err(refused) => {
                    let payloads: Vec<_> = ids.iter().map(|&id| inner.queue.release(id)).collect();
                    drop(inner);
                    drop(payloads);
                    return Err(refused);
                }
            }
        }
        Ok(ids)
    }

    /// Lets reserved events run. If the function was removed while they were stored, they die of it.
    pub(crate) fn confirm(&self, ids: &[RequestId], now: Time) {
        let mut wakes = Vec::new();
        let mut doomed = Vec::new();
        let mut inner = self.inner.lock();
        for &id in ids {
            inner.queue.confirm(id, now);
            if !inner.removed {
                wakes.push(inner.rouse(self.settings(), now));
            } else if let Some(ticket) = inner.queue.withdraw(id, now) {
                doomed.push((
                    ticket,
                    self.letter(&inner, ticket, Condition::FunctionRemoved, now),
                ));
            }
        }
        drop(inner);
        wakes.into_iter().for_each(|wake| self.wake(wake));
        if !doomed.is_empty() {
            self.tell(Notice::Doomed(doomed));
        }
    }

    pub(crate) fn release(&self, ids: &[RequestId]) {
        let mut inner = self.inner.lock();
        let payloads: Vec<_> = ids.iter().map(|&id| inner.queue.release(id)).collect();
        inner.check_drained();
        drop(inner);
        drop(payloads);
    }

    /// When a full mailbox may have room, from the function's pace so far.
    pub(crate) fn retry_after(&self) -> Duration {
        let inner = self.inner.lock();
        let runs = u32::try_from(inner.meters.invocations)
            .unwrap_or(u32::MAX)
            .max(1);
        let each = inner.meters.duration_total / runs / self.settings().concurrency.max(1);
        // Room for a tenth of what is pending is worth coming back for.
        each.saturating_mul(inner.queue.pending() / 10 + 1)
            .clamp(Duration::from_millis(10), Duration::from_secs(60))
    }

    pub(crate) fn meter(&self, count: impl FnOnce(&mut Meters)) {
        count(&mut self.inner.lock().meters);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.inner.lock().queue.paused
    }

    // --- workers

    /// A seat for a new worker on the arbiter with this serial number.
    pub(crate) fn seat(self: &Arc<Self>, station: Arc<Station>, arbiter: u64) -> Seat {
        let index = self.inner.lock().seats.take(station.clone(), arbiter);
        Seat {
            mailbox: self.clone(),
            index,
            station,
        }
    }

    /// Settles what the worker did and hands out what it does next. Answers whether the run that was `done` still
    /// counted, and gives its payload back.
    fn turn(
        &self,
        index: u32,
        done: Option<Done>,
        patience: Patience,
        now: Time,
    ) -> (Turn, Option<Payload>) {
        let settings = self.settings();
        let mut doomed = Vec::new();
        let mut inner = self.inner.lock();
        let (payload, mut attend) = match done {
            Some(done) => inner.complete(done, settings, self.name(), now),
            None => (None, false),
        };
        let turn = inner.next(
            index,
            patience,
            now,
            |inner, ticket| {
                doomed.push((
                    ticket,
                    self.letter(inner, ticket, Condition::EventAgeExceeded, now),
                ))
            },
            settings,
        );
        let mut waker = None;
        match turn.0 {
            Turn::Idle => attend |= inner.wants_timer(),
            // It searched and found: if it leaves work behind, the next one searches.
            Turn::Run { .. }
                if turn.1 && !inner.seats.has_searching() && inner.queue.has_ready() =>
            {
                waker = inner.seats.wake_idle(now)
            }
            _ => {}
        }
        attend &= !inner.summoned;
        inner.summoned |= attend;
        inner.check_drained();
        drop(inner);
        self.wake(Wake { waker, attend });
        if !doomed.is_empty() {
            self.tell(Notice::Doomed(doomed));
        }
        (turn.0, payload)
    }

    /// What a waiting event that will not be tried again leaves behind.
    fn letter(&self, inner: &Inner, ticket: Ticket, condition: Condition, now: Time) -> DeadLetter {
        let slot = inner.queue.get(ticket.id).map(|(_, slot)| slot);
        let side = slot.and_then(|slot| slot.side.as_deref());
        DeadLetter::new(Letter {
            request_id: ticket.id,
            function: self.name().clone(),
            payload: slot
                .and_then(|slot| slot.body.clone())
                .unwrap_or_else(Payload::null),
            condition,
            attempts: side.map(|side| side.attempts.clone()).unwrap_or_default(),
            attempt_count: ticket.attempt,
            accepted_at: self.clock.wall(slot.map_or(now, |slot| slot.accepted)),
            died_at: self.clock.wall(now),
            trace_header: side.and_then(|side| side.trace_header.clone()),
            hops: slot.map_or(0, |slot| slot.hops),
            redriven_from: side.and_then(|side| side.redriven_from),
        })
    }

    /// A worker of the function crashed. Decides at once whether the function is held back, so that no
    /// further attempt is burnt meanwhile.
    pub(crate) fn crashed(&self, failure: &Failure, now: Time) {
        let mut inner = self.inner.lock();
        let before = inner.restarts.gate();
        let gate = inner.restarts.crashed(&self.settings().restarts, now);
        inner.meters.restarts += 1;
        inner.last_crash = Some(failure.clone());
        let held = gate != before;
        if held {
            inner.queue.allowance = 0;
            inner.summoned = true;
        }
        drop(inner);
        if held {
            if let Gate::BackingOff(until) = gate {
                telemetry::backing_off(self.name(), until.since(now));
            }
            self.tell(Notice::Attend);
        }
    }

    /// What the supervisor is to do now. Wakes idle workers, lets those go that were idle for too long, and
    /// forgets what is beyond the retention.
    pub(crate) fn attend(&self, now: Time) -> Plan {
        let settings = self.settings();
        let mut wakers = Vec::new();
        let mut inner = self.inner.lock();
        inner.summoned = false;
        inner.queue.expire(now, 10_000);
        let gate = inner.restarts.probe(now);
        inner.queue.allowance = match gate {
            Gate::Open => u32::MAX,
            Gate::Probing => 1,
            Gate::BackingOff(_) => 0,
        };
        let mut takeable = inner.queue.takeable(now);
        while takeable > 0 {
            let Some(waker) = inner.seats.wake_idle(now) else {
                break;
            };
            wakers.push(waker);
            takeable -= 1;
        }
        let woken = wakers.len() as u64;
        inner.seats.let_go(settings.keep_alive, now, &mut wakers);
        // Those who were about to look for work before take some of it; those woken just now are counted already.
        let wanted = takeable.saturating_sub(inner.seats.coming(woken));
        let room = if inner.removed {
            0
        } else {
            settings.concurrency.saturating_sub(inner.seats.live())
        };
        let start = u32::try_from(wanted).unwrap_or(u32::MAX).min(room);
        let deadline = inner.next_deadline(settings, start, now);
        inner.armed = deadline;
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        Plan {
            start,
            deadline,
            probing: gate == Gate::Probing,
        }
    }

    /// If the function is held back: the failure that did it, for the callers that wait.
    pub(crate) fn fail_waiting_calls(&self, now: Time) {
        let mut inner = self.inner.lock();
        if !matches!(inner.restarts.gate(), Gate::BackingOff(_)) {
            return;
        }
        let failure = inner
            .last_crash
            .clone()
            .unwrap_or_else(Failure::worker_lost);
        let mut payloads = Vec::new(); // dropped once the lock is released
        while let Some(id) = inner.queue.first_call() {
            let Some(ticket) = inner.queue.withdraw(id, now) else {
                break;
            };
            inner.remember_failure(
                ticket,
                Attempt {
                    number: ticket.attempt,
                    started_at: self.clock.wall(now),
                    duration: Duration::ZERO,
                    failure: failure.clone(),
                },
            );
            payloads.push(inner.queue.bury(ticket, now));
            inner.tell_watchers(ticket.slot, || End::Failed(failure.clone()));
        }
        drop(inner);
    }

    /// Takes the seats on a blocked arbiter out of service. Answers the attempts that are stuck there, with the time
    /// when each has had its timeout.
    pub(crate) fn abandon(&self, arbiter: u64) -> Vec<(Ticket, Time)> {
        let mut inner = self.inner.lock();
        let (stuck, wakers) = inner.seats.abandon(arbiter);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        stuck
    }

    // --- settling

    /// Judges a failed attempt: again, or never, or not at all because it is over already.
    pub(crate) fn judge(&self, failed: Failed, now: Time) -> Judgement {
        let Failed {
            ticket,
            failure,
            started,
            ended,
        } = failed;
        let settings = self.settings();
        let chance = self.clock.chance();
        let attempt = Attempt {
            number: ticket.attempt,
            started_at: self.clock.wall(started),
            duration: ended.since(started),
            failure,
        };
        let mut inner = self.inner.lock();
        let removed = inner.removed;
        let Some(slot) = inner.queue.fail(ticket, now) else {
            inner.meters.superseded += 1;
            drop(inner);
            telemetry::superseded(self.name(), ticket.id, ticket.attempt);
            return Judgement::Superseded;
        };
        let (kind, accepted) = (slot.kind, slot.accepted);
        let side = slot.side.get_or_insert_default();
        side.uncounted += u32::from(!attempt.failure.counts());
        remember(&mut side.attempts, attempt.clone());
        let verdict = retry::decide(
            &retry::Failed {
                policy: side.retry.as_ref().unwrap_or(&settings.retry),
                kind: attempt.failure.kind,
                directive: attempt.failure.directive,
                counted: ticket.attempt - side.uncounted,
                uncounted: side.uncounted,
                accepted,
                age_max: side.event_age_max.unwrap_or(settings.event_age_max),
                chance,
            },
            now,
        );
        inner.count_failure(&attempt, accepted, started);
        let (judgement, wake, payload) = match (kind, verdict) {
            (InvocationType::RequestResponse, _) => {
                let payload = inner.queue.bury(ticket, now);
                inner.tell_watchers(ticket.slot, || End::Failed(attempt.failure.clone()));
                (Judgement::Answered, Wake::default(), payload)
            }
            (InvocationType::Event, Verdict::RetryAt(at)) if !removed => {
                inner.queue.retry(ticket, at, now);
                (
                    Judgement::Retry { attempt, at },
                    inner.rouse(settings, now),
                    None,
                )
            }
            (InvocationType::Event, verdict) => {
                let condition = match verdict {
                    Verdict::GiveUp(condition) => condition,
                    Verdict::RetryAt(_) => Condition::FunctionRemoved,
                };
                let letter = self.letter(&inner, ticket, condition, now);
                (Judgement::Bury(ticket, letter), Wake::default(), None)
            }
        };
        inner.check_drained();
        drop(inner);
        drop(payload);
        self.wake(wake);
        judgement
    }

    /// The dead-letter queue has the event: it is over here.
    pub(crate) fn bury(&self, ticket: Ticket, letter: &DeadLetter) {
        let mut inner = self.inner.lock();
        if let Some(slot) = inner.queue.get_mut(ticket.id) {
            slot.side.get_or_insert_default().letter = Some(letter.clone());
        }
        let now = self.clock.now();
        let payload = inner.queue.bury(ticket, now);
        inner.tell_watchers(ticket.slot, || End::Dead(letter.clone()));
        inner.check_drained();
        drop(inner);
        drop(payload);
    }

    /// Takes a waiting event out, because it will not be tried (any more).
    pub(crate) fn doom(&self, id: RequestId, condition: Condition) -> Option<(Ticket, DeadLetter)> {
        let now = self.clock.now();
        let mut inner = self.inner.lock();
        let ticket = inner.queue.withdraw(id, now)?;
        let letter = self.letter(&inner, ticket, condition, now);
        Some((ticket, letter))
    }

    /// Closes the mailbox for good: nothing starts any more, and whatever waits will not be tried again. At most `limit`
    /// events at a time; empty when there is none left.
    pub(crate) fn remove(&self, limit: usize) -> Vec<(Ticket, DeadLetter)> {
        let now = self.clock.now();
        let mut doomed = Vec::new();
        let mut inner = self.inner.lock();
        inner.removed = true;
        while doomed.len() < limit {
            let Some(id) = inner.queue.any_waiting() else {
                break;
            };
            let Some(ticket) = inner.queue.withdraw(id, now) else {
                break;
            };
            if inner
                .queue
                .get(id)
                .is_some_and(|(_, slot)| slot.kind == InvocationType::RequestResponse)
            {
                drop(inner.queue.bury(ticket, now));
                inner.watchers.remove(&ticket.slot);
                continue;
            }
            let letter = self.letter(&inner, ticket, Condition::FunctionRemoved, now);
            doomed.push((ticket, letter));
        }
        doomed
    }

    /// Ends a pending event, the running attempt included. Answers whether there was one to end.
    pub(crate) fn cancel(&self, id: RequestId) -> bool {
        let now = self.clock.now();
        let mut inner = self.inner.lock();
        let Some((running, payload)) = inner.queue.cancel(id, now) else {
            return false;
        };
        let waker = running.and_then(|ticket| inner.seats.abort(ticket));
        if let Some((slot, _)) = inner.queue.get(id) {
            inner.tell_watchers(slot, || End::Cancelled);
        } else if let Some(ticket) = running {
            inner.tell_watchers(ticket.slot, || End::Cancelled);
        }
        inner.check_drained();
        drop(inner);
        drop(payload);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    // --- holding

    pub(crate) fn pause(&self) {
        self.inner.lock().queue.paused = true;
    }

    pub(crate) fn resume(&self) {
        let mut inner = self.inner.lock();
        inner.queue.paused = false;
        inner.summoned = true;
        drop(inner);
        self.tell(Notice::Attend);
    }

    /// Answers when the mailbox is drained in this sense.
    pub(crate) fn drained(&self, drain: Drain) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        inner.drains.push((drain, sender));
        inner.check_drained();
        receiver
    }

    /// Answers when a removed mailbox has neither events nor workers left.
    pub(crate) async fn emptied(&self) {
        let _ = self.drained(Drain::Pending).await;
        let _ = self.drained(Drain::Workers).await;
    }

    /// Lets all workers go. What they run goes on, or is given up if `abort`.
    pub(crate) fn retire(&self, abort: bool) {
        let wakers = self.inner.lock().seats.retire(abort);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Nothing ends here any more: those who wait for an end hear that it won't come.
    pub(crate) fn desert(&self) {
        let mut inner = self.inner.lock();
        inner.deserted = true;
        let watchers = std::mem::take(&mut inner.watchers);
        drop(inner);
        drop(watchers);
    }

    // --- looking in

    pub(crate) fn view(&self, id: RequestId) -> Option<View> {
        self.inner
            .lock()
            .queue
            .get(id)
            .filter(|(_, slot)| slot.phase != Phase::Reserved)
            .map(|(_, slot)| View::new(slot))
    }

    /// Where the end of the event will be told; at once if it has ended.
    pub(crate) fn watch(&self, id: RequestId) -> Option<oneshot::Receiver<End>> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        let (slot, entry) = inner.queue.get(id)?;
        if entry.phase.is_finished() {
            if let Some(end) = View::new(entry).end() {
                let _ = sender.send(end);
            }
        } else if inner.deserted {
            return None;
        } else {
            inner.watchers.entry(slot).or_default().push(sender);
        }
        Some(receiver)
    }

    /// Events in the order of their slots, from slot `from` on: at most `limit` of those that `wanted`
    /// accepts, and where to go on. Looks at a bounded number of slots, so that the lock is soon free again.
    pub(crate) fn list(
        &self,
        from: u32,
        limit: usize,
        wanted: impl Fn(&View) -> bool,
    ) -> (Vec<View>, Option<u32>) {
        const LOOKS_MAX: usize = 10_000;
        let inner = self.inner.lock();
        let mut found = Vec::new();
        for (looks, (index, slot)) in inner.queue.iter(from).enumerate() {
            if found.len() >= limit || looks >= LOOKS_MAX {
                return (found, Some(index));
            }
            let view = View::new(slot);
            if wanted(&view) {
                found.push(view);
            }
        }
        (found, None)
    }

    /// Adds the function's figures to `meters`; answers its own.
    pub(crate) fn stats(&self, meters: &mut Meters) -> Stats {
        let now = self.clock.now();
        let inner = self.inner.lock();
        *meters += &inner.meters;
        let mut stats = Stats::new(
            &inner.meters,
            inner.queue.event_ledger,
            inner.queue.call_ledger,
        );
        stats.workers = u64::from(inner.seats.live());
        stats.oldest_age = inner
            .queue
            .oldest_ready()
            .map_or(Duration::ZERO, |at| now.since(at));
        stats
    }

    pub(crate) fn pending(&self) -> u32 {
        self.inner.lock().queue.pending()
    }

    pub(crate) fn pending_bytes(&self) -> u64 {
        self.inner.lock().queue.pending_bytes()
    }

    /// Ids that callers proposed and that are forgotten by now.
    pub(crate) fn forgotten(&self) -> Vec<RequestId> {
        std::mem::take(&mut self.inner.lock().queue.forgotten)
    }
}

impl Inner {
    /// Nothing comes into a mailbox that nobody looks after any more.
    fn ask_open(&self) -> Result<(), Unadmitted> {
        if self.removed {
            Err(Unadmitted::Removed)
        } else {
            Ok(())
        }
    }

    /// After something became ready or delayed: whom to wake for it.
    fn rouse(&mut self, settings: &Settings, now: Time) -> Wake {
        if self.queue.paused || self.queue.allowance == 0 {
            return Wake::default();
        }
        let mut wake = Wake::default();
        if self.queue.has_ready() && !self.seats.is_searched(now) {
            wake.waker = self.seats.wake_idle(now);
            wake.attend = wake.waker.is_none() && self.seats.live() < settings.concurrency;
        }
        wake.attend |= self.wants_timer();
        wake.attend &= !self.summoned;
        self.summoned |= wake.attend;
        wake
    }

    /// Is a delayed event due before the supervisor looks by itself?
    fn wants_timer(&mut self) -> bool {
        match (self.queue.next_due(), self.armed) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(due), Some(armed)) => due < armed,
        }
    }

    /// When the supervisor must look again by itself, `start` workers later.
    fn next_deadline(&mut self, settings: &Settings, start: u32, now: Time) -> Option<Time> {
        let due = self
            .queue
            .next_due()
            .filter(|&at| at > now && !self.queue.paused);
        let probe = match self.restarts.gate() {
            Gate::BackingOff(until) => Some(until),
            _ => None,
        };
        let over = self.seats.next_over(settings.keep_alive, start, now);
        // Not for every event that expires: once in a while.
        let soonest = now.after(settings.retention.age_max / 4);
        let expiry = self.queue.next_expiry().map(|at| at.max(soonest));
        over.into_iter().chain(due).chain(probe).chain(expiry).min()
    }

    fn next(
        &mut self,
        index: u32,
        patience: Patience,
        now: Time,
        mut too_old: impl FnMut(&Self, Ticket),
        settings: &Settings,
    ) -> (Turn, bool) {
        let Asking { searched, retired } = self.seats.ask(index);
        if retired {
            return (Turn::Stop, searched);
        }
        while let Some(taken) = self.queue.take(now) {
            let age_max = taken.event_age_max.unwrap_or(settings.event_age_max);
            if now.since(taken.accepted) > age_max && taken.kind == InvocationType::Event {
                if let Some(ticket) = self.queue.untake(taken.ticket, now) {
                    too_old(self, ticket);
                }
                continue;
            }
            self.meters.concurrent_executions_max = self
                .meters
                .concurrent_executions_max
                .max(self.queue.executing());
            let run = self.seats.begin(index, taken.ticket, now);
            return (Turn::Run { taken, run }, searched);
        }
        if patience == Patience::Linger {
            self.seats.search(index, now);
            return (Turn::Linger, searched);
        }
        self.seats.wait(index, now);
        (Turn::Idle, searched)
    }

    /// Counts a success, if it still counts. Gives its payload back, and whether the supervisor should attend.
    fn complete(
        &mut self,
        done: Done,
        settings: &Settings,
        name: &FunctionName,
        now: Time,
    ) -> (Option<Payload>, bool) {
        let Done {
            ticket,
            accepted,
            started,
            result,
        } = done;
        let end = (!self.watchers.is_empty()).then(|| End::Succeeded(result.clone()));
        let Some(payload) = self.queue.succeed(ticket, result, now) else {
            self.meters.superseded += 1;
            telemetry::superseded(name, ticket.id, ticket.attempt);
            return (None, false);
        };
        let duration = now.since(started);
        self.meters.invocations += 1;
        self.meters.duration_total += duration;
        self.meters.duration.record(duration);
        self.meters.age.record(started.since(accepted));
        if let Some(end) = end {
            self.tell_watchers(ticket.slot, || end.clone());
        }
        (Some(payload), self.survived(settings, name))
    }

    /// A run ended without a crash: that may open the gate again.
    fn survived(&mut self, settings: &Settings, name: &FunctionName) -> bool {
        let opened =
            self.restarts.gate() != Gate::Open && self.restarts.survived(&settings.restarts);
        if opened {
            self.queue.allowance = u32::MAX;
            telemetry::recovered(name);
        }
        opened
    }

    fn count_failure(&mut self, attempt: &Attempt, accepted: Time, started: Time) {
        if attempt.failure.counts() {
            self.meters.invocations += 1;
            self.meters.errors += 1;
            self.meters.duration_total += attempt.duration;
            self.meters.duration.record(attempt.duration);
            self.meters.age.record(started.since(accepted));
        } else {
            self.meters.throttles += 1;
        }
    }

    fn remember_failure(&mut self, ticket: Ticket, attempt: Attempt) {
        if let Some(slot) = self.queue.get_mut(ticket.id) {
            let side: &mut Box<Side> = slot.side.get_or_insert_default();
            remember(&mut side.attempts, attempt);
        }
    }

    fn tell_watchers(&mut self, slot: u32, end: impl Fn() -> End) {
        if self.watchers.is_empty() {
            return;
        }
        for watcher in self.watchers.remove(&slot).into_iter().flatten() {
            let _ = watcher.send(end());
        }
    }

    fn check_drained(&mut self) {
        if self.drains.is_empty() {
            return;
        }
        for (drain, sender) in std::mem::take(&mut self.drains) {
            if self.is_drained(drain) {
                let _ = sender.send(());
            } else {
                self.drains.push((drain, sender));
            }
        }
    }

    fn is_drained(&self, drain: Drain) -> bool {
        match drain {
            Drain::InFlight => self.queue.running() == 0,
            Drain::Ready => self.queue.running() == 0 && !self.queue.has_ready(),
            Drain::Pending => self.queue.pending() == 0,
            Drain::Workers => self.seats.live() == 0,
        }
    }
}

/// A worker's place at the mailbox. Whatever way the worker ends, dropping the seat gives back what it had.
pub(crate) struct Seat {
    mailbox: Arc<Mailbox>,
    index: u32,
    station: Arc<Station>,
}

impl Seat {
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(crate) fn station(&self) -> &Arc<Station> {
        &self.station
    }

    /// Says how to wake the worker; must come before its first turn.
    pub(crate) fn wakes(&self, waker: &Waker) {
        let waker = waker.clone();
        self.mailbox.inner.lock().seats.wakes(self.index, waker);
    }

    /// Settles what was done, takes what comes next.
    pub(crate) fn turn(
        &self,
        done: Option<Done>,
        patience: Patience,
        now: Time,
    ) -> (Turn, Option<Payload>) {
        self.mailbox.turn(self.index, done, patience, now)
    }

    /// Settles what was done before anything is taken. Answers whether it still counted.
    pub(crate) fn settle(&self, done: Done, now: Time) -> bool {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.inner.lock();
        inner.seats.end(self.index);
        let (payload, attend) = inner.complete(done, mailbox.settings(), mailbox.name(), now);
        let attend = attend && !std::mem::replace(&mut inner.summoned, true);
        inner.check_drained();
        drop(inner);
        if attend {
            mailbox.tell(Notice::Attend);
        }
        payload.is_some()
    }

    /// Hands a failed attempt to the supervisor.
    pub(crate) fn failed(&self, failed: Failed) {
        let mut inner = self.mailbox.inner.lock();
        // The attempt is the supervisor's from here on, not this seat's.
        inner.seats.end(self.index);
        let crash = failed.failure.kind == crate::failure::FailureKind::Panic;
        let attend = !crash
            && inner.survived(self.mailbox.settings(), self.mailbox.name())
            && !inner.summoned;
        inner.summoned |= attend;
        drop(inner);
        if crash {
            self.mailbox.crashed(&failed.failure, failed.ended);
        }
        self.mailbox.tell(Notice::Failed(Box::new(failed)));
        if attend {
            self.mailbox.tell(Notice::Attend);
        }
    }

    /// The attempt was given up from outside; nothing is to be settled.
    pub(crate) fn aborted(&self) {
        self.mailbox.inner.lock().seats.end(self.index);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mailbox = &self.mailbox;
        let mut inner = mailbox.inner.lock();
        let left = inner.seats.leave(self.index);
        let attend = !std::mem::replace(&mut inner.summoned, true);
        inner.check_drained();
        drop(inner);
        if let Some((ticket, started)) = left.run {
            let ended = mailbox.clock.now();
            let failure = Failure::worker_lost();
            if !left.retired {
                mailbox.crashed(&failure, ended);
            }
            mailbox.tell(Notice::Failed(Box::new(Failed {
                ticket,
                failure,
                started,
                ended,
            })));
        }
        if attend {
            mailbox.tell(Notice::Attend);
        }
    }
}
