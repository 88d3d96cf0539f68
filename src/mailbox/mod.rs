//! A function's mailbox: the queue behind one lock, with the workers of the workers that pull from it.
//!
//! The only shared mutable state on the hot path. A worker takes the lock once between two events, for settling the one and
//! taking the other (`mailbox/take.rs`); a caller takes it once for an event, or only the intake's, as long as nobody has to
//! be woken (`mailbox/arriving.rs`). Nothing of the user's runs under the lock, nobody is woken under it, and no payload is
//! dropped under it: that waits in `mailbox/deferred.rs`. How events end is told in `mailbox/settle.rs`, how they come from the
//! store, and what of them waits there, in `mailbox/overflow.rs`.

mod arriving;

mod deferred;
pub(crate) mod intake;
mod overflow;
mod settle;
pub(crate) mod snapshot;
pub(crate) mod supervisor_message;
mod take;
pub(crate) mod workers;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::base::capacity::Capacity;
use crate::base::clock::Clock;
use crate::base::threads::{Change, Threads};
use crate::base::time::Time;
use crate::event::failure::Failure;
use crate::event::function_name::FunctionName;
use crate::event::request_id::RequestId;
use crate::function::Function;
use crate::function::configuration::Configuration;
use crate::function::crash_loop::{Gate, Restarts};
use crate::function::dedicated_arbiters::{DedicatedArbiters, Holding};
use crate::function::live_settings::{LiveSettings, Rules};
use crate::function::settings::Settings;
use crate::mailbox::intake::Intake;
use crate::mailbox::snapshot::{EventOutcome, EventSnapshot};
use crate::mailbox::supervisor_message::{SupervisorMessage, SupervisorSender};
use crate::mailbox::workers::Workers;
use crate::queue::entry::{Arrival, Entry, Ticket};
use crate::queue::{Queue, QueueBounds, RefusalReason, RefusedEntry};
use crate::telemetry::{self, Meters, Stats};

use deferred::Deferred;
pub(crate) use take::{SucceededRun, Turn, WorkerHandle, WorkerMode};

/// What the supervisor is to do.
#[derive(Default)]
pub(crate) struct SupervisorPlan {
    pub(crate) start: u32,
    pub(crate) deadline: Option<Time>,
    pub(crate) probing: bool,
    /// Fetch parked events.
    pub(crate) fetch: bool,
}

pub(crate) struct Mailbox {
    pub(crate) function: Function,
    pub(crate) number: u32,
    pub(crate) clock: Clock,
    supervisor: OnceLock<Box<dyn SupervisorSender>>,
    pub(crate) live_settings: LiveSettings,
    pub(crate) threads: Arc<Threads>,
    /// Records of dead events that wait for an arbiter to be delivered on.
    pub(crate) deliveries: Arc<Capacity>,
    /// Since when it is.
    pub(crate) registered: Time,
    intake: Intake,
    inner: Mutex<Inner>,
    /// Apart from the rest: it is asked and told where threads are held, which must not hold up others.
    dedicated_arbiters: Mutex<DedicatedArbiters>,
}

struct Inner {
    queue: Queue,
    workers: Workers,
    /// How many events the last grant let arrive without the lock; 0 if none is out.
    granted: u32,
    /// Until when callers think that nobody has to be woken.
    published: Time,
    /// Takes the arrivals' place while they are brought in.
    spare: Vec<Arrival>,
    /// Slots for the next grant.
    spare_slots: Vec<u32>,
    /// The supervisor was told to attend and has not yet.
    summoned: bool,
    /// When the supervisor attends by itself.
    armed: Option<Time>,
    restarts: Restarts,
    /// Boxed: most functions never crash, and there may be many functions.
    last_crash: Option<Box<Failure>>,
    watchers: HashMap<RequestId, Vec<oneshot::Sender<EventOutcome>>>,
    meters: Meters,
    /// The function was removed: nothing comes in or starts.
    removed: bool,
    /// The runtime shuts down: nothing comes in.
    closed: bool,
    /// The runtime ends: nothing starts any more, whoever resumes the function.
    halted: bool,
    /// The runtime is gone: nothing ends.
    deserted: bool,
    drains: Vec<(Drain, oneshot::Sender<()>)>,
    /// Waits for the lock to be released.
    later: Vec<Deferred>,
}

/// When a mailbox counts as drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// Nothing runs.
    InFlight,
    /// Nothing runs and nothing is ready.
    Ready,
    /// Nothing is on its way into the store, or from there.
    Storage,
    /// Nothing is pending.
    Pending,
    /// No worker is left.
    Workers,
}

/// Most records of dead events that wait to be delivered, and most bytes of their payloads and texts.
const DELIVERIES_MAX: usize = 10_000;
const DELIVERIES_BYTES_MAX: u64 = 64 << 20;

/// How long an event may wait for a worker that was relied upon in vain.
const LOOK: Duration = Duration::from_millis(10);

/// Whom to wake once the lock is released.
#[derive(Default)]
#[must_use]
pub(crate) struct Wake {
    waker: Option<Waker>,
    attend: bool,
    /// Somebody lingers who is to look.
    stir: bool,
}

impl std::ops::AddAssign for Wake {
    /// Whoever is woken first searches, so there is never a second to be woken.
    fn add_assign(&mut self, other: Self) {
        self.waker = self.waker.take().or(other.waker);
        self.attend |= other.attend;
        self.stir |= other.stir;
    }
}

impl Mailbox {
    pub(crate) fn new(function: Function, number: u32, clock: Clock) -> Self {
        let settings = &function.settings;
        let bounds = QueueBounds {
            events_max: settings.mailbox_events_max,
            bytes_max: settings.mailbox_bytes_max,
            window: settings.window,
        };
        let inner = Inner {
            queue: Queue::new(number, bounds, settings.retention.clone()),
            workers: Workers::default(),
            granted: 0,
            published: Time::default(),
            spare: Vec::new(),
            spare_slots: Vec::new(),
            summoned: false,
            armed: None,
            restarts: Restarts::new(&settings.restarts),
            last_crash: None,
            watchers: HashMap::new(),
            meters: Meters::default(),
            removed: false,
            closed: false,
            halted: false,
            deserted: false,
            drains: Vec::new(),
            later: Vec::new(),
        };
        Self {
            live_settings: LiveSettings::new(settings),
            threads: Arc::default(),
            deliveries: Capacity::new(DELIVERIES_MAX, DELIVERIES_BYTES_MAX),
            registered: clock.now(),
            function,
            number,
            clock,
            supervisor: OnceLock::new(),
            intake: Intake::default(),
            inner: Mutex::new(inner),
            dedicated_arbiters: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &FunctionName {
        &self.function.name
    }

    /// What it was registered with, as far as that can't be set otherwise.
    pub(crate) fn settings(&self) -> &Settings {
        &self.function.settings
    }

    /// What holds now.
    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules {
            registered: &self.function.settings,
            live_settings: &self.live_settings,
        }
    }

    /// From now on this holds, for the events that are here too (ASY-19).
    pub(crate) fn configure(&self, configuration: Configuration) {
        self.adopt(configuration);
        self.lock().summoned = true;
        self.notify(SupervisorMessage::Reconcile);
    }

    /// As `configure`, before anybody looks after it.
    pub(crate) fn adopt(&self, configuration: Configuration) {
        let paused = configuration.paused;
        let before = self
            .live_settings
            .configuration()
            .is_some_and(|it| it.paused);
        self.live_settings
            .set(&self.function.settings, configuration);
        if paused != before {
            let mut inner = self.lock();
            inner.queue.paused = paused || inner.halted;
        }
    }

    /// Has the threads of its blocking handlers counted, as those that hold an arbiter's are.
    pub(crate) fn count_threads(self: &Arc<Self>) {
        let mailbox = Arc::downgrade(self);
        self.threads.on_change(move |change| {
            if let Some(mailbox) = mailbox.upgrade() {
                match change {
                    Change::Abandoned => mailbox.thread_abandoned(),
                    Change::Returned => mailbox.thread_returned(),
                }
            }
        });
    }

    /// Whom to tell; set once, before the first event.
    pub(crate) fn set_supervisor(&self, supervisor: Box<dyn SupervisorSender>) {
        let _ = self.supervisor.set(supervisor);
    }

    pub(crate) fn notify(&self, notice: SupervisorMessage) {
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.send(notice);
        }
    }

    #[inline]
    pub(crate) fn wake(&self, wake: Wake) {
        if wake.stir {
            self.intake.stir();
        }
        if let Some(waker) = wake.waker {
            waker.wake();
        }
        if wake.attend {
            self.notify(SupervisorMessage::Reconcile);
        }
    }

    // --- admission

    /// Takes the event in and wakes whoever may run it.
    pub(crate) fn admit(
        &self,
        entry: Entry,
        random: u128,
        now: Time,
    ) -> Result<RequestId, RefusedEntry> {
        let entry = match self.intake.put(entry, self.number, random, now) {
            Ok(id) => return Ok(id),
            Err(entry) => entry,
        };
        let mut inner = self.lock_to_admit();
        let entry = inner.ask_open(entry)?;
        let admitted = inner.queue.admit(entry, random, now);
        let wake = inner.rouse(self.rules(), now);
        self.grant(&mut inner, now);
        drop(inner);
        // RefusedEntry or not: whoever was chosen to be woken counts as awake.
        self.wake(wake);
        admitted
    }

    /// Takes all of `entries` in or none.
    pub(crate) fn admit_all(
        &self,
        entries: Vec<(Entry, u128)>,
        now: Time,
    ) -> Result<Vec<RequestId>, RefusalReason> {
        let (mut ids, mut wakes) = (Vec::with_capacity(entries.len()), Vec::new());
        let bytes = entries
            .iter()
            .map(|(entry, _)| entry.payload.size() as u64)
            .sum();
        // Those that are left over after a refusal are dropped after the lock.
        let mut entries = entries.into_iter();
        let mut inner = self.lock_to_admit();
        inner.may_admit()?;
        inner.queue.reserve(entries.len() as u32, bytes)?;
        inner.queue.unreserve(entries.len() as u32, bytes);
        for (entry, random) in entries.by_ref() {
            // An id that nobody has and for which there is room is not refused.
            ids.extend(inner.queue.admit(entry, random, now).ok());
            wakes.push(inner.rouse(self.rules(), now));
        }
        drop(inner);
        wakes.into_iter().for_each(|wake| self.wake(wake));
        Ok(ids)
    }

    /// Takes a call in and answers where its end will be told.
    pub(crate) fn admit_call(
        &self,
        entry: Entry,
        random: u128,
        now: Time,
    ) -> Result<(RequestId, oneshot::Receiver<EventOutcome>), RefusedEntry> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock_to_admit();
        let entry = inner.ask_open(entry)?;
        // Asked here too, where nobody else gets in meanwhile.
        let reserved = self.live_settings.reserved();
        if let Some(reserved) = reserved.filter(|&it| inner.queue.claimed() >= u64::from(it)) {
            inner.meters.throttles += 1;
            let why = RefusalReason::ReservedInUse(reserved);
            return Err(RefusedEntry { why, entry });
        }
        let id = inner.queue.admit(entry, random, now)?;
        inner.watchers.entry(id).or_default().push(sender);
        let mut wake = inner.rouse(self.rules(), now);
        // A function that backs off, or is out of threads, fails its callers at once rather than keep them waiting.
        wake.attend |= matches!(inner.restarts.gate(), Gate::BackingOff(_))
            || inner.is_out_of_threads(self.settings());
        drop(inner);
        self.wake(wake);
        Ok((id, receiver))
    }

    /// When a full mailbox may have room, from the function's pace so far.
    pub(crate) fn retry_after(&self) -> Duration {
        let inner = self.lock();
        let runs = u32::try_from(inner.meters.invocations)
            .unwrap_or(u32::MAX)
            .max(1);
        let each = inner.meters.duration_total / runs / self.live_settings.concurrency().max(1);
        // Room for a tenth of what is pending is worth coming back for.
        each.saturating_mul(inner.queue.pending() / 10 + 1)
            .clamp(Duration::from_millis(10), Duration::from_secs(60))
    }

    pub(crate) fn meter(&self, count: impl FnOnce(&mut Meters)) {
        count(&mut self.lock().meters);
    }

    /// How many events run.
    pub(crate) fn executing(&self) -> u64 {
        self.lock().queue.executing()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.lock().queue.paused
    }

    // --- supervision

    /// What the supervisor is to do now. Wakes idle workers, lets those go that were idle for too long, and
    /// forgets what is beyond the retention.
    pub(crate) fn reconcile(&self, now: Time) -> SupervisorPlan {
        let rules = self.rules();
        let mut wakers = Vec::new();
        let mut inner = self.lock();
        inner.summoned = false;
        inner.queue.expire(now, 10_000);
        let fetch = inner.wants_parked(now);
        let gate = inner.restarts.probe(now);
        inner.set_allowance(rules.registered);
        // Those who are about to look for work take some of it.
        let takeable = inner.queue.takeable(now);
        let mut wanted = takeable.saturating_sub(inner.workers.coming(now));
        while wanted > 0 {
            let Some(waker) = inner.workers.wake_idle(now) else {
                break;
            };
            wakers.push(waker);
            wanted -= 1;
        }
        inner
            .workers
            .let_go(rules.registered.keep_alive, now, &mut wakers);
        let room = if inner.removed {
            0
        } else {
            rules
                .live_settings
                .concurrency()
                .saturating_sub(inner.workers.live())
        };
        let start = u32::try_from(wanted).unwrap_or(u32::MAX).min(room);
        let deadline = inner.next_deadline(rules.registered, start, now);
        inner.armed = deadline;
        let wake = self.publish(&mut inner, now);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        self.wake(wake);
        SupervisorPlan {
            start,
            deadline,
            probing: gate == Gate::Probing,
            fetch,
        }
    }

    /// A handler held its thread for so long, until `now`: that of a `shared` arbiter, or of one that is `crowded` with such.
    pub(crate) fn thread_held(
        &self,
        held: Duration,
        crowded: bool,
        shared: Option<u64>,
        now: Time,
    ) {
        let holding = self.dedicated_arbiters.lock().held(held, crowded, now);
        match (holding, shared) {
            (Holding::Moves, _) => self.move_to_own_arbiters(),
            (Holding::Stays, Some(arbiter)) => self.notify(SupervisorMessage::ArbiterHeld(arbiter)),
            _ => {}
        }
    }

    /// Has any run of the function succeeded?
    pub(crate) fn has_succeeded(&self) -> bool {
        let inner = self.lock_as_is();
        inner.queue.event_ledger.succeeded + inner.queue.call_ledger.succeeded > 0
    }

    /// New workers of the function are to live on arbiters of its own for a while, and the present ones make room for them.
    pub(crate) fn dedicate_arbiters(&self, now: Time) {
        if self.dedicated_arbiters.lock().begin(now) {
            self.move_to_own_arbiters();
        }
    }

    fn move_to_own_arbiters(&self) {
        telemetry::moved_to_dedicated_arbiters(self.name());
        self.retire(false);
    }

    /// Are new workers to live on arbiters of the function's own? A function that is held back stays where it does no harm.
    pub(crate) fn has_dedicated_arbiters(&self, now: Time) -> bool {
        let held_back = self.lock_as_is().restarts.gate() != Gate::Open;
        let mut dedicated_arbiters = self.dedicated_arbiters.lock();
        if held_back {
            dedicated_arbiters.prolong(now);
        }
        dedicated_arbiters.is_on(now)
    }

    pub(crate) fn has_workers_on(&self, arbiter: u64) -> bool {
        self.lock_as_is().workers.has_any_on(arbiter)
    }

    /// Takes the workers on a blocked arbiter out of service. Answers the attempts that are stuck there, with the time
    /// when each has had its timeout.
    pub(crate) fn abandon_arbiter(&self, arbiter: u64) -> Vec<(Ticket, Time)> {
        let mut inner = self.lock();
        let (stuck, wakers) = inner.workers.abandon(arbiter);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
        stuck
    }

    // --- holding

    pub(crate) fn pause(&self) {
        self.lock().queue.paused = true;
    }

    pub(crate) fn resume(&self) {
        let mut inner = self.lock();
        if inner.halted {
            return;
        }
        inner.queue.paused = false;
        inner.summoned = true;
        drop(inner);
        self.notify(SupervisorMessage::Reconcile);
    }

    /// Holds the function's events back until the end of the process.
    pub(crate) fn halt(&self) {
        let mut inner = self.lock();
        (inner.queue.paused, inner.halted) = (true, true);
    }

    /// Answers when the mailbox is drained in this sense.
    pub(crate) fn drained(&self, drain: Drain) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock();
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
        let wakers = self.lock().workers.retire(abort);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Nothing comes in any more. Whatever has a receipt is to be seen from here on.
    pub(crate) fn close(&self) {
        let mut inner = self.lock_to_admit();
        (inner.closed, inner.granted) = (true, 0);
    }

    /// Attempts that still run, or were not decided on, count for nothing from now on: their events wait again. Answers which
    /// events ran.
    pub(crate) fn abandon_attempts(&self) -> HashSet<RequestId> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let ran = inner.queue.give_up(now);
        inner.check_drained();
        ran.into_iter().collect()
    }

    /// Nothing ends here any more: those who wait for an end hear that it won't come.
    pub(crate) fn end_watches(&self) {
        let mut inner = self.lock();
        inner.deserted = true;
        let watchers = std::mem::take(&mut inner.watchers);
        drop(inner);
        drop(watchers);
    }

    // --- looking in

    pub(crate) fn snapshot(&self, id: RequestId) -> Option<EventSnapshot> {
        let inner = self.lock();
        inner
            .queue
            .get(id)
            .map(|(_, slot)| EventSnapshot::new(slot))
    }

    /// Where the end of the event will be told; at once if it has ended. An event that isn't here is believed to be
    /// `parked` if so it is said.
    pub(crate) fn watch(
        &self,
        id: RequestId,
        parked: bool,
    ) -> Option<oneshot::Receiver<EventOutcome>> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock();
        let entry = inner.queue.get(id).map(|(_, entry)| entry);
        if entry.is_none() && !parked {
            return None;
        }
        if let Some(entry) = entry.filter(|entry| entry.phase.is_finished()) {
            if let Some(end) = EventSnapshot::new(entry).end() {
                let _ = sender.send(end); // nobody waits for it yet
            }
        } else if inner.deserted {
            return None;
        } else {
            let watchers = inner.watchers.entry(id).or_default();
            // Those who have gone make room before the list grows.
            if watchers.len() == watchers.capacity() {
                watchers.retain(|watcher| !watcher.is_closed());
            }
            watchers.push(sender);
        }
        Some(receiver)
    }

    /// Events in the order of their slots, from slot `from` on: at most `limit` of those that `wanted`
    /// accepts, and where to go on. Looks at a bounded number of slots, so that the lock is soon free again.
    pub(crate) fn list(
        &self,
        from: u32,
        limit: usize,
        wanted: impl Fn(&EventSnapshot) -> bool,
    ) -> (Vec<EventSnapshot>, Option<u32>) {
        const LOOKS_MAX: usize = 10_000;
        let inner = self.lock();
        let mut found = Vec::new();
        for (looks, (index, slot)) in inner.queue.iter(from).enumerate() {
            if found.len() >= limit || looks >= LOOKS_MAX {
                return (found, Some(index));
            }
            let view = EventSnapshot::new(slot);
            if wanted(&view) {
                found.push(view);
            }
        }
        (found, None)
    }

    /// Adds the function's figures to `meters`; answers its own.
    pub(crate) fn stats(&self, meters: &mut Meters) -> Stats {
        let now = self.clock.now();
        let inner = self.lock();
        *meters += &inner.meters;
        let mut stats = Stats::new(
            &inner.meters,
            inner.queue.event_ledger,
            inner.queue.call_ledger,
        );
        stats.workers = u64::from(inner.workers.live());
        stats.abandoned_threads = u64::from(inner.restarts.abandoned);
        stats.paused = u64::from(inner.queue.paused);
        stats.oldest_age = inner
            .queue
            .oldest_ready()
            .map_or(Duration::ZERO, |at| now.since(at));
        stats
    }

    pub(crate) fn pending(&self) -> u32 {
        self.lock().queue.pending()
    }

    pub(crate) fn pending_bytes(&self) -> u64 {
        self.lock().queue.pending_bytes()
    }

    /// Ids that callers proposed and that are forgotten by now.
    pub(crate) fn take_forgotten_ids(&self) -> Vec<RequestId> {
        std::mem::take(&mut self.lock().queue.forgotten)
    }
}

impl Inner {
    /// Nothing comes into a mailbox that nobody looks after any more.
    fn ask_open(&self, entry: Entry) -> Result<Entry, RefusedEntry> {
        match self.may_admit() {
            Ok(()) => Ok(entry),
            Err(why) => Err(RefusedEntry { why, entry }),
        }
    }

    fn may_admit(&self) -> Result<(), RefusalReason> {
        match (self.removed, self.closed) {
            (true, _) => Err(RefusalReason::Removed),
            (false, true) => Err(RefusalReason::Closed),
            (false, false) => Ok(()),
        }
    }

    /// After something became ready or delayed: whom to wake for it.
    fn rouse(&mut self, rules: Rules<'_>, now: Time) -> Wake {
        if self.queue.paused || self.queue.allowance == 0 {
            return Wake::default();
        }
        let mut wake = Wake::default();
        if self.queue.has_ready() {
            if self.workers.searched_until() > now {
                wake.stir = true;
            } else {
                wake.waker = self.workers.wake_idle(now);
                let short = self.workers.live() < rules.live_settings.concurrency();
                // Where nothing runs, the supervisor has to end it.
                wake.attend =
                    wake.waker.is_none() && (short || rules.live_settings.is_reserved_zero());
            }
        }
        wake.attend |= self.wants_look(now);
        wake.attend |= self.wants_timer();
        wake.attend &= !self.summoned;
        self.summoned |= wake.attend;
        wake
    }

    /// Is a delayed event due before the supervisor looks by itself?
    #[inline]
    fn wants_timer(&mut self) -> bool {
        let due = [self.queue.next_due(), self.parked_due()];
        match (due.into_iter().flatten().min(), self.armed) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(due), Some(armed)) => due < armed,
        }
    }

    /// Whoever is relied upon may be stuck behind another function's handler: then the supervisor is to look again soon.
    #[inline]
    fn wants_look(&self, now: Time) -> bool {
        self.workers.is_relied_upon() && self.armed.is_none_or(|at| at > now.after(LOOK))
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
        let over = self.workers.next_over(settings.keep_alive, start, now);
        // Not for every event that expires: once in a while.
        let soonest = now.after(settings.retention.age_max / 4);
        let expiry = self.queue.next_expiry().map(|at| at.max(soonest));
        let look = self.workers.is_relied_upon().then(|| now.after(LOOK));
        let parked = self.parked_due().filter(|&at| at > now);
        let all = [over, due, probe, expiry, look, parked];
        all.into_iter().flatten().min()
    }

    #[inline]
    fn tell_watchers(&mut self, id: RequestId, end: impl Fn() -> EventOutcome) {
        if self.watchers.is_empty() {
            return;
        }
        let watchers = self.watchers.remove(&id).into_iter().flatten();
        self.later
            .extend(watchers.map(|watcher| Deferred::Outcome(watcher, end())));
    }

    #[inline]
    fn check_drained(&mut self) {
        if self.drains.is_empty() {
            return;
        }
        for (drain, sender) in std::mem::take(&mut self.drains) {
            if self.is_drained(drain) {
                self.later.push(Deferred::Drained(sender));
            } else {
                self.drains.push((drain, sender));
            }
        }
    }

    fn is_drained(&self, drain: Drain) -> bool {
        match drain {
            Drain::InFlight => self.queue.running() == 0,
            Drain::Ready => {
                self.queue.running() == 0
                    && !self.queue.has_ready()
                    && self.queue.overflow.ready == 0
            }
            Drain::Storage => !self.queue.is_storing() && !self.queue.overflow.is_fetching(),
            Drain::Pending => self.queue.pending() == 0,
            Drain::Workers => self.workers.live() == 0,
        }
    }
}
