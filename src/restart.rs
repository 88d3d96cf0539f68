//! Restart intensity: when a function whose workers keep crashing is held back, and how it returns.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// How many crashes of a function's workers are too many, and how long it is held back then.
///
/// A crash is a panic, an `init` that fails, or a worker that went away. Beyond the intensity the function
/// backs off: nothing of it runs for a while, its events wait unharmed, then one worker tries one event
/// (the probe). A probe that doesn't crash opens the function again; one that does doubles the wait.
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

    /// No crash holds the function back: each event alone pays for its panics.
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

/// What a function may do, as far as its crashes are concerned.
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
    recent: VecDeque<Time>,
    gate: Gate,
    /// The wait that the next crash beyond the intensity leads to.
    backoff: Duration,
    pub(crate) total: u64,
}

impl Restarts {
    pub(crate) fn new(intensity: &RestartIntensity) -> Self {
        Self {
            recent: VecDeque::new(),
            gate: Gate::Open,
            backoff: intensity.backoff_min,
            total: 0,
        }
    }

    pub(crate) fn gate(&self) -> Gate {
        self.gate
    }

    /// A worker crashed at `now`. Answers the gate that follows.
    pub(crate) fn crashed(&mut self, intensity: &RestartIntensity, now: Time) -> Gate {
        self.total += 1;
        if intensity.restarts_max == u32::MAX {
            return self.gate;
        }
        match self.gate {
            Gate::BackingOff(_) => {}
            Gate::Probing => self.back_off(intensity, now),
            Gate::Open => {
                self.recent.push_back(now);
                while self
                    .recent
                    .front()
                    .is_some_and(|&first| now.since(first) > intensity.within)
                {
                    self.recent.pop_front();
                }
                if self.recent.len() > intensity.restarts_max as usize {
                    self.back_off(intensity, now);
                }
            }
        }
        self.gate
    }

    /// The wait is over at `now`: lets one probe through.
    pub(crate) fn probe(&mut self, now: Time) -> Gate {
        if matches!(self.gate, Gate::BackingOff(until) if until <= now) {
            self.gate = Gate::Probing;
        }
        self.gate
    }

    /// A worker ran an event and did not crash. Answers whether that opened the gate.
    pub(crate) fn survived(&mut self, intensity: &RestartIntensity) -> bool {
        if self.gate != Gate::Probing {
            return false;
        }
        self.gate = Gate::Open;
        self.backoff = intensity.backoff_min;
        self.recent.clear();
        true
    }

    fn back_off(&mut self, intensity: &RestartIntensity, now: Time) {
        self.gate = Gate::BackingOff(now.after(self.backoff));
        self.backoff = self.backoff.saturating_mul(2).min(intensity.backoff_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn five_restarts_in_ten_seconds_are_borne_and_the_sixth_backs_off() {
        let intensity = RestartIntensity::default();
        let mut restarts = Restarts::new(&intensity);
        for second in 0..5 {
            assert_eq!(restarts.crashed(&intensity, at(second)), Gate::Open);
        }
        assert_eq!(restarts.crashed(&intensity, at(5)), Gate::BackingOff(at(6)));
    }

    #[test]
    fn slow_crashes_never_back_off() {
        let intensity = RestartIntensity::default();
        let mut restarts = Restarts::new(&intensity);
        assert!((0..100).all(|n| restarts.crashed(&intensity, at(n * 3)) == Gate::Open));
    }

    #[test]
    fn the_wait_doubles_to_five_minutes_while_probes_crash_and_a_survivor_resets_it() {
        let intensity = RestartIntensity::new(0, Duration::from_secs(10));
        let mut restarts = Restarts::new(&intensity);
        let mut now = 0;
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(
                restarts.crashed(&intensity, at(now)),
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
            restarts.crashed(&intensity, at(now)),
            Gate::BackingOff(at(now + 1))
        );
    }
}
