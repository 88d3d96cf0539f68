//! The queue against a model of it, and what the model doesn't show.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::event::attempt::Attempt;
use crate::event::failure::Failure;

const BOUNDS: QueueBounds = QueueBounds {
    events_max: 12,
    bytes_max: 100,
    window: 1_000,
};
const RETENTION: Retention = Retention {
    events_max: 5,
    bytes_max: 20,
    age_max: Duration::from_nanos(30),
};

fn queue() -> Queue {
    Queue::new(3, BOUNDS, RETENTION)
}

fn entry(kind: InvocationType, request_id: Option<RequestId>, bytes: usize, start: u64) -> Entry {
    let payload = Payload::new("x".repeat(bytes)).unwrap();
    Entry {
        payload,
        kind,
        side: None,
        request_id,
        start: Time(start),
        stored: false,
        proposed: request_id.is_some(),
    }
}

fn foreign(number: u64) -> RequestId {
    uuid::Uuid::from_u128(u128::from(number) << 64).into()
}

#[derive(Clone, Debug)]
struct Known {
    id: RequestId,
    kind: InvocationType,
    phase: Phase,
    at: u64,
    /// Its place among those that became ready, or finished.
    order: u64,
    attempt: u32,
    bytes: u64,
    foreign: bool,
}

/// What the queue should do, written for clarity and not for speed.
#[derive(Default)]
struct Model {
    known: Vec<Known>,
    forgotten: Vec<RequestId>,
    tickets: VecDeque<Ticket>,
    accepted: [u64; 2],
    ended: [[u64; 3]; 2],
    now: u64,
    order: u64,
    /// Calls that were handed out since the last event.
    calls: u8,
    /// One may run at a time, of which the queue has a choice.
    probing: bool,
}

impl Model {
    fn get(&mut self, id: RequestId) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.id == id)
    }

    fn holds(&mut self, ticket: Ticket, phase: Phase) -> bool {
        self.get(ticket.id)
            .is_some_and(|known| known.attempt == ticket.attempt && known.phase == phase)
    }

    fn pending(&self) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(|known| !known.phase.is_finished())
    }

    fn set(&mut self, id: RequestId, phase: Phase, at: u64) {
        self.order += 1;
        let (order, now) = (self.order, self.now);
        let known = self.get(id).unwrap();
        (known.phase, known.at, known.order) = (phase, at, order);
        if phase == Phase::Ready && at > now {
            known.phase = Phase::Delayed;
        } else if phase == Phase::Ready {
            known.at = now;
        }
    }

    fn finish(&mut self, id: RequestId, phase: Phase, result: u64) {
        self.set(id, phase, self.now);
        let known = self.get(id).unwrap();
        known.bytes = result;
        let kind = known.kind as usize;
        self.ended[kind][phase as usize - Phase::Succeeded as usize] += 1;
        self.expire(2);
    }

    fn expire(&mut self, budget: u32) {
        for _ in 0..budget {
            let finished: Vec<_> = self
                .known
                .iter()
                .filter(|known| known.phase.is_finished())
                .collect();
            let bytes: u64 = finished.iter().map(|known| known.bytes).sum();
            let Some(oldest) = finished.iter().min_by_key(|known| known.order) else {
                return;
            };
            let old = Duration::from_nanos(self.now - oldest.at) > RETENTION.age_max;
            if !old
                && finished.len() <= RETENTION.events_max as usize
                && bytes <= RETENTION.bytes_max
            {
                return;
            }
            let id = oldest.id;
            self.known.retain(|known| known.id != id);
            self.forgotten.push(id);
        }
    }

    fn ledger(&self, kind: InvocationType) -> Ledger {
        let count = |phase: Phase| {
            self.known
                .iter()
                .filter(|k| k.kind == kind && k.phase == phase)
                .count() as u64
        };
        let [succeeded, dead, cancelled] = self.ended[kind as usize];
        Ledger {
            accepted: self.accepted[kind as usize],
            inherited: 0,
            succeeded,
            dead,
            cancelled,
            ready: count(Phase::Ready),
            delayed: count(Phase::Delayed),
            running: count(Phase::Running) + count(Phase::Failed),
            unregistered: 0,
        }
    }

    /// The events that the rules allow to be handed out next.
    fn allowed(&self) -> Vec<RequestId> {
        let ready = |kind| {
            let all = self
                .known
                .iter()
                .filter(move |known| known.kind == kind && known.phase == Phase::Ready);
            all.min_by_key(|known| known.order)
        };
        let call = ready(InvocationType::RequestResponse).map(|call| call.id);
        if let Some(call) = call.filter(|_| self.calls < CALLS_IN_ROW) {
            return vec![call];
        }
        let events = self.allowed_events();
        match call {
            Some(call) if events.is_empty() => vec![call],
            _ => events,
        }
    }

    fn allowed_events(&self) -> Vec<RequestId> {
        if self.probing {
            let due = |known: &&Known| known.phase == Phase::Delayed && known.at <= self.now;
            let is_event = |known: &&Known| known.kind == InvocationType::Event;
            let ready = |known: &&Known| known.phase == Phase::Ready && is_event(known);
            let any = self.known.iter().filter(|known| due(known) || ready(known));
            return any.map(|known| known.id).collect();
        }
        let due = |known: &&Known| known.phase == Phase::Delayed && known.at <= self.now;
        let soonest = self.known.iter().filter(due).map(|known| known.at).min();
        let ready = self
            .known
            .iter()
            .filter(|known| known.kind == InvocationType::Event && known.phase == Phase::Ready);
        match (soonest, ready.min_by_key(|known| known.order)) {
            (Some(at), Some(event)) if event.at < at => vec![event.id],
            (Some(at), _) => self
                .known
                .iter()
                .filter(due)
                .filter(|known| known.at == at)
                .map(|known| known.id)
                .collect(),
            (None, event) => event.map(|event| event.id).into_iter().collect(),
        }
    }
}

/// One thing that happens to a queue: what, to whom, and how much.
type Step = (u8, u16, u64);

fn step(queue: &mut Queue, model: &mut Model, (what, whom, amount): Step) {
    let now = Time(model.now);
    let pick = |len: usize| usize::from(whom) % len.max(1);
    let ticket = model.tickets.get(pick(model.tickets.len())).copied();
    let id = model
        .known
        .get(pick(model.known.len()))
        .map(|known| known.id);
    match what {
        0..=5 => {
            let kind = if whom % 4 == 0 {
                InvocationType::RequestResponse
            } else {
                InvocationType::Event
            };
            let proposed = (whom % 5 == 1).then(|| foreign(amount));
            let start = if what < 4 {
                model.now
            } else {
                model.now + amount
            };
            let bytes = amount + 2;
            let (count, sum) = model
                .pending()
                .fold((0, 0), |(n, sum), known| (n + 1, sum + known.bytes));
            let expected = if count >= BOUNDS.events_max {
                Err(RefusalReason::EventsMax)
            } else if sum + bytes > BOUNDS.bytes_max {
                Err(RefusalReason::BytesMax)
            } else if proposed.is_some_and(|id| model.get(id).is_some()) {
                Err(RefusalReason::RequestIdTaken)
            } else {
                Ok(())
            };
            let entry = entry(kind, proposed, amount as usize, start);
            let random = u128::from(model.order) << 8 | u128::from(whom);
            let placed = queue.admit(entry, random, now);
            let outcome = placed.as_ref().map(|_| ()).map_err(|refused| &refused.why);
            assert_eq!(outcome, expected.as_ref().copied());
            let Ok(id) = placed else { return };
            // An id that is proposed again once it is forgotten names another event.
            model.forgotten.retain(|&other| other != id);
            model.tickets.retain(|ticket| ticket.id != id);
            let phase = Phase::New;
            model.known.push(Known {
                id,
                kind,
                phase,
                at: start,
                order: 0,
                attempt: 0,
                bytes,
                foreign: proposed.is_some(),
            });
            model.accepted[kind as usize] += 1;
            model.set(id, Phase::Ready, start);
        }
        6..=8 => {}
        9..=12 => {
            model.probing = queue.allowance == 1;
            let held = queue.paused || queue.executing() >= u64::from(queue.allowance);
            let allowed = if held { Vec::new() } else { model.allowed() };
            assert_eq!(queue.takeable(now) > 0, !allowed.is_empty());
            let taken = queue.take(now);
            assert_eq!(taken.is_some(), !allowed.is_empty());
            let Some(Taken { ticket, .. }) = taken else {
                return;
            };
            assert!(
                allowed.contains(&ticket.id),
                "{ticket:?} was handed out, not one of {allowed:?}"
            );
            let was = model.get(ticket.id).unwrap();
            let is_call = was.phase == Phase::Ready && was.kind == InvocationType::RequestResponse;
            was.attempt += 1;
            model.calls = if is_call {
                model.calls.saturating_add(1)
            } else {
                0
            };
            model.set(ticket.id, Phase::Running, model.now);
            model.tickets.push_front(ticket);
        }
        13 => {
            let Some(ticket) = ticket else { return };
            let untaken = queue.untake(ticket, now);
            assert_eq!(untaken.is_some(), model.holds(ticket, Phase::Running));
            if let Some(ticket) = untaken {
                model.get(ticket.id).unwrap().attempt -= 1;
                model.set(ticket.id, Phase::Failed, model.now);
                model.tickets.push_front(ticket);
            }
        }
        14 | 15 => {
            let Some(ticket) = ticket else { return };
            let result = Payload::new("r".repeat(amount as usize)).unwrap();
            let counted = queue.succeed(ticket, Some(result), now).is_some();
            assert_eq!(counted, model.holds(ticket, Phase::Running));
            if counted {
                model.finish(ticket.id, Phase::Succeeded, amount + 2);
            }
        }
        16 | 17 => {
            let Some(ticket) = ticket else { return };
            assert_eq!(
                queue.fail(ticket, now).is_some(),
                model.holds(ticket, Phase::Running)
            );
            if model.holds(ticket, Phase::Running) {
                model.set(ticket.id, Phase::Failed, model.now);
            }
        }
        18 | 19 => {
            let Some(ticket) = ticket else { return };
            let at = model.now + if what == 18 { 0 } else { amount };
            assert_eq!(
                queue.retry(ticket, Time(at), now).is_some(),
                model.holds(ticket, Phase::Failed)
            );
            if model.holds(ticket, Phase::Failed) {
                model.set(ticket.id, Phase::Ready, at);
            }
        }
        20 => {
            let Some(ticket) = ticket else { return };
            assert_eq!(
                queue.bury(ticket, now).is_some(),
                model.holds(ticket, Phase::Failed)
            );
            if model.holds(ticket, Phase::Failed) {
                model.finish(ticket.id, Phase::Dead, 0);
            }
        }
        21 => {
            let Some(id) = id else { return };
            let phase = model.get(id).unwrap().phase;
            let cancelled = queue.cancel(id, now);
            assert_eq!(
                cancelled.is_some(),
                matches!(phase, Phase::Ready | Phase::Delayed | Phase::Running)
            );
            if let Some((running, payload)) = cancelled {
                assert_eq!(
                    (running.is_some(), payload.is_some()),
                    (phase == Phase::Running, true)
                );
                model.finish(id, Phase::Cancelled, 0);
            }
        }
        22 => {
            let Some(id) = id else { return };
            let waits = matches!(model.get(id).unwrap().phase, Phase::Ready | Phase::Delayed);
            let withdrawn = queue.withdraw(id, now);
            assert_eq!(withdrawn.is_some(), waits);
            if let Some(ticket) = withdrawn {
                model.set(id, Phase::Failed, model.now);
                model.tickets.push_front(ticket);
            }
        }
        23 => {
            let budget = if whom % 2 == 0 { u32::MAX } else { 1 };
            queue.expire(now, budget);
            model.expire(budget.min(1_000));
        }
        24 => queue.paused = whom % 4 == 0,
        25 => {
            queue.allowance = if whom % 2 == 0 {
                u32::MAX
            } else {
                amount as u32
            }
        }
        _ => model.now += amount,
    }
    model.tickets.truncate(8);
}

fn agree(queue: &mut Queue, model: &Model) {
    assert_eq!(queue.event_ledger, model.ledger(InvocationType::Event));
    assert_eq!(
        queue.call_ledger,
        model.ledger(InvocationType::RequestResponse)
    );
    for ledger in [queue.event_ledger, queue.call_ledger] {
        assert_eq!(
            ledger.accepted,
            ledger.succeeded + ledger.dead + ledger.cancelled + ledger.pending()
        );
    }
    assert_eq!(queue.pending() as usize, model.pending().count());
    assert_eq!(
        queue.pending_bytes(),
        model.pending().map(|known| known.bytes).sum::<u64>()
    );
    let due = model
        .known
        .iter()
        .filter(|known| known.phase == Phase::Delayed)
        .map(|known| Time(known.at))
        .min();
    assert_eq!(queue.next_due(), due);
    for known in &model.known {
        let (_, slot) = queue
            .get(known.id)
            .expect("what is pending or retained is known");
        assert_eq!(
            (slot.id, slot.phase, slot.attempt, slot.at),
            (known.id, known.phase, known.attempt, Time(known.at))
        );
    }
    assert!(
        model.forgotten.iter().all(|&id| queue.get(id).is_none()),
        "what is forgotten is unknown"
    );
    assert_eq!(
        queue.foreign.len(),
        model.known.iter().filter(|known| known.foreign).count()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_any_order_every_event_is_in_one_place(steps in prop::collection::vec((0..28_u8, any::<u16>(), 0..12_u64), 0..300)) {
        let (mut queue, mut model) = (queue(), Model::default());
        for one in steps {
            step(&mut queue, &mut model, one);
            agree(&mut queue, &model);
        }
        // Whatever was left is handed out once each, and nothing stays behind.
        (queue.paused, queue.allowance) = (false, u32::MAX);
        model.now += 1_000;
        while let Some(taken) = queue.take(Time(model.now)) {
            prop_assert!(queue.succeed(taken.ticket, None, Time(model.now)).is_some());
            prop_assert!(queue.succeed(taken.ticket, None, Time(model.now)).is_none());
        }
        prop_assert_eq!(queue.event_ledger.ready + queue.event_ledger.delayed, 0);
        queue.expire(Time(model.now), u32::MAX);
        prop_assert!(queue.finished.is_within_bounds());
    }
}

fn lost() -> Attempt {
    Attempt {
        number: 1,
        started_at: SystemTime::UNIX_EPOCH,
        duration: Duration::ZERO,
        failure: Failure::worker_lost(),
    }
}

#[test]
fn the_texts_of_failures_count_as_payloads_do() {
    let mut queue = queue();
    let texts = lost().failure.text_len() as u64;
    let one = |queue: &mut Queue| {
        let entry = entry(InvocationType::Event, None, 0, 0);
        let payload = entry.payload.size() as u64;
        queue.admit(entry, 7, Time(0)).unwrap();
        let ticket = queue.take(Time(0)).unwrap().ticket;
        queue.fail(ticket, Time(0)).unwrap();
        queue.remember(ticket.slot, lost());
        queue.remember(ticket.slot, lost());
        assert_eq!(queue.pending_bytes(), payload + 2 * texts);
        ticket
    };
    let retried = one(&mut queue);
    queue.retry(retried, Time(1), Time(0)).unwrap();
    let again = queue.take(Time(1)).unwrap().ticket;
    queue.succeed(again, None, Time(1)).unwrap();
    assert_eq!(queue.pending_bytes(), 0);
    let buried = one(&mut queue);
    queue.bury(buried, Time(1)).unwrap();
    assert_eq!(queue.pending_bytes(), 0);
    let cancelled = one(&mut queue);
    queue.retry(cancelled, Time(1), Time(0)).unwrap();
    queue.cancel(cancelled.id, Time(1)).unwrap();
    assert_eq!(queue.pending_bytes(), 0);
}

#[test]
fn a_probe_prefers_an_event_that_has_not_crashed() {
    let mut queue = queue();
    let admit = |queue: &mut Queue| {
        queue
            .admit(entry(InvocationType::Event, None, 0, 0), 7, Time(0))
            .unwrap()
    };
    let guilty = admit(&mut queue);
    let (slot, _) = queue.get(guilty).unwrap();
    queue.remember(slot, lost());
    let innocent = admit(&mut queue);
    queue.allowance = 1;
    let probe = queue.take(Time(0)).unwrap().ticket;
    assert_eq!(probe.id, innocent);
    queue.succeed(probe, None, Time(0)).unwrap();
    assert_eq!(
        queue.take(Time(0)).unwrap().ticket.id,
        guilty,
        "for want of another"
    );
}

#[test]
fn of_four_runs_one_is_an_events_while_calls_wait() {
    let mut queue = queue();
    for kind in [InvocationType::RequestResponse, InvocationType::Event] {
        for _ in 0..6 {
            queue.admit(entry(kind, None, 0, 0), 7, Time(0)).unwrap();
        }
    }
    let runs = std::iter::from_fn(|| queue.take(Time(0)));
    let runs: String = runs
        .map(|taken| match taken.kind {
            InvocationType::RequestResponse => 'c',
            InvocationType::Event => 'e',
        })
        .collect();
    assert_eq!(runs, "ccceccceeeee");
}

#[test]
fn delayed_events_that_were_cancelled_leave_nothing_behind() {
    let mut queue = queue();
    for _ in 0..10_000 {
        let id = queue
            .admit(entry(InvocationType::Event, None, 0, 1 << 40), 7, Time(0))
            .unwrap();
        assert!(queue.cancel(id, Time(0)).is_some());
    }
    assert!(
        queue.delayed.heap().len() < 100,
        "{} stale entries",
        queue.delayed.heap().len()
    );
}

#[test]
fn the_heap_of_delayed_events_shrinks_once_they_ran() {
    let mut queue = Queue::new(
        3,
        QueueBounds {
            events_max: 10_000,
            bytes_max: 1 << 20,
            window: 1_000,
        },
        RETENTION,
    );
    for start in 1..=10_000 {
        queue
            .admit(
                entry(InvocationType::Event, None, 0, start),
                u128::from(start),
                Time(0),
            )
            .unwrap();
    }
    let full = queue.delayed.heap().capacity();
    for _ in 0..10_000 {
        let taken = queue.take(Time(10_000)).unwrap();
        queue.succeed(taken.ticket, None, Time(10_000)).unwrap();
    }
    assert!(
        queue.delayed.heap().capacity() < full / 8,
        "{} of {full}",
        queue.delayed.heap().capacity()
    );
}

#[test]
fn an_attempt_of_an_earlier_event_with_the_same_proposed_id_is_fenced_off() {
    let mut queue = queue();
    let id = foreign(1);
    let propose = |queue: &mut Queue| {
        let proposed = entry(InvocationType::Event, Some(id), 0, 0);
        assert_eq!(queue.admit(proposed, 0, Time(0)).ok(), Some(id));
        queue.take(Time(0)).unwrap().ticket
    };
    let old = propose(&mut queue);
    queue.cancel(id, Time(0)).unwrap();
    queue.expire(queue.next_expiry().unwrap(), 1);
    let new = propose(&mut queue);
    assert_eq!(
        (old.id, old.slot, old.attempt),
        (new.id, new.slot, new.attempt)
    );
    assert!(queue.succeed(old, None, Time(0)).is_none());
    assert!(queue.succeed(new, None, Time(0)).is_some());
}

#[test]
fn an_event_with_a_proposed_id_is_found_until_it_is_forgotten() {
    let mut queue = queue();
    let id = foreign(1);
    assert_eq!(
        queue
            .admit(entry(InvocationType::Event, Some(id), 0, 0), 0, Time(0))
            .ok(),
        Some(id)
    );
    let again = queue.admit(entry(InvocationType::Event, Some(id), 0, 0), 0, Time(0));
    assert_eq!(again.unwrap_err().why, RefusalReason::RequestIdTaken);
    let taken = queue.take(Time(0)).unwrap();
    queue.succeed(taken.ticket, None, Time(0)).unwrap();
    assert_eq!(
        queue.get(id).map(|(_, slot)| slot.phase),
        Some(Phase::Succeeded)
    );
    assert!(queue.forgotten_ids.is_empty());
    queue.expire(queue.next_expiry().unwrap(), 1);
    assert!(queue.get(id).is_none() && queue.foreign.is_empty());
    assert_eq!(std::mem::take(&mut queue.forgotten_ids), [id]);
    assert_eq!(
        queue
            .admit(entry(InvocationType::Event, Some(id), 0, 0), 0, Time(0))
            .ok(),
        Some(id)
    );
}
