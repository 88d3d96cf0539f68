//! The function that a path names, as AWS reads it.

use redrive::BuildError;
use serde_json::json;

use crate::support::{builder, invocations, serve, serve_with};

const ARN: &str = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction";

/// INV-02, INV-03, NAM-02, NAM-11: all forms, encoded or not.
#[actix::test]
async fn a_function_is_known_by_name_and_by_arn() {
    let served = serve().await;
    for (function, version) in [
        ("echo".to_owned(), "$LATEST"),
        ("echo:live".to_owned(), "1"),
        ("echo%3Alive".to_owned(), "1"),
        ("echo%3A%24LATEST".to_owned(), "$LATEST"),
        ("000000000000%3Afunction%3Aecho".to_owned(), "$LATEST"),
        ("us-east-1:000000000000:function:echo:1".to_owned(), "1"),
        (format!("{ARN}%3Aecho"), "$LATEST"),
        (format!("{ARN}%3Aecho%3Alive"), "1"),
    ] {
        let answer = served.invoke(&function, "RequestResponse", b"7").await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!(7)),
            "{function}"
        );
        assert_eq!(
            answer.header("x-amz-executed-version"),
            Some(version),
            "{function}"
        );
    }
    let path = format!("{}?Qualifier=live", invocations("echo%3Alive"));
    assert_eq!(served.request("POST", &path, &[], b"7").await.status, 200);
    let path = format!("{}?Qualifier=%24LATEST", invocations("echo"));
    assert_eq!(served.request("POST", &path, &[], b"7").await.status, 200);
}

/// NAM-04 to NAM-06, NAM-08, ERR-03
#[actix::test]
async fn an_invalid_name_is_a_validation_error_without_a_type() {
    let served = serve().await;
    for function in [
        "a%20b",
        "echo:",
        "%C3%A4",
        &format!("{ARN}%3Aecho%3A1%3A2"),
        "echo:$LATES",
    ] {
        let answer = served.invoke(function, "Event", b"7").await;
        assert_eq!(answer.error(), (400, "ValidationException"), "{function}");
        assert!(
            answer
                .message()
                .starts_with("1 validation error detected: Value '")
        );
        assert_eq!(answer.json().get("Type"), None);
    }
    // NAM-05: all faults at once, in every place.
    let path = format!("{}?Qualifier=a%20b", invocations("a%20b"));
    let headers = [
        ("X-Amz-Invocation-Type", "Later"),
        ("X-Amz-Log-Type", "Head"),
    ];
    for (headers, fields) in [
        (&headers[..0], &["functionName", "qualifier"][..]),
        (
            &headers,
            &["invocationType", "logType", "functionName", "qualifier"],
        ),
    ] {
        let answer = served.request("POST", &path, headers, b"7").await;
        assert_eq!(answer.error(), (400, "ValidationException"));
        let message = answer.message();
        let count = format!("{} validation errors detected: ", fields.len());
        assert!(message.starts_with(&count), "{message}");
        assert_eq!(message.matches("; Value '").count(), fields.len() - 1);
        for field in fields {
            assert!(message.contains(&format!("' at '{field}' ")), "{message}");
        }
    }
}

/// NAM-07, NAM-09, NAM-10, NAM-12, NAM-13
#[actix::test]
async fn an_unknown_function_is_named_by_its_full_arn() {
    let served = serve().await;
    let arn = "arn:aws:lambda:us-east-1:000000000000:function";
    let long = "f".repeat(65);
    for (function, named) in [
        ("nope", format!("{arn}:nope:$LATEST")),
        ("nope:live", format!("{arn}:nope:live")),
        ("echo:dead", format!("{arn}:echo:dead")),
        ("echo:2", format!("{arn}:echo:2")),
        (&long, format!("{arn}:{long}:$LATEST")),
        (ARN, format!("{arn}:function:$LATEST")),
        (
            "arn:aws-cn:lambda:us-east-1:000000000000:function:echo",
            format!("{}:echo:$LATEST", arn.replace("aws", "aws-cn")),
        ),
    ] {
        let answer = served.invoke(function, "Event", b"7").await;
        assert_eq!(
            answer.error(),
            (404, "ResourceNotFoundException"),
            "{function}"
        );
        assert_eq!(
            answer.json(),
            json!({"Type": "User", "Message": format!("Function not found: {named}")})
        );
    }
    let path = format!("{}?Qualifier=%24latest", invocations("echo"));
    let answer = served.request("POST", &path, &[], b"7").await;
    assert!(
        answer.message().ends_with(":echo:$latest"),
        "{}",
        answer.message()
    );
    let far = served
        .invoke("us-west-2:000000000000:function:echo", "Event", b"7")
        .await;
    assert_eq!(
        far.message(),
        "Functions from 'us-west-2' are not reachable in this region ('us-east-1')"
    );
}

/// NAM-13: functions of another account are out of reach for every operation.
#[actix::test]
async fn a_function_of_another_account_is_denied() {
    let served = serve().await;
    let arn = "arn:aws:lambda:us-east-1:111111111111:function:echo";
    let functions = "/2015-03-31/functions";
    for (method, path, action, resource) in [
        (
            "POST",
            format!("{functions}/{arn}/invocations"),
            "InvokeFunction",
            arn.to_owned(),
        ),
        (
            "GET",
            format!("{functions}/{arn}:live"),
            "GetFunction",
            format!("{arn}:live"),
        ),
        (
            "GET",
            format!("{functions}/{arn}/policy?Qualifier=1"),
            "GetPolicy",
            format!("{arn}:1"),
        ),
    ] {
        let answer = served.request(method, &path, &[], b"").await;
        assert_eq!(answer.error(), (403, "AccessDeniedException"), "{path}");
        let told = format!(
            "User: anonymous is not authorized to perform: lambda:{action} on resource: {resource} because no resource-based policy allows the lambda:{action} action"
        );
        assert_eq!(answer.json(), json!({ "Message": told }));
    }
}

/// NAM-02: the ARNs in records can be invoked, in each possible region.
#[actix::test]
async fn arns_of_the_configured_identity_can_be_invoked() {
    for region in ["us-gov-west-1", "us-isob-east-1", "eusc-de-east-1"] {
        let builder = builder().identity(region, "123456789012");
        let served = serve_with(builder, |api| api).await;
        let arn = served.runtime.client().arn("echo");
        assert_eq!(served.invoke(&arn, "RequestResponse", b"7").await.json(), 7);
    }
    for (region, account) in [("mars", "123456789012"), ("us-east-1", "1234")] {
        let refused = builder().identity(region, account).start().await.map(drop);
        let Err(BuildError::Settings(faults)) = refused else {
            panic!("{region} {account}: {refused:?}");
        };
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].field, "identity");
        let value = if region == "mars" { region } else { account };
        assert!(faults[0].problem.contains(&format!("`{value}`")));
    }
}

/// NAM-11
#[actix::test]
async fn two_qualifiers_that_differ_are_refused() {
    let served = serve().await;
    let path = format!("{}?Qualifier=1", invocations("echo:live"));
    let answer = served.request("POST", &path, &[], b"7").await;
    assert_eq!(answer.error(), (400, "InvalidParameterValueException"));
    assert_eq!(
        answer.message(),
        "The derived qualifier from the function name does not match the specified qualifier."
    );
}
