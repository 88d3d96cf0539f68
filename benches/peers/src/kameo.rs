//! A kameo actor. Its default mailbox holds 64 messages and makes the producer wait; the other
//! peers have no bound, so this one gets none either.

use std::sync::Arc;
use std::time::Duration;

use kameo::Actor;
use kameo::actor::Spawn;
use kameo::mailbox;
use kameo::message::{Context, Message};

use crate::{Job, Result, Tally, on_two_threads, timed};

#[derive(Actor)]
struct Counter(Arc<Tally>);

impl Message<Job> for Counter {
    type Reply = ();

    async fn handle(&mut self, job: Job, _: &mut Context<Self, Self::Reply>) {
        self.0.count(&job);
    }
}

pub fn run(jobs: u64) -> Result<Duration> {
    on_two_threads(async move {
        let tally = Tally::new(jobs);
        let counter =
            Counter::spawn_with_mailbox(Counter(Arc::clone(&tally)), mailbox::unbounded());
        counter.wait_for_startup().await;
        let time = timed(&tally, async || {
            for _ in 0..jobs {
                counter.tell(Job::new()).await?;
            }
            Ok(())
        })
        .await;
        counter.stop_gracefully().await?;
        counter.wait_for_shutdown().await;
        time
    })
}
