//! How many events and calls of a queue are in each phase.

use crate::event::InvocationType;
use crate::event::ledger::Ledger;
use crate::queue::entry::Phase;

#[derive(Debug, Default)]
pub(crate) struct PhaseCounts {
    pub(crate) events: Ledger,
    pub(crate) calls: Ledger,
    /// Of those that the ledgers count as running: they failed, and wait to be decided on or dead-lettered.
    failed: u64,
}

impl PhaseCounts {
    /// Counts a change of phase.
    pub(super) fn enter(&mut self, kind: InvocationType, old: Phase, new: Phase) {
        self.failed += u64::from(new == Phase::Failed);
        self.failed -= u64::from(old == Phase::Failed);
        let ledger = self.of(kind);
        if let Some(count) = old.count(ledger) {
            *count -= 1;
        }
        if let Some(count) = new.count(ledger) {
            *count += 1;
        }
    }

    /// Counts a failed event no longer here: it overflows.
    pub(super) fn failed_left(&mut self) {
        self.failed -= 1;
        self.events.running -= 1;
    }

    pub(super) fn of(&mut self, kind: InvocationType) -> &mut Ledger {
        match kind {
            InvocationType::Event => &mut self.events,
            InvocationType::RequestResponse => &mut self.calls,
        }
    }

    pub(crate) fn running(&self) -> u64 {
        self.events.running + self.calls.running
    }

    /// Returns how many events workers run. Letters that a full dead-letter queue holds back are not among them.
    pub(crate) fn executing(&self) -> u64 {
        self.running() - self.failed
    }

    /// Returns how many events are delayed, here and in the overflow.
    pub(super) fn delayed(&self) -> u64 {
        self.events.delayed + self.calls.delayed
    }
}
