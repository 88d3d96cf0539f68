//! A runtime in its host program: it has its own threads, under every kind of `main` and every way to stop it.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use actix::prelude::*;
use redrive::{
    DeadLetter, Event, Filter, Final, Function, Invoke, List, Runtime, Shutdown, Status, Subscribe,
};
use tokio::sync::mpsc;

const GRACE: Duration = Duration::from_secs(20);

fn echo() -> Function {
    Function::new("echo", |event: Event<u32>| async move {
        Ok::<_, String>(*event)
    })
}

async fn start(function: Function) -> Runtime {
    let builder = Runtime::builder().function(function);
    builder.start().await.unwrap()
}

#[tokio::test]
async fn a_runtime_lives_under_tokio() {
    let runtime = start(echo()).await;
    assert_eq!(
        runtime.client().call::<u32>("echo", 7_u32).await.unwrap(),
        7
    );
    assert!(runtime.shutdown(GRACE).await.unfinished.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_lives_under_tokio_on_many_threads() {
    let runtime = start(echo()).await;
    let client = runtime.client();
    let calling = tokio::spawn(async move { client.call::<u32>("echo", 7_u32).await });
    assert_eq!(calling.await.unwrap().unwrap(), 7);
    assert!(runtime.shutdown(GRACE).await.unfinished.is_empty());
}

#[test]
fn a_runtime_works_under_any_executor() {
    let answer = std::thread::spawn(|| {
        let waiting = async {
            let runtime = start(echo()).await;
            let answer = runtime.client().call::<u32>("echo", 7_u32).await.unwrap();
            let _ = runtime.shutdown(GRACE).await;
            answer
        };
        poll_until_ready(waiting)
    });
    assert_eq!(answer.join().unwrap(), 7);
}

/// An executor without timers, reactors or a name.
fn poll_until_ready<R>(future: impl Future<Output = R>) -> R {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(result) => return result,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_runtime_outlives_the_system_that_it_was_started_in() {
    let system = System::new();
    let runtime = system.block_on(start(echo()));
    let client = runtime.client();
    system.block_on(async { System::current().stop() });
    system.run().unwrap();
    System::new().block_on(async {
        assert_eq!(client.call::<u32>("echo", 7_u32).await.unwrap(), 7);
        assert!(runtime.shutdown(GRACE).await.unfinished.is_empty());
    });
}

/// Records each dead letter that it gets.
struct Ear(mpsc::UnboundedSender<DeadLetter>);

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<DeadLetter> for Ear {
    type Result = ();

    fn handle(&mut self, letter: DeadLetter, _: &mut Self::Context) {
        self.0.send(letter).unwrap();
    }
}

#[actix::test]
async fn router_and_dead_letter_queue_are_reached_from_the_applications_actors() {
    let dying = Function::new("dying", |_: Event<u32>| async {
        Err::<(), _>(Final::new("no"))
    });
    let runtime = start(dying).await;
    let (sender, mut letters) = mpsc::unbounded_channel();
    let ear = Ear(sender).start().recipient();
    runtime
        .dead_letters()
        .send(Subscribe::new(ear))
        .await
        .unwrap();
    let receipt = runtime.router().send(Invoke::event("dying", 1_u32)).await;
    let id = receipt.unwrap().unwrap().request_id;
    assert_eq!(letters.recv().await.unwrap().request_id, id);
    let page = runtime.dead_letters().send(List::new(Filter::new())).await;
    assert_eq!(page.unwrap().letters.len(), 1);
    let _ = runtime.shutdown(GRACE).await;
}

#[derive(Default)]
struct Counter(u32);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Supervised for Counter {}

impl SystemService for Counter {}

#[derive(Message)]
#[rtype(u32)]
struct Count;

impl Handler<Count> for Counter {
    type Result = u32;

    fn handle(&mut self, _: Count, _: &mut Self::Context) -> u32 {
        self.0 += 1;
        self.0
    }
}

#[actix::test]
async fn handlers_find_the_services_of_the_applications_system() {
    let counting = Function::new("counting", |_: Event<()>| async {
        Counter::from_registry().send(Count).await
    });
    let runtime = start(counting).await;
    assert_eq!(Counter::from_registry().send(Count).await.unwrap(), 1);
    let client = runtime.client();
    assert_eq!(client.call::<u32>("counting", ()).await.unwrap(), 2);
    assert_eq!(Counter::from_registry().send(Count).await.unwrap(), 3);
    let _ = runtime.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_shutdown_goes_on_when_its_caller_stops_waiting() {
    let (began, mut begun) = mpsc::unbounded_channel();
    let (sender, mut ended) = mpsc::unbounded_channel();
    let handler = move |_: Event<u32>| {
        let (began, ended) = (began.clone(), sender.clone());
        async move {
            began.send(()).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            ended.send(()).unwrap();
            Ok::<_, String>(())
        }
    };
    let runtime = start(Function::new("slow", handler)).await;
    let (client, caller) = (runtime.client(), runtime.client());
    let event = client.invoke("slow", 1_u32).await.unwrap().request_id;
    let calling = tokio::spawn(async move { caller.call::<()>("slow", 2_u32).await });
    let waiter = client.clone();
    let waiting = tokio::spawn(async move { waiter.wait(event).await });
    begun.recv().await.unwrap();
    begun.recv().await.unwrap();
    let ending = tokio::time::timeout(Duration::from_millis(1), runtime.shutdown(GRACE));
    assert!(ending.await.is_err(), "nobody waits for it any more");
    ended.recv().await.unwrap();
    ended.recv().await.unwrap();
    assert!(calling.await.unwrap().is_ok(), "a caller has its answer");
    let status = waiting.await.unwrap();
    assert!(
        matches!(status, Some(Status::Succeeded { .. })),
        "{status:?}"
    );
    while client.is_open() {
        tokio::task::yield_now().await;
    }
}

// --- signals, each in a separate process

/// A function that takes a while, of which 8 events are under way: 4 run, 4 wait.
async fn busy_runtime() -> Runtime {
    let handler = |event: Event<u32>| async move {
        println!("started {}", *event);
        tokio::time::sleep(Duration::from_millis(500)).await;
        println!("finished {}", *event);
        Ok::<_, String>(())
    };
    let runtime = start(Function::new("slow", handler).concurrency(4)).await;
    for number in 0..8_u32 {
        runtime.client().invoke("slow", number).await.unwrap();
    }
    runtime
}

fn drained() -> Shutdown {
    Shutdown::new(GRACE).drain_mailboxes()
}

/// The child process of the tests below. Does nothing in the test run itself.
#[test]
fn child() {
    let Ok(mode) = std::env::var("REDRIVE_TEST_CHILD") else {
        return;
    };
    let tokio = || tokio::runtime::Runtime::new().unwrap();
    let unfinished = match mode.as_str() {
        "until_signal under actix" => System::new().block_on(until_signal()),
        "until_signal under tokio" => tokio().block_on(until_signal()),
        "hurried" => tokio().block_on(hurried()),
        "serve" => tokio().block_on(serve()),
        "actix-web" => System::new().block_on(actix_web_alone()),
        "actix-web served" => System::new().block_on(actix_web_served()),
        _ => System::new().block_on(async {
            let runtime = busy_runtime().await;
            std::future::pending::<()>().await;
            drop(runtime);
            0
        }),
    };
    println!("over, {unfinished} left");
}

async fn until_signal() -> usize {
    let runtime = busy_runtime().await;
    runtime.until_signal(drained()).await.unfinished.len()
}

/// An event that never ends: only a second signal ends the grace period of an hour.
async fn hurried() -> usize {
    let handler = |_: Event<u32>| async {
        println!("started");
        std::future::pending::<Result<(), String>>().await
    };
    let endless = Function::new("endless", handler).timeout(Duration::from_secs(7200));
    let runtime = start(endless).await;
    runtime.client().invoke("endless", 1_u32).await.unwrap();
    let report = runtime.until_signal(Duration::from_secs(3600)).await;
    report.unfinished.len()
}

/// A server that ends some time after it is asked to.
async fn serve() -> usize {
    let runtime = busy_runtime().await;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let server = async {
        stopped.await.unwrap();
        println!("server stops");
        tokio::time::sleep(Duration::from_millis(100)).await;
        println!("server stopped");
        Ok::<_, std::io::Error>(())
    };
    let stop = || async { stop.send(()).unwrap() };
    let report = runtime.serve(server, stop, drained()).await.unwrap();
    report.unfinished.len()
}

fn web_server() -> actix_web::dev::Server {
    let server = actix_web::HttpServer::new(actix_web::App::new).workers(1);
    server.bind(("127.0.0.1", 0)).unwrap().run()
}

/// As most applications are written: the server handles the signals, and stops the whole `System` soon after itself.
async fn actix_web_alone() -> usize {
    let runtime = busy_runtime().await;
    web_server().await.unwrap();
    println!("server stopped");
    let report = runtime.shutdown(drained()).await;
    report.unfinished.len()
}

async fn actix_web_served() -> usize {
    let runtime = busy_runtime().await;
    let server = web_server();
    let handle = server.handle();
    let stop = || async move { handle.stop(true).await };
    let report = runtime.serve(server, stop, drained()).await.unwrap();
    report.unfinished.len()
}

/// Starts a child in this mode, and waits until its handlers have started.
fn spawn_child(mode: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("REDRIVE_TEST_CHILD", mode)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("started") {
        line.clear();
        let read = output.read_line(&mut line).unwrap();
        assert!(read > 0, "the child ended before it started");
    }
    (child, output)
}

/// Sends SIGTERM, once the child listens for it.
fn terminate(child: &Child) {
    let id = child.id().to_string();
    while !catches_sigterm(&id) {
        std::thread::yield_now();
    }
    send(child, "-TERM");
}

/// Whether the process has a handler for signal 15, as its mask of caught signals says.
fn catches_sigterm(id: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    mask & 1 << (15 - 1) != 0
}

fn send(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status().unwrap();
    assert!(sent.success());
}

/// Returns the output of a child in this mode after SIGTERM. The child exits with success.
fn after_sigterm(mode: &str) -> String {
    let (mut child, mut output) = spawn_child(mode);
    terminate(&child);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{mode}: {rest}");
    rest
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_loses_no_event_under_any_main() {
    for mode in [
        "until_signal under actix",
        "until_signal under tokio",
        "serve",
        "actix-web",
        "actix-web served",
    ] {
        let rest = after_sigterm(mode);
        let finished = rest.lines().filter(|line| line.starts_with("finished "));
        assert_eq!(finished.count(), 8, "{mode}: {rest}");
        assert!(rest.contains("over, 0 left"), "{mode}: {rest}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_is_stopped_before_the_runtime() {
    let rest = after_sigterm("serve");
    let place = |text| rest.find(text).unwrap();
    assert!(place("server stops") < place("server stopped"), "{rest}");
    assert!(place("server stopped") < place("over"), "{rest}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_second_signal_ends_the_grace_period() {
    let (mut child, mut output) = spawn_child("hurried");
    terminate(&child);
    // The first one is noted by now, or both are one: then a third is needed.
    let over = std::thread::spawn(move || {
        let mut rest = String::new();
        output.read_to_string(&mut rest).map(|_| rest)
    });
    while !over.is_finished() {
        send(&child, "-INT");
        std::thread::sleep(Duration::from_millis(20));
    }
    let rest = over.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert!(rest.contains("over, 1 left"), "{rest}");
}

#[cfg(unix)]
#[test]
fn without_until_signal_a_signal_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let (mut child, _output) = spawn_child("ignores");
    send(&child, "-TERM");
    let status = child.wait().unwrap();
    // The process has no handler, so the operating system's default applies.
    assert_eq!(status.signal(), Some(15), "{status}");
}
