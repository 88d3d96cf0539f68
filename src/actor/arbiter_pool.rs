//! The arbiters (threads) that user code runs on, and which function's workers live on which.
//!
//! Functions share the pool's arbiters. A function whose handlers hold their thread (they compute, or block it) moves to
//! dedicated arbiters (decided in `function/dedicated_arbiters.rs`): tasks on one thread wait for each other, but the
//! operating system shares the processors out between threads. `arbiter_watch.rs` decides about arbiters
//! that a handler blocks.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use actix::System;
use actix_rt::{Arbiter, ArbiterHandle};
use parking_lot::Mutex;

use crate::actor::thread_hold::{HeldLately, Stopwatch};
use crate::base::time::Time;
use crate::telemetry;

/// Most dedicated arbiters of all functions together; beyond, functions share these.
const DEDICATED_MAX: usize = 64;

/// Where workers live.
pub(crate) struct Pool {
    arbiters: Mutex<Arbiters>,
    /// How many arbiters are shared, and how many dedicated ones a function has at most.
    size: usize,
    serials: AtomicU64,
    /// The `System` that handlers see as the current one: the application's, if it has one.
    application: Option<System>,
    /// Everything runs on the arbiter that started the runtime: virtual time needs one thread.
    single: bool,
    /// The last attempt to start a thread failed.
    short: AtomicBool,
    /// Until when functions that have not succeeded yet are kept apart: one blocked an arbiter.
    alarm: Mutex<Option<Time>>,
}

/// For how long functions that have not succeeded yet are kept apart after one blocked an arbiter.
const ALARM: Duration = Duration::from_secs(60);

/// A task held its thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadHold {
    pub(crate) time: Duration,
    /// Tasks hold this thread much of the time.
    pub(crate) crowded: bool,
    /// The arbiter, if functions share it.
    pub(crate) shared: Option<u64>,
}

#[derive(Default)]
struct Arbiters {
    shared: Vec<Arc<PoolArbiter>>,
    /// By the function's number.
    dedicated: HashMap<u32, Vec<Arc<PoolArbiter>>>,
}

/// Where the workers of a function are to live.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    Shared,
    /// On dedicated arbiters of the function, at most so many.
    Dedicated(u32),
}

/// An arbiter of the pool, as its workers, the pool and the watch see it.
pub(crate) struct PoolArbiter {
    pub(crate) serial: u64,
    handle: ArbiterHandle,
    /// Workers and closures that are here or on their way.
    placed: AtomicU32,
    /// Odd while a task of the pool's is polled. Written by the arbiter's own thread alone.
    beat: AtomicU64,
    /// The number of the function whose task is polled.
    function: AtomicU32,
    /// It stops with the last that is placed here.
    closing: AtomicBool,
    measured: bool,
    held: Mutex<HeldLately>,
}

/// A worker's, or a closure's, stay on an arbiter.
pub(crate) struct Placement(Arc<PoolArbiter>);

impl PoolArbiter {
    /// Where the beat stands, while a task is polled.
    pub(crate) fn busy_beat(&self) -> Option<u64> {
        let beat = self.beat.load(Ordering::Acquire);
        (beat % 2 == 1).then_some(beat)
    }

    /// The number of the function that is polled, or was last.
    pub(crate) fn function(&self) -> u32 {
        self.function.load(Ordering::Relaxed)
    }

    /// Counts one more in, unless the last one has gone and took the arbiter with it.
    fn join(self: &Arc<Self>) -> Option<Placement> {
        let open =
            |placed| (placed > 0 || !self.closing.load(Ordering::SeqCst)).then_some(placed + 1);
        self.placed
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, open)
            .ok()
            .map(|_| Placement(self.clone()))
    }

    #[cold]
    fn held(&self, time: Duration) -> ThreadHold {
        let shared = !self.closing.load(Ordering::Relaxed);
        ThreadHold {
            time,
            crowded: self.held.lock().note(time),
            shared: shared.then_some(self.serial),
        }
    }

    fn stop_if_empty(&self) {
        if self.closing.load(Ordering::SeqCst) && self.placed.load(Ordering::SeqCst) == 0 {
            self.handle.stop();
        }
    }

    fn load(&self) -> u32 {
        self.placed.load(Ordering::Relaxed)
    }
}

impl Placement {
    pub(crate) fn serial(&self) -> u64 {
        self.0.serial
    }

    pub(crate) fn arbiter(&self) -> ArbiterHandle {
        self.0.handle.clone()
    }

    /// Runs code of this function under the watch. Returns how long it held the thread, if that was long.
    #[inline]
    pub(crate) fn watched<R>(
        &self,
        function: u32,
        code: impl FnOnce() -> R,
    ) -> (R, Option<ThreadHold>) {
        let arbiter = &*self.0;
        let stopwatch = arbiter.measured.then(Stopwatch::start);
        arbiter.function.store(function, Ordering::Relaxed);
        let beat = arbiter.beat.load(Ordering::Relaxed);
        arbiter.beat.store(beat + 1, Ordering::Release);
        let result = code();
        arbiter.beat.store(beat + 2, Ordering::Release);
        let held = stopwatch.and_then(Stopwatch::stop);
        (result, held.map(|time| arbiter.held(time)))
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        self.0.placed.fetch_sub(1, Ordering::SeqCst);
        self.0.stop_if_empty();
    }
}

impl Pool {
    /// Starts `size` shared arbiters in the current `System`.
    pub(crate) fn new(size: usize, application: Option<System>) -> io::Result<Self> {
        let pool = Self {
            size,
            application,
            ..Self::empty(false)
        };
        pool.refill(&mut pool.arbiters.lock().shared)?;
        Ok(pool)
    }

    /// Returns a pool of the present arbiter alone, without a watch.
    pub(crate) fn single() -> Self {
        let pool = Self::empty(true);
        let here = pool.arbiter(Arbiter::current());
        pool.arbiters.lock().shared.push(here);
        pool
    }

    fn empty(single: bool) -> Self {
        Self {
            arbiters: Mutex::default(),
            size: 1,
            serials: AtomicU64::new(0),
            application: None,
            single,
            short: AtomicBool::new(false),
            alarm: Mutex::default(),
        }
    }

    fn arbiter(&self, handle: ArbiterHandle) -> Arc<PoolArbiter> {
        Arc::new(PoolArbiter {
            serial: self.serials.fetch_add(1, Ordering::Relaxed),
            handle,
            placed: AtomicU32::new(0),
            beat: AtomicU64::new(0),
            function: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            measured: !self.single,
            held: Mutex::default(),
        })
    }

    /// One more thread. To be called where the runtime's own `System` is the current one.
    fn start(&self) -> io::Result<Arc<PoolArbiter>> {
        let started = Arbiter::try_new().inspect_err(|error| {
            if !self.short.swap(true, Ordering::Relaxed) {
                telemetry::no_thread(error);
            }
        })?;
        if self.short.swap(false, Ordering::Relaxed) {
            telemetry::threads_again();
        }
        let handle = started.handle();
        if let Some(application) = self.application.clone() {
            // Services that handlers look up in actix's registry are those of the application.
            handle.spawn_fn(move || System::set_current(application));
        }
        Ok(self.arbiter(handle))
    }

    /// Starts shared arbiters in place of those that were replaced or stopped.
    fn refill(&self, shared: &mut Vec<Arc<PoolArbiter>>) -> io::Result<()> {
        if self.single {
            return Ok(());
        }
        shared.retain(|arbiter| arbiter.handle.alive());
        while shared.len() < self.size {
            shared.push(self.start()?);
        }
        Ok(())
    }

    /// Counts a worker of the function, or a closure, in at the arbiter where the fewest are.
    ///
    /// # Errors
    /// When there is no arbiter, and no thread is available for one. Try again later.
    pub(crate) fn place(&self, function: u32, home: Home) -> io::Result<Placement> {
        let mut arbiters = self.arbiters.lock();
        if let Home::Dedicated(most) = home
            && !self.single
        {
            return self.place_alone(&mut arbiters.dedicated, function, most);
        }
        let refilled = self.refill(&mut arbiters.shared);
        fewest(arbiters.shared.iter()).ok_or_else(|| no_arbiter(refilled.err()))
    }

    /// Returns a place on a dedicated arbiter of the function; if there are too many, on another function's. Never on a shared
    /// one, which the function held.
    fn place_alone(
        &self,
        dedicated: &mut HashMap<u32, Vec<Arc<PoolArbiter>>>,
        function: u32,
        most: u32,
    ) -> io::Result<Placement> {
        dedicated.retain(|_, arbiters| {
            arbiters.retain(|arbiter| arbiter.handle.alive() && arbiter.load() > 0);
            !arbiters.is_empty()
        });
        let all: usize = dedicated.values().map(Vec::len).sum();
        let theirs = dedicated.get(&function).map_or(0, Vec::len);
        let mut refused = None;
        if theirs < self.size.min(most as usize) && all < DEDICATED_MAX {
            match self.start() {
                Ok(arbiter) => {
                    arbiter.handle.spawn_fn(step_back);
                    dedicated.entry(function).or_default().push(arbiter.clone());
                    let placement = arbiter.join();
                    arbiter.closing.store(true, Ordering::SeqCst);
                    return placement.ok_or_else(|| no_arbiter(None));
                }
                Err(error) => refused = Some(error),
            }
        }
        fewest(dedicated.get(&function).into_iter().flatten())
            .or_else(|| fewest(dedicated.values().flatten()))
            .ok_or_else(|| no_arbiter(refused))
    }

    /// Takes a blocked arbiter out of the pool; it stops when the last that is placed there has gone. A fresh one takes
    /// its place, now or, if no thread can be had, as soon as one can.
    pub(crate) fn replace(&self, blocked: &Arc<PoolArbiter>) {
        let mut arbiters = self.arbiters.lock();
        let Arbiters { shared, dedicated } = &mut *arbiters;
        for group in dedicated.values_mut().chain([&mut *shared]) {
            group.retain(|arbiter| arbiter.serial != blocked.serial);
        }
        blocked.closing.store(true, Ordering::SeqCst);
        blocked.stop_if_empty();
        let _ = self.refill(shared); // a lack of threads is logged, and the watch tries again
    }

    /// Takes the shared arbiter with this number out of the pool, as `replace` does: a function that was to leave it holds
    /// it on. Returns whether it was there.
    pub(crate) fn give_up(&self, serial: u64) -> bool {
        let arbiters = self.arbiters.lock();
        let found = arbiters
            .shared
            .iter()
            .find(|it| it.serial == serial)
            .cloned();
        drop(arbiters);
        found.is_some_and(|arbiter| {
            self.replace(&arbiter);
            true
        })
    }

    /// A function blocked an arbiter at `now`: those that have not succeeded yet may do the same.
    pub(crate) fn raise_alarm(&self, now: Time) {
        *self.alarm.lock() = Some(now.after(ALARM));
    }

    /// Returns whether functions that have not succeeded yet are kept on dedicated arbiters.
    pub(crate) fn is_alarmed(&self, now: Time) -> bool {
        self.alarm.lock().is_some_and(|until| now < until)
    }

    /// All arbiters, after those that are missing have been started.
    pub(crate) fn all(&self) -> Vec<Arc<PoolArbiter>> {
        let mut arbiters = self.arbiters.lock();
        let _ = self.refill(&mut arbiters.shared); // as above
        let Arbiters { shared, dedicated } = &*arbiters;
        shared
            .iter()
            .chain(dedicated.values().flatten())
            .cloned()
            .collect()
    }
}

/// How far the threads of a function's own arbiters stand back behind others where processors are short: they get a third of
/// what others get.
#[cfg(target_os = "linux")]
const STEPS_BACK: i32 = 5;

/// Gives this thread a lower priority, so that the neighbours of a function that computes have a processor at once. Where
/// that can't be done, they wait for the operating system's next change of threads, some milliseconds.
fn step_back() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(STEPS_BACK); // on Linux, of this thread alone
}

/// Returns a place on the arbiter with the fewest workers and closures.
fn fewest<'a>(arbiters: impl Iterator<Item = &'a Arc<PoolArbiter>>) -> Option<Placement> {
    arbiters.min_by_key(|arbiter| arbiter.load())?.join()
}

fn no_arbiter(refused: Option<io::Error>) -> io::Error {
    refused.unwrap_or_else(|| io::ErrorKind::NotFound.into())
}
