//! A denial holds for every route: letters of a renamed function, and letters in the status of an event.

use redrive::http::sigv4::{Credential, Principal, StaticCredentials};
use redrive::policy::Policies;
use redrive::{Event, Function, Invoke, RetryPolicy, Runtime};
use serde_json::{Value, json};

use crate::authorization::{allow, deny, function, policy};
use crate::signed_requests::{REFUSED, ask};
use crate::support::serve_with;

/// `all` may do everything, `most` everything except `denied`.
fn credentials(denied: Vec<Value>) -> StaticCredentials {
    let mut most = vec![allow("*", "*")];
    most.extend(denied);
    let principal = || Principal::new("arn:aws:iam::000000000000:user/ada");
    let credential = |name, statements| {
        let policies = Policies::new().identity(policy(statements));
        Credential::new(name, principal()).policies(policies)
    };
    StaticCredentials::new()
        .key("AKall", credential("all", vec![allow("*", "*")]))
        .key("AKmost", credential("most", most))
}

fn failing(name: &str) -> Function {
    let fail = |_: Event<Value>| async move { Err::<(), _>("as ever".to_owned()) };
    Function::new(name, fail).retry(RetryPolicy::none())
}

#[actix::test]
async fn a_letter_is_denied_under_the_former_and_the_current_name_of_its_function() {
    for denied in ["old", "new"] {
        let credentials = credentials(vec![deny("redrive:*", &function(denied))]);
        let builder = Runtime::builder().function(failing("old"));
        let served = serve_with(builder, |api| api.credentials(credentials)).await;
        let client = served.runtime.client();
        let event = Invoke::event("old", json!("secret"));
        let id = client.send(event).await.unwrap().request_id;
        client.wait(id).await.unwrap();
        served.runtime.remove_function("old").unwrap();
        let renamed = failing("new").formerly("old");
        served.runtime.add_function(renamed).unwrap();
        let path = format!("/_redrive/dead-letters/{id}");
        let refused = ask(&served, "most", "GET", &path, "").await;
        assert_eq!(refused.error(), REFUSED, "{denied}: {refused:?}");
        assert_eq!(ask(&served, "all", "GET", &path, "").await.status, 200);
    }
}

/// The status of a dead event contains its letter only for callers that may read letters.
#[actix::test]
async fn the_status_of_an_event_omits_a_denied_letter() {
    let credentials = credentials(vec![deny("redrive:GetDeadLetter", "*")]);
    let builder = Runtime::builder().function(failing("f"));
    let served = serve_with(builder, |api| api.credentials(credentials)).await;
    let client = served.runtime.client();
    let id = client
        .invoke("f", json!("secret"))
        .await
        .unwrap()
        .request_id;
    client.wait(id).await.unwrap();
    let path = format!("/_redrive/events/{id}");
    let told = ask(&served, "most", "GET", &path, "").await;
    assert_eq!((told.status, &told.json()["letter"]), (200, &Value::Null));
    assert_eq!(told.json()["failure"]["message"], "as ever");
    let told = ask(&served, "all", "GET", &path, "").await;
    assert_eq!(told.json()["letter"]["payload"], "secret");
}
