use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::event::function_name::FunctionName;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u32) -> Time {
    Time::default().after(SECOND * seconds)
}

fn key(n: u8) -> Key {
    Key::new(FunctionName::new("f"), Digest::of(&json!(n)))
}

fn owner(n: u8) -> Owner {
    Owner {
        request_id: RequestId::from(Uuid::from_u128(n.into())),
        attempt: 1,
        since: Time::default(),
    }
}

fn result(n: u8) -> Option<Payload> {
    Payload::new(n).ok()
}

fn table(records_max: usize, bytes_max: u64) -> Executions {
    Executions::new(Bounds {
        records_max,
        bytes_max,
    })
}

impl Executions {
    fn acquires(&mut self, n: u8, by: u8, until: u32, now: u32) -> Acquisition {
        self.acquire(&key(n), owner(by), None, at(until), at(now))
    }

    fn completes(&mut self, n: u8, by: u8, expires: u32) -> Result<Option<Completed>, Fenced> {
        self.complete(&key(n), owner(by), result(by), at(expires))
    }

    /// Returns the whole table as text.
    fn all(&self) -> String {
        let records: BTreeMap<_, _> = self.records.iter().collect();
        let results = |r: &Record| match &r.state {
            ExecutionState::Completed { result, .. } => result.clone(),
            ExecutionState::InProgress { .. } => None,
        };
        let results: Vec<_> = records
            .values()
            .map(|r| results(r).map(|p| p.json().unwrap().to_string()))
            .collect();
        format!("{records:?} {results:?} {:?} {}", self.ends, self.bytes)
    }

    fn check(&self) {
        let ends = self.records.iter().map(|(key, r)| (r.end(), key.clone()));
        assert_eq!(self.ends, ends.collect());
        let bytes: u64 = self.records.values().map(Record::bytes).sum();
        assert_eq!(self.bytes, bytes);
    }
}

fn reads(acquired: &Acquisition) -> Option<u8> {
    match acquired {
        Acquisition::Completed { result } => result.as_ref().map(|r| r.read().unwrap()),
        _ => None,
    }
}

/// IDM-01, IDM-04, IDM-06, IDM-08
#[test]
fn one_event_runs_while_the_others_wait_and_all_get_its_result_until_it_expires() {
    let mut table = table(10, 100);
    assert!(matches!(table.acquires(1, 1, 5, 0), Acquisition::Leased));
    let waits = table.acquires(1, 2, 9, 5);
    assert!(matches!(waits, Acquisition::InProgress { until, .. } if until == at(5)));
    table.completes(1, 1, 100).unwrap();
    assert_eq!(reads(&table.acquires(1, 2, 105, 100)), Some(1));
    assert!(matches!(
        table.acquires(1, 2, 105, 101),
        Acquisition::Leased
    ));
}

/// IDM-04, IDM-13, BYD-15
#[test]
fn an_expired_lease_may_be_taken_over_and_its_former_owner_is_fenced() {
    let mut table = table(10, 100);
    table.acquires(1, 1, 5, 0);
    assert!(matches!(table.acquires(1, 2, 10, 6), Acquisition::Leased));
    let before = table.all();
    assert!(table.completes(1, 1, 100).is_err());
    assert!(table.renew(&key(1), owner(1), at(50)).is_err());
    assert!(table.release(&key(1), owner(1)).is_err());
    assert_eq!(table.all(), before);
    table.completes(1, 2, 100).unwrap();
    assert!(table.completes(1, 1, 200).is_err());
    assert_eq!(reads(&table.acquires(1, 3, 60, 50)), Some(2));
}

/// BYD-15
#[test]
fn a_later_attempt_or_event_with_the_same_id_is_another_owner() {
    let mut table = table(10, 100);
    table.acquires(1, 1, 5, 0);
    let second = Owner {
        attempt: 2,
        ..owner(1)
    };
    let anew = Owner {
        since: at(1),
        ..owner(1)
    };
    for other in [second, anew] {
        let acquired = table.acquire(&key(1), other, None, at(9), at(1));
        assert!(matches!(acquired, Acquisition::InProgress { .. }));
        assert!(table.release(&key(1), other).is_err());
    }
}

#[test]
fn an_owner_may_complete_after_its_lease_unless_another_attempt_runs() {
    let mut table = table(10, 100);
    table.acquires(1, 1, 5, 0);
    table.acquires(2, 2, 5, 60);
    table.completes(1, 1, 100).unwrap();
    assert_eq!(reads(&table.acquires(1, 2, 80, 70)), Some(1));
}

/// IDM-07
#[test]
fn a_released_key_is_free_and_a_completed_one_is_not_released() {
    let mut table = table(10, 100);
    table.acquires(1, 1, 5, 0);
    table.release(&key(1), owner(1)).unwrap();
    assert!(matches!(table.acquires(1, 2, 5, 0), Acquisition::Leased));
    table.completes(1, 2, 100).unwrap();
    assert!(table.release(&key(1), owner(2)).is_err());
    assert!(table.renew(&key(1), owner(2), at(500)).is_err());
    assert_eq!(reads(&table.acquires(1, 3, 5, 1)), Some(2));
}

#[test]
fn a_renewal_never_shortens_a_lease() {
    let mut table = table(10, 100);
    table.acquires(1, 1, 5, 0);
    for until in [50, 7] {
        table.renew(&key(1), owner(1), at(until)).unwrap();
        let waits = table.acquires(1, 2, 99, 6);
        assert!(matches!(waits, Acquisition::InProgress { until, .. } if until == at(50)));
    }
}

/// IDM-09
#[test]
fn a_payload_that_differs_from_that_of_the_result_is_a_mismatch() {
    let mut table = table(10, 100);
    let digest = |n: u8| Some(Digest::of(&json!(n)));
    let mut acquire = |by, validated, now| {
        let acquired = table.acquire(&key(1), owner(by), validated, at(now + 5), at(now));
        if by == 1 {
            table.completes(1, 1, 100).unwrap();
        }
        acquired
    };
    acquire(1, digest(1), 0);
    assert_eq!(reads(&acquire(2, digest(1), 1)), Some(1));
    let other = acquire(2, digest(2), 1);
    assert!(matches!(other, Acquisition::Mismatch { first } if first == owner(1).request_id));
    // Without validation there is no mismatch: the function may have changed meanwhile.
    assert_eq!(reads(&acquire(2, None, 1)), Some(1));
    assert!(matches!(acquire(2, digest(2), 101), Acquisition::Leased));
}

#[test]
fn a_payload_that_differs_from_a_running_one_waits() {
    let mut table = table(10, 100);
    let digest = |n: u8| Some(Digest::of(&json!(n)));
    table.acquire(&key(1), owner(1), digest(1), at(5), at(0));
    let acquired = table.acquire(&key(1), owner(2), digest(2), at(5), at(1));
    assert!(matches!(acquired, Acquisition::InProgress { .. }));
}

#[test]
fn at_a_bound_new_keys_are_refused_until_a_result_expires_and_known_keys_get_their_results() {
    let mut table = table(2, 1_000);
    for n in [1, 2] {
        table.acquires(n, n, 5, 0);
        table.completes(n, n, 100).unwrap();
    }
    let refused = table.acquires(3, 3, 105, 100);
    assert!(matches!(refused, Acquisition::Full(Full::Records(2))));
    assert_eq!(reads(&table.acquires(2, 3, 105, 100)), Some(2));
    assert!(matches!(
        table.acquires(3, 3, 106, 101),
        Acquisition::Leased
    ));
}

#[test]
fn results_of_running_attempts_may_exceed_the_bound_and_new_keys_are_refused() {
    let mut table = table(10, 1);
    table.acquires(1, 1, 5, 0);
    table.acquires(2, 2, 5, 0);
    table.completes(1, 1, 100).unwrap();
    table.completes(2, 2, 200).unwrap();
    assert_eq!(table.bytes, 2);
    let refused = table.acquires(3, 3, 105, 101);
    assert!(matches!(refused, Acquisition::Full(Full::Bytes(1))));
    assert!(matches!(
        table.acquires(3, 3, 206, 201),
        Acquisition::Leased
    ));
}

/// Also with many expired records, one request evicts few, unless it needs their room.
#[test]
fn expired_records_are_evicted_a_few_at_a_time_unless_room_is_needed() {
    let mut table = table(300, 1_000);
    for n in 0..200 {
        table.acquires(n, n, 5, 0);
        table.completes(n, n, 10).unwrap();
    }
    table.acquires(250, 1, 25, 20);
    assert_eq!(table.records.len(), 200 - SWEEP + 1);
    for n in 0..200 {
        table.acquires(n, n, 25, 20);
        table.completes(n, n, 30).unwrap();
    }
    table.bounds.bytes_max = 1;
    assert!(matches!(
        table.acquires(251, 1, 45, 40),
        Acquisition::Leased
    ));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Acquire,
    Renew,
    Complete,
    Release,
}

fn op() -> impl Strategy<Value = (Op, u8, u8, u32, u32)> {
    let op = prop_oneof![
        3 => Just(Op::Acquire),
        1 => Just(Op::Renew),
        2 => Just(Op::Complete),
        1 => Just(Op::Release),
    ];
    // The operation, key, owner, lease, and the time before it, which is sometimes long.
    (
        op,
        0..5_u8,
        0..4_u8,
        0..8_u32,
        prop_oneof![9 => 0..4_u32, 1 => Just(4_000)],
    )
}

/// The state of a key in a simple model that never evicts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Plain {
    Running { by: u8, until: u32 },
    Done { by: u8, expires: u32 },
}

/// The table, and the model that it is compared with.
struct Comparison {
    executions: Executions,
    records_max: usize,
    plain: BTreeMap<u8, Plain>,
    completed: Vec<Completed>,
    now: u32,
}

impl Comparison {
    fn acquire(&mut self, n: u8, by: u8, until: u32) -> Result<(), TestCaseError> {
        let (now, known) = (self.now, self.plain.get(&n).copied());
        match (self.executions.acquires(n, by, until, now), known) {
            (Acquisition::Leased, known) => {
                let free = match known {
                    None => true,
                    Some(Plain::Running { until, .. }) => until < now,
                    Some(Plain::Done { expires, .. }) => expires < now,
                };
                prop_assert!(free, "{known:?} at {now}");
                self.plain.insert(n, Plain::Running { by, until });
            }
            (
                Acquisition::InProgress { owner: o, until: u },
                Some(Plain::Running { by, until }),
            ) => {
                prop_assert_eq!((o, u), (owner(by), at(until)));
                prop_assert!(until >= now);
            }
            (Acquisition::Completed { result }, Some(Plain::Done { by, expires })) => {
                prop_assert_eq!(result.unwrap().read::<u8>().unwrap(), by);
                prop_assert!(expires >= now);
            }
            (Acquisition::Full(_), _) => {
                let live = self.plain.values().filter(|p| match p {
                    Plain::Running { until, .. } => until + 3_600 >= now,
                    Plain::Done { expires, .. } => *expires >= now,
                });
                prop_assert!(live.count() >= self.records_max);
            }
            other => prop_assert!(false, "{other:?} at {now}"),
        }
        Ok(())
    }

    /// Renews, completes or releases.
    fn change(&mut self, op: Op, n: u8, by: u8, until: u32) -> Result<(), TestCaseError> {
        let (now, known) = (self.now, self.plain.get(&n).copied());
        let before = self.executions.all();
        // The table evicts a record an hour after its lease; the model never does, so they can't be compared then.
        let evicted = matches!(known, Some(Plain::Running { until, .. }) if until + 3_600 < now);
        let owned = matches!(known, Some(Plain::Running { by: b, .. }) if b == by);
        let done = matches!(known, Some(Plain::Done { by: b, .. }) if b == by);
        let table = &mut self.executions;
        let changed = match op {
            Op::Renew => table.renew(&key(n), owner(by), at(until)).map(|()| None),
            Op::Complete => table.completes(n, by, until),
            _ => table.release(&key(n), owner(by)).map(|()| None),
        };
        match (changed, known) {
            (Ok(completed), Some(Plain::Running { until: had, .. })) => {
                prop_assert!(owned);
                prop_assert_eq!(completed.is_some(), matches!(op, Op::Complete));
                self.completed.extend(completed);
                let until_max = had.max(until);
                match op {
                    Op::Renew => self.plain.insert(
                        n,
                        Plain::Running {
                            by,
                            until: until_max,
                        },
                    ),
                    Op::Complete => self.plain.insert(n, Plain::Done { by, expires: until }),
                    _ => self.plain.remove(&n),
                };
            }
            (Ok(completed), _) => {
                prop_assert!(completed.is_none());
                prop_assert!(done && matches!(op, Op::Complete));
                prop_assert_eq!(&self.executions.all(), &before);
            }
            (Err(Fenced), _) => {
                let late = evicted || (done && !matches!(op, Op::Complete));
                // An expired result may have been evicted.
                let expired = matches!(known, Some(Plain::Done { expires, .. }) if expires < now);
                prop_assert!(!owned && !done || late || expired, "{known:?} at {now}");
                prop_assert_eq!(&self.executions.all(), &before);
            }
        }
        Ok(())
    }

    /// Restores the completed executions in a new table, which must have all results.
    fn restore(self) -> Result<(), TestCaseError> {
        let mut again = table(self.records_max, 1_000);
        self.completed
            .into_iter()
            .for_each(|completed| again.restore(completed));
        again.check();
        for (n, known) in self.plain {
            if let Plain::Done { by, expires } = known
                && expires >= self.now
            {
                let acquired = again.acquires(n, 9, self.now, self.now);
                prop_assert_eq!(reads(&acquired), Some(by));
            }
        }
        Ok(())
    }
}

proptest! {
    /// A key has at most one owner at any time, a result stays the same until it expires, a fenced attempt changes nothing,
    /// and restoring the completed executions gives all results again.
    #[test]
    fn the_table_behaves_like_the_simple_model(
        ops in proptest::collection::vec(op(), 1..80),
        records_max in 1..6_usize,
    ) {
        let mut comparison = Comparison {
            executions: table(records_max, 1_000),
            records_max,
            plain: BTreeMap::new(),
            completed: Vec::new(),
            now: 0,
        };
        for (op, n, by, span, wait) in ops {
            comparison.now += wait;
            let until = comparison.now + span;
            match op {
                Op::Acquire => comparison.acquire(n, by, until)?,
                _ => comparison.change(op, n, by, until)?,
            }
            comparison.executions.check();
        }
        comparison.restore()?;
    }
}
