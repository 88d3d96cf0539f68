//! The overflow: events that wait in the store, in the order of their due times.

use super::Index;
use super::function_index::OverflowCounts;
use super::segment_table::{EntryState, IndexEntry};
use crate::event::function_name::FunctionName;
use crate::store::Retained;

impl Index {
    /// Takes an event from the runtime into the overflow. Returns whether the runtime held it.
    pub(in crate::store::disk) fn spill(&mut self, seq: u64) -> bool {
        let entry = self.tables.entry_mut(seq);
        let Some(entry) = entry.filter(|entry| entry.state == EntryState::Held) else {
            return false;
        };
        entry.state = EntryState::Spilled;
        let entry = *entry;
        let function = self.functions.get_mut(entry.function);
        function.insert(seq, &entry, &self.tables);
        true
    }

    /// Takes all events that the runtime before held into the overflow.
    pub(in crate::store::disk) fn spill_all(&mut self) {
        let held = self.tables.all();
        let held = held.filter(|(_, entry)| entry.state == EntryState::Held);
        let all: Vec<_> = held.map(|(seq, _)| seq).collect();
        for seq in all {
            self.spill(seq);
        }
    }

    /// Delays an event that the runtime holds, if it is due before `due`.
    pub(in crate::store::disk) fn postpone(&mut self, seq: u64, due: u64) {
        let entry = self.tables.entry_mut(seq);
        let held = |entry: &&mut IndexEntry| entry.state == EntryState::Held && entry.due < due;
        if let Some(entry) = entry.filter(held) {
            (entry.due, entry.delayed) = (due, true);
        }
    }

    /// Hands out an event if it is in the overflow, due or not. Its place in the order is skipped later. Returns whether it
    /// was there.
    pub(in crate::store::disk) fn fetch_one(&mut self, seq: u64) -> bool {
        let entry = self.tables.entry_mut(seq);
        let Some(entry) = entry.filter(|entry| entry.state == EntryState::Spilled) else {
            return false;
        };
        let before = *entry;
        entry.state = EntryState::Held;
        self.leave_overflow(&before);
        true
    }

    /// Counts the event out of its function's overflow, if it was there.
    pub(super) fn leave_overflow(&mut self, before: &IndexEntry) {
        if before.state == EntryState::Spilled {
            self.functions.get_mut(before.function).count_out(before);
        }
    }

    /// Hands out events of a function's overflow that are due at `until`, the earliest first. Returns their numbers.
    pub(in crate::store::disk) fn take(
        &mut self,
        function: &FunctionName,
        until: u64,
        events_max: usize,
        bytes_max: u64,
    ) -> Vec<u64> {
        let Some(function) = self.functions.find(function) else {
            return Vec::new();
        };
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < events_max
            && bytes < bytes_max
            && let Some((due, seq, name)) = self.first(function)
            && due <= until
        {
            self.functions.get_mut(name).pop(seq);
            let Some(entry) = self.tables.entry_mut(seq) else {
                continue;
            };
            let before = *entry;
            entry.state = EntryState::Held;
            self.leave_overflow(&before);
            bytes += u64::from(before.bytes);
            taken.push(seq);
        }
        self.functions.get_mut(function).shrink();
        taken
    }

    /// Returns when the first event of a function's overflow is due.
    pub(in crate::store::disk) fn next_due(&mut self, function: &FunctionName) -> Option<u64> {
        let function = self.functions.find(function)?;
        self.first(function).map(|(due, ..)| due)
    }

    /// Returns the first event of a function's overflow: its due time, its number, and the name that it is under.
    fn first(&mut self, function: u32) -> Option<(u64, u64, u32)> {
        let mut first = self.functions.get_mut(function).first(&self.tables);
        let mut name = function;
        for at in 0..self.functions.get(function).former.len() {
            let former = self.functions.get(function).former[at];
            let other = self.functions.get_mut(former).first(&self.tables);
            if other.is_some() && (first.is_none() || other < first) {
                (first, name) = (other, former);
            }
        }
        first.map(|(due, seq)| (due, seq, name))
    }

    /// Opens a function with its bounds. Returns the counts of its overflow.
    pub(in crate::store::disk) fn open(
        &mut self,
        function: &FunctionName,
        retained: Retained,
        now: u64,
    ) -> OverflowCounts {
        let number = self.functions.number(function.as_str());
        self.functions.undo_rename(number);
        let mut counts = OverflowCounts::default();
        let names: Vec<_> = self.functions.names_of(number).collect();
        for name in names {
            self.functions.get_mut(name).retained = retained;
            self.trim(name, now);
            counts += self.functions.get(name).overflow();
        }
        counts
    }

    /// Returns up to `limit` events of a function's overflow after number `after`, and where to go on. Looks at a bounded
    /// number of events.
    pub(in crate::store::disk) fn overflow(
        &self,
        function: &FunctionName,
        after: u64,
        limit: usize,
    ) -> (Vec<u64>, Option<u64>) {
        const LOOKS_MAX: usize = 10_000;
        let Some(function) = self.functions.find(function) else {
            return (Vec::new(), None);
        };
        let names: Vec<_> = self.functions.names_of(function).collect();
        let limit = limit.max(1);
        let mut found = Vec::new();
        for (looks, (seq, entry)) in self.tables.after(after).enumerate() {
            if found.len() >= limit || looks >= LOOKS_MAX {
                return (found, Some(seq - 1));
            }
            if names.contains(&entry.function) && entry.state == EntryState::Spilled {
                found.push(seq);
            }
        }
        (found, None)
    }
}
