//! One table: how long a neighbour's call takes beside each kind of bad function, next to the same on bare tokio tasks and
//! bare actix actors.
//!
//! The neighbour is called every 2 ms from a separate thread, and returns at once. All contenders have two threads for user
//! code. Each cell is measured in a separate process, because blocked threads never come back. A call without a reply within
//! 2 s counts as 2 s.

mod parts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use parts::{in_its_own_process, in_system, median};
use redrive::{Client, DeadLetterBounds, Event, Final, Function, RetryPolicy, Runtime, WhenFull};

type AnyError = Box<dyn std::error::Error>;

/// For how long a neighbour is called in one round.
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
const CALL_EVERY: Duration = Duration::from_millis(2);
const CALL_MAX: Duration = Duration::from_secs(2);

/// The behaviour of the bad function.
#[derive(Clone, Copy, PartialEq)]
enum Bad {
    Computes(Duration),
    Blocks,
    /// Of so many events one panics.
    Panics(u32),
    HangsInBlockingPool,
    IsFlooded,
    Dies,
}

/// How its events come.
#[derive(Clone, Copy, PartialEq)]
enum Feed {
    /// So many at once.
    Backlog(u32),
    /// So many each second.
    Paced(u32),
    /// As many as are taken.
    Flood,
}

const KINDS: [(&str, Option<(Bad, Feed)>); 10] = [
    ("quiet", None),
    (
        "computing for 1 ms, 100,000 queued",
        Some((
            Bad::Computes(Duration::from_millis(1)),
            Feed::Backlog(100_000),
        )),
    ),
    (
        "computing for 50 ms, 1,000 queued",
        Some((
            Bad::Computes(Duration::from_millis(50)),
            Feed::Backlog(1_000),
        )),
    ),
    (
        "blocking its thread for good, 100 queued",
        Some((Bad::Blocks, Feed::Backlog(100))),
    ),
    (
        "1 % of 1,000 events/s panic",
        Some((Bad::Panics(100), Feed::Paced(1_000))),
    ),
    (
        "10 % of 1,000 events/s panic",
        Some((Bad::Panics(10), Feed::Paced(1_000))),
    ),
    (
        "all of 1,000 events/s panic",
        Some((Bad::Panics(1), Feed::Paced(1_000))),
    ),
    (
        "hanging in the blocking pool, 2,000 queued",
        Some((Bad::HangsInBlockingPool, Feed::Backlog(2_000))),
    ),
    (
        "flooded by one producer",
        Some((Bad::IsFlooded, Feed::Flood)),
    ),
    (
        "dying at once, flooded by one producer",
        Some((Bad::Dies, Feed::Flood)),
    ),
];

/// Its name, and how long each call takes beside a kind of bad function, in seconds.
type Contender = (&'static str, fn(&str) -> Vec<f64>);

const CONTENDERS: [Contender; 3] = [
    ("redrive", redrive_beside),
    ("tokio tasks", tasks_beside),
    ("actix actors", actors_beside),
];

fn main() {
    if let Some(part) = parts::part() {
        std::panic::set_hook(Box::new(|_| ()));
        if part == "healthy" || part == "mixed" {
            println!("{}", throughput(part == "mixed"));
            std::process::exit(0);
        }
        let (contender, kind) = part.split_once('|').expect("contender and kind");
        let known = CONTENDERS.iter().find(|(name, _)| *name == contender);
        let (_, beside) = known.expect("it is one of the contenders");
        let mut times = beside(kind);
        times.sort_by(f64::total_cmp);
        let at = |quantile: f64| times[((times.len() - 1) as f64 * quantile) as usize];
        println!("{} {}", at(0.5), at(0.99));
        // Threads that are blocked for good keep no process.
        std::process::exit(0);
    }
    println!(
        "| beside a function that is | redrive p50 | p99 | p99 of quiet | tokio tasks p99 | actix actors p99 |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    let mut quiet = None;
    for (kind, _) in KINDS {
        let mut cells = vec![(Vec::new(), Vec::new()); CONTENDERS.len()];
        for _ in 0..ROUNDS {
            for ((contender, _), (p50, p99)) in CONTENDERS.iter().zip(&mut cells) {
                let line = in_its_own_process(&format!("{contender}|{kind}"));
                let (low, high) = line.trim().split_once(' ').expect("it prints two times");
                p50.push(low.parse().expect("a time"));
                p99.push(high.parse().expect("a time"));
            }
        }
        let mut cells = cells
            .into_iter()
            .map(|(p50, p99)| (median(p50), median(p99)));
        let (p50, p99) = cells.next().expect("redrive's");
        let quiet = *quiet.get_or_insert(p99);
        let others: Vec<_> = cells.map(|(_, p99)| milliseconds(p99)).collect();
        println!(
            "| {kind} | {} | {} | {:.1}× | {} |",
            milliseconds(p50),
            milliseconds(p99),
            p99 / quiet,
            others.join(" | ")
        );
    }
    let rates = |part: &str| {
        let rate = |_| in_its_own_process(part).trim().parse().expect("a rate");
        median((0..ROUNDS).map(rate).collect())
    };
    let (healthy, mixed) = (rates("healthy"), rates("mixed"));
    println!(
        "\nHealthy events a second of a function of which 1 % panic: {mixed:.0}; of which none does: {healthy:.0}; ratio {:.2} (at least 0.5).",
        mixed / healthy
    );
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}

fn of_kind(kind: &str) -> Option<(Bad, Feed)> {
    let known = KINDS.iter().find(|(name, _)| *name == kind);
    known.expect("it is one of the kinds").1
}

/// Runs `work` for one event of the bad function; its caller does the rest.
fn work(bad: Bad, number: u32) {
    match bad {
        Bad::Computes(time) => {
            let began = Instant::now();
            while began.elapsed() < time {
                std::hint::spin_loop();
            }
        }
        Bad::Blocks | Bad::HangsInBlockingPool => loop {
            std::thread::park();
        },
        Bad::Panics(one_of) if number.is_multiple_of(one_of) => panic!("as the bench wants it"),
        Bad::Panics(_) | Bad::IsFlooded | Bad::Dies => {}
    }
}

/// Sends events on a separate thread until the process ends. `send` returns whether the event was taken.
fn feed(feed: Feed, send: impl Fn(u32) -> bool + Send + 'static) {
    let feeding = move || match feed {
        Feed::Backlog(events) => (0..events).for_each(|number| {
            send(number);
        }),
        Feed::Paced(rate) => {
            let began = Instant::now();
            for number in 0_u32.. {
                let due = Duration::from_secs_f64(f64::from(number) / f64::from(rate));
                std::thread::sleep(due.saturating_sub(began.elapsed()));
                send(number);
            }
        }
        Feed::Flood => {
            for number in 0_u32.. {
                if !send(number) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    };
    std::thread::spawn(feeding);
}

/// Calls the neighbour again and again from a separate thread, and returns the time of each call, in seconds.
fn call<F>(neighbour: impl Fn() -> F + Send + 'static) -> Vec<f64>
where
    F: Future<Output = ()>,
{
    let calling = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime on this thread");
        runtime.block_on(async {
            let (begin, mut times) = (Instant::now(), Vec::new());
            while begin.elapsed() < ROUND {
                let began = Instant::now();
                let _ = tokio::time::timeout(CALL_MAX, neighbour()).await; // late counts as so late
                times.push(began.elapsed().as_secs_f64());
                tokio::time::sleep(CALL_EVERY).await;
            }
            times
        })
    };
    std::thread::spawn(calling).join().expect("the calls end")
}

// --- redrive

fn bad_function(bad: Bad) -> Function {
    let function = if bad == Bad::HangsInBlockingPool {
        Function::blocking("bad", move |event: Event<u32>| -> Result<(), AnyError> {
            work(bad, *event);
            Ok(())
        })
        .timeout(Duration::from_millis(50))
    } else {
        Function::new("bad", move |event: Event<u32>| async move {
            work(bad, *event);
            match bad {
                Bad::Dies => Err::<(), AnyError>(Final::new("as the bench wants it").into()),
                _ => Ok(()),
            }
        })
    };
    function.retry(RetryPolicy::none())
}

async fn start(bad: Bad) -> Runtime {
    let neighbour = Function::new("neighbour", |_: Event<u32>| async { Ok::<_, AnyError>(1) });
    Runtime::builder()
        .arbiters(2)
        .dead_letters(DeadLetterBounds::new(1_000, 64 << 20, WhenFull::DropOldest))
        .function(bad_function(bad))
        .function(neighbour)
        .start()
        .await
        .expect("it starts")
}

fn accepts(client: &Client, number: u32) -> bool {
    let accepted = futures_util::FutureExt::now_or_never(client.invoke("bad", number));
    accepted.is_some_and(|accepted| accepted.is_ok())
}

fn redrive_beside(kind: &str) -> Vec<f64> {
    let bad = of_kind(kind);
    in_system(async {
        let runtime = start(bad.map_or(Bad::IsFlooded, |(bad, _)| bad)).await;
        let (client, feeding) = (runtime.client(), runtime.client());
        client
            .call::<u32>("neighbour", 1_u32)
            .await
            .expect("a call");
        if let Some((_, how)) = bad {
            feed(how, move |number| accepts(&feeding, number));
        }
        call(move || {
            let client = client.clone();
            async move { drop(client.call::<u32>("neighbour", 1_u32).await) }
        })
    })
}

/// Healthy events a second of a function that does nothing, or panics at one event in a hundred.
fn throughput(mixed: bool) -> f64 {
    const EVENTS: u32 = 500_000;
    in_system(async {
        let bad = if mixed {
            Bad::Panics(100)
        } else {
            Bad::IsFlooded
        };
        let runtime = start(bad).await;
        let client = runtime.client();
        let began = Instant::now();
        for number in 0..EVENTS {
            while !accepts(&client, number) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        while client.stats().events.pending() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        client.stats().events.succeeded as f64 / began.elapsed().as_secs_f64()
    })
}

// --- bare tokio tasks

fn tasks_beside(kind: &str) -> Vec<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (tokio, feeding) = (runtime.handle().clone(), runtime.handle().clone());
    if let Some((bad, how)) = of_kind(kind) {
        // tokio doesn't bound tasks; the bench does, or a flood would use up the memory.
        let under_way = Arc::new(tokio::sync::Semaphore::new(100_000));
        feed(how, move |number| {
            let Ok(permit) = under_way.clone().try_acquire_owned() else {
                return false;
            };
            match bad {
                Bad::HangsInBlockingPool => drop(feeding.spawn_blocking(move || {
                    let _permit = permit;
                    work(bad, number);
                })),
                _ => drop(feeding.spawn(async move {
                    let _permit = permit;
                    work(bad, number);
                })),
            }
            true
        });
    }
    let times = call(move || {
        let answer = tokio.spawn(async { std::hint::black_box(1) });
        async move { drop(answer.await) }
    });
    std::mem::forget(runtime); // dropping it would wait for the blocked threads
    times
}

// --- bare actix actors

#[derive(Message)]
#[rtype(result = "()")]
struct Work(u32);

struct BadActor(Bad);

impl Actor for BadActor {
    type Context = Context<Self>;
}

impl Handler<Work> for BadActor {
    type Result = ();

    fn handle(&mut self, Work(number): Work, _: &mut Self::Context) {
        if self.0 == Bad::HangsInBlockingPool {
            let bad = self.0;
            actix_rt::task::spawn_blocking(move || work(bad, number));
        } else {
            work(self.0, number);
        }
    }
}

struct Neighbour;

impl Actor for Neighbour {
    type Context = Context<Self>;
}

impl Handler<Work> for Neighbour {
    type Result = ();

    fn handle(&mut self, _: Work, _: &mut Self::Context) {
        std::hint::black_box(1);
    }
}

fn actors_beside(kind: &str) -> Vec<f64> {
    let bad = of_kind(kind);
    in_system(async {
        let arbiters = [Arbiter::new(), Arbiter::new()];
        let neighbour = Neighbour::start_in_arbiter(&arbiters[0].handle(), |_| Neighbour);
        if let Some((bad, how)) = bad {
            let actors = arbiters.each_ref().map(|arbiter| {
                BadActor::start_in_arbiter(&arbiter.handle(), move |_| BadActor(bad))
            });
            // An actor that panicked is gone, and its mailbox with it. As many messages may wait as its mailbox has room
            // for, or a flood would end in no memory.
            feed(how, move |number| {
                let actor = &actors[number as usize % 2];
                match how {
                    Feed::Flood => actor.try_send(Work(number)).is_ok(),
                    _ => {
                        actor.do_send(Work(number));
                        true
                    }
                }
            });
        }
        call(move || {
            let answer = neighbour.send(Work(0));
            async move { answer.await.unwrap_or(()) }
        })
    })
}
