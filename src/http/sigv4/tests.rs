//! The verifier, with requests that AWS's botocore signed: `tests/sigv4.rs` has many more of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const KEY: &str = "AKIDEXAMPLE";
/// 2026-11-26T12:00:00Z
const NOW: u64 = 1_795_694_400;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn verifier() -> Verifier {
    let principal = Principal::new("arn:aws:iam::000000000000:user/ada");
    let temporary = Credential::new(SECRET, principal.clone())
        .session_token("token")
        .expires_at(at(NOW + 3_600));
    let credentials = StaticCredentials::new()
        .with(KEY, Credential::new(SECRET, principal))
        .with("ASIATEMPORARY", temporary);
    Verifier::new("us-east-1", credentials)
}

/// A request under way to be signed.
#[derive(Clone)]
struct Sketch {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    key: &'static str,
    scope: [String; 4],
    signed: String,
}

impl Sketch {
    fn new() -> Self {
        let headers = [
            ("host", "localhost:9000"),
            ("x-amz-date", "20261126T120000Z"),
        ];
        Self {
            method: "POST".to_owned(),
            path: "/2015-03-31/functions/fn%3A1/invocations".to_owned(),
            query: String::new(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.into()))
                .to_vec(),
            body: b"{}".to_vec(),
            key: KEY,
            scope: ["20261126", "us-east-1", "lambda", "aws4_request"].map(str::to_owned),
            signed: "host;x-amz-date".to_owned(),
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self.signed.push(';');
        self.signed.push_str(name);
        self
    }

    /// Signs as AWS's documentation tells, in the other direction than the verifier.
    fn sign(mut self) -> Self {
        let pairs: Vec<_> = self
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_slice()))
            .collect();
        let request = SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &pairs,
        };
        let date_time = String::from_utf8(pairs[1].1.to_vec()).unwrap();
        let scope = self.scope.join("/");
        let header = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={}, Signature={}",
            self.key,
            self.signed,
            "0".repeat(64)
        );
        let mut whole = pairs.clone();
        whole.push(("authorization", header.as_bytes()));
        let whole = SignedRequest {
            headers: &whole,
            ..request
        };
        let presented = Presented::read(&whole).unwrap();
        let hash = hex(digest::digest(&digest::SHA256, &self.body).as_ref());
        let canonical = canonical::request(&request, &presented, &hash);
        let canonical = hex(digest::digest(&digest::SHA256, &canonical).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{date_time}\n{scope}\n{canonical}");
        let mut key = format!("AWS4{SECRET}").into_bytes();
        for part in &self.scope {
            let mac = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&mac, part.as_bytes()).as_ref().to_vec();
        }
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = hex(hmac::sign(&mac, text.as_bytes()).as_ref());
        let header = header.replace(&"0".repeat(64), &signature);
        self.headers
            .push(("authorization".to_owned(), header.into_bytes()));
        self
    }

    fn verify(&self, verifier: &Verifier, now: u64) -> Result<String, SignatureError> {
        let pairs: Vec<_> = self
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_slice()))
            .collect();
        let request = SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &pairs,
        };
        let pending = futures_util::FutureExt::now_or_never(verifier.begin(request, at(now)));
        let credential = pending.unwrap()?.finish(&self.body, at(now))?;
        Ok(credential.principal().arn.clone())
    }
}

fn code(sketch: &Sketch, now: u64) -> &'static str {
    sketch.verify(&verifier(), now).unwrap_err().code()
}

/// The signature was made by botocore 1.44.8 (`SigV4Auth`).
#[test]
fn a_request_that_botocore_signed_is_accepted() {
    let mut sketch = Sketch::new();
    let header = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261126/us-east-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=102b842b935b5827e20c24bf5e6c77076ed8f5a8e3ed15597ecd07429b04b8b7";
    sketch
        .headers
        .push(("authorization".to_owned(), header.into()));
    assert_eq!(
        sketch.verify(&verifier(), NOW).unwrap(),
        "arn:aws:iam::000000000000:user/ada"
    );
}

#[test]
fn what_is_signed_is_accepted_once() {
    let (verifier, sketch) = (verifier(), Sketch::new().sign());
    sketch.verify(&verifier, NOW).unwrap();
    assert_eq!(sketch.verify(&verifier, NOW), Err(SignatureError::Replayed));
    let other = Sketch {
        body: b"[]".to_vec(),
        ..Sketch::new()
    };
    other.sign().verify(&verifier, NOW).unwrap();
}

/// SIG-08
#[test]
fn whatever_is_changed_is_noticed() {
    let sketch = Sketch::new().with("x-amz-invocation-type", "Event").sign();
    let changes: [fn(&mut Sketch); 6] = [
        |it| it.method = "PUT".to_owned(),
        |it| it.path.push('x'),
        |it| it.query = "Qualifier=1".to_owned(),
        |it| it.body.push(b' '),
        |it| it.headers[0].1 = b"localhost:9001".to_vec(),
        |it| it.headers[2].1 = b"DryRun".to_vec(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut sketch = sketch.clone();
        change(&mut sketch);
        let error = sketch.verify(&verifier(), NOW).unwrap_err();
        assert_eq!(error, SignatureError::Mismatch, "change {index}");
    }
}

/// SIG-01, SIG-02
#[test]
fn a_form_that_is_not_in_order_is_told() {
    assert_eq!(
        code(&Sketch::new(), NOW),
        "MissingAuthenticationTokenException"
    );
    let good = Sketch::new().sign();
    let header = String::from_utf8(good.headers[2].1.clone()).unwrap();
    for faulty in [
        "AWS4-HMAC-SHA256",
        "Bearer x",
        &header.replace("Credential=", "Credential:"),
        &header.replace("Signature=", "Sig="),
        &header.replace("/lambda/", "/"),
        &header.replace("host;x-amz-date", "x-amz-date;host"),
        &header.replace("host;x-amz-date", "Host;x-amz-date"),
        &format!("{header}, Signature=0"),
        &header[..header.len() - 1],
    ] {
        let mut sketch = good.clone();
        sketch.headers[2].1 = faulty.into();
        assert_eq!(
            code(&sketch, NOW),
            "IncompleteSignatureException",
            "{faulty}"
        );
    }
    let mut twice = good.clone();
    twice.headers.push(good.headers[2].clone());
    assert_eq!(code(&twice, NOW), "IncompleteSignatureException");
    let mut both = good.clone();
    both.query = "X-Amz-Signature=0".to_owned();
    assert_eq!(code(&both, NOW), "IncompleteSignatureException");
}

/// SIG-03
#[test]
fn the_scope_must_be_this_ones() {
    for (part, other) in [(0, "20261125"), (1, "eu-west-1"), (2, "s3"), (3, "aws4")] {
        let mut sketch = Sketch::new();
        sketch.scope[part] = other.to_owned();
        let error = sketch.sign().verify(&verifier(), NOW).unwrap_err();
        assert!(
            matches!(&error, SignatureError::Scope(text) if text.contains(other)),
            "{error}"
        );
    }
}

/// SIG-04
#[test]
fn a_signature_holds_for_five_minutes() {
    let sketch = Sketch::new().sign();
    for now in [NOW - 300, NOW, NOW + 300] {
        sketch.verify(&verifier(), now).unwrap();
    }
    let text = |now| sketch.verify(&verifier(), now).unwrap_err().to_string();
    assert!(text(NOW - 301).starts_with("Signature not yet current: 20261126T120000Z"));
    assert!(text(NOW + 301).starts_with("Signature expired: 20261126T120000Z"));
}

/// SIG-05
#[test]
fn temporary_credentials_need_their_token_and_their_time() {
    let with = |token: &str, key| {
        let sketch = Sketch {
            key,
            ..Sketch::new()
        };
        sketch.with("x-amz-security-token", token).sign()
    };
    with("token", "ASIATEMPORARY")
        .verify(&verifier(), NOW)
        .unwrap();
    assert_eq!(
        code(&with("other", "ASIATEMPORARY"), NOW),
        "UnrecognizedClientException"
    );
    assert_eq!(
        code(&with("token", KEY), NOW),
        "UnrecognizedClientException"
    );
    let without = Sketch {
        key: "ASIATEMPORARY",
        ..Sketch::new()
    }
    .sign();
    assert_eq!(code(&without, NOW), "UnrecognizedClientException");
    let mut late = Sketch {
        key: "ASIATEMPORARY",
        ..Sketch::new()
    };
    late.headers[1].1 = b"20261126T130000Z".to_vec();
    let late = late.with("x-amz-security-token", "token").sign();
    assert_eq!(code(&late, NOW + 3_600), "ExpiredTokenException");
    let nobody = Sketch {
        key: "AKIDNOBODY",
        ..Sketch::new()
    }
    .sign();
    assert_eq!(code(&nobody, NOW), "UnrecognizedClientException");
}

/// SIG-09
#[test]
fn what_a_request_means_must_be_signed() {
    let mut loose = Sketch::new().sign();
    loose
        .headers
        .push(("x-amz-invocation-type".to_owned(), b"Event".to_vec()));
    assert!(matches!(
        loose.verify(&verifier(), NOW),
        Err(SignatureError::Unsigned(_))
    ));
    for signed in ["host", "x-amz-date", "host;x-amz-date;x-gone"] {
        let sketch = Sketch {
            signed: signed.to_owned(),
            ..Sketch::new()
        }
        .sign();
        assert!(matches!(
            sketch.verify(&verifier(), NOW),
            Err(SignatureError::Unsigned(_))
        ));
    }
    // Tracers and proxies add these.
    let mut traced = Sketch::new().sign();
    traced
        .headers
        .push(("x-amzn-trace-id".to_owned(), b"Root=1".to_vec()));
    traced.verify(&verifier(), NOW).unwrap();
}

#[test]
fn an_announced_body_is_the_one_that_comes() {
    let hash = hex(digest::digest(&digest::SHA256, b"{}").as_ref());
    let announced = |hash: &str| {
        let mut sketch = Sketch::new();
        sketch
            .headers
            .push(("x-amz-content-sha256".to_owned(), hash.into()));
        sketch.signed = "host;x-amz-content-sha256;x-amz-date".to_owned();
        sketch.sign()
    };
    announced(&hash).verify(&verifier(), NOW).unwrap();
    let mut changed = announced(&hash);
    changed.body = b"[]".to_vec();
    assert_eq!(
        changed.verify(&verifier(), NOW),
        Err(SignatureError::BodyChanged)
    );
    for other in [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "00",
    ] {
        assert_eq!(code(&announced(other), NOW), "IncompleteSignatureException");
    }
}

#[test]
fn no_secret_is_shown() {
    let credential = Credential::new(SECRET, Principal::new("arn:aws:iam::1:user/u"));
    let credential = credential.session_token("hush");
    let shown = format!("{credential:?}");
    assert!(
        !shown.contains(SECRET) && !shown.contains("hush"),
        "{shown}"
    );
}

proptest::proptest! {
    #[test]
    fn no_request_panics(
        method in ".{0,8}",
        path in ".{0,40}",
        query in "([A-Za-z-]{0,20}=?.{0,20}&?){0,5}",
        headers in proptest::collection::vec(("[a-z-]{1,20}", ".{0,60}"), 0..6),
        authorization in "(AWS4-HMAC-SHA256 )?((Credential|SignedHeaders|Signature)=.{0,40},?){0,4}",
        date in "[0-9TZ]{0,17}",
    ) {
        let mut headers: Vec<_> = headers.into_iter().map(|(n, v)| (n, v.into_bytes())).collect();
        headers.push(("x-amz-date".to_owned(), date.into_bytes()));
        headers.push(("authorization".to_owned(), authorization.into_bytes()));
        let sketch = Sketch { method, path, query, headers, ..Sketch::new() };
        proptest::prop_assert!(sketch.verify(&verifier(), NOW).is_err());
    }
}
