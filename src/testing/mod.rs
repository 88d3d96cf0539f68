//! The testing kit: a runtime in virtual time, functions that follow a script, faults by seed, a store that fails
//! on purpose. With the feature `testing`.
//!
//! ```
//! use std::time::Duration;
//! use redrive::testing::{Script, Simulation, scripted};
//!
//! redrive::testing::run(async {
//!     let simulation = Simulation::start(7, redrive::Runtime::builder().function(scripted("charge"))).await?;
//!     simulation.client().invoke("charge", Script::always_fails()).await?;
//!     simulation.advance(Duration::from_secs(6 * 3600)).await; // takes no time at all
//!     assert_eq!(simulation.dead("charge"), 1);
//!     assert_eq!(simulation.stats("charge").invocations, 3);
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })
//! # .unwrap();
//! ```

mod contract;
mod faulty;
mod real_io;
mod recording;
#[cfg(feature = "disk")]
mod simulated_disk;

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::LocalBoxFuture;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::clock::{self, Clock};
use crate::client::Client;
use crate::error::BuildError;
use crate::event::directive::{Final, RetryAfter, Throttled};
use crate::function::Function;
use crate::function::context::Event;
use crate::runtime::{Builder, Runtime};
use crate::telemetry::Stats;

pub use contract::judge;
pub use faulty::{FaultyStore, StoreCall, StoreFault};
use real_io::RealIo;
pub use recording::RecordingStore;
#[cfg(feature = "disk")]
pub use simulated_disk::SimulatedDisk;

/// Runs `test` in an actix `System` on this thread whose clock stands still while anything can be done, and jumps to
/// the next timer when nothing can.
///
/// Work that takes real time takes no virtual time: the clock stands still while a blocking function runs, which therefore
/// has no timeout, and, on Linux, while sockets are open and anything came through them within the last 300 ms. The
/// clock does not wait for I/O that takes longer at a stretch, nor for the application's own threads: it jumps.
///
/// # Panics
/// When the system can't be built, or `test` panics.
pub fn run<R>(test: impl Future<Output = R>) -> R {
    let real_io = Arc::new(RealIo::default());
    let runtime = || {
        real_io.watch(|idle| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder
                .enable_all()
                .start_paused(true)
                .on_thread_park(idle)
                .build()
                .expect("a runtime on this thread can be built")
        })
    };
    actix::System::with_tokio_rt(runtime).block_on(real_io.count(test))
}

/// A runtime in virtual time on one arbiter. One seed gives one course of events.
///
/// All of it runs on the thread of the test, so the test controls the time: it passes only in
/// [`advance`](Self::advance), or while the test itself waits for something.
#[derive(Debug)]
pub struct Simulation {
    runtime: Runtime,
}

/// Where virtual time begins: the first second of 2026, UTC.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

impl Simulation {
    /// Starts the runtime; call it inside [`run`]. A folder of [`Builder::disk`] is written in the test's own thread.
    ///
    /// # Errors
    /// As [`Builder::start`], and outside of virtual time.
    pub async fn start(seed: u64, builder: Builder) -> Result<Self, BuildError> {
        if actix::System::try_current().is_none() {
            return Err(BuildError::NoSystem);
        }
        if !clock::is_virtual() {
            return Err(BuildError::RealTime);
        }
        let clock = Clock::simulated(seed, SystemTime::UNIX_EPOCH + EPOCH);
        Ok(Self {
            runtime: builder.simulated(clock).start().await?,
        })
    }

    /// Returns the runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Returns the runtime, for its shutdown.
    pub fn into_runtime(self) -> Runtime {
        self.runtime
    }

    /// Returns a client of the runtime.
    pub fn client(&self) -> Client {
        self.runtime.client()
    }

    /// Lets `time` pass: every timer within it fires at its moment, and all that follows from it is done before the next.
    pub async fn advance(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets everything be done that can be done without time passing (but for one millisecond).
    pub async fn settle(&self) {
        self.advance(Duration::from_millis(1)).await;
    }

    /// Sets the wall clock, as an operator does or a time server. Delays run on as before: only
    /// [`Invoke::not_before`](crate::Invoke::not_before) and the times that are reported follow the wall clock.
    pub fn set_wall_clock(&self, time: SystemTime) {
        self.client().clock().set_wall(time);
    }

    /// Returns a function's figures.
    ///
    /// # Panics
    /// When it is not registered.
    pub fn stats(&self, function: &str) -> Stats {
        self.client()
            .function_stats(function)
            .expect("the function is registered")
    }

    /// Returns the number of events accepted so far.
    pub fn accepted(&self, function: &str) -> u64 {
        self.stats(function).events.accepted
    }

    /// Returns the number of running events.
    pub fn running(&self, function: &str) -> u64 {
        self.stats(function).events.running
    }

    /// Returns the number of delayed events.
    pub fn delayed(&self, function: &str) -> u64 {
        self.stats(function).events.delayed
    }

    /// Returns the number of events that succeeded.
    pub fn succeeded(&self, function: &str) -> u64 {
        self.stats(function).events.succeeded
    }

    /// Returns the number of events that became dead letters.
    pub fn dead(&self, function: &str) -> u64 {
        self.stats(function).events.dead
    }

    /// Checks for all functions that no event is lost: `accepted = succeeded + dead + cancelled + pending`.
    ///
    /// # Panics
    /// When the equation doesn't hold.
    pub fn assert_nothing_lost(&self) {
        for function in self.client().functions() {
            let stats = self.stats(function.as_str());
            let events = stats.events;
            let known = events.succeeded + events.dead + events.cancelled + events.pending();
            assert_eq!(
                events.accepted, known,
                "events of function `{function}`: {events:?}"
            );
        }
    }
}

/// One attempt of a scripted function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Step {
    /// Returns the event's request id.
    Succeed,
    /// Returns an error with this text.
    Fail(String),
    /// Returns a final error with this text.
    Final(String),
    /// Returns an error that asks for this delay.
    RetryAfter(Duration),
    /// Returns a throttle.
    Throttle,
    /// Panics before its first await.
    Panic,
    /// Panics after an await.
    PanicLater,
    /// Panics in the `Drop` of something it holds.
    PanicInDrop,
    /// Never returns.
    Hang,
    /// Takes this long, then succeeds.
    Take(Duration),
}

/// The payload of a scripted function: one step for each attempt. Further attempts repeat the last step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Script(pub Vec<Step>);

impl Script {
    /// Succeeds at once.
    pub fn succeeds() -> Self {
        Self(vec![Step::Succeed])
    }

    /// Fails in every attempt.
    pub fn always_fails() -> Self {
        Self(vec![Step::Fail("as scripted".to_owned())])
    }

    /// Fails `attempts` times, then succeeds.
    pub fn fails(attempts: usize) -> Self {
        let mut steps = vec![Step::Fail("as scripted".to_owned()); attempts];
        steps.push(Step::Succeed);
        Self(steps)
    }

    fn step(&self, attempt: u32) -> Step {
        let index = (attempt as usize).saturating_sub(1);
        self.0
            .get(index)
            .or(self.0.last())
            .cloned()
            .unwrap_or(Step::Succeed)
    }
}

/// Returns a function that follows its payload, a [`Script`].
pub fn scripted(name: &str) -> Function {
    Function::new(name, |event: Event<Script>| async move {
        let step = event.step(event.context().attempt());
        follow(step).await.map(|()| event.context().request_id())
    })
}

type AnyError = Box<dyn Error + Send + Sync>;

async fn follow(step: Step) -> Result<(), AnyError> {
    match step {
        Step::Succeed => Ok(()),
        Step::Fail(text) => Err(text.into()),
        Step::Final(text) => Err(Final::new(text).into()),
        Step::RetryAfter(delay) => Err(RetryAfter::new(delay, "as scripted").into()),
        Step::Throttle => Err(Throttled::new("as scripted").into()),
        Step::Panic => panic!("as scripted"),
        Step::PanicLater => {
            tokio::task::yield_now().await;
            panic!("as scripted, later")
        }
        Step::PanicInDrop => {
            let _grenade = Grenade;
            tokio::task::yield_now().await;
            Ok(())
        }
        Step::Hang => std::future::pending().await,
        Step::Take(time) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
    }
}

struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("as scripted, in a drop");
        }
    }
}

/// Faults for a user's handler, by seed: one seed hits the same attempts each time.
#[derive(Clone, Debug)]
pub struct Faults {
    rng: Arc<Mutex<SmallRng>>,
    rates: Vec<(f64, Step)>,
    chosen: Vec<(u32, Step)>,
}

impl Faults {
    /// Returns a value without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))),
            rates: Vec::new(),
            chosen: Vec::new(),
        }
    }

    /// Adds errors, in this share of all attempts (0 to 1).
    pub fn errors(self, share: f64) -> Self {
        self.share(share, Step::Fail("injected".to_owned()))
    }

    /// Adds panics, in this share of all attempts.
    pub fn panics(self, share: f64) -> Self {
        self.share(share, Step::Panic)
    }

    /// Adds hangs, in this share of all attempts.
    pub fn hangs(self, share: f64) -> Self {
        self.share(share, Step::Hang)
    }

    /// Adds this step, in this share of all attempts.
    pub fn share(mut self, share: f64, step: Step) -> Self {
        self.rates.push((share, step));
        self
    }

    /// Adds this step, in attempt number `attempt` of every event.
    pub fn at(mut self, attempt: u32, step: Step) -> Self {
        self.chosen.push((attempt, step));
        self
    }

    /// Returns `handler` with the faults in front of it.
    pub fn inject<T, R, E, F, Fut>(
        self,
        handler: F,
    ) -> impl Fn(Event<T>) -> LocalBoxFuture<'static, Result<R, AnyError>> + Send + Sync + 'static
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        R: Serialize + 'static,
        E: Into<AnyError> + 'static,
        F: Fn(Event<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + 'static,
    {
        let handler = Arc::new(handler);
        move |event: Event<T>| {
            let (handler, fault) = (handler.clone(), self.fault(event.context().attempt()));
            Box::pin(async move {
                if let Some(step) = fault {
                    follow(step).await?;
                }
                handler(event).await.map_err(Into::into)
            })
        }
    }

    fn fault(&self, attempt: u32) -> Option<Step> {
        if let Some((_, step)) = self.chosen.iter().find(|(chosen, _)| *chosen == attempt) {
            return Some(step.clone());
        }
        let mut chance: f64 = self.rng.lock().random();
        for (share, step) in &self.rates {
            if chance < *share {
                return Some(step.clone());
            }
            chance -= share;
        }
        None
    }
}
