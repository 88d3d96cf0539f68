//! Where a retry is decided: a pure function from a failure and the present moment to "again, then" or
//! "no more, because".

use std::time::Duration;

use crate::failure::{Condition, Directive, FailureKind};
use crate::time::Time;

/// How often and when a failed event runs again.
///
/// The default is AWS Lambda's: two retries, 60 s after the first failure and 120 s after the second
/// (ASY-13, ASY-14). Delays are measured from the failure.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    retries: u32,
    delays: Delays,
}

#[derive(Clone, Debug, PartialEq)]
enum Delays {
    /// `delay`, twice `delay`, three times `delay` …
    Linear {
        delay: Duration,
    },
    Fixed {
        delay: Duration,
    },
    Exponential {
        base: Duration,
        cap: Duration,
        jitter: Jitter,
    },
    Listed(Vec<Duration>),
}

/// Whether a delay is spread at random, so that events that failed together don't return together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Jitter {
    /// The delay as computed (ASY-23: AWS documents none).
    #[default]
    None,
    /// Anything from zero to the delay as computed.
    Full,
}

impl RetryPolicy {
    /// AWS Lambda's: two retries, after 60 s and 120 s (ASY-13, ASY-14).
    pub fn lambda() -> Self {
        Self {
            retries: 2,
            delays: Delays::Linear {
                delay: Duration::from_secs(60),
            },
        }
    }

    /// No retry: the first failure is the last.
    pub fn none() -> Self {
        Self::fixed(0, Duration::ZERO)
    }

    /// `retries` retries, each `delay` after the failure.
    pub fn fixed(retries: u32, delay: Duration) -> Self {
        Self {
            retries,
            delays: Delays::Fixed { delay },
        }
    }

    /// `retries` retries after `base`, twice `base`, four times `base` …, never more than `cap`.
    pub fn exponential(retries: u32, base: Duration, cap: Duration) -> Self {
        Self {
            retries,
            delays: Delays::Exponential {
                base,
                cap,
                jitter: Jitter::None,
            },
        }
    }

    /// One retry after each of `delays`, in their order.
    pub fn delays(delays: impl Into<Vec<Duration>>) -> Self {
        let delays = delays.into();
        Self {
            retries: u32::try_from(delays.len()).unwrap_or(u32::MAX),
            delays: Delays::Listed(delays),
        }
    }

    /// Spreads exponential delays at random; the other delays are meant as given and stay.
    pub fn jitter(mut self, spread: Jitter) -> Self {
        if let Delays::Exponential { jitter, .. } = &mut self.delays {
            *jitter = spread;
        }
        self
    }

    /// How many retries follow the first attempt, at most.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// The delay after failure number `failures` (1 is the first), or `None` when that was the last.
    /// `chance` is a random number from 0 to 1.
    fn delay(&self, failures: u32, chance: f64) -> Option<Duration> {
        if failures == 0 || failures > self.retries {
            return None;
        }
        Some(match &self.delays {
            Delays::Linear { delay } => delay.saturating_mul(failures),
            Delays::Fixed { delay } => *delay,
            Delays::Listed(delays) => *delays.get(failures as usize - 1)?,
            Delays::Exponential { base, cap, jitter } => {
                let delay = doubled(*base, failures - 1, *cap);
                match jitter {
                    Jitter::None => delay,
                    Jitter::Full => part(delay, chance),
                }
            }
        })
    }

    /// What is wrong with it, if anything.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        match &self.delays {
            Delays::Exponential { base, .. } if base.is_zero() => {
                Some("the exponential delay starts at zero and stays there: give a base above zero")
            }
            Delays::Exponential { base, cap, .. } if cap < base => {
                Some("the cap is below the base: raise the cap or use a fixed delay")
            }
            _ => None,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::lambda()
    }
}

/// Delay of the first uncounted retry after a throttle or a system error (ASY-20).
const THROTTLE_BASE: Duration = Duration::from_secs(1);
/// Cap of the delay between such retries (ASY-20).
const THROTTLE_CAP: Duration = Duration::from_secs(300);

/// A nanosecond doubled so often is longer than any `Duration`.
const DOUBLINGS_MAX: u32 = 94;

fn doubled(base: Duration, times: u32, cap: Duration) -> Duration {
    let times = times.min(DOUBLINGS_MAX);
    (0..times)
        .fold(base, |delay, _| delay.saturating_mul(2))
        .min(cap)
}

/// A part of `delay`; all of it where rounding would make it longer than any `Duration`.
fn part(delay: Duration, chance: f64) -> Duration {
    let seconds = delay.as_secs_f64() * chance.clamp(0.0, 1.0);
    Duration::try_from_secs_f64(seconds).unwrap_or(delay)
}

/// All that decides whether a failed event runs again.
pub(crate) struct Failed<'a> {
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) kind: FailureKind,
    /// What the handler's error asked for, if it did.
    pub(crate) directive: Option<Directive>,
    /// Failed attempts that count against the policy, this one included.
    pub(crate) counted: u32,
    /// Throttles and system errors so far, this one included; they don't count (ASY-21).
    pub(crate) uncounted: u32,
    pub(crate) accepted: Time,
    pub(crate) age_max: Duration,
    /// A random number from 0 to 1, for jitter.
    pub(crate) chance: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    RetryAt(Time),
    GiveUp(Condition),
}

/// Decides on an event that failed at `now`.
///
/// Looks ahead (ASY-17): a retry that would come after the event's maximum age is not waited for.
pub(crate) fn decide(failed: &Failed<'_>, now: Time) -> Verdict {
    let delay = match (failed.kind, failed.directive) {
        (FailureKind::Payload, _) | (_, Some(Directive::Final)) => {
            return Verdict::GiveUp(Condition::Final);
        }
        (FailureKind::Throttle | FailureKind::System, None) => doubled(
            THROTTLE_BASE,
            failed.uncounted.saturating_sub(1),
            THROTTLE_CAP,
        ),
        (FailureKind::Throttle | FailureKind::System, Some(Directive::After(delay))) => delay,
        (_, directive) => match (
            failed.policy.delay(failed.counted, failed.chance),
            directive,
        ) {
            (None, _) => return Verdict::GiveUp(Condition::RetriesExhausted),
            (Some(_), Some(Directive::After(delay))) => delay,
            (Some(delay), _) => delay,
        },
    };
    let due = now.after(delay);
    if due.since(failed.accepted) > failed.age_max {
        return Verdict::GiveUp(Condition::EventAgeExceeded);
    }
    Verdict::RetryAt(due)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed(policy: &RetryPolicy, kind: FailureKind, failures: u32) -> Failed<'_> {
        Failed {
            policy,
            kind,
            directive: None,
            counted: failures,
            uncounted: failures,
            accepted: Time::default(),
            age_max: SECOND * 21_600,
            chance: 0.5,
        }
    }

    fn at(seconds: u64) -> Time {
        Time::default().after(SECOND * u32::try_from(seconds).unwrap())
    }

    /// ASY-13, ASY-14, ASY-16
    #[test]
    fn by_default_an_event_is_retried_after_60_and_120_seconds_and_then_given_up() {
        let policy = RetryPolicy::default();
        let decide_at = |n, now| decide(&failed(&policy, FailureKind::Error, n), now);
        assert_eq!(decide_at(1, at(5)), Verdict::RetryAt(at(65)));
        assert_eq!(decide_at(2, at(70)), Verdict::RetryAt(at(190)));
        assert_eq!(
            decide_at(3, at(200)),
            Verdict::GiveUp(Condition::RetriesExhausted)
        );
    }

    /// ASY-17
    #[test]
    fn a_retry_beyond_the_maximum_age_is_not_waited_for() {
        let policy = RetryPolicy::default();
        let mut event = failed(&policy, FailureKind::Error, 1);
        event.age_max = SECOND * 60;
        assert_eq!(
            decide(&event, at(1)),
            Verdict::GiveUp(Condition::EventAgeExceeded)
        );
        event.age_max = SECOND * 90;
        assert_eq!(decide(&event, at(1)), Verdict::RetryAt(at(61)));
        event.counted = 2;
        assert_eq!(
            decide(&event, at(61)),
            Verdict::GiveUp(Condition::EventAgeExceeded)
        );
    }

    /// ASY-20, ASY-21
    #[test]
    fn throttles_and_system_errors_back_off_to_five_minutes_until_the_event_is_too_old() {
        let policy = RetryPolicy::none();
        for kind in [FailureKind::Throttle, FailureKind::System] {
            let delays: Vec<_> = (1..=11)
                .map(|n| decide(&failed(&policy, kind, n), at(0)))
                .collect();
            let expected: [Verdict; 11] =
                [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map(|s| Verdict::RetryAt(at(s)));
            assert_eq!(delays, expected);
            let aged = decide(&failed(&policy, kind, 40), at(21_400));
            assert_eq!(aged, Verdict::GiveUp(Condition::EventAgeExceeded));
        }
    }

    #[test]
    fn the_handlers_word_comes_before_the_policys_delay_but_not_before_its_count() {
        let policy = RetryPolicy::fixed(1, SECOND);
        let mut event = failed(&policy, FailureKind::Error, 1);
        event.directive = Some(Directive::After(SECOND * 7));
        assert_eq!(decide(&event, at(0)), Verdict::RetryAt(at(7)));
        event.counted = 2;
        assert_eq!(
            decide(&event, at(0)),
            Verdict::GiveUp(Condition::RetriesExhausted)
        );
        event.counted = 1;
        event.directive = Some(Directive::Final);
        assert_eq!(decide(&event, at(0)), Verdict::GiveUp(Condition::Final));
    }

    #[test]
    fn a_payload_that_does_not_fit_is_final() {
        let policy = RetryPolicy::default();
        assert_eq!(
            decide(&failed(&policy, FailureKind::Payload, 1), at(0)),
            Verdict::GiveUp(Condition::Final)
        );
    }

    #[test]
    fn each_policy_keeps_its_curve() {
        let delays = |policy: &RetryPolicy| {
            (1..=5)
                .map_while(|n| policy.delay(n, 0.5))
                .map(|d| d.as_secs())
                .collect::<Vec<_>>()
        };
        assert!(delays(&RetryPolicy::none()).is_empty());
        assert_eq!(delays(&RetryPolicy::fixed(2, SECOND * 3)), [3, 3]);
        assert_eq!(
            delays(&RetryPolicy::exponential(4, SECOND, SECOND * 5)),
            [1, 2, 4, 5]
        );
        assert_eq!(
            delays(&RetryPolicy::exponential(3, SECOND * 2, SECOND * 8).jitter(Jitter::Full)),
            [1, 2, 4]
        );
        assert_eq!(delays(&RetryPolicy::delays([SECOND * 9, SECOND])), [9, 1]);
    }

    #[test]
    fn an_exponential_delay_reaches_its_cap_whatever_its_base() {
        let (base, cap) = (Duration::from_nanos(1), SECOND * 3_600);
        let delay = |failures| RetryPolicy::exponential(u32::MAX, base, cap).delay(failures, 1.0);
        assert_eq!(delay(34), Some(Duration::from_nanos(1 << 33)));
        assert_eq!(delay(42), Some(Duration::from_nanos(1 << 41)));
        for failures in [43, 64, 129, u32::MAX] {
            assert_eq!(delay(failures), Some(cap));
        }
        let endless = RetryPolicy::exponential(u32::MAX, base, Duration::MAX);
        assert_eq!(endless.delay(95, 1.0), Some(Duration::MAX));
        let spread = endless.jitter(Jitter::Full);
        assert_eq!(spread.delay(95, 1.0), Some(Duration::MAX));
    }

    #[test]
    fn no_number_of_failures_overflows_a_delay() {
        let policy = RetryPolicy::exponential(u32::MAX, SECOND, Duration::MAX);
        assert!(policy.delay(u32::MAX, 1.0).is_some());
        assert!(matches!(
            decide(&failed(&policy, FailureKind::Error, 400), at(0)),
            Verdict::GiveUp(_)
        ));
    }
}
