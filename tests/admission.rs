//! Admission: which invocations are refused, and which are accepted.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{fail, invoke, letter, secs, simulate, simulate_with, steps};
use redrive::testing::{Script, Simulation, Step, scripted};
use redrive::{
    Bound, BuildError, CallError, DeadLetterBounds, Durability, Event, Function, Invoke,
    InvokeError, Payload, RequestId, RestartIntensity, RetryPolicy, Runtime, Status, WhenFull,
};

/// Takes any text and keeps it for a minute.
fn slow(name: &str) -> Function {
    Function::new(name, |_: Event<String>| async {
        tokio::time::sleep(secs(60)).await;
        Ok::<_, String>(())
    })
    .timeout(secs(600))
}

/// A text whose JSON has `bytes` bytes.
fn text(bytes: usize) -> String {
    "x".repeat(bytes - 2)
}

fn chosen(number: u128) -> RequestId {
    RequestId::from(uuid::Uuid::from_u128(number))
}

#[track_caller]
fn assert_nothing_kept(simulation: &Simulation, function: &str, accepted: u64) {
    let stats = simulation.stats(function);
    assert_eq!(
        (stats.events.accepted, stats.async_events_received),
        (accepted, accepted)
    );
}

#[test]
fn an_unknown_function_is_refused() {
    simulate([slow("f")], |s| async move {
        let refused = s.client().invoke("g", text(10)).await.unwrap_err();
        assert_eq!(refused.to_string(), "function `g` is not registered");
        assert!(matches!(refused, InvokeError::UnknownFunction { function } if function == "g"));
        let call = s.client().call::<()>("g", text(10)).await;
        assert!(matches!(
            call,
            Err(CallError::Refused(InvokeError::UnknownFunction { .. }))
        ));
        assert!(s.client().invoke_batch("g", [text(10)]).await.is_err());
        assert_nothing_kept(&s, "f", 0);
    });
}

/// INV-26, INV-27, INV-29, UNV-05: both limits are taken, and one byte more is not.
#[test]
fn a_payload_may_have_as_many_bytes_as_the_limit_and_no_more() {
    simulate([slow("f")], |s| async move {
        invoke(&s, "f", text(1_048_576)).await;
        let refused = s.client().invoke("f", text(1_048_577)).await.unwrap_err();
        let InvokeError::PayloadTooLarge { bytes, limit, .. } = refused else {
            panic!()
        };
        assert_eq!((bytes, limit), (1_048_577, 1_048_576));
        let json = Payload::from_json(format!("{:?}", text(1_048_577))).unwrap();
        assert!(
            s.client().invoke("f", json).await.is_err(),
            "the same for JSON"
        );
        assert_nothing_kept(&s, "f", 1);
        s.client().call::<()>("f", text(6 << 20)).await.unwrap();
        let refused = s.client().call::<()>("f", text((6 << 20) + 1)).await;
        let refused = matches!(
            refused,
            Err(CallError::Refused(InvokeError::PayloadTooLarge { .. }))
        );
        assert!(refused && s.stats("f").calls.accepted == 1);
    });
}

#[test]
fn the_payload_limits_of_events_and_calls_can_be_set() {
    let builder = Runtime::builder().function(slow("f"));
    simulate_with(
        builder.event_payload_max(10).call_payload_max(20),
        |s| async move {
            invoke(&s, "f", text(10)).await;
            assert!(s.client().invoke("f", text(11)).await.is_err());
            assert!(s.client().call::<()>("f", text(20)).await.is_ok());
            assert!(s.client().call::<()>("f", text(21)).await.is_err());
        },
    );
}

#[test]
fn a_mailbox_full_of_events_says_when_to_come_back() {
    simulate([slow("f").mailbox_events_max(3)], |s| async move {
        for _ in 0..3 {
            invoke(&s, "f", text(10)).await;
        }
        let refused = s.client().invoke("f", text(10)).await.unwrap_err();
        let InvokeError::MailboxFull {
            bound, retry_after, ..
        } = refused
        else {
            panic!()
        };
        assert_eq!(bound, Bound::Events(3));
        assert!(retry_after > Duration::ZERO);
        assert_nothing_kept(&s, "f", 3);
        assert_eq!(s.stats("f").throttles, 1);
        s.advance(secs(61)).await;
        invoke(&s, "f", text(10)).await;
    });
}

#[test]
fn a_mailbox_full_of_bytes_says_when_to_come_back() {
    simulate([slow("f").mailbox_bytes_max(100)], |s| async move {
        invoke(&s, "f", text(60)).await;
        invoke(&s, "f", text(40)).await;
        let refused = s.client().invoke("f", text(3)).await.unwrap_err();
        let InvokeError::MailboxFull {
            bound, retry_after, ..
        } = refused
        else {
            panic!()
        };
        assert_eq!(bound, Bound::Bytes(100));
        assert!(retry_after > Duration::ZERO);
        assert_nothing_kept(&s, "f", 2);
        s.advance(secs(61)).await;
        invoke(&s, "f", text(100)).await;
    });
}

#[test]
fn a_batch_is_accepted_as_a_whole_or_not_at_all() {
    simulate([slow("f").mailbox_events_max(5)], |s| async move {
        let batch = |count, bytes| vec![text(bytes); count];
        let refused = s.client().invoke_batch("f", batch(6, 10)).await;
        assert!(matches!(refused, Err(InvokeError::MailboxFull { .. })));
        let mut uneven = batch(2, 10);
        uneven.push(text(2 << 20));
        let refused = s.client().invoke_batch("f", uneven).await;
        assert!(matches!(refused, Err(InvokeError::PayloadTooLarge { .. })));
        s.settle().await;
        assert_nothing_kept(&s, "f", 0);
        let receipts = s.client().invoke_batch("f", batch(5, 10)).await.unwrap();
        assert_eq!(receipts.len(), 5);
        assert!(
            receipts
                .iter()
                .all(|receipt| receipt.durability == Durability::Memory)
        );
        assert!(
            s.client()
                .invoke_batch("f", Vec::<String>::new())
                .await
                .unwrap()
                .is_empty()
        );
        assert_nothing_kept(&s, "f", 5);
    });
}

/// REC-01, MET-16
#[test]
fn an_event_that_invokes_its_own_function_is_stopped_at_the_16th_hop() {
    let refusals = Arc::new(Mutex::new(Vec::new()));
    let log = refusals.clone();
    let function = Function::new("f", move |event: Event<()>| {
        let log = log.clone();
        async move {
            if let Err(refused) = event.context().client().invoke("f", ()).await {
                log.lock().unwrap().push((event.context().hops(), refused));
            }
            Ok::<_, String>(())
        }
    });
    simulate(
        [function, scripted("free").allow_recursion()],
        |s| async move {
            invoke(&s, "f", ()).await;
            s.settle().await;
            let refusals = std::mem::take(&mut *refusals.lock().unwrap());
            let [
                (
                    15,
                    InvokeError::Recursion {
                        hops: 16,
                        limit: 16,
                        ..
                    },
                ),
            ] = refusals[..]
            else {
                panic!("{refusals:?}")
            };
            assert_nothing_kept(&s, "f", 16);
            assert_eq!(
                (s.succeeded("f"), s.stats("f").recursive_invocations_dropped),
                (16, 1)
            );
            // REC-06
            let deep = Invoke::event("free", Script::succeeds()).hops(200);
            s.client().send(deep).await.unwrap();
        },
    );
}

#[test]
fn a_chosen_request_id_is_taken_while_its_event_is_known() {
    let short = |name| scripted(name).retain(0, secs(0), 0);
    simulate([short("f"), short("g")], |s| async move {
        let id = chosen(7);
        let event = |function, script| Invoke::event(function, script).request_id(id);
        let hang = || steps([Step::Take(secs(1))]);
        assert_eq!(
            s.client()
                .send(event("f", hang()))
                .await
                .unwrap()
                .request_id,
            id
        );
        for function in ["f", "g"] {
            let refused = s.client().send(event(function, hang())).await;
            assert!(
                matches!(refused, Err(InvokeError::RequestIdTaken { request_id }) if request_id == id)
            );
            assert!(s.client().dry_run(event(function, hang())).is_err());
        }
        assert_nothing_kept(&s, "g", 0);
        s.advance(secs(2)).await;
        assert!(s.client().status(id).await.is_none());
        s.client().dry_run(event("g", hang())).unwrap();
        assert_eq!(
            s.client()
                .send(event("g", hang()))
                .await
                .unwrap()
                .request_id,
            id
        );
        s.advance(secs(2)).await;
        assert_eq!((s.succeeded("f"), s.succeeded("g")), (1, 1));
    });
}

#[test]
fn the_chosen_request_ids_of_a_removed_function_are_free() {
    simulate([scripted("f"), scripted("g")], |s| async move {
        let event = |function| Invoke::event(function, Script::succeeds()).request_id(chosen(7));
        s.client().send(event("f")).await.unwrap();
        s.settle().await;
        s.runtime().remove_function("f").unwrap();
        s.advance(secs(3_600)).await;
        s.client().send(event("g")).await.unwrap();
        s.settle().await;
        assert!(matches!(
            s.client().status(chosen(7)).await,
            Some(Status::Succeeded { .. })
        ));
    });
}

#[test]
fn a_payload_that_is_not_json_is_refused() {
    let function = Function::new("f", |_: Event<Payload>| async { Ok::<_, String>(()) });
    simulate([function], |s| async move {
        let odd = HashMap::from([((1, 2), 3)]);
        let refused = s.client().invoke("f", odd.clone()).await.unwrap_err();
        assert!(
            matches!(refused, InvokeError::PayloadUnserialisable { .. }),
            "{refused}"
        );
        assert!(s.client().invoke_batch("f", [odd]).await.is_err());
        assert!(Payload::from_json("{not json").is_err());
        assert_nothing_kept(&s, "f", 0);
    });
}

#[test]
fn a_faulty_setting_of_one_event_is_refused() {
    simulate([scripted("f")], |s| async move {
        let faulty = RetryPolicy::exponential(3, secs(10), secs(1));
        let event = Invoke::event("f", Script::succeeds()).retry(faulty);
        let refused = s.client().send(event).await.unwrap_err();
        assert!(matches!(refused, InvokeError::Setting(fault) if fault.field == "retry"));
        assert_nothing_kept(&s, "f", 0);
    });
}

#[test]
fn all_faults_of_a_runtime_are_named_at_once() {
    redrive::testing::run(async {
        let builder = Runtime::builder()
            .function(scripted("re size").concurrency(0).timeout(Duration::ZERO))
            .function(scripted("f").restarts(RestartIntensity::default().backoff(secs(2), secs(1))))
            .function(scripted("f").event_age_max(Duration::ZERO))
            .arbiters(0)
            .event_payload_max(0)
            .dead_letters(DeadLetterBounds::new(0, 0, WhenFull::Hold));
        let error = builder.start().await.unwrap_err();
        let text = error.to_string();
        let BuildError::Settings(faults) = error else {
            panic!("{text}")
        };
        let named: Vec<_> = faults
            .iter()
            .map(|f| (f.function.as_str(), f.field))
            .collect();
        let expected = [
            ("re size", "name"),
            ("re size", "concurrency"),
            ("re size", "timeout"),
            ("f", "restarts"),
            ("f", "event_age_max"),
            ("f", "name"),
            ("", "arbiters"),
            ("", "event_payload_max"),
            ("", "dead_letters"),
        ];
        assert_eq!(named, expected);
        assert!(
            text.starts_with("9 faulty settings\n  function `re size`: name: "),
            "{text}"
        );
    });
}

#[test]
fn a_simulation_needs_the_system_of_its_test() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let builder = Runtime::builder().function(scripted("f"));
    let error = runtime.block_on(Simulation::start(7, builder)).unwrap_err();
    assert!(matches!(error, BuildError::NoSystem));
}

/// BYD-13, GAP-14
#[test]
fn an_event_runs_no_earlier_than_its_delay_or_start_time() {
    simulate([scripted("f")], |s| async move {
        let event = || Invoke::event("f", Script::succeeds());
        let delayed = s
            .client()
            .send(event().delay(secs(3_600)))
            .await
            .unwrap()
            .request_id;
        let now = match s.client().status(delayed).await {
            Some(Status::Delayed {
                until,
                attempts: 0,
                failure: None,
            }) => until - secs(3_600),
            other => panic!("{other:?}"),
        };
        let timed = s
            .client()
            .send(event().not_before(now + secs(60)))
            .await
            .unwrap()
            .request_id;
        let past = s
            .client()
            .send(event().not_before(now - secs(60)))
            .await
            .unwrap()
            .request_id;
        s.settle().await;
        assert_eq!((s.succeeded("f"), s.delayed("f")), (1, 2));
        assert!(matches!(
            s.client().status(past).await,
            Some(Status::Succeeded { .. })
        ));
        s.advance(secs(59)).await;
        assert_eq!(s.succeeded("f"), 1);
        s.advance(secs(1)).await;
        assert!(matches!(
            s.client().status(timed).await,
            Some(Status::Succeeded { .. })
        ));
        s.advance(secs(3_539)).await;
        assert_eq!(s.succeeded("f"), 2);
        s.advance(secs(1)).await;
        assert_eq!(s.succeeded("f"), 3);
    });
}

/// XRY-04, XRY-05
#[test]
fn an_event_without_a_trace_header_begins_a_trace_that_its_children_belong_to() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let inner = Function::new("inner", move |event: Event<()>| {
        let trace = event.context().trace_header().into_owned();
        log.lock().unwrap().push(trace);
        async { Ok::<_, String>(()) }
    });
    let log = seen.clone();
    let outer = Function::new("outer", move |event: Event<()>| {
        let log = log.clone();
        async move {
            let context = event.context();
            log.lock()
                .unwrap()
                .push(context.trace_header().into_owned());
            if context.attempt() == 1 {
                return Err("once more".to_owned());
            }
            context.client().invoke("inner", ()).await.unwrap();
            Ok(())
        }
    });
    simulate([inner, outer], |s| async move {
        s.client().invoke("outer", ()).await.unwrap();
        s.settle().await;
        s.advance(secs(60)).await;
        let first = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(first.len(), 3);
        assert!(first.iter().all(|trace| *trace == first[0]), "{first:?}");
        assert!(
            first[0].starts_with("Root=1-") && first[0].ends_with(";Sampled=0"),
            "{first:?}"
        );
        s.client().invoke("inner", ()).await.unwrap();
        s.settle().await;
        assert_ne!(seen.lock().unwrap()[0], first[0]);
    });
}

#[test]
fn a_trace_header_reaches_the_handler_and_goes_on_with_its_client() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let inner = Function::new("inner", move |event: Event<()>| {
        let context = event.context();
        let header = context.trace_header().into_owned();
        log.lock().unwrap().push((header, context.hops()));
        async { Ok::<_, String>(()) }
    });
    let outer = Function::new("outer", |event: Event<bool>| async move {
        let client = event.context().client();
        client.invoke("inner", ()).await?;
        client.invoke_batch("inner", [()]).await?;
        client
            .call::<()>("inner", ())
            .await
            .map_err(|error| error.to_string())
            .unwrap();
        client
            .send(Invoke::event("inner", ()).trace_header("own"))
            .await?;
        Ok::<_, InvokeError>(())
    });
    simulate([inner, outer], |s| async move {
        let event = Invoke::event("outer", true).trace_header("Root=1").hops(4);
        s.client().send(event).await.unwrap();
        s.settle().await;
        let mut seen = seen.lock().unwrap();
        seen.sort();
        let root = ("Root=1".to_owned(), 5);
        assert_eq!(
            *seen,
            [root.clone(), root.clone(), root, ("own".to_owned(), 5)]
        );
    });
}

#[test]
fn a_dry_run_meets_the_same_refusals_and_keeps_nothing() {
    simulate([slow("f").mailbox_events_max(1)], |s| async move {
        let dry = |payload: String| s.client().dry_run(Invoke::event("f", payload));
        dry(text(10)).unwrap();
        assert!(matches!(
            dry(text(2 << 20)),
            Err(InvokeError::PayloadTooLarge { .. })
        ));
        let unknown = s.client().dry_run(Invoke::event("g", text(10)));
        assert!(matches!(unknown, Err(InvokeError::UnknownFunction { .. })));
        assert_nothing_kept(&s, "f", 0);
        invoke(&s, "f", text(10)).await;
        assert!(matches!(
            dry(text(10)),
            Err(InvokeError::MailboxFull { .. })
        ));
        assert_nothing_kept(&s, "f", 1);
    });
}

#[test]
fn a_call_returns_the_result_or_the_failure() {
    simulate([scripted("f")], |s| async move {
        let client = s.client();
        let _: RequestId = client.call("f", Script::succeeds()).await.unwrap();
        let failed = client.call::<RequestId>("f", steps([fail()])).await;
        assert!(matches!(failed, Err(CallError::Failed(f)) if f.message == "as scripted"));
        let misfit = client.call::<u64>("f", Script::succeeds()).await;
        assert!(matches!(misfit, Err(CallError::Result(_))));
        client.pause("f");
        let paused = client.call::<RequestId>("f", Script::succeeds()).await;
        assert!(matches!(
            paused,
            Err(CallError::Refused(InvokeError::Paused { .. }))
        ));
        let calls = s.stats("f").calls;
        assert_eq!((calls.accepted, calls.succeeded, calls.dead), (3, 2, 1));
        assert_eq!(s.accepted("f"), 0);
    });
}

#[test]
fn a_call_can_be_cancelled_by_its_id_and_by_its_drop() {
    simulate([scripted("f").timeout(secs(600))], |s| async move {
        let client = s.client();
        let call = tokio::task::spawn_local(async move {
            let invoke = Invoke::event("f", steps([Step::Hang])).request_id(chosen(1));
            client.call_with::<RequestId>(invoke).await
        });
        s.settle().await;
        assert!(s.client().cancel(chosen(1)).await);
        assert!(matches!(call.await.unwrap(), Err(CallError::Cancelled)));
        let client = s.client();
        let dropped = client.call::<RequestId>("f", steps([Step::Hang]));
        assert!(tokio::time::timeout(secs(1), dropped).await.is_err());
        s.settle().await;
        let calls = s.stats("f").calls;
        assert_eq!((calls.cancelled, calls.running), (2, 0));
    });
}

#[test]
fn json_reaches_a_typed_handler() {
    simulate([scripted("f")], |s| async move {
        let json = Payload::from_json(r#"["Succeed"]"#).unwrap();
        let _: RequestId = s.client().call("f", json).await.unwrap();
        let json = Payload::from_json(r#"[{"Final":"read from JSON"}]"#).unwrap();
        let id = invoke(&s, "f", json).await;
        s.settle().await;
        assert_eq!(
            letter(&s, id).await.failure().unwrap().message,
            "read from JSON"
        );
    });
}

#[test]
fn the_router_replies_what_the_client_returns() {
    simulate([scripted("f")], |s| async move {
        let router = s.runtime().router();
        let event = Invoke::event("f", Script::succeeds());
        let receipt = router.send(event).await.unwrap().unwrap();
        let refused = router.send(Invoke::event("g", ())).await.unwrap();
        assert!(matches!(refused, Err(InvokeError::UnknownFunction { .. })));
        s.settle().await;
        assert!(matches!(
            s.client().status(receipt.request_id).await,
            Some(Status::Succeeded { .. })
        ));
    });
}
