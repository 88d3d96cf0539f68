//! Restart intensity: when a function whose workers keep crashing is held back, and how it returns.
//!
//! | crash | counts | held back when |
//! |---|---|---|
//! | `init` failed | always | more than `restarts_max` of these `within` |
//! | a handler blocked its arbiter | always | the same; and while too many of its threads are abandoned |
//! | a handler panicked, a worker was lost | while nothing succeeds | more than `restarts_max` of these `within`, and no success among the last 20 runs |
//!
//! So a few events that panic use up only their own attempts: a success in between proves the function healthy.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::time::Time;

/// How many crashes of a function's workers are too many, and how long it is held back then.
///
/// A crash is a panic, an `init` that fails, a worker that went away, or a handler that blocks its thread
/// ([`Builder::blocked_after`](crate::Builder::blocked_after)). Beyond the intensity the function backs off: nothing of it
/// runs for a while, its events wait unharmed, then one worker tries one event (the probe), by preference one that has not
/// crashed yet. A probe that doesn't crash opens the function again; one that does doubles the wait.
///
/// Panics and lost workers hold a function back only if nothing of it succeeds: as long as one of its last 20 runs was a
/// success, each event alone pays for its panics.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartIntensity {
    pub(crate) restarts_max: u32,
    pub(crate) within: Duration,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
}

impl RestartIntensity {
    /// At most `restarts_max` crashes `within` a sliding span of time.
    pub fn new(restarts_max: u32, within: Duration) -> Self {
        Self {
            restarts_max,
            within,
            ..Self::default()
        }
    }

    /// No crash holds the function back: each event alone pays for its panics. The bound on abandoned threads holds all the
    /// same.
    pub fn unlimited() -> Self {
        Self::new(u32::MAX, Duration::ZERO)
    }

    /// The first wait, and the longest that doubling leads to.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        (self.backoff_min, self.backoff_max) = (min, max);
        self
    }

    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.backoff_min.is_zero() {
            Some(
                "the first backoff is zero: a crash loop would spin; give it at least a millisecond",
            )
        } else if self.backoff_max < self.backoff_min {
            Some("the longest backoff is below the first: raise it")
        } else {
            None
        }
    }
}

/// 5 restarts in 10 s; 1 s doubling to 5 min.
impl Default for RestartIntensity {
    fn default() -> Self {
        Self {
            restarts_max: 5,
            within: Duration::from_secs(10),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
        }
    }
}

/// A success among so many runs proves that a function works.
const PROOF_RUNS: u32 = 20;

/// What happened to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Its `init` failed.
    Init,
    /// Its handler does not let go of its thread, which is abandoned.
    Blocked,
    /// Its handler panicked, or it went away with an event.
    Run,
}

/// How much of a function may run after its crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Nothing runs until then.
    BackingOff(Time),
    /// One worker, one event at a time.
    Probing,
}

/// The crashes of one function.
#[derive(Debug)]
pub(crate) struct Restarts {
    /// The last crashes that count always, and the last ones that count while nothing succeeds: one more of each than
    /// are allowed.
    always: VecDeque<Time>,
    runs: VecDeque<Time>,
    /// Runs since the last success.
    pub(crate) failures: u32,
    gate: Gate,
    /// The wait that the next crash beyond the intensity leads to.
    backoff: Duration,
    /// Threads that a handler did not let go of yet.
    pub(crate) abandoned: u32,
    pub(crate) total: u64,
}

impl Restarts {
    pub(crate) fn new(intensity: &RestartIntensity) -> Self {
        Self {
            always: VecDeque::new(),
            runs: VecDeque::new(),
            failures: 0,
            gate: Gate::Open,
            backoff: intensity.backoff_min,
            abandoned: 0,
            total: 0,
        }
    }

    pub(crate) fn gate(&self) -> Gate {
        self.gate
    }

    /// A worker crashed at `now`. Returns the gate that follows.
    pub(crate) fn crashed(
        &mut self,
        crash: Crash,
        intensity: &RestartIntensity,
        now: Time,
    ) -> Gate {
        self.total += 1;
        if intensity.restarts_max == u32::MAX {
            return self.gate;
        }
        match self.gate {
            Gate::BackingOff(_) => {}
            Gate::Probing => self.back_off(intensity, now),
            Gate::Open => {
                let (recent, unproven) = match crash {
                    Crash::Init | Crash::Blocked => (&mut self.always, true),
                    Crash::Run => (&mut self.runs, self.failures >= PROOF_RUNS),
                };
                if are_too_many(recent, intensity, now) && unproven {
                    self.back_off(intensity, now);
                }
            }
        }
        self.gate
    }

    /// A run ended without a success.
    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The wait is over at `now`: lets one probe through.
    pub(crate) fn probe(&mut self, now: Time) -> Gate {
        if matches!(self.gate, Gate::BackingOff(until) if until <= now) {
            self.gate = Gate::Probing;
        }
        self.gate
    }

    /// A worker ran an event and did not crash. Returns whether that opened the gate.
    pub(crate) fn survived(&mut self, intensity: &RestartIntensity) -> bool {
        if self.gate != Gate::Probing {
            return false;
        }
        self.gate = Gate::Open;
        self.backoff = intensity.backoff_min;
        self.always.clear();
        self.runs.clear();
        true
    }

    fn back_off(&mut self, intensity: &RestartIntensity, now: Time) {
        self.gate = Gate::BackingOff(now.after(self.backoff));
        self.backoff = self.backoff.saturating_mul(2).min(intensity.backoff_max);
    }
}

/// Notes a crash at `now`: are there more than are allowed within the span? Keeps one more than are allowed.
fn are_too_many(recent: &mut VecDeque<Time>, intensity: &RestartIntensity, now: Time) -> bool {
    let is_old = |first: &Time| now.since(*first) > intensity.within;
    while recent.len() > intensity.restarts_max as usize || recent.front().is_some_and(is_old) {
        recent.pop_front();
    }
    recent.push_back(now);
    recent.len() > intensity.restarts_max as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn five_failed_starts_in_ten_seconds_are_tolerated_and_the_sixth_backs_off() {
        let intensity = RestartIntensity::default();
        for crash in [Crash::Init, Crash::Blocked] {
            let mut restarts = Restarts::new(&intensity);
            for second in 0..5 {
                assert_eq!(restarts.crashed(crash, &intensity, at(second)), Gate::Open);
            }
            let sixth = restarts.crashed(crash, &intensity, at(5));
            assert_eq!(sixth, Gate::BackingOff(at(6)));
        }
    }

    #[test]
    fn panics_back_off_once_twenty_runs_brought_no_success() {
        let intensity = RestartIntensity::default();
        let mut restarts = Restarts::new(&intensity);
        for run in 1..=20 {
            restarts.failed();
            let gate = restarts.crashed(Crash::Run, &intensity, at(1));
            let expected = if run < 20 {
                Gate::Open
            } else {
                Gate::BackingOff(at(2))
            };
            assert_eq!(gate, expected, "run {run}");
        }
    }

    #[test]
    fn panics_beside_successes_never_back_off() {
        let intensity = RestartIntensity::default();
        let mut restarts = Restarts::new(&intensity);
        for _ in 0..1_000 {
            restarts.failures = 0;
            for _ in 0..19 {
                restarts.failed();
                assert_eq!(restarts.crashed(Crash::Run, &intensity, at(1)), Gate::Open);
            }
        }
        assert!(restarts.runs.len() <= 6, "no more are kept than are needed");
    }

    #[test]
    fn slow_crashes_never_back_off() {
        let intensity = RestartIntensity::default();
        let mut restarts = Restarts::new(&intensity);
        let mut crash = |n: u64| restarts.crashed(Crash::Init, &intensity, at(n * 3));
        assert!((0..100).all(|n| crash(n) == Gate::Open));
    }

    #[test]
    fn the_wait_doubles_to_five_minutes_while_probes_crash_and_a_survivor_resets_it() {
        let intensity = RestartIntensity::new(0, Duration::from_secs(10));
        let mut restarts = Restarts::new(&intensity);
        let mut now = 0;
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(
                restarts.crashed(Crash::Init, &intensity, at(now)),
                Gate::BackingOff(at(now + wait))
            );
            assert_eq!(
                restarts.probe(at(now + wait - 1)),
                Gate::BackingOff(at(now + wait))
            );
            now += wait;
            assert_eq!(restarts.probe(at(now)), Gate::Probing);
        }
        assert!(restarts.survived(&intensity));
        assert_eq!(
            restarts.crashed(Crash::Init, &intensity, at(now)),
            Gate::BackingOff(at(now + 1))
        );
    }
}
