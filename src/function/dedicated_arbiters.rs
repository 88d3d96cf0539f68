//! DedicatedArbiters: when a function's workers live on arbiters of their own, because its handlers hold their thread.

use std::time::Duration;

use crate::base::time::Time;

/// A function that holds threads so often ...
const TIMES_MIN: u32 = 3;
/// ... and for so long in all ...
const HELD_MAX: Duration = Duration::from_millis(100);
/// ... within so long is secluded ...
const WINDOW: Duration = Duration::from_secs(5);
/// ... until it has held none for so long.
const STAY: Duration = Duration::from_secs(60);

/// What follows from a handler's holding its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// Nothing: it happens, or the function has moved already.
    Tolerated,
    /// The function is to move to arbiters of its own.
    Moves,
    /// The function was to move before it began this: its runs take long, and those beside it are to move.
    Stays,
}

/// What is known of how a function treats its threads.
#[derive(Debug, Default)]
pub(crate) struct DedicatedArbiters {
    /// When the present window began, how often threads were held in it, and for how long.
    began: Time,
    times: u32,
    held: Duration,
    /// Since when it is secluded, and until when.
    since: Time,
    until: Option<Time>,
}

impl DedicatedArbiters {
    /// A handler held its thread for `held`, until `now`. Where threads are held much of the time, by whichever functions,
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

    /// The function is to have arbiters of its own from now on. Returns whether that is news.
    pub(crate) fn begin(&mut self, now: Time) -> bool {
        let news = !self.is_on(now);
        if news {
            self.since = now;
        }
        self.until = Some(now.after(STAY));
        news
    }

    /// If the function has had arbiters of its own before, it has them for as long again.
    pub(crate) fn prolong(&mut self, now: Time) {
        self.until = self.until.map(|_| now.after(STAY));
    }

    /// Are the function's new workers to live on arbiters of its own?
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
    fn once_or_twice_is_borne_unless_the_arbiter_is_crowded() {
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
    fn an_earlier_window_is_forgiven() {
        let mut dedicated_arbiters = DedicatedArbiters::default();
        for window in 0..100 {
            for _ in 0..4 {
                let holding = dedicated_arbiters.held(ms(24), false, at(window * 5_001));
                assert_eq!(holding, Holding::Tolerated);
            }
        }
    }

    #[test]
    fn it_is_over_a_minute_after_the_last_time() {
        let mut dedicated_arbiters = DedicatedArbiters::default();
        assert!(dedicated_arbiters.begin(at(0)));
        dedicated_arbiters.held(ms(1), false, at(30_000));
        assert!(dedicated_arbiters.is_on(at(89_999)));
        assert!(!dedicated_arbiters.is_on(at(90_000)));
        assert!(dedicated_arbiters.begin(at(90_000)), "and may begin again");
    }
}
