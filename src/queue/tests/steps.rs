//! The queue and its model go through the same random steps, and agree after each.

use proptest::prelude::*;

use super::model::{Known, Model};
use super::{BOUNDS, chosen, entry};
use crate::base::time::Time;
use crate::event::InvocationType;
use crate::event::payload::Payload;
use crate::event::request_id::RequestId;
use crate::queue::entry::{Phase, Taken, Ticket};
use crate::queue::{Queue, RefusalReason};

/// One step of both: its kind, the event that it concerns, and an amount of time or bytes.
struct Step<'a> {
    queue: &'a mut Queue,
    model: &'a mut Model,
    kind: u8,
    whom: u16,
    amount: u64,
    now: Time,
}

impl<'a> Step<'a> {
    fn new(
        queue: &'a mut Queue,
        model: &'a mut Model,
        (kind, whom, amount): (u8, u16, u64),
    ) -> Self {
        let now = Time(model.now);
        Self {
            queue,
            model,
            kind,
            whom,
            amount,
            now,
        }
    }

    fn run(mut self) {
        let pick = |len: usize| usize::from(self.whom) % len.max(1);
        let ticket = pick(self.model.tickets.len());
        let ticket = self.model.tickets.get(ticket).copied();
        let id = self.model.known.get(pick(self.model.known.len()));
        let id = id.map(|known| known.id);
        match (self.kind, ticket, id) {
            (0..=5, ..) => self.admit(),
            (6..=8, ..) => {}
            (9..=12, ..) => self.take(),
            (13, Some(ticket), _) => self.untake(ticket),
            (14 | 15, Some(ticket), _) => self.succeed(ticket),
            (16 | 17, Some(ticket), _) => self.fail(ticket),
            (18 | 19, Some(ticket), _) => self.retry(ticket),
            (20, Some(ticket), _) => self.bury(ticket),
            (21, _, Some(id)) => self.cancel(id),
            (22, _, Some(id)) => self.withdraw(id),
            (13..=22, ..) => {}
            (23, ..) => self.expire(),
            (24, ..) => self.queue.paused = self.whom.is_multiple_of(4),
            (25, ..) => {
                self.queue.allowance = match self.whom % 2 {
                    0 => u32::MAX,
                    _ => self.amount as u32,
                }
            }
            _ => self.model.now += self.amount,
        }
        self.model.tickets.truncate(8);
    }

    fn admit(&mut self) {
        let kind = match self.whom % 4 {
            0 => InvocationType::RequestResponse,
            _ => InvocationType::Event,
        };
        let request_id = (self.whom % 5 == 1).then(|| chosen(self.amount));
        let start = match self.kind {
            ..4 => self.model.now,
            _ => self.model.now + self.amount,
        };
        let bytes = self.amount + 2;
        let expected = self.expected_admission(request_id, bytes);
        let entry = entry(kind, request_id, self.amount as usize, start);
        let random = u128::from(self.model.order) << 8 | u128::from(self.whom);
        let placed = self.queue.admit(entry, random, self.now);
        let outcome = placed.as_ref().map(|_| ()).map_err(|refused| &refused.why);
        assert_eq!(outcome, expected.as_ref().copied());
        let Ok(id) = placed else { return };
        // An id that is chosen again once it is forgotten names another event.
        let model = &mut *self.model;
        model.forgotten.retain(|&other| other != id);
        model.tickets.retain(|ticket| ticket.id != id);
        model.known.push(Known {
            id,
            kind,
            phase: Phase::New,
            at: start,
            order: 0,
            attempt: 0,
            bytes,
            chosen: request_id.is_some(),
        });
        model.accepted[kind as usize] += 1;
        model.set(id, Phase::Ready, start);
    }

    fn expected_admission(
        &mut self,
        request_id: Option<RequestId>,
        bytes: u64,
    ) -> Result<(), RefusalReason> {
        let add = |(n, sum), known: &Known| (n + 1, sum + known.bytes);
        let (count, sum) = self.model.pending().fold((0, 0), add);
        if count >= BOUNDS.events_max {
            Err(RefusalReason::EventsMax)
        } else if sum + bytes > BOUNDS.bytes_max {
            Err(RefusalReason::BytesMax)
        } else if request_id.is_some_and(|id| self.model.get(id).is_some()) {
            Err(RefusalReason::RequestIdTaken)
        } else {
            Ok(())
        }
    }

    fn take(&mut self) {
        let (queue, model) = (&mut *self.queue, &mut *self.model);
        model.probing = queue.allowance == 1;
        let held = queue.paused || queue.counts.executing() >= u64::from(queue.allowance);
        let allowed = if held { Vec::new() } else { model.allowed() };
        assert_eq!(queue.takeable(self.now) > 0, !allowed.is_empty());
        let taken = queue.take(self.now);
        assert_eq!(taken.is_some(), !allowed.is_empty());
        let Some(Taken { ticket, .. }) = taken else {
            return;
        };
        assert!(
            allowed.contains(&ticket.id),
            "{ticket:?} was taken, not one of {allowed:?}"
        );
        let was = model.get(ticket.id).unwrap();
        let is_call = was.phase == Phase::Ready && was.kind == InvocationType::RequestResponse;
        was.attempt += 1;
        model.calls = match is_call {
            true => model.calls.saturating_add(1),
            false => 0,
        };
        model.set(ticket.id, Phase::Running, model.now);
        model.tickets.push_front(ticket);
    }

    fn untake(&mut self, ticket: Ticket) {
        let untaken = self.queue.untake(ticket, self.now);
        assert_eq!(untaken.is_some(), self.model.holds(ticket, Phase::Running));
        if let Some(ticket) = untaken {
            self.model.get(ticket.id).unwrap().attempt -= 1;
            self.model.set(ticket.id, Phase::Failed, self.model.now);
            self.model.tickets.push_front(ticket);
        }
    }

    fn succeed(&mut self, ticket: Ticket) {
        let result = Payload::new("r".repeat(self.amount as usize)).unwrap();
        let counted = self.queue.succeed(ticket, Some(result), self.now).is_some();
        assert_eq!(counted, self.model.holds(ticket, Phase::Running));
        if counted {
            self.model
                .finish(ticket.id, Phase::Succeeded, self.amount + 2);
        }
    }

    fn fail(&mut self, ticket: Ticket) {
        let counted = self.queue.fail(ticket, self.now).is_some();
        assert_eq!(counted, self.model.holds(ticket, Phase::Running));
        if counted {
            self.model.set(ticket.id, Phase::Failed, self.model.now);
        }
    }

    fn retry(&mut self, ticket: Ticket) {
        let delay = if self.kind == 18 { 0 } else { self.amount };
        let at = self.model.now + delay;
        let counted = self.queue.retry(ticket, Time(at), self.now).is_some();
        assert_eq!(counted, self.model.holds(ticket, Phase::Failed));
        if counted {
            self.model.set(ticket.id, Phase::Ready, at);
        }
    }

    fn bury(&mut self, ticket: Ticket) {
        let counted = self.queue.bury(ticket, self.now).is_some();
        assert_eq!(counted, self.model.holds(ticket, Phase::Failed));
        if counted {
            self.model.finish(ticket.id, Phase::Dead, 0);
        }
    }

    fn cancel(&mut self, id: RequestId) {
        let phase = self.model.get(id).unwrap().phase;
        let cancelled = self.queue.cancel(id, self.now);
        let can = matches!(phase, Phase::Ready | Phase::Delayed | Phase::Running);
        assert_eq!(cancelled.is_some(), can);
        if let Some((running, payload)) = cancelled {
            let is_running = phase == Phase::Running;
            assert_eq!((running.is_some(), payload.is_some()), (is_running, true));
            self.model.finish(id, Phase::Cancelled, 0);
        }
    }

    fn withdraw(&mut self, id: RequestId) {
        let phase = self.model.get(id).unwrap().phase;
        let waits = matches!(phase, Phase::Ready | Phase::Delayed);
        let withdrawn = self.queue.withdraw(id, self.now);
        assert_eq!(withdrawn.is_some(), waits);
        if let Some(ticket) = withdrawn {
            self.model.set(id, Phase::Failed, self.model.now);
            self.model.tickets.push_front(ticket);
        }
    }

    fn expire(&mut self) {
        let budget = if self.whom.is_multiple_of(2) {
            u32::MAX
        } else {
            1
        };
        self.queue.expire(self.now, budget);
        self.model.expire(budget.min(1_000));
    }
}

fn agree(queue: &mut Queue, model: &Model) {
    assert_eq!(queue.counts.events, model.ledger(InvocationType::Event));
    assert_eq!(
        queue.counts.calls,
        model.ledger(InvocationType::RequestResponse)
    );
    for ledger in [queue.counts.events, queue.counts.calls] {
        assert_eq!(
            ledger.accepted,
            ledger.succeeded + ledger.dead + ledger.cancelled + ledger.pending()
        );
    }
    assert_eq!(queue.volume.pending() as usize, model.pending().count());
    assert_eq!(
        queue.volume.pending_bytes(),
        model.pending().map(|known| known.bytes).sum::<u64>()
    );
    let due = model
        .known
        .iter()
        .filter(|known| known.phase == Phase::Delayed)
        .map(|known| Time(known.at))
        .min();
    assert_eq!(queue.table.next_due(), due);
    for known in &model.known {
        let (_, slot) = queue
            .table
            .get(known.id)
            .expect("a pending or retained event is known");
        assert_eq!(
            (slot.id, slot.phase, slot.attempt, slot.at),
            (known.id, known.phase, known.attempt, Time(known.at))
        );
    }
    assert!(
        model
            .forgotten
            .iter()
            .all(|&id| queue.table.get(id).is_none()),
        "a forgotten event is unknown"
    );
    assert_eq!(
        queue.table.by_id.len(),
        model.known.iter().filter(|known| known.chosen).count()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_agrees_with_the_model_after_every_step(steps in prop::collection::vec((0..28_u8, any::<u16>(), 0..12_u64), 0..300)) {
        let (mut queue, mut model) = (super::queue(), Model::default());
        for one in steps {
            Step::new(&mut queue, &mut model, one).run();
            agree(&mut queue, &model);
        }
        // Every event that is left can be taken exactly once.
        (queue.paused, queue.allowance) = (false, u32::MAX);
        model.now += 1_000;
        while let Some(taken) = queue.take(Time(model.now)) {
            prop_assert!(queue.succeed(taken.ticket, None, Time(model.now)).is_some());
            prop_assert!(queue.succeed(taken.ticket, None, Time(model.now)).is_none());
        }
        prop_assert_eq!(queue.counts.events.ready + queue.counts.events.delayed, 0);
        queue.expire(Time(model.now), u32::MAX);
        prop_assert!(queue.finished.is_within_bounds());
    }
}
