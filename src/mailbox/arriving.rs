//! How events come in without the mailbox's lock (`mailbox/intake.rs`), as far as the mailbox has a say: how many may, and until when
//! nobody has to be woken for them.
//!
//! Whoever changes what callers were told last says so before it lets go of the lock: a worker that begins to run
//! something, or goes to sleep; the supervisor once it has attended.

use super::{Inner, Mailbox, Wake};
use crate::base::time::Time;
use crate::function::live_settings::Rules;
use crate::mailbox::workers;

/// Most events that may arrive without the mailbox's lock, in a row. Their callers' side holds that many slots.
const GRANT_MAX: u32 = 256;

impl Mailbox {
    pub(super) fn bring_in(&self, inner: &mut Inner, revoke: bool) {
        let mut arrivals = self.intake.lock();
        if revoke {
            (arrivals.grant.events, arrivals.grant.bytes) = (0, 0);
        }
        if arrivals.events.is_empty() {
            return;
        }
        let spare = std::mem::take(&mut inner.spare);
        let mut arrived = std::mem::replace(&mut arrivals.events, spare);
        if !revoke {
            // As many as came may come again: as long as somebody brings them in, callers need not take the lock.
            let grant = &mut arrivals.grant;
            grant.slots.append(&mut inner.spare_slots);
            let room = inner.queue.room().saturating_sub(arrived.len() as u32);
            grant.events = inner.granted.min(room).min(grant.slots.len() as u32);
        }
        drop(arrivals);
        inner.queue.keep(arrived.len(), &mut inner.spare_slots);
        arrived
            .drain(..)
            .for_each(|arrival| inner.queue.arrive(arrival));
        inner.spare = arrived;
    }

    /// After an admission: says how much may arrive without the lock from here on, twice as much as last time.
    pub(super) fn grant(&self, inner: &mut Inner, now: Time) {
        let until = inner.quiet_until(self.rules());
        inner.granted = if until > now {
            (inner.granted * 2).clamp(1, GRANT_MAX)
        } else {
            0
        };
        inner.published = until;
        let mut arrivals = self.intake.lock();
        let grant = &mut arrivals.grant;
        grant.until = until;
        if inner.granted > 0 {
            grant.events = inner.granted.min(inner.queue.room());
            grant.bytes = inner.queue.room_bytes();
            grant.slots.append(&mut inner.spare_slots);
            let missing = (grant.events as usize).saturating_sub(grant.slots.len());
            inner.queue.keep(missing, &mut grant.slots);
        }
    }

    /// Says until when nobody has to be woken, where that has changed enough to be worth the intake's lock. Where it ends
    /// sooner than callers were told, somebody has to be woken for what they put there meanwhile.
    #[inline]
    pub(super) fn publish(&self, inner: &mut Inner, now: Time) -> Wake {
        let until = inner.quiet_until(self.rules());
        let sooner = until < inner.published;
        if inner.granted == 0 || !sooner && until <= inner.published.after(workers::SEARCH_MAX / 2)
        {
            return Wake::default();
        }
        inner.published = until;
        let mut arrivals = self.intake.lock();
        arrivals.grant.until = until;
        if !sooner || arrivals.events.is_empty() {
            return Wake::default();
        }
        drop(arrivals);
        self.bring_in(inner, false);
        inner.rouse(self.rules(), now)
    }

    /// Before a worker sleeps, unless something has arrived: what comes from here on wakes somebody. Answers whether it may
    /// sleep.
    pub(super) fn settle_down(&self, inner: &mut Inner) -> bool {
        let mut arrivals = self.intake.lock();
        if !arrivals.events.is_empty() {
            return false;
        }
        let until = inner.quiet_until(self.rules());
        (arrivals.grant.until, inner.published) = (until, until);
        let held = !arrivals.grant.slots.is_empty() || !inner.spare_slots.is_empty();
        if inner.workers.are_all_idle() && held {
            // The memory for bursts goes with the burst.
            let quiet = std::mem::take(&mut *arrivals);
            drop(arrivals);
            inner.queue.give_back(quiet.grant.slots);
            let spare_slots = std::mem::take(&mut inner.spare_slots);
            inner.queue.give_back(spare_slots);
            (inner.granted, inner.spare) = (0, Vec::new());
        }
        true
    }
}

impl Inner {
    /// Until when an event may become ready without anybody being woken for it, as things stand.
    #[inline]
    fn quiet_until(&self, rules: Rules<'_>) -> Time {
        let held = self.queue.paused || self.queue.allowance == 0;
        let all_awake = !self.workers.has_idle()
            && (self.summoned || self.workers.live() >= rules.live_settings.concurrency());
        match (
            self.removed || rules.live_settings.is_reserved_zero(),
            held || all_awake,
        ) {
            (true, _) => Time::default(),
            (false, true) => Time(u64::MAX),
            (false, false) => self.workers.searched_until(),
        }
    }
}

#[cfg(test)]
mod tests {
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
    use crate::mailbox::{SucceededRun, Turn, WorkerHandle, WorkerMode};
    use crate::queue::entry::{Entry, Taken};
    use crate::queue::{RefusalReason, RefusedEntry};

    /// Time stands still here.
    const NOW: Time = Time(1_000_000);

    fn mailbox(events_max: u32) -> Arc<Mailbox> {
        let function = Function::new("f", |_: Event<u64>| async { Ok::<(), &str>(()) });
        Arc::new(Mailbox::new(
            function.mailbox_events_max(events_max).concurrency(1),
            0,
            Clock::real(),
        ))
    }

    fn seat(mailbox: &Arc<Mailbox>) -> WorkerHandle {
        let worker_context = WorkerContext {
            function: mailbox.name().clone(),
            clock: mailbox.clock.clone(),
            home: Arc::new(()),
            abort: Default::default(),
            leases: Arc::new(crate::idempotency::lease::ExecutionLeases::new(
                Default::default(),
            )),
            threads: mailbox.threads.clone(),
        };
        let seat = mailbox.register_worker(Arc::new(worker_context), 0);
        seat.set_waker(Waker::noop());
        seat
    }

    fn entry() -> Entry {
        Entry {
            payload: Payload::null(),
            kind: InvocationType::Event,
            side: None,
            request_id: None,
            start: Time::default(),
            stored: false,
            proposed: false,
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

    /// Runs what there is; answers how much it was.
    fn run(seat: &WorkerHandle) -> u32 {
        let (mut done, mut ran) = (None, 0);
        loop {
            match seat.turn(done.take(), WorkerMode::Fast, NOW).0 {
                Turn::Run { taken, .. } => {
                    ran += 1;
                    done = Some(done_with(&taken, NOW));
                }
                _ => return ran,
            }
        }
    }

    /// Slots that neither hold an event nor are free.
    fn held(mailbox: &Mailbox) -> usize {
        let inner = mailbox.lock_as_is();
        inner.spare_slots.len() + mailbox.intake.lock().grant.slots.len()
    }

    #[test]
    fn what_arrives_is_all_there_and_holds_few_slots() {
        let mailbox = mailbox(1_000_000);
        mailbox.pause();
        for round in 0..50_000 {
            admit(&mailbox, round).expect("there is room");
            if round % 997 == 0 {
                assert_eq!(mailbox.pending(), round as u32 + 1);
            }
        }
        assert!(
            held(&mailbox) <= 2 * GRANT_MAX as usize,
            "{}",
            held(&mailbox)
        );
        mailbox.resume();
        let seat = seat(&mailbox);
        assert_eq!(run(&seat), 50_000);
        assert_eq!(held(&mailbox), 0, "a mailbox at rest holds nothing");
    }

    /// A caller has put its event there and not yet said so.
    #[test]
    fn a_worker_does_not_sleep_on_what_has_just_arrived() {
        let mailbox = mailbox(100);
        let seat = seat(&mailbox);
        for random in 0..2 {
            admit(&mailbox, random).expect("there is room");
        }
        assert_eq!(mailbox.intake.lock().events.len(), 1);
        mailbox.intake.calm();
        assert_eq!(run(&seat), 2);
    }

    #[test]
    fn the_bound_holds_exactly_however_events_come() {
        let mailbox = mailbox(1_000);
        let seat = seat(&mailbox);
        assert_eq!(run(&seat), 0);
        mailbox.pause();
        for round in 0_u32..20 {
            let room = 1_000 - mailbox.pending();
            for random in 0..room {
                admit(&mailbox, u128::from(random)).expect("there is room");
            }
            let refused = admit(&mailbox, 0).expect_err("there is no room");
            assert_eq!(refused.why, RefusalReason::EventsMax);
            assert_eq!(mailbox.pending(), 1_000);
            if round % 2 == 0 {
                mailbox.resume();
                assert_eq!(run(&seat), 1_000);
                mailbox.pause();
            }
        }
    }

    #[test]
    fn the_bound_on_bytes_holds_however_events_come() {
        let function = Function::new("f", |_: Event<u64>| async { Ok::<(), &str>(()) });
        let bytes_max = 1_000 * Payload::null().size() as u64;
        let function = function.mailbox_bytes_max(bytes_max).concurrency(1);
        let mailbox = Arc::new(Mailbox::new(function, 0, Clock::real()));
        mailbox.pause();
        for random in 0..1_000 {
            admit(&mailbox, random).expect("there is room");
        }
        for random in 0..300 {
            let refused = admit(&mailbox, random).expect_err("there is no room");
            assert_eq!(refused.why, RefusalReason::BytesMax);
        }
        assert_eq!(mailbox.pending_bytes(), bytes_max);
    }

    fn two() -> Arc<Mailbox> {
        let function = Function::new("f", |_: Event<u64>| async { Ok::<(), &str>(()) });
        Arc::new(Mailbox::new(function.concurrency(2), 0, Clock::real()))
    }

    fn at(micros: u64) -> Time {
        Time(NOW.0 + micros * 1_000)
    }

    /// A brisk run took long, and the next one may take for ever.
    #[test]
    fn a_worker_that_is_brisk_no_longer_calls_others_for_what_it_leaves() {
        let mailbox = two();
        let (other, quick) = (seat(&mailbox), seat(&mailbox));
        for seat in [&other, &quick] {
            assert!(matches!(
                seat.turn(None, WorkerMode::Normal, at(0)).0,
                Turn::Idle
            ));
        }
        let woken = Arc::new(Woken::default());
        other.set_waker(&Waker::from(woken.clone()));
        let mut done = None;
        for (pace, time) in [(WorkerMode::Fast, 0), (WorkerMode::Normal, 50)] {
            admit_at(&mailbox, at(time)).expect("there is room");
            admit_at(&mailbox, at(time)).expect("there is room");
            assert!(!woken.0.load(Ordering::SeqCst));
            let Turn::Run { taken, .. } = quick.turn(done.take(), pace, at(time)).0 else {
                panic!("there is something to run")
            };
            done = Some(done_with(&taken, at(time)));
        }
        assert!(woken.0.load(Ordering::SeqCst));
    }

    #[test]
    fn a_delayed_event_does_not_make_a_mailbox_at_rest_hold_slots() {
        let mailbox = two();
        let (other, busy) = (seat(&mailbox), seat(&mailbox));
        for random in 0..2_000 {
            admit(&mailbox, random).expect("there is room");
        }
        let mut done = None;
        while let Turn::Run { taken, .. } = busy.turn(done.take(), WorkerMode::Normal, NOW).0 {
            done = Some(done_with(&taken, NOW));
            if mailbox.lock().queue.ready() == 0 {
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

    /// At its beginning, virtual time looks like "nobody searches".
    #[test]
    fn somebody_is_woken_at_the_beginning_of_time() {
        let (mailbox, beginning) = (two(), Time::default());
        let (first, second) = (seat(&mailbox), seat(&mailbox));
        for _ in 0..6 {
            admit_at(&mailbox, beginning).expect("there is room");
        }
        let Turn::Run { .. } = second.turn(None, WorkerMode::Normal, beginning).0 else {
            panic!("there is something to run")
        };
        let mut done = None;
        while let Turn::Run { taken, .. } = first.turn(done.take(), WorkerMode::Normal, beginning).0
        {
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
}
