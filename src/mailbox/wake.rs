//! Who is woken for work: this file alone decides it, and it is pure; `mailbox/dispatch.rs` reads the state and carries the
//! decision out. Wake-ups for other reasons are not decided here: workers that must stop (`mailbox/workers.rs`), and the
//! supervisor after a worker's end, a crash, a loaded overflow or a change of settings.
//!
//! A worker *searches* when it is awake and about to look for work: it was just woken, it polls, or it runs one quick event
//! after the other. While one searches, no other worker is woken for a new event: the searching one finds it, and wakes the
//! next one if it leaves work behind. So a burst costs few wake-ups.
//!
//! | what happened | state of the workers | who is woken |
//! |---|---|---|
//! | an event became ready | the function is paused or backs off | none: the event waits |
//! | | one searches | the searching worker, by a flag that it reads before it sleeps |
//! | | none searches, one is idle | the idle worker that ran last |
//! | | none is idle, one more may start | the supervisor, which starts it |
//! | | none is idle, none may start, concurrency 0 is reserved | the supervisor, which dead-letters the event |
//! | | all are busy, none may start | none: the next worker that is done takes the event |
//! | a call came in | the function backs off, or is out of threads | the supervisor too, which fails the call at once |
//! | a worker took an event and left others | it had not searched, and is not fast | none |
//! | | it had searched, or it is fast and left more than 1,024; no other searches | an idle worker, otherwise the supervisor if one more may start |
//! | | another one searches, or a fast worker left fewer | none |
//! | the supervisor reconciles | any | as many idle workers as there is work, less those that will look anyway; it starts the rest |
//! | an event became delayed, or the overflow has one | the function is paused or backs off | none |
//! | | it is due before the supervisor reconciles next | the supervisor, which sets its timer |
//! | any of these | one is relied upon, and the supervisor does not reconcile within 10 ms | the supervisor: that worker's thread may be busy with something else |
//!
//! The supervisor is called once until it reconciles. Until a point in time that these rules give (`quiet_until`), an event
//! can become ready without waking anything; `mailbox/grant.rs` passes that time on to the callers.

use std::time::Duration;

use crate::base::time::Time;

/// How long one worker's search keeps the others asleep. A shorter time costs needless wake-ups under load; with a longer
/// one, an event waits longer when the searching thread is not scheduled.
pub(super) const SEARCH_MAX: Duration = Duration::from_micros(200);

/// How long an event may wait for a worker that was relied upon in vain.
pub(super) const RECHECK_AFTER: Duration = Duration::from_millis(10);

/// Ready events beyond which a fast worker gets help.
const HELP_BEYOND: u32 = 1_024;

/// How a worker works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WorkerMode {
    /// It sleeps when it finds nothing.
    Normal,
    /// Its runs are quick, one after the other: no other worker is needed as long as it keeps up. It sleeps when it finds
    /// nothing.
    Fast,
    /// As `Fast`, but it polls for a moment before it sleeps: a wake-up costs more than a look.
    FastPolling,
}

/// The state of a function and its workers, as far as waking depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct WakeState {
    /// The function was removed: an event must not come in.
    pub(super) removed: bool,
    /// Concurrency 0 is reserved for the function: its events must end, not wait (ASY-27).
    pub(super) reserved_zero: bool,
    /// Nothing may be taken: the function is paused or backs off.
    pub(super) held: bool,
    /// Until when a worker can be relied upon to look for work.
    pub(super) searched_until: Time,
    pub(super) has_idle: bool,
    /// There are fewer workers than the concurrency.
    pub(super) may_start: bool,
    /// The supervisor was called and has not reconciled yet.
    pub(super) supervisor_called: bool,
}

/// Who is to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Nothing,
    /// The worker that searches.
    Searching,
    /// The idle worker that ran last.
    Idle,
    Supervisor,
}

/// Returns who is woken for an event that became ready.
#[inline]
pub(super) fn for_ready(state: WakeState, now: Time) -> Target {
    if state.held {
        Target::Nothing
    } else if state.searched_until > now {
        Target::Searching
    } else if state.has_idle {
        Target::Idle
    } else if state.may_start || state.reserved_zero {
        Target::Supervisor
    } else {
        Target::Nothing
    }
}

/// Returns whether the supervisor is called after something became ready or delayed: it was `chosen` for the ready event, or
/// something `is_due` before it reconciles by itself.
#[inline]
pub(super) fn calls_supervisor(held: bool, chosen: bool, is_due: bool) -> bool {
    !held && (chosen || is_due)
}

/// Returns whether the supervisor is called for a call that came in, whether or not it was called before: it fails the calls
/// of a function that `backs_off` or is `out_of_threads` rather than keep their callers waiting.
pub(super) fn calls_supervisor_for_call(backs_off: bool, out_of_threads: bool) -> bool {
    backs_off || out_of_threads
}

/// Returns whether a worker that just took an event needs help with the `ready` ones that it leaves; `searched` is whether
/// it had searched for the event it took.
#[inline]
pub(super) fn needs_help(mode: WorkerMode, searched: bool, ready: u32, is_searched: bool) -> bool {
    let much = match mode {
        WorkerMode::Normal => searched && ready > 0,
        WorkerMode::Fast | WorkerMode::FastPolling => ready > HELP_BEYOND,
    };
    much && !is_searched
}

/// Returns who helps a worker that needs it.
#[inline]
pub(super) fn for_help(has_idle: bool, may_start: bool) -> Target {
    match (has_idle, may_start) {
        (true, _) => Target::Idle,
        (false, true) => Target::Supervisor,
        (false, false) => Target::Nothing,
    }
}

/// Returns until when an event may become ready without waking anything new, as things stand.
#[inline]
pub(super) fn quiet_until(state: WakeState) -> Time {
    let all_awake = !state.has_idle && (state.supervisor_called || !state.may_start);
    if state.removed || state.reserved_zero {
        Time::default()
    } else if state.held || all_awake {
        Time(u64::MAX)
    } else {
        state.searched_until
    }
}

/// How the supervisor spreads work: idle workers to wake, workers to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Staffing {
    pub(super) wake: u32,
    pub(super) start: u32,
}

/// Returns whom the supervisor wakes and starts for `takeable` events: `coming` workers will look for work anyway, `idle`
/// ones can be woken, and `room` more may start.
pub(super) fn staffing(takeable: u64, coming: u64, idle: u32, room: u32) -> Staffing {
    let wanted = takeable.saturating_sub(coming);
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    let wake = wanted.min(idle);
    Staffing {
        wake,
        start: (wanted - wake).min(room),
    }
}

/// Returns whether something that is `due` comes before the supervisor reconciles by itself.
#[inline]
pub(super) fn is_before_reconcile(due: Option<Time>, reconcile_at: Option<Time>) -> bool {
    match (due, reconcile_at) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(due), Some(at)) => due < at,
    }
}

/// Returns whether the supervisor must check soon on a worker that is relied upon: its thread may be busy with another
/// function's handler.
#[inline]
pub(super) fn needs_recheck(relied_on: bool, reconcile_at: Option<Time>, now: Time) -> bool {
    relied_on && reconcile_at.is_none_or(|at| at > now.after(RECHECK_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000);
    const LATER: Time = Time(2_000);

    /// One function, none of whose workers searches or is idle and of which no more may start.
    const ALL_BUSY: WakeState = WakeState {
        removed: false,
        reserved_zero: false,
        held: false,
        searched_until: NOW,
        has_idle: false,
        may_start: false,
        supervisor_called: false,
    };

    fn all_states() -> impl Iterator<Item = WakeState> {
        (0..128_u8).map(|bits| WakeState {
            removed: bits & 64 > 0,
            reserved_zero: bits & 1 > 0,
            held: bits & 2 > 0,
            searched_until: if bits & 4 > 0 { LATER } else { NOW },
            has_idle: bits & 8 > 0,
            may_start: bits & 16 > 0,
            supervisor_called: bits & 32 > 0,
        })
    }

    #[test]
    fn the_supervisor_is_not_called_while_its_function_is_paused() {
        assert!(!calls_supervisor(true, true, true));
        assert!(calls_supervisor(false, true, false));
        assert!(calls_supervisor(false, false, true));
        assert!(!calls_supervisor(false, false, false));
    }

    #[test]
    fn a_call_that_can_not_run_soon_calls_the_supervisor() {
        assert!(!calls_supervisor_for_call(false, false));
        assert!(calls_supervisor_for_call(true, false));
        assert!(calls_supervisor_for_call(false, true));
    }

    #[test]
    fn a_ready_event_wakes_nothing_while_its_function_is_paused() {
        for state in all_states() {
            let held = WakeState {
                held: true,
                ..state
            };
            assert_eq!(for_ready(held, NOW), Target::Nothing);
        }
    }

    #[test]
    fn a_ready_event_is_left_to_a_worker_that_searches() {
        for state in all_states().filter(|state| !state.held && state.searched_until > NOW) {
            assert_eq!(for_ready(state, NOW), Target::Searching);
        }
    }

    #[test]
    fn a_ready_event_wakes_an_idle_worker_before_another_is_started() {
        let idle = WakeState {
            has_idle: true,
            may_start: true,
            ..ALL_BUSY
        };
        assert_eq!(for_ready(idle, NOW), Target::Idle);
        let none_idle = WakeState {
            has_idle: false,
            ..idle
        };
        assert_eq!(for_ready(none_idle, NOW), Target::Supervisor);
    }

    #[test]
    fn a_ready_event_waits_for_the_next_worker_that_is_done_if_all_are_busy() {
        assert_eq!(for_ready(ALL_BUSY, NOW), Target::Nothing);
    }

    #[test]
    fn the_supervisor_ends_a_ready_event_of_a_function_with_zero_concurrency() {
        let zero = WakeState {
            reserved_zero: true,
            ..ALL_BUSY
        };
        assert_eq!(for_ready(zero, NOW), Target::Supervisor);
    }

    /// Callers that rely on the time don't take the mailbox's lock.
    #[test]
    fn until_the_quiet_time_a_ready_event_wakes_nothing_new() {
        for state in all_states() {
            if quiet_until(state) > NOW {
                let target = for_ready(state, NOW);
                let is_called = target == Target::Supervisor && state.supervisor_called;
                let is_quiet = matches!(target, Target::Nothing | Target::Searching);
                assert!(is_quiet || is_called, "{state:?} wakes {target:?}");
            }
        }
    }

    #[test]
    fn no_event_comes_in_quietly_where_it_must_be_refused_or_ended() {
        for state in all_states().filter(|state| state.removed || state.reserved_zero) {
            assert_eq!(quiet_until(state), Time::default());
        }
    }

    #[test]
    fn a_worker_that_searched_gets_help_with_the_events_that_it_leaves() {
        assert!(needs_help(WorkerMode::Normal, true, 1, false));
        assert!(!needs_help(WorkerMode::Normal, true, 0, false));
        assert!(!needs_help(WorkerMode::Normal, false, 1_000_000, false));
        assert!(!needs_help(WorkerMode::Normal, true, 1, true));
    }

    #[test]
    fn a_fast_worker_gets_help_beyond_1024_ready_events() {
        for mode in [WorkerMode::Fast, WorkerMode::FastPolling] {
            assert!(!needs_help(mode, true, 1_024, false));
            assert!(needs_help(mode, false, 1_025, false));
            assert!(!needs_help(mode, false, 1_025, true));
        }
    }

    #[test]
    fn help_is_an_idle_worker_or_a_new_one() {
        assert_eq!(for_help(true, true), Target::Idle);
        assert_eq!(for_help(true, false), Target::Idle);
        assert_eq!(for_help(false, true), Target::Supervisor);
        assert_eq!(for_help(false, false), Target::Nothing);
    }

    #[test]
    fn the_supervisor_wakes_idle_workers_first_and_starts_the_rest() {
        let staff = |takeable, coming, idle, room| {
            let Staffing { wake, start } = staffing(takeable, coming, idle, room);
            (wake, start)
        };
        assert_eq!(staff(0, 0, 5, 5), (0, 0));
        assert_eq!(staff(3, 0, 5, 5), (3, 0));
        assert_eq!(staff(8, 0, 5, 5), (5, 3));
        assert_eq!(staff(8, 2, 5, 5), (5, 1));
        assert_eq!(staff(2, 9, 5, 5), (0, 0));
        assert_eq!(staff(u64::MAX, 0, 1, 2), (1, 2));
    }

    #[test]
    fn the_supervisor_is_called_for_an_event_that_is_due_before_it_reconciles() {
        assert!(!is_before_reconcile(None, None));
        assert!(is_before_reconcile(Some(LATER), None));
        assert!(is_before_reconcile(Some(NOW), Some(LATER)));
        assert!(!is_before_reconcile(Some(LATER), Some(LATER)));
    }

    #[test]
    fn the_supervisor_checks_within_10_ms_on_a_worker_that_is_relied_upon() {
        let soon = NOW.after(RECHECK_AFTER);
        assert!(needs_recheck(true, None, NOW));
        assert!(needs_recheck(true, Some(Time(soon.0 + 1)), NOW));
        assert!(!needs_recheck(true, Some(soon), NOW));
        assert!(!needs_recheck(false, None, NOW));
    }
}
