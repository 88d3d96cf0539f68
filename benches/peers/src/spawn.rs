//! A task per job: no queue, no order, no record.

use std::sync::Arc;
use std::time::Duration;

use crate::{Job, Result, Tally, on_two_threads, timed};

pub fn run(jobs: u64) -> Result<Duration> {
    on_two_threads(async move {
        let tally = Tally::new(jobs);
        timed(&tally, async || {
            for _ in 0..jobs {
                let (tally, job) = (Arc::clone(&tally), Job::new());
                tokio::spawn(async move { tally.count(&job) });
            }
            Ok(())
        })
        .await
    })
}
