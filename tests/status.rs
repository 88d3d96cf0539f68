//! Status, listing, waiting, cancellation and statistics of events and functions.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use common::{fail, invoke, letter, seconds_between, secs, simulate, steps};
use redrive::testing::{Script, Simulation, Step, scripted};
use redrive::{
    CallError, Event, Function, InvocationType, Invoke, RequestId, RetryPolicy, State, Status,
};
use tokio::time::Instant;

/// Returns those of `ids` that have a status.
async fn known(simulation: &Simulation, ids: &[RequestId]) -> Vec<RequestId> {
    let mut known = Vec::new();
    for &id in ids {
        if simulation.client().status(id).await.is_some() {
            known.push(id);
        }
    }
    known
}

async fn status(simulation: &Simulation, id: RequestId) -> Status {
    simulation
        .client()
        .status(id)
        .await
        .expect("the event is known")
}

/// BYD-06, GAP-17
#[test]
fn the_status_follows_the_event_through_all_its_states() {
    simulate(
        [scripted("f").concurrency(1).timeout(secs(60))],
        |s| async move {
            invoke(&s, "f", steps([Step::Take(secs(10))])).await;
            let script = steps([fail(), Step::Take(secs(5)), Step::Succeed]);
            let event = Invoke::event("f", script).delay(secs(5));
            let id = s.client().send(event).await.unwrap().request_id;
            let Status::Delayed {
                until,
                attempts: 0,
                failure: None,
            } = status(&s, id).await
            else {
                panic!()
            };
            let accepted = until - secs(5);
            s.advance(secs(6)).await;
            let waits = matches!(
                status(&s, id).await,
                Status::Accepted { .. } | Status::Delayed { .. }
            );
            assert!(waits, "it is due, and the only worker is busy");
            s.advance(secs(5)).await;
            let Status::Delayed {
                until,
                attempts: 1,
                failure,
            } = status(&s, id).await
            else {
                panic!()
            };
            assert_eq!(failure.unwrap().message, "as scripted");
            assert_eq!(seconds_between(accepted, until), 70);
            s.advance(secs(60)).await;
            let Status::Running { attempt: 2, since } = status(&s, id).await else {
                panic!()
            };
            assert_eq!(seconds_between(accepted, since), 70);
            s.advance(secs(5)).await;
            let Status::Succeeded {
                result,
                attempts: 2,
            } = status(&s, id).await
            else {
                panic!()
            };
            assert_eq!(result.read::<RequestId>().unwrap(), id);
            assert!(status(&s, id).await.is_finished());
        },
    );
}

#[test]
fn waiting_dead_cancelled_and_failed_events_have_different_states() {
    let functions = [scripted("f").retry(RetryPolicy::none()), scripted("held")];
    simulate(functions, |s| async move {
        s.client().pause("held");
        let waits = invoke(&s, "held", Script::succeeds()).await;
        let cancelled = invoke(&s, "held", Script::succeeds()).await;
        s.client().cancel(cancelled).await;
        let dead = invoke(&s, "f", steps([fail()])).await;
        let failed: RequestId = "018f3c5e-0000-7000-8000-000000000001".parse().unwrap();
        let call = Invoke::event("f", steps([fail()])).request_id(failed);
        assert!(s.client().call_with::<()>(call).await.is_err());
        s.settle().await;
        assert!(matches!(status(&s, waits).await, Status::Accepted { .. }));
        assert!(matches!(status(&s, cancelled).await, Status::Cancelled));
        assert!(
            matches!(status(&s, failed).await, Status::Failed(f) if f.message == "as scripted")
        );
        let Status::Dead(letter) = status(&s, dead).await else {
            panic!()
        };
        assert_eq!(letter.attempts.len(), 1);
        let unknown: RequestId = "018f3c5e-0000-7000-8000-000000000002".parse().unwrap();
        assert!(s.client().status(unknown).await.is_none());
        assert!(s.client().wait(unknown).await.is_none());
        assert!(!s.client().cancel(unknown).await);
    });
}

#[test]
fn a_status_names_its_state_and_serialises_with_it() {
    let functions = [
        scripted("f").retry(RetryPolicy::none()).timeout(secs(60)),
        scripted("held"),
    ];
    simulate(functions, |s| async move {
        let client = s.client();
        client.pause("held");
        let waits = invoke(&s, "held", Script::succeeds()).await;
        let cancelled = invoke(&s, "held", Script::succeeds()).await;
        client.cancel(cancelled).await;
        let event = Invoke::event("held", Script::succeeds()).delay(secs(60));
        let delayed = client.send(event).await.unwrap().request_id;
        let succeeds = invoke(&s, "f", Script::succeeds()).await;
        let runs = invoke(&s, "f", steps([Step::Take(secs(30))])).await;
        let dies = invoke(&s, "f", steps([fail()])).await;
        let failed: RequestId = "018f3c5e-0000-7000-8000-000000000001".parse().unwrap();
        let call = Invoke::event("f", steps([fail()])).request_id(failed);
        assert!(client.call_with::<()>(call).await.is_err());
        s.settle().await;
        let expected = [
            (waits, "accepted", vec!["since"]),
            (delayed, "delayed", vec!["attempts", "failure", "until"]),
            (runs, "running", vec!["attempt", "since"]),
            (succeeds, "succeeded", vec!["attempts", "result"]),
            (dies, "dead", vec!["letter"]),
            (failed, "failed", vec!["failure"]),
            (cancelled, "cancelled", vec![]),
        ];
        for (id, state, fields) in expected {
            let status = status(&s, id).await;
            assert_eq!(status.state(), state);
            let mut json = serde_json::to_value(&status).unwrap();
            let members = json.as_object_mut().unwrap();
            assert_eq!(members.remove("state").unwrap(), state);
            assert_eq!(members.keys().collect::<Vec<_>>(), fields);
            let result = status.result::<RequestId>().map(Result::unwrap);
            assert_eq!(result, (id == succeeds).then_some(id));
        }
        let json = serde_json::to_value(status(&s, dies).await).unwrap();
        assert_eq!(
            json["letter"]["attempts"][0]["failure"]["message"],
            "as scripted"
        );
        let json = serde_json::to_value(status(&s, runs).await).unwrap();
        assert!(
            json["since"]
                .as_str()
                .unwrap()
                .starts_with("2026-01-01T00:00:0")
        );
        let misfit = status(&s, succeeds).await.result::<u32>();
        assert!(misfit.unwrap().is_err());
        let page = client.events("held", State::Delayed, 0, 10).await.unwrap();
        let json = serde_json::to_value(&page).unwrap();
        assert_eq!(json["events"][0]["status"]["state"], "delayed");
    });
}

#[test]
fn wait_returns_when_the_event_ends() {
    simulate([scripted("f")], |s| async move {
        let began = Instant::now();
        let (client, other) = (s.client(), s.client());
        let succeeds = invoke(&s, "f", Script::fails(1)).await;
        let (one, two) = tokio::join!(client.wait(succeeds), other.wait(succeeds));
        for end in [one, two, client.wait(succeeds).await] {
            assert!(matches!(end, Some(Status::Succeeded { attempts: 2, .. })));
        }
        assert_eq!(began.elapsed().as_secs(), 60);
        let dies = invoke(&s, "f", steps([Step::Final("no".into())])).await;
        assert!(matches!(client.wait(dies).await, Some(Status::Dead(_))));
        let cancelled = invoke(&s, "f", steps([Step::Hang])).await;
        let waits = client.wait(cancelled);
        let cancel = async {
            s.settle().await;
            other.cancel(cancelled).await
        };
        let (end, done) = tokio::join!(waits, cancel);
        assert!(done && matches!(end, Some(Status::Cancelled)));
    });
}

/// BYD-02, GAP-02
#[test]
fn an_event_can_be_cancelled_in_every_pending_state() {
    struct Flag(Arc<AtomicU32>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let (began, dropped) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (begins, drops) = (began.clone(), dropped.clone());
    let function = Function::new("f", move |event: Event<bool>| {
        begins.fetch_add(1, SeqCst);
        let flag = Flag(drops.clone());
        async move {
            if *event {
                return Err("as scripted");
            }
            std::future::pending::<()>().await;
            drop(flag);
            Ok(())
        }
    });
    simulate(
        [function.concurrency(1).timeout(secs(600))],
        |s| async move {
            let client = s.client();
            let running = invoke(&s, "f", false).await;
            let ready = invoke(&s, "f", false).await;
            let event = Invoke::event("f", false).delay(secs(60));
            let delayed = client.send(event).await.unwrap().request_id;
            s.settle().await;
            assert!(client.cancel(ready).await && client.cancel(delayed).await);
            assert_eq!((began.load(SeqCst), dropped.load(SeqCst)), (1, 0));
            assert!(client.cancel(running).await);
            s.settle().await;
            assert_eq!(dropped.load(SeqCst), 1, "its future is gone");
            let retried = invoke(&s, "f", true).await;
            s.settle().await;
            assert!(matches!(
                status(&s, retried).await,
                Status::Delayed { attempts: 1, .. }
            ));
            assert!(client.cancel(retried).await);
            s.advance(secs(3_600)).await;
            for id in [running, ready, delayed, retried] {
                assert!(matches!(
                    client.status(id).await,
                    None | Some(Status::Cancelled)
                ));
                assert!(!client.cancel(id).await, "it is over");
            }
            let stats = s.stats("f");
            assert_eq!(
                (began.load(SeqCst), stats.events.cancelled, s.dead("f")),
                (2, 4, 0)
            );
            assert_eq!(stats.async_events_dropped, 0);
            s.assert_nothing_lost();
        },
    );
}

#[test]
fn an_event_that_has_ended_can_not_be_cancelled() {
    simulate([scripted("f")], |s| async move {
        let id = invoke(&s, "f", Script::succeeds()).await;
        let dead = invoke(&s, "f", steps([Step::Final("no".into())])).await;
        s.settle().await;
        assert!(!s.client().cancel(id).await && !s.client().cancel(dead).await);
        assert!(matches!(status(&s, id).await, Status::Succeeded { .. }));
        assert_eq!(letter(&s, dead).await.request_id, dead);
    });
}

async fn list(simulation: &Simulation, state: State, page: usize) -> HashSet<RequestId> {
    let (mut found, mut next) = (HashSet::new(), Some(0));
    while let Some(cursor) = next {
        let events = simulation
            .client()
            .events("f", state, cursor, page)
            .await
            .unwrap();
        assert!(events.events.len() <= page);
        for event in events.events {
            assert_eq!(event.invocation_type, InvocationType::Event);
            assert!(found.insert(event.request_id), "listed twice");
        }
        next = events.next;
    }
    found
}

/// BYD-01, GAP-01
#[test]
fn events_are_listed_by_state_and_page() {
    simulate(
        [scripted("f").concurrency(2).timeout(secs(600))],
        |s| async move {
            let mut expected: [HashSet<_>; 4] = Default::default();
            for _ in 0..5 {
                expected[3].insert(invoke(&s, "f", Script::succeeds()).await);
            }
            for _ in 0..3 {
                expected[1].insert(invoke(&s, "f", Script::fails(1)).await);
            }
            s.settle().await;
            for _ in 0..2 {
                expected[2].insert(invoke(&s, "f", steps([Step::Hang])).await);
            }
            s.settle().await;
            for _ in 0..7 {
                expected[0].insert(invoke(&s, "f", Script::succeeds()).await);
            }
            let states = [
                State::Accepted,
                State::Delayed,
                State::Running,
                State::Finished,
            ];
            for (state, expected) in states.into_iter().zip(expected) {
                for page in [1, 2, 100] {
                    assert_eq!(list(&s, state, page).await, expected, "{state:?} by {page}");
                }
            }
            assert!(s.client().events("g", State::Running, 0, 1).await.is_none());
            let events = s.stats("f").events;
            assert_eq!((events.ready, events.delayed, events.running), (7, 3, 2));
        },
    );
}

#[test]
fn a_page_of_zero_events_has_one_event() {
    simulate([scripted("f")], |s| async move {
        let id = invoke(&s, "f", Script::succeeds()).await;
        s.settle().await;
        let page = s.client().events("f", State::Finished, 0, 0).await.unwrap();
        assert_eq!(page.events[0].request_id, id);
        assert_eq!((page.events.len(), page.next), (1, None));
    });
}

/// MET-04, MET-05, MET-11, MET-13, MET-20, MET-21
#[test]
fn stats_count_as_awss_metrics_do() {
    simulate([scripted("one"), scripted("other")], |s| async move {
        invoke(&s, "one", Script::fails(1)).await;
        s.advance(secs(300)).await;
        let one = s.stats("one");
        assert_eq!(
            (one.async_events_received, one.invocations, one.errors),
            (1, 2, 1)
        );
        assert_eq!(one.async_events_dropped, 0);
        invoke(&s, "other", Script::always_fails()).await;
        s.advance(secs(300)).await;
        let other = s.stats("other");
        assert_eq!(
            (other.async_events_received, other.invocations, other.errors),
            (1, 3, 3)
        );
        assert_eq!(other.async_events_dropped, 1);
        let all = s.client().stats();
        assert_eq!(
            (all.async_events_received, all.invocations, all.errors),
            (2, 5, 4)
        );
        assert_eq!((all.async_events_dropped, all.events.succeeded), (1, 1));
        let json = serde_json::to_value(&all).unwrap();
        assert_eq!(
            (
                json["AsyncEventsReceived"].as_u64(),
                json["Errors"].as_u64()
            ),
            (Some(2), Some(4))
        );
        assert!(s.client().function_stats("unknown").is_none());
    });
}

/// MET-06, MET-19
#[test]
fn throttled_out_events_are_received_and_dropped_but_never_invoked() {
    simulate([scripted("f").event_age_max(secs(600))], |s| async move {
        for _ in 0..3 {
            invoke(&s, "f", steps([Step::Throttle])).await;
            invoke(&s, "f", Script::succeeds()).await;
        }
        s.advance(secs(700)).await;
        let stats = s.stats("f");
        assert_eq!(
            (stats.async_events_received, stats.async_events_dropped),
            (6, 3)
        );
        assert_eq!((stats.invocations, stats.errors), (3, 0));
        // After 0, 1, 3, 7, 15, 31, 63, 127, 255 and 511 s.
        assert_eq!(stats.throttles, 3 * 10);
    });
}

/// MET-07, MET-08, MET-12
#[test]
fn stats_include_durations_ages_and_concurrency() {
    simulate(
        [scripted("f").concurrency(2).timeout(secs(60))],
        |s| async move {
            for _ in 0..6 {
                invoke(&s, "f", steps([Step::Take(secs(10))])).await;
            }
            s.settle().await;
            let stats = s.stats("f");
            assert_eq!((stats.concurrent_executions, stats.mailbox_depth), (2, 4));
            s.advance(secs(5)).await;
            assert_eq!(s.stats("f").oldest_age.as_secs(), 5);
            s.advance(secs(60)).await;
            let stats = s.stats("f");
            assert_eq!(
                (stats.concurrent_executions, stats.concurrent_executions_max),
                (0, 2)
            );
            let near = |value: Duration, seconds: u64| value.abs_diff(secs(seconds)) < secs(1);
            assert!(
                near(stats.duration.p50, 10) && near(stats.duration.max, 10),
                "{stats:?}"
            );
            let age = stats.async_event_age;
            assert!(near(age.p50, 10) && near(age.max, 20), "{age:?}");
            assert_eq!((stats.oldest_age, stats.mailbox_depth), (Duration::ZERO, 0));
        },
    );
}

/// MET-12, UNV-04: a sample for each attempt, from the acceptance on.
#[test]
fn a_retry_is_as_old_as_its_event() {
    simulate([scripted("f")], |s| async move {
        invoke(&s, "f", Script::always_fails()).await;
        s.advance(secs(300)).await;
        let age = s.stats("f").async_event_age;
        assert!(age.max.abs_diff(secs(180)) < secs(2), "{age:?}");
        assert!(age.p50.abs_diff(secs(60)) < secs(1), "{age:?}");
    });
}

#[test]
fn calls_are_counted_apart_from_events() {
    simulate([scripted("f")], |s| async move {
        let _: RequestId = s.client().call("f", Script::succeeds()).await.unwrap();
        let stats = s.stats("f");
        assert_eq!((stats.async_events_received, stats.invocations), (0, 1));
        assert_eq!((stats.calls.succeeded, stats.events.succeeded), (1, 0));
    });
}

#[test]
fn finished_events_are_remembered_up_to_a_number() {
    simulate(
        [scripted("f").retain(3, secs(3_600), 1 << 20)],
        |s| async move {
            let mut ids = Vec::new();
            for _ in 0..10 {
                ids.push(invoke(&s, "f", Script::succeeds()).await);
                s.settle().await;
            }
            assert_eq!(known(&s, &ids).await, ids[7..]);
        },
    );
}

#[test]
fn finished_events_are_remembered_for_a_time() {
    simulate(
        [scripted("f").retain(1_000, secs(100), 1 << 20)],
        |s| async move {
            let id = invoke(&s, "f", Script::succeeds()).await;
            s.advance(secs(99)).await;
            assert!(s.client().status(id).await.is_some());
            // They are swept a quarter of the time later at the latest.
            s.advance(secs(27)).await;
            assert!(s.client().status(id).await.is_none());
            assert_eq!(s.succeeded("f"), 1);
        },
    );
}

#[test]
fn finished_events_are_remembered_up_to_the_size_of_their_results() {
    let function = Function::new("f", |_: Event<()>| async {
        Ok::<_, String>("x".repeat(98))
    });
    simulate([function.retain(1_000, secs(3_600), 250)], |s| async move {
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(invoke(&s, "f", ()).await);
            s.settle().await;
        }
        assert_eq!(known(&s, &ids).await.len(), 2);
    });
}

#[test]
fn a_pending_event_is_never_forgotten() {
    simulate([scripted("f").retain(0, secs(0), 0)], |s| async move {
        s.client().pause("f");
        let id = invoke(&s, "f", Script::succeeds()).await;
        s.advance(secs(10_000)).await;
        assert!(matches!(status(&s, id).await, Status::Accepted { .. }));
        let wait = s.client();
        let wait = wait.wait(id);
        s.client().resume("f");
        assert!(
            matches!(wait.await, Some(Status::Succeeded { .. })),
            "who waits is told"
        );
        s.settle().await;
        assert!(s.client().status(id).await.is_none());
    });
}

#[test]
fn a_paused_function_starts_nothing_and_loses_nothing() {
    simulate(
        [scripted("f").timeout(secs(60)), scripted("g")],
        |s| async move {
            let running = invoke(&s, "f", steps([Step::Take(secs(20))])).await;
            let fails = invoke(&s, "f", Script::fails(1)).await;
            s.settle().await;
            assert!(s.client().pause("f") && !s.client().pause("unknown"));
            let event = Invoke::event("f", Script::succeeds()).delay(secs(10));
            let delayed = s.client().send(event).await.unwrap().request_id;
            let waits = invoke(&s, "f", Script::succeeds()).await;
            invoke(&s, "g", Script::succeeds()).await;
            s.advance(secs(3_600)).await;
            assert_eq!((s.stats("f").invocations, s.succeeded("g")), (2, 1));
            assert_eq!(s.succeeded("f"), 1, "what ran went on");
            let refused = s.client().call::<RequestId>("f", Script::succeeds()).await;
            assert!(matches!(refused, Err(CallError::Refused(_))));
            assert!(s.client().resume("f") && !s.client().resume("unknown"));
            s.settle().await;
            assert_eq!((s.succeeded("f"), s.stats("f").events.pending()), (4, 0));
            for id in [fails, delayed, waits] {
                assert!(matches!(status(&s, id).await, Status::Succeeded { .. }));
            }
            assert!(
                s.client()
                    .status(running)
                    .await
                    .is_none_or(|status| status.is_finished())
            );
        },
    );
}
