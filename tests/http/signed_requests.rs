//! With credentials: who may do what, decided for each request, over a socket. What AWS's own clients sign,
//! `tests/aws_sdk` shows; how signatures are verified, `tests/sigv4.rs`.

use std::time::SystemTime;

use hmac_sha256::{HMAC, Hash};
use redrive::http::sigv4::{Credential, Principal, StaticCredentials, Verifier};
use redrive::policy::Policies;
use serde_json::{Value, json};

use crate::support::{Answer, Served, builder, invocations, serve_with};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn principal(name: &str) -> String {
    format!("arn:aws:iam::000000000000:user/{name}")
}

/// A server that knows these principals, each with a policy of its own; a name's secret is the name.
async fn serve(policies: &[(&str, Value)]) -> Served {
    let mut credentials = StaticCredentials::new();
    for (name, statement) in policies {
        let document = json!({"Version": "2012-10-17", "Statement": statement});
        let policies = Policies::new().identity(document.to_string().parse().unwrap());
        let credential = Credential::new(*name, Principal::new(principal(name))).policies(policies);
        credentials = credentials.key(format!("AK{name}"), credential);
    }
    serve_with(builder(), |api| api.credentials(credentials)).await
}

fn allow(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

/// Signs a request as `name`, in the way of AWS's documentation, and sends it.
pub(crate) async fn ask(
    served: &Served,
    name: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Answer {
    let (date, authorization) = sign(served, name, method, path, body);
    let headers = [
        ("X-Amz-Date", &*date),
        ("Authorization", &*authorization),
        ("X-Amz-Invocation-Type", "Event"),
    ];
    served
        .request(method, path, &headers, body.as_bytes())
        .await
}

fn sign(served: &Served, name: &str, method: &str, path: &str, body: &str) -> (String, String) {
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let date = date.replace(['-', ':'], "");
    let (day, host) = (&date[..8], served.address);
    let scope = format!("{day}/us-east-1/lambda/aws4_request");
    let signed = "host;x-amz-date;x-amz-invocation-type";
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.replace(':', "%3A");
    let body = hex(&Hash::hash(body.as_bytes()));
    let canonical = format!(
        "{method}\n{path}\n{query}\nhost:{host}\nx-amz-date:{date}\nx-amz-invocation-type:Event\n\n{signed}\n{body}"
    );
    let canonical = hex(&Hash::hash(canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
    let mut key = HMAC::mac(day.as_bytes(), format!("AWS4{name}").as_bytes());
    for part in ["us-east-1", "lambda", "aws4_request"] {
        key = HMAC::mac(part.as_bytes(), key);
    }
    let signature = hex(&HMAC::mac(text.as_bytes(), key));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AK{name}/{scope}, SignedHeaders={signed}, Signature={signature}"
    );
    (date, authorization)
}

pub(crate) const REFUSED: (u16, &str) = (403, "AccessDeniedException");

/// SIG-01, SIG-07, IAM-01: requests that are signed and allowed, and no others.
#[actix::test]
async fn only_signed_and_allowed_requests_are_served() {
    let served = serve(&[
        ("ada", allow("lambda:*", "*")),
        (
            "ben",
            allow("lambda:InvokeFunction", "arn:aws:lambda:*:*:function:sleep"),
        ),
    ])
    .await;
    let path = invocations("echo");
    let accepted = ask(&served, "ada", "POST", &path, "1").await;
    assert_eq!(accepted.status, 202);
    assert_eq!(
        ask(&served, "ben", "POST", &path, "2").await.error(),
        REFUSED
    );
    let other = ask(&served, "ben", "POST", &invocations("sleep"), "0").await;
    assert_eq!(other.status, 202);

    let unsigned = served.invoke("echo", "Event", b"3").await;
    assert_eq!(
        unsigned.error(),
        (403, "MissingAuthenticationTokenException")
    );
    let (date, authorization) = sign(&served, "ada", "POST", &path, "4");
    let headers = [
        ("X-Amz-Date", &*date),
        ("Authorization", &*authorization),
        ("X-Amz-Invocation-Type", "Event"),
    ];
    let changed = served.request("POST", &path, &headers, b"5").await;
    assert_eq!(changed.error(), (403, "InvalidSignatureException"));
    for _ in 0..2 {
        let again = served.request("POST", &path, &headers, b"4").await;
        assert_eq!(again.status, 202, "as AWS has it");
    }
    let nobody = ask(&served, "eve", "POST", &path, "6").await;
    assert_eq!(nobody.error(), (403, "UnrecognizedClientException"));
    // Three of `echo` and one of `sleep`.
    let stats = served.runtime.client().stats();
    assert_eq!(stats.async_events_received, 4);
}

/// A server that refuses replays, for `ada` alone.
async fn serve_once(builder: redrive::Builder) -> Served {
    let document = json!({"Version": "2012-10-17", "Statement": allow("*", "*")});
    let policies = Policies::new().identity(document.to_string().parse().unwrap());
    let ada = Credential::new("ada", Principal::new(principal("ada"))).policies(policies);
    let keys = StaticCredentials::new().key("AKada", ada);
    let verifier = Verifier::new("us-east-1", keys).refuse_replays();
    serve_with(builder, |api| api.verifier(verifier)).await
}

/// SIG-04: be it a call or not, and whether the runtime was shut down in between or not.
#[cfg(feature = "disk")]
#[actix::test]
async fn refused_replays_stay_refused_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [
        invocations("echo"),
        "/_redrive/functions/echo/pause".to_owned(),
    ];
    let mut sent: Vec<Vec<u8>> = Vec::new();
    for number in 0..3 {
        let served = serve_once(builder().disk(folder.path())).await;
        for path in &paths {
            for earlier in &sent {
                let again = served.raw(earlier).await;
                assert_eq!(again.error(), (403, "RequestReplayedException"));
            }
            let (date, authorization) = sign(&served, "ada", "POST", path, "");
            let (address, body) = (served.address, "");
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\nX-Amz-Date: {date}\r\nAuthorization: {authorization}\r\nX-Amz-Invocation-Type: Event\r\nContent-Length: 0\r\n\r\n{body}"
            );
            let once = served.raw(request.as_bytes()).await;
            assert!([200, 202].contains(&once.status), "{number}: {once:?}");
            sent.push(request.into_bytes());
        }
        served.stop.stop(true).await;
        let end = std::time::Duration::from_secs(30);
        let _ = served.runtime.shutdown(end).await; // it is paused
    }
}

/// SIG-04: what isn't kept as used up isn't done.
#[cfg(feature = "testing")]
#[actix::test]
async fn a_request_whose_signature_the_store_does_not_keep_is_refused() {
    use redrive::testing::{FaultyStore, RecordingStore, StoreCall, StoreFault};
    for call in [StoreCall::Settle, StoreCall::Sync] {
        let store = FaultyStore::new(RecordingStore::new()).always(call, StoreFault::Fail);
        let store = std::sync::Arc::new(store);
        let served = serve_once(builder().store(store.clone())).await;
        let refused = ask(&served, "ada", "POST", &invocations("echo"), "1").await;
        assert_eq!(refused.error(), (503, "ServiceUnavailableException"));
        assert!(refused.message().contains("Nothing was done"));
        assert_eq!(store.calls(StoreCall::Append), 0);
        assert_eq!(served.runtime.client().stats().async_events_received, 0);
    }
}

/// IAM-01: the admin API has its own actions, and a denial for a function covers its events.
#[actix::test]
async fn the_admin_api_is_authorised_too() {
    let deny = json!({"Effect": "Deny", "Action": "redrive:*", "Resource": "arn:aws:lambda:*:*:function:fail"});
    let served = serve(&[
        (
            "ada",
            json!([allow("lambda:*", "*"), allow("redrive:*", "*")]),
        ),
        ("ben", json!([allow("redrive:*", "*"), deny])),
        ("eve", allow("lambda:*", "*")),
    ])
    .await;
    let mut ids = Vec::new();
    for function in ["echo", "fail"] {
        let answer = ask(&served, "ada", "POST", &invocations(function), "{}").await;
        ids.push(answer.header("x-amzn-requestid").unwrap().to_owned());
    }
    for (method, path) in [
        ("GET", "/_redrive/stats".to_owned()),
        ("GET", "/_redrive/functions".to_owned()),
        ("POST", "/_redrive/functions/echo/pause".to_owned()),
        ("POST", "/_redrive/functions/echo/resume".to_owned()),
        ("GET", "/_redrive/dead-letters".to_owned()),
        ("GET", format!("/_redrive/events/{}", ids[0])),
    ] {
        let refused = ask(&served, "eve", method, &path, "").await;
        assert_eq!(refused.error(), REFUSED, "{path}");
        let allowed = ask(&served, "ben", method, &path, "").await;
        assert_eq!(allowed.status, 200, "{path}");
    }
    for path in [
        format!("/_redrive/events/{}", ids[1]),
        format!("/_redrive/events/{}/log", ids[1]),
        "/_redrive/functions/fail/stats".to_owned(),
    ] {
        let refused = ask(&served, "ben", "GET", &path, "").await;
        assert_eq!(refused.error(), REFUSED, "{path}");
        let allowed = ask(&served, "ada", "GET", &path, "").await;
        assert_eq!(allowed.status, 200, "{path}");
    }
    let pause = "/_redrive/functions/fail/pause";
    assert_eq!(
        ask(&served, "ben", "POST", pause, "").await.error(),
        REFUSED
    );
    // Health is open to every client.
    assert_eq!(served.get("/_redrive/health/live").await.status, 200);
}

/// CFG-31, IAM-02: the function's own policy admits a caller until the permission is removed.
#[actix::test]
async fn a_permission_admits_a_foreign_account() {
    let served = serve(&[
        ("ada", allow("lambda:*", "*")),
        (
            "ben",
            allow("lambda:GetFunction", "arn:aws:lambda:*:*:function:nothing"),
        ),
    ])
    .await;
    let invoke = async |body: &str| {
        let path = invocations("echo");
        ask(&served, "ben", "POST", &path, body).await.status
    };
    assert_eq!(invoke("1").await, 403);
    let permission = json!({"StatementId": "ben", "Action": "lambda:InvokeFunction", "Principal": principal("ben")});
    let path = "/2015-03-31/functions/echo/policy";
    let added = ask(&served, "ada", "POST", path, &permission.to_string()).await;
    assert_eq!(added.status, 201);
    assert_eq!(invoke("2").await, 202);
    let removed = ask(&served, "ada", "DELETE", &format!("{path}/ben"), "").await;
    assert_eq!(removed.status, 204);
    assert_eq!(invoke("3").await, 403);
}
