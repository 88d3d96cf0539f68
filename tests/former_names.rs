//! Functions whose events wait in the store under a name that is not registered. They are listed, and go to the function that
//! declares this former name.
#![cfg(all(feature = "testing", feature = "disk"))]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::secs;
use redrive::store::EventStore;
use redrive::testing::{RecordingStore, SimulatedDisk, Simulation, run};
use redrive::{
    BuildError, Builder, ConfigureError, DeadLetter, Event, Filter, Final, Function, Idempotency,
    Invoke, InvokeError, List, Redrive, RetryPolicy, Runtime, State, Unregistered,
};

type Ran = Arc<Mutex<Vec<u32>>>;

/// Records its payload. It always fails for 0, and once for 1.
fn noting(name: &str, ran: &Ran) -> Function {
    let ran = ran.clone();
    Function::new(name, move |event: Event<u32>| {
        let ran = ran.clone();
        async move {
            let attempt = event.context().attempt();
            match *event {
                0 => {
                    return Err(Box::<dyn std::error::Error>::from(Final::new(
                        "as scripted",
                    )));
                }
                1 if attempt == 1 => return Err("as scripted".into()),
                _ => ran.lock().unwrap().push(*event),
            }
            Ok(*event)
        }
    })
    .retry(RetryPolicy::fixed(1, secs(1)))
}

/// A store that is opened by one process after the other.
enum Place {
    Recording(Arc<RecordingStore>),
    Disk(SimulatedDisk),
}

impl Place {
    fn open(&self) -> Arc<dyn EventStore> {
        match self {
            Self::Recording(store) => {
                store.reopen();
                store.clone()
            }
            Self::Disk(disk) => disk.open().unwrap(),
        }
    }

    fn builder(&self, functions: impl IntoIterator<Item = Function>) -> Builder {
        let builder = Runtime::builder().store(self.open());
        functions.into_iter().fold(builder, Builder::function)
    }

    async fn start(&self, functions: impl IntoIterator<Item = Function>) -> Simulation {
        Simulation::start(7, self.builder(functions)).await.unwrap()
    }
}

/// Runs `test` with each kind of store.
fn with_each_store<Fut: Future<Output = ()>>(test: impl Fn(Place) -> Fut) {
    common::hush();
    run(test(Place::Recording(RecordingStore::new())));
    run(test(Place::Disk(SimulatedDisk::new(7))));
}

async fn end(s: Simulation) {
    let _ = s.into_runtime().shutdown(Duration::ZERO).await;
}

async fn delayed(s: &Simulation, function: &str, payload: u32) -> redrive::RequestId {
    let event = Invoke::event(function.to_owned(), payload).delay(secs(10));
    s.client().send(event).await.unwrap().request_id
}

fn balanced(s: &Simulation) -> u64 {
    let events = s.client().stats().events;
    let ended = events.succeeded + events.dead + events.cancelled;
    assert_eq!(events.accepted, ended + events.pending(), "{events:?}");
    events.pending()
}

fn unregistered(s: &Simulation) -> Vec<(String, u64)> {
    let listed = s.client().unregistered().into_iter();
    let pair = |it: Unregistered| (it.function.to_string(), it.events);
    listed.map(pair).collect()
}

#[test]
fn events_of_a_function_that_is_not_registered_are_listed_and_pending() {
    with_each_store(|place| async move {
        let ran = Ran::default();
        let s = place
            .start([noting("old", &ran), noting("kept", &ran)])
            .await;
        let first = delayed(&s, "old", 2).await;
        delayed(&s, "old", 3).await;
        delayed(&s, "kept", 4).await;
        assert_eq!((unregistered(&s), balanced(&s)), (vec![], 3));
        end(s).await;

        let s = place.start([noting("kept", &ran)]).await;
        assert_eq!(unregistered(&s), [("old".to_owned(), 2)]);
        assert_eq!(balanced(&s), 3);
        assert_eq!(s.client().stats().events.unregistered, 2);
        s.advance(secs(20)).await;
        assert_eq!((*ran.lock().unwrap()).as_slice(), [4]);
        assert!(s.client().cancel(first).await);
        assert_eq!(
            (unregistered(&s), balanced(&s)),
            (vec![("old".to_owned(), 1)], 1)
        );
        end(s).await;

        let s = place
            .start([noting("old", &ran), noting("kept", &ran)])
            .await;
        assert!(unregistered(&s).is_empty());
        s.advance(secs(20)).await;
        assert_eq!((*ran.lock().unwrap()).as_slice(), [4, 3]);
        assert_eq!(balanced(&s), 0);
    });
}

#[test]
fn a_function_that_is_being_removed_is_counted_once() {
    with_each_store(|place| async move {
        let ran = Ran::default();
        let s = place.start([noting("f", &ran).window(1)]).await;
        for payload in 2..12 {
            delayed(&s, "f", payload).await;
        }
        s.runtime().remove_function("f").unwrap();
        assert_eq!((unregistered(&s), balanced(&s)), (vec![], 10));
        s.settle().await;
        assert!(unregistered(&s).is_empty());
        assert_eq!(common::letters(&s).await.len(), 10);
    });
}

#[test]
fn a_renamed_function_goes_on_with_the_events_of_its_former_names() {
    with_each_store(|place| async move {
        let ran = Ran::default();
        let s = place
            .start([noting("oldest", &ran), noting("old", &ran)])
            .await;
        delayed(&s, "oldest", 2).await;
        let retried = delayed(&s, "old", 1).await;
        let cancelled = delayed(&s, "old", 3).await;
        end(s).await;

        let new = || {
            noting("new", &ran)
                .window(1)
                .formerly("old")
                .formerly("oldest")
        };
        let s = place.start([new()]).await;
        assert!(unregistered(&s).is_empty());
        assert_eq!((balanced(&s), s.delayed("new")), (3, 3));
        let client = s.client();
        let page = client.events("new", State::Delayed, 0, 10).await.unwrap();
        let overflowed = client
            .events("new", State::Delayed, page.next.unwrap_or(0), 10)
            .await;
        assert_eq!(page.events.len() + overflowed.unwrap().events.len(), 3);
        assert!(client.cancel(cancelled).await);
        let waiting = tokio::task::spawn_local(async move { client.wait(retried).await });
        delayed(&s, "new", 4).await;
        s.advance(secs(20)).await;
        assert_eq!(waiting.await.unwrap().unwrap().state(), "succeeded");
        let mut all = ran.lock().unwrap().clone();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 4], "the one that failed under its new name too");
        assert_eq!(balanced(&s), 0);
        let refused = s.client().invoke("old", 5_u32).await.unwrap_err();
        assert!(matches!(refused, InvokeError::UnknownFunction { .. }));
    });
}

#[test]
fn letters_of_a_former_name_are_redriven_to_the_function() {
    with_each_store(|place| async move {
        let ran = Ran::default();
        let s = place.start([noting("old", &ran)]).await;
        let dead = s.client().invoke("old", 0_u32).await.unwrap().request_id;
        s.settle().await;
        end(s).await;

        let heard = Arc::new(AtomicU32::new(0));
        let count = heard.clone();
        let builder = place.builder([noting("new", &ran).formerly("old")]);
        let builder = builder.on_dead_letter(
            redrive::Subscribe::calling(move |_: DeadLetter| {
                count.fetch_add(1, Ordering::SeqCst);
            })
            .function("new")
            .with_existing(),
        );
        let s = Simulation::start(7, builder).await.unwrap();
        let queue = s.runtime().dead_letters();
        let of_new = List::new(Filter::new().function("new"));
        let page = queue.send(of_new).await.unwrap();
        assert_eq!((page.total, page.letters[0].request_id), (1, dead));
        let payload = redrive::Payload::new(7_u32).unwrap();
        let redriven = queue.send(Redrive::all().payload(payload)).await.unwrap();
        assert_eq!(redriven.sent.len(), 1, "{redriven:?}");
        s.settle().await;
        assert_eq!((*ran.lock().unwrap()).as_slice(), [7]);
        assert_eq!(heard.load(Ordering::SeqCst), 1);
        end(s).await;
        let s = place.start([noting("new", &ran).formerly("old")]).await;
        assert!(common::letters(&s).await.is_empty());
    });
}

#[test]
fn keys_and_configuration_of_a_former_name_hold_for_the_function() {
    with_each_store(|place| async move {
        let ran = Ran::default();
        let function =
            |name: &str| noting(name, &ran).idempotent(Idempotency::by(|payload: &u32| *payload));
        let s = place.start([function("old")]).await;
        let client = s.client();
        let keyed = |function: &'static str| {
            Invoke::event(function, 5_u32).deduplicate("order-5", secs(3_600))
        };
        let first = client.send(keyed("old")).await.unwrap();
        s.settle().await;
        let pause = |configuration: &mut redrive::Configuration| {
            configuration.paused = true;
            Ok::<_, ConfigureError>(())
        };
        client.configure("old", pause).await.unwrap();
        end(s).await;

        for formerly in [true, false] {
            let new = function("new");
            // The configuration belongs to the new name from now on.
            let new = if formerly { new.formerly("old") } else { new };
            let s = place.start([new]).await;
            let client = s.client();
            assert!(client.function("new").unwrap().configuration.paused);
            if formerly {
                let again = client.send(keyed("new")).await.unwrap();
                assert!(again.duplicate);
                assert_eq!(again.request_id, first.request_id);
            }
            end(s).await;
        }
    });
}

/// Results are remembered by the real store alone.
#[test]
fn a_result_under_an_idempotency_key_of_a_former_name_is_reused() {
    run(async {
        let (place, ran) = (Place::Disk(SimulatedDisk::new(7)), Ran::default());
        let function = |name: &str| {
            let by = Idempotency::by(|payload: &u32| *payload);
            noting(name, &ran).idempotent(by)
        };
        let s = place.start([function("old")]).await;
        assert_eq!(s.client().call::<u32>("old", 5_u32).await.unwrap(), 5);
        end(s).await;
        let s = place.start([function("new").formerly("old")]).await;
        assert_eq!(s.client().call::<u32>("new", 5_u32).await.unwrap(), 5);
        assert_eq!(ran.lock().unwrap().len(), 1, "it ran once");
    });
}

#[test]
fn a_function_that_is_added_has_the_events_of_its_former_name() {
    with_each_store(|place| async move {
        let ran = Ran::default();
        let s = place.start([noting("old", &ran)]).await;
        delayed(&s, "old", 2).await;
        end(s).await;
        let s = place.start([]).await;
        assert_eq!(unregistered(&s), [("old".to_owned(), 1)]);
        let new = noting("new", &ran).formerly("old");
        s.runtime().add_function(new).unwrap();
        assert_eq!((unregistered(&s), balanced(&s)), (vec![], 1));
        s.advance(secs(20)).await;
        assert_eq!((*ran.lock().unwrap()).as_slice(), [2]);
    });
}

fn faults(refused: Result<(), BuildError>) -> Vec<String> {
    let BuildError::Settings(faults) = refused.unwrap_err() else {
        panic!("the settings are faulty")
    };
    let all = faults.iter().map(|fault| {
        assert!(!fault.function.is_empty());
        format!("{} {} {}", fault.function, fault.field, fault.problem)
    });
    all.collect()
}

#[test]
fn a_former_name_that_another_function_has_is_a_fault() {
    run(async {
        let ran = Ran::default();
        let build = async |functions: Vec<Function>| {
            let builder = functions
                .into_iter()
                .fold(Runtime::builder(), Builder::function);
            Simulation::start(7, builder).await.map(drop)
        };
        let (a, b) = (noting("a", &ran), noting("b", &ran));
        let registered = faults(build(vec![a.clone().formerly("b"), b.clone()]).await);
        assert!(registered[0].starts_with("a formerly `b` is, or was, the name of function `b`"));
        let twice = vec![a.clone().formerly("old"), b.clone().formerly("old")];
        assert_eq!(faults(build(twice).await).len(), 2, "each is named");
        let own = faults(build(vec![a.clone().formerly("a")]).await);
        assert_eq!(own, ["a formerly `a` is its present name"]);
        let illegal = faults(build(vec![a.clone().formerly("a b")]).await);
        assert!(illegal[0].contains("`a b` holds ' '"), "{illegal:?}");

        let builder = Runtime::builder().function(a.formerly("old"));
        let s = Simulation::start(7, builder).await.unwrap();
        let add = |function| faults(s.runtime().add_function(function));
        assert!(add(noting("old", &ran))[0].contains("former name of function `a`"));
        assert!(add(b.clone().formerly("a"))[0].contains("`a` is, or was"));
        assert!(add(b.clone().formerly("old"))[0].contains("function `a`"));
        s.runtime().remove_function("a").unwrap();
        s.runtime().add_function(b.formerly("old")).unwrap();
    });
}
