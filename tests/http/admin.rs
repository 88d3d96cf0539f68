//! The operations beyond AWS's API: status, cancelling, pausing, dead letters, statistics, health.

use serde_json::{Value, json};

use crate::support::{Answer, Served, serve};

async fn post(served: &Served, path: &str, body: Value) -> Answer {
    served
        .request("POST", path, &[], body.to_string().as_bytes())
        .await
}

async fn event(served: &Served, function: &str, body: &[u8]) -> String {
    let answer = served.invoke(function, "Event", body).await;
    assert_eq!(answer.status, 202);
    answer.header("x-amzn-requestid").unwrap().to_owned()
}

/// BYD-03, BYD-06
#[actix::test]
async fn an_event_is_followed_and_cancelled() {
    let served = serve().await;
    let paused = post(&served, "/_redrive/functions/echo/pause", json!({})).await;
    assert_eq!(paused.json(), json!({"function": "echo", "paused": true}));
    let (one, two) = (
        event(&served, "echo", b"1").await,
        event(&served, "echo", b"2").await,
    );
    let refused = served.invoke("echo", "RequestResponse", b"3").await;
    assert_eq!(refused.error(), (429, "TooManyRequestsException"));
    assert!(refused.message().contains("resume it"), "{refused:?}");
    let path = format!("/_redrive/events/{one}");
    let status = served.get(&path).await.json();
    assert_eq!(
        (&status["state"], &status["request_id"]),
        (&json!("accepted"), &json!(one))
    );
    let waiting = served
        .get("/_redrive/functions/echo/events?state=accepted&limit=1")
        .await
        .json();
    assert_eq!(waiting["events"].as_array().unwrap().len(), 1);
    let next = waiting["next"].as_u64().unwrap();
    let rest = served
        .get(&format!("/_redrive/functions/echo/events?cursor={next}"))
        .await
        .json();
    assert_eq!(rest["events"].as_array().unwrap().len(), 1);

    let cancelled = served.request("DELETE", &path, &[], b"").await;
    assert_eq!(
        cancelled.json(),
        json!({"request_id": one, "cancelled": true})
    );
    assert_eq!(served.get(&path).await.json()["state"], "cancelled");
    assert_eq!(
        served.request("DELETE", &path, &[], b"").await.error().0,
        409
    );
    post(&served, "/_redrive/functions/echo/resume", json!({})).await;
    assert_eq!(served.wait(&two).await["result"], 2);
    let nobody = "5f0c5a4e-9d0a-4d8e-8b51-1d9f6f4f9a01";
    assert_eq!(
        served
            .get(&format!("/_redrive/events/{nobody}"))
            .await
            .error()
            .0,
        404
    );
    assert_eq!(served.get("/_redrive/events/7").await.error().0, 400);
    assert_eq!(
        served.get(&format!("{path}?wait=61")).await.error(),
        (400, "ValidationException")
    );
}

/// A long poll ends when its time is over, and not before the event if that ends first.
#[actix::test]
async fn a_long_poll_waits_as_long_as_asked() {
    let served = serve().await;
    let id = event(&served, "sleep", b"1500").await;
    let early = served
        .get(&format!("/_redrive/events/{id}?wait=1"))
        .await
        .json();
    assert_eq!(early["state"], "running");
    assert_eq!(served.wait(&id).await["state"], "succeeded");
}

/// BYD-07
#[actix::test]
async fn dead_letters_are_listed_repaired_and_sent_back() {
    let served = serve().await;
    let ids = [
        event(&served, "fail", b"{}").await,
        event(&served, "fail", br#"{"message":"other"}"#).await,
    ];
    for id in &ids {
        assert_eq!(served.wait(id).await["state"], "dead");
    }
    let all = served
        .get("/_redrive/dead-letters?function=fail&condition=RetriesExhausted")
        .await
        .json();
    assert_eq!(
        (&all["total"], all["letters"].as_array().unwrap().len()),
        (&json!(2), 2)
    );
    let others = served.get("/_redrive/dead-letters?function=echo").await;
    assert_eq!(others.json()["letters"], json!([]));
    let page = served.get("/_redrive/dead-letters?limit=1").await.json();
    let next = page["next"].as_u64().unwrap();
    let rest = served
        .get(&format!("/_redrive/dead-letters?limit=1&cursor={next}"))
        .await
        .json();
    assert_ne!(
        page["letters"][0]["request_id"],
        rest["letters"][0]["request_id"]
    );
    let one = served
        .get(&format!("/_redrive/dead-letters/{}", ids[0]))
        .await
        .json();
    assert_eq!(one["attempt_count"], 3);

    let redrive = "/_redrive/dead-letters/redrive";
    let dry = post(&served, redrive, json!({"filter": {}, "dry_run": true}))
        .await
        .json();
    assert_eq!(dry["sent"].as_array().unwrap().len(), 2);
    assert_eq!(dry["sent"][0]["event"], Value::Null);
    let sent = post(
        &served,
        redrive,
        json!({"request_id": ids[0], "payload": {"message": "again"}}),
    )
    .await
    .json();
    let new = sent["sent"][0]["event"].as_str().unwrap();
    let status = served.wait(new).await;
    assert_eq!(status["letter"]["redriven_from"], json!(ids[0]));
    assert_eq!(status["letter"]["payload"], json!({"message": "again"}));
    assert_eq!(
        served
            .get(&format!("/_redrive/dead-letters/{}", ids[0]))
            .await
            .error()
            .0,
        404
    );
    assert_eq!(
        post(&served, redrive, json!({"request_id": ids[0]}))
            .await
            .error()
            .0,
        404
    );
    for faulty in [
        json!({}),
        json!({"filter": {}, "request_id": ids[1]}),
        json!({"filter": {}, "per_second": 0}),
        json!({"filter": {"condition": "Bored"}}),
        json!({"filter": {"since": "yesterday"}}),
    ] {
        let answer = post(&served, redrive, faulty).await;
        assert_eq!(answer.error(), (400, "InvalidParameterValueException"));
    }
    let misspelt = post(&served, redrive, json!({"filter": {}, "dryrun": true})).await;
    assert_eq!(misspelt.error(), (400, "SerializationException"));

    let purge = "/_redrive/dead-letters/purge";
    assert_eq!(post(&served, purge, json!({})).await.error().0, 400);
    let dry = post(&served, purge, json!({"filter": {}, "dry_run": true}))
        .await
        .json();
    assert_eq!(dry, json!({"purged": 2, "dry_run": true}));
    let purged = post(&served, purge, json!({"filter": {"function": "fail"}}))
        .await
        .json();
    assert_eq!(purged, json!({"purged": 2, "dry_run": false}));
    assert_eq!(
        served.get("/_redrive/dead-letters").await.json()["total"],
        0
    );
}

/// BYD-07: a repaired payload may be as large as that of an event.
#[actix::test]
async fn a_large_payload_is_repaired_as_a_small_one() {
    let served = serve().await;
    let id = event(&served, "fail", b"{}").await;
    served.wait(&id).await;
    let redrive = async |bytes: usize| {
        let message = "x".repeat(bytes);
        let body = json!({"request_id": id, "payload": {"message": message}});
        post(&served, "/_redrive/dead-letters/redrive", body).await
    };
    let answer = redrive(2 << 20).await;
    assert_eq!(answer.error(), (413, "RequestEntityTooLargeException"));
    // Fits in a request, but not in an event: the letter stays.
    let refused = redrive(1 << 20).await.json();
    assert_eq!(refused["refused"][0]["letter"], json!(id));
    let sent = redrive(1_000_000).await.json();
    let new = sent["sent"][0]["event"].as_str().unwrap();
    let status = served.wait(new).await;
    let message = status["letter"]["payload"]["message"].as_str().unwrap();
    assert_eq!(message.len(), 1_000_000);
}

#[actix::test]
async fn stats_and_function_names_are_returned() {
    let served = serve().await;
    let names = served.get("/_redrive/functions").await.json();
    assert_eq!(names, json!({"functions": ["echo", "fail", "sleep"]}));
    served.invoke("echo", "RequestResponse", b"1").await;
    // A call is settled by its worker's next turn.
    while served.get("/_redrive/functions/echo/stats").await.json()["Invocations"] != 1 {}
    assert_eq!(
        served.get("/_redrive/functions/fail/stats").await.json()["Invocations"],
        0
    );
    assert_eq!(
        served.get("/_redrive/functions/nope/stats").await.error().0,
        404
    );
    assert_eq!(
        served
            .request("POST", "/_redrive/functions/nope/pause", &[], b"")
            .await
            .error()
            .0,
        404
    );
    let described = served.get("/_redrive/openapi.json").await;
    assert_eq!(described.json()["openapi"], "3.1.0");
    assert_eq!(described.header("content-type"), Some("application/json"));
}

#[actix::test]
async fn health_reports_a_shutdown() {
    let served = serve().await;
    assert_eq!(
        served.get("/_redrive/health/live").await.json(),
        json!({"status": "live"})
    );
    let ready = served.get("/_redrive/health/ready").await;
    assert_eq!(
        (ready.status, ready.json()),
        (200, json!({"status": "ready"}))
    );
    drop(
        served
            .runtime
            .shutdown(std::time::Duration::from_secs(5))
            .await,
    );
    let mut stream = tokio::net::TcpStream::connect(served.address)
        .await
        .unwrap();
    let ask = b"GET /_redrive/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, ask)
        .await
        .unwrap();
    let ready = crate::support::read(&mut stream).await.unwrap();
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["problem"], "the runtime is shutting down");
}

/// No function runs them, so they must be visible.
#[cfg(feature = "testing")]
#[actix::test]
async fn events_of_functions_that_are_not_registered_are_listed() {
    use redrive::testing::{RecordingStore, scripted};

    let store = RecordingStore::new();
    let before = redrive::Runtime::builder().function(scripted("gone"));
    let before = before.store(store.clone()).start().await.unwrap();
    let event = redrive::Invoke::event("gone", 1_u32).delay(std::time::Duration::from_secs(3_600));
    before.client().send(event).await.unwrap();
    drop(before);
    store.reopen();

    let builder = crate::support::builder().store(store);
    let served = crate::support::serve_with(builder, |api| api).await;
    let listed = served.get("/_redrive/unregistered").await;
    let waiting = json!([{"function": "gone", "events": 1}]);
    assert_eq!(listed.json(), json!({ "unregistered": waiting }));
    let ready = served.get("/_redrive/health/ready").await;
    let expected = json!({"status": "ready", "unregistered_events": 1});
    assert_eq!((ready.status, ready.json()), (200, expected));
    let stats = served.get("/_redrive/stats").await.json();
    let events = &stats["Events"];
    assert_eq!(
        (&events["accepted"], &events["unregistered"]),
        (&json!(1), &json!(1))
    );
}

/// A failed store accepts nothing any more, so a load balancer must see it.
#[cfg(feature = "testing")]
#[actix::test]
async fn a_store_that_has_failed_is_not_ready() {
    use redrive::testing::RecordingStore;

    let store = RecordingStore::new();
    let builder = crate::support::builder().store(store.clone());
    let served = crate::support::serve_with(builder, |api| api).await;
    assert_eq!(served.get("/_redrive/health/ready").await.status, 200);
    store.die();
    let ready = served.get("/_redrive/health/ready").await;
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (503, &json!("not ready"))
    );
}
