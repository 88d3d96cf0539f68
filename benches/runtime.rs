//! One table: the cost of accepting and running events, beside the same work on bare tokio and actix in the same run.
//!
//! `cargo bench --bench runtime` runs all of it; `… -- throughput latency memory` only the named parts.

mod parts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use parts::{header, in_its_own_process, in_system, median, millions, rate, resident, row, wanted};
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
        Self {
            key: "thumbnail".to_owned(),
            body: vec![7; 64],
        }
    }
}

/// The work of every contender for a job, and the count by which the bench knows that all are done.
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
    match parts::part().as_deref() {
        Some("queued") => return queued(),
        Some("functions") => return functions(),
        Some("delayed") => return delayed(),
        Some(contender) => return contend(contender),
        None => {}
    }
    header();
    if wanted("throughput") {
        throughput();
    }
    if wanted("accept") {
        accept();
    }
    if wanted("latency") {
        latency();
        loaded_latency();
    }
    if wanted("memory") {
        print!("{}", in_its_own_process("queued"));
        print!("{}", in_its_own_process("functions"));
    }
    if wanted("delayed") {
        print!("{}", in_its_own_process("delayed"));
    }
}

// --- end to end

type Contender = (&'static str, fn() -> f64);

const CONTENDERS: [Contender; 8] = [
    ("bare `tokio::spawn` per job", spawn_per_job),
    ("bare actix actor, `do_send`", bare_actor),
    ("tokio channel, 2 worker tasks", channel),
    ("redrive, `Client`, 1 producer", || client(1)),
    ("redrive, `Client`, 4 producers", || client(4)),
    ("redrive, `Router::do_send`, 1 producer", || router(1)),
    ("redrive, `Router::do_send`, 4 producers", || router(4)),
    ("redrive, 10 % failing once, 1 % three times", failing),
];

/// One contender's rates, but for that of its first round.
fn contend(name: &str) {
    let (_, run) = CONTENDERS
        .iter()
        .find(|(contender, _)| *contender == name)
        .expect("it is one of the contenders");
    run();
    println!("{}", run());
}

fn throughput() {
    let mut rates = vec![Vec::new(); CONTENDERS.len()];
    // In turn, so that a drift of the machine meets all of them.
    for _ in 0..ROUNDS {
        for ((name, _), rates) in CONTENDERS.iter().zip(&mut rates) {
            let rate = in_its_own_process(name);
            rates.push(rate.trim().parse().expect("it prints its rate"));
        }
    }
    let rates: Vec<f64> = rates.into_iter().map(median).collect();
    for ((name, _), rate) in CONTENDERS.iter().zip(&rates) {
        let ratios = format!(
            "{:.2}× spawn, {:.2}× actor",
            rate / rates[0],
            rate / rates[1]
        );
        row(&format!("end to end: {name}"), millions(*rate), ratios);
    }
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
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
                    let Some(job) = receiver.lock().await.recv().await else {
                        return;
                    };
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
    Runtime::builder()
        .function(function)
        .start()
        .await
        .expect("the settings are sound")
}

async fn stop(runtime: Runtime) {
    let _ = runtime
        .shutdown(Shutdown::new(Duration::from_secs(5)))
        .await;
}

async fn produce(client: Client, events: u64) {
    for _ in 0..events {
        client
            .invoke("job", Job::new())
            .await
            .expect("there is room");
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
        from_producers(producers, move |events| {
            futures_util::FutureExt::now_or_never(produce(client.clone(), events)).unwrap()
        })
        .await;
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
        let send = move |events| {
            (0..events).for_each(|_| router.do_send(Invoke::event("job", Job::new())))
        };
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
            client
                .invoke("job", (number, Job::new()))
                .await
                .expect("there is room");
        }
        sink.wait().await;
        let rate = rate(events, started);
        while client.stats().events.pending() > 0 {
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
        let stats = client.stats();
        assert_eq!(
            (stats.events.succeeded, stats.events.dead),
            (events * 99 / 100, events / 100)
        );
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
    row(
        "accept, median of batches of 100",
        format!("{:.0} ns", median(costs)),
        "",
    );
}

// --- latency

/// From the caller to the handler, when the worker is idle.
fn latency() {
    let ours = in_system(async {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Instant>();
        let function = Function::new("job", move |_: Event<Job>| {
            let _ = sender.send(Instant::now());
            async { Ok::<(), std::convert::Infallible>(()) }
        });
        let runtime = start(function).await;
        let client = runtime.client();
        let mut times = Vec::new();
        for _ in 0..20_000 {
            let started = Instant::now();
            client
                .invoke("job", Job::new())
                .await
                .expect("there is room");
            let ran = receiver.recv().await.expect("the handler sends");
            times.push((ran - started).as_nanos() as f64);
        }
        stop(runtime).await;
        times.split_off(1_000)
    });
    let bare = in_system(async {
        let arbiter = Arbiter::new();
        let (to, mut inbox) = tokio::sync::mpsc::unbounded_channel::<Job>();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Instant>();
        arbiter.spawn(async move {
            while inbox.recv().await.is_some() {
                let _ = sender.send(Instant::now());
            }
        });
        let mut times = Vec::new();
        for _ in 0..20_000 {
            let started = Instant::now();
            let _ = to.send(Job::new());
            let ran = receiver.recv().await.expect("the task sends");
            times.push((ran - started).as_nanos() as f64);
        }
        arbiter.stop();
        times.split_off(1_000)
    });
    let same = in_system(async {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let sender = std::sync::Mutex::new(Some(sender));
        let times = Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = times.clone();
        let pong = Function::new("pong", move |event: Event<u64>| {
            kept.lock()
                .unwrap()
                .push(NOW.with(|now| now.get().elapsed()).as_nanos() as f64);
            let done = *event == 0;
            if done {
                let _ = sender.lock().unwrap().take().map(|sender| sender.send(()));
            }
            async { Ok::<(), std::convert::Infallible>(()) }
        });
        let ping = Function::new("ping", |event: Event<u64>| async move {
            let client = event.context().client();
            for left in (0..*event).rev() {
                NOW.with(|now| now.set(Instant::now()));
                client.invoke("pong", left).await.expect("there is room");
                // Lets the other worker on this arbiter run.
                tokio::task::yield_now().await;
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let builder = Runtime::builder()
            .arbiters(1)
            .function(ping.timeout(Duration::from_secs(60)))
            .function(pong.concurrency(1));
        let runtime = builder.start().await.expect("the settings are sound");
        runtime
            .client()
            .invoke("ping", 20_000_u64)
            .await
            .expect("there is room");
        receiver.await.expect("pong ends");
        stop(runtime).await;
        let mut times = std::mem::take(&mut *times.lock().unwrap());
        times.split_off(1_000)
    });
    let (mut ours, mut bare, mut same) = (ours, bare, same);
    for (name, quantile) in QUANTILES {
        let (ours, bare, same) = (
            at(&mut ours, quantile),
            at(&mut bare, quantile),
            at(&mut same, quantile),
        );
        row(
            &format!("hand-over to an idle worker on another arbiter, {name}"),
            format!("{:.1} µs", ours / 1e3),
            format!("{:.2}× bare wake", ours / bare),
        );
        row(
            &format!("hand-over to an idle worker on the same arbiter, {name}"),
            format!("{:.2} µs", same / 1e3),
            "",
        );
    }
}

const QUANTILES: [(&str, f64); 2] = [("median", 0.5), ("p99", 0.99)];

fn at(times: &mut [f64], quantile: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() as f64 * quantile) as usize]
}

/// How long each job was on its way, by the time that it carries.
struct Journeys {
    epoch: Instant,
    times: std::sync::Mutex<Vec<f64>>,
}

impl Journeys {
    const PER_SECOND: u64 = 200_000;
    const COUNT: u64 = 2 * Self::PER_SECOND;

    fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            times: std::sync::Mutex::new(Vec::with_capacity(Self::COUNT as usize)),
        })
    }

    fn ended(&self, began: u64) {
        let took = self.epoch.elapsed().as_nanos() as u64 - began;
        self.times.lock().unwrap().push(took as f64);
    }

    /// Begins a journey every 5 µs from a separate thread, without waiting for earlier ones. Returns the times.
    async fn all(self: Arc<Self>, begin: impl Fn(u64) + Send + 'static) -> Vec<f64> {
        let journeys = self.clone();
        std::thread::spawn(move || {
            for number in 0..Self::COUNT {
                let due = Duration::from_nanos(number * 1_000_000_000 / Self::PER_SECOND);
                while journeys.epoch.elapsed() < due {
                    std::hint::spin_loop();
                }
                begin(journeys.epoch.elapsed().as_nanos() as u64);
            }
        });
        while self.times.lock().unwrap().len() < Self::COUNT as usize {
            actix_rt::time::sleep(Duration::from_millis(10)).await;
        }
        let mut times = std::mem::take(&mut *self.times.lock().unwrap());
        times.split_off(times.len() / 10)
    }
}

/// From the caller to the handler, while a steady stream comes in.
fn loaded_latency() {
    let ours = in_system(async {
        let journeys = Journeys::new();
        let ended = journeys.clone();
        let function = Function::new("job", move |event: Event<u64>| {
            ended.ended(*event);
            async { Ok::<(), std::convert::Infallible>(()) }
        });
        let runtime = start(function).await;
        let client = runtime.client();
        let begin = move |began| {
            let accepted = futures_util::FutureExt::now_or_never(client.invoke("job", began));
            accepted.unwrap().expect("there is room");
        };
        let times = journeys.all(begin).await;
        stop(runtime).await;
        times
    });
    let bare = in_system(async {
        let journeys = Journeys::new();
        let arbiter = Arbiter::new();
        let ended = journeys.clone();
        let actor = Timed::start_in_arbiter(&arbiter.handle(), |_| Timed(ended));
        let times = journeys.all(move |began| actor.do_send(Time(began))).await;
        arbiter.stop();
        times
    });
    let (mut ours, mut bare) = (ours, bare);
    for (name, quantile) in QUANTILES {
        let (ours, bare) = (at(&mut ours, quantile), at(&mut bare, quantile));
        row(
            &format!("from caller to handler at 200,000 events/s, {name}"),
            format!("{:.1} µs", ours / 1e3),
            format!("{:.2}× actor", ours / bare),
        );
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Time(u64);

struct Timed(Arc<Journeys>);

impl Actor for Timed {
    type Context = Context<Self>;
}

impl Handler<Time> for Timed {
    type Result = ();

    fn handle(&mut self, Time(began): Time, _: &mut Self::Context) {
        self.0.ended(began);
    }
}

thread_local! {
    static NOW: std::cell::Cell<Instant> = std::cell::Cell::new(Instant::now());
}

// --- memory

fn queued() {
    const QUEUED: u64 = 1_000_000;
    in_system(async {
        let runtime = start(job(Sink::new(u64::MAX))).await;
        let client = runtime.client();
        client.pause("job");
        client
            .invoke("job", Job::new())
            .await
            .expect("there is room");
        let before = resident();
        produce(client, QUEUED).await;
        let queued = resident() - before;
        let before = resident();
        let jobs: Vec<Box<Job>> = (0..QUEUED).map(|_| Box::new(Job::new())).collect();
        let bare = resident() - before - (QUEUED * 8) as f64;
        drop(jobs);
        row(
            "memory per queued event at 1 M, beyond its payload",
            format!("{:.0} bytes", (queued - bare) / QUEUED as f64),
            "",
        );
        stop(runtime).await;
    });
}

fn functions() {
    const FUNCTIONS: usize = 100_000;
    in_system(async {
        let before = resident();
        let started = Instant::now();
        let builder = (0..FUNCTIONS).fold(Runtime::builder(), |builder, number| {
            builder.function(Function::new(
                format!("function-{number}"),
                |_: Event<Job>| async { Ok::<(), std::convert::Infallible>(()) },
            ))
        });
        let runtime = builder.start().await.expect("the settings are sound");
        // The last one replies: all supervisors are up.
        let _: () = runtime
            .client()
            .call(&format!("function-{}", FUNCTIONS - 1), Job::new())
            .await
            .expect("it answers");
        let took = started.elapsed();
        row(
            "100,000 idle functions: memory",
            format!("{:.0} MiB", (resident() - before) / 1_048_576.0),
            "",
        );
        row(
            "100,000 idle functions: start",
            format!("{:.2} s", took.as_secs_f64()),
            "",
        );
        let cpu = || {
            let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
            stat.split(' ')
                .skip(13)
                .take(2)
                .filter_map(|ticks| ticks.parse::<f64>().ok())
                .sum::<f64>()
        };
        let before = cpu();
        actix_rt::time::sleep(Duration::from_secs(5)).await;
        row(
            "100,000 idle functions: CPU",
            format!("{:.1} %", (cpu() - before) / 5.0),
            "",
        );
        stop(runtime).await;
    });
}

// --- delayed

/// 1 M events due in the same second, while another function is asked now and then.
fn delayed() {
    const DELAYED: u64 = 1_000_000;
    const DUE_IN: Duration = Duration::from_secs(4);
    in_system(async {
        let sink = Sink::new(u64::MAX);
        let builder = Runtime::builder().function(job(sink.clone()).concurrency(1));
        let bystander = Function::new("bystander", |event: Event<u64>| async move {
            Ok::<u64, std::convert::Infallible>(*event)
        });
        let runtime = builder
            .function(bystander)
            .start()
            .await
            .expect("the settings are sound");
        let client = runtime.client();
        let ask = async |times: &mut Vec<f64>, until: &dyn Fn() -> bool| {
            while !until() {
                let started = Instant::now();
                let _: u64 = client.call("bystander", 1_u64).await.expect("it answers");
                times.push(started.elapsed().as_nanos() as f64);
                actix_rt::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let (mut quiet, mut busy, mut slowest) = (Vec::new(), Vec::new(), 0_f64);
        // A second has too few calls for a p99: three rounds, taken together.
        for round in 1..=3 {
            let began = Instant::now();
            ask(&mut quiet, &|| began.elapsed() > Duration::from_secs(3)).await;
            let before = resident();
            let started = Instant::now();
            let due = started + DUE_IN;
            for number in 0..DELAYED {
                let delay = due.saturating_duration_since(Instant::now())
                    + Duration::from_nanos(number * 1_000);
                client
                    .send(Invoke::event("job", Job::new()).delay(delay))
                    .await
                    .expect("there is room");
            }
            let accepted = started.elapsed().as_nanos() as f64 / DELAYED as f64;
            let memory = (resident() - before) / DELAYED as f64;
            if round == 1 {
                row(
                    "1 M delayed events: accept",
                    format!("{accepted:.0} ns"),
                    "",
                );
                row(
                    "1 M delayed events: memory each, with payload",
                    format!("{memory:.0} bytes"),
                    "",
                );
            }
            tokio::time::sleep_until(due.into()).await;
            let goal = round * DELAYED;
            ask(&mut busy, &|| sink.done.load(Ordering::Relaxed) >= goal).await;
            slowest = slowest.max(due.elapsed().as_secs_f64());
        }
        row(
            "1 M delayed events due in one second: all run after",
            format!("{slowest:.2} s"),
            "",
        );
        let p99 = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() * 99 / 100]
        };
        let (quiet, busy) = (p99(quiet), p99(busy));
        row(
            "p99 of another function's call meanwhile",
            format!("{:.0} µs", busy / 1e3),
            format!("{:.2}× when quiet", busy / quiet),
        );
        stop(runtime).await;
    });
}
