//! Real input and output in virtual time: the clock stands still while a reply may come.
//!
//! tokio's paused clock jumps to the next timer as soon as no task can go on, and a task that waits for a socket times out at
//! once. As long as sockets are open, a jump waits here until nothing has happened for a while of real time. A task of
//! `spawn_blocking` holds the clock: by tokio's own rule it stands still while one runs.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::base::clock;

/// Real time without any progress after which the clock may jump.
const PATIENCE: Duration = Duration::from_millis(300);

/// Watches one tokio runtime on one thread.
#[derive(Default)]
pub(super) struct RealIo {
    /// The system's lists of the runtime's sockets, with their lengths when there were no sockets.
    pollers: Mutex<Vec<(usize, File)>>,
    /// The number of times that a task was polled.
    steps: AtomicU64,
    quiet: Mutex<Quiet>,
}

#[derive(Default)]
struct Quiet {
    /// The number of steps so far, and since when there was no other.
    since: Option<(u64, std::time::Instant)>,
    /// The clock is held.
    is_held: bool,
    /// The time from which it may jump.
    may_leave: Option<Instant>,
}

/// Returns the system's lists of the process's sockets; none outside Linux.
fn pollers() -> Vec<PathBuf> {
    let files = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let poller = |file: std::fs::DirEntry| {
        let target = std::fs::read_link(file.path()).ok()?;
        let list = PathBuf::from("/proc/self/fdinfo").join(file.file_name());
        (target.to_str() == Some("anon_inode:[eventpoll]")).then_some(list)
    };
    files.flatten().filter_map(poller).collect()
}

/// Returns the length of a list in bytes: it has a line for each socket.
fn list_length(poller: &File) -> usize {
    read_again(poller, &mut [0; 1_024]).unwrap_or_default()
}

/// Reads a file again from its beginning: opening it each time would cost more than all else.
#[cfg(unix)]
fn read_again(file: &File, into: &mut [u8]) -> std::io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, 0)
}

#[cfg(not(unix))]
fn read_again(_: &File, _: &mut [u8]) -> std::io::Result<usize> {
    Ok(0)
}

impl RealIo {
    /// Builds a runtime and watches it. `build` gets a function that must be called before the runtime's thread sleeps.
    pub(super) fn watch<R>(
        self: &Arc<Self>,
        build: impl FnOnce(Box<dyn Fn() + Send + Sync>) -> R,
    ) -> R {
        let before = pollers();
        let watch = self.clone();
        let built = build(Box::new(move || watch.idle()));
        let new = pollers()
            .into_iter()
            .filter(|poller| !before.contains(poller));
        let new = new.filter_map(|poller| File::open(poller).ok());
        let new = new.map(|poller| (list_length(&poller), poller)).collect();
        *self.pollers.lock() = new;
        built
    }

    /// Runs `test`, and counts the polls on its thread.
    pub(super) async fn count<R>(&self, test: impl Future<Output = R>) -> R {
        let mut test = pin!(test);
        poll_fn(|cx| {
            self.steps.fetch_add(1, Ordering::Relaxed);
            test.as_mut().poll(cx)
        })
        .await
    }

    fn has_sockets(&self) -> bool {
        let pollers = self.pollers.lock();
        pollers
            .iter()
            .any(|(own, poller)| list_length(poller) > *own)
    }

    /// Holds the clock if sockets are open; called when no task of the thread can go on.
    fn idle(self: &Arc<Self>) {
        if !self.has_sockets() {
            return;
        }
        let steps = self.steps.load(Ordering::Relaxed);
        let mut quiet = self.quiet.lock();
        if quiet.since.is_none_or(|(before, _)| before != steps) {
            quiet.since = Some((steps, clock::real_now()));
        }
        if quiet.is_held || quiet.may_leave == Some(clock::tokio_now()) {
            return;
        }
        (quiet.is_held, quiet.may_leave) = (true, None);
        // Hardly any real time has passed since the last jump.
        quiet.since = Some((steps, clock::real_now()));
        drop(quiet);
        let hold = self.clone();
        drop(tokio::task::spawn_blocking(move || hold.hold()));
    }

    /// Holds the clock until nothing has happened for long enough.
    fn hold(&self) {
        loop {
            let mut quiet = self.quiet.lock();
            let since = quiet.since.map(|(_, since)| since);
            let passed = since.map_or(PATIENCE, |since| clock::real_now() - since);
            let left = PATIENCE.saturating_sub(passed);
            if left.is_zero() {
                (quiet.is_held, quiet.may_leave) = (false, Some(clock::tokio_now()));
                return;
            }
            drop(quiet);
            std::thread::sleep(left);
        }
    }
}
