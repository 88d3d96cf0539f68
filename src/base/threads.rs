//! The threads that blocking handlers run on.
//!
//! Each worker of a blocking function has a separate thread, so that functions don't compete for threads, and the pools of
//! tokio's runtimes are left to the application. A thread can't be stopped: when an attempt is given up, its worker abandons
//! the thread and starts another for the next attempt. The function's mailbox counts the abandoned threads.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::base::panic;

/// The callback that counts the abandoned threads of a function.
#[derive(Default)]
pub(crate) struct Threads(OnceLock<Box<dyn Fn(Change) + Send + Sync>>);

/// A change in the number of abandoned threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A thread still runs an attempt that was given up.
    Abandoned,
    /// An abandoned thread has finished.
    Returned,
}

impl Threads {
    /// Sets the callback, once.
    pub(crate) fn on_change(&self, callback: impl Fn(Change) + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(callback));
    }

    fn report(&self, change: Change) {
        if let Some(callback) = self.0.get() {
            callback(change);
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A worker's thread. It starts with the first job. Dropping it ends the thread after its present job.
#[derive(Default)]
pub(crate) struct Thread(Option<mpsc::Sender<Job>>);

impl Thread {
    /// Runs `work` on the thread, which survives its panic. Returns the run; dropping that gives the work up.
    ///
    /// # Errors
    /// When the machine has no thread for it now. Then `work` never begins.
    pub(crate) fn run<R: Send + 'static>(
        &mut self,
        name: &str,
        threads: &Arc<Threads>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> io::Result<Run<R>> {
        let (run, job) = Run::new(threads, work);
        let jobs = match &self.0 {
            Some(jobs) => jobs,
            None => self.0.insert(Self::start(name)?),
        };
        let _ = jobs.send(Box::new(job)); // the thread waits for it
        Ok(run)
    }

    fn start(name: &str) -> io::Result<mpsc::Sender<Job>> {
        let (jobs, next) = mpsc::channel::<Job>();
        // The work can log and spawn on the worker's runtime, as on tokio's threads.
        let runtime = tokio::runtime::Handle::try_current();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
                for job in next {
                    // For example, a log subscriber may panic.
                    let _ = panic::catch(job);
                }
            })?;
        Ok(jobs)
    }

    /// As `run`, on a thread of the present runtime's pool: a virtual clock stands still while that thread works. Returns
    /// the run.
    pub(crate) fn run_simulated<R: Send + 'static>(
        threads: &Arc<Threads>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Run<R> {
        let (run, job) = Run::new(threads, work);
        drop(actix_rt::task::spawn_blocking(job));
        run
    }
}

/// The stages of a run. Each step is taken once, by the worker or by the thread.
mod stage {
    pub(crate) const WAITING: u8 = 0;
    pub(crate) const BEGUN: u8 = 1;
    pub(crate) const OVER: u8 = 2;
    /// Given up before it began: it never begins.
    pub(crate) const GIVEN_UP: u8 = 3;
    /// Given up after it began: it still runs.
    pub(crate) const ABANDONED: u8 = 4;
}

/// The future of work on a thread. `None` if the work panicked.
pub(crate) struct Run<R> {
    result: oneshot::Receiver<R>,
    shared: Arc<Shared>,
}

struct Shared {
    stage: AtomicU8,
    threads: Arc<Threads>,
}

impl Shared {
    /// Goes from one stage to another. Returns whether it was at the first.
    fn step(&self, from: u8, to: u8) -> bool {
        let step = self
            .stage
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        step.is_ok()
    }
}

impl<R: Send + 'static> Run<R> {
    fn new(
        threads: &Arc<Threads>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> (Self, impl FnOnce() + Send + 'static) {
        let (sender, result) = oneshot::channel();
        let shared = Arc::new(Shared {
            stage: AtomicU8::new(stage::WAITING),
            threads: threads.clone(),
        });
        let run = Self {
            result,
            shared: shared.clone(),
        };
        let job = move || {
            if !shared.step(stage::WAITING, stage::BEGUN) {
                return;
            }
            let over = Over(shared);
            let result = work();
            drop(over);
            let _ = sender.send(result); // the worker may have given it up
        };
        (run, job)
    }
}

impl<R> Future for Run<R> {
    type Output = Option<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result).poll(cx).map(Result::ok)
    }
}

impl<R> Drop for Run<R> {
    fn drop(&mut self) {
        let shared = &self.shared;
        if shared.step(stage::WAITING, stage::GIVEN_UP)
            || shared.stage.load(Ordering::Acquire) != stage::BEGUN
        {
            return;
        }
        // Reported first: the return must not be reported before it.
        shared.threads.report(Change::Abandoned);
        if !shared.step(stage::BEGUN, stage::ABANDONED) {
            shared.threads.report(Change::Returned);
        }
    }
}

/// Ends a run, also when its work panics.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        if self.0.stage.swap(stage::OVER, Ordering::AcqRel) == stage::ABANDONED {
            self.0.threads.report(Change::Returned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the reported changes, in their order.
    fn changes(threads: &Threads) -> mpsc::Receiver<Change> {
        let (sender, changes) = mpsc::channel();
        threads.on_change(move |change| sender.send(change).unwrap());
        changes
    }

    #[test]
    fn a_run_that_is_given_up_before_it_begins_never_begins() {
        let threads = Arc::default();
        let changes = changes(&threads);
        let (run, job) = Run::new(&threads, || panic!("it was given up"));
        drop::<Run<()>>(run);
        job();
        assert_eq!(changes.try_iter().count(), 0);
    }

    #[test]
    fn an_abandoned_thread_is_reported_and_so_is_its_return() {
        let threads = Arc::default();
        let changes = changes(&threads);
        let (open, gate) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let mut thread = Thread::default();
        let run = thread.run("f", &threads, move || {
            begun.send(()).unwrap();
            gate.recv()
        });
        begins.recv().unwrap();
        drop(run);
        assert_eq!(changes.recv(), Ok(Change::Abandoned));
        assert!(changes.try_recv().is_err());
        drop(open);
        assert_eq!(changes.recv(), Ok(Change::Returned));
    }

    #[test]
    fn a_thread_runs_one_job_after_the_other_and_survives_their_panics() {
        let threads = Arc::default();
        let changes = changes(&threads);
        let mut thread = Thread::default();
        let mut on = |work: fn() -> Option<std::thread::ThreadId>| {
            let run = thread.run("f", &threads, work).unwrap();
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
                .block_on(run)
        };
        let id = || Some(std::thread::current().id());
        let first = on(id);
        assert_eq!(on(id), first);
        assert_eq!(on(|| std::panic::resume_unwind(Box::new("dies"))), None);
        assert_eq!(on(id), first);
        assert_eq!(changes.try_iter().count(), 0);
    }
}
