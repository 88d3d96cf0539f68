//! A ractor actor; its mailbox is unbounded.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::{Job, Result, Tally, on_two_threads, timed};

struct Counter;

impl Actor for Counter {
    type Msg = Job;
    type State = Arc<Tally>;
    type Arguments = Arc<Tally>;

    async fn pre_start(
        &self,
        _: ActorRef<Job>,
        tally: Arc<Tally>,
    ) -> Result<Arc<Tally>, ActorProcessingErr> {
        Ok(tally)
    }

    async fn handle(
        &self,
        _: ActorRef<Job>,
        job: Job,
        tally: &mut Arc<Tally>,
    ) -> Result<(), ActorProcessingErr> {
        tally.count(&job);
        Ok(())
    }
}

pub fn run(jobs: u64) -> Result<Duration> {
    on_two_threads(async move {
        let tally = Tally::new(jobs);
        let (counter, running) = Actor::spawn(None, Counter, Arc::clone(&tally)).await?;
        let time = timed(&tally, async || {
            for _ in 0..jobs {
                counter.cast(Job::new())?;
            }
            Ok(())
        })
        .await;
        counter.stop(None);
        running.await?;
        time
    })
}
