//! The two threads of a store: one writes and syncs, one reads, so that a read never delays a commit.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use super::group_commit::Engine;
use super::op::ReadJob;
use super::writer::{Drive, Writer};
use crate::error::StoreError;

pub(super) struct StoreThreads {
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl StoreThreads {
    pub(super) fn start(mut engine: Engine, writer: &Arc<Writer>) -> Result<Self, StoreError> {
        let (sender, jobs) = mpsc::channel::<ReadJob>();
        let reader = writer.reader.clone();
        spawn(
            "redrive-read",
            Box::new(move || jobs.into_iter().for_each(|job| job(&reader))),
        )?;
        let guard = PanicGuard(writer.clone());
        let writer = spawn(
            "redrive-write",
            Box::new(move || guard.0.run(&mut engine, &|job| drop(sender.send(job)))),
        )?;
        Ok(Self {
            writer: Mutex::new(Some(writer)),
        })
    }
}

fn spawn(name: &str, run: Box<dyn FnOnce() + Send>) -> Result<JoinHandle<()>, StoreError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| {
        StoreError::new(format!("can't start the store's thread `{name}`: {error}"))
    })
}

impl Drive for StoreThreads {
    fn enqueued(&self, writer: &Writer, _urgent: bool, wake: bool) {
        if wake {
            writer.notify();
        }
    }

    fn retry_full(&self, _writer: &Writer) -> bool {
        false
    }

    fn finish(&self, writer: &Writer) {
        writer.notify();
        if let Some(thread) = self.writer.lock().take() {
            let _ = thread.join(); // its panic was reported by the guard
        }
    }
}

/// Fails the store if the writer's thread panics.
struct PanicGuard(Arc<Writer>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            let why = "the store's writer panicked: this is a fault in redrive";
            self.0.fail(why.to_owned());
        }
    }
}
