//! Pace: when a worker yields its arbiter, and whether it polls for the next event instead of sleeping. Pure.
//!
//! | what happened | what follows |
//! |---|---|
//! | the worker went on for 200 us, or for 256 events | it yields to the other tasks of its arbiter |
//! | the handler waited for something, or the worker slept | others had their turn: the count begins anew |
//! | 16 runs in a row took at most 20 us each | the worker is fast: when it finds no event, it polls for a moment |
//! | a run took longer or waited, or the worker slept | the row begins anew |
//! | it has polled for 5 us | it gives up its processor between polls |
//! | it has polled for 50 us, or 1,000 times | it sleeps until it is woken |

use std::time::Duration;

use crate::base::time::Time;
use crate::mailbox::wake::WorkerMode;

/// How long a worker goes on before the other tasks of its arbiter are polled, and with how many events at most.
const TURN_MAX: Duration = Duration::from_micros(200);
const TURN_RUNS_MAX: u32 = 256;

/// Quick runs in a row that make a worker fast: after so many, the next event is probably near.
const FAST_RUNS: u32 = 16;
/// Longest run that counts as quick; one that waits for something never does.
const QUICK: Duration = Duration::from_micros(20);

/// How long a fast worker polls before it sleeps.
const POLLING_MAX: Duration = Duration::from_micros(50);
/// How long it polls without giving up its processor, which other threads usually have a use for.
const SPIN_MAX: Duration = Duration::from_micros(5);
/// How often it polls at most: a virtual clock stands still while any task goes on.
pub(super) const POLLS_MAX: u32 = 1_000;

/// The pace of one worker.
pub(super) struct Pace {
    /// The present turn at the arbiter: when it began, and how many events ran in it.
    turn_began: Time,
    turn_runs: u32,
    /// Quick runs in a row.
    quick_runs: u32,
    /// When the last run began, until its length is known.
    run_began: Option<Time>,
    /// The worker has polled since the last run, and found nothing.
    polled: bool,
}

/// The next step of a worker that polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polling {
    Spin,
    /// Give up the processor, then poll again.
    YieldThread,
    Stop,
}

impl Pace {
    pub(super) fn new(now: Time) -> Self {
        Self {
            turn_began: now,
            turn_runs: 0,
            quick_runs: 0,
            run_began: None,
            polled: false,
        }
    }

    /// Starts anew with another state of the user's; the turn at the arbiter goes on.
    pub(super) fn new_state(&mut self) {
        (self.quick_runs, self.run_began, self.polled) = (0, None, false);
    }

    /// Begins a turn at the arbiter: the other tasks were polled.
    pub(super) fn new_turn(&mut self, now: Time) {
        (self.turn_began, self.turn_runs) = (now, 0);
    }

    /// Notes that the worker is between two runs at `now`. Returns whether it must yield.
    #[inline]
    pub(super) fn must_yield(&mut self, now: Time) -> bool {
        if self
            .run_began
            .take()
            .is_some_and(|began| now.since(began) > QUICK)
        {
            self.quick_runs = 0;
        }
        self.turn_runs >= TURN_RUNS_MAX || now.since(self.turn_began) >= TURN_MAX
    }

    /// Returns how the worker asks for its next event.
    #[inline]
    pub(super) fn mode(&self) -> WorkerMode {
        match (self.quick_runs >= FAST_RUNS, self.polled) {
            (false, _) => WorkerMode::Normal,
            (true, false) => WorkerMode::FastPolling,
            (true, true) => WorkerMode::Fast,
        }
    }

    /// The worker has polled; `found` if there may be an event.
    pub(super) fn polled(&mut self, found: bool) {
        self.polled = !found;
    }

    /// The worker has slept, and woke at `now`.
    pub(super) fn slept(&mut self, now: Time) {
        (self.quick_runs, self.polled) = (0, false);
        self.new_turn(now);
    }

    #[inline]
    pub(super) fn run_begins(&mut self, now: Time) {
        (self.run_began, self.polled) = (Some(now), false);
    }

    /// A run ended whose handler never waited.
    #[inline]
    pub(super) fn run_ended(&mut self) {
        self.turn_runs += 1;
        self.quick_runs = self.quick_runs.saturating_add(1);
    }

    /// A run ended at `now` whose handler waited for something.
    pub(super) fn waiting_run_ended(&mut self, now: Time) {
        self.quick_runs = 0;
        self.new_turn(now);
    }
}

/// Decides what a worker does that has polled for so long without finding an event.
pub(super) fn polling(polled_for: Duration) -> Polling {
    if polled_for >= POLLING_MAX {
        Polling::Stop
    } else if polled_for >= SPIN_MAX {
        Polling::YieldThread
    } else {
        Polling::Spin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::default().after(Duration::from_micros(micros))
    }

    /// Runs an event from `from` to `to` without waiting. Returns whether the worker must yield then.
    fn run(pace: &mut Pace, from: u64, to: u64) -> bool {
        pace.run_begins(at(from));
        pace.run_ended();
        pace.must_yield(at(to))
    }

    fn run_at_once(pace: &mut Pace, events: u32) {
        for _ in 0..events {
            run(pace, 0, 0);
        }
    }

    #[test]
    fn a_worker_yields_after_200_microseconds() {
        let mut pace = Pace::new(at(0));
        assert!(!run(&mut pace, 0, 199));
        assert!(run(&mut pace, 199, 200));
        pace.new_turn(at(300));
        assert!(!pace.must_yield(at(499)));
    }

    #[test]
    fn a_worker_yields_after_256_events_however_quick_they_are() {
        let mut pace = Pace::new(at(0));
        assert!((0..255).all(|_| !run(&mut pace, 0, 0)));
        assert!(run(&mut pace, 0, 0));
    }

    #[test]
    fn a_run_that_waits_begins_a_new_turn_and_ends_the_quick_row() {
        let mut pace = Pace::new(at(0));
        run_at_once(&mut pace, 16);
        pace.run_begins(at(0));
        pace.waiting_run_ended(at(1_000));
        assert!(!pace.must_yield(at(1_199)));
        assert!(pace.mode() == WorkerMode::Normal);
    }

    #[test]
    fn sixteen_quick_runs_in_a_row_make_a_worker_fast() {
        let mut pace = Pace::new(at(0));
        for _ in 0..15 {
            run(&mut pace, 0, 20);
            assert!(pace.mode() == WorkerMode::Normal);
        }
        run(&mut pace, 0, 20);
        assert!(pace.mode() == WorkerMode::FastPolling);
        run(&mut pace, 0, 21);
        assert!(pace.mode() == WorkerMode::Normal);
    }

    #[test]
    fn a_fast_worker_polls_once_after_each_run_and_is_slow_again_after_sleeping() {
        let mut pace = Pace::new(at(0));
        run_at_once(&mut pace, 16);
        pace.polled(false);
        assert!(pace.mode() == WorkerMode::Fast);
        run(&mut pace, 0, 0);
        assert!(pace.mode() == WorkerMode::FastPolling);
        pace.polled(true);
        assert!(pace.mode() == WorkerMode::FastPolling);
        pace.slept(at(500));
        assert!(pace.mode() == WorkerMode::Normal && !pace.must_yield(at(600)));
    }

    #[test]
    fn a_new_state_starts_a_new_row_within_the_same_turn() {
        let mut pace = Pace::new(at(0));
        run_at_once(&mut pace, 256);
        pace.new_state();
        assert!(pace.mode() == WorkerMode::Normal && pace.must_yield(at(0)));
    }

    #[test]
    fn polling_spins_then_yields_the_thread_then_stops() {
        let step = |micros| polling(Duration::from_micros(micros));
        assert_eq!([step(0), step(4)], [Polling::Spin; 2]);
        assert_eq!([step(5), step(49)], [Polling::YieldThread; 2]);
        assert_eq!([step(50), step(900)], [Polling::Stop; 2]);
    }
}
