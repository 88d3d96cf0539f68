//! An event that kills the process each time it runs becomes a dead letter, and the other events succeed. A folder belongs to
//! one process for as long as that process lives.
#![cfg(all(feature = "disk", unix))]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod child;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::prelude::*;
use redrive::{
    BuildError, Client, Condition, DeadLetter, Event, FailureKind, Filter, Function, Invoke, List,
    RequestId, RetryPolicy, Runtime, StoreErrorKind,
};
use serde::{Deserialize, Serialize};

use child::{Running, Voice};

/// A scenario: the way to kill the process, the allowed deaths, and the other events.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plot {
    manner: Manner,
    deaths_max: u32,
    /// Good events that run when the first death comes.
    running: u32,
    /// Good events that wait then.
    waiting: u32,
    life: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Manner {
    Abort,
    Overflow,
    /// Its first two attempts fail, the next one aborts.
    FailThenAbort,
    /// Nothing does: the parent will.
    Hang,
    /// The process does nothing but hold the folder.
    Hold,
}

/// The findings of the last process.
struct Outcome {
    /// The signals that ended those before it.
    deaths: Vec<Option<i32>>,
    /// The attempts of each good event.
    runs: BTreeMap<u32, Vec<u32>>,
    /// The final status of each good event.
    states: Vec<String>,
    letters: Vec<String>,
}

impl Plot {
    fn new(manner: Manner, deaths_max: u32) -> Self {
        Self {
            manner,
            deaths_max,
            running: 0,
            waiting: 0,
            life: 0,
        }
    }

    fn good(self, running: u32, waiting: u32) -> Self {
        Self {
            running,
            waiting,
            ..self
        }
    }

    fn start(&self, folder: &Path) -> Running {
        let task = serde_json::to_string(self).unwrap();
        Running::start("child", folder, &task)
    }

    /// Starts processes until one ends by itself.
    fn play(mut self) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let mut outcome = Outcome {
            deaths: Vec::new(),
            runs: BTreeMap::new(),
            states: Vec::new(),
            letters: Vec::new(),
        };
        loop {
            self.life += 1;
            assert!(
                self.life <= self.deaths_max + 1,
                "{} deaths",
                outcome.deaths.len()
            );
            let mut child = self.start(folder.path());
            for line in child.lines() {
                outcome.hear(&line);
            }
            let status = child.wait();
            if status.success() {
                break;
            }
            outcome.deaths.push(status.signal());
        }
        // Once more, to see the state on the disk and not in memory.
        let before = std::mem::take(&mut outcome.letters);
        outcome.states.clear();
        let mut child = self.start(folder.path());
        for line in child.lines() {
            outcome.hear(&line);
        }
        assert!(child.wait().success());
        assert_eq!(before, outcome.letters, "before and after a restart");
        outcome
    }
}

impl Outcome {
    fn hear(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap();
        match what {
            "ran" => {
                let (number, attempt) = rest.split_once(' ').unwrap();
                let runs = self.runs.entry(number.parse().unwrap()).or_default();
                runs.push(attempt.parse().unwrap());
            }
            "state" => self.states.push(rest.to_owned()),
            "letter" => self.letters.push(rest.to_owned()),
            _ => panic!("{line}"),
        }
    }

    /// Good events have one attempt only, so that nothing may be counted against them.
    fn assert_all_good(&self, events: u32) {
        assert_eq!(
            self.runs.keys().copied().collect::<Vec<_>>(),
            (0..events).collect::<Vec<_>>()
        );
        for (number, attempts) in &self.runs {
            assert!(
                attempts.iter().all(|&attempt| attempt == 1),
                "{number}: {attempts:?}"
            );
        }
        assert_eq!(self.states, vec!["succeeded"; events as usize]);
    }
}

const SIGABRT: Option<i32> = Some(6);

#[test]
fn an_event_that_aborts_the_process_is_buried_after_three_deaths_and_the_others_succeed() {
    let outcome = Plot::new(Manner::Abort, 3).good(5, 10).play();
    assert_eq!(outcome.deaths, [SIGABRT; 3]);
    assert_eq!(outcome.letters, ["bad ProcessCrash 1: 1 ProcessCrash"]);
    outcome.assert_all_good(15);
}

#[test]
fn a_handler_that_overflows_its_stack_is_buried_after_three_deaths() {
    let outcome = Plot::new(Manner::Overflow, 3).good(5, 10).play();
    assert_eq!(outcome.deaths, [SIGABRT; 3]);
    assert_eq!(outcome.letters, ["bad ProcessCrash 1: 1 ProcessCrash"]);
    outcome.assert_all_good(15);
}

/// The second failure may not be on record yet when the process dies of the third attempt; the first one is.
#[test]
fn the_letter_of_an_event_that_kills_the_process_contains_its_earlier_failures() {
    let outcome = Plot::new(Manner::FailThenAbort, 3).good(0, 1).play();
    assert_eq!(outcome.deaths, [SIGABRT; 3]);
    let letters = [
        "bad ProcessCrash 2: 1 Error, 2 ProcessCrash",
        "bad ProcessCrash 3: 1 Error, 2 Error, 3 ProcessCrash",
    ];
    assert_eq!(outcome.letters.len(), 1);
    assert!(
        letters.contains(&outcome.letters[0].as_str()),
        "{:?}",
        outcome.letters
    );
    outcome.assert_all_good(1);
}

#[test]
fn the_number_of_deaths_can_be_set_to_one() {
    let outcome = Plot::new(Manner::Abort, 1).good(0, 5).play();
    assert_eq!(outcome.deaths, [SIGABRT]);
    assert_eq!(outcome.letters, ["bad ProcessCrash 1: 1 ProcessCrash"]);
    outcome.assert_all_good(5);
}

/// The process that counts the deaths of the one before may be killed before it clears the crash marks.
#[actix::test]
async fn a_death_is_counted_once_though_the_next_process_is_killed_while_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let plot = Plot::new(Manner::Hang, 2).good(1, 0);
    let mut child = Plot {
        life: 1,
        ..plot.clone()
    }
    .start(folder.path());
    assert_eq!(child.lines().next().as_deref(), Some("ran 0 1"));
    child.kill();
    let running = folder.path().join("running");
    let ran = std::fs::read(&running).unwrap();
    let runtime = Runtime::builder().disk(folder.path()).start().await;
    drop(runtime.unwrap().shutdown(Duration::ZERO).await);
    std::fs::write(&running, ran).unwrap();
    let mut child = Plot { life: 2, ..plot }.start(folder.path());
    let lines: Vec<_> = child.lines().collect();
    assert_eq!(lines, ["ran 0 1", "state succeeded"]);
    assert!(child.wait().success());
}

#[actix::test]
async fn a_folder_is_locked_as_long_as_its_process_lives() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Plot::new(Manner::Hold, 3).start(folder.path());
    assert_eq!(child.lines().next().as_deref(), Some("opened "));
    let start = || Runtime::builder().disk(folder.path()).start();
    let Err(BuildError::Store(error)) = start().await else {
        panic!("another process has the folder")
    };
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    let path = folder.path().display();
    assert!(error.to_string().contains(&path.to_string()), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    child.kill();
    // The lock went with it.
    let runtime = start().await.unwrap();
    drop(runtime.shutdown(Duration::ZERO).await);
}

// --- the process that dies

#[test]
#[ignore = "is started by the tests above"]
fn child() {
    if let Some(task) = child::task() {
        let (plot, folder) = task.split_once("} ").unwrap();
        let plot = serde_json::from_str(&format!("{plot}}}")).unwrap();
        System::new().block_on(live(plot, folder));
    }
}

fn voice() -> &'static Voice {
    static VOICE: OnceLock<Voice> = OnceLock::new();
    VOICE.get_or_init(Voice::new)
}

async fn live(plot: Plot, folder: &str) {
    let running = Arc::new(AtomicU32::new(0));
    let runtime = Runtime::builder()
        .disk(folder)
        .process_deaths_max(plot.deaths_max)
        .function(good(&plot, &running))
        .function(bad(plot.manner))
        .start()
        .await
        .unwrap();
    if plot.manner == Manner::Hold {
        voice().say("opened ");
        return std::future::pending().await;
    }
    let client = runtime.client();
    if plot.life == 1 {
        begin(&plot, &client, &running).await;
    }
    while client.stats().events.pending() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for number in 0..plot.running + plot.waiting {
        let status = client.status(id(number)).await;
        let state = status.map_or("forgotten", |status| status.state());
        voice().say(format_args!("state {state}"));
    }
    let list = List::new(Filter::new());
    for letter in runtime.dead_letters().send(list).await.unwrap().letters {
        voice().say(format_args!("letter {}", told(&letter)));
    }
    drop(runtime.shutdown(Duration::from_secs(10)).await);
}

/// Sends all there is to send, and the deadly event once as many of the good ones run as should.
async fn begin(plot: &Plot, client: &Client, running: &AtomicU32) {
    if plot.running == 0 {
        client.pause("good");
    }
    for number in 0..plot.running + plot.waiting {
        let good = Invoke::event("good", number).request_id(id(number));
        client.send(good).await.unwrap();
    }
    while running.load(SeqCst) < plot.running {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if plot.manner == Manner::Hang {
        return;
    }
    // Its receipt may come or not.
    let _ = client.invoke("bad", "poison".to_owned()).await;
}

/// The id of a good event.
fn id(number: u32) -> RequestId {
    uuid::Uuid::from_u128(u128::from(number) + 1).into()
}

/// An event without significance.
const PASTIME: u32 = u32::MAX;

/// One attempt each. In the first life the running ones run until the process dies.
fn good(plot: &Plot, running: &Arc<AtomicU32>) -> Function {
    let (first, running) = (plot.life == 1, running.clone());
    let handler = move |event: Event<u32>| {
        let running = running.clone();
        async move {
            if *event == PASTIME {
                return Ok::<_, String>(());
            }
            running.fetch_add(1, SeqCst);
            let attempt = event.context().attempt();
            voice().say(format_args!("ran {} {attempt}", *event));
            if first {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    };
    Function::new("good", handler)
        .concurrency(plot.running.max(2))
        .retry(RetryPolicy::none())
}

fn bad(manner: Manner) -> Function {
    let handler = move |event: Event<String>| async move {
        assert_eq!(*event, "poison");
        match manner {
            Manner::FailThenAbort if event.context().attempt() < 3 => return Err("not yet"),
            Manner::FailThenAbort => {
                // Once its receipt is here, the earlier calls of the store are durable.
                let client = event.context().client();
                client.invoke("good", PASTIME).await.unwrap();
                std::process::abort()
            }
            Manner::Overflow => drop(deeper(1)),
            Manner::Hang | Manner::Hold => std::future::pending().await,
            Manner::Abort => std::process::abort(),
        }
        Ok(())
    };
    Function::new("bad", handler).retry(RetryPolicy::fixed(2, Duration::ZERO))
}

/// Never comes back.
#[allow(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 1_024]);
    deeper(room[0] + 1) + room[1]
}

/// The letter in a line.
fn told(letter: &DeadLetter) -> String {
    assert_eq!(letter.payload.read::<String>().unwrap(), "poison");
    let attempts = letter
        .attempts
        .iter()
        .map(|attempt| format!("{} {:?}", attempt.number, attempt.failure.kind));
    let attempts: Vec<_> = attempts.collect();
    let crashed = letter.failure().map(|failure| failure.kind) == Some(FailureKind::ProcessCrash);
    assert!(!crashed || letter.condition == Condition::ProcessCrash);
    format!(
        "{} {} {}: {}",
        letter.function,
        letter.condition,
        letter.attempt_count,
        attempts.join(", ")
    )
}
