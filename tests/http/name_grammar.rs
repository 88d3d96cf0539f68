//! Every form in which a function may be named, and the error for other texts.

use serde_json::json;

use crate::support::{invocations, serve};

/// NAM-02: each part but the name may be there or not, in any combination.
#[actix::test]
async fn every_combination_of_the_parts_of_a_name_is_accepted() {
    let served = serve().await;
    for arn in ["", "arn:aws:lambda:", "arn::lambda:"] {
        for region in ["", "us-east-1:"] {
            for account in ["", "000000000000:"] {
                for word in ["", "function:"] {
                    for (qualifier, version) in [
                        ("", "$LATEST"),
                        (":$LATEST", "$LATEST"),
                        (":1", "1"),
                        (":live", "1"),
                    ] {
                        let name = format!("{arn}{region}{account}{word}echo{qualifier}");
                        let answer = served.invoke(&name, "RequestResponse", b"7").await;
                        let ran = answer.header("x-amz-executed-version");
                        assert_eq!((answer.status, ran), (200, Some(version)), "{name}");
                        assert_eq!(answer.json(), json!(7));
                    }
                }
            }
        }
    }
}

/// NAM-02
#[actix::test]
async fn a_name_within_the_grammar_is_unknown_and_others_are_invalid() {
    let served = serve().await;
    for name in [
        "echo:a-b_C9",
        "echo:$LATEST.PUBLISHED",
        "name.space",
        "000000000000:us-east-1:echo",
        "arn:aws-cn:lambda:us-east-1:000000000000:function:echo",
        "arn:aws-us-gov:lambda:echo",
    ] {
        let answer = served.invoke(name, "Event", b"7").await;
        let (status, code) = answer.error();
        assert!((400..500).contains(&status), "{name}");
        assert_ne!(code, "ValidationException", "{name}");
    }
    for name in [
        "echo:$latest",
        "echo:$LATEST.published",
        "echo:a.b",
        "echo:1:2",
        "x:function:echo",
        "us-east-1:0000:function:echo",
        "us-east-1:us-east-1:function:echo",
        "arn:aws:lambda:echo:1:2",
        "arn:aws:sqs:us-east-1:000000000000:function:echo",
        "arn:other:lambda:us-east-1:000000000000:function:echo",
        "arn:aws:lambda",
    ] {
        let answer = served.invoke(name, "Event", b"7").await;
        assert_eq!(answer.error(), (400, "ValidationException"), "{name}");
    }
}

/// NAM-04: the error of each operation that takes a name has the value, the field and the rule.
#[actix::test]
async fn an_invalid_name_gets_the_same_error_from_each_operation() {
    let served = serve().await;
    let permission = br#"{"StatementId":"s","Action":"lambda:InvokeFunction","Principal":"*"}"#;
    let reserved = br#"{"ReservedConcurrentExecutions":1}"#;
    let retries = br#"{"MaximumRetryAttempts":1}"#;
    let operations: [(&str, &str, &[u8]); 16] = [
        ("POST", "2015-03-31/functions/@/invocations", b"{}"),
        ("POST", "2014-11-13/functions/@/invoke-async", b"{}"),
        ("GET", "2015-03-31/functions/@", b""),
        ("GET", "2015-03-31/functions/@/configuration", b""),
        (
            "PUT",
            "2015-03-31/functions/@/configuration",
            br#"{"Timeout":1}"#,
        ),
        ("GET", "2015-03-31/functions/@/versions", b""),
        ("GET", "2015-03-31/functions/@/aliases", b""),
        ("PUT", "2019-09-25/functions/@/event-invoke-config", retries),
        (
            "POST",
            "2019-09-25/functions/@/event-invoke-config",
            retries,
        ),
        ("GET", "2019-09-25/functions/@/event-invoke-config", b""),
        ("DELETE", "2019-09-25/functions/@/event-invoke-config", b""),
        ("PUT", "2017-10-31/functions/@/concurrency", reserved),
        ("GET", "2019-09-30/functions/@/concurrency", b""),
        ("POST", "2015-03-31/functions/@/policy", permission),
        ("GET", "2015-03-31/functions/@/policy", b""),
        ("GET", "2024-08-31/functions/@/recursion-config", b""),
    ];
    for (method, path, body) in operations {
        for (sent, value) in [
            ("a%20b", "a b"),
            ("%C3%A4", "ä"),
            ("echo:$LATES", "echo:$LATES"),
        ] {
            let path = format!("/{}", path.replace('@', sent));
            let answer = served.request(method, &path, &[], body).await;
            assert_eq!(
                answer.error(),
                (400, "ValidationException"),
                "{method} {path}"
            );
            let message = answer.message();
            let begins = format!(
                "1 validation error detected: Value '{value}' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: "
            );
            let pattern = message.strip_prefix(&begins);
            assert!(
                pattern.is_some_and(|it| !it.is_empty()),
                "{method} {path}: {message}"
            );
            assert_eq!(answer.json().get("Type"), None);
        }
    }
    let path = invocations("echo");
    assert_eq!(served.request("POST", &path, &[], b"7").await.status, 200);
}
