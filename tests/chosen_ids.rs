//! A forgotten request id may be chosen again for another function. The dead letter and the log of the first event still belong
//! to the first function.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::time::Duration;

use redrive::{
    Client, Event, Filter, Function, Get, Invoke, InvokeError, List, Logs, Purge, Redrive,
    RequestId, RetryPolicy, Runtime,
};

async fn fail(_: Event<u32>) -> Result<(), String> {
    Err("as ever".to_owned())
}

/// Two functions whose events are forgotten as soon as the next one is over.
async fn start() -> Runtime {
    let day = Duration::from_secs(86_400);
    let function = |name| {
        let function = Function::new(name, fail).retry(RetryPolicy::none());
        function.retain(1, day, 1 << 20)
    };
    let builder = Runtime::builder().function(function("one"));
    builder.function(function("other")).start().await.unwrap()
}

/// The event with this id dies in both functions, first in `one`. Nothing else is in the queue.
async fn die_twice(client: &Client) -> RequestId {
    let id = client.invoke("one", 1_u32).await.unwrap().request_id;
    client.wait(id).await.unwrap();
    loop {
        match client
            .send(Invoke::event("other", 2_u32).request_id(id))
            .await
        {
            Ok(_) => break,
            Err(InvokeError::RequestIdTaken { .. }) => {
                let next = client.invoke("one", 3_u32).await.unwrap().request_id;
                client.wait(next).await.unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    client.wait(id).await.unwrap();
    let letters = functions(client, id).await;
    assert_eq!(letters, ["one", "other"]);
    id
}

/// Returns the functions of the letters with this id, oldest first.
async fn functions(client: &Client, id: RequestId) -> Vec<String> {
    let page = client
        .ask_dead_letters(List::new(Filter::new()).limit(1_000))
        .await;
    let letters = page.unwrap().letters.into_iter();
    let own = letters.filter(|letter| letter.request_id == id);
    own.map(|letter| letter.function.to_string()).collect()
}

#[actix::test]
async fn purging_one_function_keeps_another_functions_letter_with_the_same_id() {
    let runtime = start().await;
    let client = runtime.client();
    let id = die_twice(&client).await;
    let purged = client
        .ask_dead_letters(Purge(Filter::new().function("other")))
        .await;
    assert_eq!(purged, Some(1));
    assert_eq!(functions(&client, id).await, ["one"]);
    let left = client.ask_dead_letters(Get(id)).await.unwrap().unwrap();
    assert_eq!(left.function.as_str(), "one");
}

#[actix::test]
async fn redriving_one_function_sends_its_letter_of_a_shared_id() {
    let runtime = start().await;
    let client = runtime.client();
    let id = die_twice(&client).await;
    let redrive = Redrive::filter(Filter::new().function("one"));
    let redriven = client.ask_dead_letters(redrive).await.unwrap();
    assert!(redriven.missing.is_empty() && redriven.refused.is_empty());
    let (_, new) = redriven
        .sent
        .iter()
        .find(|(letter, _)| *letter == id)
        .unwrap();
    // The event may be forgotten by now, so it can't be waited for.
    let again = loop {
        match client.ask_dead_letters(Get(*new)).await.unwrap() {
            Some(letter) => break letter,
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    assert_eq!(again.function.as_str(), "one");
    assert_eq!(functions(&client, id).await, ["other"]);
}

#[actix::test]
async fn a_shutdown_reports_both_letters_of_a_shared_id() {
    let runtime = start().await;
    let client = runtime.client();
    let id = die_twice(&client).await;
    let report = runtime.shutdown(Duration::from_secs(5)).await;
    let own = report
        .dead_letters
        .iter()
        .filter(|letter| letter.request_id == id);
    assert_eq!(own.count(), 2);
}

/// A later event with the same id does not get the log of the forgotten one.
#[actix::test]
async fn an_event_with_a_reused_id_begins_with_an_empty_log() {
    let logs = Logs::new();
    let function = Function::new("one", fail).retry(RetryPolicy::none());
    let function = function.retain(0, Duration::ZERO, 0);
    let builder = Runtime::builder().logs(logs.clone()).function(function);
    let runtime = builder.start().await.unwrap();
    let client = runtime.client();
    let id = client.invoke("one", 1_u32).await.unwrap().request_id;
    client.wait(id).await;
    while !logs.of("one", id).is_some_and(|log| log.contains("END")) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(client.pause("one"));
    loop {
        let again = Invoke::event("one", 2_u32).request_id(id);
        match client.send(again).await {
            Ok(_) => break,
            Err(InvokeError::RequestIdTaken { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(logs.of("one", id), None);
}
