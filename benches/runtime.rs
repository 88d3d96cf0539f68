//! One table: what accepting and running costs, next to the same work on bare tokio and actix in the same run.
//!
//! `cargo bench` runs all of it; `cargo bench -- throughput latency memory` only what is named.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use redrive::{Client, Event, Function, Invoke, RestartIntensity, RetryPolicy, Runtime, Shutdown};
use serde::{Deserialize, Serialize};

/// The job of every contender: a `String` and a 64-byte `Vec`.
#[derive(Clone, Serialize, Deserialize)]
struct Job {
    key: String,
    body: Vec<u8>,
}

impl Job {
    fn new() -> Self {
        Self { key: "thumbnail".to_owned(), body: vec![7; 64] }
    }
}

/// What every contender does with a job, and how the bench knows that all are done.
#[derive(Default)]
struct Sink {
    done: AtomicU64,
    goal: AtomicU64,
    reached: tokio::sync::Notify,
}

impl Sink {
    fn new(goal: u64) -> Arc<Self> {
        let sink = Self::default();
        sink.goal.store(goal, Ordering::Relaxed);
        Arc::new(sink)
    }

    fn take(&self, job: &Job) {
        std::hint::black_box(job.body.len() + job.key.len());
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.goal.load(Ordering::Relaxed) {
            self.reached.notify_one();
        }
    }

    async fn wait(&self) {
        self.reached.notified().await;
    }
}

const EVENTS: u64 = 2_000_000;
const ROUNDS: usize = 5;

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |section: &str| only.is_empty() || only.iter().any(|name| name == section);
    println!("| measure | value | ratio |\n|---|---:|---:|");
    if let Some(events) = only.first().and_then(|name| name.strip_prefix("only-client-")) {
        println!("{}", client(events.parse().unwrap()) / 1e6);
        return;
    }
    if wanted("throughput") {
        throughput();
    }
    if wanted("accept") {
        accept();
    }
}

fn row(measure: &str, value: impl std::fmt::Display, ratio: impl std::fmt::Display) {
    println!("| {measure} | {value} | {ratio} |");
}

fn in_system<R>(work: impl Future<Output = R>) -> R {
    System::new().block_on(work)
}

fn rate(events: u64, started: Instant) -> f64 {
    events as f64 / started.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn millions(rate: f64) -> String {
    format!("{:.2} M/s", rate / 1e6)
}

// --- end to end

type Contender = (&'static str, fn() -> f64);

fn throughput() {
    let contenders: [Contender; 8] = [
        ("bare `tokio::spawn` per job", spawn_per_job),
        ("bare actix actor, `do_send`", bare_actor),
        ("tokio channel, 2 worker tasks", channel),
        ("redrive, `Client`, 1 producer", || client(1)),
        ("redrive, `Client`, 4 producers", || client(4)),
        ("redrive, `Router::do_send`, 1 producer", || router(1)),
        ("redrive, `Router::do_send`, 4 producers", || router(4)),
        ("redrive, 10 % failing once, 1 % three times", failing),
    ];
    let mut rates = vec![Vec::new(); contenders.len()];
    // In turn, so that a drift of the machine meets all of them.
    for round in 0..=ROUNDS {
        for ((_, run), rates) in contenders.iter().zip(&mut rates) {
            let rate = run();
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let rates: Vec<f64> = rates.into_iter().map(median).collect();
    for ((name, _), rate) in contenders.iter().zip(&rates) {
        let ratios = format!("{:.2}× spawn, {:.2}× actor", rate / rates[0], rate / rates[1]);
        row(&format!("end to end: {name}"), millions(*rate), ratios);
    }
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn spawn_per_job() -> f64 {
    let sink = Sink::new(EVENTS);
    tokio_runtime().block_on(async {
        let started = Instant::now();
        let producer = sink.clone();
        tokio::spawn(async move {
            for _ in 0..EVENTS {
                let (job, sink) = (Job::new(), producer.clone());
                tokio::spawn(async move { sink.take(&job) });
            }
        });
        sink.wait().await;
        rate(EVENTS, started)
    })
}

fn channel() -> f64 {
    let sink = Sink::new(EVENTS);
    tokio_runtime().block_on(async {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Job>();
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        for _ in 0..2 {
            let (receiver, sink) = (receiver.clone(), sink.clone());
            tokio::spawn(async move {
                loop {
                    let Some(job) = receiver.lock().await.recv().await else { return };
                    sink.take(&job);
                }
            });
        }
        let started = Instant::now();
        tokio::spawn(async move {
            for _ in 0..EVENTS {
                let _ = sender.send(Job::new());
            }
        });
        sink.wait().await;
        rate(EVENTS, started)
    })
}

#[derive(Message)]
#[rtype(result = "()")]
struct Do(Job);

struct Bare(Arc<Sink>);

impl Actor for Bare {
    type Context = Context<Self>;
}

impl Handler<Do> for Bare {
    type Result = ();

    fn handle(&mut self, Do(job): Do, _: &mut Self::Context) {
        self.0.take(&job);
    }
}

fn bare_actor() -> f64 {
    in_system(async {
        let sink = Sink::new(EVENTS);
        let arbiter = Arbiter::new();
        let worker = sink.clone();
        let actor = Bare::start_in_arbiter(&arbiter.handle(), |_| Bare(worker));
        let started = Instant::now();
        for _ in 0..EVENTS {
            actor.do_send(Do(Job::new()));
        }
        sink.wait().await;
        let rate = rate(EVENTS, started);
        arbiter.stop();
        rate
    })
}

fn job(sink: Arc<Sink>) -> Function {
    Function::new("job", move |event: Event<Job>| {
        let sink = sink.clone();
        async move {
            sink.take(&event);
            Ok::<(), std::convert::Infallible>(())
        }
    })
    .mailbox_events_max(20_000_000)
    .mailbox_bytes_max(u64::MAX)
}

async fn start(function: Function) -> Runtime {
    Runtime::builder().function(function).start().await.expect("the settings are sound")
}

async fn stop(runtime: Runtime) {
    let _ = runtime.shutdown(Shutdown::new(Duration::from_secs(5))).await;
}

async fn produce(client: Client, events: u64) {
    for _ in 0..events {
        client.invoke("job", Job::new()).await.expect("there is room");
    }
}

/// The producers are threads of their own, unless there is one.
async fn from_producers(producers: u64, produce: impl Fn(u64) + Send + Clone + 'static) {
    if producers == 1 {
        return produce(EVENTS);
    }
    for _ in 0..producers {
        let produce = produce.clone();
        std::thread::spawn(move || produce(EVENTS / producers));
    }
}

fn client(producers: u64) -> f64 {
    in_system(async move {
        let sink = Sink::new(EVENTS);
        let runtime = start(job(sink.clone())).await;
        let client = runtime.client();
        let started = Instant::now();
        from_producers(producers, move |events| futures_util::FutureExt::now_or_never(produce(client.clone(), events)).unwrap()).await;
        sink.wait().await;
        let rate = rate(EVENTS, started);
        stop(runtime).await;
        rate
    })
}

fn router(producers: u64) -> f64 {
    in_system(async move {
        let sink = Sink::new(EVENTS);
        let runtime = start(job(sink.clone())).await;
        let router = runtime.router();
        let started = Instant::now();
        let send = move |events| (0..events).for_each(|_| router.do_send(Invoke::event("job", Job::new())));
        from_producers(producers, send).await;
        sink.wait().await;
        let rate = rate(EVENTS, started);
        stop(runtime).await;
        rate
    })
}

/// 10 % of events fail once, 1 % three times; no delay. Checks the counts.
fn failing() -> f64 {
    let events = EVENTS / 2;
    in_system(async move {
        let sink = Sink::new(events);
        let counter = AtomicU64::new(0);
        let worker = sink.clone();
        let function = Function::new("job", move |event: Event<(u64, Job)>| {
            let fails = match event.0 % 100 {
                0 => 3,
                1..=10 => 1,
                _ => 0,
            };
            let failed = event.context().attempt() <= fails;
            if !failed || event.context().attempt() == 3 {
                worker.take(&event.1);
            }
            async move { if failed { Err("not yet") } else { Ok(()) } }
        })
        .retry(RetryPolicy::fixed(2, Duration::ZERO))
        .restarts(RestartIntensity::unlimited())
        .mailbox_events_max(20_000_000)
        .mailbox_bytes_max(u64::MAX);
        let runtime = start(function).await;
        let client = runtime.client();
        let started = Instant::now();
        for _ in 0..events {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            client.invoke("job", (number, Job::new())).await.expect("there is room");
        }
        sink.wait().await;
        let rate = rate(events, started);
        while client.stats().events.pending() > 0 {
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
        let stats = client.stats();
        assert_eq!((stats.events.succeeded, stats.events.dead), (events * 99 / 100, events / 100));
        assert_eq!(stats.errors, events / 10 + events * 3 / 100);
        stop(runtime).await;
        rate
    })
}

// --- accepting

fn accept() {
    let costs = in_system(async {
        let runtime = start(job(Sink::new(u64::MAX))).await;
        let client = runtime.client();
        client.pause("job");
        let mut costs = Vec::new();
        for _ in 0..10_000 {
            let jobs: Vec<Job> = (0..100).map(|_| Job::new()).collect();
            let started = Instant::now();
            for job in jobs {
                client.invoke("job", job).await.expect("there is room");
            }
            costs.push(started.elapsed().as_nanos() as f64 / 100.0);
        }
        stop(runtime).await;
        costs
    });
    row("accept, median of batches of 100", format!("{:.0} ns", median(costs)), "");
}
