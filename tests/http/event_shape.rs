//! `GET /_redrive/events/{id}` has one shape for all states, and it is the one that `openapi.json` describes.

use std::collections::BTreeSet;
use std::time::Duration;

use redrive::{Client, Event, Function, Invoke, RetryPolicy, Runtime};
use serde_json::{Value, json};

use crate::support::{Served, serve_with};

async fn event(served: &Served, id: impl ToString) -> Value {
    let id = id.to_string();
    let answer = served.get(&format!("/_redrive/events/{id}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let event = answer.json();
    assert_eq!(event["request_id"], json!(id));
    event
}

fn members(event: &Value) -> BTreeSet<String> {
    event.as_object().unwrap().keys().cloned().collect()
}

/// The members that have a value, beside those that always have.
fn given(event: &Value) -> Vec<&str> {
    let members = event.as_object().unwrap().iter();
    let given = members.filter(|(_, value)| !value.is_null());
    let names = given.map(|(name, _)| &**name);
    names
        .filter(|name| !["request_id", "function", "state"].contains(name))
        .collect()
}

fn functions() -> [Function; 4] {
    let wait = |_: Event<Value>| std::future::pending::<Result<(), String>>();
    let echo = |event: Event<Value>| async move { Ok::<_, String>(event.payload().clone()) };
    let fail = |_: Event<Value>| async move { Err::<(), _>("as ever".to_owned()) };
    let hour = RetryPolicy::delays([Duration::from_secs(3_600)]);
    let day = Duration::from_secs(86_400);
    [
        Function::new("wait", wait).timeout(day),
        Function::new("echo", echo),
        Function::new("fail", fail).retry(RetryPolicy::none()),
        Function::new("later", fail).retry(hour),
    ]
}

/// Waits until an event is in this state.
async fn until(served: &Served, id: impl ToString + Copy, state: &str) -> Value {
    loop {
        let event = event(served, id).await;
        if event["state"] == state {
            return event;
        }
        tokio::task::yield_now().await;
    }
}

async fn send(client: &Client, function: &str, payload: Value) -> redrive::RequestId {
    client.invoke(function, payload).await.unwrap().request_id
}

#[actix::test]
async fn an_event_has_the_same_members_in_every_state() {
    let builder = functions()
        .into_iter()
        .fold(Runtime::builder(), |builder, it| builder.function(it));
    let served = serve_with(builder, |api| api).await;
    let client = served.runtime.client();
    let mut all = Vec::new();

    let running = send(&client, "wait", json!(1)).await;
    let it = until(&served, running, "running").await;
    assert_eq!(given(&it), ["attempt", "since"]);
    all.push(it);
    let delayed = send(&client, "later", json!(1)).await;
    let it = until(&served, delayed, "delayed").await;
    assert_eq!(given(&it), ["attempts", "failure", "until"]);
    all.push(it);
    let put_off = Invoke::event("echo", 1).delay(Duration::from_secs(3_600));
    let put_off = client.send(put_off).await.unwrap().request_id;
    let it = event(&served, put_off).await;
    assert_eq!(given(&it), ["attempts", "until"]);
    assert_eq!(it["attempts"], 0);
    all.push(it);
    let done = send(&client, "echo", json!({ "a": 1 })).await;
    client.wait(done).await.unwrap();
    let it = event(&served, done).await;
    assert_eq!(given(&it), ["attempts", "result"]);
    assert_eq!(
        (&it["result"], &it["function"]),
        (&json!({ "a": 1 }), &json!("echo"))
    );
    all.push(it);
    let dead = send(&client, "fail", json!(1)).await;
    client.wait(dead).await.unwrap();
    let it = event(&served, dead).await;
    assert_eq!(given(&it), ["attempts", "failure", "letter"]);
    all.push(it);
    let called = served.invoke("fail", "RequestResponse", b"1").await;
    let called = called.header("x-amzn-requestid").unwrap().to_owned();
    let it = until(&served, &called, "failed").await;
    assert_eq!(given(&it), ["attempts", "failure"]);
    assert_eq!(it["failure"]["message"], "as ever");
    all.push(it);
    client.pause("echo");
    let accepted = send(&client, "echo", json!(1)).await;
    let it = event(&served, accepted).await;
    assert_eq!(
        (&it["state"], given(&it)),
        (&json!("accepted"), vec!["since"])
    );
    all.push(it);
    client.cancel(accepted).await;
    let it = event(&served, accepted).await;
    assert_eq!((&it["state"], given(&it).len()), (&json!("cancelled"), 0));
    all.push(it);

    let description = served.get("/_redrive/openapi.json").await.json();
    let schema = &description["components"]["schemas"]["Event"];
    let described = members(&schema["properties"]);
    let required = schema["required"].as_array().unwrap();
    assert_eq!(required.len(), described.len());
    let states = schema["properties"]["state"]["enum"].as_array().unwrap();
    for event in &all {
        assert_eq!(members(event), described, "{event}");
        assert!(states.contains(&event["state"]));
    }
    let seen: BTreeSet<_> = all.iter().map(|event| event["state"].to_string()).collect();
    assert_eq!(seen.len(), states.len(), "every state was tried");
}
