//! No loss is silent: an error or a warning names the lost file or bytes.

use std::io;
use std::sync::{Arc, Mutex};

use super::{SimulatedFolder, append, ask, at, event, fetch, filler, keep, open, succeed, tiny};
use super::{kill, virtual_time};
use crate::error::StoreErrorKind;
use crate::event::request_id::RequestId;
use crate::store::disk::files::Files;
use crate::store::disk::verify::verify_files;
use crate::store::{EventStore, KnownState};

/// Returns the log lines of `run`.
fn heard<R>(test: impl FnOnce() -> R) -> (R, String) {
    let log = Log::default();
    let heard = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || log.clone())
        .finish();
    let result = tracing::subscriber::with_default(subscriber, test);
    let bytes = heard.0.lock().unwrap().clone();
    (result, String::from_utf8(bytes).unwrap())
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const SET: &str = r#"{"charge":{"paused":true}}"#;

/// The contents of a folder as a store reads it.
#[derive(Debug, PartialEq)]
struct Found {
    waiting: Vec<(RequestId, u32)>,
    done: bool,
    configured: Option<String>,
}

/// Returns a small folder: two waiting events, of which one ran, a succeeded event, and a configuration.
fn folder(closed: bool) -> (SimulatedFolder, [RequestId; 3]) {
    let files = SimulatedFolder::new(1);
    let store = open(&files, &tiny(1 << 16), 0).unwrap();
    let ids = ["1", "2", "3"].map(|payload| keep(&store, event("charge", payload, at(0))));
    ask(|reply| store.configure(SET.to_owned(), reply)).unwrap();
    succeed(&store, ids[2]);
    keep(&store, event("other", "4", at(0)));
    store.begin(0, &[ids[0]]).unwrap();
    match closed {
        true => {
            drop(store);
            (files.killed(), ids)
        }
        false => (kill(store, &files), ids),
    }
}

fn found(files: &SimulatedFolder, ids: &[RequestId; 3]) -> Result<Found, crate::error::StoreError> {
    let store = open(files, &tiny(1 << 16), 1)?;
    let fetched = fetch(&store, "charge", at(9))?;
    let waiting = fetched.events.iter();
    let done = ask(|reply| store.look(ids[2], reply))?;
    Ok(Found {
        waiting: waiting
            .map(|event| (event.request_id, event.deaths))
            .collect(),
        done: done.is_some_and(|known| matches!(known.state, KnownState::Succeeded { .. })),
        configured: ask(|reply| store.configured(reply))?,
    })
}

#[test]
fn damage_to_any_byte_is_harmless_refused_or_warned_of() {
    for closed in [false, true] {
        virtual_time(|| {
            let (whole, ids) = folder(closed);
            let right = found(&whole.killed(), &ids).unwrap();
            assert_eq!((right.waiting.len(), right.done), (2, true));
            let (mut kept, mut refused, mut warned) = (0, 0, 0);
            let mut lengths = whole.lengths();
            // The store reads nothing from it.
            lengths.remove("reserve");
            for (name, length) in lengths {
                // The unused crash marks are all alike.
                let bytes = || {
                    let all = 0..length as usize;
                    all.filter(|at| name != "running" || *at < 300 || at % 61 == 0)
                };
                let flips = bytes().flat_map(|at| [1_u8, 0x40, 0xff].map(|by| (at, Some(by))));
                let cuts = bytes().map(|at| (at, None));
                for (at, by) in flips.chain(cuts) {
                    let hint = format!("{name}, byte {at}, {by:?}, closed: {closed}");
                    let damaged = whole.with(&name, |bytes| match by {
                        Some(by) => bytes[at] ^= by,
                        None => bytes.truncate(at),
                    });
                    let (opened, log) = heard(|| found(&damaged, &ids));
                    let warning =
                        log.contains("WARN") && log.contains(&format!("/simulated/{name}"));
                    match opened {
                        Ok(opened) if opened == right => kept += 1,
                        // The event that ran is kept; its possible part in the process death is lost.
                        Ok(opened) if name == "running" && (at == 0 || at == 128) => {
                            assert_eq!(opened.waiting.len(), 2, "{hint}");
                        }
                        Ok(opened) => {
                            assert!(warning, "{hint}: {opened:?} {log}");
                            assert!(log.contains("offset=") && log.contains("bytes="), "{log}");
                            warned += 1;
                        }
                        Err(error) => {
                            let text = error.to_string();
                            assert!(text.contains("/simulated/"), "{hint}: {text}");
                            refused += 1;
                        }
                    }
                }
            }
            assert!(kept > 50 && refused > 200, "{kept} {refused}");
            assert!(closed || warned > 50, "{warned}");
        });
    }
}

#[test]
fn only_a_disorderly_end_is_warned_of() {
    virtual_time(|| {
        let (closed, ids) = folder(true);
        let (_, log) = heard(|| found(&closed, &ids).unwrap());
        assert_eq!(log, "");
        let (killed, ids) = folder(false);
        let last = killed
            .lengths()
            .into_keys()
            .rfind(|name| name.ends_with(".log"));
        let (_, log) = heard(|| found(&killed, &ids).unwrap());
        assert!(
            log.contains(&last.unwrap()) && log.contains("bytes=0"),
            "{log}"
        );
    });
}

fn verify(files: &SimulatedFolder) -> crate::store::disk::Verification {
    verify_files(&(Arc::new(files.clone()) as Arc<dyn Files>)).unwrap()
}

#[test]
fn any_removed_file_is_noticed() {
    virtual_time(|| {
        let (whole, ids) = folder(false);
        assert!(verify(&whole).is_sound());
        for name in whole.lengths().into_keys() {
            let files = whole.killed();
            files.remove(&name).unwrap();
            let last = ["00000002.log", "running"].contains(&name.as_str());
            let (opened, log) = heard(|| found(&files.killed(), &ids));
            match opened {
                // The store reads nothing from it, and fills it again.
                Ok(_) if name == "reserve" => {}
                Ok(_) => assert!(last && log.contains("WARN"), "{name}: {log}"),
                Err(error) => {
                    let text = error.to_string();
                    assert_eq!(error.kind(), StoreErrorKind::Damaged, "{name}: {text}");
                    assert!(
                        text.contains(&format!("/simulated/{name}` is missing")),
                        "{text}"
                    );
                    assert!(!verify(&files).is_sound(), "{name}");
                }
            }
        }
        // The whole log.
        let files = whole.killed();
        for name in ["00000001.log", "00000002.log"] {
            files.remove(name).unwrap();
        }
        let error = found(&files, &ids).unwrap_err();
        assert!(
            error.to_string().contains("00000001.log` is missing"),
            "{error}"
        );
        assert!(!verify(&files).is_sound());
    });
}

#[test]
fn missing_oldest_files_are_noticed_also_after_the_store_removed_some() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1_024), 0).unwrap();
        super::forgetful(&store, "fill");
        for _ in 0..20 {
            let id = keep(&store, filler(1_000));
            succeed(&store, id);
        }
        (0..4).for_each(|_| {
            keep(&store, filler(1_000));
        });
        let files = kill(store, &files);
        let logs = |files: &SimulatedFolder| -> Vec<_> {
            let names = files.lengths().into_keys();
            names.filter(|name| name.ends_with(".log")).collect()
        };
        assert!(logs(&files)[0].as_str() > "00000002.log", "it removed some");
        open(&files.killed(), &tiny(1_024), 0).unwrap();
        for gone in 1..logs(&files).len() {
            let files = files.killed();
            let names = logs(&files);
            names[..gone]
                .iter()
                .for_each(|name| files.remove(name).unwrap());
            let error = open(&files, &tiny(1_024), 0).err().unwrap();
            let text = format!("/simulated/{}` is missing", names[gone - 1]);
            assert!(error.to_string().contains(&text), "{error}");
            assert!(!verify(&files).is_sound());
        }
    });
}

#[test]
fn a_store_can_go_on_without_a_removed_configuration() {
    virtual_time(|| {
        let (whole, ids) = folder(false);
        whole.remove("configuration").unwrap();
        let error = found(&whole, &ids).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("pauses") && text.contains("`{}`"), "{text}");
        let by_hand = whole.killed();
        let file = by_hand.open("configuration", true).unwrap();
        file.write_at(0, b"{}").unwrap();
        let found = found(&by_hand, &ids).unwrap();
        assert_eq!(found.configured.as_deref(), Some("{}"));
    });
}

/// A foreign file has the name of the next file of the log.
#[test]
fn a_foreign_file_in_the_log_is_refused_and_left_alone() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1 << 16), 0).unwrap();
        keep(&store, event("charge", "1", at(0)));
        let whole = kill(store, &files);
        let empty = SimulatedFolder::new(2);
        for (files, name) in [
            (&whole, "00000002.log"),
            (&whole, "00000009.log"),
            (&empty, "00000001.log"),
            (&empty, "00000007.log"),
            (&whole, "4294967295.log"),
        ] {
            for content in ["notes of mine", "x", &"redrive notes ".repeat(20)] {
                let files = files.killed();
                let file = files.open(name, true).unwrap();
                file.write_at(0, content.as_bytes()).unwrap();
                let error = open(&files, &tiny(1 << 16), 0).err().unwrap();
                assert_eq!(error.kind(), StoreErrorKind::Damaged);
                assert!(error.to_string().contains(name), "{error}");
                files.with(name, |bytes| assert_eq!(bytes, content.as_bytes()));
                assert!(!verify(&files).is_sound());
            }
        }
    });
}

/// The first format had no mark on the oldest file and no files beside the log.
#[test]
fn a_folder_of_the_first_format_is_read() {
    virtual_time(|| {
        let files = SimulatedFolder::new(1);
        let store = open(&files, &tiny(1 << 16), 0).unwrap();
        let id = keep(&store, event("charge", "1", at(0)));
        let files = kill(store, &files);
        let old = files.with("00000001.log", |bytes| to_first_format(bytes));
        for _ in 0..2 {
            let store = open(&old, &tiny(1 << 16), 0).unwrap();
            let fetched = fetch(&store, "charge", at(0)).unwrap();
            assert_eq!(fetched.events[0].request_id, id);
            append(&store, vec![filler(10)]).unwrap();
        }
    });
}

fn to_first_format(bytes: &mut [u8]) {
    use crate::store::disk::frame::{self, FramePlace};
    let place = FramePlace {
        segment: 1,
        offset: 16,
    };
    let body = frame::read(&bytes[16..], place).unwrap().body.to_vec();
    let mut header = b"redrive log   1\n".to_vec();
    let write = |buffer: &mut Vec<u8>| {
        buffer.extend(&body[..body.len() - 2]);
        Ok::<_, ()>(())
    };
    frame::append(&mut header, place, write).unwrap();
    header.resize(128, 0);
    bytes[..128].copy_from_slice(&header);
}
