//! The descriptions of functions in AWS's form, and their settings at run time.

use std::time::Duration;

use redrive::{Destination, Event, Function, Runtime};
use serde_json::{Value, json};

use crate::support::{Answer, Served, builder, serve, serve_with};

const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function";
const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:records";

fn config(function: &str) -> String {
    format!("/2019-09-25/functions/{function}/event-invoke-config")
}

async fn put(served: &Served, path: &str, body: Value) -> Answer {
    served
        .request("PUT", path, &[], body.to_string().as_bytes())
        .await
}

/// CFG-05 to CFG-07, CFG-10
#[actix::test]
async fn a_function_is_described() {
    let served = serve().await;
    let answer = served.get("/2015-03-31/functions/echo").await;
    let body = answer.json();
    assert_eq!(answer.status, 200);
    assert_eq!(body["Configuration"]["FunctionArn"], format!("{ARN}:echo"));
    assert_eq!(body["Configuration"]["State"], "Active");
    assert_eq!(body["Configuration"]["LastUpdateStatus"], "Successful");
    assert_eq!(body["Configuration"]["Version"], "$LATEST");
    assert_eq!(body["Configuration"]["Timeout"], 3);
    assert_eq!(body.get("Concurrency"), None);
    let one = served
        .get("/2015-03-31/functions/echo/configuration?Qualifier=live")
        .await
        .json();
    assert_eq!(
        (&one["FunctionArn"], &one["Version"]),
        (&json!(format!("{ARN}:echo:live")), &json!("1"))
    );
    let unknown = served.get("/2015-03-31/functions/nope").await;
    assert_eq!(unknown.message(), format!("Function not found: {ARN}:nope"));
}

/// CFG-01 to CFG-04
#[actix::test]
async fn functions_are_listed_in_pages() {
    let nothing = |number: u32| {
        Function::new(format!("f{number:03}"), |_: Event<Value>| async {
            Ok::<_, String>(())
        })
    };
    let mut builder = Runtime::builder().function(nothing(0).version(1).version(2));
    for number in 1..120 {
        builder = builder.function(nothing(number));
    }
    let served = serve_with(builder, |api| api).await;
    for (query, expected) in [
        ("", 120),
        ("FunctionVersion=ALL&", 122),
        ("MaxItems=7&", 120),
    ] {
        let (mut names, mut marker) = (Vec::new(), String::new());
        loop {
            let page = served
                .get(&format!("/2015-03-31/functions/?{query}{marker}"))
                .await
                .json();
            let functions = page["Functions"].as_array().unwrap();
            assert!(functions.len() <= 50 && !functions.is_empty());
            for function in functions {
                assert_eq!(function.get("State"), None);
                names.push(function["FunctionArn"].as_str().unwrap().to_owned());
            }
            match page.get("NextMarker") {
                Some(next) => marker = format!("Marker={}", next.as_str().unwrap()),
                None => break,
            }
        }
        assert_eq!(names.len(), expected, "{query}");
        assert!(names.is_sorted(), "{query}");
    }
    let faulty = served.get("/2015-03-31/functions?FunctionVersion=1").await;
    assert_eq!(faulty.error(), (400, "ValidationException"));
    assert!(faulty.message().ends_with("enum value set: [ALL]"));
}

#[actix::test]
async fn versions_and_aliases_are_listed() {
    let served = serve().await;
    let versions = served
        .get("/2015-03-31/functions/echo/versions")
        .await
        .json();
    let names: Vec<_> = versions["Versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["Version"])
        .collect();
    assert_eq!(names, ["$LATEST", "1"]);
    let aliases = served
        .get("/2015-03-31/functions/echo/aliases")
        .await
        .json();
    assert_eq!(
        aliases["Aliases"][0]["AliasArn"],
        format!("{ARN}:echo:live")
    );
    let alias = served
        .get("/2015-03-31/functions/echo/aliases/live")
        .await
        .json();
    assert_eq!(alias["FunctionVersion"], "1");
    assert_eq!(
        served
            .get("/2015-03-31/functions/echo/aliases/dead")
            .await
            .error()
            .0,
        404
    );
}

/// CFG-11 to CFG-14, CFG-19, CFG-23
#[actix::test]
async fn an_event_invoke_config_can_be_put_read_and_deleted() {
    let served = serve().await;
    let path = config("echo");
    let put = put(&served, &path, json!({"MaximumRetryAttempts": 1})).await;
    assert_eq!(put.status, 200);
    let body = put.json();
    assert_eq!(body["FunctionArn"], format!("{ARN}:echo:$LATEST"));
    assert_eq!(body["MaximumRetryAttempts"], 1);
    assert_eq!(body.get("MaximumEventAgeInSeconds"), None);
    assert_eq!(
        body["DestinationConfig"],
        json!({"OnSuccess": {}, "OnFailure": {}})
    );
    assert!(body["LastModified"].as_f64().unwrap() > 1.7e9);
    assert_eq!(served.get(&path).await.json(), body);

    let update = json!({"MaximumEventAgeInSeconds": 60}).to_string();
    let updated = served
        .request("POST", &path, &[], update.as_bytes())
        .await
        .json();
    assert_eq!(
        (
            &updated["MaximumRetryAttempts"],
            &updated["MaximumEventAgeInSeconds"]
        ),
        (&json!(1), &json!(60))
    );
    let replaced =
        crate::configuration::put(&served, &path, json!({"MaximumEventAgeInSeconds": 70})).await;
    assert_eq!(replaced.json().get("MaximumRetryAttempts"), None);

    for qualified in [
        config("echo:live"),
        format!("{}?Qualifier=1", config("echo")),
    ] {
        let body = json!({"MaximumRetryAttempts": 0, "DestinationConfig": {"OnSuccess": {}}});
        assert_eq!(
            crate::configuration::put(&served, &qualified, body)
                .await
                .status,
            200
        );
    }
    let list = served.get(&format!("{path}/list?MaxItems=2")).await.json();
    assert_eq!(
        list["FunctionEventInvokeConfigs"].as_array().unwrap().len(),
        2
    );
    let marker = list["NextMarker"].as_str().unwrap();
    let rest = served
        .get(&format!("{path}/list?Marker={marker}"))
        .await
        .json();
    assert_eq!(
        rest["FunctionEventInvokeConfigs"].as_array().unwrap().len(),
        1
    );
    assert_eq!(rest.get("NextMarker"), None);

    let deleted = served.request("DELETE", &path, &[], b"").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    let gone = served.get(&path).await;
    assert_eq!(gone.error(), (404, "ResourceNotFoundException"));
    assert_eq!(
        gone.message(),
        format!("The function {ARN}:echo:$LATEST doesn't have an EventInvokeConfig")
    );
}

/// CFG-12: it has its effect.
#[actix::test]
async fn an_event_invoke_config_decides_how_often_an_event_runs() {
    let served = serve().await;
    put(&served, &config("fail"), json!({"MaximumRetryAttempts": 0})).await;
    let event = served.invoke("fail", "Event", b"{}").await;
    let status = served.wait(event.header("x-amzn-requestid").unwrap()).await;
    assert_eq!(status["letter"]["attempt_count"], 1);
}

/// CFG-15 to CFG-18, CFG-20 to CFG-22
#[actix::test]
async fn faulty_event_invoke_configs_are_refused_with_the_reason() {
    let builder = builder().destination(QUEUE, Destination::closure(|_| ()));
    let served = serve_with(builder, |api| api).await;
    let refused = async |body: Value| {
        let answer = put(&served, &config("echo"), body).await;
        let (status, code) = answer.error();
        (status, code.to_owned(), answer.message())
    };
    let to = |arn: &str| json!({"DestinationConfig": {"OnFailure": {"Destination": arn}}});
    let (_, code, message) = refused(json!({})).await;
    assert_eq!(code, "InvalidParameterValueException");
    assert_eq!(
        message,
        "You must specify at least one of error handling or destination setting."
    );
    for (body, field) in [
        (json!({"MaximumRetryAttempts": 3}), "maximumRetryAttempts"),
        (json!({"MaximumRetryAttempts": -1}), "maximumRetryAttempts"),
        (
            json!({"MaximumEventAgeInSeconds": 59}),
            "maximumEventAgeInSeconds",
        ),
        (
            json!({"MaximumEventAgeInSeconds": 21_601}),
            "maximumEventAgeInSeconds",
        ),
        (to("nonsense"), "destinationConfig.onFailure.destination"),
        (
            to(&format!("{QUEUE}{}", "x".repeat(350))),
            "destinationConfig.onFailure.destination",
        ),
    ] {
        let (status, code, message) = refused(body).await;
        assert_eq!((status, &*code), (400, "ValidationException"));
        assert!(
            message.contains(&format!("at '{field}' failed")),
            "{message}"
        );
    }
    let (_, code, _) = refused(json!({"MaximumRetryAttempts": "two"})).await;
    assert_eq!(code, "SerializationException");
    for (arn, says) in [
        (
            "arn:aws:iam::000000000000:role/x",
            "The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure(destination=arn:aws:iam::000000000000:role/x)) is invalid.",
        ),
        (&format!("{QUEUE}.fifo"), "The provided destination config"),
        (
            &format!("{ARN}:nope"),
            "The destination ARN arn:aws:lambda:us-east-1:000000000000:function:nope is invalid.",
        ),
        (
            "arn:aws:sqs:us-east-1:000000000000:other",
            "The destination ARN arn:aws:sqs:us-east-1:000000000000:other is invalid.",
        ),
        (
            &format!("{ARN}:echo"),
            "You can't specify the function as a destination for itself.",
        ),
        (
            &format!("{ARN}:echo:live"),
            "You can't specify the function as a destination for itself.",
        ),
    ] {
        let (status, code, message) = refused(to(arn)).await;
        assert_eq!((status, &*code), (400, "InvalidParameterValueException"));
        assert!(message.starts_with(says), "{message}");
    }
    assert_eq!(put(&served, &config("echo"), to(QUEUE)).await.status, 200);
    assert_eq!(put(&served, &config("echo"), to("")).await.status, 200);
    for (method, says) in [
        ("PUT", "The function doesn't exist."),
        ("POST", "The function doesn't exist."),
    ] {
        let body = br#"{"MaximumRetryAttempts":1}"#;
        let answer = served.request(method, &config("nope"), &[], body).await;
        assert_eq!((answer.error().0, answer.message()), (404, says.to_owned()));
    }
    let body = br#"{"MaximumRetryAttempts":1}"#;
    let answer = served.request("POST", &config("fail"), &[], body).await;
    assert!(
        answer
            .message()
            .ends_with(":fail:$LATEST doesn't have an EventInvokeConfig")
    );
    let answer = served.request("DELETE", &config("nope"), &[], b"").await;
    assert!(
        answer
            .message()
            .ends_with(":nope:$LATEST doesn't have an EventInvokeConfig")
    );
}

/// CFG-24 to CFG-27
#[actix::test]
async fn concurrency_is_reserved_and_given_back() {
    let served = serve().await;
    let set = "/2017-10-31/functions/echo/concurrency";
    let get = "/2019-09-30/functions/echo/concurrency";
    assert_eq!(served.get(get).await.json(), json!({}));
    let answer = put(&served, set, json!({"ReservedConcurrentExecutions": 7})).await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"ReservedConcurrentExecutions": 7}))
    );
    assert_eq!(
        served.get(get).await.json(),
        json!({"ReservedConcurrentExecutions": 7})
    );
    let function = served.get("/2015-03-31/functions/echo").await.json();
    assert_eq!(function["Concurrency"]["ReservedConcurrentExecutions"], 7);
    let account = served.get("/2016-08-19/account-settings").await.json();
    assert_eq!(
        account["AccountLimit"]["UnreservedConcurrentExecutions"],
        993
    );
    let much = put(&served, set, json!({"ReservedConcurrentExecutions": 901})).await;
    assert_eq!(much.error(), (400, "InvalidParameterValueException"));
    assert!(
        much.message()
            .ends_with("below its minimum value of [100].")
    );
    assert_eq!(much.json().get("Type"), None);
    let negative = put(&served, set, json!({"ReservedConcurrentExecutions": -1})).await;
    assert_eq!(negative.error(), (400, "ValidationException"));
    let qualified = put(
        &served,
        "/2017-10-31/functions/echo:live/concurrency",
        json!({"ReservedConcurrentExecutions": 1}),
    )
    .await;
    assert!(
        qualified
            .message()
            .starts_with("This operation is permitted on Lambda functions only.")
    );
    assert_eq!(served.request("DELETE", set, &[], b"").await.status, 204);
    assert_eq!(served.get(get).await.json(), json!({}));
}

/// CFG-29
#[actix::test]
async fn recursion_is_allowed_and_stopped() {
    let served = serve().await;
    let path = "/2024-08-31/functions/echo/recursion-config";
    assert_eq!(
        served.get(path).await.json(),
        json!({"RecursiveLoop": "Terminate"})
    );
    assert_eq!(
        put(&served, path, json!({"RecursiveLoop": "Allow"}))
            .await
            .json(),
        json!({"RecursiveLoop": "Allow"})
    );
    assert_eq!(
        served.get(path).await.json(),
        json!({"RecursiveLoop": "Allow"})
    );
    let faulty = put(&served, path, json!({"RecursiveLoop": "Maybe"})).await;
    assert_eq!(faulty.error(), (400, "ValidationException"));
    assert!(faulty.message().ends_with("[Terminate, Allow]"));
}

/// CFG-09, CFG-30
#[actix::test]
async fn the_timeout_can_be_set_and_settings_of_the_program_can_not() {
    let served = serve().await;
    let path = "/2015-03-31/functions/sleep/configuration";
    let before = served.get(path).await.json();
    // The unit is milliseconds.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let set = put(&served, path, json!({"Timeout": 1})).await;
    assert_eq!((set.status, &set.json()["Timeout"]), (200, &json!(1)));
    assert_ne!(set.json()["RevisionId"], before["RevisionId"]);
    assert_ne!(set.json()["LastModified"], before["LastModified"]);
    let timed = served.invoke("sleep", "RequestResponse", b"5000").await;
    assert_eq!(timed.json()["errorType"], "Sandbox.Timedout");
    let stale = put(
        &served,
        path,
        json!({"Timeout": 2, "RevisionId": before["RevisionId"]}),
    )
    .await;
    assert_eq!(stale.error(), (412, "PreconditionFailedException"));
    for body in [
        json!({"MemorySize": 256}),
        json!({"DeadLetterConfig": {"TargetArn": ""}}),
        json!({"DeadLetterConfig": {"TargetArn": QUEUE}}),
    ] {
        assert_eq!(
            put(&served, path, body).await.error(),
            (400, "InvalidParameterValueException")
        );
    }
    let own = json!({"DeadLetterConfig": before["DeadLetterConfig"]});
    assert_eq!(put(&served, path, own).await.status, 200);
    assert_eq!(
        put(&served, path, json!({"Timeout": 901})).await.error(),
        (400, "ValidationException")
    );
}

/// Operations that a runtime inside a program can't do are refused in the form of the operation's errors.
#[actix::test]
async fn unsupported_operations_say_what_to_do_instead() {
    let served = serve().await;
    for (method, path, instead) in [
        ("POST", "/2015-03-31/functions", "Runtime::add_function"),
        (
            "DELETE",
            "/2015-03-31/functions/echo",
            "Runtime::add_function",
        ),
        (
            "PUT",
            "/2015-03-31/functions/echo/code",
            "Runtime::add_function",
        ),
        (
            "POST",
            "/2015-03-31/functions/echo/versions",
            "Function::version",
        ),
        (
            "POST",
            "/2015-03-31/functions/echo/aliases",
            "Function::alias",
        ),
        ("GET", "/2018-10-31/layers", "program"),
        ("POST", "/2015-03-31/event-source-mappings/", "Invoke"),
        (
            "POST",
            "/2021-11-15/functions/echo/response-streaming-invocations",
            "Invoke",
        ),
    ] {
        let answer = served.request(method, path, &[], b"{}").await;
        assert_eq!(
            answer.error(),
            (400, "InvalidParameterValueException"),
            "{path}"
        );
        assert!(answer.message().contains(instead), "{}", answer.message());
    }
}

/// Settings hold in the next process.
#[cfg(feature = "disk")]
#[actix::test]
async fn configuration_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let start = async || serve_with(builder().disk(folder.path()), |api| api).await;
    let served = start().await;
    put(&served, &config("fail"), json!({"MaximumRetryAttempts": 0})).await;
    put(
        &served,
        "/2017-10-31/functions/echo/concurrency",
        json!({"ReservedConcurrentExecutions": 3}),
    )
    .await;
    let tags = "/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:echo";
    let tagged = json!({"Tags": {"team": "blue"}});
    let body = tagged.to_string();
    let answer = served.request("POST", tags, &[], body.as_bytes()).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let described = "/2015-03-31/functions/echo/configuration";
    let revision = served.get(described).await.json()["RevisionId"].clone();
    let before = served.get(&config("fail")).await.json();
    let pause = "/_redrive/functions/sleep/pause";
    assert_eq!(served.request("POST", pause, &[], b"").await.status, 200);
    let waits = served.invoke("sleep", "Event", b"0").await;
    let waits = waits.header("x-amzn-requestid").unwrap();
    served.stop.stop(false).await;
    drop(served.runtime.shutdown(Duration::from_secs(5)).await);
    let served = start().await;
    assert_eq!(served.get(&config("fail")).await.json(), before);
    assert_eq!(served.get(tags).await.json(), tagged);
    let described = served.get(described).await.json();
    assert_eq!(described["RevisionId"], revision);
    let kept = served
        .get("/2019-09-30/functions/echo/concurrency")
        .await
        .json();
    assert_eq!(kept, json!({"ReservedConcurrentExecutions": 3}));
    let event = served.invoke("fail", "Event", b"{}").await;
    let status = served.wait(event.header("x-amzn-requestid").unwrap()).await;
    assert_eq!(status["letter"]["attempt_count"], 1);
    let stats = served.get("/_redrive/functions/sleep/stats").await.json();
    assert_eq!(
        (&stats["Paused"], &stats["Invocations"]),
        (&json!(1), &json!(0))
    );
    let resume = "/_redrive/functions/sleep/resume";
    assert_eq!(served.request("POST", resume, &[], b"").await.status, 200);
    assert_eq!(served.wait(waits).await["state"], "succeeded");
}
