//! Shortage of resources: a full disk, too few descriptors, a limit of the file size. The runtime refuses events for a while, and
//! neither the store nor the process is lost. Each case runs in a child process that has the limit.
#![cfg(all(feature = "disk", unix))]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod child;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use child::Voice;
use redrive::store::Health;
use redrive::{Client, Disk, Event, Function, InvokeError, Receipt, Runtime, StoreErrorKind};

/// Longer than anything may take.
const LONG: Duration = Duration::from_secs(60);

async fn ok(_: Event<String>) -> Result<(), String> {
    Ok(())
}

async fn start(folder: &Path) -> Runtime {
    let disk = Disk::new(folder).segment_bytes(64 << 10);
    let function = Function::new("f", ok).retain(0, Duration::from_secs(1), 1);
    let builder = Runtime::builder().disk(disk).function(function);
    builder.start().await.unwrap()
}

async fn send(client: &Client, bytes: usize) -> Result<Receipt, StoreErrorKind> {
    match client.invoke("f", "x".repeat(bytes)).await {
        Ok(receipt) => Ok(receipt),
        Err(InvokeError::Store(error)) => Err(error.kind()),
        Err(error) => panic!("{error}"),
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn all_done(client: &Client) {
    until("all events are done", async || {
        client.stats().events.pending() == 0
    })
    .await;
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

// --- the tasks of the children

async fn many_segments(folder: &Path) {
    let runtime = start(folder).await;
    let client = runtime.client();
    client.pause("f");
    // 300 files of the log.
    for _ in 0..300 {
        send(&client, 64 << 10).await.unwrap();
    }
    assert_eq!(client.store_health(), Some(Health::Well));
    drop(runtime.shutdown(Duration::ZERO).await);
    let runtime = start(folder).await;
    all_done(&runtime.client()).await;
    assert!(open_files() < 64, "{}", open_files());
    drop(runtime.shutdown(LONG).await);
}

/// Other files take all descriptors while events come.
async fn no_descriptor(folder: &Path) {
    let runtime = start(folder).await;
    let client = runtime.client();
    send(&client, 10).await.unwrap();
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    let (mut kept, mut refused) = (1, 0);
    while refused < 20 {
        match send(&client, 8 << 10).await {
            Ok(_) => kept += 1,
            Err(kind) => {
                assert_eq!(kind, StoreErrorKind::Short);
                refused += 1;
            }
        }
    }
    assert_ne!(kept, 1, "the last file grows on");
    assert_eq!(client.store_health(), Some(Health::Well));
    drop(held);
    send(&client, 8 << 10).await.unwrap();
    all_done(&client).await;
    let report = runtime.shutdown(LONG).await;
    assert!(report.unfinished.is_empty());
}

async fn file_limit(folder: &Path) {
    let runtime = start(folder).await;
    let client = runtime.client();
    client.pause("f");
    for _ in 0..200 {
        send(&client, 5_000).await.unwrap();
    }
    // One that no file can take is refused, and nothing else.
    assert!(send(&client, 200_000).await.is_err());
    assert_eq!(client.store_health(), Some(Health::Well));
    client.resume("f");
    all_done(&client).await;
    drop(runtime.shutdown(LONG).await);
}

/// The disk is full of events. They run, and there is room; and while it is full it can be opened.
async fn full(folder: &Path) {
    let runtime = start(folder).await;
    let client = runtime.client();
    client.pause("f");
    let mut refused = 0;
    while refused < 20 {
        let bytes = if refused < 10 { 2_000 } else { 1 };
        match send(&client, bytes).await {
            Ok(_) => {}
            Err(kind) => {
                assert_eq!(kind, StoreErrorKind::Full);
                refused += 1;
            }
        }
    }
    drop(runtime.shutdown(Duration::ZERO).await);
    let runtime = start(folder).await;
    let client = runtime.client();
    all_done(&client).await;
    until("an event is taken", async || {
        send(&client, 10).await.is_ok()
    })
    .await;
    assert_eq!(client.store_health(), Some(Health::Well));
    drop(runtime.shutdown(LONG).await);
}

// --- the children, and who starts them

#[test]
#[ignore = "a child process of the other tests"]
fn child() {
    let Some(task) = child::task() else { return };
    let (what, folder) = task.split_once(' ').unwrap();
    let folder = PathBuf::from(folder);
    actix::System::new().block_on(async {
        match what {
            "many_segments" => many_segments(&folder).await,
            "no_descriptor" => no_descriptor(&folder).await,
            "file_limit" => file_limit(&folder).await,
            "full" => full(&folder).await,
            _ => panic!("{what}"),
        }
    });
    Voice::new().say("done");
}

/// Runs a task in a child with a limit that the shell has set.
fn limited(limit: &str, what: &str, folder: &Path) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")])
        .arg(program)
        .args([
            "child",
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("REDRIVE_TEST_CHILD", format!("{what} {}", folder.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let done = output.status.success() && said.contains("> done");
    assert!(
        done,
        "{what}: {}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Returns whether the shell can set this limit.
fn can(limit: &str) -> bool {
    let tried = Command::new("sh").args(["-c", limit]).output();
    let can = tried.is_ok_and(|tried| tried.status.success());
    if !can {
        eprintln!("skipped: `{limit}` can't be done here");
    }
    can
}

#[test]
fn a_folder_with_many_files_needs_few_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    if can("ulimit -n 64") {
        limited("ulimit -n 64", "many_segments", folder.path());
    }
}

#[test]
fn a_store_without_descriptors_goes_on_when_there_are_some() {
    let folder = tempfile::tempdir().unwrap();
    if can("ulimit -n 100") {
        limited("ulimit -n 100", "no_descriptor", folder.path());
    }
}

#[test]
fn a_file_size_limit_does_not_kill_the_process() {
    let folder = tempfile::tempdir().unwrap();
    // 512 bytes each, or 1,024.
    if can("ulimit -f 100") {
        limited("ulimit -f 100", "file_limit", folder.path());
    }
}

/// A separate file system, mounted until it is dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = format!(
            "mount -t tmpfs -o {options} tmpfs {}",
            folder.path().display()
        );
        can(&mount).then_some(Self(folder))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_can_be_opened_and_has_room_once_its_events_are_done() {
    for options in ["size=2m", "size=8m"] {
        if let Some(disk) = Mounted::new(options) {
            limited("true", "full", &disk.0.path().join("data"));
        }
    }
}
