//! redrive with a folder and the default durability: the receipt comes when the job is synced.

use std::path::Path;
use std::time::Duration;

use actix::System;
use redrive::{Event, Function, InvokeError, Runtime};

use crate::{CALLERS, Job, Result, rate, shared};

pub fn run(folder: &Path, time: Duration) -> Result<Option<f64>> {
    System::new().block_on(async move {
        let tally = shared();
        let worker = tally.clone();
        let count = Function::new("job", move |job: Event<Job>| {
            worker.count(&job);
            async { Ok::<_, String>(()) }
        });
        let runtime = Runtime::builder()
            .disk(folder)
            .function(count)
            .start()
            .await?;
        let client = &runtime.client();
        let rate = rate(&tally, time, CALLERS, async |number| {
            loop {
                match client.invoke("job", Job::new(number)).await {
                    // It says when to come back.
                    Err(InvokeError::MailboxFull { .. }) => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    accepted => return accepted.map(drop).map_err(Into::into),
                }
            }
        })
        .await?;
        let _ = runtime.shutdown(Duration::from_secs(60)).await;
        Ok(Some(rate))
    })
}
