//! A disk in memory for the store in a folder: killed, cut off from power, full and failing on purpose, by seed.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::base::clock::Clock;
use crate::error::StoreError;
use crate::store::EventStore;
use crate::store::disk::simulated::{DiskCall, SimulatedFolder};
use crate::store::disk::{Disk, DiskStore};

/// A folder on a disk in memory, for [`Builder::store`](crate::Builder::store). It holds the store of
/// [`Builder::disk`](crate::Builder::disk), without its threads, so that it fits into virtual time.
#[derive(Debug)]
pub struct SimulatedDisk {
    disk: Mutex<SimulatedFolder>,
    segment_bytes: u32,
}

impl SimulatedDisk {
    /// Returns an empty disk. One seed gives one course of torn and surviving writes.
    pub fn new(seed: u64) -> Self {
        Self {
            disk: Mutex::new(SimulatedFolder::new(seed)),
            segment_bytes: 4 << 10,
        }
    }

    /// Opens the store, as at the start of a process.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub fn open(&self) -> Result<Arc<dyn EventStore>, StoreError> {
        let files = Arc::new(self.disk.lock().clone());
        let disk = Disk::new("simulated").segment_bytes(self.segment_bytes);
        let clock = Clock::simulated(0, SystemTime::UNIX_EPOCH + super::EPOCH);
        Ok(Arc::new(DiskStore::driven(files, &disk, clock)?))
    }

    /// Kills the process: its unwritten calls are lost, its writes survive. Stores that are still open write to a disk that
    /// doesn't count any more.
    pub fn kill(&self) {
        let mut disk = self.disk.lock();
        *disk = disk.killed();
    }

    /// Cuts the power: of the unsynced writes, any part may survive, in any order.
    pub fn cut_power(&self, seed: u64) {
        let mut disk = self.disk.lock();
        *disk = disk.power_cut(seed);
    }

    /// Limits the bytes of the disk; `None` removes the limit.
    pub fn room(&self, bytes: Option<u64>) {
        self.disk.lock().room(bytes);
    }

    /// Makes the `nth` sync fail; 1 is the next.
    pub fn fail_sync(&self, nth: u64) {
        self.disk
            .lock()
            .fail(DiskCall::Sync, nth, io::ErrorKind::Other);
    }

    /// Removes the limit of [`room`](Self::room) and the failures of [`fail_sync`](Self::fail_sync) that have not happened yet.
    pub fn mend(&self) {
        self.disk.lock().mend();
    }
}
