//! redrive in memory: one function, the producer on the main arbiter.

use std::sync::Arc;
use std::time::Duration;

use actix::System;
use redrive::{Event, Function, Runtime};

use crate::{Job, Result, Tally, timed};

pub fn run(jobs: u64) -> Result<Duration> {
    System::new().block_on(async move {
        let tally = Tally::new(jobs);
        let worker = Arc::clone(&tally);
        let count = Function::new("job", move |event: Event<Job>| {
            let tally = Arc::clone(&worker);
            async move {
                tally.count(event.into_payload());
                Ok(())
            }
        });
        // The other peers have no bound: the mailbox must hold every job, or the run ends with a
        // refusal and not with a number.
        let runtime = Runtime::builder().function(count).start().await?;
        let client = runtime.client();
        let time = timed(&tally, async || {
            for _ in 0..jobs {
                client.invoke("job", Job::new()).await?;
            }
            Ok(())
        })
        .await;
        runtime.shutdown().await;
        time
    })
}
