//! A spinning way to take locks that are held for well under a microsecond.

use parking_lot::{Mutex, MutexGuard};

/// Number of attempts before the thread sleeps.
const TRIES: u32 = 1_000;

/// Takes the lock, and returns its guard. A thread that finds it taken spins for some microseconds before it sleeps, because
/// sleeping and waking costs a hundred times as much as the lock is held.
#[inline]
pub(crate) fn take<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    for _ in 0..TRIES {
        if let Some(guard) = mutex.try_lock() {
            return guard;
        }
        std::hint::spin_loop();
    }
    mutex.lock()
}
