//! Retry policies: how often a failed event runs again, and after which delays. Whether and when a failed event runs
//! again is decided in `function/retry_decision.rs`, which asks the policy for its delay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often and when a failed event runs again.
///
/// The default is AWS Lambda's: two retries, 60 s after the first failure and 120 s after the second
/// (ASY-13, ASY-14). Delays are measured from the failure. From the eleventh failure of an event on, each delay is at least
/// 100 ms, also if the policy or the handler's error asks for less, so that the event can't keep its worker busy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    retries: u32,
    delays: Delays,
}

/// Stores write a variant by its number: add new ones at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Jitter {
    /// The delay as computed (ASY-23: AWS documents none).
    #[default]
    None,
    /// Anything from zero to the delay as computed.
    Full,
}

impl RetryPolicy {
    /// Returns AWS Lambda's policy: two retries, after 60 s and 120 s (ASY-13, ASY-14).
    pub fn lambda() -> Self {
        Self {
            retries: 2,
            delays: Delays::Linear {
                delay: Duration::from_secs(60),
            },
        }
    }

    /// Returns a policy without retries: the first failure is the last.
    pub fn none() -> Self {
        Self::fixed(0, Duration::ZERO)
    }

    /// Returns a policy of `retries` retries, each `delay` after the failure.
    pub fn fixed(retries: u32, delay: Duration) -> Self {
        Self {
            retries,
            delays: Delays::Fixed { delay },
        }
    }

    /// Returns a policy of `retries` retries after `base`, twice `base`, four times `base` …, never more than `cap`.
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

    /// Returns a policy with one retry after each of `delays`, in their order; at most 1,000.
    pub fn delays(delays: impl Into<Vec<Duration>>) -> Self {
        let delays = delays.into();
        Self {
            retries: u32::try_from(delays.len()).unwrap_or(u32::MAX),
            delays: Delays::Listed(delays),
        }
    }

    /// Spreads exponential delays at random. Other delays stay as given.
    pub fn jitter(mut self, spread: Jitter) -> Self {
        if let Delays::Exponential { jitter, .. } = &mut self.delays {
            *jitter = spread;
        }
        self
    }

    /// Returns a policy of `retries` retries after the delays of this one. The last delay of a list is repeated; a policy
    /// without delays gets AWS's.
    pub(crate) fn with_retries(self, retries: u32) -> Self {
        let mut delays = match self.retries {
            0 => Self::lambda().delays,
            _ => self.delays,
        };
        if let Delays::Listed(listed) = &mut delays
            && let Some(&last) = listed.last()
        {
            listed.resize(retries as usize, last);
        }
        Self { retries, delays }
    }

    /// Returns the maximum number of retries.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Returns the delay after failure number `failures` (1 is the first), or `None` when that was the last.
    /// `chance` is a random number from 0 to 1.
    pub(crate) fn delay(&self, failures: u32, chance: f64) -> Option<Duration> {
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

    /// Returns the fault of the policy, if it has one.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        match &self.delays {
            Delays::Exponential { base, .. } if base.is_zero() => {
                Some("the exponential delay starts at zero and stays there: give a base above zero")
            }
            Delays::Exponential { base, cap, .. } if cap < base => {
                Some("the cap is below the base: raise the cap or use a fixed delay")
            }
            Delays::Listed(delays) if delays.len() > LISTED_MAX => {
                Some("lists more than 1,000 delays: use an exponential policy")
            }
            _ => None,
        }
    }
}

/// Maximum number of listed delays: a list may come with each event.
const LISTED_MAX: usize = 1_000;

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::lambda()
    }
}

/// A nanosecond doubled this often is longer than any `Duration`.
const DOUBLINGS_MAX: u32 = 94;

/// Returns `base` doubled so often, at most `cap`.
pub(crate) fn doubled(base: Duration, times: u32, cap: Duration) -> Duration {
    let times = times.min(DOUBLINGS_MAX);
    (0..times)
        .fold(base, |delay, _| delay.saturating_mul(2))
        .min(cap)
}

/// Returns a part of `delay`, or all of it if rounding would make it longer than any `Duration`.
fn part(delay: Duration, chance: f64) -> Duration {
    let seconds = delay.as_secs_f64() * chance.clamp(0.0, 1.0);
    Duration::try_from_secs_f64(seconds).unwrap_or(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_policy_has_its_delays() {
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
    fn another_number_of_retries_keeps_the_delays() {
        let delays = |policy: RetryPolicy, retries| {
            let policy = policy.with_retries(retries);
            (1..=5)
                .map_while(|n| policy.delay(n, 0.5))
                .map(|d| d.as_secs())
                .collect::<Vec<_>>()
        };
        let listed = RetryPolicy::delays([SECOND * 9, SECOND]);
        assert_eq!(delays(listed.clone(), 1), [9]);
        assert_eq!(delays(listed.clone(), 3), [9, 1, 1]);
        assert!(delays(listed, 0).is_empty());
        assert_eq!(delays(RetryPolicy::none(), 2), [60, 120]);
        assert_eq!(delays(RetryPolicy::delays([]), 1), [60]);
        assert_eq!(delays(RetryPolicy::fixed(5, SECOND), 2), [1, 1]);
    }

    #[test]
    fn a_list_of_more_than_1000_delays_is_a_fault() {
        assert_eq!(RetryPolicy::delays(vec![SECOND; 1_000]).fault(), None);
        assert!(RetryPolicy::delays(vec![SECOND; 1_001]).fault().is_some());
    }

    #[test]
    fn an_exponential_delay_reaches_its_cap_from_any_base() {
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
}
