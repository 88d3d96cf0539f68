//! The memory of the machine and of the process, for REPORT lines. All functions share both.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A reading, in MB of 1,024 × 1,024 bytes; 0 where the system doesn't provide it.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) machine: u32,
    pub(crate) process_max: u32,
}

/// Maximum age of a reading.
const FRESH: Duration = Duration::from_secs(1);

/// Returns a reading that is at most a second old: one reading costs more than an event.
pub(crate) fn megabytes(now: SystemTime) -> Memory {
    static READ_AT: AtomicU64 = AtomicU64::new(0);
    static MACHINE: AtomicU32 = AtomicU32::new(0);
    static PROCESS: AtomicU32 = AtomicU32::new(0);
    let now = now.duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_millis() as u64);
    let before = READ_AT.load(Ordering::Relaxed);
    let is_old = now.abs_diff(before) > FRESH.as_millis() as u64;
    let mine = || READ_AT.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed);
    if is_old && mine().is_ok() {
        let read = |path, name| field(&std::fs::read_to_string(path).ok()?, name);
        let machine = read("/proc/meminfo", "MemTotal:");
        MACHINE.store(machine.unwrap_or(0), Ordering::Relaxed);
        let process = read("/proc/self/status", "VmHWM:");
        PROCESS.store(process.unwrap_or(0), Ordering::Relaxed);
    }
    Memory {
        machine: MACHINE.load(Ordering::Relaxed),
        process_max: PROCESS.load(Ordering::Relaxed),
    }
}

/// Returns the value of a line `name   123 kB`, in MB.
fn field(text: &str, name: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    u32::try_from(kilobytes / 1_024).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_read() {
        let text = "Name:\tx\nVmHWM:\t   36864 kB\nVmRSS:\t 10 kB\n";
        assert_eq!(field(text, "VmHWM:"), Some(36));
        assert_eq!(field(text, "VmPeak:"), None);
        assert_eq!(field("VmHWM:\tmuch kB", "VmHWM:"), None);
    }
}
