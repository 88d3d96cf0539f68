//! The base of every folder, without any knowledge of events: time, locks, threads, panics, signals.

pub(crate) mod capacity;
pub(crate) mod clock;
pub(crate) mod excerpt;
pub(crate) mod expiring_map;
pub(crate) mod panic;
pub(crate) mod process_memory;
pub(crate) mod signals;
pub(crate) mod spin_lock;
pub(crate) mod threads;
pub(crate) mod time;
