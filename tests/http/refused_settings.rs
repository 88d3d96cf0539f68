//! A function's configuration: logs, dead letters and limits, and the settings that are refused.

use std::time::{Duration, SystemTime};

use redrive::{Event, Function, RequestId, Runtime, Status};
use serde_json::{Value, json};

use crate::support::{Answer, Served, builder, serve, serve_with};

const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:orders";
const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:orders";

fn configuration(function: &str) -> String {
    format!("/2015-03-31/functions/{function}/configuration")
}

fn event_invoke(function: &str) -> String {
    format!("/2019-09-25/functions/{function}/event-invoke-config")
}

async fn send(served: &Served, method: &str, path: &str, body: Value) -> Answer {
    let body = body.to_string();
    served.request(method, path, &[], body.as_bytes()).await
}

/// LOG-01: the name of the log group at AWS. Log streams don't exist: each event has its own log.
#[actix::test]
async fn each_function_has_a_log_group_of_its_name() {
    let served = serve().await;
    for function in ["echo", "fail", "echo:live"] {
        let told = served.get(&configuration(function)).await.json();
        let name = function.split(':').next().unwrap();
        let expected = json!({"LogFormat": "Text", "LogGroup": format!("/aws/lambda/{name}")});
        assert_eq!(told["LoggingConfig"], expected);
    }
}

/// DLQ-01, UNV-18: dead letters go to one standard queue, and no FIFO queue or topic takes letters or records.
#[actix::test]
async fn fifo_queues_and_topics_are_refused_for_letters_and_records() {
    let records = || redrive::Destination::closure(|_| ());
    let [queue, topic] = [QUEUE, TOPIC].map(|arn| format!("{arn}.fifo"));
    let builder = builder()
        .destination(&queue, records())
        .destination(&topic, records());
    let served = serve_with(builder, |api| api).await;
    let told = served.get(&configuration("echo")).await.json();
    let target = told["DeadLetterConfig"]["TargetArn"].as_str().unwrap();
    assert!(
        target.starts_with("arn:aws:sqs:us-east-1:000000000000:"),
        "{target}"
    );
    assert!(!target.ends_with(".fifo"), "{target}");
    for arn in [&queue, &topic] {
        let body = json!({"DeadLetterConfig": {"TargetArn": arn}});
        let refused = send(&served, "PUT", &configuration("echo"), body).await;
        assert_eq!(
            refused.error(),
            (400, "InvalidParameterValueException"),
            "{arn}"
        );
        for side in ["OnSuccess", "OnFailure"] {
            let body = json!({"DestinationConfig": {side: {"Destination": arn}}});
            let refused = send(&served, "PUT", &event_invoke("echo"), body).await;
            assert_eq!(
                refused.error(),
                (400, "InvalidParameterValueException"),
                "{arn}"
            );
        }
    }
    assert_eq!(served.get(&event_invoke("echo")).await.error().0, 404);
}

/// DLQ-13: nothing turns the dead-letter queue off, so no failure is dropped silently.
#[actix::test]
async fn the_dead_letter_queue_can_not_be_turned_off() {
    let served = serve().await;
    let body = json!({"DeadLetterConfig": {"TargetArn": ""}});
    let refused = send(&served, "PUT", &configuration("fail"), body).await;
    assert_eq!(refused.error(), (400, "InvalidParameterValueException"));
    let body = json!({"DeadLetterConfig": {}});
    send(&served, "PUT", &configuration("fail"), body).await;
    let event = served.invoke("fail", "Event", b"{}").await;
    let id = event.header("x-amzn-requestid").unwrap();
    assert_eq!(served.wait(id).await["state"], "dead");
    let letter = served.get(&format!("/_redrive/dead-letters/{id}")).await;
    assert_eq!(
        (letter.status, &letter.json()["condition"]),
        (200, &json!("RetriesExhausted"))
    );
}

/// CON-06: 1 to 900 seconds.
#[actix::test]
async fn a_timeout_has_1_to_900_seconds() {
    let served = serve().await;
    let path = configuration("echo");
    assert_eq!(served.get(&path).await.json()["Timeout"], 3);
    for seconds in [1, 900] {
        let set = send(&served, "PUT", &path, json!({"Timeout": seconds})).await;
        assert_eq!((set.status, &set.json()["Timeout"]), (200, &json!(seconds)));
    }
    for seconds in [0, -1, 5_401] {
        let refused = send(&served, "PUT", &path, json!({"Timeout": seconds})).await;
        assert_eq!(refused.error(), (400, "ValidationException"));
        let message = refused.message();
        assert!(
            message.contains(&format!("Value '{seconds}' at 'timeout'")),
            "{message}"
        );
    }
    assert_eq!(served.get(&path).await.json()["Timeout"], 900);
}

/// ASY-15: the program sets the delays. AWS's API has no member for them; unknown members are ignored.
#[actix::test]
async fn the_delays_of_retries_can_not_be_set_from_outside() {
    let fails = Function::new("f", |_: Event<Value>| async { Err::<(), _>("ouch") });
    let served = serve_with(Runtime::builder().function(fails), |api| api).await;
    let body = json!({"MaximumRetryAttempts": 2, "RetryDelaySeconds": 1, "RetryDelays": [1, 1]});
    let told = send(&served, "PUT", &event_invoke("f"), body).await;
    assert_eq!(told.status, 200);
    let members: Vec<_> = told.json().as_object().unwrap().keys().cloned().collect();
    assert!(
        !members.iter().any(|member| member.contains("Delay")),
        "{members:?}"
    );
    let event = served.invoke("f", "Event", b"{}").await;
    let id: RequestId = event.header("x-amzn-requestid").unwrap().parse().unwrap();
    let until = loop {
        match served.runtime.client().status(id).await {
            Some(Status::Delayed { until, .. }) => break until,
            _ => tokio::task::yield_now().await,
        }
    };
    let left = until.duration_since(SystemTime::now()).unwrap();
    assert!(
        left > Duration::from_secs(20),
        "a minute, and not a second: {left:?}"
    );
}

/// CFG-15: of a function, a version and an alias; nothing is stored.
#[actix::test]
async fn an_event_invoke_config_that_sets_nothing_is_refused() {
    let served = serve().await;
    let nulls = json!({
        "MaximumRetryAttempts": null, "MaximumEventAgeInSeconds": null, "DestinationConfig": null,
    });
    for path in [
        event_invoke("echo"),
        event_invoke("echo:live"),
        format!("{}?Qualifier=1", event_invoke("echo")),
    ] {
        for nothing in [json!({}), nulls.clone()] {
            let refused = send(&served, "PUT", &path, nothing).await;
            assert_eq!(refused.error(), (400, "InvalidParameterValueException"));
            let text = "You must specify at least one of error handling or destination setting.";
            assert_eq!(refused.json(), json!({"Type": "User", "message": text}));
        }
        assert_eq!(served.get(&path).await.error().0, 404);
    }
    for one in [
        json!({"MaximumRetryAttempts": 0}),
        json!({"MaximumEventAgeInSeconds": 60}),
        json!({"DestinationConfig": {"OnSuccess": {}, "OnFailure": {}}}),
    ] {
        assert_eq!(
            send(&served, "PUT", &event_invoke("echo"), one)
                .await
                .status,
            200
        );
    }
}

/// CFG-16
#[actix::test]
async fn an_unknown_function_has_no_event_invoke_config_to_set_or_list() {
    let served = serve().await;
    let text = json!({"Type": "User", "Message": "The function doesn't exist."});
    for (function, query) in [
        ("nope", ""),
        ("nope:live", ""),
        ("nope", "?Qualifier=1"),
        ("echo:dead", ""),
        ("echo", "?Qualifier=dead"),
        ("echo", "?Qualifier=2"),
        ("arn:aws:lambda:us-east-1:000000000000:function:nope", ""),
    ] {
        for method in ["PUT", "POST"] {
            let path = format!("{}{query}", event_invoke(function));
            let answer = send(&served, method, &path, json!({"MaximumRetryAttempts": 1})).await;
            assert_eq!(
                answer.error(),
                (404, "ResourceNotFoundException"),
                "{method} {path}"
            );
            assert_eq!(answer.json(), text);
        }
    }
    for function in [
        "echo:dead",
        "nope",
        "arn:aws:lambda:us-east-1:000000000000:function:nope",
    ] {
        let answer = served
            .get(&format!("{}/list", event_invoke(function)))
            .await;
        assert_eq!(answer.error(), (404, "ResourceNotFoundException"));
        assert_eq!(answer.json(), text);
    }
}

/// CFG-24
#[actix::test]
async fn concurrency_belongs_to_functions_and_is_not_negative() {
    let served = serve().await;
    let path = |function: &str| format!("/2017-10-31/functions/{function}/concurrency");
    let reserved = |number: i64| json!({"ReservedConcurrentExecutions": number});
    for number in [1, 0, 900] {
        for function in [
            "echo",
            "arn:aws:lambda:us-east-1:000000000000:function:echo",
        ] {
            let answer = send(&served, "PUT", &path(function), reserved(number)).await;
            assert_eq!((answer.status, answer.json()), (200, reserved(number)));
        }
    }
    for qualified in [
        "echo:live",
        "echo:1",
        "echo:$LATEST",
        "000000000000:function:echo:live",
        "arn:aws:lambda:us-east-1:000000000000:function:echo:1",
    ] {
        let answer = send(&served, "PUT", &path(qualified), reserved(1)).await;
        assert_eq!(
            answer.error(),
            (400, "InvalidParameterValueException"),
            "{qualified}"
        );
        assert_eq!(
            answer.message(),
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."
        );
    }
    for faulty in [
        reserved(-1),
        json!({}),
        json!({"ReservedConcurrentExecutions": null}),
        json!({"ReservedConcurrentExecutions": "1"}),
        json!({"ReservedConcurrentExecutions": 1.5}),
    ] {
        let answer = send(&served, "PUT", &path("echo"), faulty.clone()).await;
        assert_eq!(answer.error().0, 400, "{faulty}");
    }
    let get = "/2019-09-30/functions/echo/concurrency";
    assert_eq!(
        served.get(get).await.json(),
        reserved(900),
        "no refusal changed it"
    );
}
