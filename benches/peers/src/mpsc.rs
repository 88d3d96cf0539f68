//! The least a queue can be: an unbounded channel and one task that empties it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;

use crate::{Job, Result, Tally, on_two_threads, timed};

pub fn run(jobs: u64) -> Result<Duration> {
    on_two_threads(async move {
        let tally = Tally::new(jobs);
        let (sender, mut receiver) = unbounded_channel();
        let worker = Arc::clone(&tally);
        tokio::spawn(async move {
            while let Some(job) = receiver.recv().await {
                worker.count(&job);
            }
        });
        timed(&tally, async || {
            for _ in 0..jobs {
                sender.send(Job::new())?;
            }
            Ok(())
        })
        .await
    })
}
