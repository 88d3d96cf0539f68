//! Ten thousand simulated runs, by seed. For every behaviour of handlers and users over days, each accepted event ends exactly
//! once, and none runs twice at once.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use common::{hush, secs};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use redrive::testing::{Script, Simulation, Step, run};
use redrive::{
    Context, DeadLetter, Destination, Event, Filter, Final, Function, Invoke, Jitter, Purge,
    Redrive, RequestId, RetryAfter, RetryPolicy, Runtime, Shutdown, Stateful, Status, Subscribe,
    Throttled,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The journal of one run.
#[derive(Clone)]
struct Journal(Arc<Mutex<Notes>>);

struct Notes {
    began: Instant,
    running: HashSet<RequestId>,
    /// How often each event ended.
    ends: HashMap<RequestId, u32>,
    faults: Vec<String>,
    log: Vec<(u128, String)>,
}

impl Journal {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Notes {
            began: Instant::now(),
            running: HashSet::new(),
            ends: HashMap::new(),
            faults: Vec::new(),
            log: Vec::new(),
        })))
    }

    fn note(&self, what: String) {
        let mut notes = self.0.lock().unwrap();
        let time = notes.began.elapsed().as_micros();
        notes.log.push((time, what));
    }

    fn ended(&self, id: RequestId, how: &str) {
        self.note(format!("{id} {how}"));
        *self.0.lock().unwrap().ends.entry(id).or_default() += 1;
    }

    fn begin(&self, context: &Context) -> Run {
        let id = context.request_id();
        self.note(format!("{id} runs {}", context.attempt()));
        let mut notes = self.0.lock().unwrap();
        if !notes.running.insert(id) {
            notes.faults.push(format!("{id} runs twice at once"));
        }
        if notes.ends.contains_key(&id) {
            notes.faults.push(format!("{id} runs after its end"));
        }
        Run {
            journal: self.clone(),
            id,
        }
    }
}

/// An event that runs, until it is dropped.
struct Run {
    journal: Journal,
    id: RequestId,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.journal.0.lock().unwrap().running.remove(&self.id);
    }
}

async fn follow(journal: Journal, event: Event<Script>) -> Result<RequestId, AnyError> {
    let _run = journal.begin(event.context());
    let id = event.context().request_id();
    let index = (event.context().attempt() as usize - 1).min(event.0.len() - 1);
    match event.0[index].clone() {
        Step::Fail(text) => Err(text.into()),
        Step::Final(text) => Err(Final::new(text).into()),
        Step::RetryAfter(delay) => Err(RetryAfter::new(delay, "later").into()),
        Step::Throttle => Err(Throttled::new("busy").into()),
        Step::Panic => panic!("as scripted"),
        Step::PanicLater => {
            tokio::task::yield_now().await;
            panic!("as scripted")
        }
        Step::Hang => std::future::pending().await,
        Step::Take(time) => {
            tokio::time::sleep(time).await;
            Ok(id)
        }
        _ => Ok(id),
    }
}

struct State(Journal);

impl Stateful for State {
    type Payload = Script;
    type Output = RequestId;
    type Error = AnyError;

    async fn handle(&mut self, event: Event<Script>) -> Result<RequestId, AnyError> {
        follow(self.0.clone(), event).await
    }
}

struct Undertaker(Journal);

impl Actor for Undertaker {
    type Context = actix::Context<Self>;
}

impl Handler<DeadLetter> for Undertaker {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Self::Context) {
        self.0
            .ended(letter.request_id, &letter.condition.to_string());
    }
}

const NAMES: [&str; 3] = ["plain", "state", "passing"];

fn tune(function: Function, rng: &mut SmallRng) -> Function {
    let policy = match rng.random_range(0..4) {
        0 => RetryPolicy::lambda(),
        1 => RetryPolicy::none(),
        2 => RetryPolicy::fixed(rng.random_range(0..4), Duration::ZERO),
        _ => RetryPolicy::exponential(5, secs(1), secs(3_600)).jitter(Jitter::Full),
    };
    let function = function.concurrency(rng.random_range(1..5)).retry(policy);
    let function = function.mailbox_events_max(rng.random_range(5..40));
    let age = *[60, 600, 21_600].choose(rng).unwrap();
    let idle = secs(rng.random_range(1..100));
    function
        .event_age_max(secs(age))
        .keep_alive(idle)
        .retain(100_000, secs(1 << 32), 1 << 30)
}

/// Its successes go to the journal at once.
fn reporting(function: Function, journal: &Journal) -> Function {
    let journal = journal.clone();
    function.on_success(Destination::closure(move |record| {
        journal.ended(record.request_context.request_id, "succeeded");
    }))
}

/// Its successes are not recorded; the status shows them.
fn plain(journal: &Journal, rng: &mut SmallRng) -> Function {
    let journal = journal.clone();
    tune(
        Function::new("plain", move |event| follow(journal.clone(), event)),
        rng,
    )
}

/// One that comes and goes.
fn passing(journal: &Journal, rng: &mut SmallRng) -> Function {
    let inner = journal.clone();
    let function = Function::new("passing", move |event| follow(inner.clone(), event));
    reporting(tune(function, rng), journal)
}

/// One whose workers often can't start.
fn state(journal: &Journal, rng: &mut SmallRng) -> Function {
    let (inner, chance) = (
        journal.clone(),
        Mutex::new(SmallRng::seed_from_u64(rng.random())),
    );
    let function = Function::stateful("state", move || {
        let (journal, chance) = (inner.clone(), chance.lock().unwrap().random_range(0..10));
        async move {
            match chance {
                0 => panic!("as scripted"),
                1 | 2 => Err("not yet"),
                3 => std::future::pending().await,
                _ => Ok(State(journal)),
            }
        }
    });
    reporting(tune(function, rng), journal)
}

fn script(rng: &mut SmallRng) -> Script {
    let step = |rng: &mut SmallRng| match rng.random_range(0..16) {
        0..=4 => Step::Succeed,
        5 | 6 => Step::Fail("as scripted".into()),
        7 => Step::Final("no".into()),
        8 => Step::RetryAfter(secs(rng.random_range(0..600))),
        9 => Step::Throttle,
        10 | 11 => Step::Panic,
        12 => Step::PanicLater,
        13 => Step::Hang,
        _ => Step::Take(Duration::from_millis(rng.random_range(0..5_000))),
    };
    let length = rng.random_range(1..5);
    Script((0..length).map(|_| step(rng)).collect())
}

/// One run: the actions of its users, and their records.
struct Course {
    rng: SmallRng,
    journal: Journal,
    simulation: Simulation,
    accepted: Vec<RequestId>,
    calls: Vec<JoinHandle<()>>,
    _undertaker: Addr<Undertaker>,
}

impl Course {
    async fn begin(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let journal = Journal::new();
        let builder = Runtime::builder()
            .function(plain(&journal, &mut rng))
            .function(state(&journal, &mut rng))
            .function(passing(&journal, &mut rng));
        let simulation = Simulation::start(seed, builder).await.unwrap();
        let undertaker = Undertaker(journal.clone()).start();
        let subscribe = Subscribe::new(undertaker.clone().recipient());
        simulation
            .runtime()
            .dead_letters()
            .send(subscribe)
            .await
            .unwrap();
        let (accepted, calls) = (Vec::new(), Vec::new());
        Self {
            rng,
            journal,
            simulation,
            accepted,
            calls,
            _undertaker: undertaker,
        }
    }

    fn name(&mut self) -> &'static str {
        NAMES.choose(&mut self.rng).unwrap()
    }

    async fn act(&mut self) {
        let client = self.simulation.client();
        let name = self.name();
        match self.rng.random_range(0..24) {
            0..=7 => {
                let delay = match self.rng.random_range(0..3) {
                    0 => secs(self.rng.random_range(0..30_000)),
                    _ => Duration::ZERO,
                };
                let invoke = Invoke::event(name, script(&mut self.rng)).delay(delay);
                let receipt = client.send(invoke).await;
                self.accepted
                    .extend(receipt.map(|receipt| receipt.request_id));
            }
            8 | 9 => {
                let count = self.rng.random_range(1..12);
                let batch: Vec<_> = (0..count).map(|_| script(&mut self.rng)).collect();
                let receipts = client.invoke_batch(name, batch).await.unwrap_or_default();
                self.accepted
                    .extend(receipts.iter().map(|receipt| receipt.request_id));
            }
            10 | 11 => self.call(name),
            12 => {
                if let Some(&id) = self.accepted.choose(&mut self.rng)
                    && client.cancel(id).await
                {
                    self.journal.ended(id, "cancelled");
                }
            }
            13 => assert!(client.pause(name) || name == "passing"),
            14 => assert!(client.resume(name) || name == "passing"),
            15 => {
                let runtime = self.simulation.runtime();
                if runtime.remove_function("passing").is_err() {
                    runtime
                        .add_function(passing(&self.journal, &mut self.rng))
                        .unwrap();
                }
            }
            16 => {
                let redrive = Redrive::filter(Filter::new().function(name));
                let sent = self
                    .simulation
                    .runtime()
                    .dead_letters()
                    .send(redrive)
                    .await
                    .unwrap();
                self.accepted.extend(sent.sent.iter().map(|(_, new)| *new));
            }
            17 => {
                let purge = Purge(Filter::new().function(name));
                self.simulation
                    .runtime()
                    .dead_letters()
                    .send(purge)
                    .await
                    .unwrap();
            }
            18 => {
                self.simulation
                    .advance(secs(self.rng.random_range(0..20_000)))
                    .await
            }
            19 => {
                self.simulation
                    .advance(secs(self.rng.random_range(0..300)))
                    .await
            }
            20 | 21 => {
                let millis = self.rng.random_range(0..4_000);
                self.simulation.advance(Duration::from_millis(millis)).await;
            }
            _ => self.simulation.settle().await,
        }
        self.simulation.assert_nothing_lost();
    }

    fn call(&mut self, name: &'static str) {
        let (client, script) = (self.simulation.client(), script(&mut self.rng));
        let patience = secs(*[0, 2, 1_000_000].choose(&mut self.rng).unwrap());
        self.calls.push(tokio::task::spawn_local(async move {
            let call = client.call::<RequestId>(name, script);
            let _ = tokio::time::timeout(patience, call).await;
        }));
    }

    /// Lets everything come to its end.
    async fn rest(mut self) -> Journal {
        let client = self.simulation.client();
        for name in NAMES {
            client.resume(name);
        }
        self.simulation.advance(secs(2 * 86_400)).await;
        self.simulation.assert_nothing_lost();
        for name in client.functions() {
            let stats = self.simulation.stats(name.as_str());
            let pending = stats.events.pending() + stats.calls.pending();
            assert_eq!(pending, 0, "{name}: {stats:?}");
        }
        assert!(
            self.calls.iter().all(JoinHandle::is_finished),
            "a call hangs"
        );
        let mut ends = self.take_ends().await;
        for id in &self.accepted {
            assert_eq!(ends.remove(id), Some(1), "ends of {id}");
        }
        assert!(ends.is_empty(), "events that nobody sent: {ends:?}");
        self.journal.clone()
    }

    /// Shuts the runtime down while all goes on.
    async fn stop(mut self) -> Journal {
        let grace = secs(self.rng.random_range(0..30));
        let mut shutdown = Shutdown::new(grace);
        if self.rng.random() {
            shutdown = shutdown.drain_mailboxes();
        }
        let mut ends = {
            let client = self.simulation.client();
            let (simulation, journal) = (self.simulation, self.journal.clone());
            let report = simulation.into_runtime().shutdown(shutdown).await;
            tokio::time::sleep(secs(3_600)).await;
            let mut ends = ends(&journal, &self.accepted, &client).await;
            let letters: HashSet<_> = report.dead_letters.iter().map(|l| l.request_id).collect();
            for event in &report.unfinished {
                assert!(!letters.contains(&event.request_id), "named twice");
                // One that was given up after the report was written may have both.
                ends.entry(event.request_id).or_insert(1);
            }
            ends
        };
        for id in &self.accepted {
            assert_eq!(ends.remove(id), Some(1), "ends of {id}");
        }
        assert!(
            self.calls.iter().all(JoinHandle::is_finished),
            "a call hangs"
        );
        self.journal
    }

    async fn take_ends(&mut self) -> HashMap<RequestId, u32> {
        ends(&self.journal, &self.accepted, &self.simulation.client()).await
    }
}

/// How often each event ended, as far as the journal or its status knows.
async fn ends(
    journal: &Journal,
    accepted: &[RequestId],
    client: &redrive::Client,
) -> HashMap<RequestId, u32> {
    let mut ends = journal.0.lock().unwrap().ends.clone();
    for &id in accepted {
        if let Some(Status::Succeeded { result, .. }) = client.status(id).await {
            assert_eq!(result.read::<RequestId>().unwrap(), id);
            ends.entry(id).or_insert(1);
        }
    }
    ends
}

/// Runs one seed. Returns the events of the run with their times.
fn course(seed: u64) -> Vec<(u128, String)> {
    hush();
    let journal = run(async {
        let mut course = Course::begin(seed).await;
        for _ in 0..course.rng.random_range(5..40) {
            course.act().await;
        }
        if course.rng.random_range(0..4) == 0 {
            course.stop().await
        } else {
            course.rest().await
        }
    });
    let notes = journal.0.lock().unwrap();
    assert!(notes.faults.is_empty(), "{:?}", notes.faults);
    assert!(
        notes.running.is_empty(),
        "still running: {:?}",
        notes.running
    );
    notes.log.clone()
}

fn courses(seeds: Range<u64>) {
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| course(seed));
        assert!(outcome.is_ok(), "seed {seed} failed");
    }
}

#[test]
fn every_event_ends_exactly_once_seeds_0_to_2500() {
    courses(0..2_500);
}

#[test]
fn every_event_ends_exactly_once_seeds_2500_to_5000() {
    courses(2_500..5_000);
}

#[test]
fn every_event_ends_exactly_once_seeds_5000_to_7500() {
    courses(5_000..7_500);
}

#[test]
fn every_event_ends_exactly_once_seeds_7500_to_10000() {
    courses(7_500..10_000);
}

#[test]
fn one_seed_always_gives_the_same_run() {
    for seed in 0..50 {
        let (first, second) = (course(seed), course(seed));
        let difference = first.iter().zip(&second).find(|(one, other)| one != other);
        assert_eq!(difference, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
