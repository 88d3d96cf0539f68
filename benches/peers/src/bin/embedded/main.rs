//! The disk store beside embedded databases: one runtime, one trait (`EventStore`), three stores behind it.
//!
//! ```text
//! redrive          the log of `Builder::disk`
//! keyed.rs ─▶ fjall.rs, redb.rs      the same contract over a database of sorted keys, with group commit
//! ```
//!
//! Two kinds of work: callers that each invoke one event after the other, which run and settle; and a backlog that is accepted
//! for a paused function, then fetched, run and settled. A receipt waits for the sync of the disk on all stores.
//!
//! ```text
//! cargo run --release --bin embedded                    # 5 s each, 5 rounds, a backlog of 1,000,000
//! cargo run --release --bin embedded -- 2 1 100000      # 2 s each, 1 round, a backlog of 100,000
//! ```

mod fjall;
mod keyed;
mod redb;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::System;
use redrive::store::EventStore;
use redrive::{Client, Disk, Event, Function, InvokeError, Runtime};
use serde::{Deserialize, Serialize};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

struct Contender {
    name: &'static str,
    open: fn(&Path) -> Result<Arc<dyn EventStore>>,
}

const CONTENDERS: &[Contender] = &[
    Contender {
        name: "redrive",
        open: |folder| Ok(Disk::new(folder).open()?),
    },
    Contender {
        name: "fjall 3",
        open: |folder| keyed::open(fjall::Tables::open(folder)?),
    },
    Contender {
        name: "redb 4",
        open: |folder| keyed::open(redb::Tables::open(folder)?),
    },
];

/// Callers at the same time.
const CALLERS: [usize; 3] = [1, 64, 1_024];
/// Callers that fill the backlog.
const FILLERS: usize = 1_024;
/// Names the contender and the work of a child process.
const CHILD: &str = "PEERS_EMBEDDED";

/// The sizes of the work.
#[derive(Clone, Copy)]
struct Sizes {
    time: Duration,
    rounds: usize,
    backlog: u64,
}

impl Sizes {
    fn read() -> Result<Self> {
        let mut args = std::env::args().skip(1);
        let mut next = |default: u64| args.next().map_or(Ok(default), |arg| arg.parse());
        Ok(Self {
            time: Duration::from_secs(next(5)?),
            rounds: next(5)? as usize,
            backlog: next(1_000_000)?,
        })
    }
}

fn main() -> Result<()> {
    let sizes = Sizes::read()?;
    if let Ok(child) = std::env::var(CHILD) {
        return run_child(&child, sizes);
    }
    // figures[row][contender]: one number for each round.
    let rows = CALLERS.len() + 4;
    let mut figures = vec![vec![Vec::new(); CONTENDERS.len()]; rows];
    for round in 1..=sizes.rounds {
        for work in 0..=CALLERS.len() {
            for contender in 0..CONTENDERS.len() {
                let numbers = measure(work, contender)?;
                for (at, number) in numbers.into_iter().enumerate() {
                    figures[work + at][contender].push(number);
                }
            }
        }
        eprintln!("round {round} of {} done", sizes.rounds);
    }
    print_table(&mut figures, sizes);
    Ok(())
}

/// Measures one contender in its own process. Returns the numbers of the work's rows.
fn measure(work: usize, contender: usize) -> Result<Vec<f64>> {
    let output = Command::new(std::env::current_exe()?)
        .args(std::env::args().skip(1))
        .env(CHILD, format!("{work} {contender}"))
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{} failed", CONTENDERS[contender].name).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let numbers = text.split_whitespace().map(str::parse);
    Ok(numbers.collect::<Result<_, _>>()?)
}

fn print_table(figures: &mut [Vec<Vec<f64>>], sizes: Sizes) {
    let million = sizes.backlog as f64 / 1e6;
    let mut titles: Vec<_> = CALLERS
        .iter()
        .map(|callers| format!("accept, run, settle: {callers} callers, events/s"))
        .collect();
    titles.push(format!("backlog of {million} M: accept, events/s"));
    titles.push(format!(
        "backlog of {million} M: fetch, run, settle, events/s"
    ));
    titles.push("bytes on disk for each waiting event".to_owned());
    titles.push("bytes on disk for each settled event".to_owned());
    let names: Vec<_> = CONTENDERS.iter().map(|contender| contender.name).collect();
    println!("| work | {} |", names.join(" | "));
    println!("|---|{}", "---:|".repeat(names.len()));
    for (title, contenders) in titles.iter().zip(figures) {
        let medians = contenders.iter_mut().map(|numbers| median(numbers));
        let medians: Vec<_> = medians.map(|median| format!("{median:.0}")).collect();
        println!("| {title} | {} |", medians.join(" | "));
    }
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

/// Runs one work on one contender, and prints its numbers.
fn run_child(child: &str, sizes: Sizes) -> Result<()> {
    let (work, contender) = child.split_once(' ').ok_or("a work and a contender")?;
    let (work, contender): (usize, usize) = (work.parse()?, contender.parse()?);
    let folder = folder()?;
    let store = (CONTENDERS[contender].open)(&folder)?;
    let numbers = System::new().block_on(async {
        match CALLERS.get(work) {
            Some(&callers) => invoke(store, sizes.time, callers).await,
            None => backlog(store, &folder, sizes.backlog).await,
        }
    });
    std::fs::remove_dir_all(&folder)?;
    let numbers: Vec<_> = numbers?.iter().map(f64::to_string).collect();
    println!("{}", numbers.join(" "));
    Ok(())
}

/// Makes a folder on a disk: files in `/tmp` may lie in memory.
fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().ok_or("a program lies in a folder")?;
    let folder = target.join(format!("embedded-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A job whose JSON has 512 bytes, most of them random, so that a database that compresses gains little.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    number: u64,
    text: String,
}

impl Job {
    fn new(number: u64) -> Self {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let letter = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            LETTERS[(state % LETTERS.len() as u64) as usize] as char
        };
        Self {
            number: 1_000_000_000 + number,
            text: (0..481).map(letter).collect(),
        }
    }
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Starts the runtime with a function that counts its jobs.
async fn start(store: Arc<dyn EventStore>) -> Result<(Runtime, Arc<AtomicU64>)> {
    let handled = Arc::new(AtomicU64::new(0));
    let count = handled.clone();
    let function = Function::new("job", move |job: Event<Job>| {
        std::hint::black_box(&*job);
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, String>(()) }
    });
    // The whole backlog has room; the runtime holds a small part of it in memory.
    let function = function
        .mailbox_events_max(100_000_000)
        .mailbox_bytes_max(u64::MAX);
    let builder = Runtime::builder().store(store).function(function);
    Ok((builder.start().await?, handled))
}

/// Invokes one job, again as long as the mailbox is full.
async fn accept(client: &Client, number: u64) -> Result<()> {
    loop {
        match client.invoke("job", Job::new(number)).await {
            Err(InvokeError::MailboxFull { .. }) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            accepted => return accepted.map(drop).map_err(Into::into),
        }
    }
}

/// Keeps so many callers busy for a second, and then for `time`. Returns the jobs that ran in each second of that time.
async fn invoke(store: Arc<dyn EventStore>, time: Duration, callers: usize) -> Result<Vec<f64>> {
    let (runtime, handled) = start(store).await?;
    let client = runtime.client();
    let next = AtomicU64::new(0);
    let callers = (0..callers).map(|_| async {
        loop {
            accept(&client, next.fetch_add(1, Ordering::Relaxed)).await?;
        }
        #[allow(unreachable_code, reason = "it names the type")]
        Ok::<(), Box<dyn Error + Send + Sync>>(())
    });
    let callers = futures_util::future::try_join_all(callers);
    let clock = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (before, started) = (handled.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(time).await;
        let jobs = handled.load(Ordering::Relaxed) - before;
        Ok::<_, Box<dyn Error + Send + Sync>>(jobs as f64 / started.elapsed().as_secs_f64())
    };
    let rate = tokio::select! {
        ended = callers => return Err(ended.err().unwrap_or_else(|| "no caller is left".into())),
        rate = clock => rate?,
    };
    let _ = runtime.shutdown(Duration::from_secs(60)).await;
    Ok(vec![rate])
}

/// Fills a paused function's backlog and drains it. Returns both rates, and the bytes on disk for each event after both.
async fn backlog(store: Arc<dyn EventStore>, folder: &Path, events: u64) -> Result<Vec<f64>> {
    let (runtime, handled) = start(store).await?;
    let client = runtime.client();
    client.pause("job");
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let fillers = (0..FILLERS).map(|_| async {
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                number if number < events => accept(&client, number).await?,
                _ => return Ok::<(), Box<dyn Error + Send + Sync>>(()),
            }
        }
    });
    futures_util::future::try_join_all(fillers).await?;
    let accepted = events as f64 / started.elapsed().as_secs_f64();
    let waiting = bytes(folder)? / events as f64;
    let started = Instant::now();
    client.resume("job");
    while handled.load(Ordering::Relaxed) < events {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let drained = events as f64 / started.elapsed().as_secs_f64();
    let _ = runtime.shutdown(Duration::from_secs(60)).await;
    Ok(vec![
        accepted,
        drained,
        waiting,
        bytes(folder)? / events as f64,
    ])
}

/// Returns the bytes that a folder's files take on the disk.
fn bytes(folder: &Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A database may remove a file meanwhile.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += match metadata.is_dir() {
            true => self::bytes(&entry.path())?,
            false => metadata.blocks() as f64 * 512.0,
        };
    }
    Ok(bytes)
}
