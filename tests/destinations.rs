//! Records of finished events and where they go.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod common;

use std::sync::{Arc, Mutex};

use actix::prelude::*;
use common::{endless_panic, fail, hush, invoke, letters, secs, simulate, simulate_with, steps};
use redrive::testing::{Script, Simulation, Step, run, scripted};
use redrive::{
    Condition, Destination, Event, Function, InvocationRecord, Invoke, Payload, RequestId,
    RetryPolicy, Runtime, Status,
};
use serde_json::{Value, json};

type Records = Arc<Mutex<Vec<Value>>>;

/// A destination that keeps its records, as JSON.
fn keeping() -> (Destination, Records) {
    let records = Records::default();
    let kept = records.clone();
    let destination = Destination::closure(move |record| {
        kept.lock()
            .unwrap()
            .push(serde_json::to_value(&record).unwrap());
    });
    (destination, records)
}

/// A function whose records are kept, and which fails if its payload says so.
fn recorded(name: &str) -> (Function, Records) {
    let (destination, records) = keeping();
    let function = Function::new(name, |event: Event<Value>| async move {
        match event["fail"].as_str() {
            Some("always") => Err("out of paper"),
            Some("once") if event.context().attempt() == 1 => Err("out of paper"),
            _ => Ok(json!({ "ok": true })),
        }
    });
    (
        function
            .on_success(destination.clone())
            .on_failure(destination),
        records,
    )
}

const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST";

fn identified(function: Function) -> redrive::Builder {
    Runtime::builder()
        .function(function)
        .identity("eu-west-1", "123456789012")
}

/// DST-03 to DST-08
#[test]
fn the_record_of_a_success_has_awss_format() {
    let (function, records) = recorded("f");
    simulate_with(identified(function), |s| async move {
        let id = invoke(&s, "f", json!({ "a": 1 })).await;
        s.settle().await;
        let expected = json!({
            "version": "1.0",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "requestContext": {
                "requestId": id.to_string(),
                "functionArn": ARN,
                "condition": "Success",
                "approximateInvokeCount": 1,
            },
            "requestPayload": { "a": 1 },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST" },
            "responsePayload": { "ok": true },
        });
        assert_eq!(*records.lock().unwrap(), [expected]);
    });
}

/// DST-05, DST-09, DST-21, GAP-19
#[test]
fn the_record_of_a_failure_has_awss_format() {
    let (function, records) = recorded("f");
    simulate_with(identified(function), |s| async move {
        let id = invoke(&s, "f", json!({ "fail": "always" })).await;
        s.advance(secs(300)).await;
        let mut record = records.lock().unwrap()[0].clone();
        let timestamp = record["timestamp"].take();
        assert!(
            timestamp
                .as_str()
                .unwrap()
                .starts_with("2026-01-01T00:03:00."),
            "{timestamp}"
        );
        let expected = json!({
            "version": "1.0",
            "timestamp": null,
            "requestContext": {
                "requestId": id.to_string(),
                "functionArn": ARN,
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "requestPayload": { "fail": "always" },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "responsePayload": {
                "errorMessage": "out of paper",
                "errorType": "&str",
                "requestId": id.to_string(),
            },
        });
        assert_eq!(record, expected);
        assert_eq!(records.lock().unwrap().len(), 1);
        assert_eq!(
            letters(&s).await.len(),
            1,
            "DLQ-12: the letter is kept as well"
        );
    });
}

/// ASY-18, DST-07
#[test]
fn the_record_of_an_expired_event_contains_its_last_attempt() {
    let (function, records) = recorded("f");
    simulate([function.event_age_max(secs(90))], |s| async move {
        invoke(&s, "f", json!({ "fail": "always" })).await;
        s.advance(secs(100)).await;
        let record = records.lock().unwrap()[0].clone();
        assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
        assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
        assert_eq!(record["responsePayload"]["errorMessage"], "out of paper");
    });
}

/// DST-10, ASY-27
#[test]
fn the_record_of_an_event_that_never_ran_has_no_response() {
    let (function, records) = recorded("f");
    simulate([function.reserved_concurrency_zero()], |s| async move {
        invoke(&s, "f", json!([1])).await;
        s.settle().await;
        let record = records.lock().unwrap()[0].clone();
        assert_eq!(
            record["requestContext"]["condition"],
            "ZeroReservedConcurrency"
        );
        assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
        let mut keys: Vec<_> = record
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            ["requestContext", "requestPayload", "timestamp", "version"]
        );
    });
}

/// DST-21
#[test]
fn the_record_counts_the_attempts() {
    let (function, records) = recorded("f");
    simulate([function], |s| async move {
        invoke(&s, "f", json!({ "fail": "once" })).await;
        s.advance(secs(61)).await;
        assert_eq!(
            records.lock().unwrap()[0]["requestContext"]["approximateInvokeCount"],
            2
        );
    });
}

/// DST-02
#[test]
fn calls_have_no_records() {
    let (function, records) = recorded("f");
    simulate([function], |s| async move {
        let _: Value = s.client().call("f", json!({})).await.unwrap();
        assert!(
            s.client()
                .call::<Value>("f", json!({ "fail": "always" }))
                .await
                .is_err()
        );
        s.settle().await;
        assert!(records.lock().unwrap().is_empty());
    });
}

#[test]
fn a_cancelled_event_has_no_record() {
    let (destination, records) = keeping();
    let function = scripted("f")
        .on_success(destination.clone())
        .on_failure(destination);
    simulate([function], |s| async move {
        let id = invoke(&s, "f", steps([Step::Hang])).await;
        s.settle().await;
        assert!(s.client().cancel(id).await);
        s.advance(secs(300)).await;
        assert!(records.lock().unwrap().is_empty());
    });
}

/// DST-13
#[test]
fn a_function_as_destination_is_invoked_with_the_record_one_hop_on() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let next = Function::new("next", move |event: Event<Value>| {
        let context = event.context();
        let trace = context.trace_header().into_owned();
        log.lock()
            .unwrap()
            .push((event.payload().clone(), context.hops(), trace));
        async { Ok::<_, String>(()) }
    });
    let function = scripted("f").on_success(Destination::function("next"));
    simulate([function, next], |s| async move {
        let event = Invoke::event("f", Script::succeeds())
            .hops(2)
            .trace_header("Root=1");
        let id = s.client().send(event).await.unwrap().request_id;
        s.settle().await;
        let seen = seen.lock().unwrap();
        let [(record, 3, trace)] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert_eq!(record["requestContext"]["requestId"], id.to_string());
        assert_eq!(record["responsePayload"], id.to_string());
        assert_eq!((trace.as_str(), s.succeeded("next")), ("Root=1", 1));
    });
}

/// DST-13, DST-20, UNV-17: the record's event is asynchronous, has an id of its own, and goes on with the trace, also with
/// one that began with the event.
#[test]
fn the_event_of_a_record_has_its_own_id_and_the_same_trace() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &str, seen: &Arc<Mutex<Vec<(RequestId, String)>>>| {
        let log = seen.clone();
        Function::new(name, move |event: Event<Value>| {
            let context = event.context();
            let trace = context.trace_header().into_owned();
            log.lock().unwrap().push((context.request_id(), trace));
            let fails = event["fail"].is_boolean();
            async move { if fails { Err("as scripted") } else { Ok(()) } }
        })
    };
    let to_next = Destination::function("next");
    let function = note("f", &seen).retry(RetryPolicy::none());
    let function = function.on_success(to_next.clone()).on_failure(to_next);
    simulate([function, note("next", &seen)], |s| async move {
        for payload in [json!({}), json!({ "fail": true })] {
            let id = invoke(&s, "f", payload).await;
            s.settle().await;
            let [(first, trace), (next, onward)] = &std::mem::take(&mut *seen.lock().unwrap())[..]
            else {
                panic!("two runs")
            };
            assert_eq!(*first, id);
            assert_ne!(*next, id);
            assert!(trace.starts_with("Root=1-"), "{trace}");
            assert_eq!(trace, onward);
        }
        assert_eq!(s.stats("next").events.accepted, 2);
        assert_eq!(s.stats("next").calls.accepted, 0);
    });
}

/// DST-17, UNV-16: a record that can't be delivered is not sent again.
#[test]
fn a_record_is_delivered_at_most_once() {
    hush();
    let tries = Arc::new(Mutex::new(0));
    let count = tries.clone();
    let destination = Destination::closure(move |_| {
        *count.lock().unwrap() += 1;
        panic!("as scripted, in a destination")
    });
    let function = scripted("f").retry(RetryPolicy::none());
    let function = function.on_success(destination.clone());
    simulate([function.on_failure(destination)], |s| async move {
        invoke(&s, "f", Script::succeeds()).await;
        invoke(&s, "f", steps([fail()])).await;
        s.advance(secs(86_400)).await;
        assert_eq!(*tries.lock().unwrap(), 2);
        assert_eq!(s.stats("f").destination_delivery_failures, 2);
    });
}

/// UNV-19, DST-06: a payload that is not an object is in the record unchanged.
#[test]
fn every_payload_is_json_in_the_record() {
    let (function, records) = recorded("f");
    simulate([function], |s| async move {
        let payloads = [
            json!(null),
            json!(7),
            json!("text"),
            json!([1, {}]),
            json!(true),
        ];
        for payload in payloads.clone() {
            invoke(&s, "f", payload).await;
            s.settle().await;
        }
        let records = records.lock().unwrap().clone();
        let told: Vec<_> = records
            .iter()
            .map(|it| it["requestPayload"].clone())
            .collect();
        assert_eq!(told, payloads);
    });
}

/// MET-15, DST-17
#[test]
fn a_record_for_an_unknown_function_is_counted_and_the_event_stays_as_it_is() {
    simulate(
        [scripted("f").on_success(Destination::function("nowhere"))],
        |s| async move {
            let id = invoke(&s, "f", Script::succeeds()).await;
            s.settle().await;
            assert!(matches!(
                s.client().status(id).await,
                Some(Status::Succeeded { .. })
            ));
            assert_eq!(s.stats("f").destination_delivery_failures, 1);
        },
    );
}

struct Archive(Arc<Mutex<Vec<String>>>);

impl Actor for Archive {
    type Context = Context<Self>;
}

impl Handler<InvocationRecord> for Archive {
    type Result = ();

    fn handle(&mut self, record: InvocationRecord, _: &mut Self::Context) {
        self.0
            .lock()
            .unwrap()
            .push(record.request_context.condition);
    }
}

/// MET-15
#[test]
fn an_actor_destination_gets_records_until_it_stops() {
    hush();
    run(async {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let archive = Archive::create(|ctx| {
            let until = async move { drop(stopped.await) };
            ctx.spawn(
                until
                    .into_actor(&Archive(Arc::default()))
                    .map(|(), _, ctx| ctx.stop()),
            );
            Archive(seen.clone())
        });
        let destination = Destination::recipient(archive.recipient());
        let function = scripted("f")
            .on_success(destination.clone())
            .on_failure(destination);
        let builder = Runtime::builder().function(function.retry(RetryPolicy::none()));
        let s = Simulation::start(7, builder).await.unwrap();
        invoke(&s, "f", Script::succeeds()).await;
        invoke(&s, "f", steps([fail()])).await;
        s.settle().await;
        assert_eq!(*seen.lock().unwrap(), ["Success", "RetriesExhausted"]);
        drop(stop);
        s.settle().await;
        invoke(&s, "f", Script::succeeds()).await;
        invoke(&s, "f", steps([fail()])).await;
        s.settle().await;
        assert_eq!(
            (seen.lock().unwrap().len(), s.dead("f"), s.succeeded("f")),
            (2, 2, 2)
        );
        assert_eq!(s.stats("f").destination_delivery_failures, 2);
    });
}

/// MET-15
#[test]
fn a_panic_of_a_destination_closure_is_counted_and_harms_nothing() {
    let function = scripted("f")
        .on_success(Destination::closure(|_| {
            panic!("as scripted, in a destination")
        }))
        .on_failure(Destination::closure(|_| endless_panic()));
    simulate(
        [function.retry(RetryPolicy::none()).concurrency(1)],
        |s| async move {
            for _ in 0..10 {
                invoke(&s, "f", Script::succeeds()).await;
                invoke(&s, "f", steps([fail()])).await;
            }
            s.settle().await;
            assert_eq!(
                (s.succeeded("f"), s.dead("f"), s.stats("f").restarts),
                (10, 10, 0)
            );
            assert_eq!(s.stats("f").destination_delivery_failures, 20);
        },
    );
}

/// DST-22, REC-04, MET-16
#[test]
fn a_loop_of_destinations_ends_as_a_dead_letter() {
    let link = |name: &str, next: &str| {
        Function::new(name, |_: Event<Payload>| async { Ok::<_, String>(()) })
            .on_success(Destination::function(next))
    };
    simulate([link("f", "g"), link("g", "f")], |s| async move {
        invoke(&s, "f", 1).await;
        s.settle().await;
        assert_eq!(s.stats("f").invocations + s.stats("g").invocations, 16);
        let letters = letters(&s).await;
        let [letter] = &letters[..] else {
            panic!("one letter")
        };
        assert_eq!(
            (letter.condition, letter.function.as_str()),
            (Condition::Recursion, "f")
        );
        assert_eq!((letter.hops, letter.attempt_count), (16, 0));
        assert_eq!(s.stats("f").recursive_invocations_dropped, 1);
        assert_eq!(s.stats("g").destination_delivery_failures, 0);
        s.assert_nothing_lost();
    });
}

#[test]
fn the_failures_of_a_failure_handler_do_not_loop_for_ever() {
    let function = scripted("f").retry(RetryPolicy::none());
    simulate(
        [function.on_failure(Destination::function("f"))],
        |s| async move {
            invoke(&s, "f", steps([fail()])).await;
            s.advance(secs(60)).await;
            // The record is not a script, so the second event fails for good, and so do its successors.
            assert_eq!(s.stats("f").events.pending(), 0);
            let conditions: Vec<_> = letters(&s)
                .await
                .iter()
                .map(|letter| letter.condition)
                .collect();
            assert_eq!(conditions.len(), 17);
            assert_eq!(conditions.last(), Some(&Condition::Recursion));
            let _: RequestId = s.client().call("f", Script::succeeds()).await.unwrap();
        },
    );
}
