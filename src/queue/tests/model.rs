//! A model of the queue: a plain list of events, searched from end to end.

use std::collections::VecDeque;
use std::time::Duration;

use super::RETENTION;
use crate::event::InvocationType;
use crate::event::ledger::Ledger;
use crate::event::request_id::RequestId;
use crate::queue::entry::{Phase, Ticket};
use crate::queue::waiting::CALLS_IN_ROW;

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) id: RequestId,
    pub(super) kind: InvocationType,
    pub(super) phase: Phase,
    pub(super) at: u64,
    /// Its position among the events that became ready, or finished.
    pub(super) order: u64,
    pub(super) attempt: u32,
    pub(super) bytes: u64,
    pub(super) chosen: bool,
}

/// The queue's behaviour, written for clarity and not for speed.
#[derive(Default)]
pub(super) struct Model {
    pub(super) known: Vec<Known>,
    pub(super) forgotten: Vec<RequestId>,
    pub(super) tickets: VecDeque<Ticket>,
    pub(super) accepted: [u64; 2],
    pub(super) ended: [[u64; 3]; 2],
    pub(super) now: u64,
    pub(super) order: u64,
    /// Calls that were taken since the last event.
    pub(super) calls: u8,
    /// One event may run at a time, and the queue may choose it.
    pub(super) probing: bool,
}

impl Model {
    pub(super) fn get(&mut self, id: RequestId) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.id == id)
    }

    pub(super) fn holds(&mut self, ticket: Ticket, phase: Phase) -> bool {
        self.get(ticket.id)
            .is_some_and(|known| known.attempt == ticket.attempt && known.phase == phase)
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(|known| !known.phase.is_finished())
    }

    pub(super) fn set(&mut self, id: RequestId, phase: Phase, at: u64) {
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

    pub(super) fn finish(&mut self, id: RequestId, phase: Phase, result: u64) {
        self.set(id, phase, self.now);
        let known = self.get(id).unwrap();
        known.bytes = result;
        let kind = known.kind as usize;
        self.ended[kind][phase as usize - Phase::Succeeded as usize] += 1;
        self.expire(2);
    }

    pub(super) fn expire(&mut self, budget: u32) {
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

    pub(super) fn ledger(&self, kind: InvocationType) -> Ledger {
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

    /// Returns the events that the rules allow to be taken next.
    pub(super) fn allowed(&self) -> Vec<RequestId> {
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
