//! Where a retry is decided: a pure function from a failure and the present moment to "again, then" or
//! "no more, because".

use std::time::Duration;

use crate::base::time::Time;
use crate::event::failure::{Condition, Directive, FailureKind};
use crate::event::retry_policy::{RetryPolicy, doubled};

/// Delay of the first uncounted retry after a throttle or a system error (ASY-20).
const THROTTLE_BASE: Duration = Duration::from_secs(1);
/// Cap of the delay between such retries (ASY-20).
const THROTTLE_CAP: Duration = Duration::from_secs(300);

/// Retries of an event that may come as soon as is asked for.
const QUICK_RETRIES: u32 = 10;
/// The shortest delay of all further ones: an event that fails at once, for ever, must not keep its worker busy.
const DELAY_MIN: Duration = Duration::from_millis(100);

/// All that decides whether a failed event runs again.
pub(crate) struct FailedEvent<'a> {
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) kind: FailureKind,
    /// What the handler's error asked for, if it did.
    pub(crate) directive: Option<Directive>,
    /// Failed attempts that count against the policy, this one included.
    pub(crate) counted: u32,
    /// Throttles, system errors and keys in use so far, this one included; they don't count (ASY-21).
    pub(crate) uncounted: u32,
    /// When its first run was due: its age counts from here.
    pub(crate) first_due: Time,
    pub(crate) age_max: Duration,
    /// A random number from 0 to 1, for jitter.
    pub(crate) chance: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryDecision {
    RetryAt(Time),
    GiveUp(Condition),
}

/// Decides on an event that failed at `now`.
///
/// Looks ahead (ASY-17): a retry that would come when the event has its maximum age, or later, is not waited for.
pub(crate) fn decide(failed: &FailedEvent<'_>, now: Time) -> RetryDecision {
    let backoff = || {
        doubled(
            THROTTLE_BASE,
            failed.uncounted.saturating_sub(1),
            THROTTLE_CAP,
        )
    };
    let delay = match (failed.kind, failed.directive) {
        (FailureKind::Payload | FailureKind::Idempotency, _) | (_, Some(Directive::Final)) => {
            return RetryDecision::GiveUp(Condition::Final);
        }
        (FailureKind::Throttle | FailureKind::System, None) => backoff(),
        // Whoever has the key may well be done before it must be.
        (FailureKind::InProgress, Some(Directive::After(left))) => left.min(backoff()),
        (FailureKind::InProgress, None) => backoff(),
        (FailureKind::Throttle | FailureKind::System, Some(Directive::After(delay))) => delay,
        (_, directive) => match (
            failed.policy.delay(failed.counted, failed.chance),
            directive,
        ) {
            (None, _) => return RetryDecision::GiveUp(Condition::RetriesExhausted),
            (Some(_), Some(Directive::After(delay))) => delay,
            (Some(delay), _) => delay,
        },
    };
    let failures = failed.counted.saturating_add(failed.uncounted);
    let delay = match failures {
        ..=QUICK_RETRIES => delay,
        _ => delay.max(DELAY_MIN),
    };
    let due = now.after(delay);
    if due.since(failed.first_due) >= failed.age_max {
        return RetryDecision::GiveUp(Condition::EventAgeExceeded);
    }
    RetryDecision::RetryAt(due)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed(policy: &RetryPolicy, kind: FailureKind, failures: u32) -> FailedEvent<'_> {
        FailedEvent {
            policy,
            kind,
            directive: None,
            counted: failures,
            uncounted: failures,
            first_due: Time::default(),
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
        assert_eq!(decide_at(1, at(5)), RetryDecision::RetryAt(at(65)));
        assert_eq!(decide_at(2, at(70)), RetryDecision::RetryAt(at(190)));
        assert_eq!(
            decide_at(3, at(200)),
            RetryDecision::GiveUp(Condition::RetriesExhausted)
        );
    }

    /// ASY-17
    #[test]
    fn a_retry_beyond_the_maximum_age_is_not_waited_for() {
        let policy = RetryPolicy::default();
        let mut event = failed(&policy, FailureKind::Error, 1);
        event.age_max = SECOND * 60;
        assert_eq!(
            decide(&event, at(0)),
            RetryDecision::GiveUp(Condition::EventAgeExceeded)
        );
        event.age_max = SECOND * 90;
        assert_eq!(decide(&event, at(1)), RetryDecision::RetryAt(at(61)));
        event.counted = 2;
        assert_eq!(
            decide(&event, at(61)),
            RetryDecision::GiveUp(Condition::EventAgeExceeded)
        );
    }

    /// ASY-09, ASY-20, ASY-21
    #[test]
    fn throttles_and_system_errors_back_off_to_five_minutes_until_the_event_is_too_old() {
        let policy = RetryPolicy::none();
        for kind in [FailureKind::Throttle, FailureKind::System] {
            let delays: Vec<_> = (1..=11)
                .map(|n| decide(&failed(&policy, kind, n), at(0)))
                .collect();
            let expected: [RetryDecision; 11] =
                [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map(|s| RetryDecision::RetryAt(at(s)));
            assert_eq!(delays, expected);
            let aged = decide(&failed(&policy, kind, 40), at(21_400));
            assert_eq!(aged, RetryDecision::GiveUp(Condition::EventAgeExceeded));
        }
    }

    #[test]
    fn the_handlers_word_comes_before_the_policys_delay_but_not_before_its_count() {
        let policy = RetryPolicy::fixed(1, SECOND);
        let mut event = failed(&policy, FailureKind::Error, 1);
        event.directive = Some(Directive::After(SECOND * 7));
        assert_eq!(decide(&event, at(0)), RetryDecision::RetryAt(at(7)));
        event.counted = 2;
        assert_eq!(
            decide(&event, at(0)),
            RetryDecision::GiveUp(Condition::RetriesExhausted)
        );
        event.counted = 1;
        event.directive = Some(Directive::Final);
        assert_eq!(
            decide(&event, at(0)),
            RetryDecision::GiveUp(Condition::Final)
        );
    }

    #[test]
    fn a_payload_that_does_not_fit_is_final() {
        let policy = RetryPolicy::default();
        for kind in [FailureKind::Payload, FailureKind::Idempotency] {
            assert_eq!(
                decide(&failed(&policy, kind, 1), at(0)),
                RetryDecision::GiveUp(Condition::Final)
            );
        }
    }

    /// IDM-06
    #[test]
    fn an_event_whose_key_is_in_use_backs_off_but_not_beyond_the_end_of_the_lease() {
        let policy = RetryPolicy::none();
        let decide_at = |n, left| {
            let mut event = failed(&policy, FailureKind::InProgress, n);
            event.directive = Some(Directive::After(SECOND * left));
            decide(&event, at(0))
        };
        let delays = [1, 2, 3, 4].map(|n| decide_at(n, 5));
        assert_eq!(delays, [1, 2, 4, 5].map(|s| RetryDecision::RetryAt(at(s))));
    }

    #[test]
    fn the_tenth_retry_is_the_last_that_comes_at_once_whoever_asked_for_it() {
        let zero = RetryPolicy::fixed(u32::MAX, Duration::ZERO);
        let at_once = [
            (FailureKind::Error, None),
            (FailureKind::Error, Some(Duration::ZERO)),
            (FailureKind::Throttle, Some(Duration::from_nanos(1))),
            (FailureKind::System, Some(Duration::ZERO)),
            (FailureKind::InProgress, Some(Duration::ZERO)),
        ];
        for (kind, asked) in at_once {
            let delay = |counted, uncounted| {
                let mut event = failed(&zero, kind, counted);
                event.uncounted = uncounted;
                event.directive = asked.map(Directive::After);
                match decide(&event, at(5)) {
                    RetryDecision::RetryAt(due) => due.since(at(5)),
                    RetryDecision::GiveUp(condition) => panic!("{condition}"),
                }
            };
            for (counted, uncounted) in [(1, 0), (10, 0), (4, 6)] {
                assert!(delay(counted, uncounted) < DELAY_MIN, "{kind:?}");
            }
            for (counted, uncounted) in [(11, 0), (5, 6), (1, 10), (u32::MAX, 9)] {
                assert_eq!(delay(counted, uncounted), DELAY_MIN, "{kind:?}");
            }
        }
    }

    #[test]
    fn no_number_of_failures_overflows_a_delay() {
        let policy = RetryPolicy::exponential(u32::MAX, SECOND, Duration::MAX);
        assert!(policy.delay(u32::MAX, 1.0).is_some());
        assert!(matches!(
            decide(&failed(&policy, FailureKind::Error, 400), at(0)),
            RetryDecision::GiveUp(_)
        ));
    }
}
