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

/// A folder on a disk in memory, for [`Builder::store`](crate::Builder::store). The store is the real one, of
/// [`Builder::disk`](crate::Builder::disk), without threads of its own, so that it fits into virtual time.
#[derive(Debug)]
pub struct SimulatedDisk {
    disk: Mutex<SimulatedFolder>,
    segment_bytes: u32,
}

impl SimulatedDisk {
    /// An empty disk. One seed gives one course of what it tears and keeps.
    pub fn new(seed: u64) -> Self {
        Self {
            disk: Mutex::new(SimulatedFolder::new(seed)),
            segment_bytes: 4 << 10,
        }
    }

    /// Opens the store, as a process does that starts.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub fn open(&self) -> Result<Arc<dyn EventStore>, StoreError> {
        let files = Arc::new(self.disk.lock().clone());
        let disk = Disk::new("simulated").segment_bytes(self.segment_bytes);
        let clock = Clock::simulated(0, SystemTime::UNIX_EPOCH + super::EPOCH);
        Ok(Arc::new(DiskStore::driven(files, &disk, clock)?))
    }

    /// The process is killed: what it was still telling is lost, what it had written is there. Stores that are open write
    /// nothing from now on that counts.
    pub fn kill(&self) {
        let mut disk = self.disk.lock();
        *disk = disk.killed();
    }

    /// The power fails: of what was not synced, any part may be there, in any order.
    pub fn cut_power(&self, seed: u64) {
        let mut disk = self.disk.lock();
        *disk = disk.power_cut(seed);
    }

    /// From now on, so many bytes fit; `None` is no limit.
    pub fn room(&self, bytes: Option<u64>) {
        self.disk.lock().room(bytes);
    }

    /// The `nth` sync from now on fails; 1 is the next.
    pub fn fail_sync(&self, nth: u64) {
        self.disk
            .lock()
            .fail(DiskCall::Sync, nth, io::ErrorKind::Other);
    }

    /// Takes back what [`room`](Self::room) and [`fail_sync`](Self::fail_sync) have planted and nothing has met yet.
    pub fn mend(&self) {
        self.disk.lock().mend();
    }
}
