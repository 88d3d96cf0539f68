//! Retry: the one place that decides whether an event runs (again), and when.
//!
//! Pure functions of the event's history and the present time. Actors and the mailbox collect the facts, ask here, and carry
//! the decision out. Events that an operator ends (a removed function, a cancellation, reserved concurrency 0) are not
//! decided here, except where a retry or an event from the store meets a removed function. A wall clock that was set back
//! puts events off in `mailbox/take.rs`; a chain with too many hops ends in `admission/invoke.rs`.
//!
//! | event | decision | function |
//! |---|---|---|
//! | a call failed | its caller gets the failure; never a retry | [`after_failure`] |
//! | the payload doesn't fit, the idempotency key is faulty, or the handler said `Final` | dead letter: `Final` | |
//! | throttle, system error | retry after 1 s, 2 s, 4 s ... 5 min, or when the handler asked; doesn't count against the policy | |
//! | idempotency key in use | the same, but no later than the end of the other attempt's lease | |
//! | any other failure, retries left | retry after the policy's delay, or when the handler asked | |
//! | any other failure, no retries left | dead letter: `RetriesExhausted` | |
//! | more than 10 failures so far | as above, but the delay is at least 100 ms | |
//! | the retry would come at the maximum age or later | dead letter: `EventAgeExceeded` (look-ahead, ASY-17) | |
//! | a retry is due, but the function was removed | dead letter: `FunctionRemoved` | |
//! | the event's turn comes, and it is older than its maximum age | dead letter: `EventAgeExceeded` | [`before_attempt`] |
//! | the turn of a retry comes, and the policy was cut meanwhile | dead letter: `RetriesExhausted` (ASY-19) | |
//! | a call's turn comes | it runs | |
//! | the event comes back from the store, and the process never died in it | it runs | [`after_process_deaths`] |
//! | ... the process died in it, less than `process_deaths_max` times | it runs while no other such event does | |
//! | ... the process died in it `process_deaths_max` times | dead letter: `ProcessCrash` | |
//! | ... its function was removed | dead letter: `FunctionRemoved` | [`on_return`] |

use std::time::Duration;

use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::dead_letter::Condition;
use crate::event::directive::Directive;
use crate::event::failure::FailureKind;
use crate::event::retry_policy::{RetryPolicy, doubled};

/// Delay of the first uncounted retry after a throttle or a system error (ASY-20).
const THROTTLE_BASE: Duration = Duration::from_secs(1);
/// Longest delay between such retries (ASY-20).
const THROTTLE_CAP: Duration = Duration::from_secs(300);

/// Failures of an event after which the retry may still come at once.
const QUICK_RETRIES: u32 = 10;
/// The shortest delay of all further retries: an event that always fails at once must not keep its worker busy.
const DELAY_MIN: Duration = Duration::from_millis(100);

/// The facts that decide whether a failed event runs again.
pub(crate) struct FailedEvent<'a> {
    pub(crate) invocation: InvocationType,
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) kind: FailureKind,
    /// The wish of the handler's error, if it has one.
    pub(crate) directive: Option<Directive>,
    /// Failed attempts that count against the policy, this one included.
    pub(crate) counted: u32,
    /// Throttles, system errors and keys in use so far, this one included; they don't count (ASY-21).
    pub(crate) uncounted: u32,
    /// When its first run was due: its age counts from here.
    pub(crate) first_due: Time,
    pub(crate) age_max: Duration,
    /// Its function was removed: nothing of it starts any more.
    pub(crate) removed: bool,
    /// A random number from 0 to 1, for jitter.
    pub(crate) chance: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryDecision {
    RetryAt(Time),
    /// The event becomes a dead letter.
    GiveUp(Condition),
    /// It is a call: its caller gets the failure.
    FailCall,
}

/// Decides on an event that failed at `now`.
pub(crate) fn after_failure(failed: &FailedEvent<'_>, now: Time) -> RetryDecision {
    if failed.invocation == InvocationType::RequestResponse {
        return RetryDecision::FailCall;
    }
    let delay = match delay(failed) {
        Ok(delay) => delay,
        Err(condition) => return RetryDecision::GiveUp(condition),
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
    if failed.removed {
        return RetryDecision::GiveUp(Condition::FunctionRemoved);
    }
    RetryDecision::RetryAt(due)
}

/// Returns the delay that the failure, the handler and the policy lead to, or the condition if there is no retry.
fn delay(failed: &FailedEvent<'_>) -> Result<Duration, Condition> {
    let backoff = || {
        let earlier = failed.uncounted.saturating_sub(1);
        doubled(THROTTLE_BASE, earlier, THROTTLE_CAP)
    };
    match (failed.kind, failed.directive) {
        (FailureKind::Payload | FailureKind::Idempotency, _) | (_, Some(Directive::Final)) => {
            Err(Condition::Final)
        }
        (FailureKind::Throttle | FailureKind::System | FailureKind::InProgress, None) => {
            Ok(backoff())
        }
        // The attempt that holds the key may end before its lease does.
        (FailureKind::InProgress, Some(Directive::After(left))) => Ok(left.min(backoff())),
        (FailureKind::Throttle | FailureKind::System, Some(Directive::After(delay))) => Ok(delay),
        (_, directive) => match (
            failed.policy.delay(failed.counted, failed.chance),
            directive,
        ) {
            (None, _) => Err(Condition::RetriesExhausted),
            (Some(_), Some(Directive::After(delay))) => Ok(delay),
            (Some(delay), _) => Ok(delay),
        },
    }
}

/// An event whose turn has come.
pub(crate) struct DueEvent {
    pub(crate) invocation: InvocationType,
    /// The number of the attempt that would begin.
    pub(crate) attempt: u32,
    /// When its first run was due: its age counts from here.
    pub(crate) first_due: Time,
}

/// The failures of an event before the attempt that would begin.
pub(crate) struct EarlierFailures {
    /// Failed attempts that don't count against the policy.
    pub(crate) uncounted: u32,
    /// How many retries the event has by the rules that hold now.
    pub(crate) retries: u32,
}

/// Returns why an event whose turn has come at `now` is given up, or `None` if it runs. The rules of now hold, not those of
/// its acceptance (ASY-19).
///
/// The maximum age is read for events only, and the failures for retries only: each costs time on the hot path.
#[inline]
pub(crate) fn before_attempt(
    due: &DueEvent,
    age_max: impl FnOnce() -> Duration,
    failures: impl FnOnce() -> Option<EarlierFailures>,
    now: Time,
) -> Option<Condition> {
    if due.invocation != InvocationType::Event {
        return None;
    }
    if now.since(due.first_due) > age_max() {
        return Some(Condition::EventAgeExceeded);
    }
    if due.attempt <= 1 {
        return None;
    }
    let EarlierFailures { uncounted, retries } = failures()?;
    let counted = (due.attempt - 1).saturating_sub(uncounted);
    (counted > retries).then_some(Condition::RetriesExhausted)
}

/// How an event may run after the process has died while it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterDeaths {
    /// It never did: the event runs like any other.
    Run,
    /// The event may be the cause: it runs while no other such event does.
    RunAlone,
    /// It did so too often: the event doesn't run again.
    GiveUp,
}

/// Decides on an event from the store in which the process has died `deaths` times; `deaths_max` is at least 1.
pub(crate) fn after_process_deaths(deaths: u32, deaths_max: u32) -> AfterDeaths {
    match deaths {
        0 => AfterDeaths::Run,
        _ if deaths < deaths_max => AfterDeaths::RunAlone,
        _ => AfterDeaths::GiveUp,
    }
}

/// Returns why an event that comes back from the store is given up, or `None` if it may run.
pub(crate) fn on_return(deadly: bool, removed: bool) -> Option<Condition> {
    match (removed, deadly) {
        (true, _) => Some(Condition::FunctionRemoved),
        (false, true) => Some(Condition::ProcessCrash),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed(policy: &RetryPolicy, kind: FailureKind, failures: u32) -> FailedEvent<'_> {
        FailedEvent {
            invocation: InvocationType::Event,
            policy,
            kind,
            directive: None,
            counted: failures,
            uncounted: failures,
            first_due: Time::default(),
            age_max: SECOND * 21_600,
            removed: false,
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
        let decision_at = |n, now| after_failure(&failed(&policy, FailureKind::Error, n), now);
        assert_eq!(decision_at(1, at(5)), RetryDecision::RetryAt(at(65)));
        assert_eq!(decision_at(2, at(70)), RetryDecision::RetryAt(at(190)));
        assert_eq!(
            decision_at(3, at(200)),
            RetryDecision::GiveUp(Condition::RetriesExhausted)
        );
    }

    /// ASY-17
    #[test]
    fn a_retry_that_would_come_at_the_maximum_age_is_given_up_at_once() {
        let policy = RetryPolicy::default();
        let mut event = failed(&policy, FailureKind::Error, 1);
        event.age_max = SECOND * 60;
        assert_eq!(
            after_failure(&event, at(0)),
            RetryDecision::GiveUp(Condition::EventAgeExceeded)
        );
        event.age_max = SECOND * 90;
        assert_eq!(after_failure(&event, at(1)), RetryDecision::RetryAt(at(61)));
        event.counted = 2;
        assert_eq!(
            after_failure(&event, at(61)),
            RetryDecision::GiveUp(Condition::EventAgeExceeded)
        );
    }

    /// ASY-09, ASY-20, ASY-21
    #[test]
    fn throttles_and_system_errors_back_off_to_five_minutes_until_the_event_is_too_old() {
        let policy = RetryPolicy::none();
        for kind in [FailureKind::Throttle, FailureKind::System] {
            let delays: Vec<_> = (1..=11)
                .map(|n| after_failure(&failed(&policy, kind, n), at(0)))
                .collect();
            let expected: [RetryDecision; 11] =
                [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map(|s| RetryDecision::RetryAt(at(s)));
            assert_eq!(delays, expected);
            let aged = after_failure(&failed(&policy, kind, 40), at(21_400));
            assert_eq!(aged, RetryDecision::GiveUp(Condition::EventAgeExceeded));
        }
    }

    #[test]
    fn the_handlers_delay_replaces_the_policys_but_adds_no_retry() {
        let policy = RetryPolicy::fixed(1, SECOND);
        let mut event = failed(&policy, FailureKind::Error, 1);
        event.directive = Some(Directive::After(SECOND * 7));
        assert_eq!(after_failure(&event, at(0)), RetryDecision::RetryAt(at(7)));
        event.counted = 2;
        assert_eq!(
            after_failure(&event, at(0)),
            RetryDecision::GiveUp(Condition::RetriesExhausted)
        );
        event.counted = 1;
        event.directive = Some(Directive::Final);
        assert_eq!(
            after_failure(&event, at(0)),
            RetryDecision::GiveUp(Condition::Final)
        );
    }

    #[test]
    fn a_payload_that_does_not_fit_and_a_faulty_key_are_final() {
        let policy = RetryPolicy::default();
        for kind in [FailureKind::Payload, FailureKind::Idempotency] {
            assert_eq!(
                after_failure(&failed(&policy, kind, 1), at(0)),
                RetryDecision::GiveUp(Condition::Final)
            );
        }
    }

    /// IDM-06
    #[test]
    fn an_event_whose_key_is_in_use_backs_off_until_the_lease_ends_at_most() {
        let policy = RetryPolicy::none();
        let decision_at = |n, left| {
            let mut event = failed(&policy, FailureKind::InProgress, n);
            event.directive = Some(Directive::After(SECOND * left));
            after_failure(&event, at(0))
        };
        let delays = [1, 2, 3, 4].map(|n| decision_at(n, 5));
        assert_eq!(delays, [1, 2, 4, 5].map(|s| RetryDecision::RetryAt(at(s))));
    }

    #[test]
    fn from_the_eleventh_failure_on_a_retry_waits_at_least_100_ms() {
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
                match after_failure(&event, at(5)) {
                    RetryDecision::RetryAt(due) => due.since(at(5)),
                    other => panic!("{other:?}"),
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
            after_failure(&failed(&policy, FailureKind::Error, 400), at(0)),
            RetryDecision::GiveUp(_)
        ));
    }

    #[test]
    fn a_failed_call_is_never_retried() {
        let policy = RetryPolicy::default();
        for kind in [
            FailureKind::Error,
            FailureKind::Throttle,
            FailureKind::Payload,
        ] {
            let mut call = failed(&policy, kind, 1);
            call.invocation = InvocationType::RequestResponse;
            assert_eq!(after_failure(&call, at(0)), RetryDecision::FailCall);
        }
    }

    #[test]
    fn a_removed_function_turns_retries_into_dead_letters_and_leaves_other_conditions() {
        let policy = RetryPolicy::fixed(1, SECOND);
        let mut event = failed(&policy, FailureKind::Error, 1);
        event.removed = true;
        let give_up = RetryDecision::GiveUp;
        assert_eq!(
            after_failure(&event, at(0)),
            give_up(Condition::FunctionRemoved)
        );
        let too_late = at(21_600);
        assert_eq!(
            after_failure(&event, too_late),
            give_up(Condition::EventAgeExceeded)
        );
        event.counted = 2;
        assert_eq!(
            after_failure(&event, at(0)),
            give_up(Condition::RetriesExhausted)
        );
    }

    fn due(attempt: u32) -> DueEvent {
        DueEvent {
            invocation: InvocationType::Event,
            attempt,
            first_due: at(10),
        }
    }

    /// ASY-17, ASY-34
    #[test]
    fn an_event_older_than_its_maximum_age_is_given_up_before_its_attempt() {
        let before = |now| before_attempt(&due(1), || SECOND * 60, || unreachable!(), now);
        assert_eq!(before(at(70)), None);
        assert_eq!(before(at(71)), Some(Condition::EventAgeExceeded));
    }

    /// ASY-19
    #[test]
    fn a_retry_is_given_up_if_the_policy_was_cut_after_it_was_scheduled() {
        let before = |attempt, uncounted, retries| {
            let failures = || Some(EarlierFailures { uncounted, retries });
            before_attempt(&due(attempt), || SECOND * 60, failures, at(10))
        };
        let exhausted = Some(Condition::RetriesExhausted);
        assert_eq!(before(2, 0, 0), exhausted);
        assert_eq!(before(2, 0, 1), None);
        assert_eq!(before(2, 1, 0), None, "its failure didn't count");
        assert_eq!(before(4, 1, 1), exhausted);
        assert_eq!(before(1, 0, 0), None, "a first attempt is no retry");
    }

    #[test]
    fn a_call_runs_when_its_turn_comes_however_old_it_is() {
        let mut call = due(1);
        call.invocation = InvocationType::RequestResponse;
        let decision = before_attempt(&call, || unreachable!(), || unreachable!(), at(1_000_000));
        assert_eq!(decision, None);
    }

    #[test]
    fn an_event_in_which_the_process_died_runs_alone_and_is_given_up_at_the_bound() {
        let decisions = [0, 1, 2, 3, 4].map(|deaths| after_process_deaths(deaths, 3));
        use AfterDeaths::{GiveUp, Run, RunAlone};
        assert_eq!(decisions, [Run, RunAlone, RunAlone, GiveUp, GiveUp]);
        assert_eq!(after_process_deaths(1, 1), GiveUp);
    }

    #[test]
    fn an_event_from_the_store_is_given_up_if_it_is_deadly_or_its_function_is_gone() {
        assert_eq!(on_return(false, false), None);
        assert_eq!(on_return(true, false), Some(Condition::ProcessCrash));
        for deadly in [false, true] {
            let removed = on_return(deadly, true);
            assert_eq!(removed, Some(Condition::FunctionRemoved));
        }
    }
}
