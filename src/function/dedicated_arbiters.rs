//! Dedicated arbiters: when a function's workers leave the shared arbiters, because its handlers hold their thread. Pure.

use std::time::Duration;

use crate::base::time::Time;

/// A function that holds threads so often ...
const TIMES_MIN: u32 = 3;
/// ... and for so long in all ...
const HELD_MAX: Duration = Duration::from_millis(100);
/// ... within so long gets dedicated arbiters ...
const WINDOW: Duration = Duration::from_secs(5);
/// ... until it has held none for so long.
const STAY: Duration = Duration::from_secs(60);

/// The decision about a handler that held its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// Nothing: it happens, or the function has moved already.
    Tolerated,
    /// The function is to move to dedicated arbiters.
    Moves,
    /// The function was to move before it began this: its runs take long, and those beside it are to move.
    Stays,
}

/// How a function has treated its threads lately.
#[derive(Debug, Default)]
pub(crate) struct DedicatedArbiters {
    /// When the present window began, how often threads were held in it, and for how long.
    began: Time,
    times: u32,
    held: Duration,
    /// Since when it has dedicated arbiters, and until when.
    since: Time,
    until: Option<Time>,
}

impl DedicatedArbiters {
    /// A handler held its thread for `held`, until `now`. Where functions together hold a thread much of the time,
    /// once is enough.
    pub(crate) fn held(&mut self, held: Duration, crowded: bool, now: Time) -> Holding {
        if self.is_on(now) {
            self.until = Some(now.after(STAY));
            return match now.since(self.since) > held {
                true => Holding::Stays,
                false => Holding::Tolerated,
            };
        }
        if now.since(self.began) > WINDOW {
            (self.began, self.times, self.held) = (now, 0, Duration::ZERO);
        }
        (self.times, self.held) = (self.times.saturating_add(1), self.held + held);
        let too_much = self.times >= TIMES_MIN && self.held >= HELD_MAX;
        match (too_much || crowded) && self.begin(now) {
            true => Holding::Moves,
            false => Holding::Tolerated,
        }
    }

    /// Gives the function dedicated arbiters from now on. Returns whether it had none.
    pub(crate) fn begin(&mut self, now: Time) -> bool {
        let news = !self.is_on(now);
        if news {
            self.since = now;
        }
        self.until = Some(now.after(STAY));
        news
    }

    /// If the function has had dedicated arbiters before, it has them for as long again.
    pub(crate) fn prolong(&mut self, now: Time) {
        self.until = self.until.map(|_| now.after(STAY));
    }

    /// Returns whether the function's new workers are to live on dedicated arbiters.
    pub(crate) fn is_on(&self, now: Time) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn at(milliseconds: u64) -> Time {
        Time::default().after(Duration::from_secs(10) + ms(milliseconds))
    }

    #[test]
    fn a_function_that_holds_threads_for_100_ms_within_5_s_moves_once() {
        let mut dedicated_arbiters = DedicatedArbiters::default();
        assert_eq!(
            dedicated_arbiters.held(ms(20), false, at(0)),
            Holding::Tolerated
        );
        assert_eq!(
            dedicated_arbiters.held(ms(70), false, at(1_000)),
            Holding::Tolerated
        );
        assert!(!dedicated_arbiters.is_on(at(1_000)));
        assert_eq!(
            dedicated_arbiters.held(ms(10), false, at(4_900)),
            Holding::Moves
        );
        assert!(dedicated_arbiters.is_on(at(4_900)));
        // This one began before.
        assert_eq!(
            dedicated_arbiters.held(ms(400), false, at(5_200)),
            Holding::Tolerated
        );
        assert_eq!(
            dedicated_arbiters.held(ms(400), false, at(5_400)),
            Holding::Stays
        );
    }

    #[test]
    fn two_long_holds_are_tolerated_unless_the_arbiter_is_crowded() {
        let mut dedicated_arbiters = DedicatedArbiters::default();
        assert_eq!(
            dedicated_arbiters.held(ms(900), false, at(0)),
            Holding::Tolerated
        );
        assert_eq!(
            dedicated_arbiters.held(ms(900), false, at(1_000)),
            Holding::Tolerated
        );
        assert_eq!(
            dedicated_arbiters.held(ms(1), false, at(2_000)),
            Holding::Moves
        );
        let mut crowded = DedicatedArbiters::default();
        assert_eq!(crowded.held(ms(1), true, at(0)), Holding::Moves);
    }

    #[test]
    fn holds_of_an_earlier_window_do_not_count() {
        let mut dedicated_arbiters = DedicatedArbiters::default();
        for window in 0..100 {
            for _ in 0..4 {
                let holding = dedicated_arbiters.held(ms(24), false, at(window * 5_001));
                assert_eq!(holding, Holding::Tolerated);
            }
        }
    }

    #[test]
    fn dedicated_arbiters_end_a_minute_after_the_last_hold() {
        let mut dedicated_arbiters = DedicatedArbiters::default();
        assert!(dedicated_arbiters.begin(at(0)));
        dedicated_arbiters.held(ms(1), false, at(30_000));
        assert!(dedicated_arbiters.is_on(at(89_999)));
        assert!(!dedicated_arbiters.is_on(at(90_000)));
        assert!(dedicated_arbiters.begin(at(90_000)), "and may begin again");
    }
}
