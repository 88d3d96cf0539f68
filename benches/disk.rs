//! One table: what it costs that events survive the process, next to a raw loop in the same run that does nothing but append
//! as many bytes and sync them.
//!
//! `cargo bench --features disk --bench disk` runs all of it, each part for a short while; `… -- accept steady retries
//! interval backlog restart` only what is named. `--full` runs each as long and as large as the targets are meant,
//! `--backlog N` queues so many events. Everything lies in a folder under `target`.

mod parts;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parts::{header, in_its_own_process, in_system, median, process, rate, row, wanted};
use redrive::{
    Client, Durability, Event, Function, InvokeError, Payload, RetryPolicy, Runtime, Shutdown,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

/// An event whose JSON has 512 bytes.
#[derive(Clone, Serialize, Deserialize)]
struct Upload {
    number: u64,
    bucket: String,
    key: String,
    sizes: Vec<u32>,
    caption: String,
}

impl Upload {
    fn new(number: u64) -> Self {
        Self {
            number: 1_000_000_000 + number,
            bucket: "photographs-of-2024".to_owned(),
            key: "holidays/portugal/lisbon/tram-28/0001.jpg".to_owned(),
            sizes: vec![64, 128, 256, 512, 1_024],
            caption: CAPTION[..367].to_owned(),
        }
    }
}

const CAPTION: &str = "The tram climbs from the river to the old town, past laundry, tiled walls and open windows, so \
    narrow is the street that whoever stands on the pavement has to step into a doorway. It was built in the thirties for \
    exactly this hill, brakes with sand and wood, and rings its bell at every corner, for nobody can see who comes the \
    other way. At the top it waits for a while, empty, doors open, until the driver has had his coffee.";
const PAYLOAD: usize = 512;
/// What redrive writes for one event: its payload and 60 bytes about it, and 52 when it ends.
const RECORD: usize = PAYLOAD + 60;
const END: usize = 52;
/// Callers that wait for their receipts at the same time.
const CALLERS: usize = 1_024;
const SEGMENT: u64 = 64 << 20;

fn main() {
    match parts::part().as_deref() {
        Some("accept: raw") => return println!("{}", accept_raw()),
        Some("accept: redrive") => return println!("{}", accept(Work::Waits)),
        Some("accept: running") => return println!("{}", accept(Work::Runs)),
        Some("steady: raw") => return println!("{}", steady_raw()),
        Some("steady: redrive") => return println!("{}", steady(0)),
        Some("retries: redrive") => return println!("{}", steady(10)),
        Some("interval: memory") => return println!("{}", burst(None)),
        Some("interval: disk") => return println!("{}", burst(Some(INTERVAL))),
        Some("backlog") => return backlog(),
        Some("restart: before") => return before_restart(),
        Some("restart: after") => return after_restart(),
        Some(other) => unreachable!("there is no part `{other}`"),
        None => {}
    }
    assert_eq!(
        serde_json::to_string(&Upload::new(0)).unwrap().len(),
        PAYLOAD
    );
    header();
    if wanted("accept") {
        accepts();
    }
    if wanted("steady") || wanted("retries") {
        steadily();
    }
    if wanted("interval") {
        interval();
    }
    if wanted("backlog") {
        print!("{}", in_its_own_process("backlog"));
    }
    if wanted("restart") {
        restart();
    }
}

/// The one number if it was asked for, the other if not.
fn full<T>(full: T, short: T) -> T {
    if std::env::args().any(|argument| argument == "--full") {
        full
    } else {
        short
    }
}

/// Rounds of the contenders, in turn, so that a drift of the machine meets all of them.
const ROUNDS: usize = 3;

fn rounds<const N: usize>(contenders: [&str; N]) -> [Vec<Figures>; N] {
    let mut all = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for (contender, figures) in contenders.iter().zip(&mut all) {
            figures.push(Figures::read(&in_its_own_process(contender)));
        }
    }
    all
}

/// What a contender measured: a rate per second or a time in nanoseconds, and more where that was asked for.
#[derive(Clone, Copy, Default)]
struct Figures {
    value: f64,
    /// The rate in the worst second.
    worst: f64,
    /// Bytes that the process had the disk write, per event.
    written: f64,
}

impl Figures {
    fn read(line: &str) -> Self {
        let mut numbers = line
            .split_whitespace()
            .map(|number| number.parse().expect("a part prints numbers"));
        Self {
            value: numbers.next().expect("a part prints its figure"),
            worst: numbers.next().unwrap_or_default(),
            written: numbers.next().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.value, self.worst, self.written)
    }
}

fn of(rounds: &[Figures], what: impl Fn(&Figures) -> f64) -> f64 {
    median(rounds.iter().map(what).collect())
}

fn value(rounds: &[Figures]) -> f64 {
    of(rounds, |figures| figures.value)
}

/// Ratios of the rounds' own pairs: what slowed a round down slowed both.
fn ratio(ours: &[Figures], theirs: &[Figures]) -> f64 {
    let pairs = ours.iter().zip(theirs);
    median(
        pairs
            .map(|(ours, theirs)| ours.value / theirs.value)
            .collect(),
    )
}

fn thousands(rate: f64) -> String {
    format!("{:.1} k/s", rate / 1e3)
}

// --- folders

/// Every part has a folder of its own, which is empty when it begins.
fn folder(part: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-disk-{part}"));
    let _ = std::fs::remove_dir_all(&folder); // mostly it isn't there
    std::fs::create_dir_all(&folder).expect("`target` can be written to");
    folder
}

fn remove(folder: &Path) {
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}

/// Bytes that this process had the disk write.
fn written() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines()
        .find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok())
        .unwrap_or_default()
}

// --- the raw loop

/// Somebody's bytes, and how to tell that they are durable.
type Told = (Vec<u8>, oneshot::Sender<()>);

/// What the disk can do: one thread takes all that waits, writes it in one piece, syncs, and tells all who wait.
#[derive(Clone)]
struct Raw(mpsc::Sender<Told>);

impl Raw {
    fn open(folder: &Path) -> Self {
        let (sender, inbox) = mpsc::channel();
        let folder = folder.to_owned();
        std::thread::spawn(move || write(&folder, &inbox));
        Self(sender)
    }

    async fn append(&self, bytes: Vec<u8>) {
        let (sender, receiver) = oneshot::channel();
        self.0.send((bytes, sender)).expect("the writer lives");
        receiver.await.expect("the writer answers");
    }
}

fn write(folder: &Path, inbox: &mpsc::Receiver<Told>) {
    const KEPT: u64 = 4;
    let path = |number: u64| folder.join(format!("{number:08}.raw"));
    let create = |number| File::create_new(path(number)).expect("a file can be made");
    let (mut number, mut len) = (0, 0);
    let mut file = create(number);
    let (mut bytes, mut callers) = (Vec::new(), Vec::new());
    while let Ok(first) = inbox.recv() {
        for (event, caller) in std::iter::once(first).chain(inbox.try_iter()) {
            bytes.extend(event);
            callers.push(caller);
        }
        file.write_all(&bytes).expect("there is room");
        file.sync_data().expect("the disk is sound");
        len += bytes.len() as u64;
        bytes.clear();
        for caller in callers.drain(..) {
            let _ = caller.send(()); // who went away needs no answer
        }
        if len >= SEGMENT {
            (number, len) = (number + 1, 0);
            file = create(number);
            if let Some(old) = number.checked_sub(KEPT) {
                let _ = std::fs::remove_file(path(old));
            }
        }
    }
}

// --- redrive

fn handler(sink: Arc<Sink>) -> Function {
    Function::new("upload", move |event: Event<Upload>| {
        sink.take(&event);
        async { Ok::<(), std::convert::Infallible>(()) }
    })
    .mailbox_events_max(20_000_000)
    .mailbox_bytes_max(u64::MAX)
}

async fn start(folder: &Path, durability: Durability, function: Function) -> Runtime {
    Runtime::builder()
        .disk(folder)
        .durability(durability)
        .function(function)
        .start()
        .await
        .expect("the settings are sound and the folder is ours")
}

async fn stop(runtime: Runtime) {
    let _ = runtime
        .shutdown(Shutdown::new(Duration::from_secs(60)))
        .await;
}

/// What every handler does with an event, and how the bench knows that all are done.
struct Sink {
    done: AtomicU64,
    goal: u64,
    reached: Notify,
}

impl Sink {
    fn new(goal: u64) -> Arc<Self> {
        Arc::new(Self {
            done: AtomicU64::new(0),
            goal,
            reached: Notify::new(),
        })
    }

    fn take(&self, upload: &Upload) {
        std::hint::black_box(upload.number);
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.goal {
            self.reached.notify_one();
        }
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

// --- accepting, one after the other

const ACCEPTS_WARM: usize = 200;

fn accepts_count() -> usize {
    full(10_000, 1_000)
}

async fn times(work: impl AsyncFn(u64)) -> f64 {
    let mut times = Vec::new();
    for number in 0..accepts_count() + ACCEPTS_WARM {
        let started = Instant::now();
        work(number as u64).await;
        times.push(started.elapsed().as_nanos() as f64);
    }
    median(times.split_off(ACCEPTS_WARM))
}

fn accept_raw() -> f64 {
    let folder = folder("raw");
    let raw = Raw::open(&folder);
    let took = in_system(times(async |_| raw.append(vec![7; RECORD + END]).await));
    remove(&folder);
    took
}

/// What becomes of the events while others are accepted.
#[derive(PartialEq)]
enum Work {
    Waits,
    Runs,
}

fn accept(work: Work) -> f64 {
    let folder = folder("accept");
    let took = in_system(async {
        let sink = Sink::new(u64::MAX);
        let runtime = start(&folder, Durability::Disk, handler(sink)).await;
        let client = runtime.client();
        if work == Work::Waits {
            client.pause("upload");
        }
        let took = times(async |number| {
            let accepted = client.invoke("upload", Upload::new(number)).await;
            accepted.expect("there is room");
        });
        let took = took.await;
        stop(runtime).await;
        took
    });
    remove(&folder);
    took
}

fn accepts() {
    let [raw, ours, running] = rounds(["accept: raw", "accept: redrive", "accept: running"]);
    row(
        "raw loop, one caller: median until durable",
        format!("{:.0} µs", value(&raw) / 1e3),
        "1.00× raw",
    );
    row(
        "accept, one caller: median until durable",
        format!("{:.0} µs", value(&ours) / 1e3),
        format!("{:.2}× raw (target at most 1.3)", ratio(&ours, &raw)),
    );
    row(
        "the same, while the one before runs and is settled",
        format!("{:.0} µs", value(&running) / 1e3),
        format!("{:.2}× raw", ratio(&running, &raw)),
    );
}

// --- many callers, for a while

fn steady_for() -> Duration {
    Duration::from_secs(full(60, 6))
}

/// Many callers, each with one event after the other until the time is over. Answers how many were `done` each second,
/// in the mean and in the worst second, and the bytes that were written for one.
async fn callers(append: impl AsyncFn(u64) + Clone + 'static, done: impl Fn() -> u64) -> Figures {
    let over = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (over, next, append) = (over.clone(), next.clone(), append.clone());
            actix_rt::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    append(next.fetch_add(1, Ordering::Relaxed)).await;
                }
            })
        })
        .collect();
    let second = Duration::from_secs(1);
    actix_rt::time::sleep(second).await;
    let (mut before, mut at, bytes) = (done(), Instant::now(), written());
    let (first, started) = (before, at);
    let mut worst = f64::MAX;
    while started.elapsed() < steady_for() {
        actix_rt::time::sleep(second).await;
        worst = worst.min(rate(done() - before, at));
        (before, at) = (done(), Instant::now());
    }
    let figures = Figures {
        value: rate(done() - first, started),
        worst,
        written: (written() - bytes) / (done() - first) as f64,
    };
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no caller panics");
    }
    figures
}

fn steady_raw() -> Figures {
    let folder = folder("raw");
    let raw = Raw::open(&folder);
    let done = Arc::new(AtomicU64::new(0));
    let count = done.clone();
    let append = async move |_| {
        raw.append(vec![7; RECORD + END]).await;
        count.fetch_add(1, Ordering::Relaxed);
    };
    let figures = in_system(callers(append, || done.load(Ordering::Relaxed)));
    remove(&folder);
    figures
}

/// Events that are accepted, run and settled; so many in a hundred fail once.
fn steady(failing: u64) -> Figures {
    let folder = folder("steady");
    let sink = Sink::new(u64::MAX);
    let worker = sink.clone();
    let function = Function::new("upload", move |event: Event<Upload>| {
        let fails = event.number % 100 < failing && event.context().attempt() == 1;
        if !fails {
            worker.take(&event);
        }
        async move { if fails { Err("not yet") } else { Ok(()) } }
    })
    .retry(RetryPolicy::fixed(2, Duration::from_millis(100)));
    let figures = in_system(async {
        let runtime = start(&folder, Durability::Disk, function).await;
        let client = runtime.client();
        let figures = callers(
            async move |number| invoke(&client, number).await,
            || sink.done(),
        );
        let figures = figures.await;
        stop(runtime).await;
        figures
    });
    remove(&folder);
    figures
}

/// A caller who is told that the mailbox is full comes back.
async fn invoke(client: &Client, number: u64) {
    loop {
        match client.invoke("upload", Upload::new(number)).await {
            Ok(_) => return,
            Err(InvokeError::MailboxFull { .. }) => {
                actix_rt::time::sleep(Duration::from_millis(1)).await;
            }
            Err(refused) => panic!("{refused}"),
        }
    }
}

fn steadily() {
    let [raw, ours, retries] = rounds(["steady: raw", "steady: redrive", "retries: redrive"]);
    row(
        "raw loop, 1,024 callers",
        thousands(value(&raw)),
        "1.00× raw",
    );
    row(
        "accept, run and settle, 1,024 callers",
        thousands(value(&ours)),
        format!("{:.2}× raw (target at least 0.30)", ratio(&ours, &raw)),
    );
    row(
        "the same, its worst second",
        thousands(of(&ours, |figures| figures.worst)),
        format!(
            "{:.2}× its mean (target at least 0.5; raw loop {:.2})",
            of(&ours, |figures| figures.worst / figures.value),
            of(&raw, |figures| figures.worst / figures.value)
        ),
    );
    let written = of(&ours, |figures| figures.written);
    row(
        "the same, bytes written for one of 512 bytes",
        format!("{written:.0} bytes"),
        format!(
            "{:.2}× its size (target at most 2.5; raw loop {:.2})",
            written / PAYLOAD as f64,
            of(&raw, |figures| figures.written) / PAYLOAD as f64
        ),
    );
    row(
        "the same, 10 % failing once and retried after 100 ms",
        thousands(value(&retries)),
        format!("{:.2}× raw (target at least 0.15)", ratio(&retries, &raw)),
    );
}

// --- durable within an interval, beside memory

const INTERVAL: Duration = Duration::from_millis(10);

/// A burst of events whose payloads are JSON, from the first one's acceptance to the last one's end.
fn burst(interval: Option<Duration>) -> f64 {
    let events = full(3_000_000, 500_000) / CALLERS as u64 * CALLERS as u64;
    let folder = folder("interval");
    let sink = Sink::new(events);
    let rate = in_system(async {
        let runtime = match interval {
            Some(interval) => {
                let durability = Durability::DiskInterval(interval);
                start(&folder, durability, handler(sink.clone())).await
            }
            None => {
                let builder = Runtime::builder().function(handler(sink.clone()));
                builder.start().await.expect("the settings are sound")
            }
        };
        let client = runtime.client();
        let json = serde_json::to_string(&Upload::new(0)).expect("it can be written");
        let started = Instant::now();
        for _ in 0..CALLERS {
            let (client, json) = (client.clone(), json.clone());
            actix_rt::spawn(async move {
                for _ in 0..events / CALLERS as u64 {
                    let payload = Payload::from_json(json.clone()).expect("it is JSON");
                    client
                        .invoke("upload", payload)
                        .await
                        .expect("there is room");
                }
            });
        }
        sink.reached.notified().await;
        let rate = rate(events, started);
        stop(runtime).await;
        rate
    });
    remove(&folder);
    rate
}

fn interval() {
    let [memory, ours] = rounds(["interval: memory", "interval: disk"]);
    row(
        "in memory, JSON payloads, 1,024 callers, end to end",
        thousands(value(&memory)),
        "1.00× memory",
    );
    row(
        "durable within 10 ms, the same work",
        thousands(value(&ours)),
        format!("{:.2}× memory (target at least 0.6)", ratio(&ours, &memory)),
    );
}

// --- backlog

fn backlog_events() -> u64 {
    let arguments: Vec<_> = std::env::args().collect();
    let named = arguments.windows(2).find(|pair| pair[0] == "--backlog");
    named.map_or(full(5_000_000, 500_000), |pair| {
        pair[1].parse().expect("`--backlog` takes a number")
    })
}

/// Many callers, until so many events are accepted.
async fn fill(client: &Client, events: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (client, next) = (client.clone(), next.clone());
            actix_rt::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= events {
                        return;
                    }
                    let accepted = client.invoke("upload", Upload::new(number)).await;
                    accepted.expect("there is room");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no caller panics");
    }
}

/// The most that was ever resident, in bytes.
fn resident_max() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or_default() * 1_024.0
}

fn backlog() {
    let events = backlog_events();
    let folder = folder("backlog");
    let sink = Sink::new(events);
    in_system(async {
        let runtime = start(&folder, Durability::Disk, handler(sink.clone())).await;
        let client = runtime.client();
        client.pause("upload");
        let started = Instant::now();
        fill(&client, events).await;
        let million = events as f64 / 1e6;
        row(
            &format!("{million} M events for a paused function: accept"),
            thousands(rate(events, started)),
            "(target 100 k/s)",
        );
        let started = Instant::now();
        client.resume("upload");
        sink.reached.notified().await;
        row(
            &format!("{million} M events: drain"),
            thousands(rate(events, started)),
            "(target 60 k/s)",
        );
        row(
            &format!("{million} M events: resident at most"),
            format!("{:.2} GiB", resident_max() / f64::from(1 << 30)),
            "(target at most 1.5 GiB)",
        );
        stop(runtime).await;
    });
    remove(&folder);
}

// --- restart

fn restart_events() -> u64 {
    full(1_000_000, 200_000)
}

const RESTART: &str = "restart";

/// Leaves many events pending, says so, and waits for its death.
fn before_restart() {
    let folder = folder(RESTART);
    in_system(async {
        let sink = Sink::new(u64::MAX);
        let runtime = start(&folder, Durability::Disk, handler(sink)).await;
        let client = runtime.client();
        client.pause("upload");
        fill(&client, restart_events()).await;
        println!("full");
        std::future::pending::<()>().await;
    });
}

fn after_restart() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-disk-{RESTART}"));
    in_system(async {
        let sink = Sink::new(1);
        let started = Instant::now();
        let runtime = start(&folder, Durability::Disk, handler(sink.clone())).await;
        let up = started.elapsed();
        sink.reached.notified().await;
        let first = started.elapsed();
        println!("{} {}", up.as_nanos(), first.as_nanos());
        drop(runtime);
    });
}

fn restart() {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut before = process("restart: before");
        let mut said = String::new();
        let output = before.stdout.take().expect("its output is ours to read");
        let read = BufReader::new(output).read_line(&mut said);
        assert!(read.is_ok() && said == "full\n", "it is full: {said}");
        before.kill().expect("it can be killed");
        before.wait().expect("it is dead");
        times.push(Figures::read(&in_its_own_process("restart: after")));
    }
    let million = restart_events() as f64 / 1e6;
    row(
        &format!("killed with {million} M pending: until `start` returns"),
        format!("{:.0} ms", value(&times) / 1e6),
        "(target 500 ms at 1 M)",
    );
    row(
        &format!("killed with {million} M pending: until the first one runs"),
        format!("{:.0} ms", of(&times, |figures| figures.worst) / 1e6),
        "(target 500 ms at 1 M)",
    );
    remove(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-disk-{RESTART}")));
}
