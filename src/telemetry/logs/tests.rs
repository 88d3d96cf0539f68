//! Tests of the logs, through [`Logs`].

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::shard::{EVENT_MAX, LOG_MIN, SHARD_MAX, TOTAL_MAX};
use super::*;
use crate::event::failure::Failure;

fn id(number: u32) -> RequestId {
    RequestId::new(0, number, u128::from(number))
}

fn owner(event: RequestId) -> LogOwner {
    LogOwner::new(FunctionName::new("f"), event)
}

fn add(logs: &Logs, event: RequestId, write: impl FnOnce(&mut String)) {
    logs.shard(&owner(event)).lock().add(&owner(event), write);
}

fn report(failure: Option<&Failure>) -> Report<'_> {
    Report {
        duration: Duration::from_micros(2_900),
        init: None,
        failure,
        now: SystemTime::UNIX_EPOCH,
    }
}

/// LOG-03 to LOG-06, LOG-11
#[test]
fn an_attempt_logs_aws_start_end_and_report_lines() {
    let logs = Logs::new();
    let event = id(1);
    logs.start(&owner(event), 1, None);
    logs.end(&owner(event), &report(None));
    logs.start(&owner(event), 2, None);
    let init = Report {
        init: Some(Duration::from_micros(110_100)),
        ..report(None)
    };
    logs.end(&owner(event), &init);
    let log = logs.of("f", event).unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(
        lines[0],
        format!("START RequestId: {event} Version: $LATEST")
    );
    assert_eq!(lines[1], format!("END RequestId: {event}"));
    let begins = format!(
        "REPORT RequestId: {event}\tDuration: 2.90 ms\tBilled Duration: 3 ms\tMemory Size: "
    );
    assert!(
        lines[2].starts_with(&begins) && lines[2].ends_with(" MB\t"),
        "{log}"
    );
    assert!(lines[5].ends_with("\tInit Duration: 110.10 ms\t"), "{log}");
}

/// LOG-07, LOG-09
#[test]
fn a_failed_attempt_ends_with_its_status() {
    let logs = Logs::new();
    let timeout = Failure::timeout(Duration::from_secs(3));
    logs.end(&owner(id(1)), &report(Some(&timeout)));
    let log = logs.of("f", id(1)).unwrap();
    let event = id(1);
    assert!(log.starts_with(&format!(
        "1970-01-01T00:00:00.000Z {event} Task timed out after 3.00 seconds\n"
    )));
    assert!(log.ends_with("\tStatus: timeout\n"), "{log}");
    logs.end(&owner(id(2)), &report(Some(&Failure::worker_lost())));
    let log = logs.of("f", id(2)).unwrap();
    assert!(
        log.ends_with("\tStatus: error\tError Type: Runtime.ExitError\n"),
        "{log}"
    );
}

/// Lines that are written late read the same.
#[test]
fn a_quiet_attempt_reads_the_same_after_a_second_attempt() {
    let logs = Logs::new();
    let event = id(1);
    logs.start(&owner(event), 1, Some(&"7".into()));
    assert_eq!(
        logs.of("f", event).unwrap(),
        format!("START RequestId: {event} Version: 7\n")
    );
    logs.end(&owner(event), &report(None));
    let quiet = logs.of("f", event).unwrap();
    logs.start(&owner(event), 2, None);
    let both = logs.of("f", event).unwrap();
    let second = format!("START RequestId: {event} Version: $LATEST\n");
    assert_eq!(both, quiet + &second);
}

#[test]
fn the_last_16_kib_of_an_event_are_kept() {
    let logs = Logs::new();
    for number in 0..5_000 {
        add(&logs, id(1), |log| {
            let _ = writeln!(log, "line {number} ö");
        });
    }
    let log = logs.of("f", id(1)).unwrap();
    assert!(log.len() <= EVENT_MAX && log.len() > EVENT_MAX - 100);
    assert!(log.starts_with("line ") && log.ends_with("line 4999 ö\n"));
    add(&logs, id(2), |log| log.push_str(&"ö".repeat(EVENT_MAX)));
    assert!(logs.of("f", id(2)).unwrap().len() <= EVENT_MAX);
}

#[test]
fn the_latest_16_mib_of_all_events_are_kept() {
    let logs = Logs::new();
    for number in 0..3_000 {
        logs.start(&owner(id(number)), 1, None);
        add(&logs, id(number), |log| log.push_str(&"x".repeat(10 << 10)));
        logs.start(&owner(id(10_000 + number)), 1, None);
    }
    let bytes: usize = logs.0.iter().map(|shard| shard.lock().bytes).sum();
    let held: usize = logs
        .0
        .iter()
        .map(|shard| {
            shard
                .lock()
                .logs
                .values()
                .map(|begun| LOG_MIN + begun.log.len())
                .sum::<usize>()
        })
        .sum();
    assert_eq!(bytes, held);
    assert!(bytes <= TOTAL_MAX);
    assert!(logs.of("f", id(0)).is_none() && logs.of("f", id(2_999)).is_some());
}

/// A function's log never shows the lines of another function that had the same id.
#[test]
fn each_function_has_its_own_log_of_an_id() {
    let logs = Logs::new();
    let (event, other) = (id(1), LogOwner::new(FunctionName::new("g"), id(1)));
    logs.start(&owner(event), 1, None);
    add(&logs, event, |log| log.push_str("secret\n"));
    logs.end(&owner(event), &report(None));
    assert_eq!(logs.of("g", event), None);
    logs.start(&other, 1, None);
    logs.end(&other, &report(None));
    assert!(logs.of("f", event).unwrap().contains("secret"));
    assert!(!logs.of("g", event).unwrap().contains("secret"));
}

/// A first attempt under a known id belongs to another event.
#[test]
fn a_first_attempt_starts_a_new_log() {
    let logs = Logs::new();
    let event = id(1);
    for round in 0..100_000 {
        logs.start(&owner(event), 1, None);
        add(&logs, event, |log| {
            let _ = writeln!(log, "round {round}");
        });
    }
    logs.start(&owner(event), 2, None);
    let log = logs.of("f", event).unwrap();
    assert_eq!(log.lines().count(), 3, "{log}");
    assert_eq!(log.lines().nth(1), Some("round 99999"));
    let shard = logs.shard(&owner(event)).lock();
    assert!(shard.bytes <= SHARD_MAX);
    assert!(shard.order.len() <= SHARD_MAX / LOG_MIN);
}
