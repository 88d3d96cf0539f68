//! Seclusion: when a function's workers live on arbiters of their own, because its handlers hold their thread.

use std::time::Duration;

use crate::time::Time;

/// A function that holds threads for so long ...
const HELD_MAX: Duration = Duration::from_millis(25);
/// ... within so long is secluded ...
const WINDOW: Duration = Duration::from_secs(1);
/// ... until it has held none for so long.
const STAY: Duration = Duration::from_secs(60);

/// What is known of how a function treats its threads.
#[derive(Debug, Default)]
pub(crate) struct Seclusion {
    /// When the present window began, and how long threads were held in it.
    began: Time,
    held: Duration,
    until: Option<Time>,
}

impl Seclusion {
    /// A handler held its thread for `held`, until `now`. Returns whether the function is to move to arbiters of its own.
    pub(crate) fn held(&mut self, held: Duration, now: Time) -> bool {
        if self.is_on(now) {
            self.until = Some(now.after(STAY));
            return false;
        }
        if now.since(self.began) > WINDOW {
            (self.began, self.held) = (now, Duration::ZERO);
        }
        self.held += held;
        self.held >= HELD_MAX && self.begin(now)
    }

    /// The function is to have arbiters of its own from now on. Returns whether that is news.
    pub(crate) fn begin(&mut self, now: Time) -> bool {
        let news = !self.is_on(now);
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
    fn a_function_that_holds_a_thread_for_25_ms_within_a_second_is_secluded_once() {
        let mut seclusion = Seclusion::default();
        assert!(!seclusion.held(ms(20), at(0)));
        assert!(!seclusion.is_on(at(0)));
        assert!(seclusion.held(ms(5), at(900)));
        assert!(seclusion.is_on(at(900)));
        assert!(!seclusion.held(ms(400), at(1_400)), "it is there already");
    }

    #[test]
    fn what_was_held_in_an_earlier_second_is_forgiven() {
        let mut seclusion = Seclusion::default();
        for second in 0..100 {
            assert!(!seclusion.held(ms(24), at(second * 1_001)));
        }
    }

    #[test]
    fn it_is_over_a_minute_after_the_last_time() {
        let mut seclusion = Seclusion::default();
        assert!(seclusion.held(ms(25), at(0)));
        assert!(!seclusion.held(ms(1), at(30_000)));
        assert!(seclusion.is_on(at(89_999)));
        assert!(!seclusion.is_on(at(90_000)));
        assert!(seclusion.begin(at(90_000)), "and may begin again");
    }
}
