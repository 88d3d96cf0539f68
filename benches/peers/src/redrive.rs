//! redrive in memory: one function with one worker, the producer on the main arbiter.

use std::sync::Arc;
use std::time::Duration;

use actix::System;
use redrive::{Event, Function, Runtime};

use crate::{Job, Result, Tally, timed};

/// Longer than any run: it ends when the last job has run.
const GRACE: Duration = Duration::from_secs(60);

pub fn run(jobs: u64) -> Result<Duration> {
    System::new().block_on(async move {
        let tally = Tally::new(jobs);
        let worker = Arc::clone(&tally);
        let count = Function::new("job", move |job: Event<Job>| {
            let tally = Arc::clone(&worker);
            async move {
                tally.count(&job);
                Ok::<_, String>(())
            }
        });
        // The other peers have no bound: the mailbox must hold every job, or the run ends with a
        // refusal and not with a number.
        let count = count
            .concurrency(1)
            .mailbox_events_max(u32::try_from(jobs)?)
            .mailbox_bytes_max(u64::MAX);
        let runtime = Runtime::builder().function(count).start().await?;
        let client = runtime.client();
        let time = timed(&tally, async || {
            for _ in 0..jobs {
                client.invoke("job", Job::new()).await?;
            }
            Ok(())
        })
        .await;
        let _ = runtime.shutdown(GRACE).await;
        time
    })
}
