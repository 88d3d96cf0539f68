//! The books of a queue: how many events are where.

use serde::Serialize;

/// How many events are where, counted since the function was registered in this process.
/// `accepted = succeeded + dead + cancelled + pending()`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Ledger {
    /// Accepted, by this process or, as far as they are `inherited`, by an earlier one.
    pub accepted: u64,
    /// Of those accepted: the events that an earlier process left in the store, counted once the function is registered.
    pub inherited: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Became dead letters; of calls: failed.
    pub dead: u64,
    /// Cancelled by the user.
    pub cancelled: u64,
    /// Waiting for a worker.
    pub ready: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// Being run, or just failed and being decided on.
    pub running: u64,
    /// Waiting in the store for functions that aren't registered; in the whole runtime's ledger only.
    pub unregistered: u64,
}

impl Ledger {
    /// Accepted by this process: each event counts in one process only, however often it is started.
    pub fn received(&self) -> u64 {
        self.accepted - self.inherited
    }

    /// Neither succeeded nor dead nor cancelled.
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
