//! apalis on its in-memory storage, with one worker and no middleware.

use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::{Data, MemorySink, MemoryStorage, Task, TaskBuilder, WorkerBuilder};
use futures_channel::mpsc::{UnboundedSender, unbounded};
use futures_util::lock::Mutex;
use futures_util::{SinkExt, StreamExt};

use crate::{Job, Result, Tally, on_two_threads, timed};

async fn count(job: Job, tally: Data<Arc<Tally>>) {
    tally.count(&job);
}

/// What `MemoryStorage::new` builds for itself. A sink and its clones share one lock, which
/// `start_send` expects to find free, so a producer on another thread needs a sink of its own.
fn sink(sender: UnboundedSender<Task<Job>>) -> MemorySink<Job> {
    MemorySink::new(Arc::new(Mutex::new(Box::new(sender.sink_err_into()))))
}

pub fn run(jobs: u64) -> Result<Duration> {
    on_two_threads(async move {
        let tally = Tally::new(jobs);
        let (sender, receiver) = unbounded();
        let storage = MemoryStorage::new_with(sink(sender.clone()), receiver.boxed());
        let worker = WorkerBuilder::new("counter")
            .backend(storage)
            .data(Arc::clone(&tally))
            .build(count);
        let worker = tokio::spawn(worker.run());
        let mut producer = sink(sender);
        let time = timed(&tally, async || {
            for _ in 0..jobs {
                producer.send(TaskBuilder::new(Job::new()).build()).await?;
            }
            Ok(())
        })
        .await;
        worker.abort();
        time
    })
}
