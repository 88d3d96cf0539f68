//! How long a task held its thread. This is real time, for threads are real: where time is virtual, nothing is measured.

use std::time::{Duration, Instant};

/// A task that goes on for so long without giving its thread up holds it.
const LONG: Duration = Duration::from_millis(1);

/// For how long a task held its thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held(pub(crate) Duration);

/// Runs since a task began.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[inline]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// For how long the task held its thread; `None` unless that was long. Time that the thread spent waiting for a
    /// processor is the machine's doing and doesn't count.
    #[inline]
    pub(crate) fn stop(self) -> Option<Held> {
        let took = self.0.elapsed();
        if took < LONG {
            return None;
        }
        without_delay(took)
    }
}

#[cold]
fn without_delay(took: Duration) -> Option<Held> {
    let held = took.saturating_sub(new_delay());
    (held >= LONG).then_some(Held(held))
}

/// How long this thread has waited for a processor since the last time that this was asked.
#[cfg(target_os = "linux")]
fn new_delay() -> Duration {
    use std::cell::Cell;
    thread_local! {
        static KNOWN: Cell<u64> = const { Cell::new(0) };
    }
    // Three numbers: nanoseconds on a processor, nanoseconds of waiting for one, how often it had one.
    let Ok(line) = std::fs::read_to_string("/proc/thread-self/schedstat") else {
        return Duration::ZERO;
    };
    let delay = line.split_whitespace().nth(1);
    let delay: u64 = delay.and_then(|delay| delay.parse().ok()).unwrap_or(0);
    let known = KNOWN.replace(delay);
    Duration::from_nanos(delay.saturating_sub(known))
}

#[cfg(not(target_os = "linux"))]
fn new_delay() -> Duration {
    Duration::ZERO
}
