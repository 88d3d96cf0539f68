//! Taking a lock that is held for well under a microsecond at a time.

use parking_lot::{Mutex, MutexGuard};

/// How often a taken lock is tried before the thread sleeps on it.
const TRIES: u32 = 1_000;

/// Takes the lock. Being put to sleep and woken costs a hundred times what the lock is held for, so whoever finds it taken
/// tries again for a while (some microseconds) first.
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
