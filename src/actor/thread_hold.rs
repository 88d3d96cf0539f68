//! How long a task held its thread. This is real time, for threads are real: where time is virtual, nothing is measured.

use std::time::{Duration, Instant};

/// A task that goes on for so long without giving its thread up holds it.
const LONG: Duration = Duration::from_millis(1);

/// An arbiter is crowded when tasks hold its thread for so long within so long.
const CROWDED: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_secs(1);

/// How long all functions together held an arbiter's thread lately.
#[derive(Debug, Default)]
pub(crate) struct HeldLately {
    began: Option<Instant>,
    held: Duration,
    /// The window before, or this one by now, was full of it.
    crowded: bool,
}

impl HeldLately {
    /// Notes that a task held the thread for so long. Returns whether the arbiter is crowded.
    pub(crate) fn note(&mut self, held: Duration) -> bool {
        let began = *self.began.get_or_insert_with(Instant::now);
        if began.elapsed() > WINDOW {
            let recent = began.elapsed() < 2 * WINDOW;
            self.crowded = recent && self.held >= CROWDED;
            (self.began, self.held) = (None, Duration::ZERO);
        }
        self.held += held;
        self.crowded |= self.held >= CROWDED;
        self.crowded
    }
}

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
    pub(crate) fn stop(self) -> Option<Duration> {
        let took = self.0.elapsed();
        if took < LONG {
            return None;
        }
        without_delay(took)
    }
}

#[cold]
fn without_delay(took: Duration) -> Option<Duration> {
    let held = took.saturating_sub(new_delay());
    (held >= LONG).then_some(held)
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
