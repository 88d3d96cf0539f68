//! The policy of a function through the API: every refusal, and the callers that it admits.

use redrive::policy::{Caller, ConditionValues, Decision, Policies, Request, ResourcePolicy};
use serde_json::{Value, json};

use crate::support::{Answer, Served, serve};

const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:echo";
const S3: &str = "s3.amazonaws.com";

fn policy(function: &str) -> String {
    format!("/2015-03-31/functions/{function}/policy")
}

fn grant(sid: &str, principal: &str) -> Value {
    json!({"StatementId": sid, "Action": "lambda:InvokeFunction", "Principal": principal})
}

async fn add(served: &Served, path: &str, permission: Value) -> Answer {
    let body = permission.to_string();
    served.request("POST", path, &[], body.as_bytes()).await
}

async fn remove(served: &Served, path: &str) -> Answer {
    served.request("DELETE", path, &[], b"").await
}

/// CFG-35: each refusal, with its status, code and words, and the policy is as before.
#[actix::test]
async fn a_permission_that_is_refused_changes_nothing() {
    let served = serve().await;
    let path = policy("echo");
    assert_eq!(add(&served, &path, grant("s", S3)).await.status, 201);
    let before = served.get(&path).await.json();
    let refused = add(&served, &path, grant("s", "sns.amazonaws.com")).await;
    assert_eq!(refused.error(), (409, "ResourceConflictException"));
    assert_eq!(
        refused.message(),
        "The statement id (s) provided already exists. Please provide a new statement id, or remove the existing statement."
    );
    for latest in [
        policy("echo:$LATEST"),
        policy(&format!("{ARN}:$LATEST")),
        format!("{path}?Qualifier=%24LATEST"),
    ] {
        let refused = add(&served, &latest, grant("t", S3)).await;
        assert_eq!(refused.error(), (400, "InvalidParameterValueException"));
        let text = "We currently do not support adding policies for $LATEST.";
        assert_eq!(refused.message(), text);
    }
    for principal in ["nobody", "12345", "s3", "arn:aws:iam::1:user/ada", "?"] {
        let refused = add(&served, &path, grant("t", principal)).await;
        assert_eq!(
            refused.error(),
            (400, "InvalidParameterValueException"),
            "{principal}"
        );
        assert_eq!(
            refused.message(),
            "The provided principal was invalid. Please check the principal and try again."
        );
    }
    let mut stale = grant("t", S3);
    stale["RevisionId"] = "00000000-0000-4000-8000-000000000000".into();
    let refused = add(&served, &path, stale).await;
    assert_eq!(refused.error(), (412, "PreconditionFailedException"));
    assert_eq!(served.get(&path).await.json(), before);

    let mut number = 0;
    let refused = loop {
        let before = served.get(&path).await.json();
        let sid = format!("{number:03}{}", "s".repeat(97));
        let answer = add(&served, &path, grant(&sid, S3)).await;
        if answer.status != 201 {
            assert_eq!(served.get(&path).await.json(), before);
            break answer;
        }
        number += 1;
    };
    assert_eq!(refused.error(), (400, "PolicyLengthExceededException"));
    let full = served.get(&path).await.json();
    let bytes = full["Policy"].as_str().unwrap().len();
    assert!((19 << 10..=20 << 10).contains(&bytes), "{bytes}");
}

/// CFG-37: under a qualifier or none, by revision or without; with the last statement the policy is gone.
#[actix::test]
async fn statements_are_removed_one_by_one_and_with_the_last_the_policy() {
    let served = serve().await;
    let (own, live) = (policy("echo"), policy("echo:live"));
    let statement = |sid: &str| format!("{own}/{sid}");
    let none = remove(&served, &statement("s")).await;
    assert_eq!(none.error(), (404, "ResourceNotFoundException"));
    let text = "No policy is associated with the given resource.";
    assert_eq!(none.message(), text);
    let nobody = remove(&served, &format!("{}/s", policy("nope"))).await;
    assert_eq!(nobody.error(), (404, "ResourceNotFoundException"));
    let text = "No policy found for: arn:aws:lambda:us-east-1:000000000000:function:nope";
    assert_eq!(nobody.message(), text);

    for (path, sid) in [(&own, "s"), (&own, "t"), (&live, "s")] {
        assert_eq!(add(&served, path, grant(sid, S3)).await.status, 201);
    }
    let unknown = remove(&served, &statement("u")).await;
    assert_eq!(unknown.error(), (404, "ResourceNotFoundException"));
    assert_eq!(
        unknown.message(),
        "Statement u is not found in resource policy."
    );

    let revision = served.get(&own).await.json()["RevisionId"]
        .as_str()
        .unwrap()
        .to_owned();
    let removed = remove(
        &served,
        &format!("{}?RevisionId={revision}", statement("s")),
    )
    .await;
    assert_eq!((removed.status, removed.body.len()), (204, 0));
    let stale = remove(
        &served,
        &format!("{}?RevisionId={revision}", statement("t")),
    )
    .await;
    assert_eq!(stale.error(), (412, "PreconditionFailedException"));
    let left: Value =
        serde_json::from_str(served.get(&own).await.json()["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(left["Statement"].as_array().unwrap().len(), 1);

    assert_eq!(remove(&served, &statement("t")).await.status, 204);
    assert_eq!(
        served.get(&own).await.error(),
        (404, "ResourceNotFoundException")
    );
    assert_eq!(served.get(&live).await.status, 200, "another qualifier's");
    let by_query = format!("{}?Qualifier=live", statement("s"));
    assert_eq!(remove(&served, &by_query).await.status, 204);
    assert_eq!(served.get(&live).await.error().0, 404);
}

/// S3E-15, SNS-04, EVB-07, IAM-05: a permission for a source admits only that service, for that bucket, topic or rule
/// of that account. (No source is built yet.)
#[actix::test]
async fn a_source_is_admitted_by_its_principal_arn_and_account() {
    let served = serve().await;
    let sources = [
        (S3, "arn:aws:s3:::orders"),
        (
            "sns.amazonaws.com",
            "arn:aws:sns:us-east-1:000000000000:orders",
        ),
        (
            "events.amazonaws.com",
            "arn:aws:events:us-east-1:000000000000:rule/orders",
        ),
    ];
    for (number, (principal, source)) in sources.into_iter().enumerate() {
        let mut permission = grant(&format!("s{number}"), principal);
        permission["SourceArn"] = source.into();
        permission["SourceAccount"] = "000000000000".into();
        let added = add(&served, &policy("echo"), permission).await;
        assert_eq!(added.status, 201);
    }
    let told = served.get(&policy("echo")).await.json();
    let told: ResourcePolicy = told["Policy"].as_str().unwrap().parse().unwrap();
    let may = |service: &str, source: &str, account: &str, action: &str| {
        let context = ConditionValues::new()
            .with("aws:SourceArn", source)
            .with("aws:SourceAccount", account);
        let request = Request {
            caller: &Caller::service(service),
            action,
            resource: ARN,
            context: &context,
        };
        request.decide(&Policies::new(), Some(&told)) == Decision::Allowed
    };
    let invoke = "lambda:InvokeFunction";
    for (principal, source) in sources {
        assert!(
            may(principal, source, "000000000000", invoke),
            "{principal}"
        );
        assert!(!may(
            principal,
            &format!("{source}2"),
            "000000000000",
            invoke
        ));
        assert!(!may(principal, source, "111111111111", invoke));
        assert!(!may(
            principal,
            source,
            "000000000000",
            "lambda:GetFunction"
        ));
        assert!(!may("logs.amazonaws.com", source, "000000000000", invoke));
    }
    let [(s3, bucket), (sns, topic), _] = sources;
    assert!(!may(s3, topic, "000000000000", invoke));
    assert!(!may(sns, bucket, "000000000000", invoke));
}
