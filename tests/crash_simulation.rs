//! Ten thousand simulated runs over processes that die. For every behaviour of handlers, users, disk and operating system, each
//! event with a receipt ends, and none is known to have ended in two ways.
#![cfg(all(feature = "testing", feature = "disk"))]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{hush, secs};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use redrive::store::EventStore;
use redrive::testing::{Script, SimulatedDisk, Simulation, Step, run};
use redrive::{
    Durability, Event, Filter, Final, Function, Idempotency, Invoke, List, Redrive, RequestId,
    RetryPolicy, Runtime, Shutdown, Status, StoreErrorKind,
};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The observations of the handlers, over all processes.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    process: u32,
    running: HashSet<RequestId>,
    /// The process in which each event succeeded last.
    succeeded: HashMap<RequestId, u32>,
    /// The trace of each event (XRY-04).
    traces: HashMap<RequestId, String>,
    /// How often each key's work was done.
    done: HashMap<u32, u32>,
    faults: Vec<String>,
}

/// An event's script, and the key of its work.
type Payload = (Script, u32);

struct Run(Journal, RequestId);

impl Drop for Run {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().running.remove(&self.1);
    }
}

impl Journal {
    fn begin(&self, event: &Event<Payload>, retries: u32) -> Run {
        let id = event.context().request_id();
        let mut notes = self.0.lock().unwrap();
        if !notes.running.insert(id) {
            notes.faults.push(format!("{id} runs twice at once"));
        }
        if notes.succeeded.get(&id) == Some(&notes.process) {
            notes
                .faults
                .push(format!("{id} runs after its end, in one process"));
        }
        let trace = event.context().trace_header().into_owned();
        let first = notes.traces.entry(id).or_insert_with(|| trace.clone());
        if *first != trace {
            let fault = format!("{id} belonged to {first} before, and to {trace} now");
            notes.faults.push(fault);
        }
        let attempt = event.context().attempt();
        if attempt > retries + 1 {
            notes
                .faults
                .push(format!("{id} has attempt {attempt}, and {retries} retries"));
        }
        Run(self.clone(), id)
    }

    fn succeeded(&self, event: &Event<Payload>) {
        let mut notes = self.0.lock().unwrap();
        let process = notes.process;
        notes
            .succeeded
            .insert(event.context().request_id(), process);
        *notes.done.entry(event.1).or_default() += 1;
    }
}

const RETRIES: u32 = 2;

async fn follow(journal: Journal, event: Event<Payload>) -> Result<RequestId, AnyError> {
    let _run = journal.begin(&event, RETRIES);
    let steps = &event.0.0;
    let index = (event.context().attempt() as usize - 1).min(steps.len() - 1);
    match steps[index].clone() {
        Step::Fail(text) => return Err(text.into()),
        Step::Final(text) => return Err(Final::new(text).into()),
        Step::Panic => panic!("as scripted"),
        Step::Take(time) => tokio::time::sleep(time).await,
        _ => {}
    }
    journal.succeeded(&event);
    Ok(event.context().request_id())
}

fn function(name: &str, journal: &Journal, rng: &mut SmallRng) -> Function {
    let journal = journal.clone();
    let delay = *[Duration::ZERO, secs(1), secs(60)].choose(rng).unwrap();
    let function = Function::new(name, move |event| follow(journal.clone(), event));
    let function = function.retry(RetryPolicy::fixed(RETRIES, delay));
    function
        .concurrency(rng.random_range(1..5))
        .window(rng.random_range(1..20))
        .retain(100_000, secs(1 << 32), 1 << 30)
}

fn script(rng: &mut SmallRng) -> Script {
    let step = |rng: &mut SmallRng| match rng.random_range(0..10) {
        0..=3 => Step::Succeed,
        4 | 5 => Step::Fail("as scripted".into()),
        6 => Step::Final("no".into()),
        7 => Step::Panic,
        _ => Step::Take(Duration::from_millis(rng.random_range(0..2_500))),
    };
    let length = rng.random_range(1..4);
    Script((0..length).map(|_| step(rng)).collect())
}

/// One course, over as many processes as it takes.
struct Course {
    rng: SmallRng,
    seed: u64,
    disk: SimulatedDisk,
    journal: Journal,
    simulation: Option<Simulation>,
    /// Events that must end in every case.
    kept: HashSet<RequestId>,
    cancelled: HashSet<RequestId>,
    /// Those whose cancellation is durable.
    never_runs: HashSet<RequestId>,
    /// The outcomes of the events that dead letters were redriven as.
    keys: HashMap<String, RequestId>,
    payloads: u32,
}

async fn start(
    seed: u64,
    disk: &SimulatedDisk,
    journal: &Journal,
    rng: &mut SmallRng,
) -> Simulation {
    journal.0.lock().unwrap().process += 1;
    let once =
        function("once", journal, rng).idempotent(Idempotency::by(|payload: &Payload| payload.1));
    let builder = Runtime::builder()
        .function(function("plain", journal, rng))
        .function(once)
        .process_deaths_max(1_000_000)
        .store(opened(disk));
    Simulation::start(seed, builder).await.unwrap()
}

/// A later fault may hit the opening of the store. Then the process is started again.
fn opened(disk: &SimulatedDisk) -> Arc<dyn EventStore> {
    let tries = (0..5).map(|_| disk.open());
    let opened = tries.filter_map(|tried| {
        if let Err(error) = &tried {
            assert_eq!(error.kind(), StoreErrorKind::Failed, "{error}");
        }
        tried.ok()
    });
    opened.take(1).next().expect("it can be opened")
}

impl Course {
    async fn begin(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (disk, journal) = (SimulatedDisk::new(seed), Journal::default());
        let simulation = start(seed, &disk, &journal, &mut rng).await;
        Self {
            rng,
            seed,
            disk,
            journal,
            simulation: Some(simulation),
            kept: HashSet::new(),
            cancelled: HashSet::new(),
            never_runs: HashSet::new(),
            keys: HashMap::new(),
            payloads: 0,
        }
    }

    /// The process that lives.
    fn now(&self) -> &Simulation {
        self.simulation.as_ref().unwrap()
    }

    fn payload(&mut self) -> Payload {
        self.payloads += 1;
        (script(&mut self.rng), self.payloads)
    }

    async fn act(&mut self) {
        let client = self.now().client();
        let name = *["plain", "once"].choose(&mut self.rng).unwrap();
        let what = self.rng.random_range(0..24);
        match what {
            0..=6 => {
                let mut invoke = Invoke::event(name, self.payload());
                if self.rng.random_range(0..3) == 0 {
                    invoke = invoke.delay(secs(self.rng.random_range(0..300)));
                }
                // An event that is safe against kills only must survive a kill, and the test also cuts the power.
                if let Ok(receipt) = client.send(invoke).await {
                    assert_eq!(receipt.durability, Durability::Disk);
                    self.kept.insert(receipt.request_id);
                }
            }
            7..=9 => {
                let count = self.rng.random_range(1..30);
                let batch: Vec<_> = (0..count).map(|_| self.payload()).collect();
                let receipts = client.invoke_batch(name, batch).await.unwrap_or_default();
                self.kept
                    .extend(receipts.iter().map(|receipt| receipt.request_id));
            }
            10 | 11 => {
                let key = format!("key-{}", self.rng.random_range(0..5));
                let invoke =
                    Invoke::event("plain", self.payload()).deduplicate(&*key, secs(1 << 32));
                if let Ok(receipt) = client.send(invoke).await {
                    assert_eq!(receipt.duplicate, self.keys.contains_key(&key), "{key}");
                    assert_eq!(
                        receipt.request_id,
                        *self.keys.entry(key).or_insert(receipt.request_id)
                    );
                    // The first one may have been redriven since, as another.
                    if !receipt.duplicate {
                        self.kept.insert(receipt.request_id);
                    }
                }
            }
            12 => {
                let ids: Vec<_> = self.kept.iter().copied().collect();
                if let Some(&id) = ids.iter().max().filter(|_| self.rng.random())
                    && client.cancel(id).await
                {
                    // It may run all the same if the process dies before that is on the disk.
                    self.cancelled.insert(id);
                    if self.rng.random() && client.sync().await.is_ok() {
                        self.never_runs.insert(id);
                    }
                }
            }
            13 => {
                let redrive = Redrive::filter(Filter::new().function(name));
                let queue = self.now().runtime().dead_letters();
                for (old, new) in queue.send(redrive).await.unwrap().sent {
                    self.kept.remove(&old);
                    self.kept.insert(new);
                }
            }
            14 => {
                self.disk.room(Some(self.rng.random_range(0..2_000)));
                self.now().settle().await;
                let refused = client.invoke(name, self.payload()).await;
                self.kept.extend(refused.map(|receipt| receipt.request_id));
                self.disk.room(None);
            }
            15 => {
                self.disk.fail_sync(self.rng.random_range(1..4));
                for _ in 0..4 {
                    let receipt = client.invoke(name, self.payload()).await;
                    self.kept.extend(receipt.map(|receipt| receipt.request_id));
                }
                self.restart().await;
            }
            16 | 17 => self.restart().await,
            18 => {
                let time = secs(self.rng.random_range(0..200));
                self.now().advance(time).await
            }
            19 | 20 => {
                let millis = self.rng.random_range(0..4_000);
                self.now().advance(Duration::from_millis(millis)).await;
            }
            _ => self.now().settle().await,
        }
        self.now().assert_nothing_lost();
    }

    /// The process ends, one way or another, and the next one begins.
    async fn restart(&mut self) {
        let how = self.rng.random_range(0..4);
        match how {
            0 => self.disk.cut_power(self.rng.random()),
            1 | 2 => self.disk.kill(),
            _ => {}
        }
        self.seed += 1 << 32;
        if let Some(before) = self.simulation.take() {
            let shutdown = before
                .into_runtime()
                .shutdown(Shutdown::new(Duration::ZERO));
            drop(shutdown.await);
        }
        self.journal.0.lock().unwrap().running.clear();
        let next = start(self.seed, &self.disk, &self.journal, &mut self.rng).await;
        self.simulation = Some(next);
    }

    /// Lets everything come to its end.
    async fn rest(mut self) -> Journal {
        self.disk.mend();
        self.restart().await;
        self.now().advance(secs(86_400)).await;
        self.now().assert_nothing_lost();
        for name in ["plain", "once"] {
            let stats = self.now().stats(name);
            assert_eq!(stats.events.pending(), 0, "{name}: {stats:?}");
        }
        let queue = self.now().runtime().dead_letters();
        let letters = queue
            .send(List::new(Filter::new()).limit(1_000_000))
            .await
            .unwrap()
            .letters;
        let letters: HashSet<_> = letters.iter().map(|letter| letter.request_id).collect();
        let client = self.now().client();
        for id in &self.kept {
            let status = client.status(*id).await;
            if self.never_runs.contains(id) {
                assert!(
                    matches!(status, Some(Status::Cancelled)),
                    "{id} was cancelled"
                );
            }
            match &status {
                Some(Status::Succeeded { result, .. }) => {
                    assert!(!letters.contains(id), "{id} succeeded and is dead");
                    // An execution's result may be another event's: the keys are each event's own here.
                    assert_eq!(result.read::<RequestId>().unwrap(), *id);
                }
                Some(Status::Dead(_)) => {
                    assert!(letters.contains(id), "{id} is dead and has no letter")
                }
                Some(Status::Cancelled) => {
                    assert!(self.cancelled.contains(id), "nobody cancelled {id}")
                }
                other => panic!("{id} has a receipt and came to {other:?}"),
            }
        }
        self.journal.clone()
    }
}

fn course(seed: u64) {
    hush();
    let journal = run(async {
        let mut course = Course::begin(seed).await;
        for _ in 0..course.rng.random_range(5..25) {
            course.act().await;
        }
        course.rest().await
    });
    let notes = journal.0.lock().unwrap();
    assert!(notes.faults.is_empty(), "{:?}", notes.faults);
}

fn courses(seeds: Range<u64>) {
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| course(seed));
        assert!(outcome.is_ok(), "seed {seed} failed");
    }
}

#[test]
fn every_event_with_a_receipt_ends_across_crashes_seeds_0_to_2500() {
    courses(0..2_500);
}

#[test]
fn every_event_with_a_receipt_ends_across_crashes_seeds_2500_to_5000() {
    courses(2_500..5_000);
}

#[test]
fn every_event_with_a_receipt_ends_across_crashes_seeds_5000_to_7500() {
    courses(5_000..7_500);
}

#[test]
fn every_event_with_a_receipt_ends_across_crashes_seeds_7500_to_10000() {
    courses(7_500..10_000);
}
