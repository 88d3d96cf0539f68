//! A mailbox as its callers and workers use it together: the intake, the grants and who is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use super::*;
use crate::base::clock::Clock;
use crate::event::InvocationType;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::function::Function;
use crate::function::context::{Event, WorkerContext};
use crate::mailbox::grant::GRANT_MAX;
use crate::mailbox::take::{SucceededRun, Turn};
use crate::mailbox::wake::WorkerMode;
use crate::mailbox::worker_handle::WorkerHandle;
use crate::queue::entry::{Entry, Taken};
use crate::queue::{RefusalReason, RefusedEntry};

/// Time does not advance here.
const NOW: Time = Time(1_000_000);

fn mailbox(events_max: u32) -> Arc<Mailbox> {
    let function = Function::new("f", |_: Event<u64>| async { Ok::<(), &str>(()) });
    Arc::new(Mailbox::new(
        function.mailbox_events_max(events_max).concurrency(1),
        0,
        Clock::real(),
    ))
}

fn worker(mailbox: &Arc<Mailbox>) -> WorkerHandle {
    let worker_context = WorkerContext {
        function: mailbox.name().clone(),
        clock: mailbox.clock.clone(),
        entrance: Arc::new(()),
        abort: Default::default(),
        leases: Arc::new(crate::idempotency::lease::ExecutionLeases::new(
            Default::default(),
        )),
        threads: mailbox.threads.clone(),
    };
    let worker = mailbox.register_worker(Arc::new(worker_context), 0);
    worker.set_waker(Waker::noop());
    worker
}

fn entry() -> Entry {
    Entry {
        payload: Payload::null(),
        kind: InvocationType::Event,
        side: None,
        request_id: None,
        start: Time::default(),
        stored: false,
        chosen_id: false,
    }
}

fn admit(mailbox: &Mailbox, random: u128) -> Result<RequestId, RefusedEntry> {
    mailbox.admit(entry(), random, NOW)
}

fn admit_at(mailbox: &Mailbox, now: Time) -> Result<RequestId, RefusedEntry> {
    mailbox.admit(entry(), 0, now)
}

fn done_with(taken: &Taken, started: Time) -> SucceededRun {
    SucceededRun {
        ticket: taken.ticket,
        first_due: taken.first_due,
        started,
        result: None,
    }
}

/// Runs all events; returns how many.
fn run(worker: &WorkerHandle) -> u32 {
    let (mut done, mut ran) = (None, 0);
    loop {
        match worker.turn(done.take(), WorkerMode::Fast, NOW).0 {
            Turn::Run { taken, .. } => {
                ran += 1;
                done = Some(done_with(&taken, NOW));
            }
            _ => return ran,
        }
    }
}

/// Returns how many slots neither hold an event nor are free.
fn held(mailbox: &Mailbox) -> usize {
    let inner = mailbox.lock_as_is();
    inner.spare_slots.len() + mailbox.intake.lock().grant.slots.len()
}

#[test]
fn a_mailbox_at_rest_reserves_no_slots_and_loses_no_arrival() {
    let mailbox = mailbox(1_000_000);
    mailbox.lifecycle().pause();
    for round in 0..50_000 {
        admit(&mailbox, round).expect("there is room");
        if round % 997 == 0 {
            assert_eq!(mailbox.inspect().pending(), round as u32 + 1);
        }
    }
    assert!(
        held(&mailbox) <= 2 * GRANT_MAX as usize,
        "{}",
        held(&mailbox)
    );
    mailbox.lifecycle().resume();
    let worker = worker(&mailbox);
    assert_eq!(run(&worker), 50_000);
    assert_eq!(held(&mailbox), 0, "slots of a mailbox at rest");
}

/// A caller has put its event into the intake and not signalled yet.
#[test]
fn a_worker_does_not_sleep_on_an_event_that_has_just_arrived() {
    let mailbox = mailbox(100);
    let worker = worker(&mailbox);
    for random in 0..2 {
        admit(&mailbox, random).expect("there is room");
    }
    assert_eq!(mailbox.intake.lock().events.len(), 1);
    mailbox.intake.clear_signal();
    assert_eq!(run(&worker), 2);
}

#[test]
fn the_bound_on_events_holds_exactly_with_and_without_the_lock() {
    let mailbox = mailbox(1_000);
    let worker = worker(&mailbox);
    assert_eq!(run(&worker), 0);
    mailbox.lifecycle().pause();
    for round in 0_u32..20 {
        let room = 1_000 - mailbox.inspect().pending();
        for random in 0..room {
            admit(&mailbox, u128::from(random)).expect("there is room");
        }
        let refused = admit(&mailbox, 0).expect_err("there is no room");
        assert_eq!(refused.why, RefusalReason::EventsMax);
        assert_eq!(mailbox.inspect().pending(), 1_000);
        if round % 2 == 0 {
            mailbox.lifecycle().resume();
            assert_eq!(run(&worker), 1_000);
            mailbox.lifecycle().pause();
        }
    }
}

#[test]
fn the_bound_on_bytes_holds_exactly_with_and_without_the_lock() {
    let function = Function::new("f", |_: Event<u64>| async { Ok::<(), &str>(()) });
    let bytes_max = 1_000 * Payload::null().size() as u64;
    let function = function.mailbox_bytes_max(bytes_max).concurrency(1);
    let mailbox = Arc::new(Mailbox::new(function, 0, Clock::real()));
    mailbox.lifecycle().pause();
    for random in 0..1_000 {
        admit(&mailbox, random).expect("there is room");
    }
    for random in 0..300 {
        let refused = admit(&mailbox, random).expect_err("there is no room");
        assert_eq!(refused.why, RefusalReason::BytesMax);
    }
    assert_eq!(mailbox.inspect().pending_bytes(), bytes_max);
}

fn two() -> Arc<Mailbox> {
    let function = Function::new("f", |_: Event<u64>| async { Ok::<(), &str>(()) });
    Arc::new(Mailbox::new(function.concurrency(2), 0, Clock::real()))
}

fn at(micros: u64) -> Time {
    Time(NOW.0 + micros * 1_000)
}

/// A run of the fast worker took long, and the next one may never end.
#[test]
fn a_worker_that_is_no_longer_fast_wakes_another_for_the_events_it_leaves() {
    let mailbox = two();
    let (other, quick) = (worker(&mailbox), worker(&mailbox));
    for worker in [&other, &quick] {
        assert!(matches!(
            worker.turn(None, WorkerMode::Normal, at(0)).0,
            Turn::Idle
        ));
    }
    let woken = Arc::new(Woken::default());
    other.set_waker(&Waker::from(woken.clone()));
    let mut done = None;
    for (mode, time) in [(WorkerMode::Fast, 0), (WorkerMode::Normal, 50)] {
        admit_at(&mailbox, at(time)).expect("there is room");
        admit_at(&mailbox, at(time)).expect("there is room");
        assert!(!woken.0.load(Ordering::SeqCst));
        let Turn::Run { taken, .. } = quick.turn(done.take(), mode, at(time)).0 else {
            panic!("there is something to run")
        };
        done = Some(done_with(&taken, at(time)));
    }
    assert!(woken.0.load(Ordering::SeqCst));
}

#[test]
fn a_mailbox_with_a_delayed_event_alone_reserves_no_slots() {
    let mailbox = two();
    let (other, busy) = (worker(&mailbox), worker(&mailbox));
    for random in 0..2_000 {
        admit(&mailbox, random).expect("there is room");
    }
    let mut done = None;
    while let Turn::Run { taken, .. } = busy.turn(done.take(), WorkerMode::Normal, NOW).0 {
        done = Some(done_with(&taken, NOW));
        if mailbox.lock().queue.table.ready() == 0 {
            break;
        }
    }
    assert!(matches!(
        other.turn(None, WorkerMode::Normal, NOW).0,
        Turn::Idle
    ));
    let mut later = entry();
    later.start = at(1_000_000);
    mailbox.admit(later, 0, at(900)).expect("there is room");
    assert!(matches!(
        busy.turn(done, WorkerMode::Normal, at(901)).0,
        Turn::Idle
    ));
    assert_eq!(held(&mailbox), 0);
}

/// The beginning of virtual time is also the value for "no worker searches".
#[test]
fn a_worker_is_woken_at_the_beginning_of_time() {
    let (mailbox, beginning) = (two(), Time::default());
    let (first, second) = (worker(&mailbox), worker(&mailbox));
    for _ in 0..6 {
        admit_at(&mailbox, beginning).expect("there is room");
    }
    let Turn::Run { .. } = second.turn(None, WorkerMode::Normal, beginning).0 else {
        panic!("there is something to run")
    };
    let mut done = None;
    while let Turn::Run { taken, .. } = first.turn(done.take(), WorkerMode::Normal, beginning).0 {
        done = Some(done_with(&taken, beginning));
    }
    let woken = Arc::new(Woken::default());
    first.set_waker(&Waker::from(woken.clone()));
    admit_at(&mailbox, beginning).expect("there is room");
    assert!(woken.0.load(Ordering::SeqCst));
}

#[derive(Default)]
struct Woken(AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
