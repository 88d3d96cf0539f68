//! Isolation of faulty user code: blocked arbiters, lost workers, hangs, dead subscribers.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod log_capture;

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use actix::prelude::*;
use redrive::{
    Client, DeadLetter, Destination, Event, FailureKind, Function, RequestId, RetryPolicy, Runtime,
    Stateful, Status, Subscribe,
};
use serde::Serialize;
use tokio::sync::mpsc;

const FAR: Duration = Duration::from_secs(3600);

/// A thread that comes here waits until the gate is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let (open, opened) = &*self.0;
        drop(
            opened
                .wait_while(open.lock().unwrap(), |open| !*open)
                .unwrap(),
        );
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// Blocks its thread in the first attempt of payload 1, otherwise returns its attempt.
fn stubborn(name: &str, gate: &Gate, stuck: &mpsc::UnboundedSender<ThreadId>) -> Function {
    let (gate, stuck) = (gate.clone(), stuck.clone());
    let handler = move |event: Event<u32>| {
        let (gate, stuck) = (gate.clone(), stuck.clone());
        async move {
            if *event == 1 && event.context().attempt() == 1 {
                stuck.send(std::thread::current().id()).unwrap();
                gate.pass();
            }
            Ok::<_, String>(event.context().attempt())
        }
    };
    Function::new(name, handler).retry(RetryPolicy::fixed(2, Duration::ZERO))
}

fn echo(name: &str) -> Function {
    Function::new(
        name,
        |event: Event<u32>| async move { Ok::<_, String>(*event) },
    )
}

async fn invoke(client: &Client, function: &str, payload: u32) -> RequestId {
    client.invoke(function, payload).await.unwrap().request_id
}

/// How many attempts it took.
async fn success(client: &Client, id: RequestId) -> u32 {
    match client.wait(id).await {
        Some(Status::Succeeded { attempts, .. }) => attempts,
        other => panic!("not a success: {other:?}"),
    }
}

async fn death(client: &Client, id: RequestId) -> DeadLetter {
    match client.wait(id).await {
        Some(Status::Dead(letter)) => letter,
        other => panic!("not dead: {other:?}"),
    }
}

#[actix::test]
async fn a_handler_that_blocks_its_arbiter_is_logged_counted_and_superseded_while_others_go_on() {
    let log = log_capture::log();
    let (gate, (sender, mut stuck)) = (Gate::default(), mpsc::unbounded_channel());
    let blocker = stubborn("blocker", &gate, &sender).timeout(Duration::from_millis(400));
    let runtime = Runtime::builder()
        .arbiters(1)
        .blocked_after(Duration::from_millis(100))
        .function(blocker)
        .function(echo("bystander"))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    // Both functions have an idle worker on the arbiter that is about to be blocked.
    assert_eq!(client.call::<u32>("blocker", 0_u32).await.unwrap(), 1);
    assert_eq!(client.call::<u32>("bystander", 0_u32).await.unwrap(), 0);

    let blocked = invoke(&client, "blocker", 1).await;
    stuck.recv().await.unwrap();
    assert_eq!(client.call::<u32>("bystander", 7_u32).await.unwrap(), 7);
    let other = invoke(&client, "blocker", 0).await;
    assert_eq!(success(&client, other).await, 1);
    let line = log
        .wait(|line| line.is("blocker", "blocks its arbiter"))
        .await;
    assert_eq!(line.level, tracing::Level::ERROR);

    // The stuck attempt has its timeout, and the event its second attempt, though the thread is still stuck.
    assert_eq!(success(&client, blocked).await, 2);
    let stats = client.function_stats("blocker").unwrap();
    assert_eq!((stats.arbiters_blocked, stats.superseded_results), (1, 0));
    assert_eq!(
        client.function_stats("bystander").unwrap().arbiters_blocked,
        0
    );

    gate.open();
    let late = log.wait(|line| line.is("blocker", "superseded")).await;
    assert_eq!(late.fields["request_id"], blocked.to_string());
    let stats = client.function_stats("blocker").unwrap();
    assert_eq!((stats.superseded_results, stats.events.succeeded), (1, 2));
    assert_eq!((stats.events.pending(), stats.events.dead), (0, 0));
    let report = runtime.shutdown(FAR).await;
    assert!(report.unfinished.is_empty());
}

/// Half of its workers live on the arbiter that the other function blocks for as long as the test takes.
#[actix::test]
async fn a_blocked_arbiter_holds_up_no_event_that_another_worker_could_run() {
    const WORKERS: u32 = 8;
    let (gate, (stuck, mut blocked)) = (Gate::default(), mpsc::unbounded_channel());
    let all_there = Arc::new(tokio::sync::Barrier::new(WORKERS as usize));
    let free = Function::new("free", move |event: Event<bool>| {
        let all_there = all_there.clone();
        async move {
            if *event {
                all_there.wait().await;
            }
            Ok::<_, String>(())
        }
    });
    let builder = Runtime::builder().arbiters(2).blocked_after(FAR);
    let runtime = builder
        .function(stubborn("stubborn", &gate, &stuck).timeout(FAR))
        .function(free.concurrency(WORKERS).timeout(FAR))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    let meeting = vec![true; WORKERS as usize];
    for receipt in client.invoke_batch("free", meeting).await.unwrap() {
        client.wait(receipt.request_id).await;
    }
    let stubborn = invoke(&client, "stubborn", 1).await;
    blocked.recv().await.unwrap();
    for burst in 1..=20 {
        let mut ids = Vec::new();
        for _ in 0..burst {
            ids.push(client.invoke("free", false).await.unwrap().request_id);
        }
        for id in ids {
            client.wait(id).await;
        }
    }
    gate.open();
    assert_eq!(success(&client, stubborn).await, 1);
}

#[actix::test]
async fn an_on_failure_closure_that_blocks_its_arbiter_is_noticed_too() {
    let log = log_capture::log();
    let (gate, (sender, mut stuck)) = (Gate::default(), mpsc::unbounded_channel());
    let passing = gate.clone();
    let failing = Function::new("griever", |_: Event<u32>| async { Err::<(), _>("no") })
        .retry(RetryPolicy::none())
        .on_failure(Destination::closure(move |_| {
            sender.send(()).unwrap();
            passing.pass();
        }));
    let runtime = Runtime::builder()
        .arbiters(1)
        .blocked_after(Duration::from_millis(100))
        .function(failing)
        .function(echo("passer_by"))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    let id = invoke(&client, "griever", 1).await;
    stuck.recv().await.unwrap();
    // There is one arbiter: only in its successor's place can this run.
    assert_eq!(client.call::<u32>("passer_by", 7_u32).await.unwrap(), 7);
    log.wait(|line| line.is("griever", "blocks its arbiter"))
        .await;
    assert_eq!(death(&client, id).await.attempt_count, 1);
    let stats = client.function_stats("griever").unwrap();
    assert_eq!((stats.arbiters_blocked, stats.events.dead), (1, 1));
    gate.open();
    let _ = runtime.shutdown(FAR).await;
}

#[actix::test]
async fn the_thread_of_a_replaced_arbiter_ends_once_it_is_free_again() {
    struct Farewell(mpsc::UnboundedSender<()>);
    impl Drop for Farewell {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    thread_local! {
        static FAREWELL: RefCell<Option<Farewell>> = const { RefCell::new(None) };
    }
    let (gate, (sender, mut stuck)) = (Gate::default(), mpsc::unbounded_channel());
    let (farewell, mut farewells) = mpsc::unbounded_channel();
    let passing = gate.clone();
    let handler = move |_: Event<u32>| {
        FAREWELL.set(Some(Farewell(farewell.clone())));
        let _ = sender.send(());
        passing.pass();
        async { Ok::<_, String>(()) }
    };
    let runtime = Runtime::builder()
        .arbiters(1)
        .blocked_after(Duration::from_millis(50))
        .function(Function::new("leaver", handler).timeout(FAR))
        .start()
        .await
        .unwrap();
    let id = invoke(&runtime.client(), "leaver", 1).await;
    stuck.recv().await.unwrap();
    log_capture::log()
        .wait(|line| line.is("leaver", "blocks its arbiter"))
        .await;
    gate.open();
    assert_eq!(
        success(&runtime.client(), id).await,
        1,
        "a late result within the timeout counts"
    );
    farewells.recv().await.unwrap();
    let _ = runtime.shutdown(FAR).await;
}

#[actix::test]
async fn a_worker_stopped_from_outside_costs_one_attempt_and_the_function_goes_on() {
    let handler = |event: Event<u32>| async move {
        if event.context().attempt() <= *event {
            Arbiter::current().stop();
            std::future::pending::<()>().await;
        }
        Ok::<_, String>(event.context().attempt())
    };
    let runtime = Runtime::builder()
        .arbiters(1)
        .function(Function::new("stopper", handler).retry(RetryPolicy::fixed(1, Duration::ZERO)))
        .function(echo("neighbour"))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    assert_eq!(client.call::<u32>("neighbour", 1_u32).await.unwrap(), 1);
    let once = invoke(&client, "stopper", 1).await;
    assert_eq!(success(&client, once).await, 2);
    let twice = invoke(&client, "stopper", 2).await;
    let letter = death(&client, twice).await;
    let kinds: Vec<_> = letter
        .attempts
        .iter()
        .map(|attempt| attempt.failure.kind)
        .collect();
    assert_eq!(kinds, [FailureKind::WorkerLost; 2]);
    assert_eq!(client.call::<u32>("neighbour", 2_u32).await.unwrap(), 2);
    let never = invoke(&client, "stopper", 0).await;
    assert_eq!(success(&client, never).await, 1);
    assert_eq!(client.function_stats("stopper").unwrap().restarts, 3);
    let _ = runtime.shutdown(FAR).await;
}

/// Receives letters, and ends after enough of them: by stopping, or by a panic.
struct Mortal {
    seen: mpsc::UnboundedSender<(&'static str, u32)>,
    name: &'static str,
    lives: u32,
}

impl Actor for Mortal {
    type Context = Context<Self>;
}

impl Handler<DeadLetter> for Mortal {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, ctx: &mut Self::Context) {
        self.seen
            .send((self.name, letter.payload.read().unwrap()))
            .unwrap();
        self.lives -= 1;
        match (self.lives, self.name) {
            (0, "panics") => panic!("on purpose"),
            (0, _) => ctx.stop(),
            _ => {}
        }
    }
}

#[actix::test]
async fn a_subscriber_that_dies_is_dropped_with_a_log_line_and_the_others_miss_nothing() {
    log_capture::hush();
    let log = log_capture::log();
    let handler = |_: Event<u32>| async { Err::<(), _>("no") };
    let runtime = Runtime::builder()
        .function(Function::new("mourned", handler).retry(RetryPolicy::none()))
        .start()
        .await
        .unwrap();
    let (seen, mut sights) = mpsc::unbounded_channel();
    for (name, lives) in [("stops", 1), ("panics", 1), ("lives", u32::MAX)] {
        let mortal = Mortal {
            seen: seen.clone(),
            name,
            lives,
        };
        let addr = Mortal::start_in_arbiter(&Arbiter::new().handle(), move |_| mortal);
        runtime
            .dead_letters()
            .send(Subscribe::new(addr.recipient()))
            .await
            .unwrap();
    }
    let gone = || {
        log.lines(|line| line.text.contains("dead-letter subscriber is gone"))
            .len()
    };
    // Only a send shows that a mailbox is closed, and the actor ends some time after its last letter.
    let mut letters = 0;
    let seen_by = |sights: &mut mpsc::UnboundedReceiver<_>| {
        let mut all = Vec::new();
        while let Ok(sight) = sights.try_recv() {
            all.push(sight);
        }
        all
    };
    let mut all = Vec::new();
    while gone() < 2 {
        invoke(&runtime.client(), "mourned", letters).await;
        letters += 1;
        // Each round ends when the survivor has its letter.
        loop {
            let sight = sights.recv().await.unwrap();
            all.push(sight);
            if sight == ("lives", letters - 1) {
                break;
            }
        }
    }
    all.extend(seen_by(&mut sights));
    let of = |name| {
        all.iter()
            .filter(|(who, _)| *who == name)
            .map(|(_, n)| *n)
            .collect::<Vec<u32>>()
    };
    assert_eq!((of("stops"), of("panics")), (vec![0], vec![0]));
    assert_eq!(
        of("lives"),
        (0..letters).collect::<Vec<_>>(),
        "each once, in order"
    );
    let _ = runtime.shutdown(FAR).await;
}

#[actix::test]
async fn a_hang_is_timed_out_and_costs_one_attempt() {
    let handler = |event: Event<u32>| async move {
        if event.context().attempt() <= *event {
            std::future::pending::<()>().await;
        }
        Ok::<_, String>(())
    };
    let hang = Function::new("hang", handler)
        .timeout(Duration::from_millis(30))
        .retry(RetryPolicy::fixed(1, Duration::ZERO));
    let runtime = Runtime::builder().function(hang).start().await.unwrap();
    let client = runtime.client();
    let once = invoke(&client, "hang", 1).await;
    assert_eq!(success(&client, once).await, 2);
    let twice = invoke(&client, "hang", 2).await;
    let letter = death(&client, twice).await;
    assert!(
        letter
            .attempts
            .iter()
            .all(|attempt| attempt.failure.kind == FailureKind::Timeout)
    );
    assert!(
        letter
            .attempts
            .iter()
            .all(|attempt| attempt.duration >= Duration::from_millis(30))
    );
    let _ = runtime.shutdown(FAR).await;
}

#[actix::test]
async fn a_future_need_not_be_send() {
    let handler = |event: Event<u32>| async move {
        let shared = Rc::new(RefCell::new(*event));
        let other = shared.clone();
        tokio::task::yield_now().await;
        tokio::task::spawn_local(async move { *other.borrow_mut() += 1 })
            .await
            .unwrap();
        Ok::<_, String>(*shared.borrow())
    };
    let runtime = Runtime::builder()
        .function(Function::new("local", handler))
        .start()
        .await
        .unwrap();
    assert_eq!(
        runtime.client().call::<u32>("local", 41_u32).await.unwrap(),
        42
    );
    let _ = runtime.shutdown(FAR).await;
}

#[actix::test]
async fn blocking_functions_block_no_arbiter_and_their_panics_and_timeouts_are_caught() {
    log_capture::hush();
    let (gate, (sender, mut stuck)) = (Gate::default(), mpsc::unbounded_channel());
    let passing = gate.clone();
    let handler = move |event: Event<String>| {
        let first = event.context().attempt() == 1;
        match event.as_str() {
            "panic" => panic!("on purpose"),
            "block" if first => {
                sender.send(std::thread::current().id()).unwrap();
                passing.pass();
                Err("too late")
            }
            _ => Ok(event.context().attempt()),
        }
    };
    let blocking = Function::blocking("blocking", handler)
        .concurrency(1)
        .timeout(Duration::from_millis(200))
        .retry(RetryPolicy::fixed(1, Duration::ZERO));
    let runtime = Runtime::builder()
        .arbiters(1)
        .blocked_after(Duration::from_millis(20))
        .function(blocking)
        .function(echo("beside"))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    let blocked = client
        .invoke("blocking", "block".to_owned())
        .await
        .unwrap()
        .request_id;
    stuck.recv().await.unwrap();
    assert_eq!(client.call::<u32>("beside", 3_u32).await.unwrap(), 3);
    assert_eq!(success(&client, blocked).await, 2);
    gate.open();

    let panicking = client
        .invoke("blocking", "panic".to_owned())
        .await
        .unwrap()
        .request_id;
    let letter = death(&client, panicking).await;
    assert!(
        letter
            .attempts
            .iter()
            .all(|attempt| attempt.failure.kind == FailureKind::Panic)
    );
    assert!(letter.failure().unwrap().message.contains("on purpose"));
    assert_eq!(
        client
            .call::<u32>("blocking", "fine".to_owned())
            .await
            .unwrap(),
        1
    );
    let stats = client.stats();
    assert_eq!(
        (
            stats.arbiters_blocked,
            stats.events.succeeded,
            stats.events.dead
        ),
        (0, 1, 1)
    );
    let _ = runtime.shutdown(FAR).await;
}

/// The threads that user code was seen on.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<HashSet<(&'static str, ThreadId)>>>);

impl Seen {
    fn here(&self, what: &'static str) {
        self.0
            .lock()
            .unwrap()
            .insert((what, std::thread::current().id()));
    }
}

static SERIALISED: Mutex<Vec<ThreadId>> = Mutex::new(Vec::new());

/// A payload whose serialisation is user code too.
#[derive(serde::Deserialize)]
struct Witness(u32);

impl Serialize for Witness {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SERIALISED.lock().unwrap().push(std::thread::current().id());
        serializer.serialize_u32(self.0)
    }
}

struct State(Seen);

impl Drop for State {
    fn drop(&mut self) {
        self.0.here("drop of state");
    }
}

impl Stateful for State {
    type Payload = Witness;
    type Output = u32;
    type Error = String;

    async fn handle(&mut self, event: Event<Witness>) -> Result<u32, String> {
        self.0.here("handle");
        match event.0 {
            0 => Ok(0),
            1 => Err("no".to_owned()),
            _ => panic!("on purpose"),
        }
    }
}

#[actix::test]
async fn the_control_plane_runs_no_user_code() {
    log_capture::hush();
    let log = log_capture::log();
    let seen = Seen::default();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let closure = |what: &'static str| {
        let (seen, ended) = (seen.clone(), ended.clone());
        Destination::closure(move |_| {
            seen.here(what);
            ended.send(()).unwrap();
        })
    };
    let init = seen.clone();
    let stateful = |name: &str| {
        let init = init.clone();
        let init = move || {
            init.here("init");
            let state = State(init.clone());
            async move { Ok::<_, String>(state) }
        };
        Function::stateful(name, init).retry(RetryPolicy::fixed(1, Duration::ZERO))
    };
    let after = |name: &str| {
        let ended = ended.clone();
        Function::new(name, move |_: Event<serde_json::Value>| {
            ended.send(()).unwrap();
            async { Ok::<_, String>(()) }
        })
    };
    let runtime = Runtime::builder()
        .function(
            stateful("closures")
                .on_success(closure("on_success"))
                .on_failure(closure("on_failure")),
        )
        .function(
            stateful("functions")
                .on_success(Destination::function("after"))
                .on_failure(Destination::function("after")),
        )
        .function(after("after"))
        .start()
        .await
        .unwrap();
    for function in ["closures", "functions"] {
        for payload in 0..3 {
            runtime
                .client()
                .invoke(function, Witness(payload))
                .await
                .unwrap();
            ends.recv().await.unwrap();
        }
    }
    // Supervisors log on the thread of the control plane.
    let control = log
        .wait(|line| line.is("closures", "event became a dead letter"))
        .await
        .thread;
    let here = std::thread::current().id();
    let seen = seen.0.lock().unwrap().clone();
    for what in [
        "init",
        "handle",
        "drop of state",
        "on_success",
        "on_failure",
    ] {
        assert!(seen.iter().any(|(who, _)| *who == what), "{what} was seen");
    }
    let trespassers: Vec<_> = seen
        .iter()
        .filter(|(_, thread)| *thread == control || *thread == here)
        .collect();
    assert!(trespassers.is_empty(), "{trespassers:?}");
    assert!(
        !SERIALISED.lock().unwrap().contains(&control),
        "a payload was serialised by the control plane"
    );
    let _ = runtime.shutdown(FAR).await;
}

/// Holds its thread for 50 ms with payload 0, and until the gate is opened with payload 1.
fn computing(gate: &Gate, stuck: &mpsc::UnboundedSender<ThreadId>) -> Function {
    let (gate, stuck) = (gate.clone(), stuck.clone());
    let handler = move |event: Event<u32>| {
        let (gate, stuck) = (gate.clone(), stuck.clone());
        async move {
            if *event == 0 {
                std::thread::sleep(Duration::from_millis(50));
            } else {
                stuck.send(std::thread::current().id()).unwrap();
                gate.pass();
            }
            Ok::<_, String>(())
        }
    };
    Function::new("computing", handler).timeout(FAR)
}

/// There is one arbiter, and the watch sleeps: only on a dedicated thread can the second event leave room for others.
#[actix::test]
async fn a_function_that_holds_its_thread_moves_to_dedicated_arbiters() {
    let log = log_capture::log();
    let (gate, (stuck, mut held)) = (Gate::default(), mpsc::unbounded_channel());
    let runtime = Runtime::builder()
        .arbiters(1)
        .blocked_after(FAR)
        .function(computing(&gate, &stuck).concurrency(1))
        .function(echo("neighbour"))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    assert_eq!(client.call::<u32>("neighbour", 0_u32).await.unwrap(), 0);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(invoke(&client, "computing", 0).await);
    }
    let holding = invoke(&client, "computing", 1).await;
    held.recv().await.unwrap();
    assert_eq!(client.call::<u32>("neighbour", 7_u32).await.unwrap(), 7);
    let line = log
        .wait(|line| line.is("computing", "holds its thread"))
        .await;
    assert_eq!(line.level, tracing::Level::WARN);
    gate.open();
    for id in ids.into_iter().chain([holding]) {
        assert_eq!(success(&client, id).await, 1, "and no attempt is lost");
    }
    let _ = runtime.shutdown(FAR).await;
}

/// Returns the thread that it ran on.
fn whereabouts(name: &str) -> Function {
    Function::new(name, |_: Event<u32>| async {
        Ok::<_, String>(format!("{:?}", std::thread::current().id()))
    })
}

/// It computes for 2 ms at a time and yields in between, in one endless run.
#[actix::test]
async fn workers_leave_an_arbiter_that_a_long_run_holds_repeatedly() {
    let (sender, mut begun) = mpsc::unbounded_channel();
    let handler = move |_: Event<u32>| {
        sender
            .send(format!("{:?}", std::thread::current().id()))
            .unwrap();
        async {
            loop {
                std::thread::sleep(Duration::from_millis(2));
                tokio::task::yield_now().await;
            }
            #[allow(unreachable_code, reason = "it gives the handler its type")]
            Ok::<_, String>(())
        }
    };
    let runtime = Runtime::builder()
        .arbiters(1)
        .blocked_after(FAR)
        .function(Function::new("endless", handler).timeout(FAR))
        .function(whereabouts("neighbour"))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    invoke(&client, "endless", 0).await;
    let held = begun.recv().await.unwrap();
    let moved = async { while client.call::<String>("neighbour", 0_u32).await.unwrap() == held {} };
    let moved = tokio::time::timeout(Duration::from_secs(60), moved).await;
    moved.expect("the neighbour moves to another arbiter");
    let _ = runtime.shutdown(Duration::ZERO).await;
}

#[actix::test]
async fn after_a_blocked_arbiter_unproven_functions_get_dedicated_arbiters() {
    let (gate, (sender, mut stuck)) = (Gate::default(), mpsc::unbounded_channel());
    let runtime = Runtime::builder()
        .arbiters(1)
        .blocked_after(Duration::from_millis(50))
        .function(stubborn("first", &gate, &sender).timeout(FAR))
        .function(stubborn("second", &gate, &sender).timeout(FAR))
        .function(whereabouts("neighbour"))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    invoke(&client, "first", 1).await;
    stuck.recv().await.unwrap();
    log_capture::log()
        .wait(|line| line.is("first", "blocks its arbiter"))
        .await;
    let here = client.call::<String>("neighbour", 0_u32).await.unwrap();
    invoke(&client, "second", 1).await;
    let there = stuck.recv().await.unwrap();
    assert_ne!(here, format!("{there:?}"));
    gate.open();
    let _ = runtime.shutdown(FAR).await;
}

/// Events that each hold their thread for good, as long as the gate is shut.
fn blocking_for_good(gate: &Gate) -> Function {
    let gate = gate.clone();
    let handler = move |_: Event<u32>| {
        gate.pass();
        async { Ok::<_, String>(()) }
    };
    Function::new("blocking", handler)
        .concurrency(1)
        .timeout(FAR)
}

#[actix::test]
async fn threads_that_a_function_holds_for_good_are_bounded_and_it_goes_on_when_they_return() {
    let log = log_capture::log();
    let gate = Gate::default();
    let blocking = blocking_for_good(&gate)
        .abandoned_threads_max(2)
        .restarts(redrive::RestartIntensity::unlimited());
    let runtime = Runtime::builder()
        .arbiters(1)
        .blocked_after(Duration::from_millis(50))
        .function(blocking)
        .function(echo("neighbour"))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(invoke(&client, "blocking", number).await);
    }
    let line = log
        .wait(|line| line.is("blocking", "abandoned threads have reached"))
        .await;
    assert_eq!(line.level, tracing::Level::ERROR);
    assert_eq!(client.call::<u32>("neighbour", 7_u32).await.unwrap(), 7);
    let stats = client.function_stats("blocking").unwrap();
    assert_eq!((stats.abandoned_threads, stats.arbiters_blocked), (2, 2));
    assert_eq!((stats.events.running, stats.events.ready), (2, 3));
    gate.open();
    for id in ids {
        assert_eq!(success(&client, id).await, 1);
    }
    while client.function_stats("blocking").unwrap().abandoned_threads > 0 {
        tokio::task::yield_now().await;
    }
    let _ = runtime.shutdown(FAR).await;
}

#[actix::test]
async fn a_blocked_arbiter_is_a_crash_of_its_function() {
    let log = log_capture::log();
    let gate = Gate::default();
    let intensity = redrive::RestartIntensity::new(0, FAR).backoff(FAR, FAR);
    let runtime = Runtime::builder()
        .arbiters(1)
        .blocked_after(Duration::from_millis(50))
        .function(blocking_for_good(&gate).restarts(intensity))
        .function(echo("neighbour"))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    for number in 0..3 {
        invoke(&client, "blocking", number).await;
    }
    log.wait(|line| line.is("blocking", "backing off")).await;
    assert_eq!(client.call::<u32>("neighbour", 7_u32).await.unwrap(), 7);
    let stats = client.function_stats("blocking").unwrap();
    assert_eq!((stats.arbiters_blocked, stats.restarts), (1, 1));
    assert_eq!(stats.events.ready, 2, "they wait unharmed");
    gate.open();
    let _ = runtime.shutdown(Duration::ZERO).await;
}

/// Each event fails at once without an await, and its worker is rebuilt without one.
#[actix::test]
async fn a_function_that_always_panics_does_not_starve_others() {
    hush();
    let bomb = Function::new("bomb", |_: Event<u32>| async {
        if true {
            panic!("as scripted");
        }
        Ok::<_, String>(())
    });
    let bomb = bomb
        .concurrency(1)
        .retry(RetryPolicy::none())
        .restarts(redrive::RestartIntensity::unlimited());
    let runtime = Runtime::builder()
        .arbiters(1)
        .blocked_after(FAR)
        .function(bomb)
        .function(echo("neighbour"))
        .start()
        .await
        .unwrap();
    let client = runtime.client();
    client.invoke_batch("bomb", 0..20_000_u32).await.unwrap();
    assert_eq!(client.call::<u32>("neighbour", 7_u32).await.unwrap(), 7);
    let left = client.function_stats("bomb").unwrap().events.pending();
    assert!(left > 0, "it had its turn before the last bomb");
    let _ = runtime.shutdown(Duration::ZERO).await;
}

/// Keeps the panics of this file out of its output.
fn hush() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.to_string().contains("as scripted") {
            loud(info);
        }
    }));
}
