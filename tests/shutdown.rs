//! How a runtime ends, and how one function of it does.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use common::{fail, invoke, letter, letters, secs, simulate, steps};
use futures_util::FutureExt;
use redrive::testing::{Script, Step, scripted};
use redrive::{
    BuildError, CallError, Condition, Event, Function, InvokeError, Redrive, RequestId,
    RetryPolicy, Runtime, Shutdown, Status,
};
use tokio::time::Instant;

fn take(seconds: u64) -> Script {
    steps([Step::Take(secs(seconds))])
}

#[test]
fn shutdown_finishes_running_events_and_reports_waiting_ones() {
    simulate(
        [scripted("f").concurrency(1).timeout(secs(60))],
        |s| async move {
            let running = invoke(&s, "f", take(20)).await;
            let ready = invoke(&s, "f", Script::succeeds()).await;
            s.settle().await;
            let client = s.client();
            let began = Instant::now();
            let report = s.into_runtime().shutdown(secs(30)).await;
            assert_eq!(began.elapsed().as_secs(), 19);
            let [event] = &report.unfinished[..] else {
                panic!("{report:?}")
            };
            assert_eq!(
                (event.request_id, event.attempts, event.running),
                (ready, 0, false)
            );
            assert_eq!(event.function.as_str(), "f");
            assert!(matches!(
                client.status(running).await,
                Some(Status::Succeeded { .. })
            ));
        },
    );
}

#[test]
fn shutdown_drains_the_mailboxes_when_asked() {
    simulate([scripted("f").concurrency(1)], |s| async move {
        for _ in 0..5 {
            invoke(&s, "f", take(2)).await;
        }
        let delayed = invoke(&s, "f", steps([fail(), Step::Succeed])).await;
        let client = s.client();
        let report = s
            .into_runtime()
            .shutdown(Shutdown::new(secs(30)).drain_mailboxes())
            .await;
        let [event] = &report.unfinished[..] else {
            panic!("{report:?}")
        };
        assert_eq!((event.request_id, event.attempts), (delayed, 1));
        assert_eq!(client.function_stats("f").unwrap().events.succeeded, 5);
    });
}

#[test]
fn at_the_end_of_the_grace_period_running_events_are_cancelled() {
    let functions = [
        scripted("f").timeout(secs(60)),
        scripted("g").timeout(secs(60)),
    ];
    simulate(functions, |s| async move {
        let dead = invoke(&s, "f", steps([Step::Final("no".into())])).await;
        let mut expected = HashSet::new();
        for function in ["f", "f", "g"] {
            expected.insert(invoke(&s, function, steps([Step::Hang])).await);
        }
        expected.insert(invoke(&s, "g", steps([fail(), Step::Succeed])).await);
        s.settle().await;
        let began = Instant::now();
        let report = s
            .into_runtime()
            .shutdown(Shutdown::new(secs(10)).drain_mailboxes())
            .await;
        assert_eq!(began.elapsed().as_secs(), 10);
        let named: Vec<_> = report
            .unfinished
            .iter()
            .map(|event| event.request_id)
            .collect();
        assert_eq!(named.len(), 4, "each is named once");
        assert_eq!(named.into_iter().collect::<HashSet<_>>(), expected);
        let running = report.unfinished.iter().filter(|event| event.running);
        assert_eq!(
            running.map(|event| event.attempts).collect::<Vec<_>>(),
            [1, 1, 1]
        );
        assert_eq!(report.dead_letters.len(), 1);
        assert_eq!(report.dead_letters[0].request_id, dead);
    });
}

#[test]
fn an_event_that_dies_during_the_shutdown_is_among_its_dead_letters() {
    let function = scripted("f").retry(RetryPolicy::none()).timeout(secs(5));
    simulate([function], |s| async move {
        let id = invoke(&s, "f", steps([Step::Hang])).await;
        s.settle().await;
        let report = s.into_runtime().shutdown(secs(10)).await;
        assert!(report.unfinished.is_empty());
        assert_eq!(report.dead_letters[0].request_id, id);
    });
}

/// The report contains the letters. If there is a store, they also stay there.
#[test]
fn a_redrive_that_the_shutdown_overtakes_is_refused() {
    let function = scripted("f").retry(RetryPolicy::none());
    simulate([function], |s| async move {
        let mut dead = Vec::new();
        for _ in 0..2 {
            dead.push(invoke(&s, "f", steps([fail()])).await);
        }
        s.settle().await;
        let queue = s.runtime().dead_letters();
        let paced = Redrive::all().per_second(1.0);
        let redriven = tokio::task::spawn_local(queue.send(paced));
        s.settle().await;
        let report = s.into_runtime().shutdown(Duration::ZERO).await;
        let letters = report.dead_letters.iter().map(|letter| letter.request_id);
        assert!(letters.collect::<Vec<_>>().contains(&dead[1]));
        let redriven = redriven.await.unwrap().unwrap();
        assert_eq!((redriven.sent.len(), redriven.missing.len()), (1, 0));
        let [(id, InvokeError::ShuttingDown | InvokeError::NoSystem)] = redriven.refused[..] else {
            panic!("{redriven:?}")
        };
        assert_eq!(id, dead[1]);
    });
}

#[test]
fn nothing_is_accepted_once_the_shutdown_began() {
    simulate([scripted("f").timeout(secs(60))], |s| async move {
        invoke(&s, "f", take(20)).await;
        s.settle().await;
        let client = s.client();
        let router = s.runtime().router();
        let shutdown = tokio::task::spawn_local(s.into_runtime().shutdown(secs(30)));
        tokio::time::sleep(secs(1)).await;
        let refused = client.invoke("f", Script::succeeds()).await;
        assert!(matches!(refused, Err(InvokeError::ShuttingDown)));
        let refused = client.call::<RequestId>("f", Script::succeeds()).await;
        assert!(matches!(
            refused,
            Err(CallError::Refused(InvokeError::ShuttingDown))
        ));
        let event = redrive::Invoke::event("f", Script::succeeds());
        let refused = router.send(event.clone()).await.unwrap();
        assert!(matches!(refused, Err(InvokeError::ShuttingDown)));
        assert!(shutdown.await.unwrap().unfinished.is_empty());
        assert!(matches!(client.dry_run(event), Err(InvokeError::NoSystem)));
        assert_eq!(client.function_stats("f").unwrap().events.accepted, 1);
    });
}

#[test]
fn a_waiting_call_fails_when_the_runtime_is_dropped() {
    simulate(
        [scripted("f").concurrency(1).timeout(secs(60))],
        |s| async move {
            let client = s.client();
            let calls = [take(5), take(50)].map(|script| {
                let client = client.clone();
                tokio::task::spawn_local(async move { client.call::<RequestId>("f", script).await })
            });
            s.settle().await;
            let report = s.into_runtime().shutdown(secs(10)).await;
            let [first, second] = calls;
            assert!(first.await.unwrap().is_ok());
            assert_eq!(report.unfinished.len(), 1);
            drop(client);
            let second = tokio::time::timeout(secs(60), second).await;
            let second = second.expect("a call must not hang").unwrap();
            assert!(matches!(second, Err(CallError::Gone)));
        },
    );
}

#[test]
fn a_waiting_call_fails_when_its_function_is_removed() {
    simulate(
        [scripted("f").concurrency(1).timeout(secs(60))],
        |s| async move {
            invoke(&s, "f", take(20)).await;
            s.settle().await;
            let client = s.client();
            let call = client.call::<RequestId>("f", Script::succeeds());
            let remove = async {
                s.settle().await;
                s.runtime().remove_function("f").unwrap();
                s.runtime().add_function(scripted("f")).unwrap();
            };
            let (end, ()) = tokio::join!(call, remove);
            let error = end.unwrap_err();
            assert!(matches!(&error, CallError::Removed { function } if function == "f"));
            assert_eq!(
                error.to_string(),
                "function `f` was removed before the call ended"
            );
        },
    );
}

#[test]
fn dropping_the_runtime_is_safe_and_stops_everything() {
    simulate(
        [scripted("f").concurrency(2).timeout(secs(60))],
        |s| async move {
            let client = s.client();
            let ids = [take(20), steps([Step::Hang]), Script::succeeds()];
            for script in ids {
                invoke(&s, "f", script).await;
            }
            s.settle().await;
            drop(s);
            tokio::time::sleep(secs(3_600)).await;
            let stats = client.function_stats("f").unwrap();
            assert_eq!((stats.events.succeeded, stats.workers), (0, 0));
            let refused = client.invoke("f", Script::succeeds()).await;
            assert!(matches!(refused, Err(InvokeError::NoSystem)));
        },
    );
}

/// ASY-12, UNV-08: AWS loses the waiting events of a deleted function; here they become dead letters.
#[test]
fn events_of_a_removed_function_become_dead_letters_while_the_running_one_ends() {
    simulate(
        [
            scripted("f").concurrency(1).timeout(secs(60)),
            scripted("g"),
        ],
        |s| async move {
            let running = invoke(&s, "f", take(20)).await;
            let ready = invoke(&s, "f", Script::succeeds()).await;
            let later = redrive::Invoke::event("f", Script::succeeds()).delay(secs(600));
            let delayed = s.client().send(later).await.unwrap().request_id;
            s.settle().await;
            s.runtime().remove_function("f").unwrap();
            s.settle().await;
            for id in [ready, delayed] {
                let letter = letter(&s, id).await;
                assert_eq!(
                    (letter.condition, letter.attempt_count),
                    (Condition::FunctionRemoved, 0)
                );
            }
            let refused = s.client().invoke("f", Script::succeeds()).await;
            assert!(matches!(refused, Err(InvokeError::UnknownFunction { .. })));
            let end = s.client().wait(running).await;
            assert!(matches!(end, Some(Status::Succeeded { .. })));
            s.settle().await;
            assert_eq!(letters(&s).await.len(), 2);
            let again = s.runtime().remove_function("f");
            assert!(matches!(again, Err(BuildError::UnknownFunction(name)) if name == "f"));
            invoke(&s, "g", Script::succeeds()).await;
            s.settle().await;
            assert_eq!(s.succeeded("g"), 1);
        },
    );
}

#[test]
fn a_running_event_of_a_removed_function_is_not_retried() {
    simulate([scripted("f")], |s| async move {
        let id = invoke(&s, "f", steps([Step::Hang, Step::Succeed])).await;
        s.settle().await;
        s.runtime().remove_function("f").unwrap();
        s.advance(secs(4)).await;
        let letter = letter(&s, id).await;
        assert_eq!(
            (letter.condition, letter.attempt_count),
            (Condition::FunctionRemoved, 1)
        );
    });
}

#[test]
fn a_removed_functions_name_is_free_at_once_and_its_letters_can_be_redriven() {
    simulate([scripted("f").timeout(secs(60))], |s| async move {
        invoke(&s, "f", take(20)).await;
        let later = redrive::Invoke::event("f", Script::succeeds()).delay(secs(600));
        let delayed = s.client().send(later).await.unwrap().request_id;
        s.settle().await;
        s.runtime().remove_function("f").unwrap();
        s.runtime().add_function(scripted("f")).unwrap();
        let new = invoke(&s, "f", Script::succeeds()).await;
        s.settle().await;
        assert_eq!((s.accepted("f"), s.succeeded("f")), (1, 1));
        let redriven = common::dead_letters(&s)
            .send(Redrive::one(delayed))
            .await
            .unwrap();
        assert_eq!(redriven.sent.len(), 1);
        s.advance(secs(60)).await;
        assert_eq!((s.accepted("f"), s.succeeded("f")), (2, 2));
        assert!(s.client().status(new).await.is_some());
        let names: Vec<_> = s
            .client()
            .functions()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["f"]);
        let taken = s.runtime().add_function(scripted("f"));
        assert!(matches!(taken, Err(BuildError::Settings(faults)) if faults[0].field == "name"));
    });
}

#[test]
fn a_function_that_is_being_removed_is_not_listed() {
    simulate([scripted("f").timeout(secs(60))], |s| async move {
        invoke(&s, "f", take(20)).await;
        s.settle().await;
        s.runtime().remove_function("f").unwrap();
        s.settle().await;
        assert!(s.client().functions().is_empty());
        assert!(s.client().function_stats("f").is_none());
        s.assert_nothing_lost();
        s.runtime().add_function(scripted("f")).unwrap();
        assert_eq!(s.client().functions().len(), 1);
        let report = s.into_runtime().shutdown(secs(1)).await;
        assert_eq!(
            report.unfinished.len(),
            1,
            "what still runs of it is not forgotten"
        );
    });
}

#[test]
fn a_function_with_many_events_waiting_is_removed_without_losing_one() {
    simulate([scripted("f")], |s| async move {
        s.client().pause("f");
        let batch = vec![Script::succeeds(); 5_000];
        s.client().invoke_batch("f", batch).await.unwrap();
        s.runtime().remove_function("f").unwrap();
        s.settle().await;
        assert_eq!(letters(&s).await.len(), 5_000);
    });
}

/// Callers on other threads, while the shutdown begins.
#[actix::test]
async fn every_event_with_a_receipt_is_done_or_in_the_report() {
    for _ in 0..50 {
        let function = Function::new("f", |_: Event<u32>| async { Ok::<(), String>(()) });
        let builder = Runtime::builder().arbiters(1).function(function);
        let runtime = builder.start().await.unwrap();
        let client = runtime.client();
        client.pause("f");
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || {
                    let accepted = || client.invoke("f", 1_u32).now_or_never().unwrap();
                    std::iter::repeat_with(accepted)
                        .take_while(Result::is_ok)
                        .count()
                })
            })
            .collect();
        while client.stats().events.ready < 100 {
            tokio::task::yield_now().await;
        }
        let report = runtime.shutdown(Duration::ZERO).await;
        let receipts: usize = callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .sum();
        assert_eq!(report.unfinished.len(), receipts);
    }
}

#[actix::test]
async fn an_ended_runtime_leaves_nothing_behind() {
    for polite in [true, false] {
        let captured = Arc::new(());
        let left = Arc::downgrade(&captured);
        let function = Function::new("f", move |_: Event<u32>| {
            let _captured = captured.clone();
            async { Ok::<(), String>(()) }
        });
        let builder = Runtime::builder().arbiters(2).function(function);
        let runtime = builder.start().await.unwrap();
        let client = runtime.client();
        for number in 0..100_u32 {
            let receipt = client.invoke("f", number).await.unwrap();
            client.wait(receipt.request_id).await;
        }
        if polite {
            assert!(runtime.shutdown(secs(10)).await.unfinished.is_empty());
        } else {
            drop(runtime);
        }
        drop(client);
        // The arbiters end by themselves.
        while left.strong_count() > 0 {
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
