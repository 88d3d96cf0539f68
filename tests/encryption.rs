//! The folder of the store is encrypted. Each part can be decrypted only with its key, and only as part of its own event.
#![cfg(all(feature = "encryption", feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redrive::store::encryption::{KeyFile, MasterKey};
use redrive::{
    BuildError, Disk, Event, Function, RequestId, RetryPolicy, Runtime, Status, StoreErrorKind,
};

const SECRET: &str = "the patient is called Mrs Miggins";

/// Returns its payload, or fails with it.
fn echo(name: &str) -> Function {
    Function::new(name, async |event: Event<(bool, String)>| {
        match event.payload() {
            (true, text) => Ok(text.clone()),
            (false, text) => Err(text.clone()),
        }
    })
    .retry(RetryPolicy::none())
}

async fn start(disk: Disk) -> Result<Runtime, BuildError> {
    Runtime::builder()
        .disk(disk)
        .function(echo("f"))
        .start()
        .await
}

async fn stop(runtime: Runtime) {
    drop(runtime.shutdown(Duration::from_secs(5)).await);
}

/// One that waits, one that succeeded, one that died, all with a secret.
async fn three(runtime: &Runtime) -> [RequestId; 3] {
    let client = runtime.client();
    let secret = |well| (well, SECRET.to_owned());
    let good = client.invoke("f", secret(true)).await.unwrap().request_id;
    let dead = client.invoke("f", secret(false)).await.unwrap().request_id;
    client.wait(good).await.unwrap();
    client.wait(dead).await.unwrap();
    client.pause("f");
    let waits = client.invoke("f", secret(true)).await.unwrap().request_id;
    [waits, good, dead]
}

async fn check(runtime: &Runtime, [waits, good, dead]: [RequestId; 3]) {
    let client = runtime.client();
    for id in [waits, good] {
        let status = client.wait(id).await.unwrap();
        assert_eq!(status.result::<String>().unwrap().unwrap(), SECRET);
    }
    let Some(Status::Dead(letter)) = client.status(dead).await else {
        panic!()
    };
    assert_eq!(letter.attempts[0].failure.message, SECRET);
    assert_eq!(letter.payload.read::<(bool, String)>().unwrap().1, SECRET);
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

fn holds(folder: &Path, text: &str) -> bool {
    let holds = |bytes: &[u8]| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    files(folder).iter().any(|(_, bytes)| holds(bytes))
}

fn key(folder: &Path, name: &str) -> KeyFile {
    let path = folder.join(name);
    KeyFile::read(&path)
        .or_else(|_| KeyFile::generate(&path))
        .unwrap()
}

#[actix::test]
async fn nothing_secret_can_be_read_from_the_folder() {
    for encrypted in [false, true] {
        let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let disk = || match encrypted {
            true => Disk::new(folder.path()).encrypted_with(key(keys.path(), "a")),
            false => Disk::new(folder.path()),
        };
        let runtime = start(disk()).await.unwrap();
        let ids = three(&runtime).await;
        stop(runtime).await;
        assert_eq!(holds(folder.path(), "Miggins"), !encrypted);
        let verified = redrive::store::disk::verify(folder.path()).unwrap();
        let counted = (verified.pending, verified.finished, verified.dead_letters);
        assert_eq!((counted, verified.unreadable), ((1, 1, 1), 0));
        let runtime = start(disk()).await.unwrap();
        check(&runtime, ids).await;
        stop(runtime).await;
    }
}

#[actix::test]
async fn another_key_or_none_is_refused_and_nothing_is_touched() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let right = key(keys.path(), "right");
    let wanted = right.id();
    let runtime = start(Disk::new(folder.path()).encrypted_with(right))
        .await
        .unwrap();
    let ids = three(&runtime).await;
    stop(runtime).await;
    let before = files(folder.path());
    let wrong = Disk::new(folder.path()).encrypted_with(key(keys.path(), "wrong"));
    for disk in [wrong, Disk::new(folder.path())] {
        let Err(BuildError::Store(refused)) = start(disk).await else {
            panic!("it was opened")
        };
        assert_eq!(refused.kind(), StoreErrorKind::Key, "{refused}");
        assert_eq!(files(folder.path()), before);
    }
    let wrong = Disk::new(folder.path()).encrypted_with(key(keys.path(), "wrong"));
    let refused = start(wrong).await.unwrap_err().to_string();
    assert!(refused.contains(&wanted), "{refused}");
    let right = Disk::new(folder.path()).encrypted_with(key(keys.path(), "right"));
    let runtime = start(right).await.unwrap();
    check(&runtime, ids).await;
    stop(runtime).await;
}

#[actix::test]
async fn keys_are_changed_without_writing_an_event_again() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let new_key = || key(keys.path(), "new");
    let old_key = || key(keys.path(), "old");
    let runtime = start(Disk::new(folder.path()).encrypted_with(old_key()))
        .await
        .unwrap();
    let ids = three(&runtime).await;
    stop(runtime).await;
    let log = files(folder.path())
        .into_iter()
        .find(|(name, _)| name.ends_with(".log"))
        .unwrap();
    // Twice: the second time there is nothing to change any more.
    for _ in 0..2 {
        let reencrypted = Disk::new(folder.path()).with_rotated_master_key(new_key(), old_key());
        stop(start(reencrypted).await.unwrap()).await;
    }
    assert!(files(folder.path()).contains(&log));
    let old = Disk::new(folder.path()).encrypted_with(old_key());
    assert!(matches!(start(old).await, Err(BuildError::Store(_))));
    let afresh = Disk::new(folder.path()).with_rotated_data_key(new_key());
    let runtime = start(afresh).await.unwrap();
    check(&runtime, ids).await;
    let more = three(&runtime).await;
    stop(runtime).await;
    let runtime = start(Disk::new(folder.path()).encrypted_with(new_key()))
        .await
        .unwrap();
    check(&runtime, ids).await;
    check(&runtime, more).await;
    stop(runtime).await;
}

#[actix::test]
async fn an_unencrypted_folder_is_encrypted_from_the_first_start_with_a_key() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let runtime = start(Disk::new(folder.path())).await.unwrap();
    let ids = three(&runtime).await;
    stop(runtime).await;
    let encrypted = || Disk::new(folder.path()).encrypted_with(key(keys.path(), "a"));
    let runtime = start(encrypted()).await.unwrap();
    check(&runtime, ids).await;
    stop(runtime).await;
    assert!(matches!(
        start(Disk::new(folder.path())).await,
        Err(BuildError::Store(_))
    ));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[actix::test]
async fn neither_debug_nor_the_log_shows_a_payload() {
    /// Beside this test others run, whose failures are logged.
    const OWN: &str = "the patient is called Lady Teazle";
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Disk::new(folder.path()).encrypted_with(key(keys.path(), "a"));
    assert!(!format!("{disk:?}").contains("key"));
    let runtime = start(disk).await.unwrap();
    let client = runtime.client();
    let event = redrive::Invoke::event("f", (true, OWN.to_owned()));
    assert!(!format!("{event:?}").contains("Teazle"));
    let id = client.send(event).await.unwrap().request_id;
    let status = client.wait(id).await.unwrap();
    assert!(!format!("{status:?}").contains("Teazle"));
    stop(runtime).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("accepted") && !log.contains("Teazle"));
}
