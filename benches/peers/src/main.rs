//! One producer hands a million small jobs over; the clock stops when the last one has run.
//!
//! Every peer gets the same [`Job`] and the same handler, which only counts, so what is measured
//! is the way from the producer to the handler and nothing else. The peers differ in what they do
//! on that way: `tokio::spawn`, the channel and the actors keep no record of a job, so they show
//! what the machine can do, not what a queue could.
//!
//! ```text
//! cargo run --release                # 1,000,000 jobs, 5 runs
//! cargo run --release -- 200000 3    # 200,000 jobs, 3 runs
//! ```

mod actix;
mod apalis;
mod kameo;
mod mpsc;
mod ractor;
mod redrive;
mod spawn;

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

struct Peer {
    name: &'static str,
    run: fn(u64) -> Result<Duration>,
}

/// The first one is what the others are compared to.
const PEERS: &[Peer] = &[
    Peer {
        name: "tokio::spawn per job",
        run: spawn::run,
    },
    Peer {
        name: "tokio unbounded channel, one worker task",
        run: mpsc::run,
    },
    Peer {
        name: "actix, `do_send` to an actor on its own arbiter",
        run: actix::run,
    },
    Peer {
        name: "ractor, `cast` to an actor",
        run: ractor::run,
    },
    Peer {
        name: "kameo, `tell` to an actor",
        run: kameo::run,
    },
    Peer {
        name: "apalis, in-memory storage",
        run: apalis::run,
    },
    Peer {
        name: "redrive, in memory",
        run: redrive::run,
    },
];

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let jobs = args.next().map_or(Ok(1_000_000), |jobs| jobs.parse())?;
    let runs = args.next().map_or(Ok(5), |runs| runs.parse())?;
    if jobs == 0 || runs == 0 {
        return Err("both the number of jobs and the number of runs must be at least 1".into());
    }

    let mut times = vec![Vec::with_capacity(runs); PEERS.len()];
    // Round by round, so that a slow moment of the machine hits every peer alike. The first round
    // warms the allocator up and is not counted.
    for round in 0..=runs {
        for (peer, times) in PEERS.iter().zip(&mut times) {
            let time = (peer.run)(jobs)?;
            if round > 0 {
                times.push(time);
            }
        }
        eprintln!("round {round} of {runs} done");
    }

    let rates: Vec<f64> = times
        .into_iter()
        .map(|times| jobs as f64 / median(times).as_secs_f64())
        .collect();
    println!("| name | jobs/s (median of {runs} runs) | ratio to tokio::spawn |");
    println!("|---|---:|---:|");
    for (peer, rate) in PEERS.iter().zip(&rates) {
        println!("| {} | {rate:.0} | {:.2} |", peer.name, rate / rates[0]);
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// What a thumbnail service would queue: a key, and a little data.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    key: String,
    data: Vec<u8>,
}

impl Job {
    fn new() -> Self {
        Self {
            key: "thumbnail".to_owned(),
            data: vec![7; 64],
        }
    }
}

/// What every handler does: counts the job, and says when it was the last.
#[derive(Debug)]
struct Tally {
    handled: AtomicU64,
    expected: u64,
    complete: Notify,
}

impl Tally {
    fn new(expected: u64) -> Arc<Self> {
        Arc::new(Self {
            handled: AtomicU64::new(0),
            expected,
            complete: Notify::new(),
        })
    }

    fn count(&self, job: &Job) {
        // Else an optimiser that sees through to here need not build the job at all.
        std::hint::black_box(job);
        if self.handled.fetch_add(1, Ordering::Relaxed) + 1 == self.expected {
            self.complete.notify_one();
        }
    }

    async fn complete(&self) {
        self.complete.notified().await;
    }
}

/// Runs the producer as a task of a runtime with two workers, as it would be in a web server.
/// From outside the runtime every spawn and wake would take the slower, shared queue.
fn on_two_threads<F>(producer: F) -> Result<Duration>
where
    F: Future<Output = Result<Duration>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(runtime.spawn(producer))?
}

/// Times from the first job handed over to the last job handled.
async fn timed(tally: &Tally, produce: impl AsyncFnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    produce().await?;
    tally.complete().await;
    Ok(start.elapsed())
}
