//! The child: a runtime on a folder that gets all kinds of work and writes a journal.

use std::sync::OnceLock;
use std::time::Duration;

use actix::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redrive::{
    Client, Condition, DeadLetter, DeadLetterQueue, Destination, Disk, Durability, Event,
    FailureKind, Filter, Function, Get, Invoke, List, Payload, Redrive, RetryPolicy, Runtime,
    Subscribe,
};

use crate::checker::DEATHS_MAX;
use crate::child::Voice;
use crate::journal::{Intent, Job, Letter, Line, Origin, Plan, Reason, Told};

static VOICE: OnceLock<Voice> = OnceLock::new();

fn say(line: &Line) {
    VOICE.get_or_init(Voice::new).say(line);
}

/// Does the task: `load`, `leave` (in good order, in the midst of it), `drain` or `inspect`; the number of the life; the
/// folder.
pub fn work(task: &str) {
    let mut words = task.splitn(3, ' ');
    let mut word = || words.next().expect("a task has three words");
    let (mode, life, folder) = (word(), word().parse().unwrap(), word());
    System::new().block_on(live(mode, life, folder));
}

async fn live(mode: &str, life: u64, folder: &str) {
    say(&Line::Born);
    let runtime = start(folder).await;
    let client = runtime.client();
    let (letters, clerk) = (runtime.dead_letters(), Clerk(runtime.dead_letters()));
    let ledger = client.stats().events;
    say(&Line::Opened {
        pending: ledger.accepted,
    });
    let subscribe = Subscribe::new(clerk.start().recipient());
    letters.send(subscribe).await.unwrap();
    let listed = list(&letters).await;
    let mut grace = Duration::from_secs(10);
    match mode {
        "load" | "leave" => {
            for task in 0..5 {
                actix_rt::spawn(load(client.clone(), life * 8 + task, task));
            }
            for part in listed.chunks(listed.len().div_ceil(4).max(1)) {
                actix_rt::spawn(redrive(letters.clone(), part.to_vec()));
            }
            if mode == "load" {
                return std::future::pending().await;
            }
            let mut random = StdRng::seed_from_u64(life);
            let stay = random.random_range(1..200);
            tokio::time::sleep(Duration::from_millis(stay)).await;
            grace = Duration::from_millis(random.random_range(0..20));
        }
        "drain" => {
            redrive(letters.clone(), listed).await;
            until_nothing_pends(&client).await;
            say_ledger(&client);
        }
        _ => say_ledger(&client),
    }
    drop(runtime.shutdown(grace).await);
    say(&Line::Closed);
}

fn say_ledger(client: &Client) {
    let ledger = client.stats().events;
    say(&Line::Drained {
        accepted: ledger.accepted,
        succeeded: ledger.succeeded,
        dead: ledger.dead,
        cancelled: ledger.cancelled,
        pending: ledger.pending(),
    });
}

/// A small window and small segments: events overflow and are loaded, segments fill and are removed.
async fn start(folder: &str) -> Runtime {
    let function = |name: &str, concurrency, window| {
        Function::new(name, attempt)
            .concurrency(concurrency)
            .window(window)
            .timeout(PATIENCE)
            .retry(RetryPolicy::fixed(2, Duration::from_millis(2)))
            .on_success(Destination::closure(|record| {
                say(&Line::Succeeded(record.request_context.request_id));
            }))
    };
    Runtime::builder()
        .disk(Disk::new(folder).segment_bytes(64 << 10))
        .process_deaths_max(DEATHS_MAX)
        .arbiters(2)
        .blocked_after(PATIENCE)
        .function(function("quick", 4, 16))
        .function(function("slow", 8, 8))
        .start()
        .await
        .unwrap()
}

/// Longer than every step takes here on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

async fn attempt(event: Event<Job>) -> Result<(), String> {
    let context = event.context();
    let (id, attempt) = (context.request_id(), context.attempt());
    say(&Line::Start {
        id,
        origin: event.origin,
        attempt,
        digest: event.digest(),
    });
    if event.millis > 0 {
        tokio::time::sleep(Duration::from_millis(event.millis)).await;
    }
    let well = match event.plan {
        Plan::Succeed => true,
        Plan::FailOnce => attempt > 1,
        Plan::FailForGood => false,
    };
    say(&Line::End { id, attempt, well });
    match well {
        true => Ok(()),
        false => Err(event.complaint(attempt)),
    }
}

/// Waits for as long as something ends now and then.
async fn until_nothing_pends(client: &Client) {
    let (mut least, mut since) = (u64::MAX, std::time::Instant::now());
    loop {
        let pending = client.stats().events.pending();
        if pending < least {
            (least, since) = (pending, std::time::Instant::now());
        }
        if pending == 0 || since.elapsed() > PATIENCE / 4 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// --- events

/// More events than this don't have to wait at once.
const PENDING_MAX: u64 = 1_000;

async fn load(client: Client, seed: u64, kind: u64) {
    let mut sender = Sender {
        client,
        random: StdRng::seed_from_u64(seed),
        next: seed << 32,
    };
    loop {
        let sent = match kind {
            0..3 => sender.one().await,
            3 => sender.batch().await,
            _ => sender.keyed().await,
        };
        if !sent {
            return;
        }
        while sender.client.stats().events.pending() > PENDING_MAX {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

struct Sender {
    client: Client,
    random: StdRng,
    next: u64,
}

impl Sender {
    fn job(&mut self, plan: Plan, slow: bool) -> Job {
        self.next += 1;
        let long = self.random.random_ratio(1, 20);
        let length = self.random.random_range(0..if long { 6_000 } else { 500 });
        Job {
            origin: Origin::Job(self.next),
            plan,
            attempts_max: 3,
            millis: if slow {
                self.random.random_range(1..15)
            } else {
                0
            },
            fill: (0..length)
                .map(|_| self.random.random_range('a'..='z'))
                .collect(),
        }
    }

    fn plan(&mut self) -> Plan {
        match self.random.random_range(0..100) {
            0..10 => Plan::FailOnce,
            10..14 => Plan::FailForGood,
            _ => Plan::Succeed,
        }
    }

    /// Returns whether more work is accepted, as the functions below do.
    async fn one(&mut self) -> bool {
        let slow = self.random.random_ratio(1, 3);
        let mut plan = self.plan();
        let durability = match self.random.random_range(0..10) {
            0 => Durability::Memory,
            1..4 => Durability::DiskInterval(Duration::from_millis(50)),
            _ => Durability::Disk,
        };
        if durability == Durability::Memory && plan == Plan::FailForGood {
            plan = Plan::Succeed;
        }
        let mut job = self.job(plan, slow);
        let own_policy = self.random.random_ratio(1, 4);
        if own_policy {
            job.attempts_max = 2;
        }
        let mut invoke = Invoke::event(if slow { "slow" } else { "quick" }, job.clone());
        if own_policy {
            invoke = invoke.retry(RetryPolicy::delays([Duration::from_millis(1)]));
        }
        if self.random.random_ratio(1, 4) {
            let delay = self.random.random_range(1..400);
            invoke = invoke.delay(Duration::from_millis(delay));
        }
        let intent = Intent {
            stored: durability != Durability::Memory,
            ..intent(&job)
        };
        self.send(intent, invoke.durability(durability)).await
    }

    /// Keys of this life and of those before, each many times.
    async fn keyed(&mut self) -> bool {
        let latest = (self.next >> 32) as u32;
        let key = match self.random.random_ratio(1, 4) {
            true => self.random.random_range(0..latest + 10),
            false => self.random.random_range(latest..latest + 10),
        };
        let job = self.job(Plan::Succeed, false);
        let invoke = Invoke::event("quick", job.clone());
        let invoke = invoke.deduplicate(format!("key {key}"), Duration::from_secs(3_600));
        let intent = Intent {
            key: Some(key),
            ..intent(&job)
        };
        self.send(intent, invoke).await
    }

    async fn send(&mut self, intent: Intent, invoke: Invoke) -> bool {
        say(&Line::Intent(intent));
        let origin = intent.origin;
        let sent = self.client.send(invoke).await;
        say(&match &sent {
            Ok(receipt) => Line::Receipt {
                origin,
                id: receipt.request_id,
                duplicate: receipt.duplicate,
            },
            Err(_) => Line::Refused(origin),
        });
        sent.is_ok()
    }

    async fn batch(&mut self) -> bool {
        // Now and then more than the window has room for.
        let burst = self.random.random_ratio(1, 8);
        let size = self.random.random_range(if burst { 40..80 } else { 1..12 });
        let batch = self.next;
        let jobs: Vec<_> = (0..size)
            .map(|_| {
                let plan = self.plan();
                self.job(plan, false)
            })
            .collect();
        for job in &jobs {
            let batch = Some(batch);
            say(&Line::Intent(Intent {
                batch,
                ..intent(job)
            }));
        }
        let sent = self.client.invoke_batch("quick", jobs.clone()).await;
        for (at, job) in jobs.iter().enumerate() {
            let origin = job.origin;
            say(&match &sent {
                Ok(receipts) => Line::Receipt {
                    origin,
                    id: receipts[at].request_id,
                    duplicate: receipts[at].duplicate,
                },
                Err(_) => Line::Refused(origin),
            });
        }
        sent.is_ok()
    }
}

fn intent(job: &Job) -> Intent {
    Intent {
        origin: job.origin,
        plan: job.plan,
        attempts_max: job.attempts_max,
        stored: true,
        key: None,
        batch: None,
        digest: job.digest(),
    }
}

// --- dead letters

/// Writes every letter once the queue has it.
struct Clerk(Addr<DeadLetterQueue>);

impl Actor for Clerk {
    type Context = Context<Self>;
}

impl Handler<DeadLetter> for Clerk {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Self::Context) {
        let kept = self.0.send(Get(letter.request_id));
        actix_rt::spawn(async move {
            // Subscribers get a letter before the store does; the reply of the queue comes after both.
            if let Ok(Some(letter)) = kept.await {
                say(&Line::Buried(read(&letter)));
            }
        });
    }
}

fn read(letter: &DeadLetter) -> Letter {
    let job: Job = letter.payload.read().unwrap();
    let history = letter.attempts.iter().map(|attempt| {
        let failure = &attempt.failure;
        let told = match failure.kind {
            FailureKind::Error if failure.message == job.complaint(attempt.number) => Told::Failed,
            FailureKind::ProcessCrash => Told::Crashed,
            _ => Told::Strange,
        };
        (attempt.number, told)
    });
    Letter {
        id: letter.request_id,
        origin: job.origin,
        digest: job.digest(),
        reason: match letter.condition {
            Condition::RetriesExhausted => Reason::RetriesExhausted,
            Condition::ProcessCrash => Reason::ProcessCrash,
            _ => Reason::Other,
        },
        attempt_count: letter.attempt_count,
        history: history.collect(),
        redriven_from: letter.redriven_from,
    }
}

async fn list(queue: &Addr<DeadLetterQueue>) -> Vec<DeadLetter> {
    let all = List::new(Filter::new()).limit(usize::MAX);
    let letters = queue.send(all).await.unwrap().letters;
    say(&Line::LettersBegin);
    for letter in &letters {
        say(&Line::Listed(read(letter)));
    }
    say(&Line::LettersEnd);
    letters
}

/// Redrives most of the letters, repaired, one after the other.
async fn redrive(queue: Addr<DeadLetterQueue>, letters: Vec<DeadLetter>) {
    for letter in letters {
        let id = letter.request_id;
        // The same each time it is tried.
        let chance = crc32fast::hash(id.as_uuid().as_bytes());
        if chance.is_multiple_of(6) {
            continue;
        }
        let before: Job = letter.payload.read().unwrap();
        let again = chance.is_multiple_of(5);
        let plan = if again {
            Plan::FailForGood
        } else {
            Plan::Succeed
        };
        let job = Job {
            origin: Origin::Letter(id),
            plan,
            ..before
        };
        say(&Line::Intent(intent(&job)));
        let redrive = Redrive::one(id).payload(Payload::new(job).unwrap());
        let Ok(redriven) = queue.send(redrive).await else {
            return;
        };
        for (letter, event) in redriven.sent {
            say(&Line::Receipt {
                origin: Origin::Letter(letter),
                id: event,
                duplicate: false,
            });
        }
        for (letter, _) in redriven.refused {
            say(&Line::Refused(Origin::Letter(letter)));
        }
        for letter in redriven.missing {
            say(&Line::Missing(letter));
        }
    }
}
