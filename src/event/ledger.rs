//! The ledger of a queue: how many events are in which state.

use serde::Serialize;

/// The number of events in each state, counted since the function was registered in this process.
/// `accepted = succeeded + dead + cancelled + pending()`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Ledger {
    /// Accepted by this process, or `inherited`.
    pub accepted: u64,
    /// Of those accepted: the events that an earlier process left in the store. Counted when the function is registered.
    pub inherited: u64,
    /// Ended with a success.
    pub succeeded: u64,
    /// Became dead letters. For calls: failed.
    pub dead: u64,
    /// Cancelled by the user.
    pub cancelled: u64,
    /// Waiting for a worker.
    pub ready: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// Running, or failed and not decided on yet.
    pub running: u64,
    /// Waiting in the store for functions that aren't registered. Only in the ledger of the whole runtime.
    pub unregistered: u64,
}

impl Ledger {
    /// Returns how many events this process accepted. Each event counts in one process only, also if it outlives several.
    pub fn received(&self) -> u64 {
        self.accepted - self.inherited
    }

    /// Returns how many events are neither succeeded nor dead nor cancelled.
    pub fn pending(&self) -> u64 {
        self.ready + self.delayed + self.running + self.unregistered
    }
}

impl std::ops::AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.inherited += other.inherited;
        self.succeeded += other.succeeded;
        self.dead += other.dead;
        self.cancelled += other.cancelled;
        self.ready += other.ready;
        self.delayed += other.delayed;
        self.running += other.running;
        self.unregistered += other.unregistered;
    }
}
