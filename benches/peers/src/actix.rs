//! A bare actix actor on an arbiter of its own, the producer on the main one. `do_send` ignores
//! the mailbox capacity, so nothing waits and nothing is refused.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Arbiter, Context, Handler, Message, System};

use crate::{Job, Result, Tally, timed};

struct Counter(Arc<Tally>);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Message for Job {
    type Result = ();
}

impl Handler<Job> for Counter {
    type Result = ();

    fn handle(&mut self, job: Job, _: &mut Self::Context) {
        self.0.count(&job);
    }
}

pub fn run(jobs: u64) -> Result<Duration> {
    let (time, arbiter) = System::new().block_on(async move {
        let tally = Tally::new(jobs);
        let arbiter = Arbiter::new();
        let counter = Counter(Arc::clone(&tally));
        let counter = Counter::start_in_arbiter(&arbiter.handle(), |_| counter);
        let time = timed(&tally, async || {
            for _ in 0..jobs {
                counter.do_send(Job::new());
            }
            Ok(())
        })
        .await;
        arbiter.stop();
        (time, arbiter)
    });
    arbiter
        .join()
        .map_err(|_| "the arbiter's thread panicked")?;
    time
}
