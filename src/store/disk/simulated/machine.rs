//! The simulated disk's state: its files and names, the calls so far, and the faults to come.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::inode::Inode;

/// The state of the disk and of the process that uses it.
#[derive(Clone, Default)]
pub(super) struct Machine {
    pub(super) inodes: Vec<Inode>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    /// The changes of names since the folder was synced: the name, and the file that it stood for afterwards.
    pub(super) renamed: Vec<(String, Option<usize>)>,
    pub(super) calls: BTreeMap<DiskCall, u64>,
    pub(super) faults: Vec<PlannedFault>,
    /// The number of the call at which the process dies.
    pub(super) killed_at: Option<u64>,
    pub(super) panics_at: Option<u64>,
    pub(super) is_dead: bool,
    pub(super) is_locked: bool,
    /// The most bytes that all files may have together.
    pub(super) room: Option<u64>,
    /// The most files that may be open at once.
    pub(super) open_max: Option<usize>,
    pub(super) open: usize,
    /// The most bytes that one file may have.
    pub(super) file_max: Option<u64>,
    /// All calls so far.
    pub(super) history: Vec<DiskCall>,
    pub(super) chance: u64,
}

/// A call of the store to its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DiskCall {
    /// All of these, and reads.
    Any,
    Write,
    Length,
    /// Of a file or of the folder.
    Sync,
    Open,
    Remove,
}

/// An error that a later call returns.
#[derive(Clone, Copy)]
pub(super) struct PlannedFault {
    pub(super) call: DiskCall,
    pub(super) nth: u64,
    pub(super) error: io::ErrorKind,
}

impl Machine {
    pub(super) fn count(&self, call: DiskCall) -> u64 {
        self.calls.get(&call).copied().unwrap_or_default()
    }

    pub(super) fn chance(&mut self, below: usize) -> usize {
        let mut rng = SmallRng::seed_from_u64(self.chance);
        self.chance = rng.random();
        rng.random_range(0..=below)
    }

    /// Begins a call. Returns the error that it fails with, and how much of a write happens all the same.
    pub(super) fn call(&mut self, call: DiskCall, wanted: usize) -> Result<(), (io::Error, usize)> {
        if self.is_dead {
            return Err((dead(), 0));
        }
        let all = self.count(DiskCall::Any) + 1;
        self.calls.insert(DiskCall::Any, all);
        self.history.push(call);
        assert!(self.panics_at != Some(all), "as planned");
        if call != DiskCall::Any {
            *self.calls.entry(call).or_default() += 1;
        }
        if self.killed_at.is_some_and(|at| at <= all) {
            self.is_dead = true;
            return Err((dead(), self.chance(wanted)));
        }
        let counts = |fault: &&PlannedFault| {
            (fault.call == call || fault.call == DiskCall::Any)
                && fault.nth == self.count(fault.call)
        };
        match self.faults.iter().find(counts).copied() {
            Some(fault) => Err((fault.error.into(), self.chance(wanted))),
            None => Ok(()),
        }
    }

    pub(super) fn plain(&mut self, call: DiskCall) -> io::Result<()> {
        self.call(call, 0).map_err(|(error, _)| error)
    }

    pub(super) fn used(&self) -> u64 {
        let inodes = self.names.values();
        inodes
            .map(|&inode| self.inodes[inode].bytes.len() as u64)
            .sum()
    }

    pub(super) fn name(&mut self, name: &str, inode: Option<usize>) {
        match inode {
            Some(inode) => drop(self.names.insert(name.to_owned(), inode)),
            None => drop(self.names.remove(name)),
        }
        self.renamed.push((name.to_owned(), inode));
    }

    pub(super) fn lose_power(&mut self, rng: &mut SmallRng) {
        let changed: BTreeSet<_> = self.renamed.drain(..).collect();
        let mut names = self.durable_names.clone();
        for (name, inode) in changed {
            // Any of the changes happened, also the last but one without the last.
            match inode {
                _ if rng.random_bool(0.5) => {}
                Some(inode) => drop(names.insert(name, inode)),
                None => drop(names.remove(&name)),
            }
        }
        (self.names, self.durable_names) = (names.clone(), names);
        for inode in &mut self.inodes {
            *inode = Inode::durable(inode.after_power_cut(rng));
        }
    }
}

pub(super) fn dead() -> io::Error {
    io::Error::other("the process is dead")
}
