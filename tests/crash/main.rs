//! Kills a busy process again and again, and restarts it on the same folder: no accepted event is lost, and none runs more often
//! than promised.
//!
//! The child writes a journal of its intents and actions (`journal.rs`); the parent checks it against the promises
//! (`checker.rs`). `REDRIVE_CRASH_CYCLES` is how often the child is started, 200 times unless set;
//! `REDRIVE_CRASH_SEED` repeats the moments of another run.
#![cfg(all(feature = "disk", unix))]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod checker;
#[path = "../child/mod.rs"]
mod child;
mod faults;
mod journal;
mod workload;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use checker::{Checker, Fault};
use child::Running;
use journal::Line;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap())
}

#[test]
fn accepted_events_survive_any_kill() {
    let cycles = number("REDRIVE_CRASH_CYCLES").unwrap_or(200);
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = number("REDRIVE_CRASH_SEED");
    let seed = seed.unwrap_or_else(|| u64::from(now().unwrap().subsec_nanos()));
    let mut trial = Trial::new(seed);
    let outcome = trial.run(cycles);
    let Checker {
        accepted,
        runs,
        again,
        letters,
        redriven,
        most_pending,
        ..
    } = trial.checker;
    eprintln!(
        "{cycles} lives: {accepted} receipts, {runs} runs, {again} of them again after a success, {letters} letters, \
         {redriven} redriven, {most_pending} pending at most"
    );
    if let Err(fault) = outcome {
        let (folder, life) = (trial.keep(), trial.life);
        panic!("life {life} of REDRIVE_CRASH_SEED={seed}: {fault}\n{folder}");
    }
}

/// The process that is killed.
#[test]
#[ignore = "is started by the test above"]
fn child() {
    if let Some(task) = child::task() {
        workload::work(&task);
    }
}

/// How long the parent waits for a sign of life.
const PATIENCE: Duration = Duration::from_secs(60);

struct Trial {
    checker: Checker,
    random: StdRng,
    folder: tempfile::TempDir,
    journal: Vec<String>,
    life: u64,
}

impl Trial {
    fn new(seed: u64) -> Self {
        Self {
            checker: Checker::default(),
            random: StdRng::seed_from_u64(seed),
            folder: tempfile::tempdir().unwrap(),
            journal: Vec::new(),
            life: 0,
        }
    }

    fn run(&mut self, cycles: u64) -> Result<(), Fault> {
        for _ in 0..cycles {
            // Most at work, some while they start, some while they shut down.
            let early = self.random.random_ratio(1, 10);
            let millis = self.random.random_range(1..=if early { 40 } else { 300 });
            let leaves = self.random.random_ratio(1, 6);
            let task = if leaves { "leave" } else { "load" };
            self.cut_short(task, early, Duration::from_millis(millis))?;
        }
        self.live("drain")?;
        self.live("inspect")?;
        self.checker.finish()?;
        // So many events fill more segments than there were processes, and the first segments are not needed any more.
        let segments = self.segments();
        if cycles >= 100 {
            assert!(*segments.last().unwrap() > self.life as u32, "{segments:?}");
            assert!(!segments.contains(&1), "{segments:?}");
        }
        Ok(())
    }

    /// The numbers of the log's files.
    fn segments(&self) -> BTreeSet<u32> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let numbers = names.filter_map(|name| name.strip_suffix(".log")?.parse().ok());
        numbers.collect()
    }

    fn start(&mut self, task: &str) -> (Running, Receiver<String>) {
        self.life += 1;
        let task = format!("{task} {}", self.life);
        let mut child = Running::start("child", self.folder.path(), &task);
        let (sender, receiver) = channel();
        let lines = child.lines();
        std::thread::spawn(move || lines.map(|line| sender.send(line)).all(|sent| sent.is_ok()));
        (child, receiver)
    }

    fn hear(&mut self, line: String) -> Result<Line, Fault> {
        let read: Line = line.parse().unwrap();
        self.journal.push(line);
        self.checker.feed(&read)?;
        Ok(read)
    }

    /// A life that ends by a kill: so long after the runtime has started, or after the process has. One that leaves may be
    /// gone by then.
    fn cut_short(&mut self, task: &str, early: bool, after: Duration) -> Result<(), Fault> {
        let (mut child, lines) = self.start(task);
        if !early {
            loop {
                let line = lines.recv_timeout(PATIENCE).expect("the child starts");
                if let Line::Opened { .. } = self.hear(line)? {
                    break;
                }
            }
        }
        let end = Instant::now() + after;
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => drop(self.hear(line)?),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    assert!(task == "leave" && child.wait().success());
                    return Ok(());
                }
            }
        }
        child.kill();
        // Its lines until then.
        for line in lines {
            self.hear(line)?;
        }
        self.hear(Line::Killed.to_string()).map(drop)
    }

    /// A life that ends in good order.
    fn live(&mut self, task: &str) -> Result<(), Fault> {
        let (mut child, lines) = self.start(task);
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => drop(self.hear(line)?),
                Err(RecvTimeoutError::Timeout) => panic!("the child says nothing any more"),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        assert!(child.wait().success());
        Ok(())
    }

    /// Leaves folder and journal where they can be looked at.
    fn keep(&mut self) -> String {
        self.folder.disable_cleanup(true);
        let journal: PathBuf = self.folder.path().with_extension("journal");
        std::fs::write(&journal, self.journal.join("\n")).unwrap();
        format!(
            "folder {}, journal {}",
            self.folder.path().display(),
            journal.display()
        )
    }
}
