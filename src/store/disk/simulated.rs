//! A disk in memory that a test owns: it knows what would survive the death of the process, and what the loss of power.
//!
//! ```text
//! write_at, set_len ─▶ handed to the OS ──── sync ───▶ on the disk       open, remove ─▶ named ── Files::sync ──▶ named on
//!                          │                                                          the disk
//!                          ├─ killed: all of it is there
//!                          └─ power cut: any of its sectors are, and any length or name that there was since the sync
//! ```
//!
//! What a sync that failed left behind counts as synced for the OS: no later sync writes it again. Whether it is on the
//! disk, only the loss of power shows.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::files::{File, Files};

/// What a disk writes as a whole.
const SECTOR: u64 = 512;

/// The disk; a clone is the same one.
#[derive(Clone)]
pub(crate) struct Simulated(Arc<Mutex<Machine>>);

#[derive(Clone, Default)]
struct Machine {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Names since the folder was synced: what each stood for after each change.
    renamed: Vec<(String, Option<usize>)>,
    calls: BTreeMap<Call, u64>,
    faults: Vec<Fault>,
    /// At which call the process dies.
    killed_at: Option<u64>,
    panics_at: Option<u64>,
    is_dead: bool,
    is_locked: bool,
    /// Bytes that all files may have together.
    room: Option<u64>,
    /// Files that may be open at once, and that are.
    open_max: Option<usize>,
    open: usize,
    /// Bytes that one file may have.
    file_max: Option<u64>,
    /// All calls so far.
    history: Vec<Call>,
    chance: u64,
}

#[derive(Clone, Default)]
struct Inode {
    /// As the process sees it.
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Not synced.
    changes: Vec<Change>,
    /// Not synced, and no sync will: one that failed let go of it.
    forsaken: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Bytes { at: u64, bytes: Vec<u8> },
    Length(u64),
}

/// What the store asks of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// All of these, and reads.
    Any,
    Write,
    Length,
    /// Of a file or of the folder.
    Sync,
    Open,
    Remove,
}

#[derive(Clone, Copy)]
struct Fault {
    call: Call,
    nth: u64,
    error: io::ErrorKind,
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated").finish_non_exhaustive()
    }
}

impl Simulated {
    /// An empty disk whose chances follow `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let machine = Machine {
            chance: seed,
            ..Machine::default()
        };
        Self(Arc::new(Mutex::new(machine)))
    }

    // --- faults

    /// Has the `nth` call of this kind fail from now on; 1 is the next. A write may have written a part.
    pub(crate) fn fail(&self, call: Call, nth: u64, error: io::ErrorKind) {
        let mut machine = self.0.lock();
        let nth = machine.count(call) + nth;
        machine.faults.push(Fault { call, nth, error });
    }

    /// Has the process die at its `nth` call from now on; 1 is the next. A write may hand over a part.
    pub(crate) fn kill_at(&self, nth: u64) {
        let mut machine = self.0.lock();
        machine.killed_at = Some(machine.count(Call::Any) + nth);
    }

    /// Gives the disk room for so many bytes.
    pub(crate) fn room(&self, bytes: Option<u64>) {
        self.0.lock().room = bytes;
    }

    /// Lets the process have so many files open at once.
    pub(crate) fn open_max(&self, files: Option<usize>) {
        self.0.lock().open_max = files;
    }

    /// How many files are open.
    pub(crate) fn open_count(&self) -> usize {
        self.0.lock().open
    }

    /// Lets a file have so many bytes. A longer one kills the process: nothing is written.
    pub(crate) fn file_limit(&self, bytes: Option<u64>) {
        self.0.lock().file_max = bytes;
    }

    /// Panics at the `nth` call from now on; 1 is the next.
    pub(crate) fn panic_at(&self, nth: u64) {
        let mut machine = self.0.lock();
        machine.panics_at = Some(machine.count(Call::Any) + nth);
    }

    /// Damages this byte under whoever has the file open.
    pub(crate) fn damage_byte(&self, name: &str, at: usize) {
        let mut machine = self.0.lock();
        let inode = machine.names[name];
        machine.inodes[inode].bytes[at] ^= 1;
    }

    /// It has room again, and what was to fail and has not will not.
    pub(crate) fn mend(&self) {
        let mut machine = self.0.lock();
        machine.room = None;
        machine.faults.clear();
    }

    /// Damages it in one way, under whoever has it open. Says how.
    pub(crate) fn damage(&self, seed: u64) -> String {
        self.0.lock().damage(&mut SmallRng::seed_from_u64(seed))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().is_dead
    }

    /// How many calls of this kind there were.
    pub(crate) fn calls(&self, call: Call) -> u64 {
        self.0.lock().count(call)
    }

    /// The calls so far; those that only read are [`Call::Any`].
    pub(crate) fn history(&self) -> Vec<Call> {
        self.0.lock().history.clone()
    }

    // --- what is left

    /// What the next process finds when this one has died.
    pub(crate) fn killed(&self) -> Self {
        self.then(|_| ())
    }

    /// What the next process finds when the power was lost.
    pub(crate) fn power_cut(&self, seed: u64) -> Self {
        self.then(|machine| machine.lose_power(&mut SmallRng::seed_from_u64(seed)))
    }

    /// This disk, and a file of it changed.
    pub(crate) fn with(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        self.then(|machine| {
            let inode = machine.names[name];
            let inode = &mut machine.inodes[inode];
            change(&mut inode.bytes);
            *inode = Inode::durable(std::mem::take(&mut inode.bytes));
        })
    }

    fn then(&self, change: impl FnOnce(&mut Machine)) -> Self {
        let mut machine = self.0.lock().clone();
        let names = [&machine.names, &machine.durable_names];
        let named = names.into_iter().flat_map(|names| names.values().copied());
        let renamed = machine.renamed.iter().filter_map(|(_, inode)| *inode);
        let known: BTreeSet<_> = named.chain(renamed).collect();
        for (at, inode) in machine.inodes.iter_mut().enumerate() {
            if !known.contains(&at) {
                *inode = Inode::default();
            }
        }
        machine.faults.clear();
        machine.calls.clear();
        machine.history.clear();
        machine.killed_at = None;
        machine.open = 0;
        (machine.is_dead, machine.is_locked) = (false, false);
        change(&mut machine);
        Self(Arc::new(Mutex::new(machine)))
    }

    /// The files and their lengths.
    pub(crate) fn lengths(&self) -> BTreeMap<String, u64> {
        let machine = self.0.lock();
        let length = |(name, &inode): (&String, &usize)| {
            (name.clone(), machine.inodes[inode].bytes.len() as u64)
        };
        machine.names.iter().map(length).collect()
    }
}

impl Machine {
    fn count(&self, call: Call) -> u64 {
        self.calls.get(&call).copied().unwrap_or_default()
    }

    fn chance(&mut self, below: usize) -> usize {
        let mut rng = SmallRng::seed_from_u64(self.chance);
        self.chance = rng.random();
        rng.random_range(0..=below)
    }

    /// A call begins. Fails if it is to; a write is told how much of it is written all the same.
    fn call(&mut self, call: Call, wanted: usize) -> Result<(), (io::Error, usize)> {
        if self.is_dead {
            return Err((dead(), 0));
        }
        let all = self.count(Call::Any) + 1;
        self.calls.insert(Call::Any, all);
        self.history.push(call);
        assert!(self.panics_at != Some(all), "as told");
        if call != Call::Any {
            *self.calls.entry(call).or_default() += 1;
        }
        if self.killed_at.is_some_and(|at| at <= all) {
            self.is_dead = true;
            return Err((dead(), self.chance(wanted)));
        }
        let counts = |fault: &&Fault| {
            (fault.call == call || fault.call == Call::Any) && fault.nth == self.count(fault.call)
        };
        match self.faults.iter().find(counts).copied() {
            Some(fault) => Err((fault.error.into(), self.chance(wanted))),
            None => Ok(()),
        }
    }

    fn plain(&mut self, call: Call) -> io::Result<()> {
        self.call(call, 0).map_err(|(error, _)| error)
    }

    fn used(&self) -> u64 {
        let inodes = self.names.values();
        inodes
            .map(|&inode| self.inodes[inode].bytes.len() as u64)
            .sum()
    }

    fn name(&mut self, name: &str, inode: Option<usize>) {
        match inode {
            Some(inode) => drop(self.names.insert(name.to_owned(), inode)),
            None => drop(self.names.remove(name)),
        }
        self.renamed.push((name.to_owned(), inode));
    }

    fn lose_power(&mut self, rng: &mut SmallRng) {
        let changed: BTreeSet<_> = self.renamed.drain(..).collect();
        let mut names = self.durable_names.clone();
        for (name, inode) in changed {
            // Each change, or not: also the last but one.
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

    fn damage(&mut self, rng: &mut SmallRng) -> String {
        let names: Vec<_> = self.names.iter().map(|(name, &at)| (name, at)).collect();
        let full: Vec<_> = names
            .iter()
            .filter(|(_, at)| !self.inodes[*at].bytes.is_empty())
            // Nothing that is kept lies there.
            .filter(|(name, _)| !["reserve", "running"].contains(&name.as_str()))
            .collect();
        let (name, at) = *full[rng.random_range(0..full.len())];
        let (other, from) = *full[rng.random_range(0..full.len())];
        let len = self.inodes[at].bytes.len();
        let start = rng.random_range(0..len);
        let most = [1, 8, 64, 512, 4_096, usize::MAX][rng.random_range(0..6)];
        let end = start + rng.random_range(1..=(len - start).min(most));
        let how = match rng.random_range(0..5) {
            0 => {
                let bit = rng.random_range(0..8);
                self.inodes[at].bytes[start] ^= 1 << bit;
                format!("{name}: bit {bit} of byte {start} is flipped")
            }
            1 => {
                for byte in &mut self.inodes[at].bytes[start..end] {
                    *byte = rng.random();
                }
                format!("{name}: bytes {start} to {end} are noise")
            }
            2 => {
                self.inodes[at].bytes.truncate(start);
                format!("{name}: cut off at {start} of {len}")
            }
            3 => {
                self.inodes[at].bytes[start..end].fill(0);
                format!("{name}: bytes {start} to {end} of {len} are zero")
            }
            _ => {
                let theirs = self.inodes[from].bytes.len();
                let length = (end - start).min(theirs);
                let there = rng.random_range(0..=theirs - length);
                let copy = self.inodes[from].bytes[there..there + length].to_vec();
                let old: Vec<_> = self.inodes[at]
                    .bytes
                    .splice(start..start + length, copy)
                    .collect();
                if from != at {
                    self.inodes[from].bytes[there..there + length].copy_from_slice(&old);
                }
                format!("{name} at {start} and {other} at {there}: {length} bytes change places")
            }
        };
        for inode in [at, from] {
            let bytes = std::mem::take(&mut self.inodes[inode].bytes);
            self.inodes[inode] = Inode::durable(bytes);
        }
        how
    }
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl Inode {
    fn durable(bytes: Vec<u8>) -> Self {
        Self {
            durable: bytes.clone(),
            bytes,
            ..Self::default()
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.changes.push(change);
    }

    fn sync(&mut self) {
        for change in self.changes.drain(..) {
            change.apply(&mut self.durable);
            if let Change::Length(length) = change {
                self.forsaken.iter_mut().for_each(|lost| lost.cut(length));
            }
        }
    }

    fn after_power_cut(&self, rng: &mut SmallRng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut lengths = vec![bytes.len()];
        let share = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        let mut longest = bytes.len();
        for change in self.forsaken.iter().chain(&self.changes) {
            match change {
                Change::Length(length) => longest = *length as usize,
                Change::Bytes { bytes, .. } if bytes.is_empty() => {}
                Change::Bytes { at, bytes: written } => {
                    longest = longest.max(*at as usize + written.len());
                    let mut from = 0;
                    while from < written.len() {
                        let place = at + from as u64;
                        let upto = written.len().min(from + (SECTOR - place % SECTOR) as usize);
                        if rng.random_bool(share) {
                            write(&mut bytes, place, &written[from..upto]);
                        }
                        from = upto;
                    }
                }
            }
            lengths.push(longest);
        }
        bytes.resize(lengths[rng.random_range(0..lengths.len())], 0);
        bytes
    }
}

impl Change {
    /// What lies behind `length` was given back.
    fn cut(&mut self, length: u64) {
        match self {
            Self::Bytes { at, bytes } if *at >= length => bytes.clear(),
            Self::Bytes { at, bytes } => bytes.truncate((length - *at) as usize),
            Self::Length(old) => *old = length.min(*old),
        }
    }

    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Bytes { at, bytes } => write(to, *at, bytes),
            Self::Length(length) => to.resize(*length as usize, 0),
        }
    }
}

fn write(to: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (at, end) = (at as usize, at as usize + bytes.len());
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at..end].copy_from_slice(bytes);
}

/// Frees the folder when it is dropped.
struct Guard(Simulated);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.lock().is_locked = false;
    }
}

impl Files for Simulated {
    fn path(&self, name: &str) -> String {
        format!("/simulated/{name}")
    }

    fn lock(&self, _name: &str) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut machine = self.0.lock();
        machine.plain(Call::Any)?;
        if std::mem::replace(&mut machine.is_locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(Guard(self.clone()))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut machine = self.0.lock();
        machine.plain(Call::Any)?;
        Ok(machine.names.keys().cloned().collect())
    }

    fn open(&self, name: &str, fresh: bool) -> io::Result<Arc<dyn File>> {
        let mut machine = self.0.lock();
        machine.plain(if fresh { Call::Open } else { Call::Any })?;
        if machine.open_max.is_some_and(|max| machine.open >= max) {
            // What EMFILE is here.
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let inode = match (machine.names.get(name), fresh) {
            (Some(_), true) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, false) => return Err(io::ErrorKind::NotFound.into()),
            (Some(&inode), false) => inode,
            (None, true) => {
                machine.inodes.push(Inode::default());
                let inode = machine.inodes.len() - 1;
                machine.name(name, Some(inode));
                inode
            }
        };
        machine.open += 1;
        drop(machine);
        Ok(Arc::new(Opened {
            disk: self.clone(),
            inode,
        }))
    }

    fn file_max(&self) -> u64 {
        self.0.lock().file_max.unwrap_or(u64::MAX)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut machine = self.0.lock();
        machine.plain(Call::Remove)?;
        let Some(&inode) = machine.names.get(from) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        machine.name(from, None);
        machine.name(to, Some(inode));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut machine = self.0.lock();
        machine.plain(Call::Remove)?;
        if !machine.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        machine.name(name, None);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.0.lock();
        machine.plain(Call::Sync)?;
        machine.durable_names = machine.names.clone();
        machine.renamed.clear();
        Ok(())
    }
}

/// A file of the disk's, open.
struct Opened {
    disk: Simulated,
    inode: usize,
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut machine = self.disk.0.lock();
        machine.open = machine.open.saturating_sub(1);
    }
}

impl File for Opened {
    fn len(&self) -> io::Result<u64> {
        let mut machine = self.disk.0.lock();
        machine.plain(Call::Any)?;
        Ok(machine.inodes[self.inode].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut machine = self.disk.0.lock();
        machine.plain(Call::Any)?;
        let bytes = &machine.inodes[self.inode].bytes;
        let Some(rest) = bytes.get(offset as usize..) else {
            return Ok(0);
        };
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut machine = self.disk.0.lock();
        let mut result = machine.call(Call::Write, bytes.len());
        let file_max = machine.file_max.unwrap_or(u64::MAX);
        if result.is_ok() && offset + bytes.len() as u64 > file_max {
            machine.is_dead = true;
            result = Err((dead(), 0));
        }
        let length = machine.inodes[self.inode].bytes.len() as u64;
        let grows = (offset + bytes.len() as u64).saturating_sub(length);
        let room = machine.room.map(|room| room.saturating_sub(machine.used()));
        if let (Ok(()), Some(room)) = (&result, room)
            && grows > room
        {
            let fits = bytes.len().saturating_sub((grows - room) as usize);
            result = Err((io::ErrorKind::StorageFull.into(), fits));
        }
        let written = result
            .as_ref()
            .map_or_else(|(_, part)| *part, |()| bytes.len());
        if written > 0 {
            machine.inodes[self.inode].change(Change::Bytes {
                at: offset,
                bytes: bytes[..written].to_vec(),
            });
        }
        result.map_err(|(error, _)| error)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut machine = self.disk.0.lock();
        machine.plain(Call::Length)?;
        machine.inodes[self.inode].change(Change::Length(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.disk.0.lock();
        let result = machine.plain(Call::Sync);
        let (is_dead, inode) = (machine.is_dead, &mut machine.inodes[self.inode]);
        match result {
            Ok(()) => inode.sync(),
            Err(_) if is_dead => {}
            Err(_) => {
                let lost = std::mem::take(&mut inode.changes);
                inode.forsaken.extend(lost);
            }
        }
        result
    }
}
