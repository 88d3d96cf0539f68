//! The simulated disk as the store sees it, and as a test plans its faults.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::inode::{FileChange, Inode};
use super::machine::{DiskCall, Machine, PlannedFault, dead};
use crate::store::disk::files::{File, Files};

/// A folder on a simulated disk; a clone is the same folder.
#[derive(Clone)]
pub(crate) struct SimulatedFolder(Arc<Mutex<Machine>>);

impl std::fmt::Debug for SimulatedFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedFolder").finish_non_exhaustive()
    }
}

impl SimulatedFolder {
    /// Returns an empty disk, whose random choices follow `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let machine = Machine {
            chance: seed,
            ..Machine::default()
        };
        Self(Arc::new(Mutex::new(machine)))
    }

    // --- faults

    /// Makes the `nth` call of this kind fail; 1 is the next. A write may have written a part.
    pub(crate) fn fail(&self, call: DiskCall, nth: u64, error: io::ErrorKind) {
        let mut machine = self.0.lock();
        let nth = machine.count(call) + nth;
        machine.faults.push(PlannedFault { call, nth, error });
    }

    /// Makes the process die at its `nth` call; 1 is the next. A write may have written a part.
    pub(crate) fn kill_at(&self, nth: u64) {
        let mut machine = self.0.lock();
        machine.killed_at = Some(machine.count(DiskCall::Any) + nth);
    }

    /// Limits the bytes of all files together.
    pub(crate) fn room(&self, bytes: Option<u64>) {
        self.0.lock().room = bytes;
    }

    /// Limits the number of open files.
    pub(crate) fn open_max(&self, files: Option<usize>) {
        self.0.lock().open_max = files;
    }

    /// Returns the number of open files.
    pub(crate) fn open_count(&self) -> usize {
        self.0.lock().open
    }

    /// Limits the length of a file. A longer write kills the process, and writes nothing.
    pub(crate) fn file_limit(&self, bytes: Option<u64>) {
        self.0.lock().file_max = bytes;
    }

    /// Panics at the `nth` call; 1 is the next.
    pub(crate) fn panic_at(&self, nth: u64) {
        let mut machine = self.0.lock();
        machine.panics_at = Some(machine.count(DiskCall::Any) + nth);
    }

    /// Damages this byte, also of an open file.
    pub(crate) fn damage_byte(&self, name: &str, at: usize) {
        let mut machine = self.0.lock();
        let inode = machine.names[name];
        machine.inodes[inode].bytes[at] ^= 1;
    }

    /// Removes the limit of room and all planned failures.
    pub(crate) fn mend(&self) {
        let mut machine = self.0.lock();
        machine.room = None;
        machine.faults.clear();
    }

    /// Damages one file in one way, also an open one. Returns a description.
    pub(crate) fn damage(&self, seed: u64) -> String {
        self.0.lock().damage(&mut SmallRng::seed_from_u64(seed))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().is_dead
    }

    /// Returns the number of calls of this kind.
    pub(crate) fn calls(&self, call: DiskCall) -> u64 {
        self.0.lock().count(call)
    }

    /// Returns the calls so far; reads are [`DiskCall::Any`].
    pub(crate) fn history(&self) -> Vec<DiskCall> {
        self.0.lock().history.clone()
    }

    // --- after a crash

    /// Returns the disk as the next process finds it after the death of this one.
    pub(crate) fn killed(&self) -> Self {
        self.then(|_| ())
    }

    /// Returns the disk as the next process finds it after a loss of power.
    pub(crate) fn power_cut(&self, seed: u64) -> Self {
        self.then(|machine| machine.lose_power(&mut SmallRng::seed_from_u64(seed)))
    }

    /// Returns this disk with one file changed.
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

    /// Returns the files and their lengths.
    pub(crate) fn lengths(&self) -> BTreeMap<String, u64> {
        let machine = self.0.lock();
        let length = |(name, &inode): (&String, &usize)| {
            (name.clone(), machine.inodes[inode].bytes.len() as u64)
        };
        machine.names.iter().map(length).collect()
    }
}

/// Unlocks the folder when it is dropped.
struct FolderGuard(SimulatedFolder);

impl Drop for FolderGuard {
    fn drop(&mut self) {
        self.0.0.lock().is_locked = false;
    }
}

impl Files for SimulatedFolder {
    fn path(&self, name: &str) -> String {
        format!("/simulated/{name}")
    }

    fn lock(&self, _name: &str) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut machine = self.0.lock();
        machine.plain(DiskCall::Any)?;
        if std::mem::replace(&mut machine.is_locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(FolderGuard(self.clone()))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut machine = self.0.lock();
        machine.plain(DiskCall::Any)?;
        Ok(machine.names.keys().cloned().collect())
    }

    fn open(&self, name: &str, fresh: bool) -> io::Result<Arc<dyn File>> {
        let mut machine = self.0.lock();
        machine.plain(if fresh { DiskCall::Open } else { DiskCall::Any })?;
        if machine.open_max.is_some_and(|max| machine.open >= max) {
            // The simulated EMFILE.
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
        Ok(Arc::new(SimulatedFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn file_max(&self) -> u64 {
        self.0.lock().file_max.unwrap_or(u64::MAX)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut machine = self.0.lock();
        machine.plain(DiskCall::Remove)?;
        let Some(&inode) = machine.names.get(from) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        machine.name(from, None);
        machine.name(to, Some(inode));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut machine = self.0.lock();
        machine.plain(DiskCall::Remove)?;
        if !machine.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        machine.name(name, None);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.0.lock();
        machine.plain(DiskCall::Sync)?;
        machine.durable_names = machine.names.clone();
        machine.renamed.clear();
        Ok(())
    }
}

/// An open file of the simulated disk.
struct SimulatedFile {
    disk: SimulatedFolder,
    inode: usize,
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        let mut machine = self.disk.0.lock();
        machine.open = machine.open.saturating_sub(1);
    }
}

impl File for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        let mut machine = self.disk.0.lock();
        machine.plain(DiskCall::Any)?;
        Ok(machine.inodes[self.inode].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut machine = self.disk.0.lock();
        machine.plain(DiskCall::Any)?;
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
        let mut result = machine.call(DiskCall::Write, bytes.len());
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
            machine.inodes[self.inode].change(FileChange::Bytes {
                at: offset,
                bytes: bytes[..written].to_vec(),
            });
        }
        result.map_err(|(error, _)| error)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut machine = self.disk.0.lock();
        machine.plain(DiskCall::Length)?;
        machine.inodes[self.inode].change(FileChange::Length(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.disk.0.lock();
        let result = machine.plain(DiskCall::Sync);
        let (is_dead, inode) = (machine.is_dead, &mut machine.inodes[self.inode]);
        match result {
            Ok(()) => inode.sync(),
            Err(_) if is_dead => {}
            Err(_) => {
                let lost = std::mem::take(&mut inode.changes);
                inode.lost.extend(lost);
            }
        }
        result
    }
}
